/*
 * plan_cluster.h - `weft plan --cluster`: times that nobody measured, and what
 * follows from them. *Local*.
 */
#ifndef WEFT_LAUNCH_PLAN_CLUSTER_H
#define WEFT_LAUNCH_PLAN_CLUSTER_H

#include <stdio.h>

#include "launch/cluster.h"
#include "launch/setup.h"
#include "partition/cost_plan.h"

/* What the plan of `s` costs. */
weft_status weft_plan_cluster_cost(const weft_setup *s, const weft_cluster *c,
                                   weft_plan_cost *cost);

/* In words, with advice on the layout of patches, the exchange and the wire:
 * other layouts are planned too. */
weft_status weft_plan_cluster_print(const weft_setup *s, const weft_cluster *c,
                                    const weft_plan_cost *cost, FILE *to);

#endif
