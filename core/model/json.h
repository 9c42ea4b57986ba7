/*
 * json.h - reading the JSON that models come with, over jansson.
 *
 * A weft_json knows the file it came from, so that every error names file and
 * key. Accessors take a default for a key that is missing or null; a key of
 * the wrong type, or a number out of range, is WEFT_EINPUT. Keys that were
 * read are remembered: weft_json_refuse_rest() refuses the others by name, so
 * that no option is ever ignored in silence.
 *
 *     WEFT_TRY(weft_json_read("unet/config.json", &json));
 *     WEFT_TRY(weft_json_int(json, "in_channels", 4, 1, 4096, &channels));
 *     WEFT_TRY(weft_json_refuse_rest(json, harmless));
 */
#ifndef WEFT_CORE_MODEL_JSON_H
#define WEFT_CORE_MODEL_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

typedef struct weft_json weft_json;

/* At most 16 MiB, an object at the top, nested at most 64 deep, no duplicate
 * keys. Infinity and -Infinity, as Python writes them, count as null. */
weft_status weft_json_read(const char *path, weft_json **json);
weft_status weft_json_parse(const char *name, const void *text, size_t bytes,
                            weft_json **json);
void weft_json_free(weft_json *json);
const char *weft_json_name(const weft_json *json);

/* There and not null. To ask is not to read: the key is not remembered. */
bool weft_json_has(const weft_json *json, const char *key);
/* There, and null: for keys whose null is not their default. */
bool weft_json_is_null(const weft_json *json, const char *key);

weft_status weft_json_int(const weft_json *json, const char *key, int fallback,
                          int min, int max, int *out);
/* Any number; always finite. */
weft_status weft_json_double(const weft_json *json, const char *key,
                             double fallback, double *out);
weft_status weft_json_bool(const weft_json *json, const char *key,
                           bool fallback, bool *out);
/* Borrowed from json; `fallback` may be NULL. */
weft_status weft_json_string(const weft_json *json, const char *key,
                             const char *fallback, const char **out);
/* Arrays: *n says how many; more than `room` is an error. A single value
 * where an array may stand counts as an array of one. Missing: *n = 0. `out`
 * may be partly written on failure. */
weft_status weft_json_ints(const weft_json *json, const char *key, int min,
                           int max, int *out, int room, int *n);
/* An array of integers and of arrays of them: row i has length[i], 0 where a
 * single integer stands, and begins at out[i * most]; 1 to `most` in a row. */
weft_status weft_json_rows(const weft_json *json, const char *key, int min,
                           int max, int most, int *out, int *length, int room,
                           int *n);
weft_status weft_json_bools(const weft_json *json, const char *key, bool *out,
                            int room, int *n);
weft_status weft_json_doubles(const weft_json *json, const char *key,
                              double *out, int room, int *n);
weft_status weft_json_strings(const weft_json *json, const char *key,
                              const char **out, int room, int *n);

/* An array of a string, borrowed from json, and an integer. Missing: NULL. */
weft_status weft_json_pair(const weft_json *json, const char *key, int min,
                           int max, const char **text, int *number);

/* An object under a key, as JSON of its own whose errors name both; the
 * caller's (weft_json_free). NULL where there is another value, or none. */
weft_status weft_json_object(const weft_json *json, const char *key,
                             weft_json **inner);
/* Calls `each` for every key, in the order of the file, until it fails. None is
 * remembered as read. */
typedef weft_status weft_json_visit(void *arg, const char *key);
weft_status weft_json_each(const weft_json *json, weft_json_visit *each,
                           void *arg);
/* Arrays of arrays and objects, value by value: how many there are (missing: 0;
 * more than `most`, or no array: an error), and the i-th of them. */
weft_status weft_json_count(const weft_json *json, const char *key, int most,
                            int *n);
/* ... a string, or an array of as many as *n says, at most `room`. */
weft_status weft_json_item_strings(const weft_json *json, const char *key,
                                   int i, const char **out, int room, int *n);
/* ... an object, as JSON of its own; the caller's (weft_json_free). */
weft_status weft_json_item_object(const weft_json *json, const char *key, int i,
                                  weft_json **inner);
/* For objects that are tables: the integer of min to max under the key of
 * `bytes` bytes, fewer than 2048, or `fallback` where there is no such integer.
 * Nothing is remembered. */
int weft_json_table(const weft_json *json, const char *key, size_t bytes,
                    int min, int max, int fallback);

/* Fail unless every key was read, or is null (which asks for nothing), or
 * begins with "_", or is in `harmless` (NULL-terminated; may be NULL):
 * "FILE: option \"x\" is not supported". */
weft_status weft_json_refuse_rest(const weft_json *json,
                                  const char *const *harmless);

#endif
