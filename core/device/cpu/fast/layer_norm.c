/*
 * layer_norm.c - each pixel by itself: two passes for mean and variance, which
 * find it in the cache, and one to write. Sums run over 16 virtual lanes and
 * are added up at the end, so that no order depends on the instruction set.
 */
#include "core/device/cpu/fast/kernel.h"

#include <math.h>

enum { RUN = 16384 }; /* floats of a task, about */

typedef struct job {
    const weft_layer_norm_args *a;
    int tasks;
} job;

static float mean_of(const float *in, int c)
{
    vf s[UNITS];
    int k = 0;
    UNROLL for (int u = 0; u < UNITS; u++) s[u] = vset(0);
    for (; k + LANES <= c; k += LANES)
        UNROLL for (int u = 0; u < UNITS; u++) s[u] += vld(in + k + u * VL);
    float sum = vsum16(s);
    for (; k < c; k++) sum += in[k];
    return sum / (float)c;
}

static float variance_of(const float *in, int c, float mean)
{
    vf s[UNITS];
    int k = 0;
    UNROLL for (int u = 0; u < UNITS; u++) s[u] = vset(0);
    for (; k + LANES <= c; k += LANES) UNROLL for (int u = 0; u < UNITS; u++)
        {
            const vf d = vld(in + k + u * VL) - vset(mean);
            s[u] = vfma(d, d, s[u]);
        }
    float sum = vsum16(s);
    for (; k < c; k++) {
        const float d = in[k] - mean;
        sum += d * d;
    }
    return sum / (float)c;
}

INLINE void apply(const weft_layer_norm_args *a, size_t at, int k, float mean,
                  float rstd, int lanes)
{
    const vf x = vload(a->in + at + k, lanes) - vset(mean);
    const vf mul = vload(a->gamma + k, lanes) * vset(rstd);
    const vf add = a->beta ? vload(a->beta + k, lanes) : vset(0);
    vstore(a->out + at + k, vfma(x, mul, add), lanes);
}

static void pixel(const weft_layer_norm_args *a, int i)
{
    const size_t at = (size_t)i * a->c;
    const float mean = a->rms ? 0 : mean_of(a->in + at, a->c);
    const float var = variance_of(a->in + at, a->c, mean);
    const float rstd = (float)(1 / sqrt((double)var + a->eps));
    int k = 0;
    for (; k + VL <= a->c; k += VL) apply(a, at, k, mean, rstd, VL);
    if (k < a->c) apply(a, at, k, mean, rstd, a->c - k);
}

static void task(void *arg, int i, int worker)
{
    const job *j = arg;
    const int end = part_begin(j->a->pixels, i + 1, j->tasks);
    (void)worker;
    for (int p = part_begin(j->a->pixels, i, j->tasks); p < end; p++)
        pixel(j->a, p);
}

void ISA(layer_norm)(const weft_layer_norm_args *a, weft_pool *pool)
{
    job j = {a, (int)((size_t)a->pixels * a->c / RUN) + 1};
    j.tasks = min_int(j.tasks, a->pixels);
    weft_pool_run(pool, j.tasks, task, &j);
}
