#include "launch/sample.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "launch/control.h"
#include "launch/picture.h"
#include "launch/telling.h"
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
    size_t given;
    weft_status st = WEFT_OK;

    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int i = 0; i < p->grid.patches; i++) {
        have[i] = weft_roles_span(&p->roles, 0, i);
        want[i] = weft_roles_span(&p->roles, p->vae, i);
    }
    given = unit * (size_t)weft_span_units(have[j->line]);
    s->given = calloc((size_t)p->batch * given + 1, sizeof *s->given);
    s->taken = calloc(unit * (size_t)weft_span_units(want[j->line]) + 1,
                      sizeof *s->taken);
    s->latents = calloc((size_t)p->batch, sizeof(weft_redistribute *));
    if (!s->given || !s->taken || !s->latents)
        st = weft_fail(WEFT_ENOMEM, "out of memory for latents");
    r.all = s->taken;
    for (int k = 0; k < p->batch && st == WEFT_OK; k++) {
        r.mine = s->given + (size_t)k * given;
        st = weft_redistribute_create(j->crossroads, &r, &s->latents[k]);
    }
    free(have);
    return st;
}

static weft_status connect_pace(weft_sampler *s)
{
    const weft_plan *p = &s->job->setup.plan;
    const size_t ranks = (size_t)p->grid.patches;
    weft_span *have = calloc(2 * ranks, sizeof *have);
    const weft_redistribute_spec r = {.have = have,
                                      .want = have + ranks,
                                      .unit_bytes = sizeof s->beat,
                                      .class = WEFT_CONTROL,
                                      .what = "the next turn",
                                      .mine = &s->beat,
                                      .all = &s->beat};
    weft_status st;

    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory");
    weft_plan_pace(p, have, have + ranks);
    st = weft_redistribute_create(s->job->crossroads, &r, &s->pace);
    free(have);
    return st;
}

static weft_status make(weft_sampler *s)
{
    const weft_plan *p = &s->job->setup.plan;
    const weft_pipeline_spec order = weft_plan_pipeline(p, s->job->index);

    s->ahead = calloc((size_t)p->batch, sizeof *s->ahead);
    if (!s->ahead) return weft_fail(WEFT_ENOMEM, "out of memory");
    WEFT_TRY(weft_pipeline_make(&order, &s->order));
    WEFT_TRY(connect_pace(s));
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
    WEFT_TRY(weft_control_make(j));
    return weft_comm_agree(j->world, make(s));
}

void weft_sampler_release(weft_sampler *s)
{
    for (int i = 0; i < s->nflights; i++) weft_flight_release(&s->flight[i]);
    for (int k = 0; s->latents && k < s->job->setup.plan.batch; k++)
        weft_redistribute_destroy(s->latents[k]);
    free(s->latents);
    weft_redistribute_destroy(s->pace);
    free(s->ahead);
    weft_pipeline_release(&s->order);
    if (s->job) weft_picture_release(&s->job->picture);
    free(s->given);
    free(s->taken);
}

/* ---- sampling ------------------------------------------------------------ */

/* A run of turns, as it goes. */
typedef struct walk {
    weft_sampler *s;
    const weft_voyage *v;
    int turns, done; /* steps of all batches */
    double began[WEFT_FLIGHTS];
    uint64_t before[WEFT_FLIGHTS]; /* evaluations */
} walk;

static weft_status enter(walk *w, const weft_turn *t)
{
    weft_sampler *s = w->s;
    const weft_share *share = w->v->share;
    const int first = share->first[t->batch];
    const int n = share->first[t->batch + 1] - first;
    weft_flight *f = &s->flight[t->slot];

    w->began[t->slot] = weft_clock();
    w->before[t->slot] = weft_flight_evaluations(f);
    s->flying[t->slot] = true;
    if (s->tally.first_eval == 0) s->tally.first_eval = w->began[t->slot];
    if (t->batch >= share->nbegun)
        return weft_flight_enter(f, share->image + first, n);
    return weft_flight_resume(f, share->image + first, share->saved + first, n);
}

/* Evaluations of real images. */
static void count(walk *w, int slot)
{
    const weft_flight *f = &w->s->flight[slot];
    const uint64_t passes = weft_flight_evaluations(f) - w->before[slot];

    w->s->tally.evaluations +=
        passes / (uint64_t)w->s->job->setup.plan.batch * (uint64_t)f->n;
}

static weft_status leave(walk *w, const weft_turn *t)
{
    const weft_voyage *v = w->v;
    const weft_flight *f = &w->s->flight[t->slot];

    count(w, t->slot);
    w->s->flying[t->slot] = false;
    return v->arrive ? v->arrive(v->arg, f, w->began[t->slot]) : WEFT_OK;
}

static void note_step(walk *w, const weft_flight *f)
{
    w->done++;
    w->s->tally.steps += (uint64_t)f->n;
}

/* Ranks that keep no state have little to wait for, and would be turns ahead of
 * the others, where nobody can stop them. */
static weft_status keep_pace(weft_sampler *s)
{
    WEFT_TRY(weft_redistribute_ready(s->pace));
    WEFT_TRY(weft_redistribute_post(s->pace));
    return weft_redistribute_wait(s->pace);
}

/* Meanwhile texts of the next batch are read, where that is all there is to do.
 */
static weft_status look_ahead(const walk *w, const weft_turn *t)
{
    const weft_share *share = w->v->share;
    const int batch = w->s->job->setup.plan.batch;

    if (t->batch + 1 >= share->nbatches) return WEFT_OK;
    for (int i = 0; i < batch; i++) {
        const int at = share->first[t->batch + 1] + i;
        const int last = share->first[t->batch + 2] - 1;

        w->s->ahead[i] = share->image[at < last ? at : last];
    }
    return weft_telling_ahead(w->s->job, w->s->ahead);
}

/* Nets that sample later take the place of others. */
static weft_status turn_to(weft_sampler *s, weft_plan_phase phase)
{
    if (phase == s->job->phase) return WEFT_OK;
    WEFT_TRY(weft_job_turn_to(s->job, phase));
    for (int i = 0; i < s->nflights; i++)
        WEFT_TRY(weft_flight_turn(&s->flight[i]));
    return WEFT_OK;
}

static weft_status take_turn(walk *w, const weft_turn *t)
{
    const weft_job *j = w->s->job;
    const weft_stage *stage = &j->setup.plan.stage[t->stage];
    weft_flight *f = &w->s->flight[t->slot];
    const double start = weft_clock();
    const bool enters = !w->s->flying[t->slot];

    if (enters)
        WEFT_TRY(enter(w, t));
    else if (stage->index == 0)
        note_step(w, f);
    WEFT_TRY(keep_pace(w->s));
    if (enters) WEFT_TRY(look_ahead(w, t));
    WEFT_TRY(weft_flight_finish(f));
    if (w->v->progress) weft_progress_step(w->v->progress, w->done);
    if (!stage->leaves)
        WEFT_TRY(turn_to(w->s, weft_plan_stage_phase(&j->setup.plan, stage)));
    weft_watch_at("step", stage->step + 1, j->setup.solver->steps);
    if (!stage->leaves)
        WEFT_TRY(weft_flight_begin(f, stage->step, stage->index));
    w->s->tally.sampling += weft_clock() - start;
    return stage->leaves ? leave(w, t) : WEFT_OK;
}

static weft_status pause(const walk *w, int turn, bool *stop)
{
    const weft_voyage *v = w->v;

    *stop = false;
    return v->pause ? v->pause(v->arg, turn, w->done, stop) : WEFT_OK;
}

weft_status weft_sampler_run(weft_sampler *s, const weft_voyage *v)
{
    weft_pipeline_spec *order = &s->order.spec;
    walk w = {.s = s, .v = v};
    weft_turn t;
    bool stop;

    order->batches = v->share->nbatches;
    order->begin = v->share->begin;
    order->nbegun = v->share->nbegun;
    weft_pipeline_restart(&s->order);
    memset(s->flying, 0, sizeof s->flying);
    for (int turn = 0;; turn++) {
        const bool over = weft_pipeline_done(&s->order);

        WEFT_TRY(pause(&w, over ? INT_MAX : turn, &stop));
        if (over || stop) break;
        WEFT_MUST(weft_pipeline_next(&s->order, &t));
        WEFT_TRY(take_turn(&w, &t));
    }
    for (int i = 0; i < s->nflights; i++)
        if (s->flying[i]) count(&w, i);
    return WEFT_OK;
}

int weft_sampler_steps(const weft_sampler *s, const weft_share *w)
{
    const weft_plan *p = &s->job->setup.plan;
    int steps = w->nbatches * p->steps;

    for (int b = 0; b < w->nbegun; b++)
        steps -= p->stage[w->begin[b]].step - p->stage[0].step;
    return steps;
}

int weft_sampler_next(const weft_sampler *s, int flight)
{
    return s->order.flight[flight].next;
}

weft_status weft_sampler_settle(weft_sampler *s)
{
    for (int i = 0; i < s->nflights; i++)
        if (s->flying[i]) WEFT_TRY(weft_flight_finish(&s->flight[i]));
    return WEFT_OK;
}
