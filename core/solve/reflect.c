/* W2SD, Z-Sampling and re-sampling over a solver that can be inverted. */
#include "core/solve/reflect.h"

#include <math.h>
#include <stdlib.h>

#include "core/solve/methods.h"

enum { ROUNDS_MAX = 1000 };

typedef struct reflect {
    weft_solver base;
    weft_solver_ops ops; /* the table with this method's name */
    weft_reflect_opts o;
} reflect;

static const reflect *of(const weft_solver *s) { return (const reflect *)s; }

/* ---- stages -------------------------------------------------------------- */

/* Down and up again, but that fresh noise asks nobody. */
static int stages_per_round(const reflect *r) { return r->o.resample ? 1 : 2; }

static int stages(const weft_solver *s, int i)
{
    const reflect *r = of(s);

    return 1 + (i < r->o.lambda ? r->o.rounds * stages_per_round(r) : 0);
}

static int role(const weft_solver *s, int i, int k)
{
    if (k == stages(s, i) - 1) return WEFT_REFLECT_ORDINARY;
    return k % stages_per_round(of(s)) ? WEFT_REFLECT_WEAK
                                       : WEFT_REFLECT_STRONG;
}

static void who(const weft_solver *s, int i, int k, weft_question *q)
{
    q->who[0] = role(s, i, k);
}

/* The ordinary step asks the same question on every step, whether or not a
 * round trip came first. */
static int lane(const weft_solver *s, int i, int k)
{
    return k == stages(s, i) - 1 ? 0 : 1 + k;
}

static int draws(const weft_solver *s, int i)
{
    const reflect *r = of(s);
    const int down = 1 + (i < r->o.lambda ? r->o.rounds : 0);

    return down * weft_solver_draws(s->inner, i) +
           (r->o.resample ? down - 1 : 0);
}

/* ---- steps --------------------------------------------------------------- */

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    (void)k;
    s->inner->ops->ask(s->inner, i, 0, x, q);
}

/* From node i + 1 to node i by the forward process: x_hi given x_lo. */
static void noise_again(weft_solver *inner, int i, float *x)
{
    const double left = inner->abar[i] / inner->abar[i + 1];

    weft_scale(sqrt(left), x, x, weft_solver_floats(inner));
    weft_solver_add_noise(inner, sqrt(fmax(1 - left, 0)),
                          weft_solver_work(inner, 0), x);
}

static weft_status take(weft_solver *s, int i, int k, float *x)
{
    const reflect *r = of(s);
    const int at = role(s, i, k);
    const int from = i + 1 + r->o.inverse_offset;

    if (at == WEFT_REFLECT_WEAK)
        return s->inner->ops->invert(s->inner, from, from - 1, x);
    WEFT_TRY(s->inner->ops->take(s->inner, i, 0, x));
    if (at == WEFT_REFLECT_STRONG && r->o.resample) noise_again(s->inner, i, x);
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    (void)k;
    return weft_solver_keeps(s->inner, i, 0);
}

/* ---- making -------------------------------------------------------------- */

static const weft_solver_ops reflect_ops = {.stages = stages,
                                            .who = who,
                                            .lane = lane,
                                            .draws = draws,
                                            .ask = ask,
                                            .take = take,
                                            .keeps = keeps};

static weft_status check_inverses(const weft_reflect_opts *o,
                                  const weft_solver *inner)
{
    weft_status st = WEFT_OK;

    if (inner->eta > 0 && !o->resample)
        return weft_fail(WEFT_EINPUT,
                         "%s takes eta 0, not %g: no inverse undoes the noise "
                         "of a step",
                         o->name, inner->eta);
    for (int i = 0; i < o->lambda && st == WEFT_OK; i++)
        st = weft_solver_can_invert(inner, i + 1 + o->inverse_offset);
    return st == WEFT_OK ? st : weft_fail_within(st, "%s", o->name);
}

static weft_status check(const weft_reflect_opts *o, const weft_solver *inner)
{
    WEFT_MUST(o->inverse_offset == 0 ||
              (o->inverse_offset == 1 && !o->resample));
    if (o->rounds < 1 || o->rounds > ROUNDS_MAX)
        return weft_fail(WEFT_EINPUT, "%s: %d rounds are not within 1 to %d",
                         o->name, o->rounds, ROUNDS_MAX);
    if (!inner->ops->can_invert)
        return weft_fail(WEFT_EINPUT,
                         "%s needs a solver with an inverse: %s has none, ddim "
                         "has",
                         o->name, inner->ops->name);
    if (o->lambda < 0 || o->lambda > inner->steps)
        return weft_fail(WEFT_EINPUT,
                         "%s: lambda %d is not within 0 to the %d steps",
                         o->name, o->lambda, inner->steps);
    if (o->inverse_offset && o->lambda >= inner->steps)
        return weft_fail(WEFT_EINPUT,
                         "%s: inverse_offset 1 needs a lambda below the %d "
                         "steps: the last step has no level below its end",
                         o->name, inner->steps);
    return check_inverses(o, inner);
}

weft_status weft_reflect_create(const weft_reflect_opts *o, weft_solver *inner,
                                weft_solver **s)
{
    reflect *r;

    WEFT_TRY(check(o, inner));
    r = calloc(1, sizeof *r);
    if (!r) return weft_fail(WEFT_ENOMEM, "no memory for a solver");
    r->ops = reflect_ops;
    r->ops.name = o->name;
    weft_solver_wrap(&r->base, &r->ops, inner);
    r->base.denoisers = o->resample ? 2 : 3;
    r->o = *o;
    *s = &r->base;
    return WEFT_OK;
}
