/*
 * manifest.h - the items of a data set, in their order.
 *
 * Either a file, read line by line, or a rule that has every label with every
 * seed, labels outermost. A file is JSON lines,
 *
 *     {"id": "item-00001", "label": 3, "seed": 7, "steps": 50}
 *
 * or, where its name ends in .csv, a table whose header has the same keys. `id`
 * and `seed` are required; an id is 1 to 80 letters, digits, _, -, +, = and @
 * (a webdataset key ends at its first dot). `caption` is a text for ID.txt and
 * says nothing of the image. Every other key is one of `sample:` and holds for
 * that item alone. A rule's items are called LABEL-SEED or, where the model has
 * no labels, SEED, both with leading zeros.
 *
 * Items that differ in id, caption, label, seed and what their prompts say are
 * of one *kind*: they can share a batch. There are perhaps 10^7 items, of as
 * many kinds, so a manifest holds no items but where each shard's begin in the
 * file: `read` goes over all of it once and checks every line, `shard` reads
 * the items of one again. Who reads keeps the first WEFT_KINDS kinds, so that
 * they can be held against the models before anything is made, and 16 bytes of
 * each other one.
 *
 * A file is hostile until read. Messages begin with FILE:LINE.
 */
#ifndef WEFT_LAUNCH_MANIFEST_H
#define WEFT_LAUNCH_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/hash.h"
#include "launch/config.h"

enum { WEFT_ITEM_ID = 81, WEFT_KINDS = 256 };

typedef struct weft_item {
    char id[WEFT_ITEM_ID];
    uint64_t seed;
    int label;      /* -1: what the config says, if anything */
    int kind;       /* of its shard's */
    long long line; /* of the file; 0 in a rule */
    weft_said said; /* owned by the list that it is in, as the caption */
    char *caption;  /* for ID.txt: of its own, or the prompt; NULL. Owned by the
                       list */
} weft_item;

/* The items of one shard. */
typedef struct weft_items {
    weft_item *item; /* [n] */
    int n;
    char **keys; /* [kinds]: "sample.steps=50\n..." by key; "" for none; of a
                    prompt "sample.prompt=\"\"\n", whatever it says. In the
                    order of their first items */
    int kinds;
} weft_items;

/* NULL is nothing. */
void weft_items_free(weft_items *l);

/* Of a kind, what a model has to be held against: what its first item says,
 * the largest label and its line; the line of one without a label. Lines 0:
 * there is none. */
typedef struct weft_kind {
    char *keys;     /* owned */
    weft_said said; /* likewise */
    int most;
    long long line, most_line, bare_line; /* line: the first of all */
} weft_kind;

typedef struct weft_manifest {
    const weft_config_dataset *spec; /* borrowed */
    char *name;                      /* of the file, or of the rule; owned */
    int shard_size;
    int64_t items;
    int shards;
    weft_kind *kind; /* [kept], on who has read it; the others have the first.
                        [WEFT_KINDS]: the largest of the rest, if it has keys */
    int kept;
    long long kinds;             /* in all */
    char sha256[WEFT_HASH_TEXT]; /* of the file, or of the rule's words */
    /* a file: */
    int fd;
    bool table;       /* CSV */
    uint64_t *offset; /* [shards + 1] */
    uint64_t *check;  /* [shards], of its lines */
    int64_t *line;    /* [shards], before the first of them */
    double *cost;     /* [shards], of its items together */
    /* a rule: */
    bool labels;    /* they have some */
    weft_range all; /* where the rule says all labels */
} weft_manifest;

/* What is known of a kind once its keys were looked at. */
typedef struct weft_verdict {
    double cost;   /* of one item, against others */
    double pixels; /* likewise */
    bool weighted; /* its prompts have a grammar (core/text/prompt.h) */
} weft_verdict;

/* Is called once for the keys of each kind, when they are met. */
typedef weft_status weft_manifest_check(void *arg, const char *keys,
                                        weft_verdict *v);

/* *Local*. Read all of it. `classes`: labels that the model has, the
 * unconditional one left out; 0: it takes none. Found twice, and refused unless
 * d->repeat: items with equal contents; ids always. `d` is borrowed. `check`
 * may be NULL: any keys are good. */
weft_status weft_manifest_read(const weft_config_dataset *d, int classes,
                               weft_manifest_check *check, void *arg,
                               weft_manifest **m);
void weft_manifest_free(weft_manifest *m); /* NULL is nothing */

/* *Local*. What other ranks need to know of a file that this one has read: they
 * open it, and read of it what they want. *data is owned. */
weft_status weft_manifest_pack(const weft_manifest *m, char **data,
                               size_t *bytes);
weft_status weft_manifest_unpack(const weft_config_dataset *d, const char *data,
                                 size_t bytes, weft_manifest **m);

/* Items of shard k. */
int weft_manifest_count(const weft_manifest *m, int k);
/* *Local*. The items of shard k, in their order. WEFT_EINPUT if the file is not
 * what it was when it was read. *l is owned. */
weft_status weft_manifest_shard(const weft_manifest *m, int k, weft_items **l);

/* *Local*. Every item with its keys, and its line (0 in a rule). */
typedef weft_status weft_manifest_visit(void *arg, const weft_item *item,
                                        const char *keys, long long line);
weft_status weft_manifest_walk(const weft_manifest *m,
                               weft_manifest_visit *visit, void *arg);

#endif
