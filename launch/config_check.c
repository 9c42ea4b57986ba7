#include "launch/config_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exchange.h"
#include "core/rng.h"
#include "core/solve/schedule.h"
#include "core/text/prompt_parse.h"
#include "launch/config.h"
#include "launch/config_schema.h"
#include "launch/suggest.h"
#include "mpi/exchange_bench.h"

enum { PATH_ROOM = 320, MOST_KEYS = 64 };

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- what the schema cannot say -------------------------------------------
 */

typedef struct choice {
    const char *path;
    const char *const *name; /* in the order of the enumeration */
    int n;
    const char *const *later; /* names of later versions, to NULL */
} choice;

static const char *const model_kinds[] = {"diffusers", "analytic"};
static const char *const guidance_schedules[] = {"constant", "linear"};
static const char *const exchanges[] = {"sync", "async"};
static const char *const truths[] = {"false", "true"};
static const char *const progresses[] = {"poll", "thread"};
static const char *const norms[] = {[WEFT_OLD_SHOWN] = "stale",
                                    [WEFT_OLD_PAIRED] = "corrected",
                                    [WEFT_OLD_REFUSED] = "fresh",
                                    [WEFT_OLD_ABSENT] = "local"};
static const char *const sharing[] = {"allow", "forbid"};
static const char *const kernels[] = {"auto", "reference", "lean", "fast"};
static const char *const benches[] = {"all",   "unet_eval", "vae_decode",
                                      "image", "step",      "layers"};
static const char *const links[] = {[WEFT_LINK_REAL] = "real",
                                    [WEFT_LINK_NONE] = "none",
                                    [WEFT_LINK_BLOCKING] = "blocking"};
static const char *const formats[] = {"tar", "folder"};
static const char *const duplicates[] = {"refuse", "allow"};
static const char *const syntaxes[] = {"plain", "weighted"};
static const char *const none[] = {NULL};

static const choice choices[] = {
    {"sample.method", weft_method_name, WEFT_METHODS, none},
    {"sample.guidance_schedule", guidance_schedules, COUNT(guidance_schedules),
     none},
    {"models.*.kind", model_kinds, COUNT(model_kinds), none},
    {"sample.solver", weft_solver_name, WEFT_SOLVERS, none},
    {"sample.rng", weft_rng_name, WEFT_RNGS, none},
    {"parallel.exchange", exchanges, COUNT(exchanges), none},
    {"parallel.norm", norms, COUNT(norms), none},
    {"parallel.progress", progresses, COUNT(progresses), none},
    {"parallel.sharing", sharing, COUNT(sharing), none},
    {"parallel.wire", weft_wire_name, WEFT_WIRES, none},
    {"sample.superdiff_quirk", truths, COUNT(truths), none},
    {"parallel.inexact", truths, COUNT(truths), none},
    {"run.kernels", kernels, COUNT(kernels), none},
    {"text.force_zeros_for_empty_prompt", truths, COUNT(truths), none},
    {"sample.prompt_syntax", syntaxes, COUNT(syntaxes), none},
    {"dataset.format", formats, COUNT(formats), none},
    {"dataset.images", truths, COUNT(truths), none},
    {"dataset.latents", truths, COUNT(truths), none},
    {"dataset.verify", truths, COUNT(truths), none},
    {"dataset.duplicates", duplicates, COUNT(duplicates), none},
    {"bench.what", benches, COUNT(benches), none},
    {"bench.link", links, COUNT(links), none},
};

/* Other usual names of the same thing. */
static const struct {
    const char *path, *alias, *name;
} aliases[] = {
    {"sample.solver", "euler_a", "euler_ancestral"},
};

typedef struct range {
    const char *path;
    double min, max;
} range;

static const range ranges[] = {
    {"weft", 1, 1},
    {"models.*.shape", 1, 65536},
    {"models.*.mixture.weight", 0, 1e6},
    {"models.*.mixture.mean", -1e6, 1e6},
    {"models.*.mixture.std", 0, 1e6},
    {"models.*.loras.scale", -1000, 1000},
    {"models.*.controls.scale", -1000, 1000},
    {"models.*.controls.start", 0, 1},
    {"models.*.controls.end", 0, 1},
    {"sample.steps", 1, 10000},
    {"sample.guidance", -1e6, 1e6},
    {"sample.eta", 0, 1},
    {"sample.width", 1, 65536},
    {"sample.height", 1, 65536},
    {"sample.label", 0, INT_MAX},
    {"sample.null_label", 0, INT_MAX},
    {"sample.guidance_end", -1e6, 1e6},
    {"sample.guidance_interval", 0, 1},
    {"sample.guidance_rescale", 0, 1},
    {"sample.lambda", 0, 10000},
    {"sample.guidance_strong", -1e6, 1e6},
    {"sample.guidance_weak", -1e6, 1e6},
    {"sample.inverse_offset", 0, 1},
    {"sample.gamma1", -1e6, 1e6},
    {"sample.gamma2", -1e6, 1e6},
    {"sample.rounds", 1, 1000},
    {"sample.autoguidance", -1e6, 1e6},
    {"sample.temperature", 0, 1e9},
    {"sample.bias", -1e6, 1e6},
    {"sample.lift", -1e6, 1e6},
    {"sample.labels", -1, INT_MAX},
    {"sample.null_labels", -1, INT_MAX},
    {"sample.clip_skip", 0, 1000},
    {"sample.original_size", 1, 65536},
    {"sample.crop_top_left", 0, 65536},
    {"sample.target_size", 1, 65536},
    {"sample.aesthetic_score", -1e6, 1e6},
    {"sample.negative_aesthetic_score", -1e6, 1e6},
    {"sample.strength", 0, 1},
    {"sample.refine_from", 0, 1},
    {"sample.nodes", 0, 1e6},
    {"sample.sigmas", 0, 1e6},
    {"parallel.weights", 0, 1e6},
    {"parallel.grain", 1, 65536},
    {"parallel.warmup", 1, 10000},
    {"parallel.lag", 1, 1000},
    {"parallel.refresh", 1, 10000},
    {"parallel.drift", 1e-9, 1e6},
    {"parallel.flights", 1, 8},
    {"parallel.roles.*.ranks", 0, 65536},
    {"run.threads", 0, 1024},
    {"run.batch", 1, 1024},
    {"run.memory", 0.001, 1e6},
    {"run.deadline", 0, 1e6},
    {"dataset.shard_size", 1, 1000000},
    {"bench.runs", 1, 10000},
};

static const struct {
    const char *path, *text;
} defaults[] = {
    {"sample.method", "plain"},
    {"sample.solver", "ddim"},
    {"sample.steps", "30"},
    {"sample.guidance", "1"},
    {"sample.label", "-1"},
    {"sample.null_label", "-1"},
    {"sample.guidance_schedule", "constant"},
    {"sample.guidance_end", "1"},
    {"sample.guidance_rescale", "0"},
    {"sample.guidance_strong", "1"},
    {"sample.guidance_weak", "1"},
    {"sample.inverse_offset", "0"},
    {"sample.gamma2", "0"},
    {"sample.rounds", "1"},
    {"sample.autoguidance", "1"},
    {"sample.temperature", "1"},
    {"sample.lift", "0"},
    {"sample.superdiff_quirk", "false"},
    {"sample.prompt_syntax", "plain"},
    {"sample.clip_skip", "0"},
    {"sample.aesthetic_score", "6"},
    {"sample.negative_aesthetic_score", "2.5"},
    {"sample.rng", "counter"},
    {"sample.strength", "0.8"},
    {"sample.refine_from", "0.8"},
    {"parallel.exchange", "sync"},
    {"parallel.wire", "f32"},
    {"parallel.inexact", "false"},
    {"parallel.sharing", "allow"},
    {"run.kernels", "auto"},
    {"run.deadline", "120"},
    {"run.checkpoint", "0"},
    {"dataset.shard_size", "1000"},
    {"dataset.format", "tar"},
    {"dataset.images", "true"},
    {"dataset.latents", "false"},
    {"dataset.duplicates", "refuse"},
    {"dataset.verify", "false"},
    {"bench.runs", "5"},
    {"bench.what", "all"},
    {"bench.link", "real"},
};

/* Whether a path is `pattern`, in which * stands for one name. */
static bool matches(const char *path, const char *pattern)
{
    while (*path != '\0' && *pattern != '\0') {
        if (*pattern == '*') {
            path += strcspn(path, ".");
            pattern++;
        } else if (*path++ != *pattern++) {
            return false;
        }
    }
    return *path == *pattern;
}

static const choice *find_choice(const char *path)
{
    for (int i = 0; i < COUNT(choices); i++)
        if (matches(path, choices[i].path)) return &choices[i];
    return NULL;
}

static const range *find_range(const char *path)
{
    for (int i = 0; i < COUNT(ranges); i++)
        if (matches(path, ranges[i].path)) return &ranges[i];
    return NULL;
}

/* Which of a choice's names a word is, or -1. */
static int index_of(const choice *c, const char *word)
{
    for (int i = 0; i < COUNT(aliases); i++)
        if (strcmp(aliases[i].path, c->path) == 0 &&
            strcmp(aliases[i].alias, word) == 0)
            word = aliases[i].name;
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->name[i], word) == 0) return i;
    return -1;
}

int weft_config_choice(const char *path, const char *name)
{
    const choice *c = find_choice(path);
    const int i = c != NULL ? index_of(c, name) : -1;

    WEFT_MUST(i >= 0);
    return i;
}

/* ---- values ----------------------------------------------------------------
 */

static weft_status wrong_type(const weft_tree *t, const char *path,
                              const char *expected)
{
    if (t->kind == WEFT_TREE_LIST)
        return weft_place_fail(&t->place, "%s: expected %s, found a list", path,
                               expected);
    if (t->kind == WEFT_TREE_MAP)
        return weft_place_fail(&t->place, "%s: expected %s, found a mapping",
                               path, expected);
    return weft_place_fail(&t->place, "%s: expected %s, found \"%.80s\"%s",
                           path, expected, t->text,
                           t->quoted ? " in quotes" : "");
}

static weft_status out_of_range(const weft_tree *t, const char *path,
                                const char *min, const char *max)
{
    return weft_place_fail(&t->place,
                           "%s: %.80s is out of range, expected %s to %s", path,
                           t->text, min, max);
}

static weft_status check_range(const weft_tree *t, const char *path,
                               double value)
{
    const range *r = find_range(path);
    char min[32], max[32];

    if (r == NULL || (value >= r->min && value <= r->max)) return WEFT_OK;
    snprintf(min, sizeof min, "%.10g", r->min);
    snprintf(max, sizeof max, "%.10g", r->max);
    return out_of_range(t, path, min, max);
}

static weft_status check_whole(const weft_tree *t, const char *path,
                               const char *expected)
{
    if (t->kind != WEFT_TREE_TEXT || t->quoted || !weft_text_whole(t->text))
        return wrong_type(t, path, expected);
    return check_range(t, path, strtod(t->text, NULL));
}

static weft_status check_unsigned(const weft_tree *t, const char *path)
{
    if (t->kind != WEFT_TREE_TEXT || t->quoted || !weft_text_whole(t->text))
        return wrong_type(t, path, "a whole number");
    errno = 0;
    strtoull(t->text, NULL, 10);
    if (errno == 0 && t->text[0] != '-') return WEFT_OK;
    return out_of_range(t, path, "0", "18446744073709551615");
}

static weft_status check_number(const weft_tree *t, const char *path)
{
    double value;

    if (t->kind != WEFT_TREE_TEXT || t->quoted ||
        !weft_text_number(t->text, &value))
        return wrong_type(t, path, "a number");
    return check_range(t, path, value);
}

static weft_status check_choice(const weft_tree *t, const choice *c)
{
    const char *what = strrchr(c->path, '.') + 1;
    char hint[256];

    if (index_of(c, t->text) >= 0) return WEFT_OK;
    for (const char *const *later = c->later; *later != NULL; later++)
        if (strcmp(*later, t->text) == 0)
            return weft_place_fail(&t->place,
                                   "%s \"%s\" is not supported by this version",
                                   what, t->text);
    return weft_place_fail(
        &t->place, "unknown %s \"%.80s\"%s", what, t->text,
        weft_suggest_text(t->text, c->name, c->n, hint, sizeof hint));
}

static weft_status check_text(const weft_tree *t,
                              const cyaml_schema_value_t *schema,
                              const char *path)
{
    const choice *c = find_choice(path);

    if (t->kind != WEFT_TREE_TEXT) return wrong_type(t, path, "text");
    if (strlen(t->text) < schema->string.min)
        return weft_place_fail(&t->place, "%s: the text is empty", path);
    if (strlen(t->text) > schema->string.max)
        return weft_place_fail(&t->place, "%s: longer than %u bytes", path,
                               schema->string.max);
    if (weft_text_breaks(t->text) && schema->string.max != WEFT_MOST_PROMPT)
        return weft_place_fail(&t->place, "text contains a control character");
    return c != NULL ? check_choice(t, c) : WEFT_OK;
}

static weft_status check_auto(const weft_tree *t, const char *path)
{
    if (t->kind == WEFT_TREE_TEXT && strcmp(t->text, "auto") == 0)
        return WEFT_OK;
    return check_whole(t, path, "a whole number or auto");
}

/* ---- mappings and lists ----------------------------------------------------
 */

static weft_status check_value(const weft_tree *t,
                               const cyaml_schema_value_t *schema,
                               const char *path);

static void join(char *out, const char *path, const char *key)
{
    snprintf(out, PATH_ROOM, "%s%s%.64s", path, path[0] != '\0' ? "." : "",
             key);
}

/* Keys that weft writes and users do not type. */
static bool is_internal(const char *key)
{
    return strcmp(key, "weft") == 0 || strcmp(key, "name") == 0 ||
           strcmp(key, "inline") == 0 || strcmp(key, "measured") == 0;
}

static weft_status unknown_key(const weft_tree *t,
                               const cyaml_schema_field_t *field,
                               const char *map)
{
    const char *known[MOST_KEYS];
    char hint[256];
    int n = 0;

    for (; field->key != NULL && n < MOST_KEYS; field++)
        if (!is_internal(field->key)) known[n++] = field->key;
    return weft_place_fail(
        &t->key_place, "unknown key \"%.80s\"%s%s%s", t->key,
        map[0] != '\0' ? " in " : "", map,
        weft_suggest_text(t->key, known, n, hint, sizeof hint));
}

const cyaml_schema_field_t *
weft_config_field(const cyaml_schema_field_t *fields, const char *key)
{
    while (fields->key != NULL && strcmp(fields->key, key) != 0) fields++;
    return fields->key != NULL ? fields : NULL;
}

/* A section is missing from the file, a key from a line's section. */
static weft_status check_missing(const weft_tree *t,
                                 const cyaml_schema_field_t *field,
                                 const char *path)
{
    weft_place at = t->key_place;
    char inner[PATH_ROOM];

    if (path[0] == '\0') at.line = 0;
    for (; field->key != NULL; field++) {
        if (field->value.flags & CYAML_FLAG_OPTIONAL) continue;
        if (weft_tree_get(t, field->key) != NULL) continue;
        join(inner, path, field->key);
        return weft_place_fail(&at, "%s is missing", inner);
    }
    return WEFT_OK;
}

static weft_status check_map(const weft_tree *t,
                             const cyaml_schema_value_t *schema,
                             const char *path)
{
    const cyaml_schema_field_t *fields = schema->mapping.fields;
    char inner[PATH_ROOM], expected[64];

    if (t->kind != WEFT_TREE_MAP) {
        snprintf(expected, sizeof expected, "a mapping such as { %s: ... }",
                 fields[0].key);
        return wrong_type(t, path, expected);
    }
    for (const weft_tree *c = t->first; c != NULL; c = c->next) {
        const cyaml_schema_field_t *f = weft_config_field(fields, c->key);
        if (f == NULL) return unknown_key(c, fields, path);
        join(inner, path, c->key);
        WEFT_TRY(check_value(c, &f->value, inner));
    }
    return check_missing(t, fields, path);
}

/* An entry's path is that of the list, for ranges; or with the name that it
 * has kept from when the list was a mapping. */
static weft_status check_list(const weft_tree *t,
                              const cyaml_schema_value_t *schema,
                              const char *path)
{
    const int n = weft_tree_count(t);
    char inner[PATH_ROOM];

    if (t->kind != WEFT_TREE_LIST) return wrong_type(t, path, "a list");
    if ((unsigned)n < schema->sequence.min ||
        (unsigned)n > schema->sequence.max)
        return weft_place_fail(&t->place, "%s: %d entries, expected %u to %u",
                               path, n, schema->sequence.min,
                               schema->sequence.max);
    for (const weft_tree *c = t->first; c != NULL; c = c->next) {
        if (c->key != NULL)
            join(inner, path, c->key);
        else
            snprintf(inner, sizeof inner, "%s", path);
        WEFT_TRY(check_value(c, schema->sequence.entry, inner));
    }
    return WEFT_OK;
}

static weft_status check_value(const weft_tree *t,
                               const cyaml_schema_value_t *schema,
                               const char *path)
{
    switch (schema->type) {
    case CYAML_MAPPING:
        return check_map(t, schema, path);
    case CYAML_SEQUENCE:
        return check_list(t, schema, path);
    case CYAML_STRING:
        return check_text(t, schema, path);
    case CYAML_INT:
        return check_whole(t, path, "a whole number");
    case CYAML_UINT:
        return check_unsigned(t, path);
    case CYAML_FLOAT:
        return check_number(t, path);
    case CYAML_ENUM:
        return check_auto(t, path);
    default:
        WEFT_BUG("a type that the schema does not use");
    }
}

weft_status weft_config_check(const weft_tree *root)
{
    return check_value(root, &weft_raw_schema, "");
}

weft_status weft_config_defaults(weft_tree *root)
{
    const weft_place nowhere = {root->place.file, NULL, 0};

    for (int i = 0; i < COUNT(defaults); i++) {
        if (weft_tree_find(root, defaults[i].path) != NULL) continue;
        WEFT_TRY(weft_tree_put_at(
            root, defaults[i].path,
            weft_tree_text(defaults[i].text, false, &nowhere)));
    }
    return WEFT_OK;
}
