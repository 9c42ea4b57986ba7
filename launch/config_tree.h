/*
 * config_tree.h - YAML as a small tree in which every node knows its place.
 *
 * Mappings keep their order; keys are plain text, unique within a mapping.
 * There are no nulls, anchors, aliases or tags, so a tree is a tree. Limits:
 * WEFT_TREE_DEPTH levels, WEFT_TREE_NODES nodes, WEFT_TREE_KEYS keys a
 * mapping. Text is UTF-8 without control characters; values may have line
 * breaks and tabs, which are for prompts alone (config_check.c). *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_TREE_H
#define WEFT_LAUNCH_CONFIG_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

enum {
    WEFT_TREE_DEPTH = 32,
    WEFT_TREE_NODES = 100000,
    WEFT_TREE_KEYS = 1000,
};

typedef enum weft_tree_kind {
    WEFT_TREE_TEXT,
    WEFT_TREE_LIST,
    WEFT_TREE_MAP,
} weft_tree_kind;

/* Where something was said. Line 0: nowhere, a default. */
typedef struct weft_place {
    const char *file;     /* borrowed */
    const char *override; /* borrowed; NULL: in the file */
    int line;
} weft_place;

typedef struct weft_tree weft_tree;
struct weft_tree {
    weft_tree_kind kind;
    char *key;  /* of a mapping's child, else NULL; owned */
    char *text; /* TEXT; owned */
    bool quoted;
    weft_place place;     /* of the value */
    weft_place key_place; /* of the key */
    weft_tree *first, *next;
};

/* Fail with WEFT_EINPUT and the place before the text: "FILE:LINE: ",
 * "override \"KEY=VALUE\": " or, for a default, "FILE: ". */
weft_status weft_place_fail(const weft_place *at, const char *fmt, ...)
    WEFT_PRINTF(2, 3);

/* `file` and `override` are borrowed for the life of the tree. Whatever is
 * not one YAML document of the kind above is WEFT_EINPUT. */
weft_status weft_tree_parse(const char *file, const char *override,
                            const char *text, size_t bytes, weft_tree **tree);
/* The same of text that stands for itself, whatever it looks like in YAML. */
weft_status weft_tree_parse_literal(const char *file, const char *override,
                                    const char *text, weft_tree **tree);
void weft_tree_free(weft_tree *tree); /* NULL is nothing */

/* NULL without memory. */
weft_tree *weft_tree_new(weft_tree_kind kind, const weft_place *at);
weft_tree *weft_tree_text(const char *text, bool quoted, const weft_place *at);

/* The child of a mapping, or NULL; `map` may be NULL. */
weft_tree *weft_tree_get(const weft_tree *map, const char *key);
/* The node at a dotted path, or NULL. */
weft_tree *weft_tree_find(const weft_tree *map, const char *path);
int weft_tree_count(const weft_tree *parent);

/* Put `value` under `key`, in the place of what was there. Takes over value,
 * also on failure. */
weft_status weft_tree_put(weft_tree *map, const char *key, weft_tree *value);
void weft_tree_remove(weft_tree *map, const char *key);
/* Put `value` at a dotted path, making the mappings on the way. Takes over
 * value, also on failure. */
weft_status weft_tree_put_at(weft_tree *map, const char *path,
                             weft_tree *value);

/* The tree as one line of YAML in which every text is quoted; *text owned. */
weft_status weft_tree_write(const weft_tree *tree, char **text);
/* The tree as JSON: plain texts that look like numbers or true and false
 * become those. NULL without memory. */
json_t *weft_tree_json(const weft_tree *tree);

/* Whether plain text means "nothing" in YAML: "", ~ and null. */
bool weft_text_null(const char *text);
/* Control characters other than line breaks and tabs; those. */
bool weft_text_control(const char *text, size_t n);
bool weft_text_breaks(const char *text);
/* Whether text is a whole number: a sign perhaps, then decimal digits, the
 * first of several not 0. Or a finite decimal number; *value then. */
bool weft_text_whole(const char *text);
bool weft_text_number(const char *text, double *value);

#endif
