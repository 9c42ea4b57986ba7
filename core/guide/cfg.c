/* Classifier-free guidance as a denoiser made of denoisers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/guide/denoiser.h"

typedef struct cfg {
    weft_denoiser base;
    weft_denoiser *cond, *uncond; /* uncond NULL: both in one batch */
    float w;
    float *x, *e; /* one batch: [rows][2 n][w][c] each; two: e is e_u, x NULL */
} cfg;

/* out = e_u + w (e_c - e_u) over n floats. */
static void guide(float w, const float *cond, const float *uncond, float *out,
                  size_t n)
{
    for (size_t k = 0; k < n; k++)
        out[k] = uncond[k] + w * (cond[k] - uncond[k]);
}

/* ---- both conditions in one batch ---------------------------------------- */

static weft_status ask_joint(weft_denoiser *d, const weft_input *in)
{
    cfg *g = (cfg *)d;
    const weft_input pairs = {g->x, in->time, in->node};
    const size_t row = weft_batch_floats(&d->batch) / (size_t)d->batch.rows;

    for (size_t y = 0; y < (size_t)d->batch.rows; y++) {
        memcpy(g->x + 2 * y * row, in->x + y * row, row * sizeof *in->x);
        memcpy(g->x + (2 * y + 1) * row, in->x + y * row, row * sizeof *in->x);
    }
    return weft_ask(g->cond, &pairs);
}

static weft_status work_joint(weft_denoiser *d)
{
    return weft_work(((cfg *)d)->cond);
}

static weft_status answer_joint(weft_denoiser *d, float *out)
{
    cfg *g = (cfg *)d;
    const size_t row = weft_batch_floats(&d->batch) / (size_t)d->batch.rows;

    WEFT_TRY(weft_answer(g->cond, g->e));
    for (size_t y = 0; y < (size_t)d->batch.rows; y++)
        guide(g->w, g->e + 2 * y * row, g->e + (2 * y + 1) * row, out + y * row,
              row);
    d->evaluations = g->cond->evaluations;
    return WEFT_OK;
}

/* ---- a denoiser for each ------------------------------------------------- */

static weft_status ask_apart(weft_denoiser *d, const weft_input *in)
{
    cfg *g = (cfg *)d;

    WEFT_TRY(weft_ask(g->cond, in));
    return weft_ask(g->uncond, in);
}

static weft_status work_apart(weft_denoiser *d)
{
    cfg *g = (cfg *)d;

    WEFT_TRY(weft_work(g->cond));
    return weft_work(g->uncond);
}

static weft_status answer_apart(weft_denoiser *d, float *out)
{
    cfg *g = (cfg *)d;

    WEFT_TRY(weft_answer(g->cond, out));
    WEFT_TRY(weft_answer(g->uncond, g->e));
    guide(g->w, out, g->e, out, weft_batch_floats(&d->batch));
    d->evaluations = g->cond->evaluations + g->uncond->evaluations;
    return WEFT_OK;
}

/* ---- making -------------------------------------------------------------- */

static void destroy(weft_denoiser *d)
{
    cfg *g = (cfg *)d;

    free(g->x);
    free(g->e);
    free(g);
}

static const weft_denoiser_ops joint_ops = {"cfg", ask_joint, work_joint,
                                            answer_joint, destroy};
static const weft_denoiser_ops apart_ops = {"cfg", ask_apart, work_apart,
                                            answer_apart, destroy};

/* Two inner denoisers must serve the same batch, one a batch of pairs. */
static void check_batches(const weft_denoiser *cond,
                          const weft_denoiser *uncond)
{
    const weft_batch *a = &cond->batch;

    WEFT_MUST(a->rows > 0 && a->n > 0);
    if (!uncond)
        WEFT_MUST(a->n % 2 == 0);
    else
        WEFT_MUST(memcmp(a, &uncond->batch, sizeof *a) == 0);
}

weft_status weft_cfg_create(weft_denoiser *cond, weft_denoiser *uncond,
                            double w, weft_denoiser **out)
{
    const size_t bytes = weft_batch_floats(&cond->batch) * sizeof(float);
    cfg *g;

    check_batches(cond, uncond);
    if (!isfinite((float)w))
        return weft_fail(WEFT_EINPUT, "guidance %g is not a finite number", w);
    g = calloc(1, sizeof *g);
    if (!g) return weft_fail(WEFT_ENOMEM, "no memory for guidance");
    g->base.ops = uncond ? &apart_ops : &joint_ops;
    g->base.batch = cond->batch;
    if (!uncond) g->base.batch.n /= 2;
    g->w = (float)w;
    g->e = malloc(bytes);
    if (!uncond) g->x = malloc(bytes);
    if (!g->e || (!uncond && !g->x)) {
        destroy(&g->base);
        return weft_fail(WEFT_ENOMEM, "no memory for guidance (%zu bytes)",
                         bytes);
    }
    g->cond = cond;
    g->uncond = uncond;
    *out = &g->base;
    return WEFT_OK;
}
