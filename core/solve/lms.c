/* Linear multistep of order 4 in Karras' coordinates (Katherine Crowson's
 * sample_lms; methods 12.6): the slope is a polynomial through the last ones,
 * integrated exactly. */
#include "core/solve/methods.h"

enum { ORDER = 4 };

/* Buffers: 0 what the net reads, then the slopes in turn. */
static float *slope_of(const weft_solver *s, int i)
{
    return weft_solver_work(s, 1 + i % ORDER);
}

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    (void)k;
    weft_ask_scaled(s, i, s->time[i], s->sigma[i], x, slope_of(s, i), q);
}

/* At sigma u, of the polynomial that is 1 at node i - j and 0 at the others. */
static double basis(const weft_solver *s, int i, int order, int j, double u)
{
    const double *sigma = s->sigma;
    double product = 1;

    for (int m = 0; m < order; m++)
        if (m != j)
            product *= (u - sigma[i - m]) / (sigma[i - j] - sigma[i - m]);
    return product;
}

/* Simpson's rule is exact for cubics. */
static double weight(const weft_solver *s, int i, int order, int j)
{
    const double from = s->sigma[i], to = s->sigma[i + 1];

    return (to - from) / 6 *
           (basis(s, i, order, j, from) +
            4 * basis(s, i, order, j, (from + to) / 2) +
            basis(s, i, order, j, to));
}

/* Where a walk begins with a picture, LMSDiscreteScheduler weighs its first
 * slopes as if those of the nodes before were there, and leaves these out. */
static weft_status take(weft_solver *s, int i, int k, float *x)
{
    const int order = i < ORDER ? i + 1 : ORDER;
    const int before = weft_solver_history(s, i);
    const int terms = before < order ? before + 1 : order;
    const float *slope[ORDER];
    double c[ORDER];

    (void)k;
    weft_slope(s, i, x, slope_of(s, i));
    for (int j = 0; j < terms; j++) {
        slope[j] = slope_of(s, i - j);
        c[j] = weight(s, i, order, j);
    }
    weft_combine(1, x, c, slope, terms, x, weft_solver_floats(s));
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    unsigned bits = 0;

    (void)k;
    for (int j = 1; j < ORDER && j <= weft_solver_history(s, i); j++)
        bits |= 1u << (1 + (i - j) % ORDER);
    return bits;
}

const weft_solver_ops weft_lms_ops = {.name = "lms",
                                      .buffers = 1 + ORDER,
                                      .ask = ask,
                                      .take = take,
                                      .keeps = keeps};
