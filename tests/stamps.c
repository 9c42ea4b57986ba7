#include "tests/stamps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEN = 4, SPARE = 2, SLOTS = 11 };

/* The last strip is narrower. */
static const weft_cell cell = {2, 3, 7};
enum { IMAGE = 2 * WEFT_STAMP_ROWS * 7 * LEN }; /* floats */

/* What is published, and what displaced evaluations are to show of it. */
static const struct {
    weft_reach reach;
    weft_class class;
    weft_old old;
    int bundle;
    weft_border border;
} kind[SLOTS] = {
    {WEFT_REACH_BORDER, WEFT_BORDER, WEFT_OLD_SHOWN, 0, {2, 1, 1, 1}},
    {WEFT_REACH_ALL, WEFT_KV, WEFT_OLD_SHOWN, 0, {0}},
    {WEFT_REACH_ALL, WEFT_MOMENTS, WEFT_OLD_PAIRED, 1, {0}},
    {WEFT_REACH_BORDER, WEFT_BORDER, WEFT_OLD_SHOWN, 0, {0, 1, 0, 1}},
    {WEFT_REACH_ALL, WEFT_KV, WEFT_OLD_PAIRED, 0, {0}},
    {WEFT_REACH_ALL, WEFT_MOMENTS, WEFT_OLD_PAIRED, 1, {0}},
    {WEFT_REACH_ALL, WEFT_MOMENTS, WEFT_OLD_PAIRED, 1, {0}},
    {WEFT_REACH_ALL, WEFT_KV, WEFT_OLD_REFUSED, 0, {0}},
    {WEFT_REACH_ALL, WEFT_MOMENTS, WEFT_OLD_PAIRED, 2, {0}},
    {WEFT_REACH_ALL, WEFT_KV, WEFT_OLD_ABSENT, 0, {0}},
    {WEFT_REACH_BORDER, WEFT_BORDER, WEFT_OLD_REFUSED, 0, {1, 1, 1, 0}},
};

typedef struct rig {
    weft_exchange *x;
    int slot[SLOTS];
    float *memory[SLOTS]; /* as an activation block would: used anew */
    int lane, image, t;   /* the one under way; t of this lane */
    int behind;           /* evaluations that the schedule counts before t */
    int wrong;
} rig;

static weft_rect rect_of(const rig *r, int p)
{
    return weft_cut_rect(&r->x->cut, &cell, p);
}

/* ---- stamps -------------------------------------------------------------- */

static void stamp(const rig *r, float *to, int t, int row, int column,
                  int patch)
{
    to[0] = (float)(1000 * r->image + 100 * r->lane + t);
    to[1] = (float)row;
    to[2] = (float)column;
    to[3] = (float)patch;
}

static void stamp_mine(const rig *r, float *to)
{
    const int me = r->x->cut.me;
    const weft_rect m = rect_of(r, me);

    for (int y = m.row; y < m.row + m.rows; y++)
        for (int k = m.column; k < m.column + m.columns; k++, to += LEN)
            stamp(r, to, r->t, y, k, me);
}

/* Halves hold every stamp; a residual is off by a 254th of what changed. */
static bool differ(const rig *r, const float *at, const float *want)
{
    const float most = weft_wire_is_residual(r->x->sched.wire) ? 1.0f / 64 : 0;

    for (int i = 0; i < LEN; i++)
        if (!(fabsf(at[i] - want[i]) <= most)) return true;
    return false;
}

/* Is this what lies there of the image, of patch p, as of evaluation t? */
static void ask(rig *r, const float *at, int t, int p, weft_rect of)
{
    float want[LEN];

    for (int y = of.row; y < of.row + of.rows; y++)
        for (int k = of.column; k < of.column + of.columns; k++, at += LEN) {
            stamp(r, want, t, y, k, p);
            if (differ(r, at, want)) r->wrong++;
        }
}

static void ask_zero(rig *r, const float *at, int pixels)
{
    for (int i = 0; i < pixels * LEN; i++)
        if (at[i] != 0) r->wrong++;
}

static void expect(rig *r, bool ok)
{
    if (!ok) r->wrong++;
}

/* ---- what should be seen ------------------------------------------------- */

/* Much moves in this evaluation, though only on the last patch. */
static bool moves(int t) { return t % 5 == 3; }

static int age_wanted(const rig *r, int k)
{
    const weft_schedule *s = &r->x->sched;
    const int now = r->t + r->behind;

    if (r->x->cut.n == 1 || kind[k].old == WEFT_OLD_REFUSED) return 0;
    if (now < s->warmup || (s->drift > 0 && r->t > 2 && moves(r->t - 2)))
        return 0;
    for (int t = s->warmup + s->refresh; s->refresh && t <= now + 1;
         t += s->refresh)
        if (t == now + 1) return 0;
    return s->lag;
}

/* What is shown of the neighbour at (down, right), which may not exist. */
static void ask_neighbour(rig *r, int k, const weft_view *v, int down,
                          int right)
{
    const weft_cut *cut = &r->x->cut;
    const int p = weft_cut_neighbour(cut, cut->me, down, right);
    const weft_rect mine = rect_of(r, cut->me);
    weft_rect of = weft_border_from(&mine, &kind[k].border, down, right);
    const float *at = right ? (const void *)v->side[right > 0]
                            : r->memory[k] + SPARE * mine.columns * LEN;

    if (!of.columns || weft_cut_neighbour(cut, cut->me, 0, right) < 0) {
        expect(r, right && !at);
        return;
    }
    at += of.row * of.columns * LEN;
    of.row += mine.row;
    of.column += mine.column;
    if (p < 0)
        ask_zero(r, at, of.rows * of.columns);
    else
        ask(r, at, p == cut->me ? r->t : r->t - age_wanted(r, k), p, of);
}

static void ask_border(rig *r, int k, const weft_view *v)
{
    for (int down = -1; down <= 1; down++)
        for (int right = -1; right <= 1; right++)
            ask_neighbour(r, k, v, down, right);
}

static void ask_all(rig *r, int k, const weft_view *v)
{
    const int me = r->x->cut.me, age = age_wanted(r, k);
    const bool absent = age > 0 && kind[k].old == WEFT_OLD_ABSENT;

    expect(r, v->n == r->x->cut.n && v->me == me);
    expect(r, v->age == (absent ? 0 : age));
    expect(r, (v->then != NULL) == (age > 0 && kind[k].old == WEFT_OLD_PAIRED));
    for (int p = 0; p < v->n; p++) {
        const bool gone = absent && p != me;

        expect(r, v->rect[p].rows == (gone ? 0 : rect_of(r, p).rows));
        if (gone || !v->rect[p].rows) continue;
        ask(r, (const void *)v->part[p], p == me ? r->t : r->t - age, p,
            rect_of(r, p));
        if (v->then)
            ask(r, (const void *)v->then[p], r->t - age, p, rect_of(r, p));
    }
}

/* ---- use ----------------------------------------------------------------- */

/* Floats of a slot's memory, and before the part that it is bound to. */
static size_t floats(const rig *r, int k, size_t *before)
{
    const weft_rect m = rect_of(r, r->x->cut.me);

    *before = kind[k].reach == WEFT_REACH_ALL ? 0 : SPARE * m.columns * LEN;
    return kind[k].reach == WEFT_REACH_ALL
               ? IMAGE
               : (size_t)((m.rows + 2 * SPARE) * m.columns * LEN);
}

static void declare(rig *r)
{
    for (int k = 0; k < SLOTS; k++) {
        size_t before;
        const size_t n = floats(r, k, &before);
        const weft_slot_spec spec = {.reach = kind[k].reach,
                                     .class = kind[k].class,
                                     .cell = cell,
                                     .border = kind[k].border,
                                     .n = 1,
                                     .pixel_bytes = LEN * sizeof(float),
                                     .layer = "stamps",
                                     .old = kind[k].old,
                                     .bundle = kind[k].bundle};

        r->memory[k] = calloc(n, sizeof(float));
        expect(r, weft_exchange_declare(r->x, &spec, &r->slot[k]) == WEFT_OK);
        weft_exchange_bind(r->x, r->slot[k], r->memory[k] + before);
    }
    expect(r, weft_exchange_settle(r->x) == WEFT_OK);
}

static void publish(rig *r, int k)
{
    size_t before;
    void *mine;

    (void)floats(r, k, &before);
    mine = r->memory[k] + before;
    if (kind[k].reach == WEFT_REACH_ALL)
        expect(r, weft_exchange_open(r->x, r->slot[k], &mine) == WEFT_OK);
    stamp_mine(r, mine);
    expect(r, weft_exchange_put(r->x, r->slot[k]) == WEFT_OK);
}

/* Where drift is measured: what I published before, and that some of it moved.
 */
static void say_moved(rig *r, int k)
{
    const void *before = weft_exchange_before(r->x, r->slot[k]);
    const bool mine = r->x->cut.me == r->x->cut.n - 1;

    expect(r, (before != NULL) ==
                  (r->x->sched.drift > 0 && r->x->cut.n > 1 && r->t > 0));
    if (!before) return;
    ask(r, before, r->t - 1, r->x->cut.me, rect_of(r, r->x->cut.me));
    weft_exchange_moved(r->x, r->slot[k], mine && moves(r->t) ? 1e6 : 1e-6, 1);
}

static void look(rig *r, int k)
{
    weft_view v;

    if (kind[k].class == WEFT_MOMENTS) say_moved(r, k);

    expect(r, weft_exchange_get(r->x, r->slot[k], &v) == WEFT_OK);
    expect(r, weft_exchange_ready(r->x, r->slot[k]));
    if (kind[k].reach == WEFT_REACH_ALL)
        ask_all(r, k, &v);
    else
        ask_border(r, k, &v);
}

/* Memory of the caller is gone between evaluations. */
static void scribble(rig *r)
{
    size_t before;

    for (int k = 0; k < SLOTS; k++)
        memset(r->memory[k], 0xff, floats(r, k, &before) * sizeof(float));
}

/* Two slots at a time are under way. */
static void evaluate(rig *r)
{
    expect(r, weft_exchange_next(r->x) == WEFT_OK);
    publish(r, 0);
    for (int k = 0; k < SLOTS; k++) {
        if (k + 1 < SLOTS) publish(r, k + 1);
        weft_exchange_poll(r->x);
        look(r, k);
        expect(r, weft_exchange_done(r->x, r->slot[k]) == WEFT_OK);
    }
    scribble(r);
}

/* A lane that goes on has no past: it is in step for as long as its lag. */
static void go_on(rig *r, int behind)
{
    const int most = r->x->sched.warmup - r->x->sched.lag;

    r->behind = behind < most ? behind : most;
    expect(r, weft_exchange_resume(r->x, behind) == WEFT_OK);
}

int weft_stamps_ask(weft_exchange *x, const weft_stamps *how)
{
    rig r = {.x = x};

    declare(&r);
    for (r.image = 0; r.image < how->images; r.image++) {
        expect(&r, weft_exchange_restart(x) == WEFT_OK);
        if (how->behind && r.image == how->images - 1) go_on(&r, how->behind);
        for (int i = 0; i < how->evaluations; i++) {
            r.lane = how->shared ? i % 2 : 0;
            r.t = how->shared ? i / 2 : i;
            evaluate(&r);
        }
    }
    expect(&r, weft_exchange_restart(x) == WEFT_OK);
    for (int k = 0; k < SLOTS; k++) free(r.memory[k]);
    return r.wrong;
}

void weft_stamps_cut(int n, int *first)
{
    for (int p = 0; p <= n; p++)
        first[p] = p == n ? WEFT_STAMP_ROWS : p * (p + 9) / 3;
}

void weft_stamps_strips(int across, int *strip)
{
    for (int k = 0; k <= across; k++) strip[k] = k * WEFT_STAMP_STRIPS / across;
}
