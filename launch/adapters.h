/*
 * adapters.h - the LoRAs of one model, open as long as weights are packed.
 *
 * *Local.* Each net and each text encoder that is changed has its files open
 * for itself; they are small, and mapped.
 */
#ifndef WEFT_LAUNCH_ADAPTERS_H
#define WEFT_LAUNCH_ADAPTERS_H

#include "core/model/lora.h"
#include "launch/config.h"

typedef struct weft_adapters {
    weft_lora *lora[WEFT_LORAS];
    float scale[WEFT_LORAS];
    int n;
} weft_adapters;

/* Those of a model of a config; NULL: none. On failure to be closed as well. */
weft_status weft_adapters_open(const weft_config_model *m, weft_adapters *a);
void weft_adapters_close(weft_adapters *a);

/* To the graph of `part`, whose weights are in `st`. */
weft_status weft_adapters_apply(const weft_adapters *a, weft_lora_part part,
                                const weft_st *st, weft_graph *g);
/* WEFT_EINPUT if one of them changes that part, which the model called `name`
 * has not. */
weft_status weft_adapters_refuse(const weft_adapters *a, weft_lora_part part,
                                 const char *name);

/* Hashes of headers and scales, and of some bytes of all tensors; 0 of none. */
uint64_t weft_adapters_fingerprint(const weft_adapters *a);
uint64_t weft_adapters_sample(const weft_adapters *a);

/* Whether two models (NULL: one that has none) are changed alike. */
bool weft_adapters_same(const weft_config_model *a, const weft_config_model *b);

#endif
