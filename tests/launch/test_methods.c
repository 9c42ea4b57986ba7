/* Methods in a config: what they take, refuse, ask, and say of an image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launch/config.h"
#include "launch/method.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

#define PAIR                                                                   \
    "models:\n"                                                                \
    "  strong: { path: /m/s }\n"                                               \
    "  weak: { path: /m/w }\n"                                                 \
    "sample:\n"                                                                \
    "  width: 512\n"                                                           \
    "  height: 256\n"

#define ONE                                                                    \
    "models: { only: { path: /m } }\n"                                         \
    "sample:\n"                                                                \
    "  width: 512\n"                                                           \
    "  height: 256\n"

#define TOY(more)                                                              \
    "models:\n"                                                                \
    "  toy: { kind: analytic, shape: [2, 8, 8]" more " }\n"                    \
    "sample: { width: 8, height: 8 }\n"

#define MIXTURE                                                                \
    ", mixture: [ { weight: .5, mean: -1, std: .2 },"                          \
    " { weight: 2, mean: [1, 0.25], std: 3 } ]"

static weft_config load(const char *text)
{
    weft_config c;

    if (weft_config_parse("a.yaml", text, strlen(text), NULL, 0, &c) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    return c;
}

/* ---- values -------------------------------------------------------------- */

static void test_defaults(void **state)
{
    weft_config c = load(PAIR "  method: w2sd\n  steps: 12\n");
    const weft_config_method *how = &c.sample.how;

    (void)state;
    assert_int_equal(c.sample.method, WEFT_W2SD);
    assert_string_equal(c.sample.model, "strong");
    assert_int_equal(how->lambda, 11);
    assert_int_equal(how->rounds, 1);
    assert_int_equal(how->inverse_offset, 0);
    assert_true(how->guidance_strong == 1 && how->guidance_weak == 1);
    assert_true(how->gamma1 == 5.5 && how->gamma2 == 0);
    assert_true(how->temperature == 1 && how->lift == 0 && !how->quirk);
    assert_null(how->bias);
    assert_true(c.sample.eta == 0);
    assert_int_equal(c.model[0].label, -1);
    weft_config_release(&c);
}

static void test_values(void **state)
{
    weft_config c = load(PAIR "  method: superdiff_or\n"
                              "  guidance: 3\n"
                              "  bias: { weak: -1.5 }\n"
                              "  labels: { weak: 4, strong: 3 }\n"
                              "  null_labels: { strong: 9 }\n"
                              "  temperature: 20\n"
                              "  superdiff_quirk: true\n"
                              "  guidance_schedule: linear\n"
                              "  guidance_end: 2\n"
                              "  guidance_interval: [0.25, 0.5]\n"
                              "  guidance_rescale: 0.7\n");

    (void)state;
    assert_true(c.sample.eta == 1); /* the reverse diffusion */
    assert_true(c.sample.how.bias[0] == 0 && c.sample.how.bias[1] == -1.5);
    assert_int_equal(c.model[0].label, 3);
    assert_int_equal(c.model[1].label, 4);
    assert_int_equal(c.model[0].null_label, 9);
    assert_int_equal(c.model[1].null_label, -1);
    assert_true(c.sample.how.temperature == 20 && c.sample.how.quirk);
    assert_true(c.sample.how.gamma1 == 3); /* that of guidance */
    assert_true(c.sample.over.linear && c.sample.over.limited);
    assert_true(c.sample.over.end == 2 && c.sample.over.rescale == .7);
    assert_true(c.sample.over.start == .25 && c.sample.over.stop == .5);
    weft_config_release(&c);
}

static void test_analytic(void **state)
{
    weft_config c = load(TOY(MIXTURE));
    const weft_config_model *m = &c.model[0];

    (void)state;
    assert_null(m->path);
    assert_int_equal(m->shape[0], 2);
    assert_int_equal(m->shape[2], 8);
    assert_int_equal(m->components, 2);
    assert_true(m->component[0].weight == .5 && m->component[0].std == .2);
    assert_true(m->component[0].mean[0] == -1 && m->component[0].mean[1] == -1);
    assert_true(m->component[1].mean[0] == 1 && m->component[1].mean[1] == .25);
    weft_config_release(&c);
}

/* An identity is a config of the same identity. */
static void test_identities(void **state)
{
    static const char *const texts[] = {
        PAIR "  method: w2sd\n  lambda: 7\n  guidance_weak: 0.5\n",
        PAIR "  method: w2sd\n  inverse_offset: 1\n  rounds: 2\n",
        PAIR "  refiner: strong\n  refine_from: 0.75\n",
        PAIR "  method: zsampling\n  gamma1: 4\n  gamma2: -1\n",
        PAIR "  method: resampling\n  labels: { strong: 2 }\n",
        PAIR "  method: autoguidance\n  autoguidance: 0.25\n",
        PAIR "  method: superdiff_or\n  bias: { weak: 2 }\n  "
             "temperature: 3\n  superdiff_quirk: true\n",
        PAIR "  method: superdiff_and\n  lift: -3\n  null_labels: {weak: 1}\n",
        PAIR "  method: average\n  bias: { strong: 1, weak: 3 }\n  eta: 1\n",
        ONE "  guidance: 2\n  guidance_schedule: linear\n"
            "  guidance_interval: [0.1, 0.9]\n  guidance_rescale: 0.5\n",
        TOY(MIXTURE)};

    (void)state;
    for (int i = 0; i < COUNT(texts); i++) {
        weft_config c = load(texts[i]), d;
        char *first, *again;

        assert_int_equal(weft_config_identity(&c, 7, &first), WEFT_OK);
        d = load(first);
        assert_int_equal(d.sample.method, c.sample.method);
        assert_int_equal(d.sample.how.lambda, c.sample.how.lambda);
        assert_int_equal(weft_config_identity(&d, 7, &again), WEFT_OK);
        assert_string_equal(first, again);
        free(first);
        free(again);
        weft_config_release(&c);
        weft_config_release(&d);
    }
}

/* ---- refusals ------------------------------------------------------------ */

static void test_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {PAIR "  method: w2s\n",
         "a.yaml:7: unknown method \"w2s\", did you mean \"w2sd\"?"},
        {ONE "  method: w2sd\n",
         "a.yaml:5: method \"w2sd\" takes two models called strong and weak: "
         "models.strong is missing"},
        {PAIR "  refiner: weka\n",
         "a.yaml:7: unknown model \"weka\" in sample.refiner, did you mean "
         "\"weak\"?"},
        {PAIR "  refiner: weak\n  model: weak\n",
         "a.yaml:7: sample.refiner and sample.model are both weak"},
        {ONE "  refiner: strong\n", "a.yaml:5: unknown model \"strong\" in "
                                    "sample.refiner; known are only"},
        {PAIR "  method: w2sd\n  refiner: weak\n",
         "a.yaml:8: sample.refiner goes on after method plain, not after w2sd"},
        {PAIR "  model: weak\n  refine_from: 0.5\n",
         "a.yaml:8: sample.refine_from needs sample.refiner"},
        {PAIR "  refiner: weak\n  refine_from: 1.5\n",
         "a.yaml:8: sample.refine_from: 1.5 is out of range, expected 0 to 1"},
        {ONE "  method: superdiff_and\n",
         "a.yaml:5: method \"superdiff_and\" superposes two models or more, "
         "and there is one"},
        {PAIR "  method: plain\n",
         "a.yaml:5: sample.model is missing: there are 2 models"},
        {PAIR "  method: w2sd\n  lambda: 31\n",
         "a.yaml:8: sample.lambda: 31 is beyond the 30 steps"},
        {PAIR "  method: w2sd\n  lambda: 30\n  inverse_offset: 1\n",
         "a.yaml:8: sample.inverse_offset: 1 needs sample.lambda below the 30 "
         "steps"},
        {PAIR "  method: superdiff_or\n  eta: 0.5\n",
         "a.yaml:8: sample.eta: method \"superdiff_or\" follows the reverse "
         "diffusion, which is eta 1, not 0.5"},
        {PAIR "  bias: 3\n", "a.yaml:7: sample.bias: expected numbers by "
                             "model, such as { strong: 3, weak: 4 }"},
        {PAIR "  labels: { stong: 3 }\n",
         "a.yaml:7: unknown model \"stong\" in sample.labels, did you mean "
         "\"strong\"?"},
        {PAIR "  labels: { weak: -1 }\n",
         "a.yaml:7: sample.labels.weak: -1 is out of range, expected 0 or "
         "more"},
        {PAIR "  labels: { weak: x }\n",
         "a.yaml:7: sample.labels: expected a whole number, found \"x\""},
        {PAIR "  guidance_interval: [0.5, 0.25]\n",
         "a.yaml:5: sample.model is missing: there are 2 models"},
        {ONE "  guidance_interval: [0.5, 0.25]\n",
         "a.yaml:5: sample.guidance_interval: [0.5, 0.25] is empty: expected "
         "two ascending parts of the steps"},
        {TOY(""), "a.yaml:2: models.toy.mixture is missing"},
        {TOY(MIXTURE ", path: x"),
         "a.yaml:2: models.toy.path: an analytic model has no files"},
        {TOY(", mixture: [ { weight: 1, mean: [1, 2, 3], std: 1 } ]"),
         "a.yaml:2: models.toy.mixture: 3 means for 2 channels"},
        {TOY(", mixture: [ { weight: 0, mean: 1, std: 1 } ]"),
         "a.yaml:2: models.toy.mixture: weight and std are above 0"},
        {TOY(", mixture: [ { weight: 1, mean: 1 } ]"),
         "a.yaml:2: models.toy.mixture.std is missing"},
        {"models: { m: { path: x, shape: [1, 8, 8] } }\n"
         "sample: { width: 8, height: 8 }\n",
         "a.yaml:1: models.m.shape is for kind: analytic"},
    };

    (void)state;
    for (int i = 0; i < COUNT(bad); i++) {
        weft_config c;

        assert_int_equal(weft_config_parse("a.yaml", bad[i].text,
                                           strlen(bad[i].text), NULL, 0, &c),
                         WEFT_EINPUT);
        assert_string_equal(weft_fail_text(), bad[i].says);
    }
}

/* ---- what is asked ------------------------------------------------------- */

/* Denoisers as model and condition, guided ones in brackets, halves by number:
 * "0c 0(b 2) 1b2". */
static void describe(const weft_method *m, char *out, size_t room)
{
    static const char letter[] = {'c', 'u', 'b'};
    static const char *const half[] = {"", "1", "2"};
    size_t at = 0;

    for (int i = 0; i < m->nasked; i++) {
        const weft_asked *a = &m->asked[i];
        const weft_leaf *leaf = &m->leaf[a->leaf];
        const char *gap = i ? " " : "";

        at += (size_t)(a->guided
                           ? snprintf(out + at, room - at, "%s%d(%c %g)", gap,
                                      leaf->model, letter[leaf->condition],
                                      a->guidance.scale)
                           : snprintf(out + at, room - at, "%s%d%c%s", gap,
                                      leaf->model, letter[leaf->condition],
                                      half[a->half]));
        assert_true(at < room);
    }
}

static void test_what_is_asked(void **state)
{
    static const struct {
        const char *text, *asks;
        int models;
    } want[] = {
        {ONE, "0c", 1},
        {ONE "  guidance: 3\n", "0(b 3)", 1},
        {ONE "  guidance: 0\n", "0u", 1},
        {PAIR "  method: w2sd\n  guidance: 5\n", "0(b 5) 0c 1c", 2},
        {PAIR "  method: w2sd\n  guidance_strong: 2\n  guidance_weak: 0\n",
         "0c 0(b 2) 1u", 2},
        {PAIR "  method: zsampling\n  gamma1: 4\n", "0(b 4) 0(b 4) 0u", 1},
        {PAIR "  method: resampling\n  guidance: 2\n", "0(b 2) 0c", 1},
        {PAIR "  method: autoguidance\n", "0c 1c", 2},
        {PAIR "  refiner: weak\n", "0c 1c", 2},
        {PAIR "  refiner: strong\n  refine_from: 0.5\n  guidance: 2\n",
         "0(b 2) 1(b 2)", 2},
        {PAIR "  method: superdiff_and\n  guidance: 2\n", "0b1 1b1 0b2 1b2", 2},
        {"models: { a: { path: /m }, b: { path: /m } }\n"
         "sample: { width: 8, height: 8, method: superdiff_or, guidance: 2 }\n",
         "0b1 1c 0b2", 2},
        {"models: { a: { path: /m }, b: { path: /m } }\n"
         "sample: { width: 8, height: 8, method: average, guidance: 2,"
         " null_labels: { a: 3 } }\n",
         "0b1 1b1 0b2 1b2", 2},
    };

    (void)state;
    for (int i = 0; i < COUNT(want); i++) {
        weft_noise_schedule schedule;
        weft_config c = load(want[i].text);
        weft_method m;
        weft_solver *s;
        char text[256];

        assert_int_equal(weft_method_models(&c, &m), WEFT_OK);
        assert_int_equal(m.nmodels, want[i].models);
        assert_int_equal(weft_method_list(&m), WEFT_OK);
        describe(&m, text, sizeof text);
        assert_string_equal(text, want[i].asks);
        assert_int_equal(
            weft_noise_schedule_read(NULL, NULL, c.sample.solver, &schedule),
            WEFT_OK);
        assert_int_equal(weft_method_solver(&m, &schedule, &s), WEFT_OK);
        assert_int_equal(s->denoisers, m.nasked);
        assert_true(weft_method_sums(&m, 2) >= 2 * s->sums);
        weft_solver_destroy(s);
        weft_noise_schedule_release(&schedule);
        weft_config_release(&c);
    }
}

/* What core refuses is said with the config's name. */
static void test_solver_refused(void **state)
{
    weft_noise_schedule schedule;
    weft_config c = load(PAIR "  method: w2sd\n  solver: heun\n");
    weft_method m;
    weft_solver *s;

    (void)state;
    assert_int_equal(weft_method_models(&c, &m), WEFT_OK);
    assert_int_equal(weft_method_list(&m), WEFT_OK);
    assert_int_equal(weft_noise_schedule_read(NULL, NULL, WEFT_HEUN, &schedule),
                     WEFT_OK);
    assert_int_equal(weft_method_solver(&m, &schedule, &s), WEFT_EINPUT);
    assert_string_equal(weft_fail_text(),
                        "a.yaml: w2sd needs a solver with an inverse: heun has "
                        "none, ddim has");
    weft_noise_schedule_release(&schedule);
    weft_config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_analytic),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_what_is_asked),
        cmocka_unit_test(test_solver_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
