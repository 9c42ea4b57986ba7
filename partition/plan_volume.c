/*
 * Messages and bytes of an evaluation, and memory of the past: what exchanges
 * will do, counted without any.
 */
#include "partition/plan.h"

/* How a want travels: bytes of a message of `rows` rows of `width` bytes. */
typedef struct wired {
    weft_wire wire;
    bool full;
} wired;

static uint64_t message(wired w, size_t rows, size_t width)
{
    if (w.wire == WEFT_WIRE_F32) return rows * width;
    return weft_wire_bytes(w.wire, w.full, rows, width / sizeof(float));
}

/* What patch p gets of its neighbours. */
static void add_border(weft_volume *v, const weft_want *want, wired w,
                       const weft_cell *cell, size_t pixel, const weft_cut *cut,
                       int p)
{
    const weft_rect mine = weft_cut_rect(cut, cell, p);

    for (int down = -1; down <= 1; down++)
        for (int right = -1; right <= 1; right++) {
            const weft_rect r =
                weft_border_from(&mine, &want->border, down, right);
            const int peer = weft_cut_neighbour(cut, p, down, right);

            if (peer < 0 || peer == p || !weft_rect_pixels(&r)) continue;
            v->messages[want->class]++;
            v->bytes[want->class] +=
                message(w, 1, weft_rect_pixels(&r) * pixel);
        }
}

/* What patch p gives to all others. */
static void add_part(weft_volume *v, const weft_want *want, wired w,
                     const weft_cell *cell, size_t pixel, const weft_cut *cut,
                     int p)
{
    const weft_rect r = weft_cut_rect(cut, cell, p);
    const uint64_t others = (uint64_t)cut->n - 1;

    v->messages[want->class] += others;
    v->bytes[want->class] +=
        others * message(w, (size_t)r.rows, (size_t)r.columns * pixel);
}

weft_volume weft_plan_graph_volume(const weft_graph *g, int n,
                                   const weft_cut *cut, weft_schedule sched,
                                   bool full)
{
    weft_volume v = {0};

    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nwants; k++) {
            const weft_want *want = &g->node[i].want[k];
            const weft_value *x = weft_graph_at(g, want->val);
            const weft_cell cell = {x->rows_per_unit, x->strip, x->w};
            const size_t pixel = (size_t)n * (size_t)x->c * sizeof(float);
            const wired w = {weft_schedule_wire(&sched, want->class), full};

            for (int p = 0; p < cut->n; p++)
                (want->reach == WEFT_REACH_ALL ? add_part : add_border)(
                    &v, want, w, &cell, pixel, cut, p);
        }
    return v;
}

/* Displaced, moments of a level travel together: slots of a kind in a row. */
static int count_bundles(const weft_graph *g)
{
    int n = 0, last = -1;

    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nwants; k++) {
            const int level = weft_graph_level(g, i);

            if (g->node[i].want[k].class != WEFT_MOMENTS) continue;
            n += level != last;
            last = level;
        }
    return n;
}

weft_volume weft_plan_graph_displaced(const weft_graph *g, int n,
                                      const weft_cut *cut, weft_schedule sched)
{
    weft_volume v = weft_plan_graph_volume(g, n, cut, sched, false);

    if (sched.moments == WEFT_OLD_ABSENT)
        v.bytes[WEFT_MOMENTS] = v.messages[WEFT_MOMENTS] = 0;
    if (weft_schedule_bundles(&sched))
        v.messages[WEFT_MOMENTS] = (uint64_t)count_bundles(g) *
                                   (uint64_t)cut->n * (uint64_t)(cut->n - 1);
    return v;
}

weft_volume weft_plan_ballot(const weft_cut *cut, weft_schedule sched)
{
    weft_volume v = {0};

    if (!sched.lag || sched.drift <= 0) return v;
    v.messages[WEFT_CONTROL] = (uint64_t)cut->n * (uint64_t)(cut->n - 1);
    v.bytes[WEFT_CONTROL] = v.messages[WEFT_CONTROL] * 2 * sizeof(double);
    return v;
}

int weft_plan_displaced(weft_schedule sched, int evaluations)
{
    int n = 0;

    for (int t = 0; t < evaluations; t++) n += weft_lag(&sched, t) > 0;
    return n;
}

/* ---- checkpoints --------------------------------------------------------- */

/* Batches in flight that have begun, and the stage that comes next. */
typedef struct sky {
    struct {
        bool flying;
        int batch, next;
    } slot[WEFT_FLIGHTS];
    int steps, kept_after;
} sky;

static uint64_t planes_of(const weft_plan *p, const sky *s)
{
    const int images = weft_plan_first_image(p, 1);
    uint64_t sum = 0;

    for (int i = 0; i < p->flights; i++) {
        const int left = images - s->slot[i].batch * p->batch;
        const int n = left < p->batch ? left : p->batch;

        if (s->slot[i].flying)
            sum += (uint64_t)n * (uint64_t)p->stage[s->slot[i].next].planes;
    }
    return sum;
}

/* As a run takes its turns. */
static void take_turn(const weft_plan *p, sky *s, const weft_turn *t)
{
    if (s->slot[t->slot].flying && p->stage[t->stage].index == 0) s->steps++;
    s->slot[t->slot].flying = !p->stage[t->stage].leaves;
    s->slot[t->slot].batch = t->batch;
    s->slot[t->slot].next = t->stage + 1;
}

uint64_t weft_plan_planes(const weft_plan *p)
{
    const weft_pipeline_spec spec = weft_plan_pipeline(p, 0);
    const int every = p->keep_steps;
    weft_pipeline order;
    sky s = {.steps = 0};
    uint64_t sum = 0;
    weft_turn t;

    if (!every || weft_pipeline_make(&spec, &order) != WEFT_OK) return 0;
    while (weft_pipeline_next(&order, &t)) {
        if (s.steps / every > s.kept_after / every) {
            sum += planes_of(p, &s);
            s.kept_after = s.steps;
        }
        take_turn(p, &s, &t);
    }
    weft_pipeline_release(&order);
    return sum;
}

weft_status weft_plan_graph_past(const weft_graph *g, int n,
                                 const weft_cut *cut, weft_schedule sched,
                                 size_t *bytes)
{
    weft_exchange x;
    weft_status st;

    WEFT_TRY(weft_exchange_init(&x, &weft_solo, cut, sched));
    st = weft_graph_declare(g, n, &x);
    if (st == WEFT_OK) *bytes = weft_exchange_past_bytes(&x);
    weft_exchange_release(&x);
    return st;
}
