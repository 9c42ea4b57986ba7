/* Prompts and pipelines in a config: what is meant, what an image says of it,
 * and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launch/config.h"
#include "launch/prompts.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static void parse(const char *yaml, const char *const *over, int n,
                  weft_config *c)
{
    if (weft_config_parse("a.yaml", yaml, strlen(yaml), over, n, c) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
}

static const char two[] =
    "models: {a: {path: /a}, b: {pipeline: /p}}\n"
    "text: {encoder: /e, tokenizer: /t, force_zeros_for_empty_prompt: false}\n"
    "sample:\n"
    "  method: average\n"
    "  width: 8\n"
    "  height: 16\n"
    "  prompt: 'a \"cat\": \\n'\n"
    "  prompts: {b: ''}\n"
    "  negative_prompt: ''\n"
    "  prompt_syntax: weighted\n"
    "  clip_skip: 1\n"
    "  original_size: [5, 6]\n"
    "  crop_top_left: [1, 0]\n";

static void test_meaning(void **state)
{
    weft_config c;

    (void)state;
    parse(two, NULL, 0, &c);
    assert_string_equal(c.sample.prompt, "a \"cat\": \\n");
    assert_null(c.model[0].prompt);
    assert_true(c.sample.by_model);
    assert_string_equal(c.model[1].prompt, "");
    assert_string_equal(c.sample.negative_prompt, "");
    assert_true(c.sample.weighted);
    assert_int_equal(c.sample.clip_skip, 1);
    assert_int_equal(c.text.zeros, 0);
    assert_string_equal(c.text.encoder[0].path, "/e");
    assert_null(c.text.encoder[1].path);
    assert_string_equal(c.model[1].pipeline.path, "/p");
    assert_null(c.model[1].path);
    assert_int_equal(c.sample.sizes.original[0], 5);
    assert_int_equal(c.sample.sizes.crop[0], 1);
    assert_int_equal(c.sample.sizes.target[0], 16);
    assert_int_equal(c.sample.sizes.target[1], 8);
    weft_config_release(&c);
}

/* A pipeline alone is the one model; nothing is said of a text. */
static void test_alone(void **state)
{
    static const char yaml[] = "pipeline: /p\nsample: {width: 8, height: 8}\n";
    static const char *const over[] = {"sample.prompt=3: [a, \"b\"",
                                       "sample.negative_prompt=''"};
    weft_config c;

    (void)state;
    parse(yaml, NULL, 0, &c);
    assert_int_equal(c.nmodels, 1);
    assert_string_equal(c.model[0].name, "model");
    assert_string_equal(c.model[0].pipeline.path, "/p");
    assert_null(c.sample.prompt);
    assert_null(c.sample.negative_prompt);
    assert_int_equal(c.text.zeros, -1);
    weft_config_release(&c);
    parse(yaml, over, COUNT(over), &c);
    assert_string_equal(c.sample.prompt, "3: [a, \"b\"");
    assert_string_equal(c.sample.negative_prompt, "");
    weft_config_release(&c);
}

/* On the command line: as they are typed, or one text of YAML's. */
static void test_quotes(void **state)
{
    static const char yaml[] = "pipeline: /p\nsample: {width: 8, height: 8}\n";
    static const char *const typed[][2] = {
        {"sample.prompt=\"a\" cat", "\"a\" cat"},
        {"sample.prompt='tis a cat", "'tis a cat"},
        {"sample.prompt=\"", "\""},
        {"sample.prompt=\"a \\\"b\\\"\"", "a \"b\""},
        {"sample.prompt='a ''b'' '", "a 'b' "}};
    const char *bad = "sample.prompt='a' or 'b'";
    weft_config c;

    (void)state;
    for (int i = 0; i < COUNT(typed); i++) {
        parse(yaml, &typed[i][0], 1, &c);
        assert_string_equal(c.sample.prompt, typed[i][1]);
        weft_config_release(&c);
    }
    assert_int_equal(
        weft_config_parse("a.yaml", yaml, strlen(yaml), &bad, 1, &c),
        WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "is read as YAML's"));
}

/* Beside a refiner it is the model that draws. */
static void test_refined(void **state)
{
    static const char yaml[] =
        "pipeline: /p\n"
        "models: {second: {pipeline: /r}}\n"
        "sample: {width: 8, height: 8, refiner: second}\n";
    weft_config c;

    (void)state;
    parse(yaml, NULL, 0, &c);
    assert_int_equal(c.nmodels, 2);
    assert_string_equal(c.sample.model, "model");
    assert_string_equal(c.sample.refiner, "second");
    assert_string_equal(c.model[0].pipeline.path, "/r");
    assert_string_equal(c.model[1].pipeline.path, "/p");
    weft_config_release(&c);
}

/* Models that name no files are the pipeline's, but not the refiner. */
static void test_shared(void **state)
{
    static const char yaml[] =
        "pipeline: /p\n"
        "models: {a: {loras: [{path: /l, scale: 1}]}, b: {path: /b},\n"
        "  c: {pipeline: /c}, model: {}}\n"
        "sample: {width: 8, height: 8, model: a}\n";
    weft_config c;

    (void)state;
    parse(yaml, NULL, 0, &c);
    assert_int_equal(c.nmodels, 4);
    assert_string_equal(c.model[0].pipeline.path, "/p");
    assert_int_equal(c.model[0].nloras, 1);
    assert_null(c.model[1].pipeline.path);
    assert_string_equal(c.model[2].pipeline.path, "/c");
    assert_string_equal(c.model[3].pipeline.path, "/p");
    weft_config_release(&c);
}

static void test_identity(void **state)
{
    char *json, *again, *text;
    weft_config c;

    (void)state;
    parse(two, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 6, &json), WEFT_OK);
    assert_non_null(strstr(
        json, "{\"weft\":1,\"models\":{\"a\":{\"path\":\"/a\"},"
              "\"b\":{\"pipeline\":\"/p\"}},\"text\":{\"encoder\":\"/e\","
              "\"tokenizer\":\"/t\",\"force_zeros_for_empty_prompt\":false},"
              "\"sample\""));
    assert_non_null(strstr(
        json, ",\"prompt\":\"a \\\"cat\\\": \\\\n\",\"prompts\":{\"a\":"
              "\"a \\\"cat\\\": \\\\n\",\"b\":\"\"},\"negative_prompt\":\"\","
              "\"prompt_syntax\":\"weighted\",\"clip_skip\":1,"
              "\"original_size\":[5,6],\"crop_top_left\":[1,0]"));
    assert_int_equal(weft_config_parameters(&c, 6, &text), WEFT_OK);
    assert_true(!strncmp(text, "a \"cat\": \\n\nSteps: 30, ", 22));
    weft_config_release(&c);
    parse(json, NULL, 0, &c);
    assert_int_equal(weft_config_identity(&c, 6, &again), WEFT_OK);
    assert_string_equal(json, again);
    weft_config_release(&c);
    free(text);
    free(json);
    free(again);
}

/* Prompts may have line breaks and tabs; an image says them as they are. */
static void test_breaks(void **state)
{
    static const char yaml[] = "models: {m: {path: /m}, n: {path: /n}}\n"
                               "sample:\n"
                               "  width: 8\n"
                               "  height: 8\n"
                               "  method: average\n"
                               "  prompt: |\n"
                               "    one \\\n"
                               "    two\n"
                               "  prompts: {n: \"a\\r\\n\\tb\"}\n";
    static const char *const over[] = {"sample.negative_prompt=x\n\n \"y\" "};
    char *json, *again;
    weft_config c;

    (void)state;
    parse(yaml, over, COUNT(over), &c);
    assert_string_equal(c.sample.prompt, "one \\\ntwo\n");
    assert_string_equal(c.model[1].prompt, "a\r\n\tb");
    assert_string_equal(c.sample.negative_prompt, "x\n\n \"y\" ");
    assert_int_equal(weft_config_identity(&c, 6, &json), WEFT_OK);
    weft_config_release(&c);
    parse(json, NULL, 0, &c);
    assert_string_equal(c.sample.prompt, "one \\\ntwo\n");
    assert_int_equal(weft_config_identity(&c, 6, &again), WEFT_OK);
    assert_string_equal(json, again);
    weft_config_release(&c);
    free(json);
    free(again);
}

static void test_parameters(void **state)
{
    static const char yaml[] =
        "pipeline: /p\n"
        "sample: {width: 8, height: 8, prompt: a, negative_prompt: b}\n";
    char *text;
    weft_config c;

    (void)state;
    parse(yaml, NULL, 0, &c);
    assert_int_equal(weft_config_parameters(&c, 6, &text), WEFT_OK);
    assert_true(!strncmp(text, "a\nNegative prompt: b\nSteps: 30, ", 32));
    weft_config_release(&c);
    free(text);
}

/* What the second of two encoders alone has no room for. */
static void test_cut(void **state)
{
    static weft_prompts p;
    char rest[] = "and more", *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);

    (void)state;
    assert_non_null(f);
    p.model[1].tokens = 77;
    p.model[1].told[WEFT_UNCOND].prompt[1].cut = rest;
    weft_prompts_tell(&p, f);
    fclose(f);
    assert_non_null(strstr(text, "negative prompt is longer than the 75"));
    assert_non_null(strstr(text, "cut off: \"and more\""));
    free(text);
}

#define SAMPLE "sample: {width: 8, height: 8"
#define MODEL  "models: {m: {path: /m}}\n"

static void test_refused(void **state)
{
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"pipeline: []\n" SAMPLE "}\n",
         "a.yaml:1: pipeline: expected text, found a list"},
        {"pipeline: /p\nmodels: {r: {}}\n" SAMPLE ", refiner: r}\n",
         "a.yaml:2: models.r.path is missing"},
        {"models: {m: {path: /m, pipeline: /p}}\n" SAMPLE "}\n",
         "a.yaml:1: models.m.path and models.m.pipeline are both given"},
        {"models: {m: {kind: analytic, shape: [1, 8, 8], mixture: [{weight: 1, "
         "mean: 0, std: 1}], pipeline: /p}}\n" SAMPLE "}\n",
         "a.yaml:1: models.m.pipeline: an analytic model has no files"},
        {MODEL SAMPLE ", prompts: {n: a}}\n",
         "a.yaml:2: unknown model \"n\" in sample.prompts; known are m"},
        {MODEL SAMPLE ", prompts: a}\n",
         "a.yaml:2: sample.prompts: expected texts by model, such as { strong: "
         "\"...\", weak: \"...\" }"},
        {"models: {m: {path: /m}, n: {path: /n}}\n" SAMPLE
         ", prompts: {n: a}}\n",
         "a.yaml:2: sample.prompts has no prompt for the model m, and there is "
         "no sample.prompt"},
        {MODEL SAMPLE ", prompts: {m: [a]}}\n",
         "a.yaml:2: sample.prompts.m: expected text"},
        {MODEL SAMPLE ", prompt_syntax: a1111}\n",
         "a.yaml:2: unknown prompt_syntax \"a1111\"; known are plain, "
         "weighted"},
        {MODEL SAMPLE ", original_size: [8]}\n",
         "a.yaml:2: sample.original_size: 1 entries, expected 2 to 2"},
        {MODEL "text: {encoder: /e}\n" SAMPLE "}\n",
         "a.yaml:2: text.encoder needs text.tokenizer"},
        {MODEL "text: {tokenizer_2: /e}\n" SAMPLE "}\n",
         "a.yaml:2: text.tokenizer_2 needs text.encoder_2"},
        {MODEL SAMPLE ", solver: \"dd\\nim\"}\n",
         "a.yaml:2: text contains a control character"},
        {MODEL SAMPLE ", \"pro\\nmpt\": a}\n",
         "a.yaml:2: text contains a control character"},
        {MODEL SAMPLE ", prompt: \"\\x07\"}\n",
         "a.yaml:2: text contains a control character"},
    };
    weft_config c;

    (void)state;
    for (int i = 0; i < COUNT(bad); i++) {
        assert_int_equal(weft_config_parse("a.yaml", bad[i].yaml,
                                           strlen(bad[i].yaml), NULL, 0, &c),
                         WEFT_EINPUT);
        assert_string_equal(weft_fail_text(), bad[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning),    cmocka_unit_test(test_refined),
        cmocka_unit_test(test_shared),     cmocka_unit_test(test_alone),
        cmocka_unit_test(test_quotes),     cmocka_unit_test(test_identity),
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_breaks),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
