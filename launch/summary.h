/*
 * summary.h - what a run did, counted over all ranks.
 */
#ifndef WEFT_LAUNCH_SUMMARY_H
#define WEFT_LAUNCH_SUMMARY_H

#include <jansson.h>

#include "launch/sample.h"

/* Collective over the job. `started`: the clock at main's first statement.
 * *fields is the last event of a report, owned, on rank 0; NULL elsewhere. */
weft_status weft_summary_collect(const weft_job *j, const weft_sampler *s,
                                 double started, json_t **fields);

#endif
