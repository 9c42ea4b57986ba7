/*
 * config_prompt.h - prompts in a config, and the text encoders that they go
 * through. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_PROMPT_H
#define WEFT_LAUNCH_CONFIG_PROMPT_H

#include <stdio.h>

#include "launch/config.h"
#include "launch/config_schema.h"

/* `text:`; zeros: its force_zeros_for_empty_prompt, or NULL. */
weft_status weft_config_take_text(const weft_tree *root, const char *zeros,
                                  bool identity, weft_config_text *to);
void weft_config_release_text(weft_config_text *t);
void weft_config_release_path(weft_config_path *p);

/* What `sample:` says of them. Models and sizes are there. */
void weft_config_take_prompts(const weft_tree *root, weft_raw_sample *raw,
                              weft_config *c);

/* Members of an identity, each with the comma before it: of `sample`, and the
 * whole of `text`. */
void weft_config_write_prompts(FILE *f, const weft_config *c);
void weft_config_write_text(FILE *f, const weft_config_text *t);

/* The first lines of a picture's parameters. */
void weft_config_prompt_parameters(FILE *f, const weft_config *c);

#endif
