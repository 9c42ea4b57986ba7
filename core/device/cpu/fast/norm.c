/* norm.c - moments, affine maps, resampling: one pass over memory each. */
#include "core/device/cpu/fast/kernel.h"

/* ---- moments ------------------------------------------------------------- */

/* Channels side by side: as many cache lines as sums fit in registers, or
 * nearly. Each has sums of its own, in double, so that no order depends on the
 * width of a vector. */
#ifdef __AVX512F__
enum { SIDE = 64, DL = 8 };
#else
enum { SIDE = 32, DL = 4 };
#endif
enum { LINE = 16, AHEAD = 6 };
enum { MOST = 256 }; /* channels whose sums are kept at a time */

typedef double vd __attribute__((vector_size(DL * sizeof(double))));
typedef float vs __attribute__((vector_size(DL * sizeof(float))));

INLINE vd vd_load(const float *p)
{
    vs x;
    memcpy(&x, p, sizeof x);
    return __builtin_convertvector(x, vd);
}

/* `w` pixels of `side` channels at p join the sums and squares, relative to
 * `shift`. */
INLINE void side_sums(int side, const float *p, const double *shift, int c,
                      int w, double *sum, double *square)
{
    vd s[SIDE / DL], q[SIDE / DL], from[SIDE / DL];
    const size_t bytes = (size_t)side * sizeof *sum;
    memcpy(s, sum, bytes);
    memcpy(q, square, bytes);
    memcpy(from, shift, bytes);
    for (int i = 0; i < w; i++, p += c) {
        UNROLL for (int l = 0; l < side; l += LINE)
            vprefetch(p + (ptrdiff_t)AHEAD * c + l);
        UNROLL for (int u = 0; u < side / DL; u++)
        {
            const vd d = vd_load(p + u * DL) - from[u];
            s[u] += d;
            q[u] += d * d;
        }
    }
    memcpy(sum, s, bytes);
    memcpy(square, q, bytes);
}

static void channel_sums(const float *p, double shift, int c, int w,
                         double *sum, double *square)
{
    for (int i = 0; i < w; i++) {
        const double d = p[(ptrdiff_t)i * c] - shift;
        *sum += d;
        *square += d * d;
    }
}

typedef struct moments_job {
    const weft_moments_args *a;
    int per;                  /* channels of a group */
    int strips, cells, parts; /* cells of all samples, times parts of groups */
} moments_job;

/* A cell of one sample, in one input. */
typedef struct cell {
    const float *first;
    ptrdiff_t line; /* floats from row to row */
    int c, rows, columns;
} cell;

static cell cell_at(const moments_job *j, int src, int i)
{
    const weft_moments_args *a = j->a;
    const int strip = i % j->strips, line = i / j->strips;
    const int y = line / a->n * a->cell_rows, x = strip * a->cell_columns;
    cell t = {.c = a->c[src], .rows = a->cell_rows};
    t.line = (ptrdiff_t)a->n * a->w * t.c;
    t.first =
        a->in[src] + y * t.line + ((ptrdiff_t)(line % a->n) * a->w + x) * t.c;
    t.columns = min_int(a->cell_columns, a->w - x);
    return t;
}

/* Sums of n channels, k on. Row by row: what follows is in the cache. */
static void cell_sums(const cell *t, int k, int n, const double *shift,
                      double *sum, double *square)
{
    memset(sum, 0, n * sizeof *sum);
    memset(square, 0, n * sizeof *square);
    for (int y = 0; y < t->rows; y++) {
        const float *p = t->first + y * t->line + k;
        int i = 0;
        for (; i + SIDE <= n; i += SIDE)
            side_sums(SIDE, p + i, shift + i, t->c, t->columns, sum + i,
                      square + i);
        for (; i + LINE <= n; i += LINE)
            side_sums(LINE, p + i, shift + i, t->c, t->columns, sum + i,
                      square + i);
        for (; i < n; i++)
            channel_sums(p + i, shift[i], t->c, t->columns, sum + i,
                         square + i);
    }
}

/* What is subtracted from all of group g: the cell's first value of it. That is
 * no further from the mean than the squared differences' sum allows, so in
 * double the sums do not cancel. */
static double group_shift(const moments_job *j, const cell *t, int g)
{
    const int k = g * j->per, c0 = j->a->c[0], src = k >= c0;
    return t[src].first[k - src * c0];
}

/* Of channels `at` on, at most n, those of the same group. */
static int group_run(const moments_job *j, int at, int n)
{
    return min_int(j->per - at % j->per, n);
}

static void shifts(const moments_job *j, const cell *t, int at, int n,
                   double *shift)
{
    for (int l = 0, run; l < n; l += run) {
        run = group_run(j, at + l, n - l);
        const double x = group_shift(j, t, (at + l) / j->per);
        for (int q = 0; q < run; q++) shift[l + q] = x;
    }
}

/* n channels' sums join their groups', in the order of channels. */
static void join(const moments_job *j, int at, int n, const double *sum,
                 const double *square, double *out)
{
    for (int l = 0, run; l < n; l += run) {
        double *m = out + (at + l) / j->per * 2, s = m[0], q = m[1];
        run = group_run(j, at + l, n - l);
        for (int c = l; c < l + run; c++) s += sum[c], q += square[c];
        m[0] = s;
        m[1] = q;
    }
}

/* Group g's sums relative to the shift become the sum itself and the squared
 * differences from the mean. */
static void settle(const moments_job *j, const cell *t, int g, double *m)
{
    const double n = (double)t->rows * t->columns * j->per;
    m[1] -= m[0] * m[0] / n;
    if (m[1] < 0) m[1] = 0; /* rounding; lets not-a-number through */
    m[0] += n * group_shift(j, t, g);
}

/* Channels k0 .. k1 of both inputs laid side by side: whole groups. */
static void cell_groups(const moments_job *j, const cell *t, int k0, int k1,
                        double *out)
{
    const int c0 = j->a->c[0];
    double shift[MOST], sum[MOST], square[MOST];
    for (int k = k0, n; k < k1; k += n) {
        const int src = k >= c0, from = k - src * c0;
        n = min_int(min_int(t[src].c - from, k1 - k), MOST);
        shifts(j, t, k, n, shift);
        cell_sums(&t[src], from, n, shift, sum, square);
        join(j, k, n, sum, square, out);
    }
    for (int g = k0 / j->per; g < k1 / j->per; g++)
        settle(j, t, g, out + 2 * g);
}

static void moments_task(void *arg, int task, int worker)
{
    const moments_job *j = arg;
    const weft_moments_args *a = j->a;
    const int i = task % j->cells, part = task / j->cells;
    const int g0 = part_begin(a->groups, part, j->parts);
    const int g1 = part_begin(a->groups, part + 1, j->parts);
    cell t[2] = {cell_at(j, 0, i)};
    double *out = a->moments + (size_t)i * a->groups * 2;
    (void)worker;
    if (a->c[1]) t[1] = cell_at(j, 1, i);
    memset(out + g0 * 2, 0, (size_t)(g1 - g0) * 2 * sizeof *out);
    cell_groups(j, t, g0 * j->per, g1 * j->per, out);
}

void ISA(moments)(const weft_moments_args *a, weft_pool *pool)
{
    moments_job j = {.a = a, .strips = ceil_div(a->w, a->cell_columns)};
    j.per = (a->c[0] + a->c[1]) / a->groups;
    j.cells = a->rows / a->cell_rows * a->n * j.strips;
    if (j.cells <= 0) return;
    j.parts = weft_pool_size(pool) > 1
                  ? ceil_div(4 * weft_pool_size(pool), j.cells)
                  : 1;
    j.parts = min_int(j.parts, a->groups);
    weft_pool_run(pool, j.cells * j.parts, moments_task, &j);
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
