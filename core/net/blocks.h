/*
 * blocks.h - what the nets of this folder share: diffusers' residual,
 * attention and middle blocks, and the parts of their configs.
 *
 * A block's weights are named after it: NAME.norm1.weight and so on. Failures
 * stick to the graph, as with the layers.
 */
#ifndef WEFT_CORE_NET_BLOCKS_H
#define WEFT_CORE_NET_BLOCKS_H

#include "core/model/json.h"
#include "core/net/graph.h"
#include "core/net/net.h"

enum {
    WEFT_MAX_LEVELS = 8,
    WEFT_MAX_CHANNELS = 65536,
    WEFT_MAX_LAYERS = 64, /* of one level */
    WEFT_NAME = 128,      /* bytes of a module's name */
};

/* What all blocks of a net have in common. */
typedef struct weft_block_style {
    weft_act act;
    int groups;
    float eps;
    weft_val time;    /* vector, after the activation; NONE in a VAE */
    bool scale_shift; /* how the vector enters; else it is added */
} weft_block_style;

typedef enum weft_resampling { WEFT_KEEP, WEFT_UP, WEFT_DOWN } weft_resampling;

/* Number of channels of a value, 0 once the graph has failed. */
int weft_block_channels(const weft_graph *g, weft_val v);

/* Group norm whose channels the groups must divide. */
weft_val weft_block_norm(weft_graph *g, const char *name, weft_val in,
                         weft_val in2, int groups, float eps,
                         weft_val scale_shift, weft_act act);

/* ResnetBlock2D: in (and in2 beside it, along channels) to cout channels; the
 * result is multiplied by `scale`. */
weft_val weft_block_resnet(weft_graph *g, const weft_block_style *s,
                           const char *name, weft_val in, weft_val in2,
                           int cout, weft_resampling how, float scale);

/* Attention with its norm (groups 0: none) and residual. Heads are
 * channels / head_dim, rounded down; head_dim 0: one head of all channels. */
weft_val weft_block_attention(weft_graph *g, const weft_block_style *s,
                              const char *name, weft_val in, int groups,
                              int head_dim, float scale);

/* UNetMidBlock2D, its modules called mid_block.*. */
typedef struct weft_block_mid {
    bool attention;
    int groups, head_dim; /* of the attention, as above */
    float scale;
} weft_block_mid;
weft_val weft_block_middle(weft_graph *g, const weft_block_style *s,
                           const weft_block_mid *m, weft_val in);

/* Transformer2DModel on an image of any number of channels. */
typedef struct weft_block_text {
    weft_val text; /* [n][tokens][..] */
    int groups;
    int heads, depth; /* depth: transformer blocks */
    bool text_alone;  /* blocks look at the text twice, not at the image */
} weft_block_text;
weft_val weft_block_transformer(weft_graph *g, const char *module, weft_val in,
                                const weft_block_text *t);

/* A 3x3 convolution of stride 2, padded by one on every side, or, `late`, only
 * below and to the right. */
weft_val weft_block_downsample(weft_graph *g, const char *name, weft_val in,
                               bool late);
/* Nearest upsampling and a 3x3 convolution. */
weft_val weft_block_upsample(weft_graph *g, const char *name, weft_val in);

/* ---- configs ------------------------------------------------------------- */

/* "silu", "swish", "relu", "gelu", "mish", in any case. */
weft_status weft_config_act(const weft_json *c, const char *key,
                            const char *fallback, weft_act *act);
/* One of `names` (NULL-terminated): its index. Others are refused by name. */
weft_status weft_json_choice(const weft_json *c, const char *key,
                             const char *fallback, const char *const *names,
                             int *index);
/* Channels of 1 .. WEFT_MAX_LEVELS levels; missing: `n` of `fallback`. */
weft_status weft_config_levels(const weft_json *c, const char *key, int max,
                               const int *fallback, int *out, int *n);
weft_status weft_config_float(const weft_json *c, const char *key,
                              double fallback, float *out);
/* What is added to a variance: not below 0. */
weft_status weft_config_eps(const weft_json *c, const char *key,
                            double fallback, float *out);
/* info->sample_size from a number or a pair. */
weft_status weft_config_sample_size(const weft_json *c, weft_net_info *info);
/* info->scaling_factor and shift_factor of a VAE. */
weft_status weft_config_latents(const weft_json *c, double scaling,
                                weft_net_info *info);

/* ---- the nets, behind net.h ---------------------------------------------- */

weft_status weft_unet2d_info(const weft_json *c, weft_net_info *info);
weft_status weft_unet2d_build(const weft_json *c, weft_graph *g);
weft_status weft_unet_condition_info(const weft_json *c, weft_net_info *info);
weft_status weft_unet_control_info(const weft_json *c, weft_net_info *info);
weft_status weft_unet_control_build(const weft_json *c, weft_net_part part,
                                    weft_graph *g);
weft_status weft_unet_condition_build(const weft_json *c,
                                      const weft_net_info *info, weft_graph *g);
weft_status weft_vae_tiny_info(const weft_json *c, weft_net_info *info);
weft_status weft_vae_tiny_build(const weft_json *c, const weft_net_info *info,
                                weft_net_part part, weft_graph *g);
weft_status weft_vae_kl_info(const weft_json *c, weft_net_info *info);
weft_status weft_vae_kl_build(const weft_json *c, const weft_net_info *info,
                              weft_net_part part, weft_graph *g);
/* The input of a decoder: z / scaling + shift, then `act`. */
weft_val weft_vae_unscale(weft_graph *g, const weft_net_info *info,
                          weft_act act);

#endif
