/* original_names.c - from the original's names to diffusers'. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/model/original.h"

enum { MOST = 1000 }; /* layers of one kind: numbers have three digits */

typedef struct pair {
    const char *was, *is;
} pair;

#define PAIRS(table) (table), (int)(sizeof(table) / sizeof *(table))

/* ---- pieces of names ----------------------------------------------------- */

/* LoRAs' keys have underscores for points. */
static bool is_point(char c) { return c == '.' || c == '_'; }

/* Steps over `what` if the name goes on with it. */
static bool take(const char **rest, const char *what)
{
    const char *at = *rest;

    for (; *what; what++, at++)
        if (*what == '.' ? !is_point(*at) : *what != *at) return false;
    *rest = at;
    return true;
}

/* ... and over a number of at most three digits and the point behind it. */
static bool take_number(const char **rest, int *number)
{
    const char *at = *rest;

    *number = 0;
    while (*at >= '0' && *at <= '9' && at - *rest < 3)
        *number = 10 * *number + (*at++ - '0');
    if (at == *rest || !is_point(*at)) return false;
    *rest = at + 1;
    return true;
}

static bool fits(int length) { return length < WEFT_ORIGINAL_NAME; }

/* HEAD, then `rest` with the beginning that the table knows replaced. */
static bool replace(const pair *table, int n, const char *head,
                    const char *rest, char *name)
{
    for (int i = 0; i < n; i++)
        if (take(&rest, table[i].was))
            return fits(snprintf(name, WEFT_ORIGINAL_NAME, "%s%s%s", head,
                                 table[i].is, rest));
    return false;
}

static weft_original_as as_it_is(bool known)
{
    return known ? WEFT_AS_IT_IS : WEFT_AS_NOTHING;
}

/* ---- U-Net --------------------------------------------------------------- */

static const pair unet_ends[] = {
    {"time_embed.0.", "time_embedding.linear_1."},
    {"time_embed.2.", "time_embedding.linear_2."},
    {"label_emb.0.0.", "add_embedding.linear_1."},
    {"label_emb.0.2.", "add_embedding.linear_2."},
    {"input_blocks.0.0.", "conv_in."},
    {"out.0.", "conv_norm_out."},
    {"out.2.", "conv_out."},
};

static const pair unet_resnet[] = {
    {"in_layers.0.", "norm1."},          {"in_layers.2.", "conv1."},
    {"emb_layers.1.", "time_emb_proj."}, {"out_layers.0.", "norm2."},
    {"out_layers.3.", "conv2."},         {"skip_connection.", "conv_shortcut."},
};

/* Number `at` of the layers of a side: which level it is of, and its place. */
static bool unet_layer(const weft_original_rules *r, const char *side, int at,
                       const char *kind, char head[64])
{
    if (at < 0) return false;
    snprintf(head, 64, "%s_blocks.%d.%s.%d.", side, at / r->blocks, kind,
             at % r->blocks);
    return true;
}

static bool unet_down(const weft_original_rules *r, const char *rest,
                      char *name)
{
    int i, part;
    char head[64];

    if (!take_number(&rest, &i) || !take_number(&rest, &part) || i < 1)
        return false;
    if (part == 0 && take(&rest, "op."))
        return fits(snprintf(name, WEFT_ORIGINAL_NAME,
                             "down_blocks.%d.downsamplers.0.conv.%s",
                             (i - 1) / r->blocks, rest));
    if (part > 1) return false;
    unet_layer(r, "down", i - 1, part ? "attentions" : "resnets", head);
    if (part == 0) return replace(PAIRS(unet_resnet), head, rest, name);
    return fits(snprintf(name, WEFT_ORIGINAL_NAME, "%s%s", head, rest));
}

static bool unet_middle(const char *rest, char *name)
{
    int part;

    if (!take_number(&rest, &part) || part > 2) return false;
    if (part == 1)
        return fits(snprintf(name, WEFT_ORIGINAL_NAME,
                             "mid_block.attentions.0.%s", rest));
    return replace(PAIRS(unet_resnet),
                   part ? "mid_block.resnets.1." : "mid_block.resnets.0.", rest,
                   name);
}

/* A level's sampler is the last part of its last layer. */
static bool unet_up(const weft_original_rules *r, const char *rest, char *name)
{
    int i, part;
    char head[64];

    if (!take_number(&rest, &i) || !take_number(&rest, &part)) return false;
    if (part > 0 && take(&rest, "conv."))
        return fits(snprintf(name, WEFT_ORIGINAL_NAME,
                             "up_blocks.%d.upsamplers.0.conv.%s", i / r->blocks,
                             rest));
    if (part > 1) return false;
    unet_layer(r, "up", i, part ? "attentions" : "resnets", head);
    if (part == 0) return replace(PAIRS(unet_resnet), head, rest, name);
    return fits(snprintf(name, WEFT_ORIGINAL_NAME, "%s%s", head, rest));
}

static weft_original_as unet(const weft_original_rules *r, const char *rest,
                             char *name)
{
    if (replace(PAIRS(unet_ends), "", rest, name)) return WEFT_AS_IT_IS;
    if (take(&rest, "input_blocks.")) return as_it_is(unet_down(r, rest, name));
    if (take(&rest, "middle_block.")) return as_it_is(unet_middle(rest, name));
    if (take(&rest, "output_blocks.")) return as_it_is(unet_up(r, rest, name));
    return WEFT_AS_NOTHING;
}

/* ---- control net --------------------------------------------------------- */

static const pair control_ends[] = {
    {"middle_block_out.0.", "controlnet_mid_block."},
    {"input_hint_block.0.", "controlnet_cond_embedding.conv_in."},
    {"input_hint_block.14.", "controlnet_cond_embedding.conv_out."},
};

/* "HEAD.NUMBER." for "2 NUMBER + 2." of what lies between the ends of the
 * picture's encoder, whose other layers have no weights. */
static bool control_hint(const char *rest, char *name)
{
    int i;

    return take_number(&rest, &i) && i % 2 == 0 && i > 0 &&
           fits(snprintf(name, WEFT_ORIGINAL_NAME,
                         "controlnet_cond_embedding.blocks.%d.%s", i / 2 - 1,
                         rest));
}

static bool control_layer(const char *rest, char *name)
{
    int i;

    return take_number(&rest, &i) && take(&rest, "0.") &&
           fits(snprintf(name, WEFT_ORIGINAL_NAME,
                         "controlnet_down_blocks.%d.%s", i, rest));
}

/* The way down of a U-Net, and what is its own. */
static weft_original_as control(const weft_original_rules *r, const char *rest,
                                char *name)
{
    if (replace(PAIRS(control_ends), "", rest, name)) return WEFT_AS_IT_IS;
    if (take(&rest, "input_hint_block."))
        return as_it_is(control_hint(rest, name));
    if (take(&rest, "zero_convs.")) return as_it_is(control_layer(rest, name));
    return unet(r, rest, name);
}

/* ---- autoencoder --------------------------------------------------------- */

static const pair vae_ends[] = {
    {"conv_in.", "conv_in."},
    {"norm_out.", "conv_norm_out."},
    {"conv_out.", "conv_out."},
};

static const pair vae_resnet[] = {
    {"norm1.", "norm1."},
    {"conv1.", "conv1."},
    {"norm2.", "norm2."},
    {"conv2.", "conv2."},
    {"nin_shortcut.", "conv_shortcut."},
};

static const pair vae_attention[] = {
    {"norm.", "group_norm."},
    {"q.", "to_q."},
    {"k.", "to_k."},
    {"v.", "to_v."},
    {"proj_out.", "to_out.0."},
};

static weft_original_as vae_middle(const char *side, const char *rest,
                                   char *name)
{
    char head[64];
    int block;

    if (take(&rest, "attn_1.")) {
        snprintf(head, sizeof head, "%s.mid_block.attentions.0.", side);
        return replace(PAIRS(vae_attention), head, rest, name)
                   ? WEFT_AS_MATRIX
                   : WEFT_AS_NOTHING;
    }
    if (!take(&rest, "block_") || !take_number(&rest, &block) || block < 1)
        return WEFT_AS_NOTHING;
    snprintf(head, sizeof head, "%s.mid_block.resnets.%d.", side, block - 1);
    return as_it_is(replace(PAIRS(vae_resnet), head, rest, name));
}

/* Levels are counted from the picture; diffusers counts a decoder's from the
 * latents. */
static bool vae_level(const weft_original_rules *r, bool up, const char *rest,
                      char *name)
{
    const char *side = up ? "decoder.up" : "encoder.down";
    char head[64];
    int level, block;

    if (!take_number(&rest, &level) || level >= r->levels) return false;
    if (up) level = r->levels - 1 - level;
    if (take(&rest, up ? "upsample.conv." : "downsample.conv."))
        return fits(snprintf(name, WEFT_ORIGINAL_NAME,
                             "%s_blocks.%d.%ssamplers.0.conv.%s", side, level,
                             up ? "up" : "down", rest));
    if (!take(&rest, "block.") || !take_number(&rest, &block)) return false;
    snprintf(head, sizeof head, "%s_blocks.%d.resnets.%d.", side, level, block);
    return replace(PAIRS(vae_resnet), head, rest, name);
}

static weft_original_as vae(const weft_original_rules *r, const char *rest,
                            char *name)
{
    static const pair quant[] = {{"quant_conv.", "quant_conv."},
                                 {"post_quant_conv.", "post_quant_conv."}};
    bool up;

    if (replace(PAIRS(quant), "", rest, name)) return WEFT_AS_IT_IS;
    up = take(&rest, "decoder.");
    if (!up && !take(&rest, "encoder.")) return WEFT_AS_NOTHING;
    if (take(&rest, "mid."))
        return vae_middle(up ? "decoder" : "encoder", rest, name);
    if (take(&rest, up ? "up." : "down."))
        return as_it_is(vae_level(r, up, rest, name));
    return as_it_is(
        replace(PAIRS(vae_ends), up ? "decoder." : "encoder.", rest, name));
}

/* ---- text encoders ------------------------------------------------------- */

/* CLIP's are as transformers has them, but for a count of positions that was
 * stored with them. */
static weft_original_as clip(const char *rest, char *name)
{
    if (strcmp(rest, "embeddings.position_ids") == 0) return WEFT_AS_NOTHING;
    return as_it_is(
        fits(snprintf(name, WEFT_ORIGINAL_NAME, "text_model.%s", rest)));
}

static const pair open_clip_ends[] = {
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"token_embedding.", "text_model.embeddings.token_embedding."},
    {"ln_final.", "text_model.final_layer_norm."},
};

static const pair open_clip_layer[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
    {"attn.out_proj.", "self_attn.out_proj."},
};

static const pair open_clip_three[] = {
    {"attn.in_proj_weight", "self_attn.q_proj.weight"},
    {"attn.in_proj_bias", "self_attn.q_proj.bias"},
};

static weft_original_as open_clip(const weft_original_rules *r,
                                  const char *rest, char *name)
{
    char head[64];
    int layer;

    if (strcmp(rest, "text_projection") == 0) {
        snprintf(name, WEFT_ORIGINAL_NAME, "text_projection.weight");
        return r->role == WEFT_PIPELINE_TEXT_2 ? WEFT_AS_TURNED
                                               : WEFT_AS_NOTHING;
    }
    if (replace(PAIRS(open_clip_ends), "", rest, name)) return WEFT_AS_IT_IS;
    if (!take(&rest, "transformer.resblocks.") || !take_number(&rest, &layer) ||
        layer >= r->layers)
        return WEFT_AS_NOTHING;
    snprintf(head, sizeof head, "text_model.encoder.layers.%d.", layer);
    if (replace(PAIRS(open_clip_three), head, rest, name)) return WEFT_AS_THREE;
    return as_it_is(replace(PAIRS(open_clip_layer), head, rest, name));
}

/* ---- all ----------------------------------------------------------------- */

weft_original_as weft_original_rename(const weft_original_rules *r,
                                      const char *rest,
                                      char name[WEFT_ORIGINAL_NAME])
{
    switch (r->role) {
    case WEFT_PIPELINE_UNET:
        return unet(r, rest, name);
    case WEFT_PIPELINE_CONTROL:
        return control(r, rest, name);
    case WEFT_PIPELINE_VAE:
        return vae(r, rest, name);
    default:
        return r->open_clip ? open_clip(r, rest, name) : clip(rest, name);
    }
}

const weft_st_tensor *weft_original_find(const weft_st *st, const char *prefix,
                                         const char *format, ...)
{
    char name[256];
    const size_t n = strlen(prefix);
    va_list args;
    int length;

    if (n >= sizeof name) return NULL;
    memcpy(name, prefix, n);
    va_start(args, format);
    length = vsnprintf(name + n, sizeof name - n, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof name - n) return NULL;
    return weft_st_find(st, name);
}

/* The length of the first run of residual layers. */
static int unet_layers(const weft_st *st, const char *prefix)
{
    int n = 0;

    while (n < MOST &&
           weft_original_find(st, prefix,
                              "input_blocks.%d.0.in_layers.2.weight", n + 1))
        n++;
    return n;
}

static int vae_levels(const weft_st *st, const char *prefix)
{
    int n = 0;

    while (n < MOST && weft_original_find(
                           st, prefix, "decoder.up.%d.block.0.conv1.weight", n))
        n++;
    return n;
}

void weft_original_read_rules(const weft_st *st, const weft_original *o,
                              weft_pipeline_role role,
                              weft_original_rules *rules)
{
    const char *prefix = o->prefix[role];

    *rules = (weft_original_rules){.role = role, .layers = INT_MAX};
    if (role == WEFT_PIPELINE_UNET || role == WEFT_PIPELINE_CONTROL)
        rules->blocks = unet_layers(st, prefix) + 1;
    else if (role == WEFT_PIPELINE_VAE)
        rules->levels = vae_levels(st, prefix);
    else
        rules->open_clip =
            weft_original_find(st, prefix, "token_embedding.weight") != NULL;
    /* Stable Diffusion 2 was trained on what the layer before the last makes
     * of a text; diffusers' encoder ends there. */
    if (role == WEFT_PIPELINE_TEXT && rules->open_clip) rules->layers = 23;
}
