/*
 * sample.h - batches of images, from noise to files.
 */
#ifndef WEFT_LAUNCH_SAMPLE_H
#define WEFT_LAUNCH_SAMPLE_H

#include "launch/flight.h"
#include "launch/progress.h"

/* What a run measures as it goes; rank by rank. */
typedef struct weft_tally {
    double first_eval;       /* clock at the start of the first evaluation; 0 */
    double sampling, decode; /* seconds */
    uint64_t evaluations;    /* network passes of real images */
    weft_traffic output;
} weft_tally;

/* What the batches of images need beside the job: made once, used for all. */
typedef struct weft_sampler {
    weft_job *job;
    weft_flight flight[WEFT_FLIGHTS];
    int nflights;
    weft_pipeline order;
    weft_redistribute *latents; /* from the lead's rows to those who decode */
    float *given, *taken;       /* one image of each */
    weft_tally tally;
} weft_sampler;

/* Collective over the job: loads the models. */
weft_status weft_sampler_create(weft_job *j, weft_sampler *s);
void weft_sampler_release(weft_sampler *s);

/* What is to be done with a batch whose latents are complete; `began`: when it
 * entered. */
typedef weft_status weft_arrive(void *arg, const weft_flight *f, double began);

/* Collective over the group: all turns of my group's first `batches` batches,
 * in the order of the plan. A failure is this rank's own: its peers may be
 * waiting. */
weft_status weft_sampler_run(weft_sampler *s, int batches,
                             weft_progress *progress, weft_arrive *arrive,
                             void *arg);

/* Collective over the group: my rows of the picture of image `slot` of the
 * batch, [rows][width][channels] in [-1, 1], valid until the next evaluation;
 * NULL where my rank does not decode. The decoder must be loaded. */
weft_status weft_sampler_decode(weft_sampler *s, const weft_flight *f, int slot,
                                const float **picture);

/* Collective over the group: decode and write image `slot` of the batch. */
weft_status weft_sampler_write(weft_sampler *s, const weft_flight *f, int slot);

#endif
