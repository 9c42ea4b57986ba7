#include "core/guide/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/finite.h"

typedef struct model {
    weft_denoiser base;
    const weft_graph *graph;
    weft_run run;
    weft_input in;
    weft_exchange *const *lane; /* [lanes], or NULL: run.x for all */
    int lanes;
    size_t in_bytes, out_bytes;
    weft_beside beside; /* without mask: x is all that the net reads */
    float *out;
    float *time, *label; /* [n] each */
} model;

static weft_status ask(weft_denoiser *d, const weft_input *in)
{
    model *m = (model *)d;

    m->in = *in;
    return WEFT_OK;
}

void weft_beside_widen(const weft_batch *b, const float *x,
                       const weft_beside *beside, float *wide)
{
    const size_t line = (size_t)b->w * (size_t)b->c;

    for (int y = 0; y < b->rows; y++)
        for (int s = 0; s < b->n; s++) {
            const float *mask = beside->mask + (size_t)y * (size_t)b->w;
            const float *known =
                beside->known +
                ((size_t)y * (size_t)beside->n + (size_t)(s % beside->n)) *
                    line;

            for (int i = 0; i < b->w; i++) {
                for (int c = 0; c < b->c; c++) *wide++ = *x++;
                *wide++ = *mask++;
                for (int c = 0; c < b->c; c++) *wide++ = *known++;
            }
        }
}

static void read_input(const model *m)
{
    float *to = weft_run_value(&m->run, m->graph->input);
    weft_batch b = m->base.batch;

    b.c /= 2;
    if (m->beside.mask)
        weft_beside_widen(&b, m->in.x, &m->beside, to);
    else
        memcpy(to, m->in.x, m->in_bytes);
}

/* Nets take turns in one block, so the answer is kept apart from it. */
static weft_status work(weft_denoiser *d)
{
    model *m = (model *)d;

    for (int i = 0; i < d->batch.n; i++) m->time[i] = (float)m->in.time;
    read_input(m);
    if (m->lane) {
        WEFT_MUST(m->in.lane < m->lanes);
        m->run.x = m->lane[m->in.lane];
    }
    WEFT_TRY(weft_graph_eval(m->graph, &m->run));
    memcpy(m->out, weft_run_value(&m->run, m->graph->output), m->out_bytes);
    d->evaluations += (uint64_t)d->batch.n;
    if (!m->run.lenient &&
        !weft_all_finite(m->out, m->out_bytes / sizeof *m->out))
        return weft_fail(WEFT_ENAN,
                         "the net's prediction at time %g is not a number",
                         m->in.time);
    return WEFT_OK;
}

static weft_status answer(weft_denoiser *d, float *out)
{
    const model *m = (const model *)d;

    memcpy(out, m->out, m->out_bytes);
    return WEFT_OK;
}

static void destroy(weft_denoiser *d)
{
    model *m = (model *)d;

    free(m->time);
    free(m->label);
    free(m->out);
    free(m);
}

static const weft_denoiser_ops ops = {"model", ask, work, answer, destroy};

static size_t bytes_of(const weft_graph *g, weft_val v, const weft_layout *l)
{
    const weft_value *x = weft_graph_at(g, v);

    return (size_t)x->rows_per_unit * (size_t)l->units * (size_t)l->n *
           (size_t)weft_layout_columns(l, x) * (size_t)x->c * sizeof(float);
}

weft_status weft_model_create(const weft_graph *g, const weft_run *run,
                              const float *label, weft_denoiser **out)
{
    const weft_layout *l = run->layout;
    const weft_value *in = weft_graph_at(g, g->input);
    model *m = calloc(1, sizeof *m);

    if (!m) return weft_fail(WEFT_ENOMEM, "out of memory for a model");
    m->base = (weft_denoiser){.ops = &ops,
                              .batch = {.rows = in->rows_per_unit * l->units,
                                        .n = l->n,
                                        .w = weft_layout_columns(l, in),
                                        .c = in->c}};
    m->graph = g;
    m->in_bytes = bytes_of(g, g->input, l);
    m->out_bytes = bytes_of(g, g->output, l);
    m->time = calloc((size_t)l->n, sizeof *m->time);
    m->label = label ? calloc((size_t)l->n, sizeof *m->label) : NULL;
    m->out = malloc(m->out_bytes);
    if (!m->time || !m->out || (label && !m->label)) {
        destroy(&m->base);
        return weft_fail(WEFT_ENOMEM, "out of memory for a model");
    }
    m->run = *run;
    m->run.time = m->time;
    m->run.label = m->label;
    if (label) weft_model_set_labels(&m->base, label);
    *out = &m->base;
    return WEFT_OK;
}

void weft_model_set_labels(weft_denoiser *d, const float *label)
{
    model *m = (model *)d;

    if (m->label) memcpy(m->label, label, (size_t)d->batch.n * sizeof *label);
}

void weft_model_set_beside(weft_denoiser *d, const weft_beside *beside)
{
    ((model *)d)->beside = *beside;
}

void weft_model_set_lanes(weft_denoiser *d, weft_exchange *const *lane, int n)
{
    model *m = (model *)d;

    m->lane = lane;
    m->lanes = n;
}
