#include "core/solve/brownian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- seeds --------------------------------------------------------------- */

enum { POOL = 24 };

/* A word into the hash, whose constant moves on with each. */
static uint32_t hashed(uint32_t word, uint32_t *constant, uint32_t factor)
{
    word ^= *constant;
    *constant *= factor;
    word *= *constant;
    return word ^ word >> 16;
}

static uint32_t mixed(uint32_t a, uint32_t b)
{
    const uint32_t v = 0xca01f9ddu * a - 0x4973f715u * b;

    return v ^ v >> 16;
}

/* A number as words, the low one first; 0 has one word. */
static int append(uint32_t *words, int n, uint64_t v)
{
    words[n++] = (uint32_t)v;
    if (v >> 32) words[n++] = (uint32_t)(v >> 32);
    return n;
}

void weft_seed_sequence(uint64_t entropy, const uint64_t spawn[2],
                        uint32_t *out, int words)
{
    uint32_t in[POOL + 4] = {0}, pool[POOL];
    uint32_t constant = 0x43b0d7e5u;
    int n = append(in, 0, entropy);

    if (spawn) {
        n = append(in, POOL, spawn[0]);
        n = append(in, n, spawn[1]);
    }
    for (int i = 0; i < POOL; i++)
        pool[i] = hashed(in[i], &constant, 0x931e8875u);
    for (int from = 0; from < POOL; from++)
        for (int to = 0; to < POOL; to++)
            if (from != to)
                pool[to] =
                    mixed(pool[to], hashed(pool[from], &constant, 0x931e8875u));
    for (int from = POOL; from < n; from++)
        for (int to = 0; to < POOL; to++)
            pool[to] =
                mixed(pool[to], hashed(in[from], &constant, 0x931e8875u));
    constant = 0x8b51f9ddu;
    for (int i = 0; i < words; i++)
        out[i] = hashed(pool[i % POOL], &constant, 0x58f38dedu);
}

/* ---- the tree ------------------------------------------------------------ */

/* An interval, and which it is: `key` counts those of its depth. */
typedef struct node {
    double start, middle, end;
    uint64_t key, depth;
} node;

/* To the sixth decimal, as Python's round does: exact, ties to even. */
static double rounded(double v)
{
    char text[64];

    snprintf(text, sizeof text, "%.6f", v);
    return strtod(text, NULL);
}

static node node_of(double start, double end, uint64_t key, uint64_t depth)
{
    return (node){start, rounded((start + end) / 2), end, key, depth};
}

static node half_of(const node *n, bool right)
{
    return right ? node_of(n->middle, n->end, 2 * n->key + 1, n->depth + 1)
                 : node_of(n->start, n->middle, 2 * n->key, n->depth + 1);
}

/* The field of a node; NULL: of the whole path. Seeds of torch's generators
 * have 32 bits here, as in torchsde. */
static void fill(const weft_brownian *b, const node *n, float *out,
                 size_t row_stride)
{
    uint32_t word[2];
    uint64_t seed;
    weft_noise own;

    weft_seed_sequence(b->stream->seed,
                       n ? (const uint64_t[]){n->key, n->depth} : NULL, word,
                       2);
    seed = word[0];
    if (b->stream->kind == WEFT_RNG_COUNTER) seed |= (uint64_t)word[1] << 32;
    weft_noise_init(&own, b->stream->kind, seed);
    own.threads = b->stream->threads;
    weft_noise_fill(&own, b->field, out, row_stride);
}

/* out = c.x a + c.m b over my rows of one image. */
static void rows(const weft_brownian *b, weft_mix c, const float *a,
                 const float *m, float *out, size_t row_stride)
{
    const int n = b->field->columns * b->field->c;

    for (int y = 0; y < b->field->rows; y++)
        for (int k = 0; k < n; k++) {
            const size_t at = (size_t)y * row_stride + (size_t)k;

            out[at] = (float)(c.x * a[at] + c.m * m[at]);
        }
}

/* From w, the increment over a node, to that over one of its halves; the other
 * half's is added to `sum` where that is wanted. */
static void descend(const weft_brownian *b, const node *n, bool right,
                    bool other, float *const room[3], size_t row_stride)
{
    const double left = n->middle - n->start, rest = n->end - n->middle;
    const double part = left / (n->end - n->start);
    float *sum = room[0], *w = room[1], *z = room[2];

    fill(b, n, z, row_stride);
    rows(b, (weft_mix){part, sqrt(part * rest)}, w, z, z, row_stride);
    rows(b, (weft_mix){1, -1}, w, z, w, row_stride);
    if (other) rows(b, (weft_mix){1, 1}, sum, right ? z : w, sum, row_stride);
    if (!right) rows(b, (weft_mix){0, 1}, w, z, w, row_stride);
}

/* Adds to the sum what lies from `from` to `to` on one side of the first node
 * whose middle divides it. True: it lies on that side only. */
static bool walk(const weft_brownian *b, bool right, double from, double to,
                 float *const room[3], size_t row_stride)
{
    node n = node_of(rounded(b->low), rounded(b->high), 0, 0);
    bool whole = true;

    fill(b, NULL, room[1], row_stride);
    rows(b, (weft_mix){sqrt(b->high - b->low), 0}, room[1], room[1], room[1],
         row_stride);
    while (from < to && (from != n.start || to != n.end)) {
        const bool divides = from < n.middle && to > n.middle;
        const bool go = divides ? right : from >= n.middle;

        descend(b, &n, go, divides && !whole, room, row_stride);
        if (divides && right) from = n.middle;
        if (divides && !right) to = n.middle;
        whole = whole && !divides;
        n = half_of(&n, go);
    }
    rows(b, (weft_mix){1, from < to}, room[0], room[1], room[0], row_stride);
    return whole;
}

static double within(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

void weft_brownian_increment(const weft_brownian *b, double from, double to,
                             float *const room[3], size_t row_stride)
{
    const double low = rounded(b->low), high = rounded(b->high);
    const double a = rounded(within(from, low, high));
    const double z = rounded(within(to, low, high));

    for (int y = 0; y < b->field->rows; y++)
        memset(room[0] + (size_t)y * row_stride, 0,
               (size_t)(b->field->columns * b->field->c) * sizeof(float));
    if (!walk(b, false, a, z, room, row_stride))
        walk(b, true, a, z, room, row_stride);
}

void weft_brownian_add(weft_solver *s, double from, double to, double amount,
                       float *const room[3], float *x)
{
    const size_t sample = (size_t)s->batch.w * (size_t)s->batch.c;
    const size_t stride = (size_t)s->batch.n * sample;
    const int last = s->steps - (s->sigma[s->steps] > 0 ? 0 : 1);
    double scale;

    if (amount == 0) return;
    for (int k = 0; k < s->batch.n; k++) {
        const size_t at = (size_t)k * sample;
        const weft_brownian b = {&s->noise[k], &s->field, s->sigma[last],
                                 s->sigma[0]};

        weft_brownian_increment(
            &b, to, from,
            (float *const[]){room[0] + at, room[1] + at, room[2] + at}, stride);
    }
    /* The path goes up with sigma, and the step down. */
    scale = -amount / sqrt(from - to);
    weft_blend((weft_mix){1, scale}, x, room[0], weft_solver_floats(s));
}
