/*
 * config_parallel.h - `parallel:`, where one key depends on another. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_PARALLEL_H
#define WEFT_LAUNCH_CONFIG_PARALLEL_H

#include "launch/config.h"
#include "launch/config_schema.h"

/* Fill in all of c->parallel but the grain. What is taken from `raw` is NULL
 * afterwards. */
weft_status weft_config_parallel(const weft_tree *root, weft_raw_parallel *raw,
                                 weft_config *c);

#endif
