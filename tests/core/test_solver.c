/* Solvers against what mathematics says of them, whatever rows they hold. */
#include "tests/core/solver_run.h"

/* Data ~ N(.4, var) has a known prediction at every level. */
static float gaussian(const toy *t, double x, double time, double mean,
                      double var)
{
    const weft_prediction p = t->solver->schedule->prediction;
    double abar, a, b, x0, eps;
    int i = 0;

    while (t->solver->time[i] != time) i++;
    abar = t->solver->abar[i];
    a = sqrt(abar);
    b = sqrt(1 - abar);
    x0 = mean + var * a * (x - a * mean) / (abar * var + b * b);
    eps = (x - a * x0) / b;
    if (p == WEFT_PREDICT_SAMPLE) return (float)x0;
    return (float)(p == WEFT_PREDICT_EPSILON ? eps : a * eps - b * x0);
}

static float gaussian_rule(const toy *t, double x, int k, double time)
{
    (void)k;
    return gaussian(t, x, time, .4, .25);
}

/* x0 = a x, epsilon = b x, v = 0 at every level. */
static float normal_rule(const toy *t, double x, int k, double time)
{
    (void)k;
    return gaussian(t, x, time, 0, 1);
}

#define WIDE                                                                   \
    "{\"beta_start\": 0.0001, \"beta_end\": 0.02, \"clip_sample\": false,"     \
    "\"timestep_spacing\": \"trailing\", \"prediction_type\": "

static const char *const prediction_config[] = {
    WIDE "\"epsilon\"}", WIDE "\"v_prediction\"}", WIDE "\"sample\"}"};

/* The flow is affine: in Karras' coordinates x at sigma ends at
 * mean + sd (x - mean) / sqrt(var + sigma^2). Largest error of n steps, even in
 * ln sigma. */
static double error_of(weft_solver_kind kind, const char *config, int n)
{
    double sigmas[64], worst = 0, wide;
    const weft_solver_opts o = {.kind = kind, .sigmas = sigmas, .nnodes = n};
    weft_noise_schedule c = read_schedule(kind, config);
    float start[24];
    run r;

    for (int i = 0; i < n; i++) sigmas[i] = 80 * pow(.012 / 80, i / (n - 1.));
    run_open(&r, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
    r.net.rule = gaussian_rule;
    assert_int_equal(weft_solver_start(r.s, start), WEFT_OK);
    weft_noise_init(&r.noise[0], WEFT_RNG_TORCH_CPU, SEED);
    run_all(&r);
    wide = r.s->init_sigma == 1 ? sqrt(1 + sigmas[0] * sigmas[0]) : 1;
    for (int k = 0; k < 24; k++)
        worst = fmax(
            worst, fabs(r.x[k] - (.4 + .5 * (wide * start[k] - .4) /
                                           sqrt(.25 + sigmas[0] * sigmas[0]))));
    run_close(&r);
    weft_noise_schedule_release(&c);
    return worst;
}

static double gaussian_error(weft_solver_kind kind, int prediction, int n)
{
    return error_of(kind, prediction_config[prediction], n);
}

/* Errors fall with the solver's order: by 2 or by 4 when steps double. */
static void test_gaussian_converges(void **state)
{
    static const struct {
        weft_solver_kind kind;
        double fall, at40;
    } want[] = {{WEFT_DDIM, 1.8, .1},      {WEFT_EULER, 1.8, .1},
                {WEFT_HEUN, 3.2, .02},     {WEFT_DPMPP_2M, 3.2, .01},
                {WEFT_DPMPP_2S, 3.2, .02}, {WEFT_UNIPC, 5, .01},
                {WEFT_LMS, 3.2, .02}};

    (void)state;
    for (size_t k = 0; k < sizeof want / sizeof *want; k++)
        for (int p = 0; p < 3; p++) {
            const double e20 = gaussian_error(want[k].kind, p, 20);
            const double e40 = gaussian_error(want[k].kind, p, 40);

            print_message("%s %d: %.2g %.2g\n", weft_solver_name[want[k].kind],
                          p, e20, e40);
            assert_true(e40 < want[k].at40);
            assert_true(e20 / e40 > want[k].fall);
        }
}

/* The third order as published tends to the second; with the factor 2 that it
 * lacks it is the third: by 8 when steps double. */
static void test_third_order(void **state)
{
    static const char published[] = WIDE "\"epsilon\", \"solver_order\": 3}";
    static const char exact[] =
        WIDE "\"epsilon\", \"solver_order\": 3, \"exact3\": true}";
    const double p = error_of(WEFT_DPMPP_2M, published, 20) /
                     error_of(WEFT_DPMPP_2M, published, 40);
    const double e =
        error_of(WEFT_DPMPP_2M, exact, 20) / error_of(WEFT_DPMPP_2M, exact, 40);

    (void)state;
    print_message("falls by %.2g as published, by %.2g exactly\n", p, e);
    assert_true(e > 8);
    assert_true(e > 1.5 * p);
}

/* The same at both ends of a step, whatever x is. */
static float fixed_rule(const toy *t, double x, int k, double time)
{
    (void)x;
    (void)time;
    (void)t;
    return (float)(.7 * sin(3. * k) + .1);
}

static void test_invert_undoes_step(void **state)
{
    static const int predictions[] = {0, 2}; /* epsilon, sample */

    (void)state;
    for (int p = 0; p < 2; p++) {
        const weft_solver_opts o = {.kind = WEFT_DDIM, .steps = 10};
        weft_noise_schedule c =
            read_schedule(WEFT_DDIM, prediction_config[predictions[p]]);
        float before[24];
        run r;

        run_open(&r, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        r.net.rule = fixed_rule;
        assert_int_equal(weft_solver_start(r.s, r.x), WEFT_OK);
        for (int i = 0; i < 9; i++) {
            memcpy(before, r.x, sizeof before);
            assert_int_equal(weft_solver_step(r.s, i, &r.ask, r.x), WEFT_OK);
            assert_memory_not_equal(before, r.x, sizeof before);
            assert_int_equal(weft_solver_invert(r.s, i, &r.ask, r.x), WEFT_OK);
            for (int k = 0; k < 24; k++)
                assert_float_equal(r.x[k], before[k],
                                   1e-5 * (1 + fabs(before[k])));
            assert_int_equal(weft_solver_step(r.s, i, &r.ask, r.x), WEFT_OK);
        }
        run_close(&r);
        weft_noise_schedule_release(&c);
    }
}

/* v = 0 leaves x0 = a x and epsilon = b x, of the level where x is. */
static void test_invert_reads_v_at_the_level_of_x(void **state)
{
    const weft_solver_opts o = {.kind = WEFT_DDIM, .steps = 10};
    weft_noise_schedule c = read_schedule(WEFT_DDIM, prediction_config[1]);
    double hi, lo;
    run r;

    (void)state;
    run_open(&r, &o, &c, (weft_field){1, 1, 1, 0, 1, 0, 1}, 1);
    r.net.rule = normal_rule;
    hi = r.s->abar[4];
    lo = r.s->abar[5];
    r.x[0] = .8f;
    assert_int_equal(weft_solver_invert(r.s, 4, &r.ask, r.x), WEFT_OK);
    assert_float_equal(r.x[0], .8 * (sqrt(hi * lo) + sqrt((1 - hi) * (1 - lo))),
                       1e-6);
    run_close(&r);
    weft_noise_schedule_release(&c);
}

/* Rows of the whole alone, and samples of a batch, are the same bytes. */
static void check_bytes(weft_solver_kind kind, double eta)
{
    const weft_solver_opts o = {.kind = kind, .steps = 6, .eta = eta};
    weft_noise_schedule c = read_schedule(kind, prediction_config[0]);
    run all, part;

    run_open(&all, &o, &c, (weft_field){2, 5, 3, 0, 5, 0, 3}, 3);
    run_all(&all);
    for (int n = 0; n < 3; n++)
        for (int row0 = 0; row0 < 5; row0 += 2) {
            const int rows = row0 + 2 > 5 ? 1 : 2;

            run_open(&part, &o, &c, (weft_field){2, 5, 3, row0, rows, 0, 3}, 1);
            weft_noise_init(&part.noise[0], WEFT_RNG_TORCH_CPU,
                            (uint64_t)(SEED + n));
            run_all(&part);
            for (int y = 0; y < rows; y++)
                assert_memory_equal(part.x + y * 6,
                                    all.x + ((row0 + y) * 3 + n) * 6,
                                    6 * sizeof(float));
            run_close(&part);
        }
    run_close(&all);
    weft_noise_schedule_release(&c);
}

static void test_bytes_do_not_depend_on_rows_or_batch(void **state)
{
    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) check_bytes((weft_solver_kind)k, 0);
    check_bytes(WEFT_DDIM, .5);
}

/* The start forgets: a solver that made one image makes the next alike. */
static void test_start_forgets(void **state)
{
    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        const weft_solver_opts o = {.kind = (weft_solver_kind)k, .steps = 5};
        weft_noise_schedule c = read_schedule(o.kind, prediction_config[0]);
        float first[24];
        run r;

        run_open(&r, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        run_all(&r);
        memcpy(first, r.x, sizeof first);
        weft_noise_init(&r.noise[0], WEFT_RNG_TORCH_CPU, SEED);
        run_all(&r);
        assert_memory_equal(first, r.x, sizeof first);
        run_close(&r);
        weft_noise_schedule_release(&c);
    }
}

/* Integer times, the class's own grid and the schedule's sigmas are one. */
static void test_own_nodes_repeat_the_grid(void **state)
{
    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        weft_solver_opts o = {.kind = (weft_solver_kind)k, .steps = 8};
        weft_noise_schedule c = read_schedule(o.kind, prediction_config[0]);
        run grid, times, sigmas;

        run_open(&grid, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        o.nodes = grid.s->time;
        o.nnodes = 8;
        run_open(&times, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        o.nodes = NULL;
        o.sigmas = grid.s->sigma;
        run_open(&sigmas, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        run_all(&grid);
        run_all(&times);
        run_all(&sigmas);
        assert_memory_equal(grid.x, times.x, 24 * sizeof(float));
        for (int e = 0; e < 24; e++)
            assert_float_equal(sigmas.x[e], grid.x[e], 1e-4);
        run_close(&grid);
        run_close(&times);
        run_close(&sigmas);
        weft_noise_schedule_release(&c);
    }
}

/* Fractional times lie between their neighbours, and time is found again. */
static void test_fractional_nodes(void **state)
{
    static const double nodes[] = {900.5, 500.25, 120.5, 20.75};

    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        weft_solver_opts o = {
            .kind = (weft_solver_kind)k, .nodes = nodes, .nnodes = 4};
        weft_noise_schedule c = read_schedule(o.kind, prediction_config[0]);
        weft_solver *s, *back;

        assert_int_equal(weft_solver_create(&o, &c, &s), WEFT_OK);
        o.nodes = NULL;
        o.sigmas = s->sigma;
        assert_int_equal(weft_solver_create(&o, &c, &back), WEFT_OK);
        for (int i = 0; i < 4; i++) {
            const int low = (int)nodes[i];

            assert_true(s->sigma[i] > weft_noise_schedule_sigma(&c, low));
            assert_true(s->sigma[i] < weft_noise_schedule_sigma(&c, low + 1));
            assert_float_equal(s->abar[i], 1 / (1 + s->sigma[i] * s->sigma[i]),
                               1e-9);
            assert_true(s->time[i] == nodes[i]);
            assert_float_equal(back->time[i], nodes[i], 5e-3);
        }
        weft_solver_destroy(s);
        weft_solver_destroy(back);
        weft_noise_schedule_release(&c);
    }
}

static float nan_rule(const toy *t, double x, int k, double time)
{
    (void)x;
    (void)time;
    return t->calls > 3 && k % 15 == 10 ? NAN : 0;
}

static bool takes(weft_solver_kind kind, const char *config)
{
    weft_noise_schedule c;
    weft_json *j;
    weft_status st;

    assert_int_equal(weft_json_parse("case", config, strlen(config), &j),
                     WEFT_OK);
    st = weft_noise_schedule_read(j, NULL, kind, &c);
    weft_json_free(j);
    if (st == WEFT_OK) weft_noise_schedule_release(&c);
    return st == WEFT_OK;
}

/* Row 3 of 5 of the image, in the step that asks for the fourth time; clipping
 * hides nothing. */
static void test_not_a_number_is_named(void **state)
{
    static const char *const config[] = {
        "{\"clip_sample\": true}",
        "{\"clip_sample\": true, \"prediction_type\": \"sample\"}",
        "{\"clip_sample\": false, \"prediction_type\": \"v_prediction\"}"};

    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++)
        for (int p = 0; p < 3; p++) {
            const weft_solver_opts o = {.kind = (weft_solver_kind)k,
                                        .steps = 7};
            weft_noise_schedule c;
            weft_status st = WEFT_OK;
            int i = 0, at = 0, asked = 0;
            char step[32];
            run r;

            if (!takes(o.kind, config[p])) continue;
            c = read_schedule(o.kind, config[p]);
            run_open(&r, &o, &c, (weft_field){2, 5, 3, 2, 3, 0, 3}, 2);
            r.net.rule = nan_rule;
            assert_int_equal(weft_solver_start(r.s, r.x), WEFT_OK);
            for (; st == WEFT_OK && i < 7; i++)
                st = weft_solver_step(r.s, i, &r.ask, r.x);
            assert_int_equal(st, WEFT_ENAN);
            while (asked < 4) asked += weft_solver_passes(r.s, at++);
            assert_int_equal(i, at);
            snprintf(step, sizeof step, "step %d of 7", at);
            assert_non_null(strstr(weft_fail_text(), step));
            assert_non_null(strstr(weft_fail_text(), "not a number"));
            assert_non_null(strstr(weft_fail_text(), "latent row 3"));
            run_close(&r);
            weft_noise_schedule_release(&c);
        }
}

static void refuse(const char *config, weft_solver_opts o, const char *word)
{
    weft_noise_schedule c = read_schedule(o.kind, config);
    weft_solver *s = NULL;

    assert_int_equal(weft_solver_create(&o, &c, &s), WEFT_EINPUT);
    if (!strstr(weft_fail_text(), word)) fail_msg("%s", weft_fail_text());
    assert_null(s);
    weft_noise_schedule_release(&c);
}

static bool of_few(weft_solver_kind kind)
{
    return kind == WEFT_LCM || kind == WEFT_TCD;
}

static void test_refused(void **state)
{
    static const double up[] = {10, 20}, far[] = {2000, 1}, same[] = {5, 5};
    static const char plain[] = "{\"skip_prk_steps\": true}";
    static const double zero[] = {1, 0}, nan[] = {NAN, 1}, one[] = {1};

    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        const weft_solver_kind kind = (weft_solver_kind)k;
        weft_solver_opts o = {.kind = kind};

        refuse(plain, o, "0 steps");
        o.steps = -3;
        refuse(plain, o, "-3 steps");
        o.steps = 1001;
        refuse("{\"timestep_spacing\": \"leading\"}", o,
               of_few(kind) ? "original_inference_steps" : "node");
        o.steps = 1000;
        refuse("{\"timestep_spacing\": \"leading\", \"steps_offset\": 1}", o,
               of_few(kind) ? "original_inference_steps" : "node");
        o = (weft_solver_opts){.kind = kind, .nodes = up, .nnodes = 2};
        refuse(plain, o, "not below");
        o.nodes = far;
        refuse(plain, o, "2000");
        o.nodes = same;
        refuse(plain, o, "not below");
        o.nodes = nan;
        refuse(plain, o, "nan");
        o.sigmas = one;
        refuse(plain, o, "exclude");
        o.nodes = NULL;
        o.sigmas = zero;
        refuse(plain, o, "sigma 1");
        o.sigmas = up;
        refuse(plain, o, "not below");
        o.sigmas = nan;
        refuse(plain, o, "sigma 0");
        o = (weft_solver_opts){.kind = kind, .steps = 5, .eta = 2};
        refuse(plain, o, "eta 2");
        o.eta = .5;
        if (kind != WEFT_DDIM && kind != WEFT_TCD) refuse(plain, o, "no eta");
    }
}

static void test_only_ddim_inverts(void **state)
{
    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        const weft_solver_opts o = {.kind = (weft_solver_kind)k, .steps = 4};
        weft_noise_schedule c = read_schedule(
            o.kind,
            prediction_config[takes(o.kind, prediction_config[2]) ? 2 : 0]);
        run r;

        run_open(&r, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
        assert_int_equal(weft_solver_start(r.s, r.x), WEFT_OK);
        assert_int_equal(weft_solver_invert(r.s, 3, &r.ask, r.x), WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), "inver"));
        assert_int_equal(r.net.calls, 0);
        run_close(&r);
        weft_noise_schedule_release(&c);
    }
}

/* What no solver can do with what it is given, in words. */
static void test_pairs_that_do_not_go(void **state)
{
    static const double two[] = {500, 1};
    weft_solver_opts o = {.kind = WEFT_PNDM, .steps = 3};

    (void)state;
    refuse("{}", o, "Runge-Kutta");
    o = (weft_solver_opts){.kind = WEFT_DDIM, .steps = 4};
    refuse("{\"rescale_betas_zero_snr\": true,"
           "\"timestep_spacing\": \"trailing\"}",
           o, "leaves no signal");
    o = (weft_solver_opts){.kind = WEFT_LCM, .steps = 60};
    refuse("{}", o, "original_inference_steps");
    o = (weft_solver_opts){.kind = WEFT_LMS, .nodes = two, .nnodes = 2};
    refuse("{\"use_karras_sigmas\": true}", o, "use_karras_sigmas");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaussian_converges),
        cmocka_unit_test(test_invert_undoes_step),
        cmocka_unit_test(test_invert_reads_v_at_the_level_of_x),
        cmocka_unit_test(test_bytes_do_not_depend_on_rows_or_batch),
        cmocka_unit_test(test_start_forgets),
        cmocka_unit_test(test_own_nodes_repeat_the_grid),
        cmocka_unit_test(test_fractional_nodes),
        cmocka_unit_test(test_not_a_number_is_named),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_only_ddim_inverts),
        cmocka_unit_test(test_third_order),
        cmocka_unit_test(test_pairs_that_do_not_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
