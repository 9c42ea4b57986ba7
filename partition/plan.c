#include "partition/plan.h"

#include <stdlib.h>
#include <string.h>

#include "partition/split.h"

/* ---- volume -------------------------------------------------------------- */

/* What patch p gets of its neighbours. */
static void add_border(weft_volume *v, const weft_want *want,
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
            v->bytes[want->class] += weft_rect_pixels(&r) * pixel;
        }
}

static void add_all(weft_volume *v, const weft_want *want, size_t bytes,
                    int parts)
{
    v->messages[want->class] += (uint64_t)parts * (uint64_t)(parts - 1);
    v->bytes[want->class] += (uint64_t)bytes * (uint64_t)(parts - 1);
}

weft_volume weft_plan_graph_volume(const weft_graph *g, int n,
                                   const weft_cut *cut)
{
    weft_volume v = {0};

    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nwants; k++) {
            const weft_want *want = &g->node[i].want[k];
            const weft_value *x = weft_graph_at(g, want->val);
            const weft_cell cell = {x->rows_per_unit, x->strip, x->w};
            const size_t pixel = (size_t)n * (size_t)x->c * sizeof(float);
            const size_t rows =
                (size_t)x->rows_per_unit * (size_t)weft_cut_total(cut);

            if (want->reach == WEFT_REACH_ALL)
                add_all(&v, want, rows * (size_t)x->w * pixel, cut->n);
            for (int p = 0; p < cut->n; p++)
                if (want->reach == WEFT_REACH_BORDER)
                    add_border(&v, want, &cell, pixel, cut, p);
        }
    return v;
}

weft_volume weft_plan_graph_displaced(const weft_graph *g, int n,
                                      const weft_cut *cut, weft_schedule sched)
{
    weft_volume v = weft_plan_graph_volume(g, n, cut);

    if (sched.moments == WEFT_OLD_ABSENT)
        v.bytes[WEFT_MOMENTS] = v.messages[WEFT_MOMENTS] = 0;
    return v;
}

int weft_plan_displaced(weft_schedule sched, int evaluations)
{
    int n = 0;

    for (int t = 0; t < evaluations; t++) n += weft_lag(&sched, t) > 0;
    return n;
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

/* Everything that is not patch 0's own goes to it in pieces. */
static void add_stream(weft_volume *v, const weft_plan *p, int per_unit,
                       size_t row)
{
    for (int q = 1; row && q < p->grid.patches; q++) {
        const int rows = (p->first[q + 1] - p->first[q]) * per_unit;

        v->messages[WEFT_OUTPUT] +=
            (uint64_t)(rows + WEFT_STREAM_PIECE - 1) / WEFT_STREAM_PIECE;
        v->bytes[WEFT_OUTPUT] += (uint64_t)rows * row;
    }
}

static void add_times(weft_volume *v, const weft_volume *w, uint64_t times)
{
    for (int c = 0; c < WEFT_CLASSES; c++) {
        v->bytes[c] += times * w->bytes[c];
        v->messages[c] += times * w->messages[c];
    }
}

/* ---- nets ---------------------------------------------------------------- */

static double flops_of(const weft_graph *g, int n, int units, int total)
{
    double sum = 0;

    for (int i = 0; i < g->nnodes; i++)
        if (g->node[i].ops->flops)
            sum += g->node[i].ops->flops(g, i, n, units, total);
    return sum;
}

/* The patch with the most rows. */
static int busiest(const weft_plan *p)
{
    int most = 0;

    for (int q = 1; q < p->grid.patches; q++)
        if (p->first[q + 1] - p->first[q] > p->first[most + 1] - p->first[most])
            most = q;
    return most;
}

/* Memory of the past of all lanes on a patch. */
static weft_status past_of(const weft_plan *p, const weft_plan_net *net,
                           int patch, size_t *bytes)
{
    const weft_cut cut = {.n = p->grid.patches, .me = patch, .first = p->first};

    *bytes = 0;
    if (!net->sched.lag) return WEFT_OK;
    WEFT_TRY(weft_plan_graph_past(net->graph, net->n, &cut, net->sched, bytes));
    *bytes *= (size_t)(net->lanes ? net->lanes : 1);
    return WEFT_OK;
}

static weft_status make_net(const weft_plan *p, weft_plan_net *net)
{
    const weft_cut cut = weft_plan_cut(p, busiest(p));
    const int most = weft_cut_units(&cut, cut.me);
    weft_layout l;

    WEFT_TRY(weft_layout_make(net->graph, p->dev, net->n, &cut, &l));
    net->weight_bytes = l.weight_bytes;
    net->block_bytes = l.bytes;
    net->scratch_bytes = l.scratch;
    net->max_rows_held = l.max_rows_held;
    net->max_rows_image = l.max_rows_image;
    weft_layout_release(&l);
    net->flops = flops_of(net->graph, net->n, p->units, p->units);
    net->share = net->flops > 0
                     ? flops_of(net->graph, net->n, most, p->units) / net->flops
                     : 0;
    net->volume = weft_plan_graph_volume(net->graph, net->n, &cut);
    net->displaced =
        weft_plan_graph_displaced(net->graph, net->n, &cut, net->sched);
    for (int q = 0; q < cut.n; q++) {
        size_t bytes = 0;

        WEFT_TRY(past_of(p, net, q, &bytes));
        if (bytes > net->past_bytes) net->past_bytes = bytes;
    }
    return WEFT_OK;
}

/* ---- the plan ------------------------------------------------------------ */

static uint64_t fold(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *b = data;

    for (size_t i = 0; i < bytes; i++) h = (h ^ b[i]) * 1099511628211u;
    return h;
}

/* Whatever ranks could disagree about. FNV-1a. */
static uint64_t hash_of(const weft_plan *p)
{
    const int facts[] = {p->ranks,  p->grid.patches, p->width,    p->height,
                         p->rows,   p->columns,      p->channels, p->unit,
                         p->images, p->batch,        p->steps,    p->nnets};
    uint64_t h = fold(14695981039346656037u, facts, sizeof facts);

    h = fold(h, p->first, (size_t)(p->grid.patches + 1) * sizeof *p->first);
    h = fold(h, &p->identity, sizeof p->identity);
    for (int i = 0; i < p->nnets; i++) {
        const weft_plan_net *net = &p->net[i];

        h = fold(h, &net->volume, sizeof net->volume);
        h = fold(h, &net->displaced, sizeof net->displaced);
        h = fold(h, &net->sched, sizeof net->sched);
        h = fold(h, &net->lanes, sizeof net->lanes);
        h = fold(h, net->in_lane, sizeof net->in_lane);
        h = fold(h, &net->weight_bytes, sizeof net->weight_bytes);
        h = fold(h, &net->file_bytes, sizeof net->file_bytes);
        h = fold(h, &net->n, sizeof net->n);
    }
    return h;
}

static weft_status make(weft_plan *p)
{
    WEFT_TRY(
        weft_grid_make(p->ranks, p->patches, p->units, p->images, &p->grid));
    p->first = calloc((size_t)p->grid.patches + 1, sizeof *p->first);
    if (!p->first) return weft_fail(WEFT_ENOMEM, "out of memory for a plan");
    WEFT_TRY(
        weft_split_rows(p->rows, p->unit, p->grid.patches, NULL, p->first));
    for (int i = 0; i < p->nnets; i++) WEFT_TRY(make_net(p, &p->net[i]));
    add_stream(&p->output, p, p->unit * p->row_scale, p->picture_row_bytes);
    add_stream(&p->output, p, p->unit, p->latent_row_bytes);
    p->hash = hash_of(p);
    WEFT_MUST(weft_plan_is_valid(p));
    return WEFT_OK;
}

weft_status weft_plan_make(weft_plan *p)
{
    weft_status st;

    p->first = NULL;
    memset(&p->output, 0, sizeof p->output);
    p->units = p->rows / p->unit;
    st = make(p);
    if (st != WEFT_OK) weft_plan_release(p);
    return st;
}

void weft_plan_release(weft_plan *p)
{
    free(p->first);
    p->first = NULL;
}

bool weft_plan_is_valid(const weft_plan *p)
{
    if (p->grid.groups * p->grid.patches != p->ranks) return false;
    if (p->first[0] != 0 || p->first[p->grid.patches] != p->units) return false;
    for (int q = 0; q < p->grid.patches; q++)
        if (p->first[q] >= p->first[q + 1]) return false;
    return p->units * p->unit == p->rows &&
           p->rows * p->row_scale == p->height &&
           weft_plan_first_image(p, p->grid.groups) == p->images;
}

weft_cut weft_plan_cut(const weft_plan *p, int patch)
{
    return (weft_cut){.n = p->grid.patches, .me = patch, .first = p->first};
}

int weft_plan_first_image(const weft_plan *p, int group)
{
    return weft_share_first(p->images, p->grid.groups, group);
}

weft_plan_memory weft_plan_memory_of(const weft_plan *p, int patch,
                                     int ranks_on_node)
{
    const weft_cut cut = weft_plan_cut(p, patch);
    const int units = weft_cut_units(&cut, patch);
    weft_plan_memory m = {0};

    for (int i = 0; i < p->nnets; i++) {
        weft_layout l;
        size_t past;

        if (past_of(p, &p->net[i], patch, &past) == WEFT_OK) m.past += past;
        m.weights_share += p->net[i].weight_bytes / (size_t)ranks_on_node;
        if (weft_layout_make(p->net[i].graph, p->dev, p->net[i].n, &cut, &l) !=
            WEFT_OK)
            continue;
        /* Nets take turns in one block. */
        if (l.bytes > m.activations) m.activations = l.bytes;
        if (l.scratch > m.scratch) m.scratch = l.scratch;
        weft_layout_release(&l);
    }
    m.scratch *= (size_t)p->threads;
    m.state =
        p->state_bytes_per_row * (size_t)(units * p->unit) * (size_t)p->batch;
    m.total = m.weights_share + m.activations + m.scratch + m.state + m.past;
    return m;
}

static void add_net(weft_volume *v, const weft_plan_net *net, int times)
{
    int displaced = 0;

    if (!net->lanes)
        displaced = weft_plan_displaced(net->sched, net->evaluations);
    for (int k = 0; k < net->lanes; k++)
        displaced += weft_plan_displaced(net->sched, net->in_lane[k]);
    add_times(v, &net->displaced, (uint64_t)times * (uint64_t)displaced);
    add_times(v, &net->volume,
              (uint64_t)times * (uint64_t)(net->evaluations - displaced));
}

weft_volume weft_plan_total(const weft_plan *p)
{
    const int images = weft_plan_first_image(p, 1);
    const int batches = (images + p->batch - 1) / p->batch;
    weft_volume v = {0};

    for (int i = 0; i < p->nnets; i++)
        add_net(&v, &p->net[i], p->net[i].each_image ? images : batches);
    add_times(&v, &p->output, (uint64_t)images);
    return v;
}
