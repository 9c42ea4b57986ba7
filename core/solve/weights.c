#include "core/solve/weights.h"

#include <math.h>

enum { MOST = WEFT_SUPERPOSED, SWEEPS = 60 };

void weft_weights_or(int m, double temperature, const double *ll,
                     const double *bias, double *kappa)
{
    double most = -INFINITY, sum = 0;

    for (int i = 0; i < m; i++) {
        kappa[i] = temperature * ll[i] + bias[i];
        most = fmax(most, kappa[i]);
    }
    for (int i = 0; i < m; i++) sum += kappa[i] = exp(kappa[i] - most);
    for (int i = 0; i < m; i++) kappa[i] /= sum;
}

/* ---- least norm ---------------------------------------------------------- */

typedef double square[MOST][MOST];

static double dot(const double *a, const double *b, int m)
{
    double sum = 0;

    for (int i = 0; i < m; i++) sum += a[i] * b[i];
    return sum;
}

static void rotate(double *a, double *b, double c, double s, int m)
{
    for (int i = 0; i < m; i++) {
        const double x = a[i];

        a[i] = c * x - s * b[i];
        b[i] = s * x + c * b[i];
    }
}

/* Make two columns of w orthogonal by a rotation, which v follows; were they
 * not already? */
static bool orthogonalise(square w, square v, int p, int q, int m)
{
    const double a = dot(w[p], w[p], m), b = dot(w[q], w[q], m);
    const double g = dot(w[p], w[q], m);
    double zeta, t, c;

    if (!(fabs(g) > 1e-15 * sqrt(a * b))) return false;
    zeta = (b - a) / (2 * g);
    t = copysign(1, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    c = 1 / sqrt(1 + t * t);
    rotate(w[p], w[q], c, c * t, m);
    rotate(v[p], v[q], c, c * t, m);
    return true;
}

/* w v = u s by one-sided Jacobi: from w = B, v = 1 to orthogonal columns (which
 * stand in rows here) and the rotation that made them so. */
static void decompose(square w, square v, int m)
{
    bool again = true;

    for (int k = 0; k < SWEEPS && again; k++) {
        again = false;
        for (int p = 0; p < m; p++)
            for (int q = p + 1; q < m; q++)
                again |= orthogonalise(w, v, p, q, m);
    }
}

/* y = B^+ r, with singular values that are rounding errors taken for 0. */
static void least_norm(square w, square v, const double *r, double *y, int m)
{
    double most = 0;

    for (int j = 0; j < m; j++) most = fmax(most, dot(w[j], w[j], m));
    for (int i = 0; i < m; i++) y[i] = 0;
    for (int j = 0; j < m; j++) {
        const double s2 = dot(w[j], w[j], m);

        if (!(s2 > 1e-24 * most)) continue;
        for (int i = 0; i < m; i++) y[i] += v[j][i] * dot(w[j], r, m) / s2;
    }
}

/* Take the mean from m values that lie `step` apart. */
static void centre(double *x, int m, int step)
{
    double mean = 0;

    for (int i = 0; i < m; i++) mean += x[i * step] / m;
    for (int i = 0; i < m; i++) x[i * step] -= mean;
}

/* Without the common c the system is B y = r for y = kappa - 1 / m, where B is
 * gram with the means of rows and columns taken out: y then sums to 0. */
void weft_weights_and(int m, const double *gram, const double *rhs,
                      double *kappa)
{
    square w, v = {{0}};
    double r[MOST];

    for (int i = 0; i < m; i++) {
        r[i] = rhs[i];
        for (int j = 0; j < m; j++) {
            r[i] -= gram[i * m + j] / m;
            w[j][i] = gram[i * m + j]; /* column j */
        }
        v[i][i] = 1;
    }
    centre(r, m, 1);
    for (int j = 0; j < m; j++) centre(w[j], m, 1);
    for (int i = 0; i < m; i++) centre(&w[0][i], m, MOST);
    decompose(w, v, m);
    least_norm(w, v, r, kappa, m);
    for (int i = 0; i < m; i++) kappa[i] += 1. / m;
}
