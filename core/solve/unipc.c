/* UniPC (Zhao et al. 2023, algorithms 1 and 2; methods 12.10): a multistep
 * predictor, and a corrector that uses the prediction made at the end of its
 * step, so costs no evaluation. */
#include "core/solve/dpm.h"

enum { ORDER = 3 };

/* Buffers: predictions in turn, one more than the order; the corrected x of the
 * last node. */
static float *kept(const weft_solver *s, int i)
{
    return weft_solver_work(s, i % (s->schedule->solver_order + 1));
}

static float *last_x(const weft_solver *s)
{
    return weft_solver_work(s, s->schedule->solver_order + 1);
}

static int order_of(const weft_solver *s, int i)
{
    const int before = weft_solver_history(s, i);
    int order = s->schedule->solver_order;

    if (s->schedule->lower_order_final && s->steps - i < order)
        order = s->steps - i;
    return before + 1 < order ? before + 1 : order;
}

/* Gaussian elimination with pivots; a: [n][ORDER], the solution comes in b. */
static void solve(int n, double a[ORDER][ORDER], double *b)
{
    for (int k = 0; k < n; k++) {
        int best = k;

        for (int r = k + 1; r < n; r++)
            if (fabs(a[r][k]) > fabs(a[best][k])) best = r;
        for (int c = 0; c < n; c++) {
            const double v = a[k][c];

            a[k][c] = a[best][c];
            a[best][c] = v;
        }
        const double v = b[k];

        b[k] = b[best];
        b[best] = v;
        for (int r = 0; r < n; r++) {
            const double f = a[r][k] / a[k][k];

            if (r == k) continue;
            for (int c = k; c < n; c++) a[r][c] -= f * a[k][c];
            b[r] -= f * b[k];
        }
    }
    for (int k = 0; k < n; k++) b[k] /= a[k][k];
}

/* rho for points at r (eq. 8): `n` of them; b_j = f_j j! / B. */
static void weigh(int n, const double *r, double hh, double scale, double *rho)
{
    double a[ORDER][ORDER], factorial = 1;

    for (int j = 0; j < n; j++) {
        factorial *= j + 1;
        rho[j] = weft_phi(hh, j + 1) * factorial / scale;
        for (int k = 0; k < n; k++) a[j][k] = pow(r[k], j);
    }
    solve(n, a, rho);
}

/* The update from node i to node i + 1 by predictions of nodes i, i - 1, ..,
 * as many as the order, and where `corrects` that of node i + 1; x is at node
 * i. */
static void update(const weft_solver *s, int i, int order, bool corrects,
                   const float *x, float *out)
{
    const weft_noise_schedule *c = s->schedule;
    const weft_level from = weft_level_at(s, i), to = weft_level_at(s, i + 1);
    const bool x0 = weft_dpm_keeps_x0(c->algorithm);
    const double h = log(from.sigma / to.sigma);
    const double hh = x0 ? -h : h, scale = c->bh1 ? hh : expm1(hh);
    const double amount = x0 ? to.a : to.b;
    const int points = order - 1 + corrects;
    double r[ORDER], rho[ORDER] = {.5}, w[ORDER + 1];
    const float *m[ORDER + 1] = {kept(s, i)};

    for (int k = 1; k < order; k++) {
        m[k] = kept(s, i - k);
        r[k - 1] = log(from.sigma / s->sigma[i - k]) / h;
    }
    if (corrects) {
        m[order] = kept(s, i + 1);
        r[order - 1] = 1;
    }
    /* Alone, a point has 1/2, and so has the predictor's of order 2. */
    if (points > 1) weigh(points, r, hh, scale, rho);
    w[0] = -amount * expm1(hh);
    for (int k = 0; k < points; k++) {
        w[k + 1] = -amount * scale * rho[k] / r[k];
        w[0] -= w[k + 1];
    }
    weft_combine(x0 ? to.b / from.b : to.a / from.a, x, w, m, points + 1, out,
                 weft_solver_floats(s));
}

static bool corrects(const weft_solver *s, int i)
{
    const weft_noise_schedule *c = s->schedule;

    if (weft_solver_history(s, i) < 1) return false;
    for (int k = 0; k < c->nuncorrected; k++)
        if (c->uncorrected[k] == i - 1) return false;
    return true;
}

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    (void)k;
    weft_ask_at(s, i, x, kept(s, i), q);
}

static weft_status take(weft_solver *s, int i, int k, float *x)
{
    float *last = last_x(s);

    (void)k;
    weft_dpm_convert(s, i, x, kept(s, i));
    if (corrects(s, i)) update(s, i - 1, order_of(s, i - 1), true, last, x);
    weft_scale(1, x, last, weft_solver_floats(s));
    update(s, i, order_of(s, i), false, last, x);
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    const int order = s->schedule->solver_order;
    const int before = weft_solver_history(s, i);
    unsigned bits = before > 0 ? 1u << (order + 1) : 0;

    (void)k;
    for (int j = 1; j <= order && j <= before; j++)
        bits |= 1u << (i - j) % (order + 1);
    return bits;
}

const weft_solver_ops weft_unipc_ops = {.name = "unipc",
                                        .buffers = 2,
                                        .orders = true,
                                        .ask = ask,
                                        .take = take,
                                        .keeps = keeps};
