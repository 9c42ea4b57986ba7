/*
 * total.h - sums over whole images, the same bytes for every partition.
 *
 * Guidance rescale, superposition and analytic models need sums over all of a
 * sample's elements. Whoever needs one adds up each of its rows in double, in
 * the order of the row; a total adds the rows in the order of the image.
 */
#ifndef WEFT_CORE_GUIDE_TOTAL_H
#define WEFT_CORE_GUIDE_TOTAL_H

#include "core/status.h"

typedef struct weft_total {
    /* rowwise: [rows][k], mine; total: [k], over all rows of the image.
     * *Collective* over the ranks that share the image. */
    weft_status (*sum)(const struct weft_total *t, const double *rowwise, int k,
                       double *total);
    int rows;       /* mine */
    int image_rows; /* of all ranks together */
    void *via;
} weft_total;

static inline weft_status
weft_total_sum(const weft_total *t, const double *rowwise, int k, double *total)
{
    return t->sum(t, rowwise, k, total);
}

/* The total of one rank that holds all rows. */
weft_total weft_total_solo(int rows);

#endif
