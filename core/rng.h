/*
 * rng.h - noise that does not depend on the partition.
 *
 * A draw is one field of standard normals over the whole image, [1][C][H][W];
 * a rank takes its part of it as [rows][n][columns][c]. Draw 0 is the start,
 * draw k > 0 the k-th that a solver asks for. One stream serves one image.
 *
 *   counter    f(seed, draw, element): Philox 4x32-10 and Box-Muller with
 *              weft's own logarithm and sine, so the bytes are the same on any
 *              machine. Any element can be had without the others.
 *   torch-cpu  the float32 stream of torch's CPU generator seeded with the
 *              low 32 bits: mt19937 and its way of filling normals, for n < 16
 *              and for the ragged tail too. Sequential: draws in order, and
 *              every rank walks the whole field, but keeps its rows only.
 *              Equal to torch to about 5e-7: torch's own logarithm and sine
 *              depend on the processor.
 *   torch-cuda the float32 stream of torch's CUDA generator: Philox 4x32-10 and
 *              cuRAND's Box-Muller. Which counter an element has depends on how
 *              many threads torch starts, so on the GPU, for fields of more
 *              elements than it has threads. Any element can be had without the
 *              others. Equal to torch to about 1e-6: a GPU's sine is coarse.
 *
 * Elements count as torch's [C][H][W]: (c * H + y) * W + x. A weft_noise is
 * plain data: copying it forks the stream.
 */
#ifndef WEFT_CORE_RNG_H
#define WEFT_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef enum weft_rng_kind {
    WEFT_RNG_COUNTER,
    WEFT_RNG_TORCH_CPU,
    WEFT_RNG_TORCH_CUDA,
    WEFT_RNGS,
} weft_rng_kind;

extern const char *const weft_rng_name[WEFT_RNGS]; /* as users type */

/* The rectangle of one image that this rank holds. */
typedef struct weft_field {
    int c, h, w;    /* of the whole image */
    int row0, rows; /* mine */
    int column0, columns;
} weft_field;

/* mt19937 with torch's cached second normal (n < 16). Plain data: a checkpoint
 * can hold it. */
typedef struct weft_mt19937 {
    uint32_t state[624];
    int next;
    int has_cached;
    double cached;
} weft_mt19937;

void weft_mt19937_seed(weft_mt19937 *g, uint32_t seed);
uint32_t weft_mt19937_next(weft_mt19937 *g);

/* Philox 4x32 with 10 rounds: out = the block that `counter` names under
 * `key`. */
void weft_philox(const uint32_t counter[4], const uint32_t key[2],
                 uint32_t out[4]);

typedef struct weft_noise {
    weft_rng_kind kind;
    uint64_t seed;
    uint32_t draw;   /* the next */
    int threads;     /* torch-cuda: of the GPU */
    weft_mt19937 mt; /* torch-cpu */
} weft_noise;

/* Fields of no more elements than WEFT_GPU_THREADS, those of a T4, are the same
 * on it and on all larger GPUs. */
enum { WEFT_GPU_BLOCK = 256, WEFT_GPU_THREADS = 40 * 1024 };

/* What torch starts on a GPU at most: on each multiprocessor the threads that
 * it can hold, at least 256, in whole blocks. */
static inline int weft_gpu_threads(int multiprocessors, int threads)
{
    return multiprocessors * (threads / WEFT_GPU_BLOCK) * WEFT_GPU_BLOCK;
}

/* For torch-cuda the threads are WEFT_GPU_THREADS; they may be set to another
 * multiple of WEFT_GPU_BLOCK before the first draw. */
void weft_noise_init(weft_noise *s, weft_rng_kind kind, uint64_t seed);

/* All draws of a stream are of one shape. The next one: element (y, x, c) of my
 * part goes to out[(y - row0) * row_stride + (x - column0) * C + c]; strides in
 * floats, so that samples of a batch can lie side by side
 * ([rows][n][columns][c]: row_stride n * columns * c). */
void weft_noise_fill(weft_noise *s, const weft_field *f, float *out,
                     size_t row_stride);
/* The same without storing: draws that a resumed run has behind it. */
void weft_noise_skip(weft_noise *s, const weft_field *f, int draws);

#endif
