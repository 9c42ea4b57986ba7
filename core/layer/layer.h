/*
 * layer.h - what nets are built of.
 *
 * Each function adds layers to a graph and returns the value they make. `name`
 * is the module's name in the checkpoint, relative to g->prefix; weights are
 * called NAME.weight and NAME.bias. WEFT_NONE stands for an input that is not
 * there. Every one is a no-op returning WEFT_NONE once the graph has failed.
 */
#ifndef WEFT_CORE_LAYER_LAYER_H
#define WEFT_CORE_LAYER_LAYER_H

#include "core/net/graph.h"

/* What a convolution can do besides; write WEFT_CONV(.k = 3, .act = ...), so
 * that what is not named is absent. */
typedef struct weft_conv_opts {
    int k;                 /* kernel: 1 or 3 */
    int stride;            /* 0 means 1 */
    int up;                /* 2: nearest upsampling first; 0 means 1 */
    bool pad_given;        /* false: (k - 1) / 2 on all sides */
    int pad_top, pad_left; /* below and right: what keeps the size */
    bool no_bias;
    int part, parts;    /* weight and bias are that part, of equal ones, of the
                           tensors' outputs; 0, 0: all of them */
    weft_act act, post; /* before and after `res` is added */
    bool gated;         /* `res` multiplies instead; k = 1 */
    float scale;        /* of the result, after `post`; 0 means 1 */
    weft_val in2;       /* second input along channels */
    weft_val res;       /* added before `post` */
    weft_val shift;     /* vector added per sample and channel before `act` */
} weft_conv_opts;

#define WEFT_CONV(...)                                                         \
    ((weft_conv_opts){                                                         \
        .in2 = WEFT_NONE, .res = WEFT_NONE, .shift = WEFT_NONE, __VA_ARGS__})

/* core/layer/conv.c. The output has w * up / stride columns; columns and rows
 * of a unit must be multiples of the stride. */
weft_val weft_add_conv(weft_graph *g, const char *name, weft_val in, int cout,
                       weft_conv_opts o);
/* The same for vectors: a linear layer [n][w][cin] -> [n][w][cout]. */
weft_val weft_add_linear(weft_graph *g, const char *name, weft_val in, int cout,
                         weft_act act);

/* core/layer/norm.c: group norm over (w/g channels, whole image), then act.
 * in2: second input along channels, or NONE. scale_shift: vector [n][2 c],
 * y = norm (1 + scale) + shift, or NONE. */
weft_val weft_add_group_norm(weft_graph *g, const char *name, weft_val in,
                             weft_val in2, int groups, float eps,
                             weft_val scale_shift, weft_act act);

/* core/layer/layer_norm.c: each pixel by itself, over its channels. */
weft_val weft_add_layer_norm(weft_graph *g, const char *name, weft_val in,
                             float eps);
/* ... by the root of the mean of squares, no mean taken off, no bias (Zhang and
 * Sennrich 2019). */
weft_val weft_add_rms_norm(weft_graph *g, const char *name, weft_val in,
                           float eps);

/* core/layer/attention.c: self-attention of every pixel with every pixel of
 * the image; q, k, v from `in`, which is already normalised; out projection,
 * + res, * scale. Names: NAME.to_q, to_k, to_v, to_out.0 (or the older
 * query, key, value, proj_attn: `old_names`). */
weft_val weft_add_self_attention(weft_graph *g, const char *name, weft_val in,
                                 weft_val res, int heads, int dim, bool bias,
                                 bool old_names, float scale);

/* core/layer/sequence.c: attention of every pixel, or member of a sequence, to
 * a sequence that every rank has; `heads` of `dim` channels; + res. Keys and
 * values of a held sequence are made once. Names: as above, without biases but
 * that of to_out.0. */
weft_val weft_add_cross_attention(weft_graph *g, const char *name, weft_val in,
                                  weft_val res, weft_val text, int heads,
                                  int dim);
/* ... of every member of a sequence to itself and those before it, as in CLIP.
 * Names: NAME.k_proj, v_proj, q_proj, out_proj, all with biases. */
weft_val weft_add_causal_attention(weft_graph *g, const char *name, weft_val in,
                                   weft_val res, int heads, int dim);
/* ... of every member to all, as in T5: scores are not scaled, but tilted by
 * weft_add_relative. Names: NAME.k, v, q, o, without biases. */
weft_val weft_add_tilted_attention(weft_graph *g, const char *name, weft_val in,
                                   weft_val res, weft_val tilt, int heads,
                                   int dim);

/* core/layer/relative.c: what attention within a sequence of `tokens` adds to
 * scores, by how far the key is behind the query: NAME.weight [buckets][heads].
 * Half of the buckets are for keys that come later; half of those are for one
 * distance each, the others for ever longer ones up to `most` (Raffel et al.
 * 2020, section 2.1). */
weft_val weft_add_relative(weft_graph *g, const char *name, int tokens,
                           int buckets, int most, int heads);

/* core/layer/resample.c: nearest x2 or 2x2 mean, without weights. */
weft_val weft_add_resample(weft_graph *g, weft_val in, bool up);

/* core/layer/map.c: act(in * mul + add), element by element. */
weft_val weft_add_map(weft_graph *g, weft_val in, float mul, float add,
                      weft_act act);
/* act(in * mul + add) with a pair of numbers for each channel; copied. */
weft_val weft_add_affine(weft_graph *g, weft_val in, const float *mul,
                         const float *add, weft_act act);
/* in / time, sample by sample. */
weft_val weft_add_over_time(weft_graph *g, weft_val in);
/* The sum of two values of the same shape. */
weft_val weft_add_sum(weft_graph *g, weft_val a, weft_val b);
/* a + s b, where s is run->follow[hint]; a where that is 0, whatever b is. */
weft_val weft_add_followed(weft_graph *g, weft_val a, weft_val b, int hint);

/* core/layer/embed.c: vectors from run->time or run->label.
 * Sinusoids (diffusers get_timestep_embedding): dim channels, which
 * weft_sinusoids makes of any number. */
void weft_sinusoids(float x, int dim, bool flip_sin_to_cos, float freq_shift,
                    float *out);
/* GIVEN_GUIDE of a net that is told its guidance: of 1000 (w - 1), as
 * diffusers' get_guidance_scale_embedding; `dim` is 4 or more. */
void weft_guide_sinusoids(double w, int dim, float *out);
typedef enum weft_embed_of { WEFT_EMBED_TIME, WEFT_EMBED_LABEL } weft_embed_of;
weft_val weft_add_sinusoid(weft_graph *g, weft_embed_of of, int dim,
                           bool flip_sin_to_cos, float freq_shift);
/* Gaussian Fourier features of the number, or its logarithm: with NAME.weight
 * [dim / 2] the sines, then the cosines (or the other way round where
 * flip_sin_to_cos) of 2 pi w t. */
weft_val weft_add_fourier(weft_graph *g, const char *name, weft_embed_of of,
                          int dim, bool flip_sin_to_cos, bool log);
/* A row of the table NAME.weight [rows][dim] by label. */
weft_val weft_add_lookup(weft_graph *g, const char *name, int rows, int dim);

/* core/layer/tokens.c. `ids`: a sequence of token ids, as floats, [n][w][1].
 * Each token's row of the table NAME.weight [rows][dim], plus the row of
 * PLACE.weight [places][dim], of at least w, for its place (NULL: nothing). A
 * token out of range is WEFT_EINPUT. */
weft_val weft_add_tokens(weft_graph *g, const char *name, const char *place,
                         int places, weft_val ids, int rows, int dim);
/* Of each sample the member of `in` [n][w][c] at the first place where its ids
 * have `id`, or else the first; with id < 0 where they are largest: [n][c]. */
weft_val weft_add_pick(weft_graph *g, weft_val in, weft_val ids, int id);

#endif
