/*
 * config_dataset.h - `dataset:`: which items, and in what form. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_DATASET_H
#define WEFT_LAUNCH_CONFIG_DATASET_H

#include "launch/config.h"
#include "launch/config_schema.h"

/* Fill in c->dataset. */
weft_status weft_config_take_dataset(const weft_tree *root,
                                     const weft_raw_dataset *raw,
                                     weft_config *c);

/* What is planned on `ranks` ranks for a data set: images without end, each on
 * ranks of its own unless the config says otherwise, and no files of single
 * images. */
void weft_config_for_dataset(weft_config *c, int ranks);
/* Is this the config of one? */
bool weft_config_is_dataset(const weft_config *c);

#endif
