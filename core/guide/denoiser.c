#include "core/guide/denoiser.h"

void weft_denoiser_destroy(weft_denoiser *d)
{
    if (d) d->ops->destroy(d);
}
