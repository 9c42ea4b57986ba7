/*
 * flight.h - one batch of images on its way from noise to latents.
 *
 * Several are under way at once; each has its own solver, noise and
 * predictions, and all share nets and lanes. A rank that keeps no state (it
 * only decodes) has an empty flight.
 */
#ifndef WEFT_LAUNCH_FLIGHT_H
#define WEFT_LAUNCH_FLIGHT_H

#include "launch/checkpoint.h"
#include "launch/job.h"

typedef struct weft_flight {
    weft_job *job;
    int slot; /* which of those in flight */
    weft_solver *solver;
    weft_noise *noise;      /* [batch] */
    float *state;           /* x, then the solver's buffers */
    float *x;               /* [rows][batch][columns][channels] */
    float *picture, *start; /* of sample.image: its latents, and the noise that
                               the start has; as x. NULL without */
    float *masked;          /* likewise, of the picture without what is under
                               the mask; NULL: nobody is told */
    weft_field field;
    weft_denoiser *model[WEFT_LEAVES]; /* where its role is mine */
    weft_denoiser *leaf[WEFT_LEAVES];
    float follow[WEFT_LEAVES][WEFT_CONTROLS]; /* control nets, in this step */
    float *label; /* [samples of a net], of the images at hand; owned */
    weft_exchange *lane[WEFT_LEAVES][WEFT_PLAN_LANES]; /* displaced only */
    weft_denoiser *guide[WEFT_ASKED]; /* NULL where a whole leaf is asked */
    weft_denoiser *asked[WEFT_ASKED]; /* the solver's; borrowed from above */
    weft_question question;           /* under way, if n > 0 */
    int step, stage;                  /* ... and whose it is */
    int *image;                       /* [batch], of the list of seeds; owned */
    int n; /* of them; at most the batch. The rest repeat the last */
} weft_flight;

/* Local: other weights are there now. Its nets know them, and are told. */
weft_status weft_flight_turn(weft_flight *f);

/* Local, but every rank of the group makes the same ones in the same order.
 * The models must be loaded. On failure to be released as well. */
weft_status weft_flight_create(weft_job *j, int slot, weft_flight *f);
void weft_flight_release(weft_flight *f);

/* A new image has no past: its lanes begin anew, where they are displaced.
 * *Collective* over the ranks of each role. */
weft_status weft_flight_restart(weft_flight *f);
/* Begin with these n images. A batch that is not full repeats its last one. */
weft_status weft_flight_enter(weft_flight *f, const int *image, int n);
/* Go on with them where they were kept, all before one stage: [n]. Displaced,
 * the lanes begin anew. *Collective* as restarting. */
weft_status weft_flight_resume(weft_flight *f, const int *image,
                               const weft_saved *const *from, int n);
/* Take the answers to the question under way, if any. A failure says in which
 * step. *Collective* over the group, as the next one. */
weft_status weft_flight_finish(weft_flight *f);
/* Ask and evaluate stage k of step i. */
weft_status weft_flight_begin(weft_flight *f, int i, int k);

/* Passes of nets so far, per sample and condition. */
uint64_t weft_flight_evaluations(const weft_flight *f);

#endif
