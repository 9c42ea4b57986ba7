/* LoRAs in a config: what is meant, what an image says of it, which models
 * share a file, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "launch/card.h"
#include "launch/models.h"
#include "tests/golden.h"
#include "tests/must.h"

#define DEMO WEFT_SOURCE_DIR "/models/demo/strong"
#define CONV "down_blocks.0.resnets.0.conv1"

static const char good[] = "unet." CONV ".lora_A.weight F32 4x48x3x3;"
                           "unet." CONV ".lora_B.weight F32 48x4x1x1;";

/* Models a and b of the demo, with these LoRAs of the files %s. */
static void parse(const char *a, const char *b, weft_config *c)
{
    char yaml[4096];

    snprintf(yaml, sizeof yaml,
             "models:\n"
             "  strong: {path: " DEMO "%s}\n"
             "  weak: {path: " DEMO "%s}\n"
             "sample: {method: w2sd, width: 64, height: 64, label: 3}\n",
             a, b);
    must(weft_config_parse("a.yaml", yaml, strlen(yaml), NULL, 0, c));
}

static void write_lora(const char *tensors, char path[32])
{
    snprintf(path, 32, "/tmp/weft-lora-XXXXXX");
    close(mkstemp(path));
    golden_write(path, tensors);
}

static void image_says_them(void **state)
{
    weft_config c, again;
    char *text, *twice;

    (void)state;
    parse(", loras: [{path: /x, scale: 0.8}, {path: ../y, scale: -1.5}]", "",
          &c);
    assert_int_equal(c.model[0].nloras, 2);
    assert_string_equal(c.model[0].lora[1].file.path, "../y");
    assert_true(c.model[0].lora[1].scale == -1.5);
    assert_int_equal(c.model[1].nloras, 0);
    must(weft_config_identity(&c, 0, &text));
    assert_non_null(strstr(text, "\"loras\":[{\"path\":\"/x\",\"scale\":0.8},"
                                 "{\"path\":\"y\",\"scale\":-1.5}]"));
    text[strcspn(text, "\n")] = 0;
    /* ../y would be looked for beside an image */
    memcpy(strstr(text, "\"y\""), "\"/\"", 3);
    must(weft_config_parse("a.yaml", text, strlen(text), NULL, 0, &again));
    must(weft_config_identity(&again, 0, &twice));
    twice[strcspn(twice, "\n")] = 0;
    assert_string_equal(text, twice);
    free(twice);
    free(text);
    weft_config_release(&again);
    weft_config_release(&c);
}

/* How many files strong and weak are made of, and a hash of them. */
static int files_of(const char *a, const char *b, uint64_t *fingerprint)
{
    weft_method method;
    weft_models models;
    weft_config c;
    int files;

    parse(a, b, &c);
    must(weft_method_models(&c, &method));
    must(weft_models_open(&method, &models));
    files = models.nfiles;
    *fingerprint = weft_models_fingerprint(&method, &models);
    weft_models_close(&models);
    weft_config_release(&c);
    return files;
}

static void models_share_what_is_alike(void **state)
{
    char path[32], plus[80], minus[80];
    uint64_t plain, up, down, both;

    (void)state;
    write_lora(good, path);
    snprintf(plus, sizeof plus, ", loras: [{path: %s, scale: 0.8}]", path);
    snprintf(minus, sizeof minus, ", loras: [{path: %s, scale: -1.5}]", path);
    assert_int_equal(files_of("", "", &plain), 1);
    assert_int_equal(files_of(plus, plus, &up), 1);
    assert_int_equal(files_of(minus, minus, &down), 1);
    assert_int_equal(files_of(plus, minus, &both), 2);
    assert_true(plain != up && up != down && both != up && both != down);
    unlink(path);
}

/* The change is in the graph, and in memory that a plan counts. */
static void builds_with_them(void **state)
{
    char path[32], lora[80];
    weft_method method;
    weft_models models;
    weft_config c;
    int changed = 0;

    (void)state;
    write_lora(good, path);
    snprintf(lora, sizeof lora, ", loras: [{path: %s, scale: 2}]", path);
    parse(lora, lora, &c);
    must(weft_method_models(&c, &method));
    must(weft_models_open(&method, &models));
    must(weft_netfile_build(&models.file[0], WEFT_PART_NET,
                            (weft_cell){16, 16, 16}, false));
    for (int i = 0; i < models.file[0].graph.nweights; i++)
        changed += models.file[0].graph.weight[i].nadded;
    assert_int_equal(changed, 1);
    weft_models_close(&models);
    weft_config_release(&c);
    unlink(path);
}

static const char peft[] =
    "base_model.model." CONV ".lora_A.weight F32 4x48x3x3;"
    "base_model.model." CONV ".lora_B.weight F32 48x4x1x1;";

static void write_alpha(const char *folder, int alpha)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"peft_type\": \"LORA\", \"lora_alpha\": %d}", alpha);
    fclose(f);
}

/* What a data set would be of, and a plan. */
static json_t *card_of(const char *lora, uint64_t *fingerprint)
{
    static const weft_config_dataset spec = {.images = true};
    static const weft_manifest m = {.spec = &spec, .sha256 = "0"};
    json_t *card;
    weft_config c;

    files_of(lora, "", fingerprint);
    parse(lora, "", &c);
    must(weft_card_make(&c, &m, &card));
    weft_config_release(&c);
    return card;
}

/* PEFT's alpha stands in a file beside that of the matrices. */
static void alphas_beside_the_file_are_a_part_of_it(void **state)
{
    char folder[] = "/tmp/weft-lora-XXXXXX", path[64], lora[128];
    uint64_t before, after;
    json_t *was, *is;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    golden_write(path, peft);
    snprintf(lora, sizeof lora, ", loras: [{path: %s, scale: 1}]", path);
    write_alpha(folder, 4);
    was = card_of(lora, &before);
    write_alpha(folder, 8);
    is = card_of(lora, &after);
    assert_true(before != after);
    assert_false(json_equal(was, is));
    json_object_del(json_object_get(was, "models"), "strong.adapter_config0");
    json_object_del(json_object_get(is, "models"), "strong.adapter_config0");
    assert_true(json_equal(was, is));
    json_decref(was);
    json_decref(is);
    unlink(path);
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void refused(const char *tensors, const char *words)
{
    char path[32], lora[80];
    weft_method method;
    weft_models models;
    weft_config c;
    weft_status st;

    write_lora(tensors, path);
    snprintf(lora, sizeof lora, ", loras: [{path: %s, scale: 1}]", path);
    parse(lora, lora, &c);
    must(weft_method_models(&c, &method));
    st = weft_models_open(&method, &models);
    if (st == WEFT_OK)
        st = weft_netfile_build(&models.file[0], WEFT_PART_NET,
                                (weft_cell){16, 16, 16}, false);
    assert_int_equal(st, WEFT_EINPUT);
    if (!strstr(weft_fail_text(), words) || !strstr(weft_fail_text(), path))
        fail_msg("no \"%s\" in: %s", words, weft_fail_text());
    weft_models_close(&models);
    weft_config_release(&c);
    unlink(path);
}

static void refuses_the_wrong_base(void **state)
{
    (void)state;
    refused("unet.x.lora_A.weight F32 4x48;unet.x.lora_B.weight F32 48x4;",
            "of 1 layers 1 are not in the U-Net: unet.x");
    refused("unet." CONV ".lora_A.weight F32 4x64x3x3;"
            "unet." CONV ".lora_B.weight F32 64x4x1x1;",
            "does not fit the U-Net");
    refused("lora_te_text_model_x.lora_up.weight F32 8x4;"
            "lora_te_text_model_x.lora_down.weight F32 4x8;",
            "changes 1 layers of a text encoder, which the model strong has "
            "not");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_says_them),
        cmocka_unit_test(models_share_what_is_alike),
        cmocka_unit_test(builds_with_them),
        cmocka_unit_test(alphas_beside_the_file_are_a_part_of_it),
        cmocka_unit_test(refuses_the_wrong_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
