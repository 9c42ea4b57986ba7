#include "core/guide/model.h"

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
    weft_beside beside; /* without mask: x is all that the net reads */
    float *out;
    float *time, *label; /* [n] each */
} model;

/* Of a question, and of its answer. */
static size_t bytes_of(const model *m)
{
    return weft_batch_floats(&m->base.batch) * sizeof(float);
}

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

    if (m->beside.mask)
        weft_beside_widen(&m->base.batch, m->in.x, &m->beside, to);
    else
        memcpy(to, m->in.x, bytes_of(m));
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
    memcpy(m->out, weft_run_value(&m->run, m->graph->output), bytes_of(m));
    d->evaluations += (uint64_t)d->batch.n;
    if (!m->run.lenient &&
        !weft_all_finite(m->out, weft_batch_floats(&d->batch)))
        return weft_fail(WEFT_ENAN,
                         "the net's prediction at time %g is not a number",
                         m->in.time);
    return WEFT_OK;
}

static weft_status answer(weft_denoiser *d, float *out)
{
    const model *m = (const model *)d;

    memcpy(out, m->out, bytes_of(m));
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

weft_status weft_model_create(const weft_graph *g, const weft_run *run,
                              const float *label, weft_denoiser **out)
{
    const weft_layout *l = run->layout;
    const weft_value *x = weft_graph_at(g, g->output); /* as what is asked */
    model *m = calloc(1, sizeof *m);

    if (!m) return weft_fail(WEFT_ENOMEM, "out of memory for a model");
    m->base = (weft_denoiser){.ops = &ops,
                              .batch = {.rows = x->rows_per_unit * l->units,
                                        .n = l->n,
                                        .w = weft_layout_columns(l, x),
                                        .c = x->c}};
    m->graph = g;
    m->time = calloc((size_t)l->n, sizeof *m->time);
    m->label = label ? calloc((size_t)l->n, sizeof *m->label) : NULL;
    m->out = malloc(bytes_of(m));
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

void weft_model_set_weights(weft_denoiser *d, const void *weights)
{
    ((model *)d)->run.weights = weights;
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
