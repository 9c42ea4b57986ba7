/*
 * prompts.h - what models are told in words, and who reads it.
 *
 * A *reader* is a text encoder with its tokenizer. A *reading* is what readers
 * make of one prompt, for one model under one condition: token ids in the plan,
 * numbers once a run has begun (reading.h).
 *
 * As in diffusers, clip_skip is for prompts and not for negative ones.
 *
 * Nets that want sizes beside a text (addition_embed_type text_time: SDXL) take
 * what the last layer but one of each reader makes, side by side, and the
 * vector of the last reader; all others what the last layer of their only one
 * makes. *Local.*
 */
#ifndef WEFT_LAUNCH_PROMPTS_H
#define WEFT_LAUNCH_PROMPTS_H

#include <stdio.h>

#include "core/model/safetensors.h"
#include "core/net/text.h"
#include "core/text/prompt.h"
#include "launch/models.h"

enum { WEFT_READERS = WEFT_BOTH * WEFT_ENCODERS * WEFT_MODELS };

typedef struct weft_reader {
    const char *encoder, *tokens;     /* paths; borrowed from the config */
    const weft_config_model *changes; /* whose LoRAs change it; borrowed */
    weft_lora_part part;
    weft_adapters adapters;
    weft_text_opts opts;
    weft_json *config;
    weft_st *st; /* NULL once it has read all */
    weft_tokenizer *tokenizer;
    weft_text_info info;
    weft_text text;
    bool built;
    weft_layout layout; /* of one chunk of one prompt */
    size_t file_bytes;  /* of the weights */
    weft_spare spare;
    uint64_t fingerprint;
} weft_reader;

typedef struct weft_reading {
    const char *text; /* NULL: zeros, or nobody asks */
    bool zeros;
    weft_prompt prompt[WEFT_ENCODERS]; /* by reader */
    float *hidden;                     /* [tokens][channels]; owned */
    float *added;                      /* [added], or NULL; owned */
    uint64_t serial; /* of all of a job, from 1 on, once it is read */
} weft_reading;

/* What one model is told. */
typedef struct weft_listener {
    bool any;                             /* the net wants a text */
    int reader[WEFT_BOTH][WEFT_ENCODERS]; /* of the prompts', by condition */
    int readers;
    int tokens, channels; /* of the text */
    int pooled, ids;      /* of what is added: the vector, then sizes; or 0 */
    int added, id_channels;
    int guide; /* channels of how strongly to follow it; or 0 */
    bool flip;
    float shift;
    weft_reading told[WEFT_BOTH]; /* by condition */
} weft_listener;

/* What one sample's text is told in (telling.h): the serial, then both. */
static inline size_t weft_listener_bytes(const weft_listener *l)
{
    if (!l->any) return 0;
    return sizeof(uint64_t) +
           ((size_t)l->tokens * (size_t)l->channels + (size_t)l->added) *
               sizeof(float);
}

typedef struct weft_prompts {
    weft_reader reader[WEFT_READERS];
    int readers;
    weft_listener model[WEFT_MODELS]; /* of the method's */
    int chunks;                       /* of every text */
} weft_prompts;

/* Once the method is listed and the models are open: opens the readers, makes
 * tokens of the prompts, and tells the nets how long their texts are, so that
 * they can be built. WEFT_EINPUT: what does not go together. On failure to be
 * released as well. */
weft_status weft_prompts_open(const weft_method *m, const weft_device *dev,
                              weft_models *models, weft_prompts *p);
/* The readers' weights are read: nothing stays mapped. */
void weft_prompts_unmap(weft_prompts *p);
void weft_prompts_close(weft_prompts *p);

/* What any of the readers needs to work: of each worker, and in one piece. */
size_t weft_prompts_scratch(const weft_prompts *p);
size_t weft_prompts_block(const weft_prompts *p);
/* Whether readers do the same with the same weights. */
bool weft_prompts_same_opts(const weft_text_opts *a, const weft_text_opts *b);
/* Of the readers' files. */
uint64_t weft_prompts_fingerprint(const weft_prompts *p);
/* Which text a model is told under a condition, or that it is zeros; NULL: of
 * the run, as its config says. */
void weft_prompts_choose(const weft_method *m, int model,
                         weft_condition condition, const weft_said *said,
                         weft_reading *r);
/* Tokens of that text, as many as the run's are; and memory for what readers
 * make of it, zeros. On failure to be released as well. */
weft_status weft_prompts_fill(const weft_prompts *p, const weft_method *m,
                              int model, weft_reading *r);
void weft_reading_release(weft_reading *r);
/* What the first of its readers that has no room for all of it leaves out;
 * NULL: nothing. */
const char *weft_reading_cut(const weft_reading *r);
/* The chunks of the longest text that is told in place of the run's. */
weft_status weft_prompts_chunks(const weft_prompts *p, const weft_method *m,
                                const weft_said *said, int *chunks);

/* What was cut off prompts, in words, to `to`. */
void weft_prompts_tell(const weft_prompts *p, FILE *to);

#endif
