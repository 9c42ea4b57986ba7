#include "launch/picture.h"

#include <stdlib.h>
#include <string.h>

#include "core/solve/repaint.h"
#include "launch/pixels.h"
#include "mpi/watch.h"

/* ---- plan ---------------------------------------------------------------- */

/* Draws of an image's noise before its steps (core/solve/repaint.h). */
static uint32_t draws_before(const weft_setup *s)
{
    const weft_config *c = s->config;
    const bool masked = c->sample.mask.path != NULL;
    const bool unseen = s->models.paints && masked && c->sample.strength == 1;
    const bool drawn =
        s->models.vae >= 0 &&
        s->models.file[s->models.vae].info.kind == WEFT_NET_VAE_KL;

    return 1 + (drawn ? (uint32_t)!unseen + (uint32_t)masked : 0);
}

static weft_status check_paints(const weft_setup *s)
{
    const weft_config *c = s->config;

    if (!s->models.paints || c->sample.mask.path) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: the model %s is made for inpainting: give "
                     "sample.image and sample.mask",
                     c->file, c->model[s->method.model[0]].name);
}

weft_status weft_picture_plan(weft_setup *s)
{
    const weft_config *c = s->config;
    weft_status st;
    int first;

    WEFT_TRY(check_paints(s));
    if (!c->sample.image.path) return WEFT_OK;
    if (s->solver->models)
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.image: superposed samples begin with "
                         "noise alone",
                         c->file);
    if (s->picture_channels != 1 && s->picture_channels != 3)
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.image: a picture has 1 or 3 channels, the "
                         "sample %d (a vae is missing?)",
                         c->file, s->picture_channels);
    WEFT_TRY(weft_pixels_check(c, c->sample.image.path, &s->picture));
    if (c->sample.mask.path)
        WEFT_TRY(weft_pixels_check(c, c->sample.mask.path, &s->picture));
    st = weft_repaint_first(s->solver->steps, c->sample.strength, &first);
    if (st != WEFT_OK) return weft_fail_within(st, "%s: sample", c->file);
    weft_solver_begin(s->solver, first, draws_before(s));
    if (!s->solver->handover || first < s->solver->handover) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: sample.strength %g begins in the steps of the "
                     "refiner, and leaves the model %s none: make the refiner "
                     "sample.model, or strength larger",
                     c->file, c->sample.strength, c->sample.model);
}

/* ---- pixels -------------------------------------------------------------- */

/* Luma as ITU-R 601 has it, in integers as PIL does. */
static unsigned char grey_of(const weft_pixels *p, size_t pixel)
{
    const unsigned char *c = p->at + pixel * (size_t)p->channels;

    if (p->channels == 1) return c[0];
    return (
        unsigned char)((c[0] * 19595 + c[1] * 38470 + c[2] * 7471 + 0x8000) >>
                       16);
}

/* Pixels that the mask lets change become grey, which is 0 in [-1, 1]. */
static void blank(const weft_pixels *mask, const weft_rect *r, int channels,
                  float *to)
{
    for (int y = r->row; y < r->row + r->rows; y++)
        for (int x = r->column; x < r->column + r->columns; x++) {
            const size_t pixel = (size_t)y * (size_t)mask->width + (size_t)x;
            const bool changes = grey_of(mask, pixel) >= 128;

            for (int k = 0; k < channels; k++, to++)
                if (changes) *to = 0;
        }
}

static weft_status make_mask(const weft_job *j, const weft_pixels *p,
                             float *mask)
{
    const weft_rect mine = weft_plan_latent(&j->setup.plan, j->rank);
    const int scale = j->setup.plan.row_scale;
    const size_t width = (size_t)p->width;
    unsigned char *row = malloc(width);

    if (!row) return weft_fail(WEFT_ENOMEM, "out of memory for a mask");
    for (int y = 0; y < mine.rows; y++, mask += mine.columns) {
        for (size_t x = 0; x < width; x++)
            row[x] =
                grey_of(p, (size_t)(mine.row + y) * (size_t)scale * width + x);
        weft_repaint_mask(row + (size_t)mine.column * (size_t)scale, 1,
                          mine.columns, scale, mask);
    }
    free(row);
    return WEFT_OK;
}

/* ---- encoding ------------------------------------------------------------ */

/* `mask`: or NULL, where the picture is seen whole. */
static weft_status evaluate(weft_job *j, const weft_pixels *p,
                            const weft_pixels *mask, float *out)
{
    const int scale = j->setup.plan.row_scale;
    const weft_job_net *net = &j->net[j->setup.encode];
    const weft_graph *g = &net->file->graph;
    weft_run run = weft_job_run(j, j->setup.encode);
    weft_rect r =
        weft_plan_role_latent(&j->setup.plan, j->setup.plan.vae, j->rank);
    const size_t floats =
        (size_t)r.rows * (size_t)r.columns * (size_t)j->picture.channels;

    r = (weft_rect){.row = r.row * scale,
                    .rows = r.rows * scale,
                    .column = r.column * scale,
                    .columns = r.columns * scale};
    weft_pixels_take(p, &r, j->setup.picture_channels, 2, -1,
                     weft_run_value(&run, g->input));
    if (mask)
        blank(mask, &r, j->setup.picture_channels,
              weft_run_value(&run, g->input));
    WEFT_TRY(weft_graph_eval(g, &run));
    memcpy(out, weft_run_value(&run, g->output), floats * sizeof *out);
    return WEFT_OK;
}

/* Collective over the group: from those who encode to those who keep. */
static weft_status spread(weft_job *j, float *mine, weft_span *have, float *all)
{
    const weft_plan *p = &j->setup.plan;
    const weft_redistribute_spec spec = {
        .have = have,
        .want = p->roles.state,
        .unit_bytes = (size_t)p->unit *
                      (size_t)weft_plan_latent(p, j->rank).columns *
                      (size_t)j->picture.channels * sizeof(float),
        .class = WEFT_LATENTS,
        .what = "the picture's latents",
        .mine = mine,
        .all = all};
    weft_redistribute *r;
    weft_status st;

    for (int i = 0; i < p->grid.patches; i++)
        have[i] = weft_roles_span(&p->roles, p->vae, i);
    WEFT_TRY(weft_redistribute_create(j->crossroads, &spec, &r));
    st = weft_redistribute_post(r);
    if (st == WEFT_OK) st = weft_redistribute_wait(r);
    if (st == WEFT_OK) st = weft_redistribute_ready(r);
    weft_redistribute_destroy(r);
    return st;
}

static weft_status encode(weft_job *j, const weft_pixels *p,
                          const weft_pixels *mask, float *to)
{
    const weft_rect r =
        weft_plan_role_latent(&j->setup.plan, j->setup.plan.vae, j->rank);
    const size_t floats =
        (size_t)r.rows * (size_t)r.columns * (size_t)j->picture.channels;
    weft_span *have = calloc((size_t)j->setup.plan.grid.patches, sizeof *have);
    float *mine = malloc((floats + 1) * sizeof *mine);
    weft_status st = have && mine
                         ? WEFT_OK
                         : weft_fail(WEFT_ENOMEM, "out of memory for latents");

    st = weft_comm_agree(j->world, st);
    if (st == WEFT_OK && j->net[j->setup.encode].mine)
        st = evaluate(j, p, mask, mine);
    if (st == WEFT_OK) st = spread(j, mine, have, to);
    free(mine);
    free(have);
    return st;
}

/* ---- all of it ----------------------------------------------------------- */

/* Channels of what is kept: an AutoencoderKL's are means and log-variances. */
static int channels_of(const weft_setup *s)
{
    if (s->encode < 0) return s->plan.channels;
    return weft_graph_at(s->plan.net[s->encode].graph,
                         s->plan.net[s->encode].graph->output)
        ->c;
}

static weft_status make_room(const weft_job *j, size_t area, weft_picture *p)
{
    const bool masked = j->config.sample.mask.path != NULL;
    const size_t bytes = (area * (size_t)p->channels + 1) * sizeof(float);

    p->encoded = malloc(bytes);
    p->mask = masked ? malloc((area + 1) * sizeof(float)) : NULL;
    p->masked = j->setup.models.paints ? malloc(bytes) : NULL;
    if (p->encoded && (p->mask || !masked) &&
        (p->masked || !j->setup.models.paints))
        return WEFT_OK;
    return weft_fail(WEFT_ENOMEM, "out of memory for a picture");
}

/* Without an autoencoder the pixels are what samplers know. */
static void take_pixels(weft_job *j, const weft_pixels *image,
                        const weft_pixels *mask)
{
    const weft_rect mine = weft_plan_latent(&j->setup.plan, j->rank);
    weft_picture *p = &j->picture;

    weft_pixels_take(image, &mine, p->channels, 2, -1, p->encoded);
    if (!p->masked) return;
    weft_pixels_take(image, &mine, p->channels, 2, -1, p->masked);
    blank(mask, &mine, p->channels, p->masked);
}

static weft_status prepare(weft_job *j, weft_pixels *image, weft_pixels *mask)
{
    const weft_rect mine = weft_plan_latent(&j->setup.plan, j->rank);
    weft_picture *p = &j->picture;

    WEFT_TRY(weft_pixels_read(&j->config, j->config.sample.image.path, image));
    if (image->channels > j->setup.picture_channels)
        return weft_fail(WEFT_EINPUT, "%s: has colours, the sample has none",
                         j->config.sample.image.path);
    p->channels = channels_of(&j->setup);
    WEFT_TRY(make_room(j, (size_t)mine.rows * (size_t)mine.columns, p));
    WEFT_TRY(weft_pixels_read(&j->config, j->config.sample.mask.path, mask));
    if (p->mask) WEFT_TRY(make_mask(j, mask, p->mask));
    if (j->setup.encode < 0) take_pixels(j, image, mask);
    return WEFT_OK;
}

/* Collective over the job: the encoder is there no longer than it is needed. */
static weft_status encode_all(weft_job *j, const weft_pixels *image,
                              const weft_pixels *mask)
{
    const int encoder = j->setup.models.encoder;
    weft_picture *p = &j->picture;
    weft_status st = weft_job_load(j, encoder);

    if (st == WEFT_OK) st = encode(j, image, NULL, p->encoded);
    if (st == WEFT_OK && p->masked) st = encode(j, image, mask, p->masked);
    weft_job_unload(j, encoder);
    return st;
}

weft_status weft_picture_make(weft_job *j)
{
    weft_pixels image = {0}, mask = {0};
    weft_status st;

    if (!j->config.sample.image.path) return WEFT_OK;
    weft_watch_at("encoding the picture", 0, 0);
    st =
        weft_comm_agree(j->world, weft_setup_status(prepare(j, &image, &mask)));
    if (st == WEFT_OK && j->setup.encode >= 0)
        st = encode_all(j, &image, &mask);
    free(image.at);
    free(mask.at);
    return st;
}

void weft_picture_release(weft_picture *p)
{
    free(p->encoded);
    free(p->mask);
    free(p->masked);
    *p = (weft_picture){0};
}
