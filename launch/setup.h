/*
 * setup.h - from a config to a plan.
 *
 * *Local.* Everything that can be decided without other ranks and without
 * reading weights: nets, schedule, solver, sizes, grid, memory, messages. All
 * commands begin with it; `weft plan` ends with it.
 */
#ifndef WEFT_LAUNCH_SETUP_H
#define WEFT_LAUNCH_SETUP_H

#include "launch/machine.h"
#include "launch/models.h"
#include "launch/prompts.h"
#include "partition/plan.h"

enum { WEFT_ROLE_NAME = 80 };

typedef struct weft_setup {
    const weft_config *config; /* borrowed */
    const weft_device *dev;
    weft_method method;
    weft_models models;
    weft_prompts prompts;
    weft_noise_schedule schedule;
    weft_solver *solver; /* for the plan; each batch in flight has its own */
    char role_name[WEFT_ROLES][WEFT_ROLE_NAME];
    weft_stage *stage;                     /* of the plan */
    weft_plan_reader reader[WEFT_READERS]; /* likewise */
    weft_machine machine;
    weft_plan plan;
    /* leaves to the plan's nets; -1: analytic, evaluated by everybody on the
     * rows that they keep */
    int net_of[WEFT_LEAVES];
    int lane_of[WEFT_LEAVES][WEFT_PLAN_LANES]; /* ... and, by the solver's lane,
                                                  to the net's; -1: not asked */
    int sight[WEFT_LEAVES][WEFT_CONTROLS]; /* leaves' control nets, likewise:
                                              what sees their pictures */
    int decode;       /* of the plan's nets; -1 without a VAE */
    int encode;       /* likewise; -1 without sample.image, too */
    uint64_t picture; /* a hash of the files of sample.image and mask, and of
                         the control nets' pictures */
    int picture_channels;
} weft_setup;

/* What is found bad in a file before the first step is the user's to mend,
 * whatever the reason: WEFT_EIO becomes WEFT_EINPUT. */
weft_status weft_setup_status(weft_status found);

/* `threads`: of each rank. speed: [ranks], borrowed, as measured where
 * parallel.weights is auto; NULL: all alike. `machine` is copied. On failure
 * nothing is left to release. */
weft_status weft_setup_make(const weft_config *c, int ranks, int threads,
                            const double *speed, const weft_machine *machine,
                            weft_setup *s);
/* Plan anew, for a machine that is better known now. On failure *s is still to
 * be released. */
weft_status weft_setup_again(weft_setup *s, const weft_machine *machine);
void weft_setup_release(weft_setup *s);

#endif
