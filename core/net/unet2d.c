/*
 * UNet2DModel: down through blocks of residual layers, each with attention or
 * without; a middle block; up again, every layer seeing what the layer of the
 * same place on the way down made. Those skips are read where they lie, as
 * second inputs, and never copied side by side.
 */
#include "core/net/blocks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/layer/layer.h"

typedef struct block_kind {
    bool attention, resnet_sampling;
} block_kind;

enum { LABEL_NONE, LABEL_TABLE, LABEL_TIME };

typedef struct unet {
    int levels, channels[WEFT_MAX_LEVELS];
    block_kind down[WEFT_MAX_LEVELS], up[WEFT_MAX_LEVELS];
    int in, out, layers;
    weft_act act;
    int groups;
    int attention_groups; /* of the middle block's attention; 0: no norm */
    int head_dim;         /* 0: all channels */
    float eps;
    bool center, fourier, flip, scale_shift, late_downsample;
    float freq_shift;
    int time_dim;
    int label_kind, labels;
    bool middle, middle_attention;
    float middle_scale;
} unet;

/* ---- config -------------------------------------------------------------- */

static weft_status refuse(const weft_json *c, const char *key,
                          const char *value)
{
    return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported",
                     weft_json_name(c), key, value);
}

static weft_status read_kind(const weft_json *c, const char *key,
                             const char *name, bool resnet, block_kind *kind)
{
    const bool up = !strcmp(key, "up_block_types");
    const char *plain = up ? "UpBlock2D" : "DownBlock2D";
    const char *attention = up ? "AttnUpBlock2D" : "AttnDownBlock2D";
    const char *sampled =
        up ? "ResnetUpsampleBlock2D" : "ResnetDownsampleBlock2D";
    const char *bare = strncmp(name, "UNetRes", 7) ? name : name + 7;

    if (!strcmp(bare, plain))
        *kind = (block_kind){false, false};
    else if (!strcmp(bare, attention))
        *kind = (block_kind){true, resnet};
    else if (!strcmp(bare, sampled))
        *kind = (block_kind){false, true};
    else
        return refuse(c, key, name);
    return WEFT_OK;
}

/* `sampling`: the key that says how blocks with attention change size. */
static weft_status read_kinds(const weft_json *c, const char *key,
                              const char *sampling, const char *const *fallback,
                              int levels, block_kind *kind)
{
    static const char *const how[] = {"conv", "resnet", NULL};
    const char *name[WEFT_MAX_LEVELS];
    int n, resnet;

    WEFT_TRY(weft_json_choice(c, sampling, "conv", how, &resnet));
    WEFT_TRY(weft_json_strings(c, key, name, WEFT_MAX_LEVELS, &n));
    if (!n) {
        n = 4;
        memcpy(name, fallback, 4 * sizeof *name);
    }
    if (n != levels)
        return weft_fail(WEFT_EINPUT, "%s: %d %s for %d block_out_channels",
                         weft_json_name(c), n, key, levels);
    for (int i = 0; i < n; i++)
        WEFT_TRY(read_kind(c, key, name[i], resnet, &kind[i]));
    return WEFT_OK;
}

static weft_status read_blocks(const weft_json *c, unet *u)
{
    static const int channels[] = {224, 448, 672, 896};
    static const char *const down[] = {"DownBlock2D", "AttnDownBlock2D",
                                       "AttnDownBlock2D", "AttnDownBlock2D"};
    static const char *const up[] = {"AttnUpBlock2D", "AttnUpBlock2D",
                                     "AttnUpBlock2D", "UpBlock2D"};
    int padding;

    u->levels = 4;
    WEFT_TRY(weft_config_levels(c, "block_out_channels", WEFT_MAX_CHANNELS,
                                channels, u->channels, &u->levels));
    WEFT_TRY(read_kinds(c, "down_block_types", "downsample_type", down,
                        u->levels, u->down));
    WEFT_TRY(
        read_kinds(c, "up_block_types", "upsample_type", up, u->levels, u->up));
    WEFT_TRY(weft_json_int(c, "layers_per_block", 2, 1, WEFT_MAX_LAYERS,
                           &u->layers));
    WEFT_TRY(weft_json_int(c, "downsample_padding", 1, 0, 1, &padding));
    u->late_downsample = padding == 0;
    return WEFT_OK;
}

static weft_status read_norms(const weft_json *c, unet *u)
{
    static const char *const how[] = {"default", "scale_shift", NULL};
    int choice;

    if (weft_json_is_null(c, "norm_num_groups"))
        return refuse(c, "norm_num_groups", "null");
    WEFT_TRY(weft_json_int(c, "norm_num_groups", 32, 1, WEFT_MAX_CHANNELS,
                           &u->groups));
    WEFT_TRY(weft_json_choice(c, "resnet_time_scale_shift", "default", how,
                              &choice));
    u->scale_shift = choice == 1;
    WEFT_TRY(weft_json_int(c, "attn_norm_num_groups",
                           u->scale_shift ? 0 : u->groups, 1, WEFT_MAX_CHANNELS,
                           &u->attention_groups));
    return weft_config_float(c, "norm_eps", 1e-5, &u->eps);
}

static weft_status read_middle(const weft_json *c, unet *u)
{
    static const char *const kinds[] = {"UNetMidBlock2D", NULL};
    float factor;
    int choice;

    u->middle = !weft_json_is_null(c, "mid_block_type");
    WEFT_TRY(weft_json_choice(c, "mid_block_type", kinds[0], kinds, &choice));
    WEFT_TRY(weft_json_bool(c, "add_attention", true, &u->middle_attention));
    WEFT_TRY(weft_config_float(c, "mid_block_scale_factor", 1, &factor));
    u->middle_scale = 1 / factor;
    if (!isnormal(factor) || !isnormal(u->middle_scale))
        return weft_fail(WEFT_EINPUT, "%s: mid_block_scale_factor is %g",
                         weft_json_name(c), (double)factor);
    if (weft_json_is_null(c, "attention_head_dim")) {
        u->head_dim = 0;
        return WEFT_OK;
    }
    return weft_json_int(c, "attention_head_dim", 8, 1, WEFT_MAX_CHANNELS,
                         &u->head_dim);
}

static weft_status read_time(const weft_json *c, unet *u)
{
    static const char *const kinds[] = {"positional", "fourier", NULL};
    int choice;

    WEFT_TRY(weft_json_choice(c, "time_embedding_type", "positional", kinds,
                              &choice));
    u->fourier = choice == 1;
    WEFT_TRY(weft_json_bool(c, "flip_sin_to_cos", true, &u->flip));
    WEFT_TRY(weft_config_float(c, "freq_shift", 0, &u->freq_shift));
    if (!u->fourier && u->channels[0] / 2 - u->freq_shift <= 0)
        return weft_fail(
            WEFT_EINPUT, "%s: freq_shift %g leaves no frequencies of %d",
            weft_json_name(c), (double)u->freq_shift, u->channels[0] / 2);
    WEFT_TRY(weft_json_int(c, "time_embedding_dim", 0, 0, 4 * WEFT_MAX_CHANNELS,
                           &u->time_dim));
    if (!u->time_dim) u->time_dim = 4 * u->channels[0];
    return WEFT_OK;
}

static weft_status read_labels(const weft_json *c, unet *u)
{
    static const char *const kinds[] = {"timestep", NULL};
    int choice;

    WEFT_TRY(weft_json_int(c, "num_class_embeds", 0, 1, 1 << 24, &u->labels));
    WEFT_TRY(
        weft_json_choice(c, "class_embed_type", "timestep", kinds, &choice));
    if (weft_json_has(c, "class_embed_type")) {
        u->label_kind = LABEL_TIME;
        u->labels = 0; /* diffusers ignores the number */
    } else {
        u->label_kind = u->labels ? LABEL_TABLE : LABEL_NONE;
    }
    return WEFT_OK;
}

static weft_status read_unet(const weft_json *c, unet *u)
{
    static const char *const harmless[] = {"dropout", "num_train_timesteps",
                                           "sample_size", NULL};

    WEFT_TRY(weft_json_int(c, "in_channels", 3, 1, WEFT_MAX_CHANNELS, &u->in));
    WEFT_TRY(
        weft_json_int(c, "out_channels", 3, 1, WEFT_MAX_CHANNELS, &u->out));
    WEFT_TRY(weft_json_bool(c, "center_input_sample", false, &u->center));
    WEFT_TRY(weft_config_act(c, "act_fn", "silu", &u->act));
    WEFT_TRY(read_blocks(c, u));
    WEFT_TRY(read_norms(c, u));
    WEFT_TRY(read_middle(c, u));
    WEFT_TRY(read_time(c, u));
    WEFT_TRY(read_labels(c, u));
    return weft_json_refuse_rest(c, harmless);
}

weft_status weft_unet2d_info(const weft_json *c, weft_net_info *info)
{
    unet u;

    WEFT_TRY(read_unet(c, &u));
    WEFT_TRY(weft_config_sample_size(c, info));
    info->in_channels = u.in;
    info->out_channels = u.out;
    info->stride = 1 << (u.levels - 1);
    info->labels = u.labels;
    info->label_is_time = u.label_kind == LABEL_TIME;
    return WEFT_OK;
}

/* ---- graph --------------------------------------------------------------- */

/* A block under construction. */
typedef struct builder {
    weft_graph *g;
    const unet *u;
    weft_block_style style;
    weft_val skip[WEFT_MAX_LEVELS * (WEFT_MAX_LAYERS + 1) + 1];
    int nskips;
} builder;

static weft_val embedding(weft_graph *g, const char *module, weft_val v,
                          int dim, weft_act act)
{
    char name[WEFT_NAME];

    snprintf(name, sizeof name, "%s.linear_1", module);
    v = weft_add_linear(g, name, v, dim, WEFT_SILU);
    snprintf(name, sizeof name, "%s.linear_2", module);
    return weft_add_linear(g, name, v, dim, act);
}

static weft_val waves(weft_graph *g, const unet *u, weft_embed_of of)
{
    if (u->fourier)
        return weft_add_fourier(g, "time_proj", of, 2 * u->channels[0], false,
                                true);
    return weft_add_sinusoid(g, of, u->channels[0], u->flip, u->freq_shift);
}

/* The time vector, with the label's added; after the activation with which
 * every block begins to read it. */
static weft_val embed(weft_graph *g, const unet *u)
{
    const weft_act act = u->label_kind == LABEL_NONE ? u->act : WEFT_LINEAR;
    weft_val time, label;

    time = embedding(g, "time_embedding", waves(g, u, WEFT_EMBED_TIME),
                     u->time_dim, act);
    if (u->label_kind == LABEL_NONE) return time;
    if (u->label_kind == LABEL_TABLE)
        label = weft_add_lookup(g, "class_embedding", u->labels, u->time_dim);
    else
        label = embedding(g, "class_embedding", waves(g, u, WEFT_EMBED_LABEL),
                          u->time_dim, WEFT_LINEAR);
    return weft_add_map(g, weft_add_sum(g, time, label), 1, 0, u->act);
}

/* Layer i of a block: a resnet, perhaps with attention behind it. */
static weft_val layer(builder *b, const char *block, int i, block_kind kind,
                      weft_val in, weft_val skip, int cout)
{
    char name[WEFT_NAME];
    weft_val h;

    snprintf(name, sizeof name, "%s.resnets.%d", block, i);
    h = weft_block_resnet(b->g, &b->style, name, in, skip, cout, WEFT_KEEP, 1);
    if (!kind.attention) return h;
    snprintf(name, sizeof name, "%s.attentions.%d", block, i);
    return weft_block_attention(b->g, &b->style, name, h, b->u->groups,
                                b->u->head_dim, 1);
}

static weft_val down_block(builder *b, int level, weft_val h)
{
    const block_kind kind = b->u->down[level];
    char block[32], name[WEFT_NAME];

    snprintf(block, sizeof block, "down_blocks.%d", level);
    for (int i = 0; i < b->u->layers; i++) {
        h = layer(b, block, i, kind, h, WEFT_NONE, b->u->channels[level]);
        b->skip[b->nskips++] = h;
    }
    if (level == b->u->levels - 1) return h;
    snprintf(name, sizeof name, "%s.downsamplers.0%s", block,
             kind.resnet_sampling ? "" : ".conv");
    if (kind.resnet_sampling)
        h = weft_block_resnet(b->g, &b->style, name, h, WEFT_NONE,
                              b->u->channels[level], WEFT_DOWN, 1);
    else
        h = weft_block_downsample(b->g, name, h, b->u->late_downsample);
    b->skip[b->nskips++] = h;
    return h;
}

static weft_val up_block(builder *b, int i, weft_val h)
{
    const block_kind kind = b->u->up[i];
    const int c = b->u->channels[b->u->levels - 1 - i];
    char block[32], name[WEFT_NAME];

    snprintf(block, sizeof block, "up_blocks.%d", i);
    for (int k = 0; k <= b->u->layers; k++)
        h = layer(b, block, k, kind, h, b->skip[--b->nskips], c);
    if (i == b->u->levels - 1) return h;
    snprintf(name, sizeof name, "%s.upsamplers.0%s", block,
             kind.resnet_sampling ? "" : ".conv");
    if (kind.resnet_sampling)
        return weft_block_resnet(b->g, &b->style, name, h, WEFT_NONE, c,
                                 WEFT_UP, 1);
    return weft_block_upsample(b->g, name, h);
}

static weft_val body(builder *b, weft_val h)
{
    const unet *u = b->u;
    const weft_block_mid middle = {u->middle_attention, u->attention_groups,
                                   u->head_dim, u->middle_scale};

    b->skip[b->nskips++] = h;
    for (int i = 0; i < u->levels; i++) h = down_block(b, i, h);
    if (u->middle) h = weft_block_middle(b->g, &b->style, &middle, h);
    for (int i = 0; i < u->levels; i++) h = up_block(b, i, h);
    return h;
}

weft_status weft_unet2d_build(const weft_json *c, weft_graph *g)
{
    unet u;
    builder b = {.g = g, .u = &u};
    weft_val h = g->input;

    WEFT_TRY(read_unet(c, &u));
    b.style = (weft_block_style){
        .act = u.act,
        .groups = u.groups,
        .eps = u.eps,
        .time = embed(g, &u),
        .scale_shift = u.scale_shift,
    };
    if (u.center) h = weft_add_map(g, h, 2, -1, WEFT_LINEAR);
    h = weft_add_conv(g, "conv_in", h, u.channels[0], WEFT_CONV(.k = 3));
    h = body(&b, h);
    h = weft_block_norm(g, "conv_norm_out", h, WEFT_NONE, u.groups, u.eps,
                        WEFT_NONE, WEFT_SILU);
    h = weft_add_conv(g, "conv_out", h, u.out, WEFT_CONV(.k = 3));
    if (u.fourier) h = weft_add_over_time(g, h);
    return weft_graph_finish(g, h);
}
