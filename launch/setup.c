#include "launch/setup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/component.h"
#include "launch/control.h"
#include "launch/kernels.h"
#include "launch/kinship.h"
#include "launch/picture.h"
#include "launch/roles.h"
#include "partition/place.h"

enum { BATCH_PIXELS = 4096, BATCH_MOST = 8 };

/* Columns of a strip at the net's coarsest level, at least: the tiles of
 * minimal filtering are that wide, so that no cut divides one. And strips to
 * the shorter side of the image, at most: group norm keeps a record for each.
 */
enum { STRIP_COLUMNS = WEFT_CONV_COLUMNS, STRIPS = 4 };

/* ---- sizes --------------------------------------------------------------- */

static weft_status check_multiple(const weft_setup *s, const char *key, int v,
                                  int of)
{
    const int down = v / of * of, up = down + of;

    if (v % of == 0) return WEFT_OK;
    if (!down)
        return weft_fail(WEFT_EINPUT,
                         "%s: %s %d is not a multiple of %d, which this model "
                         "needs: %d is the nearest",
                         s->config->file, key, v, of, up);
    return weft_fail(WEFT_EINPUT,
                     "%s: %s %d is not a multiple of %d, which this model "
                     "needs: %d and %d are the nearest",
                     s->config->file, key, v, of, down, up);
}

static int strip_of(const weft_plan *p, int stride)
{
    const int side = p->rows < p->columns ? p->rows : p->columns;
    const int least = STRIP_COLUMNS * stride;
    const int times = (side + STRIPS * least - 1) / (STRIPS * least);

    return times * least;
}

/* Taller tiles of minimal filtering save multiplications, so nets of a small
 * stride get twice or four times as many rows where an image has enough of
 * them for many ranks. */
static int grain_of(int rows, int stride)
{
    enum { ROWS = 8, UNITS = 8 };
    int grain = stride;

    while (2 * grain <= ROWS && rows % (2 * grain) == 0 &&
           rows / (2 * grain) >= UNITS)
        grain *= 2;
    return grain;
}

/* torch's CUDA noise of few elements is the same on every GPU. */
static weft_status check_gpu(const weft_setup *s)
{
    const weft_config *c = s->config;
    const weft_plan *p = &s->plan;
    const long long n = (long long)p->rows * p->columns * p->channels;

    if (c->sample.rng != WEFT_RNG_TORCH_CUDA || c->sample.gpu.multiprocessors ||
        n <= WEFT_GPU_THREADS)
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: sample.rng: torch-cuda: %lld numbers depend on the "
                     "GPU (up to %d do not): name it in sample.gpu",
                     c->file, n, WEFT_GPU_THREADS);
}

static weft_status set_sizes(weft_setup *s)
{
    const weft_config *c = s->config;
    const weft_net_info *vae =
        s->models.vae >= 0 ? &s->models.file[s->models.vae].info : NULL;
    const int scale = vae ? vae->stride : 1;
    const int stride = weft_models_stride(&s->models);
    const int rows = c->sample.height / scale;
    const int grain =
        c->parallel.grain ? c->parallel.grain : grain_of(rows, stride);
    weft_plan *p = &s->plan;

    WEFT_TRY(
        check_multiple(s, "sample.width", c->sample.width, scale * stride));
    WEFT_TRY(
        check_multiple(s, "sample.height", c->sample.height, scale * stride));
    if (grain % stride)
        return weft_fail(WEFT_EINPUT,
                         "%s: parallel.grain %d is not a multiple of the "
                         "model's total stride %d",
                         c->file, grain, stride);
    p->width = c->sample.width;
    p->height = c->sample.height;
    p->rows = rows;
    p->columns = p->width / scale;
    p->channels = s->models.channels;
    p->row_scale = scale;
    p->unit = grain;
    p->strip = strip_of(p, stride);
    if (p->rows % grain)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d latent rows are not a multiple of "
                         "parallel.grain %d",
                         c->file, p->rows, grain);
    WEFT_TRY(check_gpu(s));
    s->picture_channels = vae ? vae->out_channels : s->models.channels;
    if (c->output.pictures && s->picture_channels != 1 &&
        s->picture_channels != 3)
        return weft_fail(WEFT_EINPUT,
                         "%s: output.image: %d channels are not a picture (a "
                         "vae is missing?)",
                         c->file, s->picture_channels);
    return WEFT_OK;
}

/* Where run.batch is auto: small images share passes over the weights. */
static int batch_most(const weft_setup *s)
{
    const long long pixels = (long long)s->plan.rows * s->plan.columns;
    const long long most = BATCH_PIXELS / pixels;

    return most < 1 ? 1 : most > BATCH_MOST ? BATCH_MOST : (int)most;
}

/* ---- the plan ------------------------------------------------------------ */

static weft_status read_schedule(weft_setup *s)
{
    const weft_config *c = s->config;
    weft_json *config = NULL, *inline_keys = NULL;
    weft_status st = WEFT_OK;

    if (c->schedule) st = weft_component_scheduler(c->schedule, &config);
    if (st == WEFT_OK && c->schedule_inline)
        st = weft_json_parse("schedule", c->schedule_inline,
                             strlen(c->schedule_inline), &inline_keys);
    if (st == WEFT_OK)
        st = weft_noise_schedule_read(config, inline_keys, c->sample.solver,
                                      &s->schedule);
    weft_json_free(config);
    weft_json_free(inline_keys);
    return st;
}

static weft_status build_nets(weft_setup *s)
{
    const weft_plan *p = &s->plan;
    const int scale = p->row_scale;
    const weft_cell latent = {p->unit, p->strip, p->columns};
    const weft_cell picture = {p->unit * scale, p->strip * scale,
                               p->columns * scale};

    for (int i = 0; i < s->models.nfiles; i++) {
        weft_netfile *f = &s->models.file[i];

        if (i == s->models.encoder)
            WEFT_TRY(weft_netfile_build(f, WEFT_PART_ENCODE, picture, false));
        else if (f->info.kind == WEFT_NET_CONTROL)
            WEFT_TRY(weft_netfile_build(f, WEFT_PART_SIGHT, picture, false));
        else
            WEFT_TRY(weft_netfile_build(
                f, i == s->models.vae ? WEFT_PART_DECODE : WEFT_PART_NET,
                latent, weft_models_has_kin(&s->models, i)));
        WEFT_TRY(weft_cost_check(&f->graph, &s->machine.cluster));
    }
    weft_models_join(&s->models);
    return WEFT_OK;
}

/* The state that a batch in flight keeps: x, the solver's buffers, and of each
 * leaf the prediction as it is made, sent and put together. */
static size_t state_per_row(const weft_setup *s)
{
    const weft_batch one = {
        .rows = 1, .n = 1, .w = s->plan.columns, .c = s->plan.channels};
    size_t batches = s->config->sample.image.path ? 3 + s->models.paints : 1;

    for (int i = 0; i < s->method.nleaves; i++)
        batches += s->method.leaf[i].condition == WEFT_BOTH ? 6 : 3;
    for (int i = 0; i < s->method.nasked; i++)
        if (s->method.asked[i].half == WEFT_COND_HALF)
            batches += 4;
        else if (s->method.asked[i].guided)
            batches += s->method.asked[i].against < 0 ? 4 : 1;
    return sizeof(float) * (weft_solver_buffer_floats(s->solver, &one) +
                            batches * weft_batch_floats(&one));
}

static void set_output(weft_setup *s)
{
    weft_plan *p = &s->plan;

    if (s->config->output.pictures)
        p->picture_pixel_bytes = (size_t)s->picture_channels;
    if (s->config->output.states)
        p->latent_pixel_bytes = (size_t)p->channels * sizeof(float);
}

static void set_readers(weft_setup *s)
{
    s->plan.reader = s->reader;
    s->plan.nreaders = s->prompts.readers;
    s->plan.readers_stay = s->config->sample.worded;
    for (int i = 0; i < s->prompts.readers; i++) {
        const weft_reader *r = &s->prompts.reader[i];

        s->reader[i] =
            (weft_plan_reader){.name = r->encoder,
                               .file_bytes = r->file_bytes,
                               .weight_bytes = r->layout.weight_bytes,
                               .block_bytes = r->layout.bytes,
                               .scratch_bytes = r->layout.scratch};
    }
}

/* Lines of so many ranks side by side take turns as single ranks do. */
static weft_status set_shape(weft_setup *s, int ranks, const double *speed)
{
    const weft_config *c = s->config;
    const int across = c->parallel.patches.across;
    weft_plan *p = &s->plan;

    p->ranks = ranks;
    p->across = across > 1 ? across : 1;
    p->weights = c->parallel.weights;
    p->nweights = c->parallel.nweights;
    p->speed = c->parallel.measured ? speed : NULL;
    if (ranks % p->across)
        return weft_fail(WEFT_EINPUT,
                         "%s: parallel.patches: %d ranks are not a multiple of "
                         "the %d side by side",
                         c->file, ranks, across);
    return WEFT_OK;
}

static void set_run(weft_setup *s, int threads)
{
    const weft_config *c = s->config;
    weft_plan *p = &s->plan;

    p->threads = threads;
    p->images = c->sample.images;
    p->steps = s->solver->steps - s->solver->first;
    p->kernels = s->dev->name;
    p->dev = s->dev;
    p->share = c->parallel.share;
    p->keep_steps = c->run.keep_steps;
    p->sched = WEFT_IN_STEP;
    if (c->parallel.async)
        p->sched = (weft_schedule){.warmup = c->parallel.warmup,
                                   .lag = c->parallel.lag,
                                   .moments = c->parallel.norm,
                                   .refresh = c->parallel.refresh,
                                   .drift = c->parallel.drift};
    p->sched.wire = c->parallel.wire;
    p->identity = weft_models_fingerprint(&s->method, &s->models) ^
                  weft_prompts_fingerprint(&s->prompts) ^ s->picture;
    set_readers(s);
    set_output(s);
}

static weft_status check_drift(const weft_setup *s)
{
    const weft_plan *p = &s->plan;

    if (p->sched.drift <= 0) return WEFT_OK;
    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].sched.lag) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: parallel.drift needs several ranks on an image: "
                     "alone nothing is displaced",
                     s->config->file);
}

/* The rank that takes most, against what one may take. */
static weft_status check_memory(const weft_setup *s)
{
    const weft_config *c = s->config;
    const double gib = 1073741824.0;
    weft_plan_memory most = {0};

    if (c->run.memory <= 0) return WEFT_OK;
    for (int q = 0; q < weft_plan_group(&s->plan); q++) {
        const weft_plan_memory m =
            weft_plan_memory_of(&s->plan, q, s->machine.cluster.ranks_per_node);

        if (m.total > most.total) most = m;
    }
    if ((double)most.total <= c->run.memory * gib) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: run.memory: a rank may take %g GiB, and this plan "
                     "takes %.3f: weights %.3f, activations and scratch %.3f, "
                     "state and text %.3f, a text encoder before %.3f (more "
                     "ranks or roles of their own take less)",
                     c->file, c->run.memory, (double)most.total / gib,
                     (double)most.weights_share / gib,
                     (double)(most.activations + most.scratch) / gib,
                     (double)(most.state + most.past + most.held) / gib,
                     (double)most.reading / gib);
}

/* Patches can be smaller than those of an automatic grain. */
static weft_status advise_grain(const weft_setup *s, weft_status st)
{
    const weft_plan *p = &s->plan;
    const int stride = weft_models_stride(&s->models);

    if (st != WEFT_EINPUT || s->config->parallel.grain || p->unit == stride ||
        p->ranks <= p->rows / p->unit)
        return st;
    return weft_fail_within(st,
                            "parallel.grain auto is %d rows (%d makes more "
                            "patches)",
                            p->unit, stride);
}

static weft_status place_as(weft_setup *s, const weft_place_opts *o)
{
    weft_status st = weft_place(o, &s->plan);

    if (st == WEFT_OK) st = weft_plan_make(&s->plan);
    return st == WEFT_OK ? check_memory(s) : advise_grain(s, st);
}

static bool any_later(const weft_plan *p)
{
    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].phase == WEFT_PHASE_LATER) return true;
    return false;
}

/* Nets of other steps are loaded anew in each batch only where they do not fit
 * together, and then batch after batch. */
static weft_status place(weft_setup *s, const weft_place_opts *o)
{
    weft_plan *p = &s->plan;
    weft_place_opts one = *o;
    weft_status st;

    p->swaps = false;
    st = place_as(s, o);
    if (st != WEFT_EINPUT || !any_later(p) || o->flights > 1 ||
        p->grid.groups > 1)
        return st;
    one.flights = 1;
    p->swaps = true;
    weft_plan_release(p);
    WEFT_TRY(weft_roles_ask(s));
    return place_as(s, &one);
}

/* Everything that depends on what things cost, and on whether conditions are
 * kept apart. */
static weft_status lay_out(weft_setup *s, bool apart)
{
    const weft_config *c = s->config;
    const weft_place_opts o = {.roles = c->parallel.roles == WEFT_ROLES_AUTO,
                               .flights = c->parallel.flights,
                               .batch =
                                   c->parallel.drift > 0 ? 1 : c->run.batch,
                               .batch_most = batch_most(s)};

    weft_plan_release(&s->plan);
    s->plan.machine = &s->machine.cluster;
    s->plan.costs = weft_costs_name[s->machine.from];
    weft_roles_split(s, apart);
    WEFT_TRY(weft_method_list(&s->method));
    WEFT_TRY(weft_models_label(&s->method, &s->models));
    s->plan.group = c->parallel.patches.lines;
    WEFT_TRY(weft_roles_ask(s));
    s->plan.state_bytes_per_row = state_per_row(s);
    WEFT_TRY(place(s, &o));
    return check_drift(s);
}

/* With roles chosen for the user, conditions are kept apart only where that is
 * worth something, or else there is no plan: two roles have a use for twice the
 * ranks of one. */
static weft_status make_plan(weft_setup *s)
{
    const double worth = 0.98;
    const weft_status together = lay_out(s, false);
    const double most =
        together == WEFT_OK ? s->plan.forecast.seconds * worth : HUGE_VAL;

    if (s->config->parallel.roles != WEFT_ROLES_AUTO || s->plan.ranks == 1 ||
        !weft_method_guides(&s->method))
        return together;
    if (lay_out(s, true) == WEFT_OK && s->plan.forecast.seconds < most)
        return WEFT_OK;
    return lay_out(s, false);
}

static weft_status make(weft_setup *s, int ranks, int threads,
                        const double *speed)
{
    WEFT_TRY(weft_kernels_find(s->config, &s->dev));
    WEFT_TRY(weft_method_models(s->config, &s->method));
    WEFT_TRY(weft_models_open(&s->method, &s->models));
    WEFT_TRY(weft_method_list(&s->method));
    WEFT_TRY(weft_prompts_open(&s->method, s->dev, &s->models, &s->prompts));
    WEFT_TRY(weft_kinship_check(&s->method));
    WEFT_TRY(set_sizes(s));
    WEFT_TRY(read_schedule(s));
    WEFT_TRY(weft_kinship_schedule(&s->method, &s->schedule));
    WEFT_TRY(weft_method_solver(&s->method, &s->schedule, &s->solver));
    WEFT_TRY(weft_picture_plan(s));
    WEFT_TRY(weft_control_plan(s));
    WEFT_TRY(build_nets(s));
    WEFT_TRY(set_shape(s, ranks, speed));
    set_run(s, threads);
    return make_plan(s);
}

weft_status weft_setup_status(weft_status found)
{
    return found == WEFT_EIO ? WEFT_EINPUT : found;
}

weft_status weft_setup_make(const weft_config *c, int ranks, int threads,
                            const double *speed, const weft_machine *machine,
                            weft_setup *s)
{
    weft_status st;

    memset(s, 0, sizeof *s);
    s->config = c;
    s->machine = *machine;
    st = make(s, ranks, threads, speed);
    if (st != WEFT_OK) weft_setup_release(s);
    return weft_setup_status(st);
}

weft_status weft_setup_again(weft_setup *s, const weft_machine *machine)
{
    s->machine = *machine;
    return weft_setup_status(make_plan(s));
}

void weft_setup_release(weft_setup *s)
{
    weft_plan_release(&s->plan);
    weft_solver_destroy(s->solver);
    weft_noise_schedule_release(&s->schedule);
    weft_prompts_close(&s->prompts);
    weft_models_close(&s->models);
    free(s->stage);
    memset(s, 0, sizeof *s);
}
