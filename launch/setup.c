#include "launch/setup.h"

#include <string.h>

enum { BATCH_PIXELS = 4096, BATCH_MOST = 8 };

/* Columns of a strip at the net's coarsest level, at least: the tiles of
 * minimal filtering are that wide, so that no cut divides one. And strips to
 * the shorter side of the image, at most: group norm keeps a record for each.
 */
enum { STRIP_COLUMNS = 4, STRIPS = 4 };

/* ---- models -------------------------------------------------------------- */

static const weft_config_model *model_of(const weft_config *c)
{
    for (int i = 0; i < c->nmodels; i++)
        if (!strcmp(c->sample.model, c->model[i].name)) return &c->model[i];
    WEFT_BUG("a config without the model that samples");
}

static weft_status open_nets(weft_setup *s)
{
    const weft_config *c = s->config;
    const weft_config_model *model = model_of(c);

    WEFT_TRY(weft_netfile_open(model->path, &s->net));
    if (s->net.info.kind != WEFT_NET_UNET2D)
        return weft_fail(WEFT_EINPUT, "%s: a %s is not a model that samples",
                         model->path, s->net.info.class_name);
    if (s->net.info.in_channels != s->net.info.out_channels)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d channels in, %d out: not a prediction of its "
                         "own input",
                         model->path, s->net.info.in_channels,
                         s->net.info.out_channels);
    if (!c->vae) return WEFT_OK;
    s->has_vae = true;
    WEFT_TRY(weft_netfile_open(c->vae, &s->vae));
    if (s->vae.info.kind == WEFT_NET_UNET2D)
        return weft_fail(WEFT_EINPUT, "%s: a %s is not an autoencoder", c->vae,
                         s->vae.info.class_name);
    if (s->vae.info.latent_channels != s->net.info.in_channels)
        return weft_fail(WEFT_EINPUT,
                         "the model has %d latent channels, the vae %d",
                         s->net.info.in_channels, s->vae.info.latent_channels);
    return WEFT_OK;
}

/* ---- conditions ---------------------------------------------------------- */

static weft_status check_label(const weft_setup *s, const char *key, int label)
{
    const weft_net_info *info = &s->net.info;

    if (info->label_is_time || (label >= 0 && label < info->labels))
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: %s %d is out of range: the model has labels 0 to %d",
                     s->config->file, key, label, info->labels - 1);
}

static weft_status set_null_label(weft_setup *s)
{
    const weft_config *c = s->config;
    const weft_net_info *info = &s->net.info;
    int null_label = c->sample.null_label;

    if (!c->sample.has_null_label) {
        if (info->label_is_time)
            return weft_fail(WEFT_EINPUT,
                             "%s: guidance needs sample.null_label: labels of "
                             "this model are times, so there is no last one",
                             c->file);
        null_label = info->labels - 1;
    }
    s->null_label = (float)null_label;
    return check_label(s, "sample.null_label", null_label);
}

static weft_status set_conditions(weft_setup *s)
{
    const weft_config *c = s->config;

    s->labelled = s->net.info.labels > 0 || s->net.info.label_is_time;
    s->guided = c->sample.guidance != 1;
    if (s->labelled && !c->sample.has_label)
        return weft_fail(WEFT_EINPUT,
                         "%s: the model is conditional: give sample.label",
                         c->file);
    if (!s->labelled && c->sample.has_label)
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.label: the model takes no labels",
                         c->file);
    if (!s->labelled && s->guided)
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.guidance %g needs a condition, and the "
                         "model has none",
                         c->file, c->sample.guidance);
    if (!s->labelled) return WEFT_OK;
    s->label = (float)c->sample.label;
    WEFT_TRY(check_label(s, "sample.label", c->sample.label));
    return s->guided ? set_null_label(s) : WEFT_OK;
}

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

static weft_status set_sizes(weft_setup *s)
{
    const weft_config *c = s->config;
    const int scale = s->has_vae ? s->vae.info.stride : 1;
    const int stride = s->net.info.stride;
    const int grain = c->parallel.grain ? c->parallel.grain : stride;
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
    p->rows = p->height / scale;
    p->columns = p->width / scale;
    p->channels = s->net.info.in_channels;
    p->row_scale = scale;
    p->unit = grain;
    p->strip = strip_of(p, stride);
    if (p->rows % grain)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d latent rows are not a multiple of "
                         "parallel.grain %d",
                         c->file, p->rows, grain);
    s->picture_channels =
        s->has_vae ? s->vae.info.out_channels : s->net.info.out_channels;
    if (c->output.image && s->picture_channels != 1 && s->picture_channels != 3)
        return weft_fail(WEFT_EINPUT,
                         "%s: output.image: %d channels are not a picture (a "
                         "vae is missing?)",
                         c->file, s->picture_channels);
    return WEFT_OK;
}

/* Small images share passes over the weights; the batches are made equal, so
 * that little is computed twice to fill the last one. */
static int batch_of(const weft_setup *s, int images)
{
    const weft_config *c = s->config;
    const long long pixels = (long long)s->plan.rows * s->plan.columns;
    long long most = c->run.batch ? c->run.batch : BATCH_PIXELS / pixels;
    long long batches;

    if (!c->run.batch && most > BATCH_MOST) most = BATCH_MOST;
    if (most < 1) most = 1;
    if (most > images) most = images;
    batches = (images + most - 1) / most;
    return (int)((images + batches - 1) / batches);
}

/* ---- the plan ------------------------------------------------------------ */

static weft_status make_solver(weft_setup *s)
{
    const weft_config *c = s->config;
    const weft_solver_opts o = {.kind = c->sample.solver,
                                .steps = c->sample.steps,
                                .eta = c->sample.eta,
                                .nodes = c->sample.nodes,
                                .sigmas = c->sample.sigmas,
                                .nnodes = c->sample.nnodes};
    weft_json *config = NULL, *inline_keys = NULL;
    char path[4096];
    weft_status st = WEFT_OK;

    if (c->schedule) {
        snprintf(path, sizeof path, "%s/scheduler_config.json", c->schedule);
        st = weft_json_read(path, &config);
    }
    if (st == WEFT_OK && c->schedule_inline)
        st = weft_json_parse("schedule", c->schedule_inline,
                             strlen(c->schedule_inline), &inline_keys);
    if (st == WEFT_OK)
        st = weft_noise_schedule_read(config, inline_keys, c->sample.solver,
                                      &s->schedule);
    weft_json_free(config);
    weft_json_free(inline_keys);
    WEFT_TRY(st);
    return weft_solver_create(&o, &s->schedule, &s->solver);
}

static void add_net(weft_setup *s, const char *role, weft_netfile *f, int n,
                    int evaluations, bool each_image)
{
    s->plan.net[s->plan.nnets++] = (weft_plan_net){.role = role,
                                                   .graph = &f->graph,
                                                   .n = n,
                                                   .evaluations = evaluations,
                                                   .each_image = each_image,
                                                   .file_bytes = f->file_bytes};
}

static int passes(const weft_solver *solver)
{
    int sum = 0;

    for (int i = 0; i < solver->steps; i++)
        sum += weft_solver_passes(solver, i);
    return sum;
}

/* One exchange for each kind of question, where it has a past; there is nobody
 * to lag behind on a patch of its own. */
static weft_status set_lanes(weft_setup *s, const weft_grid *grid)
{
    const weft_config *c = s->config;
    const int models = s->guided && !s->joint ? 2 : 1;

    s->lanes = 1;
    s->sched = WEFT_IN_STEP;
    if (!c->parallel.async || grid->patches == 1) return WEFT_OK;
    s->sched = (weft_schedule){.warmup = c->parallel.warmup,
                               .lag = c->parallel.lag,
                               .moments = c->parallel.norm};
    s->lanes = weft_solver_lanes(s->solver);
    if (models * s->lanes <= WEFT_PLAN_LANES) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: %d kinds of questions; parallel.exchange: async "
                     "keeps apart %d at most",
                     c->file, models * s->lanes, WEFT_PLAN_LANES);
}

/* The evaluations of each lane of the net that samples. */
static void plan_lanes(weft_setup *s, weft_plan_net *net)
{
    const int models = s->guided && !s->joint ? 2 : 1;

    net->sched = s->sched;
    if (!s->sched.lag) return;
    net->lanes = models * s->lanes;
    for (int i = 0; i < s->solver->steps; i++)
        for (int k = 0; k < weft_solver_stages(s->solver, i); k++)
            for (int m = 0; m < models; m++)
                net->in_lane[m * s->lanes +
                             weft_solver_lane(s->solver, i, k)]++;
}

/* The state that a batch keeps: x, the solver's buffers, guidance's. */
static size_t state_per_row(const weft_setup *s)
{
    const weft_batch one = {
        .rows = 1, .n = 1, .w = s->plan.columns, .c = s->plan.channels};
    const size_t guide = s->guided ? (s->joint ? 4 : 2) : 0;

    return sizeof(float) * (weft_solver_buffer_floats(s->solver, &one) +
                            (1 + guide) * weft_batch_floats(&one));
}

static void set_output(weft_setup *s)
{
    weft_plan *p = &s->plan;

    if (s->config->output.image)
        p->picture_row_bytes = (size_t)p->width * (size_t)s->picture_channels;
    if (s->config->output.latents)
        p->latent_row_bytes =
            (size_t)p->columns * (size_t)p->channels * sizeof(float);
}

static weft_status make_plan(weft_setup *s, int ranks, int threads)
{
    const weft_config *c = s->config;
    weft_plan *p = &s->plan;
    weft_grid grid;

    WEFT_TRY(weft_grid_make(ranks, c->parallel.patches, p->rows / p->unit,
                            c->sample.nseeds, &grid));
    p->ranks = ranks;
    p->patches = c->parallel.patches;
    p->images = c->sample.nseeds;
    p->batch = batch_of(s, (p->images + grid.groups - 1) / grid.groups);
    p->steps = s->solver->steps;
    p->threads = threads;
    p->kernels = c->run.kernels;
    p->dev = s->dev;
    p->identity = s->net.fingerprint ^ (s->vae.fingerprint * 31);
    p->state_bytes_per_row = state_per_row(s);
    set_output(s);
    WEFT_TRY(set_lanes(s, &grid));
    s->denoise = p->nnets;
    add_net(s, "denoise", &s->net, s->joint ? 2 * p->batch : p->batch,
            passes(s->solver) * (s->guided && !s->joint ? 2 : 1), false);
    plan_lanes(s, &p->net[s->denoise]);
    s->decode = s->has_vae ? p->nnets : -1;
    if (s->decode >= 0)
        add_net(s, "decode", &s->vae, 1, c->output.image ? 1 : 0, true);
    return weft_plan_make(p);
}

static weft_status make(weft_setup *s, int ranks, int threads)
{
    weft_cell cell;

    WEFT_TRY(weft_device_find(s->config->run.kernels, NULL, &s->dev));
    WEFT_TRY(open_nets(s));
    WEFT_TRY(set_conditions(s));
    WEFT_TRY(set_sizes(s));
    WEFT_TRY(make_solver(s));
    cell = (weft_cell){s->plan.unit, s->plan.strip, s->plan.columns};
    WEFT_TRY(weft_netfile_build(&s->net, WEFT_PART_NET, cell));
    if (s->has_vae)
        WEFT_TRY(weft_netfile_build(&s->vae, WEFT_PART_DECODE, cell));
    s->joint = s->guided;
    return make_plan(s, ranks, threads);
}

weft_status weft_setup_status(weft_status found)
{
    return found == WEFT_EIO ? WEFT_EINPUT : found;
}

weft_status weft_setup_make(const weft_config *c, int ranks, int threads,
                            weft_setup *s)
{
    weft_status st;

    memset(s, 0, sizeof *s);
    s->config = c;
    st = make(s, ranks, threads);
    if (st != WEFT_OK) weft_setup_release(s);
    return weft_setup_status(st);
}

void weft_setup_release(weft_setup *s)
{
    weft_plan_release(&s->plan);
    weft_solver_destroy(s->solver);
    weft_noise_schedule_release(&s->schedule);
    weft_netfile_close(&s->net);
    weft_netfile_close(&s->vae);
    memset(s, 0, sizeof *s);
}
