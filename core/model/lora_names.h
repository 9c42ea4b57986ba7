/*
 * lora_names.h - what the names in LoRA files mean. For lora.c.
 *
 * Modules are compared by *keys*: their names with _ for every dot, as kohya's
 * files have them, without "text_model_" before those of a text encoder.
 */
#ifndef WEFT_CORE_MODEL_LORA_NAMES_H
#define WEFT_CORE_MODEL_LORA_NAMES_H

#include "core/model/lora.h"

enum { WEFT_LORA_NAME = 512 }; /* bytes of a name, with its end */

typedef enum weft_lora_role {
    WEFT_LORA_UP,
    WEFT_LORA_DOWN,
    WEFT_LORA_ALPHA,
    WEFT_LORA_ROLES,
} weft_lora_role;

typedef struct weft_lora_name {
    weft_lora_part part;
    weft_lora_role role;
    char key[WEFT_LORA_NAME];
    char module[WEFT_LORA_NAME]; /* as the file has it, for messages */
} weft_lora_name;

/* WEFT_EINPUT names the tensor and `file`, and what kind of thing it is. */
weft_status weft_lora_read_name(const char *file, const char *name,
                                weft_lora_name *n);

/* Whether PEFT wrote it: base_model.model.... */
bool weft_lora_is_peft(const char *name);

/* The key of a module of a net; NULL-terminated, cut at WEFT_LORA_NAME. */
void weft_lora_key(const char *module, size_t bytes, char key[WEFT_LORA_NAME]);

/* Residual layers of a U-Net's level and its sampler, by which the original
 * code of Stable Diffusion numbers blocks (original.h). */
int weft_lora_blocks(const weft_graph *g);
/* A key of the original layout becomes that of diffusers'; false where it is
 * none. */
bool weft_lora_from_original(int blocks, char key[WEFT_LORA_NAME]);

#endif
