/*
 * setup.h - from a config to a plan.
 *
 * *Local.* Everything that can be decided without other ranks and without
 * reading weights: nets, schedule, solver, sizes, grid, memory, messages. All
 * commands begin with it; `weft plan` ends with it.
 */
#ifndef WEFT_LAUNCH_SETUP_H
#define WEFT_LAUNCH_SETUP_H

#include "core/solve/solver.h"
#include "launch/config.h"
#include "launch/netfile.h"
#include "partition/plan.h"

typedef struct weft_setup {
    const weft_config *config; /* borrowed */
    const weft_device *dev;
    weft_netfile net, vae;
    bool has_vae;
    weft_noise_schedule schedule;
    weft_solver *solver;
    weft_plan plan;
    int picture_channels;
    bool guided;         /* two conditions an evaluation */
    bool joint;          /* ... in one batch */
    weft_schedule sched; /* of the nets that sample */
    int lanes;           /* of each model: the solver's where displaced */
    float label, null_label;
    bool labelled;
    int denoise, decode; /* indices into plan.net; decode -1 without a VAE */
} weft_setup;

/* What is found bad in a file before the first step is the user's to mend,
 * whatever the reason: WEFT_EIO becomes WEFT_EINPUT. */
weft_status weft_setup_status(weft_status found);

/* `threads`: of each rank. On failure nothing is left to release. */
weft_status weft_setup_make(const weft_config *c, int ranks, int threads,
                            weft_setup *s);
void weft_setup_release(weft_setup *s);

#endif
