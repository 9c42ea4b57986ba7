/*
 * original.h - checkpoints in one file, as the code wrote them that Stable
 * Diffusion was first published with: U-Net, autoencoder and text encoders
 * side by side, under other names than diffusers', without configs; and control
 * nets as their authors published them, alone or beside these.
 *
 * What is in a file is told by its names; a component's config is what
 * diffusers' from_single_file makes of the shapes; and a component's tensors
 * are shown under diffusers' names, in the file's memory, so that nets find
 * them there. Nothing is copied but the projection of OpenCLIP's text
 * encoders, which is stored the other way round.
 *
 * Not in such a file: a tokenizer, and, of an autoencoder alone, which family
 * it belongs to. A Stable Diffusion 2 counts as one that predicts v, as in
 * diffusers; its base model of 512 pixels predicts noise and looks the same.
 */
#ifndef WEFT_CORE_MODEL_ORIGINAL_H
#define WEFT_CORE_MODEL_ORIGINAL_H

#include "core/model/json.h"
#include "core/model/pipeline.h"
#include "core/model/safetensors.h"

typedef enum weft_original_family {
    WEFT_ORIGINAL_NONE, /* an autoencoder alone, or nothing known */
    WEFT_ORIGINAL_SD1,
    WEFT_ORIGINAL_SD2,
    WEFT_ORIGINAL_XL,
    WEFT_ORIGINAL_REFINER, /* of XL */
} weft_original_family;

typedef struct weft_original {
    weft_original_family family;
    /* What the names of a component begin with; NULL: it is not there. */
    const char *prefix[WEFT_PIPELINE_PARTS];
    /* Of Stable Diffusion 2, and of files with a tensor of that name (v_pred),
     * which is there to say so; the latter by such a one alone (ztsnr). */
    bool predicts_v, zero_snr;
} weft_original;

/* What a file is; all prefixes are NULL where it is of another layout. */
void weft_original_tell(const weft_st *st, weft_original *o);

/* A component's config.json, or scheduler_config.json, as diffusers has it.
 * `name` begins errors; `scaling` is the autoencoder's factor, 0 for that of
 * the family. WEFT_EINPUT for nets that weft has not. The caller's. */
weft_status weft_original_config(const weft_st *st, const weft_original *o,
                                 weft_pipeline_role role, const char *name,
                                 double scaling, weft_json **config);

/* Leaves in st the tensors of one component, under diffusers' names. Names that
 * no rule knows are left out. */
weft_status weft_original_select(weft_st *st, const weft_original *o,
                                 weft_pipeline_role role);

/* ---- names (original_names.c) -------------------------------------------- */

enum { WEFT_ORIGINAL_NAME = 160 }; /* bytes of a name in diffusers' layout */

typedef enum weft_original_as {
    WEFT_AS_NOTHING, /* no component of weft's has it */
    WEFT_AS_IT_IS,
    WEFT_AS_MATRIX, /* a 1x1 convolution that is a matrix in diffusers */
    WEFT_AS_THREE,  /* three in one: the name is that of q_proj */
    WEFT_AS_TURNED, /* rows and columns exchanged */
} weft_original_as;

/* What the numbers in names mean, by the file's other names. */
typedef struct weft_original_rules {
    weft_pipeline_role role;
    bool open_clip; /* text encoders: OpenCLIP's names, not CLIP's */
    int blocks;     /* U-Net and control net: residual layers of a level, and
                       its sampler */
    int levels;     /* autoencoder */
    int layers;     /* text encoders: those behind it are left out */
} weft_original_rules;

void weft_original_read_rules(const weft_st *st, const weft_original *o,
                              weft_pipeline_role role,
                              weft_original_rules *rules);

/* The tensor whose name goes on like this behind the prefix, or NULL. */
const weft_st_tensor *weft_original_find(const weft_st *st, const char *prefix,
                                         const char *format, ...)
    WEFT_PRINTF(3, 4);

/* The name in diffusers' layout of a tensor whose name without the component's
 * prefix is `rest`; points of it may be underscores. */
weft_original_as weft_original_rename(const weft_original_rules *rules,
                                      const char *rest,
                                      char name[WEFT_ORIGINAL_NAME]);

#endif
