/* Nets against diffusers, and configs that must be refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden.h"

enum { MOST = 64, LEAST = 14 };

static const double limit = 1e-5; /* but 2e-5 for the deeper nets of texts */

/* ---- goldens ------------------------------------------------------------- */

static double distance_of(const golden *g, const weft_device *dev)
{
    float *out = golden_run(g, dev, 1, 2);
    const double off =
        golden_distance(out, g->output->data, g->output->bytes / sizeof *out);

    free(out);
    return off;
}

static void compare_all(const char *device_name)
{
    char name[MOST][64];
    const int n = golden_names(name, MOST);
    int bad = 0;

    assert_true(n >= LEAST);
    for (int i = 0; i < n; i++) {
        golden g;
        double off;

        golden_open(&g, name[i]);
        off = distance_of(&g, golden_device(device_name));
        if (!(off <= (g.info.text_channels ? 2 * limit : limit))) {
            print_error("%s on %s: relative rms %.2e\n", name[i], device_name,
                        off);
            bad++;
        }
        golden_close(&g);
    }
    assert_int_equal(bad, 0);
}

#ifndef __SANITIZE_THREAD__ /* the threads are the same on every device */
static void equals_diffusers_on_reference(void **state)
{
    (void)state;
    compare_all("reference");
}
#endif

static void equals_diffusers_on_fast(void **state)
{
    (void)state;
    compare_all("fast");
}

static void equals_diffusers_on_lean(void **state)
{
    (void)state;
    compare_all("lean");
}

/* The same bytes from several patches as from one. */
static void does_not_depend_on_the_cut(void **state)
{
    static const struct {
        const char *name;
        int most;
    } cut_nets[] = {{"unet_labels", 3},
                    {"unet_ddpm", 3},
                    {"unet_attention_resnet", 3},
                    {"kl_encode", 3},
                    {"kl_mean_std", 3},
                    {"tiny_decode", 3},
                    {"cond_sd15", 5},
                    {"cond_sdxl", 5},
                    {"cond_lcm", 5},
                    {"cond_distilled", 2},
                    {"control_sd15", 5},
                    {"control_two", 5}};

    (void)state;
    for (size_t i = 0; i < sizeof cut_nets / sizeof *cut_nets; i++) {
        float *whole, *cut;
        golden g;

        golden_open(&g, cut_nets[i].name);
        whole = golden_run(&g, golden_device("fast"), 1, 1);
        for (int patches = 2; patches <= cut_nets[i].most; patches++) {
            cut = golden_run(&g, golden_device("fast"), patches, 1);
            if (memcmp(whole, cut, g.output->bytes))
                fail_msg("%s in %d patches differs", cut_nets[i].name, patches);
            free(cut);
        }
        free(whole);
        golden_close(&g);
    }
}

/* ---- configs ------------------------------------------------------------- */

/* Reads and builds; on failure the text is in weft_fail_text(). */
static weft_status try_config(const char *text, weft_net_part part)
{
    weft_net_info info;
    weft_json *c;
    weft_graph g;
    weft_status st;

    assert_int_equal(weft_json_parse("net.json", text, strlen(text), &c),
                     WEFT_OK);
    st = weft_net_read_info(c, &info);
    if (st == WEFT_OK)
        st = weft_net_build(c, &info, part, (weft_cell){64, 64, 64}, WEFT_F32,
                            &g);
    if (st == WEFT_OK) weft_graph_release(&g);
    weft_json_free(c);
    return st;
}

static void refused(const char *class, const char *options, weft_net_part part,
                    const char *const *words)
{
    char text[2048];

    snprintf(text, sizeof text, "{\"_class_name\": \"%s\"%s%s}", class,
             *options ? ", " : "", options);
    assert_int_equal(try_config(text, part), WEFT_EINPUT);
    if (!strstr(weft_fail_text(), "net.json"))
        fail_msg("no file in: %s", weft_fail_text());
    for (; *words; words++)
        if (!strstr(weft_fail_text(), *words))
            fail_msg("no %s in: %s", *words, weft_fail_text());
}

#define REFUSED(class, part, options, ...)                                     \
    refused(class, options, part, (const char *const[]){__VA_ARGS__, NULL})
#define UNET(options, ...)                                                     \
    REFUSED("UNet2DModel", WEFT_PART_NET, options, __VA_ARGS__)
#define COND(options, ...)                                                     \
    REFUSED("UNet2DConditionModel", WEFT_PART_NET, options, __VA_ARGS__)
#define TINY(options, ...)                                                     \
    REFUSED("AutoencoderTiny", WEFT_PART_DECODE, options, __VA_ARGS__)
#define KL(options, ...)                                                       \
    REFUSED("AutoencoderKL", WEFT_PART_DECODE, options, __VA_ARGS__)

static void names_what_it_does_not_support(void **state)
{
    (void)state;
    UNET("\"time_embedding_type\": \"learned\"", "time_embedding_type",
         "learned");
    UNET("\"class_embed_type\": \"identity\"", "class_embed_type", "identity");
    UNET("\"down_block_types\": [\"SkipDownBlock2D\", \"DownBlock2D\", "
         "\"DownBlock2D\", \"DownBlock2D\"]",
         "down_block_types", "SkipDownBlock2D");
    UNET("\"up_block_types\": [\"UpBlock2D\", \"KUpBlock2D\", \"UpBlock2D\", "
         "\"UpBlock2D\"]",
         "up_block_types", "KUpBlock2D");
    UNET("\"mid_block_type\": \"UNetMidBlock2DCrossAttn\"", "mid_block_type",
         "UNetMidBlock2DCrossAttn");
    UNET("\"resnet_time_scale_shift\": \"ada_group\"",
         "resnet_time_scale_shift", "ada_group");
    UNET("\"downsample_padding\": 2", "downsample_padding");
    UNET("\"downsample_type\": \"pool\"", "downsample_type", "pool");
    UNET("\"act_fn\": \"tanh\"", "act_fn", "tanh");
    UNET("\"norm_num_groups\": null", "norm_num_groups", "null");
    UNET("\"norm_eps\": -1e-6", "norm_eps", "below 0");
    UNET("\"encoder_hid_dim\": 768", "encoder_hid_dim");
    COND("\"dual_cross_attention\": true", "dual_cross_attention");
    COND("\"num_attention_heads\": 8", "num_attention_heads");
    COND("\"mid_block_type\": \"UNetMidBlock2DSimpleCrossAttn\"",
         "mid_block_type", "Simple");
    COND("\"down_block_types\": [\"SimpleCrossAttnDownBlock2D\", "
         "\"DownBlock2D\", \"DownBlock2D\", \"DownBlock2D\"]",
         "down_block_types", "SimpleCrossAttnDownBlock2D");
    COND("\"class_embed_type\": \"projection\"", "class_embed_type",
         "projection");
    COND("\"addition_embed_type\": \"image\"", "addition_embed_type", "image");
    COND("\"addition_embed_type\": \"text_time\"", "addition_time_embed_dim");
    COND("\"encoder_hid_dim\": 768", "encoder_hid_dim");
    COND("\"encoder_hid_dim_type\": \"text_proj\"", "encoder_hid_dim_type");
    COND("\"attention_type\": \"gated\"", "attention_type", "gated");
    COND("\"time_embedding_type\": \"fourier\"", "time_embedding_type");
    COND("\"time_embedding_act_fn\": \"silu\"", "time_embedding_act_fn");
    COND("\"timestep_post_act\": \"silu\"", "timestep_post_act");
    COND("\"cross_attention_norm\": \"group_norm\"", "cross_attention_norm");
    COND("\"class_embeddings_concat\": true", "class_embeddings_concat");
    COND("\"resnet_skip_time_act\": true", "resnet_skip_time_act");
    COND("\"resnet_out_scale_factor\": 1.4", "resnet_out_scale_factor");
    COND("\"conv_in_kernel\": 2", "conv_in_kernel");
    COND("\"conv_out_kernel\": 5", "conv_out_kernel");
    COND("\"attention_head_dim\": null", "attention_head_dim");
    COND("\"transformer_layers_per_block\": [[1, 2], [1], [1], [1]]",
         "transformer_layers_per_block");
    COND("\"reverse_transformer_layers_per_block\": [1, 2]",
         "2 values of reverse_transformer_layers_per_block");
    COND("\"transformer_layers_per_block\": [1, 1, [2], 1], "
         "\"reverse_transformer_layers_per_block\": 1",
         "1 values of transformer_layers_per_block for 2 layers");
    COND("\"transformer_layers_per_block\": [1, [], 1, 1]", "a row of 0");
    TINY("\"upsample_fn\": \"bilinear\"", "upsample_fn", "bilinear");
    TINY("\"upsampling_scaling_factor\": 3", "upsampling_scaling_factor");
    TINY("\"latents_mean\": [0, 0, 0, 0]", "latents_mean");
    TINY("\"decoder_block_out_channels\": [32, 64, 64, 64]",
         "decoder_block_out_channels");
    KL("\"down_block_types\": [\"AttnDownEncoderBlock2D\"]", "down_block_types",
       "AttnDownEncoderBlock2D");
    KL("\"latents_std\": [1, 1, 1, 1]", "latents_mean");
    KL("\"spatial\": true", "spatial");
}

/* A control net with these options, beside a U-Net of two levels. */
static void control_refused(const char *options, const char *words)
{
    static const char unet[] =
        "{\"_class_name\": \"UNet2DConditionModel\", "
        "\"block_out_channels\": [8, 16], \"norm_num_groups\": 4, "
        "\"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\"], "
        "\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"], "
        "\"layers_per_block\": [2, 3], \"attention_head_dim\": 4}";
    weft_json *c, *k;
    weft_net_info info;
    weft_graph g;

    assert_int_equal(weft_json_parse("unet.json", unet, strlen(unet), &c),
                     WEFT_OK);
    assert_int_equal(
        weft_json_parse("control.json", options, strlen(options), &k), WEFT_OK);
    assert_int_equal(weft_net_read_info(c, &info), WEFT_OK);
    info.control = &(weft_control){k, WEFT_F32};
    info.ncontrols = 1;
    assert_int_equal(weft_net_build(c, &info, WEFT_PART_NET,
                                    (weft_cell){4, 4, 8}, WEFT_F32, &g),
                     WEFT_EINPUT);
    if (!strstr(weft_fail_text(), words))
        fail_msg("no \"%s\" in: %s", words, weft_fail_text());
    weft_json_free(k);
    weft_json_free(c);
}

#define CONTROL                                                                \
    "{\"_class_name\": \"ControlNetModel\", \"norm_num_groups\": 4, "          \
    "\"attention_head_dim\": 4, "
#define TWO "\"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\"], "

static void refuses_control_nets(void **state)
{
    (void)state;
    control_refused("{\"_class_name\": \"T2IAdapter\"}", "\"T2IAdapter\"");
    control_refused(CONTROL "\"global_pool_conditions\": true}",
                    "global_pool_conditions");
    control_refused(
        CONTROL "\"controlnet_conditioning_channel_order\": \"grb\"}", "grb");
    control_refused(CONTROL "\"encoder_hid_dim\": 3}", "encoder_hid_dim");
    control_refused(CONTROL TWO "\"block_out_channels\": [8, 16], "
                                "\"layers_per_block\": [2, 3], "
                                "\"time_cond_proj_dim\": 8}",
                    "time_cond_proj_dim");
    control_refused(CONTROL TWO "\"block_out_channels\": [8, 24]}",
                    "control0.the sum of 16 channels");
    control_refused(CONTROL TWO
                    "\"block_out_channels\": [8, 16], \"in_channels\": 9}",
                    "control0.has 9 channels in, the U-Net 4");
    control_refused(CONTROL TWO "\"block_out_channels\": [8, 16], "
                                "\"cross_attention_dim\": 768}",
                    "77 x 768");
    control_refused(CONTROL TWO "\"block_out_channels\": [8, 16], "
                                "\"layers_per_block\": 1}",
                    "the sum of 8 channels of 8 columns and of 8 of 4");
    control_refused(CONTROL TWO "\"block_out_channels\": [8, 16]}",
                    "control0.has 6 layers on its way down, the U-Net 7");
    control_refused(CONTROL TWO "\"block_out_channels\": [8, 16], "
                                "\"layers_per_block\": 3}",
                    "the sum of 8 channels");
    control_refused(CONTROL "\"down_block_types\": [\"DownBlock2D\", "
                            "\"DownBlock2D\", \"DownBlock2D\"], "
                            "\"block_out_channels\": [8, 16, 16]}",
                    "the sum of 16 channels of 4 columns and of 16 of 2");
}

static void refuses_absurd_sizes(void **state)
{
    (void)state;
    UNET("\"in_channels\": 0", "in_channels");
    UNET("\"block_out_channels\": [32, 64, 128, 4000000]",
         "block_out_channels");
    UNET("\"block_out_channels\": []", "block_out_channels");
    UNET("\"block_out_channels\": [32, 64]", "down_block_types");
    UNET("\"layers_per_block\": 1000000000", "layers_per_block");
    UNET("\"block_out_channels\": [32, 64, 80, 96]", "80 channels", "32");
    UNET("\"attention_head_dim\": 1000", "attention_head_dim", "1000");
    UNET("\"mid_block_scale_factor\": 0", "mid_block_scale_factor");
    UNET("\"mid_block_scale_factor\": 1e300", "mid_block_scale_factor");
    UNET("\"freq_shift\": 112", "freq_shift");
    COND("\"attention_head_dim\": [5, 10, 20]", "attention_head_dim");
    COND("\"attention_head_dim\": 1000", "attention_head_dim", "1000");
    COND("\"cross_attention_dim\": [768, 768, 768, 1024]",
         "cross_attention_dim", "1024");
    COND("\"only_cross_attention\": [true, false]", "only_cross_attention");
    COND("\"transformer_layers_per_block\": 100000",
         "transformer_layers_per_block");
    COND("\"layers_per_block\": [2, 2]", "layers_per_block");
    TINY("\"num_decoder_blocks\": [3, 3, 3, 100000]", "num_decoder_blocks");
    TINY("\"num_encoder_blocks\": [1, 1], \"encoder_block_out_channels\": "
         "[64, 64]",
         "num_encoder_blocks");
    KL("\"scaling_factor\": 0", "scaling_factor");
    KL("\"latents_mean\": [1, 2], \"latents_std\": [1, 2]", "latents_mean",
       "4 latent channels");
    KL("\"block_out_channels\": [64, 64, 64, 64, 64, 64, 64, 64, 64]",
       "block_out_channels");
}

static void refuses_sizes_between_the_strides(void **state)
{
    static const char text[] = "{\"_class_name\": \"UNet2DModel\"}";
    weft_net_info info;
    weft_graph g;
    weft_json *c;

    (void)state;
    assert_int_equal(weft_json_parse("net.json", text, strlen(text), &c),
                     WEFT_OK);
    assert_int_equal(weft_net_read_info(c, &info), WEFT_OK);
    assert_int_equal(info.stride, 8);
    assert_int_equal(weft_net_build(c, &info, WEFT_PART_NET,
                                    (weft_cell){8, 8, 60}, WEFT_F32, &g),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "multiples of 8"));
    assert_int_equal(weft_net_build(c, &info, WEFT_PART_NET,
                                    (weft_cell){12, 8, 64}, WEFT_F32, &g),
                     WEFT_EINPUT);
    assert_int_equal(weft_net_build(c, &info, WEFT_PART_NET,
                                    (weft_cell){8, 8, 1 << 24}, WEFT_F32, &g),
                     WEFT_EINPUT);
    weft_json_free(c);
}

static void tells_what_the_rest_must_know(void **state)
{
    golden g;

    (void)state;
    golden_open(&g, "unet_labels");
    assert_int_equal(g.info.kind, WEFT_NET_UNET2D);
    assert_int_equal(g.info.in_channels, 4);
    assert_int_equal(g.info.stride, 4);
    assert_int_equal(g.info.labels, 11);
    assert_int_equal(g.wtype, WEFT_F16);
    golden_close(&g);
    golden_open(&g, "unet_class_time");
    assert_int_equal(g.info.labels, 0);
    assert_true(g.info.label_is_time);
    golden_close(&g);
    golden_open(&g, "kl_shift");
    assert_int_equal(g.info.kind, WEFT_NET_VAE_KL);
    assert_int_equal(g.info.latent_channels, 16);
    assert_int_equal(g.info.stride, 4);
    assert_true(g.info.shift_factor == .1159f);
    assert_int_equal(g.wtype, WEFT_BF16);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(equals_diffusers_on_reference),
#endif
        cmocka_unit_test(equals_diffusers_on_fast),
        cmocka_unit_test(equals_diffusers_on_lean),
        cmocka_unit_test(does_not_depend_on_the_cut),
        cmocka_unit_test(names_what_it_does_not_support),
        cmocka_unit_test(refuses_control_nets),
        cmocka_unit_test(refuses_absurd_sizes),
        cmocka_unit_test(refuses_sizes_between_the_strides),
        cmocka_unit_test(tells_what_the_rest_must_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
