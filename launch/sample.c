#include "launch/sample.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mpi/watch.h"

/* ---- making -------------------------------------------------------------- */

/* An image's latents move from the lead's cut to that of the decoder. */
static weft_status connect_latents(weft_sampler *s)
{
    weft_job *j = s->job;
    const weft_plan *p = &j->setup.plan;
    const size_t unit = (size_t)p->unit *
                        (size_t)weft_plan_latent(p, j->rank).columns *
                        (size_t)p->channels;
    const size_t ranks = (size_t)p->grid.patches;
    weft_span *have = calloc(2 * ranks, sizeof *have), *want = have + ranks;
    weft_redistribute_spec r = {.have = have,
                                .want = want,
                                .unit_bytes = unit * sizeof(float),
                                .class = WEFT_LATENTS,
                                .what = "latents to decode"};
    weft_status st;

    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int i = 0; i < p->grid.patches; i++) {
        have[i] = weft_roles_span(&p->roles, 0, i);
        want[i] = weft_roles_span(&p->roles, p->vae, i);
    }
    s->given = calloc(unit * (size_t)weft_span_units(have[j->line]) + 1,
                      sizeof *s->given);
    s->taken = calloc(unit * (size_t)weft_span_units(want[j->line]) + 1,
                      sizeof *s->taken);
    r.mine = s->given;
    r.all = s->taken;
    st = s->given && s->taken
             ? weft_redistribute_create(j->crossroads, &r, &s->latents)
             : weft_fail(WEFT_ENOMEM, "out of memory for latents");
    free(have);
    return st;
}

static weft_status make(weft_sampler *s)
{
    const weft_plan *p = &s->job->setup.plan;
    const weft_pipeline_spec order = weft_plan_pipeline(p, s->job->index);

    WEFT_TRY(weft_pipeline_make(&order, &s->order));
    if (p->vae >= 0) WEFT_TRY(connect_latents(s));
    for (int i = 0; i < p->flights; i++) {
        s->nflights++;
        WEFT_TRY(weft_flight_create(s->job, i, &s->flight[i]));
    }
    return WEFT_OK;
}

weft_status weft_sampler_create(weft_job *j, weft_sampler *s)
{
    memset(s, 0, sizeof *s);
    s->job = j;
    WEFT_TRY(weft_job_load_models(j));
    return weft_comm_agree(j->world, make(s));
}

void weft_sampler_release(weft_sampler *s)
{
    for (int i = 0; i < s->nflights; i++) weft_flight_release(&s->flight[i]);
    weft_redistribute_destroy(s->latents);
    weft_pipeline_release(&s->order);
    free(s->given);
    free(s->taken);
}

/* ---- sampling ------------------------------------------------------------ */

/* A run of turns, as it goes. */
typedef struct walk {
    weft_sampler *s;
    weft_progress *progress;
    int done; /* steps of all batches */
    weft_arrive *arrive;
    void *arg;
    double began[WEFT_FLIGHTS];
    uint64_t before[WEFT_FLIGHTS]; /* evaluations */
} walk;

static weft_status enter(walk *w, const weft_turn *t)
{
    weft_sampler *s = w->s;
    const weft_plan *p = &s->job->setup.plan;
    const int first =
        weft_plan_first_image(p, s->job->index) + t->batch * p->batch;
    const int end = weft_plan_first_image(p, s->job->index + 1);
    weft_flight *f = &s->flight[t->slot];

    w->began[t->slot] = weft_clock();
    w->before[t->slot] = weft_flight_evaluations(f);
    if (s->tally.first_eval == 0) s->tally.first_eval = w->began[t->slot];
    return weft_flight_enter(f, first,
                             end - first < p->batch ? end - first : p->batch);
}

static weft_status leave(walk *w, const weft_turn *t)
{
    weft_tally *tally = &w->s->tally;
    const weft_flight *f = &w->s->flight[t->slot];
    const uint64_t passes = weft_flight_evaluations(f) - w->before[t->slot];

    tally->evaluations +=
        passes / (uint64_t)w->s->job->setup.plan.batch * (uint64_t)f->n;
    return w->arrive ? w->arrive(w->arg, f, w->began[t->slot]) : WEFT_OK;
}

static weft_status take_turn(walk *w, const weft_turn *t)
{
    const weft_stage *stage = &w->s->job->setup.plan.stage[t->stage];
    weft_flight *f = &w->s->flight[t->slot];
    const double start = weft_clock();

    if (t->stage == 0) WEFT_TRY(enter(w, t));
    WEFT_TRY(weft_flight_finish(f));
    if (t->stage > 0 && stage->index == 0)
        weft_progress_step(w->progress, ++w->done);
    weft_watch_at("step", stage->step + 1, w->s->job->setup.plan.steps);
    if (!stage->leaves)
        WEFT_TRY(weft_flight_begin(f, stage->step, stage->index));
    w->s->tally.sampling += weft_clock() - start;
    return stage->leaves ? leave(w, t) : WEFT_OK;
}

weft_status weft_sampler_run(weft_sampler *s, int batches,
                             weft_progress *progress, weft_arrive *arrive,
                             void *arg)
{
    walk w = {.s = s, .progress = progress, .arrive = arrive, .arg = arg};
    weft_turn t;

    s->order.spec.batches = batches;
    weft_pipeline_restart(&s->order);
    while (weft_pipeline_next(&s->order, &t)) WEFT_TRY(take_turn(&w, &t));
    return WEFT_OK;
}
