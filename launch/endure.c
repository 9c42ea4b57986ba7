#include "launch/endure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/leftover.h"

/* ---- what there is ------------------------------------------------------- */

static weft_checkpoint_fit fit_of(const weft_job *j)
{
    const weft_plan *p = &j->setup.plan;

    return (weft_checkpoint_fit){.solver = j->setup.solver,
                                 .rows = p->rows,
                                 .columns = p->columns,
                                 .channels = p->channels,
                                 .images = p->images};
}

static weft_status open_state(weft_endure *e, double any)
{
    const weft_checkpoint_fit fit = fit_of(e->job);

    return any > 0 ? weft_state_open(&e->state, &fit) : WEFT_OK;
}

weft_status weft_endure_find(weft_job *j, weft_endure *e)
{
    const weft_checkpoint_fit fit = fit_of(j);
    bool found = false;
    double any;
    weft_status st;

    memset(e, 0, sizeof *e);
    e->job = j;
    st = weft_comm_agree(j->world, weft_state_init(&j->config, &e->state));
    if (st == WEFT_OK && weft_comm_rank(j->world) == 0) {
        st = weft_state_take(&e->state, &fit, &found);
        if (st == WEFT_OK) weft_leftover_remove(&j->config);
    }
    WEFT_TRY(weft_comm_agree(j->world, weft_setup_status(st)));
    any = found;
    WEFT_TRY(weft_comm_max(j->world, &any, 1));
    st = open_state(e, any);
    WEFT_TRY(weft_comm_agree(j->world, weft_setup_status(st)));
    return weft_comm_same(j->world, e->state.from.check, "checkpoint");
}

/* ---- weights ------------------------------------------------------------- */

/* Files of nets, then those of text encoders. */
static int files_of(const weft_job *j)
{
    return j->setup.models.nfiles + j->setup.prompts.readers;
}

static const char *name_of(const weft_job *j, int i)
{
    const int nets = j->setup.models.nfiles;

    return i < nets ? j->setup.models.path[i]
                    : j->setup.prompts.reader[i - nets].encoder;
}

static const char *more_of(const weft_job *j, int i)
{
    return i < j->setup.models.nfiles ? weft_models_more(&j->setup.models, i)
                                      : "";
}

/* "0123456789abcdef ..." by file. */
static weft_status hash_weights(weft_endure *e)
{
    const weft_job *j = e->job;
    const int n = files_of(j), nets = j->setup.models.nfiles;
    char *to = malloc((size_t)n * 17 + 1);

    if (!to) return weft_fail(WEFT_ENOMEM, "out of memory");
    to[0] = '\0';
    for (int i = 0; i < n; i++) {
        const double *h = i < nets ? j->weights[i].sample : j->read[i - nets];

        snprintf(to + 17 * i, 18, "%08lx%08lx ", (unsigned long)h[1],
                 (unsigned long)h[0]);
    }
    e->weights = to;
    return WEFT_OK;
}

static weft_status compare_weights(const weft_endure *e)
{
    const weft_checkpoint *from = &e->state.from;
    const weft_job *j = e->job;

    if (!e->state.found || strcmp(from->weights, e->weights) == 0)
        return WEFT_OK;
    for (int i = 0; i < files_of(j); i++)
        if (strncmp(from->weights, e->weights, 17 * (size_t)(i + 1)) != 0)
            return weft_fail(WEFT_EINPUT,
                             "%s: was kept for other images: the weights in "
                             "%s%s have changed; remove it to begin anew",
                             weft_st_path(from->st), name_of(j, i),
                             more_of(j, i));
    return weft_fail(WEFT_EINPUT, "%s: is not of these models",
                     weft_st_path(from->st));
}

/* ---- beginning ----------------------------------------------------------- */

static weft_status make_work(weft_endure *e)
{
    const weft_job *j = e->job;
    const weft_plan *p = &j->setup.plan;
    const weft_checkpoint *from = e->state.found ? &e->state.from : NULL;

    e->path = weft_state_group(&e->state, j->index);
    e->done = calloc((size_t)p->images, 1);
    if (!e->path || !e->done) return weft_fail(WEFT_ENOMEM, "out of memory");
    if (from) WEFT_TRY(weft_checkpoint_done(from, p->images, e->done));
    for (int i = 0; i < p->images; i++) e->complete += e->done[i];
    return weft_share_make(p, from, j->index, &e->share);
}

static void say_where_from(const weft_endure *e)
{
    if (weft_comm_rank(e->job->world) != 0 || !e->state.found) return;
    fprintf(stderr,
            "weft: goes on from %s: %d of %d image%s complete, %d in flight\n",
            weft_st_path(e->state.from.st), e->complete,
            e->job->setup.plan.images,
            e->job->setup.plan.images == 1 ? "" : "s", e->state.from.n);
}

weft_status weft_endure_begin(weft_endure *e)
{
    weft_status st = hash_weights(e);

    if (st == WEFT_OK) st = compare_weights(e);
    if (st == WEFT_OK) st = make_work(e);
    WEFT_TRY(weft_comm_agree(e->job->world, st));
    say_where_from(e);
    return weft_keeper_open(&e->job->config, e->job->world, e->job->group,
                            &e->keeper);
}

/* ---- on the way ---------------------------------------------------------- */

static weft_status keep(weft_endure *e, weft_sampler *s)
{
    const weft_checkpoint_head head = {.identity = e->state.identity,
                                       .weights = e->weights,
                                       .done = e->done,
                                       .images = e->job->setup.plan.images};

    WEFT_TRY(weft_sampler_settle(s));
    /* Who writes pictures may be another than who says that they are there. */
    WEFT_TRY(weft_comm_barrier(e->job->group));
    WEFT_TRY(weft_sampler_keep(s, e->path, &head));
    weft_keeper_kept(&e->keeper);
    return WEFT_OK;
}

weft_status weft_endure_pause(weft_endure *e, weft_sampler *s, int turn,
                              int steps, bool *stop)
{
    weft_reason why;

    WEFT_TRY(weft_keeper_heed(&e->keeper, turn, steps, &why));
    if (!why) return WEFT_OK;
    *stop = e->stopped = why == WEFT_STOP;
    return keep(e, s);
}

void weft_endure_done(weft_endure *e, int image) { e->done[image] = 1; }

/* ---- the end ------------------------------------------------------------- */

static int in_flight(const weft_sampler *s)
{
    int n = 0;

    for (int i = 0; i < s->nflights; i++)
        if (s->flying[i]) n += s->flight[i].n;
    return n;
}

/* Each group's first rank speaks for it. */
weft_status weft_endure_end(weft_endure *e, const weft_sampler *s,
                            weft_standing *end)
{
    const weft_job *j = e->job;
    double sum[3] = {0};

    if (j->rank == 0) {
        for (int i = 0; i < j->setup.plan.images; i++) sum[0] += e->done[i];
        sum[0] -= e->complete;
        sum[1] = in_flight(s);
        sum[2] = e->stopped;
    }
    WEFT_TRY(weft_comm_sum(j->world, sum, 3));
    *end = (weft_standing){.images = j->setup.plan.images,
                           .complete = e->complete + (int)sum[0],
                           .in_flight = (int)sum[1],
                           .stopped = sum[2] > 0};
    if (!end->stopped && weft_comm_rank(j->world) == 0)
        weft_state_remove(&e->state);
    return WEFT_OK;
}

void weft_endure_release(weft_endure *e)
{
    weft_keeper_close(&e->keeper);
    weft_share_release(&e->share);
    weft_state_release(&e->state);
    free(e->weights);
    free(e->path);
    free(e->done);
    memset(e, 0, sizeof *e);
}
