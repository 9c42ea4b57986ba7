/* UNet2DModel: a U-Net that knows a time, perhaps a label, and no text. */
#include <string.h>

#include "core/net/unet.h"

static weft_status read_kind(const weft_json *c, const char *key,
                             const char *name, bool resnet,
                             weft_unet_block *kind)
{
    const bool up = !strcmp(key, "up_block_types");
    const char *plain = up ? "UpBlock2D" : "DownBlock2D";
    const char *attention = up ? "AttnUpBlock2D" : "AttnDownBlock2D";
    const char *sampled =
        up ? "ResnetUpsampleBlock2D" : "ResnetDownsampleBlock2D";
    const char *bare = strncmp(name, "UNetRes", 7) ? name : name + 7;

    if (!strcmp(bare, plain))
        *kind = (weft_unet_block){WEFT_SIGHT_NONE, false};
    else if (!strcmp(bare, attention))
        *kind = (weft_unet_block){WEFT_SIGHT_SELF, resnet};
    else if (!strcmp(bare, sampled))
        *kind = (weft_unet_block){WEFT_SIGHT_NONE, true};
    else
        return weft_unet_refuse(c, key, name);
    return WEFT_OK;
}

/* `sampling`: the key that says how blocks with attention change size. */
static weft_status read_kinds(const weft_json *c, const char *key,
                              const char *sampling, const char *const *fallback,
                              int levels, weft_unet_block *kind)
{
    static const char *const how[] = {"conv", "resnet", NULL};
    const char *name[WEFT_MAX_LEVELS];
    int resnet;

    WEFT_TRY(weft_json_choice(c, sampling, "conv", how, &resnet));
    WEFT_TRY(weft_unet_block_names(c, key, fallback, levels, name));
    for (int i = 0; i < levels; i++)
        WEFT_TRY(read_kind(c, key, name[i], resnet, &kind[i]));
    return WEFT_OK;
}

static weft_status read_blocks(const weft_json *c, weft_unet *u)
{
    static const int channels[] = {224, 448, 672, 896};
    static const char *const down[] = {"DownBlock2D", "AttnDownBlock2D",
                                       "AttnDownBlock2D", "AttnDownBlock2D"};
    static const char *const up[] = {"AttnUpBlock2D", "AttnUpBlock2D",
                                     "AttnUpBlock2D", "UpBlock2D"};
    int layers;

    u->levels = 4;
    WEFT_TRY(weft_config_levels(c, "block_out_channels", WEFT_MAX_CHANNELS,
                                channels, u->channels, &u->levels));
    WEFT_TRY(read_kinds(c, "down_block_types", "downsample_type", down,
                        u->levels, u->down));
    WEFT_TRY(
        read_kinds(c, "up_block_types", "upsample_type", up, u->levels, u->up));
    WEFT_TRY(
        weft_json_int(c, "layers_per_block", 2, 1, WEFT_MAX_LAYERS, &layers));
    for (int i = 0; i < u->levels; i++) u->layers[i] = layers;
    return WEFT_OK;
}

static weft_status read_middle(const weft_json *c, weft_unet *u)
{
    static const char *const kinds[] = {"UNetMidBlock2D", NULL};
    bool attention;
    int choice;

    u->middle.there = !weft_json_is_null(c, "mid_block_type");
    WEFT_TRY(weft_json_choice(c, "mid_block_type", kinds[0], kinds, &choice));
    WEFT_TRY(weft_json_bool(c, "add_attention", true, &attention));
    u->middle.sight = attention ? WEFT_SIGHT_SELF : WEFT_SIGHT_NONE;
    WEFT_TRY(weft_json_int(c, "attn_norm_num_groups",
                           u->scale_shift ? 0 : u->groups, 1, WEFT_MAX_CHANNELS,
                           &u->middle.groups));
    WEFT_TRY(weft_unet_read_middle_scale(c, u));
    if (weft_json_is_null(c, "attention_head_dim")) {
        u->head_dim = 0;
        return WEFT_OK;
    }
    return weft_json_int(c, "attention_head_dim", 8, 1, WEFT_MAX_CHANNELS,
                         &u->head_dim);
}

static weft_status read_time(const weft_json *c, weft_unet *u)
{
    static const char *const kinds[] = {"positional", "fourier", NULL};
    int choice;

    WEFT_TRY(weft_json_choice(c, "time_embedding_type", "positional", kinds,
                              &choice));
    u->fourier = choice == 1;
    return weft_unet_read_time(c, u);
}

static weft_status read_unet(const weft_json *c, weft_unet *u)
{
    static const char *const harmless[] = {"dropout", "num_train_timesteps",
                                           "sample_size", NULL};

    *u = (weft_unet){.kernel_in = 3,
                     .kernel_out = 3,
                     .act_out = WEFT_SILU,
                     .act_time = WEFT_SILU};
    WEFT_TRY(weft_unet_read_common(c, 3, u));
    WEFT_TRY(weft_config_act(c, "act_fn", "silu", &u->act));
    WEFT_TRY(read_blocks(c, u));
    WEFT_TRY(read_middle(c, u));
    WEFT_TRY(read_time(c, u));
    WEFT_TRY(weft_unet_read_labels(c, u));
    return weft_json_refuse_rest(c, harmless);
}

weft_status weft_unet2d_info(const weft_json *c, weft_net_info *info)
{
    weft_unet u;

    WEFT_TRY(read_unet(c, &u));
    return weft_unet_tell(c, &u, info);
}

weft_status weft_unet2d_build(const weft_json *c, weft_graph *g)
{
    weft_unet u;

    WEFT_TRY(read_unet(c, &u));
    return weft_unet_build(&u, NULL, 0, g);
}
