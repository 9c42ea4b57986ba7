/*
 * config_check.h - from a tree as typed to a tree that may be loaded.
 * *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_CHECK_H
#define WEFT_LAUNCH_CONFIG_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/status.h"
#include "launch/config.h"
#include "launch/config_tree.h"

/* Put one KEY=VALUE into the tree of `file`. Both texts are borrowed for the
 * life of the tree. */
weft_status weft_config_override(weft_tree *root, const char *file,
                                 const char *override);

/* Bring `models` and `schedule` into the form of config_schema.h. */
weft_status weft_config_shape(weft_tree *root);

/* Mappings from names of models to numbers (`bias`, `labels`) become lists in
 * the order of the models; lists of components likewise plainer. Part of
 * weft_config_shape. */
weft_status weft_config_shape_by_model(weft_tree *root);

/* `prompts`, likewise, with `prompt` for models that it does not name. */
weft_status weft_config_shape_prompts(weft_tree *root);
/* `pipeline`, where there are no `models`, is the one model. */
weft_status weft_config_shape_pipeline(weft_tree *root);
/* Without a solver of its own c has that of the class which the schedule's file
 * names, once that is known; a file that cannot be read is for whoever needs it
 * to say. */
weft_status weft_config_scheduler(weft_config *c);

/* The shortest decimal number that reads back as this one; and text in quotes.
 */
void weft_config_write_number(FILE *f, double value);
void weft_config_write_string(FILE *f, const char *text);

/* Hold a shaped tree against the schema: keys, types, choices, ranges, and
 * what is missing. */
weft_status weft_config_check(const weft_tree *root);

/* Put in what was left out. */
weft_status weft_config_defaults(weft_tree *root);

/* Where in its table of names a checked choice stands ("solver", ...). */
int weft_config_choice(const char *path, const char *name);

/* Hold the name of an output (`path`: its key) against the placeholders there
 * are. `several`: it must tell the images apart. */
weft_status weft_config_check_pattern(const weft_tree *t, const char *path,
                                      bool several, bool has_label);
/* A report has no placeholders. */
weft_status weft_config_check_single(const weft_tree *t, const char *key);

/* What to open for the path at `t`, and its portable form (config.h); both
 * owned. `key` names it in messages. `identity`: look for it as for one in an
 * image. */
weft_status weft_config_find_path(const weft_tree *t, const char *key,
                                  bool identity, char **path, char **portable);
/* The same of `key`, if it is there. */
weft_status weft_config_take_path(const weft_tree *root, const char *key,
                                  bool identity, weft_config_path *to);
/* The name of an output at `t`: beside the config, or as it is in an override.
 * `pattern`: braces in the config's own folder are doubled. *path owned. */
weft_status weft_config_output_path(const weft_tree *t, bool pattern,
                                    char **path);

/* The pattern that an image is made again under: STEM.png gives
 * STEM-again.png, any other name NULL. *path owned. */
weft_status weft_config_again(const char *file, bool several, char **path);

/* "0-7", "0-99,200" as numbers in that order; *seed owned. Duplicates, more
 * than WEFT_MAX_SEEDS and anything else are refused at `at`. */
weft_status weft_config_seeds(const weft_place *at, const char *text,
                              uint64_t **seed, int *n);
/* The same as ranges in that order; *range owned. Overlaps are refused at `at`,
 * in the name of `key`. */
weft_status weft_config_ranges(const weft_place *at, const char *key,
                               const char *text, weft_range **range, int *n);

#endif
