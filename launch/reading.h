/*
 * reading.h - prompts, read: what text encoders make of them.
 *
 * What a config says is read before anything else is loaded: the ranks of rank
 * 0's node, or group 0's of the role text, share the weights of one encoder
 * after the other and deal out the prompts; what they make goes to all ranks,
 * and the weights are given back. Where a data set's items have words of their
 * own, each node with ranks that read keeps the weights of all encoders, packed
 * once; texts are read when nets are told (telling.h).
 */
#ifndef WEFT_LAUNCH_READING_H
#define WEFT_LAUNCH_READING_H

#include "launch/job.h"

/* Collective over the job, once its memory is there. */
weft_status weft_reading_make(weft_job *j);
/* Local, where items have words of their own: what the readers of a model make
 * of a text that is told under a condition; r has its tokens, and zeros. The
 * block is used. */
weft_status weft_reading_read(const weft_job *j, int model,
                              weft_condition condition, weft_reading *r);

#endif
