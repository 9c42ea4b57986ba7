/*
 * family.h - which classes of schedulers a file may be of. Inside core/solve
 * only.
 */
#ifndef WEFT_CORE_SOLVE_FAMILY_H
#define WEFT_CORE_SOLVE_FAMILY_H

#include "core/solve/option.h"

/* WEFT_EINPUT where the class, its prediction_type or its sigmas are those of
 * flows: what it is, why no U-Net goes with it, and what to give instead. */
weft_status weft_flows_refuse(const weft_options *f);

#endif
