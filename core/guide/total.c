#include "core/guide/total.h"

#include <string.h>

void weft_total_add(const double *each, size_t n, int k, double *total)
{
    for (size_t y = 0; y < n; y++)
        for (int i = 0; i < k; i++) total[i] += each[y * (size_t)k + (size_t)i];
}

static weft_status sum(const weft_total *t, const double *each, int k,
                       double *total)
{
    memset(total, 0, (size_t)k * sizeof *total);
    weft_total_add(each, weft_total_stretches(t), k, total);
    return WEFT_OK;
}

weft_total weft_total_solo(int rows, int columns, int strip)
{
    return (weft_total){.sum = sum,
                        .rows = rows,
                        .columns = columns,
                        .strip = strip,
                        .pixels = (double)rows * columns};
}

weft_total weft_total_or_solo(const weft_total *t, const weft_batch *b)
{
    return t ? *t : weft_total_solo(b->rows, b->w, b->w);
}

static void visit_row(const weft_total *t, const weft_batch *b, weft_stretch *s,
                      weft_stretch_fn *fn, void *arg)
{
    const size_t c = (size_t)b->c, sample = (size_t)b->w * c;
    const size_t row = (size_t)s->row * (size_t)b->n * sample;

    for (s->column = 0; s->column < b->w; s->column += t->strip) {
        const int left = b->w - s->column;

        s->floats = (size_t)(left < t->strip ? left : t->strip) * c;
        for (s->sample = 0; s->sample < b->n; s->sample++, s->index++) {
            s->at = row + (size_t)s->sample * sample + (size_t)s->column * c;
            fn(arg, s);
        }
    }
}

void weft_total_visit(const weft_total *t, const weft_batch *b,
                      weft_stretch_fn *fn, void *arg)
{
    weft_stretch s = {0};

    for (; s.row < b->rows; s.row++) visit_row(t, b, &s, fn, arg);
}
