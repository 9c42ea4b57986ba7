/*
 * plan.h - who does what, as plain data.
 *
 * Everything that a run decides before its first step: the grid, each patch's
 * rows, the batches, and for every net the memory, the messages and the work
 * of one evaluation. A plan needs no MPI and no weights; it checks itself,
 * prints itself, and has a hash that all ranks compare before step 0.
 *
 * Message counts are exact: a run counts the same (tested).
 */
#ifndef WEFT_PARTITION_PLAN_H
#define WEFT_PARTITION_PLAN_H

#include <stdio.h>

#include "core/net/graph.h"
#include "partition/grid.h"

/* Payload of all ranks of one group together, counted at the sender. */
typedef struct weft_volume {
    uint64_t bytes[WEFT_CLASSES], messages[WEFT_CLASSES];
} weft_volume;

enum { WEFT_PLAN_NETS = 4, WEFT_PLAN_LANES = 16 };

/* One net as a plan sees it. */
typedef struct weft_plan_net {
    const char *role; /* "denoise", "decode"; borrowed */
    const weft_graph *graph;
    int n;             /* samples that one evaluation takes */
    int evaluations;   /* calls per batch of images ... */
    bool each_image;   /* ... or per image */
    size_t file_bytes; /* of its weights in the checkpoint */
    weft_schedule sched;
    int lanes;                    /* 0 is 1 */
    int in_lane[WEFT_PLAN_LANES]; /* the evaluations, where there are several */
    /* filled in by weft_plan_make: */
    size_t weight_bytes;               /* packed, once per node */
    size_t block_bytes, scratch_bytes; /* the largest rank's; per worker */
    size_t max_rows_held, max_rows_image;
    double flops;          /* of one evaluation, all patches */
    double share;          /* of the flops that the busiest patch does */
    size_t past_bytes;     /* the largest rank's, all lanes */
    weft_volume volume;    /* of one evaluation in step ... */
    weft_volume displaced; /* ... and of a displaced one */
} weft_plan_net;

typedef struct weft_plan {
    /* asked */
    int ranks, patches;          /* patches 0: auto */
    int width, height;           /* pixels */
    int rows, columns, channels; /* of the latent */
    int unit, strip;   /* latent rows and columns that are never divided */
    int images, batch; /* in all; at once in a group */
    int steps, threads;
    int row_scale;              /* rows of the picture per latent row */
    size_t picture_row_bytes;   /* sent to the writer; 0: no picture */
    size_t latent_row_bytes;    /* likewise; 0: latents are not written */
    size_t state_bytes_per_row; /* the solver's, per latent row and sample */
    const char *kernels;        /* borrowed */
    const weft_device *dev;     /* borrowed */
    weft_plan_net net[WEFT_PLAN_NETS];
    int nnets;
    uint64_t identity; /* hash of whatever else must be equal */
    /* made */
    weft_grid grid;
    int units;
    int *first;         /* [patches + 1], owned */
    weft_volume output; /* of one image */
    uint64_t hash;
} weft_plan;

enum { WEFT_STREAM_PIECE = 16 }; /* rows of a picture in one message, at most */

/* Fill in the rest, or WEFT_EINPUT with the numbers. On failure nothing is
 * left to release. */
weft_status weft_plan_make(weft_plan *p);
void weft_plan_release(weft_plan *p);

/* Every row is owned once, every part is as the grid says. WEFT_MUST-like: a
 * failure is weft's own mistake. */
bool weft_plan_is_valid(const weft_plan *p);

/* How an image is cut; `patch` is me. Borrows from the plan. */
weft_cut weft_plan_cut(const weft_plan *p, int patch);

/* Images of group g: first .. first of g + 1, of the list of seeds. */
int weft_plan_first_image(const weft_plan *p, int group);

/* Memory of the rank that holds patch `patch`, by use. */
typedef struct weft_plan_memory {
    size_t weights_share; /* the node's packed weights, over its ranks */
    size_t activations, scratch, state, past, total;
} weft_plan_memory;

/* `ranks_on_node` share one copy of the weights. */
weft_plan_memory weft_plan_memory_of(const weft_plan *p, int patch,
                                     int ranks_on_node);

/* Payload of one group's images: what a run counts. */
weft_volume weft_plan_total(const weft_plan *p);

/* The volume of one evaluation of a graph over a cut, in step. */
weft_volume weft_plan_graph_volume(const weft_graph *g, int n,
                                   const weft_cut *cut);
/* The same of a displaced one. */
weft_volume weft_plan_graph_displaced(const weft_graph *g, int n,
                                      const weft_cut *cut, weft_schedule sched);
/* Memory of the past of one lane of the graph on patch cut->me. */
weft_status weft_plan_graph_past(const weft_graph *g, int n,
                                 const weft_cut *cut, weft_schedule sched,
                                 size_t *bytes);
/* Of the first `evaluations` of a lane, those that are displaced. */
int weft_plan_displaced(weft_schedule sched, int evaluations);

void weft_plan_print(const weft_plan *p, FILE *to);
void weft_plan_print_json(const weft_plan *p, FILE *to);

#endif
