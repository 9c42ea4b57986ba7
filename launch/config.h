/*
 * config.h - what users type, as a plain struct.
 *
 * Four passes, each in a file of its own. config_tree.c reads YAML by
 * libyaml's events into a small tree that knows the line of every key, and
 * puts KEY=VALUE overrides into it. config_check.c holds the tree against the
 * schema: names, types, ranges, with the line in every message
 * (`configs/a.yaml:12: unknown solver "eular", did you mean "euler"?`).
 * config_schema.c loads it by libcyaml. config.c resolves names and paths.
 *
 * Refused: unknown and duplicate keys, null values, anchors, aliases and
 * tags, wrong types, absurd sizes, more than one document; by name whatever a
 * later version may know. So a file can neither grow nor loop while it is
 * read, and no option is ignored in silence.
 *
 * An override is KEY=VALUE with a dotted KEY and a VALUE in YAML, so
 * sample.nodes=[999,500,1] is a list. It replaces what the file says at KEY,
 * a whole mapping too. sample.seed replaces sample.seeds, and the reverse;
 * likewise dataset.manifest and dataset.items.
 *
 * Relative paths in a file are relative to the file, those of overrides to the
 * working directory; after loading every path is as it must be opened.
 *
 * A PNG made by weft is a config too: its "weft" text (JSON is YAML) is an
 * identity, see weft_config_identity. Its relative paths are looked for in the
 * image's folder, then in every folder above it, then in the working directory
 * and every folder above that, then in PREFIX/share/weft of the weft that runs.
 * An identity may not say where output goes: STEM.png is written again as
 * STEM-again.png beside it, unless overrides say otherwise.
 *
 * Everything here is *Local*: no function talks to other ranks.
 */
#ifndef WEFT_LAUNCH_CONFIG_H
#define WEFT_LAUNCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/exchange.h"
#include "core/guide/analytic.h"
#include "core/rng.h"
#include "core/solve/schedule.h"
#include "core/status.h"
#include "mpi/exchange_bench.h"
#include "partition/grid.h"

enum { WEFT_MAX_SEEDS = 1000000 };

/* `path` is what to open; `portable` is what an identity says of it: as typed
 * when absolute, else without leading "../", so that it is the same wherever
 * the config and the image lie. */
typedef struct weft_config_path {
    char *path, *portable; /* NULL: not given */
} weft_config_path;

enum { WEFT_ENCODERS = 2 }; /* text encoders of a model, at most */

/* What makes of a prompt what a model is told: folders. */
typedef struct weft_config_text {
    weft_config_path encoder[WEFT_ENCODERS], tokenizer[WEFT_ENCODERS];
    int zeros; /* force_zeros_for_empty_prompt; -1: not given */
} weft_config_text;

enum { WEFT_LORAS = 16 }; /* of a model, at most */

typedef struct weft_config_lora {
    weft_config_path file;
    double scale;
} weft_config_lora;

enum { WEFT_CONTROLS = 8 }; /* of a model, at most */

/* A control net, and the steps in which it is followed, as parts of all. */
typedef struct weft_config_control {
    weft_config_path net, image; /* no image: sample.control */
    double scale, start, end;
} weft_config_control;

typedef struct weft_config_model {
    char *name;
    char *path, *portable;     /* NULL: an analytic model */
    weft_config_path pipeline; /* then path is its U-Net's; resolved */
    weft_config_text text;     /* its own, or that of all; resolved */
    char *schedule;            /* its pipeline's; resolved. NULL: not known */
    char *prompt;              /* its own, of `prompts`; NULL: sample.prompt */
    weft_config_lora *lora;    /* [nloras] */
    int nloras;
    weft_config_control *control; /* [ncontrols] */
    int ncontrols;
    int shape[3]; /* analytic: channels, rows, columns */
    weft_component *component;
    int components;
    int label,
        null_label; /* its own, of `labels` and `null_labels`; -1: none */
} weft_config_model;

typedef enum weft_method_kind {
    WEFT_PLAIN,
    WEFT_W2SD,
    WEFT_ZSAMPLING,
    WEFT_RESAMPLING,
    WEFT_AUTOGUIDANCE,
    WEFT_SUPERDIFF_OR,
    WEFT_SUPERDIFF_AND,
    WEFT_AVERAGE,
    WEFT_METHODS,
} weft_method_kind;

extern const char *const weft_method_name[WEFT_METHODS]; /* as users type */

/* Ranks of one role, and where that was said, for messages. */
typedef struct weft_config_role {
    char *name; /* a model's, NAME.cond, NAME.uncond, cond, uncond, vae */
    int ranks;
    int line; /* 0: not in the file */
} weft_config_role;

typedef enum weft_config_roles {
    WEFT_ROLES_SHARED, /* every role has all ranks of its group */
    WEFT_ROLES_AUTO,   /* partition/place chooses */
    WEFT_ROLES_GIVEN,
} weft_config_roles;

/* What SDXL's models are told of the picture beside its text. */
typedef struct weft_config_sizes {
    bool has_original, has_target;       /* else the picture's own */
    int original[2], crop[2], target[2]; /* height, width; top, left */
    double score, negative_score;        /* aesthetic */
} weft_config_sizes;

/* How `guidance` changes over the steps, and rescale. */
typedef struct weft_config_guidance {
    bool linear, limited;
    double end, start, stop, rescale;
} weft_config_guidance;

/* Keys of methods; each means something to its own alone. */
typedef struct weft_config_method {
    int lambda, rounds, inverse_offset;
    double guidance_strong, guidance_weak, gamma1, gamma2, autoguidance;
    double temperature, lift;
    bool quirk;
    double *bias; /* [nmodels]; NULL: not given */
} weft_config_method;

/* From `first` on, to `last` and with it. */
typedef struct weft_range {
    uint64_t first, last;
} weft_range;

/* What an item of a data set says in words; NULL: what the config says. */
typedef struct weft_said {
    char *prompt, *negative;
    char *own; /* `prompts`: MODEL\0TEXT\0 of each that it names, and \0 */
} weft_said;

/* A data set's items: a file, or a rule that has every label with every seed.
 */
typedef struct weft_config_dataset {
    char *manifest;    /* NULL: the rule */
    weft_range *label; /* [nlabels]; 0 labels: all that the model has */
    weft_range *seed;  /* [nseeds]; 0: no rule */
    int nlabels, nseeds;
    int shard_size;
    bool folder;         /* format: a folder per shard, not a tar */
    bool verify, repeat; /* duplicates are allowed */
    bool images, latents;
    int slice, slices; /* of the shards; 0 of 1: all */
} weft_config_dataset;

typedef struct weft_config_gpu {
    int multiprocessors, threads; /* threads of each, at most */
} weft_config_gpu;

typedef struct weft_config {
    char *file;               /* as given, for messages */
    weft_config_model *model; /* in the order of the config */
    int nmodels;
    weft_config_path pipeline;
    char *note; /* what resolving found to tell, in lines; NULL: nothing */
    weft_config_text text;
    char *vae;               /* folder; NULL: the sample is the picture */
    char *vae_portable;      /* NULL: of a pipeline */
    char *schedule;          /* folder or NULL */
    char *schedule_portable; /* likewise */
    char *schedule_inline;   /* the other keys of `schedule:` as one JSON
                                object, or NULL */
    struct {
        weft_method_kind method;
        char *model;   /* one of model[].name, always set: the one that plain
                          takes, or the method's first */
        char *refiner; /* likewise: who goes on from a part of the steps on, 0
                          to 1; NULL: nobody */
        double refine_from;
        weft_solver_kind solver;
        bool has_solver; /* given: the scheduler's class does not say */
        int steps;
        double guidance, eta;
        int width, height;     /* pixels */
        int label, null_label; /* -1: not given */
        bool has_label, has_null_label;
        uint64_t *seed; /* expanded from seed or seeds */
        int nseeds;
        int images;      /* of the run: nseeds, unless a data set says more */
        int *each_label; /* [nseeds], of a data set's items; NULL: `label` for
                            all. Borrowed */
        char *prompt, *negative_prompt; /* NULL: not given */
        bool worded; /* a data set's items have words of their own: */
        const weft_said *each_said; /* [nseeds]; borrowed */
        bool by_model;              /* `prompts` is given */
        bool weighted;              /* prompts have A1111's grammar */
        int clip_skip;
        weft_config_sizes sizes;
        weft_rng_kind rng;
        weft_config_path image, mask; /* pictures to begin with */
        double strength;              /* how much of image goes */
        weft_config_path control;     /* for control nets without a picture */
        int control_line;             /* of the file; 0: not said there */
        weft_config_gpu gpu;    /* torch-cuda; 0 multiprocessors: not said */
        double *nodes, *sigmas; /* descending; NULL: the schedule's */
        int nnodes; /* of whichever is given; then steps == nnodes */
        weft_config_guidance over; /* the steps */
        weft_config_method how;
    } sample;
    struct {
        weft_shape patches; /* 0 lines: auto */
        double *weights;    /* heights of the lines of patches follow them */
        int nweights;       /* 0: all alike */
        bool measured;      /* weights: auto; a job fills them in */
        int grain;          /* latent rows; 0: the net's total stride */
        bool async;
        int warmup, lag; /* async */
        weft_old norm;   /* async */
        int refresh;     /* async; 0: never */
        double drift;    /* async; 0: not measured */
        weft_wire wire;
        bool inexact; /* sync: a wire that changes the image is allowed */
        bool thread;  /* that moves messages; false: they are polled */
        weft_config_roles roles;
        weft_config_role *role; /* [nroles], where given */
        int nroles;
        bool share;    /* roles may share ranks */
        int flights;   /* batches under way at once; 0: auto */
        char *cluster; /* what ranks cost (cluster.h); NULL: measured or
                          supposed */
    } parallel;
    struct {
        int threads;         /* 0: auto */
        char *kernels;       /* auto, reference, lean, fast; never auto once
                                a job is planned */
        int batch;           /* images at once; 0: auto */
        double memory;       /* GiB that a rank may take; 0: not said */
        double deadline;     /* seconds that a wait may last; 0: for ever */
        int keep_steps;      /* a checkpoint every so many steps; 0: never */
        double keep_seconds; /* ... or seconds; 0: never */
        char *state; /* folder of checkpoints; NULL: .weft beside the output */
    } run;
    struct {
        char *image, *latents; /* NULL: none; {seed} and friends */
        char *report, *trace;  /* NULL: none */
        char *dir;             /* of a data set; NULL: none */
        bool pictures, states; /* what leaves a run, wherever it goes: pictures
                                  and latents */
    } output;
    weft_config_dataset dataset;
    struct {
        int runs;
        char *what; /* all, unet_eval, vae_decode, image, step, layers */
        weft_bench_link link;
        char *cluster; /* to write; NULL: none */
    } bench;
} weft_config;

/* Read `path` and apply overrides in order. On failure *c is untouched; the
 * status is WEFT_EINPUT for all that a user can mend. */
weft_status weft_config_load(const char *path, const char *const *overrides,
                             int n, weft_config *c);

/* The parts of it, for ranks that get the text from another rank. `read`
 * gives the text (of a PNG: its "weft" text; *text is owned), `parse` makes
 * the config of it, `resolve` looks into its pipelines; `name` stands in
 * messages and is what relative paths are relative to. At most 1 MiB. */
weft_status weft_config_read(const char *path, char **text, size_t *bytes);
weft_status weft_config_parse(const char *name, const char *text, size_t bytes,
                              const char *const *overrides, int n,
                              weft_config *c);
/* What pipelines stand for: paths of models, text encoders, vae and schedule,
 * where they are not given one by one. WEFT_EINPUT: what is wrong with one. */
weft_status weft_config_resolve(weft_config *c);
void weft_config_release(weft_config *c);
/* Forget the ranks of roles. */
void weft_config_release_roles(weft_config *c);

/*
 * What defines the image of one seed, and nothing of the layout, the machine
 * or the names of outputs: the "weft" text of a PNG. One line of JSON with
 * fixed key order that loads again as a config and gives the same identity
 * again. Its first key, "weft", is the version of this format. *json is
 * owned.
 */
weft_status weft_config_identity(const weft_config *c, uint64_t seed,
                                 char **json);

/* The "parameters" text in the form that image viewers know from A1111's web
 * interface: "Steps: 30, Sampler: DDIM, CFG scale: 2, Seed: 7, ...". *text is
 * owned. */
weft_status weft_config_parameters(const weft_config *c, uint64_t seed,
                                   char **text);

/* What `sample:` says of the image of one seed, as members of a JSON object
 * without its braces, in the order of an identity. *members is owned. */
weft_status weft_config_sample(const weft_config *c, uint64_t seed,
                               char **members);

/* What numbers about a run are of: `"version": ..., "config": ..., "method":
 * ..., `, members for the beginning of a JSON object. *members is owned. */
weft_status weft_config_about(const weft_config *c, char **members);

/* Replace {seed}, {label}, {index}, {steps}, {width}, {height}, {model} in a
 * name; `image` counts the seeds from 0 and is {index}, six digits. *path is
 * owned. Names in a config have been checked when it was loaded. */
weft_status weft_config_fill(const weft_config *c, const char *pattern,
                             int image, char **path);

#endif
