#include "core/text/prompt_parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double step = 1.1;

/* Brackets that are open: the span where each begins. */
typedef struct stack {
    int *first;
    int n;
} stack;

typedef struct parser {
    const char *in;
    size_t bytes, at;
    size_t out; /* bytes of text so far */
    weft_prompt_spans s;
    stack round, square;
} parser;

/* ---- spans --------------------------------------------------------------- */

static void add_span(parser *p, bool is_break)
{
    p->s.span[p->s.n++] = (weft_prompt_span){p->out, p->out, 1, is_break};
}

/* Bytes join the text, in a span of their own: each may get other weights. */
static void add_text(parser *p, const char *text, size_t bytes)
{
    if (!bytes) return;
    add_span(p, false);
    memcpy(p->s.text + p->out, text, bytes);
    p->out += bytes;
    p->s.span[p->s.n - 1].to = p->out;
}

static void open_bracket(parser *p, stack *s) { s->first[s->n++] = p->s.n; }

static void close_bracket(parser *p, stack *s, double factor)
{
    const int first = s->first[--s->n];

    for (int i = first; i < p->s.n; i++) p->s.span[i].weight *= factor;
}

/* ---- BREAK --------------------------------------------------------------- */

static bool is_word_byte(char c)
{
    const unsigned char u = (unsigned char)c;

    return u >= 0x80 || u == '_' || (u >= '0' && u <= '9') ||
           (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z');
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The first BREAK in a run of text that is a word by itself, or `bytes`. */
static size_t find_break(const char *text, size_t bytes)
{
    static const char word[] = "BREAK";
    const size_t n = sizeof word - 1;

    for (size_t i = 0; i + n <= bytes; i++)
        if (!memcmp(text + i, word, n) && (!i || !is_word_byte(text[i - 1])) &&
            (i + n == bytes || !is_word_byte(text[i + n])))
            return i;
    return bytes;
}

/* A run without signs of the grammar, with its breaks and no blanks around
 * them. */
static void add_run(parser *p, const char *text, size_t bytes)
{
    size_t at;

    while ((at = find_break(text, bytes)) < bytes) {
        size_t end = at, next = at + 5;

        while (end && is_blank(text[end - 1])) end--;
        while (next < bytes && is_blank(text[next])) next++;
        add_text(p, text, end);
        add_span(p, true);
        text += next;
        bytes -= next;
    }
    add_text(p, text, bytes);
}

/* ---- signs --------------------------------------------------------------- */

static bool is_digit(char c) { return c == '.' || (c >= '0' && c <= '9'); }

/* ":NUMBER)" with blanks within: its length, and where the number stands. 0:
 * it is none. */
static size_t weight_length(const parser *p, size_t *number, size_t *digits)
{
    const char *c = p->in;
    size_t i = p->at + 1;

    while (i < p->bytes && is_blank(c[i])) i++;
    *number = i;
    if (i < p->bytes && (c[i] == '+' || c[i] == '-')) i++;
    *digits = i;
    while (i < p->bytes && is_digit(c[i])) i++;
    if (i == *digits) return 0;
    *digits = i - *number;
    while (i < p->bytes && is_blank(c[i])) i++;
    return i < p->bytes && c[i] == ')' ? i + 1 - p->at : 0;
}

/* Of brackets together, too. */
static const double most_weight = 1e6;

static weft_status read_weight(const char *text, size_t bytes, double *weight)
{
    char number[32], *end;

    if (bytes < sizeof number) {
        memcpy(number, text, bytes);
        number[bytes] = 0;
        *weight = strtod(number, &end);
        if (!*end && fabs(*weight) <= most_weight) return WEFT_OK;
    }
    return weft_fail(WEFT_EINPUT,
                     "the weight \"%.*s\" is not a number of at most a million",
                     bytes < 40 ? (int)bytes : 40, text);
}

/* A colon: a weight that closes a bracket, or a sign like others. */
static weft_status take_colon(parser *p)
{
    size_t number, digits;
    const size_t n = weight_length(p, &number, &digits);
    double weight = 1;

    if (!n || !p->round.n) {
        add_text(p, p->in + p->at, n ? n : 1);
        p->at += n ? n : 1;
        return WEFT_OK;
    }
    WEFT_TRY(read_weight(p->in + number, digits, &weight));
    close_bracket(p, &p->round, weight);
    p->at += n;
    return WEFT_OK;
}

/* A backslash before a sign makes it text; any other is dropped. */
static void take_backslash(parser *p)
{
    const char next = p->at + 1 < p->bytes ? p->in[p->at + 1] : 0;

    p->at++;
    if (!next || !strchr("()[]\\", next)) return;
    add_text(p, &next, 1);
    p->at++;
}

static void take_bracket(parser *p, char c)
{
    stack *s = c == '(' || c == ')' ? &p->round : &p->square;

    if (c == '(' || c == '[')
        open_bracket(p, s);
    else if (s->n)
        close_bracket(p, s, c == ')' ? step : 1 / step);
    else
        add_text(p, &c, 1);
    p->at++;
}

static weft_status take(parser *p)
{
    static const char signs[] = "\\()[]:";
    const char c = p->in[p->at];
    size_t end = p->at;

    if (c == ':') return take_colon(p);
    if (c == '\\') {
        take_backslash(p);
    } else if (c && strchr(signs, c)) {
        take_bracket(p, c);
    } else {
        while (end < p->bytes && (!p->in[end] || !strchr(signs, p->in[end])))
            end++;
        add_run(p, p->in + p->at, end - p->at);
        p->at = end;
    }
    return WEFT_OK;
}

/* ---- all of it ----------------------------------------------------------- */

static void join_alike(weft_prompt_spans *s)
{
    int n = 0;

    for (int i = 0; i < s->n; i++) {
        const weft_prompt_span x = s->span[i];
        weft_prompt_span *last = n ? &s->span[n - 1] : NULL;

        if (last && !last->is_break && !x.is_break && last->weight == x.weight)
            last->to = x.to;
        else
            s->span[n++] = x;
    }
    s->n = n;
}

static weft_status parse(parser *p)
{
    while (p->at < p->bytes) WEFT_TRY(take(p));
    while (p->round.n) close_bracket(p, &p->round, step);
    while (p->square.n) close_bracket(p, &p->square, 1 / step);
    for (int i = 0; i < p->s.n; i++)
        if (!(fabs(p->s.span[i].weight) <= most_weight)) /* or not a number */
            return weft_fail(WEFT_EINPUT, "brackets within brackets make a "
                                          "weight of more than a million");
    join_alike(&p->s);
    return WEFT_OK;
}

void weft_prompt_spans_release(weft_prompt_spans *s)
{
    free(s->text);
    free(s->span);
    *s = (weft_prompt_spans){0};
}

/* No byte makes more than one span or bracket. */
weft_status weft_prompt_parse(const char *text, size_t bytes,
                              weft_prompt_spans *s)
{
    parser p = {.in = text, .bytes = bytes};
    weft_status st = WEFT_OK;

    if (bytes > WEFT_MOST_PROMPT)
        return weft_fail(WEFT_EINPUT,
                         "a prompt of %zu bytes, at most %d are accepted",
                         bytes, WEFT_MOST_PROMPT);
    p.s.text = malloc(bytes + 1);
    p.s.span = malloc((bytes + 1) * sizeof *p.s.span);
    p.round.first = malloc((bytes + 1) * sizeof *p.round.first);
    p.square.first = malloc((bytes + 1) * sizeof *p.square.first);
    if (!p.s.text || !p.s.span || !p.round.first || !p.square.first)
        st = weft_fail(WEFT_ENOMEM, "out of memory for a prompt");
    if (st == WEFT_OK) st = parse(&p);
    free(p.round.first);
    free(p.square.first);
    if (st == WEFT_OK)
        *s = p.s;
    else
        weft_prompt_spans_release(&p.s);
    return st;
}
