/*
 * lora_module.h - a LoRA file as it is held. For core/model/lora*.c.
 */
#ifndef WEFT_CORE_MODEL_LORA_MODULE_H
#define WEFT_CORE_MODEL_LORA_MODULE_H

#include "core/model/lora_names.h"

/* A layer that a file changes. */
typedef struct weft_lora_module {
    weft_lora_part part;
    char *key, *name; /* owned; the name is the file's */
    const weft_st_tensor *tensor[WEFT_LORA_ROLES];
    int rank;
    double scale; /* alpha / rank */
    bool told;    /* something said what alpha is */
} weft_lora_module;

struct weft_lora {
    weft_st *st;
    weft_lora_module *module; /* [n], by part and key */
    int n;
};

/* 1 behind the last. */
int64_t weft_lora_dimension(const weft_st_tensor *t, int i);

/* Fills in every `scale`, once the matrices have been checked: by the tensor
 * alpha, else by what is written of the adapter, else 1. */
weft_status weft_lora_read_scales(weft_lora *l);

#endif
