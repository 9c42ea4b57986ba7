#include "launch/manifest_line.h"

#include <jansson.h>
#include <string.h>

#include "launch/config_tree.h"

/* What is being read. */
typedef struct reader {
    const char *start, *at, *end;
    weft_line *l;
} reader;

static weft_status wrong(const reader *r, const char *expected)
{
    const size_t byte = (size_t)(r->at - r->start) + 1;

    if (r->at >= r->end)
        return weft_fail(WEFT_EINPUT, "the line ends where %s is expected",
                         expected);
    return weft_fail(WEFT_EINPUT, "byte %zu: %s is expected", byte, expected);
}

static void skip_blanks(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t')) r->at++;
}

static bool take(reader *r, char c)
{
    skip_blanks(r);
    if (r->at >= r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static weft_status add(reader *r, weft_line_field f)
{
    if (r->l->n == WEFT_LINE_FIELDS)
        return weft_fail(WEFT_EINPUT, "more than %d keys", WEFT_LINE_FIELDS);
    r->l->field[r->l->n++] = f;
    return WEFT_OK;
}

bool weft_line_is(const weft_line_field *f, const char *key)
{
    return strlen(key) == f->nkey && memcmp(f->key, key, f->nkey) == 0;
}

/* Room in the scratch; there is as much as a line is long, and what is decoded
 * is never longer than it was. */
static char *scratch(weft_line *l, size_t bytes)
{
    char *at = l->scratch + l->used;

    WEFT_MUST(bytes <= sizeof l->scratch - l->used);
    l->used += bytes;
    return at;
}

/* ---- JSON ---------------------------------------------------------------- */

/* With quotes, from `from` to the reader. */
static weft_status decode(reader *r, const char *from, const char **text,
                          size_t *n)
{
    json_error_t why;
    json_t *json = json_loadb(from, (size_t)(r->at - from),
                              JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);

    if (!json)
        return weft_fail(WEFT_EINPUT, "byte %zu: not a text: %.80s",
                         (size_t)(from - r->start) + 1, why.text);
    WEFT_MUST(json_string_length(json) <= (size_t)(r->at - from));
    *n = json_string_length(json);
    *text = memcpy(scratch(r->l, *n), json_string_value(json), *n);
    json_decref(json);
    return WEFT_OK;
}

static weft_status read_text(reader *r, const char **text, size_t *n)
{
    const char *from = r->at;
    bool escaped = false;

    for (r->at++; r->at < r->end && *r->at != '"'; r->at++) {
        if ((unsigned char)*r->at < ' ')
            return wrong(r, "a text without control characters");
        if (*r->at != '\\') continue;
        escaped = true;
        if (++r->at == r->end) break;
    }
    if (r->at >= r->end) return wrong(r, "the end of a text");
    r->at++;
    if (escaped) return decode(r, from, text, n);
    *text = from + 1;
    *n = (size_t)(r->at - from) - 2;
    return WEFT_OK;
}

/* To behind the bracket that closes the one at the reader. */
static weft_status skip_brackets(reader *r)
{
    const char *text;
    size_t n;
    int depth = 0;

    do {
        if (r->at >= r->end) return wrong(r, "a closing bracket");
        if (*r->at == '"') {
            WEFT_TRY(read_text(r, &text, &n));
            continue;
        }
        if (*r->at == '[' || *r->at == '{') depth++;
        if (*r->at == ']' || *r->at == '}') depth--;
        r->at++;
    } while (depth > 0);
    return WEFT_OK;
}

static weft_status read_value(reader *r, weft_line_field *f)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                               "UVWXYZ0123456789+-.";

    skip_blanks(r);
    f->value = r->at;
    if (r->at < r->end && *r->at == '"') {
        f->text = true;
        return read_text(r, &f->value, &f->nvalue);
    }
    if (r->at < r->end && (*r->at == '[' || *r->at == '{'))
        WEFT_TRY(skip_brackets(r));
    else
        while (r->at < r->end && memchr(word, *r->at, sizeof word - 1)) r->at++;
    f->nvalue = (size_t)(r->at - f->value);
    return f->nvalue ? WEFT_OK : wrong(r, "a value");
}

static weft_status read_member(reader *r)
{
    weft_line_field f = {.key = NULL};

    skip_blanks(r);
    if (r->at >= r->end || *r->at != '"') return wrong(r, "a key in quotes");
    WEFT_TRY(read_text(r, &f.key, &f.nkey));
    if (!take(r, ':')) return wrong(r, "a colon");
    WEFT_TRY(read_value(r, &f));
    for (int i = 0; i < r->l->n; i++)
        if (r->l->field[i].nkey == f.nkey &&
            memcmp(r->l->field[i].key, f.key, f.nkey) == 0)
            return weft_fail(WEFT_EINPUT, "\"%.*s\" stands there twice",
                             f.nkey < 80 ? (int)f.nkey : 80, f.key);
    return add(r, f);
}

weft_status weft_line_json(const char *s, size_t bytes, weft_line *l)
{
    reader r = {s, s, s + bytes, l};

    l->n = 0;
    l->used = 0;
    if (!take(&r, '{')) return wrong(&r, "an object { ... }");
    if (!take(&r, '}')) {
        do WEFT_TRY(read_member(&r));
        while (take(&r, ','));
        if (!take(&r, '}')) return wrong(&r, "a comma or }");
    }
    skip_blanks(&r);
    return r.at == r.end ? WEFT_OK : wrong(&r, "the end of the line");
}

/* ---- tables -------------------------------------------------------------- */

/* "a ""word""": a quote in quotes is doubled. */
static weft_status read_quoted(reader *r, weft_line_field *f)
{
    char *to = scratch(r->l, 0);

    f->value = to;
    for (r->at++; r->at < r->end; r->at++) {
        if (*r->at == '"' && (++r->at == r->end || *r->at != '"')) {
            f->nvalue = (size_t)(to - f->value);
            scratch(r->l, f->nvalue);
            return WEFT_OK;
        }
        *to++ = *r->at;
    }
    return wrong(r, "a closing quote");
}

static weft_status read_cell(reader *r)
{
    weft_line_field f = {.text = true, .value = r->at};

    if (r->at < r->end && *r->at == '"') {
        WEFT_TRY(read_quoted(r, &f));
        return add(r, f);
    }
    while (r->at < r->end && *r->at != ',') r->at++;
    f.nvalue = (size_t)(r->at - f.value);
    while (f.nvalue && *f.value == ' ') f.value++, f.nvalue--;
    while (f.nvalue && f.value[f.nvalue - 1] == ' ') f.nvalue--;
    return add(r, f);
}

weft_status weft_line_cells(const char *s, size_t bytes, weft_line *l)
{
    reader r = {s, s, s + bytes, l};

    l->n = 0;
    l->used = 0;
    for (;; r.at++) {
        WEFT_TRY(read_cell(&r));
        if (r.at == r.end) return WEFT_OK;
        if (*r.at != ',') return wrong(&r, "a comma");
    }
}

/* Of these, whatever stands there. */
static bool is_text_key(const weft_line_field *f)
{
    return weft_line_is(f, "caption") || weft_line_is(f, "prompt") ||
           weft_line_is(f, "negative_prompt") || weft_line_is(f, "control");
}

static bool looks_like_text(const weft_line_field *f)
{
    char text[64];
    double value;

    if (is_text_key(f)) return true;
    if (f->value[0] == '[' || f->value[0] == '{') return false;
    if (f->nvalue >= sizeof text) return true;
    memcpy(text, f->value, f->nvalue);
    text[f->nvalue] = '\0';
    return strcmp(text, "true") != 0 && strcmp(text, "false") != 0 &&
           !weft_text_whole(text) && !weft_text_number(text, &value);
}

weft_status weft_line_row(const weft_line *header, const char *s, size_t bytes,
                          weft_line *l)
{
    int kept = 0;

    WEFT_TRY(weft_line_cells(s, bytes, l));
    if (l->n != header->n)
        return weft_fail(WEFT_EINPUT, "%d cells under a header of %d", l->n,
                         header->n);
    for (int i = 0; i < l->n; i++) {
        weft_line_field f = l->field[i];

        if (!f.nvalue) continue;
        f.key = header->field[i].value;
        f.nkey = header->field[i].nvalue;
        f.text = looks_like_text(&f);
        l->field[kept++] = f;
    }
    l->n = kept;
    return WEFT_OK;
}
