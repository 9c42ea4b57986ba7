#include "core/text/prompt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/prompt_parse.h"
#include "core/text/words.h"

/* A full chunk ends at a comma that is not further back than this. */
enum { BACK_TO_COMMA = 20 };

/* ---- chunks -------------------------------------------------------------- */

/* Ids that a chunk begins with. */
static int lead(const weft_tokenizer_info *info) { return info->begin >= 0; }

/* Room for one more chunk, which is empty: begin, end, padding. */
static weft_status add_chunk(const weft_tokenizer_info *info, weft_prompt *p)
{
    const size_t n = (size_t)info->most, all = (size_t)(p->chunks + 1) * n;
    int *id = realloc(p->id, all * sizeof *id);
    double *weight;

    if (id) p->id = id;
    weight = realloc(p->weight, all * sizeof *weight);
    if (weight) p->weight = weight;
    if (!id || !weight)
        return weft_fail(WEFT_ENOMEM, "out of memory for a prompt");
    id += (size_t)p->chunks * n;
    weight += (size_t)p->chunks * n;
    for (size_t i = 0; i < n; i++) id[i] = info->pad, weight[i] = 1;
    if (lead(info)) id[0] = info->begin;
    id[lead(info)] = info->end;
    p->length = info->most;
    p->chunks++;
    return WEFT_OK;
}

/* A chunk that is filled: its tokens, of which `comma` is the last comma. */
typedef struct chunk {
    const weft_tokenizer_info *info;
    weft_prompt *p;
    int n, comma; /* comma -1: none */
} chunk;

static int *ids_of(const chunk *c)
{
    return c->p->id + (size_t)(c->p->chunks - 1) * (size_t)c->p->length +
           lead(c->info);
}

static double *weights_of(const chunk *c)
{
    return c->p->weight + (size_t)(c->p->chunks - 1) * (size_t)c->p->length +
           lead(c->info);
}

static weft_status next_chunk(chunk *c)
{
    WEFT_TRY(add_chunk(c->info, c->p));
    c->n = 0;
    c->comma = -1;
    return WEFT_OK;
}

static void put(chunk *c, int id, double weight)
{
    ids_of(c)[c->n] = id;
    weights_of(c)[c->n] = weight;
    if (weight != 1) c->p->weighted = true;
    ids_of(c)[++c->n] = c->info->end;
}

/* Tokens `from` to `to` of a chunk that is not the last any more are the first
 * of the last. */
static void move(chunk *c, int from, int to)
{
    const int length = c->p->length;
    int *id = ids_of(c) - length;
    double *weight = weights_of(c) - length;

    for (int i = from; i < to; i++) {
        put(c, id[i], weight[i]);
        id[i] = i == from ? c->info->end : c->info->pad;
        weight[i] = 1;
    }
    if (from < to) id[to] = c->info->pad;
}

static weft_status add_token(chunk *c, int id, double weight)
{
    const int full = c->p->length - 1 - lead(c->info), comma = c->comma;

    if (c->n == full) {
        const int n = c->n;

        WEFT_TRY(next_chunk(c));
        if (id != c->info->comma && comma >= 0 && n - comma <= BACK_TO_COMMA)
            move(c, comma + 1, n);
    }
    if (id == c->info->comma) c->comma = c->n;
    put(c, id, weight);
    return WEFT_OK;
}

/* ---- plain --------------------------------------------------------------- */

/* How many tokens text[from .. to) is. */
static weft_status count(const weft_tokenizer *t, const char *text, size_t from,
                         size_t to, int *n)
{
    weft_ids ids = {0};
    const weft_status st = weft_tokenize(t, text + from, to - from, &ids);

    *n = (int)ids.n;
    weft_ids_release(&ids);
    return st;
}

/* The text from the first word on that does not fit whole. No token lies across
 * white space, so counts of words add up. */
static weft_status tell_cut(const weft_tokenizer *t, const char *text,
                            size_t bytes, int most, char **cut)
{
    size_t at = 0, end;

    for (int total = 0, n = 0; total <= most; at = end) {
        at = weft_words_run(text, bytes, at, true);
        end = weft_words_run(text, bytes, at, false);
        WEFT_TRY(count(t, text, at, end, &n));
        total += n;
        if (total > most || at == bytes) break;
    }
    *cut = strdup(text + at);
    return *cut ? WEFT_OK
                : weft_fail(WEFT_ENOMEM, "out of memory for a prompt");
}

static weft_status put_plain(const weft_tokenizer *t, const char *text,
                             const weft_ids *ids, weft_prompt *p)
{
    chunk c = {weft_tokenizer_tell(t), p, 0, -1};
    const size_t most = (size_t)(c.info->most - 1 - lead(c.info));

    WEFT_TRY(next_chunk(&c));
    for (size_t i = 0; i < ids->n && i < most; i++) put(&c, ids->id[i], 1);
    if (ids->n <= most) return WEFT_OK;
    return tell_cut(t, text, strlen(text), (int)most, &p->cut);
}

static weft_status check_length(const char *text)
{
    const size_t n = strlen(text);

    if (n <= WEFT_MOST_PROMPT) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "a prompt of %zu bytes, at most %d are accepted", n,
                     WEFT_MOST_PROMPT);
}

weft_status weft_prompt_plain(const weft_tokenizer *t, const char *text,
                              weft_prompt *p)
{
    weft_prompt made = {0};
    weft_ids ids = {0};
    weft_status st = check_length(text);

    if (st == WEFT_OK) st = weft_tokenize(t, text, strlen(text), &ids);
    if (st == WEFT_OK) st = put_plain(t, text, &ids, &made);
    weft_ids_release(&ids);
    if (st == WEFT_OK)
        *p = made;
    else
        weft_prompt_release(&made);
    return st;
}

/* ---- weighted ------------------------------------------------------------ */

static weft_status add_span(const weft_tokenizer *t, const weft_prompt_spans *s,
                            int i, chunk *c)
{
    const weft_prompt_span *x = &s->span[i];
    weft_ids ids = {0};
    weft_status st;

    if (x->is_break) return next_chunk(c);
    st = weft_tokenize(t, s->text + x->from, x->to - x->from, &ids);
    for (size_t k = 0; k < ids.n && st == WEFT_OK; k++)
        st = add_token(c, ids.id[k], x->weight);
    weft_ids_release(&ids);
    return st;
}

static weft_status put_spans(const weft_tokenizer *t,
                             const weft_prompt_spans *s, weft_prompt *p)
{
    chunk c = {weft_tokenizer_tell(t), p, 0, -1};

    WEFT_TRY(next_chunk(&c));
    for (int i = 0; i < s->n; i++) WEFT_TRY(add_span(t, s, i, &c));
    /* A break at the end begins nothing. */
    if (p->chunks > 1 && c.n == 0) p->chunks--;
    return WEFT_OK;
}

weft_status weft_prompt_weighted(const weft_tokenizer *t, const char *text,
                                 weft_prompt *p)
{
    weft_prompt made = {0};
    weft_prompt_spans s = {0};
    weft_status st;

    WEFT_TRY(weft_prompt_parse(text, strlen(text), &s));
    st = put_spans(t, &s, &made);
    weft_prompt_spans_release(&s);
    if (st == WEFT_OK)
        *p = made;
    else
        weft_prompt_release(&made);
    return st;
}

void weft_prompt_release(weft_prompt *p)
{
    free(p->id);
    free(p->weight);
    free(p->cut);
    *p = (weft_prompt){0};
}

weft_status weft_prompt_lengthen(const weft_tokenizer *t, weft_prompt *p,
                                 int chunks)
{
    while (p->chunks < chunks) WEFT_TRY(add_chunk(weft_tokenizer_tell(t), p));
    return WEFT_OK;
}

/* ---- weights ------------------------------------------------------------- */

static double sum_of(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void scale(float *x, size_t n, double factor)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(x[i] * factor);
}

void weft_prompt_weigh(const weft_prompt *p, int c, float *hidden)
{
    const size_t channels = (size_t)c, length = (size_t)p->length;
    const double *weight = p->weight;

    for (int k = 0; k < p->chunks && p->weighted; k++, weight += length) {
        float *x = hidden + (size_t)k * length * channels;
        const double before = sum_of(x, length * channels);
        double after;

        for (size_t i = 0; i < length; i++)
            scale(x + i * channels, channels, weight[i]);
        after = sum_of(x, length * channels);
        /* Where all is weighted away there is no mean to restore. */
        if (isnormal(before / after))
            scale(x, length * channels, before / after);
    }
}
