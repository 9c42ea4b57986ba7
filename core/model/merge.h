/*
 * merge.h - a tensor of a file together with what a LoRA adds to it.
 *
 *   merged = base + sum over w->added of scale * up * down
 *
 * (LoRA: Low-Rank Adaptation of Large Language Models, Hu et al. 2021, 4.1).
 * Everything is read as float; the sums over the rank are in its order, and
 * the products are added to the base in the order of w->added, so the numbers
 * do not depend on threads or on who asks for them.
 */
#ifndef WEFT_CORE_MODEL_MERGE_H
#define WEFT_CORE_MODEL_MERGE_H

#include "core/net/graph.h"

/* WEFT_EINPUT of the two below: what is to be added holds an infinity or what
 * is not a number, named by file, matrix and place; merged, it adds more than a
 * float holds. */

/* Whether something is added to tensor `source` of w, and merged. */
bool weft_merge_wants(const weft_weight *w, int source);

/* One of the thin matrices that stand beside w (weft_graph_beside), all that is
 * added in one: [rank][cin], or [cout][rank] with the scales in it. *made is
 * owned by the caller (free). */
weft_status weft_merge_thin(const weft_weight *w, weft_thin thin, float **made);

/* `base`: the rows of tensor `source` that w is made of (w->part), base->cout
 * of them. *merged: as many, as floats; owned by the caller (free). `pool` may
 * be NULL. */
weft_status weft_merge(const weft_weight *w, int source,
                       const weft_source *base, weft_pool *pool,
                       float **merged);

#endif
