/*
 * solver.h - from noise to a sample, one of weft's five seams.
 *
 * A solver walks nodes 0 .. steps; node i is a noise level, node `steps` the
 * end. step(i) takes x from node i to node i + 1; invert(i) takes x from node
 * i + 1 back to node i with the prediction made at (x, time of node i): DDIM's
 * exact inverse (methods 1.3). Arithmetic on coefficients is double, state is
 * float; every operation is element by element on my rows, so a solver never
 * needs a peer.
 */
#ifndef WEFT_CORE_SOLVE_SOLVER_H
#define WEFT_CORE_SOLVE_SOLVER_H

#include "core/guide/denoiser.h"
#include "core/rng.h"
#include "core/solve/schedule.h"

typedef struct weft_solver weft_solver;

typedef struct weft_solver_ops {
    const char *name;
    weft_status (*step)(weft_solver *s, int i, weft_denoiser *d, float *x);
    /* NULL: this solver cannot. */
    weft_status (*invert)(weft_solver *s, int i, weft_denoiser *d, float *x);
    int buffers; /* of a batch's floats that it keeps and works with */
} weft_solver_ops;

typedef struct weft_solver_opts {
    weft_solver_kind kind;
    int steps;
    double eta; /* ddim */
    /* Nodes of one's own, descending (sample.nodes: times; sample.sigmas:
     * Karras sigmas); NULL: the schedule's. Without the final one. */
    const double *nodes, *sigmas;
    int nnodes;
} weft_solver_opts;

struct weft_solver {
    const weft_solver_ops *ops;
    weft_solver_kind kind;
    weft_batch batch;
    weft_field field;    /* where my rows lie, for noise */
    int steps;
    double *time;        /* [steps + 1]: what the net is told at each node */
    double *sigma;       /* [steps + 1]: Karras sigma (VE) */
    double *abar;        /* [steps + 1] */
    double init_sigma;   /* the start is noise times this */
    double eta;
    const weft_noise_schedule *schedule; /* borrowed */
    weft_noise *noise;   /* [n], one per sample; borrowed */
    float *buffer;       /* [buffers][batch], borrowed from the plan */
    int history;         /* predictions kept so far (multistep) */
};

/* Plan time; *s is owned. Does not allocate batch-sized memory: see
 * weft_solver_buffers and weft_solver_bind. */
weft_status weft_solver_create(const weft_solver_opts *o,
                               const weft_noise_schedule *schedule,
                               weft_solver **s);
void weft_solver_destroy(weft_solver *s);
size_t weft_solver_buffer_floats(const weft_solver *s, const weft_batch *b);
void weft_solver_bind(weft_solver *s, const weft_batch *b, const weft_field *f,
                      weft_noise *noise, float *buffer);

/* Passes of the denoiser in step i (Heun: 2, but 1 in the last). */
int weft_solver_passes(const weft_solver *s, int i);
/* How many draws of noise step i makes. */
int weft_solver_draws(const weft_solver *s, int i);

/* Fill x with the start: draw 0 times init_sigma; forget history. */
void weft_solver_start(weft_solver *s, float *x);
static inline weft_status weft_solver_step(weft_solver *s, int i,
                                           weft_denoiser *d, float *x)
{
    return s->ops->step(s, i, d, x);
}
weft_status weft_solver_invert(weft_solver *s, int i, weft_denoiser *d,
                               float *x);

#endif
