#include "core/solve/betas.h"

#include <math.h>
#include <stdlib.h>

#define TRAIN_STEPS_MAX 100000

/* Element i of n between a and b as torch.linspace has it: from both ends to
 * the middle, in float32 with one rounding per element. */
static double linspace32(double a, double b, int n, int i)
{
    const double from = (float)a, to = (float)b;
    const float step = ((float)b - (float)a) / (float)(n > 1 ? n - 1 : 1);

    return (float)(i < n / 2 || n == 1 ? from + (double)step * i
                                       : to - (double)step * (n - 1 - i));
}

typedef enum beta_kind {
    BETA_LINEAR,
    BETA_SCALED,
    BETA_SIGMOID,
    BETA_COSINE,
    BETA_EXP,
    BETA_LAPLACE,
} beta_kind;

static const char *const beta_name[] = {
    "linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2",
    "exp",    "laplace",       NULL};

static double laplace_abar(double u)
{
    const double side = u <= .5 ? 1 : -1;
    const double snr = exp(-.5 * side * log(1 - 2 * fabs(.5 - u) + 1e-6));

    return sqrt(snr / (1 + snr));
}

/* Of a schedule that is given as cumulative alphas, at a part u of the way. */
static double abar_at(beta_kind kind, double u)
{
    double c;

    if (kind == BETA_EXP) return exp(-12 * u);
    if (kind == BETA_LAPLACE) return laplace_abar(u);
    c = cos((u + .008) / 1.008 * M_PI / 2);
    return c * c;
}

static float beta_at(beta_kind kind, double b0, double b1, int n, int i)
{
    float v;

    switch (kind) {
    case BETA_LINEAR:
        return (float)linspace32(b0, b1, n, i);
    case BETA_SCALED:
        v = (float)linspace32(sqrt(b0), sqrt(b1), n, i);
        return v * v;
    case BETA_SIGMOID:
        v = (float)(1 / (1 + exp(-linspace32(-6, 6, n, i))));
        return v * (float)(b1 - b0) + (float)b0;
    default:
        return (float)fmin(1 - abar_at(kind, (i + 1) / (double)n) /
                                   abar_at(kind, i / (double)n),
                           .999);
    }
}

static weft_status trained(const weft_options *f, int n, double *beta)
{
    const weft_json *j = weft_option_holder(f, "trained_betas");
    int given;

    WEFT_TRY(weft_json_doubles(j, "trained_betas", beta, n, &given));
    if (given == n) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: trained_betas has %d values, but "
                     "num_train_timesteps is %d",
                     weft_json_name(j), given, n);
}

static weft_status fill_betas(const weft_options *f, const weft_betas *usual,
                              int n, double *beta)
{
    double b0, b1;
    int kind;

    if (weft_option_holder(f, "trained_betas")) return trained(f, n, beta);
    WEFT_TRY(weft_option_choice(f, "beta_schedule", usual->schedule, beta_name,
                                &kind));
    WEFT_TRY(weft_option_double(f, "beta_start", usual->start, &b0));
    WEFT_TRY(weft_option_double(f, "beta_end", usual->end, &b1));
    if (!(b0 >= 0 && b0 < 1 && b1 >= 0 && b1 < 1))
        return weft_fail(WEFT_EINPUT,
                         "%s: beta_start %g and beta_end %g must lie from 0 "
                         "to below 1",
                         weft_option_place(f, "beta_start"), b0, b1);
    for (int i = 0; i < n; i++)
        beta[i] = beta_at((beta_kind)kind, b0, b1, n, i);
    return WEFT_OK;
}

/* In place. torch multiplies in double and keeps float32. */
static void accumulate(int n, double *beta)
{
    double product = 1;

    for (int i = 0; i < n; i++) {
        product *= (double)(1 - (float)beta[i]);
        beta[i] = (float)product;
    }
}

static weft_status check(const weft_options *f, int n, const double *abar)
{
    for (int i = 0; i < n; i++) {
        if (abar[i] > 0 && abar[i] < 1 && (i == 0 || abar[i] <= abar[i - 1]))
            continue;
        return weft_fail(
            WEFT_EINPUT,
            "%s: the betas leave no signal and noise at train step %d "
            "(cumulative alpha %g)",
            weft_option_place(f, "trained_betas"), i, abar[i]);
    }
    return WEFT_OK;
}

/* Zero terminal SNR (arXiv 2305.08891, algorithm 1): the square roots are
 * shifted and stretched so that the first stays and the last is 0; then betas
 * and their product once more. In place. */
static void rescale(int n, double *abar)
{
    const float first = sqrtf((float)abar[0]), last = sqrtf((float)abar[n - 1]);
    const float stretch = first / (first - last);
    float before = 1, beta;

    for (int i = 0; i < n; i++) {
        const float root = (sqrtf((float)abar[i]) - last) * stretch;
        const float now = root * root;

        beta = 1 - (i > 0 ? now / before : now);
        before = now;
        abar[i] = beta;
    }
    accumulate(n, abar);
}

weft_status weft_betas_read(const weft_options *f, const weft_betas *usual,
                            weft_noise_schedule *s)
{
    bool zero_snr = false;

    WEFT_TRY(weft_option_int(f, "num_train_timesteps", 1000, 1, TRAIN_STEPS_MAX,
                             &s->train_steps));
    s->abar = calloc((size_t)s->train_steps, sizeof *s->abar);
    if (!s->abar)
        return weft_fail(WEFT_ENOMEM, "no memory for %d train steps",
                         s->train_steps);
    WEFT_TRY(fill_betas(f, usual, s->train_steps, s->abar));
    accumulate(s->train_steps, s->abar);
    WEFT_TRY(check(f, s->train_steps, s->abar));
    if (!usual->rescales)
        return weft_option_refuse_true(f, "rescale_betas_zero_snr");
    WEFT_TRY(weft_option_bool(f, "rescale_betas_zero_snr", false, &zero_snr));
    if (!zero_snr) return WEFT_OK;
    if (s->abar[0] == s->abar[s->train_steps - 1])
        return weft_fail(WEFT_EINPUT,
                         "%s: rescale_betas_zero_snr needs betas that take "
                         "signal away",
                         weft_option_place(f, "rescale_betas_zero_snr"));
    rescale(s->train_steps, s->abar);
    s->abar[s->train_steps - 1] = usual->least;
    return check(f, s->train_steps - 1, s->abar);
}
