/*
 * encoder.h - a thread that makes files of images while the next ones are
 * sampled.
 *
 * Whoever samples hands over pixels and latents of finished items, and shards
 * that are complete; the thread encodes, hashes, spools and commits them, in
 * the order in which they come. A few items may wait; who brings one more waits
 * for room. The first failure stays: every later call returns it.
 *
 *     weft_encoder_room(e, &work);     fill in *work
 *     weft_encoder_item(e, work);
 *     ...
 *     weft_encoder_shard(e, shard);
 *
 * *Local*. One thread calls; nothing here talks to other ranks.
 */
#ifndef WEFT_LAUNCH_ENCODER_H
#define WEFT_LAUNCH_ENCODER_H

#include "launch/commit.h"
#include "launch/sights.h"

/* A shard at work. */
typedef struct weft_shard {
    int number;
    int entry;         /* of the queue */
    weft_items *items; /* owned */
    weft_spool spool;
    weft_sights sights; /* owned */
    double began;       /* weft_clock() */
    int rank;           /* who makes it */
} weft_shard;

/* NULL is nothing. The spool stays. */
void weft_shard_free(weft_shard *s);

/* What the items of a kind have in common. Must live on while any of them
 * waits. */
typedef struct weft_form {
    weft_config config;                 /* a copy that borrows all it has */
    int width, height, channels;        /* of the picture */
    int rows, columns, latent_channels; /* of the latents */
    int waiting;                        /* items; the encoder's */
} weft_form;

/* One finished item. */
typedef struct weft_finished {
    weft_shard *shard;
    weft_form *form;
    int item; /* of the shard */
    bool finite;
    unsigned char *pixels; /* [height][width][channels] */
    float *latents;        /* [channels][rows][columns] */
    size_t room_pixels, room_floats;
} weft_finished;

typedef struct weft_encoder weft_encoder;

typedef struct weft_encoder_spec {
    const weft_shelf *shelf; /* borrowed */
    bool images, latents;    /* members that are made */
    int room;                /* items that may wait */
} weft_encoder_spec;

/* How far it is. */
typedef struct weft_encoder_tally {
    long long items, failed; /* spooled; of them without an image */
    int shards;
    double busy, waited; /* seconds at work; that others waited for room */
} weft_encoder_tally;

weft_status weft_encoder_start(const weft_encoder_spec *s, weft_encoder **e);

/* Room for one item of a form, which *work has then; waits for it. */
weft_status weft_encoder_room(weft_encoder *e, weft_form *form,
                              weft_finished **work);
weft_status weft_encoder_item(weft_encoder *e, weft_finished *work);
/* Before any item of this shard: one that cannot be made is put down as such.
 */
weft_status weft_encoder_fail(weft_encoder *e, weft_shard *shard, int item,
                              weft_outcome outcome);
/* All items of the shard were handed over: commit it. The encoder owns it. */
weft_status weft_encoder_shard(weft_encoder *e, weft_shard *shard);

/* An entry of the queue whose shard is on the shelf, each once; or -1. */
weft_status weft_encoder_next_done(weft_encoder *e, int *entry);
weft_encoder_tally weft_encoder_look(weft_encoder *e);
/* Until no item of this form waits. */
weft_status weft_encoder_settle(weft_encoder *e, const weft_form *form);
/* Until all that was handed over is done. */
weft_status weft_encoder_drain(weft_encoder *e);
/* Ends the thread, after what it has begun; NULL is nothing. */
void weft_encoder_stop(weft_encoder *e);

#endif
