#include "launch/job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/model/load.h"
#include "mpi/watch.h"

/* ---- plan ---------------------------------------------------------------- */

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h * 31;
}

/* Rank 0's file for all, but everybody's own arguments, which must agree. */
static weft_status read_config(weft_job *j, const char *path,
                               const char *const *overrides, int n)
{
    uint64_t h = hash_text(14695981039346656037u, path);
    char *text = NULL;
    size_t bytes = 0;
    weft_status st = WEFT_OK;

    for (int i = 0; i < n; i++) h = hash_text(h, overrides[i]);
    WEFT_TRY(weft_comm_same(j->world, h, "config and arguments"));
    if (weft_comm_rank(j->world) == 0)
        st = weft_config_read(path, &text, &bytes);
    st = weft_comm_agree(j->world, st);
    if (st == WEFT_OK) st = weft_comm_share(j->world, &text, &bytes);
    if (st == WEFT_OK)
        st = weft_comm_agree(
            j->world,
            weft_config_parse(path, text, bytes, overrides, n, &j->config));
    free(text);
    return st;
}

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

weft_status weft_job_plan(weft_comm *world, const char *path,
                          const char *const *overrides, int noverrides,
                          weft_job *j)
{
    const weft_plan *plan = &j->setup.plan;
    weft_status st;

    memset(j, 0, sizeof *j);
    j->world = world;
    weft_watch_at("planning", 0, 0);
    WEFT_TRY(read_config(j, path, overrides, noverrides));
    weft_watch_deadline(j->config.run.deadline);
    WEFT_TRY(weft_comm_node(world, &j->node));
    WEFT_TRY(weft_comm_agree(world, find_processors(j)));
    st = weft_setup_make(&j->config, weft_comm_size(world), j->topology.threads,
                         &j->setup);
    WEFT_TRY(weft_comm_agree(world, st));
    WEFT_TRY(weft_comm_same(world, plan->hash, "plan"));
    /* What defines a displaced image (weft_config_identity). */
    if (j->config.parallel.async)
        j->config.parallel.patches = plan->grid.patches;
    j->group = weft_grid_group(&plan->grid, weft_comm_rank(world));
    WEFT_TRY(weft_comm_split(world, j->group, &j->patches));
    j->cut =
        (weft_cut){.n = plan->grid.patches,
                   .me = weft_grid_patch(&plan->grid, weft_comm_rank(world)),
                   .first = plan->first};
    return WEFT_OK;
}

/* ---- connect ------------------------------------------------------------- */

static void poll_all(void *arg)
{
    weft_job *j = arg;

    for (int i = 0; i < j->setup.plan.nnets; i++)
        for (int k = 0; k < j->net[i].lanes; k++)
            weft_exchange_poll(j->net[i].lane[k]);
}

static weft_status start_pool(weft_job *j)
{
    size_t scratch = 0;

    WEFT_TRY(weft_pool_create(j->topology.threads, j->topology.cpu, &j->pool));
    for (int i = 0; i < j->setup.plan.nnets; i++)
        if (j->net[i].layout.scratch > scratch)
            scratch = j->net[i].layout.scratch;
    WEFT_TRY(weft_pool_reserve(j->pool, scratch));
    weft_pool_set_poll(j->pool, poll_all, j);
    return WEFT_OK;
}

/* Activations of all nets in one block: they take turns. */
static weft_status map_block(weft_job *j)
{
    void *at;

    for (int i = 0; i < j->setup.plan.nnets; i++)
        if (j->net[i].layout.bytes > j->block_bytes)
            j->block_bytes = j->net[i].layout.bytes;
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
    const weft_plan *p = &j->setup.plan;
    const weft_netfile *file =
        i == j->setup.denoise ? &j->setup.net : &j->setup.vae;
    weft_job_net *net = &j->net[i];

    net->file = file;
    if (timed) {
        net->seconds = calloc((size_t)file->graph.nnodes, sizeof(double));
        if (!net->seconds) return weft_fail(WEFT_ENOMEM, "out of memory");
    }
    return weft_layout_make(&file->graph, p->dev, p->net[i].n, &j->cut,
                            &net->layout);
}

/* Collective over the patches. */
static weft_status open_lanes(weft_job *j, int i)
{
    const bool split =
        i == j->setup.denoise && j->setup.guided && !j->setup.joint;
    const weft_plan_net *planned = &j->setup.plan.net[i];
    const int stages = i == j->setup.denoise ? j->setup.lanes : 1;
    weft_job_net *net = &j->net[i];

    for (int k = 0; k < (split ? 2 : 1) * stages; k++) {
        WEFT_TRY(weft_exchange_mpi_create(j->patches, &j->cut, planned->sched,
                                          &net->lane[k]));
        net->lanes = k + 1;
        snprintf(net->name[k], sizeof net->name[k], "%s, lane %d",
                 planned->role, k);
        net->lane[k]->name = net->name[k];
        if (net->seconds) /* only `weft bench` times */
            WEFT_TRY(weft_exchange_measure(net->lane[k], j->config.bench.link));
        WEFT_TRY(
            weft_graph_declare(&net->file->graph, planned->n, net->lane[k]));
        WEFT_TRY(weft_graph_bind(&net->file->graph, &net->layout, j->block,
                                 net->lane[k], 0));
    }
    return WEFT_OK;
}

static weft_status connect(weft_job *j, bool timed)
{
    for (int i = 0; i < j->setup.plan.nnets; i++)
        WEFT_TRY(lay_out(j, i, timed));
    WEFT_TRY(start_pool(j));
    return map_block(j);
}

weft_status weft_job_connect(weft_job *j, bool timed)
{
    weft_status st;

    weft_watch_at("connecting", 0, 0);
    WEFT_TRY(weft_comm_agree(j->world, connect(j, timed)));
    st = WEFT_OK;
    for (int i = 0; i < j->setup.plan.nnets && st == WEFT_OK; i++)
        st = open_lanes(j, i);
    return weft_comm_agree(j->world, st);
}

/* ---- weights ------------------------------------------------------------- */

weft_status weft_job_load(weft_job *j, int i)
{
    weft_job_net *net = &j->net[i];
    weft_status st;

    if (net->weights) return WEFT_OK;
    weft_watch_at("loading", 0, 0);
    st = weft_window_create(j->node, net->layout.weight_bytes, &net->weights);
    WEFT_TRY(weft_comm_agree(j->world, st));
    st = weft_load_pack(&net->file->graph, j->setup.dev, &net->layout,
                        net->file->st, weft_window_base(net->weights),
                        weft_comm_rank(j->node), weft_comm_size(j->node),
                        j->pool);
    WEFT_TRY(weft_comm_agree(j->world, st));
    return weft_comm_agree(j->world, weft_window_settle(net->weights));
}

weft_status weft_job_restart(weft_job *j, int i)
{
    for (int k = 0; k < j->net[i].lanes; k++)
        WEFT_TRY(weft_exchange_restart(j->net[i].lane[k]));
    return WEFT_OK;
}

weft_run weft_job_run(const weft_job *j, int i, int lane)
{
    const weft_job_net *net = &j->net[i];

    return (weft_run){.dev = j->setup.dev,
                      .pool = j->pool,
                      .x = net->lane[lane],
                      .layout = &net->layout,
                      .block = j->block,
                      .weights = weft_window_base(net->weights),
                      .seconds = net->seconds};
}

weft_traffic weft_job_traffic(const weft_job *j)
{
    weft_traffic sum = {0};

    for (int i = 0; i < j->setup.plan.nnets; i++)
        for (int k = 0; k < j->net[i].lanes; k++) {
            const weft_traffic *t = &j->net[i].lane[k]->traffic;

            for (int c = 0; c < WEFT_CLASSES; c++) {
                sum.bytes[c] += t->bytes[c];
                sum.messages[c] += t->messages[c];
            }
            sum.exposed_s += t->exposed_s;
            sum.exposed_async_s += t->exposed_async_s;
            if (t->max_age > sum.max_age) sum.max_age = t->max_age;
            sum.hidden_s += t->hidden_s;
        }
    return sum;
}

static void release_net(weft_job_net *net)
{
    for (int k = 0; k < net->lanes; k++)
        weft_exchange_mpi_destroy(net->lane[k]);
    weft_window_destroy(net->weights);
    weft_layout_release(&net->layout);
    free(net->seconds);
}

void weft_job_release(weft_job *j)
{
    for (int i = 0; i < WEFT_PLAN_NETS; i++) release_net(&j->net[i]);
    if (j->block) munmap(j->block, j->block_bytes);
    weft_pool_destroy(j->pool);
    weft_setup_release(&j->setup);
    weft_topology_release(&j->topology);
    weft_config_release(&j->config);
    weft_comm_free(j->patches);
    weft_comm_free(j->node);
}
