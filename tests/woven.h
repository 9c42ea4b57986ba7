/*
 * woven.h - a small net with a piece of everything that patches exchange, over
 * any exchange: convolutions of every kind of border, a norm over two inputs,
 * attention. Weights and inputs are made up; nothing is known of the answer but
 * that it must not depend on who computes it.
 */
#ifndef WEFT_TESTS_WOVEN_H
#define WEFT_TESTS_WOVEN_H

#include "core/layer/layer.h"

enum {
    WOVEN_UNIT = 4,
    WOVEN_UNITS = 7,
    WOVEN_STRIP = 8,
    WOVEN_STRIPS = 2, /* the second is narrower */
    WOVEN_COLUMNS = 12,
    WOVEN_SAMPLES = 2,
    WOVEN_CHANNELS = 4,
    WOVEN_EVALUATIONS = 5,
    WOVEN_FLOATS = WOVEN_UNIT * WOVEN_UNITS * WOVEN_SAMPLES * WOVEN_COLUMNS *
                   WOVEN_CHANNELS
};

void weft_woven_net(weft_graph *g);

/* What patch p of a cut holds of input and output; the output of one patch is
 * [rows][samples][columns][channels]. */
weft_rect weft_woven_rect(const weft_cut *cut, int p);

/* All evaluations of one patch, on an exchange without slots; `out` (room for
 * WOVEN_FLOATS) gets the last output. Collective over the peers. What goes
 * wrong ends the process. */
weft_traffic weft_woven_run(const weft_graph *g, const weft_device *dev,
                            int threads, weft_exchange *x, float *out);

#endif
