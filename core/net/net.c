#include "core/net/net.h"

#include <string.h>

#include "core/net/blocks.h"

/* So that no level's rows or columns overflow an int. */
enum { MOST = 1 << 20 };

weft_status weft_net_read_info(const weft_json *c, weft_net_info *info)
{
    static const char *const known[] = {
        "UNet2DModel",          "AutoencoderTiny", "AutoencoderKL",
        "UNet2DConditionModel", "ControlNetModel", NULL};
    weft_net_info made = {0};
    int kind;

    if (!weft_json_has(c, "_class_name"))
        return weft_fail(WEFT_EINPUT, "%s: has no _class_name",
                         weft_json_name(c));
    WEFT_TRY(weft_json_choice(c, "_class_name", "", known, &kind));
    made.kind = (weft_net_kind)kind;
    made.class_name = known[kind];
    if (made.kind == WEFT_NET_UNET2D)
        WEFT_TRY(weft_unet2d_info(c, &made));
    else if (made.kind == WEFT_NET_VAE_TINY)
        WEFT_TRY(weft_vae_tiny_info(c, &made));
    else if (made.kind == WEFT_NET_VAE_KL)
        WEFT_TRY(weft_vae_kl_info(c, &made));
    else if (made.kind == WEFT_NET_UNET2D_CONDITION)
        WEFT_TRY(weft_unet_condition_info(c, &made));
    else
        WEFT_TRY(weft_unet_control_info(c, &made));
    *info = made;
    return WEFT_OK;
}

/* What the net's input must be a multiple of, in rows and columns. */
static int stride_of(const weft_net_info *info, weft_net_part part)
{
    return part == WEFT_PART_DECODE  ? 1
           : part == WEFT_PART_SIGHT ? info->per_latent
                                     : info->stride;
}

static int input_channels(const weft_net_info *info, weft_net_part part)
{
    return part == WEFT_PART_DECODE  ? info->latent_channels
           : part == WEFT_PART_SIGHT ? info->picture
                                     : info->in_channels;
}

static weft_status build(const weft_json *c, const weft_net_info *info,
                         weft_net_part part, weft_graph *g)
{
    switch (info->kind) {
    case WEFT_NET_UNET2D:
        return weft_unet2d_build(c, g);
    case WEFT_NET_VAE_TINY:
        return weft_vae_tiny_build(c, info, part, g);
    case WEFT_NET_VAE_KL:
        return weft_vae_kl_build(c, info, part, g);
    case WEFT_NET_UNET2D_CONDITION:
        return weft_unet_condition_build(c, info, g);
    case WEFT_NET_CONTROL:
        return weft_unet_control_build(c, part, g);
    }
    WEFT_BUG("no such kind of net");
}

static bool has_part(const weft_net_info *info, weft_net_part part)
{
    if (info->kind == WEFT_NET_CONTROL)
        return part == WEFT_PART_NET || part == WEFT_PART_SIGHT;
    if (weft_net_is_unet(info)) return part == WEFT_PART_NET;
    return part == WEFT_PART_DECODE || part == WEFT_PART_ENCODE;
}

weft_status weft_net_build(const weft_json *c, const weft_net_info *info,
                           weft_net_part part, weft_cell cell, weft_dtype wtype,
                           weft_graph *g)
{
    const int unit = cell.rows, w = cell.width;
    const int stride = stride_of(info, part);
    weft_status st;

    WEFT_MUST(has_part(info, part));
    if (unit < 1 || unit > MOST || unit % stride)
        return weft_fail(WEFT_EINPUT,
                         "%s: units of %d rows; the net needs multiples of %d, "
                         "at most %d",
                         weft_json_name(c), unit, stride, MOST);
    if (w < 1 || w > MOST || w % stride)
        return weft_fail(WEFT_EINPUT,
                         "%s: a width of %d; the net needs multiples of %d, "
                         "at most %d",
                         weft_json_name(c), w, stride, MOST);
    WEFT_MUST(cell.columns > 0 && cell.columns % stride == 0);
    weft_graph_init(g, cell, input_channels(info, part));
    g->wtype = wtype;
    st = build(c, info, part, g);
    if (st == WEFT_OK) return WEFT_OK;
    if (g->status != WEFT_OK) weft_fail_within(st, "%s", weft_json_name(c));
    weft_graph_release(g);
    return st;
}

const char *const *weft_net_besides(const weft_net_info *info,
                                    weft_net_part part)
{
    static const char *const net[] = {"controlnet_cond_embedding.", NULL};
    static const char *const decode[] = {"encoder.", "quant_conv.", NULL};
    static const char *const encode[] = {"decoder.", "quant_conv.", NULL};
    static const char *const all[] = {"", NULL};

    WEFT_MUST(has_part(info, part));
    return part == WEFT_PART_NET      ? net
           : part == WEFT_PART_DECODE ? decode
           : part == WEFT_PART_ENCODE ? encode
                                      : all; /* the U-Net has the others */
}
