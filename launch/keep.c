/*
 * What is in flight, to a checkpoint: row by row to the group's writer, as
 * latents are written.
 */
#include <stdlib.h>
#include <string.h>

#include "launch/sample.h"
#include "mpi/stream.h"
#include "mpi/watch.h"

/* One plane of one image, on its way. */
typedef struct plane {
    const weft_sampler *s;
    const float *rows; /* mine, [rows][batch][columns][c] */
    size_t line;       /* floats of my columns */
    int slot;
    weft_checkpoint_writer *to; /* writer */
    int item, buffer;
} plane;

static void give(void *arg, int row, int rows, void *out, size_t stride)
{
    const plane *p = arg;
    const size_t batch = (size_t)p->s->job->setup.plan.batch;
    char *to = out;

    for (size_t y = (size_t)row; y < (size_t)(row + rows); y++, to += stride)
        memcpy(to, p->rows + (y * batch + (size_t)p->slot) * p->line,
               p->line * sizeof *p->rows);
}

static weft_status take(void *arg, int row, int rows, const void *data)
{
    const plane *p = arg;

    return weft_checkpoint_rows(p->to, p->item, p->buffer, row, rows, data);
}

/* ---- what there is ------------------------------------------------------- */

static weft_keep describe(const weft_sampler *s, int flight, int slot)
{
    const weft_flight *f = &s->flight[flight];
    const weft_stage *next =
        &s->job->setup.plan.stage[weft_sampler_next(s, flight)];

    return (weft_keep){
        .image = f->image[slot],
        .step = next->step,
        .stage = next->index,
        .draws = f->noise[slot].draw,
        .kept = weft_solver_keeps(f->solver, next->step, next->index),
        .models = f->solver->models,
        .density = f->solver->log_density + slot * f->solver->models};
}

/* All that is in flight, by image. */
typedef struct kept {
    weft_keep *item;
    struct {
        int flight, slot;
    } * at;
    int n;
} kept;

static void insert(kept *k, weft_keep item, int flight, int slot)
{
    int i = k->n++;

    for (; i > 0 && k->item[i - 1].image > item.image; i--) {
        k->item[i] = k->item[i - 1];
        k->at[i] = k->at[i - 1];
    }
    k->item[i] = item;
    k->at[i].flight = flight;
    k->at[i].slot = slot;
}

static weft_status list(const weft_sampler *s, kept *k)
{
    const size_t most =
        (size_t)s->nflights * (size_t)s->job->setup.plan.batch + 1;

    memset(k, 0, sizeof *k);
    k->item = calloc(most, sizeof *k->item);
    k->at = calloc(most, sizeof *k->at);
    if (!k->item || !k->at)
        return weft_fail(WEFT_ENOMEM, "out of memory for a checkpoint");
    for (int i = 0; i < s->nflights; i++)
        for (int slot = 0; s->flying[i] && slot < s->flight[i].n; slot++)
            insert(k, describe(s, i, slot), i, slot);
    return WEFT_OK;
}

/* ---- writing ------------------------------------------------------------- */

static weft_status stream_plane(weft_sampler *s, plane *p, void *room)
{
    const weft_job_role *lead = &s->job->role[0];
    const weft_plan *plan = &s->job->setup.plan;
    const weft_stream t = {.patches = lead->ranks,
                           .cut = &lead->cut,
                           .cell = weft_plan_latent_cell(plan),
                           .pixel_bytes =
                               (size_t)plan->channels * sizeof(float),
                           .piece = WEFT_STREAM_PIECE,
                           .give = give,
                           .give_arg = p,
                           .take = take,
                           .take_arg = p,
                           .buffer = room,
                           .traffic = &s->tally.output};

    return weft_stream_run(&t);
}

static weft_status stream_item(weft_sampler *s, const kept *k, int i,
                               weft_checkpoint_writer *to, void *room)
{
    const weft_plan *plan = &s->job->setup.plan;
    const weft_flight *f = &s->flight[k->at[i].flight];
    plane p = {.s = s,
               .line = (size_t)weft_plan_latent(plan, s->job->rank).columns *
                       (size_t)plan->channels,
               .slot = k->at[i].slot,
               .to = to,
               .item = i};

    for (p.buffer = -1; p.buffer < WEFT_KEPT; p.buffer++) {
        if (p.buffer >= 0 && !(k->item[i].kept & 1u << p.buffer)) continue;
        p.rows = weft_sampler_lead(
            s, p.buffer < 0 ? f->x : weft_solver_work(f->solver, p.buffer));
        WEFT_TRY(stream_plane(s, &p, room));
    }
    return WEFT_OK;
}

static weft_status stream_all(weft_sampler *s, const kept *k,
                              weft_checkpoint_writer *to)
{
    const weft_plan *p = &s->job->setup.plan;
    void *room = malloc(2 * (size_t)WEFT_STREAM_PIECE * (size_t)p->columns *
                        (size_t)p->channels * sizeof(float));
    weft_status st = WEFT_OK;

    if (!room) return weft_fail(WEFT_ENOMEM, "out of memory for a checkpoint");
    for (int i = 0; i < k->n && st == WEFT_OK; i++)
        st = stream_item(s, k, i, to, room);
    free(room);
    return st;
}

/* The rank that writes; others have no writer. */
static weft_status write_all(weft_sampler *s, const kept *k, const char *path,
                             const weft_checkpoint_head *head)
{
    const weft_plan *p = &s->job->setup.plan;
    weft_checkpoint_writer *to = NULL;
    weft_status st;

    if (s->job->role[0].cut.me != 0) return stream_all(s, k, NULL);
    WEFT_TRY(weft_checkpoint_create(path, head, k->item, k->n, p->rows,
                                    p->columns, p->channels, &to));
    st = stream_all(s, k, to);
    if (st == WEFT_OK) return weft_checkpoint_finish(to);
    weft_checkpoint_abandon(to);
    return st;
}

weft_status weft_sampler_keep(weft_sampler *s, const char *path,
                              const weft_checkpoint_head *head)
{
    weft_status st;
    kept k;

    if (s->job->role[0].cut.me < 0) return WEFT_OK;
    weft_watch_at("writing a checkpoint", 0, 0);
    st = list(s, &k);
    if (st == WEFT_OK) st = write_all(s, &k, path, head);
    free(k.item);
    free(k.at);
    return st;
}
