#include "core/device/cpu/variant.h"

/* Below this many channels on either side the transforms cost more than the
 * multiplications they save. */
enum { MINIMAL_CHANNELS = 16 };

/* With a stride there is less to save: not worth making so many weights for the
 * few pixels that layers with many of them have. */
enum { STRIDED_WEIGHTS = 640 * 640 };

static bool minimal(const weft_conv *c)
{
    const int k = c->cin[0] + c->cin[1];
    return c->kh == 3 && c->kw == 3 && c->stride == 1 &&
           k >= MINIMAL_CHANNELS && c->cout >= MINIMAL_CHANNELS;
}

static bool strided(const weft_conv *c)
{
    return c->kh == 3 && c->kw == 3 && c->stride == 2 && !c->cin[1] &&
           c->cin[0] >= MINIMAL_CHANNELS && c->cout >= MINIMAL_CHANNELS &&
           (size_t)c->cin[0] * (size_t)c->cout <= STRIDED_WEIGHTS;
}

static bool narrow(const weft_conv *c)
{
    return c->cout <= 4 && c->cin[0] + c->cin[1] >= 16;
}

/* Halves of pixels, channels and columns: enough of the latter two that sums
 * of halves cost little beside an eighth of the products. Half the columns are
 * whole panels on any instruction set. */
enum { SEVEN_CHANNELS = 256, SEVEN_COLUMNS = 64, SEVEN_VECTOR = 32 };

static bool seven(const weft_conv *c)
{
    return c->paired && !c->rank && !c->cin[1] && c->cin[0] >= SEVEN_CHANNELS &&
           c->cin[0] % SEVEN_VECTOR == 0 && c->cout >= SEVEN_CHANNELS &&
           c->cout % SEVEN_COLUMNS == 0;
}

weft_variant weft_variant_of(const weft_conv *c, bool lean)
{
    if (narrow(c)) return (weft_variant){WEFT_NARROW, 1, 1, c->wtype};
    if (!lean && seven(c)) return (weft_variant){WEFT_SEVEN, 1, 1, c->wtype};
    if (!lean && strided(c))
        return (weft_variant){WEFT_STRIDED, 1, 4, c->wtype};
    if (lean || !minimal(c)) return (weft_variant){WEFT_DIRECT, 1, 1, c->wtype};
    const int mh = c->tile_rows >= 4 ? 4 : c->tile_rows >= 2 ? 2 : 1;
    return (weft_variant){WEFT_MINIMAL, mh, 4, c->wtype};
}
