/*
 * cost_plan.h - what a whole plan costs on a cluster: steps, images, memory.
 *
 * Ranks fill the cluster's nodes in order. Nets on the same ranks take turns,
 * nets on others work at the same time; what they tell each other, a prediction
 * a step, is left out. *Local*.
 */
#ifndef WEFT_PARTITION_COST_PLAN_H
#define WEFT_PARTITION_COST_PLAN_H

#include "partition/cost.h"
#include "partition/plan.h"

/* Seconds. `images` are those of one batch, decoded, without their output. */
typedef struct weft_plan_cost {
    /* all evaluations that the nets which sample make at one place */
    double compute, blocking, in_step, displaced[WEFT_WIRES];
    double alone;             /* the images on one such rank */
    double images;            /* ... in step */
    double async[WEFT_WIRES]; /* ... displaced after `warmup` evaluations */
    double node_memory;       /* bytes of the fullest node */
} weft_plan_cost;

/* `warmup`, `lag`: of displaced evaluations. WEFT_EINPUT: more ranks than the
 * cluster has room for; see also weft_cost_of. */
weft_status weft_plan_cost_of(const weft_plan *p, const weft_cluster *c,
                              int warmup, int lag, weft_plan_cost *cost);

/* The narrowest gain that is worth a wire format which is not exact, or another
 * image: quicker formats count from here on. */
#define WEFT_COST_WORTH 0.05

/* The first wire, from f32 on, which none beats by WEFT_COST_WORTH. */
weft_wire weft_plan_cost_wire(const weft_plan_cost *cost);

/* A member, "cost", with its comma. */
void weft_plan_cost_json(const weft_plan_cost *cost, FILE *to);

#endif
