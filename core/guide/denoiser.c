#include "core/guide/denoiser.h"

#include <string.h>

weft_status weft_predict(weft_denoiser *d, const weft_input *in, float *out)
{
    WEFT_TRY(weft_ask(d, in));
    WEFT_TRY(weft_work(d));
    return weft_answer(d, out);
}

void weft_denoiser_destroy(weft_denoiser *d)
{
    if (d) d->ops->destroy(d);
}

void weft_batch_twice(const weft_batch *b, const float *x, float *twice)
{
    const size_t row = weft_batch_floats(b) / (size_t)b->rows;

    for (size_t y = 0; y < (size_t)b->rows; y++)
        for (size_t k = 0; k < 2; k++)
            memcpy(twice + (2 * y + k) * row, x + y * row, row * sizeof *x);
}
