/*
 * solver.h - from noise to a sample, one of weft's five seams.
 *
 * A solver walks nodes 0 .. steps; node i is a noise level, node `steps` the
 * end. step(i) takes x from node i to node i + 1; invert(i) takes x from node
 * i + 1 back to node i with the prediction made at (x, time of node i): DDIM's
 * exact inverse (methods 1.3), without clipping or noise. A prediction of v or
 * of the sample is read at the level where x is. Arithmetic on coefficients is
 * double, state is float; every operation is element by element on my rows, so
 * a solver never needs a peer and the bytes cannot depend on the rows held.
 *
 *   weft_solver_create(&opts, &schedule, &s);
 *   buffer = floats(weft_solver_buffer_floats(s, &batch));
 *   weft_solver_bind(s, &batch, &field, noise, buffer);
 *   weft_solver_start(s, x);
 *   for (int i = 0; i < s->steps; i++) weft_solver_step(s, i, denoiser, x);
 *
 * State. DDIM and DPM-Solver++ carry x in VP coordinates, x = a x0 + s eps;
 * Euler, Euler ancestral and Heun in Karras' (VE), x = x0 + sigma eps, and give
 * the net x / sqrt(sigma^2 + 1). Both end as a diffusers pipeline's latents.
 *
 * Nodes. Times, sigmas and the initial sigma are those of the diffusers class
 * (as float32). DDIM's previous node is the next node of the grid. Nodes of
 * one's own:
 *   times   fractional ones lie between train steps. Euler, Euler ancestral
 *           and Heun interpolate sigma linearly, the rule of their classes;
 *           DDIM and DPM-Solver++, whose classes know train steps only, ln
 *           sigma, the inverse of the next line.
 *   sigmas  taken as they are; the net's time is found by interpolating ln
 *           sigma (methods 12.3), held within the train steps.
 * Both must fall strictly; the end is the schedule's and is not given.
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
    weft_solver_kind kind; /* the one that the schedule was read for */
    int steps;             /* not looked at where nodes are given */
    double eta;            /* ddim, 0 to 1; 0 for the others */
    /* Nodes of one's own, descending (sample.nodes: times; sample.sigmas:
     * Karras sigmas), one of the two; NULL: the schedule's. Without the final
     * one: nnodes is the number of steps. */
    const double *nodes, *sigmas;
    int nnodes;
} weft_solver_opts;

struct weft_solver {
    const weft_solver_ops *ops;
    weft_solver_kind kind;
    weft_batch batch;
    weft_field field; /* where my rows lie, for noise */
    int steps;
    double *time;      /* [steps + 1]: what the net is told; [steps] unused */
    double *sigma;     /* [steps + 1]: Karras sigma (VE) */
    double *abar;      /* [steps + 1]: 1 / (1 + sigma^2) */
    double init_sigma; /* the start is noise times this */
    double eta;
    const weft_noise_schedule *schedule; /* borrowed */
    weft_noise *noise;                   /* [n], one per sample; borrowed */
    float *buffer; /* [buffers][batch], borrowed from the plan */
    int history;   /* predictions kept so far (multistep) */
};

/* Plan time; *s is owned, the schedule must outlive it. Does not allocate
 * batch-sized memory: see weft_solver_buffer_floats and weft_solver_bind.
 * WEFT_EINPUT: steps that the schedule cannot give, nodes that do not fall. */
weft_status weft_solver_create(const weft_solver_opts *o,
                               const weft_noise_schedule *schedule,
                               weft_solver **s);
void weft_solver_destroy(weft_solver *s); /* NULL is nothing */
size_t weft_solver_buffer_floats(const weft_solver *s, const weft_batch *b);
/* noise: [b->n] streams, one per sample; buffer: as many floats as said above.
 * Both borrowed until the solver is bound again or destroyed. */
void weft_solver_bind(weft_solver *s, const weft_batch *b, const weft_field *f,
                      weft_noise *noise, float *buffer);

/* Passes of the denoiser in step i (Heun: 2, but 1 in the last). */
int weft_solver_passes(const weft_solver *s, int i);
/* How many draws of noise step i makes, whatever their coefficient. */
int weft_solver_draws(const weft_solver *s, int i);

/* Fill x with the start: the next draw (draw 0 of fresh streams) times
 * init_sigma; forget history. */
void weft_solver_start(weft_solver *s, float *x);
/* WEFT_ENAN names step, sample and row where x is no longer finite. */
weft_status weft_solver_step(weft_solver *s, int i, weft_denoiser *d, float *x);
/* WEFT_EINPUT: this solver, or this step, cannot be inverted. */
weft_status weft_solver_invert(weft_solver *s, int i, weft_denoiser *d,
                               float *x);

#endif
