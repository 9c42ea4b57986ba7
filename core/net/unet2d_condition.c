/*
 * UNet2DConditionModel: the U-Net of Stable Diffusion, which looks at a text
 * through the transformers of its levels.
 *
 * What the config calls attention_head_dim is the number of heads: a mistake of
 * the library's first version that every checkpoint has kept.
 */
#include <string.h>

#include "core/net/unet.h"

/* One number for all levels, or one for each. */
static weft_status read_each(const weft_json *c, const char *key, int fallback,
                             int min, int max, int levels, int *out)
{
    int n;

    WEFT_TRY(weft_json_ints(c, key, min, max, out, WEFT_MAX_LEVELS, &n));
    if (!n && !weft_json_has(c, key)) out[0] = fallback, n = 1;
    if (n != 1 && n != levels)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d values of %s for %d block_out_channels",
                         weft_json_name(c), n, key, levels);
    for (int i = n; i < levels; i++) out[i] = out[0];
    return WEFT_OK;
}

static weft_status read_kinds(const weft_json *c, const char *key,
                              const char *plain, const char *crossed,
                              const char *const *fallback, int levels,
                              weft_unet_block *kind)
{
    const char *name[WEFT_MAX_LEVELS];

    WEFT_TRY(weft_unet_block_names(c, key, fallback, levels, name));
    for (int i = 0; i < levels; i++) {
        const char *bare =
            strncmp(name[i], "UNetRes", 7) ? name[i] : name[i] + 7;

        kind[i] = (weft_unet_block){WEFT_SIGHT_NONE, false};
        if (!strcmp(bare, crossed))
            kind[i].sight = WEFT_SIGHT_TEXT;
        else if (strcmp(bare, plain))
            return weft_unet_refuse(c, key, name[i]);
    }
    return WEFT_OK;
}

static weft_status read_blocks(const weft_json *c, bool control, weft_unet *u)
{
    static const int channels[] = {320, 640, 1280, 1280};
    static const char *const down[] = {"CrossAttnDownBlock2D",
                                       "CrossAttnDownBlock2D",
                                       "CrossAttnDownBlock2D", "DownBlock2D"};
    static const char *const up[] = {"UpBlock2D", "CrossAttnUpBlock2D",
                                     "CrossAttnUpBlock2D",
                                     "CrossAttnUpBlock2D"};

    u->levels = 4;
    WEFT_TRY(weft_config_levels(c, "block_out_channels", WEFT_MAX_CHANNELS,
                                channels, u->channels, &u->levels));
    WEFT_TRY(read_kinds(c, "down_block_types", "DownBlock2D",
                        "CrossAttnDownBlock2D", down, u->levels, u->down));
    if (!control)
        WEFT_TRY(read_kinds(c, "up_block_types", "UpBlock2D",
                            "CrossAttnUpBlock2D", up, u->levels, u->up));
    return read_each(c, "layers_per_block", 2, 1, WEFT_MAX_LAYERS, u->levels,
                     u->layers);
}

static weft_status read_middle(const weft_json *c, weft_unet *u)
{
    static const char *const kinds[] = {"UNetMidBlock2DCrossAttn",
                                        "UNetMidBlock2D", NULL};
    int choice;

    u->middle.there = !weft_json_is_null(c, "mid_block_type");
    WEFT_TRY(weft_json_choice(c, "mid_block_type", kinds[0], kinds, &choice));
    u->middle.sight = choice ? WEFT_SIGHT_NONE : WEFT_SIGHT_TEXT;
    u->middle.single = choice == 1;
    return weft_unet_read_middle_scale(c, u);
}

static weft_status read_alone(const weft_json *c, weft_unet *u)
{
    int n;

    WEFT_TRY(weft_json_bools(c, "only_cross_attention", u->text_alone,
                             WEFT_MAX_LEVELS, &n));
    if (n > 1 && n != u->levels)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d values of only_cross_attention for %d "
                         "block_out_channels",
                         weft_json_name(c), n, u->levels);
    for (int i = 1; n == 1 && i < u->levels; i++)
        u->text_alone[i] = u->text_alone[0];
    return WEFT_OK;
}

/* The text has one width for all levels. */
static weft_status read_width(const weft_json *c, weft_unet *u)
{
    int width[WEFT_MAX_LEVELS];

    WEFT_TRY(read_each(c, "cross_attention_dim", 1280, 1, WEFT_MAX_CHANNELS,
                       u->levels, width));
    for (int i = 1; i < u->levels; i++)
        if (width[i] != width[0])
            return weft_fail(WEFT_EINPUT,
                             "%s: cross_attention_dim %d and %d: a text has "
                             "one width",
                             weft_json_name(c), width[0], width[i]);
    u->text = width[0];
    return WEFT_OK;
}

static weft_status check_heads(const weft_json *c, const weft_unet *u)
{
    for (int i = 0; i < u->levels; i++)
        if (u->heads[i] > u->channels[i])
            return weft_fail(WEFT_EINPUT,
                             "%s: attention_head_dim %d, which is the number "
                             "of heads, is more than %d channels",
                             weft_json_name(c), u->heads[i], u->channels[i]);
    return WEFT_OK;
}

/* One number for all levels, one for each, or one for each layer of a level:
 * `layers` of them, and `more`. */
static weft_status read_depth_rows(const weft_json *c, const char *key,
                                   const int *layers, int more, int levels,
                                   int (*out)[WEFT_MAX_LAYERS + 1],
                                   bool *nested)
{
    int length[WEFT_MAX_LEVELS], n;

    *nested = false;
    WEFT_TRY(weft_json_rows(c, key, 0, WEFT_MAX_LAYERS, WEFT_MAX_LAYERS + 1,
                            out[0], length, WEFT_MAX_LEVELS, &n));
    if (!n && !weft_json_has(c, key)) out[0][0] = 1, length[0] = 0, n = 1;
    if (n != 1 && n != levels)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d values of %s for %d block_out_channels",
                         weft_json_name(c), n, key, levels);
    for (int i = 0; i < levels; i++) {
        const int from = i < n ? i : 0, wanted = layers[i] + more;

        if (length[from]) *nested = true;
        if (length[from] && length[from] < wanted)
            return weft_fail(WEFT_EINPUT, "%s: %d values of %s for %d layers",
                             weft_json_name(c), length[from], key, wanted);
        for (int k = 0; k < wanted; k++)
            out[i][k] = out[from][length[from] ? k : 0];
    }
    return WEFT_OK;
}

/* Up blocks mirror the down blocks, unless they have a key of their own, which
 * nested values need. */
static weft_status read_depths(const weft_json *c, weft_unet *u)
{
    const char *key = "transformer_layers_per_block";
    const char *own = "reverse_transformer_layers_per_block";
    int layers[WEFT_MAX_LEVELS];
    bool nested, ignored;

    WEFT_TRY(read_depth_rows(c, key, u->layers, 0, u->levels, u->down_depth,
                             &nested));
    u->middle_depth = u->down_depth[u->levels - 1][0];
    for (int i = 0; i < u->levels; i++)
        layers[i] = u->layers[u->levels - 1 - i];
    if (weft_json_has(c, own))
        return read_depth_rows(c, own, layers, 1, u->levels, u->up_depth,
                               &ignored);
    if (nested)
        return weft_fail(WEFT_EINPUT, "%s: %s of single layers needs %s",
                         weft_json_name(c), key, own);
    for (int i = 0; i < u->levels; i++)
        for (int k = 0; k <= layers[i]; k++)
            u->up_depth[i][k] = u->down_depth[u->levels - 1 - i][0];
    return WEFT_OK;
}

static weft_status read_transformers(const weft_json *c, weft_unet *u)
{
    bool linear, upcast; /* the same numbers either way */

    if (weft_json_is_null(c, "attention_head_dim"))
        return weft_unet_refuse(c, "attention_head_dim", "null");
    WEFT_TRY(read_each(c, "attention_head_dim", 8, 1, WEFT_MAX_CHANNELS,
                       u->levels, u->heads));
    WEFT_TRY(check_heads(c, u));
    WEFT_TRY(read_depths(c, u));
    WEFT_TRY(weft_json_bool(c, "use_linear_projection", false, &linear));
    WEFT_TRY(weft_json_bool(c, "upcast_attention", false, &upcast));
    WEFT_TRY(read_alone(c, u));
    return read_width(c, u);
}

static weft_status read_kernel(const weft_json *c, const char *key, int *size)
{
    WEFT_TRY(weft_json_int(c, key, 3, 1, 3, size));
    return *size == 2 ? weft_unet_refuse(c, key, "2") : WEFT_OK;
}

/* Two angles at least, so that their frequencies have a ratio. */
static weft_status read_guide(const weft_json *c, weft_unet *u)
{
    return weft_json_int(c, "time_cond_proj_dim", 0, 4, WEFT_MAX_CHANNELS,
                         &u->guide);
}

/* What of the text, but for itself, joins the time. */
static weft_status read_added(const weft_json *c, weft_unet *u)
{
    static const char *const kinds[] = {"text_time", NULL};
    int choice;

    if (!weft_json_has(c, "addition_embed_type")) return WEFT_OK;
    WEFT_TRY(weft_json_choice(c, "addition_embed_type", "text_time", kinds,
                              &choice));
    WEFT_TRY(weft_json_int(c, "projection_class_embeddings_input_dim", 0, 1,
                           WEFT_MAX_CHANNELS, &u->added));
    WEFT_TRY(weft_json_int(c, "addition_time_embed_dim", 0, 1,
                           WEFT_MAX_CHANNELS, &u->ids));
    if (u->added && u->ids) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: addition_embed_type text_time needs "
                     "projection_class_embeddings_input_dim and "
                     "addition_time_embed_dim",
                     weft_json_name(c));
}

/* Options that are there to be what they are by default. */
static weft_status read_fixed(const weft_json *c)
{
    static const char *const attention[] = {"default", NULL};
    static const char *const time[] = {"positional", NULL};
    static const char *const off[] = {"dual_cross_attention",
                                      "class_embeddings_concat",
                                      "resnet_skip_time_act", NULL};
    double scale;
    int choice;
    bool on;

    WEFT_TRY(
        weft_json_choice(c, "attention_type", "default", attention, &choice));
    WEFT_TRY(weft_json_choice(c, "time_embedding_type", "positional", time,
                              &choice));
    for (int i = 0; off[i]; i++) {
        WEFT_TRY(weft_json_bool(c, off[i], false, &on));
        if (on) return weft_unet_refuse(c, off[i], "true");
    }
    WEFT_TRY(weft_json_double(c, "resnet_out_scale_factor", 1, &scale));
    if (scale == 1) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: resnet_out_scale_factor %g is not supported",
                     weft_json_name(c), scale);
}

weft_status weft_unet_condition_read(const weft_json *c, bool control,
                                     weft_unet *u)
{
    /* addition_embed_type_num_heads is for another addition_embed_type,
     * mid_block_only_cross_attention for another mid_block_type. */
    static const char *const harmless[] = {
        "dropout", "sample_size", "addition_embed_type_num_heads",
        "mid_block_only_cross_attention", NULL};

    *u = (weft_unet){0};
    WEFT_TRY(weft_unet_read_common(c, 4, u));
    WEFT_TRY(weft_config_act(c, "act_fn", "silu", &u->act));
    u->act_out = u->act_time = u->act;
    WEFT_TRY(read_kernel(c, "conv_in_kernel", &u->kernel_in));
    WEFT_TRY(read_kernel(c, "conv_out_kernel", &u->kernel_out));
    WEFT_TRY(read_blocks(c, control, u));
    WEFT_TRY(read_middle(c, u));
    WEFT_TRY(read_transformers(c, u));
    WEFT_TRY(weft_unet_read_time(c, u));
    WEFT_TRY(weft_unet_read_labels(c, u));
    if (!control) WEFT_TRY(read_guide(c, u));
    WEFT_TRY(read_added(c, u));
    WEFT_TRY(read_fixed(c));
    return weft_json_refuse_rest(c, harmless);
}

weft_status weft_unet_condition_info(const weft_json *c, weft_net_info *info)
{
    weft_unet u;

    WEFT_TRY(weft_unet_condition_read(c, false, &u));
    info->tokens = 77; /* as CLIP's */
    return weft_unet_tell(c, &u, info);
}

weft_status weft_unet_condition_build(const weft_json *c,
                                      const weft_net_info *info, weft_graph *g)
{
    weft_unet_control control[WEFT_HINTS];
    weft_unet u;

    WEFT_MUST(info->ncontrols <= WEFT_HINTS);
    WEFT_TRY(weft_unet_condition_read(c, false, &u));
    u.tokens = info->tokens;
    for (int i = 0; i < info->ncontrols; i++) {
        WEFT_TRY(weft_unet_control_read(info->control[i].config, &control[i]));
        control[i].unet.tokens = info->tokens;
        control[i].wtype = info->control[i].wtype;
    }
    return weft_unet_build(&u, control, info->ncontrols, g);
}
