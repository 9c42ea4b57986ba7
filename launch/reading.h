/*
 * reading.h - prompts, read: what text encoders make of them, for the nets of a
 * job.
 *
 * The ranks of rank 0's node share the weights of one encoder after the other
 * and deal out the prompts; what they make goes to all ranks, and the weights
 * are given back before those of the nets are loaded. Prompts do not change
 * over a run, so each leaf of the method keeps what its net makes of a text
 * (graph.h, held) once for all images.
 */
#ifndef WEFT_LAUNCH_READING_H
#define WEFT_LAUNCH_READING_H

#include "launch/job.h"

/* Local, once nets are laid out: memory for what leaves keep. */
weft_status weft_reading_room(weft_job *j);
/* Collective over the job, once its memory is there: all readings. */
weft_status weft_reading_make(weft_job *j);
/* Local, once the nets are loaded: what each leaf here keeps of its text. */
weft_status weft_reading_hold(weft_job *j);

#endif
