/*
 * total.h - sums over whole images, the same bytes for every partition.
 *
 * Guidance rescale, superposition and analytic models need sums over all of a
 * sample's elements. Whoever needs one adds up each of its *stretches*, the
 * columns of one strip in one row, in double and in the order of the columns; a
 * total adds the stretches in the order of the image, row by row.
 */
#ifndef WEFT_CORE_GUIDE_TOTAL_H
#define WEFT_CORE_GUIDE_TOTAL_H

#include <stddef.h>

#include "core/guide/denoiser.h"
#include "core/status.h"

typedef struct weft_total {
    /* each: [rows][strips][k], mine; total: [k], over all of the image.
     * *Collective* over the ranks that share the image. */
    weft_status (*sum)(const struct weft_total *t, const double *each, int k,
                       double *total);
    int rows, columns; /* mine */
    int strip;         /* columns of a strip; mine begin with a whole one */
    double pixels;     /* of all ranks together */
    void *via;
} weft_total;

static inline weft_status
weft_total_sum(const weft_total *t, const double *each, int k, double *total)
{
    return t->sum(t, each, k, total);
}

/* The total of one rank that holds the image. */
weft_total weft_total_solo(int rows, int columns, int strip);
/* *t; where that is NULL, of one rank that holds the images of b. */
weft_total weft_total_or_solo(const weft_total *t, const weft_batch *b);

static inline size_t weft_total_stretches(const weft_total *t)
{
    return (size_t)t->rows * (size_t)((t->columns + t->strip - 1) / t->strip);
}

/* total += each of n times k sums. */
void weft_total_add(const double *each, size_t n, int k, double *total);

/* One sample's part of a stretch of mine: `floats` of a batch from `at` on.
 * Its sums are the index-th of [rows][strips][n]. */
typedef struct weft_stretch {
    int row, column, sample;
    size_t at, floats, index;
} weft_stretch;

typedef void weft_stretch_fn(void *arg, const weft_stretch *s);

/* All of a batch whose rows and columns are those of `t`, in order. */
void weft_total_visit(const weft_total *t, const weft_batch *b,
                      weft_stretch_fn *fn, void *arg);

#endif
