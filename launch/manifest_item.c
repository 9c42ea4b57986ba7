#include "launch/manifest_item.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"
#include "launch/config_tree.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                              "UVWXYZ0123456789_-+=@";

static bool made_of(const char *s, size_t n, const char *set)
{
    for (size_t i = 0; i < n; i++)
        if (!s[i] || !strchr(set, s[i])) return false;
    return true;
}

/* ---- id, seed, label ----------------------------------------------------- */

static weft_status take_id(const weft_line_field *f, weft_item *item)
{
    if (f->nvalue < 1 || f->nvalue >= WEFT_ITEM_ID ||
        !made_of(f->value, f->nvalue, letters))
        return weft_fail(WEFT_EINPUT,
                         "id \"%.*s\": expected 1 to %d letters, digits, _, -, "
                         "+, = and @",
                         f->nvalue < 100 ? (int)f->nvalue : 100, f->value,
                         WEFT_ITEM_ID - 1);
    memcpy(item->id, f->value, f->nvalue);
    item->id[f->nvalue] = '\0';
    return WEFT_OK;
}

/* Decimal digits, the first of several not 0. */
static bool take_whole(const weft_line_field *f, uint64_t most, uint64_t *value)
{
    uint64_t v = 0;

    if (f->text || f->nvalue < 1 || (f->nvalue > 1 && f->value[0] == '0'))
        return false;
    for (size_t i = 0; i < f->nvalue; i++) {
        const unsigned digit = (unsigned char)f->value[i] - (unsigned)'0';

        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *value = v;
    return v <= most;
}

static weft_status not_whole(const weft_line_field *f, uint64_t most)
{
    return weft_fail(WEFT_EINPUT,
                     "%.*s: expected a whole number from 0 to %llu, found "
                     "%.*s",
                     (int)f->nkey, f->key, (unsigned long long)most,
                     f->nvalue < 80 ? (int)f->nvalue : 80, f->value);
}

/* ---- all other keys ------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    const weft_line_field *f = *(const weft_line_field *const *)a;
    const weft_line_field *g = *(const weft_line_field *const *)b;
    const size_t n = f->nkey < g->nkey ? f->nkey : g->nkey;
    const int order = memcmp(f->key, g->key, n);

    return order ? order : (f->nkey > g->nkey) - (f->nkey < g->nkey);
}

/* Numbers in one form, texts in quotes, the rest as it stands. */
static void write_value(FILE *to, const weft_line_field *f)
{
    char text[64];
    double number;

    if (f->text) {
        json_t *json = json_stringn(f->value, f->nvalue);
        char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

        fputs(quoted ? quoted : "\"\"", to); /* not UTF-8: "" is refused */
        free(quoted);
        json_decref(json);
        return;
    }
    snprintf(text, sizeof text, "%.*s",
             f->nvalue < sizeof text ? (int)f->nvalue : 0, f->value);
    if (weft_text_number(text, &number) && !weft_text_whole(text))
        weft_config_write_number(to, number);
    else
        fwrite(f->value, 1, f->nvalue, to);
}

static bool is_key(const weft_line_field *f)
{
    return f->nkey >= 1 && f->nkey <= 64 && !weft_line_is(f, "seeds") &&
           made_of(f->key, f->nkey, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static weft_status write_keys(const weft_line_field **f, int n,
                              char keys[WEFT_KEYS_ROOM])
{
    FILE *to = fmemopen(keys, WEFT_KEYS_ROOM, "w");
    long bytes;

    if (!to) return weft_fail(WEFT_ENOMEM, "out of memory");
    setbuf(to, NULL);
    for (int i = 0; i < n; i++) {
        fprintf(to, "sample.%.*s=", (int)f[i]->nkey, f[i]->key);
        write_value(to, f[i]);
        putc('\n', to);
    }
    bytes = ftell(to);
    putc('\0', to);
    fclose(to);
    if (bytes < 0 || bytes >= WEFT_KEYS_ROOM - 1)
        return weft_fail(WEFT_EINPUT, "more than %d bytes of parameters",
                         WEFT_KEYS_ROOM - 1);
    keys[bytes] = '\0';
    return WEFT_OK;
}

/* ---- the line ------------------------------------------------------------ */

static bool is_null(const weft_line_field *f)
{
    return !f->text && f->nvalue == 4 && memcmp(f->value, "null", 4) == 0;
}

static weft_status take_field(const weft_line_field *f, weft_item *item,
                              bool *seed, const weft_line_field **rest, int *n)
{
    uint64_t label = 0;

    if (weft_line_is(f, "id")) return take_id(f, item);
    if (weft_line_is(f, "seed")) {
        *seed = true;
        return take_whole(f, UINT64_MAX, &item->seed)
                   ? WEFT_OK
                   : not_whole(f, UINT64_MAX);
    }
    if (is_null(f)) return WEFT_OK;
    if (weft_line_is(f, "label")) {
        if (!take_whole(f, INT_MAX, &label)) return not_whole(f, INT_MAX);
        item->label = (int)label;
        return WEFT_OK;
    }
    if (!is_key(f))
        return weft_fail(WEFT_EINPUT, "unknown key \"%.*s\"",
                         f->nkey < 80 ? (int)f->nkey : 80, f->key);
    rest[(*n)++] = f;
    return WEFT_OK;
}

weft_status weft_item_take(const weft_line *l, weft_item *item,
                           char keys[WEFT_KEYS_ROOM])
{
    const weft_line_field *rest[WEFT_LINE_FIELDS];
    bool seed = false;
    int n = 0;

    item->id[0] = '\0';
    item->label = -1;
    for (int i = 0; i < l->n; i++)
        WEFT_TRY(take_field(&l->field[i], item, &seed, rest, &n));
    if (!item->id[0]) return weft_fail(WEFT_EINPUT, "id is missing");
    if (!seed) return weft_fail(WEFT_EINPUT, "seed is missing");
    keys[0] = '\0';
    if (!n) return WEFT_OK;
    qsort(rest, (size_t)n, sizeof *rest, compare);
    return write_keys(rest, n, keys);
}
