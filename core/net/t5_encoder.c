/*
 * T5EncoderModel (Raffel et al. 2020; T5 1.1 with gated layers): no places but
 * what attention gets by distance, norms without means, no biases.
 */
#include <stdio.h>
#include <string.h>

#include "core/layer/layer.h"
#include "core/net/blocks.h"
#include "core/net/encoders.h"

enum { MOST_TOKENS = 4096, MOST_LAYERS = 1024, MOST_BUCKETS = 1 << 16 };

typedef struct t5 {
    weft_text_info info;
    int heads, dim, inner;
    int buckets, most; /* of distances */
    weft_act act;
    bool gated;
    float eps;
} t5;

/* ---- config -------------------------------------------------------------- */

static weft_status read_sizes(const weft_json *c, t5 *t)
{
    weft_text_info *i = &t->info;
    const int most = WEFT_MAX_CHANNELS;

    WEFT_TRY(weft_json_int(c, "vocab_size", 32128, 1, 1 << 20, &i->vocab));
    WEFT_TRY(weft_json_int(c, "d_model", 512, 1, most, &i->channels));
    WEFT_TRY(weft_json_int(c, "d_kv", 64, 1, most, &t->dim));
    WEFT_TRY(weft_json_int(c, "d_ff", 2048, 1, most, &t->inner));
    WEFT_TRY(weft_json_int(c, "num_layers", 6, 1, MOST_LAYERS, &i->layers));
    return weft_json_int(c, "num_heads", 8, 1, most, &t->heads);
}

static weft_status read_distances(const weft_json *c, t5 *t)
{
    const char *key = "relative_attention_num_buckets";

    WEFT_TRY(weft_json_int(c, key, 32, 4, MOST_BUCKETS, &t->buckets));
    WEFT_TRY(weft_json_int(c, "relative_attention_max_distance", 128, 1,
                           1 << 20, &t->most));
    if (t->buckets % 4 == 0 && t->most > t->buckets / 4) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: %s %d is not a multiple of 4, or a quarter of it is "
                     "not below relative_attention_max_distance %d",
                     weft_json_name(c), key, t->buckets, t->most);
}

static weft_status read_layers(const weft_json *c, t5 *t)
{
    static const char *const names[] = {"relu", "gated-gelu", NULL};
    int choice;

    WEFT_TRY(
        weft_json_choice(c, "feed_forward_proj", names[0], names, &choice));
    t->gated = choice == 1;
    t->act = choice ? WEFT_GELU_TANH : WEFT_RELU;
    return weft_config_eps(c, "layer_norm_epsilon", 1e-6, &t->eps);
}

static weft_status read_t5(const weft_json *c, t5 *t)
{
    *t = (t5){.info = {.class_name = "T5EncoderModel", .tokens = MOST_TOKENS}};
    WEFT_TRY(read_sizes(c, t));
    WEFT_TRY(read_distances(c, t));
    return read_layers(c, t);
}

weft_status weft_t5_read_info(const weft_json *c, weft_text_info *info)
{
    t5 t;

    WEFT_TRY(read_t5(c, &t));
    *info = t.info;
    return WEFT_OK;
}

/* ---- graph --------------------------------------------------------------- */

static weft_val norm(weft_graph *g, const t5 *t, int layer, int part,
                     weft_val h)
{
    char name[WEFT_NAME];

    snprintf(name, sizeof name, "block.%d.layer.%d.layer_norm", layer, part);
    return weft_add_rms_norm(g, name, h, t->eps);
}

static weft_val attention(weft_graph *g, const t5 *t, int layer, weft_val h,
                          weft_val tilt)
{
    const weft_val in = norm(g, t, layer, 0, h);
    char name[WEFT_NAME];

    snprintf(name, sizeof name, "block.%d.layer.0.SelfAttention", layer);
    return weft_add_tilted_attention(g, name, in, h, tilt, t->heads, t->dim);
}

/* What is multiplied is made first, so that it is multiplied in place. */
static weft_val feed_forward(weft_graph *g, const t5 *t, int layer, weft_val h)
{
    weft_val in = norm(g, t, layer, 1, h), v = WEFT_NONE;
    char name[WEFT_NAME];
    int n;

    n = snprintf(name, sizeof name, "block.%d.layer.1.DenseReluDense.wi",
                 layer);
    if (t->gated) {
        snprintf(name + n, sizeof name - (size_t)n, "_1");
        v = weft_add_conv(g, name, in, t->inner,
                          WEFT_CONV(.k = 1, .no_bias = true));
        snprintf(name + n, sizeof name - (size_t)n, "_0");
    }
    in = weft_add_conv(g, name, in, t->inner,
                       WEFT_CONV(.k = 1, .no_bias = true, .act = t->act,
                                 .res = v, .gated = t->gated));
    snprintf(name, sizeof name, "block.%d.layer.1.DenseReluDense.wo", layer);
    return weft_add_conv(g, name, in, t->info.channels,
                         WEFT_CONV(.k = 1, .no_bias = true, .res = h));
}

weft_status weft_t5_build(const weft_json *c, const weft_text_opts *o,
                          weft_text *x)
{
    weft_graph *g = &x->graph;
    weft_val h, tilt;
    t5 t;

    WEFT_TRY(read_t5(c, &t));
    h = weft_add_tokens(g, "shared", NULL, 0, g->input, t.info.vocab,
                        t.info.channels);
    snprintf(g->prefix, sizeof g->prefix, "encoder.");
    tilt = weft_add_relative(
        g, "block.0.layer.0.SelfAttention.relative_attention_bias",
        weft_graph_at(g, g->input)->w, t.buckets, t.most, t.heads);
    for (int i = 0; i < t.info.layers - o->skip; i++) {
        h = attention(g, &t, i, h, tilt);
        h = feed_forward(g, &t, i, h);
    }
    if (o->norm) h = weft_add_rms_norm(g, "final_layer_norm", h, t.eps);
    return weft_graph_finish(g, h);
}
