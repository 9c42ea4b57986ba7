/*
 * weights.h - how much of each model a superposition takes. Inside core/solve
 * only.
 */
#ifndef WEFT_CORE_SOLVE_WEIGHTS_H
#define WEFT_CORE_SOLVE_WEIGHTS_H

#include "core/solve/superpose.h"

/* kappa = softmax(temperature ll + bias). */
void weft_weights_or(int m, double temperature, const double *ll,
                     const double *bias, double *kappa);

/* The kappa that sums to 1 with (gram kappa)_i - rhs_i the same for all i,
 * nearest to 1 / m each where there are several; gram: [m][m] by rows. It is
 * the solution of the system [gram -1; 1 0] [kappa; c] = [rhs; 1]. */
void weft_weights_and(int m, const double *gram, const double *rhs,
                      double *kappa);

#endif
