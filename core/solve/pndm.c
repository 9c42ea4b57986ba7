/* PNDM (Liu et al. 2022, eq. 11 to 14): linear multistep on predictions, which
 * begins with three steps of Runge-Kutta, or (PLMS) with one step of Heun. */
#include "core/solve/methods.h"
#include "core/solve/nodes.h"

enum { ORDER = 4, RUNGE_KUTTA = 3 };

/* Buffers: predictions in turn; x ahead of its step; the sum over the stages of
 * Runge-Kutta. */
enum { AHEAD = ORDER, SUM };

static float *kept(const weft_solver *s, int i)
{
    return weft_solver_work(s, i % ORDER);
}

static bool by_runge_kutta(const weft_solver *s, int i)
{
    return s->schedule->runge_kutta && i < RUNGE_KUTTA;
}

static int stages(const weft_solver *s, int i)
{
    if (by_runge_kutta(s, i)) return 4;
    return i == s->first && !s->schedule->runge_kutta && s->steps > 1 ? 2 : 1;
}

/* The node that PLMS's first step goes to. PNDMScheduler lists the second node
 * twice, and pipelines that begin with a picture begin `first` places further
 * on in that list: a node late, at `first` - 1 or twice at node 1. What follows
 * is the second step of a whole walk, so the step after the first goes on from
 * node `first` + 1. */
static int second_node(const weft_solver *s)
{
    return s->first > 1 ? s->first : 1;
}

static int begins(const weft_solver *s)
{
    return s->schedule->runge_kutta || s->first == 1 ? s->first
                                                     : second_node(s) - 1;
}

/* All of them walk down together, none is a question of another kind. */
static int lane(const weft_solver *s, int i, int k)
{
    (void)s;
    (void)i;
    (void)k;
    return 0;
}

/* How far the middle of a step is from its ends: half of a step of the train
 * steps' even division, whatever the spacing. */
static double half_step(const weft_solver *s, int i)
{
    const double half = (double)(s->schedule->train_steps / s->steps / 2);
    const double gap = s->time[i] - s->time[i + 1];

    return half < gap ? half : gap / 2;
}

/* Where stage k looks, but for the middle of a step. */
static int node_of(const weft_solver *s, int i, int k)
{
    if (by_runge_kutta(s, i)) return k == 3 ? i + 1 : i;
    if (stages(s, i) == 1) return i;
    return k ? second_node(s) : begins(s);
}

/* Stages 1 and 2 of Runge-Kutta are told the time of the middle as counted
 * from the end of the step. */
static double told(const weft_solver *s, int i, int k)
{
    if (by_runge_kutta(s, i) && (k == 1 || k == 2))
        return s->time[i + 1] + half_step(s, i);
    return s->time[node_of(s, i, k)];
}

/* Where x is in the stages of Runge-Kutta: stage 1's is counted from the start
 * of the step. */
static double middle(const weft_solver *s, int i, int k)
{
    const double half = half_step(s, i);

    return weft_abar_of(s->schedule,
                        k == 1 ? s->time[i] - half : s->time[i + 1] + half);
}

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    const bool between = by_runge_kutta(s, i) && (k == 1 || k == 2);

    q->in = (weft_input){.x = k ? weft_solver_work(s, AHEAD) : x,
                         .time = told(s, i, k),
                         .node = node_of(s, i, k),
                         .abar = between ? middle(s, i, k) : 0};
    q->answer[0] = kept(s, k ? i + 1 : i);
}

/* From node i to cumulative alpha `to`, by the prediction that is the sum of
 * c[j] m[j] (eq. 11). `out` may be x. */
static void transfer(const weft_solver *s, int i, double to, const double *c,
                     const float *const *m, int terms, const float *x,
                     float *out)
{
    const double at = s->abar[i];
    const weft_mix eps =
        weft_mix_eps(s->schedule->prediction, sqrt(at), sqrt(1 - at));
    const double along =
        (to - at) / (at * sqrt(1 - to) + sqrt(at * (1 - at) * to));
    double w[ORDER];

    for (int j = 0; j < terms; j++) w[j] = -along * eps.m * c[j];
    weft_combine(sqrt(to / at) - along * eps.x, x, w, m, terms, out,
                 weft_solver_floats(s));
}

static void runge_kutta(weft_solver *s, int i, int k, float *x)
{
    static const double part[] = {1. / 6, 1. / 3, 1. / 3, 1. / 6};
    static const double one = 1;
    const float *m = kept(s, k ? i + 1 : i);
    float *sum = weft_solver_work(s, SUM), *ahead = weft_solver_work(s, AHEAD);
    double to = s->abar[i + 1];

    if (k == 0)
        weft_scale(part[0], m, sum, weft_solver_floats(s));
    else
        weft_blend((weft_mix){1, part[k]}, sum, m, weft_solver_floats(s));
    if (k < 2) to = middle(s, i, k + 1);
    if (k == 3)
        transfer(s, i, to, &one, (const float *const[]){sum}, 1, x, x);
    else
        transfer(s, i, to, &one, &m, 1, x, ahead);
}

/* Adams-Bashforth of the order that the history allows. */
static void multistep(weft_solver *s, int i, float *x)
{
    static const double c[ORDER][ORDER] = {
        {1},
        {3. / 2, -1. / 2},
        {23. / 12, -16. / 12, 5. / 12},
        {55. / 24, -59. / 24, 37. / 24, -9. / 24}};
    const int before = weft_solver_history(s, i);
    const int order = before < ORDER ? before + 1 : ORDER;
    const float *m[ORDER];

    for (int j = 0; j < order; j++) m[j] = kept(s, i - j);
    transfer(s, i, s->abar[i + 1], c[order - 1], m, order, x, x);
}

/* PLMS's first step: to the next node, and again with the mean of the
 * predictions at both. */
static void heun(weft_solver *s, int i, int k, float *x)
{
    static const double one = 1, mean[] = {.5, .5};
    const float *m[] = {kept(s, i), kept(s, i + 1)};
    const int from = k ? second_node(s) - 1 : begins(s);

    if (k == 0)
        transfer(s, from, s->abar[from + 1], &one, m, 1, x,
                 weft_solver_work(s, AHEAD));
    else
        transfer(s, from, s->abar[from + 1], mean, m, 2, x, x);
}

static weft_status take(weft_solver *s, int i, int k, float *x)
{
    if (by_runge_kutta(s, i))
        runge_kutta(s, i, k, x);
    else if (stages(s, i) == 2)
        heun(s, i, k, x);
    else
        multistep(s, i, x);
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    unsigned bits = 0;

    for (int j = k ? 0 : 1; j < ORDER && j <= weft_solver_history(s, i); j++)
        bits |= 1u << (i - j) % ORDER;
    if (k) bits |= 1u << AHEAD;
    if (k && by_runge_kutta(s, i)) bits |= 1u << SUM;
    return bits;
}

const weft_solver_ops weft_pndm_ops = {.name = "pndm",
                                       .buffers = SUM + 1,
                                       .stages = stages,
                                       .lane = lane,
                                       .ask = ask,
                                       .take = take,
                                       .keeps = keeps,
                                       .begins = begins};
