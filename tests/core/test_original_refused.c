/*
 * Checkpoints in one file that are not what they should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "core/model/component.h"
#include "core/model/pipeline.h"
#include "core/net/net.h"
#include "tests/folder.h"

#define UNET  "model.diffusion_model."
#define LAYER UNET "input_blocks.1."

/* "32x4x3x3" */
static void read_shape(const char *text, weft_st_entry *t)
{
    char *end;

    do {
        assert_true(t->ndim < WEFT_MAX_DIMS);
        t->shape[t->ndim++] = strtoll(text, &end, 10);
        text = end + 1;
    } while (*end == 'x');
    assert_true(*end == '\0');
}

static size_t count(const weft_st_entry *t)
{
    size_t n = 1;

    for (int i = 0; i < t->ndim; i++) n *= (size_t)t->shape[i];
    return n;
}

static void refuse(const char *path, const char *words)
{
    weft_json *json = NULL;
    weft_st *st = NULL;

    assert_int_equal(weft_component_open(path, &json, &st), WEFT_EINPUT);
    assert_null(json);
    assert_null(st);
    if (!strstr(weft_fail_text(), words) || !strstr(weft_fail_text(), folder))
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
}

/* A file of these tensors, all F32. */
static const char *put(const char *const (*tensors)[2], int n)
{
    static char path[64];
    weft_st_entry entry[16];
    weft_st_writer *w;

    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    assert_true(n <= 16);
    for (int i = 0; i < n; i++) {
        entry[i] = (weft_st_entry){.name = tensors[i][0], .dtype = "F32"};
        read_shape(tensors[i][1], &entry[i]);
    }
    assert_int_equal(weft_st_create(path, entry, n, NULL, &w), WEFT_OK);
    for (int i = 0; i < n; i++) {
        const size_t bytes = 4 * count(&entry[i]);
        void *zeros = calloc(1, bytes);

        assert_non_null(zeros);
        assert_int_equal(weft_st_put(w, i, 0, zeros, bytes), WEFT_OK);
        free(zeros);
    }
    assert_int_equal(weft_st_finish(w), WEFT_OK);
    return path;
}

static void refuse_inside(const char *file, const char *inside,
                          const char *words)
{
    char path[128];

    snprintf(path, sizeof path, "%s%s%s", file, inside[0] ? ":" : "", inside);
    refuse(path, words);
}

static void refuses_what_is_not_inside(void **state)
{
    static const char *const refiner[][2] = {
        {UNET "input_blocks.0.0.weight", "32x4x3x3"},
        {"conditioner.embedders.0.model.token_embedding.weight", "5x64"}};
    static const char *const other[][2] = {{"a", "2"}};
    weft_pipeline *p;
    const char *path = put(refiner, 2);

    (void)state;
    refuse_inside(path, "", "say what of it is meant, as");
    refuse_inside(path, "lora", "controlnet), not lora");
    refuse_inside(path, "text_encoder", "has no text_encoder");
    refuse_inside(path, "vae", "has no vae");
    refuse_inside(path, "scheduler", "a scheduler is no model");
    put(other, 1);
    refuse_inside(path, "unet", "is no checkpoint of Stable Diffusion 1, 2 or");
    assert_int_equal(weft_pipeline_open(path, &p), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "is no checkpoint of"));
    unlink(path);
    assert_int_equal(weft_pipeline_open(path, &p), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "No such file"));
}

/* An autoencoder alone, as they are handed round. */
static void asks_for_the_factor(void **state)
{
    static const char *const vae[][2] = {
        {"decoder.mid.block_1.norm1.weight", "32"},
        {"decoder.up.0.block.0.conv1.weight", "32x32x3x3"},
        {"decoder.up.0.block.1.conv1.weight", "32x32x3x3"},
        {"decoder.conv_in.weight", "32x4x3x3"},
        {"decoder.conv_out.weight", "3x32x3x3"}};
    const char *path = put(vae, 5);
    char inside[128];
    weft_json *json;
    weft_st *st;
    weft_net_info info;

    (void)state;
    refuse_inside(path, "vae", "FILE:vae-sd (0.18215");
    for (int i = 0; i < 2; i++) {
        snprintf(inside, sizeof inside, "%s:vae-sd%s", path, i ? "xl" : "");
        assert_int_equal(weft_component_open(inside, &json, &st), WEFT_OK);
        assert_int_equal(weft_net_read_info(json, &info), WEFT_OK);
        assert_true(info.scaling_factor == (i ? 0.13025f : 0.18215f));
        assert_int_equal(info.latent_channels, 4);
        assert_int_equal(weft_st_count(st), 5);
        weft_json_free(json);
        weft_st_close(st);
    }
    unlink(path);
}

/* U-Nets that are no Stable Diffusion's. */
static void refuses_other_nets(void **state)
{
    static const struct {
        const char *words;
        int n;
        const char *tensors[12][2];
    } bad[] = {
        {"ends are not what weft knows",
         1,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"}}},
        {"middle has no transformers",
         3,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"},
          {UNET "out.2.weight", "4x32x3x3"},
          {LAYER "0.in_layers.2.weight", "32x32x3x3"}}},
        {"layers of a level of the U-Net differ",
         4,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"},
          {UNET "out.2.weight", "4x32x3x3"},
          {LAYER "0.in_layers.2.weight", "32x32x3x3"},
          {UNET "input_blocks.2.0.in_layers.2.weight", "64x32x3x3"}}},
        {"levels differ in their layers",
         4,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"},
          {UNET "out.2.weight", "4x32x3x3"},
          {LAYER "0.in_layers.2.weight", "32x32x3x3"},
          {UNET "input_blocks.2.0.op.weight", "32x32x3x3"}}},
        {"deeper or less deep than its last level",
         6,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"},
          {UNET "out.2.weight", "4x32x3x3"},
          {LAYER "0.in_layers.2.weight", "32x32x3x3"},
          {LAYER "1.transformer_blocks.0.attn2.to_k.weight", "32x768"},
          {UNET "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
           "32x768"},
          {UNET "middle_block.1.transformer_blocks.1.attn2.to_k.weight",
           "32x768"}}},
        {"as unCLIP's is",
         5,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"},
          {UNET "out.2.weight", "4x32x3x3"},
          {LAYER "0.in_layers.2.weight", "32x32x3x3"},
          {UNET "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
           "32x768"},
          {UNET "label_emb.0.0.weight", "128x64"}}},
        {"as the upscaler's is",
         5,
         {{UNET "input_blocks.0.0.weight", "32x4x3x3"},
          {UNET "out.2.weight", "4x32x3x3"},
          {LAYER "0.in_layers.2.weight", "32x32x3x3"},
          {UNET "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
           "32x768"},
          {UNET "label_emb.weight", "1000x128"}}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse_inside(put(bad[i].tensors, bad[i].n), "unet", bad[i].words);
    unlink(put(bad[0].tensors, 1));
}

/* Shapes that cannot be divided, and names that fall together. */
static void refuses_odd_tensors(void **state)
{
    static const char *const odd[][2] = {
        {"cond_stage_model.model.token_embedding.weight", "5x64"},
        {"cond_stage_model.model.positional_embedding", "9x64"},
        {"cond_stage_model.model.transformer.resblocks.0.ln_1.weight", "64"},
        {"cond_stage_model.model.transformer.resblocks.0.mlp.c_fc.weight",
         "9x64"},
        {"cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias",
         "64"}};
    static const char *const twice[][2] = {
        {"first_stage_model.decoder.mid.block_1.norm1.weight", "32"},
        {"first_stage_model.decoder.mid.block_01.norm1.weight", "32"},
        {"first_stage_model.decoder.up.0.block.0.conv1.weight", "32x32x3x3"},
        {"first_stage_model.decoder.up.0.block.1.conv1.weight", "32x32x3x3"},
        {"first_stage_model.decoder.conv_in.weight", "32x4x3x3"}};

    (void)state;
    refuse_inside(put(odd, 5), "text_encoder",
                  "in_proj_bias has a shape that no rule knows");
    refuse_inside(put(twice, 5), "vae-sd",
                  "holds decoder.mid_block.resnets.0.norm1.weight twice");
    unlink(put(odd, 1));
}

static void refuses_other_formats(void **state)
{
    static const struct {
        const char *bytes, *words;
    } bad[] = {{"PK\3\4....", "is a pickle: to read one is to run"},
               {"\x80\2ctorch", "is a pickle: to read one is to run"},
               {"GGUF....", "is a GGUF file"},
               {"........", "not a safetensors file"}};
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "%s/v1-5.ckpt", folder);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *f = fopen(path, "w");
        weft_pipeline *p;

        assert_non_null(f);
        fputs(bad[i].bytes, f);
        fclose(f);
        refuse_inside(path, "unet", bad[i].words);
        assert_int_equal(weft_pipeline_open(path, &p), WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), bad[i].words));
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_inside),
        cmocka_unit_test(asks_for_the_factor),
        cmocka_unit_test(refuses_other_nets),
        cmocka_unit_test(refuses_odd_tensors),
        cmocka_unit_test(refuses_other_formats),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
