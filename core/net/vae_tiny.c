/*
 * AutoencoderTiny: plain convolutions in stages, no norms. Pictures are
 * [-1, 1] outside and [0, 1] inside; latents are squashed to (-3, 3) before
 * they are decoded.
 *
 * diffusers numbers all modules of a coder in one list, activations and
 * upsamplings included: "encoder.layers.7.conv.2.weight".
 */
#include "core/net/blocks.h"

#include <stdio.h>

#include "core/layer/layer.h"

typedef struct stages {
    int n, blocks[WEFT_MAX_LEVELS], channels;
} stages;

typedef struct tiny {
    int in, out, latent;
    weft_act act;
    stages encoder, decoder;
} tiny;

/* Every stage has the same number of channels, or the stages' convolutions
 * would not fit each other. */
static weft_status read_stages(const weft_json *c, const char *side,
                               const int *blocks, stages *s)
{
    static const int channels[] = {64, 64, 64, 64};
    int wide[WEFT_MAX_LEVELS], n = 4;
    char key[64];

    s->n = 4;
    snprintf(key, sizeof key, "%s_block_out_channels", side);
    WEFT_TRY(weft_config_levels(c, key, WEFT_MAX_CHANNELS, channels, wide, &n));
    for (int i = 1; i < n; i++)
        if (wide[i] != wide[0])
            return weft_fail(WEFT_EINPUT, "%s: %s are not all the same",
                             weft_json_name(c), key);
    s->channels = wide[0];
    snprintf(key, sizeof key, "num_%s_blocks", side);
    WEFT_TRY(
        weft_config_levels(c, key, WEFT_MAX_LAYERS, blocks, s->blocks, &s->n));
    if (s->n != n)
        return weft_fail(WEFT_EINPUT, "%s: %d %s for %d %s_block_out_channels",
                         weft_json_name(c), s->n, key, n, side);
    return WEFT_OK;
}

static weft_status read_upsampling(const weft_json *c)
{
    static const char *const how[] = {"nearest", NULL};
    int choice;

    WEFT_TRY(weft_json_choice(c, "upsample_fn", "nearest", how, &choice));
    return weft_json_int(c, "upsampling_scaling_factor", 2, 2, 2, &choice);
}

static weft_status read_tiny(const weft_json *c, tiny *t)
{
    static const char *const harmless[] = {"latent_magnitude", "latent_shift",
                                           "force_upcast", "block_out_channels",
                                           NULL};
    static const int down[] = {1, 3, 3, 3}, up[] = {3, 3, 3, 1};

    WEFT_TRY(weft_json_int(c, "in_channels", 3, 1, WEFT_MAX_CHANNELS, &t->in));
    WEFT_TRY(
        weft_json_int(c, "out_channels", 3, 1, WEFT_MAX_CHANNELS, &t->out));
    WEFT_TRY(weft_json_int(c, "latent_channels", 4, 1, WEFT_MAX_CHANNELS,
                           &t->latent));
    WEFT_TRY(weft_config_act(c, "act_fn", "relu", &t->act));
    WEFT_TRY(read_upsampling(c));
    WEFT_TRY(read_stages(c, "encoder", down, &t->encoder));
    WEFT_TRY(read_stages(c, "decoder", up, &t->decoder));
    return weft_json_refuse_rest(c, harmless);
}

weft_status weft_vae_tiny_info(const weft_json *c, weft_net_info *info)
{
    tiny t;

    WEFT_TRY(weft_config_latents(c, 1, info));
    WEFT_TRY(read_tiny(c, &t));
    if (t.encoder.n != t.decoder.n)
        return weft_fail(WEFT_EINPUT,
                         "%s: num_encoder_blocks and num_decoder_blocks are "
                         "for different sizes of the latents",
                         weft_json_name(c));
    info->in_channels = t.in;
    info->out_channels = t.out;
    info->latent_channels = t.latent;
    info->stride = 1 << (t.decoder.n - 1);
    return WEFT_OK;
}

/* ---- graph --------------------------------------------------------------- */

/* Convolution number i of a coder, or, part >= 0, of its block number i. */
static weft_val conv(weft_graph *g, int i, int part, weft_val in, int cout,
                     weft_conv_opts o)
{
    char name[WEFT_NAME];

    if (part < 0)
        snprintf(name, sizeof name, "layers.%d", i);
    else
        snprintf(name, sizeof name, "layers.%d.conv.%d", i, part);
    return weft_add_conv(g, name, in, cout, o);
}

static weft_val block(weft_graph *g, int i, weft_val in, int c, weft_act act)
{
    weft_conv_opts last = WEFT_CONV(.k = 3, .post = WEFT_RELU);
    weft_val h;

    last.res = in;
    h = conv(g, i, 0, in, c, WEFT_CONV(.k = 3, .act = act));
    h = conv(g, i, 2, h, c, WEFT_CONV(.k = 3, .act = act));
    return conv(g, i, 4, h, c, last);
}

static weft_val encode(weft_graph *g, const tiny *t)
{
    const stages *s = &t->encoder;
    weft_val h = weft_add_map(g, g->input, .5f, .5f, WEFT_LINEAR);
    int at = 0;

    for (int i = 0; i < s->n; i++) {
        h = conv(g, at++, -1, h, s->channels,
                 WEFT_CONV(.k = 3, .stride = i ? 2 : 1, .no_bias = i > 0));
        for (int k = 0; k < s->blocks[i]; k++)
            h = block(g, at++, h, s->channels, t->act);
    }
    return conv(g, at, -1, h, t->latent, WEFT_CONV(.k = 3));
}

static weft_val decode(weft_graph *g, const tiny *t, const weft_net_info *info)
{
    const stages *s = &t->decoder;
    weft_val h = weft_vae_unscale(g, info, WEFT_TANH3);
    int at = 2; /* the first convolution, its activation */

    h = conv(g, 0, -1, h, s->channels, WEFT_CONV(.k = 3, .act = t->act));
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->blocks[i]; k++)
            h = block(g, at++, h, s->channels, t->act);
        if (i == s->n - 1) break;
        h = conv(g, at + 1, -1, h, s->channels,
                 WEFT_CONV(.k = 3, .up = 2, .no_bias = true));
        at += 2;
    }
    h = conv(g, at, -1, h, t->out, WEFT_CONV(.k = 3));
    return weft_add_map(g, h, 2, -1, WEFT_LINEAR);
}

weft_status weft_vae_tiny_build(const weft_json *c, const weft_net_info *info,
                                weft_net_part part, weft_graph *g)
{
    const bool down = part == WEFT_PART_ENCODE;
    tiny t;

    WEFT_TRY(read_tiny(c, &t));
    snprintf(g->prefix, sizeof g->prefix, "%s.", down ? "encoder" : "decoder");
    return weft_graph_finish(g, down ? encode(g, &t) : decode(g, &t, info));
}
