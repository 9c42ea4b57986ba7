/* config_prompt.c - prompts, and what makes of them what models are told. */
#include "launch/config_prompt.h"

#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"
#include "launch/config_method.h"

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- shape --------------------------------------------------------------- */

/* What `prompts` says of a model, or else `prompt`. */
static const weft_tree *prompt_of(const weft_tree *root, const weft_tree *map,
                                  const char *model)
{
    const weft_tree *own = weft_tree_get(map, model);

    return own ? own : weft_tree_find(root, "sample.prompt");
}

/* Its own keeps the model's name. */
static weft_status add_prompt(const weft_tree *root, const weft_tree *map,
                              const char *model, weft_tree **to)
{
    const weft_tree *t = prompt_of(root, map, model);
    const bool own = weft_tree_get(map, model) != NULL;

    if (!t)
        return weft_place_fail(&map->place,
                               "sample.prompts has no prompt for the model "
                               "%.80s, and there is no sample.prompt",
                               model);
    if (t->kind != WEFT_TREE_TEXT)
        return weft_place_fail(&t->place, "sample.prompts.%.80s: expected text",
                               model);
    *to = weft_tree_text(t->text, true, &t->place);
    if (*to && own) (*to)->key = strdup(model);
    return *to && (!own || (*to)->key) ? WEFT_OK : no_memory();
}

/* {B: text} becomes [prompt, text], in the order of the models. */
weft_status weft_config_shape_prompts(weft_tree *root)
{
    const weft_tree *models = weft_tree_get(root, "models");
    weft_tree *map = weft_tree_find(root, "sample.prompts"), *list, **to;
    weft_status st = WEFT_OK;

    if (!map || !models) return WEFT_OK;
    if (map->kind != WEFT_TREE_MAP)
        return weft_place_fail(&map->place,
                               "sample.prompts: expected texts by model, such "
                               "as { strong: \"...\", weak: \"...\" }");
    for (const weft_tree *t = map->first; t; t = t->next)
        WEFT_TRY(weft_config_check_model_name(t, models, "sample.prompts"));
    list = weft_tree_new(WEFT_TREE_LIST, &map->place);
    if (!list) return no_memory();
    to = &list->first;
    for (const weft_tree *m = models->first; m && st == WEFT_OK; m = m->next) {
        st = add_prompt(root, map, m->key, to);
        if (st == WEFT_OK) to = &(*to)->next;
    }
    if (st == WEFT_OK) return weft_tree_put_at(root, "sample.prompts", list);
    weft_tree_free(list);
    return st;
}

/* Is there one model, which refines what another draws? */
static bool has_refiner_alone(const weft_tree *root, const weft_tree *models)
{
    const weft_tree *refiner = weft_tree_find(root, "sample.refiner");
    const weft_tree *only =
        models->kind == WEFT_TREE_MAP ? models->first : NULL;

    return refiner && refiner->kind == WEFT_TREE_TEXT && only && !only->next &&
           !strcmp(only->key, refiner->text);
}

static weft_status put_pipeline(weft_tree *model, const weft_tree *pipeline)
{
    weft_tree *text = weft_tree_text(pipeline->text, true, &pipeline->place);

    return text ? weft_tree_put(model, "pipeline", text) : no_memory();
}

static weft_status add_model(weft_tree *models, const weft_tree *pipeline)
{
    weft_tree *model = weft_tree_new(WEFT_TREE_MAP, &pipeline->place);

    if (!model) return no_memory();
    WEFT_TRY(weft_tree_put(models, "model", model));
    return put_pipeline(model, pipeline);
}

/* Does it say nothing of where its files are? A refiner's are its own. */
static bool lacks_files(const weft_tree *root, const weft_tree *m)
{
    const weft_tree *refiner = weft_tree_find(root, "sample.refiner");

    if (m->kind != WEFT_TREE_MAP || weft_tree_get(m, "path") ||
        weft_tree_get(m, "pipeline") || weft_tree_get(m, "kind"))
        return false;
    return !refiner || refiner->kind != WEFT_TREE_TEXT ||
           strcmp(refiner->text, m->key) != 0;
}

/* pipeline: P alone, or beside its refiner, is models: { model: { pipeline: P }
 * }; and P is the pipeline of models that name no files. */
weft_status weft_config_shape_pipeline(weft_tree *root)
{
    const weft_tree *pipeline = weft_tree_get(root, "pipeline");
    weft_tree *models = weft_tree_get(root, "models");

    if (!pipeline || pipeline->kind != WEFT_TREE_TEXT) return WEFT_OK;
    if (!models) {
        models = weft_tree_new(WEFT_TREE_MAP, &pipeline->place);
        if (!models) return no_memory();
        WEFT_TRY(weft_tree_put(root, "models", models));
        return add_model(weft_tree_get(root, "models"), pipeline);
    }
    if (models->kind != WEFT_TREE_MAP) return WEFT_OK; /* check says so */
    if (has_refiner_alone(root, models)) return add_model(models, pipeline);
    for (weft_tree *m = models->first; m; m = m->next)
        if (lacks_files(root, m)) WEFT_TRY(put_pipeline(m, pipeline));
    return WEFT_OK;
}

/* ---- folders ------------------------------------------------------------- */

static bool has_pipeline(const weft_tree *root)
{
    const weft_tree *models = weft_tree_get(root, "models");

    if (weft_tree_get(root, "pipeline")) return true;
    for (const weft_tree *m = models ? models->first : NULL; m; m = m->next)
        if (weft_tree_get(m, "pipeline")) return true;
    return false;
}

/* An encoder and its tokenizer are given together; a tokenizer alone is for
 * the encoder of a pipeline. */
static weft_status check_pair(const weft_tree *root, const char *encoder,
                              const char *tokenizer)
{
    const weft_tree *e = weft_tree_find(root, encoder);
    const weft_tree *t = weft_tree_find(root, tokenizer);

    if (!e == !t || (t && has_pipeline(root))) return WEFT_OK;
    return weft_place_fail(e ? &e->place : &t->place, "%s needs %s",
                           e ? encoder : tokenizer, e ? tokenizer : encoder);
}

weft_status weft_config_take_text(const weft_tree *root, const char *zeros,
                                  bool identity, weft_config_text *to)
{
    static const char *const encoder[] = {"text.encoder", "text.encoder_2"};
    static const char *const tokenizer[] = {"text.tokenizer",
                                            "text.tokenizer_2"};

    to->zeros = zeros ? strcmp(zeros, "true") == 0 : -1;
    for (int i = 0; i < WEFT_ENCODERS; i++) {
        WEFT_TRY(check_pair(root, encoder[i], tokenizer[i]));
        WEFT_TRY(
            weft_config_take_path(root, encoder[i], identity, &to->encoder[i]));
        WEFT_TRY(weft_config_take_path(root, tokenizer[i], identity,
                                       &to->tokenizer[i]));
    }
    return WEFT_OK;
}

void weft_config_release_path(weft_config_path *p)
{
    free(p->path);
    free(p->portable);
    *p = (weft_config_path){0};
}

void weft_config_release_text(weft_config_text *t)
{
    for (int i = 0; i < WEFT_ENCODERS; i++) {
        weft_config_release_path(&t->encoder[i]);
        weft_config_release_path(&t->tokenizer[i]);
    }
}

/* ---- sample -------------------------------------------------------------- */

static char *take(char **text)
{
    char *taken = *text;

    *text = NULL;
    return taken;
}

static void take_pair(const int *raw, int *to)
{
    if (raw) memcpy(to, raw, 2 * sizeof *to);
}

/* What a model has not of its own stays the run's. */
static void take_by_model(const weft_tree *root, weft_raw_sample *raw,
                          weft_config *c)
{
    const weft_tree *t = weft_tree_find(root, "sample.prompts");

    c->sample.by_model = raw->prompts != NULL;
    t = t ? t->first : NULL;
    for (int i = 0; i < c->nmodels && t && raw->prompts; i++, t = t->next)
        if (t->key) c->model[i].prompt = take(&raw->prompts[i]);
}

void weft_config_take_prompts(const weft_tree *root, weft_raw_sample *raw,
                              weft_config *c)
{
    weft_config_sizes *s = &c->sample.sizes;

    c->sample.prompt = take(&raw->prompt);
    c->sample.negative_prompt = take(&raw->negative_prompt);
    c->sample.weighted =
        weft_config_choice("sample.prompt_syntax", raw->prompt_syntax) == 1;
    c->sample.clip_skip = raw->clip_skip;
    take_by_model(root, raw, c);
    *s = (weft_config_sizes){.has_original = raw->original_size != NULL,
                             .has_target = raw->target_size != NULL,
                             .original = {c->sample.height, c->sample.width},
                             .target = {c->sample.height, c->sample.width},
                             .score = raw->aesthetic_score,
                             .negative_score = raw->negative_aesthetic_score};
    take_pair(raw->original_size, s->original);
    take_pair(raw->crop_top_left, s->crop);
    take_pair(raw->target_size, s->target);
}

/* ---- in an image --------------------------------------------------------- */

static void write_key(FILE *f, const char *key, const char *text)
{
    fprintf(f, ",\"%s\":", key);
    weft_config_write_string(f, text);
}

static const char *prompt_for(const weft_config *c, int model)
{
    return c->model[model].prompt ? c->model[model].prompt : c->sample.prompt;
}

static void write_by_model(FILE *f, const weft_config *c)
{
    for (int i = 0; i < c->nmodels; i++) {
        fprintf(f, "%s\"%s\":", i ? "," : ",\"prompts\":{", c->model[i].name);
        weft_config_write_string(f, prompt_for(c, i));
    }
    putc('}', f);
}

static void write_pair(FILE *f, const char *key, const int *v)
{
    fprintf(f, ",\"%s\":[%d,%d]", key, v[0], v[1]);
}

static void write_sizes(FILE *f, const weft_config_sizes *s)
{
    if (s->has_original) write_pair(f, "original_size", s->original);
    if (s->crop[0] || s->crop[1]) write_pair(f, "crop_top_left", s->crop);
    if (s->has_target) write_pair(f, "target_size", s->target);
    if (s->score != 6) {
        fputs(",\"aesthetic_score\":", f);
        weft_config_write_number(f, s->score);
    }
    if (s->negative_score != 2.5) {
        fputs(",\"negative_aesthetic_score\":", f);
        weft_config_write_number(f, s->negative_score);
    }
}

void weft_config_write_prompts(FILE *f, const weft_config *c)
{
    if (c->sample.prompt) write_key(f, "prompt", c->sample.prompt);
    if (c->sample.by_model) write_by_model(f, c);
    if (c->sample.negative_prompt)
        write_key(f, "negative_prompt", c->sample.negative_prompt);
    if (c->sample.weighted) write_key(f, "prompt_syntax", "weighted");
    if (c->sample.clip_skip)
        fprintf(f, ",\"clip_skip\":%d", c->sample.clip_skip);
    write_sizes(f, &c->sample.sizes);
}

void weft_config_write_text(FILE *f, const weft_config_text *t)
{
    static const char *const name[][2] = {{"encoder", "tokenizer"},
                                          {"encoder_2", "tokenizer_2"}};
    const char *begin = ",\"text\":{";
    bool any = false;

    for (int i = 0; i < 2 * WEFT_ENCODERS; i++) {
        const char *path =
            i % 2 ? t->tokenizer[i / 2].portable : t->encoder[i / 2].portable;

        if (!path) continue;
        fprintf(f, "%s\"%s\":", any ? "," : begin, name[i / 2][i % 2]);
        weft_config_write_string(f, path);
        any = true;
    }
    if (t->zeros >= 0)
        fprintf(f, "%s\"force_zeros_for_empty_prompt\":%s", any ? "," : begin,
                t->zeros ? "true" : "false");
    if (any || t->zeros >= 0) putc('}', f);
}

void weft_config_prompt_parameters(FILE *f, const weft_config *c)
{
    const char *prompt = c->sample.prompt;

    for (int i = 0; i < c->nmodels; i++)
        if (!strcmp(c->model[i].name, c->sample.model))
            prompt = prompt_for(c, i);
    if (prompt) fprintf(f, "%s\n", prompt);
    if (prompt && c->sample.negative_prompt && *c->sample.negative_prompt)
        fprintf(f, "Negative prompt: %s\n", c->sample.negative_prompt);
}
