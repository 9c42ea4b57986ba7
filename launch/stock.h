/*
 * stock.h - the kinds of a data set's items, each as a job of its own.
 *
 * A kind is the config with the kind's keys put on it, so whatever `weft
 * sample` can do a kind can do; the images of a run are then the items of one
 * shard, whose seeds and labels are set shard by shard. The manifest's first
 * kind, the *base*, is planned by all ranks together: it makes the groups and
 * has the weights, and stays. Others are planned by a group when it meets them,
 * on that group's ranks, take over the weights, and go again when there are too
 * many of them. All kinds have the same groups.
 */
#ifndef WEFT_LAUNCH_STOCK_H
#define WEFT_LAUNCH_STOCK_H

#include "launch/encoder.h"
#include "launch/manifest.h"
#include "launch/sample.h"

enum { WEFT_GOODS = 8 }; /* kinds that are there at once, at most */

typedef struct weft_good {
    char *keys;      /* owned */
    int chunks;      /* of its texts */
    long long asked; /* when it was wanted last */
    int most;        /* the largest label that was held against its models */
    weft_job job;
    weft_sampler sampler;
    weft_form form;
    int *label;          /* [shard_size], of the shard at hand; owned */
    weft_said *said;     /* [shard_size], likewise; what it points at is not */
    unsigned char *done; /* [shard_size], or not for this one; owned */
} weft_good;

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

/* So far. */
typedef struct weft_stock_tally {
    double busy, steps;       /* seconds sampling, reading, decoding */
    double loaded, read, cut; /* as in weft_told */
    double bytes[WEFT_CLASSES], messages[WEFT_CLASSES]; /* sent */
} weft_stock_tally;

typedef struct weft_stock {
    weft_stock_spec spec;
    weft_good *good[WEFT_GOODS]; /* [n], owned; the base comes first */
    int n;
    long long asked;
    void (*poll)(void *);
    void *poll_arg;
    weft_encoder *encoder; /* has their forms; or NULL */
    weft_stock_tally gone; /* of those that went */
} weft_stock;

/* Local: a weft_manifest_check with a weft_stock_spec, which needs no manifest
 * for it. An item's cost is its steps times its pixels; the picture for its
 * control nets is there, and of its size. */
weft_status weft_stock_check(void *spec, const char *keys, weft_verdict *v);

/* Local: what a kind of the manifest is planned for on so many ranks, a member
 * of it; *c is owned. WEFT_EINPUT names the line. */
weft_status weft_stock_config(const weft_stock_spec *spec,
                              const weft_kind *kind, int ranks, weft_config *c);
/* Collective over the job: plans the base; rank 0 holds all kinds that its
 * manifest kept against their models. On failure, too, to be released.
 * WEFT_EINPUT names the line of the manifest, where it is one's fault. */
weft_status weft_stock_plan(const weft_stock_spec *spec, weft_stock *s);
/* Collective over the job: threads, memory, weights. poll is called while ranks
 * compute. */
weft_status weft_stock_open(weft_stock *s, void (*poll)(void *), void *arg);
/* Collective over the group, after that: the kind of item i of a shard, ready
 * to sample it and those whose texts are as long; valid until the next call.
 * Items without a label that need one are refused, and labels that its models
 * do not have. */
weft_status weft_stock_find(weft_stock *s, const weft_items *items, int i,
                            weft_good **g);
/* Collective over the job. */
void weft_stock_release(weft_stock *s);

/* Local. Whether my rank writes what a kind's job makes. */
bool weft_stock_clerk(const weft_good *g, const weft_config_dataset *d);

/* Local. The shard at hand has these items, borrowed; g is to make those of
 * kind k that are `wanted`, if their texts are as long as its own. Image i of
 * the job is then item i of the shard. */
weft_status weft_stock_take(weft_good *g, int k, const weft_items *items,
                            const bool *wanted);

/* Local. Of all kinds. */
weft_stock_tally weft_stock_sum(const weft_stock *s);

#endif
