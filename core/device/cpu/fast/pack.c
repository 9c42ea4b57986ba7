/* pack.c - elements of weights as they lie in the file, which aligns nothing.
 */
#include "core/device/cpu/fast/kernel.h"
#include "core/device/dtype.h"

static void read_floats(const weft_source *s, size_t at, int n, float *out)
{
    if (s->type == WEFT_F32)
        memcpy(out, (const char *)s->data + at * sizeof *out,
               (size_t)n * sizeof *out);
    else
        for (int i = 0; i < n; i++)
            out[i] = weft_dtype_load(s->type, s->data, at + i);
}

void ISA(weight_read)(const weight_view *v, int n, int k0, int nk, float *out)
{
    const weft_conv *c = v->conv;
    const int taps = c->kh * c->kw, k = c->cin[0] + c->cin[1];
    int i = 0;
    while (i < v->nsrc - 1 && n >= v->src[i].cout) n -= v->src[i++].cout;
    read_floats(&v->src[i], ((size_t)n * k + k0) * taps, nk * taps, out);
}

/* Round to nearest even; exact for what came from a half. */
static uint16_t to_half(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u >= 0x477ff000) /* too large, infinite or not a number */
        return (uint16_t)(sign | 0x7c00 | (u > 0x7f800000 ? 0x200 : 0));
    if (u < 0x38800000) { /* subnormal: 0.5 has units of 2^-24 */
        const float t = weft_float_of_bits(u) + 0.5f;
        memcpy(&u, &t, sizeof u);
        return (uint16_t)(sign | (u - 0x3f000000));
    }
    u += 0xfff + (u >> 13 & 1);
    return (uint16_t)(sign | (u - 0x38000000) >> 13);
}

static uint16_t to_bfloat(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

void ISA(weight_write)(void *dst, size_t i, float x, weft_dtype t)
{
    if (t == WEFT_F32)
        ((float *)dst)[i] = x;
    else if (t == WEFT_F16)
        ((uint16_t *)dst)[i] = to_half(x);
    else
        ((uint16_t *)dst)[i] = to_bfloat(x);
}
