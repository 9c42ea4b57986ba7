/*
 * How much attention within a sequence is drawn to a place by its distance
 * alone: the same for all layers and samples.
 */
#include "core/layer/parts.h"

#include <math.h>
#include <stdlib.h>

/* The bucket of a key `behind` places behind the query; before it if that is
 * negative. */
static int bucket_of(int behind, int buckets, int most)
{
    const int half = buckets / 2, exact = half / 2;
    const int side = behind > 0 ? half : 0, n = abs(behind);
    double at;

    if (n < exact) return side + n;
    /* What lies on the edge between two buckets is in the farther one, however
     * the logarithm is rounded. */
    at = exact +
         log((double)n / exact) / log((double)most / exact) * (half - exact);
    return side + (at < half - 1 ? (int)(at + 1e-6) : half - 1);
}

/* [heads][2 tokens - 1], from the farthest key before a query to the farthest
 * behind it. */
static weft_status relative(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_weight *w = &g->weight[d->weight[0]];
    const float *table = weft_run_weight(run, d->weight[0]);
    const int heads = w->shape[0][1];
    const int places = weft_graph_at(g, d->out)->c / heads;
    float *out = weft_run_value(run, d->out);

    for (int i = 0; i < places; i++) {
        const int bucket =
            bucket_of(i - places / 2, w->shape[0][0], d->u.farthest);

        for (int h = 0; h < heads; h++)
            out[(size_t)h * (size_t)places + (size_t)i] =
                table[(size_t)bucket * (size_t)heads + (size_t)h];
    }
    return WEFT_OK;
}

static const weft_layer_ops relative_ops = {"embed", relative, NULL, NULL};

weft_val weft_add_relative(weft_graph *g, const char *name, int tokens,
                           int buckets, int most, int heads)
{
    const int places = 2 * tokens - 1;
    int weight;
    weft_node *d;
    weft_val out;

    if (!weft_channels_ok(g, name, places, heads) ||
        !weft_channels_ok(g, name, buckets, heads))
        return WEFT_NONE;
    WEFT_MUST(buckets >= 4 && buckets % 4 == 0 && most > buckets / 4);
    if (heads > WEFT_MOST_CHANNELS / places)
        weft_graph_fail(g, "%s%s: %d heads of %d tokens", g->prefix, name,
                        heads, tokens);
    out = weft_graph_value(g, 0, 1, places * heads);
    weight = weft_weight_table(g, name, buckets, heads);
    d = weft_graph_node(g, &relative_ops, name);
    if (!d || weight == WEFT_NONE) return WEFT_NONE;
    d->weight[0] = weight;
    d->out = out;
    d->u.farthest = most;
    return g->status == WEFT_OK ? out : WEFT_NONE;
}
