/*
 * stamps.h - who and when: every pixel that is published says which image,
 * evaluation, row, column and patch it is of, and everyone asks each that it
 * sees: rows, columns and corners of the neighbours, and parts of all.
 *
 * For any transport: the same questions between threads and between ranks.
 */
#ifndef WEFT_TESTS_STAMPS_H
#define WEFT_TESTS_STAMPS_H

#include "core/exchange.h"

/* Units and strips of the image. */
enum { WEFT_STAMP_ROWS = 40, WEFT_STAMP_STRIPS = 3 };

/* How an exchange is used. */
typedef struct weft_stamps {
    int images, evaluations; /* of each image; a restart before each */
    int behind;  /* evaluations that the last image had before the first one */
    bool shared; /* wrongly: two lanes take turns on one exchange */
} weft_stamps;

/* Declare slots of every kind on x and use them; returns how many answers were
 * wrong. Collective over the peers. */
int weft_stamps_ask(weft_exchange *x, const weft_stamps *how);

/* An uneven cut of WEFT_STAMP_ROWS units into n patches of 3 at least. */
void weft_stamps_cut(int n, int *first);
/* An uneven cut of the strips; across: 3 at most. */
void weft_stamps_strips(int across, int *strip);

#endif
