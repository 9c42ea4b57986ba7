/*
 * job.h - a plan come to life: threads, memory, weights, lanes.
 *
 * All that a run allocates, opens and agrees on with other ranks is made here,
 * before step 0; nothing is allocated after.
 */
#ifndef WEFT_LAUNCH_JOB_H
#define WEFT_LAUNCH_JOB_H

#include "core/guide/analytic.h"
#include "core/guide/model.h"
#include "launch/setup.h"
#include "launch/topology.h"
#include "mpi/background.h"
#include "mpi/comm.h"
#include "mpi/exchange_mpi.h"
#include "mpi/placed.h"
#include "mpi/total.h"
#include "mpi/watch.h"
#include "mpi/window.h"

/* The part of a role that this rank has; cut.me is -1 where it has none. */
typedef struct weft_job_role {
    weft_cut cut;
    weft_comm *ranks; /* those of the role, in the order of the cut */
} weft_job_role;

enum { WEFT_LANE_NAME = 64 };

/* One net of the plan on its lanes, on the ranks of its role. */
typedef struct weft_job_net {
    const weft_netfile *file;
    bool mine; /* what follows is there */
    weft_layout layout;
    weft_exchange **lane; /* [lanes]: of flight 0, then of flight 1, ... */
    char (*name)[WEFT_LANE_NAME]; /* [lanes], for messages */
    int lanes;
    double *seconds;         /* [nodes], time by layer; or NULL */
    weft_placed_clock clock; /* all its evaluations here */
} weft_job_net;

/* The weights of one file, on the ranks of a node that have a role for it. */
typedef struct weft_job_weights {
    bool mine, loaded;
    bool told;        /* what of the files nothing uses */
    double sample[2]; /* a hash of some of the file, in two halves that a
                         double holds exactly; on all ranks, loaded or not */
    weft_comm *sharers;
    weft_window *packed;
    size_t bytes;  /* of it */
    bool borrowed; /* packed is another job's */
} weft_job_weights;

/* My rows of the picture that samples begin with, as picture.h makes them. */
typedef struct weft_picture {
    int channels;   /* of `encoded` */
    float *encoded; /* [rows][columns][channels]; NULL: there is none */
    float *mask;    /* [rows][columns], 1 where it may change; or NULL */
    float *masked;  /* as encoded, of the picture without what is under the
                       mask, for nets that are told; or NULL */
} weft_picture;

/* A text encoder's weights, packed for the ranks of a node, where they stay. */
typedef struct weft_job_reader {
    weft_window *packed;
    bool borrowed; /* another job's */
} weft_job_reader;

/* What a leaf's net keeps of the texts of one batch, and how it is told. */
typedef struct weft_held {
    char *at;        /* NULL: nothing, or the net is not mine */
    uint64_t *told;  /* [samples of the net], the readings' serials; 0: none */
    weft_span reads; /* samples whose texts are read here */
    float *text;     /* [samples of the net], each of weft_listener_bytes; NULL:
                        neither the net nor its texts are mine */
    weft_redistribute *road; /* from those who read; NULL: read where told */
} weft_held;

typedef struct weft_library weft_library; /* telling.h */

/* How much was read. */
typedef struct weft_told {
    uint64_t serial; /* of the last reading here */
    long long
        loaded; /* times that encoders were, by whoever is first of a node */
    long long read, cut; /* texts of items, here; of them cut off */
} weft_told;

typedef struct weft_job {
    weft_comm *world;        /* borrowed */
    weft_comm *group, *node; /* who works on the same images; my node */
    weft_comm *column;       /* those of my group that have my columns */
    weft_topology topology;
    weft_config config;
    weft_setup setup;
    int index, rank; /* of my group; mine in it */
    int line;        /* mine in the group: what the plan's roles deal out */
    double *speed;   /* [ranks of the job], where measured; or NULL */
    weft_span state; /* units that I keep of every sample; empty: none */
    char (*duty)[WEFT_WATCH_DUTY];    /* [lines], the roles that not all have */
    weft_job_role role[WEFT_ROLES];   /* as in the plan */
    weft_job_net net[WEFT_PLAN_NETS]; /* likewise */
    weft_job_weights weights[WEFT_FILES]; /* as in setup.models */
    weft_plan_phase phase;      /* STEPS or LATER: which of them sample now */
    size_t packed, packed_most; /* bytes packed for this rank, its sharers' too:
                                   now, and at once so far */
    weft_crossroads *crossroads;
    weft_total total;     /* over an image, for all who keep state */
    weft_traffic traffic; /* between roles */
    weft_trace *trace;    /* output.trace; or NULL */
    double zero;          /* one moment, on this rank's clock */
    weft_pool *pool;
    void (*poll)(void *); /* whoever else has messages to move; or NULL */
    void *poll_arg;
    bool lenient; /* a sample that is not a number is no failure of the run */
    weft_background *background; /* NULL: messages are polled */
    char *block;                 /* activations of whichever net is at work */
    size_t block_bytes;
    double read[WEFT_READERS][2]; /* a hash of some of each reader's file, as in
                                     weights; on all ranks */
    bool reads;                   /* texts are read here */
    weft_comm *readers;      /* those who read the same texts, or all others */
    weft_comm *node_readers; /* ... of my node: they share encoders */
    weft_picture picture;    /* of sample.image */
    weft_job_reader reader[WEFT_READERS]; /* as in setup.prompts */
    weft_held held[WEFT_LEAVES][WEFT_FLIGHTS];
    int texts; /* batches that may be told different texts: 1, or all flights */
    weft_library *library; /* NULL: all are told what the config says */
    weft_told told;
} weft_job;

/* Collective over the job: read the config on rank 0 and send it round, find
 * the processors, plan, compare the plans. All ranks return the same. */
weft_status weft_job_plan(weft_comm *world, const char *path,
                          const char *const *overrides, int noverrides,
                          weft_job *j);
/* The same in two parts. `read` gives the config's text to all ranks; *text is
 * owned. `plan_config` takes over *c, whatever happens. `like`: another job, of
 * whose group `world` is and whose processors and costs this one has too; or
 * NULL. */
weft_status weft_job_read(const weft_comm *world, const char *path,
                          const char *const *overrides, int noverrides,
                          char **text, size_t *bytes);
weft_status weft_job_plan_config(weft_comm *world, weft_config *c,
                                 const weft_job *like, weft_job *j);
/* Collective over the job: threads, memory, lanes. */
weft_status weft_job_connect(weft_job *j, bool timed);
/* Collective over the job: the packed weights of file `i`, shared by those
 * ranks of a node that have a role for it. A second call does nothing. */
weft_status weft_job_load(weft_job *j, int i);
/* Collective over the job, before anything is loaded: weights that another job
 * of the same ranks has packed alike, and keeps longer than this one, are not
 * packed again, those of text encoders neither. */
weft_status weft_job_borrow(weft_job *j, const weft_job *from);
/* ... of everything that samples in the first phase, after all ranks have found
 * that they look at the same weights, those of the autoencoder too; before
 * them, one after the other, those that read prompts and encode a picture,
 * which are given back. */
weft_status weft_job_load_models(weft_job *j);
/* Collective over the job: from now on stages are of this phase; of what
 * samples in it everything is loaded, and what is not of it is given back. */
weft_status weft_job_turn_to(weft_job *j, weft_plan_phase phase);
/* Collective over the job: weights of file `i` are given back, unless they are
 * another job's. */
void weft_job_unload(weft_job *j, int i);
/* ... once all is sampled: of everything but the autoencoder. */
void weft_job_unload_models(weft_job *j);
/* Local: so many bytes more are packed here. */
void weft_job_count_packed(weft_job *j, size_t bytes);
/* Local: what an evaluation of plan net `i`, which is mine, needs. The net must
 * be loaded by then (weights are NULL before). */
weft_run weft_job_run(const weft_job *j, int i);
/* Collective over the job. */
void weft_job_release(weft_job *j);

/* Payload and waits of all my lanes, and of what goes between roles. */
weft_traffic weft_job_traffic(const weft_job *j);

#endif
