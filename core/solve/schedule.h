/*
 * schedule.h - noise schedules: which noise level each step is at.
 *
 * Reads diffusers' scheduler_config.json; a schedule is read for one solver
 * and means what that solver's diffusers class would make of the file. Keys
 * that are missing or null take the defaults of that class.
 *
 *   all        num_train_timesteps beta_start beta_end beta_schedule (linear,
 *              scaled_linear, squaredcos_cap_v2, exp, sigmoid, laplace)
 *              trained_betas prediction_type (epsilon, v_prediction, sample)
 *   but for dpmpp_2s, lcm and tcd, which space their steps in one way only
 *              timestep_spacing (leading, linspace, trailing) steps_offset
 *   ddim       clip_sample clip_sample_range set_alpha_to_one
 *   euler      final_sigmas_type (zero, sigma_min)
 *   heun       clip_sample clip_sample_range
 *   dpmpp_2m   algorithm_type (dpmsolver++, dpmsolver, sde-dpmsolver++,
 *              sde-dpmsolver) solver_type (midpoint, heun) solver_order (1 to
 *              3) final_sigmas_type lower_order_final euler_at_final
 *              lambda_min_clipped use_lu_lambdas; exact3, weft's own: the third
 *              order with the factor 2 that the published form lacks
 *   dpmpp_2m_sde, dpmpp_3m_sde
 *              what dpmpp_2m reads of levels; dpmpp_2m_sde solver_type;
 *              dpmpp_3m_sde exact3. Algorithm, order and what the last steps do
 *              are in the name
 *   dpmpp_2s   algorithm_type (but sde-dpmsolver) solver_type solver_order
 *              final_sigmas_type lower_order_final lambda_min_clipped
 *   unipc      solver_order (1 to 3) solver_type (bh1, bh2) predict_x0
 *              lower_order_final disable_corrector final_sigmas_type
 *   pndm       skip_prk_steps set_alpha_to_one; predicts no sample
 *   dpmpp_sde  predicts no sample
 *   lcm        original_inference_steps timestep_scaling clip_sample
 *              clip_sample_range
 *   tcd        original_inference_steps
 *   all but ddim, euler_ancestral, pndm, lcm and tcd
 *              one of use_karras_sigmas, use_exponential_sigmas and
 *              use_beta_sigmas, with sigma_min and sigma_max (which
 *              Karras' of lms and dpmpp_sde, and Lu's, leave aside as
 *              their classes do)
 *   ddim, euler, euler_ancestral, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde, unipc,
 *   lcm and tcd
 *              rescale_betas_zero_snr
 *
 * Refused by name: an option of the class that weft does not have (dynamic
 * thresholding, flows, learned variances) unless it is off, and any key that no
 * diffusers scheduler of the Karras family knows, or that marks a file for
 * another kind of model (EDM's sigma_data and its like, flows). Keys that only
 * other classes of that family know are passed over, as from_config does: a
 * file written for DDIM serves Euler. But what would be another schedule
 * (zero terminal SNR, thresholding, flows) is refused where it is on.
 */
#ifndef WEFT_CORE_SOLVE_SCHEDULE_H
#define WEFT_CORE_SOLVE_SCHEDULE_H

#include <stdbool.h>

#include "core/model/json.h"
#include "core/status.h"

typedef enum weft_solver_kind {
    WEFT_DDIM,         /* DDIMScheduler */
    WEFT_EULER,        /* EulerDiscreteScheduler */
    WEFT_EULER_A,      /* EulerAncestralDiscreteScheduler */
    WEFT_HEUN,         /* HeunDiscreteScheduler */
    WEFT_DPMPP_2M,     /* DPMSolverMultistepScheduler */
    WEFT_DPMPP_2M_SDE, /* its nodes; k-diffusion's sample_dpmpp_2m_sde */
    WEFT_DPMPP_3M_SDE, /* its nodes; k-diffusion's sample_dpmpp_3m_sde */
    WEFT_DPMPP_2S,     /* DPMSolverSinglestepScheduler */
    WEFT_DPMPP_2S_A,   /* k-diffusion's sample_dpmpp_2s_ancestral */
    WEFT_DPMPP_SDE,    /* DPMSolverSDEScheduler */
    WEFT_UNIPC,        /* UniPCMultistepScheduler */
    WEFT_LMS,          /* LMSDiscreteScheduler */
    WEFT_PNDM,         /* PNDMScheduler */
    WEFT_LCM,          /* LCMScheduler */
    WEFT_TCD,          /* TCDScheduler */
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

/* Sigmas of a shape of their own (methods 12.3). */
typedef enum weft_respacing {
    WEFT_RESPACED_NOT,
    WEFT_RESPACED_KARRAS,
    WEFT_RESPACED_EXPONENTIAL,
    WEFT_RESPACED_BETA,
    WEFT_RESPACED_LU,
} weft_respacing;

typedef enum weft_final_sigma {
    WEFT_FINAL_ZERO,
    WEFT_FINAL_SIGMA_MIN, /* of train step 0 */
} weft_final_sigma;

/* Of the DPM family (methods 12.9) and unipc, which adds no noise: what is kept
 * of predictions, and whether noise is added. */
typedef enum weft_dpm {
    WEFT_DPM_PLUS,     /* x0 */
    WEFT_DPM_PLAIN,    /* eps */
    WEFT_DPM_SDE_PLUS, /* x0, with noise */
    WEFT_DPM_SDE,      /* eps, with noise */
} weft_dpm;

enum { WEFT_CORRECTORS = 64 }; /* steps named in disable_corrector, at most */

/* The discrete table and the options of one schedule. Plain data, but for the
 * table. */
typedef struct weft_noise_schedule {
    weft_solver_kind solver; /* read for */
    int train_steps;
    double *abar; /* [train_steps], owned: cumulative alpha, below 1, above 0
                   * (with zero terminal SNR the last one of ddim, lcm and tcd
                   * is 0), not rising; values of float32 as diffusers has */
    double final_abar; /* ddim, pndm: of the end */
    weft_prediction prediction;
    weft_spacing spacing;
    int steps_offset;
    weft_respacing respacing;
    double sigma_min, sigma_max; /* of the respacing; 0: those of the nodes */
    bool whole_times; /* dpmpp_2m: a respaced time is rounded, not cut off */
    bool clip_sample;
    double clip_range;
    weft_final_sigma final_sigma;
    bool lower_order_final, euler_at_final;
    int solver_order;
    weft_dpm algorithm;
    bool heun;         /* dpm family: solver_type */
    bool exact3;       /* dpm family */
    double lambda_min; /* train steps of lower log-SNR / 2 are left out */
    bool bh1;          /* unipc: solver_type */
    int uncorrected[WEFT_CORRECTORS]; /* unipc: steps without corrector */
    int nuncorrected;
    bool runge_kutta;        /* pndm: the first three steps */
    int original_steps;      /* lcm, tcd */
    double timestep_scaling; /* lcm */
} weft_noise_schedule;

/* `config` may be NULL (all defaults of the class). `override` likewise: keys
 * there win (the inline keys of `schedule:` in a weft config). */
weft_status weft_noise_schedule_read(const weft_json *config,
                                     const weft_json *override,
                                     weft_solver_kind solver,
                                     weft_noise_schedule *s);
void weft_noise_schedule_release(weft_noise_schedule *s);

/* Every option of the classes that diffusers counts as exchangeable, and of the
 * distilled ones, but for those that only a file for EDM's preconditioning or
 * for flows sets. Ends with NULL. */
extern const char *const weft_noise_schedule_keys[];

/* The solver that a scheduler_config.json is written for, by its _class_name;
 * `fallback` where it names none. WEFT_EINPUT: a class that weft does not have;
 * of those for flows with what to give instead.
 */
weft_status weft_noise_schedule_solver(const weft_json *config,
                                       weft_solver_kind fallback,
                                       weft_solver_kind *solver);

/* Karras sigma of train step t, rounded to float32 as diffusers does. */
double weft_noise_schedule_sigma(const weft_noise_schedule *s, int t);

#endif
