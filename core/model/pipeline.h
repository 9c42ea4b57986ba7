/*
 * pipeline.h - a whole model as diffusers keeps it: a folder whose
 * model_index.json names its components, each in a folder of its own; or a
 * checkpoint in one file (original.h).
 *
 *     weft_pipeline *p;
 *     WEFT_TRY(weft_pipeline_open("models/sdxl", &p));
 *     vae = p->part[WEFT_PIPELINE_VAE].path;         "models/sdxl/vae"
 *     if (p->part[WEFT_PIPELINE_TEXT_2].path) ...    NULL: it has none
 *     weft_pipeline_free(p);
 *
 * A part's path is what models, vae and text encoders are opened by
 * (component.h), wherever it came from; tokenizers by text/tokenizer.h.
 * "models/sdxl:fp16" is the same pipeline with that variant of the weights of
 * all components that have it: "models/sdxl/unet:fp16". "sdxl.safetensors" has
 * "sdxl.safetensors:unet" and so on, and no tokenizers: where a text encoder is
 * there and its tokenizer is not, one must be given by hand. Nothing but
 * model_index.json, or the file's header, is read here: what is in a component
 * is told by its own config.
 *
 * All is hostile until checked; errors are WEFT_EINPUT and name file and
 * component.
 */
#ifndef WEFT_CORE_MODEL_PIPELINE_H
#define WEFT_CORE_MODEL_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

/* What weft makes use of. */
typedef enum weft_pipeline_role {
    WEFT_PIPELINE_UNET,
    WEFT_PIPELINE_VAE,
    WEFT_PIPELINE_TEXT, /* text_encoder; SDXL's refiner has only the second */
    WEFT_PIPELINE_TEXT_2,
    WEFT_PIPELINE_TOKENIZER, /* of TEXT */
    WEFT_PIPELINE_TOKENIZER_2,
    WEFT_PIPELINE_SCHEDULER,
    WEFT_PIPELINE_ROLES,
    /* In no pipeline, but in files (original.h): */
    WEFT_PIPELINE_CONTROL = WEFT_PIPELINE_ROLES,
    WEFT_PIPELINE_PARTS
} weft_pipeline_role;

typedef struct weft_pipeline_part {
    char *name;       /* its key and its folder: "text_encoder_2" */
    char *class_name; /* as in model_index.json: "CLIPTextModel" */
    char *path;       /* to open it by; NULL, as the others: there is none */
} weft_pipeline_part;

typedef struct weft_pipeline {
    char *path; /* of the folder, without a slash at its end, or file */
    bool one_file;
    char *class_name; /* "StableDiffusionXLPipeline"; of [MODULE, CLASS] the
                         class */
    weft_pipeline_part part[WEFT_PIPELINE_ROLES];
    /* All other components that are not null, in the order of the file. */
    weft_pipeline_part *other;
    int nother;
    /* An empty negative prompt is zeros, not what the encoders make of it.
     * Where the file does not say: true for SDXL, as in diffusers. */
    bool force_zeros_for_empty_prompt;
    /* SDXL's refiner is told an aesthetic score instead of a target size. */
    bool requires_aesthetics_score;
} weft_pipeline;

/* `path`: FOLDER, FOLDER:VARIANT, FOLDER/model_index.json or a file. Fails
 * unless the class is none of those that weft_pipeline_class_other knows, every
 * component is one that weft can use, or can do without (a safety
 * checker), all that it uses have folders, and some have the variant. The
 * caller's. */
weft_status weft_pipeline_open(const char *path, weft_pipeline **p);
void weft_pipeline_free(weft_pipeline *p);

/* ---- its parts, for those who only look ---------------------------------- */

/* Opening is reading, then checking, then choosing the variant. Read: whatever
 * components there are, none refused, none looked for. */
weft_status weft_pipeline_read(const char *path, weft_pipeline **p);

/* Of a folder's components those that have the variant are that one's; fails if
 * none has it. */
weft_status weft_pipeline_choose(weft_pipeline *p, const char *variant);
/* The same of a text; `name` begins errors, `folder` the paths. */
weft_status weft_pipeline_parse(const char *name, const void *text,
                                size_t bytes, const char *folder,
                                weft_pipeline **p);
weft_status weft_pipeline_check(const weft_pipeline *p);

/* The class is nobody's that weft knows: it samples what the components are. */
bool weft_pipeline_is_strange(const weft_pipeline *p);

/* Whether weft can do without a component of this name. */
bool weft_pipeline_ignores(const char *name);

#endif
