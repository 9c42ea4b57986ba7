/* Karras et al. 2022, eq. 5; exponential; beta (arXiv 2407.12173); Lu et al.
 * 2022 (even in ln sigma). */
#include "core/solve/respace.h"

#include <math.h>

#define SHAPE .6 /* both parameters of the beta distribution */

/* Part of the beta distribution below x, for x up to 1/2: x^a / (a B) times the
 * series of (1 - t)^(a - 1), which there gains a bit with every term. */
static double beta_below(double x)
{
    const double scale =
        exp(2 * lgamma(SHAPE) - lgamma(2 * SHAPE)); /* B(.6, .6) */
    double term = 1, sum = 1 / SHAPE;

    for (int k = 1; k < 80; k++) {
        term *= (k - SHAPE) / k * x;
        sum += term / (SHAPE + k);
    }
    return pow(x, SHAPE) * sum / scale;
}

double weft_beta_inverse(double p)
{
    const bool upper = p > .5; /* the distribution is symmetric */
    const double part = upper ? 1 - p : p;
    double low = 0, high = .5;

    if (!(part > 0)) return upper ? 1 : 0;
    for (int k = 0; k < 200; k++) {
        const double middle = (low + high) / 2;

        if (beta_below(middle) < part)
            low = middle;
        else
            high = middle;
    }
    return upper ? 1 - high : high;
}

/* numpy.linspace(from, to, n)[i] */
static double between(double from, double to, int n, int i)
{
    if (n == 1) return from;
    return i == n - 1 ? to : from + i * ((to - from) / (n - 1));
}

double weft_respaced(weft_respacing r, double max, double min, int n, int i)
{
    const double part = between(0, 1, n, i);

    switch (r) {
    case WEFT_RESPACED_KARRAS:
        return pow(
            pow(max, 1. / 7) + part * (pow(min, 1. / 7) - pow(max, 1. / 7)), 7);
    case WEFT_RESPACED_EXPONENTIAL:
        return exp(between(log(max), log(min), n, i));
    case WEFT_RESPACED_LU: /* whose class takes logarithms in float32 */
        return exp((float)log(max) +
                   part * ((float)log(min) - (float)log(max)));
    default:
        return min + weft_beta_inverse(1 - part) * (max - min);
    }
}
