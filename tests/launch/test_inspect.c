/* Models and images in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io/png.h"
#include "launch/inspect.h"

static weft_status inspect(const char *path, char **said)
{
    size_t n;
    FILE *f = open_memstream(said, &n);
    const weft_status s = weft_inspect(path, f);

    fclose(f);
    return s;
}

/* All of `words` must be in what is said of `path`. */
static void check(const char *path, const char *const *words)
{
    char *said;

    if (inspect(path, &said) != WEFT_OK) fail_msg("%s", weft_fail_text());
    for (; *words != NULL; words++)
        if (strstr(said, *words) == NULL)
            fail_msg("no \"%s\" in:\n%s", *words, said);
    free(said);
}

/* The figures are those of models/demo/README.md. */
static void test_component(void **state)
{
    static const char *const unet[] = {"UNet2DModel",
                                       "4,058,692 numbers",
                                       "F16",
                                       "multiples of 4",
                                       "11 classes",
                                       "(10)",
                                       "4 channels in, 4 out",
                                       "conv_in.bias",
                                       "more",
                                       NULL};
    static const char *const vae[] = {"AutoencoderTiny", "290,663", "F32",
                                      "3 channels of 4x4 pixels to 4", NULL};
    static const char *const schedule[] = {"DDIMScheduler", "1000 train",
                                           "scaled_linear", "leading", NULL};

    (void)state;
    check(WEFT_SOURCE_DIR "/models/demo/strong", unet);
    check(WEFT_SOURCE_DIR "/models/demo/vae/", vae);
    check(WEFT_SOURCE_DIR "/models/demo/scheduler", schedule);
}

static void test_collection(void **state)
{
    static const char *const words[] = {"labels: 0 weave, 1 tartan",
                                        "strong: UNet2DModel",
                                        "950,916",
                                        "half_b: UNet2DModel",
                                        "scheduler: DDIMScheduler",
                                        "vae: AutoencoderTiny",
                                        NULL};

    (void)state;
    check(WEFT_SOURCE_DIR "/models/demo", words);
}

static void test_tensors(void **state)
{
    static const char *const words[] = {"950,916", "F16",  "metadata format",
                                        "and",     "more", NULL};

    (void)state;
    check(WEFT_SOURCE_DIR
          "/models/demo/weak/diffusion_pytorch_model.safetensors",
          words);
}

/* Texts come from others: escape sequences in them are not passed on. */
static void test_png(void **state)
{
    static const char *const words[] = {"PNG, 2x1, grey", "parameters:\n",
                                        "Steps: 3",       "weft:\n",
                                        "a?[2Jb",         NULL};
    static const weft_png_text texts[] = {{"parameters", "Steps: 3"},
                                          {"weft", "a\x1b[2Jb"}};
    char path[] = "/tmp/weft-inspect-XXXXXX";
    weft_png *png;

    (void)state;
    close(mkstemp(path));
    assert_int_equal(weft_png_create(path, 2, 1, 1, texts, 2, &png), WEFT_OK);
    assert_int_equal(weft_png_rows(png, (const unsigned char *)"ab", 1),
                     WEFT_OK);
    assert_int_equal(weft_png_finish(png), WEFT_OK);
    check(path, words);
    unlink(path);
}

static void test_refused(void **state)
{
    static const char *const cases[][2] = {
        {"/nowhere/x", "/nowhere/x: there is no such file or folder"},
        {WEFT_SOURCE_DIR "/configs/demo.yaml",
         "configs/demo.yaml: is a config; weft plan "},
        {WEFT_SOURCE_DIR "/README.md", "README.md: neither a PNG nor"},
        {WEFT_SOURCE_DIR "/configs", "configs: holds neither config.json nor"},
        {"/dev/null", "/dev/null: neither a file nor a folder"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *said;
        assert_int_equal(inspect(cases[i][0], &said), WEFT_EINPUT);
        if (strstr(weft_fail_text(), cases[i][1]) == NULL)
            fail_msg("%s", weft_fail_text());
        free(said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_component), cmocka_unit_test(test_collection),
        cmocka_unit_test(test_tensors),   cmocka_unit_test(test_png),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
