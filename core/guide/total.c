#include "core/guide/total.h"

#include <stddef.h>

static weft_status sum(const weft_total *t, const double *rowwise, int k,
                       double *total)
{
    for (int i = 0; i < k; i++) total[i] = 0;
    for (int y = 0; y < t->rows; y++)
        for (int i = 0; i < k; i++)
            total[i] += rowwise[(size_t)y * (size_t)k + (size_t)i];
    return WEFT_OK;
}

weft_total weft_total_solo(int rows)
{
    return (weft_total){.sum = sum, .rows = rows, .image_rows = rows};
}
