/*
 * pipeline.h - several batches in flight, so that no role waits in turn.
 *
 * Strong and weak take turns on one batch of samples; with a second batch in
 * flight weak works on it meanwhile. The order of all stages of all batches is
 * decided in the plan: list scheduling by cost, the same on every rank. A
 * *turn* is one stage of one batch. Every rank walks all turns in this order:
 * it takes the answers to the batch's last questions, asks the next, and
 * evaluates what is its own.
 *
 * Why nobody waits for ever: whatever a rank waits for in a turn (answers, and
 * that buffers of the slot may be written again) was sent or received by the
 * others in earlier turns of the same order, so the first turn that is not yet
 * done by all can always be done.
 *
 * Batches enter in order and none overtakes another, so they leave in order;
 * batch b is in slot b modulo flights.
 *
 * The order is made turn by turn: it needs no memory, however many images.
 */
#ifndef WEFT_PARTITION_PIPELINE_H
#define WEFT_PARTITION_PIPELINE_H

#include "partition/roles.h"

enum { WEFT_FLIGHTS = 8, WEFT_STAGE_LANES = 2 * WEFT_ROLES };

/* What is evaluated: a role's net on a batch of fixed size. */
typedef struct weft_lane_cost {
    int role;
    double seconds; /* on the ranks of its role */
} weft_lane_cost;

/* One stage of a batch's way from noise to files. */
typedef struct weft_stage {
    int step, index; /* the solver's, and which of the step's stages */
    int n;
    int lane[WEFT_STAGE_LANES]; /* evaluated, in this order where ranks are
                                   shared */
    bool leaves;                /* the batch is done: decode and write */
    int planes; /* what a sample consists of before it, each of its latent's
                   size: kept in checkpoints */
} weft_stage;

typedef struct weft_pipeline_spec {
    const weft_roles *roles;
    const weft_lane_cost *lane; /* [nlanes] */
    int nlanes;
    const weft_stage *stage; /* [nstages], of every batch; the last leaves */
    int nstages;
    int batches, flights;
    const int *begin; /* [nbegun]: the stages at which the first batches enter,
                         none later than the one before; borrowed */
    int nbegun;
    double hop; /* seconds that answers take from rank to rank */
} weft_pipeline_spec;

typedef struct weft_turn {
    int batch, slot, stage;
    double start, end; /* expected, seconds from the first */
} weft_turn;

typedef struct weft_pipeline {
    weft_pipeline_spec spec; /* what it points to is borrowed */
    struct {
        int next; /* stage */
        double ready;
    } flight[WEFT_FLIGHTS];
    int entered, left; /* batches left .. entered - 1 are in flight */
    double *free_at;   /* [ranks], owned */
} weft_pipeline;

/* Collective in spirit: equal specs give equal orders. WEFT_EINPUT: flights
 * outside 1 .. WEFT_FLIGHTS. */
weft_status weft_pipeline_make(const weft_pipeline_spec *s, weft_pipeline *p);
void weft_pipeline_release(weft_pipeline *p);
/* Begin again. */
void weft_pipeline_restart(weft_pipeline *p);
/* Are there no more turns? */
bool weft_pipeline_done(const weft_pipeline *p);
/* The next turn, or false after the last. */
bool weft_pipeline_next(weft_pipeline *p, weft_turn *t);

/* What is to be expected of the whole order. */
typedef struct weft_forecast {
    double seconds;
    double busy[WEFT_ROLES]; /* share of the time that each role works */
} weft_forecast;

/* Of long orders the first batches are walked. Begins again. */
weft_forecast weft_pipeline_forecast(weft_pipeline *p);

/* Every stage of every batch once, in order, none overtaken, no slot taken
 * twice: what the argument above rests on. Walks at most `turns` turns and
 * begins again. */
bool weft_pipeline_is_valid(weft_pipeline *p, long turns);

#endif
