#include "launch/measure.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mpi/watch.h"
#include "mpi/window.h"

/* Seconds of measuring one net, and the most of an evaluation, as supposed;
 * seconds of copying. */
static const double span = 0.15, most = 0.1, copying = 0.03;

/* Bytes that no cache holds, and that one task copies of them. */
enum { STREAM = 1 << 25, PIECE = 1 << 20 };

typedef struct probe {
    const weft_graph *g;
    int first[2]; /* of the only patch */
    weft_cut cut;
    weft_layout layout;
    weft_exchange x;
    weft_pool *pool;
    weft_window *weights;
    char *block, *held;
    float *zeros;    /* [n]: times and labels */
    double *seconds; /* [nodes] */
    weft_run run;
    int times;
} probe;

/* ---- making -------------------------------------------------------------- */

/* Half of the rows, and half of that, until that is quick enough. */
static void choose_rows(probe *p, const weft_plan *plan, int n)
{
    p->first[1] = plan->units;
    p->cut = (weft_cut){.n = 1, .first = p->first};
    while (p->first[1] > 1 &&
           weft_cost_compute(p->g, n, &p->cut, 0, plan->machine) > most)
        p->first[1] /= 2;
}

static weft_status allocate(probe *p, const weft_topology *t)
{
    const weft_layout *l = &p->layout;

    WEFT_TRY(weft_pool_create(t->threads, t->cpu, &p->pool));
    WEFT_TRY(weft_pool_reserve(p->pool, l->scratch));
    p->block = aligned_alloc(64, (l->bytes + 63) / 64 * 64);
    p->held = aligned_alloc(64, (l->held_bytes / 64 + 1) * 64);
    p->zeros = calloc((size_t)l->n, sizeof *p->zeros);
    p->seconds = calloc((size_t)p->g->nnodes, sizeof *p->seconds);
    if (!p->block || !p->held || !p->zeros || !p->seconds)
        return weft_fail(WEFT_ENOMEM, "out of memory to measure a net");
    memset(p->block, 0, l->bytes);
    memset(p->held, 0, l->held_bytes);
    return WEFT_OK;
}

static weft_status make(probe *p, const weft_setup *s, int n,
                        const weft_topology *t)
{
    choose_rows(p, &s->plan, n);
    WEFT_TRY(weft_layout_make(p->g, s->dev, n, &p->cut, &p->layout));
    WEFT_TRY(allocate(p, t));
    WEFT_TRY(weft_exchange_init(&p->x, &weft_solo, &p->cut, WEFT_IN_STEP));
    WEFT_TRY(weft_graph_declare(p->g, n, &p->x));
    WEFT_TRY(weft_graph_bind(p->g, &p->layout, p->block, &p->x, 0));
    p->run = (weft_run){.dev = s->dev,
                        .pool = p->pool,
                        .x = &p->x,
                        .layout = &p->layout,
                        .block = p->block,
                        .held = p->held,
                        .time = p->zeros,
                        .label = p->zeros,
                        .seconds = p->seconds};
    return WEFT_OK;
}

static void release(probe *p)
{
    weft_window_destroy(p->weights);
    weft_exchange_release(&p->x);
    weft_layout_release(&p->layout);
    weft_pool_destroy(p->pool);
    free(p->block);
    free(p->held);
    free(p->zeros);
    free(p->seconds);
}

/* ---- what is counted ----------------------------------------------------- */

enum { MEMORY = WEFT_COST_SPEEDS, SUMS };

/* Work by class, then the seconds that it took. MEMORY: bytes that layers
 * without operations move, and a copy, for a net may have next to no such
 * layers. */
typedef double tally[2 * SUMS];

/* ---- timing -------------------------------------------------------------- */

static weft_status evaluate(probe *p)
{
    double end;

    WEFT_TRY(weft_graph_eval(p->g, &p->run)); /* to warm up */
    memset(p->seconds, 0, (size_t)p->g->nnodes * sizeof *p->seconds);
    end = weft_clock() + span;
    do {
        WEFT_TRY(weft_graph_eval(p->g, &p->run));
        p->times++;
    } while (weft_clock() < end);
    return WEFT_OK;
}

/* The class of node i in `c`, a new one if need be. */
static int class_of(weft_cluster *c, const char *kind)
{
    int i = 0;

    while (i < c->nspeeds && strcmp(c->speed[i].kind, kind) != 0) i++;
    if (i < c->nspeeds) return i;
    WEFT_MUST(c->nspeeds < WEFT_COST_SPEEDS);
    snprintf(c->speed[i].kind, sizeof c->speed[i].kind, "%s", kind);
    return c->nspeeds++;
}

static void count(const probe *p, weft_cluster *c, double *work)
{
    const int units = p->first[1], n = p->layout.n;

    for (int i = 0; i < p->g->nnodes; i++) {
        const weft_layer_ops *ops = p->g->node[i].ops;
        const int k = ops->flops ? class_of(c, ops->kind) : MEMORY;

        work[k] +=
            p->times * (ops->flops ? ops->flops(p->g, i, n, units, units)
                                   : weft_cost_moved(p->g, i, n, &p->cut, 0));
        work[SUMS + k] += p->seconds[i];
    }
}

/* Of all ranks together. */
static weft_status set_speeds(weft_comm *world, double *work, weft_cluster *c)
{
    const double *seconds = work + SUMS;

    WEFT_TRY(weft_comm_sum(world, work, 2 * SUMS));
    for (int k = 0; k < c->nspeeds; k++)
        if (seconds[k] > 0) c->speed[k].flops_per_s = work[k] / seconds[k];
    c->memory_bytes_per_s = work[MEMORY] / seconds[MEMORY];
    return WEFT_OK;
}

/* ---- memory -------------------------------------------------------------- */

typedef struct stream {
    char *from, *to;
} stream;

static void copy(void *arg, int i, int worker)
{
    const stream *s = arg;
    const size_t at = (size_t)i * PIECE;

    (void)worker;
    memcpy(s->to + at, s->from + at, PIECE);
}

static void time_copies(weft_pool *pool, stream *s, double *work)
{
    double start;

    weft_pool_run(pool, STREAM / PIECE, copy, s); /* pages come into being */
    start = weft_clock();
    do {
        weft_pool_run(pool, STREAM / PIECE, copy, s);
        work[MEMORY] += 2.0 * STREAM;
        work[SUMS + MEMORY] = weft_clock() - start;
    } while (work[SUMS + MEMORY] < copying);
}

static weft_status measure_memory(const weft_topology *t, double *work)
{
    stream s = {calloc(1, STREAM), calloc(1, STREAM)};
    weft_pool *pool = NULL;
    weft_status st = s.from && s.to
                         ? weft_pool_create(t->threads, t->cpu, &pool)
                         : weft_fail(WEFT_ENOMEM, "out of memory to measure");

    if (st == WEFT_OK) {
        memset(s.from, 1, STREAM);
        time_copies(pool, &s, work);
    }
    weft_pool_destroy(pool);
    free(s.from);
    free(s.to);
    return st;
}

/* ---- the nets ------------------------------------------------------------ */

/* Samples that the net of a file is asked about at once; 0: it is not asked. */
static int samples_of(const weft_plan *p, int file)
{
    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].file == file && p->net[i].evaluations) return p->net[i].n;
    return 0;
}

static weft_status measure_net(weft_comm *world, weft_comm *node, probe *p,
                               weft_status made)
{
    WEFT_TRY(weft_comm_agree(world, made));
    WEFT_TRY(weft_comm_agree(
        world, weft_window_create(node, p->layout.weight_bytes, &p->weights)));
    p->run.weights = weft_window_base(p->weights);
    WEFT_TRY(weft_comm_barrier(world));
    return weft_comm_agree(world, evaluate(p));
}

static weft_status measure_file(weft_comm *world, weft_comm *node,
                                const weft_setup *s, const weft_topology *t,
                                int file, const double *memory, weft_machine *m,
                                double *all)
{
    const int n = samples_of(&s->plan, file);
    probe p = {.g = &s->models.file[file].graph};
    tally mine;
    weft_status st;

    if (!n) return WEFT_OK;
    memcpy(mine, memory, sizeof mine);
    st = measure_net(world, node, &p, make(&p, s, n, t));
    if (st == WEFT_OK) {
        m->net[file].nspeeds = 0;
        count(&p, &m->net[file], mine);
        count(&p, &m->cluster, all);
        st = set_speeds(world, mine, &m->net[file]);
    }
    release(&p);
    return st;
}

weft_status weft_measure(weft_comm *world, weft_comm *node, const weft_setup *s,
                         const weft_topology *t, weft_machine *m)
{
    tally memory = {0}, all;

    weft_watch_at("measuring", 0, 0);
    WEFT_TRY(weft_comm_barrier(world));
    WEFT_TRY(weft_comm_agree(world, measure_memory(t, memory)));
    memcpy(all, memory, sizeof all);
    for (int i = 0; i < s->models.nfiles; i++) m->net[i] = m->cluster;
    m->cluster.nspeeds = 0;
    for (int i = 0; i < s->models.nfiles; i++)
        WEFT_TRY(measure_file(world, node, s, t, i, memory, m, all));
    m->from = WEFT_COSTS_MEASURED;
    return set_speeds(world, all, &m->cluster);
}
