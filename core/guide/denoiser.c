#include "core/guide/denoiser.h"

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
