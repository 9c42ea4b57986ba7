/*
 * Transformer2DModel: a norm, a way in, transformer blocks, a way out, and what
 * it all is added to. Within a block only the first attention looks beyond a
 * pixel and its text.
 */
#include <stdio.h>

#include "core/layer/layer.h"
#include "core/net/blocks.h"

typedef char name_text[WEFT_NAME + 64];

static void in_module(name_text text, const char *module, const char *part)
{
    snprintf(text, sizeof(name_text), "%s.%s", module, part);
}

static weft_val norm(weft_graph *g, const char *block, int i, weft_val h)
{
    name_text name;

    snprintf(name, sizeof name, "%s.norm%d", block, i);
    return weft_add_layer_norm(g, name, h, 1e-5f);
}

/* attn1, attn2: to the image or to the text. */
static weft_val attention(weft_graph *g, const char *block, int i, weft_val h,
                          const weft_block_text *t, bool to_text)
{
    const int dim = weft_block_channels(g, h) / t->heads;
    const weft_val in = norm(g, block, i, h);
    name_text name;

    snprintf(name, sizeof name, "%s.attn%d", block, i);
    if (to_text)
        return weft_add_cross_attention(g, name, in, h, t->text, t->heads, dim);
    return weft_add_self_attention(g, name, in, h, t->heads, dim, false, false,
                                   1);
}

/* GEGLU: one half of a linear layer, times the gelu of the other; and a linear
 * layer back. The gate is made first, so that it is multiplied in place. */
static weft_val feed_forward(weft_graph *g, const char *block, weft_val h)
{
    const int c = weft_block_channels(g, h);
    const weft_val in = norm(g, block, 3, h);
    name_text name;
    weft_val v;

    in_module(name, block, "ff.net.0.proj");
    v = weft_add_conv(
        g, name, in, 4 * c,
        WEFT_CONV(.k = 1, .part = 1, .parts = 2, .act = WEFT_GELU));
    v = weft_add_conv(
        g, name, in, 4 * c,
        WEFT_CONV(.k = 1, .part = 0, .parts = 2, .res = v, .gated = true));
    in_module(name, block, "ff.net.2");
    return weft_add_conv(g, name, v, c, WEFT_CONV(.k = 1, .res = h));
}

static weft_val block(weft_graph *g, const char *module, int i, weft_val h,
                      const weft_block_text *t)
{
    char name[WEFT_NAME];

    snprintf(name, sizeof name, "%.80s.transformer_blocks.%d", module, i);
    h = attention(g, name, 1, h, t, t->text_alone);
    h = attention(g, name, 2, h, t, true);
    return feed_forward(g, name, h);
}

weft_val weft_block_transformer(weft_graph *g, const char *module, weft_val in,
                                const weft_block_text *t)
{
    const int c = weft_block_channels(g, in);
    name_text name;
    weft_val h;

    if (g->status != WEFT_OK) return WEFT_NONE;
    in_module(name, module, "norm");
    h = weft_block_norm(g, name, in, WEFT_NONE, t->groups, 1e-6f, WEFT_NONE,
                        WEFT_LINEAR);
    in_module(name, module, "proj_in");
    h = weft_add_conv(g, name, h, c / t->heads * t->heads, WEFT_CONV(.k = 1));
    for (int i = 0; i < t->depth; i++) h = block(g, module, i, h, t);
    in_module(name, module, "proj_out");
    return weft_add_conv(g, name, h, c, WEFT_CONV(.k = 1, .res = in));
}
