/*
 * A U-Net: down through blocks of residual layers, each with attention or
 * without; a middle block; up again, every layer seeing what the layer of the
 * same place on the way down made. Those skips are read where they lie, as
 * second inputs, and never copied side by side.
 */
#include "core/net/unet.h"

#include <stdio.h>

#include "core/layer/layer.h"

/* A net under construction. */
typedef struct builder {
    weft_graph *g;
    const weft_unet *u;
    weft_block_style style;
    weft_val text;
    weft_val skip[WEFT_MAX_LEVELS * (WEFT_MAX_LAYERS + 1) + 1];
    int nskips;
    /* Of a control net: its number, and the net that it adds to; NULL: it is
     * by itself. */
    bool control;
    int number;
    struct builder *to;
} builder;

/* What a control net's module makes of v is added to a value of the net's;
 * NULL: to none. */
static weft_val add_to(builder *b, const char *module, weft_val v, weft_val *of)
{
    v = weft_add_conv(b->g, module, v, weft_block_channels(b->g, v),
                      WEFT_CONV(.k = 1));
    if (v != WEFT_NONE && of) *of = weft_add_followed(b->g, *of, v, b->number);
    return v;
}

/* The way up of the net reads v, or, of a control net, is told of it. */
static void push(builder *b, weft_val v)
{
    char name[64];

    if (!b->control) {
        b->skip[b->nskips++] = v;
        return;
    }
    if (b->to && b->nskips == b->to->nskips)
        weft_graph_fail(b->g,
                        "%shas more layers on its way down than the "
                        "U-Net, which has %d",
                        b->g->prefix, b->to->nskips);
    if (b->g->status != WEFT_OK) return;
    snprintf(name, sizeof name, "controlnet_down_blocks.%d", b->nskips);
    add_to(b, name, v, b->to ? &b->to->skip[b->nskips] : NULL);
    b->nskips++;
}

/* ---- the time vector ----------------------------------------------------- */

/* TimestepEmbedding: two linear layers. */
static weft_val embedding(weft_graph *g, const char *module, weft_val v,
                          int dim, weft_act act, weft_act last)
{
    char name[WEFT_NAME];

    snprintf(name, sizeof name, "%s.linear_1", module);
    v = weft_add_linear(g, name, v, dim, act);
    snprintf(name, sizeof name, "%s.linear_2", module);
    return weft_add_linear(g, name, v, dim, last);
}

static weft_val waves(weft_graph *g, const weft_unet *u, weft_embed_of of)
{
    if (u->fourier)
        return weft_add_fourier(g, "time_proj", of, 2 * u->channels[0], false,
                                true);
    return weft_add_sinusoid(g, of, u->channels[0], u->flip, u->freq_shift);
}

static weft_val embed_time(weft_graph *g, const weft_unet *u, weft_act last)
{
    weft_val v = waves(g, u, WEFT_EMBED_TIME);

    if (u->guide)
        v = weft_add_conv(g, "time_embedding.cond_proj",
                          weft_graph_give(g, WEFT_GIVEN_GUIDE, 1, u->guide),
                          weft_block_channels(g, v),
                          WEFT_CONV(.k = 1, .no_bias = true, .res = v));
    return embedding(g, "time_embedding", v, u->time_dim, u->act_time, last);
}

static weft_val embed_label(weft_graph *g, const weft_unet *u)
{
    if (u->label == WEFT_LABEL_TABLE)
        return weft_add_lookup(g, "class_embedding", u->labels, u->time_dim);
    return embedding(g, "class_embedding", waves(g, u, WEFT_EMBED_LABEL),
                     u->time_dim, u->act_time, WEFT_LINEAR);
}

/* With what is told of label and text added; after the activation with which
 * every block begins to read it. */
static weft_val embed(weft_graph *g, const weft_unet *u)
{
    const bool alone = u->label == WEFT_LABEL_NONE && !u->added;
    weft_val v = embed_time(g, u, alone ? u->act : WEFT_LINEAR);

    if (alone) return v;
    if (u->label != WEFT_LABEL_NONE) v = weft_add_sum(g, v, embed_label(g, u));
    if (u->added)
        v = weft_add_sum(
            g, v,
            embedding(g, "add_embedding",
                      weft_graph_give(g, WEFT_GIVEN_ADDED, 1, u->added),
                      u->time_dim, WEFT_SILU, WEFT_LINEAR));
    return weft_add_map(g, v, 1, 0, u->act);
}

/* ---- blocks -------------------------------------------------------------- */

static weft_val transformer(builder *b, const char *name, int level, int depth,
                            bool text_alone, weft_val h)
{
    const weft_block_text t = {.text = b->text,
                               .groups = b->u->groups,
                               .heads = b->u->heads[level],
                               .depth = depth,
                               .text_alone = text_alone};

    return weft_block_transformer(b->g, name, h, &t);
}

/* Layer i of a block: a resnet, perhaps with attention behind it; `depth`: of
 * its transformer. */
static weft_val layer(builder *b, const char *block, int i,
                      weft_unet_sight sight, int level, int depth, weft_val in,
                      weft_val skip)
{
    char name[WEFT_NAME];
    weft_val h;

    snprintf(name, sizeof name, "%s.resnets.%d", block, i);
    h = weft_block_resnet(b->g, &b->style, name, in, skip,
                          b->u->channels[level], WEFT_KEEP, 1);
    snprintf(name, sizeof name, "%s.attentions.%d", block, i);
    if (sight == WEFT_SIGHT_TEXT)
        return transformer(b, name, level, depth, b->u->text_alone[level], h);
    if (sight == WEFT_SIGHT_SELF)
        return weft_block_attention(b->g, &b->style, name, h, b->u->groups,
                                    b->u->head_dim, 1);
    return h;
}

static weft_val down_block(builder *b, int level, weft_val h)
{
    const weft_unet_block kind = b->u->down[level];
    char block[32], name[WEFT_NAME];

    snprintf(block, sizeof block, "down_blocks.%d", level);
    for (int i = 0; i < b->u->layers[level]; i++) {
        h = layer(b, block, i, kind.sight, level, b->u->down_depth[level][i], h,
                  WEFT_NONE);
        push(b, h);
    }
    if (level == b->u->levels - 1) return h;
    snprintf(name, sizeof name, "%s.downsamplers.0%s", block,
             kind.resnet_sampling ? "" : ".conv");
    if (kind.resnet_sampling)
        h = weft_block_resnet(b->g, &b->style, name, h, WEFT_NONE,
                              b->u->channels[level], WEFT_DOWN, 1);
    else
        h = weft_block_downsample(b->g, name, h, b->u->late_downsample);
    push(b, h);
    return h;
}

static weft_val up_block(builder *b, int i, weft_val h)
{
    const weft_unet_block kind = b->u->up[i];
    const int level = b->u->levels - 1 - i;
    char block[32], name[WEFT_NAME];

    snprintf(block, sizeof block, "up_blocks.%d", i);
    for (int k = 0; k <= b->u->layers[level]; k++)
        h = layer(b, block, k, kind.sight, level, b->u->up_depth[i][k], h,
                  b->skip[--b->nskips]);
    if (level == 0) return h;
    snprintf(name, sizeof name, "%s.upsamplers.0%s", block,
             kind.resnet_sampling ? "" : ".conv");
    if (kind.resnet_sampling)
        return weft_block_resnet(b->g, &b->style, name, h, WEFT_NONE,
                                 b->u->channels[level], WEFT_UP, 1);
    return weft_block_upsample(b->g, name, h);
}

/* The middle block whose attention is transformers, or that has none. */
static weft_val text_middle(builder *b, weft_val h)
{
    const weft_unet_middle *m = &b->u->middle;
    const int deepest = b->u->levels - 1, c = b->u->channels[deepest];

    h = weft_block_resnet(b->g, &b->style, "mid_block.resnets.0", h, WEFT_NONE,
                          c, WEFT_KEEP, m->scale);
    if (m->single) return h;
    h = transformer(b, "mid_block.attentions.0", deepest, b->u->middle_depth,
                    false, h);
    return weft_block_resnet(b->g, &b->style, "mid_block.resnets.1", h,
                             WEFT_NONE, c, WEFT_KEEP, m->scale);
}

static weft_val middle(builder *b, weft_val h)
{
    const weft_unet_middle *m = &b->u->middle;
    const weft_block_mid plain = {m->sight == WEFT_SIGHT_SELF, m->groups,
                                  b->u->head_dim, m->scale};

    if (!m->there) return h;
    if (m->single || m->sight == WEFT_SIGHT_TEXT) return text_middle(b, h);
    return weft_block_middle(b->g, &b->style, &plain, h);
}

/* Down to the middle, from what conv_in made. */
static weft_val descend(builder *b, weft_val h)
{
    push(b, h);
    for (int i = 0; i < b->u->levels; i++) h = down_block(b, i, h);
    return middle(b, h);
}

static builder begin(weft_graph *g, const weft_unet *u)
{
    builder b = {.g = g, .u = u, .text = WEFT_NONE};

    if (u->text)
        b.text = weft_graph_give(g, WEFT_GIVEN_TEXT, u->tokens, u->text);
    b.style = (weft_block_style){
        .act = u->act,
        .groups = u->groups,
        .eps = u->eps,
        .time = embed(g, u),
        .scale_shift = u->scale_shift,
    };
    return b;
}

/* ---- control nets -------------------------------------------------------- */

/* From the sample to the middle of a control net, which adds on its way. */
static weft_val go_down(builder *b)
{
    weft_graph *g = b->g;
    const int channels = b->u->channels[0];
    const weft_val seen =
        weft_graph_hint(g, g->cell.rows, g->cell.width, channels);
    const weft_val h =
        weft_add_conv(g, "conv_in", g->input, channels,
                      WEFT_CONV(.k = b->u->kernel_in, .res = seen));

    return descend(b, h);
}

/* Returns the net's middle with what control net number i adds to it. */
static weft_val add_control(builder *to, const weft_unet_control *c, int i,
                            weft_val mid)
{
    weft_graph *g = to->g;
    const weft_dtype wtype = g->wtype;
    builder b;
    weft_val h;

    snprintf(g->prefix, sizeof g->prefix, "control%d.", i);
    g->wtype = c->wtype;
    b = begin(g, &c->unet);
    b.control = true;
    b.number = i;
    b.to = to;
    if (c->unet.in != weft_block_channels(g, g->input))
        weft_graph_fail(g, "%shas %d channels in, the U-Net %d", g->prefix,
                        c->unet.in, weft_block_channels(g, g->input));
    h = go_down(&b);
    add_to(&b, "controlnet_mid_block", h, &mid);
    if (b.nskips != to->nskips)
        weft_graph_fail(g, "%shas %d layers on its way down, the U-Net %d",
                        g->prefix, b.nskips, to->nskips);
    g->prefix[0] = 0;
    g->wtype = wtype;
    return mid;
}

weft_status weft_unet_build_control(const weft_unet_control *c, weft_graph *g)
{
    builder b = begin(g, &c->unet);

    b.control = true;
    return weft_graph_finish(
        g, add_to(&b, "controlnet_mid_block", go_down(&b), NULL));
}

/* ---- the whole ----------------------------------------------------------- */

weft_status weft_unet_build(const weft_unet *u,
                            const weft_unet_control *control, int ncontrols,
                            weft_graph *g)
{
    builder b = begin(g, u);
    weft_val h = g->input;

    if (u->center) h = weft_add_map(g, h, 2, -1, WEFT_LINEAR);
    h = weft_add_conv(g, "conv_in", h, u->channels[0],
                      WEFT_CONV(.k = u->kernel_in));
    h = descend(&b, h);
    for (int i = 0; i < ncontrols; i++) h = add_control(&b, &control[i], i, h);
    for (int i = 0; i < u->levels; i++) h = up_block(&b, i, h);
    h = weft_block_norm(g, "conv_norm_out", h, WEFT_NONE, u->groups, u->eps,
                        WEFT_NONE, u->act_out);
    h = weft_add_conv(g, "conv_out", h, u->out, WEFT_CONV(.k = u->kernel_out));
    if (u->fourier) h = weft_add_over_time(g, h);
    return weft_graph_finish(g, h);
}
