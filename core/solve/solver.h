/*
 * solver.h - from noise to a sample, one of weft's five seams.
 *
 * A solver walks nodes 0 .. steps; node i is a noise level, node `steps` the
 * end. step(i) takes x from node i to node i + 1; invert(i) takes x from node
 * i + 1 back to node i with the prediction made at (x, time of node i): DDIM's
 * exact inverse, without clipping or noise. A prediction of v or of the sample
 * is read at the level where x is. Arithmetic on coefficients is double, state
 * is float; every operation is element by element on my rows, and whole-sample
 * sums (superpose.h) go through a total, so the bytes cannot depend on the rows
 * held. Solvers are made of solvers too: see reflect.h and superpose.h.
 *
 * A step is a list of stages. A stage asks one or more denoisers about one x at
 * one time, then takes their answers; the solver itself calls none, so a plan
 * can list every evaluation of a run, and one solver for each sample in flight
 * keeps several under way. weft_solver_step is the loop over them:
 *
 *   weft_solver_create(&opts, &schedule, &s);
 *   buffer = floats(weft_solver_buffer_floats(s, &batch));
 *   weft_solver_bind(s, &batch, &field, noise, buffer);
 *   weft_solver_start(s, x);
 *   for (int i = 0; i < s->steps; i++) weft_solver_step(s, i, denoiser, x);
 *
 * Hand-over. From one step on another model may be asked in place of the first,
 * as by diffusers' denoising_end and denoising_start (SDXL's base and refiner):
 * weft_solver_hand_over. All that a solver keeps of predictions is forgotten
 * there, as by a pipeline that begins.
 *
 * State. Euler, Euler ancestral, Heun, LMS, dpmpp_sde and dpmpp_2s_ancestral
 * carry x in Karras' coordinates (VE), x = x0 + sigma eps, and give the net x /
 * sqrt(sigma^2 + 1); the others in VP coordinates, x = a x0 + s eps. Both end
 * as a diffusers pipeline's latents.
 *
 * Nodes. Times, sigmas and the initial sigma are those of the diffusers class
 * (as float32). The previous node of DDIM and PNDM is the next node of the
 * grid. Nodes of one's own:
 *   times   fractional ones lie between train steps. Solvers in Karras'
 *           coordinates interpolate sigma linearly, the rule of their classes;
 *           the others, whose classes know train steps only, ln sigma, the
 *           inverse of the next line.
 *   sigmas  taken as they are; the net's time is found by interpolating ln
 *           sigma (methods 12.3), held within the train steps.
 * Both must fall strictly; the end is the schedule's and is not given.
 */
#ifndef WEFT_CORE_SOLVE_SOLVER_H
#define WEFT_CORE_SOLVE_SOLVER_H

#include "core/guide/denoiser.h"
#include "core/guide/total.h"
#include "core/rng.h"
#include "core/solve/schedule.h"

enum { WEFT_ASKED = 32 }; /* denoisers in one question, at most */

/* What a stage asks. */
typedef struct weft_question {
    weft_input in;             /* the state, or a buffer of the solver's */
    int n;                     /* denoisers asked, all about the same input */
    int who[WEFT_ASKED];       /* which of the solver's denoisers */
    float *answer[WEFT_ASKED]; /* where theirs go: buffers of the solver's */
} weft_question;

/* Sums over whole samples: how often, and how many of a sample in all. */
typedef struct weft_solver_sums {
    int times, sums;
} weft_solver_sums;

typedef struct weft_solver weft_solver;

/* Stages of one step run in order: ask, answers, take. NULL where it says so.
 * Plan time: stages, who, draws, can_invert. */
typedef struct weft_solver_ops {
    const char *name;
    int buffers; /* of a batch's floats that it keeps and works with ... */
    bool orders; /* ... and one more for each order of its schedule */
    int (*stages)(const weft_solver *s, int i); /* NULL: 1 */
    /* Fills n and who. NULL: denoiser 0 alone. */
    void (*who)(const weft_solver *s, int i, int k, weft_question *q);
    int (*draws)(const weft_solver *s, int i); /* NULL: none */
    /* Which questions are alike from step to step: 0, 1, ... NULL: k. */
    int (*lane)(const weft_solver *s, int i, int k);
    /* Fills in (but for its lane) and answer; n and who are filled. */
    void (*ask)(weft_solver *s, int i, int k, const float *x, weft_question *q);
    /* The answers are in: go on. The last stage leaves x at node i + 1. */
    weft_status (*take)(weft_solver *s, int i, int k, float *x);
    /* From the level of which node; NULL: this solver has no inverse. */
    weft_status (*can_invert)(const weft_solver *s, int from);
    /* The answer to stage 0's question about a cleaner x is in: take x from the
     * level of node `from` to that of `to`. */
    weft_status (*invert)(weft_solver *s, int from, int to, float *x);
    /* What is not the base's; NULL: nothing more to do. */
    weft_status (*bind)(weft_solver *s);
    weft_status (*start)(weft_solver *s, float *x); /* x: the start */
    /* Which of its buffers stage k of step i and what follows still read: bit b
     * is buffer b. NULL: none. */
    unsigned (*keeps)(const weft_solver *s, int i, int k);
    /* The node at whose level a walk begins; NULL: that of its first step. */
    int (*begins)(const weft_solver *s);
    /* Plan time: in step i; -1: at the start. NULL: none. */
    weft_solver_sums (*totals)(const weft_solver *s, int i);
    void (*release)(weft_solver *s); /* memory of its own; NULL: has none */
} weft_solver_ops;

typedef struct weft_solver_opts {
    weft_solver_kind kind; /* the one that the schedule was read for */
    int steps;             /* not looked at where nodes are given */
    double eta;            /* ddim, tcd, 0 to 1; 0 for the others */
    /* Nodes of one's own, descending (sample.nodes: times; sample.sigmas:
     * Karras sigmas), one of the two; NULL: the schedule's. Without the final
     * one: nnodes is the number of steps. */
    const double *nodes, *sigmas;
    int nnodes;
} weft_solver_opts;

struct weft_solver {
    const weft_solver_ops *ops;
    weft_solver *inner; /* that it is made of, owned; or NULL */
    weft_solver_kind kind;
    weft_batch batch;
    weft_field field; /* where my rows lie, for noise */
    int steps;
    int first;       /* the step that a walk begins with; 0 from noise alone */
    uint32_t before; /* draws of noise before its steps; 1 from noise alone */
    int handover;    /* the step from which another model is asked; 0: none */
    double *time;    /* [steps + 1]: what the net is told; [steps] unused */
    double *sigma;   /* [steps + 1]: Karras sigma (VE) */
    double *abar;    /* [steps + 1]: 1 / (1 + sigma^2) */
    double init_sigma; /* the start is noise times this */
    double eta;
    const weft_noise_schedule *schedule; /* borrowed */
    weft_noise *noise;                   /* [n], one per sample; borrowed */
    int buffers;   /* of a batch's floats that it keeps and works with */
    float *buffer; /* [buffers][batch], borrowed from the plan */
    int denoisers; /* that it asks: who is below this */
    const weft_total *total; /* over my rows; NULL: all rows are here. Borrowed,
                              * set before binding */
    int sums;                /* of one sample, in one total, at most */
    int models;              /* whose log-density it carries; or 0 */
    double *log_density;     /* [n][models], owned */
    bool lenient; /* goes on with what is not a number, so that other samples of
                     the batch come out right */
};

/* Plan time; *s is owned, the schedule must outlive it. Does not allocate
 * batch-sized memory: see weft_solver_buffer_floats and weft_solver_bind.
 * WEFT_EINPUT: steps that the schedule cannot give, nodes that do not fall. */
weft_status weft_solver_create(const weft_solver_opts *o,
                               const weft_noise_schedule *schedule,
                               weft_solver **s);
void weft_solver_destroy(weft_solver *s); /* NULL is nothing */
/* From the first node on whose time is below (1 - from) of the train steps,
 * rounded, denoiser 1 is asked in place of denoiser 0; at whole steps, for
 * solvers that ask twice within one (there diffusers is half a step off).
 * Before binding, of a solver that asks one denoiser. WEFT_EINPUT: a part that
 * leaves one of the two nothing, or a solver whose start is a rule of its own.
 */
weft_status weft_solver_hand_over(weft_solver *s, double from);
size_t weft_solver_buffer_floats(const weft_solver *s, const weft_batch *b);
/* noise: [b->n] streams, one per sample; buffer: as many floats as said above.
 * Both borrowed until the solver is bound again or destroyed. WEFT_ENOMEM: for
 * sums of a superposition. */
weft_status weft_solver_bind(weft_solver *s, const weft_batch *b,
                             const weft_field *f, weft_noise *noise,
                             float *buffer);

int weft_solver_stages(const weft_solver *s, int i);
/* n and who of stage k of step i; the rest of *q is left alone. */
void weft_solver_who(const weft_solver *s, int i, int k, weft_question *q);
/* The lane of stage k of step i: predictions of one lane ask the same of nets
 * at times that are a step apart. */
int weft_solver_lane(const weft_solver *s, int i, int k);
int weft_solver_lanes(const weft_solver *s);
/* Answers in step i, all stages together. */
int weft_solver_passes(const weft_solver *s, int i);
/* How many draws of noise step i makes, whatever their coefficient. */
int weft_solver_draws(const weft_solver *s, int i);
/* The sums over whole samples that step i makes; -1: that a start from noise
 * does. Those of denoisers are not among them. */
weft_solver_sums weft_solver_totals(const weft_solver *s, int i);
/* WEFT_EINPUT: this solver, or its step to node `from`, cannot be inverted. */
weft_status weft_solver_can_invert(const weft_solver *s, int from);

/* The walk is to begin with step `first`, with `before` draws behind it,
 * instead of with noise alone. Plan time; before binding. */
void weft_solver_begin(weft_solver *s, int first, uint32_t before);
/* The node at whose level x then is: `first`, but for PLMS (repaint.h). */
int weft_solver_begins(const weft_solver *s);

/* Fill x with the start: the next draw (draw 0 of fresh streams) times
 * init_sigma. */
weft_status weft_solver_start(weft_solver *s, float *x);

/* What a sample consists of before stage k of step i, but for x, log-densities
 * and the position of its noise: bit b says buffer b (of weft_solver_work).
 * Where all of it has been put back, a walk goes on as if it had never ended.
 */
unsigned weft_solver_keeps(const weft_solver *s, int i, int k);
/* Buffer b of a bound solver, [rows][n][columns][channels]. */
float *weft_solver_work(const weft_solver *s, int b);
/* How many draws the noise of a sample has behind it before stage k of step i:
 * at least, and at most. */
void weft_solver_drawn(const weft_solver *s, int i, int k, uint32_t *least,
                       uint32_t *most);
/* One stage: what to ask, and what follows from the answers. Taking the last
 * one gives WEFT_ENAN, naming step, sample and row, where x is no longer
 * finite. */
void weft_solver_ask(weft_solver *s, int i, int k, const float *x,
                     weft_question *q);
weft_status weft_solver_take(weft_solver *s, int i, int k, float *x);
/* Ask all that *q names, let all work, take their answers. */
weft_status weft_question_put(const weft_question *q, weft_denoiser *const *d);
/* Say in which step a failure was; for whoever runs stages. */
weft_status weft_solver_failed(const weft_solver *s, int i, weft_status st);

/* All stages of step i; d: [denoisers]. */
weft_status weft_solver_step(weft_solver *s, int i, weft_denoiser *const *d,
                             float *x);
weft_status weft_solver_invert(weft_solver *s, int i, weft_denoiser *const *d,
                               float *x);

#endif
