/*
 * config_run.h - when and where checkpoints are written. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_RUN_H
#define WEFT_LAUNCH_CONFIG_RUN_H

#include "launch/config.h"
#include "launch/config_schema.h"

/* run.checkpoint ("10": steps, "30s": seconds) and run.state. */
weft_status weft_config_take_run(const weft_tree *root, const weft_raw_run *raw,
                                 weft_config *c);

#endif
