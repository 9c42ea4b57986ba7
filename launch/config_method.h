/*
 * config_method.h - models, and what a method makes of them: where one key
 * depends on another. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_METHOD_H
#define WEFT_LAUNCH_CONFIG_METHOD_H

#include <stdio.h>

#include "launch/config.h"
#include "launch/config_schema.h"

/* One of `models` has this key; `path` is where it stands. */
weft_status weft_config_check_model_name(const weft_tree *t,
                                         const weft_tree *models,
                                         const char *path);

/* Fill in shape and components of model `i`, whose tree is `m`: an analytic
 * one; or check that it has a path. */
weft_status weft_config_take_model(const weft_tree *m,
                                   const weft_raw_model *raw, weft_config *c,
                                   int i);

/* Fill in method, model, over and how, and labels of models. c->model and the
 * other keys of sample are there. */
weft_status weft_config_take_method(const weft_tree *root, weft_raw_sample *raw,
                                    weft_config *c);

/* Down and up again before the ordinary step (core/solve/reflect.h)? */
bool weft_method_reflects(weft_method_kind method);

/* Parts of an identity: an analytic model; the method's keys of `sample`, with
 * a comma before each. */
void weft_config_write_analytic(FILE *f, const weft_config_model *m);
void weft_config_write_method(FILE *f, const weft_config *c);

#endif
