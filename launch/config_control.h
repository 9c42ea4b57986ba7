/*
 * config_control.h - control nets of models, and their pictures. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_CONTROL_H
#define WEFT_LAUNCH_CONFIG_CONTROL_H

#include <stdio.h>

#include "launch/config.h"
#include "launch/config_schema.h"

/* Put in what was left out of each of `controls`. */
weft_status weft_config_default_controls(const weft_tree *root);

/* `controls` of the model whose tree is `m`. */
weft_status weft_config_take_controls(const weft_tree *m,
                                      const weft_raw_model *raw, bool identity,
                                      weft_config_model *to);

/* Whether two models (NULL: one that has none) have the same nets. */
bool weft_config_same_controls(const weft_config_model *a,
                               const weft_config_model *b);
/* ... or one of them has more, behind those of the other. */
bool weft_config_controls_begin_alike(const weft_config_model *a,
                                      const weft_config_model *b);

/* A member of a model's in an identity, with a comma before it. */
void weft_config_write_controls(FILE *f, const weft_config_model *m);

void weft_config_release_controls(weft_config_model *m);

#endif
