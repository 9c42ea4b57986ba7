/*
 * seven.c - linear layers over the pixels of an image by seven products of
 * halves in place of eight (Strassen, Gaussian elimination is not optimal,
 * 1969, in Winograd's form with 15 additions), or by 49 of quarters in place
 * of 64: the same done to each of the seven.
 *
 * Halved are the pixels, the channels and the columns, or quartered:
 *
 *   [C11 C12]   [A11 A12] [B11 B12]   A1 the first half of a group of pixels
 *   [C21 C22] = [A21 A22] [B21 B22]   B1 the first half of the channels
 *
 * A group is two pixels of a row side by side, or four: cuts lie at multiples
 * of four columns, so a group is a group on any rank. Pixels behind the last
 * column are zeros. Channels are cut into segments, which are halved each, and
 * whose sums are added in turn; so what is made of A is small.
 *
 * A pass makes the factors of A for some blocks of groups, all threads
 * together, then each thread takes panels of columns and makes the factors of B
 * as it goes, from weights as direct.c packs them: of any type, and no second
 * copy.
 */
#include "core/device/cpu/fast/kernel.h"

enum {
    SEVEN = 7,
    MOST = SEVEN * SEVEN, /* products */
    MOST_SIDE = 4,        /* halves, or quarters, of each side */
    GROUPS = 128,         /* most groups of a block where they are pairs, ... */
    QUADS = 64,           /* ... where they are four pixels */
    WAITING = 3,          /* of quarters: quadrants that are not complete */
    LEAST_PIXELS = 24     /* of a cut for the sake of threads */
};

/* What follows from a descriptor. */
typedef struct form {
    int side, products; /* 2 and 7, 4 and 49 */
    int segments, k;    /* k: channels of a product, in each segment */
    int panels;         /* in a half of the columns, or a quarter */
    int groups;         /* most of a block */
    size_t apart;       /* floats from a factor of A to the next ... */
    size_t sums;        /* ... and from what sums of products to the next */
} form;

typedef struct job {
    const weft_conv_args *a;
    weft_variant v;
    weft_pool *pool;
    form f;
    int columns, groups; /* groups: in a row of one sample, and in all */
    ptrdiff_t first;     /* group */
    int blocks;          /* of all groups */
    int block0, nblocks; /* of this pass */
    int segment;         /* of this pass */
    int cuts, tasks;     /* of a block's groups; of all panels of all cuts */
} job;

typedef struct group {
    ptrdiff_t pixel; /* the first */
    int pixels;
} group;

/* A worker's scratch. */
typedef struct room {
    float *weights[SEVEN]; /* [k][NR] */
    float *sums;           /* of seven products, [groups][NR] each */
    float *waiting;        /* [WAITING][4], likewise, of quarters */
    const float **row;     /* [groups] */
    group *group;          /* [groups] */
    float *zero;           /* [channels] */
    /* Of a block that may be any worker's: */
    float *made;    /* [product], `apart`, of [group][k] */
    float *partial; /* [panel][group][side * side][NR], of segments before */
} room;

static form form_of(const weft_conv *c, weft_variant v)
{
    form f = {.side = v.mw, .products = v.mw == 4 ? MOST : SEVEN};
    f.segments = v.mh;
    f.k = c->cin[0] / f.segments / f.side;
    f.panels = c->cout / f.side / NR;
    f.groups = f.side == 4 ? QUADS : GROUPS;
    f.apart = off_4k((size_t)f.groups * f.k);
    f.sums = off_4k((size_t)f.groups * NR);
    return f;
}

static void *take(char *base, size_t *at, size_t bytes)
{
    char *p = base + *at;
    *at += (bytes + 63) / 64 * 64;
    return p;
}

static size_t lay(const weft_conv *c, const form *f, char *base, room *r)
{
    const size_t panel = (size_t)f->groups * NR * sizeof(float);
    size_t at = 0;
    for (int i = 0; i < SEVEN; i++)
        r->weights[i] =
            take(base, &at, off_4k((size_t)f->k * NR) * sizeof(float));
    r->sums = take(base, &at, SEVEN * f->sums * sizeof(float));
    r->waiting = take(base, &at,
                      f->side == 4 ? WAITING * 4 * f->sums * sizeof(float) : 0);
    r->row = take(base, &at, f->groups * sizeof *r->row);
    r->group = take(base, &at, f->groups * sizeof *r->group);
    r->zero = take(base, &at, c->cin[0] * sizeof(float));
    r->made = take(base, &at, f->products * f->apart * sizeof(float));
    r->partial = take(
        base, &at,
        f->segments > 1 ? (size_t)f->panels * f->side * f->side * panel : 0);
    return at;
}

static size_t seven_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    const form f = form_of(c, v);
    room r;
    (void)n, (void)w;
    return lay(c, &f, NULL, &r);
}

/* ---- Winograd's form ----------------------------------------------------- */

/* Quadrants 11 12 21 22 of A: what the seven products take of them. */
INLINE void left_factors(const vf *a, vf *f)
{
    const vf s1 = a[2] + a[3], s2 = s1 - a[0];
    f[0] = a[0];
    f[1] = a[1];
    f[2] = a[1] - s2;
    f[3] = a[3];
    f[4] = s1;
    f[5] = s2;
    f[6] = a[0] - a[2];
}

/* The same of B, factor i. */
INLINE vf right_factor(int i, const vf *b)
{
    if (i == 0) return b[0];
    if (i == 1) return b[2];
    if (i == 2) return b[3];
    if (i == 4) return b[1] - b[0];
    if (i == 6) return b[3] - b[1];
    const vf t2 = b[3] - (b[1] - b[0]);
    if (i == 5) return t2;
    return t2 - b[2];
}

INLINE void right_factors(const vf *b, vf *f)
{
    UNROLL for (int i = 0; i < SEVEN; i++) f[i] = right_factor(i, b);
}

/* Quadrants of C from the products. */
INLINE void quadrants(const vf *p, vf *c)
{
    const vf u2 = p[0] + p[5], u3 = u2 + p[6];
    c[0] = p[0] + p[1];
    c[1] = u2 + p[4] + p[2];
    c[2] = u3 - p[3];
    c[3] = u3 + p[4];
}

/* Element y, x of a matrix of quarters: which quadrant it is in, and where. */
INLINE int outer(int y, int x) { return y / 2 * 2 + x / 2; }
INLINE int inner(int y, int x) { return y % 2 * 2 + x % 2; }

/* ---- groups of pixels ---------------------------------------------------- */

static int block_begin(const job *j, int block)
{
    return part_begin(j->groups, block, j->blocks);
}

static room room_of(const job *j, int worker)
{
    room r;
    lay(j->a->conv, &j->f, weft_pool_scratch(j->pool, worker), &r);
    return r;
}

/* The room whose `made` and `partial` are this block's. */
static room room_of_block(const job *j, int block)
{
    return room_of(j, block - j->block0);
}

static group group_at(const job *j, int g)
{
    const weft_conv_args *a = j->a;
    const ptrdiff_t line = (j->first + g) / j->columns;
    const int x = a->col0 + j->f.side * (int)((j->first + g) % j->columns);
    return (group){line * a->w + x, min_int(j->f.side, a->w - x)};
}

static void make_pair(const float *const *px, int k, float *to, size_t apart)
{
    for (int i = 0; i < k; i += VL) {
        const vf a[4] = {vld(px[0] + i), vld(px[0] + k + i), vld(px[1] + i),
                         vld(px[1] + k + i)};
        vf f[SEVEN];
        left_factors(a, f);
        UNROLL for (int p = 0; p < SEVEN; p++) vst(to + p * apart + i, f[p]);
    }
}

/* `next`: to the same pixel of the group behind, which is fetched. */
static void make_quad(const float *const *px, ptrdiff_t next, int k, float *to,
                      size_t apart)
{
    for (int i = 0; i < k; i += VL) {
        vf a[4][4], f[4][SEVEN];
        for (int y = 0; y < 4 && i % 16 == 0; y++)
            for (int x = 0; x < 4; x++) vprefetch(px[y] + next + x * k + i);
        UNROLL for (int y = 0; y < 4; y++)
        {
            UNROLL for (int x = 0; x < 4; x++) a[inner(y, x)][outer(y, x)] =
                vld(px[y] + x * k + i);
        }
        UNROLL for (int q = 0; q < 4; q++) left_factors(a[q], f[q]);
        UNROLL for (int p = 0; p < SEVEN; p++)
        {
            const vf b[4] = {f[0][p], f[1][p], f[2][p], f[3][p]};
            vf s[SEVEN];
            left_factors(b, s);
            UNROLL for (int t = 0; t < SEVEN; t++)
                vst(to + (p * SEVEN + t) * apart + i, s[t]);
        }
    }
}

/* Factors of A, of group g. */
static void make_group(const job *j, int g, const room *own, float *to)
{
    const form *f = &j->f;
    const int cin = j->a->conv->cin[0], c0 = j->segment * f->side * f->k;
    const group at = group_at(j, g);
    const float *px[MOST_SIDE];
    for (int x = 0; x < f->side; x++)
        px[x] =
            x < at.pixels ? j->a->in[0] + (at.pixel + x) * cin + c0 : own->zero;
    if (f->side == 4)
        make_quad(px, 4 * cin, f->k, to, f->apart);
    else
        make_pair(px, f->k, to, f->apart);
}

/* ---- factors of B -------------------------------------------------------- */

/* Panel p of quarter (or half) x of the columns, channels of quarter y on. */
static const void *weights_at(const job *j, int p, int y, int x)
{
    const form *f = &j->f;
    const size_t size = weft_dtype_size(j->v.dtype) * NR;
    const size_t panel = (size_t)x * f->panels + p;
    const size_t k = (size_t)(j->segment * f->side + y) * f->k;
    return (const char *)j->a->weight + (panel * j->a->conv->cin[0] + k) * size;
}

/* One quarter of each side, and what the seven products take of it. */
INLINE void add_halves(weft_dtype t, const void *const *b, int n,
                       float *const *to)
{
    for (int i = 0; i < n; i += VL) {
        vf q[4], f[SEVEN];
        UNROLL for (int s = 0; s < 4; s++) q[s] = vweights(b[s], i, t);
        right_factors(q, f);
        UNROLL for (int p = 0; p < SEVEN; p++) vst(to[p] + i, f[p]);
    }
}

/* b[inner][outer] */
INLINE void add_quarters(weft_dtype t, int product, const void *const b[4][4],
                         int n, float *const *to)
{
    for (int i = 0; i < n; i += 2 * VL) {
        vf q[2][4], f[SEVEN];
        UNROLL for (int s = 0; s < 4; s++)
        {
            vf w[2][4];
            UNROLL for (int u = 0; u < 4; u++)
            {
                w[0][u] = vweights(b[s][u], i, t);
                w[1][u] = vweights(b[s][u], i + VL, t);
            }
            q[0][s] = right_factor(product, w[0]);
            q[1][s] = right_factor(product, w[1]);
        }
        UNROLL for (int h = 0; h < 2; h++)
        {
            right_factors(q[h], f);
            UNROLL for (int p = 0; p < SEVEN; p++)
                vst(to[p] + i + h * VL, f[p]);
        }
    }
}

#define QUARTERS(t)                                                            \
    static void quarters_##t(int product, const void *const b[4][4], int n,    \
                             float *const *to)                                 \
    {                                                                          \
        switch (product) {                                                     \
        case 0:                                                                \
            add_quarters(WEFT_##t, 0, b, n, to);                               \
            break;                                                             \
        case 1:                                                                \
            add_quarters(WEFT_##t, 1, b, n, to);                               \
            break;                                                             \
        case 2:                                                                \
            add_quarters(WEFT_##t, 2, b, n, to);                               \
            break;                                                             \
        case 3:                                                                \
            add_quarters(WEFT_##t, 3, b, n, to);                               \
            break;                                                             \
        case 4:                                                                \
            add_quarters(WEFT_##t, 4, b, n, to);                               \
            break;                                                             \
        case 5:                                                                \
            add_quarters(WEFT_##t, 5, b, n, to);                               \
            break;                                                             \
        default:                                                               \
            add_quarters(WEFT_##t, 6, b, n, to);                               \
            break;                                                             \
        }                                                                      \
    }
QUARTERS(F32)
QUARTERS(F16)
QUARTERS(BF16)

static void make_quarters(const job *j, int p, int product, const room *r)
{
    const int n = j->f.k * NR;
    const void *b[4][4];
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++)
            b[inner(y, x)][outer(y, x)] = weights_at(j, p, y, x);
    if (j->v.dtype == WEFT_F16)
        quarters_F16(product, b, n, r->weights);
    else if (j->v.dtype == WEFT_BF16)
        quarters_BF16(product, b, n, r->weights);
    else
        quarters_F32(product, b, n, r->weights);
}

static void make_halves(const job *j, int p, const room *r)
{
    const int n = j->f.k * NR;
    const void *b[4];
    for (int s = 0; s < 4; s++) b[s] = weights_at(j, p, s / 2, s % 2);
    if (j->v.dtype == WEFT_F16)
        add_halves(WEFT_F16, b, n, r->weights);
    else if (j->v.dtype == WEFT_BF16)
        add_halves(WEFT_BF16, b, n, r->weights);
    else
        add_halves(WEFT_F32, b, n, r->weights);
}

/* ---- products ------------------------------------------------------------ */

/* Seven of them, with what was made of m rows and of weights; of quarters those
 * that make the outer product of this number. */
static void products(const job *j, const room *r, int m, int outer)
{
    const form *f = &j->f;
    for (int i = 0; i < SEVEN; i++) {
        const ptrdiff_t off = (ptrdiff_t)((outer * SEVEN + i) * f->apart);
        const segment s = {r->row, off, f->k};
        const target to = sums_at(r->sums + i * f->sums, NR, false);
        ISA(chunk)(m, &s, 1, r->weights[i], WEFT_F32, NV, &to, NULL);
    }
}

/* One vector of the outputs of a group's pixel x, in quarter (or half) q of the
 * columns, n on in each. `partial`: of the group and these columns. */
INLINE void put(const job *j, const group *at, int x, int q, int n, vf c,
                float *partial)
{
    const weft_conv_args *a = j->a;
    const int cout = a->conv->cout, side = j->f.side;
    const int s = a->bias_n ? (int)(at->pixel / a->w % a->n) : 0;
    partial += (x * side + q) * NR;
    if (j->segment) c += vld(partial);
    if (j->segment < j->f.segments - 1) {
        vst(partial, c);
    } else if (x < at->pixels) {
        n += q * (cout / side);
        put_lanes(a, c + bias_lanes(a, s, n, VL), (at->pixel + x) * cout + n,
                  VL);
    }
}

/* Quadrants from the sums of seven products. */
INLINE void quadrants_of(const float *sums, size_t apart, vf *c)
{
    vf p[SEVEN];
    UNROLL for (int i = 0; i < SEVEN; i++) p[i] = vld(sums + i * apart);
    quadrants(p, c);
}

/* m groups of which seven products are made. */
typedef struct ready {
    int m, n;       /* n: the first column, in each quarter */
    float *partial; /* of the first group */
} ready;

static void finish_pairs(const job *j, const room *r, const ready *d)
{
    for (int i = 0; i < d->m; i++) {
        float *partial = d->partial + (size_t)i * 4 * NR;
        for (int u = 0; u < NR; u += VL) {
            vf c[4];
            quadrants_of(r->sums + i * NR + u, j->f.sums, c);
            for (int o = 0; o < 4; o++)
                put(j, &r->group[i], o / 2, o % 2, d->n + u, c[o], partial + u);
        }
    }
}

/* Of quarters one of the outer seven products is made after the other, in an
 * order in which few sums of them wait for others. */
static const int outer_order[SEVEN] = {0, 5, 1, 4, 6, 2, 3};
/* The quadrant that is complete with this product, or -1. */
static const int completes[SEVEN] = {-1, 0, 1, 2, -1, -1, 3};
/* What waits: P1, then C12; C22; U2, then U3. */
enum { C12, C22, U };

/* Product p joins. Returns the quadrant that is complete, if one is. */
INLINE vf join(int p, vf c, float *c12, float *c22, float *u)
{
    switch (p) {
    case 0:
        vst(c12, c);
        break;
    case 1:
        c += vld(c12);
        break;
    case 2:
        c += vld(c12);
        break;
    case 3:
        c = vld(u) - c;
        break;
    case 4:
        vst(c12, vld(u) + c);
        vst(c22, c);
        break;
    case 5:
        vst(u, vld(c12) + c);
        break;
    default:
        c += vld(u);
        vst(u, c);
        c += vld(c22);
    }
    return c;
}

INLINE void join_quads(int p, const job *j, const room *r, const ready *d)
{
    const int o = completes[p];
    const size_t apart = j->f.sums;
    for (int i = 0; i < d->m; i++) {
        float *partial = d->partial + (size_t)i * 16 * NR;
        for (int u = 0; u < NR; u += VL) {
            vf c[4];
            quadrants_of(r->sums + i * NR + u, apart, c);
            UNROLL for (int s = 0; s < 4; s++)
            {
                float *w = r->waiting + s * apart + i * NR + u;
                const vf q = join(p, c[s], w + C12 * 4 * apart,
                                  w + C22 * 4 * apart, w + U * 4 * apart);
                if (o >= 0)
                    put(j, &r->group[i], o / 2 * 2 + s / 2, o % 2 * 2 + s % 2,
                        d->n + u, q, partial + u);
            }
        }
    }
}

#define JOIN(p)                                                                \
    static void join_##p(const job *j, const room *r, const ready *d)          \
    {                                                                          \
        join_quads(p, j, r, d);                                                \
    }
JOIN(0)
JOIN(1)
JOIN(2)
JOIN(3)
JOIN(4)
JOIN(5)
JOIN(6)

/* Groups g0 .. g1 of a block. */
static void compute(const job *j, int block, int panel, int g0, int g1,
                    const room *r)
{
    static void (*const join_of[])(const job *, const room *, const ready *) = {
        join_0, join_1, join_2, join_3, join_4, join_5, join_6};
    const form *f = &j->f;
    const room of = room_of_block(j, block);
    const size_t at = (size_t)panel * f->groups + g0;
    const ready d = {g1 - g0, panel * NR,
                     of.partial + at * f->side * f->side * NR};
    for (int g = g0; g < g1; g++) {
        r->row[g - g0] = of.made + (size_t)g * f->k;
        r->group[g - g0] = group_at(j, block_begin(j, block) + g);
    }
    if (f->side == 2) {
        make_halves(j, panel, r);
        products(j, r, d.m, 0);
        finish_pairs(j, r, &d);
        return;
    }
    for (int i = 0; i < SEVEN; i++) {
        const int p = outer_order[i];
        make_quarters(j, panel, p, r);
        products(j, r, d.m, p);
        join_of[p](j, r, &d);
    }
}

/* ---- tasks --------------------------------------------------------------- */

enum { GROUPS_AT_ONCE = 4 };

static void make_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const int from = block_begin(j, j->block0);
    const int end = block_begin(j, j->block0 + j->nblocks);
    const room own = room_of(j, worker);
    const int g1 = min_int(end, from + (i + 1) * GROUPS_AT_ONCE);
    if ((j->a->col1 - j->a->col0) % j->f.side)
        memset(own.zero, 0, j->a->conv->cin[0] * sizeof *own.zero);
    for (int g = from + i * GROUPS_AT_ONCE, block = j->block0; g < g1; g++) {
        while (g >= block_begin(j, block + 1)) block++;
        make_group(j, g, &own,
                   room_of_block(j, block).made +
                       (size_t)(g - block_begin(j, block)) * j->f.k);
    }
}

/* Cuts of panels, in order: those of one panel are computed together. */
static void panel_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const room own = room_of(j, worker);
    const int all = j->nblocks * j->f.panels * j->cuts;
    const int end = part_begin(all, i + 1, j->tasks);
    for (int u = part_begin(all, i, j->tasks), next; u < end; u = next) {
        const int panel = u / j->cuts, cut = u % j->cuts;
        const int block = j->block0 + panel / j->f.panels;
        const int m = block_begin(j, block + 1) - block_begin(j, block);
        next = min_int(end, (panel + 1) * j->cuts);
        compute(j, block, panel % j->f.panels, part_begin(m, cut, j->cuts),
                part_begin(m, cut + next - u, j->cuts), &own);
    }
}

/* Segment after segment of some blocks. */
static void pass(job *j)
{
    const int groups =
        block_begin(j, j->block0 + j->nblocks) - block_begin(j, j->block0);
    for (j->segment = 0; j->segment < j->f.segments; j->segment++) {
        weft_pool_run(j->pool, ceil_div(groups, GROUPS_AT_ONCE), make_task, j);
        weft_pool_run(j->pool, j->tasks, panel_task, j);
    }
}

static void seven_run(const weft_conv_args *a, weft_variant v, weft_pool *pool)
{
    const int threads = weft_pool_size(pool);
    job j = {.a = a, .v = v, .pool = pool, .f = form_of(a->conv, v)};
    j.columns = ceil_div(a->col1 - a->col0, j.f.side);
    const int line = a->n * j.columns;
    j.first = (ptrdiff_t)a->row0 * line;
    j.groups = (a->row1 - a->row0) * line;
    if (j.groups <= 0) return;
    j.blocks = ceil_div(j.groups, j.f.groups);
    const int together =
        min_int(threads, min_int(j.blocks, ceil_div(4 * threads, j.f.panels)));
    const int cuts =
        max_int(1, j.groups * j.f.side / (j.blocks * LEAST_PIXELS));
    for (; j.block0 < j.blocks; j.block0 += j.nblocks) {
        j.nblocks = min_int(together, j.blocks - j.block0);
        j.cuts =
            threads == 1
                ? 1
                : min_int(cuts, ceil_div(4 * threads, j.nblocks * j.f.panels));
        j.tasks = min_int(2 * threads, j.nblocks * j.f.panels * j.cuts);
        pass(&j);
    }
}

const conv_kernel ISA(seven) = {ISA(panels_bytes), ISA(panels_pack),
                                seven_scratch, seven_run};
