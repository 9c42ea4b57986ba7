/*
 * crew.h - the ranks of a group, making shard after shard.
 *
 * One of them, the *clerk*, claims a shard from the queue, keeps its spool and
 * has an encoder; the others learn from it what is to be made. In a group of
 * one, which is the usual case, nothing is sent. Groups never wait for each
 * other.
 */
#ifndef WEFT_LAUNCH_CREW_H
#define WEFT_LAUNCH_CREW_H

#include "launch/keeper.h"
#include "launch/shelf.h"
#include "launch/stock.h"
#include "mpi/claim.h"

/* What every rank tells rank 0. */
typedef enum weft_fact {
    WEFT_FACT_ITEMS,  /* spooled */
    WEFT_FACT_FAILED, /* of them without an image */
    WEFT_FACT_STEPS,
    WEFT_FACT_BUSY,   /* seconds sampling and decoding */
    WEFT_FACT_WAITED, /* for the encoder */
    WEFT_FACT_LOADED, /* text encoders, once on a node */
    WEFT_FACT_READ,   /* texts */
    WEFT_FACT_CUT,    /* of them longer than encoders take */
    WEFT_FACT_LEFT,   /* it has nothing more to do */
    WEFT_FACT_BYTES,  /* sent, by class */
    WEFT_FACT_MESSAGES = WEFT_FACT_BYTES + WEFT_CLASSES,
    WEFT_FACTS = WEFT_FACT_MESSAGES + WEFT_CLASSES,
} weft_fact;

typedef struct weft_crew {
    weft_stock *stock;
    const weft_manifest *manifest;
    const weft_shelf *shelf;
    char about[WEFT_HASH_TEXT]; /* of the card: what spools are of */
    const int *queue;           /* shards, in the order of the claims */
    const unsigned char *state; /* [shards], weft_shard_state */
    int entries;
    weft_claim *claim;
    weft_keeper keeper;
    weft_encoder *encoder; /* the clerk's; else NULL */
    int label;             /* of items without one; -1: none has */
    bool stopped;          /* all of my group were */
    int turns, steps;      /* of my group, all shards together */
    /* under way: */
    int number;        /* of the shard */
    uint64_t seen;     /* of its control pictures; 0: there are none */
    weft_items *items; /* its own; the clerk's shard has them */
    weft_shard *shard; /* the clerk's */
    bool *wanted;      /* [shard_size], owned */
    double *vote;      /* [shard_size + 1], owned */
    int making;        /* a kind of theirs */
    weft_good *kind;
    weft_finished *work;
    /* Whoever looks at the whole, now and then; rank 0 has one. */
    weft_status (*watch)(void *arg);
    void *watch_arg;
} weft_crew;

/* Collective over the job, after the rest is filled in. */
weft_status weft_crew_init(weft_crew *c);
/* Collective over the job. */
void weft_crew_release(weft_crew *c);

/* Collective over the group: until the queue is empty or the job is to stop. A
 * failure is this rank's own: its peers may be waiting. */
weft_status weft_crew_run(weft_crew *c);
/* Local, behind the last turn: what others ask for is passed on. */
weft_status weft_crew_rest(weft_crew *c);
/* Local: tell rank 0 how far I am, and watch if I do. */
weft_status weft_crew_tell(weft_crew *c, bool left);

#endif
