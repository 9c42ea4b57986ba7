/* Control nets in a config: what is meant, what an image says of it, and in
 * which steps they are followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launch/control.h"
#include "launch/stock.h"

static void must(weft_status st)
{
    if (st != WEFT_OK) fail_msg("%s", weft_fail_text());
}

static void parse(const char *controls, const char *sample, weft_config *c)
{
    char yaml[1024];

    snprintf(yaml, sizeof yaml,
             "models: {m: {path: /m, controls: [%s]}}\n"
             "sample: {width: 64, height: 64%s}\n",
             controls, sample);
    must(weft_config_parse("a.yaml", yaml, strlen(yaml), NULL, 0, c));
}

static void image_says_them(void **state)
{
    weft_config c, again;
    char *text, *twice;

    (void)state;
    parse("{path: /x}, {path: '/y:fp16', image: /p.png, scale: -0.25, "
          "start: 0.1, end: 0.9}",
          ", control: /q.png", &c);
    assert_int_equal(c.model[0].ncontrols, 2);
    assert_true(c.model[0].control[0].scale == 1);
    assert_true(c.model[0].control[0].start == 0);
    assert_true(c.model[0].control[0].end == 1);
    assert_null(c.model[0].control[0].image.path);
    assert_string_equal(c.model[0].control[1].image.path, "/p.png");
    must(weft_config_identity(&c, 0, &text));
    assert_non_null(strstr(
        text,
        "\"controls\":[{\"path\":\"/x\",\"scale\":1,\"start\":0,\"end\":1},"
        "{\"path\":\"/y:fp16\",\"image\":\"/p.png\",\"scale\":-0.25,"
        "\"start\":0.1,\"end\":0.9}]"));
    assert_non_null(strstr(text, "\"control\":\"/q.png\""));
    must(weft_config_parse("a.yaml", text, strlen(text), NULL, 0, &again));
    must(weft_config_identity(&again, 0, &twice));
    assert_string_equal(text, twice);
    free(twice);
    free(text);
    weft_config_release(&again);
    weft_config_release(&c);
}

static int one(const weft_solver *s, int i)
{
    (void)s;
    (void)i;
    return 1;
}

/* PLMS looks twice in its first step, Heun in all but its last. */
static int plms(const weft_solver *s, int i) { return i == s->first ? 2 : 1; }
static int heun(const weft_solver *s, int i)
{
    return i < s->steps - 1 ? 2 : 1;
}

typedef int stages(const weft_solver *s, int i);

/* The evaluations in `steps` steps, from `first` on, in which a net is
 * followed: one letter each. */
static void expect(const char *control, stages *of, int first, int steps,
                   const char *expected)
{
    const weft_solver_ops ops = {.stages = of};
    weft_solver solver = {.ops = &ops, .first = first, .steps = steps};
    weft_solver made = {.inner = &solver};
    weft_setup s = {.solver = &made};
    weft_config c;

    parse(control, "", &c);
    s.config = &c;
    for (int i = first; i < steps; i++)
        for (int k = 0; k < of(&solver, i); k++) {
            float follow[WEFT_CONTROLS];

            weft_control_follow(&s, 0, i, k, follow);
            assert_true(follow[0] == (*expected++ == 'x' ? 2 : 0));
        }
    assert_int_equal(*expected, 0);
    weft_config_release(&c);
}

/* What diffusers' pipelines say in controlnet_keep, of which the first steps
 * are left out where a picture is the start. */
static void follows_in_its_steps(void **state)
{
    (void)state;
    expect("{path: x, scale: 2}", one, 0, 10, "xxxxxxxxxx");
    expect("{path: x, scale: 2, end: 0.45}", one, 0, 10, "xxxx......");
    expect("{path: x, scale: 2, start: 0.1, end: 0.7}", one, 0, 10,
           ".xxxxxx...");
    expect("{path: x, scale: 2, start: 0.15}", one, 0, 10, "..xxxxxxxx");
    expect("{path: x, scale: 2, start: 0.5}", one, 4, 10, "...xxx");
    expect("{path: x, scale: 2, end: 0.05}", one, 0, 10, "..........");
    expect("{path: x, scale: 2, end: 0.5}", plms, 0, 4, "xx...");
    expect("{path: x, scale: 2, start: 0.5}", plms, 1, 4, "..xx");
    expect("{path: x, scale: 2, end: 0.5}", heun, 0, 4, "xxx....");
}

/* What a line of a data set that names this picture is told; NULL: nothing. */
static void check_line(const char *picture, const char *refusal)
{
    static const char yaml[] =
        "models: {m: {path: /m, controls: [{path: /x}]}}\n"
        "sample: {width: 64, height: 320}\n"
        "dataset: {manifest: " WEFT_SOURCE_DIR "/tests/golden/none.jsonl}\n"
        "output: {dir: /out}\n";
    const char *const override[] = {""};
    weft_stock_spec spec = {.path = "a.yaml",
                            .text = yaml,
                            .bytes = strlen(yaml),
                            .override = override};
    char keys[256];
    weft_verdict v;

    snprintf(keys, sizeof keys, "sample.control=\"%s\"\n", picture);
    if (!refusal) {
        must(weft_stock_check(&spec, keys, &v));
        return;
    }
    assert_int_equal(weft_stock_check(&spec, keys, &v), WEFT_EINPUT);
    if (!strstr(weft_fail_text(), refusal)) fail_msg("%s", weft_fail_text());
}

/* Of each item, not only of those that are planned at the start. */
static void pictures_of_items_are_looked_for(void **state)
{
    (void)state;
    check_line("pipe_sd15.png", NULL);
    check_line(WEFT_SOURCE_DIR "/tests/golden/pipe_sd15.png", NULL);
    check_line("nothing.png", "tests/golden/nothing.png");
    check_line("control_xl.png", "control_xl.png is 96 x 192 pixels");
    check_line("pipelines.py", "pipelines.py: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_says_them),
        cmocka_unit_test(follows_in_its_steps),
        cmocka_unit_test(pictures_of_items_are_looked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
