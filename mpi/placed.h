/*
 * placed.h - a net that lives on the ranks of its role, as a denoiser for all.
 *
 * Everybody who keeps rows of the state asks it about them. The ranks of the
 * role evaluate the net on theirs and post the prediction; answering waits for
 * the rows that come from elsewhere. Where the state's rows are the role's own
 * on every rank nothing moves.
 */
#ifndef WEFT_MPI_PLACED_H
#define WEFT_MPI_PLACED_H

#include "core/guide/denoiser.h"
#include "mpi/redistribute.h"

/* What evaluating took here. */
typedef struct weft_placed_clock {
    double seconds;
    uint64_t times;
} weft_placed_clock;

typedef struct weft_placed_spec {
    weft_batch batch;   /* of the state that I keep; n as the net takes it */
    weft_denoiser *net; /* on a rank of the role, of its rows; otherwise NULL */
    weft_crossroads *at;
    const char *what;             /* the role's name, for messages; borrowed */
    const weft_span *have, *keep; /* [ranks of the group]: the role's rows, the
                                     state's; borrowed for the call */
    int rank;                     /* mine in the group */
    int unit;                     /* rows of a unit */
    weft_placed_clock *clock;     /* added to; borrowed */
} weft_placed_spec;

/* Local, but every rank of the group makes the same ones in the same order; a
 * rank that keeps no state too: it is never asked. `net` is borrowed. */
weft_status weft_placed_create(const weft_placed_spec *s, weft_denoiser **out);

#endif
