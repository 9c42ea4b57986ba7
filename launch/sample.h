/*
 * sample.h - batches of images, from noise to files.
 */
#ifndef WEFT_LAUNCH_SAMPLE_H
#define WEFT_LAUNCH_SAMPLE_H

#include "launch/flight.h"
#include "launch/progress.h"
#include "launch/share.h"
#include "mpi/stream.h"

/* What a run measures as it goes; rank by rank. */
typedef struct weft_tally {
    double first_eval;       /* clock at the start of the first evaluation; 0 */
    double sampling, decode; /* seconds */
    uint64_t evaluations;    /* network passes of real images */
    uint64_t steps;          /* of real images */
    weft_traffic output;
} weft_tally;

/* What the batches of images need beside the job: made once, used for all. */
typedef struct weft_sampler {
    weft_job *job;
    weft_flight flight[WEFT_FLIGHTS];
    bool flying[WEFT_FLIGHTS]; /* a batch is in it that has begun */
    int nflights;
    weft_pipeline order;
    weft_redistribute **latents; /* [batch], from the lead's rows to those who
                                    decode: nobody waits until an image of the
                                    batch is taken */
    float *given, *taken;        /* [batch] images, and one */
    weft_redistribute *pace;     /* of turns, to ranks that keep no state */
    char beat;                   /* what it says: nothing */
    int *ahead;                  /* [batch], images that come next; owned */
    weft_tally tally;
} weft_sampler;

/* Collective over the job: loads the models. */
weft_status weft_sampler_create(weft_job *j, weft_sampler *s);
/* Local. */
void weft_sampler_release(weft_sampler *s);

/* What is to be done with a batch whose latents are complete; `began`: when it
 * entered. */
typedef weft_status weft_arrive(void *arg, const weft_flight *f, double began);
/* Before turn `turn`, `steps` after the beginning, all batches together; *stop:
 * it is not taken, nor any after it. INT_MAX: there are no more. */
typedef weft_status weft_pause(void *arg, int turn, int steps, bool *stop);

/* What all turns are taken for; NULL: nothing. */
typedef struct weft_voyage {
    const weft_share *share; /* must be there */
    weft_progress *progress;
    weft_arrive *arrive;
    weft_pause *pause;
    void *arg; /* of both */
} weft_voyage;

/* Collective over the group: all turns of the batches of `share`, in the order
 * of the plan. A failure is this rank's own: its peers may be waiting. */
weft_status weft_sampler_run(weft_sampler *s, const weft_voyage *v);

/* The steps that a voyage has before it, all batches together. */
int weft_sampler_steps(const weft_sampler *s, const weft_share *w);

/* Collective over the group, in a pause: all batches in flight take the answers
 * that are on their way, so that nothing is but between two stages. */
weft_status weft_sampler_settle(weft_sampler *s);
/* Local: the plan's stage that comes next for the batch in a flight. */
int weft_sampler_next(const weft_sampler *s, int flight);

/* Collective over the group: my rows of the picture of image `slot` of the
 * batch, [rows][width][channels] in [-1, 1], valid until the next evaluation;
 * NULL where my rank does not decode. The decoder must be loaded. */
weft_status weft_sampler_decode(weft_sampler *s, const weft_flight *f, int slot,
                                const float **picture);

/* Where an image goes: rows in order, on the rank that writes. NULL: such rows
 * are not wanted. A failure is that rank's own, once all rows have come. */
typedef struct weft_sink {
    weft_take_rows *picture; /* [rows][width][channels] bytes */
    weft_take_rows *latents; /* [rows][columns][channels] floats */
    void *arg;
} weft_sink;

/* Local. Whether this rank gets the rows of pictures, and those of latents. */
bool weft_sampler_gets_picture(const weft_job *j);
bool weft_sampler_gets_latents(const weft_job *j);

/* Collective over the group: decode image `slot` of the batch and hand it over.
 * *finite: whether my rows of it are numbers, picture and latents; may be NULL.
 */
weft_status weft_sampler_give(weft_sampler *s, const weft_flight *f, int slot,
                              const weft_sink *sink, bool *finite);

/* Collective over the group: decode and write image `slot` of the batch. */
weft_status weft_sampler_write(weft_sampler *s, const weft_flight *f, int slot);

/* Local. Role 0 leads: its rows are the ones that are written and decoded. My
 * part of them in a plane of a flight's state (x, or a buffer); or NULL. */
const float *weft_sampler_lead(const weft_sampler *s, const float *plane);

/* Collective over the group, in a pause: all that is in flight, settled, to
 * `path`. `head` counts on the rank that writes. */
weft_status weft_sampler_keep(weft_sampler *s, const char *path,
                              const weft_checkpoint_head *head);

#endif
