/*
 * telling.h - what nets are told of texts, batch by batch.
 *
 * A leaf's net keeps what it makes of its texts (graph.h, held). Where all
 * images of a run are told what the config says, that is made once, and all
 * batches in flight look at it. Where a data set's items have words of their
 * own, each batch in flight has one, made anew when the batch enters and its
 * texts are not those of the one before; a *library* keeps some readings, so
 * that a text that many items share (a negative prompt) is read once. Each rank
 * reads for its own nets, or ranks of the role text read for all and send.
 *
 * What an image is told depends on its item alone.
 */
#ifndef WEFT_LAUNCH_TELLING_H
#define WEFT_LAUNCH_TELLING_H

#include "launch/reading.h"

/* *Local*. Once nets are laid out: memory for what leaves keep. On failure to
 * be released as well. */
weft_status weft_telling_room(weft_job *j);
/* *Local*, but every rank of the group does it. Once there are crossroads: the
 * ways that texts take. */
weft_status weft_telling_connect(weft_job *j);
/* Collective over the job, whose crossroads are still there. */
void weft_telling_release(weft_job *j);

/* *Local*. Where a leaf keeps what it makes of a flight's texts; NULL: its net
 * has none.
 */
char *weft_telling_place(const weft_job *j, int leaf, int flight);
/* By every rank of the group for every leaf, in the same order: these images,
 * [batch], enter that flight. The block is used. Waits for texts that others
 * read. */
weft_status weft_telling_tell(weft_job *j, int leaf, int flight,
                              const int *image);
/* *Local*. These images, [batch], come next: a rank that does nothing but read
 * does so now. The block is used. */
weft_status weft_telling_ahead(weft_job *j, const int *image);

#endif
