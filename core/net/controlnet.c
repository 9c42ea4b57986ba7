/*
 * ControlNetModel: the config of a U-Net's way down, with an encoder of a
 * picture before it and a 1x1 convolution behind every layer.
 */
#include <stdio.h>
#include <string.h>

#include "core/layer/layer.h"
#include "core/net/unet.h"

static weft_status read_class(const weft_json *c)
{
    const char *name;

    WEFT_TRY(weft_json_string(c, "_class_name", "", &name));
    if (!strcmp(name, "ControlNetModel")) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: a control net is a ControlNetModel; _class_name "
                     "\"%.64s\" is not supported",
                     weft_json_name(c), name);
}

static weft_status read_encoder(const weft_json *c, weft_unet_control *to)
{
    static const int channels[] = {16, 32, 96, 256};

    to->levels = 4;
    WEFT_TRY(weft_config_levels(c, "conditioning_embedding_out_channels",
                                WEFT_MAX_CHANNELS, channels, to->channels,
                                &to->levels));
    return weft_json_int(c, "conditioning_channels", 3, 1, WEFT_MAX_CHANNELS,
                         &to->picture);
}

static weft_status read_order(const weft_json *c, bool *reversed)
{
    static const char *const orders[] = {"rgb", "bgr", NULL};
    int choice;

    WEFT_TRY(weft_json_choice(c, "controlnet_conditioning_channel_order", "rgb",
                              orders, &choice));
    *reversed = choice == 1;
    return WEFT_OK;
}

static weft_status refuse_pooling(const weft_json *c)
{
    bool pools;

    WEFT_TRY(weft_json_bool(c, "global_pool_conditions", false, &pools));
    return pools ? weft_unet_refuse(c, "global_pool_conditions", "true")
                 : WEFT_OK;
}

weft_status weft_unet_control_read(const weft_json *c, weft_unet_control *to)
{
    WEFT_TRY(read_class(c));
    WEFT_TRY(read_encoder(c, to));
    WEFT_TRY(read_order(c, &to->reversed));
    WEFT_TRY(refuse_pooling(c));
    return weft_unet_condition_read(c, true, &to->unet);
}

weft_status weft_unet_control_info(const weft_json *c, weft_net_info *info)
{
    weft_unet_control read;

    WEFT_TRY(weft_unet_control_read(c, &read));
    info->picture = read.picture;
    info->per_latent = 1 << (read.levels - 1);
    info->reversed = read.reversed;
    return weft_unet_tell(c, &read.unet, info);
}

/* What is seen in the picture, as large as the sample: it is halved from level
 * to level of its encoder. */
static weft_val look(weft_graph *g, const weft_unet_control *c)
{
    char name[WEFT_NAME];
    weft_val v;

    v = weft_add_conv(g, "controlnet_cond_embedding.conv_in", g->input,
                      c->channels[0], WEFT_CONV(.k = 3, .act = WEFT_SILU));
    for (int i = 0; i < 2 * (c->levels - 1); i++) {
        snprintf(name, sizeof name, "controlnet_cond_embedding.blocks.%d", i);
        v = weft_add_conv(g, name, v, c->channels[(i + 1) / 2],
                          WEFT_CONV(.k = 3, .act = WEFT_SILU,
                                    .stride = 1 + i % 2, .pad_given = true,
                                    .pad_top = 1, .pad_left = 1));
    }
    return weft_add_conv(g, "controlnet_cond_embedding.conv_out", v,
                         c->unet.channels[0], WEFT_CONV(.k = 3));
}

weft_status weft_unet_control_build(const weft_json *c, weft_net_part part,
                                    weft_graph *g)
{
    weft_unet_control read;

    WEFT_TRY(weft_unet_control_read(c, &read));
    if (part == WEFT_PART_SIGHT) return weft_graph_finish(g, look(g, &read));
    read.unet.tokens = 1; /* nobody reads */
    return weft_unet_build_control(&read, g);
}
