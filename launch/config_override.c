/* config_override.c - KEY=VALUE, put into a config. */
#include "launch/config_check.h"

#include <stdio.h>
#include <string.h>

#include "launch/config_schema.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Whether the schema wants text at a path as users type it. */
static bool wants_text(const char *path)
{
    const cyaml_schema_value_t *at = &weft_raw_schema;

    while (*path != '\0') {
        const size_t n = strcspn(path, ".");
        if (at->type == CYAML_SEQUENCE) {
            at = at->sequence.entry; /* whatever its name */
        } else if (at->type == CYAML_MAPPING && n < 64) {
            char key[64];
            snprintf(key, sizeof key, "%.*s", (int)n, path);
            const cyaml_schema_field_t *f =
                weft_config_field(at->mapping.fields, key);
            if (f == NULL) return false;
            at = &f->value;
        } else {
            return false;
        }
        path += n + (path[n] == '.');
    }
    return at->type == CYAML_STRING;
}

static weft_status check_key(const char *override, const char *key)
{
    const weft_place at = {"", override, 0};
    int depth = 1;

    for (const char *c = key; *c != '\0'; c++) depth += *c == '.';
    if (key[0] == '\0' || key[0] == '.' || key[strlen(key) - 1] == '.' ||
        strstr(key, "..") != NULL || depth >= WEFT_TREE_DEPTH)
        return weft_place_fail(&at, "expected KEY=VALUE with a KEY such as "
                                    "sample.steps");
    return WEFT_OK;
}

/* What an override at a path makes void. */
static void remove_rivals(weft_tree *root, const char *path)
{
    static const struct {
        const char *path, *map, *key;
    } rivals[] = {
        {"sample.seed", "sample", "seeds"},
        {"sample.seeds", "sample", "seed"},
        {"sample.nodes", "sample", "sigmas"},
        {"sample.sigmas", "sample", "nodes"},
        {"sample.nodes", "sample", "steps"},
        {"sample.sigmas", "sample", "steps"},
        {"dataset.manifest", "dataset", "items"},
        {"dataset.items", "dataset", "manifest"},
        {"dataset.items.labels", "dataset", "manifest"},
        {"dataset.items.seeds", "dataset", "manifest"},
    };

    for (int i = 0; i < COUNT(rivals); i++) {
        weft_tree *map = weft_tree_get(root, rivals[i].map);

        if (strcmp(path, rivals[i].path) == 0 && map != NULL &&
            map->kind == WEFT_TREE_MAP)
            weft_tree_remove(map, rivals[i].key);
    }
}

/* Not what only begins with a quote. */
static bool is_quoted(const char *value)
{
    const size_t n = strlen(value);

    return n > 1 && (*value == '"' || *value == '\'') && value[n - 1] == *value;
}

/* Texts stand as they are typed, but those that are in quotes as a whole. */
static weft_status parse_text(const char *file, const char *override,
                              const char *value, weft_tree **tree)
{
    weft_status st;

    if (!is_quoted(value))
        return weft_tree_parse_literal(file, override, value, tree);
    st = weft_tree_parse(file, override, value, strlen(value), tree);
    if (st != WEFT_EINPUT) return st;
    return weft_fail_within(st,
                            "a text between quotes is read as YAML's (within "
                            "\"\", \\\" is a quote; within '', '' is one)");
}

weft_status weft_config_override(weft_tree *root, const char *file,
                                 const char *override)
{
    const char *equals = strchr(override, '=');
    const size_t n = equals != NULL ? (size_t)(equals - override) : 0;
    const weft_place at = {file, override, 0};
    weft_tree *value = NULL;
    char key[256];

    if (n >= sizeof key) return weft_place_fail(&at, "the key is too long");
    snprintf(key, sizeof key, "%.*s", (int)n, override);
    WEFT_TRY(check_key(override, key));
    if (wants_text(key))
        WEFT_TRY(parse_text(file, override, equals + 1, &value));
    else
        WEFT_TRY(weft_tree_parse(file, override, equals + 1, strlen(equals + 1),
                                 &value));
    remove_rivals(root, key);
    return weft_tree_put_at(root, key, value);
}
