/*
 * Pipelines in words: folders and files made of the goldens' nets, whose
 * tensors and configs are in their metadata.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "core/model/safetensors.h"
#include "launch/inspect.h"
#include "tests/golden.h"
#include "tests/folder.h"

static void put_text(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* NAME/config.json and NAME/WEIGHTS, as the golden has them. */
static void put_component(const char *name, const char *from,
                          const char *weights)
{
    char path[512];
    weft_st *st;

    snprintf(path, sizeof path, WEFT_SOURCE_DIR "/tests/golden/%s.safetensors",
             from);
    assert_int_equal(weft_st_open(path, &st), WEFT_OK);
    mkdir(in_folder(name), 0755);
    snprintf(path, sizeof path, "%s/config.json", name);
    put_text(path, weft_st_metadata(st, "config"));
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, weights);
    golden_write(path, weft_st_metadata(st, "tensors"));
    weft_st_close(st);
}

static void remove_files(const char *name, const char *weights)
{
    char path[512];

    snprintf(path, sizeof path, "%s/config.json", name);
    unlink(in_folder(path));
    snprintf(path, sizeof path, "%s/%s", name, weights);
    unlink(in_folder(path));
    rmdir(in_folder(name));
}

static void check(weft_status want, const char *path, const char *const *words)
{
    char *said;
    size_t n;
    FILE *f = open_memstream(&said, &n);
    const weft_status s = weft_inspect(path, f);

    fclose(f);
    if (s != want) fail_msg("%s", weft_fail_text());
    for (; *words != NULL; words++)
        if (strstr(said, *words) == NULL)
            fail_msg("no \"%s\" in:\n%s", *words, said);
    free(said);
}

#define STEM "diffusion_pytorch_model"

static const char index_text[] =
    "{\"_class_name\": \"StableDiffusionPipeline\","
    "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"],"
    "\"vae\": [\"diffusers\", \"AutoencoderKL\"],"
    "\"text_encoder\": [\"transformers\", \"CLIPTextModel\"],"
    "\"scheduler\": [\"diffusers\", \"DDIMScheduler\"],"
    "\"safety_checker\": [\"stable_diffusion\", \"SafetyChecker\"]}";

static void put_pipeline(void)
{
    put_component("unet", "net_cond_sd15", STEM ".fp16.safetensors");
    put_component("vae", "net_kl_decode", STEM ".safetensors");
    put_component("text_encoder", "text_clip_l", "model.safetensors");
    mkdir(in_folder("scheduler"), 0755);
    put_text("scheduler/scheduler_config.json",
             "{\"_class_name\": \"DDIMScheduler\"}");
    put_text("model_index.json", index_text);
}

static void remove_pipeline(void)
{
    remove_files("unet", STEM ".fp16.safetensors");
    remove_files("vae", STEM ".safetensors");
    remove_files("text_encoder", "model.safetensors");
    unlink(in_folder("scheduler/scheduler_config.json"));
    rmdir(in_folder("scheduler"));
    unlink(in_folder("model_index.json"));
}

static void tells_pipelines(void **state)
{
    static const char *const words[] = {
        "pipeline: StableDiffusionPipeline\n",
        "unet: UNet2DConditionModel\n",
        "sees a text of",
        "vae: AutoencoderKL\n",
        "text_encoder: CLIPTextModel\n",
        "4 layers of",
        "texts of at most 77 tokens",
        "scheduler: DDIMScheduler\n",
        "  solver ddim\n",
        "safety_checker: SafetyChecker\n  weft does without it",
        "weft can sample with it, given a tokenizer: it has none\n",
        NULL};
    static const char *const variant[] = {"unet:fp16: UNet2DConditionModel",
                                          STEM ".fp16.safetensors", NULL};
    static const char *const none[] = {NULL};
    char path[4096];

    (void)state;
    put_pipeline();
    check(WEFT_OK, folder, words);
    check(WEFT_OK, in_folder("unet:fp16"), variant);
    snprintf(path, sizeof path, "%s:fp16", folder);
    check(WEFT_OK, path, words);
    snprintf(path, sizeof path, "%s:bf16", folder);
    check(WEFT_EINPUT, path, none);
    assert_non_null(strstr(weft_fail_text(), "bf16"));
    remove_pipeline();
}

/* What is wrong is said at the end too, and of what can be read at all nothing
 * fails. */
static void tells_what_cannot_be_used(void **state)
{
    static const char *const unknown[] = {
        "transformer: T\n  weft does not know it",
        "weft cannot sample with it: ", "weft knows no component transformer",
        NULL};
    static const char *const refused[] = {
        "unet: UNet2DConditionModel\n",
        "weft cannot run it: ", "\"gated\" is not supported",
        "weft cannot sample with it: ", NULL};
    static const char *const missing[] = {
        "vae: AutoencoderKL\n  cannot be used: ", "text_encoder: CLIPTextModel",
        "weft cannot sample with it: ", NULL};
    static const char *const flow[] = {
        "scheduler: FlowMatchEulerDiscreteScheduler\n",
        "weft cannot run it: ",
        "is of flow matching",
        "weft cannot sample with it: ",
        "is of flow matching",
        NULL};
    static const char *const incomplete[] = {
        "weft cannot run it: ", "tensors missing: ", NULL};

    (void)state;
    put_pipeline();
    put_text("model_index.json",
             "{\"_class_name\": \"P\", \"transformer\": [\"d\", \"T\"]}");
    check(WEFT_OK, folder, unknown);
    put_text("model_index.json", index_text);
    put_text("scheduler/scheduler_config.json",
             "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}");
    check(WEFT_OK, folder, flow);
    put_text("scheduler/scheduler_config.json", "{}");
    golden_write(in_folder("text_encoder/model.safetensors"), "a F32 1;");
    check(WEFT_OK, folder, incomplete);
    unlink(in_folder("vae/" STEM ".safetensors"));
    check(WEFT_EINPUT, folder, missing);
    put_text("unet/config.json", "{\"_class_name\": \"UNet2DConditionModel\","
                                 "\"attention_type\": \"gated\"}");
    check(WEFT_EINPUT, folder, refused);
    remove_pipeline();
}

#define UNET "model.diffusion_model."

static void tells_files(void **state)
{
    static const char *const words[] = {
        "pipeline in one file: StableDiffusionPipeline\n",
        "unet: UNet2DConditionModel\n",
        "weft cannot run it: ",
        "scheduler: PNDMScheduler\n",
        "predicts epsilon",
        NULL};
    static const char *const inside[] = {"file.safetensors:scheduler: PNDM",
                                         NULL};
    static const char *const lora[] = {
        "a LoRA: changes 2 layers by matrices of rank 4 to 8\n", NULL};
    static const char *const refused[] = {"  a LoRA\n",
                                          "weft cannot use it: ", "DoRA", NULL};

    (void)state;
    golden_write(in_folder("file.safetensors"),
                 UNET "input_blocks.0.0.weight F16 32x4x3x3;" UNET
                      "out.2.weight F16 4x32x3x3;" UNET
                      "input_blocks.1.0.in_layers.2.weight F16 32x32x3x3;" UNET
                      "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight "
                      "F16 32x768;" UNET
                      "middle_block.1.transformer_blocks.0.attn2.to_k.weight "
                      "F16 32x768;");
    check(WEFT_OK, in_folder("file.safetensors"), words);
    check(WEFT_OK, in_folder("file.safetensors:scheduler"), inside);
    golden_write(in_folder("file.safetensors"),
                 "lora_unet_a.lora_down.weight F16 8x16;"
                 "lora_unet_a.lora_up.weight F16 16x8;"
                 "lora_unet_b.lora_down.weight F16 4x16;"
                 "lora_unet_b.lora_up.weight F16 16x4;");
    check(WEFT_OK, in_folder("file.safetensors"), lora);
    golden_write(in_folder("file.safetensors"),
                 "lora_unet_a.lora_down.weight F16 8x16;"
                 "lora_unet_a.lora_up.weight F16 16x8;"
                 "lora_unet_a.dora_scale F16 16x1;");
    check(WEFT_OK, in_folder("file.safetensors"), refused);
    unlink(in_folder("file.safetensors"));
}

static void refuses_pickles(void **state)
{
    static const char *const none[] = {NULL};

    (void)state;
    put_text("v1-5.ckpt", "PK\3\4....");
    check(WEFT_EINPUT, in_folder("v1-5.ckpt"), none);
    assert_non_null(strstr(weft_fail_text(), "is a pickle"));
    unlink(in_folder("v1-5.ckpt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_pipelines),
        cmocka_unit_test(tells_what_cannot_be_used),
        cmocka_unit_test(tells_files),
        cmocka_unit_test(refuses_pickles),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
