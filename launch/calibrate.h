/*
 * calibrate.h - how fast each rank is.
 *
 * A convolution of a fixed size, on all threads of all ranks at the same time,
 * so that ranks that share a processor or its memory share it here too. A
 * tenth of a second. Speeds are relative to the slowest and rounded to tenths,
 * so that equal machines get equal weights.
 */
#ifndef WEFT_LAUNCH_CALIBRATE_H
#define WEFT_LAUNCH_CALIBRATE_H

#include "launch/config.h"
#include "launch/topology.h"
#include "mpi/comm.h"

/* Collective over the job: speed[ranks], the same on all of them; owned. */
weft_status weft_calibrate(weft_comm *world, const weft_config *c,
                           const weft_topology *t, double **speed);

#endif
