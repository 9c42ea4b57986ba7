#include "launch/config_method.h"

#include <stdlib.h>
#include <string.h>

#include "core/solve/superpose.h"
#include "launch/config_check.h"
#include "launch/suggest.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

const char *const weft_method_name[WEFT_METHODS] = {
    [WEFT_PLAIN] = "plain",
    [WEFT_W2SD] = "w2sd",
    [WEFT_ZSAMPLING] = "zsampling",
    [WEFT_RESAMPLING] = "resampling",
    [WEFT_AUTOGUIDANCE] = "autoguidance",
    [WEFT_SUPERDIFF_OR] = "superdiff_or",
    [WEFT_SUPERDIFF_AND] = "superdiff_and",
    [WEFT_AVERAGE] = "average"};

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- shape --------------------------------------------------------------- */

weft_status weft_config_check_model_name(const weft_tree *t,
                                         const weft_tree *models,
                                         const char *path)
{
    const char *name[64];
    char hint[256];
    int n = 0;

    for (const weft_tree *m = models->first; m; m = m->next) {
        if (!strcmp(m->key, t->key)) return WEFT_OK;
        if (n < COUNT(name)) name[n++] = m->key;
    }
    return weft_place_fail(
        &t->key_place, "unknown model \"%.80s\" in %s%s", t->key, path,
        weft_suggest_text(t->key, name, n, hint, sizeof hint));
}

/* The value of one model, as an entry of the list. */
static weft_tree *entry_of(const weft_tree *map, const char *model,
                           const char *missing)
{
    const weft_tree *t = weft_tree_get(map, model);

    if (!t) return weft_tree_text(missing, false, &map->place);
    if (t->kind != WEFT_TREE_TEXT) return weft_tree_new(t->kind, &t->place);
    return weft_tree_text(t->text, t->quoted, &t->place);
}

/* {B: 2} becomes [missing, 2], in the order of the models. */
static weft_status shape_numbers(weft_tree *root, const char *path,
                                 const char *missing)
{
    const weft_tree *models = weft_tree_get(root, "models");
    weft_tree *map = weft_tree_find(root, path), *list, **to;

    if (!map || !models) return WEFT_OK;
    if (map->kind != WEFT_TREE_MAP)
        return weft_place_fail(&map->place,
                               "%s: expected numbers by model, such as "
                               "{ strong: 3, weak: 4 }",
                               path);
    for (const weft_tree *t = map->first; t; t = t->next) {
        WEFT_TRY(weft_config_check_model_name(t, models, path));
        if (*missing == '-' && t->kind == WEFT_TREE_TEXT && *t->text == '-')
            return weft_place_fail(&t->place,
                                   "%s.%s: %.80s is out of range, expected 0 "
                                   "or more",
                                   path, t->key, t->text);
    }
    list = weft_tree_new(WEFT_TREE_LIST, &map->place);
    if (!list) return no_memory();
    to = &list->first;
    for (const weft_tree *m = models->first; m; m = m->next) {
        *to = entry_of(map, m->key, missing);
        if (!*to) {
            weft_tree_free(list);
            return no_memory();
        }
        to = &(*to)->next;
    }
    return weft_tree_put_at(root, path, list);
}

/* mean: 2 becomes mean: [2]. */
static weft_status shape_mean(weft_tree *component)
{
    const weft_tree *mean = weft_tree_get(component, "mean");
    weft_tree *list;

    if (component->kind != WEFT_TREE_MAP || !mean ||
        mean->kind != WEFT_TREE_TEXT)
        return WEFT_OK; /* check says so */
    list = weft_tree_new(WEFT_TREE_LIST, &mean->place);
    if (!list) return no_memory();
    list->first = weft_tree_text(mean->text, mean->quoted, &mean->place);
    if (!list->first) {
        weft_tree_free(list);
        return no_memory();
    }
    return weft_tree_put(component, "mean", list);
}

static weft_status shape_mixtures(weft_tree *root)
{
    weft_tree *models = weft_tree_get(root, "models");

    for (weft_tree *m = models ? models->first : NULL; m; m = m->next) {
        weft_tree *mixture =
            m->kind == WEFT_TREE_MAP ? weft_tree_get(m, "mixture") : NULL;

        if (!mixture || mixture->kind != WEFT_TREE_LIST) continue;
        for (weft_tree *k = mixture->first; k; k = k->next)
            WEFT_TRY(shape_mean(k));
    }
    return WEFT_OK;
}

weft_status weft_config_shape_by_model(weft_tree *root)
{
    const weft_tree *sample = weft_tree_get(root, "sample");

    WEFT_TRY(shape_mixtures(root));
    if (!sample || sample->kind != WEFT_TREE_MAP) return WEFT_OK;
    WEFT_TRY(shape_numbers(root, "sample.bias", "0"));
    WEFT_TRY(shape_numbers(root, "sample.labels", "-1"));
    return shape_numbers(root, "sample.null_labels", "-1");
}

/* ---- models -------------------------------------------------------------- */

/* What an analytic model needs, and a net does not. */
static weft_status check_kind(const weft_tree *m, bool analytic)
{
    static const char *const its[] = {"shape", "mixture"};
    const weft_tree *path = weft_tree_get(m, "path");
    const weft_tree *pipeline = weft_tree_get(m, "pipeline");

    for (int i = 0; i < COUNT(its); i++) {
        const weft_tree *t = weft_tree_get(m, its[i]);

        if (t && !analytic)
            return weft_place_fail(&t->key_place,
                                   "models.%s.%s is for kind: analytic", m->key,
                                   its[i]);
        if (!t && analytic)
            return weft_place_fail(&m->key_place, "models.%s.%s is missing",
                                   m->key, its[i]);
    }
    if (path && pipeline)
        return weft_place_fail(&path->key_place,
                               "models.%s.path and models.%s.pipeline are both "
                               "given",
                               m->key, m->key);
    if (pipeline) path = pipeline;
    if (!path && analytic) path = weft_tree_get(m, "loras");
    if (!path && analytic) path = weft_tree_get(m, "controls");
    if (path && analytic)
        return weft_place_fail(&path->key_place,
                               "models.%s.%s: an analytic model has no files",
                               m->key, path->key);
    if (!path && !analytic)
        return weft_place_fail(&m->key_place, "models.%s.path is missing",
                               m->key);
    return WEFT_OK;
}

static weft_status take_component(const weft_tree *t,
                                  const weft_raw_component *raw,
                                  const weft_config_model *m,
                                  weft_component *to)
{
    const int channels = m->shape[0];

    if (!(raw->weight > 0 && raw->std > 0))
        return weft_place_fail(&t->place,
                               "models.%s.mixture: weight and std are above 0",
                               m->name);
    if (raw->nmean != 1 && raw->nmean != channels)
        return weft_place_fail(&t->place,
                               "models.%s.mixture: %d means for %d channels",
                               m->name, raw->nmean, channels);
    to->weight = raw->weight;
    to->std = raw->std;
    for (int c = 0; c < channels; c++)
        to->mean[c] = raw->mean[raw->nmean > 1 ? c : 0];
    return WEFT_OK;
}

weft_status weft_config_take_model(const weft_tree *m,
                                   const weft_raw_model *raw, weft_config *c,
                                   int i)
{
    weft_config_model *to = &c->model[i];
    const weft_tree *t;
    const bool analytic =
        raw->kind && weft_config_choice("models.*.kind", raw->kind) == 1;

    WEFT_TRY(check_kind(m, analytic));
    if (!analytic) return WEFT_OK;
    t = weft_tree_get(m, "shape");
    memcpy(to->shape, raw->shape, sizeof to->shape);
    if (to->shape[0] > WEFT_ANALYTIC_CHANNELS)
        return weft_place_fail(&t->place,
                               "models.%s.shape: %d channels, %d at most",
                               to->name, to->shape[0], WEFT_ANALYTIC_CHANNELS);
    to->component = calloc((size_t)raw->nmixture, sizeof *to->component);
    if (!to->component) return no_memory();
    to->components = raw->nmixture;
    t = weft_tree_get(m, "mixture")->first;
    for (int k = 0; k < raw->nmixture; k++, t = t->next)
        WEFT_TRY(take_component(t, &raw->mixture[k], to, &to->component[k]));
    return WEFT_OK;
}

/* ---- methods ------------------------------------------------------------- */

static weft_place place_of(const weft_tree *root, const char *path)
{
    const weft_tree *t = weft_tree_find(root, path);

    return t ? t->place : weft_tree_get(root, "sample")->place;
}

/* Did a user say so, or is it a default? */
static bool given(const weft_tree *root, const char *path)
{
    const weft_tree *t = weft_tree_find(root, path);

    return t && (t->place.line || t->place.override);
}

static bool has_model(const weft_config *c, const char *name)
{
    for (int i = 0; i < c->nmodels; i++)
        if (!strcmp(c->model[i].name, name)) return true;
    return false;
}

static weft_status set_model(weft_config *c, const char *name)
{
    c->sample.model = strdup(name);
    return c->sample.model ? WEFT_OK : no_memory();
}

static weft_status check_known(const weft_config *c, const weft_place *at,
                               const char *key, const char *wanted)
{
    const char *name[64];
    char hint[256];
    int n = 0;

    if (has_model(c, wanted)) return WEFT_OK;
    for (; n < c->nmodels && n < COUNT(name); n++) name[n] = c->model[n].name;
    return weft_place_fail(
        at, "unknown model \"%.80s\" in %s%s", wanted, key,
        weft_suggest_text(wanted, name, n, hint, sizeof hint));
}

/* The only model but the refiner; NULL: there are several. */
static const char *only_model(const weft_config *c)
{
    const char *only = NULL;

    for (int i = 0; i < c->nmodels; i++) {
        const char *name = c->model[i].name;

        if (c->sample.refiner && !strcmp(name, c->sample.refiner)) continue;
        if (only) return NULL;
        only = name;
    }
    return only;
}

/* The model of a method that takes one: the one that is named, or the only
 * one; where weaker ones may stand beside it, the one called strong. */
static weft_status take_one(const weft_tree *root, const char *wanted,
                            weft_config *c)
{
    const weft_place at = place_of(root, "sample.model");

    if (wanted) {
        WEFT_TRY(check_known(c, &at, "sample.model", wanted));
        return set_model(c, wanted);
    }
    if (c->nmodels == 1) return set_model(c, c->model[0].name);
    if (only_model(c)) return set_model(c, only_model(c));
    if (c->sample.method != WEFT_PLAIN && has_model(c, "strong"))
        return set_model(c, "strong");
    return weft_place_fail(&at, "sample.model is missing: there are %d models",
                           c->nmodels);
}

static weft_status take_pair(const weft_tree *root, weft_config *c)
{
    static const char *const names[] = {"strong", "weak"};
    const weft_place at = place_of(root, "sample.method");

    for (int i = 0; i < COUNT(names); i++)
        if (!has_model(c, names[i]))
            return weft_place_fail(&at,
                                   "method \"%s\" takes two models called "
                                   "strong and weak: models.%s is missing",
                                   weft_method_name[c->sample.method],
                                   names[i]);
    return set_model(c, "strong");
}

static weft_status take_all(const weft_tree *root, weft_config *c)
{
    const weft_place at = place_of(root, "sample.method");

    if (c->nmodels < 2)
        return weft_place_fail(&at,
                               "method \"%s\" superposes two models or more, "
                               "and there is one",
                               weft_method_name[c->sample.method]);
    if (c->nmodels > WEFT_SUPERPOSED)
        return weft_place_fail(
            &at, "method \"%s\" superposes at most %d models, not %d",
            weft_method_name[c->sample.method], WEFT_SUPERPOSED, c->nmodels);
    return set_model(c, c->model[0].name);
}

static weft_status take_models(const weft_tree *root, const char *wanted,
                               weft_config *c)
{
    switch (c->sample.method) {
    case WEFT_W2SD:
    case WEFT_AUTOGUIDANCE:
        return take_pair(root, c);
    case WEFT_SUPERDIFF_OR:
    case WEFT_SUPERDIFF_AND:
    case WEFT_AVERAGE:
        return take_all(root, c);
    default:
        return take_one(root, wanted, c);
    }
}

/* Who goes on where sample.model leaves off; before that is looked for. */
static weft_status take_refiner(const weft_tree *root, weft_raw_sample *raw,
                                weft_config *c)
{
    const weft_place at = place_of(root, "sample.refiner");
    const weft_place from = place_of(root, "sample.refine_from");

    c->sample.refine_from = raw->refine_from;
    if (!raw->refiner && given(root, "sample.refine_from"))
        return weft_place_fail(&from, "sample.refine_from needs "
                                      "sample.refiner");
    if (!raw->refiner) return WEFT_OK;
    WEFT_TRY(check_known(c, &at, "sample.refiner", raw->refiner));
    if (c->sample.method != WEFT_PLAIN)
        return weft_place_fail(&at,
                               "sample.refiner goes on after method plain, not "
                               "after %s",
                               weft_method_name[c->sample.method]);
    c->sample.refiner = raw->refiner;
    raw->refiner = NULL;
    return WEFT_OK;
}

static weft_status check_refiner(const weft_tree *root, const weft_config *c)
{
    const weft_place at = place_of(root, "sample.refiner");

    if (!c->sample.refiner || strcmp(c->sample.refiner, c->sample.model))
        return WEFT_OK;
    return weft_place_fail(&at, "sample.refiner and sample.model are both %s",
                           c->sample.model);
}

/* ---- numbers ------------------------------------------------------------- */

static weft_status take_over(const weft_tree *root, const weft_raw_sample *raw,
                             weft_config_guidance *to)
{
    const weft_place at = place_of(root, "sample.guidance_interval");

    to->linear = weft_config_choice("sample.guidance_schedule",
                                    raw->guidance_schedule) == 1;
    to->end = raw->guidance_end;
    to->rescale = raw->guidance_rescale;
    to->limited = raw->guidance_interval != NULL;
    if (!to->limited) return WEFT_OK;
    to->start = raw->guidance_interval[0];
    to->stop = raw->guidance_interval[1];
    if (to->start < to->stop) return WEFT_OK;
    return weft_place_fail(&at,
                           "sample.guidance_interval: [%g, %g] is empty: "
                           "expected two ascending parts of the steps",
                           to->start, to->stop);
}

bool weft_method_reflects(weft_method_kind method)
{
    return method == WEFT_W2SD || method == WEFT_ZSAMPLING ||
           method == WEFT_RESAMPLING;
}

static weft_status check_lambda(const weft_tree *root, const weft_config *c)
{
    const weft_config_method *how = &c->sample.how;
    const weft_place at = place_of(root, "sample.lambda");

    if (!weft_method_reflects(c->sample.method)) return WEFT_OK;
    if (how->lambda > c->sample.steps)
        return weft_place_fail(&at, "sample.lambda: %d is beyond the %d steps",
                               how->lambda, c->sample.steps);
    if (how->inverse_offset && how->lambda == c->sample.steps &&
        c->sample.method != WEFT_RESAMPLING)
        return weft_place_fail(&at,
                               "sample.inverse_offset: 1 needs sample.lambda "
                               "below the %d steps",
                               c->sample.steps);
    return WEFT_OK;
}

/* OR and AND follow the reverse diffusion, which in DDIM is eta 1. */
static weft_status take_eta(const weft_tree *root, weft_config *c)
{
    const weft_place at = place_of(root, "sample.eta");
    const bool diffuses = c->sample.method == WEFT_SUPERDIFF_OR ||
                          c->sample.method == WEFT_SUPERDIFF_AND;

    if (!diffuses || c->sample.solver != WEFT_DDIM) return WEFT_OK;
    if (given(root, "sample.eta") && c->sample.eta != 1)
        return weft_place_fail(&at,
                               "sample.eta: method \"%s\" follows the reverse "
                               "diffusion, which is eta 1, not %g",
                               weft_method_name[c->sample.method],
                               c->sample.eta);
    c->sample.eta = 1;
    return WEFT_OK;
}

static void take_how(const weft_tree *root, weft_raw_sample *raw,
                     weft_config *c)
{
    weft_config_method *how = &c->sample.how;

    *how = (weft_config_method){
        .lambda =
            given(root, "sample.lambda") ? raw->lambda : c->sample.steps - 1,
        .rounds = raw->rounds,
        .inverse_offset = raw->inverse_offset,
        .guidance_strong = raw->guidance_strong,
        .guidance_weak = raw->guidance_weak,
        .gamma1 = given(root, "sample.gamma1")     ? raw->gamma1
                  : given(root, "sample.guidance") ? raw->guidance
                                                   : 5.5,
        .gamma2 = raw->gamma2,
        .autoguidance = raw->autoguidance,
        .temperature = raw->temperature,
        .lift = raw->lift,
        .quirk = weft_config_choice("sample.superdiff_quirk",
                                    raw->superdiff_quirk) == 1,
        .bias = raw->bias,
    };
    raw->bias = NULL;
}

weft_status weft_config_take_method(const weft_tree *root, weft_raw_sample *raw,
                                    weft_config *c)
{
    c->sample.method =
        (weft_method_kind)weft_config_choice("sample.method", raw->method);
    for (int i = 0; i < c->nmodels; i++) {
        c->model[i].label = raw->labels ? raw->labels[i] : -1;
        c->model[i].null_label = raw->null_labels ? raw->null_labels[i] : -1;
    }
    take_how(root, raw, c);
    WEFT_TRY(take_refiner(root, raw, c));
    WEFT_TRY(take_models(root, raw->model, c));
    WEFT_TRY(check_refiner(root, c));
    WEFT_TRY(take_over(root, raw, &c->sample.over));
    WEFT_TRY(take_eta(root, c));
    return check_lambda(root, c);
}
