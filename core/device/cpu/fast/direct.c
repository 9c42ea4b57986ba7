/* direct.c - linear layers and convolutions of any kernel and stride. */
#include "core/device/cpu/fast/pixels.h"

/* ---- few channels: pixels side by side ------------------------------------
 */

/* With a handful of channels every tap would be a segment of a few steps. But
 * the taps of one kernel row lie together in memory, so a segment is a kernel
 * row, [tap][channel]; where columns are missing or repeated it is copied. */
enum { GATHER_K = 64, GATHER_M = 96 };

static bool gathers(const weft_conv *c)
{
    return c->kh > 1 && !c->cin[1] && c->kh * c->kw * c->cin[0] <= GATHER_K;
}

/* A few floats, or zeros; a call of memcpy would take longer. */
INLINE void copy(float *out, const float *p, int n)
{
    int i = 0;
    if (p) {
        for (; i + 4 <= n; i += 4) memcpy(out + i, p + i, 4 * sizeof *out);
        for (; i < n; i++) out[i] = p[i];
    } else {
        for (; i < n; i++) out[i] = 0;
    }
}

/* The kernel rows of an output pixel by copies in `to`. */
static void gather_copies(const weft_conv_args *a, int y, int s, int left,
                          float *to, const float **rows)
{
    const weft_conv *c = a->conv;
    for (int ky = 0; ky < c->kh; ky++, rows += MAX_M) {
        *rows = to;
        for (int kx = 0; kx < c->kw; kx++, to += c->cin[0])
            copy(to, pixel(a, 0, y + ky, s, left + kx, NULL), c->cin[0]);
    }
}

/* rows[ky * MAX_M + i]: kernel row ky of pixel p0 + i; its sample, where a bias
 * depends on that. */
static void gather(const weft_conv_args *a, ptrdiff_t p0, int m, float *to,
                   const float **rows, int *sample)
{
    const weft_conv *c = a->conv;
    const int columns = call_columns(a);
    const ptrdiff_t line = (ptrdiff_t)a->n * columns;
    int y = (int)(p0 / line), s = (int)(p0 % line) / columns,
        x = a->col0 + (int)(p0 % columns);
    for (int i = 0, run; i < m; i += run) {
        const int left = x * c->stride - c->pad_left;
        const int top = y * c->stride - c->pad_top;
        run = min_int(m - i, inner_run(a, x));
        for (int ky = 0; run && ky < c->kh; ky++) {
            const float *p = pixel(a, 0, top + ky, s, left, NULL);
            const float **r = rows + ky * MAX_M + i;
            const ptrdiff_t step = (ptrdiff_t)c->stride * c->cin[0];
            for (int q = 0; q < run; q++, p += step) r[q] = p;
        }
        if (!run) {
            gather_copies(a, top, s, left, to + i * GATHER_K, rows + i);
            run = 1;
        }
        if (a->bias_n)
            for (int q = 0; q < run; q++) sample[i + q] = s;
        x += run;
        if (x == a->col1) x = a->col0, s++;
        if (s == a->n) s = 0, y++;
    }
}

/* ---- the sum: taps, inputs, channels, in chunks ---------------------------
 */

typedef struct walk {
    int tap, src, k0;
} walk;

static bool at_end(const weft_conv *c, const walk *w)
{
    return w->tap == (gathers(c) ? c->kh : c->kh * c->kw);
}

/* The next chunk's segments; 0 at the end. Whole parts are put together while
 * they stay below KMERGE. */
static int next_chunk(const weft_conv *c, walk *w, const float *const *rows,
                      segment *s, int *k)
{
    const int taps = c->kh * c->kw, nsrc = inputs(c);
    int ns = 0;
    *k = 0;
    if (gathers(c)) {
        *k = taps * c->cin[0];
        for (; w->tap < c->kh; w->tap++, ns++)
            s[ns] = (segment){rows + w->tap * MAX_M, 0, c->kw * c->cin[0]};
        return ns;
    }
    while (w->tap < taps && ns < MAX_SEGMENTS) {
        const int cin = c->cin[w->src];
        const int n = min_int(part_length(cin), cin - w->k0);
        if (ns && *k + n > KMERGE) break;
        s[ns++] = (segment){rows + (w->tap * nsrc + w->src) * MAX_M, w->k0, n};
        *k += n;
        w->k0 += n;
        if (w->k0 == cin) w->k0 = 0, w->src++;
        if (w->src == nsrc) w->src = 0, w->tap++;
    }
    return ns;
}

/* ---- run ----------------------------------------------------------------- */

typedef struct job {
    const weft_conv_args *a;
    weft_variant v;
    weft_pool *pool;
    ptrdiff_t p0;       /* first pixel */
    int pixels, blocks; /* blocks of pixels ... */
    int panels, parts;  /* ... times parts of the panels */
    weft_conv down, up; /* where a->conv has a rank */
} job;

/* A worker's scratch. */
typedef struct room {
    float *zero, *sums, *gathered;
    float *low; /* [MAX_M][rank]: what `down` makes of the pixels */
    const float **rows, **low_rows;
    int *sample;
} room;

static size_t room_lay(const weft_conv *c, char *base, room *r)
{
    size_t at = 0;
    r->zero = (float *)(base + at);
    at += zero_line(c) * sizeof(float);
    r->sums = (float *)(base + at);
    at += (size_t)MAX_M * NMAX * sizeof(float);
    r->gathered = (float *)(base + at);
    if (gathers(c)) at += (size_t)GATHER_M * GATHER_K * sizeof(float);
    r->low = (float *)(base + at);
    at += (size_t)MAX_M * c->rank * sizeof(float);
    r->rows = (const float **)(base + at);
    at += (size_t)c->kh * c->kw * inputs(c) * MAX_M * sizeof *r->rows;
    r->low_rows = (const float **)(base + at);
    if (c->rank) at += MAX_M * sizeof *r->low_rows;
    r->sample = (int *)(base + at);
    return at + MAX_M * sizeof *r->sample;
}

static size_t direct_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    room r;
    (void)v, (void)n, (void)w;
    return room_lay(c, NULL, &r);
}

/* One vector of columns, n on, of all rows. */
INLINE void finish_lanes(const weft_conv_args *a, const room *r, int m,
                         ptrdiff_t p0, int n, const float *sums, int step,
                         int lanes)
{
    vf b = bias_lanes(a, 0, n, lanes);
    for (int i = 0; i < m; i++) {
        if (a->bias_n) b = bias_lanes(a, r->sample[i], n, lanes);
        put_lanes(a, vld(sums + i * step) + b,
                  place_of(a, p0 + i) * a->conv->cout + n, lanes);
    }
}

/* The commonest end, bias alone on whole vectors and columns: the last chunk
 * writes the output itself. Without a bias zero is added, as everywhere. */
static bool plain_end(const weft_conv_args *a, int n, int nv)
{
    const weft_conv *c = a->conv;
    return c->act == WEFT_LINEAR && c->post == WEFT_LINEAR && c->scale == 1 &&
           a->bias && !a->bias_n && !a->res && n + nv * VL <= c->cout &&
           call_columns(a) == a->wout;
}

/* One packed matrix, and the rows that it is multiplied with. */
typedef struct matrix {
    const weft_conv *c;
    const char *b; /* of the panel that is begun with */
    weft_dtype dtype;
    const float *const *rows;
} matrix;

/* Sums of `np` panels side by side of `cols` vectors, from row to row `step`
 * floats: set, or added to where `more`. `end`: where the last chunk puts them
 * instead, or NULL. */
typedef struct total {
    int np, cols, step;
    float *sums;
    bool more;
    const target *end;
} total;

static void add_matrix(const matrix *x, int m, const total *t)
{
    const int nv = t->np * t->cols;
    const size_t size = weft_dtype_size(x->dtype);
    const char *b = x->b;
    segment s[MAX_SEGMENTS];
    walk w = {0};
    bool more = t->more;
    for (int ns, k; (ns = next_chunk(x->c, &w, x->rows, s, &k)); more = true) {
        const char *next = b + (size_t)k * t->cols * VL * size;
        target to = sums_at(t->sums, t->step, more);
        if (t->end && at_end(x->c, &w)) {
            to.bias = t->end->bias;
            to.to = t->end->to;
            to.to_step = t->end->to_step;
        }
        if (t->np > 1) ISA(chunk_thin)
        (m, s, ns, b, NR * depth_of(x->c) * size, x->dtype, &to);
        else ISA(chunk)(m, s, ns, b, x->dtype, nv, &to, next);
        b = next;
    }
}

/* What `down` makes of m pixels, all of it. */
static void make_low(const job *j, const room *r, int m)
{
    const weft_conv *c = &j->down;
    for (int p = 0, n = panel_count(c->cout); p < n; p++) {
        const char *b = (const char *)j->a->down +
                        (size_t)p * NR * depth_of(c) * sizeof(float);
        const matrix x = {c, b, WEFT_F32, r->rows};
        add_matrix(&x, m,
                   &(total){1, panel_vectors(c->cout, p * NR), c->cout,
                            r->low + p * NR, false, NULL});
    }
    for (int i = 0; i < m; i++) r->low_rows[i] = r->low + i * c->cout;
}

/* How many panels, n on, are computed together. */
static int panels_at(const weft_conv *c, int m, int n, int left)
{
    const int count = m == 1 ? THIN : m == 2 ? THIN / 2 : 1;
    const bool alike =
        left >= count && panel_vectors(c->cout, n + (count - 1) * NR) == NV;
    return alike ? count : 1;
}

/* `np` panels, n0 on. */
static void panels(const job *j, const room *r, int m, ptrdiff_t p0, int n0,
                   int np)
{
    const weft_conv_args *a = j->a;
    const weft_conv *c = a->conv;
    const int cols = np > 1 ? NV : panel_vectors(c->cout, n0), nv = np * cols;
    const int step = max_int(NMAX, nv * VL);
    const size_t size = weft_dtype_size(j->v.dtype);
    const bool plain = plain_end(a, n0, nv);
    const target end = {.bias = plain ? a->bias + n0 : NULL,
                        .to = a->out + p0 * c->cout + n0,
                        .to_step = c->cout};
    const matrix own = {c, (const char *)a->weight + n0 * depth_of(c) * size,
                        j->v.dtype, r->rows};
    total t = {np, cols, step, r->sums, false, NULL};
    if (plain && !c->rank) t.end = &end;
    add_matrix(&own, m, &t);
    if (c->rank) {
        const size_t at = n0 * depth_of(&j->up) * sizeof(float);
        const matrix up = {&j->up, (const char *)a->up + at, WEFT_F32,
                           r->low_rows};
        t.more = true;
        t.end = plain ? &end : NULL;
        add_matrix(&up, m, &t);
    }
    for (int u = 0; u < nv && !plain; u++, n0 += VL)
        finish_lanes(a, r, m, p0, n0, r->sums + u * VL, step,
                     min_int(VL, c->cout - n0));
}

/* All channels of the pixels come into L2 together, rather than one tile after
 * the other would wait for them. */
static void fetch_pixels(const weft_conv *c, const float *const *rows, int m)
{
    const int nsrc = inputs(c), tables = c->kh * c->kw * nsrc;
    for (int t = 0; t < tables; t++, rows += MAX_M) {
        if (t / nsrc % c->kw < c->kw - c->stride) continue; /* seen already */
        for (int i = 0; i < m; i++)
            for (int k = 0; k < c->cin[t % nsrc]; k += 16)
                __builtin_prefetch(rows[i] + k, 0, 2);
    }
}

static void direct_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_conv *c = j->a->conv;
    const int block = i % j->blocks, part = i / j->blocks;
    const int m0 = part_begin(j->pixels, block, j->blocks);
    const int m = part_begin(j->pixels, block + 1, j->blocks) - m0;
    room r;
    room_lay(c, weft_pool_scratch(j->pool, worker), &r);
    if (gathers(c)) {
        gather(j->a, j->p0 + m0, m, r.gathered, r.rows, r.sample);
    } else {
        memset(r.zero, 0, zero_line(c) * sizeof *r.zero);
        pixel_table(j->a, j->p0 + m0, m, r.zero, r.rows, r.sample);
        fetch_pixels(c, r.rows, m);
    }
    if (c->rank) make_low(j, &r, m);
    const int end = part_begin(j->panels, part + 1, j->parts);
    for (int p = part_begin(j->panels, part, j->parts), np; p < end; p += np) {
        np = panels_at(c, m, p * NR, end - p);
        panels(j, &r, m, j->p0 + m0, p * NR, np);
    }
}

/* Pixels per pass over the weights: their channels should stay in L2. */
static int block_pixels(const weft_conv *c)
{
    const int k = c->cin[0] + c->cin[1];
    if (gathers(c)) return GATHER_M;
    return max_int(48, min_int(MAX_M, 65536 / max_int(k, 1) / MR * MR));
}

static void direct_run(const weft_conv_args *a, weft_variant v, weft_pool *pool)
{
    const weft_conv *c = a->conv;
    const ptrdiff_t line = (ptrdiff_t)a->n * call_columns(a);
    const int threads = weft_pool_size(pool);
    job j = {.a = a, .v = v, .pool = pool, .p0 = a->row0 * line};
    if (c->rank) j.down = weft_conv_down(c), j.up = weft_conv_up(c);
    j.pixels = (int)((a->row1 - a->row0) * line);
    j.panels = panel_count(c->cout);
    j.parts = 1;
    if (j.pixels <= 0) return;
    j.blocks = ceil_div(j.pixels, block_pixels(c));
    if (threads > 1 && j.blocks < 8 * threads) {
        j.blocks = ceil_div(j.blocks, threads) * threads;
        j.blocks = min_int(j.blocks, ceil_div(j.pixels, 24));
        j.parts = min_int(j.panels, ceil_div(4 * threads, j.blocks));
    }
    weft_pool_run(pool, j.blocks * j.parts, direct_task, &j);
}

const conv_kernel ISA(direct) = {ISA(panels_bytes), ISA(panels_pack),
                                 direct_scratch, direct_run};
