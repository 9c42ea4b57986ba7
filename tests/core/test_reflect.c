/* Solvers that step down and back up, against closed forms: data that is
 * normal has affine predictions, so every pass is x -> p x + q. */
#include "core/solve/reflect.h"
#include "tests/core/solver_run.h"

#define CONFIG                                                                 \
    "{\"beta_start\": 0.0001, \"beta_end\": 0.02, \"clip_sample\": false,"     \
    "\"set_alpha_to_one\": false, \"timestep_spacing\": \"leading\","          \
    "\"steps_offset\": 1, \"prediction_type\": "

static const char *const config[] = {
    CONFIG "\"epsilon\"}", CONFIG "\"v_prediction\"}", CONFIG "\"sample\"}"};

/* Data ~ N(mean, var): E[eps | x] at a level is p x + q. */
typedef struct normal {
    double mean, var;
} normal;

static const normal normals[3] = {{.4, .25}, {.6, .09}, {-.2, .7}};

typedef struct affine {
    double p, q;
} affine;

static affine eps_of(normal d, double abar)
{
    const double a = sqrt(abar), b = sqrt(1 - abar);
    const double share = abar * d.var + 1 - abar;

    return (affine){b / share, -b * a * d.mean / share};
}

/* The prediction that a net of these data makes at node's level. */
static double predict(normal d, weft_prediction p, double abar, double x)
{
    const affine f = eps_of(d, abar);
    const double a = sqrt(abar), b = sqrt(1 - abar), eps = f.p * x + f.q;
    const double x0 = (x - b * eps) / a;

    if (p == WEFT_PREDICT_EPSILON) return eps;
    return p == WEFT_PREDICT_SAMPLE ? x0 : a * eps - b * x0;
}

/* x at level `from`, predicted there as the net would at `told`, to `to`. */
static double move(normal d, weft_prediction p, double told, double from,
                   double to, double x)
{
    const double a = sqrt(from), b = sqrt(1 - from);
    const double m = predict(d, p, told, x);
    double x0, eps;

    if (p == WEFT_PREDICT_EPSILON) {
        eps = m;
        x0 = (x - b * m) / a;
    } else if (p == WEFT_PREDICT_SAMPLE) {
        x0 = m;
        eps = (x - a * m) / b;
    } else {
        x0 = a * x - b * m;
        eps = a * m + b * x;
    }
    return sqrt(to) * x0 + sqrt(1 - to) * eps;
}

/* ---- the solver with three such nets ------------------------------------- */

typedef struct rig {
    weft_noise_schedule c;
    weft_solver *s;
    toy net[3];
    weft_denoiser *ask[3];
    weft_noise noise;
    float buffer[24 * 4], x[24];
} rig;

static float normal_rule(const toy *t, double x, int k, double time)
{
    (void)k;
    (void)time;
    return (float)predict(normals[t->which], t->solver->schedule->prediction,
                          t->solver->abar[t->in.node], x);
}

static void rig_open(rig *r, int prediction, weft_solver_opts so,
                     weft_reflect_opts ro)
{
    const weft_batch b = {4, 1, 3, 2};
    const weft_field f = {2, 4, 3, 0, 4, 0, 3};
    weft_solver *inner;

    r->c = read_schedule(so.kind, config[prediction]);
    assert_int_equal(weft_solver_create(&so, &r->c, &inner), WEFT_OK);
    ro.name = "w2sd";
    if (weft_reflect_create(&ro, inner, &r->s) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    weft_noise_init(&r->noise, WEFT_RNG_TORCH_CPU, SEED);
    assert_int_equal(weft_solver_bind(r->s, &b, &f, &r->noise, r->buffer),
                     WEFT_OK);
    assert_true(weft_solver_buffer_floats(r->s, &b) <= 24 * 4);
    for (int k = 0; k < 3; k++) {
        r->net[k] = (toy){.base = {.ops = &toy_ops, .batch = b},
                          .field = f,
                          .rule = normal_rule,
                          .solver = r->s,
                          .which = k};
        r->ask[k] = &r->net[k].base;
    }
    assert_int_equal(weft_solver_start(r->s, r->x), WEFT_OK);
}

static void rig_close(rig *r)
{
    weft_solver_destroy(r->s);
    weft_noise_schedule_release(&r->c);
}

/* ---- closed forms -------------------------------------------------------- */

/* One step of W2SD or Z-Sampling by hand. */
static double by_hand(const weft_solver *s, weft_reflect_opts o, int i,
                      double x)
{
    const double hi = s->abar[i], lo = s->abar[i + 1];
    const double *up = s->abar + i + o.inverse_offset;
    const weft_prediction p = s->schedule->prediction;

    for (int k = 0; k < (i < o.lambda ? o.rounds : 0); k++) {
        x = move(normals[WEFT_REFLECT_STRONG], p, hi, hi, lo, x);
        x = move(normals[WEFT_REFLECT_WEAK], p, hi, up[1], up[0], x);
    }
    return move(normals[WEFT_REFLECT_ORDINARY], p, hi, hi, lo, x);
}

static void test_steps_have_closed_forms(void **state)
{
    static const weft_reflect_opts options[] = {
        {.lambda = 0, .rounds = 1},
        {.lambda = 9, .rounds = 1},
        {.lambda = 10, .rounds = 1},
        {.lambda = 6, .rounds = 3},
        {.lambda = 9, .rounds = 1, .inverse_offset = 1},
    };

    (void)state;
    for (int p = 0; p < 3; p++)
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
            rig r;

            rig_open(&r, p, (weft_solver_opts){.steps = 10}, options[k]);
            for (int i = 0; i < 10; i++) {
                float before[24];

                memcpy(before, r.x, sizeof before);
                assert_int_equal(weft_solver_step(r.s, i, r.ask, r.x), WEFT_OK);
                for (int e = 0; e < 24; e++) {
                    const double want = by_hand(r.s, options[k], i, before[e]);

                    assert_float_equal(r.x[e], want, 1e-6 * (1 + fabs(want)));
                }
            }
            rig_close(&r);
        }
}

/* Down and up by one model should lead back; what is left falls with the
 * square of the step. */
static double round_error(int prediction, double step)
{
    const double sigmas[] = {1, 1 - step};
    const weft_solver_opts so = {.sigmas = sigmas, .nnodes = 2};
    weft_question q;
    double worst = 0;
    rig r;

    rig_open(&r, prediction, so, (weft_reflect_opts){.lambda = 1, .rounds = 1});
    for (int e = 0; e < 24; e++) r.x[e] = (float)(.1 * e - 1);
    for (int k = 0; k < 2; k++) { /* both passes ask the strong net */
        weft_solver_ask(r.s, 0, k, r.x, &q);
        q.who[0] = WEFT_REFLECT_STRONG;
        assert_int_equal(weft_question_put(&q, r.ask), WEFT_OK);
        assert_int_equal(weft_solver_take(r.s, 0, k, r.x), WEFT_OK);
    }
    for (int e = 0; e < 24; e++)
        worst = fmax(worst, fabs(r.x[e] - (.1 * e - 1)));
    rig_close(&r);
    return worst;
}

static void test_a_round_trip_errs_by_the_square(void **state)
{
    (void)state;
    for (int p = 0; p < 3; p++) {
        const double coarse = round_error(p, .1), fine = round_error(p, .05);

        print_message("prediction %d: %.3g, %.3g: order %.2f\n", p, coarse,
                      fine, log2(coarse / fine));
        assert_true(coarse > 1e-4);
        assert_in_range((long)(1000 * log2(coarse / fine)), 1850, 2150);
    }
}

/* Fresh noise takes the place of the inverse: forward from node i + 1. */
static void test_resampling(void **state)
{
    const weft_reflect_opts o = {.lambda = 3, .rounds = 1, .resample = true};
    const weft_field f = {2, 4, 3, 0, 4, 0, 3};
    float z[24], before[24];
    rig r;

    (void)state;
    rig_open(&r, 0, (weft_solver_opts){.steps = 5}, o);
    for (int i = 0; i < 5; i++) {
        const double hi = r.s->abar[i], lo = r.s->abar[i + 1];
        weft_noise ahead = r.noise;

        memcpy(before, r.x, sizeof before);
        assert_int_equal(weft_solver_draws(r.s, i), i < 3);
        assert_int_equal(weft_solver_step(r.s, i, r.ask, r.x), WEFT_OK);
        assert_int_equal(r.noise.draw - ahead.draw, i < 3);
        weft_noise_fill(&ahead, &f, z, 6);
        for (int e = 0; e < 24; e++) {
            double x = before[e];

            if (i < 3) {
                x = move(normals[1], WEFT_PREDICT_EPSILON, hi, hi, lo, x);
                x = sqrt(hi / lo) * x + sqrt(1 - hi / lo) * z[e];
            }
            x = move(normals[0], WEFT_PREDICT_EPSILON, hi, hi, lo, x);
            assert_float_equal(r.x[e], x, 1e-6 * (1 + fabs(x)));
        }
    }
    assert_int_equal(r.net[WEFT_REFLECT_WEAK].calls, 0);
    rig_close(&r);
}

/* With eta the draws are: the step down, up, the ordinary step. */
static void test_resampling_with_eta(void **state)
{
    const weft_reflect_opts o = {.lambda = 2, .rounds = 2, .resample = true};
    rig r;

    (void)state;
    rig_open(&r, 0, (weft_solver_opts){.steps = 3, .eta = 1}, o);
    for (int i = 0; i < 3; i++) {
        const uint32_t draw = r.noise.draw;

        assert_int_equal(weft_solver_draws(r.s, i), i < 2 ? 5 : 1);
        assert_int_equal(weft_solver_step(r.s, i, r.ask, r.x), WEFT_OK);
        assert_int_equal(r.noise.draw - draw, weft_solver_draws(r.s, i));
    }
    rig_close(&r);
}

/* ---- what a plan asks ---------------------------------------------------- */

static void test_stages(void **state)
{
    static const int trip[] = {1, 2, 1, 2, 0}, again[] = {1, 1, 0};
    weft_question q;
    rig r;

    (void)state;
    for (int resample = 0; resample < 2; resample++) {
        const int stages = resample ? 3 : 5;

        rig_open(&r, 0, (weft_solver_opts){.steps = 4},
                 (weft_reflect_opts){
                     .lambda = 2, .rounds = 2, .resample = resample});
        assert_int_equal(r.s->denoisers, resample ? 2 : 3);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(weft_solver_stages(r.s, i), i < 2 ? stages : 1);
            assert_int_equal(weft_solver_passes(r.s, i), i < 2 ? stages : 1);
        }
        for (int k = 0; k < stages; k++) {
            weft_solver_who(r.s, 0, k, &q);
            assert_int_equal(q.n, 1);
            assert_int_equal(q.who[0], resample ? again[k] : trip[k]);
            assert_int_equal(weft_solver_lane(r.s, 0, k),
                             k == stages - 1 ? 0 : k + 1);
        }
        weft_solver_who(r.s, 2, 0, &q);
        assert_int_equal(q.who[0], WEFT_REFLECT_ORDINARY);
        assert_int_equal(weft_solver_lane(r.s, 2, 0), 0);
        rig_close(&r);
    }
}

static void refuse(weft_solver_opts so, int prediction, weft_reflect_opts o,
                   const char *word)
{
    weft_noise_schedule c = read_schedule(so.kind, config[prediction]);
    weft_solver *inner, *s = NULL;

    c.final_abar = 1;
    o.name = "zsampling";
    assert_int_equal(weft_solver_create(&so, &c, &inner), WEFT_OK);
    assert_int_equal(weft_reflect_create(&o, inner, &s), WEFT_EINPUT);
    if (!strstr(weft_fail_text(), word) ||
        !strstr(weft_fail_text(), "zsampling"))
        fail_msg("%s", weft_fail_text());
    assert_null(s);
    weft_solver_destroy(inner);
    weft_noise_schedule_release(&c);
}

static void test_refused(void **state)
{
    const weft_reflect_opts plain = {.lambda = 4, .rounds = 1};
    weft_reflect_opts o = plain;

    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++)
        if (k != WEFT_DDIM)
            refuse((weft_solver_opts){.kind = (weft_solver_kind)k, .steps = 5},
                   0, o, weft_solver_name[k] + (k == WEFT_EULER_A ? 6 : 0));
    refuse((weft_solver_opts){.steps = 5, .eta = .5}, 0, o, "eta 0");
    refuse((weft_solver_opts){.steps = 3}, 0, o, "the 3 steps");
    refuse((weft_solver_opts){.steps = 4}, 2, o, "no noise is left");
    o.rounds = 0;
    refuse((weft_solver_opts){.steps = 5}, 0, o, "0 rounds");
    o = plain;
    o.lambda = -1;
    refuse((weft_solver_opts){.steps = 5}, 0, o, "-1");
    o = plain;
    o.inverse_offset = 1;
    refuse((weft_solver_opts){.steps = 4}, 0, o, "inverse_offset");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_have_closed_forms),
        cmocka_unit_test(test_a_round_trip_errs_by_the_square),
        cmocka_unit_test(test_resampling),
        cmocka_unit_test(test_resampling_with_eta),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
