/*
 * respace.h - sigmas of a shape of their own between two ends (methods 12.3).
 * Inside core/solve only.
 */
#ifndef WEFT_CORE_SOLVE_RESPACE_H
#define WEFT_CORE_SOLVE_RESPACE_H

#include "core/solve/schedule.h"

/* Sigma i of n from `max` down to `min`. */
double weft_respaced(weft_respacing r, double max, double min, int n, int i);

/* The x of which the beta distribution of .6 and .6 has a part p below it. */
double weft_beta_inverse(double p);

#endif
