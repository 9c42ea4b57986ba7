/*
 * stamps.h - who and when: every row that is published says which image,
 * evaluation, row and patch it is of, and everyone asks each row that it sees.
 *
 * For any transport: the same questions between threads and between ranks.
 */
#ifndef WEFT_TESTS_STAMPS_H
#define WEFT_TESTS_STAMPS_H

#include "core/exchange.h"

enum { WEFT_STAMP_ROWS = 40 }; /* units of the image */

/* How an exchange is used. */
typedef struct weft_stamps {
    int images, evaluations; /* of each image; a restart before each */
    bool shared;             /* wrongly: two lanes take turns on one exchange */
} weft_stamps;

/* Declare slots of every kind on x and use them; returns how many answers were
 * wrong. Collective over the peers. */
int weft_stamps_ask(weft_exchange *x, const weft_stamps *how);

/* An uneven cut of WEFT_STAMP_ROWS units into n patches of 3 at least. */
void weft_stamps_cut(int n, int *first);

#endif
