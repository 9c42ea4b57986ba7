/*
 * Plain loops without branches, which compilers turn into vectors of whatever
 * width there is: integer arithmetic on the bits of floats, and float
 * arithmetic whose every result is rounded alone.
 */
#include "core/wire.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/device/processor.h"

const char *const weft_wire_name[WEFT_WIRES] = {
    [WEFT_WIRE_F32] = "f32",
    [WEFT_WIRE_F16] = "f16",
    [WEFT_WIRE_BF16] = "bf16",
    [WEFT_WIRE_INT8] = "int8",
};

enum { INFINITE = 0x7f800000, LARGEST = 127 };

static uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* yes ? a : b, without a branch */
static uint32_t pick(bool yes, uint32_t a, uint32_t b)
{
    return b ^ ((a ^ b) & -(uint32_t)yes);
}

/* ---- halves -------------------------------------------------------------- */

/* Below 2^-14 halves are multiples of 2^-24: the last bit of 0.5 to 1, so that
 * adding 0.5 rounds to one. */
static uint16_t half_of(float f)
{
    const uint32_t bits = bits_of(f), a = bits & 0x7fffffff;
    const uint32_t small = bits_of(float_of(a) + 0.5f) - 0x3f000000;
    const uint32_t normal = (a - (112u << 23) + 0xfff + (a >> 13 & 1)) >> 13;
    const uint32_t large = a > INFINITE ? 0x7e00 : 0x7c00;
    const uint32_t finite = pick(a < 0x38800000, small, normal);

    return (uint16_t)((bits >> 16 & 0x8000) |
                      pick(a < 0x477ff000, finite, large));
}

static float float_of_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, a = h & 0x7fff;
    const uint32_t small = bits_of((float)(int32_t)a * 0x1p-24f);
    const uint32_t normal = (a << 13) + (112u << 23);
    const uint32_t large = INFINITE | a << 13;

    const uint32_t finite = pick(a < 0x400, small, normal);

    return float_of(sign | pick(a < 0x7c00, finite, large));
}

static uint16_t bfloat_of(float f)
{
    const uint32_t bits = bits_of(f);
    const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    const bool nan = (bits & 0x7fffffff) > INFINITE;

    return (uint16_t)(pick(nan, bits | 0x400000, rounded) >> 16);
}

static void encode_half(size_t n, const float *restrict in,
                        uint16_t *restrict out)
{
    for (size_t i = 0; i < n; i++) out[i] = half_of(in[i]);
}

static void decode_half(size_t n, const uint16_t *restrict in,
                        float *restrict out)
{
    for (size_t i = 0; i < n; i++) out[i] = float_of_half(in[i]);
}

static void encode_bfloat(size_t n, const float *restrict in,
                          uint16_t *restrict out)
{
    for (size_t i = 0; i < n; i++) out[i] = bfloat_of(in[i]);
}

static void decode_bfloat(size_t n, const uint16_t *restrict in,
                          float *restrict out)
{
    for (size_t i = 0; i < n; i++) out[i] = float_of((uint32_t)in[i] << 16);
}

/* ---- residuals: all scales, then all q ----------------------------------- */

/* The largest difference of a run; what is not finite is larger than all. */
static float largest(size_t n, const float *restrict in,
                     const float *restrict held)
{
    int32_t most = 0;

    for (size_t i = 0; i < n; i++) {
        const int32_t a = (int32_t)(bits_of(in[i] - held[i]) & 0x7fffffff);

        most = a > most ? a : most;
    }
    return float_of((uint32_t)most);
}

/* Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits. */
static int8_t round_to_int8(float f)
{
    return (int8_t)(bits_of(f + 12582912.0f) - 0x4b400000);
}

static void add_run(size_t n, float scale, const int8_t *restrict q,
                    float *restrict out)
{
    for (size_t i = 0; i < n; i++) out[i] += (float)q[i] * scale;
}

static float encode_run(size_t n, const float *restrict in,
                        float *restrict held, int8_t *restrict q)
{
    const float most = largest(n, in, held);
    const bool finite = most < INFINITY, moved = most >= WEFT_WIRE_LEAST;
    const float scale = !finite ? NAN : moved ? most / LARGEST : 0;
    const float per = LARGEST / most;

    if (finite && moved)
        for (size_t i = 0; i < n; i++)
            q[i] = round_to_int8((in[i] - held[i]) * per);
    else
        memset(q, 0, n);
    add_run(n, scale, q, held);
    return scale;
}

static size_t runs_of(size_t width)
{
    return (width + WEFT_WIRE_RUN - 1) / WEFT_WIRE_RUN;
}

static size_t run_length(size_t width, size_t at)
{
    return width - at < WEFT_WIRE_RUN ? width - at : WEFT_WIRE_RUN;
}

static void encode_residual(const weft_wire_rows *r, const float *in,
                            float *held, void *wire)
{
    const size_t width = r->width;
    float *scale = wire;
    int8_t *q = (int8_t *)(scale + r->rows * runs_of(width)) + r->from * width;

    scale += r->from * runs_of(width);
    for (size_t y = r->from; y < r->to;
         y++, in += width, held += width, q += width)
        for (size_t at = 0; at < width; at += WEFT_WIRE_RUN)
            *scale++ =
                encode_run(run_length(width, at), in + at, held + at, q + at);
}

static void decode_residual(const weft_wire_rows *r, const void *wire,
                            float *out)
{
    const size_t width = r->width;
    const float *scale = wire;
    const int8_t *q =
        (const int8_t *)(scale + r->rows * runs_of(width)) + r->from * width;

    scale += r->from * runs_of(width);
    for (size_t y = r->from; y < r->to; y++, out += width, q += width)
        for (size_t at = 0; at < width; at += WEFT_WIRE_RUN)
            add_run(run_length(width, at), *scale++, q + at, out + at);
}

/* ---- messages ------------------------------------------------------------ */

size_t weft_wire_bytes(weft_wire w, bool full, size_t rows, size_t width)
{
    const size_t n = rows * width;

    if (w == WEFT_WIRE_F16 || w == WEFT_WIRE_BF16) return 2 * n;
    if (weft_wire_is_residual(w) && !full)
        return n + rows * runs_of(width) * sizeof(float);
    return n * sizeof(float);
}

void weft_wire_encode_rows(const weft_wire_rows *r, const float *in,
                           float *held, void *wire)
{
    const uint64_t old = weft_processor_flush_denormals();
    const size_t at = r->from * r->width, n = r->to * r->width - at;
    const bool residual = weft_wire_is_residual(r->wire);

    if (r->wire == WEFT_WIRE_F16)
        encode_half(n, in + at, (uint16_t *)wire + at);
    else if (r->wire == WEFT_WIRE_BF16)
        encode_bfloat(n, in + at, (uint16_t *)wire + at);
    else if (residual && !r->full)
        encode_residual(r, in + at, held + at, wire);
    else
        memcpy((float *)wire + at, in + at, n * sizeof *in);
    if (residual && r->full) memcpy(held + at, in + at, n * sizeof *in);
    weft_processor_restore_denormals(old);
}

void weft_wire_decode_rows(const weft_wire_rows *r, const void *wire,
                           float *out)
{
    const uint64_t old = weft_processor_flush_denormals();
    const size_t at = r->from * r->width, n = r->to * r->width - at;

    if (r->wire == WEFT_WIRE_F16)
        decode_half(n, (const uint16_t *)wire + at, out + at);
    else if (r->wire == WEFT_WIRE_BF16)
        decode_bfloat(n, (const uint16_t *)wire + at, out + at);
    else if (weft_wire_is_residual(r->wire) && !r->full)
        decode_residual(r, wire, out + at);
    else
        memcpy(out + at, (const float *)wire + at, n * sizeof *out);
    weft_processor_restore_denormals(old);
}
