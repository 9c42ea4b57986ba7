/* What an image says of itself, and that this makes the same image again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io/png.h"
#include "launch/config.h"

/* A folder with models/m, models/vae and configs/, and a folder elsewhere. */
typedef struct place {
    char root[64], config[96], image[96], inside[96];
} place;

static void make_folder(const char *root, const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);

    if (p == NULL) return -1;
    snprintf(p->root, sizeof p->root, "/tmp/weft-identity-XXXXXX");
    if (mkdtemp(p->root) == NULL) return -1;
    make_folder(p->root, "models");
    make_folder(p->root, "models/m");
    make_folder(p->root, "models/vae");
    make_folder(p->root, "configs");
    make_folder(p->root, "configs/deep");
    snprintf(p->config, sizeof p->config, "%s/configs/a.yaml", p->root);
    snprintf(p->image, sizeof p->image, "%s/configs/deep/x.png", p->root);
    snprintf(p->inside, sizeof p->inside, "%s/configs/deep/x.txt", p->root);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const folders[] = {"models/m", "models/vae", "models",
                                          "configs/deep", "configs"};
    place *p = *state;
    char path[160];
    int rc = 0;

    unlink(p->image);
    unlink(p->inside);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", p->root, folders[i]);
        rc |= rmdir(path);
    }
    rc |= rmdir(p->root);
    free(p);
    return rc;
}

static const char text[] =
    "models:\n"
    "  b: { path: ../models/m }\n"
    "  a: { path: ../models/m }\n"
    "vae: { path: ../models/vae }\n"
    "schedule: { timestep_spacing: trailing, beta_end: 0.012 }\n"
    "sample:\n"
    "  model: b\n"
    "  solver: euler\n"
    "  guidance: 2.10\n"
    "  eta: 0.1\n"
    "  width: 64\n"
    "  height: 32\n"
    "  label: 3\n"
    "  seeds: 5-6\n"
    "  nodes: [999, 0.3, 1e-7]\n"
    "output: { image: 'deep/x{seed}.png', report: r.jsonl }\n";

static void parse(const char *name, const char *yaml, const char *const *over,
                  int n, weft_config *c)
{
    if (weft_config_parse(name, yaml, strlen(yaml), over, n, c) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
}

static char *without(const char *yaml, const char *part)
{
    char *copy = strdup(yaml), *at = strstr(copy, part);

    memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
    return copy;
}

static void test_exact(void **state)
{
    const place *p = *state;
    char *json;
    weft_config c;

    parse(p->config, text, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 6, &json), WEFT_OK);
    assert_string_equal(
        json, "{\"weft\":1,\"models\":{\"b\":{\"path\":\"models/m\"},"
              "\"a\":{\"path\":\"models/m\"}},"
              "\"vae\":{\"path\":\"models/vae\"},"
              "\"schedule\":{\"timestep_spacing\":\"trailing\","
              "\"beta_end\":0.012},"
              "\"sample\":{\"method\":\"plain\",\"model\":\"b\","
              "\"solver\":\"euler\",\"steps\":3,\"guidance\":2.1,\"eta\":0.1,"
              "\"width\":64,\"height\":32,\"label\":3,\"seed\":6,"
              "\"rng\":\"counter\",\"nodes\":[999,0.3,1e-07]},"
              "\"run\":{\"kernels\":\"auto\"}}");
    free(json);
    weft_config_release(&c);
}

/* A GPU by its name and by its numbers is one. */
static void test_gpu(void **state)
{
    static const char *const over[][2] = {
        {"sample.rng=torch-cuda", "sample.gpu=a100"},
        {"sample.rng=torch-cuda", "sample.gpu=108x2048"}};
    const place *p = *state;

    for (int i = 0; i < 2; i++) {
        char *json;
        weft_config c;

        parse(p->config, text, over[i], 2, &c);
        assert_int_equal(weft_config_identity(&c, 6, &json), WEFT_OK);
        assert_non_null(
            strstr(json, "\"rng\":\"torch-cuda\",\"gpu\":\"108x2048\""));
        free(json);
        weft_config_release(&c);
    }
}

/* As a config beside the image it gives itself again, whatever is said about
 * layout and outputs. */
static void test_round_trip(void **state)
{
    static const char *const over[] = {
        "parallel.patches=3",    "run.threads=2",
        "run.batch=1",           "output.image=/tmp/o.png",
        "run.deadline=9",        "bench.runs=2",
        "output.latents=/tmp/l", "output.report=/tmp/r",
        "output.trace=/tmp/t"};
    const place *p = *state;
    char *first, *second, *third, path[160];
    weft_config c;

    parse(p->config, text, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, UINT64_MAX, &first), WEFT_OK);
    weft_config_release(&c);

    parse(p->image, first, NULL, 0, &c);
    assert_true(c.sample.seed[0] == UINT64_MAX);
    assert_true(c.sample.guidance == 2.1);
    snprintf(path, sizeof path, "%s/models/m", p->root);
    assert_string_equal(c.model[0].path, path);
    snprintf(path, sizeof path, "%s/models/vae", p->root);
    assert_string_equal(c.vae, path);
    assert_int_equal(weft_config_identity(&c, c.sample.seed[0], &second),
                     WEFT_OK);
    assert_string_equal(first, second);
    weft_config_release(&c);

    parse(p->image, first, over, sizeof over / sizeof *over, &c);
    assert_int_equal(weft_config_identity(&c, UINT64_MAX, &third), WEFT_OK);
    assert_string_equal(first, third);
    weft_config_release(&c);
    free(first);
    free(second);
    free(third);
}

/* A displaced image depends on who held which rows, so it says so; alone
 * nothing is displaced. */
static void test_displaced(void **state)
{
    static const char yaml[] =
        "models: {m: {path: /m}}\n"
        "sample: {width: 8, height: 8}\n"
        "parallel: {exchange: async, lag: 2, norm: stale, patches: 3}\n";
    static const char *const alone[] = {"parallel.patches=1"};
    char *json, *again;
    weft_config c;

    (void)state;
    parse("a.yaml", yaml, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 1, &json), WEFT_OK);
    weft_config_release(&c);
    assert_non_null(strstr(json, "\"parallel\":{\"patches\":3,\"exchange\":"
                                 "\"async\",\"warmup\":4,\"lag\":2,\"norm\":"
                                 "\"stale\"}"));
    parse("b.yaml", json, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 1, &again), WEFT_OK);
    assert_string_equal(json, again);
    weft_config_release(&c);
    free(again);
    parse("a.yaml", yaml, alone, 1, &c);
    assert_int_equal(weft_config_identity(&c, 1, &again), WEFT_OK);
    assert_null(strstr(again, "parallel"));
    weft_config_release(&c);
    free(again);
    free(json);
}

/* Numbers come back as they were, to the last bit. */
static void test_digits(void **state)
{
    static const char yaml[] =
        "models: {m: {path: /m}}\n"
        "schedule: {beta_end: 0.012345678901234567}\n"
        "sample: {width: 8, height: 8, guidance: 2.1234567890123457}\n";
    char *json, *again;
    weft_config c;

    (void)state;
    parse("a.yaml", yaml, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 1, &json), WEFT_OK);
    weft_config_release(&c);
    parse("b.yaml", json, NULL, 0, &c);
    assert_true(c.sample.guidance == 2.1234567890123457);
    assert_non_null(strstr(c.schedule_inline, ":0.01234567890123456"));
    assert_int_equal(weft_config_identity(&c, 1, &again), WEFT_OK);
    assert_string_equal(json, again);
    weft_config_release(&c);
    free(json);
    free(again);
}

/* The same models, named from elsewhere, are the same identity. */
static void test_portable(void **state)
{
    static const char *const over[] = {"models.b.path=models/m",
                                       "models.a.path=./x/../models//m/",
                                       "vae.path=../../models/vae"};
    const place *p = *state;
    char *one, *other;
    weft_config c;

    parse(p->config, text, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 1, &one), WEFT_OK);
    weft_config_release(&c);
    parse("elsewhere.yaml", text, over, 3, &c);
    assert_int_equal(weft_config_identity(&c, 1, &other), WEFT_OK);
    assert_string_equal(one, other);
    weft_config_release(&c);
    free(one);
    free(other);
}

/* An image that has moved finds its models from the working directory. */
static void test_search(void **state)
{
    static const char lost[] =
        "{\"weft\":1,\"models\":{\"m\":{\"path\":\"models/m\"}},"
        "\"sample\":{\"width\":8,\"height\":8}}";
    const place *p = *state;
    char *home = getcwd(NULL, 0), expected[160];
    weft_config c;

    assert_int_equal(
        weft_config_parse("/x.png", lost, strlen(lost), NULL, 0, &c),
        WEFT_EINPUT);
    assert_string_equal(weft_fail_text(),
                        "/x.png:1: models.m.path: no \"models/m\" in the "
                        "image's folder, the working directory, above "
                        "them, or where weft is installed; say "
                        "models.m.path=FOLDER");
    snprintf(expected, sizeof expected, "%s/configs/deep", p->root);
    assert_int_equal(chdir(expected), 0);
    parse("/x.png", lost, NULL, 0, &c);
    snprintf(expected, sizeof expected, "%s/models/m", p->root);
    assert_string_equal(c.model[0].path, expected);
    weft_config_release(&c);
    assert_int_equal(chdir(home), 0);
    free(home);
}

static void test_again(void **state)
{
    static const char *const several[] = {"sample.seeds=0-1"};
    static const char *const named[] = {"output.latents=l"};
    static const char bad[] =
        "{\"weft\":1,\"models\":{\"m\":{\"path\":\"/m\"}},\"output\":"
        "{\"image\":\"/etc/x.png\"},\"sample\":{\"width\":8,\"height\":8}}";
    char *good = without(bad, "\"output\":{\"image\":\"/etc/x.png\"},");
    weft_config c;

    (void)state;
    parse("d/{x}.PNG", good, NULL, 0, &c);
    assert_string_equal(c.output.image, "d/{{x}}-again.png");
    weft_config_release(&c);
    parse("d/x.png", good, several, 1, &c);
    assert_string_equal(c.output.image, "d/x-again-{seed}.png");
    weft_config_release(&c);
    parse("d/x.png", good, named, 1, &c);
    assert_null(c.output.image);
    weft_config_release(&c);
    parse("d/x.json", good, NULL, 0, &c);
    assert_null(c.output.image);
    weft_config_release(&c);
    assert_int_equal(weft_config_parse("x.png", bad, strlen(bad), NULL, 0, &c),
                     WEFT_EINPUT);
    assert_string_equal(
        weft_fail_text(),
        "x.png:1: output.image: an image does not say where output goes");
    free(good);
}

/* From the file itself, whatever it is called; and one that has no text. */
static void test_png(void **state)
{
    const place *p = *state;
    static const unsigned char pixels[3] = {1, 2, 3};
    char *json, *again;
    weft_config c;
    weft_png *png;

    parse(p->config, text, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 5, &json), WEFT_OK);
    weft_config_release(&c);
    for (int i = 0; i < 2; i++) {
        const weft_png_text texts[] = {{"parameters", "x"}, {"weft", json}};
        const char *path = i == 0 ? p->image : p->inside;
        assert_int_equal(weft_png_create(path, 1, 1, 3, texts, 2, &png),
                         WEFT_OK);
        assert_int_equal(weft_png_rows(png, pixels, 1), WEFT_OK);
        assert_int_equal(weft_png_finish(png), WEFT_OK);
        if (weft_config_load(path, NULL, 0, &c) != WEFT_OK)
            fail_msg("%s", weft_fail_text());
        assert_int_equal(c.output.image != NULL, i == 0);
        assert_int_equal(weft_config_identity(&c, 5, &again), WEFT_OK);
        assert_string_equal(json, again);
        free(again);
        weft_config_release(&c);
    }
    assert_int_equal(weft_png_create(p->image, 1, 1, 3, NULL, 0, &png),
                     WEFT_OK);
    assert_int_equal(weft_png_rows(png, pixels, 1), WEFT_OK);
    assert_int_equal(weft_png_finish(png), WEFT_OK);
    assert_int_equal(weft_config_load(p->image, NULL, 0, &c), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "x.png: has no \"weft\" text"));
    free(json);
}

static void test_parameters(void **state)
{
    char *said;
    weft_config c;

    (void)state;
    parse("a.yaml", text, NULL, 0, &c);
    assert_int_equal(weft_config_parameters(&c, 7, &said), WEFT_OK);
    assert_string_equal(said, "Steps: 3, Sampler: Euler, CFG scale: 2.1, "
                              "Seed: 7, Size: 64x32, Model: b, Eta: 0.1, "
                              "Label: 3, RNG: counter, Version: weft 0.1.0");
    free(said);
    weft_config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),      cmocka_unit_test(test_gpu),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_displaced),
        cmocka_unit_test(test_digits),     cmocka_unit_test(test_portable),
        cmocka_unit_test(test_search),     cmocka_unit_test(test_again),
        cmocka_unit_test(test_png),        cmocka_unit_test(test_parameters),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
