/*
 * bench.h - what the files of `weft bench` share.
 */
#ifndef WEFT_LAUNCH_BENCH_H
#define WEFT_LAUNCH_BENCH_H

#include "launch/sample.h"

typedef struct weft_bench {
    weft_job job;
    weft_sampler sampler;
    float *out;  /* of one evaluation */
    bool speaks; /* rank 0 */
} weft_bench;

typedef weft_status weft_timed(weft_bench *b);

/* Collective over the group: one guided evaluation of one sample. */
weft_timed weft_bench_eval;

/* Collective over the job; each prints JSON lines on rank 0. */
weft_status weft_bench_step(weft_bench *b);
weft_status weft_bench_layers(weft_bench *b, int net, const char *what,
                              weft_timed *fn);

/* Collective over the job: measure the machine and write bench.cluster. */
weft_status weft_bench_cluster(weft_bench *b);

/* Sorts; the middle of n. */
double weft_bench_median(double *s, int n);

#endif
