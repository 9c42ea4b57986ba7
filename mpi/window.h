/*
 * window.h - memory that the ranks of a node share.
 *
 * Packed weights live once per node, never once per rank. The pages belong to
 * no rank in particular: any may fill any part, then all meet at a barrier.
 */
#ifndef WEFT_MPI_WINDOW_H
#define WEFT_MPI_WINDOW_H

#include <stddef.h>

#include "mpi/comm.h"

typedef struct weft_window weft_window;

/* Collective over the node. `bytes` must be equal; the memory is zeroed and
 * aligned to 64 bytes. */
weft_status weft_window_create(const weft_comm *node, size_t bytes,
                               weft_window **w);
/* Collective over the node. NULL is nothing. */
void weft_window_destroy(weft_window *w);
/* Local. */
void *weft_window_base(const weft_window *w);
/* Collective over the node: what any rank wrote before is there for all. */
weft_status weft_window_settle(weft_window *w);

#endif
