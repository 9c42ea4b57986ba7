/* Analytic models against Bayes' rule, and whole methods on them: the same
 * bytes however the rows are divided. */
#include "core/guide/analytic.h"

#include <pthread.h>

#include "core/guide/guidance.h"
#include "core/solve/superpose.h"
#include "tests/core/solver_run.h"

#define CONFIG                                                                 \
    "{\"beta_start\": 0.0001, \"beta_end\": 0.02, \"clip_sample\": false,"     \
    "\"timestep_spacing\": \"trailing\", \"prediction_type\": "                \
    "\"v_prediction\"}"

enum { H = 5, W = 7, C = 2, N = 2, IMAGE = H * W * C, MOST = 6 };
enum { STRIP = 2, STRIPS = 4 }; /* the last is narrower */

static const weft_component mixture[] = {
    {.weight = 1, .std = .3, .mean = {.5, -1}},
    {.weight = 3, .std = .6, .mean = {-.4, .2}},
    {.weight = .5, .std = .1, .mean = {0, 1}},
};

/* ---- one prediction ------------------------------------------------------ */

/* E[x0 | x] of element e of one image, by Bayes' rule over the components. */
static double posterior(const float *x, double abar, int e)
{
    const double a = sqrt(abar);
    double p[3], most = -INFINITY, sum = 0, x0 = 0;

    for (int k = 0; k < 3; k++) {
        const weft_component *v = &mixture[k];
        const double var = abar * v->std * v->std + 1 - abar;

        p[k] = log(v->weight / 4.5);
        for (int i = 0; i < IMAGE; i++)
            p[k] -= pow(x[i] - a * v->mean[i % C], 2) / (2 * var) +
                    log(2 * acos(-1) * var) / 2;
        most = fmax(most, p[k]);
    }
    for (int k = 0; k < 3; k++) sum += exp(p[k] - most);
    for (int k = 0; k < 3; k++) {
        const weft_component *v = &mixture[k];
        const double var = abar * v->std * v->std + 1 - abar;
        const double gain = a * v->std * v->std / var;

        x0 += exp(p[k] - most) / sum *
              (v->mean[e % C] + gain * (x[e] - a * v->mean[e % C]));
    }
    return x0;
}

static void test_prediction_is_the_posterior(void **state)
{
    static const double abar[] = {.001, .3, .9, .999};
    float x[IMAGE], out[IMAGE];

    (void)state;
    for (int e = 0; e < IMAGE; e++) x[e] = (float)(.9 * sin(2. * e + 1));
    for (int p = 0; p < 3; p++) {
        const weft_analytic_opts o = {.batch = {H, 1, W, C},
                                      .component = mixture,
                                      .components = 3,
                                      .prediction = (weft_prediction)p,
                                      .abar = abar};
        weft_denoiser *d;

        assert_int_equal(weft_analytic_create(&o, &d), WEFT_OK);
        for (int node = 0; node < 4; node++) {
            const double a = sqrt(abar[node]), b = sqrt(1 - abar[node]);
            const weft_input in = {.x = x, .node = node};

            assert_int_equal(weft_predict(d, &in, out), WEFT_OK);
            for (int e = 0; e < IMAGE; e++) {
                const double x0 = posterior(x, abar[node], e);
                const double eps = (x[e] - a * x0) / b;
                const double want = p == WEFT_PREDICT_SAMPLE ? x0
                                    : p == WEFT_PREDICT_EPSILON
                                        ? eps
                                        : a * eps - b * x0;

                assert_float_equal(out[e], want, 2e-6 * (1 + fabs(want)));
            }
        }
        assert_int_equal(d->evaluations, 4);
        weft_denoiser_destroy(d);
    }
}

/* ---- whole methods on threads that share an image ------------------------ */

typedef struct team {
    pthread_barrier_t barrier;
    double room[H * STRIPS][64];
} team;

typedef struct member {
    team *team;
    int row0, rows, strip0, strips;
    weft_superpose_kind kind;
    float x[IMAGE * N];
    double log_density[3 * N];
} member;

static int column_of(int strip) { return strip < STRIPS ? strip * STRIP : W; }

static int columns_of(const member *m)
{
    return column_of(m->strip0 + m->strips) - column_of(m->strip0);
}

static weft_status sum_of_team(const weft_total *t, const double *each, int k,
                               double *total)
{
    const member *m = t->via;
    const weft_total all = weft_total_solo(H, W, STRIP);
    double flat[H * STRIPS * 64];

    assert_true(k <= 64);
    for (int y = 0; y < m->rows; y++)
        for (int s = 0; s < m->strips; s++)
            memcpy(m->team->room[(m->row0 + y) * STRIPS + m->strip0 + s],
                   each + (y * m->strips + s) * k, (size_t)k * sizeof *each);
    pthread_barrier_wait(&m->team->barrier);
    for (int i = 0; i < H * STRIPS; i++)
        memcpy(flat + i * k, m->team->room[i], (size_t)k * sizeof *flat);
    pthread_barrier_wait(&m->team->barrier);
    return weft_total_sum(&all, flat, k, total);
}

/* Three models, each a mixture, with rescaled guidance for the last. */
static void *run_member(void *arg)
{
    member *m = arg;
    const int columns = columns_of(m);
    const weft_field f = {C,      H, W, m->row0, m->rows, column_of(m->strip0),
                          columns};
    const weft_batch b = {m->rows, N, columns, C};
    const weft_total total = {.sum = sum_of_team,
                              .rows = m->rows,
                              .columns = columns,
                              .strip = STRIP,
                              .pixels = H * W,
                              .via = m};
    const weft_solver_opts so = {.kind = WEFT_DDIM, .steps = 6, .eta = 1};
    const weft_superpose_opts o = {
        .name = "test", .kind = m->kind, .models = 3, .temperature = 1};
    const weft_guidance g = {.scale = 3, .rescale = .7, .total = &total};
    weft_noise_schedule c = read_schedule(WEFT_DDIM, CONFIG);
    weft_analytic_opts ao = {
        .batch = b, .prediction = c.prediction, .total = &total};
    weft_denoiser *leaf[4], *ask[3];
    weft_noise noise[N];
    weft_solver *s;
    float *buffer;

    assert_int_equal(weft_solver_create(&so, &c, &s), WEFT_OK);
    ao.abar = s->abar;
    for (int k = 0; k < 4; k++) {
        ao.component = mixture + k % 3;
        ao.components = k == 3 ? 1 : 3 - k % 3;
        assert_int_equal(weft_analytic_create(&ao, &leaf[k]), WEFT_OK);
    }
    ask[0] = leaf[0];
    ask[1] = leaf[1];
    assert_int_equal(weft_cfg_create(leaf[2], leaf[3], &g, &ask[2]), WEFT_OK);
    assert_int_equal(weft_superpose_create(&o, s, &s), WEFT_OK);
    for (int n = 0; n < N; n++)
        weft_noise_init(&noise[n], WEFT_RNG_COUNTER, (uint64_t)n);
    buffer = malloc(weft_solver_buffer_floats(s, &b) * sizeof *buffer);
    s->total = &total;
    assert_int_equal(weft_solver_bind(s, &b, &f, noise, buffer), WEFT_OK);
    assert_int_equal(weft_solver_start(s, m->x), WEFT_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(weft_solver_step(s, i, ask, m->x), WEFT_OK);
    memcpy(m->log_density, s->log_density, sizeof m->log_density);
    weft_denoiser_destroy(ask[2]);
    for (int k = 0; k < 4; k++) weft_denoiser_destroy(leaf[k]);
    weft_solver_destroy(s);
    weft_noise_schedule_release(&c);
    free(buffer);
    return NULL;
}

typedef struct cut {
    int lines, across, row[H + 1], strip[STRIPS + 1];
} cut;

static void run_team(const cut *c, weft_superpose_kind kind, member *m)
{
    const int parts = c->lines * c->across;
    pthread_t thread[MOST];
    team t;

    assert_int_equal(pthread_barrier_init(&t.barrier, NULL, (unsigned)parts),
                     0);
    for (int p = 0; p < parts; p++) {
        const int *row = c->row + p / c->across;
        const int *strip = c->strip + p % c->across;

        m[p] = (member){.team = &t,
                        .row0 = row[0],
                        .rows = row[1] - row[0],
                        .strip0 = strip[0],
                        .strips = strip[1] - strip[0],
                        .kind = kind};
        assert_int_equal(pthread_create(&thread[p], NULL, run_member, &m[p]),
                         0);
    }
    for (int p = 0; p < parts; p++) pthread_join(thread[p], NULL);
    pthread_barrier_destroy(&t.barrier);
}

static void expect_part(const member *part, const member *whole)
{
    const size_t row = N * W * C, columns = (size_t)columns_of(part) * C;

    for (int y = 0; y < part->rows; y++)
        for (int n = 0; n < N; n++)
            assert_memory_equal(part->x + (size_t)(y * N + n) * columns,
                                whole->x + (size_t)(part->row0 + y) * row +
                                    n * W * C + column_of(part->strip0) * C,
                                columns * sizeof(float));
    assert_memory_equal(part->log_density, whole->log_density,
                        sizeof whole->log_density);
}

static void test_bytes_do_not_depend_on_the_parts(void **state)
{
    static const cut whole = {1, 1, {0, H}, {0, STRIPS}},
                     cuts[] = {{2, 1, {0, 2, H}, {0, STRIPS}},
                               {5, 1, {0, 1, 2, 3, 4, H}, {0, STRIPS}},
                               {1, 3, {0, H}, {0, 1, 2, STRIPS}},
                               {2, 2, {0, 3, H}, {0, 3, STRIPS}},
                               {3, 2, {0, 1, 3, H}, {0, 2, STRIPS}}};
    static member one[1], many[MOST];

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        run_team(&whole, (weft_superpose_kind)kind, one);
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
            run_team(&cuts[k], (weft_superpose_kind)kind, many);
            for (int p = 0; p < cuts[k].lines * cuts[k].across; p++)
                expect_part(&many[p], one);
        }
    }
}

/* ---- refusals ------------------------------------------------------------ */

static void refuse(weft_component v, int components)
{
    static const double abar[] = {.5};
    const weft_analytic_opts o = {.batch = {1, 1, 1, 2},
                                  .component = &v,
                                  .components = components,
                                  .abar = abar};
    weft_denoiser *d = NULL;

    assert_int_equal(weft_analytic_create(&o, &d), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "mixture"));
    assert_null(d);
}

static void test_refused(void **state)
{
    const weft_component good = {.weight = 1, .std = 1};
    weft_component v = good;

    (void)state;
    refuse(good, 0);
    refuse(good, WEFT_COMPONENTS + 1);
    v.weight = 0;
    refuse(v, 1);
    v = good;
    v.std = -1;
    refuse(v, 1);
    v = good;
    v.mean[1] = NAN;
    refuse(v, 1);
    v = good;
    v.std = INFINITY;
    refuse(v, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prediction_is_the_posterior),
        cmocka_unit_test(test_bytes_do_not_depend_on_the_parts),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
