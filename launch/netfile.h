/*
 * netfile.h - a net, and the file that its weights are in.
 *
 * *Local.* Opening reads config.json and the header of the weights, nothing
 * else; building makes the graph for one size of image and checks every weight
 * against the file.
 */
#ifndef WEFT_LAUNCH_NETFILE_H
#define WEFT_LAUNCH_NETFILE_H

#include <stdio.h>

#include "core/model/safetensors.h"
#include "core/net/net.h"
#include "launch/adapters.h"

/* Tensors of a file that nothing uses: a net that is not the one meant may run
 * all the same. */
typedef struct weft_spare {
    int n;
    char first[128]; /* its name, or how that begins */
} weft_spare;

/* As weft_load_unused. */
weft_status weft_spare_find(const weft_graph *g, const weft_st *st,
                            const char *const *besides, weft_spare *s);
/* "ABOUT3 tensors of the file are not used, the first is x" and a line feed, if
 * there are any. */
void weft_spare_print(const weft_spare *s, const char *about, FILE *to);

typedef struct weft_netfile {
    weft_json *config;
    weft_st *st;
    weft_adapters adapters;
    weft_control control[WEFT_CONTROLS]; /* info.ncontrols; configs owned */
    weft_dtype wtype;                    /* without those of control nets */
    weft_net_info info;
    weft_graph graph;
    bool built;
    size_t file_bytes;    /* of the weights that the graph uses */
    uint64_t fingerprint; /* of the headers of all files */
    weft_spare spare;
} weft_netfile;

/* `path`: as core/model/component.h has it; `m`: the model whose LoRAs change
 * it and whose control nets are built into it, or NULL. On failure it is still
 * to be closed. */
weft_status weft_netfile_open(const char *path, const weft_config_model *m,
                              weft_netfile *f);
/* `beside`: what LoRAs add stays beside the weights (weft_graph_beside). */
weft_status weft_netfile_build(weft_netfile *f, weft_net_part part,
                               weft_cell cell, bool beside);
/* The weights are not for this rank: nothing stays mapped. What the graph and
 * the header said is kept. */
void weft_netfile_unmap(weft_netfile *f);
/* A hash of names, shapes and types in a file. */
uint64_t weft_netfile_fingerprint(const weft_st *st);
/* A hash of some bytes of every tensor: another file of the same header has
 * another one, unless it differs in a few numbers only. Reads at most 256 bytes
 * a tensor, however large it is. */
uint64_t weft_netfile_sample(const weft_st *st);
void weft_netfile_close(weft_netfile *f);

#endif
