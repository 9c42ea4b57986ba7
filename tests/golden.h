/*
 * golden.h - the nets of random weights in tests/golden, made again: see
 * tests/golden/nets.py for the files and for the numbers.
 */
#ifndef WEFT_TESTS_GOLDEN_H
#define WEFT_TESTS_GOLDEN_H

#include "core/model/json.h"
#include "core/model/load.h"
#include "core/model/safetensors.h"
#include "core/net/net.h"

enum {
    GOLDEN_PATH = 512,
    GOLDEN_BATCH = 4,
    GOLDEN_TENSORS = 4096,
};

/* One golden, its checkpoint written to a folder of its own and opened. */
typedef struct golden {
    weft_st *answer, *weights;
    weft_json *config;
    weft_net_info info;
    weft_net_part part;
    weft_dtype wtype;
    int n, h, w, c;
    float time[GOLDEN_BATCH], label[GOLDEN_BATCH];
    bool has_label;
    int tokens;                       /* of the text; 0: none */
    weft_control control[WEFT_HINTS]; /* as many as info says */
    float follow[WEFT_HINTS];         /* what they add is multiplied by */
    const weft_st_tensor *output;     /* [n][c][h][w] */
    char folder[GOLDEN_PATH];
    const struct golden_loras *loras; /* added to the net; NULL: none */
} golden;

/* `name`: "unet_plain". Exits the test on failure. */
void golden_open(golden *g, const char *name);
void golden_close(golden *g);

/* Element i of the net's input; of anything that is given: "text", "added",
 * "guide". */
float golden_input(uint64_t i);
float golden_given(const char *name, uint64_t i);

/* Write the tensors "name dtype d0xd1..;" to a file; `metadata` as that of
 * weft_st_create. */
void golden_write(const char *path, const char *tensors);
void golden_write_with(const char *path, const char *tensors,
                       const char *const *metadata);

/* Names of all goldens of nets, sorted; returns how many. */
int golden_names(char (*name)[64], int room);

/* Ends the program where this machine has no such device. */
const weft_device *golden_device(const char *name);

/* Relative root mean square of a - b, against b. */
double golden_distance(const float *a, const float *b, size_t n);

/* Evaluate the net of g on a device, cut into `patches` (threads), with
 * `threads` workers each; out [n][c][h][w], owned by the caller. */
float *golden_run(const golden *g, const weft_device *dev, int patches,
                  int threads);

#endif
