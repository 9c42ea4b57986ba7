/*
 * seven.c - linear layers over the pixels of an image by seven products of
 * halves in place of eight, or by 49 of quarters in place of 64 (seven.h).
 *
 * Halved are the pixels, the channels and the columns, or quartered. A group is
 * two pixels of a row side by side, or four: cuts lie at multiples of four
 * columns, so a group is a group on any rank. Pixels behind the last column are
 * zeros. Channels are cut into segments, which are halved each, and whose sums
 * are added in turn; so what is made of A is small.
 *
 * A task has a block of groups and a strip of panels, makes the factors of A
 * for itself and those of B as it goes, from weights as direct.c packs them: of
 * any type, and no second copy. The first rows that take a factor of B make it,
 * while it is their products that the cores wait for. Tasks of one block make
 * the same factors of A each: what one thread writes and another reads is dear
 * where their caches are apart.
 */
#include "core/device/cpu/fast/seven.h"

enum {
    GROUPS = 128, /* most groups of a block where they are pairs, ... */
    QUADS = 64,   /* ... where they are four pixels */
    STRIP = 10,   /* most panels of a task */
    AT_ONCE = 4, /* panels of a task at least where tasks are cut for balance */
    LEAST_PIXELS = 24 /* of a cut for the sake of threads */
};

/* What follows from a descriptor. */
typedef struct form {
    int side;        /* 2 or 4 */
    int segments, k; /* k: channels of a product, in each segment */
    int panels;      /* in a half of the columns, or a quarter */
    int groups;      /* most of a block */
    size_t apart;    /* floats from a factor of A to the next ... */
    size_t sums;     /* ... and from what sums of products to the next */
} form;

typedef struct job {
    const weft_conv_args *a;
    weft_variant v;
    weft_pool *pool;
    form f;
    int columns, groups; /* groups: in a row of one sample, and in all */
    ptrdiff_t first;     /* group */
    int blocks, strips;
} job;

typedef struct group {
    ptrdiff_t pixel; /* the first */
    int pixels;
} group;

/* A worker's scratch. */
typedef struct room {
    float *weights[KEPT]; /* [k][NR] */
    float *made;          /* [SEVEN], `apart`, of [group][k] */
    float *sums;          /* [SUMS] of [group][NR] */
    float *waiting;       /* [STRIP][SEVEN_WAITING][4], likewise, of quarters */
    float *partial;    /* [STRIP][side * side][group][NR], of segments before */
    const float **row; /* [group] */
    group *group;      /* [group] */
    float *zero;       /* [channels] */
} room;

/* What a task does, and a segment of that. */
typedef struct task {
    const job *j;
    room r;
    int m; /* groups */
    int segment;
} task;

static form form_of(const weft_conv *c, weft_variant v)
{
    form f = {.side = v.mw, .segments = v.mh};
    f.k = (c->cin[0] + c->cin[1]) / f.segments / f.side;
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

/* Of a panel. */
static size_t waiting_floats(const form *f)
{
    return f->side == 4 ? SEVEN_WAITING * 4 * f->sums : 0;
}

static size_t partial_floats(const form *f)
{
    return f->segments > 1 ? (size_t)f->groups * f->side * f->side * NR : 0;
}

static size_t lay(const form *f, char *base, room *r)
{
    const size_t strip = min_int(STRIP, f->panels) * sizeof(float);
    size_t at = 0;
    for (int i = 0; i < KEPT; i++)
        r->weights[i] =
            take(base, &at, off_4k((size_t)f->k * NR) * sizeof(float));
    r->made = take(base, &at, SEVEN * f->apart * sizeof(float));
    r->sums = take(base, &at, SUMS * f->sums * sizeof(float));
    r->waiting = take(base, &at, strip * waiting_floats(f));
    r->partial = take(base, &at, strip * partial_floats(f));
    r->row = take(base, &at, f->groups * sizeof *r->row);
    r->group = take(base, &at, f->groups * sizeof *r->group);
    r->zero = take(base, &at, f->side * f->k * sizeof(float));
    return at;
}

static size_t seven_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    const form f = form_of(c, v);
    room r;
    (void)n, (void)w;
    return lay(&f, NULL, &r);
}

/* ---- groups of pixels ---------------------------------------------------- */

static group group_at(const job *j, int g)
{
    const weft_conv_args *a = j->a;
    const ptrdiff_t line = (j->first + g) / j->columns;
    const int x = a->col0 + j->f.side * (int)((j->first + g) % j->columns);
    return (group){line * a->w + x, min_int(j->f.side, a->w - x)};
}

/* Factors of A, of all groups; of quarters those that the outer product of this
 * number takes. */
static void make_left(const task *t, int product)
{
    const form *f = &t->j->f;
    const weft_conv_args *a = t->j->a;
    int c0 = t->segment * f->side * f->k; /* of the input that it is in */
    const int src = c0 >= a->conv->cin[0], cin = a->conv->cin[src];
    if (src) c0 -= a->conv->cin[0];
    for (int g = 0; g < t->m; g++) {
        const group at = t->r.group[g];
        float *to = t->r.made + (size_t)g * f->k;
        const float *px[MOST_SIDE];
        for (int x = 0; x < f->side; x++)
            px[x] = x < at.pixels ? a->in[src] + (at.pixel + x) * cin + c0
                                  : t->r.zero;
        if (f->side == 4)
            left_of[product](px, 4 * cin, f->k, to, f->apart);
        else
            left_halves(px, f->k, to, f->apart);
    }
}

/* ---- weights ------------------------------------------------------------- */

/* Panel p of quarter (or half) x of the columns, channels of quarter y on. */
static const void *weights_at(const task *t, int p, int y, int x)
{
    const form *f = &t->j->f;
    const size_t size = weft_dtype_size(t->j->v.dtype) * NR;
    const size_t panel = (size_t)x * f->panels + p;
    const size_t k = (size_t)(t->segment * f->side + y) * f->k;
    return (const char *)t->j->a->weight +
           (panel * depth_of(t->j->a->conv) + k) * size;
}

/* What the sources of quadrant `inner` of an outer product are, in panel p; of
 * halves there is one. */
static mix sources_at(const task *t, int p, int product, int inner)
{
    mix b = {.t = t->j->v.dtype, .n = 1};
    if (t->j->f.side == 2) {
        b.of[0] = weights_at(t, p, inner / 2, inner % 2);
        return b;
    }
    b.n = right_of[product].n;
    for (int i = 0; i < b.n; i++) {
        const int o = right_of[product].quadrant[i];
        b.of[i] =
            weights_at(t, p, o / 2 * 2 + inner / 2, o % 2 * 2 + inner % 2);
    }
    return b;
}

/* ---- products ------------------------------------------------------------ */

/* A panel of a task. */
typedef struct panel {
    int n;                    /* the first column, in each quarter */
    float *waiting, *partial; /* its own */
} panel;

/* Seven of them: of a panel, those that are one of the outer seven. */
typedef struct turn {
    int panel, product; /* product: NONE after the last turn */
} turn;

/* Which weights of the turn to come are fetched during step i, as many bytes as
 * the step's own: of halves of a float two quadrants, which lie one behind the
 * other. */
static const void *to_fetch(const task *t, turn next, int i)
{
    if (next.product == NONE) return NULL;
    const int pieces = (int)weft_dtype_size(t->j->v.dtype);
    const int n = sources_at(t, next.panel, next.product, 0).n;
    if (i >= pieces * n) return NULL;
    return sources_at(t, next.panel, next.product, i / n).of[i % n];
}

static mix weights_of(const task *t, turn now, const step *d)
{
    float *const *kept = t->r.weights;
    mix b = {.n = 1, .t = WEFT_F32};
    if (d->quadrant == NONE)
        b.of[0] = kept[d->of];
    else
        b = sources_at(t, now.panel, now.product, d->quadrant);
    b.less = d->less == NONE ? NULL : kept[d->less];
    b.to = kept[d->keep];
    return b;
}

/* With the factors of A that are made. */
static void take_turn(const task *t, turn now, turn next)
{
    const form *f = &t->j->f;
    for (int i = 0; i < SEVEN; i++) {
        const step *d = &step_of[i];
        const segment s = {t->r.row, (ptrdiff_t)(d->left * f->apart), f->k};
        const mix b = weights_of(t, now, d);
        float *sums = t->r.sums;
        const target to = {.from = d->from == NONE ? NULL
                                                   : sums + d->from * f->sums,
                           .from_step = NR,
                           .to = sums + d->to * f->sums,
                           .to_step = NR};
        ISA(chunk_made)(t->m, &s, &b, &to, to_fetch(t, next, i));
    }
}

static panel panel_at(const task *t, int p, int nth)
{
    const form *f = &t->j->f;
    return (panel){p * NR, t->r.waiting + nth * waiting_floats(f),
                   t->r.partial + nth * partial_floats(f)};
}

/* Of a segment that is not the last: sums, and those of segments before. */
static void keep(const task *t, float *partial, const float *sums)
{
    for (int i = 0; i < t->m * NR; i += VL) {
        vf c = vld(sums + i);
        if (t->segment) c += vld(partial + i);
        vst(partial + i, c);
    }
}

/* The outputs of pixel x of all groups, in quarter (or half) q of the columns:
 * sums, which are those of a quadrant's quarter. */
static void put(const task *t, const panel *d, int x, int q, const float *sums)
{
    const weft_conv_args *a = t->j->a;
    const int cout = a->conv->cout, side = t->j->f.side;
    const int n = d->n + q * (cout / side);
    float *partial = d->partial + (size_t)(x * side + q) * t->j->f.groups * NR;
    if (t->segment < t->j->f.segments - 1) {
        keep(t, partial, sums);
        return;
    }
    for (int i = 0; i < t->m; i++) {
        const group *at = &t->r.group[i];
        const int s = a->bias_n ? (int)(at->pixel / a->w % a->n) : 0;
        if (x >= at->pixels) continue;
        for (int u = 0; u < NR; u += VL) {
            vf c = vld(sums + i * NR + u);
            if (t->segment) c += vld(partial + i * NR + u);
            put_lanes(a, c + bias_lanes(a, s, n + u, VL),
                      (at->pixel + x) * cout + n + u, VL);
        }
    }
}

/* Quadrants take the places of the first sums. */
static void finish_pairs(const task *t, const panel *d)
{
    const size_t apart = t->j->f.sums;
    for (int i = 0; i < t->m * NR; i += VL) {
        vf c[4];
        quadrants_of(t->r.sums + i, apart, c);
        UNROLL for (int o = 0; o < 4; o++) vst(t->r.sums + o * apart + i, c[o]);
    }
    for (int o = 0; o < 4; o++) put(t, d, o / 2, o % 2, t->r.sums + o * apart);
}

INLINE void join_quads(int p, const task *t, const panel *d)
{
    const int o = completes[p];
    const size_t apart = t->j->f.sums;
    for (int i = 0; i < t->m * NR; i += VL) {
        vf c[4];
        quadrants_of(t->r.sums + i, apart, c);
        UNROLL for (int s = 0; s < 4; s++)
        {
            float *w = d->waiting + s * apart + i;
            const vf q = join(p, c[s], w + C12 * 4 * apart, w + C22 * 4 * apart,
                              w + U * 4 * apart);
            if (o >= 0) vst(t->r.sums + s * apart + i, q);
        }
    }
    for (int s = 0; s < 4 && o >= 0; s++)
        put(t, d, o / 2 * 2 + s / 2, o % 2 * 2 + s % 2, t->r.sums + s * apart);
}

typedef void join_fn(const task *t, const panel *d);
#define JOIN(p)                                                                \
    static void join_##p(const task *t, const panel *d) { join_quads(p, t, d); }
EACH_OF_SEVEN(JOIN)
static join_fn *const join_of[SEVEN] = {SEVEN_OF(join_)};

/* ---- tasks --------------------------------------------------------------- */

/* Panels p0 .. p1 take turns at each of the outer seven products, whose factors
 * of A are in the cache then: all 49 would not fit. */
static void compute_quarters(const task *t, int p0, int p1)
{
    for (int i = 0; i < SEVEN; i++) {
        const int product = outer_order[i];
        const turn behind = {p0, i + 1 < SEVEN ? outer_order[i + 1] : NONE};
        make_left(t, product);
        for (int p = p0; p < p1; p++) {
            const panel d = panel_at(t, p, p - p0);
            take_turn(t, (turn){p, product},
                      p + 1 < p1 ? (turn){p + 1, product} : behind);
            join_of[product](t, &d);
        }
    }
}

static void compute_halves(const task *t, int p0, int p1)
{
    make_left(t, 0);
    for (int p = p0; p < p1; p++) {
        const panel d = panel_at(t, p, p - p0);
        take_turn(t, (turn){p, 0}, (turn){p + 1, p + 1 < p1 ? 0 : NONE});
        finish_pairs(t, &d);
    }
}

static void run_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const int block = i / j->strips, strip = i % j->strips;
    const int g0 = part_begin(j->groups, block, j->blocks);
    const int p0 = part_begin(j->f.panels, strip, j->strips);
    const int p1 = part_begin(j->f.panels, strip + 1, j->strips);
    task t = {.j = j};
    lay(&j->f, weft_pool_scratch(j->pool, worker), &t.r);
    t.m = part_begin(j->groups, block + 1, j->blocks) - g0;
    for (int g = 0; g < t.m; g++) {
        t.r.row[g] = t.r.made + (size_t)g * j->f.k;
        t.r.group[g] = group_at(j, g0 + g);
    }
    if ((j->a->col1 - j->a->col0) % j->f.side)
        memset(t.r.zero, 0, j->f.side * j->f.k * sizeof *t.r.zero);
    for (; t.segment < j->f.segments; t.segment++)
        if (j->f.side == 4)
            compute_quarters(&t, p0, p1);
        else
            compute_halves(&t, p0, p1);
}

/* Blocks are cut where threads are more than all panels of them, and panels
 * where they are more than the blocks, or a task would keep one for long. */
static void cut(job *j)
{
    const int threads = weft_pool_size(j->pool), panels = j->f.panels;
    const int least = ceil_div(j->groups, j->f.groups);
    const int most = max_int(least, j->groups * j->f.side / LEAST_PIXELS);
    j->blocks = min_int(most, max_int(least, ceil_div(threads, panels)));
    j->strips = ceil_div(panels, STRIP);
    if (threads == 1) return;
    while (j->strips < panels &&
           (j->blocks * j->strips < threads ||
            (j->blocks * j->strips % threads && panels > AT_ONCE * j->strips)))
        j->strips++;
}

static void seven_run(const weft_conv_args *a, weft_variant v, weft_pool *pool)
{
    job j = {.a = a, .v = v, .pool = pool, .f = form_of(a->conv, v)};
    j.columns = ceil_div(a->col1 - a->col0, j.f.side);
    const int line = a->n * j.columns;
    j.first = (ptrdiff_t)a->row0 * line;
    j.groups = (a->row1 - a->row0) * line;
    if (j.groups <= 0) return;
    cut(&j);
    weft_pool_run(pool, j.blocks * j.strips, run_task, &j);
}

const conv_kernel ISA(seven) = {ISA(panels_bytes), ISA(panels_pack),
                                seven_scratch, seven_run};
