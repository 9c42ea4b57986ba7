/*
 * config_gpu.h - which GPU's noise `sample.rng: torch-cuda` is. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_GPU_H
#define WEFT_LAUNCH_CONFIG_GPU_H

#include "launch/config.h"
#include "launch/config_schema.h"

/* sample.gpu, a name or "108x2048", into c->sample.gpu. */
weft_status weft_config_take_gpu(const weft_tree *root,
                                 const weft_raw_sample *raw, weft_config *c);

#endif
