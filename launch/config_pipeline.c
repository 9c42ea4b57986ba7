/* config_pipeline.c - what the pipelines of a config stand for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/component.h"
#include "core/model/pipeline.h"
#include "launch/config.h"
#include "launch/config_check.h"

static weft_status copy(const char *from, char **to)
{
    if (!from) return WEFT_OK;
    *to = strdup(from);
    return *to ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- text encoders ------------------------------------------------------- */

static bool has_encoders(const weft_config_text *t)
{
    return t->encoder[0].path || t->encoder[1].path;
}

static weft_status copy_given(const weft_config_text *from,
                              weft_config_text *to)
{
    for (int i = 0; i < WEFT_ENCODERS; i++) {
        WEFT_TRY(copy(from->encoder[i].path, &to->encoder[i].path));
        WEFT_TRY(copy(from->tokenizer[i].path, &to->tokenizer[i].path));
    }
    return WEFT_OK;
}

static weft_status copy_parts(const weft_pipeline *p, weft_config_text *to)
{
    const weft_pipeline_part *part = p->part;

    WEFT_TRY(copy(part[WEFT_PIPELINE_TEXT].path, &to->encoder[0].path));
    WEFT_TRY(copy(part[WEFT_PIPELINE_TOKENIZER].path, &to->tokenizer[0].path));
    WEFT_TRY(copy(part[WEFT_PIPELINE_TEXT_2].path, &to->encoder[1].path));
    return copy(part[WEFT_PIPELINE_TOKENIZER_2].path, &to->tokenizer[1].path);
}

/* Tokenizers that are given alone: a checkpoint in one file has none. */
static weft_status replace_tokenizers(const weft_config_text *from,
                                      weft_config_text *to)
{
    for (int i = 0; i < WEFT_ENCODERS; i++) {
        if (!from->tokenizer[i].path || !to->encoder[i].path) continue;
        free(to->tokenizer[i].path);
        to->tokenizer[i].path = NULL;
        WEFT_TRY(copy(from->tokenizer[i].path, &to->tokenizer[i].path));
    }
    return WEFT_OK;
}

/* Given ones win. Without a pipeline, zeros are what SDXL's would be. */
static weft_status set_text(const weft_config *c, const weft_pipeline *p,
                            weft_config_text *to)
{
    if (!p || has_encoders(&c->text)) {
        WEFT_TRY(copy_given(&c->text, to));
    } else {
        WEFT_TRY(copy_parts(p, to));
        WEFT_TRY(replace_tokenizers(&c->text, to));
    }
    to->zeros = c->text.zeros >= 0 ? c->text.zeros
                : p                ? p->force_zeros_for_empty_prompt
                                   : to->encoder[0].path && to->encoder[1].path;
    return WEFT_OK;
}

/* ---- models -------------------------------------------------------------- */

static weft_status set_model(const weft_config *c, const weft_pipeline *all,
                             const weft_pipeline *own, weft_config_model *m)
{
    if (own) {
        if (!own->part[WEFT_PIPELINE_UNET].path)
            return weft_fail(WEFT_EINPUT, "%s: has no unet", own->path);
        WEFT_TRY(copy(own->part[WEFT_PIPELINE_UNET].path, &m->path));
        WEFT_TRY(copy(own->part[WEFT_PIPELINE_SCHEDULER].path, &m->schedule));
    }
    return m->components ? WEFT_OK : set_text(c, own ? own : all, &m->text);
}

weft_status weft_config_scheduler(weft_config *c)
{
    weft_json *json;
    weft_status st;

    if (c->sample.has_solver || !c->schedule) return WEFT_OK;
    if (weft_component_scheduler(c->schedule, &json) != WEFT_OK)
        return WEFT_OK; /* who reads the schedule says why */
    st = weft_noise_schedule_solver(json, c->sample.solver, &c->sample.solver);
    weft_json_free(json);
    return st;
}

/* Unless they are given, or known from another pipeline. */
static weft_status set_rest(const weft_pipeline *p, weft_config *c)
{
    if (!c->vae) WEFT_TRY(copy(p->part[WEFT_PIPELINE_VAE].path, &c->vae));
    if (c->schedule) return WEFT_OK;
    WEFT_TRY(copy(p->part[WEFT_PIPELINE_SCHEDULER].path, &c->schedule));
    return weft_config_scheduler(c);
}

/* Said once of each pipeline. */
static weft_status note_class(const weft_pipeline *p, weft_config *c)
{
    static const char text[] =
        "weft: %s: weft does not know the class %.80s, and draws with its "
        "components what diffusers' Stable Diffusion pipelines do\n";
    const size_t before = c->note ? strlen(c->note) : 0;
    const size_t room = before + strlen(p->path) + sizeof text + 80;
    char *note;

    if (!weft_pipeline_is_strange(p)) return WEFT_OK;
    note = malloc(room);
    if (!note) return weft_fail(WEFT_ENOMEM, "%s: out of memory", p->path);
    snprintf(note, room, "%s", c->note ? c->note : "");
    snprintf(note + before, room - before, text, p->path, p->class_name);
    if (before && strstr(c->note, note + before)) {
        free(note);
        return WEFT_OK;
    }
    free(c->note);
    c->note = note;
    return WEFT_OK;
}

/* The caller's; NULL: no path. */
static weft_status open_pipeline(const char *path, weft_config *c,
                                 weft_pipeline **p)
{
    if (!path) return WEFT_OK;
    WEFT_TRY(weft_pipeline_open(path, p));
    return note_class(*p, c);
}

static weft_status resolve_model(weft_config *c, const weft_pipeline *all,
                                 weft_config_model *m)
{
    weft_pipeline *own = NULL;
    weft_status st = open_pipeline(m->pipeline.path, c, &own);

    if (st == WEFT_OK) st = set_model(c, all, own, m);
    if (st == WEFT_OK && own) st = set_rest(own, c);
    weft_pipeline_free(own);
    return st;
}

/* Whose autoencoder and schedule are taken. */
static bool is_first(const weft_config *c, int i)
{
    return !strcmp(c->model[i].name, c->sample.model);
}

weft_status weft_config_resolve(weft_config *c)
{
    weft_pipeline *all = NULL;
    weft_status st = open_pipeline(c->pipeline.path, c, &all);

    if (st == WEFT_OK && all) st = set_rest(all, c);
    for (int i = 0; i < c->nmodels && st == WEFT_OK; i++)
        if (is_first(c, i)) st = resolve_model(c, all, &c->model[i]);
    for (int i = 0; i < c->nmodels && st == WEFT_OK; i++)
        if (!is_first(c, i)) st = resolve_model(c, all, &c->model[i]);
    weft_pipeline_free(all);
    return st == WEFT_EIO ? WEFT_EINPUT : st;
}
