#include "partition/plan.h"

#include <stdlib.h>
#include <string.h>

#include "core/fnv.h"
#include "partition/split.h"

/* ---- volume -------------------------------------------------------------- */

/* Everything of a role that is not its patch 0's own goes to it in pieces. */
static void add_stream(weft_volume *v, const weft_plan *p, int role,
                       weft_cell cell, size_t pixel)
{
    const weft_cut cut = weft_plan_cut(p, role, 0);

    for (int q = 1; pixel && q < cut.n; q++) {
        const weft_rect r = weft_cut_rect(&cut, &cell, q);

        v->messages[WEFT_OUTPUT] +=
            (uint64_t)(r.rows + WEFT_STREAM_PIECE - 1) / WEFT_STREAM_PIECE;
        v->bytes[WEFT_OUTPUT] += weft_rect_pixels(&r) * pixel;
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
        sum += weft_graph_flops(g, i, n, units, total);
    return sum;
}

static size_t area(const weft_plan *p, const weft_cut *cut, int patch)
{
    const weft_cell cell = weft_plan_latent_cell(p);
    const weft_rect r = weft_cut_rect(cut, &cell, patch);

    return weft_rect_pixels(&r);
}

/* The patch with the most pixels. */
static int busiest(const weft_plan *p, const weft_cut *cut)
{
    int most = 0;

    for (int q = 1; q < cut->n; q++)
        if (area(p, cut, q) > area(p, cut, most)) most = q;
    return most;
}

/* A patch's operations: those of its rows, and of these its columns' part. */
static double flops_of_patch(const weft_plan *p, const weft_graph *g, int n,
                             const weft_cut *cut, int patch)
{
    const weft_cell cell = weft_plan_latent_cell(p);
    const double columns = weft_cut_rect(cut, &cell, patch).columns;

    return flops_of(g, n, weft_cut_units(cut, patch), weft_cut_total(cut)) *
           columns / p->columns;
}

/* Beside the steps: in step, and one image at a time. */
static bool is_apart(const weft_plan_net *net)
{
    return net->each_image || net->once;
}

static int samples_of(const weft_plan *p, const weft_plan_net *net)
{
    return is_apart(net) ? 1 : net->conditions * p->batch;
}

static const weft_cost_link *link_of(const weft_plan *p)
{
    const weft_cluster *m = p->machine;

    return p->ranks > m->ranks_per_node ? &m->between : &m->inside;
}

/* Nothing of it hidden. */
static double messages_cost(const weft_cost_link *l, double messages,
                            double bytes)
{
    return messages * (l->latency_s + 2 * l->message_s) +
           bytes * (1 / l->bytes_per_s + 2 * l->byte_s);
}

double weft_plan_seconds(const weft_plan *p, int i, const weft_cut *cut)
{
    const weft_plan_net *net = &p->net[i];
    const weft_cluster *machine = net->machine ? net->machine : p->machine;
    const int n = samples_of(p, net);
    const weft_volume v = weft_plan_graph_volume(
        net->graph, n, cut, is_apart(net) ? WEFT_IN_STEP : p->sched, false);
    double messages = 0, bytes = 0;

    for (int c = 0; c < WEFT_CLASSES; c++) {
        messages += (double)v.messages[c];
        bytes += (double)v.bytes[c];
    }
    return weft_cost_compute(net->graph, n, cut, busiest(p, cut), machine) +
           messages_cost(link_of(p), messages, bytes) / cut->n;
}

weft_lane_cost weft_plan_lane(const weft_plan *p, int i, const weft_cut *cut)
{
    const int times = p->net[i].each_image ? p->batch : 1;

    return (weft_lane_cost){p->net[i].role,
                            times * weft_plan_seconds(p, i, cut)};
}

/* Predictions, and what an encoder makes of a picture, go to all who keep
 * state; latents come to those who decode. */
static weft_status add_crossing(const weft_plan *p, weft_plan_net *net)
{
    const int channels = net->once
                             ? weft_graph_at(net->graph, net->graph->output)->c
                             : p->channels;
    const size_t unit = (size_t)p->unit * (size_t)p->columns *
                        (size_t)channels * sizeof(float) * (size_t)net->n;
    const weft_class class = is_apart(net) ? WEFT_LATENTS : WEFT_REDISTRIBUTE;
    weft_span *span = calloc(2 * (size_t)p->grid.patches, sizeof *span);
    weft_span *want = span + p->grid.patches;
    weft_crossing c;

    if (!span) return weft_fail(WEFT_ENOMEM, "out of memory for a plan");
    if (net->each_image) {
        for (int i = 0; i < p->grid.patches; i++) {
            span[i] = weft_roles_span(&p->roles, 0, i);
            want[i] = weft_roles_span(&p->roles, net->role, i);
        }
        c = weft_crossing_of(span, want, p->grid.patches);
    } else {
        c = weft_roles_crossing(&p->roles, net->role, span);
    }
    c.messages *= (uint64_t)p->across; /* each column of ranks by itself */
    net->first.messages[class] += c.messages;
    net->first.bytes[class] += c.units * unit;
    net->volume.messages[class] += c.messages;
    net->volume.bytes[class] += c.units * unit;
    net->displaced.messages[class] += c.messages;
    net->displaced.bytes[class] += c.units * unit;
    free(span);
    return WEFT_OK;
}

/* What evaluations need and send, in step or displaced; there is nobody to lag
 * behind on a patch of one's own. */
static weft_status count_messages(const weft_plan *p, weft_plan_net *net)
{
    weft_cut cut = weft_plan_cut(p, net->role, 0);

    net->sched = !is_apart(net) && cut.n > 1 ? p->sched : WEFT_IN_STEP;
    net->first =
        weft_plan_graph_volume(net->graph, net->n, &cut, net->sched, true);
    net->volume =
        weft_plan_graph_volume(net->graph, net->n, &cut, net->sched, false);
    net->displaced =
        weft_plan_graph_displaced(net->graph, net->n, &cut, net->sched);
    net->ballot = weft_plan_ballot(&cut, net->sched);
    net->past_bytes = 0;
    for (cut.me = 0; cut.me < cut.n; cut.me++) {
        size_t bytes;

        WEFT_TRY(weft_plan_net_past(p, net, &cut, &bytes));
        if (bytes > net->past_bytes) net->past_bytes = bytes;
    }
    return WEFT_OK;
}

static weft_status make_net(weft_plan *p, int i)
{
    weft_plan_net *net = &p->net[i];
    weft_cut cut = weft_plan_cut(p, net->role, 0);
    weft_layout l;

    cut.me = busiest(p, &cut);
    net->n = samples_of(p, net);
    WEFT_TRY(weft_layout_make(net->graph, p->dev, net->n, &cut, &l));
    net->weight_bytes = l.weight_bytes;
    net->block_bytes = l.bytes;
    net->scratch_bytes = l.scratch;
    net->max_rows_held = l.max_rows_held;
    net->max_rows_image = l.max_rows_image;
    weft_layout_release(&l);
    net->flops = flops_of(net->graph, net->n, p->units, p->units);
    net->share =
        net->flops > 0
            ? flops_of_patch(p, net->graph, net->n, &cut, cut.me) / net->flops
            : 0;
    net->seconds = weft_plan_seconds(p, i, &cut);
    p->lane[i] = weft_plan_lane(p, i, &cut);
    WEFT_TRY(count_messages(p, net));
    WEFT_TRY(weft_plan_texts_volume(p, i, &net->told));
    /* What a control net sees stays with whoever saw it. */
    return net->once && net->role != p->vae ? WEFT_OK : add_crossing(p, net);
}

/* ---- the plan ------------------------------------------------------------ */

static uint64_t hash_roles(uint64_t h, const weft_roles *r)
{
    for (int k = 0; k < r->n; k++) {
        const weft_role *role = &r->role[k];

        h = weft_fnv(h, role->asked.name, strlen(role->asked.name));
        h = weft_fnv(h, &role->rank0, sizeof role->rank0);
        h = weft_fnv(h, role->first,
                     (size_t)(role->asked.ranks + 1) * sizeof *role->first);
    }
    return h;
}

/* Its members, not its bytes: what lies between them may be anything. */
static uint64_t hash_schedule(uint64_t h, const weft_schedule *s)
{
    const double facts[] = {s->warmup, s->lag,     s->moments,
                            s->wire,   s->refresh, s->drift};

    return weft_fnv(h, facts, sizeof facts);
}

/* Whatever ranks could disagree about. */
static uint64_t hash_of(const weft_plan *p)
{
    const int facts[] = {p->ranks,  p->grid.patches,  p->width,    p->height,
                         p->rows,   p->columns,       p->channels, p->unit,
                         p->images, p->batch,         p->flights,  p->steps,
                         p->nnets,  p->nstages,       p->strip,    p->across,
                         p->swaps,  p->gives_latents, p->totals,   p->sums};
    uint64_t h = weft_fnv(WEFT_FNV_BASIS, facts, sizeof facts);

    h = hash_roles(h, &p->roles);
    h = weft_fnv(h, p->first_strip,
                 (size_t)(p->across + 1) * sizeof *p->first_strip);
    h = weft_fnv(h, &p->identity, sizeof p->identity);
    for (int i = 0; i < p->nnets; i++) {
        const weft_plan_net *net = &p->net[i];

        h = weft_fnv(h, &net->first, sizeof net->first);
        h = weft_fnv(h, &net->phase, sizeof net->phase);
        h = weft_fnv(h, &net->volume, sizeof net->volume);
        h = weft_fnv(h, &net->displaced, sizeof net->displaced);
        h = weft_fnv(h, &net->ballot, sizeof net->ballot);
        h = weft_fnv(h, &net->told, sizeof net->told);
        h = hash_schedule(h, &net->sched);
        h = weft_fnv(h, &net->lanes, sizeof net->lanes);
        h = weft_fnv(h, net->in_lane, sizeof net->in_lane);
        h = weft_fnv(h, &net->weight_bytes, sizeof net->weight_bytes);
        h = weft_fnv(h, &net->file_bytes, sizeof net->file_bytes);
        h = weft_fnv(h, &net->n, sizeof net->n);
        h = weft_fnv(h, &net->seconds, sizeof net->seconds);
    }
    return h;
}

/* A line is as fast as its slowest rank, in any group. */
static void take_speeds(weft_plan *p)
{
    for (int r = 0; r < p->ranks; r++) {
        const int line = weft_grid_patch(&p->grid, r / p->across);
        double *speed = &p->line_speed[line];

        if (*speed == 0 || p->speed[r] < *speed) *speed = p->speed[r];
    }
}

static weft_status set_speeds(weft_plan *p)
{
    const int lines = p->grid.patches;

    if (!p->weights && !p->speed) return WEFT_OK;
    if (p->weights)
        WEFT_TRY(weft_split_check_weights(p->weights, p->nweights, lines));
    p->line_speed = calloc((size_t)lines, sizeof *p->line_speed);
    if (!p->line_speed) return weft_fail(WEFT_ENOMEM, "out of memory");
    if (!p->weights)
        take_speeds(p);
    else
        memcpy(p->line_speed, p->weights,
               (size_t)lines * sizeof *p->line_speed);
    return WEFT_OK;
}

/* Lines of a group, at most: roles that all have them make as many patches as
 * there are units, others as many each; texts are not cut. */
static int most_lines(const weft_plan *p)
{
    int most = 0;
    bool given = false;

    for (int k = 0; k < p->nroles; k++) {
        given |= p->role[k].ranks > 0;
        most += p->role[k].reads ? p->role[k].ranks : p->units;
    }
    return given ? most : p->units;
}

static weft_status make_roles(weft_plan *p)
{
    weft_role_spec spec[WEFT_ROLES];

    WEFT_TRY(weft_grid_make(p->ranks / p->across, p->across, p->group,
                            most_lines(p), p->images, &p->grid));
    WEFT_TRY(set_speeds(p));
    for (int k = 0; k < p->nroles; k++) {
        const int all = p->grid.patches < p->units ? p->grid.patches : p->units;

        spec[k] = p->role[k];
        spec[k].speed = p->line_speed;
        if (!spec[k].ranks) spec[k].ranks = all;
    }
    return weft_roles_make(p->grid.patches, p->units, spec, p->nroles, p->share,
                           &p->roles);
}

static weft_status cut_columns(weft_plan *p)
{
    if (p->ranks % p->across)
        return weft_fail(WEFT_EINPUT,
                         "%d ranks are not a multiple of the %d side by side "
                         "of parallel.patches",
                         p->ranks, p->across);
    p->first_strip = calloc((size_t)p->across + 1, sizeof *p->first_strip);
    if (!p->first_strip)
        return weft_fail(WEFT_ENOMEM, "out of memory for a plan");
    return weft_split_columns(p->columns, p->strip, p->across, p->first_strip);
}

/* The order of turns is made again by every rank as it runs. */
weft_status weft_plan_forecast(const weft_plan *p, const weft_lane_cost *lane,
                               weft_forecast *f)
{
    weft_pipeline_spec s = weft_plan_pipeline(p, 0);
    weft_pipeline order;

    s.lane = lane;
    WEFT_TRY(weft_pipeline_make(&s, &order));
    WEFT_MUST(weft_pipeline_is_valid(&order, 10000));
    *f = weft_pipeline_forecast(&order);
    weft_pipeline_release(&order);
    return WEFT_OK;
}

static weft_status make_forecasts(weft_plan *p)
{
    weft_lane_cost lane[WEFT_PLAN_NETS];

    WEFT_TRY(weft_plan_forecast(p, p->lane, &p->forecast));
    memcpy(lane, p->lane, sizeof lane);
    for (int i = 0; i < p->nnets; i++)
        if (is_apart(&p->net[i])) lane[i].seconds = 0;
    return weft_plan_forecast(p, lane, &p->sampling);
}

weft_status weft_plan_recount(weft_plan *p, int images)
{
    p->images = images;
    p->forecast = p->sampling = (weft_forecast){0};
    return weft_plan_batches(p, 0) ? make_forecasts(p) : WEFT_OK;
}

static weft_status make(weft_plan *p)
{
    const int decodes = p->vae >= 0 ? p->vae : 0;

    WEFT_TRY(cut_columns(p));
    WEFT_TRY(make_roles(p));
    for (int i = 0; i < p->nnets; i++) WEFT_TRY(make_net(p, i));
    add_stream(&p->output, p, decodes, weft_plan_picture_cell(p),
               p->picture_pixel_bytes);
    add_stream(&p->output, p, p->gives_latents, weft_plan_latent_cell(p),
               p->latent_pixel_bytes);
    WEFT_TRY(weft_plan_pace_volume(p, &p->pace));
    p->summed = weft_plan_totals(p);
    WEFT_TRY(make_forecasts(p));
    add_stream(&p->plane, p, 0, weft_plan_latent_cell(p),
               (size_t)p->channels * sizeof(float));
    p->hash = hash_of(p);
    WEFT_MUST(weft_plan_is_valid(p));
    return WEFT_OK;
}

weft_status weft_plan_make(weft_plan *p)
{
    weft_status st;

    memset(&p->roles, 0, sizeof p->roles);
    memset(&p->output, 0, sizeof p->output);
    memset(&p->plane, 0, sizeof p->plane);
    memset(&p->pace, 0, sizeof p->pace);
    p->first_strip = NULL;
    p->line_speed = NULL;
    p->units = p->rows / p->unit;
    p->strips = weft_split_strips(p->columns, p->strip);
    st = make(p);
    if (st != WEFT_OK) weft_plan_release(p);
    return st;
}

void weft_plan_release(weft_plan *p)
{
    weft_roles_release(&p->roles);
    free(p->first_strip);
    free(p->line_speed);
    p->first_strip = NULL;
    p->line_speed = NULL;
}

static bool cut_is_valid(const weft_cut *cut, int units)
{
    const int lines = weft_cut_lines(cut);

    if (cut->first[0] != 0 || cut->first[lines] != units) return false;
    for (int q = 0; q < lines; q++)
        if (cut->first[q] >= cut->first[q + 1]) return false;
    return true;
}

bool weft_plan_is_valid(const weft_plan *p)
{
    if (p->grid.groups * p->grid.patches * p->across != p->ranks) return false;
    for (int k = 0; k < p->nroles; k++) {
        const weft_cut cut = weft_plan_cut(p, k, 0);

        if (!p->role[k].reads && !cut_is_valid(&cut, p->units)) return false;
    }
    return p->units * p->unit == p->rows &&
           p->rows * p->row_scale == p->height &&
           weft_plan_first_image(p, p->grid.groups) == p->images;
}

int weft_plan_group(const weft_plan *p) { return p->grid.patches * p->across; }

weft_cut weft_plan_cut(const weft_plan *p, int role, int rank)
{
    weft_cut cut = weft_roles_cut(&p->roles, role, rank / p->across);

    cut.n *= p->across;
    cut.across = p->across;
    cut.strip = p->first_strip;
    if (cut.me >= 0) cut.me = cut.me * p->across + rank % p->across;
    return cut;
}

weft_cell weft_plan_latent_cell(const weft_plan *p)
{
    return (weft_cell){p->unit, p->strip, p->columns};
}

weft_cell weft_plan_picture_cell(const weft_plan *p)
{
    return (weft_cell){p->unit * p->row_scale, p->strip * p->row_scale,
                       p->width};
}

/* These rows, and the columns of a rank. */
static weft_rect latent_of(const weft_plan *p, weft_span rows, int rank)
{
    const weft_cell cell = weft_plan_latent_cell(p);
    const int *strip = p->first_strip + rank % p->across;
    const int from = weft_cell_column(&cell, strip[0]);

    return (weft_rect){.row = rows.from * p->unit,
                       .rows = weft_span_units(rows) * p->unit,
                       .column = from,
                       .columns = weft_cell_column(&cell, strip[1]) - from};
}

weft_rect weft_plan_latent(const weft_plan *p, int rank)
{
    return latent_of(p, p->roles.state[rank / p->across], rank);
}

weft_rect weft_plan_role_latent(const weft_plan *p, int role, int rank)
{
    return latent_of(p, weft_roles_span(&p->roles, role, rank / p->across),
                     rank);
}

double weft_plan_hop(const weft_plan *p, const weft_roles *r)
{
    const double unit =
        (double)p->unit * p->columns * p->channels * sizeof(float) * p->batch;
    int most = 0;

    for (int k = 0; k < r->n; k++)
        for (int i = 0; i < r->ranks && r->role[k].asked.denoises; i++) {
            const int kept = weft_span_units(r->state[i]);
            const int mine = weft_span_units(weft_roles_span(r, k, i));

            if (kept - mine > most) most = kept - mine;
        }
    return most ? messages_cost(link_of(p), 1, most * unit) : 0;
}

int weft_plan_first_image(const weft_plan *p, int group)
{
    return weft_share_first(p->images, p->grid.groups, group);
}

int weft_plan_batches(const weft_plan *p, int group)
{
    const int images =
        weft_plan_first_image(p, group + 1) - weft_plan_first_image(p, group);

    return (images + p->batch - 1) / p->batch;
}

weft_pipeline_spec weft_plan_pipeline(const weft_plan *p, int group)
{
    return (weft_pipeline_spec){.roles = &p->roles,
                                .lane = p->lane,
                                .nlanes = p->nnets,
                                .stage = p->stage,
                                .nstages = p->nstages,
                                .batches = weft_plan_batches(p, group),
                                .flights = p->flights,
                                .hop = weft_plan_hop(p, &p->roles)};
}

static int more_than(int a, int b) { return a > b ? a - b : 0; }

static void add_net(weft_volume *v, const weft_plan_net *net, int times)
{
    int displaced = 0, ballots = 0, first = !net->lanes;

    if (!net->lanes) {
        displaced = weft_plan_displaced(net->sched, net->evaluations);
        ballots = more_than(net->evaluations, 2);
    }
    for (int k = 0; k < net->lanes; k++) {
        displaced += weft_plan_displaced(net->sched, net->in_lane[k]);
        ballots += more_than(net->in_lane[k], 2);
        first += net->in_lane[k] > 0;
    }
    add_times(v, &net->told, (uint64_t)times);
    add_times(v, &net->first, (uint64_t)times * (uint64_t)first);
    add_times(v, &net->ballot, (uint64_t)times * (uint64_t)ballots);
    add_times(v, &net->displaced, (uint64_t)times * (uint64_t)displaced);
    add_times(v, &net->volume,
              (uint64_t)times *
                  (uint64_t)(net->evaluations - displaced - first));
}

weft_volume weft_plan_total(const weft_plan *p)
{
    const int images = weft_plan_first_image(p, 1);
    const int batches = weft_plan_batches(p, 0);
    weft_volume v = {0};

    for (int i = 0; i < p->nnets; i++)
        add_net(&v, &p->net[i],
                p->net[i].once         ? 1
                : p->net[i].each_image ? images
                                       : batches);
    add_times(&v, &p->output, (uint64_t)images);
    add_times(&v, &p->plane, weft_plan_planes(p));
    add_times(&v, &p->pace, (uint64_t)batches * (uint64_t)p->nstages);
    add_times(&v, &p->summed, (uint64_t)batches);
    return v;
}
