#include "launch/manifest_item.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"
#include "launch/config_tree.h"
#include "launch/said.h"

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

static bool is_prompt(const weft_line_field *f)
{
    return weft_line_is(f, "prompt") || weft_line_is(f, "negative_prompt");
}

/* Texts by model, by name. */
static weft_status write_own(FILE *to, const weft_line_field *f, bool wordless)
{
    const char *text;
    char *own;

    WEFT_TRY(weft_said_own(f->value, f->nvalue, &own));
    for (const char *at = own; *at; at = text + strlen(text) + 1) {
        text = at + strlen(at) + 1;
        putc(at == own ? '{' : ',', to);
        weft_config_write_string(to, at);
        putc(':', to);
        weft_config_write_string(to, wordless ? "" : text);
    }
    putc('}', to);
    free(own);
    return WEFT_OK;
}

/* Wordless: whatever prompts say is "". */
static weft_status write_key(FILE *to, const weft_line_field *f, bool wordless)
{
    weft_status st = WEFT_OK;

    fprintf(to, "sample.%.*s=", (int)f->nkey, f->key);
    if (weft_line_is(f, "prompts"))
        st = write_own(to, f, wordless);
    else if (wordless && is_prompt(f))
        fputs("\"\"", to);
    else
        write_value(to, f);
    putc('\n', to);
    return st;
}

static weft_status write_keys(const weft_line_field **f, int n, bool wordless,
                              char keys[WEFT_KEYS_ROOM])
{
    FILE *to = fmemopen(keys, WEFT_KEYS_ROOM, "w");
    weft_status st = WEFT_OK;
    long bytes;

    if (!to) return weft_fail(WEFT_ENOMEM, "out of memory");
    setbuf(to, NULL);
    for (int i = 0; i < n && st == WEFT_OK; i++)
        st = write_key(to, f[i], wordless);
    bytes = ftell(to);
    putc('\0', to);
    fclose(to);
    if (st != WEFT_OK) return st;
    if (bytes < 0 || bytes >= WEFT_KEYS_ROOM - 1)
        return weft_fail(WEFT_EINPUT, "more than %d bytes of parameters",
                         WEFT_KEYS_ROOM - 1);
    keys[bytes] = '\0';
    return WEFT_OK;
}

const char *weft_keys_find(const char *keys, const char *key)
{
    const char section[] = "sample.";
    const size_t n = strlen(key);

    for (const char *end; (end = strchr(keys, '\n')); keys = end + 1) {
        const char *at = keys + strlen(section);

        if (strncmp(at, key, n) == 0 && at[n] == '=') return at + n + 1;
    }
    return NULL;
}

/* ---- texts ----------------------------------------------------------------
 */

static weft_status not_text(const weft_line_field *f, const char *expected)
{
    return weft_fail(WEFT_EINPUT, "%.*s: expected %s", (int)f->nkey, f->key,
                     expected);
}

/* UTF-8; of control characters line breaks and tabs alone. */
static weft_status check_text(const weft_line_field *f)
{
    json_t *json;

    if (!f->text) return not_text(f, "a text in quotes");
    if (weft_text_control(f->value, f->nvalue))
        return not_text(f, "a text without control characters");
    json = json_stringn(f->value, f->nvalue);
    if (!json) return not_text(f, "a text in UTF-8");
    json_decref(json);
    return WEFT_OK;
}

static weft_status take_caption(const weft_line_field *f, weft_words *w)
{
    WEFT_TRY(check_text(f));
    if (f->nvalue >= WEFT_CAPTION_ROOM)
        return weft_fail(WEFT_EINPUT, "%.*s: more than %d bytes", (int)f->nkey,
                         f->key, WEFT_CAPTION_ROOM - 1);
    memcpy(w->caption, f->value, f->nvalue);
    w->caption[f->nvalue] = '\0';
    return WEFT_OK;
}

/* ---- the line ------------------------------------------------------------ */

static bool is_null(const weft_line_field *f)
{
    return !f->text && f->nvalue == 4 && memcmp(f->value, "null", 4) == 0;
}

/* Fields that are not those of an item alone. */
typedef struct rest {
    const weft_line_field *field[WEFT_LINE_FIELDS];
    int n;
    bool captioned;
} rest;

static weft_status take_key(const weft_line_field *f, weft_words *w, rest *r)
{
    if (!is_key(f))
        return weft_fail(WEFT_EINPUT, "unknown key \"%.*s\"",
                         f->nkey < 80 ? (int)f->nkey : 80, f->key);
    if (is_prompt(f) || weft_line_is(f, "control")) WEFT_TRY(check_text(f));
    if (weft_line_is(f, "negative_prompt")) w->negative = f;
    if (weft_line_is(f, "prompts")) w->own = f;
    if (weft_line_is(f, "prompt")) {
        w->prompt = f;
        if (!r->captioned) WEFT_TRY(take_caption(f, w));
    }
    r->field[r->n++] = f;
    return WEFT_OK;
}

static weft_status take_field(const weft_line_field *f, weft_item *item,
                              bool *seed, weft_words *w, rest *r)
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
    if (weft_line_is(f, "caption")) {
        r->captioned = true;
        return take_caption(f, w);
    }
    if (!weft_line_is(f, "label")) return take_key(f, w, r);
    if (!take_whole(f, INT_MAX, &label)) return not_whole(f, INT_MAX);
    item->label = (int)label;
    return WEFT_OK;
}

weft_status weft_item_take(const weft_line *l, weft_item *item, weft_words *w)
{
    bool seed = false;
    rest r = {.n = 0};

    *item = (weft_item){.label = -1};
    w->keys[0] = w->kind[0] = w->caption[0] = '\0';
    w->prompt = w->negative = w->own = NULL;
    for (int i = 0; i < l->n; i++)
        WEFT_TRY(take_field(&l->field[i], item, &seed, w, &r));
    if (!item->id[0]) return weft_fail(WEFT_EINPUT, "id is missing");
    if (!seed) return weft_fail(WEFT_EINPUT, "seed is missing");
    if (!r.n) return WEFT_OK;
    qsort(r.field, (size_t)r.n, sizeof *r.field, compare);
    WEFT_TRY(write_keys(r.field, r.n, false, w->keys));
    return write_keys(r.field, r.n, true, w->kind);
}
