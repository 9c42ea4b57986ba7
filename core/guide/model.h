/*
 * model.h - a net on a lane, as a denoiser.
 *
 * Everything it needs was made in the plan and is borrowed: the graph and its
 * layout, the memory block, the packed weights, a lane with the graph's slots
 * bound. Predicting copies my rows in, runs the net, and copies my rows out.
 */
#ifndef WEFT_CORE_GUIDE_MODEL_H
#define WEFT_CORE_GUIDE_MODEL_H

#include "core/guide/denoiser.h"
#include "core/net/graph.h"

typedef struct weft_model_opts {
    const weft_graph *graph;
    const weft_layout *layout; /* of n samples: the denoiser's batch */
    const weft_device *dev;
    weft_pool *pool;
    weft_exchange *lane;
    int first_slot; /* of the graph on the lane */
    char *block;
    const char *weights;
    double *seconds; /* [nnodes], added up per layer; or NULL */
} weft_model_opts;

/* `label`: [n] class labels, copied; NULL where the net takes none. */
weft_status weft_model_create(const weft_model_opts *o, const float *label,
                              weft_denoiser **out);

/* Other labels for the next batch of images. */
void weft_model_set_labels(weft_denoiser *model, const float *label);

#endif
