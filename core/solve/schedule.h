/*
 * schedule.h - noise schedules: which noise level each step is at.
 *
 * Reads diffusers' scheduler_config.json; keys that are missing take the
 * defaults of the diffusers class that the solver stands for; keys it does not
 * support with a value other than "off" are refused by name.
 */
#ifndef WEFT_CORE_SOLVE_SCHEDULE_H
#define WEFT_CORE_SOLVE_SCHEDULE_H

#include <stdbool.h>

#include "core/model/json.h"
#include "core/status.h"

typedef enum weft_solver_kind {
    WEFT_DDIM,      /* DDIMScheduler */
    WEFT_EULER,     /* EulerDiscreteScheduler */
    WEFT_EULER_A,   /* EulerAncestralDiscreteScheduler */
    WEFT_HEUN,      /* HeunDiscreteScheduler */
    WEFT_DPMPP_2M,  /* DPMSolverMultistepScheduler, order 2, midpoint */
    WEFT_SOLVERS,
} weft_solver_kind;

extern const char *const weft_solver_name[WEFT_SOLVERS]; /* as users type */

typedef enum weft_prediction {
    WEFT_PREDICT_EPSILON,
    WEFT_PREDICT_V,
    WEFT_PREDICT_SAMPLE,
} weft_prediction;

/* The discrete table and the options of one schedule. Plain data. */
typedef struct weft_noise_schedule {
    int train_steps;
    double *abar; /* [train_steps], owned: cumulative alpha */
    double final_abar;
    weft_prediction prediction;
    int spacing; /* leading, linspace, trailing */
    int steps_offset;
    bool clip_sample;
    double clip_range;
    int final_sigma; /* zero, sigma_min */
    bool lower_order_final, euler_at_final;
    int solver_order;
} weft_noise_schedule;

/* `config` may be NULL (all defaults of the class). `override` likewise: keys
 * there win (the inline keys of `schedule:` in a weft config). */
weft_status weft_noise_schedule_read(const weft_json *config,
                                     const weft_json *override,
                                     weft_solver_kind solver,
                                     weft_noise_schedule *s);
void weft_noise_schedule_release(weft_noise_schedule *s);

#endif
