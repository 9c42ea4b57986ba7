#include "launch/config_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"
#include "launch/suggest.h"

enum { MOST = 65536 };

/* Multiprocessors, and the threads that each holds at most. */
static const struct {
    const char *name;
    weft_config_gpu gpu;
} known[] = {
    {"t4", {40, 1024}},          {"v100", {80, 2048}},
    {"rtx-2080-ti", {68, 1024}}, {"rtx-3060", {28, 1536}},
    {"rtx-3090", {82, 1536}},    {"rtx-4090", {128, 1536}},
    {"rtx-a4000", {48, 1536}},   {"rtx-a6000", {84, 1536}},
    {"a10", {72, 1536}},         {"a100", {108, 2048}},
    {"l4", {58, 1536}},          {"l40s", {142, 1536}},
    {"h100", {132, 2048}},       {"h100-pcie", {114, 2048}},
    {"h200", {132, 2048}},
};

enum { KNOWN = sizeof known / sizeof *known };

static bool read_name(const char *text, weft_config_gpu *gpu)
{
    for (int i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, text) == 0) {
            *gpu = known[i].gpu;
            return true;
        }
    return false;
}

/* "108x2048" */
static bool read_numbers(const char *text, weft_config_gpu *gpu)
{
    weft_config_gpu made;
    char end;

    if (sscanf(text, "%6dx%6d%c", &made.multiprocessors, &made.threads, &end) !=
        2)
        return false;
    if (made.multiprocessors < 1 || made.multiprocessors > MOST / 16 ||
        made.threads < WEFT_GPU_BLOCK || made.threads > MOST)
        return false;
    *gpu = made;
    return true;
}

weft_status weft_config_take_gpu(const weft_tree *root,
                                 const weft_raw_sample *raw, weft_config *c)
{
    const weft_tree *t = weft_tree_find(root, "sample.gpu");
    const char *names[KNOWN];
    char text[400];

    if (!t) return WEFT_OK;
    if (c->sample.rng != WEFT_RNG_TORCH_CUDA)
        return weft_place_fail(&t->place,
                               "sample.gpu needs sample.rng: torch-cuda");
    if (read_name(raw->gpu, &c->sample.gpu) ||
        read_numbers(raw->gpu, &c->sample.gpu))
        return WEFT_OK;
    for (int i = 0; i < KNOWN; i++) names[i] = known[i].name;
    return weft_place_fail(
        &t->place,
        "sample.gpu: unknown GPU \"%.80s\"%s; any is MULTIPROCESSORSxTHREADS, "
        "as 108x2048",
        raw->gpu, weft_suggest_text(raw->gpu, names, KNOWN, text, sizeof text));
}
