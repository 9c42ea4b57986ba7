/*
 * Finding a model's files in folders of every kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "core/model/component.h"
#include "tests/folder.h"

#define STEM "diffusion_pytorch_model"

enum { MOST = 6 };

/* The folder holds these files; `variant` may be NULL. Expect `weights`, or
 * (NULL) a failure whose text has all of `words`. */
static void try_files(const char *const *names, const char *variant,
                      const char *weights, const char *const *words)
{
    char config[4096] = "", found[4096] = "", path[64];
    weft_status status;

    snprintf(path, sizeof path, "%s%s%s", folder, variant ? ":" : "",
             variant ? variant : "");
    for (int i = 0; names[i]; i++) {
        FILE *f = fopen(in_folder(names[i]), "w");

        assert_non_null(f);
        fclose(f);
    }
    status = weft_component_paths(path, config, found, sizeof found);
    for (int i = 0; names[i]; i++) unlink(in_folder(names[i]));
    if (weights) {
        if (status != WEFT_OK) fail_msg("%s", weft_fail_text());
        assert_string_equal(config, in_folder("config.json"));
        assert_string_equal(found, in_folder(weights));
        return;
    }
    assert_int_equal(status, WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), folder));
    for (int i = 0; words[i]; i++)
        if (strstr(weft_fail_text(), words[i]) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words[i]);
}

static void finds_weights(void **state)
{
    static const struct {
        const char *names[MOST], *weights;
    } kinds[] = {
        {{"config.json", STEM ".safetensors"}, STEM ".safetensors"},
        {{"config.json", STEM ".safetensors.index.json",
          STEM "-00001-of-00002.safetensors",
          STEM "-00002-of-00002.safetensors"},
         STEM ".safetensors.index.json"},
        {{"config.json", STEM ".safetensors", STEM ".fp16.safetensors",
          STEM ".bin"},
         STEM ".safetensors"},
        {{"config.json", STEM ".fp16.safetensors", STEM ".bin"},
         STEM ".fp16.safetensors"},
        {{"config.json", STEM ".safetensors.index.fp16.json",
          STEM ".fp16-00001-of-00001.safetensors"},
         STEM ".safetensors.index.fp16.json"},
        {{"config.json", STEM ".fp16.safetensors.index.json",
          STEM "-00001-of-00001.fp16.safetensors"},
         STEM ".fp16.safetensors.index.json"},
        {{"config.json", "model_index.json", STEM ".safetensors"},
         STEM ".safetensors"},
        {{"config.json", STEM ".fp16.safetensors",
          STEM ".safetensors.index.fp16.json",
          STEM ".fp16-00001-of-00001.safetensors"},
         STEM ".fp16.safetensors"},
        {{"config.json", "model.safetensors", "pytorch_model.bin"},
         "model.safetensors"},
        {{"config.json", "model.safetensors.index.json",
          "model-00001-of-00001.safetensors"},
         "model.safetensors.index.json"},
        {{"config.json", "model.fp16.safetensors"}, "model.fp16.safetensors"},
        {{"config.json", "model.safetensors.index.fp16.json",
          "model.fp16-00001-of-00001.safetensors"},
         "model.safetensors.index.fp16.json"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        try_files(kinds[i].names, NULL, kinds[i].weights, NULL);
}

static void finds_variants(void **state)
{
    static const struct {
        const char *names[MOST], *variant, *weights;
    } kinds[] = {
        {{"config.json", STEM ".safetensors", STEM ".fp16.safetensors"},
         "fp16",
         STEM ".fp16.safetensors"},
        {{"config.json", STEM ".fp16.safetensors", STEM ".ema.safetensors"},
         "ema",
         STEM ".ema.safetensors"},
        {{"config.json", STEM ".safetensors.index.json",
          STEM ".safetensors.index.bf16.json"},
         "bf16",
         STEM ".safetensors.index.bf16.json"},
        {{"config.json", STEM ".bf16.safetensors.index.json",
          "model.safetensors"},
         "bf16",
         STEM ".bf16.safetensors.index.json"},
        {{"config.json", "model.safetensors", "model.fp16.safetensors"},
         "fp16",
         "model.fp16.safetensors"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        try_files(kinds[i].names, kinds[i].variant, kinds[i].weights, NULL);
}

static void says_which_variants_there_are(void **state)
{
    static const struct {
        const char *names[MOST], *words[MOST];
    } kinds[] = {
        {{"config.json", STEM ".safetensors"},
         {"no weights of the variant fp16"}},
        {{"config.json", STEM ".bf16.safetensors", "model.ema.safetensors"},
         {"no weights of the variant fp16, but of bf16 and ema"}},
        {{STEM ".bf16.safetensors"},
         {"no config.json; also",
          "no weights of the variant fp16, but of bf16"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        try_files(kinds[i].names, "fp16", NULL, kinds[i].words);
}

static void says_what_is_missing(void **state)
{
    static const struct {
        const char *names[MOST], *words[MOST];
    } kinds[] = {
        {{NULL}, {"no config.json", "no " STEM ".safetensors"}},
        {{STEM ".safetensors"}, {"no config.json"}},
        {{"config.json"},
         {"no " STEM ".safetensors and no " STEM ".safetensors.index.json"}},
        {{"config.json", STEM ".bin"},
         {"no weights but " STEM ".bin, a pickle", "convert it"}},
        {{"config.json", STEM ".fp16.bin"},
         {"no weights but " STEM ".fp16.bin, a pickle"}},
        {{"config.json", "pytorch_model.bin"},
         {"no weights but pytorch_model.bin, a pickle"}},
        {{"config.json", "v1-5.ckpt"}, {"no weights but v1-5.ckpt, a pickle"}},
        {{"config.json", STEM "-00001-of-00002.safetensors"}, {"no " STEM}},
        {{"config.json", STEM ".ema.safetensors", STEM ".a.safetensors",
          STEM ".fp16.safetensors"},
         {"more than one (a, ema): say which, such as ", ":a"}},
        {{"model_index.json"}, {"whole pipeline", "such as unet"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        try_files(kinds[i].names, NULL, NULL, kinds[i].words);
}

static void refuses_other_folders(void **state)
{
    char config[4096], weights[4096];
    FILE *f = fopen(in_folder("f"), "w");

    (void)state;
    fclose(f);
    assert_int_equal(weft_component_paths(in_folder("f"), config, weights, 99),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "f: is not a folder"));
    assert_int_equal(weft_component_paths(in_folder("g"), config, weights, 99),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "No such file"));
    assert_int_equal(weft_component_paths(folder, config, weights, 30),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "too long"));
    unlink(in_folder("f"));
}

/* What stands behind a colon is part of the name of what there is. */
static void splits_paths(void **state)
{
    static const char *const paths[][3] = {
        {"/no/x:fp16", "/no/x", "fp16"},    {"/no/x:y:fp16", "/no/x:y", "fp16"},
        {"/no/x", "/no/x", NULL},           {"/no/x:", "/no/x:", NULL},
        {"/no:fp16/x", "/no:fp16/x", NULL},
    };
    char file[4096], path[4096];
    const char *rest;

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(
            weft_component_split(paths[i][0], file, sizeof file, &rest),
            WEFT_OK);
        assert_string_equal(file, paths[i][1]);
        assert_int_equal(rest == NULL, paths[i][2] == NULL);
        if (rest) assert_string_equal(rest, paths[i][2]);
    }
    snprintf(path, sizeof path, "%s", in_folder("a:b"));
    fclose(fopen(path, "w"));
    assert_int_equal(weft_component_split(path, file, sizeof file, &rest),
                     WEFT_OK);
    assert_null(rest);
    assert_string_equal(file, path);
    unlink(path);
}

/* A slash at the end is not doubled. */
static void finds_the_demo(void **state)
{
    static const char demo[] = WEFT_SOURCE_DIR "/models/demo/vae/";
    char config[4096], weights[4096];
    weft_json *json;
    weft_st *st;

    (void)state;
    assert_int_equal(weft_component_paths(demo, config, weights, 4096),
                     WEFT_OK);
    assert_string_equal(config, WEFT_SOURCE_DIR "/models/demo/vae/config.json");
    assert_int_equal(weft_component_open(demo, &json, &st), WEFT_OK);
    assert_string_equal(weft_st_path(st), weights);
    assert_string_equal(weft_json_name(json), config);
    weft_json_free(json);
    weft_st_close(st);
    assert_int_equal(weft_component_scheduler(
                         WEFT_SOURCE_DIR "/models/demo/scheduler", &json),
                     WEFT_OK);
    weft_json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_weights),
        cmocka_unit_test(finds_variants),
        cmocka_unit_test(says_which_variants_there_are),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(refuses_other_folders),
        cmocka_unit_test(splits_paths),
        cmocka_unit_test(finds_the_demo),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
