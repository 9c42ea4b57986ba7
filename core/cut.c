#include "core/cut.h"

weft_rect weft_cut_rect(const weft_cut *c, const weft_cell *cell, int p)
{
    const int across = weft_cut_across(c), line = p / across, k = p % across;
    weft_rect r = {.row = c->first[line] * cell->rows,
                   .rows = weft_cut_units(c, p) * cell->rows,
                   .columns = cell->width};

    if (across == 1) return r;
    r.column = weft_cell_column(cell, c->strip[k]);
    r.columns = weft_cell_column(cell, c->strip[k + 1]) - r.column;
    return r;
}

int weft_cut_neighbour(const weft_cut *c, int p, int down, int right)
{
    const int across = weft_cut_across(c);
    const int line = p / across + down, k = p % across + right;

    if (line < 0 || line >= c->n / across || k < 0 || k >= across) return -1;
    return line * across + k;
}

/* Before, within or behind. */
static int one_of(int where, int before, int within, int behind)
{
    return where < 0 ? before : where > 0 ? behind : within;
}

weft_rect weft_border_from(const weft_rect *mine, const weft_border *b,
                           int down, int right)
{
    return (weft_rect){.row = one_of(down, -b->above, 0, mine->rows),
                       .rows = one_of(down, b->above, mine->rows, b->below),
                       .column = one_of(right, -b->left, 0, mine->columns),
                       .columns =
                           one_of(right, b->left, mine->columns, b->right)};
}

weft_rect weft_border_to(const weft_rect *mine, const weft_border *b, int down,
                         int right)
{
    return (weft_rect){.row = one_of(down, 0, 0, mine->rows - b->above),
                       .rows = one_of(down, b->below, mine->rows, b->above),
                       .column = one_of(right, 0, 0, mine->columns - b->left),
                       .columns =
                           one_of(right, b->right, mine->columns, b->left)};
}
