/*
 * unet.h - what diffusers' two U-Nets have in common: a description, which
 * their configs fill in (unet2d.c, unet2d_condition.c), and the graph that is
 * built from it. Behind net.h.
 */
#ifndef WEFT_CORE_NET_UNET_H
#define WEFT_CORE_NET_UNET_H

#include "core/net/blocks.h"

typedef enum weft_unet_sight {
    WEFT_SIGHT_NONE,
    WEFT_SIGHT_SELF, /* attention of every pixel to the image */
    WEFT_SIGHT_TEXT, /* transformers: to the image, and to a text */
} weft_unet_sight;

/* A level on its way down, or up. */
typedef struct weft_unet_block {
    weft_unet_sight sight;
    bool resnet_sampling; /* size changes within a residual layer */
} weft_unet_block;

typedef enum weft_unet_label {
    WEFT_LABEL_NONE,
    WEFT_LABEL_TABLE,
    WEFT_LABEL_TIME, /* a number, embedded as the time is */
} weft_unet_label;

typedef struct weft_unet_middle {
    bool there, single;    /* single: one residual layer and nothing else */
    weft_unet_sight sight; /* of the attention between its two layers */
    int groups;            /* of SIGHT_SELF; 0: no norm */
    float scale;
} weft_unet_middle;

/* Arrays by level, from the top; `up` from the bottom, as configs have it. */
typedef struct weft_unet {
    int levels, channels[WEFT_MAX_LEVELS], layers[WEFT_MAX_LEVELS];
    weft_unet_block down[WEFT_MAX_LEVELS], up[WEFT_MAX_LEVELS];
    weft_unet_middle middle;
    int in, out, kernel_in, kernel_out;
    bool center, late_downsample;

    weft_act act, act_out, act_time; /* of blocks, the end, the time vector */
    int groups;
    float eps;
    bool scale_shift;

    bool fourier, flip;
    float freq_shift;
    int time_dim;
    weft_unet_label label;
    int labels;

    int head_dim; /* of SIGHT_SELF; 0: all channels are one head */

    /* Of SIGHT_TEXT. */
    int text, tokens; /* channels and length of the text; 0: none */
    int heads[WEFT_MAX_LEVELS];
    /* Blocks of the transformer behind each layer; `up` from the bottom. */
    int down_depth[WEFT_MAX_LEVELS][WEFT_MAX_LAYERS + 1];
    int up_depth[WEFT_MAX_LEVELS][WEFT_MAX_LAYERS + 1];
    int middle_depth;
    bool text_alone[WEFT_MAX_LEVELS]; /* not to the image; but in the middle */
    int added; /* channels of what else is given of it; 0: nothing */
    int ids;   /* ... and of each size in that */
    int guide; /* of how strongly to follow it */
} weft_unet;

/* ---- configs ------------------------------------------------------------- */

/* "FILE: KEY "VALUE" is not supported" */
weft_status weft_unet_refuse(const weft_json *c, const char *key,
                             const char *value);
/* `key` names one block for each level, or is missing: then `fallback`, if
 * there are four. */
weft_status weft_unet_block_names(const weft_json *c, const char *key,
                                  const char *const *fallback, int levels,
                                  const char **name);
/* Keys that both classes have, alike: channels in and out, centring,
 * downsample_padding, norms' groups and eps, resnet_time_scale_shift. */
weft_status weft_unet_read_common(const weft_json *c, int channels,
                                  weft_unet *u);
/* flip_sin_to_cos, freq_shift, and the time vector's channels. */
weft_status weft_unet_read_time(const weft_json *c, weft_unet *u);
/* num_class_embeds and class_embed_type. */
weft_status weft_unet_read_labels(const weft_json *c, weft_unet *u);
/* mid_block_scale_factor. */
weft_status weft_unet_read_middle_scale(const weft_json *c, weft_unet *u);
/* What all tell of themselves. */
weft_status weft_unet_tell(const weft_json *c, const weft_unet *u,
                           weft_net_info *info);

/* A UNet2DConditionModel's, or a ControlNetModel's, which has no way up and is
 * not told how strongly the text is followed. */
weft_status weft_unet_condition_read(const weft_json *c, bool control,
                                     weft_unet *u);

/* ---- graph --------------------------------------------------------------- */

/* A control net (net.h): its way down and middle, and its picture's encoder. */
typedef struct weft_unet_control {
    weft_unet unet;
    int levels, channels[WEFT_MAX_LEVELS]; /* of the encoder */
    int picture;                           /* channels, */
    bool reversed;                         /* from the last to the first */
    weft_dtype wtype;
} weft_unet_control;

weft_status weft_unet_control_read(const weft_json *c, weft_unet_control *to);

weft_status weft_unet_build(const weft_unet *u,
                            const weft_unet_control *control, int ncontrols,
                            weft_graph *g);
/* A control net by itself; the output is what it adds in the middle. */
weft_status weft_unet_build_control(const weft_unet_control *c, weft_graph *g);

#endif
