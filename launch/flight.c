#include "launch/flight.h"

#include <stdlib.h>
#include <string.h>

#include "core/guide/halves.h"
#include "core/solve/repaint.h"
#include "launch/control.h"
#include "launch/telling.h"

/* ---- state --------------------------------------------------------------- */

static weft_batch batch_of(const weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    const weft_rect mine = weft_plan_latent(p, j->rank);

    return (weft_batch){
        .rows = mine.rows, .n = p->batch, .w = mine.columns, .c = p->channels};
}

static weft_status make_picture(weft_flight *f, size_t floats)
{
    if (!f->job->picture.encoded) return WEFT_OK;
    f->picture = malloc((3 * floats + 1) * sizeof *f->picture);
    if (!f->picture) return weft_fail(WEFT_ENOMEM, "out of memory for latents");
    f->start = f->picture + floats;
    if (f->job->picture.masked) f->masked = f->start + floats;
    return WEFT_OK;
}

static weft_status make_state(weft_flight *f)
{
    const weft_job *j = f->job;
    const weft_plan *p = &j->setup.plan;
    const weft_rect mine = weft_plan_latent(p, j->rank);
    const weft_batch b = batch_of(j);
    const size_t floats = weft_batch_floats(&b);
    const size_t more = weft_solver_buffer_floats(f->solver, &b);

    f->solver->total = &j->total;
    f->solver->lenient = j->lenient;
    f->field = (weft_field){.c = p->channels,
                            .h = p->rows,
                            .w = p->columns,
                            .row0 = mine.row,
                            .rows = mine.rows,
                            .column0 = mine.column,
                            .columns = mine.columns};
    f->noise = calloc((size_t)p->batch, sizeof *f->noise);
    f->state =
        aligned_alloc(64, (floats + more + 31) / 16 * 16 * sizeof(float));
    if (!f->noise || !f->state)
        return weft_fail(WEFT_ENOMEM, "out of memory for the latents");
    f->x = f->state;
    weft_solver_begin(f->solver, j->setup.solver->first,
                      j->setup.solver->before);
    WEFT_TRY(make_picture(f, floats));
    return weft_solver_bind(f->solver, &b, &f->field, f->noise,
                            f->state + floats);
}

/* ---- denoisers ----------------------------------------------------------- */

/* The lanes of this flight, by the solver's kinds of questions. */
static void set_lanes(weft_flight *f, int i)
{
    const weft_setup *s = &f->job->setup;
    const int net = s->net_of[i], first = f->slot * s->plan.net[net].lanes;

    for (int k = 0; k < WEFT_PLAN_LANES; k++)
        if (s->lane_of[i][k] >= 0)
            f->lane[i][k] = f->job->net[net].lane[first + s->lane_of[i][k]];
    weft_model_set_lanes(f->model[i], f->lane[i], WEFT_PLAN_LANES);
}

static weft_status make_model(weft_flight *f, int i)
{
    const weft_setup *s = &f->job->setup;
    const weft_leaf *leaf = &s->method.leaf[i];
    const weft_labels *told = &s->models.label[leaf->model];
    const int net = s->net_of[i], n = s->plan.net[net].n;
    weft_run run = weft_job_run(f->job, net);
    float *label = calloc((size_t)n, sizeof *label);
    weft_status st;

    if (!label) return weft_fail(WEFT_ENOMEM, "out of memory");
    run.held = weft_telling_place(f->job, i, f->slot);
    run.follow = f->follow[i];
    for (int k = 0; k < n; k++)
        label[k] = leaf->condition == WEFT_UNCOND || k >= s->plan.batch
                       ? told->uncond
                       : told->cond;
    st = weft_model_create(s->plan.net[net].graph, &run,
                           told->any ? label : NULL, &f->model[i]);
    free(label);
    if (st == WEFT_OK && weft_has_past(&s->plan.net[net].sched))
        set_lanes(f, i);
    return st;
}

/* Evaluated by everybody on the rows that they keep. */
static weft_status make_analytic(weft_flight *f, int i)
{
    const weft_job *j = f->job;
    const weft_method *m = &j->setup.method;
    const weft_config_model *model =
        &j->config.model[m->model[m->leaf[i].model]];
    const weft_analytic_opts o = {.batch = batch_of(j),
                                  .component = model->component,
                                  .components = model->components,
                                  .prediction = j->setup.schedule.prediction,
                                  .abar = f->solver->abar,
                                  .total = &j->total};

    return weft_analytic_create(&o, &f->leaf[i]);
}

static weft_status place_leaf(weft_flight *f, int i, weft_span *have)
{
    weft_job *j = f->job;
    const weft_plan *p = &j->setup.plan;
    const int net = j->setup.net_of[i], role = p->net[net].role;
    weft_placed_spec s = {.batch = batch_of(j),
                          .at = j->crossroads,
                          .what = p->role[role].name,
                          .have = have,
                          .keep = p->roles.state,
                          .rank = j->line,
                          .unit = p->unit,
                          .clock = &j->net[net].clock};

    if (j->net[net].mine) WEFT_TRY(make_model(f, i));
    s.net = f->model[i];
    s.batch.n = p->net[net].n;
    for (int q = 0; q < p->grid.patches; q++)
        have[q] = weft_roles_span(&p->roles, role, q);
    return weft_placed_create(&s, &f->leaf[i]);
}

static weft_status place_leaves(weft_flight *f)
{
    const weft_setup *s = &f->job->setup;
    weft_span *have = calloc((size_t)s->plan.grid.patches, sizeof *have);
    weft_status st = WEFT_OK;

    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int i = 0; i < s->method.nleaves && st == WEFT_OK; i++)
        if (s->net_of[i] >= 0)
            st = place_leaf(f, i, have);
        else if (f->solver)
            st = make_analytic(f, i);
    free(have);
    return st;
}

/* The denoiser of a leaf that answers its first half. */
static weft_denoiser *first_half(const weft_flight *f, int leaf)
{
    const weft_method *m = &f->job->setup.method;
    int i = 0;

    while (m->asked[i].leaf != leaf || m->asked[i].half != WEFT_COND_HALF) i++;
    return f->guide[i];
}

static weft_status make_half(weft_flight *f, int i, const weft_asked *a)
{
    if (a->half == WEFT_COND_HALF)
        WEFT_TRY(weft_halves_create(f->leaf[a->leaf], &f->guide[i]));
    else
        WEFT_TRY(weft_halves_other(first_half(f, a->leaf), &f->guide[i]));
    f->asked[i] = f->guide[i];
    return WEFT_OK;
}

static weft_status make_asked(weft_flight *f, int i)
{
    const weft_asked *a = &f->job->setup.method.asked[i];
    weft_guidance g = a->guidance;

    if (a->half) return make_half(f, i, a);
    f->asked[i] = f->leaf[a->leaf];
    if (!a->guided) return WEFT_OK;
    g.total = &f->job->total;
    WEFT_TRY(weft_cfg_create(f->leaf[a->leaf],
                             a->against >= 0 ? f->leaf[a->against] : NULL, &g,
                             &f->guide[i]));
    f->asked[i] = f->guide[i];
    return WEFT_OK;
}

/* The mask and what is known of the picture, to the nets that are told: of
 * their role's rows, among those that I keep. */
static void set_beside(weft_flight *f)
{
    const weft_job *j = f->job;
    const weft_plan *p = &j->setup.plan;
    const size_t columns = (size_t)f->field.columns;

    for (int i = 0; i < j->setup.method.nleaves && f->masked; i++) {
        const int net = j->setup.net_of[i];
        weft_span have;
        size_t before;

        if (!f->model[i]) continue;
        have = weft_roles_span(&p->roles, p->net[net].role, j->line);
        before = (size_t)((have.from - j->state.from) * p->unit) * columns;
        weft_model_set_beside(
            f->model[i],
            &(weft_beside){.mask = j->picture.mask + before,
                           .known = f->masked + before * (size_t)p->batch *
                                                    (size_t)p->channels,
                           .n = p->batch});
    }
}

weft_status weft_flight_create(weft_job *j, int slot, weft_flight *f)
{
    memset(f, 0, sizeof *f);
    f->job = j;
    f->slot = slot;
    f->image = calloc((size_t)j->setup.plan.batch, sizeof *f->image);
    f->label = calloc(2 * (size_t)j->setup.plan.batch, sizeof *f->label);
    if (!f->image || !f->label) return weft_fail(WEFT_ENOMEM, "out of memory");
    if (weft_span_units(j->state))
        WEFT_TRY(weft_method_solver(&j->setup.method, &j->setup.schedule,
                                    &f->solver));
    WEFT_TRY(place_leaves(f));
    if (!f->solver) return WEFT_OK;
    for (int i = 0; i < j->setup.method.nasked; i++) WEFT_TRY(make_asked(f, i));
    WEFT_TRY(make_state(f));
    set_beside(f);
    return WEFT_OK;
}

void weft_flight_release(weft_flight *f)
{
    for (int i = 0; i < WEFT_ASKED; i++) weft_denoiser_destroy(f->guide[i]);
    for (int i = 0; i < WEFT_LEAVES; i++) {
        weft_denoiser_destroy(f->leaf[i]);
        weft_denoiser_destroy(f->model[i]);
    }
    weft_solver_destroy(f->solver);
    free(f->image);
    free(f->noise);
    free(f->label);
    free(f->state);
    free(f->picture);
    memset(f, 0, sizeof *f);
}

/* ---- stages -------------------------------------------------------------- */

weft_status weft_flight_restart(weft_flight *f)
{
    for (int i = 0; i < WEFT_LEAVES; i++)
        for (int k = 0; k < WEFT_PLAN_LANES; k++)
            if (f->lane[i][k]) WEFT_TRY(weft_exchange_restart(f->lane[i][k]));
    return WEFT_OK;
}

static void take_images(weft_flight *f, const int *image, int n)
{
    f->n = n;
    for (int i = 0; i < f->job->setup.plan.batch; i++)
        f->image[i] = image[i < n ? i : n - 1];
}

/* What leaf i tells its net of sample k: unconditional ones come last. */
static float label_of(const weft_flight *f, int i, int k)
{
    const weft_setup *s = &f->job->setup;
    const weft_config *c = &f->job->config;
    const weft_leaf *leaf = &s->method.leaf[i];
    const weft_labels *told = &s->models.label[leaf->model];

    if (leaf->condition == WEFT_UNCOND || k >= s->plan.batch)
        return told->uncond;
    if (c->model[s->method.model[leaf->model]].label >= 0) return told->cond;
    return (float)c->sample.each_label[f->image[k]];
}

/* A data set's images have labels of their own. */
static void set_labels(weft_flight *f)
{
    const weft_setup *s = &f->job->setup;

    if (!f->job->config.sample.each_label) return;
    for (int i = 0; i < s->method.nleaves; i++) {
        if (!f->model[i] || !s->models.label[s->method.leaf[i].model].any)
            continue;
        for (int k = 0; k < s->plan.net[s->net_of[i]].n; k++)
            f->label[k] = label_of(f, i, k);
        weft_model_set_labels(f->model[i], f->label);
    }
}

/* What all leaves are told of these images. */
static weft_status tell(weft_flight *f)
{
    const weft_setup *s = &f->job->setup;

    set_labels(f);
    for (int i = 0; i < s->method.nleaves; i++)
        WEFT_TRY(weft_telling_tell(f->job, i, f->slot, f->image));
    return WEFT_OK;
}

weft_status weft_flight_turn(weft_flight *f)
{
    const weft_setup *s = &f->job->setup;

    for (int i = 0; i < s->method.nleaves; i++)
        if (f->model[i])
            weft_model_set_weights(f->model[i],
                                   weft_job_run(f->job, s->net_of[i]).weights);
    return f->n ? tell(f) : WEFT_OK;
}

static void begin_noise(weft_flight *f)
{
    const weft_config *c = &f->job->config;

    for (int i = 0; i < f->job->setup.plan.batch; i++) {
        weft_noise_init(&f->noise[i], c->sample.rng,
                        c->sample.seed[f->image[i]]);
        if (c->sample.gpu.multiprocessors)
            f->noise[i].threads = weft_gpu_threads(
                c->sample.gpu.multiprocessors, c->sample.gpu.threads);
    }
}

/* The next draw of every sample. */
static void draw(weft_flight *f, float *to)
{
    const size_t line = (size_t)f->field.columns * (size_t)f->field.c;
    const int batch = f->job->setup.plan.batch;

    for (int k = 0; k < batch; k++)
        weft_noise_fill(&f->noise[k], &f->field, to + (size_t)k * line,
                        (size_t)batch * line);
}

/* Latents for every sample of what was encoded, by a draw of noise where the
 * autoencoder wants one; `noise` may be where they go. */
static void take_picture(weft_flight *f, const weft_net_info *vae,
                         const float *encoded, float *noise, float *to)
{
    const weft_picture *p = &f->job->picture;
    const size_t columns = (size_t)f->field.columns;
    const size_t line = columns * (size_t)f->field.c;
    const int batch = f->job->setup.plan.batch;
    size_t at = 0;

    if (vae->kind == WEFT_NET_VAE_KL) draw(f, noise);
    for (int y = 0; y < f->field.rows; y++)
        for (int k = 0; k < batch; k++, at += line)
            weft_repaint_latents(
                vae, encoded + (size_t)y * columns * (size_t)p->channels,
                noise + at, columns, to + at);
}

/* What follows the start's draw: a mask has the masked picture encoded, also
 * where nobody is told. */
static void take_masked(weft_flight *f, const weft_net_info *vae)
{
    if (f->masked)
        take_picture(f, vae, f->job->picture.masked, f->masked, f->masked);
    else
        for (int k = 0; k < f->job->setup.plan.batch; k++)
            weft_noise_skip(&f->noise[k], &f->field,
                            vae->kind == WEFT_NET_VAE_KL);
}

/* The draws are those of diffusers' pipelines (core/solve/repaint.h). */
static void begin_picture(weft_flight *f)
{
    const weft_models *m = &f->job->setup.models;
    const weft_net_info plain = {.kind = WEFT_NET_VAE_TINY,
                                 .latent_channels = f->field.c,
                                 .scaling_factor = 1};
    const weft_net_info *vae = m->vae < 0 ? &plain : &m->file[m->vae].info;
    const weft_picture *p = &f->job->picture;
    const bool noise_alone = p->mask && f->job->config.sample.strength == 1;

    if (!noise_alone || !m->paints)
        take_picture(f, vae, p->encoded, f->start, f->picture);
    draw(f, f->start);
    if (p->mask) take_masked(f, vae);
    if (noise_alone)
        weft_repaint_noise(f->solver, f->start, f->x);
    else
        weft_repaint_noised(f->solver, weft_solver_begins(f->solver),
                            f->picture, f->start, f->x);
}

weft_status weft_flight_enter(weft_flight *f, const int *image, int n)
{
    take_images(f, image, n);
    WEFT_TRY(tell(f));
    WEFT_TRY(weft_flight_restart(f));
    if (!f->solver) return WEFT_OK;
    begin_noise(f);
    if (!f->picture) return weft_solver_start(f->solver, f->x);
    begin_picture(f);
    return WEFT_OK;
}

/* ---- going on ------------------------------------------------------------ */

static bool asks(const weft_job *j, const weft_stage *s, int leaf)
{
    weft_question q;

    weft_solver_who(j->setup.solver, s->step, s->index, &q);
    for (int i = 0; i < q.n; i++) {
        const weft_asked *a = &j->setup.method.asked[q.who[i]];

        if (a->leaf == leaf || a->against == leaf) return true;
    }
    return false;
}

/* Evaluations that a leaf had in the solver's lane `lane` before stage `at`. */
static int evaluations_before(const weft_job *j, int leaf, int lane, int at)
{
    const weft_solver *solver = j->setup.solver;
    int n = 0;

    for (int i = 0; i < at; i++) {
        const weft_stage *s = &j->setup.plan.stage[i];

        n += weft_solver_lane(solver, s->step, s->index) == lane &&
             asks(j, s, leaf);
    }
    return n;
}

static weft_status resume_lanes(weft_flight *f, int at)
{
    for (int i = 0; i < WEFT_LEAVES; i++)
        for (int k = 0; k < WEFT_PLAN_LANES; k++)
            if (f->lane[i][k])
                WEFT_TRY(weft_exchange_resume(
                    f->lane[i][k], evaluations_before(f->job, i, k, at)));
    return WEFT_OK;
}

/* My rows and columns of a whole image, [rows][columns][channels], as sample
 * `slot` of a batch. */
static void take_rows(const weft_flight *f, const weft_st_tensor *t, int slot,
                      float *to)
{
    const weft_field *w = &f->field;
    const size_t pixel = (size_t)w->c, mine = (size_t)w->columns * pixel;
    const size_t batch = (size_t)f->job->setup.plan.batch;
    const char *from = t->data;

    for (size_t y = 0; y < (size_t)w->rows; y++)
        memcpy(to + (y * batch + (size_t)slot) * mine,
               from +
                   (((size_t)w->row0 + y) * (size_t)w->w + (size_t)w->column0) *
                       pixel * sizeof *to,
               mine * sizeof *to);
}

static void take_saved(weft_flight *f, const weft_saved *s, int slot)
{
    const int models = f->solver->models;

    take_rows(f, s->x, slot, f->x);
    for (int b = 0; b < WEFT_KEPT; b++)
        if (s->kept[b])
            take_rows(f, s->kept[b], slot, weft_solver_work(f->solver, b));
    if (models)
        memcpy(f->solver->log_density + (size_t)slot * (size_t)models,
               s->density->data, (size_t)models * sizeof(double));
    weft_noise_skip(&f->noise[slot], &f->field,
                    (int)(s->draws - f->noise[slot].draw));
}

weft_status weft_flight_resume(weft_flight *f, const int *image,
                               const weft_saved *const *from, int n)
{
    take_images(f, image, n);
    WEFT_TRY(tell(f));
    WEFT_TRY(resume_lanes(f, from[0]->at));
    if (!f->solver) return WEFT_OK;
    begin_noise(f);
    if (f->picture) begin_picture(f);
    for (int i = 0; i < f->job->setup.plan.batch; i++)
        take_saved(f, from[i < n ? i : n - 1], i);
    return WEFT_OK;
}

/* ---- stages, one by one -------------------------------------------------- */

static weft_status take(weft_flight *f)
{
    const weft_question *q = &f->question;

    for (int i = 0; i < q->n; i++)
        WEFT_TRY(weft_answer(f->asked[q->who[i]], q->answer[i]));
    WEFT_TRY(weft_solver_take(f->solver, f->step, f->stage, f->x));
    if (f->job->picture.mask && !f->masked &&
        f->stage == weft_solver_stages(f->solver, f->step) - 1)
        weft_repaint_keep(
            f->solver, f->step + 1,
            &(weft_repaint){f->picture, f->start, f->job->picture.mask}, f->x);
    return WEFT_OK;
}

weft_status weft_flight_finish(weft_flight *f)
{
    weft_status st;

    if (!f->question.n) return WEFT_OK;
    st = take(f);
    f->question.n = 0;
    return st == WEFT_OK ? st : weft_solver_failed(f->solver, f->step, st);
}

static weft_status put(const weft_flight *f)
{
    const weft_question *q = &f->question;

    for (int i = 0; i < q->n; i++)
        WEFT_TRY(weft_ask(f->asked[q->who[i]], &q->in));
    for (int i = 0; i < q->n; i++) WEFT_TRY(weft_work(f->asked[q->who[i]]));
    return WEFT_OK;
}

weft_status weft_flight_begin(weft_flight *f, int i, int k)
{
    weft_status st;

    if (!f->solver) return WEFT_OK;
    f->step = i;
    f->stage = k;
    for (int leaf = 0; leaf < f->job->setup.method.nleaves; leaf++)
        weft_control_follow(&f->job->setup, leaf, i, k, f->follow[leaf]);
    weft_solver_ask(f->solver, i, k, f->x, &f->question);
    st = put(f);
    return st == WEFT_OK ? st : weft_solver_failed(f->solver, i, st);
}

uint64_t weft_flight_evaluations(const weft_flight *f)
{
    uint64_t sum = 0;

    for (int i = 0; i < WEFT_LEAVES; i++)
        if (f->leaf[i]) sum += f->leaf[i]->evaluations;
    return sum;
}
