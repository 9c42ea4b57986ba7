#include "core/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/model/json_tree.h"

enum { MOST_BYTES = 16 << 20, MOST_DEPTH = 64 };

/* A key is remembered by putting it into `read`: an object used as a set. */
struct weft_json {
    char *name;
    json_t *root, *read;
};

/* ---- text to tree -------------------------------------------------------- */

/* Before the parser sees the text: it is recursive and would go deeper. */
static weft_status check_depth(const char *name, const char *text, size_t bytes)
{
    bool quoted = false;
    int depth = 0;

    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
        if (depth > MOST_DEPTH)
            return weft_fail(WEFT_EINPUT,
                             "%s: JSON is nested more than %d deep", name,
                             MOST_DEPTH);
    }
    return WEFT_OK;
}

weft_status weft_json_tree(const char *name, const void *text, size_t bytes,
                           json_t **root)
{
    json_error_t error;
    json_t *new;

    WEFT_TRY(check_depth(name, text, bytes));
    new = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                     &error);
    if (new == NULL && error.text[0] == '\0') /* jansson's way to say so */
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", name);
    if (new == NULL)
        return weft_fail(WEFT_EINPUT, "%s:%d:%d: %s", name, error.line,
                         error.column, error.text);
    if (!json_is_object(new)) {
        const char *kind = weft_json_kind(new);

        json_decref(new);
        return weft_fail(WEFT_EINPUT, "%s: expected an object, found %s", name,
                         kind);
    }
    *root = new;
    return WEFT_OK;
}

const char *weft_json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

/* ---- the object ---------------------------------------------------------- */

/* Python writes infinities as bare words, which JSON does not know; where a
 * model's config has one, it stands for "no limit": the same as null. */
static void forget_infinity(char *text, size_t bytes)
{
    static const char *const word[] = {"-Infinity", "Infinity"};

    for (int k = 0; k < 2; k++) {
        const size_t n = strlen(word[k]);

        if (bytes < n || memcmp(text, word[k], n) != 0) continue;
        memset(text, ' ', n);
        memcpy(text, "null", 4);
    }
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ... and whole numbers of any length (transformers' "no limit" has 31 digits);
 * longer than the parser's they become reals, 123e2 for 12345. Returns the
 * bytes of a number that begins here. */
static size_t shorten_whole(char *text, size_t bytes)
{
    enum { WHOLE = 18 };
    size_t n = 0;

    while (n < bytes && is_digit(text[n])) n++;
    if (n <= WHOLE || (n < bytes && strchr(".eE", text[n]))) return n;
    text[n - 2] = 'e';
    text[n - 1] = '2';
    return n;
}

/* Fractions and exponents are no whole numbers. */
static bool begins_whole(const char *text, size_t i)
{
    return is_digit(text[i]) &&
           (i == 0 || !strchr(".eE+0123456789", text[i - 1])) &&
           !(i > 1 && text[i - 1] == '-' && strchr("eE", text[i - 2]));
}

static void take_pythons(char *text, size_t bytes)
{
    bool quoted = false;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '"') quoted = !quoted;
        if (quoted && text[i] == '\\') i++;
        if (quoted || i >= bytes) continue;
        forget_infinity(text + i, bytes - i);
        if (begins_whole(text, i)) i += shorten_whole(text + i, bytes - i) - 1;
    }
}

weft_status weft_json_parse(const char *name, const void *text, size_t bytes,
                            weft_json **json)
{
    weft_json *made;
    weft_status status;
    char *copy;

    if (bytes > MOST_BYTES)
        return weft_fail(WEFT_EINPUT, "%s: is longer than %d bytes", name,
                         MOST_BYTES);
    made = calloc(1, sizeof *made);
    if (made == NULL) return weft_fail(WEFT_ENOMEM, "%s: out of memory", name);
    made->name = strdup(name);
    made->read = json_object();
    copy = malloc(bytes + 1);
    status = weft_fail(WEFT_ENOMEM, "%s: out of memory", name);
    if (made->name != NULL && made->read != NULL && copy != NULL) {
        memcpy(copy, text, bytes);
        take_pythons(copy, bytes);
        status = weft_json_tree(name, copy, bytes, &made->root);
    }
    free(copy);
    if (status == WEFT_OK)
        *json = made;
    else
        weft_json_free(made);
    return status;
}

weft_status weft_json_read(const char *path, weft_json **json)
{
    char *text;
    size_t bytes;
    weft_status status;

    WEFT_TRY(weft_file_read(path, MOST_BYTES, &text, &bytes));
    status = weft_json_parse(path, text, bytes, json);
    free(text);
    return status;
}

void weft_json_free(weft_json *json)
{
    if (json == NULL) return;
    json_decref(json->root);
    json_decref(json->read);
    free(json->name);
    free(json);
}

const char *weft_json_name(const weft_json *json) { return json->name; }

/* ---- values -------------------------------------------------------------- */

static json_t *look(const weft_json *json, const char *key)
{
    json_t *value = json_object_get(json->root, key);

    return json_is_null(value) ? NULL : value;
}

bool weft_json_has(const weft_json *json, const char *key)
{
    return look(json, key) != NULL;
}

bool weft_json_is_null(const weft_json *json, const char *key)
{
    return json_is_null(json_object_get(json->root, key));
}

/* *value = NULL if the key is missing or null. */
static weft_status find(const weft_json *json, const char *key, json_t **value)
{
    *value = look(json, key);
    if (*value && json_object_set_new(json->read, key, json_true()) != 0)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", json->name);
    return WEFT_OK;
}

static weft_status wrong(const weft_json *json, const char *key,
                         const char *expected, const json_t *value)
{
    return weft_fail(WEFT_EINPUT, "%s: key \"%s\": expected %s, found %s",
                     json->name, key, expected, weft_json_kind(value));
}

static weft_status to_int(const weft_json *json, const char *key,
                          const json_t *value, int min, int max, int *out)
{
    json_int_t n;

    if (!json_is_integer(value)) return wrong(json, key, "an integer", value);
    n = json_integer_value(value);
    if (n < min || n > max)
        return weft_fail(WEFT_EINPUT,
                         "%s: key \"%s\": %lld is not within %d to %d",
                         json->name, key, (long long)n, min, max);
    *out = (int)n;
    return WEFT_OK;
}

/* jansson refuses NaN, Infinity and numbers that overflow a double. */
static weft_status to_double(const weft_json *json, const char *key,
                             const json_t *value, double *out)
{
    if (!json_is_number(value)) return wrong(json, key, "a number", value);
    *out = json_number_value(value);
    return WEFT_OK;
}

static weft_status to_string(const weft_json *json, const char *key,
                             const json_t *value, const char **out)
{
    if (!json_is_string(value)) return wrong(json, key, "a string", value);
    *out = json_string_value(value);
    return WEFT_OK;
}

weft_status weft_json_int(const weft_json *json, const char *key, int fallback,
                          int min, int max, int *out)
{
    json_t *value;

    WEFT_TRY(find(json, key, &value));
    if (value) return to_int(json, key, value, min, max, out);
    *out = fallback;
    return WEFT_OK;
}

weft_status weft_json_double(const weft_json *json, const char *key,
                             double fallback, double *out)
{
    json_t *value;

    WEFT_TRY(find(json, key, &value));
    if (value) return to_double(json, key, value, out);
    *out = fallback;
    return WEFT_OK;
}

static weft_status to_bool(const weft_json *json, const char *key,
                           const json_t *value, bool *out)
{
    if (!json_is_boolean(value))
        return wrong(json, key, "true or false", value);
    *out = json_is_true(value);
    return WEFT_OK;
}

weft_status weft_json_bool(const weft_json *json, const char *key,
                           bool fallback, bool *out)
{
    json_t *value;

    WEFT_TRY(find(json, key, &value));
    if (value) return to_bool(json, key, value, out);
    *out = fallback;
    return WEFT_OK;
}

weft_status weft_json_string(const weft_json *json, const char *key,
                             const char *fallback, const char **out)
{
    json_t *value;

    WEFT_TRY(find(json, key, &value));
    if (value) return to_string(json, key, value, out);
    *out = fallback;
    return WEFT_OK;
}

/* ---- arrays -------------------------------------------------------------- */

/* How many values stand under the key; element i is item(value, i). */
static weft_status find_items(const weft_json *json, const char *key, int room,
                              json_t **value, int *n)
{
    size_t count = 1;

    WEFT_TRY(find(json, key, value));
    if (*value == NULL) count = 0;
    if (json_is_array(*value)) count = json_array_size(*value);
    if (count > (size_t)room)
        return weft_fail(WEFT_EINPUT,
                         "%s: key \"%s\": %zu values, at most %d are accepted",
                         json->name, key, count, room);
    *n = (int)count;
    return WEFT_OK;
}

static const json_t *item(const json_t *value, int i)
{
    return json_is_array(value) ? json_array_get(value, (size_t)i) : value;
}

weft_status weft_json_ints(const weft_json *json, const char *key, int min,
                           int max, int *out, int room, int *n)
{
    json_t *value;
    int count = 0;

    WEFT_TRY(find_items(json, key, room, &value, &count));
    for (int i = 0; i < count; i++)
        WEFT_TRY(to_int(json, key, item(value, i), min, max, &out[i]));
    *n = count;
    return WEFT_OK;
}

static weft_status to_row(const weft_json *json, const char *key,
                          const json_t *value, int min, int max, int most,
                          int *out, int *length)
{
    const size_t count = json_array_size(value); /* 0 if it is none */

    *length = (int)count;
    if (!json_is_array(value)) return to_int(json, key, value, min, max, out);
    if (count < 1 || count > (size_t)most)
        return weft_fail(WEFT_EINPUT,
                         "%s: key \"%s\": a row of %zu values, 1 to %d are "
                         "accepted",
                         json->name, key, count, most);
    for (int i = 0; i < *length; i++)
        WEFT_TRY(to_int(json, key, item(value, i), min, max, &out[i]));
    return WEFT_OK;
}

weft_status weft_json_rows(const weft_json *json, const char *key, int min,
                           int max, int most, int *out, int *length, int room,
                           int *n)
{
    json_t *value;
    int count = 0;

    WEFT_TRY(find_items(json, key, room, &value, &count));
    for (int i = 0; i < count; i++)
        WEFT_TRY(to_row(json, key, item(value, i), min, max, most,
                        out + (ptrdiff_t)i * most, &length[i]));
    *n = count;
    return WEFT_OK;
}

weft_status weft_json_bools(const weft_json *json, const char *key, bool *out,
                            int room, int *n)
{
    json_t *value;
    int count = 0;

    WEFT_TRY(find_items(json, key, room, &value, &count));
    for (int i = 0; i < count; i++)
        WEFT_TRY(to_bool(json, key, item(value, i), &out[i]));
    *n = count;
    return WEFT_OK;
}

weft_status weft_json_doubles(const weft_json *json, const char *key,
                              double *out, int room, int *n)
{
    json_t *value;
    int count = 0;

    WEFT_TRY(find_items(json, key, room, &value, &count));
    for (int i = 0; i < count; i++)
        WEFT_TRY(to_double(json, key, item(value, i), &out[i]));
    *n = count;
    return WEFT_OK;
}

weft_status weft_json_strings(const weft_json *json, const char *key,
                              const char **out, int room, int *n)
{
    json_t *value;
    int count = 0;

    WEFT_TRY(find_items(json, key, room, &value, &count));
    for (int i = 0; i < count; i++)
        WEFT_TRY(to_string(json, key, item(value, i), &out[i]));
    *n = count;
    return WEFT_OK;
}

weft_status weft_json_pair(const weft_json *json, const char *key, int min,
                           int max, const char **text, int *number)
{
    json_t *value;

    *text = NULL;
    WEFT_TRY(find(json, key, &value));
    if (!value) return WEFT_OK;
    if (!json_is_array(value) || json_array_size(value) != 2)
        return wrong(json, key, "an array of a string and an integer", value);
    WEFT_TRY(to_int(json, key, item(value, 1), min, max, number));
    return to_string(json, key, item(value, 0), text);
}

/* ---- objects ------------------------------------------------------------- */

static weft_status wrap(const weft_json *json, const char *key, json_t *value,
                        weft_json **inner)
{
    const size_t room = strlen(json->name) + strlen(key) + 3;
    weft_json *made = calloc(1, sizeof *made);

    if (made) made->name = malloc(room);
    if (made) made->read = json_object();
    if (!made || !made->name || !made->read) {
        weft_json_free(made);
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", json->name);
    }
    snprintf(made->name, room, "%s: %s", json->name, key);
    made->root = json_incref(value);
    *inner = made;
    return WEFT_OK;
}

weft_status weft_json_object(const weft_json *json, const char *key,
                             weft_json **inner)
{
    json_t *value = look(json, key);

    *inner = NULL;
    if (!json_is_object(value)) return WEFT_OK;
    WEFT_TRY(find(json, key, &value));
    return wrap(json, key, value, inner);
}

weft_status weft_json_each(const weft_json *json, weft_json_visit *each,
                           void *arg)
{
    const char *key;
    json_t *value;

    json_object_foreach(json->root, key, value) WEFT_TRY(each(arg, key));
    return WEFT_OK;
}

/* ---- arrays of arrays and objects ---------------------------------------- */

enum { ITEM_NAME = 80 };

static void name_item(const char *key, int i, char name[ITEM_NAME])
{
    snprintf(name, ITEM_NAME, "%s[%d]", key, i);
}

weft_status weft_json_count(const weft_json *json, const char *key, int most,
                            int *n)
{
    json_t *value;

    WEFT_TRY(find_items(json, key, most, &value, n));
    return !value || json_is_array(value) ? WEFT_OK
                                          : wrong(json, key, "an array", value);
}

weft_status weft_json_item_strings(const weft_json *json, const char *key,
                                   int i, const char **out, int room, int *n)
{
    const json_t *value = json_array_get(look(json, key), (size_t)i);
    const size_t count = json_is_array(value) ? json_array_size(value) : 1;
    char name[ITEM_NAME];

    name_item(key, i, name);
    if (count > (size_t)room)
        return weft_fail(WEFT_EINPUT,
                         "%s: key \"%s\": %zu values, at most %d are accepted",
                         json->name, name, count, room);
    *n = (int)count;
    for (int k = 0; k < *n; k++)
        WEFT_TRY(to_string(json, name, item(value, k), &out[k]));
    return WEFT_OK;
}

weft_status weft_json_item_object(const weft_json *json, const char *key, int i,
                                  weft_json **inner)
{
    json_t *value = json_array_get(look(json, key), (size_t)i);
    char name[ITEM_NAME];

    name_item(key, i, name);
    if (!json_is_object(value)) return wrong(json, name, "an object", value);
    return wrap(json, name, value, inner);
}

/* ---- tables -------------------------------------------------------------- */

int weft_json_table(const weft_json *json, const char *key, size_t bytes,
                    int min, int max, int fallback)
{
    char text[2048];
    const json_t *value;
    json_int_t n;

    if (bytes >= sizeof text || memchr(key, 0, bytes)) return fallback;
    memcpy(text, key, bytes);
    text[bytes] = 0;
    value = json_object_get(json->root, text);
    n = json_integer_value(value);
    return json_is_integer(value) && n >= min && n <= max ? (int)n : fallback;
}

/* ---- the rest ------------------------------------------------------------ */

static bool is_among(const char *key, const char *const *list)
{
    for (; list && *list; list++)
        if (strcmp(key, *list) == 0) return true;
    return false;
}

weft_status weft_json_refuse_rest(const weft_json *json,
                                  const char *const *harmless)
{
    const char *key;
    json_t *value;

    json_object_foreach(json->root, key, value)
    {
        if (json_is_null(value) || key[0] == '_') continue;
        if (json_object_get(json->read, key) || is_among(key, harmless))
            continue;
        return weft_fail(WEFT_EINPUT, "%s: option \"%s\" is not supported",
                         json->name, key);
    }
    return WEFT_OK;
}
