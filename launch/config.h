/*
 * config.h - what users type, as a plain struct.
 *
 * YAML by libcyaml, after a pass over libyaml's events that knows the line of
 * every key: errors read `configs/a.yaml:12: unknown solver "eular", did you
 * mean "euler"?`. Refused: unknown and duplicate keys, null values, anchors
 * and aliases, wrong types, absurd sizes. KEY=VALUE overrides are dotted paths
 * (sample.steps=20, models.strong.path=x); errors in them name the override.
 * A PNG made by weft is a config too: its "weft" text (JSON is YAML).
 *
 * Relative paths in a file are relative to the file, those of overrides to the
 * working directory; after loading every path is as it must be opened.
 */
#ifndef WEFT_LAUNCH_CONFIG_H
#define WEFT_LAUNCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model/json.h"
#include "core/rng.h"
#include "core/solve/schedule.h"
#include "core/status.h"

typedef struct weft_config_model {
    char *name, *path;
} weft_config_model;

typedef struct weft_config {
    char *file;              /* as given, for messages */
    weft_config_model *model; /* in the order of the config */
    int nmodels;
    char *vae;               /* NULL: the sample is the picture */
    char *schedule;          /* folder or NULL */
    char *schedule_inline;   /* the other keys of `schedule:` as JSON, or NULL */
    struct {
        char *method;        /* plain */
        char *model;         /* for plain; NULL: the only one */
        weft_solver_kind solver;
        int steps;
        double guidance, eta;
        int width, height;   /* pixels */
        int label, null_label; /* -1: not given */
        bool has_label, has_null_label;
        uint64_t *seed;      /* expanded from seed or seeds */
        int nseeds;
        weft_rng_kind rng;
        double *nodes, *sigmas; /* NULL: the schedule's */
        int nnodes;
    } sample;
    struct {
        int patches;         /* 0: auto */
        int grain;           /* latent rows; 0: the net's total stride */
        bool async;
        int warmup;
    } parallel;
    struct {
        int threads;         /* 0: auto */
        char *kernels;       /* reference, lean, fast */
        int batch;           /* images at once; 0: auto */
    } run;
    struct {
        char *image, *latents, *report; /* NULL: none; {seed} and friends */
    } output;
    struct {
        int runs;
        char *what;          /* all, unet_eval, vae_decode, image, layers */
    } bench;
} weft_config;

/* Read `path` and apply overrides in order. */
weft_status weft_config_load(const char *path, const char *const *overrides,
                             int n, weft_config *c);
/* The same from text that another rank read (`name` for messages, `folder`
 * for relative paths). weft_config_read gives the text that a rank sends. */
weft_status weft_config_read(const char *path, char **text, size_t *bytes);
weft_status weft_config_parse(const char *name, const char *text, size_t bytes,
                              const char *const *overrides, int n,
                              weft_config *c);
void weft_config_release(weft_config *c);

/* What defines the image, and nothing of the layout or the machine, as one
 * line of JSON with fixed key order: the "weft" text of a PNG. For one seed.
 * *json is owned. */
weft_status weft_config_identity(const weft_config *c, uint64_t seed,
                                 char **json);
/* The "parameters" text in A1111's form. */
weft_status weft_config_parameters(const weft_config *c, uint64_t seed,
                                   char **text);
/* Replace {seed}, {label}, {index}, {steps}, {width}, {height}, {model} in a
 * name. *path owned. */
weft_status weft_config_fill(const weft_config *c, const char *pattern,
                             int image, char **path);

#endif
