/* minimal.c - convolutions 3x3 by minimal filtering. */
#include "core/device/cpu/fast/minimal_tile.h"
#include "core/device/cpu/fast/minimal_weights.h"

/* ---- a call -------------------------------------------------------------- */

/* Tiles are numbered (tile row, sample, tile column), from row 0 of the patch.
 * A group of them is transformed at once; V is [part of channels][position]
 * [tile][channel], M is [position][panel][tile][column]. Channels pass in
 * ranges of whole parts, and panels in ranges, so that neither outgrows its
 * share of the cache. */
typedef struct sizes {
    int group;           /* tiles */
    int inputs;          /* tiles of V: more with mh = 1 */
    int part, vchan;     /* channels of a part; floats from tile to tile of V */
    int channels;        /* of a range */
    int panels;          /* of a range */
    size_t vpart, vstep; /* floats from part to part, position to position */
    size_t mstep;
} sizes;

typedef struct job {
    const weft_conv_args *a;
    weft_pool *pool;
    weft_dtype dtype;
    int mh, taps, positions;
    int line;          /* tiles in a tile row: samples times tile columns */
    int left, columns; /* tile columns */
    int begin, end;    /* tiles of the call */
    int groups;
    int last; /* last input row that counts, after upsampling */
    bool far; /* outputs are not in the cache */
    sizes z;
    size_t zero, v, m, made; /* offsets into scratch, bytes */
    /* what is under way when all workers share a group: */
    int t0, t1, k0, k1, n0, n1, parts;
} job;

/* The more tiles, the less it matters that weights are made for each group. */
enum {
    GROUP_TILES = 96, /* at most */
    OWN_TILES = 32,   /* of a group for each worker; with fewer they share it */
    V_BYTES = 4 << 20,
    NEAR_BYTES = 1 << 19, /* most of M where it is read as soon as it is made */
    M_BYTES = 4 << 20     /* ... where it waits for further channels */
};

/* Inputs are fetched as many channels ahead as take a while: tiles, if few. */
enum { AHEAD_CHANNELS = 128 };

/* Outputs that will not be in L2 are fetched some tiles ahead. */
enum { FAR_BYTES = 1 << 20, OUT_AHEAD = 2 };

static int channels_of(const weft_conv *c) { return c->cin[0] + c->cin[1]; }

/* For groups of at most `group` tiles. */
static sizes size_up(const weft_conv *c, int mh, int n, int wout, int group)
{
    sizes z = {.group = group, .part = minimal_part(c, mh)};
    const int k = channels_of(c), positions = rows_in(mh) * NW;
    const int line = n * ceil_div(wout, MW), parts = ceil_div(k, z.part);
    const bool tail = c->cin[0] % VL || c->cin[1] % VL; /* it writes behind */
    z.inputs = group + (mh == 1 ? 2 * min_int(line, group) : 0);
    z.vchan = (int)off_4k((size_t)z.part + (tail ? VL - 1 : 0));
    z.vstep = off_4k((size_t)z.inputs * z.vchan);
    z.vpart = positions * z.vstep;
    const int most = max_int(1, (int)(V_BYTES / sizeof(float) / z.vpart));
    const int ranges = ceil_div(parts, most);
    z.channels = min_int(k, ceil_div(parts, ranges) * z.part);
    z.panels =
        (ranges > 1 ? M_BYTES : NEAR_BYTES) / (positions * group * NR * 4);
    z.panels = max_int(1, z.panels);
    z.panels = min_int(z.panels, panel_count(c->cout));
    z.mstep = off_4k((size_t)group * (z.panels * NR + VL));
    return z;
}

/* Room for groups of any size. */
static size_t lay(const weft_conv *c, int mh, int n, int wout, job *j)
{
    const sizes z = size_up(c, mh, n, wout, GROUP_TILES);
    const size_t line = 64, positions = rows_in(mh) * NW, size = sizeof(float);
    const size_t part = z.vpart * size,
                 all = part * ceil_div(channels_of(c), z.part);
    const size_t panel = positions * GROUP_TILES * NR * size;
    const size_t rest = positions * off_4k(GROUP_TILES * VL) * size;
    j->zero = 0;
    j->v = (zero_line(c) * size + line - 1) / line * line;
    j->m = j->v + min_size(all, max_size(part, V_BYTES));
    j->made = j->m + rest +
              min_size(panel * panel_count(c->cout), max_size(panel, M_BYTES));
    return j->made + made_floats(mh) * size;
}

static size_t minimal_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    job j;
    return lay(c, v.mh, n, w, &j);
}

static float *scratch_at(const job *j, int worker, size_t offset)
{
    char *p = weft_pool_scratch(j->pool, worker);
    return (float *)(void *)(p + offset);
}

/* ---- input --------------------------------------------------------------- */

/* Channels c0 .. c1 of a tile. */
INLINE void tile_channels(int mh, const window *w, bool table, int c0, int c1,
                          float *v, size_t vstep)
{
    int c = c0;
    for (; c + VL <= c1; c += VL, v += VL) {
        if (!table && (c - c0) % 16 == 0) /* a tile's to come, a line each */
            UNROLL for (int i = 0; i < rows_in(mh) * MW; i++)
                vprefetch(w->corner + i / MW * w->row +
                          (w->ahead + i % MW) * w->step + c);
        tile_positions(mh, w, table, c, VL, v, vstep);
    }
    if (c < c1) tile_positions(mh, w, table, c, c1 - c, v, vstep);
}

/* Channels c0 .. c1 of one input, the first of which is number `at` of the
 * range, part by part to a tile of V. */
INLINE void tile_parts(int mh, const job *j, const window *w, bool table,
                       int c0, int c1, int at, float *v)
{
    const int part = j->z.part;
    for (int c = c0, end; c < c1; at += end - c, c = end) {
        end = min_int(c1, c + part - at % part);
        tile_channels(mh, w, table, c, end,
                      v + at / part * j->z.vpart + at % part, j->z.vstep);
    }
}

/* Channels c0 .. c1 of input src, of the tile whose first pixel is (y, x). */
INLINE void tile_in(int mh, const job *j, int src, int c0, int c1, int at,
                    int y, int s, int x, const float *zero, float *v)
{
    const weft_conv_args *a = j->a;
    const int nh = rows_in(mh), cin = a->conv->cin[src];
    window w;
    if (a->conv->up != 2 && x >= 0 && x + NW <= a->w && y + nh - 1 <= j->last) {
        w.corner = pixel(a, src, y, s, x, zero);
        w.row = (ptrdiff_t)a->n * a->w * cin;
        w.step = cin;
        w.ahead = NW + (max_int(1, AHEAD_CHANNELS / cin) - 1) * MW;
        tile_parts(mh, j, &w, false, c0, c1, at, v);
        return;
    }
    for (int i = 0; i < nh * NW; i++)
        w.table[i] = y + i / NW > j->last
                         ? zero
                         : pixel(a, src, y + i / NW, s, x + i % NW, zero);
    tile_parts(mh, j, &w, true, c0, c1, at, v);
}

/* With mh = 1 a tile meets V three times, once per kernel row. Either V is one
 * run of tiles that starts a tile row above the group's, or, where that row is
 * longer than the group, each kernel row has its own copy. Tiles of V from one
 * kernel row to the next: */
static int tap_step(const job *j, int m) { return min_int(j->line, m); }

static int inputs_of(const job *j, int m)
{
    return m + (j->mh == 1 ? 2 * tap_step(j, m) : 0);
}

/* Number of the tile that is i-th in V, for the group of m from t0 on. */
static int input_tile(const job *j, int t0, int m, int i)
{
    if (j->mh > 1) return t0 + i;
    const int step = tap_step(j, m), tap = step < j->line ? i / step : 0;
    return t0 - j->a->conv->pad_top * j->line + tap * (j->line - step) + i;
}

/* Channels k0 .. k1 of tiles i0 .. i1 of V, of the group of m from t0 on. */
INLINE void group_in(int mh, const job *j, int t0, int m, int i0, int i1,
                     int k0, int k1, float *v, const float *zero)
{
    const weft_conv *c = j->a->conv;
    const int down = 2 * j->line; /* keeps what is divided positive */
    for (int i = i0; i < i1; i++) {
        const int t = input_tile(j, t0, m, i) + down;
        const int y = t / j->line - 2, s = t % j->line / j->columns;
        const int x = (j->left + t % j->columns) * MW - c->pad_left;
        const int top = mh == 1 ? y : y * mh - c->pad_top;
        float *to = v + (size_t)i * j->z.vchan;
        for (int src = 0, from = 0; src < inputs(c); from += c->cin[src++]) {
            const int c0 = max_int(k0 - from, 0);
            const int c1 = min_int(k1 - from, c->cin[src]);
            if (c0 < c1)
                tile_in(mh, j, src, c0, c1, from + c0 - k0, top, s, x, zero,
                        to);
        }
    }
}

static void input(const job *j, int t0, int m, int i0, int i1, int k0, int k1,
                  float *v, float *zero)
{
    memset(zero, 0, zero_line(j->a->conv) * sizeof *zero);
    switch (j->mh) {
    case 1:
        group_in(1, j, t0, m, i0, i1, k0, k1, v, zero);
        break;
    case 2:
        group_in(2, j, t0, m, i0, i1, k0, k1, v, zero);
        break;
    case 4:
        group_in(4, j, t0, m, i0, i1, k0, k1, v, zero);
        break;
    }
}

/* ---- product ------------------------------------------------------------- */

/* Where tiles of V begin, for each kernel row that is a tap. */
typedef struct rows {
    const float *at[3][MAX_M];
} rows;

/* One panel of M += V of the part of channels from q on times what was made of
 * the weights; `next` is fetched meanwhile, a stretch for each kernel tap. */
static void part_product(const job *j, int m, const rows *r, ptrdiff_t off,
                         int n, int nv, const float *made, float *out, bool add,
                         const piece *next)
{
    const size_t step = MADE_STEP(j->mh);
    for (int x = 0, i = 0; x < j->positions; x++)
        for (int t = 0; t < j->taps; t++, i++, made += step) {
            const segment s = {r->at[t], off + (ptrdiff_t)(x * j->z.vstep), n};
            const target to =
                sums_at(out + x * j->z.mstep, nv * VL, add || t > 0);
            const char *then = next->from + i % 9 * next->tap;
            ISA(chunk)(m, &s, 1, made, WEFT_F32, nv, &to, then);
        }
}

/* The weights of panel p from channel q on. */
static piece piece_at(const job *j, int p, int q, float *made)
{
    const weft_conv *c = j->a->conv;
    const size_t size = weft_dtype_size(j->dtype);
    const int k = channels_of(c), cols = panel_vectors(c->cout, p * NR) * VL;
    const size_t at = (size_t)p * NR * 9 * k + (size_t)q * cols;
    return (piece){(const char *)j->a->weight + at * size,
                   (size_t)k * cols * size, min_int(j->z.part, k - q) * cols,
                   made};
}

/* M of panels p0 .. p1 += V of channels k0 .. k1 times the weights, for m
 * tiles. */
static void product(const job *j, int m, int k0, int k1, int p0, int p1,
                    const float *v, float *out, float *made)
{
    const weft_conv *c = j->a->conv;
    const int part = j->z.part, step = tap_step(j, m);
    piece now = piece_at(j, p0, k0, made);
    rows r;
    for (int t = 0; t < j->taps; t++)
        for (int i = 0; i < m; i++)
            r.at[t][i] = v + (size_t)(i + t * step) * j->z.vchan;
    for (int p = p0; p < p1; p++) {
        const int nv = panel_vectors(c->cout, p * NR);
        float *to = out + (size_t)(p - p0) * m * NR;
        for (int q = k0; q < k1; q += part) {
            const bool last = q + part >= k1;
            const piece then =
                last ? piece_at(j, min_int(p + 1, p1 - 1), k0, made)
                     : piece_at(j, p, q + part, made);
            make_weights(j->mh, j->dtype, &now);
            part_product(j, m, &r, (q - k0) / part * (ptrdiff_t)j->z.vpart,
                         now.floats / (nv * VL), nv, made, to, q > 0, &then);
            now = then;
        }
    }
}

/* ---- output -------------------------------------------------------------- */

/* `count` neighbouring outputs of one row, the first at out[at]. */
INLINE void finish(const weft_conv_args *a, vf *y, vf bias, ptrdiff_t at,
                   int count, int lanes)
{
    const weft_conv *c = a->conv;
    const int step = c->cout;
    UNROLL for (int i = 0; i < count; i++) y[i] += bias;
    if (c->act != WEFT_LINEAR)
        UNROLL for (int i = 0; i < count; i++) y[i] = vact(c->act, y[i]);
    if (a->res)
        UNROLL for (int i = 0; i < count; i++) y[i] +=
            vload(a->res + at + i * step, lanes);
    if (c->post != WEFT_LINEAR)
        UNROLL for (int i = 0; i < count; i++) y[i] = vact(c->post, y[i]);
    if (c->scale != 1)
        UNROLL for (int i = 0; i < count; i++) y[i] *= vset(c->scale);
    UNROLL for (int i = 0; i < count; i++)
        vstore(a->out + at + i * step, y[i], lanes);
}

/* Where the outputs of a tile belong, and how many of them exist. */
typedef struct place {
    ptrdiff_t at, row;
    int rows, columns, sample;
} place;

INLINE place tile_place(int mh, const job *j, int t)
{
    const weft_conv_args *a = j->a;
    const int y = t / j->line * mh, x = (j->left + t % j->columns) * MW;
    place p;
    p.sample = t % j->line / j->columns;
    p.row = (ptrdiff_t)a->n * a->wout * a->conv->cout;
    p.at = y * p.row + ((ptrdiff_t)p.sample * a->wout + x) * a->conv->cout;
    p.rows = min_int(mh, a->row1 - y);
    p.columns = min_int(MW, a->col1 - x);
    return p;
}

/* Outputs are written, and the residual read, a line each here and there. */
INLINE void fetch_place(int mh, const weft_conv_args *a, const place *p, int n,
                        int columns)
{
    for (int i = 0; i < mh * MW; i++)
        for (int c = n; c < n + columns; c += 16) {
            const ptrdiff_t at =
                p->at + i / MW * p->row + i % MW * a->conv->cout + c;
            __builtin_prefetch(a->out + at, 1);
            if (a->res) vprefetch(a->res + at);
        }
}

/* `lanes` columns, n on, of one tile. */
INLINE void tile_out(int mh, const job *j, const place *p, int n,
                     const float *m, int lanes)
{
    const vf bias = bias_lanes(j->a, p->sample, n, lanes);
    vf y[4][MW];
    tile_outputs(mh, m, j->z.mstep, y);
    for (int r = 0; r < p->rows; r++) {
        const ptrdiff_t at = p->at + r * p->row + n;
        if (p->columns == MW)
            finish(j->a, y[r], bias, at, MW, lanes);
        else
            for (int i = 0; i < p->columns; i++)
                finish(j->a, &y[r][i], bias, at + i * j->a->conv->cout, 1,
                       lanes);
    }
}

INLINE void group_out(int mh, const job *j, int t0, int count, int p0, int p1,
                      const float *m)
{
    const int cout = j->a->conv->cout;
    for (int i = 0; i < count; i++) {
        const place at = tile_place(mh, j, t0 + i);
        const place then = tile_place(mh, j, t0 + i + OUT_AHEAD);
        for (int p = p0; p < p1; p++) {
            const int n0 = p * NR, nv = panel_vectors(cout, n0);
            const float *from =
                m + (size_t)(p - p0) * count * NR + (size_t)i * nv * VL;
            if (j->far && i + OUT_AHEAD < count)
                fetch_place(mh, j->a, &then, n0, nv * VL);
            for (int n = n0; n < n0 + nv * VL; n += VL, from += VL)
                if (n + VL <= cout)
                    tile_out(mh, j, &at, n, from, VL);
                else
                    tile_out(mh, j, &at, n, from, cout - n);
        }
    }
}

static void output(const job *j, int t0, int count, int p0, int p1,
                   const float *m)
{
    switch (j->mh) {
    case 1:
        group_out(1, j, t0, count, p0, p1, m);
        break;
    case 2:
        group_out(2, j, t0, count, p0, p1, m);
        break;
    case 4:
        group_out(4, j, t0, count, p0, p1, m);
        break;
    }
}

/* ---- many groups: one task each ------------------------------------------ */

static int group_begin(const job *j, int g)
{
    return j->begin + part_begin(j->end - j->begin, g, j->groups);
}

static void group_task(void *arg, int g, int worker)
{
    const job *j = arg;
    const weft_conv *c = j->a->conv;
    const int t0 = group_begin(j, g), m = group_begin(j, g + 1) - t0;
    const int k = channels_of(c), np = panel_count(c->cout);
    float *v = scratch_at(j, worker, j->v), *sums = scratch_at(j, worker, j->m);
    float *zero = scratch_at(j, worker, j->zero);
    float *made = scratch_at(j, worker, j->made);
    for (int p0 = 0; p0 < np; p0 += j->z.panels) {
        const int p1 = min_int(np, p0 + j->z.panels);
        for (int k0 = 0; k0 < k; k0 += j->z.channels) {
            const int k1 = min_int(k, k0 + j->z.channels);
            if (p0 == 0 || j->z.channels < k)
                input(j, t0, m, 0, inputs_of(j, m), k0, k1, v, zero);
            product(j, m, k0, k1, p0, p1, v, sums, made);
        }
        output(j, t0, m, p0, p1, sums);
    }
}

/* ---- few groups: all workers share one, panel by panel --------------------
 */

static void shared_input(void *arg, int i, int worker)
{
    const job *j = arg;
    const int m = j->t1 - j->t0, n = inputs_of(j, m);
    input(j, j->t0, m, part_begin(n, i, j->parts),
          part_begin(n, i + 1, j->parts), j->k0, j->k1, scratch_at(j, 0, j->v),
          scratch_at(j, worker, j->zero));
}

/* Part i of the panels: its sums stay in worker i's scratch from one range of
 * channels to the next, whoever computes them. */
static void shared_product(void *arg, int i, int worker)
{
    const job *j = arg;
    const int m = j->t1 - j->t0, threads = weft_pool_size(j->pool);
    const int p0 = j->n0 + part_begin(j->n1 - j->n0, i, threads);
    const int p1 = j->n0 + part_begin(j->n1 - j->n0, i + 1, threads);
    float *sums = scratch_at(j, i, j->m);
    product(j, m, j->k0, j->k1, p0, p1, scratch_at(j, 0, j->v), sums,
            scratch_at(j, worker, j->made));
    if (j->k1 == channels_of(j->a->conv)) output(j, j->t0, m, p0, p1, sums);
}

static void shared_group(job *j)
{
    const weft_conv *c = j->a->conv;
    const int threads = weft_pool_size(j->pool), k = channels_of(c);
    const int np = panel_count(c->cout), range = j->z.panels * threads;
    j->parts = min_int(inputs_of(j, j->t1 - j->t0), 4 * threads);
    for (j->n0 = 0; j->n0 < np; j->n0 += range) {
        j->n1 = min_int(np, j->n0 + range);
        for (j->k0 = 0; j->k0 < k; j->k0 += j->z.channels) {
            j->k1 = min_int(k, j->k0 + j->z.channels);
            if (j->n0 == 0 || j->z.channels < k)
                weft_pool_run(j->pool, j->parts, shared_input, j);
            weft_pool_run(j->pool, threads, shared_product, j);
        }
    }
}

static void minimal_run(const weft_conv_args *a, weft_variant v,
                        weft_pool *pool)
{
    const weft_conv *c = a->conv;
    const int threads = weft_pool_size(pool), mh = v.mh;
    if (a->row1 <= a->row0 || a->col1 <= a->col0) return;
    job j = {.a = a, .pool = pool, .mh = mh, .taps = taps_of(mh)};
    j.dtype = v.dtype;
    j.positions = rows_in(mh) * NW;
    j.left = a->col0 / MW;
    j.columns = ceil_div(call_columns(a), MW);
    j.line = a->n * j.columns;
    j.begin = a->row0 / mh * j.line;
    j.end = ceil_div(a->row1, mh) * j.line;
    j.last = a->row1 + 1 - c->pad_top;
    j.far = (a->row1 - a->row0) * (size_t)a->n * call_columns(a) * c->cout >
            FAR_BYTES / sizeof(float);
    lay(c, mh, a->n, a->wout, &j);
    const int tiles = j.end - j.begin;
    const bool own = tiles >= OWN_TILES * threads;
    j.groups = ceil_div(tiles, GROUP_TILES);
    if (own && j.groups < 8 * threads) j.groups = round_up(j.groups, threads);
    j.z = size_up(c, mh, a->n, a->wout, ceil_div(tiles, j.groups));
    if (own) {
        weft_pool_run(pool, j.groups, group_task, &j);
        return;
    }
    for (int g = 0; g < j.groups; g++) {
        j.t0 = group_begin(&j, g);
        j.t1 = group_begin(&j, g + 1);
        shared_group(&j);
    }
}

const conv_kernel ISA(minimal) = {ISA(panels_bytes), ISA(panels_pack),
                                  minimal_scratch, minimal_run};
