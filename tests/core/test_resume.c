/* A sample that is put down before any stage and taken up by another solver,
 * whose memory holds nothing but what is kept, ends as if nothing had been. */
#include "core/solve/reflect.h"
#include "core/solve/superpose.h"
#include "tests/core/solver_run.h"

enum { NETS = 4, N = 2, STEPS = 5, FLOATS = N * 4 * 5 * 3 };

typedef enum way { PLAIN, REFINED, W2SD, RESAMPLING, OR, AND, AVERAGE } way;

typedef struct made_of {
    const char *what;
    weft_solver_kind kind;
    double eta;
    way way;
    weft_rng_kind rng;
    const char *options; /* of the schedule; NULL: none */
} made_of;

static const made_of all[] = {
    {"ddim", WEFT_DDIM, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"ddim eta", WEFT_DDIM, .5, PLAIN, WEFT_RNG_TORCH_CPU, NULL},
    {"euler", WEFT_EULER, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"euler_a", WEFT_EULER_A, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"euler_a torch", WEFT_EULER_A, 0, PLAIN, WEFT_RNG_TORCH_CPU, NULL},
    {"heun", WEFT_HEUN, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"dpmpp_2m", WEFT_DPMPP_2M, 0, PLAIN, WEFT_RNG_TORCH_CPU, NULL},
    {"dpmpp_2m_sde", WEFT_DPMPP_2M_SDE, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"dpmpp_3m_sde", WEFT_DPMPP_3M_SDE, 0, PLAIN, WEFT_RNG_TORCH_CPU, NULL},
    {"dpmpp_2s", WEFT_DPMPP_2S, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"dpmpp_2s_a", WEFT_DPMPP_2S_A, 0, PLAIN, WEFT_RNG_TORCH_CPU, NULL},
    {"dpmpp_sde", WEFT_DPMPP_SDE, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"unipc", WEFT_UNIPC, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"lms", WEFT_LMS, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"pndm", WEFT_PNDM, 0, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"plms", WEFT_PNDM, 0, PLAIN, WEFT_RNG_COUNTER,
     "\"skip_prk_steps\": true,"},
    {"unipc 3", WEFT_UNIPC, 0, PLAIN, WEFT_RNG_COUNTER, "\"solver_order\": 3,"},
    {"2m of 3", WEFT_DPMPP_2M, 0, PLAIN, WEFT_RNG_COUNTER,
     "\"solver_order\": 3, \"lower_order_final\": false,"},
    {"2s of 3", WEFT_DPMPP_2S, 0, PLAIN, WEFT_RNG_TORCH_CPU,
     "\"solver_order\": 3, \"algorithm_type\": \"sde-dpmsolver++\","},
    {"lcm", WEFT_LCM, 0, PLAIN, WEFT_RNG_TORCH_CPU, NULL},
    {"tcd", WEFT_TCD, .5, PLAIN, WEFT_RNG_COUNTER, NULL},
    {"ddim refined", WEFT_DDIM, .5, REFINED, WEFT_RNG_COUNTER, NULL},
    {"heun refined", WEFT_HEUN, 0, REFINED, WEFT_RNG_COUNTER, NULL},
    {"dpmpp_2m refined", WEFT_DPMPP_2M, 0, REFINED, WEFT_RNG_COUNTER, NULL},
    {"dpmpp_sde refined", WEFT_DPMPP_SDE, 0, REFINED, WEFT_RNG_COUNTER, NULL},
    {"unipc refined", WEFT_UNIPC, 0, REFINED, WEFT_RNG_COUNTER, NULL},
    {"lms refined", WEFT_LMS, 0, REFINED, WEFT_RNG_COUNTER, NULL},
    {"2s of 3 refined", WEFT_DPMPP_2S, 0, REFINED, WEFT_RNG_COUNTER,
     "\"solver_order\": 3,"},
    {"w2sd", WEFT_DDIM, 0, W2SD, WEFT_RNG_COUNTER, NULL},
    {"resampling", WEFT_DDIM, 0, RESAMPLING, WEFT_RNG_COUNTER, NULL},
    {"resampling eta", WEFT_DDIM, 1, RESAMPLING, WEFT_RNG_TORCH_CPU, NULL},
    {"or", WEFT_EULER_A, 0, OR, WEFT_RNG_COUNTER, NULL},
    {"and", WEFT_DDIM, 1, AND, WEFT_RNG_TORCH_CPU, NULL},
    {"average heun", WEFT_HEUN, 0, AVERAGE, WEFT_RNG_COUNTER, NULL},
    {"average dpmpp_2m", WEFT_DPMPP_2M, 0, AVERAGE, WEFT_RNG_COUNTER, NULL},
};

typedef struct rig {
    const made_of *of;
    weft_solver *s;
    weft_noise noise[N];
    toy net[NETS];
    weft_denoiser *ask[NETS];
    float x[FLOATS], *buffer;
} rig;

static float rule(const toy *t, double x, int k, double time)
{
    return (float)(.3 * x + .1 * sin(time / 100 + k + t->which));
}

static void wrap(rig *r)
{
    const weft_reflect_opts reflect = {.name = "reflect",
                                       .lambda = 3,
                                       .rounds = 2,
                                       .resample = r->of->way == RESAMPLING};
    const weft_superpose_opts superpose = {
        .name = "superpose",
        .kind = r->of->way == OR    ? WEFT_SUPERPOSE_OR
                : r->of->way == AND ? WEFT_SUPERPOSE_AND
                                    : WEFT_SUPERPOSE_AVERAGE,
        .models = 2,
        .temperature = 1};

    if (r->of->way == REFINED) {
        assert_int_equal(weft_solver_hand_over(r->s, .5), WEFT_OK);
        assert_in_range(r->s->handover, 1, STEPS - 2);
    } else if (r->of->way == W2SD || r->of->way == RESAMPLING)
        assert_int_equal(weft_reflect_create(&reflect, r->s, &r->s), WEFT_OK);
    else if (r->of->way != PLAIN)
        assert_int_equal(weft_superpose_create(&superpose, r->s, &r->s),
                         WEFT_OK);
}

/* Memory that nobody wrote is not a number. */
static void rig_open(rig *r, const made_of *of, const weft_noise_schedule *c,
                     int first)
{
    const weft_solver_opts o = {
        .kind = of->kind, .steps = STEPS, .eta = of->eta};
    const weft_field f = {3, 4, 5, 0, 4, 0, 5};
    const weft_batch b = {4, N, 5, 3};
    size_t floats;

    memset(r, 0, sizeof *r);
    r->of = of;
    assert_int_equal(weft_solver_create(&o, c, &r->s), WEFT_OK);
    wrap(r);
    weft_solver_begin(r->s, first, 1);
    floats = weft_solver_buffer_floats(r->s, &b);
    r->buffer = malloc(floats * sizeof(float));
    for (size_t i = 0; i < floats; i++) r->buffer[i] = NAN;
    for (int k = 0; k < N; k++)
        weft_noise_init(&r->noise[k], of->rng, (uint64_t)(SEED + k));
    assert_int_equal(weft_solver_bind(r->s, &b, &f, r->noise, r->buffer),
                     WEFT_OK);
    for (int k = 0; k < NETS; k++) {
        r->net[k] = (toy){.base = {.ops = &toy_ops, .batch = b},
                          .field = f,
                          .rule = rule,
                          .solver = r->s,
                          .which = k};
        r->ask[k] = &r->net[k].base;
    }
}

static void rig_close(rig *r)
{
    weft_solver_destroy(r->s);
    free(r->buffer);
}

static void stage(rig *r, int i, int k)
{
    weft_question q;

    weft_solver_ask(r->s, i, k, r->x, &q);
    assert_int_equal(weft_question_put(&q, r->ask), WEFT_OK);
    assert_int_equal(weft_solver_take(r->s, i, k, r->x), WEFT_OK);
}

/* Stages from number `from` on until before number `to` of all; where that is.
 */
static void walk(rig *r, int from, int to, int *step, int *next)
{
    int n = 0;

    for (*step = r->s->first; *step < STEPS; ++*step)
        for (*next = 0; *next < weft_solver_stages(r->s, *step); ++*next) {
            if (n == to) return;
            if (n++ >= from) stage(r, *step, *next);
        }
    *next = 0;
}

/* What a checkpoint holds, and no more. */
static void hand_over(const rig *from, rig *to, int step, int next)
{
    const unsigned keeps = weft_solver_keeps(from->s, step, next);
    uint32_t least, most;

    memcpy(to->x, from->x, sizeof to->x);
    for (int b = 0; b < from->s->buffers; b++)
        if (keeps & 1u << b)
            memcpy(weft_solver_work(to->s, b), weft_solver_work(from->s, b),
                   sizeof to->x);
    weft_solver_drawn(from->s, step, next, &least, &most);
    assert_in_range(from->noise[0].draw, least, most);
    for (int k = 0; k < N; k++)
        weft_noise_skip(&to->noise[k], &to->s->field, (int)from->noise[k].draw);
    if (from->s->models)
        memcpy(to->s->log_density, from->s->log_density,
               (size_t)(N * from->s->models) * sizeof(double));
}

static void check_stage(const made_of *of, const weft_noise_schedule *c, int at,
                        const rig *whole)
{
    int step, next;
    rig a, b;

    rig_open(&a, of, c, whole->s->first);
    rig_open(&b, of, c, whole->s->first);
    assert_int_equal(weft_solver_start(a.s, a.x), WEFT_OK);
    walk(&a, 0, at, &step, &next);
    hand_over(&a, &b, step, next);
    walk(&b, at, INT32_MAX, &step, &next);
    if (memcmp(b.x, whole->x, sizeof b.x) != 0)
        fail_msg("%s differs when taken up before stage %d", of->what, at);
    if (b.s->models)
        assert_memory_equal(b.s->log_density, whole->s->log_density,
                            (size_t)(N * b.s->models) * sizeof(double));
    rig_close(&a);
    rig_close(&b);
}

static void check_walk(const made_of *of, int first)
{
    weft_noise_schedule c;
    int step, next, stages = 0;
    char config[256];
    rig whole;

    snprintf(config, sizeof config, "{%s\"clip_sample\": false}",
             of->options ? of->options : "");
    c = read_schedule(of->kind, config);
    rig_open(&whole, of, &c, first);
    assert_int_equal(weft_solver_start(whole.s, whole.x), WEFT_OK);
    walk(&whole, 0, INT32_MAX, &step, &next);
    for (int k = first; k < STEPS; k++)
        stages += weft_solver_stages(whole.s, k);
    for (int at = 0; at <= stages; at++) check_stage(of, &c, at, &whole);
    rig_close(&whole);
    weft_noise_schedule_release(&c);
}

/* From noise alone, and from a picture. */
static void any_stage_can_be_resumed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int first = 0; first < 2; first++) check_walk(&all[i], first);
}

/* ---- two models, one after the other ------------------------------------- */

/* The first half by a solver that asks net 0 alone, the second by a fresh one
 * that knows x and the noise only, and asks net 1. */
static void by_halves(const made_of *of, const weft_noise_schedule *c,
                      rig *second, int from)
{
    made_of plain = *of;
    rig first;

    plain.way = PLAIN;
    rig_open(&first, &plain, c, 0);
    rig_open(second, &plain, c, from);
    assert_int_equal(weft_solver_start(first.s, first.x), WEFT_OK);
    for (int i = 0; i < from; i++)
        assert_int_equal(weft_solver_step(first.s, i, first.ask, first.x),
                         WEFT_OK);
    memcpy(second->x, first.x, sizeof first.x);
    memcpy(second->noise, first.noise, sizeof first.noise);
    for (int i = from; i < STEPS; i++)
        assert_int_equal(
            weft_solver_step(second->s, i, second->ask + 1, second->x),
            WEFT_OK);
    rig_close(&first);
}

static void the_second_model_begins_anew(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char config[256];
        weft_noise_schedule c;
        rig whole, half;
        int step, next;

        if (all[i].way != REFINED) continue;
        snprintf(config, sizeof config, "{%s\"clip_sample\": false}",
                 all[i].options ? all[i].options : "");
        c = read_schedule(all[i].kind, config);
        rig_open(&whole, &all[i], &c, 0);
        assert_int_equal(weft_solver_start(whole.s, whole.x), WEFT_OK);
        walk(&whole, 0, INT32_MAX, &step, &next);
        by_halves(&all[i], &c, &half, whole.s->handover);
        if (memcmp(whole.x, half.x, sizeof half.x) != 0)
            fail_msg("%s: the second half knows the first", all[i].what);
        rig_close(&whole);
        rig_close(&half);
        weft_noise_schedule_release(&c);
    }
}

/* diffusers' rule, rounded as Python rounds: times 801, 601, 401, 201, 1, of
 * which those below the cut are the second model's. */
static void hands_over_by_the_train_step(void **state)
{
    static const struct {
        double from;
        int step; /* 0: refused */
    } at[] = {{0, 0},  {.1985, 0}, {.199, 1},  {.3985, 1}, {.3995, 2},
              {.5, 2}, {.8, 4},    {.9985, 4}, {.999, 0},  {1, 0}};
    weft_noise_schedule c = read_schedule(
        WEFT_DDIM, "{\"steps_offset\": 1, \"timestep_spacing\": \"leading\"}");
    const weft_solver_opts o = {.kind = WEFT_DDIM, .steps = STEPS};

    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        weft_solver *s;
        weft_status st;

        assert_int_equal(weft_solver_create(&o, &c, &s), WEFT_OK);
        st = weft_solver_hand_over(s, at[i].from);
        assert_int_equal(st, at[i].step ? WEFT_OK : WEFT_EINPUT);
        assert_int_equal(s->handover, at[i].step);
        weft_solver_destroy(s);
    }
    weft_noise_schedule_release(&c);
}

static void pndm_is_not_handed_over(void **state)
{
    weft_noise_schedule c = read_schedule(WEFT_PNDM, "{}");
    const weft_solver_opts o = {.kind = WEFT_PNDM, .steps = STEPS};
    weft_solver *s;

    (void)state;
    assert_int_equal(weft_solver_create(&o, &c, &s), WEFT_OK);
    assert_int_equal(weft_solver_hand_over(s, .5), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "pndm"));
    weft_solver_destroy(s);
    weft_noise_schedule_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_stage_can_be_resumed),
        cmocka_unit_test(the_second_model_begins_anew),
        cmocka_unit_test(hands_over_by_the_train_step),
        cmocka_unit_test(pndm_is_not_handed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
