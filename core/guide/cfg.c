/* Classifier-free guidance as a denoiser made of denoisers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/guide/guidance.h"

/* Of e_c and of e: elements and their squares. */
enum { SUMS = WEFT_RESCALE_SUMS };

typedef struct cfg {
    weft_denoiser base;
    weft_denoiser *cond, *uncond; /* uncond NULL: both in one batch */
    weft_guidance g;
    int node; /* of the question under way */
    float *x; /* [rows][2 n][w][c] of the joint batch; or NULL */
    float *e; /* joint: likewise, both predictions; else e_u */
    weft_total total;
    double *each; /* [stretches][n][SUMS], then [n][SUMS]; rescaled only */
} cfg;

double weft_guidance_at(const weft_guidance *g, int node)
{
    const double first = floor(g->start * g->steps + 1e-9);
    const double last = floor(g->stop * g->steps + 1e-9);

    if (g->limited && !(node >= first && node < last)) return 1;
    if (!g->linear || g->steps < 2) return g->scale;
    return g->scale + (g->end - g->scale) * node / (g->steps - 1);
}

/* ---- asking -------------------------------------------------------------- */

static weft_status ask_joint(weft_denoiser *d, const weft_input *in)
{
    cfg *g = (cfg *)d;
    const weft_input pairs = {g->x, in->time, in->node, in->abar, in->lane};

    weft_batch_twice(&d->batch, in->x, g->x);
    return weft_ask(g->cond, &pairs);
}

static weft_status ask(weft_denoiser *d, const weft_input *in)
{
    cfg *g = (cfg *)d;

    g->node = in->node;
    if (!g->uncond) return ask_joint(d, in);
    WEFT_TRY(weft_ask(g->cond, in));
    return weft_ask(g->uncond, in);
}

static weft_status work(weft_denoiser *d)
{
    cfg *g = (cfg *)d;

    WEFT_TRY(weft_work(g->cond));
    return g->uncond ? weft_work(g->uncond) : WEFT_OK;
}

/* ---- combining ----------------------------------------------------------- */

/* out = e_u + w (e_c - e_u) over n floats; out may be cond. */
static void guide(float w, const float *cond, const float *uncond, float *out,
                  size_t n)
{
    if (w == 1)
        memmove(out, cond, n * sizeof *out);
    else
        for (size_t k = 0; k < n; k++)
            out[k] = uncond[k] + w * (cond[k] - uncond[k]);
}

static void add_up(const float *v, size_t n, double *sums)
{
    sums[0] = sums[1] = 0;
    for (size_t k = 0; k < n; k++) {
        sums[0] += v[k];
        sums[1] += (double)v[k] * v[k];
    }
}

typedef struct guiding {
    const cfg *g;
    float w;
    float *out;
    bool rescale;
} guiding;

/* One sample's part of a stretch, with its sums where they are wanted. */
static void guide_stretch(void *arg, const weft_stretch *s)
{
    const guiding *v = arg;
    const cfg *g = v->g;
    const size_t sample = (size_t)g->base.batch.w * (size_t)g->base.batch.c;
    const size_t n = (size_t)g->base.batch.n;
    float *out = v->out + s->at;
    const float *pair = g->e + s->at + (size_t)s->row * n * sample;
    const float *cond = g->uncond ? out : pair;
    const float *uncond = g->uncond ? g->e + s->at : pair + n * sample;
    double *sums = v->rescale ? g->each + s->index * SUMS : NULL;

    if (v->rescale) add_up(cond, s->floats, sums);
    guide(v->w, cond, uncond, out, s->floats);
    if (v->rescale) add_up(out, s->floats, sums + 2);
}

/* ---- rescaling ----------------------------------------------------------- */

/* Of `count` elements with these sums, but for a factor of the count, which
 * cancels in the ratio. */
static double deviation(const double *sums, double count)
{
    return sqrt(fmax(sums[1] - sums[0] * sums[0] / count, 0));
}

static void rescale_sample(const cfg *g, size_t k, float ratio, float *out)
{
    const weft_batch *b = &g->base.batch;
    const size_t sample = (size_t)b->w * (size_t)b->c;
    const float phi = (float)g->g.rescale, rest = (float)(1 - g->g.rescale);

    for (size_t y = 0; y < (size_t)b->rows; y++) {
        float *o = out + (y * (size_t)b->n + k) * sample;

        for (size_t e = 0; e < sample; e++)
            o[e] = phi * (o[e] * ratio) + rest * o[e];
    }
}

/* A prediction without deviation has nothing to rescale, nor has one that is
 * not guided; the sums are made whatever the weight is. */
static weft_status rescale_all(const cfg *g, bool guided, float *out)
{
    const weft_batch *b = &g->base.batch;
    double *sums =
        g->each + weft_total_stretches(&g->total) * (size_t)b->n * SUMS;
    const double count = g->total.pixels * b->c;

    WEFT_TRY(weft_total_sum(&g->total, g->each, b->n * SUMS, sums));
    for (size_t k = 0; k < (size_t)b->n; k++, sums += SUMS) {
        const double now = deviation(sums + 2, count);

        if (guided && now > 0)
            rescale_sample(g, k, (float)(deviation(sums, count) / now), out);
    }
    return WEFT_OK;
}

static weft_status answer(weft_denoiser *d, float *out)
{
    cfg *g = (cfg *)d;
    const float w = (float)weft_guidance_at(&g->g, g->node);
    guiding v = {g, w, out, g->each};

    WEFT_TRY(weft_answer(g->cond, g->uncond ? out : g->e));
    if (g->uncond) WEFT_TRY(weft_answer(g->uncond, g->e));
    d->evaluations =
        g->cond->evaluations + (g->uncond ? g->uncond->evaluations : 0);
    weft_total_visit(&g->total, &d->batch, guide_stretch, &v);
    return v.rescale ? rescale_all(g, w != 1, out) : WEFT_OK;
}

/* ---- making -------------------------------------------------------------- */

static void destroy(weft_denoiser *d)
{
    cfg *g = (cfg *)d;

    free(g->x);
    free(g->e);
    free(g->each);
    free(g);
}

static const weft_denoiser_ops ops = {"cfg", ask, work, answer, destroy};

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

static weft_status check_guidance(const weft_guidance *g)
{
    if (!isfinite((float)g->scale) || !isfinite((float)g->end))
        return weft_fail(WEFT_EINPUT, "guidance %g is not a finite number",
                         isfinite((float)g->scale) ? g->end : g->scale);
    if (!(g->rescale >= 0 && g->rescale <= 1))
        return weft_fail(WEFT_EINPUT,
                         "guidance rescale %g is not within 0 to 1",
                         g->rescale);
    return WEFT_OK;
}

static weft_status allocate(cfg *g)
{
    const size_t bytes = weft_batch_floats(&g->cond->batch) * sizeof(float);
    const weft_batch *b = &g->base.batch;

    g->e = malloc(bytes);
    if (!g->uncond) g->x = malloc(bytes);
    if (g->g.rescale > 0)
        g->each = malloc((weft_total_stretches(&g->total) + 1) * (size_t)b->n *
                         SUMS * sizeof *g->each);
    if (g->e && (g->x || g->uncond) && (g->each || !(g->g.rescale > 0)))
        return WEFT_OK;
    return weft_fail(WEFT_ENOMEM, "no memory for guidance (%zu bytes)", bytes);
}

weft_status weft_cfg_create(weft_denoiser *cond, weft_denoiser *uncond,
                            const weft_guidance *guidance, weft_denoiser **out)
{
    cfg *g;
    weft_status st;

    check_batches(cond, uncond);
    WEFT_TRY(check_guidance(guidance));
    g = calloc(1, sizeof *g);
    if (!g) return weft_fail(WEFT_ENOMEM, "no memory for guidance");
    g->base.ops = &ops;
    g->base.batch = cond->batch;
    if (!uncond) g->base.batch.n /= 2;
    g->cond = cond;
    g->uncond = uncond;
    g->g = *guidance;
    g->total = weft_total_or_solo(guidance->total, &g->base.batch);
    st = allocate(g);
    if (st == WEFT_OK)
        *out = &g->base;
    else
        destroy(&g->base);
    return st;
}
