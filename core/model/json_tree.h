/*
 * json_tree.h - hostile text to a tree of jansson, for the files of this
 * folder only; everybody else uses json.h.
 */
#ifndef WEFT_CORE_MODEL_JSON_TREE_H
#define WEFT_CORE_MODEL_JSON_TREE_H

#include <jansson.h>
#include <stddef.h>

#include "core/status.h"

/* The object in `text`: UTF-8, nested at most 64 deep, no duplicate keys, no
 * zero characters, nothing behind it. *root is the caller's (json_decref).
 * `name` begins the errors. */
weft_status weft_json_tree(const char *name, const void *text, size_t bytes,
                           json_t **root);

/* "an integer", "a string", ...: what a value is, in an error. */
const char *weft_json_kind(const json_t *value);

#endif
