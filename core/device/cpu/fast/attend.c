/*
 * attend.c - attention with online softmax: keys pass in blocks, in global
 * order, so a query's result does not depend on which others are with it.
 *
 * A task is a run of queries of one sample and head. It packs each block of
 * keys and values once, then all its queries pass over them a few at a time.
 * Exponentials are to base 2; log2(e) is in the scale.
 */
#include "core/device/cpu/fast/kernel.h"

#include <math.h>

enum {
    BLOCK = ATTEND_BLOCK,
    KSUM = 256,   /* most terms of a scalar product per chunk: too */
    QROWS = 48,   /* queries at a time: their scores stay in the cache */
    CHUNK = 1024, /* most queries of a task */
    CHUNK_BYTES = 1 << 21 /* of their state */
};

#define LOG2E 1.44269504f

typedef struct job {
    const weft_attend_args *a;
    weft_pool *pool;
    int queries, chunks;
} job;

typedef struct room {
    float *keys;      /* [block / NR][dim][NR] */
    float *values;    /* [panel of columns][block][its columns] */
    float *q;         /* [chunk][dim], scaled */
    float *acc;       /* [chunk][wide] */
    float *top, *sum; /* [chunk] */
    float *score;     /* [QROWS][block] */
} room;

/* Queries per task at most, for this dim. */
static int chunk_of(int dim)
{
    const int fit = CHUNK_BYTES / (8 * round_up(dim, VL));
    return max_int(QROWS, min_int(CHUNK, fit) / QROWS * QROWS);
}

static float *take(char *base, size_t *at, size_t floats)
{
    float *p = (float *)(void *)(base + *at);
    *at += (floats + 15) / 16 * 64;
    return p;
}

static size_t lay(int dim, char *base, room *r)
{
    const size_t wide = round_up(dim, VL), chunk = chunk_of(dim);
    size_t at = 0;
    r->keys = take(base, &at, (size_t)BLOCK * dim);
    r->values = take(base, &at, BLOCK * wide);
    r->q = take(base, &at, chunk * dim);
    r->acc = take(base, &at, chunk * wide);
    r->top = take(base, &at, chunk);
    r->sum = take(base, &at, chunk);
    r->score = take(base, &at, (size_t)QROWS * BLOCK);
    return at;
}

size_t ISA(attend_scratch)(int w, int heads, int dim)
{
    room r;
    (void)w, (void)heads;
    return lay(dim, NULL, &r);
}

/* Vectors in the panel of values that starts at vector i of n: 2 2 .. 3|2|1. */
static int value_vectors(int n, int i) { return n - i <= 3 ? n - i : 2; }

/* ---- a block of keys ----------------------------------------------------- */

typedef struct block {
    const float *key[BLOCK]; /* values lie c floats behind */
    int n;
} block;

static void find_keys(const weft_attend_args *a, int s, int head, int t0,
                      block *b)
{
    const ptrdiff_t step = (ptrdiff_t)2 * a->heads * a->dim;
    const int keys = a->key_rows * a->key_w;
    const int strips = ceil_div(a->key_w, a->strip);
    b->n = min_int(BLOCK, keys - t0);
    for (int i = 0, run; i < b->n; i += run) {
        const int y = (t0 + i) / a->key_w, x = (t0 + i) % a->key_w;
        const int k = x / a->strip, end = min_int((k + 1) * a->strip, a->key_w);
        const float *key = a->kv[((ptrdiff_t)y * a->n + s) * strips + k] +
                           x % a->strip * step + head * a->dim;
        run = min_int(b->n - i, end - x);
        for (int q = 0; q < run; q++, key += step) b->key[i + q] = key;
    }
}

/* Keys lie far apart, where no hardware looks ahead. */
enum { AHEAD = 16 };

static void fetch_key(const block *b, int t, ptrdiff_t at)
{
    if (t < b->n) vprefetch(b->key[t] + at);
}

/* A line of each key at a time: what is written stays in the cache. */
static void pack_keys(const block *b, int dim, float *out)
{
    static const float none[16];
    for (int t0 = 0; t0 < b->n; t0 += NR)
        for (int i = 0, n; i < dim; i += n, out += (ptrdiff_t)n * NR) {
            n = min_int(16, dim - i);
            for (int t = 0; t < NR; t++) {
                const float *k = t0 + t < b->n ? b->key[t0 + t] + i : none;
                for (int q = 0; q < n; q++) out[q * NR + t] = k[q];
                fetch_key(b, t0 + NR + t, i);
            }
        }
}

static void pack_values(const block *b, int c, int dim, float *out)
{
    const int n = ceil_div(dim, VL);
    for (int i = 0, nv; i < n; i += nv) {
        nv = value_vectors(n, i);
        for (int t = 0; t < b->n; t++)
            for (int u = i; u < i + nv; u++, out += VL) {
                const float *v = b->key[t] + c + u * VL;
                vst(out, vload(v, min_int(VL, dim - u * VL)));
                fetch_key(b, t + AHEAD, c + u * VL);
            }
    }
}

/* ---- softmax ------------------------------------------------------------- */

/* Scores become weights, which join the sums of their lanes. */
INLINE void soften_vectors(int count, float *s, float most, vf *total)
{
    vf x[EXPS];
    UNROLL for (int i = 0; i < count; i++) x[i] = vld(s + i * VL) - vset(most);
    vexp2s(count, x);
    UNROLL for (int i = 0; i < count; i++)
    {
        total[i % UNITS] += x[i];
        vst(s + i * VL, x[i]);
    }
}

/* n scores of one query become weights; returns the factor for all that was
 * summed before. Scores up to a multiple of 16 count as minus infinity. */
static float soften(float *s, int n, float *top, float *sum)
{
    const int padded = round_up(n, LANES);
    vf most[UNITS], total[UNITS];
    for (int i = n; i < padded; i++) s[i] = -INFINITY;
    for (int u = 0; u < UNITS; u++) most[u] = vset(*top), total[u] = vset(0);
    for (int i = 0; i < padded; i += LANES)
        for (int u = 0; u < UNITS; u++)
            most[u] = vmax(most[u], vld(s + i + u * VL));
    const float old = *top, now = vmax16(most);
    int i = 0;
    for (; i + EXPS * VL <= padded; i += EXPS * VL)
        soften_vectors(EXPS, s + i, now, total);
    for (; i < padded; i += LANES) soften_vectors(UNITS, s + i, now, total);
    float keep[VL] = {1};
    if (old != now) vst(keep, vexp2(vset(old - now)));
    *top = now;
    *sum = *sum * keep[0] + vsum16(total);
    return keep[0];
}

/* ---- a task -------------------------------------------------------------- */

static void scores(const float *const *q, int n, int dim, const room *r,
                   int keys)
{
    const float *b = r->keys;
    for (int t = 0; t < keys; t += NR)
        for (int k = 0; k < dim; k += KSUM) {
            const segment s = {q, k, min_int(KSUM, dim - k)};
            const float *next = b + (size_t)s.k * NR;
            const target to = sums_at(r->score + t, BLOCK, k > 0);
            ISA(chunk)(n, &s, 1, b, WEFT_F32, NV, &to, next);
            b = next;
        }
}

/* acc of n queries += weights times values */
static void gather(const float *const *weight, int n, int dim, int keys,
                   const float *values, float *acc)
{
    const int count = ceil_div(dim, VL), wide = count * VL;
    for (int i = 0, nv; i < count; i += nv) {
        nv = value_vectors(count, i);
        const segment s = {weight, 0, keys};
        const float *next = values + (size_t)keys * nv * VL;
        const target to = sums_at(acc + i * VL, wide, true);
        ISA(chunk)(n, &s, 1, values, WEFT_F32, nv, &to, next);
        values = next;
    }
}

/* Scores of `keys` keys of which the first query sees `seen`, the next one
 * more: those of the others are minus infinity. */
static void hide(const room *r, int n, int keys, int seen)
{
    for (int i = 0; i < n; i++)
        for (int t = max_int(0, seen + i); t < keys; t++)
            r->score[i * BLOCK + t] = -INFINITY;
}

/* What the scores of query t and key k get, those of the next keys behind it
 * and of the next queries before it; NULL: nothing. */
static const float *tilt_of(const weft_attend_args *a, int head, int t, int k)
{
    const ptrdiff_t keys = (ptrdiff_t)a->key_rows * a->key_w;
    return a->tilt ? a->tilt + head * (2 * keys - 1) + keys - 1 + k - t : NULL;
}

static void add_tilt(const room *r, int n, int keys, const float *tilt)
{
    for (int i = 0; i < n && tilt; i++)
        for (int t = 0; t < keys; t++)
            r->score[i * BLOCK + t] += tilt[t - i] * LOG2E;
}

/* n queries, q0-th of the chunk on, pass over the packed block, of which the
 * first sees `seen` keys, where each sees one more than the one before. */
static void pass(const room *r, int q0, int n, int dim, int keys, int seen,
                 const float *tilt)
{
    const int wide = round_up(dim, VL);
    const float *q[QROWS], *weight[QROWS];
    for (int i = 0; i < n; i++) {
        q[i] = r->q + (size_t)(q0 + i) * dim;
        weight[i] = r->score + i * BLOCK;
    }
    scores(q, n, dim, r, keys);
    add_tilt(r, n, keys, tilt);
    hide(r, n, keys, seen);
    for (int i = 0; i < n; i++) {
        const float keep = soften(r->score + i * BLOCK, keys, &r->top[q0 + i],
                                  &r->sum[q0 + i]);
        float *acc = r->acc + (size_t)(q0 + i) * wide;
        if (keep != 1)
            for (int c = 0; c < wide; c += VL)
                vst(acc + c, vld(acc + c) * vset(keep));
    }
    gather(weight, n, dim, keys, r->values, r->acc + (size_t)q0 * wide);
}

/* The pixel of query t of a sample. */
static size_t pixel_of(const weft_attend_args *a, int s, int t)
{
    return ((size_t)(t / a->w) * a->n + s) * a->w + t % a->w;
}

/* Where its floats lie in queries and output. */
static size_t query_at(const weft_attend_args *a, int s, int head, int t)
{
    return pixel_of(a, s, t) * a->step + (size_t)head * a->dim;
}

/* Its state between two calls: dim sums, then the highest score and the sum of
 * weights. */
static float *state_of(const weft_attend_args *a, int s, int head, int t)
{
    const size_t query = pixel_of(a, s, t) * a->heads + head;
    return (float *)(void *)((char *)a->state +
                             query * WEFT_ATTEND_STATE(a->dim));
}

static void resume(const weft_attend_args *a, const room *r, int s, int head,
                   int t0, int n)
{
    const int dim = a->dim, wide = round_up(dim, VL);
    for (int i = 0; i < n; i++) {
        const float *state = state_of(a, s, head, t0 + i);
        memcpy(r->acc + (size_t)i * wide, state, dim * sizeof *state);
        r->top[i] = state[dim];
        r->sum[i] = state[dim + 1];
    }
}

static void suspend(const weft_attend_args *a, const room *r, int s, int head,
                    int t0, int n)
{
    const int dim = a->dim, wide = round_up(dim, VL);
    for (int i = 0; i < n; i++) {
        float *state = state_of(a, s, head, t0 + i);
        memcpy(state, r->acc + (size_t)i * wide, dim * sizeof *state);
        state[dim] = r->top[i];
        state[dim + 1] = r->sum[i];
    }
}

static void start(const weft_attend_args *a, const room *r, int s, int head,
                  int t0, int n)
{
    const int dim = a->dim, wide = round_up(dim, VL);
    const float scale = a->scale * LOG2E;
    for (int i = 0; i < n; i++) {
        const float *q = a->q + query_at(a, s, head, t0 + i);
        for (int c = 0; c < dim; c++) r->q[(size_t)i * dim + c] = q[c] * scale;
        r->top[i] = -1e30f;
        r->sum[i] = 0;
    }
    memset(r->acc, 0, (size_t)n * wide * sizeof *r->acc);
}

static void finish(const weft_attend_args *a, const room *r, int s, int head,
                   int t0, int n)
{
    const int dim = a->dim, wide = round_up(dim, VL);
    for (int i = 0; i < n; i++) {
        float *out = a->out + query_at(a, s, head, t0 + i);
        for (int c = 0; c < dim; c++)
            out[c] = r->acc[(size_t)i * wide + c] / r->sum[i];
    }
}

static void attend_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_attend_args *a = j->a;
    const int part = i % j->chunks, head = i / j->chunks % a->heads;
    const int s = i / j->chunks / a->heads, keys = a->key_rows * a->key_w;
    const int end = a->key1 ? a->key1 : keys;
    const int t0 = part_begin(j->queries, part, j->chunks);
    const int n = part_begin(j->queries, part + 1, j->chunks) - t0;
    room r;
    block b;
    lay(a->dim, weft_pool_scratch(j->pool, worker), &r);
    start(a, &r, s, head, t0, n);
    if (a->key0) resume(a, &r, s, head, t0, n);
    for (int k0 = a->key0; k0 < end; k0 += BLOCK) {
        find_keys(a, s, head, k0, &b);
        pack_keys(&b, a->dim, r.keys);
        pack_values(&b, a->heads * a->dim, a->dim, r.values);
        for (int q = 0; q < n; q += QROWS)
            pass(&r, q, min_int(QROWS, n - q), a->dim, b.n,
                 a->causal ? t0 + q + 1 - k0 : b.n,
                 tilt_of(a, head, t0 + q, k0));
    }
    if (end < keys)
        suspend(a, &r, s, head, t0, n);
    else
        finish(a, &r, s, head, t0, n);
}

void ISA(attend)(const weft_attend_args *a, weft_pool *pool)
{
    const int threads = weft_pool_size(pool), most = chunk_of(a->dim);
    job j = {a, pool, a->rows * a->w, 1};
    if (j.queries <= 0) return;
    j.chunks = ceil_div(j.queries, most);
    const int heads = a->n * a->heads;
    if (threads > 1 && heads * j.chunks < 4 * threads)
        j.chunks =
            min_int(ceil_div(4 * threads, heads), ceil_div(j.queries, 2 * MR));
    j.chunks = max_int(j.chunks, ceil_div(j.queries, most));
    weft_pool_run(pool, j.chunks * heads, attend_task, &j);
}
