/*
 * stream.h - rows to one writer, in the order of the image.
 *
 * Every patch hands over its rows; rank 0 of the patch axis sees all of them
 * from the top down, a few at a time, so that it never holds more than two
 * pieces of what is not its own. Rows of patches side by side are received
 * into their columns of whole rows.
 */
#ifndef WEFT_MPI_STREAM_H
#define WEFT_MPI_STREAM_H

#include "core/exchange.h"
#include "mpi/comm.h"

/* `rows` rows from row `row` of the image on; valid during the call. */
typedef weft_status weft_take_rows(void *arg, int row, int rows,
                                   const void *data);

/* Gives the next piece of my rows: `rows` rows from my row `row` on, written
 * to `out`, each `stride` bytes behind the one before. */
typedef void weft_give_rows(void *arg, int row, int rows, void *out,
                            size_t stride);

typedef struct weft_stream {
    const weft_comm *patches;
    const weft_cut *cut;
    weft_cell cell;
    size_t pixel_bytes;
    int piece; /* rows at once */
    weft_give_rows *give;
    void *give_arg;
    weft_take_rows *take; /* used on rank 0 */
    void *take_arg;
    char *buffer; /* 2 * piece rows of the image */
    weft_traffic *traffic;
} weft_stream;

/* Collective over the patch axis. A failure of take() is returned on rank 0
 * after all rows were received; the other ranks do not learn of it here. */
weft_status weft_stream_run(const weft_stream *s);

#endif
