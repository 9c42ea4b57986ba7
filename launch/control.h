/*
 * control.h - pictures that control nets look at.
 *
 * Whoever evaluates a leaf of the method sees its rows of each picture, once
 * for all images: what comes of it lies beside the block with what is kept of
 * the text (graph.h, held). How much of what the nets add is added changes from
 * step to step.
 */
#ifndef WEFT_LAUNCH_CONTROL_H
#define WEFT_LAUNCH_CONTROL_H

#include "launch/job.h"

/* Local, in the plan, once sizes are known: whether pictures and nets go
 * together. s->picture is a hash of the files. */
weft_status weft_control_plan(weft_setup *s);

/* Collective over the job, whose models are loaded: what each leaf here sees.
 */
weft_status weft_control_make(weft_job *j);

/* Local: what a leaf's control nets are multiplied by in a stage of a step, [as
 * many as there are]. As diffusers counts, the first evaluation of n is from 0
 * to 1 / n of all, and a net is followed in those that are within [start, end];
 * a step of a reflection counts once. */
void weft_control_follow(const weft_setup *s, int leaf, int step, int stage,
                         float *follow);

#endif
