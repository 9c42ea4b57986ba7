#include "launch/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "core/fnv.h"
#include "core/layer/layer.h"
#include "core/model/component.h"
#include "core/model/load.h"
#include "launch/said.h"

/* ---- readers ------------------------------------------------------------- */

bool weft_prompts_same_opts(const weft_text_opts *a, const weft_text_opts *b)
{
    return a->skip == b->skip && a->norm == b->norm && a->pooled == b->pooled;
}

static weft_status open_reader(weft_reader *r)
{
    WEFT_TRY(weft_component_open(r->encoder, &r->config, &r->st));
    WEFT_TRY(weft_text_read_info(r->config, &r->info));
    WEFT_TRY(weft_adapters_open(r->changes, &r->adapters));
    r->fingerprint = weft_netfile_fingerprint(r->st) ^
                     weft_adapters_fingerprint(&r->adapters);
    return weft_tokenizer_open(r->tokens, &r->tokenizer);
}

static weft_status check_tokens(const weft_reader *r)
{
    const int most = weft_tokenizer_tell(r->tokenizer)->most;

    if (most <= r->info.tokens) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: texts of %d tokens (model_max_length), and the text "
                     "encoder %s takes %d",
                     r->tokens, most, r->encoder, r->info.tokens);
}

/* An encoder may have more than a tokenizer gives, but not fewer. */
static weft_status check_vocabulary(const weft_reader *r)
{
    const weft_tokenizer_info *t = weft_tokenizer_tell(r->tokenizer);

    if (t->last < r->info.vocab) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: token \"%s\" has the id %d, and the text encoder %s "
                     "has %d tokens (vocab_size): they are of different models",
                     r->tokens, t->last_token, t->last, r->encoder,
                     r->info.vocab);
}

/* For chunks of a prompt one by one. */
static weft_status lay_out(weft_reader *r, const weft_device *dev)
{
    static const int first[] = {0, 1};
    const weft_cut whole = {.n = 1, .first = first};

    return weft_layout_make(&r->text.graph, dev, 1, &whole, &r->layout);
}

static weft_status build_reader(weft_reader *r, const weft_device *dev)
{

    WEFT_TRY(check_tokens(r));
    WEFT_TRY(check_vocabulary(r));
    WEFT_TRY(weft_text_build(r->config, &r->opts,
                             weft_tokenizer_tell(r->tokenizer)->most,
                             weft_load_dtype(r->st), &r->text));
    r->built = true;
    WEFT_TRY(weft_load_check(&r->text.graph, r->st, &r->file_bytes));
    WEFT_TRY(
        weft_spare_find(&r->text.graph, r->st, weft_text_besides, &r->spare));
    WEFT_TRY(weft_adapters_apply(&r->adapters, r->part, r->st, &r->text.graph));
    return lay_out(r, dev);
}

/* The reader of these files that does this, a new one if need be. */
static weft_status find_reader(weft_prompts *p, const weft_device *dev,
                               const weft_config_model *m, int i,
                               weft_text_opts opts, int *which)
{
    const weft_config_text *t = &m->text;
    weft_reader *r;

    for (int k = 0; k < p->readers; k++)
        if (!strcmp(p->reader[k].encoder, t->encoder[i].path) &&
            !strcmp(p->reader[k].tokens, t->tokenizer[i].path) &&
            weft_prompts_same_opts(&p->reader[k].opts, &opts) &&
            weft_adapters_same(p->reader[k].changes, m)) {
            *which = k;
            return WEFT_OK;
        }
    *which = p->readers++;
    r = &p->reader[*which];
    *r = (weft_reader){.encoder = t->encoder[i].path,
                       .tokens = t->tokenizer[i].path,
                       .changes = m,
                       .part = (weft_lora_part)(WEFT_LORA_TEXT + i),
                       .opts = opts};
    WEFT_TRY(open_reader(r));
    return build_reader(r, dev);
}

static weft_status check_folders(const weft_config_model *m,
                                 const weft_net_info *info, int i)
{
    if (m->text.tokenizer[i].path) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: a %s needs a text, and the text encoder %s has no "
                     "tokenizer: give text.tokenizer%s",
                     m->path, info->class_name, m->text.encoder[i].path,
                     i ? "_2" : "");
}

static weft_status find_readers(weft_prompts *p, const weft_device *dev,
                                int skip, const weft_config_model *m,
                                const weft_net_info *info, int *reader,
                                int *readers)
{
    int last = -1;

    *readers = 0;

    for (int i = 0; i < WEFT_ENCODERS; i++)
        if (m->text.encoder[i].path) last = i;
    if (last < 0)
        return weft_fail(
            WEFT_EINPUT,
            "%s: a %s needs a text: give pipeline, or text.encoder "
            "and text.tokenizer",
            m->path, info->class_name);
    for (int i = 0; i <= last; i++) {
        const weft_text_opts opts =
            info->added ? (weft_text_opts){skip + 1, false, i == last}
                        : (weft_text_opts){skip, true, false};

        if (!m->text.encoder[i].path) continue;
        WEFT_TRY(check_folders(m, info, i));
        WEFT_TRY(find_reader(p, dev, m, i, opts, &reader[(*readers)++]));
    }
    return WEFT_OK;
}

/* ---- what fits together -------------------------------------------------- */

static weft_status check_channels(const weft_prompts *p,
                                  const weft_config_model *m,
                                  const weft_net_info *info, weft_listener *l)
{
    const char *with = l->readers > 1 ? " together" : "";

    for (int i = 0; i < l->readers; i++)
        l->channels += p->reader[l->reader[WEFT_COND][i]].info.channels;
    if (l->channels == info->text_channels) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: wants a text of %d channels (cross_attention_dim), "
                     "and %s gives %d%s: they are of different models",
                     m->path, info->text_channels,
                     p->reader[l->reader[WEFT_COND][l->readers - 1]].encoder,
                     l->channels, with);
}

/* The base model is told six numbers, its refiner five. */
static weft_status check_added(const weft_prompts *p,
                               const weft_config_model *m,
                               const weft_net_info *info, weft_listener *l)
{
    const weft_reader *last = &p->reader[l->reader[WEFT_COND][l->readers - 1]];
    int rest;

    if (!info->added) return WEFT_OK;
    l->pooled = last->info.pooled;
    rest = info->added - l->pooled;
    l->ids = rest / info->id_channels;
    if (rest % info->id_channels == 0 && (l->ids == 5 || l->ids == 6))
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: projection_class_embeddings_input_dim %d is not the "
                     "%d channels of %s and five or six sizes of %d",
                     m->path, info->added, l->pooled, last->encoder,
                     info->id_channels);
}

/* ---- prompts ------------------------------------------------------------- */

static weft_status cut_up(const weft_prompts *p, const weft_config *c,
                          const char *key, const weft_listener *l,
                          weft_reading *r)
{
    for (int i = 0; i < l->readers; i++) {
        const weft_tokenizer *t = p->reader[l->reader[WEFT_COND][i]].tokenizer;
        weft_status st = c->sample.weighted
                             ? weft_prompt_weighted(t, r->text, &r->prompt[i])
                             : weft_prompt_plain(t, r->text, &r->prompt[i]);

        if (st != WEFT_OK)
            return weft_fail_within(st, "%s: sample.%s", c->file, key);
    }
    return WEFT_OK;
}

/* As diffusers: no negative prompt is an empty one, or zeros. */
void weft_prompts_choose(const weft_method *m, int model,
                         weft_condition condition, const weft_said *said,
                         weft_reading *r)
{
    const weft_config *c = m->config;
    const weft_config_model *own = &c->model[m->model[model]];
    const char *no = said ? said->negative : NULL;

    *r = (weft_reading){.text = NULL};
    if (condition == WEFT_COND) {
        if (said) r->text = weft_said_for(said->own, own->name);
        if (!r->text) r->text = own->prompt;
        if (!r->text && said) r->text = said->prompt;
        if (!r->text) r->text = c->sample.prompt;
        return;
    }
    if (!no) no = c->sample.negative_prompt;
    r->zeros = !no && own->text.zeros;
    r->text = r->zeros ? NULL : no ? no : "";
}

static weft_status take_prompt(const weft_prompts *p, const weft_method *m,
                               int model, weft_condition condition,
                               weft_reading *r)
{
    static const char *const key[] = {"prompt", "negative_prompt"};
    const weft_config *c = m->config;

    if (!weft_method_asks(m, model, condition)) return WEFT_OK;
    weft_prompts_choose(m, model, condition, NULL, r);
    if (r->text) return cut_up(p, c, key[condition], &p->model[model], r);
    if (r->zeros) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: the model %s draws what a text says: give "
                     "sample.prompt",
                     c->file, c->model[m->model[model]].name);
}

static weft_status take_prompts(const weft_prompts *p, const weft_method *m,
                                int model, weft_listener *l)
{
    WEFT_TRY(take_prompt(p, m, model, WEFT_COND, &l->told[WEFT_COND]));
    return take_prompt(p, m, model, WEFT_UNCOND, &l->told[WEFT_UNCOND]);
}

static weft_status open_listener(weft_prompts *p, const weft_device *dev,
                                 const weft_method *m, int model,
                                 const weft_net_info *info)
{
    const weft_config *c = m->config;
    const weft_config_model *own = &c->model[m->model[model]];
    weft_listener *l = &p->model[model];

    if (!info || !info->text_channels) {
        if (!own->prompt && !c->sample.prompt) return WEFT_OK;
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.prompt%s: the model %s takes "
                         "no text",
                         c->file, own->prompt ? "s" : "", own->name);
    }
    l->any = true;
    l->added = info->added;
    l->id_channels = info->id_channels;
    l->guide = info->guide;
    l->flip = info->flip;
    l->shift = info->freq_shift;
    WEFT_TRY(find_readers(p, dev, c->sample.clip_skip, own, info,
                          l->reader[WEFT_COND], &l->readers));
    if (c->sample.clip_skip && !weft_method_asks(m, model, WEFT_UNCOND))
        memcpy(l->reader[WEFT_UNCOND], l->reader[WEFT_COND],
               sizeof l->reader[WEFT_COND]);
    else
        WEFT_TRY(find_readers(p, dev, 0, own, info, l->reader[WEFT_UNCOND],
                              &l->readers));
    WEFT_TRY(check_channels(p, own, info, l));
    WEFT_TRY(check_added(p, own, info, l));
    return take_prompts(p, m, model, l);
}

/* ---- lengths ------------------------------------------------------------- */

static int most_chunks(const weft_prompts *p)
{
    int most = 1;

    for (int m = 0; m < WEFT_MODELS; m++)
        for (int c = 0; c < WEFT_BOTH; c++)
            for (int i = 0; i < p->model[m].readers; i++)
                if (p->model[m].told[c].prompt[i].chunks > most)
                    most = p->model[m].told[c].prompt[i].chunks;
    return most;
}

/* Side by side, token by token. */
static weft_status check_lengths(const weft_prompts *p, const weft_listener *l)
{
    const weft_reader *a = &p->reader[l->reader[WEFT_COND][0]], *b;

    for (int i = 1; i < l->readers; i++) {
        b = &p->reader[l->reader[WEFT_COND][i]];
        if (weft_tokenizer_tell(a->tokenizer)->most !=
            weft_tokenizer_tell(b->tokenizer)->most)
            return weft_fail(WEFT_EINPUT,
                             "%s and %s: texts of %d and %d tokens do not fit "
                             "together",
                             a->tokens, b->tokens,
                             weft_tokenizer_tell(a->tokenizer)->most,
                             weft_tokenizer_tell(b->tokenizer)->most);
    }
    return WEFT_OK;
}

static weft_status lengthen(const weft_prompts *p, const weft_listener *l,
                            weft_reading *r)
{
    for (int i = 0; i < l->readers && r->text; i++)
        WEFT_TRY(
            weft_prompt_lengthen(p->reader[l->reader[WEFT_COND][i]].tokenizer,
                                 &r->prompt[i], p->chunks));
    return WEFT_OK;
}

/* All prompts of a run are as long as the longest. */
static weft_status set_lengths(const weft_method *m, weft_models *models,
                               weft_prompts *p)
{
    p->chunks = most_chunks(p);
    for (int i = 0; i < m->nmodels; i++) {
        weft_listener *l = &p->model[i];

        if (!l->any) continue;
        WEFT_TRY(check_lengths(p, l));
        for (int c = 0; c < WEFT_BOTH; c++)
            WEFT_TRY(lengthen(p, l, &l->told[c]));
        l->tokens =
            p->chunks *
            weft_tokenizer_tell(p->reader[l->reader[WEFT_COND][0]].tokenizer)
                ->most;
        models->file[models->of[i]].info.tokens = l->tokens;
    }
    return WEFT_OK;
}

/* ---- the whole ----------------------------------------------------------- */

weft_status weft_prompts_open(const weft_method *m, const weft_device *dev,
                              weft_models *models, weft_prompts *p)
{
    memset(p, 0, sizeof *p);
    for (int i = 0; i < m->nmodels; i++)
        WEFT_TRY(open_listener(
            p, dev, m, i,
            models->of[i] >= 0 ? &models->file[models->of[i]].info : NULL));
    return set_lengths(m, models, p);
}

void weft_prompts_unmap(weft_prompts *p)
{
    for (int i = 0; i < p->readers; i++) {
        weft_st_close(p->reader[i].st);
        p->reader[i].st = NULL;
        weft_adapters_close(&p->reader[i].adapters);
    }
}

void weft_reading_release(weft_reading *r)
{
    for (int i = 0; i < WEFT_ENCODERS; i++) weft_prompt_release(&r->prompt[i]);
    free(r->hidden);
    free(r->added);
    *r = (weft_reading){.text = NULL};
}

void weft_prompts_close(weft_prompts *p)
{
    weft_prompts_unmap(p);
    for (int i = 0; i < p->readers; i++) {
        weft_reader *r = &p->reader[i];

        weft_layout_release(&r->layout);
        if (r->built) weft_graph_release(&r->text.graph);
        weft_tokenizer_free(r->tokenizer);
        weft_json_free(r->config);
    }
    for (int i = 0; i < WEFT_MODELS; i++)
        for (int c = 0; c < WEFT_BOTH; c++)
            weft_reading_release(&p->model[i].told[c]);
    memset(p, 0, sizeof *p);
}

/* ---- other texts --------------------------------------------------------- */

static weft_status make_room(const weft_listener *l, weft_reading *r)
{
    r->hidden =
        calloc((size_t)l->tokens * (size_t)l->channels, sizeof *r->hidden);
    r->added = calloc((size_t)l->added + 1, sizeof *r->added);
    return r->hidden && r->added
               ? WEFT_OK
               : weft_fail(WEFT_ENOMEM, "out of memory for a text");
}

weft_status weft_prompts_fill(const weft_prompts *p, const weft_method *m,
                              int model, weft_reading *r)
{
    const weft_listener *l = &p->model[model];

    if (r->text && !r->prompt[0].id) {
        WEFT_TRY(cut_up(p, m->config, "prompt", l, r));
        WEFT_TRY(lengthen(p, l, r));
    }
    return make_room(l, r);
}

static weft_status count_chunks(const weft_prompts *p, const weft_method *m,
                                int model, weft_reading *r, int *most)
{
    const weft_listener *l = &p->model[model];

    if (r->text) WEFT_TRY(cut_up(p, m->config, "prompt", l, r));
    for (int i = 0; i < l->readers && r->text; i++)
        if (r->prompt[i].chunks > *most) *most = r->prompt[i].chunks;
    return WEFT_OK;
}

weft_status weft_prompts_chunks(const weft_prompts *p, const weft_method *m,
                                const weft_said *said, int *chunks)
{
    weft_status st = WEFT_OK;
    weft_reading r;

    *chunks = 1;
    if (!m->config->sample.weighted) return WEFT_OK;
    for (int i = 0; i < m->nmodels; i++)
        for (int c = 0; c < WEFT_BOTH && st == WEFT_OK; c++) {
            if (!p->model[i].any || !weft_method_asks(m, i, (weft_condition)c))
                continue;
            weft_prompts_choose(m, i, (weft_condition)c, said, &r);
            st = count_chunks(p, m, i, &r, chunks);
            weft_reading_release(&r);
        }
    return st;
}

size_t weft_prompts_scratch(const weft_prompts *p)
{
    size_t most = 0;

    for (int i = 0; i < p->readers; i++)
        if (p->reader[i].layout.scratch > most)
            most = p->reader[i].layout.scratch;
    return most;
}

size_t weft_prompts_block(const weft_prompts *p)
{
    size_t most = 0;

    for (int i = 0; i < p->readers; i++)
        if (p->reader[i].layout.bytes > most) most = p->reader[i].layout.bytes;
    return most;
}

uint64_t weft_prompts_fingerprint(const weft_prompts *p)
{
    uint64_t h = WEFT_FNV_BASIS;

    for (int i = 0; i < p->readers; i++) h = h * 31 ^ p->reader[i].fingerprint;
    return h;
}

const char *weft_reading_cut(const weft_reading *r)
{
    const char *cut = NULL;

    for (int i = 0; i < WEFT_ENCODERS && !cut; i++) cut = r->prompt[i].cut;
    return cut;
}

void weft_prompts_tell(const weft_prompts *p, FILE *to)
{
    static const char *const name[] = {"prompt", "negative prompt"};
    const char *said = NULL;

    for (int i = 0; i < p->readers; i++) {
        char about[WEFT_PATH + 16];

        snprintf(about, sizeof about, "weft: %.4000s: ", p->reader[i].encoder);
        weft_spare_print(&p->reader[i].spare, about, to);
    }
    for (int m = 0; m < WEFT_MODELS; m++)
        for (int c = 0; c < WEFT_BOTH; c++) {
            const char *cut = weft_reading_cut(&p->model[m].told[c]);

            if (!cut || (said && !strcmp(said, cut))) continue;
            said = cut;
            fprintf(to,
                    "weft: the %s is longer than the %d tokens that the text "
                    "encoder takes; cut off: \"%s\" (prompt_syntax: weighted "
                    "takes longer ones)\n",
                    name[c], p->model[m].tokens - 2, cut);
        }
}
