#include "launch/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/device/device.h"
#include "launch/kernels.h"

enum { ROWS = 16, COLUMNS = 64, CHANNELS = 64, SPARE = 1 };

/* Seconds of measuring. */
static const double span = 0.1;

typedef struct probe {
    const weft_device *dev;
    weft_pool *pool;
    weft_conv conv;
    float *in, *out;
    void *weight;
} probe;

static float *zeros(size_t floats) { return calloc(floats, sizeof(float)); }

static weft_status make(probe *p, const weft_config *c, const weft_topology *t)
{
    const size_t line = (size_t)COLUMNS * CHANNELS;
    size_t bytes;

    p->conv = (weft_conv){.kh = 3,
                          .kw = 3,
                          .stride = 1,
                          .up = 1,
                          .pad_top = 1,
                          .pad_left = 1,
                          .cin = {CHANNELS, 0},
                          .cout = CHANNELS,
                          .tile_rows = 4,
                          .scale = 1};
    WEFT_TRY(weft_kernels_find(c, &p->dev));
    WEFT_TRY(weft_pool_create(t->threads, t->cpu, &p->pool));
    WEFT_TRY(
        weft_pool_reserve(p->pool, p->dev->conv_scratch(&p->conv, 1, COLUMNS)));
    bytes = p->dev->weight_bytes(&p->conv);
    p->in = zeros((ROWS + 2 * SPARE) * line);
    p->out = zeros(ROWS * line);
    p->weight = aligned_alloc(64, bytes);
    if (!p->in || !p->out || !p->weight)
        return weft_fail(WEFT_ENOMEM, "out of memory");
    memset(p->weight, 0, bytes);
    return WEFT_OK;
}

static void release(probe *p)
{
    weft_pool_destroy(p->pool);
    free(p->in);
    free(p->out);
    free(p->weight);
}

/* Convolutions a second. */
static double measure(const probe *p)
{
    const weft_conv_args a = {.conv = &p->conv,
                              .weight = p->weight,
                              .n = 1,
                              .w = COLUMNS,
                              .wout = COLUMNS,
                              .col1 = COLUMNS,
                              .in = {p->in + SPARE * COLUMNS * CHANNELS, NULL},
                              .out = p->out,
                              .row1 = ROWS};
    double start, now;
    int n = 0;

    p->dev->conv(&a, p->pool); /* to warm up */
    start = now = weft_clock();
    for (; now < start + span; now = weft_clock(), n++)
        p->dev->conv(&a, p->pool);
    return n / (now - start);
}

/* Relative to the slowest, in tenths. */
static void round_speeds(double *speed, int n)
{
    double least = speed[0];

    for (int r = 1; r < n; r++) least = fmin(least, speed[r]);
    for (int r = 0; r < n; r++) speed[r] = round(speed[r] / least * 10) / 10;
}

weft_status weft_calibrate(weft_comm *world, const weft_config *c,
                           const weft_topology *t, double **speed)
{
    const int n = weft_comm_size(world);
    double *found = calloc((size_t)n, sizeof *found);
    probe p = {0};
    weft_status st =
        found ? make(&p, c, t) : weft_fail(WEFT_ENOMEM, "out of memory");

    st = weft_comm_agree(world, st);
    if (st == WEFT_OK) st = weft_comm_barrier(world);
    if (st == WEFT_OK) {
        found[weft_comm_rank(world)] = measure(&p);
        st = weft_comm_max(world, found, n);
    }
    release(&p);
    if (st != WEFT_OK) {
        free(found);
        return st;
    }
    round_speeds(found, n);
    *speed = found;
    return WEFT_OK;
}
