/*
 * AutoencoderKL: residual blocks without a time vector, attention in the
 * middle. The encoder makes means and log-variances of the latents.
 */
#include "core/net/blocks.h"

#include <stdio.h>
#include <string.h>

#include "core/layer/layer.h"

typedef struct kl {
    int levels, channels[WEFT_MAX_LEVELS];
    int in, out, latent, layers, groups;
    weft_act act;
    bool quant, post_quant, attention;
} kl;

static const float eps = 1e-6f; /* diffusers has no option for it */

/* ---- config -------------------------------------------------------------- */

static weft_status check_kinds(const weft_json *c, const char *key,
                               const char *only, int levels)
{
    const char *kind[WEFT_MAX_LEVELS] = {only};
    int n;

    WEFT_TRY(weft_json_strings(c, key, kind, WEFT_MAX_LEVELS, &n));
    if ((n ? n : 1) != levels)
        return weft_fail(WEFT_EINPUT, "%s: %d %s for %d block_out_channels",
                         weft_json_name(c), n ? n : 1, key, levels);
    for (int i = 0; i < n; i++)
        if (strcmp(kind[i], only))
            return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported",
                             weft_json_name(c), key, kind[i]);
    return WEFT_OK;
}

static weft_status read_blocks(const weft_json *c, kl *k)
{
    static const int channels[] = {64};

    k->levels = 1;
    WEFT_TRY(weft_config_levels(c, "block_out_channels", WEFT_MAX_CHANNELS,
                                channels, k->channels, &k->levels));
    WEFT_TRY(
        check_kinds(c, "down_block_types", "DownEncoderBlock2D", k->levels));
    WEFT_TRY(check_kinds(c, "up_block_types", "UpDecoderBlock2D", k->levels));
    WEFT_TRY(weft_json_int(c, "layers_per_block", 1, 1, WEFT_MAX_LAYERS,
                           &k->layers));
    WEFT_TRY(weft_json_int(c, "norm_num_groups", 32, 1, WEFT_MAX_CHANNELS,
                           &k->groups));
    WEFT_TRY(weft_config_act(c, "act_fn", "silu", &k->act));
    return weft_json_bool(c, "mid_block_add_attention", true, &k->attention);
}

static weft_status read_kl(const weft_json *c, kl *k)
{
    static const char *const harmless[] = {"force_upcast", "sample_size", NULL};

    WEFT_TRY(weft_json_int(c, "in_channels", 3, 1, WEFT_MAX_CHANNELS, &k->in));
    WEFT_TRY(
        weft_json_int(c, "out_channels", 3, 1, WEFT_MAX_CHANNELS, &k->out));
    WEFT_TRY(weft_json_int(c, "latent_channels", 4, 1, WEFT_MAX_CHANNELS,
                           &k->latent));
    WEFT_TRY(weft_json_bool(c, "use_quant_conv", true, &k->quant));
    WEFT_TRY(weft_json_bool(c, "use_post_quant_conv", true, &k->post_quant));
    WEFT_TRY(read_blocks(c, k));
    return weft_json_refuse_rest(c, harmless);
}

static weft_status read_moments(const weft_json *c, const char *key,
                                const weft_net_info *info, float *out, int *n)
{
    double value[WEFT_MAX_LATENT];

    WEFT_TRY(weft_json_doubles(c, key, value, WEFT_MAX_LATENT, n));
    if (*n && *n != info->latent_channels)
        return weft_fail(WEFT_EINPUT,
                         "%s: %s has %d numbers for %d latent channels",
                         weft_json_name(c), key, *n, info->latent_channels);
    for (int i = 0; i < *n; i++) out[i] = (float)value[i];
    return WEFT_OK;
}

static weft_status read_latents(const weft_json *c, weft_net_info *info)
{
    int means, stds;

    WEFT_TRY(weft_config_latents(c, 0.18215, info));
    WEFT_TRY(read_moments(c, "latents_mean", info, info->latents_mean, &means));
    WEFT_TRY(read_moments(c, "latents_std", info, info->latents_std, &stds));
    if (means != stds)
        return weft_fail(WEFT_EINPUT, "%s: latents_%s without latents_%s",
                         weft_json_name(c), means ? "mean" : "std",
                         means ? "std" : "mean");
    if (means && info->shift_factor != 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: shift_factor beside latents_mean is not "
                         "supported",
                         weft_json_name(c));
    info->has_mean_std = means > 0;
    return WEFT_OK;
}

weft_status weft_vae_kl_info(const weft_json *c, weft_net_info *info)
{
    kl k;

    WEFT_TRY(weft_json_int(c, "latent_channels", 4, 1, WEFT_MAX_CHANNELS,
                           &info->latent_channels));
    WEFT_TRY(read_latents(c, info));
    WEFT_TRY(read_kl(c, &k));
    WEFT_TRY(weft_config_sample_size(c, info));
    info->in_channels = k.in;
    info->out_channels = k.out;
    info->stride = 1 << (k.levels - 1);
    return WEFT_OK;
}

/* ---- graph --------------------------------------------------------------- */

weft_val weft_vae_unscale(weft_graph *g, const weft_net_info *info,
                          weft_act act)
{
    float mul[WEFT_MAX_LATENT];

    if (!info->has_mean_std)
        return weft_add_map(g, g->input, 1 / info->scaling_factor,
                            info->shift_factor, act);
    for (int i = 0; i < info->latent_channels; i++)
        mul[i] = info->latents_std[i] / info->scaling_factor;
    return weft_add_affine(g, g->input, mul, info->latents_mean, act);
}

static weft_val block(weft_graph *g, const weft_block_style *s,
                      const char *kind, int level, int layers, weft_val h,
                      int c)
{
    char name[WEFT_NAME];

    for (int i = 0; i < layers; i++) {
        snprintf(name, sizeof name, "%s_blocks.%d.resnets.%d", kind, level, i);
        h = weft_block_resnet(g, s, name, h, WEFT_NONE, c, WEFT_KEEP, 1);
    }
    return h;
}

static weft_val down(weft_graph *g, const kl *k, const weft_block_style *s,
                     weft_val h)
{
    char name[WEFT_NAME];

    for (int i = 0; i < k->levels; i++) {
        h = block(g, s, "down", i, k->layers, h, k->channels[i]);
        if (i == k->levels - 1) break;
        snprintf(name, sizeof name, "down_blocks.%d.downsamplers.0.conv", i);
        h = weft_block_downsample(g, name, h, true);
    }
    return h;
}

static weft_val up(weft_graph *g, const kl *k, const weft_block_style *s,
                   weft_val h)
{
    char name[WEFT_NAME];

    for (int i = 0; i < k->levels; i++) {
        h = block(g, s, "up", i, k->layers + 1, h,
                  k->channels[k->levels - 1 - i]);
        if (i == k->levels - 1) break;
        snprintf(name, sizeof name, "up_blocks.%d.upsamplers.0.conv", i);
        h = weft_block_upsample(g, name, h);
    }
    return h;
}

static weft_val finish(weft_graph *g, const kl *k, weft_val h, int cout)
{
    h = weft_block_norm(g, "conv_norm_out", h, WEFT_NONE, k->groups, eps,
                        WEFT_NONE, WEFT_SILU);
    return weft_add_conv(g, "conv_out", h, cout, WEFT_CONV(.k = 3));
}

static weft_val encode(weft_graph *g, const kl *k, const weft_block_style *s,
                       const weft_block_mid *middle)
{
    weft_val h;

    snprintf(g->prefix, sizeof g->prefix, "encoder.");
    h = weft_add_conv(g, "conv_in", g->input, k->channels[0],
                      WEFT_CONV(.k = 3));
    h = down(g, k, s, h);
    h = weft_block_middle(g, s, middle, h);
    h = finish(g, k, h, 2 * k->latent);
    g->prefix[0] = 0;
    if (!k->quant) return h;
    return weft_add_conv(g, "quant_conv", h, 2 * k->latent, WEFT_CONV(.k = 1));
}

static weft_val decode(weft_graph *g, const kl *k, const weft_block_style *s,
                       const weft_block_mid *middle, const weft_net_info *info)
{
    weft_val h = weft_vae_unscale(g, info, WEFT_LINEAR);

    if (k->post_quant)
        h = weft_add_conv(g, "post_quant_conv", h, k->latent,
                          WEFT_CONV(.k = 1));
    snprintf(g->prefix, sizeof g->prefix, "decoder.");
    h = weft_add_conv(g, "conv_in", h, k->channels[k->levels - 1],
                      WEFT_CONV(.k = 3));
    h = weft_block_middle(g, s, middle, h);
    h = up(g, k, s, h);
    return finish(g, k, h, k->out);
}

weft_status weft_vae_kl_build(const weft_json *c, const weft_net_info *info,
                              weft_net_part part, weft_graph *g)
{
    kl k;
    weft_block_style style = {.eps = eps, .time = WEFT_NONE};
    weft_block_mid middle = {.scale = 1};

    WEFT_TRY(read_kl(c, &k));
    style.act = k.act;
    style.groups = middle.groups = k.groups;
    middle.attention = k.attention;
    return weft_graph_finish(g, part == WEFT_PART_ENCODE
                                    ? encode(g, &k, &style, &middle)
                                    : decode(g, &k, &style, &middle, info));
}
