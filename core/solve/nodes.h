/*
 * nodes.h - the noise levels that a solver walks: time, sigma and cumulative
 * alpha of every node, and the sigma of the start. Inside core/solve only.
 */
#ifndef WEFT_CORE_SOLVE_NODES_H
#define WEFT_CORE_SOLVE_NODES_H

#include "core/solve/solver.h"

/* In Karras' coordinates, x = x0 + sigma eps? Their classes have fractional
 * times. */
bool weft_nodes_karras(weft_solver_kind kind);

/* Fill time, sigma, abar ([s->steps + 1] each) and init_sigma of a solver whose
 * kind, steps and schedule are set. */
weft_status weft_nodes_fill(const weft_solver_opts *o, weft_solver *s);

/* The net's time at a Karras sigma that no train step has: fractional, within
 * the train steps (methods 12.3). */
double weft_time_of(const weft_noise_schedule *c, double sigma);
/* Cumulative alpha at a time, which may lie between train steps. */
double weft_abar_of(const weft_noise_schedule *c, double time);

#endif
