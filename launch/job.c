#include "launch/job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "launch/picture.h"
#include "launch/telling.h"
#include "mpi/gather_trace.h"
#include "mpi/watch.h"

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
    size_t scratch = j->reads ? weft_prompts_scratch(&j->setup.prompts) : 0;

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

    j->block_bytes = j->reads ? weft_prompts_block(&j->setup.prompts) : 0;
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

/* Collective over the group: rows go between ranks that have the same columns,
 * sums between all. */
static weft_status open_roads(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    const weft_total_spec s = {.group = j->group,
                               .roles = &p->roles,
                               .across = p->across,
                               .first_strip = p->first_strip,
                               .unit = p->unit,
                               .strip = p->strip,
                               .columns = p->columns,
                               .most =
                                   weft_method_sums(&j->setup.method, p->batch),
                               .traffic = &j->traffic};

    WEFT_TRY(weft_crossroads_open(j->column, &j->traffic, &j->crossroads));
    return weft_total_mpi_create(&s, &j->total);
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
    if (st == WEFT_OK) st = weft_telling_connect(j);
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
                                 const char *path, const char *more)
{
    int first = 0;

    while (first < ranks && all[first][MAPS] == 0) first++;
    for (int r = first + 1; r < ranks; r++)
        if (all[r][MAPS] != 0 && (all[r][LOW] != all[first][LOW] ||
                                  all[r][HIGH] != all[first][HIGH]))
            return weft_fail(WEFT_EINPUT,
                             "%s%s: ranks %d and %d find different weights "
                             "there",
                             path, more, first, r);
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
                             weft_comm_size(j->world), m->path[i],
                             weft_models_more(m, i))
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

/* Are these weights of the last steps alone? */
static bool is_later(const weft_job *j, int head)
{
    const weft_plan *p = &j->setup.plan;
    bool later = false;

    for (int i = 0; i < p->nnets; i++) {
        if (p->net[i].weights != head) continue;
        if (weft_plan_phase_of(p, i) != WEFT_PHASE_LATER) return false;
        later = true;
    }
    return later;
}

weft_status weft_job_load_models(weft_job *j)
{
    const weft_models *m = &j->setup.models;

    if (weft_comm_rank(j->world) == 0 && j->config.note)
        fputs(j->config.note, stderr);
    WEFT_TRY(compare_files(j));
    WEFT_TRY(weft_reading_make(j));
    WEFT_TRY(weft_picture_make(j));
    for (int i = 0; i < m->nfiles; i++)
        if (i != m->vae && i != m->encoder && !is_later(j, m->head[i]))
            WEFT_TRY(weft_job_load(j, i));
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
                      .weights = packed ? weft_window_base(packed) : NULL,
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
    if (j->duty) weft_watch_duties(NULL, 0, 0);
    free(j->duty);
    for (int i = 0; i < WEFT_PLAN_NETS; i++) release_net(&j->net[i]);
    weft_total_mpi_destroy(&j->total);
    weft_telling_release(j);
    weft_crossroads_close(j->crossroads);
    for (int i = 0; i < WEFT_FILES; i++) {
        if (!j->weights[i].borrowed) weft_window_destroy(j->weights[i].packed);
        weft_comm_free(j->weights[i].sharers);
    }
    for (int k = 0; k < WEFT_ROLES; k++) weft_comm_free(j->role[k].ranks);
    weft_comm_free(j->readers);
    weft_comm_free(j->node_readers);
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
