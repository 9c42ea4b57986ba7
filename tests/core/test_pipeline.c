/*
 * Pipelines: what model_index.json says, and what is refused of it. The files
 * are as diffusers writes them, shortened.
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

#include "core/model/pipeline.h"
#include "tests/folder.h"

static const char sdxl[] =
    "{\"_class_name\": \"StableDiffusionXLPipeline\","
    "\"_diffusers_version\": \"0.19.0.dev0\","
    "\"_name_or_path\": [\"a\", \"b\"],"
    "\"scheduler\": [\"diffusers\", \"EulerDiscreteScheduler\"],"
    "\"text_encoder\": [\"transformers\", \"CLIPTextModel\"],"
    "\"text_encoder_2\": [\"transformers\", \"CLIPTextModelWithProjection\"],"
    "\"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],"
    "\"tokenizer_2\": [\"transformers\", \"CLIPTokenizer\"],"
    "\"feature_extractor\": [null, null],"
    "\"image_encoder\": [\"transformers\", \"CLIPVisionModelWithProjection\"],"
    "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"],"
    "\"vae\": [\"diffusers\", \"AutoencoderKL\"]}";

static weft_pipeline *parse(const char *text)
{
    weft_pipeline *p;

    if (weft_pipeline_parse("index", text, strlen(text), "at/x//", &p) !=
        WEFT_OK)
        fail_msg("%s", weft_fail_text());
    return p;
}

static void is_part(const weft_pipeline *p, weft_pipeline_role role,
                    const char *path, const char *class_name)
{
    assert_string_equal(p->part[role].path, path);
    assert_string_equal(p->part[role].class_name, class_name);
}

static void reads_sdxl(void **state)
{
    weft_pipeline *p = parse(sdxl);

    (void)state;
    assert_string_equal(p->path, "at/x");
    assert_string_equal(p->class_name, "StableDiffusionXLPipeline");
    is_part(p, WEFT_PIPELINE_UNET, "at/x/unet", "UNet2DConditionModel");
    is_part(p, WEFT_PIPELINE_VAE, "at/x/vae", "AutoencoderKL");
    is_part(p, WEFT_PIPELINE_TEXT, "at/x/text_encoder", "CLIPTextModel");
    is_part(p, WEFT_PIPELINE_TEXT_2, "at/x/text_encoder_2",
            "CLIPTextModelWithProjection");
    is_part(p, WEFT_PIPELINE_TOKENIZER, "at/x/tokenizer", "CLIPTokenizer");
    is_part(p, WEFT_PIPELINE_TOKENIZER_2, "at/x/tokenizer_2", "CLIPTokenizer");
    is_part(p, WEFT_PIPELINE_SCHEDULER, "at/x/scheduler",
            "EulerDiscreteScheduler");
    assert_int_equal(p->nother, 1);
    assert_string_equal(p->other[0].name, "image_encoder");
    assert_true(p->force_zeros_for_empty_prompt);
    assert_false(p->requires_aesthetics_score);
    weft_pipeline_free(p);
}

/* What is null is not there; flags are as they are said. */
static void reads_refiner(void **state)
{
    weft_pipeline *p =
        parse("{\"_class_name\": \"StableDiffusionXLImg2ImgPipeline\","
              "\"force_zeros_for_empty_prompt\": false,"
              "\"requires_aesthetics_score\": true,"
              "\"text_encoder\": [null, null], \"tokenizer\": [null, null],"
              "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"]}");

    (void)state;
    assert_null(p->part[WEFT_PIPELINE_TEXT].path);
    assert_null(p->part[WEFT_PIPELINE_TEXT].class_name);
    assert_null(p->part[WEFT_PIPELINE_TOKENIZER].path);
    assert_null(p->part[WEFT_PIPELINE_VAE].path);
    assert_false(p->force_zeros_for_empty_prompt);
    assert_true(p->requires_aesthetics_score);
    weft_pipeline_free(p);
    p = parse("{\"_class_name\": \"StableDiffusionPipeline\","
              "\"requires_safety_checker\": true,"
              "\"force_zeros_for_empty_prompt\": null}");
    assert_false(p->force_zeros_for_empty_prompt);
    assert_false(p->requires_aesthetics_score);
    weft_pipeline_free(p);
}

static void refuses_bad_json(void **state)
{
    static const char *const bad[][2] = {
        {"", "index:"},
        {"[]", "expected an object, found an array"},
        {"{}", "has no \"_class_name\""},
        {"{\"_class_name\": 3}", "\"_class_name\": expected a string"},
        {"{\"_class_name\": [\"m\", 3]}", "\"_class_name\": expected a string"},
        {"{\"_class_name\": [\"m\"]}", "\"_class_name\": expected a string"},
        {"{\"_class_name\": \"P\", \"unet\": [\"a\"]}",
         "component unet: expected a library and a class"},
        {"{\"_class_name\": \"P\", \"unet\": [\"a\", \"b\", \"c\"]}",
         "component unet: expected a library and a class"},
        {"{\"_class_name\": \"P\", \"vae\": [\"a\", [\"b\"]]}",
         "component vae: expected the name of a class, found an array"},
        {"{\"_class_name\": \"P\", \"../x\": [\"a\", \"b\"]}",
         "\"../x\" is not the name of a folder"},
        {"{\"_class_name\": \"P\", \"..\": [\"a\", \"b\"]}",
         "\"..\" is not the name of a folder"},
        {"{\"_class_name\": \"P\", \"\": [\"a\", \"b\"]}",
         "\"\" is not the name of a folder"},
        {"{\"_class_name\": \"P\", \"unet\": [\"a\", \"b\"],"
         "\"unet\": [\"a\", \"b\"]}",
         "duplicate"},
        {"{\"_class_name\": \"P\", \"requires_aesthetics_score\": 1}",
         "\"requires_aesthetics_score\": expected true or false, found an "
         "integer"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weft_pipeline *p = NULL;

        assert_int_equal(
            weft_pipeline_parse("index", bad[i][0], strlen(bad[i][0]), "x", &p),
            WEFT_EINPUT);
        assert_null(p);
        if (strstr(weft_fail_text(), bad[i][1]) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), bad[i][1]);
    }
}

static void refuses_a_crowd(void **state)
{
    char text[4096] = "{\"_class_name\": \"P\"";
    weft_pipeline *p;
    size_t n = strlen(text);

    (void)state;
    for (int i = 0; i < 65; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              ", \"c%d\": [\"a\", \"b\"]", i);
    snprintf(text + n, sizeof text - n, "}");
    assert_int_equal(weft_pipeline_parse("index", text, strlen(text), "x", &p),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "more than 64 components"));
}

/* ---- folders ------------------------------------------------------------- */

static const char *const sdxl_folders[] = {
    "unet",      "vae",         "text_encoder", "text_encoder_2",
    "tokenizer", "tokenizer_2", "scheduler",
};

enum { FOLDERS = sizeof sdxl_folders / sizeof *sdxl_folders };

static void put_index(const char *text)
{
    FILE *f = fopen(in_folder("model_index.json"), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void make_folders(void)
{
    for (int i = 0; i < FOLDERS; i++)
        assert_int_equal(mkdir(in_folder(sdxl_folders[i]), 0755), 0);
}

static void remove_all(void)
{
    for (int i = 0; i < FOLDERS; i++) rmdir(in_folder(sdxl_folders[i]));
    unlink(in_folder("model_index.json"));
}

static void opens_by_folder_or_index(void **state)
{
    char path[64];
    weft_pipeline *p;

    (void)state;
    put_index(sdxl);
    make_folders();
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", folder,
                 i == 0   ? ""
                 : i == 1 ? "/"
                          : "/model_index.json");
        if (weft_pipeline_open(path, &p) != WEFT_OK)
            fail_msg("%s", weft_fail_text());
        assert_string_equal(p->path, folder);
        assert_string_equal(p->part[WEFT_PIPELINE_VAE].path, in_folder("vae"));
        weft_pipeline_free(p);
    }
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(weft_pipeline_open("model_index.json", &p), WEFT_OK);
    assert_string_equal(p->part[WEFT_PIPELINE_VAE].path, "./vae");
    weft_pipeline_free(p);
    assert_int_equal(chdir("/"), 0);
    remove_all();
}

static void put_file(const char *name)
{
    FILE *f = fopen(in_folder(name), "w");

    assert_non_null(f);
    fclose(f);
}

/* Those that have the variant are opened by it. */
static void chooses_variants(void **state)
{
    static const char *const files[] = {
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/model.fp16.safetensors",
    };
    enum { FILES = sizeof files / sizeof *files };
    char path[64];
    weft_pipeline *p;

    (void)state;
    put_index(sdxl);
    make_folders();
    for (int i = 0; i < FILES; i++) put_file(files[i]);
    snprintf(path, sizeof path, "%s:fp16", folder);
    if (weft_pipeline_open(path, &p) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_string_equal(p->path, folder);
    assert_string_equal(p->part[WEFT_PIPELINE_UNET].path,
                        in_folder("unet:fp16"));
    assert_string_equal(p->part[WEFT_PIPELINE_TEXT].path,
                        in_folder("text_encoder:fp16"));
    assert_string_equal(p->part[WEFT_PIPELINE_VAE].path, in_folder("vae"));
    assert_string_equal(p->part[WEFT_PIPELINE_TOKENIZER].path,
                        in_folder("tokenizer"));
    weft_pipeline_free(p);
    snprintf(path, sizeof path, "%s:bf16", folder);
    assert_int_equal(weft_pipeline_open(path, &p), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(),
                           "unet: no weights of the variant bf16, but of "
                           "fp16"));
    for (int i = 0; i < FILES; i++) unlink(in_folder(files[i]));
    remove_all();
}

static void refuse(const char *path, const char *words)
{
    weft_pipeline *p = NULL;

    assert_int_equal(weft_pipeline_open(path, &p), WEFT_EINPUT);
    assert_null(p);
    if (strstr(weft_fail_text(), words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
    assert_non_null(strstr(weft_fail_text(), path));
}

static void refuses_what_is_not_there(void **state)
{
    (void)state;
    refuse("/tmp/weft_no_such_pipeline", "No such file");
    refuse(folder, "is not a pipeline: it has no model_index.json");
    put_index(sdxl);
    make_folders();
    rmdir(in_folder("text_encoder_2"));
    refuse(folder, "component text_encoder_2 (CLIPTextModelWithProjection) is "
                   "in model_index.json");
    refuse(folder, "text_encoder_2 is not there");
    put_index("{\"_class_name\": \"P\", \"unet\": [\"a\", \"UNet2DModel\"]}");
    rmdir(in_folder("unet"));
    put_file("unet");
    refuse(folder, "unet is not a folder");
    unlink(in_folder("unet"));
    remove_all();
}

static void refuses_what_it_does_not_know(void **state)
{
    static const char *const bad[][2] = {
        {"\"unet\": [\"diffusers\", \"FlaxUNet2DConditionModel\"]",
         "component unet is a FlaxUNet2DConditionModel, which weft does not "
         "know (UNet2DConditionModel or UNet2DModel)"},
        {"\"unet\": [\"diffusers\", \"UNet2DModel\"],"
         "\"vae\": [\"diffusers\", \"VQModel\"]",
         "component vae is a VQModel"},
        {"\"unet\": [\"diffusers\", \"UNet2DModel\"],"
         "\"tokenizer_2\": [\"transformers\", \"BertTokenizer\"]",
         "component tokenizer_2 is a BertTokenizer"},
        {"\"transformer\": [\"diffusers\", \"FluxTransformer2DModel\"]",
         "weft knows no component transformer (a FluxTransformer2DModel of a "
         "StableDiffusionPipeline): it samples with U-Nets, such as those of "
         "Stable Diffusion 1, 2 and XL"},
        {"\"unet\": [\"diffusers\", \"UNet2DModel\"],"
         "\"prior\": [\"diffusers\", \"PriorTransformer\"]",
         "weft knows no component prior (a PriorTransformer of a "
         "StableDiffusionPipeline): what it knows can be given one by one"},
        {"\"scheduler\": [\"diffusers\", \"DDIMScheduler\"]", "without a unet"},
    };

    (void)state;
    make_folders();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];

        snprintf(text, sizeof text,
                 "{\"_class_name\": \"StableDiffusionPipeline\", "
                 "\"safety_checker\": [\"x\", \"y\"], %s}",
                 bad[i][0]);
        put_index(text);
        refuse(folder, bad[i][1]);
    }
    remove_all();
}

/* ---- classes ------------------------------------------------------------- */

/* With what Stable Diffusion has: `class` is JSON. */
static void put_class(const char *class)
{
    char text[512];

    snprintf(text, sizeof text,
             "{\"_class_name\": %s, "
             "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"], "
             "\"vae\": [\"diffusers\", \"AutoencoderKL\"], "
             "\"text_encoder\": [\"transformers\", \"CLIPTextModel\"], "
             "\"tokenizer\": [\"transformers\", \"CLIPTokenizer\"], "
             "\"scheduler\": [\"diffusers\", \"DDIMScheduler\"]}",
             class);
    put_index(text);
}

/* Whatever components such a folder lists. */
static void refuses_classes_that_draw_otherwise(void **state)
{
    static const char *const bad[][2] = {
        {"FluxPipeline", "its net is a transformer"},
        {"Flux2Pipeline", "its net is a transformer"},
        {"StableDiffusion3Img2ImgPipeline", "its net is a transformer"},
        {"QwenImagePipeline", "its net is a transformer"},
        {"StableVideoDiffusionPipeline", "it makes videos"},
        {"AnimateDiffSDXLPipeline", "it makes videos"},
        {"AudioLDM2Pipeline", "it makes sounds"},
        {"StableDiffusionInstructPix2PixPipeline", "shown a picture"},
        {"StableDiffusionImageVariationPipeline", "told what a picture shows"},
        {"KandinskyV22Pipeline", "told what a picture shows"},
        {"StableDiffusionGLIGENPipeline", "layers beside the U-Net's"},
        {"IFPipeline", "another kind of encoder"},
        {"ConsistencyModelPipeline", "asked about noise in another way"},
    };
    char class[64], words[64];

    (void)state;
    make_folders();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(class, sizeof class, "\"%s\"", bad[i][0]);
        snprintf(words, sizeof words, "is a %s, which", bad[i][0]);
        put_class(class);
        refuse(folder, words);
        refuse(folder, bad[i][1]);
        refuse(folder, "given one by one, as models, text, vae and schedule");
    }
    remove_all();
}

static void is_strange(const char *class, const char *name, bool strange)
{
    weft_pipeline *p;

    put_class(class);
    if (weft_pipeline_open(folder, &p) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_string_equal(p->class_name, name);
    assert_int_equal(weft_pipeline_is_strange(p), strange);
    weft_pipeline_free(p);
}

static void takes_classes_of_others_own(void **state)
{
    (void)state;
    make_folders();
    is_strange("\"StableDiffusionPipeline\"", "StableDiffusionPipeline", false);
    is_strange("\"LatentConsistencyModelImg2ImgPipeline\"",
               "LatentConsistencyModelImg2ImgPipeline", false);
    is_strange("\"StableDiffusionPAGPipeline\"", "StableDiffusionPAGPipeline",
               true);
    is_strange("[\"mine\", \"MyPipeline\"]", "MyPipeline", true);
    is_strange("\"Fluxes\"", "Fluxes", true);
    is_strange("\"IFoundPipeline\"", "IFoundPipeline", true);
    remove_all();
}

/* What a pipeline has, its control net too, can be given by itself. */
static void says_how_control_nets_are_given(void **state)
{
    (void)state;
    make_folders();
    put_index("{\"_class_name\": \"StableDiffusionControlNetPipeline\", "
              "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"], "
              "\"controlnet\": [\"diffusers\", \"ControlNetModel\"]}");
    refuse(folder, "give it as models.NAME.controls (path: ");
    remove_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sdxl),
        cmocka_unit_test(reads_refiner),
        cmocka_unit_test(refuses_bad_json),
        cmocka_unit_test(refuses_a_crowd),
        cmocka_unit_test(opens_by_folder_or_index),
        cmocka_unit_test(chooses_variants),
        cmocka_unit_test(refuses_what_is_not_there),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(refuses_classes_that_draw_otherwise),
        cmocka_unit_test(takes_classes_of_others_own),
        cmocka_unit_test(says_how_control_nets_are_given),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
