/*
 * schedule.h - noise schedules: which noise level each step is at.
 *
 * Reads diffusers' scheduler_config.json; a schedule is read for one solver
 * and means what that solver's diffusers class would make of the file. Keys
 * that are missing or null take the defaults of that class.
 *
 *   all        num_train_timesteps beta_start beta_end beta_schedule (linear,
 *              scaled_linear, squaredcos_cap_v2) trained_betas prediction_type
 *              (epsilon, v_prediction, sample) timestep_spacing (leading,
 *              linspace, trailing) steps_offset
 *   ddim       clip_sample clip_sample_range set_alpha_to_one
 *   euler      final_sigmas_type (zero, sigma_min)
 *   heun       clip_sample clip_sample_range
 *   dpmpp_2m   final_sigmas_type lower_order_final euler_at_final
 *              solver_order (1, 2) lambda_min_clipped
 *
 * Refused by name: an option of the class that weft does not have (Karras and
 * other respacings, zero terminal SNR, dynamic thresholding, other algorithms)
 * unless it is off, and any key that no diffusers scheduler of the Karras
 * family knows, or that marks a file for another kind of model (EDM's
 * sigma_data and its like, flows). Keys that only other classes of that family
 * know are passed over, as from_config does: a file written for DDIM serves
 * Euler.
 */
#ifndef WEFT_CORE_SOLVE_SCHEDULE_H
#define WEFT_CORE_SOLVE_SCHEDULE_H

#include <stdbool.h>

#include "core/model/json.h"
#include "core/status.h"

typedef enum weft_solver_kind {
    WEFT_DDIM,     /* DDIMScheduler */
    WEFT_EULER,    /* EulerDiscreteScheduler */
    WEFT_EULER_A,  /* EulerAncestralDiscreteScheduler */
    WEFT_HEUN,     /* HeunDiscreteScheduler */
    WEFT_DPMPP_2M, /* DPMSolverMultistepScheduler, order 2, midpoint */
    WEFT_SOLVERS,
} weft_solver_kind;

extern const char *const weft_solver_name[WEFT_SOLVERS]; /* as users type */

typedef enum weft_prediction {
    WEFT_PREDICT_EPSILON,
    WEFT_PREDICT_V,
    WEFT_PREDICT_SAMPLE,
} weft_prediction;

typedef enum weft_spacing {
    WEFT_SPACING_LEADING,
    WEFT_SPACING_LINSPACE,
    WEFT_SPACING_TRAILING,
} weft_spacing;

typedef enum weft_final_sigma {
    WEFT_FINAL_ZERO,
    WEFT_FINAL_SIGMA_MIN, /* of train step 0 */
} weft_final_sigma;

/* The discrete table and the options of one schedule. Plain data, but for the
 * table. */
typedef struct weft_noise_schedule {
    weft_solver_kind solver; /* read for */
    int train_steps;
    double *abar; /* [train_steps], owned: cumulative alpha, strictly within
                   * 0 and 1, not rising; values of float32 as diffusers has */
    double final_abar; /* ddim: of the end */
    weft_prediction prediction;
    weft_spacing spacing;
    int steps_offset;
    bool clip_sample;
    double clip_range;
    weft_final_sigma final_sigma;
    bool lower_order_final, euler_at_final;
    int solver_order;
    double lambda_min; /* train steps of lower log-SNR / 2 are left out */
} weft_noise_schedule;

/* `config` may be NULL (all defaults of the class). `override` likewise: keys
 * there win (the inline keys of `schedule:` in a weft config). */
weft_status weft_noise_schedule_read(const weft_json *config,
                                     const weft_json *override,
                                     weft_solver_kind solver,
                                     weft_noise_schedule *s);
void weft_noise_schedule_release(weft_noise_schedule *s);

/* Karras sigma of train step t, rounded to float32 as diffusers does. */
double weft_noise_schedule_sigma(const weft_noise_schedule *s, int t);

#endif
