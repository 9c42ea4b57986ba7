/*
 * job.h - a plan come to life: threads, memory, weights, lanes.
 *
 * All that a run allocates, opens and agrees on with other ranks is made here,
 * before step 0; nothing is allocated after.
 */
#ifndef WEFT_LAUNCH_JOB_H
#define WEFT_LAUNCH_JOB_H

#include "core/guide/model.h"
#include "launch/setup.h"
#include "launch/topology.h"
#include "mpi/comm.h"
#include "mpi/exchange_mpi.h"
#include "mpi/window.h"

enum { WEFT_LANES = WEFT_PLAN_LANES };

/* One net on its lanes: setup.lanes for the conditional one, and as many for
 * the unconditional one where the two are not evaluated together. */
typedef struct weft_job_net {
    const weft_netfile *file;
    weft_layout layout;
    weft_exchange *lane[WEFT_LANES];
    char name[WEFT_LANES][32]; /* of the lanes, for messages */
    int lanes;
    weft_window *weights;
    double *seconds; /* [nodes], time by layer; or NULL */
} weft_job_net;

typedef struct weft_job {
    weft_comm *world;          /* borrowed */
    weft_comm *patches, *node; /* my group's patches; my node */
    weft_topology topology;
    weft_config config;
    weft_setup setup;
    weft_cut cut;
    int group;
    weft_pool *pool;
    char *block; /* activations of whichever net is at work */
    size_t block_bytes;
    weft_job_net net[WEFT_PLAN_NETS]; /* as in the plan */
} weft_job;

/* Collective over the job: read the config on rank 0 and send it round, find
 * the processors, plan, compare the plans. All ranks return the same. */
weft_status weft_job_plan(weft_comm *world, const char *path,
                          const char *const *overrides, int noverrides,
                          weft_job *j);
/* Collective over the job: threads, memory, lanes. */
weft_status weft_job_connect(weft_job *j, bool timed);
/* Collective over the job: the packed weights of plan net `i`, shared by the
 * ranks of a node. A second call does nothing. */
weft_status weft_job_load(weft_job *j, int i);
/* Collective over the patches: a new image begins on all lanes of net `i`. */
weft_status weft_job_restart(weft_job *j, int i);
/* Local: what an evaluation of plan net `i` on lane `lane` needs. The net must
 * be loaded. */
weft_run weft_job_run(const weft_job *j, int i, int lane);
/* Collective over the job. */
void weft_job_release(weft_job *j);

/* Payload and waits of all my lanes together. */
weft_traffic weft_job_traffic(const weft_job *j);

#endif
