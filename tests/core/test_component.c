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

#include "core/model/safetensors.h"

#define STEM "diffusion_pytorch_model"

enum { MOST = 6 };

static char folder[] = "/tmp/weft_model_XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* The folder holds these files. Expect `weights`, or (NULL) a failure whose
 * text has all of `words`. */
static void try_files(const char *const *names, const char *weights,
                      const char *const *words)
{
    char config[4096] = "", found[4096] = "";
    weft_status status;

    for (int i = 0; names[i]; i++) {
        FILE *f = fopen(in_folder(names[i]), "w");

        assert_non_null(f);
        fclose(f);
    }
    status = weft_component_paths(folder, config, found, sizeof found);
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
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        try_files(kinds[i].names, kinds[i].weights, NULL);
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
        {{"config.json", STEM ".bin"}, {"such as .bin are not read"}},
        {{"config.json", STEM ".fp16.bin"}, {"such as .bin are not read"}},
        {{"config.json", STEM "-00001-of-00002.safetensors"}, {"no " STEM}},
        {{"config.json", "model.safetensors"}, {"no " STEM}},
        {{"config.json", STEM ".ema.safetensors", STEM ".a.safetensors",
          STEM ".fp16.safetensors"},
         {"more than one variant",
          "(" STEM ".a.safetensors, " STEM ".ema.safetensors)"}},
        {{"model_index.json"}, {"whole pipeline", "such as unet"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        try_files(kinds[i].names, NULL, kinds[i].words);
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

/* A slash at the end is not doubled. */
static void finds_the_demo(void **state)
{
    static const char demo[] = WEFT_SOURCE_DIR "/models/demo/vae/";
    char config[4096], weights[4096];
    weft_st *st;

    (void)state;
    assert_int_equal(weft_component_paths(demo, config, weights, 4096),
                     WEFT_OK);
    assert_string_equal(config, WEFT_SOURCE_DIR "/models/demo/vae/config.json");
    assert_int_equal(weft_st_open(weights, &st), WEFT_OK);
    assert_true(weft_st_count(st) > 0);
    weft_st_close(st);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_weights),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(refuses_other_folders),
        cmocka_unit_test(finds_the_demo),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
