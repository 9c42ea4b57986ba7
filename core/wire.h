/*
 * wire.h - how a slot's floats travel.
 *
 *     f32    as they are
 *     f16    rounded to nearest even; beyond 65504 infinite
 *     bf16   rounded to nearest even
 *     int8   the difference from what the receiver already holds
 *
 * An int8 message is a residual (CompactFusion, NeurIPS 2025, is the idea): for
 * each run of WEFT_WIRE_RUN floats of a row a scale s, the largest difference
 * of the run / 127, and for each float a q = round(difference / s). Receivers
 * add q s to what they hold. The sender does the same to its own copy, so both
 * hold the same bytes, and what rounding loses is in the next difference:
 * errors do not add up, and floats that stand still are reached exactly, but
 * for differences below WEFT_WIRE_LEAST, which are not sent. The first message
 * of an image is a full one, of f32.
 *
 * Runs of 128 were chosen by measurement: 3 % more bytes, and half the error of
 * a scale per row. A scale per channel and row costs more and gains nothing.
 *
 * Not-a-number stays what it is. In f16 and bf16 infinities do too; in int8 a
 * difference that is not finite makes its whole run not-a-number, until the
 * next full message.
 *
 * The same bytes whatever the instruction set, and whether the caller flushes
 * denormals or not. Nothing is allocated. Memory is aligned to 4 bytes; `wire`
 * and floats do not overlap. *Local*.
 */
#ifndef WEFT_CORE_WIRE_H
#define WEFT_CORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum weft_wire {
    WEFT_WIRE_F32,
    WEFT_WIRE_F16,
    WEFT_WIRE_BF16,
    WEFT_WIRE_INT8,
    WEFT_WIRES,
} weft_wire;

extern const char *const weft_wire_name[WEFT_WIRES];

enum { WEFT_WIRE_RUN = 128 };
#define WEFT_WIRE_LEAST 0x1p-116f /* about 1.2e-35 */

/* Does a message need the one before it? */
static inline bool weft_wire_is_residual(weft_wire w)
{
    return w == WEFT_WIRE_INT8;
}

/* Bytes of a message of `rows` rows of `width` floats; `full` says whether it
 * is a full one and matters for residuals only. */
size_t weft_wire_bytes(weft_wire w, bool full, size_t rows, size_t width);

/* A message, and some of its rows, which may be coded apart from the others:
 * from .. to. */
typedef struct weft_wire_rows {
    weft_wire wire;
    bool full;
    size_t rows, width;
    size_t from, to;
} weft_wire_rows;

/* Floats [rows][width] to `wire`. `held` [rows][width]: what the receivers
 * hold, updated; used by residuals only. */
void weft_wire_encode_rows(const weft_wire_rows *r, const float *in,
                           float *held, void *wire);

/* `wire` to floats [rows][width]. Residuals: `out` holds what the message
 * before it gave. */
void weft_wire_decode_rows(const weft_wire_rows *r, const void *wire,
                           float *out);

/* The same of all rows. */
static inline void weft_wire_encode(weft_wire w, bool full, size_t rows,
                                    size_t width, const float *in, float *held,
                                    void *wire)
{
    const weft_wire_rows all = {w, full, rows, width, 0, rows};

    weft_wire_encode_rows(&all, in, held, wire);
}

static inline void weft_wire_decode(weft_wire w, bool full, size_t rows,
                                    size_t width, const void *wire, float *out)
{
    const weft_wire_rows all = {w, full, rows, width, 0, rows};

    weft_wire_decode_rows(&all, wire, out);
}

#endif
