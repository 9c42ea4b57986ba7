/*
 * Decoding and writing: every patch decodes its own rows, and they go to the
 * group's writer from the top down. Nobody holds the whole picture.
 */
#include "launch/sample.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/finite.h"
#include "core/io/png.h"
#include "core/model/safetensors.h"
#include "mpi/stream.h"
#include "mpi/watch.h"

/* Rows of one image on their way to the writer. */
typedef struct outgoing {
    weft_sampler *s;
    const weft_job_role *role; /* whose ranks have it, by its cut */
    const float *rows;         /* mine: [rows][n][columns][c] */
    int n, columns, c, sample; /* of `rows`; which of the n */
    bool finite;               /* what was handed out so far */
} outgoing;

/* The files of one image; on the rank that writes. */
typedef struct files {
    weft_sampler *s;
    int image; /* of the list of seeds */
    weft_png *png;
    unsigned char most; /* brightest byte so far */
    weft_st_writer *latents;
    float *plane; /* one piece, [c][rows][columns] */
} files;

/* ---- pictures ------------------------------------------------------------ */

/* clamp(x / 2 + 1/2) * 255, to nearest even; 0 for what is not a number. By
 * comparisons, for fminf and fmaxf are calls here, and took four times as
 * long. */
static unsigned char pixel(float x)
{
    const float v = x * 0.5f + 0.5f;
    const float low = v > 0.0f ? v : 0.0f;

    return (unsigned char)lrintf((low < 1.0f ? low : 1.0f) * 255.0f);
}

/* My row y of the image. */
static const float *row_at(const outgoing *o, int y)
{
    return o->rows + ((size_t)y * (size_t)o->n + (size_t)o->sample) *
                         (size_t)o->columns * (size_t)o->c;
}

static void give_pixels(void *arg, int row, int rows, void *out, size_t stride)
{
    outgoing *o = arg;
    const size_t line = (size_t)o->columns * (size_t)o->c;
    unsigned char *to = out;

    for (int y = row; y < row + rows; y++, to += stride) {
        for (size_t i = 0; i < line; i++) to[i] = pixel(row_at(o, y)[i]);
        o->finite &= weft_all_finite(row_at(o, y), line);
    }
}

static weft_status take_pixels(void *arg, int row, int rows, const void *data)
{
    files *f = arg;
    const weft_setup *s = &f->s->job->setup;
    const unsigned char *p = data;
    const size_t bytes =
        (size_t)rows * (size_t)s->plan.width * (size_t)s->picture_channels;

    (void)row;
    for (size_t i = 0; i < bytes; i++)
        if (p[i] > f->most) f->most = p[i];
    return weft_png_rows(f->png, data, rows);
}

/* ---- latents ------------------------------------------------------------- */

static void give_latents(void *arg, int row, int rows, void *out, size_t stride)
{
    outgoing *o = arg;
    const size_t line = (size_t)o->columns * (size_t)o->c;
    char *to = out;

    for (int y = row; y < row + rows; y++, to += stride) {
        memcpy(to, row_at(o, y), line * sizeof(float));
        o->finite &= weft_all_finite(row_at(o, y), line);
    }
}

/* [rows][w][c] to [c][rows][w], each plane at its place in the file. */
static weft_status take_latents(void *arg, int row, int rows, const void *data)
{
    files *f = arg;
    const weft_plan *p = &f->s->job->setup.plan;
    const size_t columns = (size_t)p->columns, c = (size_t)p->channels;
    const size_t pixels = (size_t)rows * columns;
    const float *from = data;

    for (size_t k = 0; k < c; k++) {
        const size_t at = (k * (size_t)p->rows + (size_t)row) * columns;

        for (size_t i = 0; i < pixels; i++) f->plane[i] = from[i * c + k];
        WEFT_TRY(weft_st_put(f->latents, 0, at * sizeof(float), f->plane,
                             pixels * sizeof(float)));
    }
    return WEFT_OK;
}

/* ---- the stream ---------------------------------------------------------- */

static weft_status stream(outgoing *o, weft_cell cell, size_t pixel_bytes,
                          weft_give_rows *give, weft_take_rows *take, void *arg)
{
    weft_stream s = {.patches = o->role->ranks,
                     .cut = &o->role->cut,
                     .cell = cell,
                     .pixel_bytes = pixel_bytes,
                     .piece = WEFT_STREAM_PIECE,
                     .give = give,
                     .give_arg = o,
                     .take = take,
                     .take_arg = arg,
                     .traffic = &o->s->tally.output};
    weft_status st;

    s.buffer = malloc(2 * (size_t)s.piece * (size_t)cell.width * pixel_bytes);
    if (!s.buffer)
        return weft_fail(WEFT_ENOMEM, "out of memory for rows to write");
    st = weft_stream_run(&s);
    free(s.buffer);
    return st;
}

/* ---- decoding ------------------------------------------------------------ */

/* My columns of the latent. */
static int columns_of(const weft_job *j)
{
    return weft_plan_latent(&j->setup.plan, j->rank).columns;
}

/* Role 0 leads: its rows are the ones that are written and decoded. */
const float *weft_sampler_lead(const weft_sampler *s, const float *plane)
{
    const weft_job *j = s->job;
    const weft_plan *p = &j->setup.plan;
    const weft_span mine = weft_roles_span(&p->roles, 0, j->line);
    const size_t row =
        (size_t)p->batch * (size_t)columns_of(j) * (size_t)p->channels;

    if (!weft_span_units(mine)) return NULL;
    return plane + (size_t)(mine.from - j->state.from) * (size_t)p->unit * row;
}

/* The lead's rows here. */
static size_t lead_rows(const weft_job *j)
{
    const weft_plan *p = &j->setup.plan;

    return (size_t)weft_span_units(weft_roles_span(&p->roles, 0, j->line)) *
           (size_t)p->unit;
}

/* Of one image's latents. */
static size_t given_floats(const weft_job *j)
{
    return lead_rows(j) * (size_t)columns_of(j) *
           (size_t)j->setup.plan.channels;
}

/* The rows of one image of the batch, side by side. */
static void pick(const weft_sampler *s, const weft_flight *f, int slot,
                 float *to)
{
    const weft_job *j = s->job;
    const weft_plan *p = &j->setup.plan;
    const size_t line = (size_t)columns_of(j) * (size_t)p->channels;
    const size_t rows = lead_rows(j);
    const float *from = weft_sampler_lead(s, f->x);

    for (size_t y = 0; y < rows; y++)
        memcpy(to + y * line,
               from + (y * (size_t)p->batch + (size_t)slot) * line,
               line * sizeof *to);
}

/* Floats of my part of a picture. */
static size_t pixels_of(const weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    const size_t scale = (size_t)p->row_scale;

    return (size_t)weft_cut_units(&j->role[p->vae].cut,
                                  j->role[p->vae].cut.me) *
           (size_t)p->unit * scale * (size_t)columns_of(j) * scale *
           (size_t)j->setup.picture_channels;
}

/* The decoder's graph reads and writes the job's block: no copy of the
 * picture. */
static weft_status evaluate(weft_job *j, const float *latents,
                            const float **picture)
{
    const weft_plan *p = &j->setup.plan;
    const weft_job_net *net = &j->net[j->setup.decode];
    const weft_graph *g = &net->file->graph;
    const size_t floats =
        (size_t)weft_cut_units(&j->role[p->vae].cut, j->role[p->vae].cut.me) *
        (size_t)p->unit * (size_t)columns_of(j) * (size_t)p->channels;
    weft_run run = weft_job_run(j, j->setup.decode);

    weft_status st;

    memcpy(weft_run_value(&run, g->input), latents, floats * sizeof *latents);
    st = weft_graph_eval(g, &run);
    *picture = weft_run_value(&run, g->output);
    if (st == WEFT_OK && !j->lenient &&
        !weft_all_finite(*picture, pixels_of(j)))
        st = weft_fail(WEFT_ENAN, "the picture is not a number");
    if (st != WEFT_ENAN) return st;
    return weft_fail_within(st,
                            "decoding with %s, whose weights are damaged, or "
                            "were made of larger ones by a conversion to F16 "
                            "(use those in float32)",
                            j->setup.models.path[j->setup.models.vae]);
}

weft_status weft_sampler_decode(weft_sampler *s, const weft_flight *f, int slot,
                                const float **picture)
{
    weft_job *j = s->job;
    const double start = weft_clock();

    *picture = NULL;
    WEFT_TRY(weft_redistribute_ready(s->latents[slot]));
    pick(s, f, slot, s->given + (size_t)slot * given_floats(j));
    WEFT_TRY(weft_redistribute_post(s->latents[slot]));
    WEFT_TRY(weft_redistribute_wait(s->latents[slot]));
    if (j->net[j->setup.decode].mine) WEFT_TRY(evaluate(j, s->taken, picture));
    s->tally.decode += weft_clock() - start;
    return WEFT_OK;
}

/* ---- handing over -------------------------------------------------------- */

bool weft_sampler_gets_picture(const weft_job *j)
{
    return j->role[j->setup.plan.vae >= 0 ? j->setup.plan.vae : 0].cut.me == 0;
}

bool weft_sampler_gets_latents(const weft_job *j)
{
    return j->role[j->setup.plan.gives_latents].cut.me == 0;
}

/* From the rows of role 0, or those that came to the decoder. */
static weft_status hand_out_latents(weft_sampler *s, const weft_sink *sink,
                                    outgoing *o)
{
    const weft_plan *p = &s->job->setup.plan;

    o->role = &s->job->role[p->gives_latents];
    if (!sink->latents || o->role->cut.me < 0) return WEFT_OK;
    return stream(o, weft_plan_latent_cell(p), p->latent_pixel_bytes,
                  give_latents, sink->latents, sink->arg);
}

static weft_status hand_out_picture(weft_sampler *s, const weft_sink *sink,
                                    outgoing *o)
{
    const weft_plan *p = &s->job->setup.plan;

    o->role = &s->job->role[p->vae >= 0 ? p->vae : 0];
    if (!sink->picture || o->role->cut.me < 0) return WEFT_OK;
    return stream(o, weft_plan_picture_cell(p), p->picture_pixel_bytes,
                  give_pixels, sink->picture, sink->arg);
}

weft_status weft_sampler_give(weft_sampler *s, const weft_flight *f, int slot,
                              const weft_sink *sink, bool *finite)
{
    const weft_plan *p = &s->job->setup.plan;
    const float *picture = NULL;
    outgoing o = {.s = s,
                  .rows = weft_sampler_lead(s, f->x),
                  .n = p->batch,
                  .columns = columns_of(s->job),
                  .c = p->channels,
                  .sample = slot,
                  .finite = true};

    weft_watch_at("writing an image", 0, 0);
    if (p->gives_latents != p->vae) WEFT_TRY(hand_out_latents(s, sink, &o));
    if (sink->picture && p->vae >= 0) {
        weft_watch_at("decoding", 0, 0);
        WEFT_TRY(weft_sampler_decode(s, f, slot, &picture));
        o.n = 1;
        o.sample = 0;
        o.rows = s->taken;
        if (p->gives_latents == p->vae) WEFT_TRY(hand_out_latents(s, sink, &o));
        o.columns *= p->row_scale;
        o.c = s->job->setup.picture_channels;
        o.rows = picture;
    }
    WEFT_TRY(hand_out_picture(s, sink, &o));
    if (finite) *finite = o.finite;
    return WEFT_OK;
}

/* ---- files --------------------------------------------------------------- */

static weft_status open_png(files *f)
{
    const weft_job *j = f->s->job;
    const weft_config *c = &j->config;
    char *path = NULL, *parameters = NULL, *identity = NULL;
    weft_status st = weft_config_fill(c, c->output.image, f->image, &path);

    if (st == WEFT_OK)
        st = weft_config_parameters(c, c->sample.seed[f->image], &parameters);
    if (st == WEFT_OK)
        st = weft_config_identity(c, c->sample.seed[f->image], &identity);
    if (st == WEFT_OK) {
        const weft_png_text text[] = {{"parameters", parameters},
                                      {"weft", identity}};

        st = weft_png_create(path, j->setup.plan.width, j->setup.plan.height,
                             j->setup.picture_channels, text, 2, &f->png);
    }
    free(path);
    free(parameters);
    free(identity);
    return st;
}

/* A picture without any light is a failure that nobody should find later. */
static weft_status close_png(files *f, weft_status st)
{
    weft_png *png = f->png;

    if (!png) return st;
    f->png = NULL;
    if (st == WEFT_OK && f->most == 0)
        st = weft_fail(
            WEFT_ENAN,
            "the image of seed %llu is all black and was not "
            "written",
            (unsigned long long)f->s->job->config.sample.seed[f->image]);
    if (st == WEFT_OK) return weft_png_finish(png);
    weft_png_abandon(png);
    return st;
}

static weft_status open_latents(files *f)
{
    const weft_job *j = f->s->job;
    const weft_plan *p = &j->setup.plan;
    const weft_st_entry entry = {
        .name = "latents",
        .dtype = "F32",
        .ndim = 4,
        .shape = {1, p->channels, p->rows, p->columns}};
    char *path;
    weft_status st;

    f->plane = malloc((size_t)WEFT_STREAM_PIECE * (size_t)p->columns *
                      sizeof *f->plane);
    if (!f->plane)
        return weft_fail(WEFT_ENOMEM, "out of memory for rows to write");
    WEFT_TRY(weft_config_fill(&j->config, j->config.output.latents, f->image,
                              &path));
    st = weft_st_create(path, &entry, 1, NULL, &f->latents);
    free(path);
    return st;
}

static weft_status close_latents(files *f, weft_status st)
{
    weft_st_writer *latents = f->latents;

    free(f->plane);
    f->plane = NULL;
    if (!latents) return st;
    f->latents = NULL;
    if (st == WEFT_OK) return weft_st_finish(latents);
    weft_st_abandon(latents);
    return st;
}

weft_status weft_sampler_write(weft_sampler *s, const weft_flight *f, int slot)
{
    const weft_plan *p = &s->job->setup.plan;
    files to = {.s = s, .image = f->image[slot]};
    const weft_sink sink = {
        .picture = p->picture_pixel_bytes ? take_pixels : NULL,
        .latents = p->latent_pixel_bytes ? take_latents : NULL,
        .arg = &to};
    weft_status st = WEFT_OK;

    if (sink.latents && weft_sampler_gets_latents(s->job))
        st = open_latents(&to);
    if (st == WEFT_OK && sink.picture && weft_sampler_gets_picture(s->job))
        st = open_png(&to);
    if (st == WEFT_OK) st = weft_sampler_give(s, f, slot, &sink, NULL);
    st = close_latents(&to, st);
    return close_png(&to, st);
}
