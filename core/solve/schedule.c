#include "core/solve/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/solve/betas.h"
#include "core/solve/family.h"
#include "core/solve/option.h"

#define OFFSET_MAX 100000

const char *const weft_solver_name[WEFT_SOLVERS] = {
    [WEFT_DDIM] = "ddim",
    [WEFT_EULER] = "euler",
    [WEFT_EULER_A] = "euler_ancestral",
    [WEFT_HEUN] = "heun",
    [WEFT_DPMPP_2M] = "dpmpp_2m",
    [WEFT_DPMPP_2M_SDE] = "dpmpp_2m_sde",
    [WEFT_DPMPP_3M_SDE] = "dpmpp_3m_sde",
    [WEFT_DPMPP_2S] = "dpmpp_2s",
    [WEFT_DPMPP_2S_A] = "dpmpp_2s_ancestral",
    [WEFT_DPMPP_SDE] = "dpmpp_sde",
    [WEFT_UNIPC] = "unipc",
    [WEFT_LMS] = "lms",
    [WEFT_PNDM] = "pndm",
    [WEFT_LCM] = "lcm",
    [WEFT_TCD] = "tcd",
};

#define ADM    .start = 1e-4, .end = .02, .schedule = "linear"
#define LATENT .start = .00085, .end = .012

/* What classes that divide by the last cumulative alpha put in place of 0. */
#define SMALLEST 0x1p-24

/* What the diffusers class takes where the file is silent, and which options
 * the class has. */
typedef struct class_traits {
    weft_betas betas;
    const char *spacing; /* by default; NULL: has no choice */
    bool clip;           /* clip_sample by default */
    bool clips;          /* has clip_sample */
    bool respaces;       /* has use_karras_sigmas, ... */
    bool final_sigmas;   /* has final_sigmas_type */
    bool ends;           /* has set_alpha_to_one */
    bool to_one;         /* by default */
    bool no_sample;      /* cannot be told the sample */
    weft_status (*read)(const weft_options *f, weft_noise_schedule *s);
} class_traits;

static weft_status read_euler(const weft_options *f, weft_noise_schedule *s)
{
    static const char *const interpolation[] = {"linear", NULL};
    static const char *const type[] = {"discrete", NULL};
    int word;

    (void)s;
    WEFT_TRY(weft_option_choice(f, "interpolation_type", "linear",
                                interpolation, &word));
    return weft_option_choice(f, "timestep_type", "discrete", type, &word);
}

/* Of the variance types only the learned ones change what the classes do. */
static weft_status refuse_learned(const weft_options *f)
{
    static const char *const variance[] = {"fixed_small", "fixed_small_log",
                                           "fixed_large", "fixed_large_log",
                                           NULL};
    int word;

    return weft_option_choice(f, "variance_type", variance[0], variance, &word);
}

/* The DPM classes take their cousins' words (DEIS, UniPC) as their own usual
 * ones, and so do we. */
static weft_status read_algorithm(const weft_options *f, weft_noise_schedule *s)
{
    static const char *const algorithm[] = {
        "dpmsolver++",   "dpmsolver", "sde-dpmsolver++",
        "sde-dpmsolver", "deis",      NULL};
    static const char *const type[] = {"midpoint", "heun", "logrho",
                                       "bh1",      "bh2",  NULL};
    int word;

    WEFT_TRY(weft_option_choice(f, "algorithm_type", algorithm[0], algorithm,
                                &word));
    s->algorithm = word == 4 ? WEFT_DPM_PLUS : (weft_dpm)word;
    WEFT_TRY(weft_option_choice(f, "solver_type", type[0], type, &word));
    s->heun = word == 1;
    return WEFT_OK;
}

/* What cannot be asked together. */
static weft_status check_dpm(const weft_options *f,
                             const weft_noise_schedule *s)
{
    const bool plain =
        s->algorithm == WEFT_DPM_PLAIN || s->algorithm == WEFT_DPM_SDE;
    const bool sde =
        s->algorithm == WEFT_DPM_SDE_PLUS || s->algorithm == WEFT_DPM_SDE;

    if (plain && s->final_sigma == WEFT_FINAL_ZERO)
        return weft_fail(WEFT_EINPUT,
                         "%s: algorithm_type dpmsolver and sde-dpmsolver keep "
                         "the noise, which final_sigmas_type zero has none of; "
                         "take sigma_min, or dpmsolver++",
                         weft_option_place(f, "algorithm_type"));
    if (sde && s->solver_order == 3 &&
        !(s->solver == WEFT_DPMPP_2S && !s->heun))
        return weft_fail(WEFT_EINPUT,
                         "%s: algorithm_type with noise of solver_order 3 is "
                         "not supported by solver %s: as published it is not "
                         "consistent; take solver dpmpp_3m_sde",
                         weft_option_place(f, "algorithm_type"),
                         weft_solver_name[f->solver]);
    return WEFT_OK;
}

static weft_status read_levels(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(refuse_learned(f));
    return weft_option_double(f, "lambda_min_clipped", -INFINITY,
                              &s->lambda_min);
}

static weft_status read_dpmpp(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(read_levels(f, s));
    WEFT_TRY(read_algorithm(f, s));
    WEFT_TRY(weft_option_int(f, "solver_order", 2, 1, 3, &s->solver_order));
    WEFT_TRY(
        weft_option_bool(f, "lower_order_final", true, &s->lower_order_final));
    WEFT_TRY(weft_option_bool(f, "euler_at_final", false, &s->euler_at_final));
    WEFT_TRY(weft_option_bool(f, "exact3", false, &s->exact3));
    if (s->exact3 && s->solver_order != 3)
        return weft_fail(WEFT_EINPUT, "%s: exact3 needs solver_order 3",
                         weft_option_place(f, "exact3"));
    return check_dpm(f, s);
}

static weft_status read_2m_sde(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(read_levels(f, s));
    WEFT_TRY(read_algorithm(f, s));
    s->algorithm = WEFT_DPM_SDE_PLUS;
    return WEFT_OK;
}

static weft_status read_3m_sde(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(read_2m_sde(f, s));
    s->heun = true;
    s->solver_order = 3;
    return weft_option_bool(f, "exact3", false, &s->exact3);
}

static weft_status read_2s(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(read_levels(f, s));
    WEFT_TRY(read_algorithm(f, s));
    WEFT_TRY(weft_option_int(f, "solver_order", 2, 1, 3, &s->solver_order));
    WEFT_TRY(
        weft_option_bool(f, "lower_order_final", false, &s->lower_order_final));
    if (s->algorithm == WEFT_DPM_SDE)
        return weft_fail(WEFT_EINPUT,
                         "%s: algorithm_type \"sde-dpmsolver\" is not "
                         "supported by solver %s",
                         weft_option_place(f, "algorithm_type"),
                         weft_solver_name[f->solver]);
    return check_dpm(f, s);
}

static weft_status read_correctors(const weft_options *f,
                                   weft_noise_schedule *s)
{
    const weft_json *j = weft_option_holder(f, "disable_corrector");

    if (!j) return WEFT_OK;
    return weft_json_ints(j, "disable_corrector", 0, OFFSET_MAX, s->uncorrected,
                          WEFT_CORRECTORS, &s->nuncorrected);
}

/* An end without noise, or (with respaced sigmas, whose class repeats the last)
 * without a step, has no h to divide by. */
static weft_status check_unipc_end(const weft_options *f,
                                   const weft_noise_schedule *s)
{
    const bool zero = s->final_sigma == WEFT_FINAL_ZERO;
    const bool high = !s->lower_order_final && s->solver_order > 1;

    if (zero && s->algorithm == WEFT_DPM_PLAIN)
        return weft_fail(WEFT_EINPUT,
                         "%s: predict_x0 false keeps the noise, which "
                         "final_sigmas_type zero has none of; take sigma_min",
                         weft_option_place(f, "predict_x0"));
    if (high && (zero || s->respacing != WEFT_RESPACED_NOT))
        return weft_fail(WEFT_EINPUT,
                         "%s: lower_order_final false needs final_sigmas_type "
                         "sigma_min and sigmas that are not respaced",
                         weft_option_place(f, "lower_order_final"));
    return WEFT_OK;
}

/* UniPC likewise takes the DPM classes' words as its own usual one. */
static weft_status read_unipc(const weft_options *f, weft_noise_schedule *s)
{
    static const char *const type[] = {"bh2",  "bh1",    "midpoint",
                                       "heun", "logrho", NULL};
    bool x0;
    int word;

    WEFT_TRY(weft_option_int(f, "solver_order", 2, 1, 3, &s->solver_order));
    WEFT_TRY(weft_option_choice(f, "solver_type", type[0], type, &word));
    s->bh1 = word == 1;
    WEFT_TRY(weft_option_bool(f, "predict_x0", true, &x0));
    s->algorithm = x0 ? WEFT_DPM_PLUS : WEFT_DPM_PLAIN;
    WEFT_TRY(read_correctors(f, s));
    WEFT_TRY(
        weft_option_bool(f, "lower_order_final", true, &s->lower_order_final));
    if (weft_option_holder(f, "solver_p"))
        return weft_fail(WEFT_EINPUT,
                         "%s: solver_p, another scheduler as the predictor, is "
                         "not supported",
                         weft_option_place(f, "solver_p"));
    return check_unipc_end(f, s);
}

static weft_status read_pndm(const weft_options *f, weft_noise_schedule *s)
{
    bool skip;

    WEFT_TRY(weft_option_bool(f, "skip_prk_steps", false, &skip));
    s->runge_kutta = !skip;
    return WEFT_OK;
}

static weft_status read_sde(const weft_options *f, weft_noise_schedule *s)
{
    (void)s;
    if (!weft_option_holder(f, "noise_sampler_seed")) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: noise_sampler_seed is not supported: the noise is "
                     "that of the image's own seed",
                     weft_option_place(f, "noise_sampler_seed"));
}

static weft_status read_original(const weft_options *f, weft_noise_schedule *s)
{
    return weft_option_int(f, "original_inference_steps", 50, 1, s->train_steps,
                           &s->original_steps);
}

static weft_status read_lcm(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(read_original(f, s));
    return weft_option_double(f, "timestep_scaling", 10, &s->timestep_scaling);
}

/* TCDScheduler has clip_sample and never clips. */
static weft_status read_tcd(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(weft_option_refuse_true(f, "clip_sample"));
    return read_original(f, s);
}

static const class_traits traits[WEFT_SOLVERS] = {
    [WEFT_DDIM] = {.betas = {ADM, .rescales = true},
                   .spacing = "leading",
                   .clip = true,
                   .clips = true,
                   .ends = true,
                   .to_one = true},
    [WEFT_EULER] = {.betas = {ADM, .rescales = true, .least = SMALLEST},
                    .spacing = "linspace",
                    .respaces = true,
                    .final_sigmas = true,
                    .read = read_euler},
    [WEFT_EULER_A] = {.betas = {ADM, .rescales = true, .least = SMALLEST},
                      .spacing = "linspace"},
    [WEFT_HEUN] = {.betas = {LATENT, .schedule = "linear"},
                   .spacing = "linspace",
                   .clips = true,
                   .respaces = true},
    [WEFT_DPMPP_2M] = {.betas = {ADM, .rescales = true, .least = SMALLEST},
                       .spacing = "linspace",
                       .respaces = true,
                       .final_sigmas = true,
                       .read = read_dpmpp},
    [WEFT_DPMPP_2M_SDE] = {.betas = {ADM, .rescales = true, .least = SMALLEST},
                           .spacing = "linspace",
                           .respaces = true,
                           .final_sigmas = true,
                           .read = read_2m_sde},
    [WEFT_DPMPP_3M_SDE] = {.betas = {ADM, .rescales = true, .least = SMALLEST},
                           .spacing = "linspace",
                           .respaces = true,
                           .final_sigmas = true,
                           .read = read_3m_sde},
    [WEFT_DPMPP_2S] = {.betas = {ADM},
                       .respaces = true,
                       .final_sigmas = true,
                       .read = read_2s},
    [WEFT_DPMPP_2S_A] = {.betas = {LATENT, .schedule = "linear"},
                         .spacing = "linspace",
                         .respaces = true},
    [WEFT_DPMPP_SDE] = {.betas = {LATENT, .schedule = "linear"},
                        .spacing = "linspace",
                        .respaces = true,
                        .no_sample = true,
                        .read = read_sde},
    [WEFT_UNIPC] = {.betas = {ADM, .rescales = true, .least = SMALLEST},
                    .spacing = "linspace",
                    .respaces = true,
                    .final_sigmas = true,
                    .read = read_unipc},
    [WEFT_LMS] = {.betas = {ADM}, .spacing = "linspace", .respaces = true},
    [WEFT_PNDM] = {.betas = {ADM},
                   .spacing = "leading",
                   .ends = true,
                   .no_sample = true,
                   .read = read_pndm},
    [WEFT_LCM] = {.betas = {LATENT, .schedule = "scaled_linear",
                            .rescales = true},
                  .clips = true,
                  .read = read_lcm},
    [WEFT_TCD] = {.betas = {LATENT, .schedule = "scaled_linear",
                            .rescales = true},
                  .read = read_tcd},
};

/* Those of the solver's own class have been judged before this list is asked.
 */
const char *const weft_noise_schedule_keys[] = {"num_train_timesteps",
                                                "beta_start",
                                                "beta_end",
                                                "beta_schedule",
                                                "trained_betas",
                                                "prediction_type",
                                                "timestep_spacing",
                                                "steps_offset",
                                                "clip_sample",
                                                "clip_sample_range",
                                                "set_alpha_to_one",
                                                "thresholding",
                                                "dynamic_thresholding_ratio",
                                                "sample_max_value",
                                                "rescale_betas_zero_snr",
                                                "final_sigmas_type",
                                                "interpolation_type",
                                                "timestep_type",
                                                "sigma_min",
                                                "sigma_max",
                                                "use_karras_sigmas",
                                                "use_exponential_sigmas",
                                                "use_beta_sigmas",
                                                "use_lu_lambdas",
                                                "use_flow_sigmas",
                                                "flow_shift",
                                                "use_dynamic_shifting",
                                                "time_shift_type",
                                                "algorithm_type",
                                                "solver_order",
                                                "solver_type",
                                                "solver_p",
                                                "lower_order_final",
                                                "euler_at_final",
                                                "lambda_min_clipped",
                                                "variance_type",
                                                "predict_x0",
                                                "disable_corrector",
                                                "skip_prk_steps",
                                                "original_inference_steps",
                                                "timestep_scaling",
                                                "noise_sampler_seed",
                                                NULL};

static weft_status read_final(const weft_options *f, weft_noise_schedule *s)
{
    static const char *const names[] = {"zero", "sigma_min", NULL};
    int word;

    WEFT_TRY(weft_option_choice(f, "final_sigmas_type", "zero", names, &word));
    s->final_sigma = (weft_final_sigma)word;
    return WEFT_OK;
}

static weft_status read_clip(const weft_options *f, weft_noise_schedule *s)
{
    WEFT_TRY(weft_option_bool(f, "clip_sample", traits[f->solver].clip,
                              &s->clip_sample));
    WEFT_TRY(weft_option_double(f, "clip_sample_range", 1, &s->clip_range));
    if (s->clip_range > 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: clip_sample_range must be above 0",
                     weft_option_place(f, "clip_sample_range"));
}

static weft_status read_range(const weft_options *f, weft_noise_schedule *s)
{
    static const char *const name[] = {"sigma_min", "sigma_max"};
    double *const to[] = {&s->sigma_min, &s->sigma_max};

    for (int i = 0; i < 2; i++) {
        WEFT_TRY(weft_option_double(f, name[i], 0, to[i]));
        if (*to[i] < 0 || (*to[i] == 0 && weft_option_holder(f, name[i])))
            return weft_fail(WEFT_EINPUT, "%s: %s %g must be above 0",
                             weft_option_place(f, name[i]), name[i], *to[i]);
    }
    if (s->sigma_max > 0 && s->sigma_min >= s->sigma_max)
        return weft_fail(
            WEFT_EINPUT, "%s: sigma_min %g must be below sigma_max %g",
            weft_option_place(f, name[0]), s->sigma_min, s->sigma_max);
    return WEFT_OK;
}

static bool of_dpmpp_2m(weft_solver_kind k)
{
    return k == WEFT_DPMPP_2M || k == WEFT_DPMPP_2M_SDE ||
           k == WEFT_DPMPP_3M_SDE;
}

static weft_status read_respacing(const weft_options *f, weft_noise_schedule *s)
{
    static const struct {
        const char *key;
        weft_respacing is;
    } all[] = {{"use_karras_sigmas", WEFT_RESPACED_KARRAS},
               {"use_exponential_sigmas", WEFT_RESPACED_EXPONENTIAL},
               {"use_beta_sigmas", WEFT_RESPACED_BETA},
               {"use_lu_lambdas", WEFT_RESPACED_LU}};
    const char *first = NULL;
    bool on;

    for (int i = 0; i < (of_dpmpp_2m(f->solver) ? 4 : 3); i++) {
        WEFT_TRY(weft_option_bool(f, all[i].key, false, &on));
        if (!on) continue;
        if (first)
            return weft_fail(WEFT_EINPUT, "%s: %s and %s exclude each other",
                             weft_option_place(f, all[i].key), first,
                             all[i].key);
        first = all[i].key;
        s->respacing = all[i].is;
    }
    return first ? read_range(f, s) : WEFT_OK;
}

static weft_status read_prediction(const weft_options *f,
                                   weft_noise_schedule *s)
{
    static const char *const predictions[] = {"epsilon", "v_prediction",
                                              "sample", NULL};
    int word;

    WEFT_TRY(weft_option_choice(f, "prediction_type", "epsilon", predictions,
                                &word));
    s->prediction = (weft_prediction)word;
    if (s->prediction != WEFT_PREDICT_SAMPLE || !traits[f->solver].no_sample)
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: solver %s takes nets that predict epsilon or v, not "
                     "prediction_type \"sample\"",
                     weft_option_place(f, "prediction_type"),
                     weft_solver_name[f->solver]);
}

static weft_status read_spacing(const weft_options *f, weft_noise_schedule *s)
{
    static const char *const spacings[] = {"leading", "linspace", "trailing",
                                           NULL};
    const char *usual = traits[f->solver].spacing;
    int word;

    s->spacing = WEFT_SPACING_LINSPACE;
    if (!usual) return WEFT_OK;
    WEFT_TRY(weft_option_choice(f, "timestep_spacing", usual, spacings, &word));
    s->spacing = (weft_spacing)word;
    return weft_option_int(f, "steps_offset", 0, 0, OFFSET_MAX,
                           &s->steps_offset);
}

static weft_status read_end(const weft_options *f, weft_noise_schedule *s)
{
    bool to_one = true;

    if (traits[f->solver].ends)
        WEFT_TRY(weft_option_bool(f, "set_alpha_to_one",
                                  traits[f->solver].to_one, &to_one));
    s->final_abar = to_one ? 1 : s->abar[0];
    return WEFT_OK;
}

static weft_status read_options(const weft_options *f, weft_noise_schedule *s)
{
    const class_traits *t = &traits[f->solver];

    WEFT_TRY(read_prediction(f, s));
    WEFT_TRY(read_spacing(f, s));
    WEFT_TRY(read_end(f, s));
    WEFT_TRY(weft_option_refuse_true(f, "thresholding"));
    WEFT_TRY(weft_option_refuse_true(f, "use_dynamic_shifting"));
    if (t->respaces) WEFT_TRY(read_respacing(f, s));
    if (t->clips) WEFT_TRY(read_clip(f, s));
    if (t->final_sigmas) WEFT_TRY(read_final(f, s));
    s->whole_times = !of_dpmpp_2m(f->solver) ||
                     !weft_option_is(f, "beta_schedule", "squaredcos_cap_v2");
    return t->read ? t->read(f, s) : WEFT_OK;
}

weft_status weft_noise_schedule_read(const weft_json *config,
                                     const weft_json *override,
                                     weft_solver_kind solver,
                                     weft_noise_schedule *s)
{
    const weft_options f = {config, override, solver};
    weft_noise_schedule made = {.solver = solver,
                                .clip_range = 1,
                                .solver_order = 2,
                                .lambda_min = -INFINITY};
    weft_status st = weft_flows_refuse(&f);

    if (st == WEFT_OK) st = weft_betas_read(&f, &traits[solver].betas, &made);
    if (st == WEFT_OK) st = read_options(&f, &made);
    if (st == WEFT_OK && config)
        st = weft_json_refuse_rest(config, weft_noise_schedule_keys);
    if (st == WEFT_OK && override)
        st = weft_json_refuse_rest(override, weft_noise_schedule_keys);
    if (st == WEFT_OK)
        *s = made;
    else
        weft_noise_schedule_release(&made);
    return st;
}

void weft_noise_schedule_release(weft_noise_schedule *s)
{
    free(s->abar);
    s->abar = NULL;
}

double weft_noise_schedule_sigma(const weft_noise_schedule *s, int t)
{
    const float abar = (float)s->abar[t];

    return sqrtf((1 - abar) / abar);
}
