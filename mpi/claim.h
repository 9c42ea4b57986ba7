/*
 * claim.h - a queue that all ranks take from without waiting for each other,
 * and a board that they write on for rank 0 to read.
 *
 * Both are memory of rank 0 that everybody reaches by one-sided operations: a
 * claim is one fetch-and-add, so that a number is given once and no rank is
 * asked for it. Where ranks share no memory MPI may move such operations only
 * while rank 0 is in a call; it makes one in weft_claim_poll.
 *
 * A queue hands out 0, 1, 2, ... Its entries, and what is done about them, are
 * the caller's business; `done` entries are noted one by one.
 */
#ifndef WEFT_MPI_CLAIM_H
#define WEFT_MPI_CLAIM_H

#include "mpi/comm.h"

typedef struct weft_claim weft_claim;

/* Collective over c, which must live on. `entries`: of the queue; `facts`:
 * numbers of each rank on the board. */
weft_status weft_claim_create(const weft_comm *c, int entries, int facts,
                              weft_claim **q);
/* Collective over c. NULL is nothing. */
void weft_claim_destroy(weft_claim *q);

/* *Local*. The next entry; those from `entries` on do not exist: nothing is
 * left. */
weft_status weft_claim_next(weft_claim *q, int *entry);
/* *Local*. Entry is done; or my `facts` are these now. */
weft_status weft_claim_done(weft_claim *q, int entry);
weft_status weft_claim_tell(weft_claim *q, const double *facts);

/* *Local*, rank 0. What is on the board: of a rank; whether an entry is done;
 * how many were claimed. It may be a moment old. */
const double *weft_claim_facts(const weft_claim *q, int rank);
bool weft_claim_is_done(const weft_claim *q, int entry);
int weft_claim_taken(const weft_claim *q);

/* *Local*. Rank 0: all is done. The others: is it? They may ask as rarely as
 * they like. */
void weft_claim_close(weft_claim *q);
weft_status weft_claim_closed(weft_claim *q, bool *closed);

/* *Local*. Lets what others want of this rank's memory happen; to be called
 * often, and cheap. */
void weft_claim_poll(weft_claim *q);

#endif
