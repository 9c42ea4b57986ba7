/* Reading what the configs of both U-Nets have in common. */
#include <math.h>
#include <string.h>

#include "core/net/unet.h"

weft_status weft_unet_refuse(const weft_json *c, const char *key,
                             const char *value)
{
    return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported",
                     weft_json_name(c), key, value);
}

weft_status weft_unet_block_names(const weft_json *c, const char *key,
                                  const char *const *fallback, int levels,
                                  const char **name)
{
    int n;

    WEFT_TRY(weft_json_strings(c, key, name, WEFT_MAX_LEVELS, &n));
    if (!n) {
        n = 4;
        memcpy(name, fallback, 4 * sizeof *name);
    }
    if (n == levels) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: %d %s for %d block_out_channels",
                     weft_json_name(c), n, key, levels);
}

static weft_status read_norms(const weft_json *c, weft_unet *u)
{
    static const char *const how[] = {"default", "scale_shift", NULL};
    int choice;

    if (weft_json_is_null(c, "norm_num_groups"))
        return weft_unet_refuse(c, "norm_num_groups", "null");
    WEFT_TRY(weft_json_int(c, "norm_num_groups", 32, 1, WEFT_MAX_CHANNELS,
                           &u->groups));
    WEFT_TRY(weft_json_choice(c, "resnet_time_scale_shift", "default", how,
                              &choice));
    u->scale_shift = choice == 1;
    return weft_config_eps(c, "norm_eps", 1e-5, &u->eps);
}

weft_status weft_unet_read_common(const weft_json *c, int channels,
                                  weft_unet *u)
{
    int padding;

    WEFT_TRY(weft_json_int(c, "in_channels", channels, 1, WEFT_MAX_CHANNELS,
                           &u->in));
    WEFT_TRY(weft_json_int(c, "out_channels", channels, 1, WEFT_MAX_CHANNELS,
                           &u->out));
    WEFT_TRY(weft_json_bool(c, "center_input_sample", false, &u->center));
    WEFT_TRY(weft_json_int(c, "downsample_padding", 1, 0, 1, &padding));
    u->late_downsample = padding == 0;
    return read_norms(c, u);
}

weft_status weft_unet_read_time(const weft_json *c, weft_unet *u)
{
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

weft_status weft_unet_read_labels(const weft_json *c, weft_unet *u)
{
    static const char *const kinds[] = {"timestep", NULL};
    int choice;

    WEFT_TRY(weft_json_int(c, "num_class_embeds", 0, 1, 1 << 24, &u->labels));
    WEFT_TRY(
        weft_json_choice(c, "class_embed_type", "timestep", kinds, &choice));
    if (weft_json_has(c, "class_embed_type")) {
        u->label = WEFT_LABEL_TIME;
        u->labels = 0; /* diffusers ignores the number */
    } else {
        u->label = u->labels ? WEFT_LABEL_TABLE : WEFT_LABEL_NONE;
    }
    return WEFT_OK;
}

weft_status weft_unet_read_middle_scale(const weft_json *c, weft_unet *u)
{
    float factor;

    WEFT_TRY(weft_config_float(c, "mid_block_scale_factor", 1, &factor));
    u->middle.scale = 1 / factor;
    if (isnormal(factor) && isnormal(u->middle.scale)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: mid_block_scale_factor is %g",
                     weft_json_name(c), (double)factor);
}

weft_status weft_unet_tell(const weft_json *c, const weft_unet *u,
                           weft_net_info *info)
{
    WEFT_TRY(weft_config_sample_size(c, info));
    info->in_channels = u->in;
    info->out_channels = u->out;
    info->stride = 1 << (u->levels - 1);
    info->labels = u->labels;
    info->label_is_time = u->label == WEFT_LABEL_TIME;
    info->text_channels = u->text;
    info->added = u->added;
    info->id_channels = u->ids;
    info->guide = u->guide;
    info->flip = u->flip;
    info->freq_shift = u->freq_shift;
    return WEFT_OK;
}
