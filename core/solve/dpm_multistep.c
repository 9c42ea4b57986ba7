/* DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, algorithm 2), and
 * k-diffusion's 2M and 3M SDE, which are the same with noise from a Brownian
 * tree and nothing special about the last steps. */
#include "core/solve/brownian.h"
#include "core/solve/dpm.h"

/* Buffers: dpm.h's, then the tree's. */

/* Rules of DPMSolverMultistepScheduler: where the last steps must, or in short
 * runs should, do with less history. */
static int order_of(const weft_solver *s, int i)
{
    const weft_noise_schedule *c = s->schedule;
    const bool brief = c->lower_order_final && s->steps < 15;
    int order = weft_solver_history(s, i) + 1;

    if (order > c->solver_order) order = c->solver_order;
    if (i == s->steps - 1 &&
        (c->euler_at_final || brief || c->final_sigma == WEFT_FINAL_ZERO ||
         s->sigma[i + 1] >= s->sigma[i])) /* the end repeats a level */
        order = 1;
    if (i == s->steps - 2 && brief && order > 2) order = 2;
    return order;
}

/* Weights of the predictions at nodes i, i - 1, i - 2, from those of their
 * differences by steps of h (methods 12.9). */
static void spread(const weft_solver *s, int i, int order, weft_dpm_terms t,
                   double *c)
{
    const double *sigma = s->sigma;
    const double h = log(sigma[i] / sigma[i + 1]);
    double r0, r1, first, second;

    c[0] = t.d0;
    if (order < 2) return;
    r0 = log(sigma[i - 1] / sigma[i]) / h;
    if (order == 2) {
        c[0] += t.d1 / r0;
        c[1] = -t.d1 / r0;
        return;
    }
    r1 = log(sigma[i - 2] / sigma[i - 1]) / h;
    if (s->schedule->exact3) t.d2 *= 2;
    first = (t.d1 + (t.d1 * r0 + t.d2) / (r0 + r1)) / r0;
    second = -(t.d1 * r0 + t.d2) / (r0 + r1) / r1;
    c[0] += first;
    c[1] = second - first;
    c[2] = -second;
}

/* The step without its noise, whose amount is returned. */
static double step(weft_solver *s, int i, float *x)
{
    const weft_noise_schedule *c = s->schedule;
    const int order = order_of(s, i);
    const weft_dpm_terms t =
        weft_dpm_step(c->algorithm, !c->heun, weft_level_at(s, i),
                      weft_level_at(s, i + 1), order);
    const float *m[3];
    double w[3];

    weft_dpm_convert(s, i, x, weft_dpm_kept(s, i));
    for (int j = 0; j < order; j++) m[j] = weft_dpm_kept(s, i - j);
    spread(s, i, order, t, w);
    weft_combine(t.x, x, w, m, order, x, weft_solver_floats(s));
    return t.noise;
}

/* A draw goes where the next prediction will: what is there has been used. */
static weft_status take(weft_solver *s, int i, int k, float *x)
{
    const double amount = step(s, i, x);

    (void)k;
    if (weft_dpm_draws(s, i))
        weft_solver_add_noise(s, amount, weft_dpm_kept(s, i + 1), x);
    return WEFT_OK;
}

static weft_status take_tree(weft_solver *s, int i, int k, float *x)
{
    const int order = s->schedule->solver_order;
    const double amount = step(s, i, x);
    float *const work[] = {weft_dpm_kept(s, i + 1), weft_solver_work(s, order),
                           weft_solver_work(s, order + 1)};

    (void)k;
    weft_brownian_add(s, s->sigma[i], s->sigma[i + 1], amount, work, x);
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    const int order = s->schedule->solver_order;
    unsigned bits = 0;

    (void)k;
    for (int j = 1; j < order && j <= weft_solver_history(s, i); j++)
        bits |= 1u << (i - j) % order;
    return bits;
}

const weft_solver_ops weft_dpmpp_2m_ops = {.name = "dpmpp_2m",
                                           .orders = true,
                                           .draws = weft_dpm_draws,
                                           .ask = weft_dpm_ask,
                                           .take = take,
                                           .keeps = keeps};
const weft_solver_ops weft_dpmpp_2m_sde_ops = {.name = "dpmpp_2m_sde",
                                               .buffers = 2,
                                               .orders = true,
                                               .ask = weft_dpm_ask,
                                               .take = take_tree,
                                               .keeps = keeps};
const weft_solver_ops weft_dpmpp_3m_sde_ops = {.name = "dpmpp_3m_sde",
                                               .buffers = 2,
                                               .orders = true,
                                               .ask = weft_dpm_ask,
                                               .take = take_tree,
                                               .keeps = keeps};
