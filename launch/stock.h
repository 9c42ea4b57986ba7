/*
 * stock.h - the kinds of a data set's items, each as a job of its own.
 *
 * A kind is the config with the kind's keys put on it, so whatever `weft
 * sample` can do a kind can do; the images of a run are then the items of one
 * shard, whose seeds and labels are set shard by shard. All kinds have the same
 * groups of ranks.
 */
#ifndef WEFT_LAUNCH_STOCK_H
#define WEFT_LAUNCH_STOCK_H

#include "launch/encoder.h"
#include "launch/manifest.h"
#include "launch/sample.h"

typedef struct weft_good {
    weft_job job;
    weft_sampler sampler;
    weft_form form;
    int *label;          /* [shard_size], of the shard at hand; owned */
    unsigned char *done; /* [shard_size], or not of this kind; owned */
    int left;            /* that are not */
} weft_good;

typedef struct weft_stock {
    weft_good *kind; /* [kinds] */
    int kinds;
} weft_stock;

/* The config that all kinds are made of. */
typedef struct weft_stock_spec {
    weft_comm *world;
    const char *path, *text;
    size_t bytes;
    const char *const *override;
    int noverrides;
    const weft_config *config; /* as it is without the keys of a kind */
    const weft_manifest *manifest;
} weft_stock_spec;

/* Collective over the job: plans every kind. On failure, too, to be released.
 * WEFT_EINPUT names the line of the manifest, where it is one's fault. */
weft_status weft_stock_plan(const weft_stock_spec *spec, weft_stock *s);
/* Collective over the job: threads, memory, weights. poll is called while ranks
 * compute. */
weft_status weft_stock_open(weft_stock *s, void (*poll)(void *), void *arg);
void weft_stock_release(weft_stock *s);

/* Local. The shard at hand has these items; kind k is to make those of its own
 * that are `wanted`. Image i of the job is then item i of the shard. */
void weft_stock_take(weft_stock *s, int k, const weft_item *item, int n,
                     const bool *wanted);

/* Local. How long an item of kind k takes, against one of another. */
double weft_stock_cost(const weft_stock *s, int k);

#endif
