/*
 * net.h - nets from diffusers' config.json.
 *
 * A builder reads the config, refuses by name whatever it does not support,
 * and returns a graph. The graph's weights carry the tensor names and shapes
 * that the model's safetensors must hold.
 */
#ifndef WEFT_CORE_NET_NET_H
#define WEFT_CORE_NET_NET_H

#include "core/model/json.h"
#include "core/net/graph.h"

typedef enum weft_net_kind {
    WEFT_NET_UNET2D,           /* UNet2DModel */
    WEFT_NET_VAE_TINY,         /* AutoencoderTiny */
    WEFT_NET_VAE_KL,           /* AutoencoderKL */
    WEFT_NET_UNET2D_CONDITION, /* UNet2DConditionModel */
    WEFT_NET_CONTROL,          /* ControlNetModel */
} weft_net_kind;

enum { WEFT_MAX_LATENT = 32 }; /* channels with a mean and deviation each */

/* A control net: a copy of the U-Net's way down, which looks at a picture too
 * and adds to what the way up is told (Zhang et al. 2023, section 3). What it
 * sees in the picture is a net of its own, WEFT_PART_SIGHT; how much of what it
 * adds is added is said in each evaluation (weft_run.follow). */
typedef struct weft_control {
    const weft_json *config; /* ControlNetModel's */
    weft_dtype wtype;        /* of its weights in their file */
} weft_control;

/* What the rest of weft must know of a net before it is built. */
typedef struct weft_net_info {
    weft_net_kind kind;
    const char *class_name;        /* as in config.json */
    int in_channels, out_channels; /* of the sample; VAE: of the picture */
    int stride;          /* U-Net, control net: height and width of the input
                            must be multiples; VAE: pixels per latent */
    int latent_channels; /* VAE */
    int labels;          /* number of class embeddings; 0: none */
    bool label_is_time;  /* class_embed_type "timestep": any number, needed */
    /* UNet2DConditionModel: channels of what is given of a text (graph.h), 0
     * where nothing is; GIVEN_ADDED is the pooled text, then id_channels of
     * weft_sinusoids (flip, freq_shift) for each of its sizes; GIVEN_GUIDE is
     * of weft_guide_sinusoids. */
    int text_channels, added, id_channels, guide;
    bool flip;
    float freq_shift;
    int tokens; /* how long a text the net is built for: 77, to be changed by
                   the caller before it is */
    /* Likewise: control nets that are built into the net, 0 to WEFT_HINTS. The
     * graph's hint[i] is what number i sees in its picture; its weights' names
     * begin with "control0." and so on. */
    const weft_control *control;
    int ncontrols;
    /* ControlNetModel, of its picture in [0, 1]: channels, pixels of either
     * side for one of the sample, and whether they are wanted as b, g, r. */
    int picture, per_latent;
    bool reversed;
    float scaling_factor, shift_factor; /* VAE */
    bool has_mean_std;                  /* VAE: instead of shift_factor */
    float latents_mean[WEFT_MAX_LATENT], latents_std[WEFT_MAX_LATENT];
    int sample_size; /* of the config, pixels of the net's own input; or 0 */
} weft_net_info;

/* A net that samples, of either class; else a VAE. */
static inline bool weft_net_is_unet(const weft_net_info *info)
{
    return info->kind == WEFT_NET_UNET2D ||
           info->kind == WEFT_NET_UNET2D_CONDITION;
}

/* Made for inpainting: reads beside the sample a mask, and as many channels of
 * what is known of the picture. */
static inline bool weft_net_paints(const weft_net_info *info)
{
    return info->kind == WEFT_NET_UNET2D_CONDITION &&
           info->in_channels == 2 * info->out_channels + 1;
}

/* `c`: the parsed config.json. Errors name file and key. Every option of the
 * config is read or refused here. */
weft_status weft_net_read_info(const weft_json *c, weft_net_info *info);

typedef enum weft_net_part {
    WEFT_PART_NET,    /* U-Net: prediction from sample; control net: what it
                         adds in the middle, built to see whether it is whole */
    WEFT_PART_DECODE, /* VAE: picture in [-1, 1], not clamped, from latents as
                         samplers know them: z / scaling_factor + shift_factor,
                         or z * std / scaling_factor + mean, comes first */
    WEFT_PART_ENCODE, /* VAE: latents of a picture in [-1, 1] as the net makes
                         them, no factor applied; AutoencoderKL: the means,
                         then as many channels of log-variances, not clamped */
    WEFT_PART_SIGHT,  /* control net: its picture's encoder, for hint[i] */
} weft_net_part;

/* Texts, up to NULL, that stand in the names of weights which the file of a net
 * has for other parts of it than this one. */
const char *const *weft_net_besides(const weft_net_info *info,
                                    weft_net_part part);

/* `cell`: rows and columns of the input that no cut divides, and its width: all
 * multiples of info.stride, except to decode, and of info.per_latent to see.
 * `wtype`: type of the weights in the file (weft_load_dtype; they stay what
 * they are, the device decides how to hold them). On failure there is no graph
 * to release. */
weft_status weft_net_build(const weft_json *c, const weft_net_info *info,
                           weft_net_part part, weft_cell cell, weft_dtype wtype,
                           weft_graph *g);

#endif
