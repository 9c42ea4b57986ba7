/*
 * brownian.h - noise as increments of one path: what a step adds depends on
 * the noise levels between which it goes, not on how many steps there are.
 *
 * The path W runs over Karras' sigma, from the smallest that is not 0 to the
 * largest of the solver's nodes. It is a Brownian tree: halves of halves, each
 * a bridge with a field of normals of its own, down to the sixth decimal of
 * sigma. Node (key, depth) has a seed that numpy's SeedSequence makes of the
 * image's seed, key and depth, and its field is draw 0 of a stream with that
 * seed; so any increment is a function of (seed, interval, element), the same
 * for every cut of the rows, and needs no position in a stream.
 *
 * With rng torch-cpu it is the path of torchsde's BrownianTree with the image's
 * seed as its entropy, as k-diffusion's BrownianTreeNoiseSampler and diffusers'
 * DPMSolverSDEScheduler take it: equal to the rounding of float32 where the
 * ends of the interval are the same floats. It is rough: an end that differs by
 * its last place, 1e-6 at sigma 14, changes the increment by about 1e-3.
 *
 * Inside core/solve only.
 */
#ifndef WEFT_CORE_SOLVE_BROWNIAN_H
#define WEFT_CORE_SOLVE_BROWNIAN_H

#include "core/solve/methods.h"

/* W(to) - W(from) for from < to within low .. high, into out: mine, of one
 * image, as weft_noise_fill lays it out; `half` and `field` are room of the
 * same layout. The stream's position is neither read nor moved. */
typedef struct weft_brownian {
    const weft_noise *stream;
    const weft_field *field;
    double low, high;
} weft_brownian;

void weft_brownian_increment(const weft_brownian *b, double from, double to,
                             float *const room[3], size_t row_stride);

/* x += amount times the increment from sigma `from` down to `to`, made to have
 * variance 1, for every sample; the increment stays in room[0]. room: three
 * buffers of the solver's. Nothing where amount is 0. */
void weft_brownian_add(weft_solver *s, double from, double to, double amount,
                       float *const room[3], float *x);

/* The first words of numpy.random.SeedSequence(entropy, spawn_key=spawn,
 * pool_size=24).generate_state(words); spawn: two numbers, or NULL. */
void weft_seed_sequence(uint64_t entropy, const uint64_t spawn[2],
                        uint32_t *out, int words);

#endif
