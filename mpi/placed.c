#include "mpi/placed.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

typedef struct placed {
    weft_denoiser base;
    weft_denoiser *net;
    weft_redistribute *move; /* NULL: nothing moves */
    size_t before;           /* floats of the state before the role's rows */
    float *mine, *all;       /* the net's prediction; the state's rows of it */
    weft_input in;
    weft_placed_clock *clock;
} placed;

static weft_status ask(weft_denoiser *d, const weft_input *in)
{
    placed *p = (placed *)d;

    p->in = *in;
    p->in.x += p->before;
    return p->net ? weft_ask(p->net, &p->in) : WEFT_OK;
}

static weft_status evaluate(placed *p)
{
    const double start = weft_clock();
    const weft_status st = weft_work(p->net);

    p->clock->seconds += weft_clock() - start;
    p->clock->times++;
    return st;
}

/* Receiving is posted with sending, so that no sender waits for a receiver
 * that has something else to do first. */
static weft_status work(weft_denoiser *d)
{
    placed *p = (placed *)d;

    d->evaluations += (uint64_t)d->batch.n;
    if (p->net) WEFT_TRY(evaluate(p));
    if (!p->move) return WEFT_OK;
    WEFT_TRY(weft_redistribute_ready(p->move));
    if (p->net) WEFT_TRY(weft_answer(p->net, p->mine));
    return weft_redistribute_post(p->move);
}

static weft_status answer(weft_denoiser *d, float *out)
{
    placed *p = (placed *)d;

    if (!p->move) return weft_answer(p->net, out);
    WEFT_TRY(weft_redistribute_wait(p->move));
    memcpy(out, p->all, weft_batch_floats(&d->batch) * sizeof *out);
    return WEFT_OK;
}

static void destroy(weft_denoiser *d)
{
    placed *p = (placed *)d;

    weft_redistribute_destroy(p->move);
    free(p->mine);
    free(p->all);
    free(p);
}

static const weft_denoiser_ops ops = {"placed", ask, work, answer, destroy};

static bool all_stay(const weft_placed_spec *s, int ranks)
{
    for (int i = 0; i < ranks; i++)
        if (s->have[i].from != s->keep[i].from ||
            s->have[i].to != s->keep[i].to)
            return false;
    return true;
}

static weft_status connect(placed *p, const weft_placed_spec *s)
{
    const size_t unit = (size_t)s->unit * (size_t)s->batch.n *
                        (size_t)s->batch.w * (size_t)s->batch.c;
    const weft_span have = s->have[s->rank], keep = s->keep[s->rank];
    weft_redistribute_spec r = {.have = s->have,
                                .want = s->keep,
                                .unit_bytes = unit * sizeof(float),
                                .class = WEFT_REDISTRIBUTE,
                                .what = s->what};

    if (weft_span_units(have))
        p->before = (size_t)(have.from - keep.from) * unit;
    if (all_stay(s, weft_crossroads_ranks(s->at))) return WEFT_OK;
    p->mine = calloc(unit * (size_t)weft_span_units(have) + 1, sizeof(float));
    p->all = calloc(unit * (size_t)weft_span_units(keep) + 1, sizeof(float));
    if (!p->mine || !p->all)
        return weft_fail(WEFT_ENOMEM, "out of memory for a prediction");
    r.mine = p->mine;
    r.all = p->all;
    return weft_redistribute_create(s->at, &r, &p->move);
}

weft_status weft_placed_create(const weft_placed_spec *s, weft_denoiser **out)
{
    placed *p = calloc(1, sizeof *p);
    weft_status st;

    if (!p) return weft_fail(WEFT_ENOMEM, "out of memory for a prediction");
    p->base = (weft_denoiser){.ops = &ops, .batch = s->batch};
    p->net = s->net;
    p->clock = s->clock;
    st = connect(p, s);
    if (st == WEFT_OK)
        *out = &p->base;
    else
        destroy(&p->base);
    return st;
}
