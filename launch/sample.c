#include "launch/sample.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/guide/guidance.h"
#include "mpi/watch.h"

/* ---- making -------------------------------------------------------------- */

static float *labels_of(const weft_setup *s, int cond, int uncond)
{
    const int n = cond + uncond;
    float *label = calloc((size_t)n + 1, sizeof *label);

    for (int i = 0; label && i < n; i++)
        label[i] = i < cond ? s->label : s->null_label;
    return label;
}

static weft_status one_model(weft_job *j, int lane, int cond, int uncond,
                             weft_denoiser **out)
{
    const weft_setup *s = &j->setup;
    const weft_run run = weft_job_run(j, s->denoise, lane * s->lanes);
    float *label = s->labelled ? labels_of(s, cond, uncond) : NULL;
    weft_status st;

    if (s->labelled && !label) return weft_fail(WEFT_ENOMEM, "out of memory");
    st = weft_model_create(&s->net.graph, &run, label, out);
    free(label);
    if (st == WEFT_OK && s->lanes > 1)
        weft_model_set_lanes(*out, &j->net[s->denoise].lane[lane * s->lanes],
                             s->lanes);
    return st;
}

/* A model, or guidance made of models. */
static weft_status make_denoiser(weft_sampler *s)
{
    const weft_setup *setup = &s->job->setup;
    const int n = setup->plan.batch;
    const bool joint = setup->joint;

    WEFT_TRY(one_model(s->job, 0, n, joint ? n : 0, &s->model[0]));
    s->denoiser = s->model[0];
    if (!setup->guided) return WEFT_OK;
    if (!joint) WEFT_TRY(one_model(s->job, 1, 0, n, &s->model[1]));
    WEFT_TRY(weft_cfg_create(
        s->model[0], s->model[1],
        &(weft_guidance){.scale = s->job->config.sample.guidance}, &s->guide));
    s->denoiser = s->guide;
    return WEFT_OK;
}

static weft_status make_state(weft_sampler *s)
{
    const weft_job *j = s->job;
    const weft_plan *p = &j->setup.plan;
    const weft_batch b = {.rows = weft_cut_units(&j->cut, j->cut.me) * p->unit,
                          .n = p->batch,
                          .w = p->columns,
                          .c = p->channels};
    const size_t floats = weft_batch_floats(&b);
    const size_t more = weft_solver_buffer_floats(j->setup.solver, &b);

    s->field = (weft_field){.c = p->channels,
                            .h = p->rows,
                            .w = p->columns,
                            .row0 = p->first[j->cut.me] * p->unit,
                            .rows = b.rows};
    s->noise = calloc((size_t)p->batch, sizeof *s->noise);
    s->state =
        aligned_alloc(64, (floats + more + 31) / 16 * 16 * sizeof(float));
    if (!s->noise || !s->state)
        return weft_fail(WEFT_ENOMEM, "out of memory for the latents");
    s->x = s->state;
    return weft_solver_bind(j->setup.solver, &b, &s->field, s->noise,
                            s->state + floats);
}

weft_status weft_sampler_create(weft_job *j, weft_sampler *s)
{
    weft_status st;

    memset(s, 0, sizeof *s);
    s->job = j;
    WEFT_TRY(weft_comm_agree(j->world, make_state(s)));
    WEFT_TRY(weft_job_load(j, j->setup.denoise));
    st = make_denoiser(s);
    return weft_comm_agree(j->world, st);
}

void weft_sampler_release(weft_sampler *s)
{
    weft_denoiser_destroy(s->guide);
    for (int i = 0; i < WEFT_LANES; i++) weft_denoiser_destroy(s->model[i]);
    free(s->noise);
    free(s->state);
}

/* ---- sampling ------------------------------------------------------------ */

weft_status weft_sampler_run(weft_sampler *s, int first, int n,
                             weft_progress *progress, int steps_before)
{
    const weft_config *c = &s->job->config;
    weft_solver *solver = s->job->setup.solver;
    const uint64_t before = s->denoiser->evaluations;
    const int batch = s->job->setup.plan.batch;
    double start;

    /* A batch that is not full repeats its last image. */
    for (int i = 0; i < batch; i++)
        weft_noise_init(&s->noise[i], c->sample.rng,
                        c->sample.seed[first + (i < n ? i : n - 1)]);
    WEFT_TRY(weft_job_restart(s->job, s->job->setup.denoise));
    WEFT_TRY(weft_solver_start(solver, s->x));
    start = weft_clock();
    if (s->tally.first_eval == 0) s->tally.first_eval = start;
    for (int i = 0; i < solver->steps; i++) {
        weft_watch_at("step", i + 1, solver->steps);
        WEFT_TRY(weft_solver_step(solver, i, &s->denoiser, s->x));
        weft_progress_step(progress, steps_before + i + 1);
    }
    s->tally.sampling += weft_clock() - start;
    s->tally.evaluations +=
        (s->denoiser->evaluations - before) / (uint64_t)batch * (uint64_t)n;
    return WEFT_OK;
}
