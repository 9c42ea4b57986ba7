#include "core/net/blocks.h"

#include <stdio.h>
#include <string.h>

#include "core/layer/layer.h"

typedef char name_text[WEFT_NAME + 32];

static void in_module(name_text text, const char *module, const char *part)
{
    snprintf(text, sizeof(name_text), "%s.%s", module, part);
}

int weft_block_channels(const weft_graph *g, weft_val v)
{
    if (g->status != WEFT_OK || v == WEFT_NONE) return 0;
    return weft_graph_at(g, v)->c;
}

weft_val weft_block_norm(weft_graph *g, const char *name, weft_val in,
                         weft_val in2, int groups, float eps,
                         weft_val scale_shift, weft_act act)
{
    const int c = weft_block_channels(g, in) + weft_block_channels(g, in2);

    if (c % groups) {
        weft_graph_fail(g, "%s: %d channels in %d groups", name, c, groups);
        return WEFT_NONE;
    }
    return weft_add_group_norm(g, name, in, in2, groups, eps, scale_shift, act);
}

/* The time vector as a block wants it. */
static weft_val project_time(weft_graph *g, const weft_block_style *s,
                             const char *module, int cout)
{
    name_text name;

    if (s->time == WEFT_NONE) return WEFT_NONE;
    in_module(name, module, "time_emb_proj");
    return weft_add_linear(g, name, s->time, s->scale_shift ? 2 * cout : cout,
                           WEFT_LINEAR);
}

/* What the block adds to: its input, resampled and widened where needed. */
static weft_val shortcut(weft_graph *g, const char *module, weft_val in,
                         weft_val in2, int cout, weft_resampling how)
{
    const int cin = weft_block_channels(g, in) + weft_block_channels(g, in2);
    weft_conv_opts o = WEFT_CONV(.k = 1);
    name_text name;

    if (how != WEFT_KEEP) in = weft_add_resample(g, in, how == WEFT_UP);
    if (cin == cout && in2 == WEFT_NONE) return in;
    o.in2 = in2;
    in_module(name, module, "conv_shortcut");
    return weft_add_conv(g, name, in, cout, o);
}

/* The block's first half: norm, resampling, convolution, the time added. */
static weft_val first_half(weft_graph *g, const weft_block_style *s,
                           const char *module, weft_val in, weft_val in2,
                           int cout, weft_resampling how, weft_val time)
{
    weft_conv_opts o = WEFT_CONV(.k = 3, .up = how == WEFT_UP ? 2 : 1);
    name_text name;
    weft_val h;

    in_module(name, module, "norm1");
    h = weft_block_norm(g, name, in, in2, s->groups, s->eps, WEFT_NONE, s->act);
    if (how == WEFT_DOWN) h = weft_add_resample(g, h, false);
    if (!s->scale_shift) o.shift = time;
    in_module(name, module, "conv1");
    return weft_add_conv(g, name, h, cout, o);
}

weft_val weft_block_resnet(weft_graph *g, const weft_block_style *s,
                           const char *module, weft_val in, weft_val in2,
                           int cout, weft_resampling how, float scale)
{
    const weft_val time = project_time(g, s, module, cout);
    weft_conv_opts o = WEFT_CONV(.k = 3, .scale = scale);
    name_text name;
    weft_val h;

    h = first_half(g, s, module, in, in2, cout, how, time);
    in_module(name, module, "norm2");
    h = weft_block_norm(g, name, h, WEFT_NONE, s->groups, s->eps,
                        s->scale_shift ? time : WEFT_NONE, s->act);
    o.res = shortcut(g, module, in, in2, cout, how);
    in_module(name, module, "conv2");
    return weft_add_conv(g, name, h, cout, o);
}

weft_val weft_block_attention(weft_graph *g, const weft_block_style *s,
                              const char *module, weft_val in, int groups,
                              int head_dim, float scale)
{
    const int c = weft_block_channels(g, in);
    const int dim = head_dim ? head_dim : c;
    name_text name;
    weft_val h = in;

    if (g->status != WEFT_OK) return WEFT_NONE;
    if (dim > c) {
        weft_graph_fail(g,
                        "%s: attention_head_dim %d is more than its %d "
                        "channels",
                        module, dim, c);
        return WEFT_NONE;
    }
    in_module(name, module, "group_norm");
    if (groups)
        h = weft_block_norm(g, name, in, WEFT_NONE, groups, s->eps, WEFT_NONE,
                            WEFT_LINEAR);
    return weft_add_self_attention(g, module, h, in, c / dim, dim, true, false,
                                   scale);
}

weft_val weft_block_middle(weft_graph *g, const weft_block_style *s,
                           const weft_block_mid *m, weft_val in)
{
    const int c = weft_block_channels(g, in);
    weft_val h;

    h = weft_block_resnet(g, s, "mid_block.resnets.0", in, WEFT_NONE, c,
                          WEFT_KEEP, m->scale);
    if (m->attention)
        h = weft_block_attention(g, s, "mid_block.attentions.0", h, m->groups,
                                 m->head_dim, m->scale);
    return weft_block_resnet(g, s, "mid_block.resnets.1", h, WEFT_NONE, c,
                             WEFT_KEEP, m->scale);
}

weft_val weft_block_downsample(weft_graph *g, const char *name, weft_val in,
                               bool late)
{
    const int before = late ? 0 : 1;

    return weft_add_conv(g, name, in, weft_block_channels(g, in),
                         WEFT_CONV(.k = 3, .stride = 2, .pad_given = true,
                                   .pad_top = before, .pad_left = before));
}

weft_val weft_block_upsample(weft_graph *g, const char *name, weft_val in)
{
    return weft_add_conv(g, name, in, weft_block_channels(g, in),
                         WEFT_CONV(.k = 3, .up = 2));
}
