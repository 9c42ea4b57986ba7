#include "core/text/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- characters ---------------------------------------------------------- */

typedef enum kind { SPACE, LETTER, NUMBER, OTHER } kind;

/* Unicode's White_Space. */
static bool is_space(int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static kind kind_of(int32_t c)
{
    if (is_space(c)) return SPACE;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return NUMBER;
    default:
        return OTHER;
    }
}

/* The character at *at, which moves behind it. The text is valid. */
static int32_t next_char(const char *text, size_t bytes, size_t *at)
{
    utf8proc_int32_t c;
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text + *at,
                         (utf8proc_ssize_t)(bytes - *at), &c);

    WEFT_MUST(n > 0);
    *at += (size_t)n;
    return c;
}

bool weft_words_valid(const char *text, size_t bytes)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n;

    for (size_t at = 0; at < bytes; at += (size_t)n) {
        n = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                             (utf8proc_ssize_t)(bytes - at), &c);
        if (n <= 0) return false;
    }
    return true;
}

/* ---- cleaning ------------------------------------------------------------ */

/* Combining characters younger than Unicode 9, of which the reference's tables
 * of compositions are: they stay where they stand, and nothing is composed
 * across them. */
static bool is_young(int32_t c)
{
    static const int32_t range[][2] = {
        {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},
        {0x9fe, 0x9fe},     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},
        {0xeba, 0xeba},     {0x1715, 0x1715},   {0x1abf, 0x1ace},
        {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27},
        {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50},
        {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b},
        {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930},
        {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
        {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99},
        {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
        {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
        {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
        {0x1e4ec, 0x1e4ef},
    };

    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (c >= range[i][0] && c <= range[i][1]) return true;
    return false;
}

/* Where the first young character is, or `bytes`. */
static size_t find_young(const char *text, size_t bytes)
{
    size_t at = 0, next = 0;

    while (next < bytes && !is_young(next_char(text, bytes, &next))) at = next;
    return at;
}

/* In composed form, behind *n bytes of `out`. */
static bool compose_part(const char *text, size_t bytes, char *out, size_t *n)
{
    utf8proc_uint8_t *made = NULL;
    const utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes,
                     &made, UTF8PROC_STABLE | UTF8PROC_COMPOSE);

    if (length < 0) return false;
    memcpy(out + *n, made, (size_t)length);
    free(made);
    *n += (size_t)length;
    return true;
}

/* A character takes three times its bytes in composed form at most. */
static char *compose(const char *text, size_t bytes, size_t *n)
{
    char *out = malloc(3 * bytes + 1);

    *n = 0;
    for (size_t at = 0, next; out && at < bytes; at = next) {
        next = at + find_young(text + at, bytes - at);
        if (!compose_part(text + at, next - at, out, n)) {
            free(out);
            return NULL;
        }
        at = next;
        if (at < bytes) next_char(text, bytes, &next);
        memcpy(out + *n, text + at, next - at);
        *n += next - at;
    }
    return out;
}

static size_t put_char(int32_t c, char *out)
{
    return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}

/* In lower case. One capital has two characters for that: I with a dot is an i
 * and the dot. */
static size_t put_lower(int32_t c, char *out)
{
    enum { I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    size_t n;

    if (c != I_WITH_DOT) return put_char(utf8proc_tolower(c), out);
    n = put_char('i', out);
    return n + put_char(DOT_ABOVE, out + n);
}

/* `out` has room for three bytes for each of `bytes`. */
static size_t lower(const char *text, size_t bytes, char *out)
{
    bool spaced = false;
    size_t n = 0;

    for (size_t at = 0; at < bytes;) {
        const int32_t c = next_char(text, bytes, &at);
        const bool space = is_space(c);

        if (!space)
            n += put_lower(c, out + n);
        else if (!spaced)
            out[n++] = ' ';
        spaced = space;
    }
    out[n] = 0;
    return n;
}

weft_status weft_words_clean(const char *text, size_t bytes, char **out,
                             size_t *n)
{
    size_t length = 0;
    char *composed = compose(text, bytes, &length);
    char *made = composed ? malloc(3 * length + 1) : NULL;

    if (made) *n = lower(composed, length, made);
    free(composed);
    if (!made) return weft_fail(WEFT_ENOMEM, "out of memory for a text");
    *out = made;
    return WEFT_OK;
}

size_t weft_words_run(const char *text, size_t bytes, size_t at, bool space)
{
    while (at < bytes) {
        size_t next = at;

        if (is_space(next_char(text, bytes, &next)) != space) break;
        at = next;
    }
    return at;
}

/* ---- words --------------------------------------------------------------- */

static bool begins_with(const char *text, size_t bytes, const char *word)
{
    const size_t n = strlen(word);

    return bytes >= n && memcmp(text, word, n) == 0;
}

/* Bytes of a contraction at the beginning of the text; 0: none. */
static size_t contraction(const char *text, size_t bytes)
{
    static const char *const known[] = {"'s", "'t",  "'re", "'ve",
                                        "'m", "'ll", "'d"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (begins_with(text, bytes, known[i])) return strlen(known[i]);
    return 0;
}

/* Bytes of a special token that is spelt out. */
static size_t special(const char *text, size_t bytes)
{
    static const char *const known[] = {"<|startoftext|>", "<|endoftext|>"};

    for (size_t i = 0; i < 2; i++)
        if (begins_with(text, bytes, known[i])) return strlen(known[i]);
    return 0;
}

/* Where the run of one kind that goes on at `at` ends. */
static size_t run_end(const char *text, size_t bytes, size_t at, kind of)
{
    while (at < bytes) {
        size_t next = at;

        if (kind_of(next_char(text, bytes, &next)) != of) break;
        at = next;
    }
    return at;
}

/* A special token in three words: "<|", its letters, "|>". */
static size_t part_of_special(weft_words *w, size_t begin)
{
    const size_t whole = special(w->text + begin, w->bytes - begin);

    if (w->spelt == 0 && !whole) return 0;
    w->spelt = (w->spelt + 1) % 3;
    return w->spelt == 2 ? run_end(w->text, w->bytes, begin, LETTER) - begin
                         : 2;
}

bool weft_words_next(weft_words *w, const char **word, size_t *n)
{
    size_t begin = w->at, end = w->at;
    kind of = SPACE;

    while (end < w->bytes && of == SPACE) {
        begin = end;
        of = kind_of(next_char(w->text, w->bytes, &end));
    }
    *word = w->text + begin;
    w->at = end;
    if (of == SPACE) return false;
    *n = part_of_special(w, begin);
    if (!*n) *n = contraction(*word, w->bytes - begin);
    if (!*n)
        *n = (of == NUMBER ? end : run_end(w->text, w->bytes, end, of)) - begin;
    w->at = begin + *n;
    return true;
}
