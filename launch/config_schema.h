/*
 * config_schema.h - what a config may hold: one table for names and types,
 * which libcyaml loads by and config_check.c checks by.
 *
 * The table describes a tree in which `models` has become a list of mappings
 * with a `name`, `parallel.roles` one of {name, ranks}, mappings from models to
 * numbers and texts lists in the order of the models, and the keys of
 * `schedule` other than path one text, `inline`.
 * Everything is still as typed: names as text, "auto" as 0. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_SCHEMA_H
#define WEFT_LAUNCH_CONFIG_SCHEMA_H

#include <stdint.h>

#include <cyaml/cyaml.h>

#include "core/status.h"
#include "launch/config_tree.h"

typedef struct weft_raw_component {
    double weight, std;
    double *mean;
    int nmean;
} weft_raw_component;

typedef struct weft_raw_lora {
    char *path;
    double scale;
} weft_raw_lora;

typedef struct weft_raw_control {
    char *path, *image;
    double scale, start, end;
} weft_raw_control;

typedef struct weft_raw_model {
    char *name, *path, *pipeline, *kind;
    int *shape;
    int nshape;
    weft_raw_component *mixture;
    int nmixture;
    weft_raw_lora *loras;
    int nloras;
    weft_raw_control *controls;
    int ncontrols;
} weft_raw_model;

typedef struct weft_raw_folder {
    char *path, *rest;
} weft_raw_folder;

typedef struct weft_raw_text {
    char *encoder, *tokenizer, *encoder_2, *tokenizer_2;
    char *force_zeros_for_empty_prompt;
} weft_raw_text;

typedef struct weft_raw_sample {
    char *method, *model, *refiner, *solver, *rng, *gpu, *image, *mask;
    char *control;
    double strength, refine_from;
    int steps;
    double guidance, eta;
    int width, height, label, null_label;
    uint64_t seed;
    char *seeds;
    double *nodes, *sigmas;
    int nnodes, nsigmas;
    /* how guidance goes over the steps */
    char *guidance_schedule;
    double guidance_end, guidance_rescale;
    double *guidance_interval;
    int ninterval;
    /* methods */
    int lambda, rounds, inverse_offset;
    double guidance_strong, guidance_weak, gamma1, gamma2, autoguidance;
    double temperature, lift;
    char *superdiff_quirk;
    /* by model, in the order of the config */
    double *bias;
    int *labels, *null_labels;
    int nbias, nlabels, nnull_labels;
    /* texts; prompts by model, as above */
    char *prompt, *negative_prompt, *prompt_syntax;
    char **prompts;
    int nprompts, clip_skip;
    int *original_size, *crop_top_left, *target_size;
    int noriginal_size, ncrop_top_left, ntarget_size;
    double aesthetic_score, negative_aesthetic_score;
} weft_raw_sample;

typedef struct weft_raw_role {
    char *name;
    int ranks;
} weft_raw_role;

typedef struct weft_raw_parallel {
    char *patches;
    int grain, warmup, lag, refresh, flights;
    double drift;
    double *weights;
    int nweights, measured; /* measured: weights are auto */
    char *exchange, *norm, *progress, *sharing, *wire, *inexact, *cluster;
    weft_raw_role *role;
    int nroles;
} weft_raw_parallel;

typedef struct weft_raw_run {
    int threads, batch;
    char *kernels;
    double memory, deadline;
    char *checkpoint, *state;
} weft_raw_run;

typedef struct weft_raw_output {
    char *image, *latents, *report, *trace, *dir;
} weft_raw_output;

typedef struct weft_raw_items {
    char *labels, *seeds;
} weft_raw_items;

typedef struct weft_raw_dataset {
    char *manifest, *format, *verify, *duplicates, *images, *latents, *slice;
    int shard_size;
    weft_raw_items items;
} weft_raw_dataset;

typedef struct weft_raw_bench {
    int runs;
    char *what, *link, *cluster;
} weft_raw_bench;

typedef struct weft_raw {
    int identity;
    char *pipeline;
    weft_raw_model *model;
    int nmodels;
    weft_raw_text text;
    weft_raw_folder vae, schedule;
    weft_raw_sample sample;
    weft_raw_parallel parallel;
    weft_raw_run run;
    weft_raw_output output;
    weft_raw_dataset dataset;
    weft_raw_bench bench;
} weft_raw;

extern const cyaml_schema_value_t weft_raw_schema;

/* The field of that name in a mapping's, or NULL. */
const cyaml_schema_field_t *
weft_config_field(const cyaml_schema_field_t *fields, const char *key);

/* Load a tree that has been checked. *raw is owned; its texts and arrays come
 * from malloc, so that single ones may be taken out and set to NULL. `file`
 * for messages. */
weft_status weft_raw_load(const weft_tree *tree, const char *file,
                          weft_raw **raw);
void weft_raw_free(weft_raw *raw); /* NULL is nothing */

#endif
