/*
 * cut.h - which rectangle of the image each patch holds.
 *
 * Along the rows the latent is cut at multiples of the *unit* (parallel.grain
 * latent rows), along the columns at multiples of the *strip* (four times the
 * net's total stride at least, a quarter of the shorter side at least). A
 * *cell* is one unit of one strip: what no cut divides,
 * at any level of a net. The last strip is narrower where the width is no
 * multiple.
 *
 *     2 x 3 patches:      strips    0  1 | 2  3 | 4
 *                         unit 0    patch 0 |  1  |  2
 *                         unit 1
 *                         --------
 *                         unit 2    patch 3 |  4  |  5
 */
#ifndef WEFT_CORE_CUT_H
#define WEFT_CORE_CUT_H

#include <stddef.h>

/* Patch p lies in line p / across of the patches and in column p % across.
 * The arrays are borrowed and must outlive every user. */
typedef struct weft_cut {
    int n, me;
    const int *first; /* [lines + 1] units, ascending, first[0] = 0 */
    int across;       /* patches side by side; 0 counts as 1 */
    const int *strip; /* [across + 1] strips, like `first`; not read where
                         there is one column: it is as wide as the image */
} weft_cut;

/* A cell at one level of a net, and how wide the image is there. */
typedef struct weft_cell {
    int rows, columns;
    int width;
} weft_cell;

typedef struct weft_rect {
    int row, rows, column, columns;
} weft_rect;

static inline int weft_cut_across(const weft_cut *c)
{
    return c->across > 1 ? c->across : 1;
}

static inline int weft_cut_lines(const weft_cut *c)
{
    return c->n / weft_cut_across(c);
}

/* Units of rows in patch p. */
static inline int weft_cut_units(const weft_cut *c, int p)
{
    const int line = p / weft_cut_across(c);

    return c->first[line + 1] - c->first[line];
}

/* Units of rows in the image. */
static inline int weft_cut_total(const weft_cut *c)
{
    return c->first[weft_cut_lines(c)];
}

/* The column where strip i begins; the width of the image, behind the last. */
static inline int weft_cell_column(const weft_cell *cell, int i)
{
    const long long at = (long long)i * cell->columns;

    return at < cell->width ? (int)at : cell->width;
}

/* What patch p holds of a level. */
weft_rect weft_cut_rect(const weft_cut *c, const weft_cell *cell, int p);

/* The patch `down` lines below p and `right` columns right of it, each -1, 0 or
 * 1; -1 where the image ends. */
int weft_cut_neighbour(const weft_cut *c, int p, int down, int right);

/* Rows and columns that a layer needs beyond its patch. */
typedef struct weft_border {
    int above, below, left, right;
} weft_border;

/* Of a patch of `mine`, counted from its first row and column: what it gets of
 * the neighbour at (down, right), which lies beyond it, and what that neighbour
 * gets of it. Empty where there are no rows or columns. */
weft_rect weft_border_from(const weft_rect *mine, const weft_border *b,
                           int down, int right);
weft_rect weft_border_to(const weft_rect *mine, const weft_border *b, int down,
                         int right);

static inline size_t weft_rect_pixels(const weft_rect *r)
{
    return (size_t)r->rows * (size_t)r->columns;
}

#endif
