/*
 * ControlNetModel: the config of a U-Net's way down, with an encoder of a
 * picture before it and a 1x1 convolution behind every layer.
 */
#include <string.h>

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

weft_status weft_unet_control_read(const weft_control *c, weft_unet_control *to)
{
    bool reversed;
    int ids;

    WEFT_MUST(c->scale != 0);
    WEFT_TRY(read_class(c->config));
    WEFT_TRY(read_encoder(c->config, to));
    WEFT_TRY(read_order(c->config, &reversed));
    WEFT_TRY(refuse_pooling(c->config));
    WEFT_TRY(weft_unet_condition_read(c->config, true, &to->unet, &ids));
    to->scale = c->scale;
    return WEFT_OK;
}

weft_status weft_control_read_info(const weft_json *c, weft_control_info *info)
{
    const weft_control control = {c, 1};
    weft_unet_control read;

    WEFT_TRY(weft_unet_control_read(&control, &read));
    info->channels = read.picture;
    info->per_latent = 1 << (read.levels - 1);
    return read_order(c, &info->reversed);
}
