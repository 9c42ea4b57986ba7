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

/* Halves, or quarters, of pixels, channels and columns: enough of the latter
 * two that sums cost little beside an eighth of the products. A half or quarter
 * of the columns is whole panels on any instruction set. */
enum {
    HALVES_LEAST = 256,   /* channels and columns */
    QUARTERS_LEAST = 512, /* channels */
    SEVEN_COLUMNS = 32,   /* of a panel at most */
    SEVEN_VECTOR = 16,
    SEVEN_K = 320 /* most channels of a product */
};

/* Into how many segments channels are cut, each of a single input and of `side`
 * equal parts of whole vectors; 0: they cannot be. */
static int segments(const weft_conv *c, int side)
{
    const int channels = c->cin[0] + c->cin[1];
    const int least = (channels + side * SEVEN_K - 1) / (side * SEVEN_K);
    for (int n = least; n <= 2 * least; n++)
        if (channels % (n * side * SEVEN_VECTOR) == 0 &&
            c->cin[0] % (channels / n) == 0)
            return n;
    return 0;
}

/* Halves or quarters of each side: 2 or 4; 0: neither. */
static int seven(const weft_conv *c)
{
    const int channels = c->cin[0] + c->cin[1];
    if (!c->paired || c->rank || channels < HALVES_LEAST ||
        c->cout < HALVES_LEAST)
        return 0;
    for (int side = channels < QUARTERS_LEAST ? 2 : c->paired; side > 1;
         side /= 2)
        if (c->cout % (side * SEVEN_COLUMNS) == 0 && segments(c, side))
            return side;
    return 0;
}

weft_variant weft_variant_of(const weft_conv *c, bool lean)
{
    if (narrow(c)) return (weft_variant){WEFT_NARROW, 1, 1, c->wtype};
    const int side = lean ? 0 : seven(c);
    if (side)
        return (weft_variant){WEFT_SEVEN, segments(c, side), side, c->wtype};
    if (!lean && strided(c))
        return (weft_variant){WEFT_STRIDED, 1, 4, c->wtype};
    if (lean || !minimal(c)) return (weft_variant){WEFT_DIRECT, 1, 1, c->wtype};
    const int mh = c->tile_rows >= 4 ? 4 : c->tile_rows >= 2 ? 2 : 1;
    return (weft_variant){WEFT_MINIMAL, mh, 4, c->wtype};
}
