#include "core/guide/halves.h"

#include <stdlib.h>
#include <string.h>

typedef struct halves {
    weft_denoiser base; /* the conditional one */
    weft_denoiser *both;
    float *x, *e; /* [rows][2 n][w][c]: the question, the answer */
} halves;

typedef struct other {
    weft_denoiser base;
    const halves *of;
} other;

/* ---- the conditional half ------------------------------------------------ */

static weft_status ask(weft_denoiser *d, const weft_input *in)
{
    halves *h = (halves *)d;
    weft_input pairs = *in;

    weft_batch_twice(&d->batch, in->x, h->x);
    pairs.x = h->x;
    return weft_ask(h->both, &pairs);
}

static weft_status work(weft_denoiser *d)
{
    return weft_work(((halves *)d)->both);
}

static void take_half(const halves *h, int half, float *out)
{
    const weft_batch *b = &h->base.batch;
    const size_t row = weft_batch_floats(b) / (size_t)b->rows;

    for (size_t y = 0; y < (size_t)b->rows; y++)
        memcpy(out + y * row, h->e + (2 * y + (size_t)half) * row,
               row * sizeof *out);
}

static weft_status answer(weft_denoiser *d, float *out)
{
    halves *h = (halves *)d;

    WEFT_TRY(weft_answer(h->both, h->e));
    d->evaluations = h->both->evaluations;
    take_half(h, 0, out);
    return WEFT_OK;
}

static void destroy(weft_denoiser *d)
{
    halves *h = (halves *)d;

    free(h->x);
    free(h->e);
    free(h);
}

static const weft_denoiser_ops ops = {"cond", ask, work, answer, destroy};

weft_status weft_halves_create(weft_denoiser *both, weft_denoiser **cond)
{
    const size_t floats = weft_batch_floats(&both->batch);
    halves *h = calloc(1, sizeof *h);

    WEFT_MUST(both->batch.rows > 0 && both->batch.n % 2 == 0);
    if (!h) return weft_fail(WEFT_ENOMEM, "no memory for two conditions");
    h->base.ops = &ops;
    h->base.batch = both->batch;
    h->base.batch.n /= 2;
    h->both = both;
    h->x = malloc(floats * sizeof *h->x);
    h->e = malloc(floats * sizeof *h->e);
    if (!h->x || !h->e) {
        destroy(&h->base);
        return weft_fail(WEFT_ENOMEM, "no memory for two conditions");
    }
    *cond = &h->base;
    return WEFT_OK;
}

/* ---- the unconditional half ---------------------------------------------- */

static weft_status other_ask(weft_denoiser *d, const weft_input *in)
{
    (void)d, (void)in;
    return WEFT_OK;
}

static weft_status other_work(weft_denoiser *d)
{
    (void)d;
    return WEFT_OK;
}

static weft_status other_answer(weft_denoiser *d, float *out)
{
    take_half(((const other *)d)->of, 1, out);
    return WEFT_OK;
}

static void other_destroy(weft_denoiser *d) { free(d); }

static const weft_denoiser_ops other_ops = {"uncond", other_ask, other_work,
                                            other_answer, other_destroy};

weft_status weft_halves_other(weft_denoiser *cond, weft_denoiser **uncond)
{
    other *o = calloc(1, sizeof *o);

    WEFT_MUST(cond->ops == &ops);
    if (!o) return weft_fail(WEFT_ENOMEM, "no memory for two conditions");
    o->base.ops = &other_ops;
    o->base.batch = cond->batch;
    o->of = (const halves *)cond;
    *uncond = &o->base;
    return WEFT_OK;
}
