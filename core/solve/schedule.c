#include "core/solve/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRAIN_STEPS_MAX 100000

const char *const weft_solver_name[WEFT_SOLVERS] = {
    "ddim", "euler", "euler_ancestral", "heun", "dpmpp_2m"};

/* What the diffusers class takes where the file is silent, and which options
 * the class has. */
typedef struct class_traits {
    double beta_start, beta_end;
    const char *spacing;
    bool clip;         /* clip_sample by default */
    bool clips;        /* has clip_sample */
    bool thresholds;   /* has thresholding */
    bool rescales;     /* has rescale_betas_zero_snr */
    bool respaces;     /* has use_karras_sigmas, ... */
    bool final_sigmas; /* has final_sigmas_type */
} class_traits;

static const class_traits traits[WEFT_SOLVERS] = {
    [WEFT_DDIM] = {.beta_start = 1e-4,
                   .beta_end = .02,
                   .spacing = "leading",
                   .clip = true,
                   .clips = true,
                   .thresholds = true,
                   .rescales = true},
    [WEFT_EULER] = {.beta_start = 1e-4,
                    .beta_end = .02,
                    .spacing = "linspace",
                    .rescales = true,
                    .respaces = true,
                    .final_sigmas = true},
    [WEFT_EULER_A] = {.beta_start = 1e-4,
                      .beta_end = .02,
                      .spacing = "linspace",
                      .rescales = true},
    [WEFT_HEUN] = {.beta_start = .00085,
                   .beta_end = .012,
                   .spacing = "linspace",
                   .clips = true,
                   .respaces = true},
    [WEFT_DPMPP_2M] = {.beta_start = 1e-4,
                       .beta_end = .02,
                       .spacing = "linspace",
                       .thresholds = true,
                       .rescales = true,
                       .respaces = true,
                       .final_sigmas = true},
};

/* Every option of the classes that diffusers counts as exchangeable, but for
 * those that only a file for EDM's preconditioning or for flows sets. Those of
 * the solver's own class have been judged before this list is asked. */
static const char *const family[] = {"num_train_timesteps",
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
                                     NULL};

/* The two places where an option may stand; the second wins. */
typedef struct source {
    const weft_json *config, *override;
    weft_solver_kind solver;
} source;

static const weft_json *holder(const source *f, const char *key)
{
    if (f->override && weft_json_has(f->override, key)) return f->override;
    return f->config && weft_json_has(f->config, key) ? f->config : NULL;
}

static weft_status read_int(const source *f, const char *key, int fallback,
                            int min, int max, int *out)
{
    const weft_json *j = holder(f, key);

    *out = fallback;
    return j ? weft_json_int(j, key, fallback, min, max, out) : WEFT_OK;
}

static weft_status read_double(const source *f, const char *key,
                               double fallback, double *out)
{
    const weft_json *j = holder(f, key);

    *out = fallback;
    return j ? weft_json_double(j, key, fallback, out) : WEFT_OK;
}

static weft_status read_bool(const source *f, const char *key, bool fallback,
                             bool *out)
{
    const weft_json *j = holder(f, key);

    *out = fallback;
    return j ? weft_json_bool(j, key, fallback, out) : WEFT_OK;
}

/* One of `names` (NULL-terminated): its place, where `fallback` is missing. */
static weft_status read_choice(const source *f, const char *key,
                               const char *fallback, const char *const *names,
                               int *out)
{
    const weft_json *j = holder(f, key);
    const char *word = fallback;

    if (j) WEFT_TRY(weft_json_string(j, key, fallback, &word));
    for (int i = 0; names[i]; i++)
        if (strcmp(word, names[i]) == 0) {
            *out = i;
            return WEFT_OK;
        }
    return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported by solver %s",
                     j ? weft_json_name(j) : "schedule", key, word,
                     weft_solver_name[f->solver]);
}

static weft_status refuse_true(const source *f, const char *key)
{
    bool on;

    WEFT_TRY(read_bool(f, key, false, &on));
    if (!on) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT, "%s: option \"%s\" is on, and solver %s does not have it",
        weft_json_name(holder(f, key)), key, weft_solver_name[f->solver]);
}

static weft_status refuse_respacing(const source *f)
{
    WEFT_TRY(refuse_true(f, "use_karras_sigmas"));
    WEFT_TRY(refuse_true(f, "use_exponential_sigmas"));
    return refuse_true(f, "use_beta_sigmas");
}

static weft_status check_euler(const source *f)
{
    static const char *const interpolation[] = {"linear", NULL};
    static const char *const type[] = {"discrete", NULL};
    int word;

    WEFT_TRY(
        read_choice(f, "interpolation_type", "linear", interpolation, &word));
    return read_choice(f, "timestep_type", "discrete", type, &word);
}

/* DPMSolverMultistepScheduler takes its cousins' words for the type of solver
 * (DEIS, UniPC) as its own midpoint, and so do we. Of the variance types only
 * the learned ones change what it does. */
static weft_status read_dpmpp(const source *f, weft_noise_schedule *s)
{
    static const char *const algorithm[] = {"dpmsolver++", NULL};
    static const char *const type[] = {"midpoint", "logrho", "bh1", "bh2",
                                       NULL};
    static const char *const variance[] = {"fixed_small", "fixed_small_log",
                                           "fixed_large", "fixed_large_log",
                                           NULL};
    int word;

    WEFT_TRY(read_choice(f, "algorithm_type", algorithm[0], algorithm, &word));
    WEFT_TRY(read_choice(f, "solver_type", type[0], type, &word));
    WEFT_TRY(read_choice(f, "variance_type", variance[0], variance, &word));
    WEFT_TRY(refuse_true(f, "use_lu_lambdas"));
    WEFT_TRY(refuse_true(f, "use_flow_sigmas"));
    WEFT_TRY(refuse_true(f, "use_dynamic_shifting"));
    WEFT_TRY(read_int(f, "solver_order", 2, 1, 2, &s->solver_order));
    WEFT_TRY(read_bool(f, "lower_order_final", true, &s->lower_order_final));
    WEFT_TRY(read_bool(f, "euler_at_final", false, &s->euler_at_final));
    return read_double(f, "lambda_min_clipped", -INFINITY, &s->lambda_min);
}

static weft_status read_final(const source *f, weft_noise_schedule *s)
{
    static const char *const names[] = {"zero", "sigma_min", NULL};
    int word;

    WEFT_TRY(read_choice(f, "final_sigmas_type", "zero", names, &word));
    s->final_sigma = (weft_final_sigma)word;
    return WEFT_OK;
}

static weft_status read_clip(const source *f, weft_noise_schedule *s)
{
    WEFT_TRY(
        read_bool(f, "clip_sample", traits[f->solver].clip, &s->clip_sample));
    WEFT_TRY(read_double(f, "clip_sample_range", 1, &s->clip_range));
    if (s->clip_range > 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: clip_sample_range must be above 0",
                     weft_json_name(holder(f, "clip_sample_range")));
}

static weft_status read_options(const source *f, weft_noise_schedule *s)
{
    static const char *const predictions[] = {"epsilon", "v_prediction",
                                              "sample", NULL};
    static const char *const spacings[] = {"leading", "linspace", "trailing",
                                           NULL};
    const class_traits *t = &traits[f->solver];
    int word;

    WEFT_TRY(read_choice(f, "prediction_type", "epsilon", predictions, &word));
    s->prediction = (weft_prediction)word;
    WEFT_TRY(read_choice(f, "timestep_spacing", t->spacing, spacings, &word));
    s->spacing = (weft_spacing)word;
    WEFT_TRY(
        read_int(f, "steps_offset", 0, 0, TRAIN_STEPS_MAX, &s->steps_offset));
    if (t->thresholds) WEFT_TRY(refuse_true(f, "thresholding"));
    if (t->rescales) WEFT_TRY(refuse_true(f, "rescale_betas_zero_snr"));
    if (t->respaces) WEFT_TRY(refuse_respacing(f));
    if (t->clips) WEFT_TRY(read_clip(f, s));
    if (t->final_sigmas) WEFT_TRY(read_final(f, s));
    if (f->solver == WEFT_EULER) WEFT_TRY(check_euler(f));
    if (f->solver == WEFT_DPMPP_2M) WEFT_TRY(read_dpmpp(f, s));
    return WEFT_OK;
}

/* Element i of n between a and b as torch.linspace has it: from both ends to
 * the middle, in float32 with one rounding per element. */
static double linspace32(double a, double b, int n, int i)
{
    const double from = (float)a, to = (float)b;
    const float step = ((float)b - (float)a) / (float)(n > 1 ? n - 1 : 1);

    return (float)(i < n / 2 || n == 1 ? from + (double)step * i
                                       : to - (double)step * (n - 1 - i));
}

static double cosine_abar(double u)
{
    const double c = cos((u + .008) / 1.008 * M_PI / 2);

    return c * c;
}

typedef enum beta_kind { BETA_LINEAR, BETA_SCALED, BETA_COSINE } beta_kind;

static float beta_at(beta_kind kind, double b0, double b1, int n, int i)
{
    float root;

    switch (kind) {
    case BETA_LINEAR:
        return (float)linspace32(b0, b1, n, i);
    case BETA_SCALED:
        root = (float)linspace32(sqrt(b0), sqrt(b1), n, i);
        return root * root;
    case BETA_COSINE:
        break;
    }
    return (float)fmin(1 - cosine_abar((i + 1) / (double)n) /
                               cosine_abar(i / (double)n),
                       .999);
}

static weft_status fill_betas(const source *f, int n, double *beta)
{
    static const char *const names[] = {"linear", "scaled_linear",
                                        "squaredcos_cap_v2", NULL};
    const weft_json *j = holder(f, "trained_betas");
    int kind, given = n;
    double b0, b1;

    if (j) {
        WEFT_TRY(weft_json_doubles(j, "trained_betas", beta, n, &given));
        if (given == n) return WEFT_OK;
        return weft_fail(WEFT_EINPUT,
                         "%s: trained_betas has %d values, but "
                         "num_train_timesteps is %d",
                         weft_json_name(j), given, n);
    }
    WEFT_TRY(read_choice(f, "beta_schedule", names[0], names, &kind));
    WEFT_TRY(read_double(f, "beta_start", traits[f->solver].beta_start, &b0));
    WEFT_TRY(read_double(f, "beta_end", traits[f->solver].beta_end, &b1));
    if (!(b0 >= 0 && b0 < 1 && b1 >= 0 && b1 < 1))
        return weft_fail(WEFT_EINPUT,
                         "%s: beta_start %g and beta_end %g must lie from 0 "
                         "to below 1",
                         weft_json_name(f->config ? f->config : f->override),
                         b0, b1);
    for (int i = 0; i < n; i++)
        beta[i] = beta_at((beta_kind)kind, b0, b1, n, i);
    return WEFT_OK;
}

/* In place. torch multiplies in double and keeps float32. */
static weft_status accumulate(const source *f, int n, double *beta)
{
    double product = 1;

    for (int i = 0; i < n; i++) {
        product *= (double)(1 - (float)beta[i]);
        beta[i] = (float)product;
        if (beta[i] > 0 && beta[i] < 1 && (i == 0 || beta[i] <= beta[i - 1]))
            continue;
        return weft_fail(
            WEFT_EINPUT,
            "%s: the betas leave no signal and noise at train step %d "
            "(cumulative alpha %g)",
            f->config || f->override
                ? weft_json_name(f->config ? f->config : f->override)
                : "schedule",
            i, beta[i]);
    }
    return WEFT_OK;
}

static weft_status read_table(const source *f, weft_noise_schedule *s)
{
    bool to_one = true;

    WEFT_TRY(read_int(f, "num_train_timesteps", 1000, 1, TRAIN_STEPS_MAX,
                      &s->train_steps));
    s->abar = calloc((size_t)s->train_steps, sizeof *s->abar);
    if (!s->abar)
        return weft_fail(WEFT_ENOMEM, "no memory for %d train steps",
                         s->train_steps);
    WEFT_TRY(fill_betas(f, s->train_steps, s->abar));
    WEFT_TRY(accumulate(f, s->train_steps, s->abar));
    if (f->solver == WEFT_DDIM)
        WEFT_TRY(read_bool(f, "set_alpha_to_one", true, &to_one));
    s->final_abar = to_one ? 1 : s->abar[0];
    return WEFT_OK;
}

weft_status weft_noise_schedule_read(const weft_json *config,
                                     const weft_json *override,
                                     weft_solver_kind solver,
                                     weft_noise_schedule *s)
{
    const source f = {config, override, solver};
    weft_noise_schedule made = {.solver = solver,
                                .clip_range = 1,
                                .solver_order = 2,
                                .lambda_min = -INFINITY};
    weft_status st = read_table(&f, &made);

    if (st == WEFT_OK) st = read_options(&f, &made);
    if (st == WEFT_OK && config) st = weft_json_refuse_rest(config, family);
    if (st == WEFT_OK && override) st = weft_json_refuse_rest(override, family);
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
