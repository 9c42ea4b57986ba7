/*
 * load.h - from tensors in a file to the packed weights of a net.
 *
 * A net's graph says which tensors it wants, of which shapes. Checking finds
 * them all before anything is loaded; packing hands each to the device, at its
 * place in the layout, and gives the file's pages back as it goes, so that
 * weights are held once. Workers and ranks may share the packing: every byte
 * is written by one of them, whoever that is. Where the graph has something to
 * add to a weight (weft_low_rank), its tensors are merged just before it is
 * packed (merge.h), and forgotten after it. Of nets that are kin (graph.h) each
 * packs what those before it have not.
 *
 * Attention is found under its names of today (to_q, to_k, to_v, to_out.0) and
 * under the older ones (query, key, value, proj_attn). A 1x1 convolution may
 * be stored as a matrix, and the other way round. Text
 * encoders are found with the "text_model." before their names and without it.
 */
#ifndef WEFT_CORE_MODEL_LOAD_H
#define WEFT_CORE_MODEL_LOAD_H

#include "core/model/safetensors.h"
#include "core/net/graph.h"

/* The type to build a net with: that of all matrices in the file, or float
 * where they differ. */
weft_dtype weft_load_dtype(const weft_st *st);

/* The type of a tensor; false where it is none of F32, F16 and BF16. */
bool weft_load_type(const weft_st_tensor *t, weft_dtype *type);

/* WEFT_EINPUT unless the file has every tensor of the graph with its shape,
 * as F32, F16 or BF16; names what is missing or wrong, at most ten of each, of
 * the first file of joined ones that has any of it. *bytes, which may be NULL:
 * of the tensors that the graph uses, as in the file. */
weft_status weft_load_check(const weft_graph *g, const weft_st *st,
                            size_t *bytes);

/* Tensors of a file that has passed which the graph does not use: how many, and
 * the first of them, NULL where there is none. What has one of the texts of
 * `besides` in its name, which ends in NULL, is for another graph and not
 * counted, nor are position_ids, which count positions. */
typedef struct weft_load_rest {
    int n;
    const char *first; /* its name; valid while the file is open */
} weft_load_rest;

weft_status weft_load_unused(const weft_graph *g, const weft_st *st,
                             const char *const *besides, weft_load_rest *rest);

/* Pack part `part` of `nparts` into `dst` (layout->weight_bytes in all, 64-byte
 * aligned; of the layout only the weights count): parts are disjoint, about
 * equal in bytes, and together everything. What is packed does not depend on
 * nparts or the pool (NULL: no threads). The file must have passed
 * weft_load_check for this graph. */
weft_status weft_load_pack(const weft_graph *g, const weft_device *dev,
                           const weft_layout *layout, const weft_st *st,
                           void *dst, int part, int nparts, weft_pool *pool);

#endif
