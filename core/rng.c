#include "core/rng.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Same bytes everywhere: only IEEE additions, products, quotients and square
 * roots below, each rounded to its own type, never fused. */
_Static_assert(FLT_EVAL_METHOD == 0, "excess precision changes the noise");

const char *const weft_rng_name[WEFT_RNGS] = {"counter", "torch-cpu",
                                              "torch-cuda"};

/* ln x for positive normal x: x = 2^e m with m in [sqrt .5, sqrt 2), and
 * ln m = 2 artanh((m - 1) / (m + 1)) by its series. */
static inline double own_log(double x)
{
    const double ln2 = 0x1.62e42fefa39efp-1;
    uint64_t bits;
    int64_t e;
    double m, s, z, p;

    memcpy(&bits, &x, sizeof bits);
    /* Rounding the exponent up from sqrt .5 on keeps m around 1. */
    e = (int64_t)((bits - 0x3fe6a09e667f3bcdu) >> 52);
    e = (int64_t)((uint64_t)e << 52) >> 52;
    bits -= (uint64_t)e << 52;
    memcpy(&m, &bits, sizeof m);
    s = (m - 1) / (m + 1);
    z = s * s;
    p = 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return (double)e * ln2 + (2 * s + 2 * s * z * p);
}

/* sin and cos of quadrant * pi / 2 + x, |x| <= pi / 4, by their series. */
static inline void own_sincos(int quadrant, double x, double *sine,
                              double *cosine)
{
    const double z = x * x;
    double s, c, t;

    s = -1.0 / 1307674368000;
    s = s * z + 1.0 / 6227020800;
    s = s * z - 1.0 / 39916800;
    s = s * z + 1.0 / 362880;
    s = s * z - 1.0 / 5040;
    s = s * z + 1.0 / 120;
    s = s * z - 1.0 / 6;
    s = x + x * z * s;
    c = 1.0 / 20922789888000;
    c = c * z - 1.0 / 87178291200;
    c = c * z + 1.0 / 479001600;
    c = c * z - 1.0 / 3628800;
    c = c * z + 1.0 / 40320;
    c = c * z - 1.0 / 720;
    c = c * z + 1.0 / 24;
    c = c * z - 0.5;
    c = 1 + z * c;
    t = quadrant & 1 ? c : s;
    c = quadrant & 1 ? s : c;
    *sine = quadrant & 2 ? -t : t;
    *cosine = (quadrant + 1) & 2 ? -c : c;
}

static inline void philox_round(uint32_t v[4], uint32_t k0, uint32_t k1)
{
    const uint64_t a = (uint64_t)0xD2511F53u * v[0];
    const uint64_t b = (uint64_t)0xCD9E8D57u * v[2];
    const uint32_t v1 = v[1], v3 = v[3];

    v[0] = (uint32_t)(b >> 32) ^ v1 ^ k0;
    v[1] = (uint32_t)b;
    v[2] = (uint32_t)(a >> 32) ^ v3 ^ k1;
    v[3] = (uint32_t)a;
}

void weft_philox(const uint32_t counter[4], const uint32_t key[2],
                 uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];

    memcpy(out, counter, 4 * sizeof *out);
    for (int i = 0; i < 10; i++) {
        philox_round(out, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Box-Muller on two words. The first is a uniform in the middle of its cell,
 * so never 0; the second an angle as a fraction of a turn, split exactly into
 * quadrant and rest. */
static inline void normal_pair(uint32_t a, uint32_t b, float *z0, float *z1)
{
    const double u = ((double)a + 0.5) * 0x1p-32;
    const uint32_t turned = b + 0x20000000u;
    const int32_t rest = (int32_t)(turned & 0x3fffffffu) - 0x20000000;
    const double x = (double)rest * (0x1.921fb54442d18p+2 * 0x1p-32);
    const double r = sqrt(-2 * own_log(u));
    double sine, cosine;

    own_sincos((int)(turned >> 30), x, &sine, &cosine);
    *z0 = (float)(r * cosine);
    *z1 = (float)(r * sine);
}

/* The four normals of elements 4 block .. 4 block + 3. Word 3 of the counter
 * names the stream; fields of noise are stream 0. */
static inline void counter_block(const weft_noise *s, uint64_t block,
                                 float z[4])
{
    const uint32_t key[2] = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32),
                                 s->draw, 0};
    uint32_t v[4];

    weft_philox(counter, key, v);
    normal_pair(v[0], v[1], &z[0], &z[1]);
    normal_pair(v[2], v[3], &z[2], &z[3]);
}

/* Elements first .. first + n - 1, to every stride-th float of out. */
static void counter_run(const weft_noise *s, uint64_t first, int n, float *out,
                        size_t stride)
{
    float z[4];
    int skip = (int)(first % 4);
    uint64_t block = first / 4;

    for (int done = 0; done < n; block++, skip = 0) {
        counter_block(s, block, z);
        for (int j = skip; j < 4 && done < n; j++, done++)
            out[(size_t)done * stride] = z[j];
    }
}

static void counter_fill(const weft_noise *s, const weft_field *f, float *out,
                         size_t row_stride)
{
    for (int c = 0; c < f->c; c++)
        for (int y = 0; y < f->rows; y++)
            counter_run(s,
                        ((uint64_t)c * f->h + f->row0 + y) * (uint64_t)f->w +
                            (uint64_t)f->column0,
                        f->columns, out + (size_t)y * row_stride + c,
                        (size_t)f->c);
}

/* ---- torch's CUDA generator ----------------------------------------------
 * A launch has as many blocks as the elements fill, or the GPU's threads if
 * that is less. Thread t owns subsequence t; it makes four normals at a time,
 * which are elements t, t + T, t + 2 T and t + 3 T, then goes on 4 T further.
 * A draw uses up as many counters as its threads do. */

static uint64_t field_elements(const weft_field *f)
{
    return (uint64_t)f->c * (uint64_t)f->h * (uint64_t)f->w;
}

/* T */
static uint64_t threads_of(const weft_noise *s, const weft_field *f)
{
    const uint64_t block = WEFT_GPU_BLOCK;
    const uint64_t filled = (field_elements(f) + block - 1) / block * block;

    return filled < (uint64_t)s->threads ? filled : (uint64_t)s->threads;
}

/* cuRAND's: everything is rounded to float, the angle 2 pi (b + .5) / 2^32 by a
 * fused multiply-add. */
static float cuda_normal(uint32_t a, uint32_t b, bool odd)
{
    const float turn = 0x1.921fb6p-30f; /* 2 pi / 2^32 */
    const float u = (float)a * 0x1p-32f + 0x1p-33f;
    const float theta =
        (float)((double)(float)b * (double)turn + (double)(turn / 2));
    const int quadrant = (int)((double)theta * 0x1.45f306dc9c883p-1 + 0.5);
    const double x = (double)theta - quadrant * 0x1.921fb54442d18p+0;
    const double r = sqrt(-2 * own_log((double)u));
    double sine, cosine;

    own_sincos(quadrant, x, &sine, &cosine);
    return (float)(r * (odd ? cosine : sine));
}

static float cuda_element(const weft_noise *s, uint64_t threads, uint64_t first,
                          uint64_t e)
{
    const uint64_t at = first + e / (4 * threads), rest = e % (4 * threads);
    const uint64_t thread = rest % threads;
    const int part = (int)(rest / threads);
    const uint32_t key[2] = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)at, (uint32_t)(at >> 32),
                                 (uint32_t)thread, 0};
    uint32_t v[4];

    weft_philox(counter, key, v);
    return cuda_normal(v[part & 2], v[(part & 2) + 1], part & 1);
}

static void cuda_fill(const weft_noise *s, const weft_field *f, float *out,
                      size_t row_stride)
{
    const uint64_t threads = threads_of(s, f), n = field_elements(f);
    const uint64_t first = s->draw * ((n - 1) / (4 * threads) + 1);

    for (int c = 0; c < f->c; c++)
        for (int y = 0; y < f->rows; y++) {
            const uint64_t e =
                ((uint64_t)c * f->h + f->row0 + y) * (uint64_t)f->w +
                (uint64_t)f->column0;
            float *to = out + (size_t)y * row_stride + c;

            for (int x = 0; x < f->columns; x++)
                to[(size_t)x * f->c] =
                    cuda_element(s, threads, first, e + (uint64_t)x);
        }
}

/* ---- torch's CPU generator ----------------------------------------------- */

void weft_mt19937_seed(weft_mt19937 *g, uint32_t seed)
{
    g->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++)
        g->state[i] =
            1812433253u * (g->state[i - 1] ^ g->state[i - 1] >> 30) + i;
    g->next = 624;
    g->has_cached = 0;
    g->cached = 0;
}

static inline uint32_t twist(uint32_t upper, uint32_t lower, uint32_t far)
{
    const uint32_t y = (upper & 0x80000000u) | (lower & 0x7fffffffu);

    return far ^ y >> 1 ^ (lower & 1 ? 0x9908b0dfu : 0);
}

static void mt_refill(weft_mt19937 *g)
{
    uint32_t *s = g->state;

    for (int i = 0; i < 624 - 397; i++)
        s[i] = twist(s[i], s[i + 1], s[i + 397]);
    for (int i = 624 - 397; i < 623; i++)
        s[i] = twist(s[i], s[i + 1], s[i - (624 - 397)]);
    s[623] = twist(s[623], s[0], s[396]);
    g->next = 0;
}

uint32_t weft_mt19937_next(weft_mt19937 *g)
{
    uint32_t y;

    if (g->next >= 624) mt_refill(g);
    y = g->state[g->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* Pass over n words without looking at them. */
static void mt_discard(weft_mt19937 *g, uint64_t n)
{
    while (n) {
        uint64_t here;

        if (g->next >= 624) mt_refill(g);
        here = (uint64_t)(624 - g->next);
        if (here > n) here = n;
        g->next += (int)here;
        n -= here;
    }
}

/* torch rounds the angle to float before it takes the sine; that rounding is
 * far above 1e-7, so it is part of the stream. */
static void torch_pair(float u1, float u2, float *z0, float *z1)
{
    const float theta = 6.28318530717958647692f * u2;
    const int quadrant = (int)((double)theta * 0x1.45f306dc9c883p-1 + 0.5);
    const double x = (double)theta - quadrant * 0x1.921fb54442d18p+0;
    const double r = sqrt(-2 * own_log((double)(1 - u1)));
    double sine, cosine;

    own_sincos(quadrant, x, &sine, &cosine);
    *z0 = (float)(r * cosine);
    *z1 = (float)(r * sine);
}

static inline float mt_uniform(weft_mt19937 *g)
{
    return (float)(weft_mt19937_next(g) & 0xffffffu) * 0x1p-24f;
}

/* torch fills in blocks of 16: eight radii, then eight angles. */
static void torch_block(weft_mt19937 *g, float z[16])
{
    for (int j = 0; j < 16; j++) z[j] = mt_uniform(g);
    for (int j = 0; j < 8; j++) torch_pair(z[j], z[j + 8], &z[j], &z[j + 8]);
}

/* 53 bits, the high word first. */
static double mt_uniform53(weft_mt19937 *g)
{
    const uint64_t high = weft_mt19937_next(g);
    const uint64_t bits = high << 32 | weft_mt19937_next(g);

    return (double)(bits & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* torch's way for fewer than 16: in double, the sine kept for the next call,
 * which may be in the next draw. */
static float torch_single(weft_mt19937 *g)
{
    double u1, u2, r, turned, sine, cosine;
    int quadrant;

    if (g->has_cached) {
        g->has_cached = 0;
        return (float)g->cached;
    }
    u1 = mt_uniform53(g);
    u2 = mt_uniform53(g);
    r = sqrt(-2 * own_log(1 - u2));
    turned = u1 * 4;
    quadrant = (int)(turned + 0.5);
    own_sincos(quadrant, (turned - quadrant) * 0x1.921fb54442d18p+0, &sine,
               &cosine);
    g->cached = r * sine;
    g->has_cached = 1;
    return (float)(r * cosine);
}

/* Walks the elements in torch's order and keeps mine. */
typedef struct cursor {
    const weft_field *f;
    float *out;
    size_t row_stride;
    int c, y, x;
} cursor;

static bool is_mine(const weft_field *f, int y, int x)
{
    return y >= f->row0 && y - f->row0 < f->rows && x >= f->column0 &&
           x - f->column0 < f->columns;
}

static void cursor_put(cursor *p, const float *z, int n)
{
    const weft_field *f = p->f;

    for (int j = 0; j < n; j++) {
        if (is_mine(f, p->y, p->x))
            p->out[(size_t)(p->y - f->row0) * p->row_stride +
                   (size_t)(p->x - f->column0) * f->c + p->c] = z[j];
        if (++p->x < f->w) continue;
        p->x = 0;
        if (++p->y < f->h) continue;
        p->y = 0;
        p->c++;
    }
}

/* n >= 16: whole blocks, and where n is no multiple of 16 the last 16 elements
 * again from fresh uniforms: what the blocks gave there never shows. */
static void torch_fill(weft_mt19937 *g, const weft_field *f, cursor *p)
{
    const uint64_t n = field_elements(f);
    const uint64_t shown = n % 16 ? n - 16 : n;
    float z[16];

    for (uint64_t i = 0; i + 16 <= n; i += 16) {
        torch_block(g, z);
        if (i < shown) cursor_put(p, z, shown - i < 16 ? (int)(shown - i) : 16);
    }
    if (n % 16 == 0) return;
    mt_discard(g, n % 16);
    torch_block(g, z);
    cursor_put(p, z, 16);
}

static void torch_fill_few(weft_mt19937 *g, const weft_field *f, cursor *p)
{
    for (uint64_t i = field_elements(f); i > 0; i--) {
        const float z = torch_single(g);

        cursor_put(p, &z, 1);
    }
}

void weft_noise_init(weft_noise *s, weft_rng_kind kind, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->seed = seed;
    if (kind == WEFT_RNG_TORCH_CUDA) s->threads = WEFT_GPU_THREADS;
    if (kind == WEFT_RNG_TORCH_CPU) weft_mt19937_seed(&s->mt, (uint32_t)seed);
}

void weft_noise_fill(weft_noise *s, const weft_field *f, float *out,
                     size_t row_stride)
{
    cursor p = {f, out, row_stride, 0, 0, 0};

    if (s->kind == WEFT_RNG_COUNTER)
        counter_fill(s, f, out, row_stride);
    else if (s->kind == WEFT_RNG_TORCH_CUDA)
        cuda_fill(s, f, out, row_stride);
    else if (field_elements(f) < 16)
        torch_fill_few(&s->mt, f, &p);
    else
        torch_fill(&s->mt, f, &p);
    s->draw++;
}

void weft_noise_skip(weft_noise *s, const weft_field *f, int draws)
{
    const uint64_t n = field_elements(f);

    for (int i = 0; i < draws; i++, s->draw++) {
        if (s->kind != WEFT_RNG_TORCH_CPU) continue;
        if (n >= 16)
            mt_discard(&s->mt, n + (n % 16 ? 16 : 0));
        else
            for (uint64_t k = 0; k < n; k++) torch_single(&s->mt);
    }
}
