/* config_shape.c - what has several forms: mappings that hold names of the
 * user's choice, and a list that may be a word. */
#include "launch/config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_roles.h"
#include "launch/suggest.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Names stand in paths such as models.NAME.path and, beside those of roles, in
 * NAME.cond. */
static weft_status check_name(const weft_tree *t)
{
    static const char *const taken[] = {"cond", "uncond", "vae", "text"};

    if (strlen(t->key) > 64 ||
        strspn(t->key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                       "0123456789_-") != strlen(t->key))
        return weft_place_fail(&t->key_place,
                               "model name \"%.80s\": expected at most 64 "
                               "letters, digits, _ and -",
                               t->key);
    for (int i = 0; i < COUNT(taken); i++)
        if (strcmp(t->key, taken[i]) == 0)
            return weft_place_fail(
                &t->key_place, "model name \"%s\" is that of a role", t->key);
    return WEFT_OK;
}

static weft_status shape_model(weft_tree *model)
{
    const weft_tree *given = weft_tree_get(model, "name");

    WEFT_TRY(check_name(model));
    if (given != NULL)
        return weft_place_fail(&given->key_place,
                               "unknown key \"name\" in models.%s; its name "
                               "is its key",
                               model->key);
    if (model->kind != WEFT_TREE_MAP) return WEFT_OK; /* check says so */
    return weft_tree_put(model, "name",
                         weft_tree_text(model->key, true, &model->key_place));
}

static weft_status shape_models(weft_tree *root)
{
    weft_tree *models = weft_tree_get(root, "models");

    if (models == NULL) return WEFT_OK; /* check says so */
    if (models->kind != WEFT_TREE_MAP)
        return weft_place_fail(&models->place,
                               "models: expected a mapping of names, such as "
                               "strong: { path: FOLDER }");
    for (weft_tree *m = models->first; m != NULL; m = m->next)
        WEFT_TRY(shape_model(m));
    models->kind = WEFT_TREE_LIST;
    return WEFT_OK;
}

/* What scheduler_config.json may hold, so that a slip is found with its line.
 * Which of them mean something is for the schedule to say. */
static weft_status check_schedule_key(const weft_tree *t)
{
    enum { MOST = 64 };
    const char *known[MOST] = {"path", "exact3"};
    char hint[256];
    int n = 2;

    for (int i = 0; weft_noise_schedule_keys[i]; i++) {
        WEFT_MUST(n < MOST);
        known[n++] = weft_noise_schedule_keys[i];
    }
    for (int i = 0; i < n; i++)
        if (strcmp(t->key, known[i]) == 0) return WEFT_OK;
    return weft_place_fail(
        &t->key_place, "unknown key \"%.80s\" in schedule%s", t->key,
        weft_suggest_text(t->key, known, n, hint, sizeof hint));
}

/* Numbers as short as they can be and still be the same: 0.012, not
 * 0.012000000000000000. */
static char *json_text(const json_t *json)
{
    for (int precision = 15;; precision++) {
        char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER |
                                          JSON_REAL_PRECISION(precision));
        if (text == NULL || precision == 17) return text;
        json_t *again = json_loads(text, 0, NULL);
        const bool same = json_equal(again, json) != 0;
        json_decref(again);
        if (same) return text;
        free(text);
    }
}

/* Take every child but `path` out of the schedule. */
static weft_tree *take_rest(weft_tree *schedule)
{
    weft_tree *rest = weft_tree_new(WEFT_TREE_MAP, &schedule->place);
    weft_tree **from = &schedule->first, **to;

    if (rest == NULL) return NULL;
    to = &rest->first;
    while (*from != NULL) {
        weft_tree *child = *from;
        if (strcmp(child->key, "path") == 0) {
            from = &child->next;
            continue;
        }
        *from = child->next;
        *to = child;
        child->next = NULL;
        to = &child->next;
    }
    return rest;
}

static weft_status shape_schedule(weft_tree *root)
{
    weft_tree *schedule = weft_tree_get(root, "schedule");
    weft_tree *rest, *inlined = NULL;
    json_t *json = NULL;
    char *text = NULL;

    if (schedule == NULL || schedule->kind != WEFT_TREE_MAP) return WEFT_OK;
    for (const weft_tree *c = schedule->first; c != NULL; c = c->next)
        WEFT_TRY(check_schedule_key(c));
    rest = take_rest(schedule);
    if (rest != NULL && rest->first == NULL) {
        weft_tree_free(rest);
        return WEFT_OK;
    }
    if (rest != NULL) json = weft_tree_json(rest);
    if (json != NULL) text = json_text(json);
    if (text != NULL) inlined = weft_tree_text(text, true, &schedule->place);
    weft_tree_free(rest);
    json_decref(json);
    free(text);
    return weft_tree_put(schedule, "inline", inlined);
}

/* `weights: auto` is a key of its own, so that weights are always a list. */
static weft_status shape_weights(weft_tree *root)
{
    weft_tree *parallel = weft_tree_get(root, "parallel");
    const weft_tree *given, *weights;
    weft_place at;

    if (parallel == NULL || parallel->kind != WEFT_TREE_MAP) return WEFT_OK;
    given = weft_tree_get(parallel, "measured");
    if (given != NULL)
        return weft_place_fail(&given->key_place,
                               "unknown key \"measured\" in parallel, did you "
                               "mean \"weights\"?");
    weights = weft_tree_get(parallel, "weights");
    if (weights == NULL || weights->kind != WEFT_TREE_TEXT) return WEFT_OK;
    at = weights->place;
    if (strcmp(weights->text, "auto") != 0)
        return weft_place_fail(&at,
                               "parallel.weights: expected auto or a list of "
                               "numbers such as [3, 1], found \"%.80s\"",
                               weights->text);
    weft_tree_remove(parallel, "weights");
    return weft_tree_put(parallel, "measured", weft_tree_text("1", false, &at));
}

weft_status weft_config_shape(weft_tree *root)
{
    WEFT_TRY(weft_config_shape_pipeline(root));
    WEFT_TRY(shape_models(root));
    WEFT_TRY(weft_config_shape_by_model(root));
    WEFT_TRY(weft_config_shape_prompts(root));
    WEFT_TRY(weft_config_shape_roles(root));
    WEFT_TRY(shape_weights(root));
    return shape_schedule(root);
}
