/* CLIPTextModel and CLIPTextModelWithProjection. */
#include <stdio.h>
#include <string.h>

#include "core/layer/layer.h"
#include "core/net/blocks.h"
#include "core/net/encoders.h"

enum { MOST_TOKENS = 1 << 16, MOST_LAYERS = 1024 };

typedef struct clip {
    weft_text_info info;
    int heads, inner;
    weft_act act;
    float eps;
    bool projected;
} clip;

/* ---- config -------------------------------------------------------------- */

static weft_status read_class(const weft_json *c, clip *t)
{
    static const char *const known[] = {"CLIPTextModel",
                                        "CLIPTextModelWithProjection"};
    const char *name = known[0], *type;
    int n;

    WEFT_TRY(weft_json_string(c, "model_type", "clip_text_model", &type));
    if (strcmp(type, "clip_text_model"))
        return weft_fail(WEFT_EINPUT, "%s: model_type \"%s\" is not supported",
                         weft_json_name(c), type);
    WEFT_TRY(weft_json_strings(c, "architectures", &name, 1, &n));
    for (int i = 0; i < 2; i++)
        if (!strcmp(name, known[i])) {
            t->info.class_name = known[i];
            t->projected = i == 1;
            return WEFT_OK;
        }
    return weft_fail(WEFT_EINPUT, "%s: architectures \"%s\" is not supported",
                     weft_json_name(c), name);
}

static weft_status read_act(const weft_json *c, weft_act *act)
{
    static const char *const names[] = {"quick_gelu", "gelu", NULL};
    int choice;

    WEFT_TRY(weft_json_choice(c, "hidden_act", names[0], names, &choice));
    *act = choice ? WEFT_GELU : WEFT_QUICK_GELU;
    return WEFT_OK;
}

static weft_status read_sizes(const weft_json *c, clip *t)
{
    weft_text_info *i = &t->info;
    const int most = WEFT_MAX_CHANNELS;

    WEFT_TRY(weft_json_int(c, "vocab_size", 49408, 1, 1 << 20, &i->vocab));
    WEFT_TRY(weft_json_int(c, "hidden_size", 512, 1, most, &i->channels));
    WEFT_TRY(weft_json_int(c, "intermediate_size", 2048, 1, most, &t->inner));
    WEFT_TRY(weft_json_int(c, "projection_dim", 512, 1, most, &i->pooled));
    WEFT_TRY(
        weft_json_int(c, "num_hidden_layers", 12, 1, MOST_LAYERS, &i->layers));
    WEFT_TRY(weft_json_int(c, "num_attention_heads", 8, 1, most, &t->heads));
    WEFT_TRY(weft_json_int(c, "max_position_embeddings", 77, 1, MOST_TOKENS,
                           &i->tokens));
    if (!t->projected) i->pooled = i->channels;
    if (i->channels % t->heads == 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: hidden_size %d cannot be divided by "
                     "num_attention_heads %d",
                     weft_json_name(c), i->channels, t->heads);
}

/* Configs of before 2023 say 2 where they mean the largest id of all. */
static weft_status read_eos(const weft_json *c, weft_text_info *info)
{
    enum { MEANT_LARGEST = 2 };

    WEFT_TRY(weft_json_int(c, "eos_token_id", 49407, 0, 1 << 20, &info->eos));
    if (info->eos == MEANT_LARGEST) info->eos = -1;
    return WEFT_OK;
}

static weft_status read_clip(const weft_json *c, clip *t)
{
    bool mask;

    *t = (clip){.act = WEFT_QUICK_GELU};
    WEFT_TRY(read_class(c, t));
    WEFT_TRY(read_sizes(c, t));
    WEFT_TRY(read_act(c, &t->act));
    WEFT_TRY(weft_config_eps(c, "layer_norm_eps", 1e-5, &t->eps));
    WEFT_TRY(weft_json_bool(c, "use_attention_mask", false, &mask));
    if (mask)
        return weft_fail(WEFT_EINPUT,
                         "%s: use_attention_mask \"true\" is not supported",
                         weft_json_name(c));
    return read_eos(c, &t->info);
}

weft_status weft_clip_read_info(const weft_json *c, weft_text_info *info)
{
    clip t;

    WEFT_TRY(read_clip(c, &t));
    *info = t.info;
    return WEFT_OK;
}

/* ---- graph --------------------------------------------------------------- */

static weft_val layer(weft_graph *g, const clip *t, int i, weft_val h)
{
    const int c = t->info.channels;
    char name[WEFT_NAME];
    weft_val v;

    snprintf(name, sizeof name, "encoder.layers.%d.layer_norm1", i);
    v = weft_add_layer_norm(g, name, h, t->eps);
    snprintf(name, sizeof name, "encoder.layers.%d.self_attn", i);
    h = weft_add_causal_attention(g, name, v, h, t->heads, c / t->heads);
    snprintf(name, sizeof name, "encoder.layers.%d.layer_norm2", i);
    v = weft_add_layer_norm(g, name, h, t->eps);
    snprintf(name, sizeof name, "encoder.layers.%d.mlp.fc1", i);
    v = weft_add_conv(g, name, v, t->inner, WEFT_CONV(.k = 1, .act = t->act));
    snprintf(name, sizeof name, "encoder.layers.%d.mlp.fc2", i);
    return weft_add_conv(g, name, v, c, WEFT_CONV(.k = 1, .res = h));
}

/* The vector for the text out of the last layer's `h`. Norm and choice change
 * places: the norm is one token's. */
static weft_val pool(weft_graph *g, const clip *t, weft_val h)
{
    weft_val v = weft_add_pick(g, h, g->input, t->info.eos);

    v = weft_add_layer_norm(g, "final_layer_norm", v, t->eps);
    g->prefix[0] = 0;
    if (t->projected)
        v = weft_add_conv(g, "text_projection", v, t->info.pooled,
                          WEFT_CONV(.k = 1, .no_bias = true));
    weft_graph_keep(g, v);
    return v;
}

static weft_status build(const clip *t, const weft_text_opts *o, weft_text *x)
{
    weft_graph *g = &x->graph;
    weft_val h, hidden;

    snprintf(g->prefix, sizeof g->prefix, "text_model.");
    h = weft_add_tokens(g, "embeddings.token_embedding",
                        "embeddings.position_embedding", t->info.tokens,
                        g->input, t->info.vocab, t->info.channels);
    for (int i = 0; i < t->info.layers - o->skip; i++) h = layer(g, t, i, h);
    hidden = h;
    if (o->norm) hidden = weft_add_layer_norm(g, "final_layer_norm", h, t->eps);
    weft_graph_keep(g, hidden);
    if (!o->pooled) return weft_graph_finish(g, hidden);
    for (int i = t->info.layers - o->skip; i < t->info.layers; i++)
        h = layer(g, t, i, h);
    x->pooled = pool(g, t, h);
    return weft_graph_finish(g, hidden);
}

weft_status weft_clip_build(const weft_json *c, const weft_text_opts *o,
                            weft_text *t)
{
    clip x;

    WEFT_TRY(read_clip(c, &x));
    return build(&x, o, t);
}
