/*
 * exchange_mpi.h - the exchange between ranks.
 *
 * Borders go to the neighbours only and are received in place; what everyone
 * needs goes point to point, each part into its place in a buffer that spans
 * the image. Every message is a persistent request, made when its slot is
 * bound: a step starts and completes requests and allocates nothing. Each
 * class of message has a communicator of its own, so that no order between
 * classes can go wrong.
 *
 * MPI moves nothing by itself: weft_exchange_poll() is called between the
 * pieces of work (core/pool.h) and moves all that is under way.
 */
#ifndef WEFT_MPI_EXCHANGE_MPI_H
#define WEFT_MPI_EXCHANGE_MPI_H

#include "core/exchange.h"
#include "mpi/comm.h"

/* Collective over the patch axis `patches`, whose ranks are the patches of
 * `cut` in order. A patch axis of one gets the solo transport. *x is owned;
 * release with weft_exchange_mpi_destroy. */
weft_status weft_exchange_mpi_create(const weft_comm *patches,
                                     const weft_cut *cut, weft_schedule sched,
                                     weft_exchange **x);
/* Collective over the patch axis. NULL is nothing. */
void weft_exchange_mpi_destroy(weft_exchange *x);

#endif
