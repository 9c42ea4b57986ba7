/*
 * sample.h - batches of images, from noise to files.
 */
#ifndef WEFT_LAUNCH_SAMPLE_H
#define WEFT_LAUNCH_SAMPLE_H

#include "launch/job.h"
#include "launch/progress.h"

/* What a run measures as it goes; rank by rank. */
typedef struct weft_tally {
    double first_eval;       /* clock at the start of the first evaluation; 0 */
    double sampling, decode; /* seconds */
    uint64_t evaluations;    /* network passes of real images */
    weft_traffic output;
} weft_tally;

/* What a batch of images needs beside the job: made once, used for all. */
typedef struct weft_sampler {
    weft_job *job;
    weft_denoiser *model[WEFT_LANES], *guide; /* NULL: none */
    weft_denoiser *denoiser; /* one of these: what the solver asks */
    weft_noise *noise;       /* [batch] */
    float *state;            /* x, then the solver's buffers */
    float *x;                /* [rows][batch][columns][channels] */
    weft_field field;
    weft_tally tally;
} weft_sampler;

/* Collective over the job: loads the model. */
weft_status weft_sampler_create(weft_job *j, weft_sampler *s);
void weft_sampler_release(weft_sampler *s);

/* Collective over the group: images first .. first + n of the list of seeds,
 * n at most the batch, from noise to final latents in s->x. A failure is this
 * rank's own: its peers may be waiting. */
weft_status weft_sampler_run(weft_sampler *s, int first, int n,
                             weft_progress *progress, int steps_before);

/* Collective over the group: my rows of the picture of image `slot` of the
 * batch, [rows][width][channels] in [-1, 1], valid until the next evaluation.
 * The decoder must be loaded. */
weft_status weft_sampler_decode(weft_sampler *s, int slot,
                                const float **picture);

/* Collective over the group: decode and write image `slot` of the batch, which
 * is `image` of the list. */
weft_status weft_sampler_write(weft_sampler *s, int slot, int image);

#endif
