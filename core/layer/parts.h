/*
 * parts.h - what several layers do alike: naming weights, running a
 * convolution. For core/layer/ only.
 */
#ifndef WEFT_CORE_LAYER_PARTS_H
#define WEFT_CORE_LAYER_PARTS_H

#include "core/layer/layer.h"

/* Fails the graph, and returns false, unless every channel count lies in
 * 1 .. WEFT_MOST_CHANNELS, so that no size computed from them overflows. */
enum { WEFT_MOST_CHANNELS = 1 << 20 };
bool weft_channels_ok(weft_graph *g, const char *name, int cin, int cout);

/* How many pixels of a row a 1x1 kernel over `over` may take together, as
 * weft_conv.paired; it depends on the image, not on a patch. */
int weft_conv_paired(const weft_value *over);

/* A 1x1 convolution of one tensor with the rows of `over`, all else neutral. */
weft_conv weft_conv_1x1(const weft_graph *g, const weft_value *over, int cin,
                        int cout);

/* The matrix of `v`: tensors NAME.weight for each of the `n` names, stacked
 * along cout in equal parts; [cout][cin][kh][kw], or [cout][cin] if `linear`.
 * Returns the weight's index. */
int weft_weight_matrix(weft_graph *g, const weft_conv *v,
                       const char *const *name, int n, bool linear);

/* Float vectors NAME.suffix of `count` elements for each of the n names,
 * one after the other. */
int weft_weight_vector(weft_graph *g, const char *const *name, int n,
                       const char *suffix, int count);

/* Floats NAME.weight [rows][dim]. */
int weft_weight_table(weft_graph *g, const char *name, int rows, int dim);

/* Make weight `i` out of part `part` of `parts` equal ones of its tensors'
 * first dimension: the tensors are that many times as tall as was said. */
void weft_weight_part(weft_graph *g, int i, int part, int parts);

/* A node of several linear layers without activation, of the `n` named modules,
 * side by side: [..][cin] -> [..][cout], cout of all. */
weft_val weft_add_stacked(weft_graph *g, const char *name,
                          const char *const *module, int n, weft_val in,
                          int cout, bool bias);

/* The modules of an attention, NAME.PART, as layers ask for weights by them. */
enum { WEFT_NAME_K, WEFT_NAME_V, WEFT_NAME_Q, WEFT_NAME_OUT, WEFT_NAMES };
typedef struct weft_names {
    char text[WEFT_NAMES][256];
    const char *at[WEFT_NAMES]; /* of text */
} weft_names;

/* False, and the graph has failed, where one is too long. */
bool weft_names_make(weft_graph *g, const char *name,
                     const char *const part[WEFT_NAMES], weft_names *n);

/* The args of the convolution that weight `matrix` is packed for, over values
 * in[0], in[1] (NONE: absent) with `bias` (NONE: absent) into `out`. */
weft_conv_args weft_conv_setup(const weft_graph *g, const weft_run *run,
                               const weft_val in[2], int matrix, int bias,
                               float *out);

/* The scratch that it needs of each worker in a layout. */
size_t weft_conv_room(const weft_graph *g, const weft_device *dev,
                      const weft_layout *l, weft_val in, int matrix);

/* The linear layer that weight `matrix` is packed for, on all my rows of one
 * value: out, of as many rows, is its result + res (NULL: nothing). */
void weft_project(const weft_graph *g, const weft_run *run, weft_val from,
                  int matrix, int bias, const float *res, float *out);

/* Optional value: NULL for NONE. */
const float *weft_run_optional(const weft_run *run, weft_val v);

/* A slot of all patches' rows of a value that spans the image. */
void weft_node_wants_all(weft_node *d, weft_class class, weft_val whole);

#endif
