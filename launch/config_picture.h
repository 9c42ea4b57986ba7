/*
 * config_picture.h - pictures that samples begin with, or follow. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_PICTURE_H
#define WEFT_LAUNCH_CONFIG_PICTURE_H

#include <stdio.h>

#include "launch/config.h"
#include "launch/config_schema.h"

/* sample.image, mask, strength and control. */
weft_status weft_config_take_picture(const weft_tree *root,
                                     const weft_raw_sample *raw, bool identity,
                                     weft_config *c);

/* Members of an identity's `sample`, each with the comma before it. */
void weft_config_write_picture(FILE *f, const weft_config *c);

#endif
