/*
 * golden_loras.h - the LoRAs of tests/golden/lora_*.safetensors, made again:
 * see tests/golden/loras.py.
 */
#ifndef WEFT_TESTS_GOLDEN_LORAS_H
#define WEFT_TESTS_GOLDEN_LORAS_H

#include "core/model/lora.h"
#include "tests/golden.h"

enum { GOLDEN_LORAS = 2 };

/* The files of one golden, each written to a folder of its own and opened. */
typedef struct golden_loras {
    weft_st *answer;
    const char *base; /* "net_cond_sd15" */
    weft_lora_part part;
    weft_lora *lora[GOLDEN_LORAS];
    float scale[GOLDEN_LORAS];
    char folder[GOLDEN_LORAS][GOLDEN_PATH];
    int n;
    bool beside; /* as for nets that are kin */
} golden_loras;

/* `name`: "sd15_kohya". Exits the test on failure. */
void golden_loras_open(golden_loras *l, const char *name);
void golden_loras_close(golden_loras *l);
/* All of them, to a graph whose weights are in `st`. */
weft_status golden_loras_apply(const golden_loras *l, const weft_st *st,
                               weft_graph *g);

#endif
