/* norm.c - moments, affine maps, resampling: one pass over memory each. */
#include "core/device/cpu/fast/kernel.h"

/* ---- moments ------------------------------------------------------------- */

/* Channels summed side by side, a cache line. Each has sums of its own, in
 * double, so that no order depends on the width of a vector. */
enum { SIDE = 16, DL = 4, UNIT = SIDE / DL, AHEAD = 6 };

typedef double vd __attribute__((vector_size(DL * sizeof(double))));
typedef float vs __attribute__((vector_size(DL * sizeof(float))));

INLINE vd vd_load(const float *p)
{
    vs x;
    memcpy(&x, p, sizeof x);
    return __builtin_convertvector(x, vd);
}

typedef struct moments_job {
    const weft_moments_args *a;
} moments_job;

/* Sum and squares of SIDE channels at p over w pixels, relative to the first
 * pixel: deviations are small, squares do not cancel. */
INLINE void side_sums(const float *p, int c, int w, double *sum, double *square)
{
    vd s[UNIT], q[UNIT], first[UNIT];
    UNROLL for (int u = 0; u < UNIT; u++)
    {
        first[u] = vd_load(p + u * DL);
        s[u] = q[u] = first[u] - first[u];
    }
    for (int i = 1; i < w; i++) {
        const float *x = p + (ptrdiff_t)i * c;
        vprefetch(x + (ptrdiff_t)AHEAD * c);
        UNROLL for (int u = 0; u < UNIT; u++)
        {
            const vd d = vd_load(x + u * DL) - first[u];
            s[u] += d;
            q[u] += d * d;
        }
    }
    memcpy(sum, s, sizeof s);
    memcpy(square, q, sizeof q);
}

static void channel_sums(const float *p, int c, int w, double *sum,
                         double *square)
{
    const double first = p[0];
    double s = 0, q = 0;
    for (int i = 1; i < w; i++) {
        const double d = p[(ptrdiff_t)i * c] - first;
        s += d;
        q += d * d;
    }
    *sum = s;
    *square = q;
}

/* One channel's sum and squared differences from its mean join the group's
 * (count, m[0], m[1]). */
INLINE void join(double *m, double count, double w, double sum, double square)
{
    if (count > 0) {
        const double d = sum / w - m[0] / count;
        square += d * d * (count * w / (count + w));
    }
    m[0] += sum;
    m[1] += square;
}

static void moments_task(void *arg, int i, int worker)
{
    const weft_moments_args *a = ((moments_job *)arg)->a;
    const int total = a->c[0] + a->c[1], per = total / a->groups;
    double *out = a->moments + (size_t)i * a->groups * 2;
    double sum[SIDE], square[SIDE];
    (void)worker;
    memset(out, 0, (size_t)a->groups * 2 * sizeof *out);
    for (int src = 0, at = 0; src < 2; src++) {
        const int c = a->c[src];
        const float *p = a->in[src] + (ptrdiff_t)i * a->w * c;
        for (int k = 0, n; k < c; k += n) {
            n = c - k >= SIDE ? SIDE : 1;
            if (n == SIDE)
                side_sums(p + k, c, a->w, sum, square);
            else
                channel_sums(p + k, c, a->w, sum, square);
            for (int l = 0; l < n; l++, at++) {
                const double w = a->w, s = sum[l];
                join(out + at / per * 2, (double)(at % per) * w, w,
                     s + w * (double)p[k + l], square[l] - s * s / w);
            }
        }
    }
}

void ISA(moments)(const weft_moments_args *a, weft_pool *pool)
{
    moments_job j = {a};
    weft_pool_run(pool, a->rows * a->n, moments_task, &j);
}

/* ---- affine -------------------------------------------------------------- */

/* Pixels of all rows, cut into runs of one sample's: work of about RUN floats
 * each, so that threads have enough to share. */
enum { RUN = 16384 };

typedef struct run_job {
    const void *a;
    int first, runs; /* first row times samples; runs per row and sample */
} run_job;

INLINE void affine_vectors(int count, weft_act act, const float *in,
                           const float *mul, const float *add, float *out,
                           int lanes)
{
    vf x[EXPS];
    UNROLL for (int i = 0; i < count; i++)
    {
        x[i] = vload(in + i * VL, lanes);
        if (mul)
            x[i] = vfma(x[i], vload(mul + i * VL, lanes),
                        vload(add + i * VL, lanes));
    }
    if (act == WEFT_SILU)
        vsilus(count, x);
    else
        UNROLL for (int i = 0; i < count; i++) x[i] = vact(act, x[i]);
    UNROLL for (int i = 0; i < count; i++) vstore(out + i * VL, x[i], lanes);
}

INLINE void affine_pixel(weft_act act, const float *in, int c, const float *mul,
                         const float *add, float *out)
{
    int k = 0;
    for (; k + EXPS * VL <= c; k += EXPS * VL)
        affine_vectors(EXPS, act, in + k, mul ? mul + k : NULL,
                       mul ? add + k : NULL, out + k, VL);
    for (; k + VL <= c; k += VL)
        affine_vectors(1, act, in + k, mul ? mul + k : NULL,
                       mul ? add + k : NULL, out + k, VL);
    if (k < c)
        affine_vectors(1, act, in + k, mul ? mul + k : NULL,
                       mul ? add + k : NULL, out + k, c - k);
}

/* Pixels x0 .. x1 of a line: one sample's row. */
INLINE void affine_run(weft_act act, const weft_affine_args *a, int line,
                       int x0, int x1, bool scaled)
{
    const int c = a->c[0], total = c + a->c[1];
    const ptrdiff_t of = (ptrdiff_t)(line % a->n) * total;
    const float *mul = scaled ? a->mul + of : NULL;
    const float *add = scaled ? a->add + of : NULL;
    for (int x = x0; x < x1; x++) {
        const ptrdiff_t p = (ptrdiff_t)line * a->w + x;
        float *out = a->out + p * total;
        affine_pixel(act, a->in[0] + p * c, c, mul, add, out);
        if (a->c[1])
            affine_pixel(act, a->in[1] + p * a->c[1], a->c[1],
                         scaled ? mul + c : NULL, scaled ? add + c : NULL,
                         out + c);
    }
}

static void affine_task(void *arg, int i, int worker)
{
    const run_job *j = arg;
    const weft_affine_args *a = j->a;
    const int line = j->first + i / j->runs, part = i % j->runs;
    const int x0 = part_begin(a->w, part, j->runs);
    const int x1 = part_begin(a->w, part + 1, j->runs);
    (void)worker;
    if (a->mul && a->act == WEFT_SILU)
        affine_run(WEFT_SILU, a, line, x0, x1, true);
    else if (a->mul && a->act == WEFT_LINEAR)
        affine_run(WEFT_LINEAR, a, line, x0, x1, true);
    else
        affine_run(a->act, a, line, x0, x1, a->mul != NULL);
}

static int runs_of(int w, int c)
{
    return max_int(1, min_int(w, (int)((size_t)w * c / RUN)));
}

void ISA(affine)(const weft_affine_args *a, weft_pool *pool)
{
    if (a->row1 <= a->row0) return;
    run_job j = {a, a->row0 * a->n, runs_of(a->w, a->c[0] + a->c[1])};
    weft_pool_run(pool, (a->row1 - a->row0) * a->n * j.runs, affine_task, &j);
}

/* ---- resample ------------------------------------------------------------ */

static void repeat(const weft_resample_args *a, const float *in, float *out)
{
    const size_t bytes = (size_t)a->c * sizeof *out;
    for (int x = 0; x < a->w; x++, in += a->c, out += 2 * a->c) {
        memcpy(out, in, bytes);
        memcpy(out + a->c, in, bytes);
    }
}

INLINE void mean_lanes(const float *p, const float *q, int c, float *out,
                       int lanes)
{
    const vf top = vload(p, lanes) + vload(p + c, lanes);
    const vf low = vload(q, lanes) + vload(q + c, lanes);
    vstore(out, (top + low) * vset(0.25f), lanes);
}

static void mean(const weft_resample_args *a, const float *p, float *out)
{
    const float *q = p + (ptrdiff_t)a->n * a->w * a->c; /* the row below */
    for (int x = 0; x < a->w / 2; x++, p += 2 * a->c, q += 2 * a->c) {
        int k = 0;
        for (; k + VL <= a->c; k += VL, out += VL)
            mean_lanes(p + k, q + k, a->c, out, VL);
        if (k < a->c) {
            mean_lanes(p + k, q + k, a->c, out, a->c - k);
            out += a->c - k;
        }
    }
}

static void resample_task(void *arg, int i, int worker)
{
    const run_job *j = arg;
    const weft_resample_args *a = j->a;
    const int y = (j->first + i) / a->n, s = (j->first + i) % a->n;
    const int wout = a->up ? 2 * a->w : a->w / 2, row = a->up ? y / 2 : 2 * y;
    const float *in = a->in + ((ptrdiff_t)row * a->n + s) * a->w * a->c;
    float *out = a->out + ((ptrdiff_t)y * a->n + s) * wout * a->c;
    (void)worker;
    if (a->up)
        repeat(a, in, out);
    else
        mean(a, in, out);
}

void ISA(resample)(const weft_resample_args *a, weft_pool *pool)
{
    if (a->row1 <= a->row0) return;
    run_job j = {a, a->row0 * a->n, 1};
    weft_pool_run(pool, (a->row1 - a->row0) * a->n, resample_task, &j);
}
