/* Superposition against closed forms: models of independent normal elements,
 * whose predictions and densities are known at every level. */
#include "core/solve/superpose.h"
#include "tests/core/solver_run.h"

#define CONFIG                                                                 \
    "{\"beta_start\": 0.0001, \"beta_end\": 0.02, \"clip_sample\": false,"     \
    "\"set_alpha_to_one\": false, \"final_sigmas_type\": \"sigma_min\","       \
    "\"timestep_spacing\": \"trailing\", \"prediction_type\": "

static const char *const config[] = {
    CONFIG "\"epsilon\"}", CONFIG "\"v_prediction\"}", CONFIG "\"sample\"}"};

enum { NETS = 6, SAMPLES = 256 };

typedef struct normal {
    double mean, var;
} normal;

static double predict(normal d, weft_prediction p, double abar, double x)
{
    const double a = sqrt(abar), b = sqrt(1 - abar);
    const double eps = b * (x - a * d.mean) / (abar * d.var + 1 - abar);
    const double x0 = (x - b * eps) / a;

    if (p == WEFT_PREDICT_EPSILON) return eps;
    return p == WEFT_PREDICT_SAMPLE ? x0 : a * eps - b * x0;
}

/* ln q of one element at a level. */
static double log_of(normal d, double abar, double x)
{
    const double var = abar * d.var + 1 - abar, off = x - sqrt(abar) * d.mean;

    return -(off * off / var + log(2 * acos(-1) * var)) / 2;
}

/* ---- a superposition of such nets ---------------------------------------- */

typedef struct rig {
    weft_noise_schedule c;
    weft_solver *s;
    toy net[NETS];
    normal of[NETS];
    weft_denoiser *ask[NETS];
    weft_noise *noise;
    weft_field f;
    int n; /* samples */
    size_t floats;
    float *buffer, *x;
} rig;

static float normal_rule(const toy *t, double x, int k, double time)
{
    const rig *r = t->arg;

    (void)k;
    (void)time;
    return (float)predict(r->of[t->which], r->c.prediction,
                          r->s->abar[t->in.node], x);
}

static void rig_open(rig *r, int prediction, weft_solver_opts so,
                     weft_superpose_opts o, const normal *of, weft_field f,
                     int n)
{
    const weft_batch b = {f.rows, n, f.w, f.c};
    weft_solver *inner;

    memset(r, 0, sizeof *r);
    r->f = f;
    r->n = n;
    r->c = read_schedule(so.kind, config[prediction]);
    assert_int_equal(weft_solver_create(&so, &r->c, &inner), WEFT_OK);
    o.name = "superdiff";
    if (weft_superpose_create(&o, inner, &r->s) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    r->floats = weft_batch_floats(&b);
    r->buffer = malloc(weft_solver_buffer_floats(r->s, &b) * sizeof(float));
    r->x = malloc(r->floats * sizeof(float));
    r->noise = malloc((size_t)n * sizeof *r->noise);
    for (int k = 0; k < n; k++)
        weft_noise_init(&r->noise[k], WEFT_RNG_COUNTER, (uint64_t)(SEED + k));
    assert_int_equal(weft_solver_bind(r->s, &b, &f, r->noise, r->buffer),
                     WEFT_OK);
    for (int k = 0; k < r->s->denoisers; k++) {
        r->of[k] = of[k];
        r->net[k] = (toy){.base = {.ops = &toy_ops, .batch = b},
                          .field = f,
                          .rule = normal_rule,
                          .solver = r->s,
                          .which = k,
                          .arg = r};
        r->ask[k] = &r->net[k].base;
    }
    assert_int_equal(weft_solver_start(r->s, r->x), WEFT_OK);
}

static void rig_close(rig *r)
{
    weft_solver_destroy(r->s);
    weft_noise_schedule_release(&r->c);
    free(r->noise);
    free(r->buffer);
    free(r->x);
}

/* ln q of model `net` at node i for sample k. */
static double exact(const rig *r, int net, int k, int i)
{
    const size_t sample = (size_t)r->f.w * (size_t)r->f.c;
    const bool karras = r->s->kind == WEFT_EULER_A;
    const double to_vp = karras ? sqrt(r->s->abar[i]) : 1;
    double sum = 0;

    for (size_t at = 0; at < r->floats; at++)
        if ((int)(at / sample) % r->n == k)
            sum += log_of(r->of[net], r->s->abar[i], r->x[at] * to_vp);
    return sum;
}

static void rig_step(rig *r, int i)
{
    if (weft_solver_step(r->s, i, r->ask, r->x) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
}

static weft_solver_opts stochastic(weft_solver_kind kind, int steps)
{
    return (weft_solver_opts){
        .kind = kind, .steps = steps, .eta = kind == WEFT_DDIM};
}

static const weft_solver_kind processes[] = {WEFT_DDIM, WEFT_EULER_A};

/* ---- densities ----------------------------------------------------------- */

/* Where all deviations are 1 the density is exact for any steps. */
static void test_density_is_exact_for_unit_deviation(void **state)
{
    static const normal of[] = {{1.5, 1}, {-.7, 1}, {.2, 1}};

    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int p = 0; p < 3; p++) {
            double start[3];
            rig r;

            rig_open(&r, p, stochastic(processes[kind], 6),
                     (weft_superpose_opts){.kind = WEFT_SUPERPOSE_AVERAGE,
                                           .models = 3},
                     of, (weft_field){2, 4, 3, 0, 4, 0, 3}, 2);
            assert_int_equal(r.s->models, 3);
            for (int m = 0; m < 3; m++)
                start[m] = r.s->log_density[3 + m] - exact(&r, m, 1, 0);
            for (int i = 0; i < 6; i++) {
                rig_step(&r, i);
                for (int m = 0; m < 3; m++)
                    assert_true(fabs(r.s->log_density[3 + m] - start[m] -
                                     exact(&r, m, 1, i + 1)) < 1e-4);
            }
            rig_close(&r);
        }
}

/* The start is ln N(x_T; 0, 1) in VP coordinates, whatever the solver's. */
static void test_density_starts_as_noise(void **state)
{
    static const normal of[] = {{1, 1}, {-1, 1}};

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        const bool karras = processes[kind] == WEFT_EULER_A;
        double want = 0;
        rig r;

        rig_open(&r, 0, stochastic(processes[kind], 3),
                 (weft_superpose_opts){.kind = WEFT_SUPERPOSE_OR, .models = 2},
                 of, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        for (int e = 0; e < 24; e++)
            want += log_of((normal){0, 1}, 0,
                           r.x[e] * (karras ? sqrt(r.s->abar[0]) : 1));
        assert_float_equal(r.s->log_density[0], want, 1e-9 * fabs(want));
        assert_float_equal(r.s->log_density[1], want, 1e-9 * fabs(want));
        rig_close(&r);
    }
}

/* Rms error of the difference of two models' log-densities, over samples, as a
 * part of its rms size; nodes even in ln sigma. */
static double density_error(weft_solver_kind kind, int steps)
{
    static const normal of[] = {{.8, .5}, {-.3, 1.4}};
    double *sigmas = malloc((size_t)steps * sizeof *sigmas);
    double off = 0, size = 0;
    const weft_solver_opts so = {.kind = kind,
                                 .sigmas = sigmas,
                                 .nnodes = steps,
                                 .eta = kind == WEFT_DDIM};
    rig r;

    for (int i = 0; i < steps; i++)
        sigmas[i] = 100 * pow(.0100005 / 100, (double)i / steps);
    rig_open(&r, 0, so,
             (weft_superpose_opts){
                 .kind = WEFT_SUPERPOSE_OR, .models = 2, .temperature = 1},
             of, (weft_field){2, 4, 3, 0, 4, 0, 3}, SAMPLES);
    for (int i = 0; i < steps; i++) rig_step(&r, i);
    for (int k = 0; k < SAMPLES; k++) {
        const double *ll = r.s->log_density + 2 * k;
        const double want = exact(&r, 0, k, steps) - exact(&r, 1, k, steps);

        off += pow(ll[0] - ll[1] - want, 2);
        size += pow(want, 2);
    }
    rig_close(&r);
    free(sigmas);
    return sqrt(off / size);
}

/* Within 2 % at 1000 steps, twice as bad at 250; the order falls from 1 to the
 * 1/2 of the path's randomness. */
static void test_density_converges(void **state)
{
    static const int steps[] = {62, 250, 1000};

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        double off[3];

        for (int k = 0; k < 3; k++) {
            off[k] = density_error(processes[kind], steps[k]);
            print_message("%s, %d steps: off by %.2f %%%s",
                          weft_solver_name[processes[kind]], steps[k],
                          100 * off[k], k ? "" : "\n");
            if (k)
                print_message(", order %.2f\n",
                              log(off[k - 1] / off[k]) /
                                  log(steps[k] / (double)steps[k - 1]));
        }
        assert_true(off[2] < .02);
        assert_true(off[1] > 1.8 * off[2]);
        assert_true(off[0] > 1.8 * off[1]);
    }
}

/* ---- OR ------------------------------------------------------------------ */

static double part_above(const rig *r)
{
    int above = 0;

    for (int k = 0; k < r->n; k++) above += r->x[k] > 0;
    return above / (double)r->n;
}

/* Samples of two separated normals fall to each by its weight. */
static void test_or_samples_the_mixture(void **state)
{
    static const normal of[] = {{1, .04}, {-1, .04}};
    static const double weights[] = {.5, .3, .9};
    enum { DRAWN = 4096 };

    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int w = 0; w < 3; w++) {
            const double bias[] = {log(weights[w]), log(1 - weights[w])};
            const double error = sqrt(weights[w] * (1 - weights[w]) / DRAWN);
            rig r;

            rig_open(&r, 0, stochastic(processes[kind], 200),
                     (weft_superpose_opts){.kind = WEFT_SUPERPOSE_OR,
                                           .models = 2,
                                           .temperature = 1,
                                           .bias = bias},
                     of, (weft_field){1, 1, 1, 0, 1, 0, 1}, DRAWN);
            for (int i = 0; i < 200; i++) rig_step(&r, i);
            print_message("%s, weight %.1f: %.4f, standard error %.4f\n",
                          weft_solver_name[processes[kind]], weights[w],
                          part_above(&r), error);
            assert_true(fabs(part_above(&r) - weights[w]) < 3 * error);
            rig_close(&r);
        }
}

/* A high temperature takes the likelier model alone; none takes the mean. */
static void test_or_temperature(void **state)
{
    static const normal of[] = {{1, 1}, {-1, 1}};

    (void)state;
    for (int hot = 0; hot < 2; hot++) {
        weft_solver_opts so = stochastic(WEFT_DDIM, 8);
        float before[24], z[24];
        weft_noise ahead;
        rig r;

        rig_open(&r, 0, so,
                 (weft_superpose_opts){.kind = WEFT_SUPERPOSE_OR,
                                       .models = 2,
                                       .temperature = hot ? 1e6 : 0},
                 of, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        for (int i = 0; i < 8; i++) {
            const double hi = r.s->abar[i], lo = r.s->abar[i + 1];
            const double beta = 1 - hi / lo;
            const double s = sqrt((1 - lo) / (1 - hi) * beta);
            const int first = r.s->log_density[0] > r.s->log_density[1];

            memcpy(before, r.x, sizeof before);
            ahead = r.noise[0];
            weft_noise_fill(&ahead, &r.f, z, 6);
            rig_step(&r, i);
            for (int e = 0; e < 24 && i > 0; e++) {
                const double x = before[e], mean = hot ? first ? 1 : -1 : 0;
                const double eps = sqrt(1 - hi) * (x - sqrt(hi) * mean);
                const double want =
                    (x - beta / sqrt(1 - hi) * eps) / sqrt(hi / lo) + s * z[e];

                assert_float_equal(r.x[e], want, 2e-6 * (1 + fabs(want)));
            }
        }
        rig_close(&r);
    }
}

/* The released sign adds the quadratic term twice, once for what it lacks. */
static void test_quirk(void **state)
{
    static const normal of[] = {{1, .5}, {-1, 2}};
    double hi, left, ll[2][2], square[2] = {0, 0};
    rig r;

    (void)state;
    for (int quirk = 0; quirk < 2; quirk++) {
        rig_open(&r, 0, stochastic(WEFT_DDIM, 8),
                 (weft_superpose_opts){.kind = WEFT_SUPERPOSE_OR,
                                       .models = 2,
                                       .temperature = 1,
                                       .quirk = quirk},
                 of, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        hi = r.s->abar[0];
        left = hi / r.s->abar[1];
        for (int m = 0; m < 2; m++) {
            square[m] = 0;
            for (int e = 0; e < 24; e++)
                square[m] +=
                    pow(predict(of[m], WEFT_PREDICT_EPSILON, hi, r.x[e]), 2);
        }
        rig_step(&r, 0);
        memcpy(ll[quirk], r.s->log_density, sizeof ll[quirk]);
        rig_close(&r);
    }
    for (int m = 0; m < 2; m++)
        assert_true(fabs(ll[1][m] - ll[0][m] -
                         square[m] * (1 - left) / left / (1 - hi)) < 1e-5);
}

/* ---- AND ----------------------------------------------------------------- */

static const normal many[] = {{.8, .5}, {-.3, 1.4}, {.1, .2},
                              {0, 1},   {.2, 2},    {-.1, .7}};

/* Every step changes all densities alike, but for bias / steps each. */
static void check_equal_changes(weft_solver_kind kind, weft_superpose_opts o,
                                const normal *of)
{
    enum { STEPS = 25, N = 2 };
    rig r;

    rig_open(&r, kind == WEFT_DDIM, stochastic(kind, STEPS), o, of,
             (weft_field){2, 4, 3, 0, 4, 0, 3}, N);
    for (int i = 0; i < STEPS; i++) {
        double before[N * NETS];

        memcpy(before, r.s->log_density,
               (size_t)(N * o.models) * sizeof *before);
        rig_step(&r, i);
        for (int k = 0; k < N * o.models; k++) {
            const int first = k / o.models * o.models, m = k % o.models;
            const double change = r.s->log_density[k] - before[k];
            const double lead = r.s->log_density[first] - before[first];
            double want = o.bias ? (o.bias[m] - o.bias[0]) / STEPS : 0;

            if (m == 1) want += o.lift / STEPS;
            assert_true(fabs(change - lead - want) <= 1e-6);
        }
    }
    rig_close(&r);
}

static void test_and_changes_densities_alike(void **state)
{
    static const double bias[] = {2, -1, .5};

    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int models = 2; models <= 3; models++) {
            weft_superpose_opts o = {.kind = WEFT_SUPERPOSE_AND,
                                     .models = models,
                                     .guidance = {.scale = 1.7}};

            check_equal_changes(processes[kind], o, many);
            o.unconds = 1;
            check_equal_changes(processes[kind], o, many);
            o.unconds = models;
            check_equal_changes(processes[kind], o, many);
            o.bias = bias;
            check_equal_changes(processes[kind], o, many);
            o.lift = models == 2 ? -3 : 0;
            check_equal_changes(processes[kind], o, many);
        }
}

/* Two of three models are one: no weights are refused or lost. */
static void test_and_of_dependent_models(void **state)
{
    static const normal same[] = {{.8, .5}, {.8, .5}, {.8, .5}};
    static const normal two[] = {{.8, .5}, {-.3, 1.4}, {.8, .5}};
    const weft_superpose_opts o = {.kind = WEFT_SUPERPOSE_AND, .models = 3};

    (void)state;
    check_equal_changes(WEFT_DDIM, o, same);
    check_equal_changes(WEFT_DDIM, o, two);
}

/* ---- average ------------------------------------------------------------- */

/* One net whose prediction is the mixture. */
typedef struct mixed {
    const rig *r;
    double part[NETS];
} mixed;

static float mixed_rule(const toy *t, double x, int k, double time)
{
    const mixed *m = t->arg;
    double sum = 0;

    (void)k;
    (void)time;
    for (int j = 0; j < m->r->s->denoisers; j++)
        sum += m->part[j] * predict(m->r->of[j], m->r->c.prediction,
                                    m->r->s->abar[t->in.node], x);
    return (float)sum;
}

/* Any solver goes the way it goes with one net that predicts the average. */
static void check_average(weft_solver_opts so, int unconds)
{
    static const double bias[] = {1, 3};
    const double w = unconds ? 2.5 : 1;
    mixed m = {.part = {w / 4, w * 3 / 4}};
    weft_superpose_opts o = {.kind = WEFT_SUPERPOSE_AVERAGE,
                             .models = 2,
                             .unconds = unconds,
                             .guidance = {.scale = w},
                             .bias = bias};
    rig r;
    run plain;

    rig_open(&r, 1, so, o, many, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
    m.r = &r;
    m.part[2] = unconds == 1 ? 1 - w : unconds == 2 ? (1 - w) / 4 : 0;
    m.part[3] = unconds == 2 ? (1 - w) * 3 / 4 : 0;
    run_open(&plain, &so, &r.c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
    plain.net.rule = mixed_rule;
    plain.net.arg = &m;
    weft_noise_init(&plain.noise[0], WEFT_RNG_COUNTER, SEED);
    run_all(&plain);
    for (int image = 0; image < 2; image++) { /* the second forgets the first */
        weft_noise_init(&r.noise[0], WEFT_RNG_COUNTER, SEED);
        assert_int_equal(weft_solver_start(r.s, r.x), WEFT_OK);
        for (int i = 0; i < r.s->steps; i++) {
            assert_int_equal(weft_solver_passes(r.s, i),
                             (2 + unconds) * weft_solver_passes(plain.s, i));
            assert_int_equal(weft_solver_draws(r.s, i),
                             weft_solver_draws(plain.s, i));
            rig_step(&r, i);
        }
        assert_int_equal(r.noise[0].draw, plain.noise[0].draw);
        for (int e = 0; e < 24; e++)
            assert_float_equal(r.x[e], plain.x[e],
                               2e-5 * (1 + fabs(plain.x[e])));
    }
    run_close(&plain);
    rig_close(&r);
}

static void test_average_suits_every_solver(void **state)
{
    (void)state;
    for (int unconds = 0; unconds <= 2; unconds++) {
        for (int k = 0; k < WEFT_SOLVERS; k++)
            check_average(
                (weft_solver_opts){.kind = (weft_solver_kind)k, .steps = 9},
                unconds);
        check_average(stochastic(WEFT_DDIM, 9), unconds);
    }
}

/* ---- refusals ------------------------------------------------------------ */

static void refuse(weft_solver_opts so, weft_superpose_opts o, const char *word)
{
    weft_noise_schedule c = read_schedule(so.kind, config[0]);
    weft_solver *inner, *s = NULL;

    o.name = "superdiff";
    assert_int_equal(weft_solver_create(&so, &c, &inner), WEFT_OK);
    assert_int_equal(weft_superpose_create(&o, inner, &s), WEFT_EINPUT);
    if (!strstr(weft_fail_text(), word) ||
        !strstr(weft_fail_text(), "superdiff"))
        fail_msg("%s", weft_fail_text());
    assert_null(s);
    weft_solver_destroy(inner);
    weft_noise_schedule_release(&c);
}

static void test_no_signal_is_refused(void **state)
{
    const weft_solver_opts so = stochastic(WEFT_DDIM, 5);
    const weft_superpose_opts o = {
        .name = "superdiff", .kind = WEFT_SUPERPOSE_OR, .models = 2};
    weft_noise_schedule c = read_schedule(
        WEFT_DDIM, "{\"rescale_betas_zero_snr\": true, \"timestep_spacing\":"
                   "\"trailing\", \"prediction_type\": \"v_prediction\"}");
    weft_solver *inner, *s = NULL;

    (void)state;
    assert_int_equal(weft_solver_create(&so, &c, &inner), WEFT_OK);
    assert_int_equal(weft_superpose_create(&o, inner, &s), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "no signal"));
    weft_solver_destroy(inner);
    weft_noise_schedule_release(&c);
}

static void test_refused(void **state)
{
    static const double none[] = {1, -1}, nan[] = {NAN, 1};
    const weft_solver_opts ddim = stochastic(WEFT_DDIM, 5);
    weft_superpose_opts o = {.kind = WEFT_SUPERPOSE_OR, .models = 1};

    (void)state;
    refuse(ddim, o, "two or more");
    o.models = WEFT_SUPERPOSED + 1;
    refuse(ddim, o, "17 models");
    o.models = 2;
    refuse((weft_solver_opts){.steps = 5}, o, "eta 1");
    refuse((weft_solver_opts){.kind = WEFT_HEUN, .steps = 5}, o, "heun");
    o.lift = 1;
    refuse(ddim, o, "lift");
    o.kind = WEFT_SUPERPOSE_AND;
    o.models = 3;
    refuse(ddim, o, "lift");
    o = (weft_superpose_opts){
        .kind = WEFT_SUPERPOSE_AVERAGE, .models = 2, .bias = none};
    refuse(ddim, o, "no mean");
    o.bias = nan;
    refuse(ddim, o, "finite");
    o.bias = NULL;
    o.quirk = true;
    refuse(ddim, o, "quirk");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_density_is_exact_for_unit_deviation),
        cmocka_unit_test(test_density_starts_as_noise),
        cmocka_unit_test(test_density_converges),
        cmocka_unit_test(test_or_samples_the_mixture),
        cmocka_unit_test(test_or_temperature),
        cmocka_unit_test(test_quirk),
        cmocka_unit_test(test_and_changes_densities_alike),
        cmocka_unit_test(test_and_of_dependent_models),
        cmocka_unit_test(test_average_suits_every_solver),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_signal_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
