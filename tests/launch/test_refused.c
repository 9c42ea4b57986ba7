/* What is said of configs that are not right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

#define LONG_NAME                                                              \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static weft_status parse(const char *text, const char *const *over, int n,
                         weft_config *c)
{
    return weft_config_parse("dir/a.yaml", text, strlen(text), over, n, c);
}

typedef struct bad {
    const char *text, *says; /* behind "dir/a.yaml:" */
} bad;

static const bad bad_yaml[] = {
    {"", " is empty"},
    {"# nothing\n", " is empty"},
    {"- 1\n", "1: expected a mapping at the top, such as models: ..."},
    {"word\n", "1: expected a mapping at the top, such as models: ..."},
    {"~\n", "1: a value is missing"},
    {"a: [1,\n", "2: not valid YAML: did not find expected node content"},
    {"a: 1\n\tb: 2\n",
     "2: not valid YAML: found a tab character that violates indentation"},
    {"a: 1\nb: \xff\n", "1: not valid YAML: invalid leading UTF-8 octet"},
    {"a: 1\nb: 2\na: 3\n", "3: duplicate key \"a\", first in line 1"},
    {"s: {b: 1, c: {d: 1,\n d: 2}}\n",
     "2: duplicate key \"d\", first in line 1"},
    {"a:\nb: 1\n", "1: \"a\" has no value; leave the key out or give it one"},
    {"b: 1\na: ~\n", "2: \"a\" has no value; leave the key out or give it one"},
    {"a: null\n", "1: \"a\" has no value; leave the key out or give it one"},
    {"a: [1, ~]\n", "1: a value is missing"},
    {"'': 1\n", "1: a key is empty"},
    {"~: 1\n", "1: a key is empty"},
    {"? [a]\n: 1\n", "1: a key must be plain text"},
    {"a: &x 1\nb: *x\n", "1: anchors (&x) are not supported"},
    {"a: &x [*x]\n", "1: anchors (&x) are not supported"},
    {"a: &x {b: *x}\n", "1: anchors (&x) are not supported"},
    {"a: *x\n", "1: aliases (*x) are not supported"},
    {"<<: {a: 1}\n", "1: merge keys (<<) are not supported"},
    {"a: !!str 3\n", "1: tags (tag:yaml.org,2002:str) are not supported"},
    {"a: !x {}\n", "1: tags (!x) are not supported"},
    {"a: \"\\e[2J\"\n", "1: text contains a control character"},
    {"a: \"\\0b\"\n", "1: text contains a control character"},
    {"a: \"\\x9b\"\n", "1: text contains a control character"},
    {"a: 1\n---\nb: 2\n", "2: a second document begins here"},
    {"a: "
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
     "1: nested more than 32 deep"},
};

static const bad bad_keys[] = {
    {"modles: {}\n", "1: unknown key \"modles\", did you mean \"models\"?"},
    {GOOD "  stepz: 3\n",
     "6: unknown key \"stepz\" in sample, did you mean \"steps\"?"},
    {GOOD "ouput: {}\n", "6: unknown key \"ouput\", did you mean \"output\"?"},
    {GOOD "output:\n  picture: a.png\n",
     "7: unknown key \"picture\" in output; known are image, latents, "
     "report, trace, dir"},
    {"models: {m: {pth: a}}\n",
     "1: unknown key \"pth\" in models.m, did you mean \"path\"?"},
    {"models: {m: {name: a, path: b}}\n",
     "1: unknown key \"name\" in models.m; its name is its key"},
    {GOOD "schedule:\n  timestep_spacin: leading\n",
     "7: unknown key \"timestep_spacin\" in schedule, did you mean "
     "\"timestep_spacing\"?"},
    {GOOD "schedule: {inline: x}\n", "6: unknown key \"inline\" in schedule"},
    {"models: {a.b: {path: x}}\n",
     "1: model name \"a.b\": expected at most 64 letters, digits, _ and -"},
    {"models: {" LONG_NAME ": {path: x}}\n",
     "1: model name \"" LONG_NAME "\": expected at most 64 letters, digits, "
     "_ and -"},
    {"models: {vae: {path: x}}\n", "1: model name \"vae\" is that of a role"},
    {"sample: {width: 1, height: 1}\n", " models is missing"},
    {"models: {}\n", "1: models: 0 entries, expected 1 to 64"},
    {"models: {m: {path: x}}\n", " sample is missing"},
    {"models: {m: {}}\nsample: {width: 8, height: 8}\n",
     "1: models.m.path is missing"},
    {"models: {m: {path: x}}\nsample: {width: 1}\n",
     "2: sample.height is missing"},
};

static const bad bad_values[] = {
    {"models: [a]\n", "1: models: expected a mapping of names, such as "
                      "strong: { path: FOLDER }"},
    {"models: {m: x}\n", "1: models.m: expected a mapping such as { path: ... "
                         "}, found \"x\""},
    {GOOD "vae: x\n",
     "6: vae: expected a mapping such as { path: ... }, found \"x\""},
    {GOOD "output: [1]\n",
     "6: output: expected a mapping such as { image: ... }, found a list"},
    {GOOD "vae: {path: [x]}\n", "6: vae.path: expected text, found a list"},
    {GOOD "vae: {path: {a: x}}\n",
     "6: vae.path: expected text, found a mapping"},
    {GOOD "vae: {path: ''}\n", "6: vae.path: the text is empty"},
    {GOOD "  steps: abc\n",
     "6: sample.steps: expected a whole number, found \"abc\""},
    {GOOD "  steps: '3'\n",
     "6: sample.steps: expected a whole number, found \"3\" in quotes"},
    {GOOD "  steps: 1.5\n",
     "6: sample.steps: expected a whole number, found \"1.5\""},
    {GOOD "  steps: 010\n",
     "6: sample.steps: expected a whole number, found \"010\""},
    {GOOD "  steps: 0x10\n",
     "6: sample.steps: expected a whole number, found \"0x10\""},
    {GOOD "  steps: [1]\n",
     "6: sample.steps: expected a whole number, found a list"},
    {GOOD "  steps: 0\n",
     "6: sample.steps: 0 is out of range, expected 1 to 10000"},
    {GOOD "  steps: 99999999999999999999999\n",
     "6: sample.steps: 99999999999999999999999 is out of range, expected 1 to "
     "10000"},
    {"models: {m: {path: x}}\nsample: {width: 65537, height: 1}\n",
     "2: sample.width: 65537 is out of range, expected 1 to 65536"},
    {"models: {m: {path: x}}\nsample: {width: -8, height: 1}\n",
     "2: sample.width: -8 is out of range, expected 1 to 65536"},
    {GOOD "  label: -1\n",
     "6: sample.label: -1 is out of range, expected 0 to 2147483647"},
    {GOOD "  guidance: .inf\n",
     "6: sample.guidance: expected a number, found \".inf\""},
    {GOOD "  guidance: nan\n",
     "6: sample.guidance: expected a number, found \"nan\""},
    {GOOD "  guidance: 1e999\n",
     "6: sample.guidance: expected a number, found \"1e999\""},
    {GOOD "  guidance: 0x1p3\n",
     "6: sample.guidance: expected a number, found \"0x1p3\""},
    {GOOD "  eta: 2\n", "6: sample.eta: 2 is out of range, expected 0 to 1"},
    {GOOD "  seed: -1\n", "6: sample.seed: -1 is out of range, expected 0 to "
                          "18446744073709551615"},
    {GOOD "  seed: 18446744073709551616\n",
     "6: sample.seed: 18446744073709551616 is out of range, expected 0 to "
     "18446744073709551615"},
    {GOOD "  seed: 1e3\n",
     "6: sample.seed: expected a whole number, found \"1e3\""},
    {GOOD "  solver: eular\n",
     "6: unknown solver \"eular\", did you mean \"euler\"?"},
    {GOOD "  solver: zzz\n", "6: unknown solver \"zzz\"; known are ddim, "
                             "euler, euler_ancestral, heun, dpmpp_2m, "
                             "dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_2s, "
                             "dpmpp_2s_ancestral, dpmpp_sde, unipc, lms, "
                             "pndm, lcm, tcd"},
    {GOOD "run: {kernels: Fast}\n",
     "6: unknown kernels \"Fast\", did you mean \"fast\"?"},
    {GOOD "run: {threads: many}\n", "6: run.threads: expected a whole number "
                                    "or auto, found \"many\""},
    {GOOD "run: {threads: 1025}\n",
     "6: run.threads: 1025 is out of range, expected 0 to 1024"},
    {GOOD "parallel: {wire: f64}\n",
     "6: unknown wire \"f64\"; known are f32, f16, bf16, int8"},
    {GOOD "parallel:\n  wire: int8\n",
     "7: parallel.wire: int8 rounds what ranks tell each other, so the image "
     "would depend on their number; in exchange: sync that must be asked for: "
     "parallel.inexact: true"},
    {GOOD "parallel: {inexact: yes}\n",
     "6: unknown inexact \"yes\"; known are false, true"},
    {GOOD "run: {deadline: -1}\n",
     "6: run.deadline: -1 is out of range, expected 0 to 1000000"},
    {GOOD "run: {deadline: soon}\n",
     "6: run.deadline: expected a number, found \"soon\""},
    {GOOD "parallel: {patches: 0}\n",
     "6: parallel.patches: 0 is out of range, expected 1 to 65536"},
    {GOOD "parallel: {patches: 2x0}\n",
     "6: parallel.patches: 2x0 is out of range, expected 1 to 65536"},
    {GOOD "parallel: {patches: 300x300}\n",
     "6: parallel.patches: 300x300 is out of range, expected 1 to 65536"},
    {GOOD "parallel: {patches: 2by2}\n",
     "6: parallel.patches: expected auto, a number, or ROWSxCOLUMNS such as "
     "2x2, found \"2by2\""},
    {GOOD "parallel: {patches: -1}\n",
     "6: parallel.patches: expected auto, a number, or ROWSxCOLUMNS such as "
     "2x2, found \"-1\""},
    {GOOD "parallel: {patches: 2x}\n",
     "6: parallel.patches: expected auto, a number, or ROWSxCOLUMNS such as "
     "2x2, found \"2x\""},
    {GOOD "parallel: {weights: fast}\n",
     "6: parallel.weights: expected auto or a list of numbers such as [3, 1], "
     "found \"fast\""},
    {GOOD "parallel: {weights: [1, -1]}\n",
     "6: parallel.weights: -1 is out of range, expected 0 to 1000000"},
    {GOOD "parallel: {weights: [1, .nan]}\n",
     "6: parallel.weights: expected a number, found \".nan\""},
    {GOOD "parallel: {weights: [0, 0]}\n",
     "6: parallel.weights: all of them are 0"},
    {GOOD "parallel: {weights: []}\n",
     "6: parallel.weights: 0 entries, expected 1 to 10000"},
    {GOOD "parallel: {patches: 2x2,\n  weights: [3, 1, 1]}\n",
     "7: parallel.weights has 3 numbers for 2 lines of patches"},
    {GOOD "parallel: {measured: 1}\n",
     "6: unknown key \"measured\" in parallel, did you mean \"weights\"?"},
    {GOOD "bench: {what: unet}\n",
     "6: unknown what \"unet\"; known are all, "
     "unet_eval, vae_decode, image, step, layers"},
    {GOOD "  nodes: 3\n", "6: sample.nodes: expected a list, found \"3\""},
    {GOOD "  nodes: []\n", "6: sample.nodes: 0 entries, expected 1 to 10000"},
    {GOOD "  nodes: [1, x]\n",
     "6: sample.nodes: expected a number, found \"x\""},
    {GOOD "  nodes: [1, -2]\n",
     "6: sample.nodes: -2 is out of range, expected 0 to 1000000"},
    {GOOD "  nodes: [1, 1]\n", "6: sample.nodes: expected descending numbers, "
                               "found 1 after 1"},
    {GOOD "  sigmas: [1, 5]\n", "6: sample.sigmas: expected descending "
                                "numbers, found 5 after 1"},
    {GOOD "  steps: 3\n  nodes: [2, 1]\n",
     "7: sample.nodes: 2 numbers for 3 sample.steps"},
    {GOOD "  nodes: [2]\n  sigmas: [2]\n",
     "7: sample.nodes and sample.sigmas are both given"},
};

static const bad bad_meaning[] = {
    {GOOD "  model: strnog\n",
     "6: unknown model \"strnog\" in sample.model, did you mean \"strong\"?"},
    {"models: {a: {path: x}, b: {path: y}}\nsample: {width: 1, height: 1}\n",
     "2: sample.model is missing: there are 2 models"},
    {GOOD "  seed: 1\n  seeds: 2-3\n",
     "7: sample.seed and sample.seeds are both given"},
    {GOOD "  seeds: 3-2\n", "6: sample.seeds: the range 3-2 runs backwards"},
    {GOOD "  seeds: \"0-7,3\"\n", "6: sample.seeds: 3 stands there twice"},
    {GOOD "  seeds: 0-1000000\n", "6: sample.seeds: more than 1000000 seeds"},
    {GOOD "  seeds: 0-999998,1000000-1000001\n",
     "6: sample.seeds: more than 1000000 seeds"},
    {GOOD "  seeds: 0-18446744073709551615\n",
     "6: sample.seeds: more than 1000000 seeds"},
    {GOOD "  seeds: 18446744073709551616\n",
     "6: sample.seeds: 18446744073709551616 is out of range, expected 0 to "
     "18446744073709551615"},
    {GOOD "  seeds: a\n", "6: sample.seeds: expected numbers and ranges such "
                          "as 0-99,200, found \"a\""},
    {GOOD "  seeds: 1,,2\n", "6: sample.seeds: expected numbers and ranges "
                             "such as 0-99,200, found \"1,,2\""},
    {GOOD "  seeds: \"1,\"\n", "6: sample.seeds: expected numbers and ranges "
                               "such as 0-99,200, found \"1,\""},
    {GOOD "  seeds: 1-2-3\n", "6: sample.seeds: expected numbers and ranges "
                              "such as 0-99,200, found \"1-2-3\""},
    {GOOD "  seeds: -1\n", "6: sample.seeds: expected numbers and ranges such "
                           "as 0-99,200, found \"-1\""},
    {GOOD "  seeds: ' '\n", "6: sample.seeds: expected numbers and ranges "
                            "such as 0-99,200, found \" \""},
    {GOOD "output: {image: '{sed}.png'}\n",
     "6: output.image: unknown placeholder {sed}, did you mean \"seed\"?"},
    {GOOD "output: {image: 'a{'}\n",
     "6: output.image: unknown placeholder {}; known are seed, label, index, "
     "steps, width, height, model"},
    {GOOD "output: {latents: '{seed'}\n",
     "6: output.latents: unknown placeholder {seed}, did you mean \"seed\"?"},
    {GOOD "output: {image: '{label}.png'}\n",
     "6: output.image: {label} needs sample.label"},
    {GOOD "  seeds: 0-1\noutput:\n  image: a.png\n",
     "8: output.image: there are several seeds, so its name needs {seed} or "
     "{index}"},
    {GOOD "  seeds: 0-1\noutput:\n  latents: '{{seed}}-{steps}'\n",
     "8: output.latents: there are several seeds, so its name needs {seed} or "
     "{index}"},
    {GOOD "output: {report: '{seed}.jsonl'}\n",
     "6: output.report: there is one for the whole run, so its name has no "
     "{seed}"},
    {GOOD "output: {image: a.jpg}\n", "6: output.image: images are PNG, so "
                                      "its name cannot end in \".jpg\""},
    {GOOD "output: {image: a/}\n", "6: output.image: \"a/\" is a folder"},
    {GOOD "output: {report: a/}\n", "6: output.report: \"a/\" is a folder"},
    {GOOD "output:\n  image: a\n  latents: a\n",
     "8: output.image and output.latents are the same file"},
};

static const bad bad_dataset[] = {
    {GOOD "dataset: {items: {labels: all}}\n",
     "6: dataset.items.seeds is missing"},
    {GOOD "dataset: {manifest: x, items: {seeds: 0-9}}\n",
     "6: dataset.manifest and dataset.items are both given"},
    {GOOD "dataset: {items: {seeds: '0-9,5'}}\n",
     "6: dataset.items.seeds: 5 stands there twice"},
    {GOOD "dataset: {items: {seeds: 9-1}}\n",
     "6: dataset.items.seeds: the range 9-1 runs backwards"},
    {GOOD "dataset: {items: {seeds: 1, labels: 4294967296}}\n",
     "6: dataset.items.labels: 4294967296 is out of range, expected 0 to "
     "2147483647"},
    {GOOD "dataset: {format: zip}\n",
     "6: unknown format \"zip\"; known are tar, folder"},
    {GOOD "dataset: {shard_size: 0}\n",
     "6: dataset.shard_size: 0 is out of range, expected 1 to 1000000"},
    {GOOD "dataset: {slice: 8/8}\n",
     "6: dataset.slice: expected I/N with I from 0 to N - 1, such as 0/8, "
     "found \"8/8\""},
};

#define ANY_GPU "; any is MULTIPROCESSORSxTHREADS, as 108x2048"
#define KNOWN_GPUS                                                             \
    "; known are t4, v100, rtx-2080-ti, rtx-3060, rtx-3090, rtx-4090, "        \
    "rtx-a4000, rtx-a6000, a10, a100, l4, l40s, h100, h100-pcie, h200"

static const bad bad_later[] = {
    {"models:\n  a: {path: x, loras: [{path: y, scale: 1001}]}\n",
     "2: models.a.loras.scale: 1001 is out of range, expected -1000 to 1000"},
    {"models:\n  a: {path: x, loras: [{path: y}]}\n",
     "2: models.a.loras.scale is missing"},
    {GOOD "  mask: in.png\n", "6: sample.mask needs sample.image"},
    {GOOD "  image: in.png\n  strength: 1.5\n",
     "7: sample.strength: 1.5 is out of range, expected 0 to 1"},
    {GOOD "  image: in.png\ndataset: {manifest: m.jsonl}\n",
     "6: sample.image: the images of a data set cannot begin with a picture"},
    {GOOD "  method: superdif\n",
     "6: unknown method \"superdif\"; known are plain, w2sd, zsampling, "
     "resampling, autoguidance, superdiff_or, superdiff_and, average"},
    {GOOD "  rng: torch-cpu\n  gpu: a100\n",
     "7: sample.gpu needs sample.rng: torch-cuda"},
    {GOOD "  rng: torch-cuda\n  gpu: a1000\n",
     "7: sample.gpu: unknown GPU \"a1000\", did you mean \"a100\"?" ANY_GPU},
    {GOOD "  rng: torch-cuda\n  gpu: 0x2048\n",
     "7: sample.gpu: unknown GPU \"0x2048\"" KNOWN_GPUS ANY_GPU},
    {GOOD "  rng: torch-cuda\n  gpu: 108x255\n",
     "7: sample.gpu: unknown GPU \"108x255\"" KNOWN_GPUS ANY_GPU},
    {GOOD "parallel: {exchange: asink}\n",
     "6: unknown exchange \"asink\"; known are sync, async"},
    {GOOD "parallel: {exchange: async, warmup: 0}\n",
     "6: parallel.warmup: 0 is out of range, expected 1 to 10000"},
    {GOOD "parallel: {exchange: async, warmup: 3, lag: 5}\n",
     "6: parallel.warmup 3 is below the lag of 5: an evaluation that looks 5 "
     "back needs as many before it"},
    {GOOD "parallel: {exchange: sync, warmup: 7}\n",
     "6: parallel.warmup needs parallel.exchange: async"},
    {GOOD "parallel: {lag: 2}\n",
     "6: parallel.lag needs parallel.exchange: async"},
    {GOOD "parallel: {exchange: sync, norm: stale}\n",
     "6: parallel.norm needs parallel.exchange: async"},
    {GOOD "parallel: {exchange: async, norm: never}\n",
     "6: unknown norm \"never\"; known are stale, corrected, fresh, local"},
};

static void check_bad(const bad *cases, int n)
{
    for (int i = 0; i < n; i++) {
        char expected[512];
        weft_config c = {.nmodels = 77};
        const weft_status s = parse(cases[i].text, NULL, 0, &c);
        snprintf(expected, sizeof expected, "dir/a.yaml:%s", cases[i].says);
        if (s == WEFT_OK) fail_msg("accepted: %s", cases[i].text);
        assert_string_equal(weft_fail_text(), expected);
        assert_int_equal(s, WEFT_EINPUT);
        assert_int_equal(c.nmodels, 77); /* untouched */
    }
}

static void test_bad_yaml(void **state)
{
    (void)state;
    check_bad(bad_yaml, COUNT(bad_yaml));
}

static void test_bad_keys(void **state)
{
    (void)state;
    check_bad(bad_keys, COUNT(bad_keys));
}

static void test_bad_values(void **state)
{
    (void)state;
    check_bad(bad_values, COUNT(bad_values));
}

static void test_bad_meaning(void **state)
{
    (void)state;
    check_bad(bad_meaning, COUNT(bad_meaning));
}

static void test_bad_dataset(void **state)
{
    (void)state;
    check_bad(bad_dataset, COUNT(bad_dataset));
}

static void test_later(void **state)
{
    (void)state;
    check_bad(bad_later, COUNT(bad_later));
}

/* Aliases that double at every level would be a billion values; a mapping of
 * very many keys would take quadratic time. */
static void test_bombs(void **state)
{
    static const char laughs[] = "a: &a [x,x,x,x,x,x,x,x,x]\n"
                                 "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                                 "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES + 64);
    weft_config c;

    (void)state;
    assert_int_equal(parse(laughs, NULL, 0, &c), WEFT_EINPUT);
    size_t n = 0;
    for (int i = 0; n < BYTES; i++)
        n += (size_t)snprintf(text + n, 32, "k%d: 1\n", i);
    assert_int_equal(parse(text, NULL, 0, &c), WEFT_EINPUT);
    assert_string_equal(weft_fail_text(),
                        "dir/a.yaml:1001: more than 1000 keys in one mapping");
    n = (size_t)snprintf(text, 32, "a: [");
    while (n < BYTES) n += (size_t)snprintf(text + n, 32, "1,");
    snprintf(text + n, 32, "1]");
    assert_int_equal(parse(text, NULL, 0, &c), WEFT_EINPUT);
    assert_string_equal(weft_fail_text(),
                        "dir/a.yaml:1: more than 100000 values");
    memset(text, '[', BYTES);
    text[BYTES] = '\0';
    assert_int_equal(parse(text, NULL, 0, &c), WEFT_EINPUT);
    memset(text, '{', BYTES);
    assert_int_equal(parse(text, NULL, 0, &c), WEFT_EINPUT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_yaml),    cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_bad_values),  cmocka_unit_test(test_bad_meaning),
        cmocka_unit_test(test_bad_dataset), cmocka_unit_test(test_later),
        cmocka_unit_test(test_bombs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
