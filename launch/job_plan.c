/* job_plan.c - what the ranks of a job find out and agree on before there is a
 * plan, and the plan. */
#include <stdlib.h>
#include <string.h>

#include "launch/calibrate.h"
#include "launch/job.h"
#include "launch/measure.h"
#include "mpi/watch.h"

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

/* Collective over the node. Does rank 0 share its memory? */
static weft_status is_first_node(const weft_job *j, bool *first)
{
    double least = -(double)weft_comm_rank(j->world);

    WEFT_TRY(weft_comm_max(j->node, &least, 1));
    *first = least == 0;
    return WEFT_OK;
}

/* Collective over the job: who reads texts. */
static weft_status find_readers(weft_job *j)
{
    const int role = weft_plan_reads(&j->setup.plan);
    const bool worded = j->config.sample.worded;

    if (role >= 0)
        j->reads = j->role[role].cut.me >= 0 && (worded || j->index == 0);
    else if (worded)
        j->reads = true;
    else
        WEFT_TRY(is_first_node(j, &j->reads));
    WEFT_TRY(weft_comm_split(j->world, j->reads, &j->readers));
    return weft_comm_split(j->node, j->reads, &j->node_readers);
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
    m->cluster.node_bytes = -node[1];
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
        r->ranks = p->roles.role[k].asked.ranks * p->across;
        if (!r->name) return weft_fail(WEFT_ENOMEM, "out of memory");
        c->parallel.nroles++;
    }
    c->parallel.patches =
        (weft_shape){p->across > 1 ? p->grid.patches : 0, p->across};
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

static bool all_have(const weft_plan *p, int role)
{
    for (int line = 0; line < p->grid.patches; line++)
        if (!weft_roles_has(&p->roles, role, line)) return false;
    return true;
}

/* Whom a message is about: "cond, text", of the roles that not all have. */
static weft_status name_duties(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    const int lines = p->grid.patches;

    j->duty = calloc((size_t)lines, sizeof *j->duty);
    if (!j->duty) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int k = 0; k < p->nroles; k++) {
        if (all_have(p, k)) continue;
        for (int line = 0; line < lines; line++) {
            const size_t n = strlen(j->duty[line]);

            if (weft_roles_has(&p->roles, k, line))
                snprintf(j->duty[line] + n, WEFT_WATCH_DUTY - n, "%s%s",
                         n ? ", " : "", p->role[k].name);
        }
    }
    weft_watch_duties(j->duty, lines, p->across);
    return WEFT_OK;
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
    WEFT_TRY(weft_comm_agree(world, like ? WEFT_OK : name_duties(j)));
    st = find_roles(j);
    if (st == WEFT_OK) st = find_weights(j);
    if (st == WEFT_OK && j->setup.prompts.readers) st = find_readers(j);
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
