#include "launch/job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "launch/calibrate.h"
#include "launch/measure.h"
#include "launch/picture.h"
#include "launch/telling.h"
#include "mpi/gather_trace.h"
#include "mpi/watch.h"

/* ---- plan ---------------------------------------------------------------- */

/* Do the ranks of this node compete for one set of processors? */
static weft_status find_processors(weft_job *j)
{
    const uint64_t mask = weft_topology_mask();
    const double mine[2] = {(double)(mask & 0xffffffff), (double)(mask >> 32)};
    double most[4] = {mine[0], mine[1], -mine[0], -mine[1]};
    bool shared;

    WEFT_TRY(weft_comm_max(j->node, most, 4));
    shared = weft_comm_size(j->node) > 1 && most[0] == -most[2] &&
             most[1] == -most[3];
    return weft_topology_discover(weft_comm_rank(j->node),
                                  weft_comm_size(j->node), shared,
                                  j->config.run.threads, &j->topology);
}

/* Collective over the group. */
static weft_status find_roles(weft_job *j)
{
    const weft_plan *plan = &j->setup.plan;

    j->state = plan->roles.state[j->line];
    for (int k = 0; k < plan->nroles; k++) {
        j->role[k].cut = weft_plan_cut(plan, k, j->rank);
        WEFT_TRY(weft_comm_split(j->group, j->role[k].cut.me >= 0,
                                 &j->role[k].ranks));
    }
    return WEFT_OK;
}

/* Collective over the node: who shares which weights. What no role of this
 * rank reads is not left mapped. */
static weft_status find_weights(weft_job *j)
{
    const weft_plan *plan = &j->setup.plan;
    weft_models *models = &j->setup.models;

    for (int i = 0; i < plan->nnets; i++)
        if (j->role[plan->net[i].role].cut.me >= 0)
            j->weights[plan->net[i].weights].mine = true;
    for (int i = 0; i < models->nfiles; i++) {
        j->weights[i].mine = j->weights[models->head[i]].mine;
        WEFT_TRY(weft_comm_split(j->node, j->weights[i].mine,
                                 &j->weights[i].sharers));
        if (!j->weights[i].mine) weft_netfile_unmap(&models->file[i]);
    }
    return WEFT_OK;
}

/* Collective over the job. Everybody believes rank 0, whose machine may be
 * another; the nodes are as they are here. */
static weft_status find_machine(weft_job *j, weft_machine *m)
{
    const int ranks = weft_comm_size(j->world);
    double node[] = {weft_comm_size(j->node),
                     -(double)j->topology.node_memory_bytes};
    char *text = (char *)m;
    size_t bytes = sizeof *m;
    weft_status st = WEFT_OK;

    WEFT_TRY(weft_comm_max(j->world, node, 2));
    if (weft_comm_rank(j->world) == 0)
        st = weft_machine_find(&j->config, j->topology.threads, m);
    WEFT_TRY(weft_comm_agree(j->world, st));
    WEFT_TRY(weft_comm_share(j->world, &text, &bytes));
    if (text != (char *)m) {
        memcpy(m, text, sizeof *m);
        free(text);
    }
    m->cluster.ranks_per_node = (int)node[0];
    m->cluster.nodes = (ranks + (int)node[0] - 1) / (int)node[0];
    m->cluster.node_bytes = m->memory_bytes = -node[1];
    if (j->config.run.memory > 0 &&
        j->config.run.memory * 1073741824 * node[0] < -node[1])
        m->cluster.node_bytes = j->config.run.memory * 1073741824 * node[0];
    return WEFT_OK;
}

/* The kernels as they were chosen, in place of auto: they define the image. */
static weft_status fix_kernels(weft_job *j)
{
    free(j->config.run.kernels);
    j->config.run.kernels = strdup(j->setup.dev->name);
    return j->config.run.kernels ? WEFT_OK
                                 : weft_fail(WEFT_ENOMEM, "out of memory");
}

static bool measures(const weft_job *j)
{
    return j->config.parallel.roles == WEFT_ROLES_AUTO &&
           j->setup.machine.from == WEFT_COSTS_NOMINAL &&
           weft_comm_size(j->world) > 1;
}

static weft_status make_setup(weft_job *j, const weft_job *like)
{
    weft_machine m;
    weft_status st = WEFT_OK;

    if (j->config.parallel.measured)
        WEFT_TRY(weft_calibrate(j->world, &j->config, &j->topology, &j->speed));
    if (like)
        m = like->setup.machine;
    else
        st = find_machine(j, &m);
    WEFT_TRY(st);
    st = weft_setup_make(&j->config, weft_comm_size(j->world),
                         j->topology.threads, j->speed, &m, &j->setup);
    WEFT_TRY(weft_comm_agree(j->world, st));
    if (!measures(j)) return WEFT_OK;
    WEFT_TRY(weft_measure(j->world, j->node, &j->setup, &j->topology, &m));
    return weft_comm_agree(j->world, weft_setup_again(&j->setup, &m));
}

/* The roles as they were placed, in place of what was asked. */
static weft_status fix_roles(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    weft_config *c = &j->config;

    weft_config_release_roles(c);
    c->parallel.role = calloc((size_t)p->nroles, sizeof *c->parallel.role);
    if (!c->parallel.role) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int k = 0; k < p->nroles; k++) {
        weft_config_role *r = &c->parallel.role[c->parallel.nroles];

        if (!p->role[k].denoises) continue;
        r->name = strdup(p->role[k].name);
        r->ranks = p->roles.role[k].asked.ranks;
        if (!r->name) return weft_fail(WEFT_ENOMEM, "out of memory");
        c->parallel.nroles++;
    }
    c->parallel.patches = (weft_shape){0, p->across};
    return WEFT_OK;
}

/* Whether the roles that denoise differ in their ranks; *most: of any. */
static bool roles_differ(const weft_plan *p, int *most)
{
    int least = p->grid.patches;

    *most = 1;
    for (int k = 0; k < p->nroles; k++) {
        const int ranks = p->roles.role[k].asked.ranks;

        if (!p->role[k].denoises) continue;
        if (ranks < least) least = ranks;
        if (ranks > *most) *most = ranks;
    }
    return least < p->grid.patches;
}

/* What defines a displaced or rounded image (weft_config_identity): how it was
 * cut. */
static weft_status fix_layout(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    const int lines = p->grid.patches;
    int most;

    if (!j->config.parallel.async && j->config.parallel.wire == WEFT_WIRE_F32)
        return WEFT_OK;
    if (roles_differ(p, &most) && most > 1) return fix_roles(j);
    /* Each role on one rank: nobody is behind. */
    j->config.parallel.patches = (weft_shape){most > 1 ? lines : 1, p->across};
    if (!j->config.parallel.measured) return WEFT_OK;
    j->config.parallel.weights = malloc((size_t)lines * sizeof(double));
    if (!j->config.parallel.weights)
        return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(j->config.parallel.weights, p->line_speed,
           (size_t)lines * sizeof(double));
    j->config.parallel.nweights = lines;
    return WEFT_OK;
}

/* Collective over the job: my group, and those in it with my columns. */
static weft_status find_group(weft_job *j)
{
    const weft_plan *plan = &j->setup.plan;
    const int rank = weft_comm_rank(j->world), line = rank / plan->across;

    j->index = weft_grid_group(&plan->grid, line);
    j->line = weft_grid_patch(&plan->grid, line);
    j->rank = rank % weft_plan_group(plan);
    WEFT_TRY(weft_comm_split(j->world, j->index, &j->group));
    return weft_comm_split(j->group, rank % plan->across, &j->column);
}

weft_status weft_job_plan_config(weft_comm *world, weft_config *c,
                                 const weft_job *like, weft_job *j)
{
    const weft_plan *plan = &j->setup.plan;
    weft_status st;

    memset(j, 0, sizeof *j);
    j->world = world;
    j->config = *c;
    memset(c, 0, sizeof *c);
    weft_watch_deadline(j->config.run.deadline);
    WEFT_TRY(weft_comm_node(world, &j->node));
    st = like ? weft_topology_copy(&like->topology, &j->topology)
              : find_processors(j);
    WEFT_TRY(weft_comm_agree(world, st));
    WEFT_TRY(make_setup(j, like));
    WEFT_TRY(weft_comm_same(world, plan->hash, "plan"));
    WEFT_TRY(weft_comm_agree(world, fix_kernels(j)));
    WEFT_TRY(weft_comm_agree(world, fix_layout(j)));
    WEFT_TRY(find_group(j));
    st = find_roles(j);
    if (st == WEFT_OK) st = find_weights(j);
    return weft_comm_agree(world, st);
}

weft_status weft_job_plan(weft_comm *world, const char *path,
                          const char *const *overrides, int noverrides,
                          weft_job *j)
{
    weft_config c = {0};
    char *text;
    size_t bytes = 0;
    weft_status st;

    memset(j, 0, sizeof *j);
    weft_watch_at("planning", 0, 0);
    st = weft_job_read(world, path, overrides, noverrides, &text, &bytes);
    if (st == WEFT_OK)
        st = weft_comm_agree(
            world,
            weft_config_parse(path, text, bytes, overrides, noverrides, &c));
    if (st == WEFT_OK) st = weft_comm_agree(world, weft_config_resolve(&c));
    free(text);
    if (st == WEFT_OK) return weft_job_plan_config(world, &c, NULL, j);
    weft_config_release(&c);
    return st;
}

/* ---- connect ------------------------------------------------------------- */

static void poll_all(void *arg)
{
    weft_job *j = arg;

    for (int i = 0; i < j->setup.plan.nnets; i++)
        for (int k = 0; k < j->net[i].lanes; k++)
            weft_exchange_poll(j->net[i].lane[k]);
    weft_crossroads_poll(j->crossroads);
    if (j->poll) j->poll(j->poll_arg);
}

static weft_status move_messages(weft_job *j)
{
    if (j->config.parallel.thread)
        return weft_background_start(j->pool, poll_all, j, &j->background);
    weft_pool_set_poll(j->pool, poll_all, j);
    return WEFT_OK;
}

static weft_status start_pool(weft_job *j)
{
    size_t scratch = weft_prompts_scratch(&j->setup.prompts);

    WEFT_TRY(weft_pool_create(j->topology.threads, j->topology.cpu, &j->pool));
    for (int i = 0; i < j->setup.plan.nnets; i++)
        if (j->net[i].layout.scratch > scratch)
            scratch = j->net[i].layout.scratch;
    return weft_pool_reserve(j->pool, scratch);
}

/* Activations of all nets in one block: they take turns. */
static weft_status map_block(weft_job *j)
{
    void *at;

    j->block_bytes = weft_prompts_block(&j->setup.prompts);
    for (int i = 0; i < j->setup.plan.nnets; i++)
        if (j->net[i].layout.bytes > j->block_bytes)
            j->block_bytes = j->net[i].layout.bytes;
    if (!j->block_bytes) return WEFT_OK;
    at = mmap(NULL, j->block_bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return weft_fail(WEFT_ENOMEM, "out of memory: %zu bytes of activations",
                         j->block_bytes);
    madvise(at, j->block_bytes, MADV_HUGEPAGE);
    j->block = at;
    return WEFT_OK;
}

static weft_status lay_out(weft_job *j, int i, bool timed)
{
    const weft_plan_net *planned = &j->setup.plan.net[i];
    const weft_cut *cut = &j->role[planned->role].cut;
    weft_job_net *net = &j->net[i];

    net->file = &j->setup.models.file[planned->file];
    net->mine = cut->me >= 0;
    if (!net->mine) return WEFT_OK;
    if (timed) {
        net->seconds = calloc((size_t)net->file->graph.nnodes, sizeof(double));
        if (!net->seconds) return weft_fail(WEFT_ENOMEM, "out of memory");
    }
    return weft_layout_make(&net->file->graph, j->setup.plan.dev, planned->n,
                            cut, &net->layout);
}

/* Collective over the role. In step nothing of the past is kept, so one lane
 * serves all questions that the net is asked; displaced, each batch in flight
 * has a lane for each kind of question. */
static weft_status open_lanes(weft_job *j, int i)
{
    const weft_plan_net *planned = &j->setup.plan.net[i];
    const weft_job_role *role = &j->role[planned->role];
    const weft_bench_link link =
        j->config.bench.cluster ? WEFT_LINK_NONE : j->config.bench.link;
    weft_job_net *net = &j->net[i];

    const int lanes = weft_has_past(&planned->sched)
                          ? planned->lanes * j->setup.plan.flights
                          : 1;

    if (!net->mine) return WEFT_OK;
    net->lane = calloc((size_t)lanes + 1, sizeof *net->lane);
    net->name = calloc((size_t)lanes, sizeof *net->name);
    if (!net->lane || !net->name)
        return weft_fail(WEFT_ENOMEM, "out of memory for lanes");
    for (int k = 0; k < lanes; k++) {
        WEFT_TRY(weft_exchange_mpi_create(role->ranks, &role->cut,
                                          planned->sched, &net->lane[k]));
        net->lanes = k + 1;
        snprintf(net->name[k], sizeof *net->name, "%.40s, lane %d",
                 j->setup.plan.role[planned->role].name, k);
        net->lane[k]->name = net->name[k];
        net->lane[k]->trace = j->trace;
        net->lane[k]->pool = j->pool;
        if (net->seconds) /* only `weft bench` times */
            WEFT_TRY(weft_exchange_measure(net->lane[k], link));
        WEFT_TRY(
            weft_graph_declare(&net->file->graph, planned->n, net->lane[k]));
        WEFT_TRY(weft_graph_bind(&net->file->graph, &net->layout, j->block,
                                 net->lane[k], 0));
    }
    return WEFT_OK;
}

/* Collective over the group: rows go between ranks that have the same columns.
 */
static weft_status open_roads(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    weft_span *lead = calloc((size_t)p->grid.patches, sizeof *lead);
    weft_total_spec s = {.group = j->column,
                         .have = lead,
                         .state = p->roles.state,
                         .unit = p->unit,
                         .most = weft_method_sums(&j->setup.method, p->batch),
                         .traffic = &j->traffic};
    weft_status st;

    if (!lead) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int i = 0; i < p->grid.patches; i++)
        lead[i] = weft_roles_span(&p->roles, 0, i);
    st = weft_crossroads_open(j->column, &j->traffic, &j->crossroads);
    if (st == WEFT_OK) st = weft_total_mpi_create(&s, &j->total);
    free(lead);
    return st;
}

enum { TRACE_MOST = 1 << 19 }; /* events of a rank: 24 MiB */

/* Room for every event of a run that is not too long. */
static weft_status start_trace(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    size_t events = 0;

    if (!j->config.output.trace) return WEFT_OK;
    for (int i = 0; i < p->nnets; i++) {
        const weft_graph *g = p->net[i].graph;
        size_t each = 1;

        for (int k = 0; g && k < g->nnodes; k++)
            each += 1 + 4 * (size_t)g->node[k].nwants;
        events += each * (size_t)p->net[i].evaluations * (size_t)p->images;
    }
    return weft_trace_create(events < TRACE_MOST ? events : TRACE_MOST,
                             &j->trace);
}

static weft_status connect(weft_job *j, bool timed)
{
    WEFT_TRY(start_trace(j));
    for (int i = 0; i < j->setup.plan.nnets; i++)
        WEFT_TRY(lay_out(j, i, timed));
    WEFT_TRY(weft_telling_room(j));
    WEFT_TRY(start_pool(j));
    return map_block(j);
}

weft_status weft_job_connect(weft_job *j, bool timed)
{
    weft_status st;

    weft_watch_at("connecting", 0, 0);
    WEFT_TRY(weft_comm_agree(j->world, connect(j, timed)));
    st = open_roads(j);
    for (int i = 0; i < j->setup.plan.nnets && st == WEFT_OK; i++)
        st = open_lanes(j, i);
    if (st == WEFT_OK) st = move_messages(j);
    WEFT_TRY(weft_comm_agree(j->world, st));
    if (!j->config.output.trace) return WEFT_OK;
    return weft_trace_align(j->world, &j->zero);
}

/* ---- weights ------------------------------------------------------------- */

/* What a rank knows of a file: whether it maps it, and a hash in two halves
 * that a double holds exactly. */
enum { MAPS, LOW, HIGH, KNOWN };

static weft_status compare_known(const double (*all)[KNOWN], int ranks,
                                 const char *path)
{
    int first = 0;

    while (first < ranks && all[first][MAPS] == 0) first++;
    for (int r = first + 1; r < ranks; r++)
        if (all[r][MAPS] != 0 && (all[r][LOW] != all[first][LOW] ||
                                  all[r][HIGH] != all[first][HIGH]))
            return weft_fail(WEFT_EINPUT,
                             "%s: ranks %d and %d find different weights there",
                             path, first, r);
    return WEFT_OK;
}

/* Nodes may each have a copy of their own, of the same header. */
static weft_status compare_file(weft_job *j, int i, double (*all)[KNOWN])
{
    const weft_models *m = &j->setup.models;
    double mine[KNOWN] = {0};
    weft_status st;

    if (j->weights[i].mine) {
        const uint64_t h = weft_models_sample(m, i);

        mine[MAPS] = 1;
        mine[LOW] = (double)(h & 0xffffffff);
        mine[HIGH] = (double)(h >> 32);
    }
    WEFT_TRY(weft_comm_collect(j->world, mine, KNOWN, all ? *all : NULL));
    st = all ? compare_known((const double(*)[KNOWN])all,
                             weft_comm_size(j->world), m->path[i])
             : WEFT_OK;
    WEFT_TRY(weft_comm_agree(j->world, st));
    memcpy(j->weights[i].sample, mine + LOW, sizeof j->weights[i].sample);
    return weft_comm_max(j->world, j->weights[i].sample, 2);
}

static weft_status compare_files(weft_job *j)
{
    const size_t ranks = (size_t)weft_comm_size(j->world);
    double(*all)[KNOWN] = NULL;
    weft_status st = WEFT_OK;

    weft_watch_at("comparing weights", 0, 0);
    if (weft_comm_rank(j->world) == 0 && !(all = calloc(ranks, sizeof *all)))
        st = weft_fail(WEFT_ENOMEM, "out of memory");
    st = weft_comm_agree(j->world, st);
    for (int i = 0; i < j->setup.models.nfiles && st == WEFT_OK; i++)
        st = compare_file(j, i, all);
    free(all);
    return st;
}

weft_status weft_job_load_models(weft_job *j)
{
    const weft_models *m = &j->setup.models;

    WEFT_TRY(compare_files(j));
    WEFT_TRY(weft_reading_make(j));
    WEFT_TRY(weft_picture_make(j));
    for (int i = 0; i < m->nfiles; i++)
        if (i != m->vae && i != m->encoder) WEFT_TRY(weft_job_load(j, i));
    return WEFT_OK;
}

weft_run weft_job_run(const weft_job *j, int i)
{
    const weft_job_net *net = &j->net[i];
    const weft_window *packed = j->weights[j->setup.plan.net[i].weights].packed;

    return (weft_run){.dev = j->setup.dev,
                      .pool = j->pool,
                      .x = net->lane[0],
                      .layout = &net->layout,
                      .block = j->block,
                      .weights = weft_window_base(packed),
                      .seconds = net->seconds,
                      .lenient = j->lenient};
}

/* ---- the end ------------------------------------------------------------- */

static void add_traffic(const weft_traffic *t, weft_traffic *sum)
{
    for (int c = 0; c < WEFT_CLASSES; c++) {
        sum->bytes[c] += t->bytes[c];
        sum->messages[c] += t->messages[c];
        sum->exposed_by[c] += t->exposed_by[c];
        sum->hidden_by[c] += t->hidden_by[c];
    }
    sum->exposed_s += t->exposed_s;
    sum->exposed_async_s += t->exposed_async_s;
    if (t->max_age > sum->max_age) sum->max_age = t->max_age;
    sum->hidden_s += t->hidden_s;
    sum->drifted += t->drifted;
}

weft_traffic weft_job_traffic(const weft_job *j)
{
    weft_traffic sum = j->traffic;

    for (int i = 0; i < j->setup.plan.nnets; i++)
        for (int k = 0; k < j->net[i].lanes; k++)
            add_traffic(&j->net[i].lane[k]->traffic, &sum);
    return sum;
}

static void release_net(weft_job_net *net)
{
    for (int k = 0; k < net->lanes; k++)
        weft_exchange_mpi_destroy(net->lane[k]);
    free(net->lane);
    free(net->name);
    weft_layout_release(&net->layout);
    free(net->seconds);
}

void weft_job_release(weft_job *j)
{
    weft_background_stop(j->background);
    for (int i = 0; i < WEFT_PLAN_NETS; i++) release_net(&j->net[i]);
    weft_total_mpi_destroy(&j->total);
    weft_crossroads_close(j->crossroads);
    for (int i = 0; i < WEFT_FILES; i++) {
        if (!j->weights[i].borrowed) weft_window_destroy(j->weights[i].packed);
        weft_comm_free(j->weights[i].sharers);
    }
    for (int k = 0; k < WEFT_ROLES; k++) weft_comm_free(j->role[k].ranks);
    weft_telling_release(j);
    free(j->trace);
    if (j->block) munmap(j->block, j->block_bytes);
    weft_pool_destroy(j->pool);
    weft_setup_release(&j->setup);
    weft_topology_release(&j->topology);
    weft_config_release(&j->config);
    weft_comm_free(j->column);
    weft_comm_free(j->group);
    free(j->speed);
    weft_comm_free(j->node);
}
