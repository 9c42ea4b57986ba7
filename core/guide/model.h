/*
 * model.h - a net on a lane, as a denoiser.
 *
 * Everything it needs was made in the plan and is borrowed: the graph and its
 * layout, the memory block, the packed weights, a lane with the graph's slots
 * bound. Work copies my rows in, runs the net, and copies my rows out.
 */
#ifndef WEFT_CORE_GUIDE_MODEL_H
#define WEFT_CORE_GUIDE_MODEL_H

#include "core/guide/denoiser.h"
#include "core/net/graph.h"

/* `run` is copied, but for its times and labels, which the model keeps itself:
 * [n] labels from `label`, copied; NULL where the net takes none. */
weft_status weft_model_create(const weft_graph *g, const weft_run *run,
                              const float *label, weft_denoiser **out);

/* One exchange for each of the solver's lanes, instead of run->x for all. They
 * have the same slots; the pointers are borrowed. */
void weft_model_set_lanes(weft_denoiser *model, weft_exchange *const *lane,
                          int n);

/* The packed weights are there, or somewhere else now; borrowed. */
void weft_model_set_weights(weft_denoiser *model, const void *weights);

/* Other labels for the next batch of images. */
void weft_model_set_labels(weft_denoiser *model, const float *label);

/* What a net of 2 c + 1 channels is told beside x, as diffusers' inpainting: a
 * mask [rows][w], alike for all samples, and what is known of the picture
 * [rows][n][w][c]. Borrowed. */
typedef struct weft_beside {
    const float *mask, *known;
    int n; /* sample k of a net is sample k % n here */
} weft_beside;

/* x, mask and known side by side: b, of c channels, becomes one of 2 c + 1. */
void weft_beside_widen(const weft_batch *b, const float *x,
                       const weft_beside *beside, float *wide);
/* For a net that wants it, before it works. */
void weft_model_set_beside(weft_denoiser *model, const weft_beside *beside);

#endif
