/* What configs and overrides come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "launch/config.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* A config that is complete, with room for one more section at its end. */
#define GOOD                                                                   \
    "models:\n"                                                                \
    "  strong: { path: ../m/strong }\n"                                        \
    "sample:\n"                                                                \
    "  width: 512\n"                                                           \
    "  height: 256\n"

static weft_status parse(const char *text, const char *const *over, int n,
                         weft_config *c)
{
    return weft_config_parse("dir/a.yaml", text, strlen(text), over, n, c);
}

static void load_good(const char *text, const char *const *over, int n,
                      weft_config *c)
{
    if (parse(text, over, n, c) != WEFT_OK) fail_msg("%s", weft_fail_text());
}

/* ---- right ------------------------------------------------------------------
 */

static void test_defaults(void **state)
{
    weft_config c;

    (void)state;
    load_good(GOOD, NULL, 0, &c);
    assert_string_equal(c.file, "dir/a.yaml");
    assert_int_equal(c.nmodels, 1);
    assert_string_equal(c.model[0].name, "strong");
    assert_string_equal(c.model[0].path, "dir/../m/strong");
    assert_string_equal(c.model[0].portable, "m/strong");
    assert_null(c.vae);
    assert_null(c.schedule);
    assert_null(c.schedule_inline);
    assert_int_equal(c.sample.method, WEFT_PLAIN);
    assert_string_equal(c.sample.model, "strong");
    assert_int_equal(c.sample.solver, WEFT_DDIM);
    assert_int_equal(c.sample.steps, 30);
    assert_true(c.sample.guidance == 1);
    assert_true(c.sample.eta == 0);
    assert_int_equal(c.sample.width, 512);
    assert_int_equal(c.sample.height, 256);
    assert_false(c.sample.has_label);
    assert_false(c.sample.has_null_label);
    assert_int_equal(c.sample.nseeds, 1);
    assert_int_equal(c.sample.seed[0], 0);
    assert_int_equal(c.sample.rng, WEFT_RNG_COUNTER);
    assert_null(c.sample.nodes);
    assert_int_equal(c.parallel.patches.lines, 0);
    assert_int_equal(c.parallel.grain, 0);
    assert_false(c.parallel.async);
    assert_int_equal(c.run.threads, 0);
    assert_int_equal(c.run.batch, 0);
    assert_true(c.run.deadline == 120);
    assert_string_equal(c.run.kernels, "auto");
    assert_null(c.output.image);
    assert_null(c.output.report);
    assert_string_equal(c.bench.what, "all");
    weft_config_release(&c);
}

/* The example of the design, as far as this version goes. */
static const char everything[] =
    "# a comment\n"
    "models:\n"
    "  strong: { path: ../models/demo/strong }\n"
    "  weak:\n"
    "    path: /abs//weak/./x/../\n"
    "vae: { path: vae }\n"
    "schedule: { path: ../s, timestep_spacing: trailing, beta_end: 0.012,\n"
    "            clip_sample: false, prediction_type: 'epsilon' }\n"
    "sample:\n"
    "  method: plain\n"
    "  model: weak\n"
    "  solver: dpmpp_2m\n"
    "  steps: 3\n"
    "  guidance: 2.5e0\n"
    "  eta: .5\n"
    "  width: 65536\n"
    "  height: 1\n"
    "  label: 3\n"
    "  null_label: 10\n"
    "  seeds: \"7, 0-2,18446744073709551615\"\n"
    "  rng: torch-cpu\n"
    "  nodes: [999, 500.5, 1]\n"
    "parallel: { patches: 4, grain: 8, exchange: sync }\n"
    "run: { threads: 2, kernels: lean, batch: auto }\n"
    "output:\n"
    "  image: \"out/{seed}-{label}.png\"\n"
    "  latents: /tmp/{index}.safetensors\n"
    "  report: run.jsonl\n"
    "bench: { runs: 7, what: layers }\n";

static void test_everything(void **state)
{
    weft_config c;

    (void)state;
    load_good(everything, NULL, 0, &c);
    assert_int_equal(c.nmodels, 2);
    assert_string_equal(c.model[1].path, "/abs//weak/./x/../");
    assert_string_equal(c.model[1].portable, "/abs/weak");
    assert_string_equal(c.vae, "dir/vae");
    assert_string_equal(c.schedule, "dir/../s");
    assert_string_equal(c.schedule_inline,
                        "{\"timestep_spacing\":\"trailing\","
                        "\"beta_end\":0.012,\"clip_sample\":false,"
                        "\"prediction_type\":\"epsilon\"}");
    assert_string_equal(c.sample.model, "weak");
    assert_int_equal(c.sample.solver, WEFT_DPMPP_2M);
    assert_true(c.sample.guidance == 2.5);
    assert_true(c.sample.eta == 0.5);
    assert_int_equal(c.sample.width, 65536);
    assert_true(c.sample.has_label && c.sample.label == 3);
    assert_true(c.sample.has_null_label && c.sample.null_label == 10);
    assert_int_equal(c.sample.nseeds, 5);
    assert_int_equal(c.sample.seed[0], 7);
    assert_int_equal(c.sample.seed[3], 2);
    assert_true(c.sample.seed[4] == UINT64_MAX);
    assert_int_equal(c.sample.rng, WEFT_RNG_TORCH_CPU);
    assert_int_equal(c.sample.nnodes, 3);
    assert_true(c.sample.nodes[1] == 500.5);
    assert_null(c.sample.sigmas);
    assert_int_equal(c.parallel.patches.lines, 4);
    assert_int_equal(c.parallel.patches.across, 1);
    assert_int_equal(c.parallel.grain, 8);
    assert_int_equal(c.run.threads, 2);
    assert_string_equal(c.run.kernels, "lean");
    assert_string_equal(c.output.image, "dir/out/{seed}-{label}.png");
    assert_string_equal(c.output.latents, "/tmp/{index}.safetensors");
    assert_string_equal(c.output.report, "dir/run.jsonl");
    assert_int_equal(c.bench.runs, 7);
    assert_string_equal(c.bench.what, "layers");
    weft_config_release(&c);
}

/* Text that looks like something else is text where text is wanted. */
static void test_styles(void **state)
{
    static const char text[] = "\xef\xbb\xbfmodels: {m: {path: '123'}}\n"
                               "vae: {path: 5e3}\n"
                               "sample: {width: +8, height: 8, \"seed\": 9}\n"
                               "output: {image: \"a\\\"b\\\\ \xc3\xa9.png\"}\n";
    weft_config c;

    (void)state;
    load_good(text, NULL, 0, &c);
    assert_string_equal(c.model[0].path, "dir/123");
    assert_string_equal(c.vae, "dir/5e3");
    assert_int_equal(c.sample.width, 8);
    assert_int_equal(c.sample.seed[0], 9);
    assert_string_equal(c.output.image, "dir/a\"b\\ \xc3\xa9.png");
    weft_config_release(&c);
}

static void test_alias(void **state)
{
    weft_config c;

    (void)state;
    load_good(GOOD "  solver: euler_a\n", NULL, 0, &c);
    assert_int_equal(c.sample.solver, WEFT_EULER_A);
    weft_config_release(&c);
}

/* A scheduler's file in a folder of its own. */
static void write_scheduler(const char *folder, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/scheduler_config.json", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* The class in the scheduler's file says which solver, unless the config does;
 * one that weft does not have is refused by name. */
static void test_scheduler_names_the_solver(void **state)
{
    char folder[] = "/tmp/weft-schedule-XXXXXX", key[64], path[128];
    const char *over[] = {key, "sample.solver=heun"};
    weft_config c;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(key, sizeof key, "schedule.path=%s", folder);
    load_good(GOOD, over, 1, &c);
    assert_int_equal(c.sample.solver, WEFT_DDIM);
    weft_config_release(&c);
    write_scheduler(folder, "{\"_class_name\": \"PNDMScheduler\"}");
    load_good(GOOD, over, 1, &c);
    assert_int_equal(c.sample.solver, WEFT_PNDM);
    weft_config_release(&c);
    load_good(GOOD, over, 2, &c);
    assert_int_equal(c.sample.solver, WEFT_HEUN);
    weft_config_release(&c);
    write_scheduler(folder, "{\"_class_name\": \"DEISMultistepScheduler\"}");
    assert_int_equal(parse(GOOD, over, 1, &c), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "DEISMultistepScheduler"));
    snprintf(path, sizeof path, "%s/scheduler_config.json", folder);
    remove(path);
    rmdir(folder);
}

/* ---- overrides
 * --------------------------------------------------------------- */

static void test_overrides(void **state)
{
    static const char *const over[] = {"sample.steps=5",
                                       "sample.seeds=0-3",
                                       "models.strong.path=here/s",
                                       "vae={path: v}",
                                       "vae.path=../w",
                                       "schedule.timestep_spacing=linspace",
                                       "schedule.beta_end=0.02",
                                       "output.image={seed}: #.png",
                                       "output.report=\"r.jsonl\"",
                                       "run.threads=auto",
                                       "models.weak.path=here/w",
                                       "sample.model=weak",
                                       "sample.nodes=[9, 5,1]"};
    weft_config c;

    (void)state;
    load_good(GOOD "  seed: 4\n  steps: 9\n", over, COUNT(over), &c);
    assert_int_equal(c.sample.steps, 3); /* nodes make steps void */
    assert_int_equal(c.sample.nseeds, 4);
    assert_string_equal(c.model[0].path, "here/s");
    assert_string_equal(c.model[0].portable, "here/s");
    assert_string_equal(c.vae, "../w");
    assert_string_equal(c.vae_portable, "w");
    assert_string_equal(c.schedule_inline, "{\"timestep_spacing\":\"linspace\","
                                           "\"beta_end\":0.02}");
    assert_string_equal(c.output.image, "{seed}: #.png");
    assert_string_equal(c.output.report, "r.jsonl");
    assert_int_equal(c.nmodels, 2);
    assert_string_equal(c.sample.model, "weak");
    assert_int_equal(c.sample.nnodes, 3);
    weft_config_release(&c);
}

/* A sigma override makes the file's nodes void, a seed its seeds. */
static void test_override_rivals(void **state)
{
    static const char *const over[] = {"sample.sigmas=[9,1]", "sample.seed=3"};
    weft_config c;

    (void)state;
    load_good(GOOD "  seeds: 0-7\n  nodes: [2, 1]\n", over, COUNT(over), &c);
    assert_null(c.sample.nodes);
    assert_true(c.sample.sigmas[0] == 9);
    assert_int_equal(c.sample.nseeds, 1);
    assert_int_equal(c.sample.seed[0], 3);
    weft_config_release(&c);
}

/* A data set is of a file or of a rule, whichever was said last. */
static void test_manifest_or_rule(void **state)
{
    const char *const file[] = {"dataset.manifest=x.csv"};
    const char *const rule[] = {"dataset.items.seeds=3-5"};
    weft_config c;

    (void)state;
    load_good(GOOD "dataset: {items: {seeds: 0-7}}\n", file, 1, &c);
    assert_string_equal(c.dataset.manifest, "x.csv");
    assert_int_equal(c.dataset.nseeds, 0);
    weft_config_release(&c);
    load_good(GOOD "dataset: {manifest: x.csv, slice: 2/3}\n", rule, 1, &c);
    assert_null(c.dataset.manifest);
    assert_int_equal(c.dataset.nseeds, 1);
    assert_true(c.dataset.seed[0].first == 3 && c.dataset.seed[0].last == 5);
    assert_int_equal(c.dataset.slice, 2);
    assert_int_equal(c.dataset.slices, 3);
    weft_config_release(&c);
}

static void test_bad_overrides(void **state)
{
    static const struct {
        const char *over, *says;
    } cases[] = {
        {"sample.stepz=3",
         "unknown key \"stepz\" in sample, did you mean \"steps\"?"},
        {"sample.steps=many",
         "sample.steps: expected a whole number, found \"many\""},
        {"sample.steps=0",
         "sample.steps: 0 is out of range, expected 1 to 10000"},
        {"sample.steps=", "is empty"},
        {"sample.steps=~", "a value is missing"},
        {"sample.steps=[1", "not valid YAML: did not find expected ',' or ']'"},
        {"sample.steps=&a 1", "anchors (&a) are not supported"},
        {"output.image=", "has no value"},
        {"output.report=null", "has no value"},
        {"output.image=a\nb.png", "text contains a control character"},
        {"output.image=a\x1b.png", "not valid YAML: control characters are "
                                   "not allowed"},
        {"output.image=a\xff.png",
         "not valid YAML: invalid leading UTF-8 octet"},
        {"sample=3", "sample: expected a mapping such as { method: ... }, "
                     "found \"3\""},
        {"sample.steps.more=3",
         "\"steps\" is not a mapping, so it has no \"more\""},
        {"=3", "expected KEY=VALUE with a KEY such as sample.steps"},
        {"sample..steps=3", "expected KEY=VALUE with a KEY such as "
                            "sample.steps"},
        {".steps=3", "expected KEY=VALUE with a KEY such as sample.steps"},
        {"steps.=3", "expected KEY=VALUE with a KEY such as sample.steps"},
        {"word", "expected KEY=VALUE with a KEY such as sample.steps"},
        {"steps=3", "unknown key \"steps\""},
        {"sample.mask=in.png", "sample.mask needs sample.image"},
        {"parallel.exchange=asyn",
         "unknown exchange \"asyn\", did you mean \"async\"?"},
        {"sample.solver=eular",
         "unknown solver \"eular\", did you mean \"euler\"?"},
        {"models.a/b.path=x", "model name \"a/b\": expected at most 64 "
                              "letters, digits, _ and -"},
        {"output.image={sede}.png",
         "output.image: unknown placeholder {sede}, did you mean \"seed\"?"},
    };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        char expected[512];
        weft_config c;
        const weft_status s = parse(GOOD "  steps: 2\n", &cases[i].over, 1, &c);
        snprintf(expected, sizeof expected, "override \"%s\": %s",
                 cases[i].over, cases[i].says);
        for (char *p = expected; *p; p++)
            if (*p == '\x1b') *p = '?'; /* failures never carry controls */
        if (s == WEFT_OK) fail_msg("accepted: %s", cases[i].over);
        if (strcmp(cases[i].over, "steps=3") == 0)
            assert_memory_equal(weft_fail_text(), expected, strlen(expected));
        else
            assert_string_equal(weft_fail_text(), expected);
        assert_int_equal(s, WEFT_EINPUT);
    }
}

/* ---- names
 * -------------------------------------------------------------------- */

static void check_fill(const weft_config *c, const char *pattern, int image,
                       const char *expected)
{
    char *path;

    assert_int_equal(weft_config_fill(c, pattern, image, &path), WEFT_OK);
    assert_string_equal(path, expected);
    free(path);
}

static void test_fill(void **state)
{
    weft_config c;

    (void)state;
    load_good(GOOD "  seeds: 5,18446744073709551615\n  label: 3\n", NULL, 0,
              &c);
    check_fill(&c, "a-{seed}.png", 0, "a-5.png");
    check_fill(&c, "{seed}{index}", 1, "18446744073709551615000001");
    check_fill(&c, "{label}-{steps}-{width}x{height}-{model}", 1,
               "3-30-512x256-strong");
    check_fill(&c, "{{seed}}{seed}}}", 0, "{seed}5}");
    check_fill(&c, "plain", 0, "plain");
    weft_config_release(&c);
}

/* Braces in the name of the config's own folder are no placeholders. */
static void test_braced_folder(void **state)
{
    static const char text[] = GOOD "output: {image: 'x-{seed}.png', report: "
                                    "r}\n";
    weft_config c;

    (void)state;
    assert_int_equal(
        weft_config_parse("d{seed}/{x/a.yaml", text, strlen(text), NULL, 0, &c),
        WEFT_OK);
    check_fill(&c, c.output.image, 0, "d{seed}/{x/x-0.png");
    assert_string_equal(c.output.report, "d{seed}/{x/r");
    weft_config_release(&c);
}

static void test_missing_file(void **state)
{
    weft_config c;

    (void)state;
    assert_int_equal(weft_config_load("/nowhere/a.yaml", NULL, 0, &c),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "/nowhere/a.yaml: "));
    assert_int_equal(weft_config_load("/", NULL, 0, &c), WEFT_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_manifest_or_rule),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_styles),
        cmocka_unit_test(test_alias),
        cmocka_unit_test(test_scheduler_names_the_solver),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_override_rivals),
        cmocka_unit_test(test_bad_overrides),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_braced_folder),
        cmocka_unit_test(test_missing_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
