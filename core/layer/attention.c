/*
 * Self-attention: every pixel of my patch looks at every pixel of the image.
 *
 * Keys and values are computed where the pixel is and published; queries stay
 * at home and are computed while the keys travel. Keys are then visited in
 * image order, a block at a time, so no matrix of scores is ever stored, and
 * the order is that of one rank however many there are. A part that has come is
 * looked at while the next one is on its way.
 *
 * Keys and values of the whole image are the only thing a rank holds in full,
 * so they come for a share of the heads at a time. While one share is looked at
 * the next one is on its way, and the one after that comes in the first one's
 * place. The image's order makes the lower patches wait for the upper ones'
 * keys before they look at their own; so it is the shares that hide the wait.
 */
#include "core/layer/parts.h"

#include <math.h>

enum { IN, RES }; /* node->in */
/* node->temp; keys and values of each share that may be on its way */
enum { STRIPS, STATE, QUERY, KV, MOST_AHEAD = 2, TEMPS = KV + MOST_AHEAD };
enum { W_OUT, B_OUT, W_Q, B_Q, W_SHARE }; /* node->weight; for each share: */
enum { W_KV, B_KV, SHARE };
enum { MOST_SHARES = WEFT_NODE_WANTS };

static const char *const new_name[] = {"to_k", "to_v", "to_q", "to_out.0"};
static const char *const old_name[] = {"key", "value", "query", "proj_attn"};

/* ---- forward ------------------------------------------------------------- */

/* Where each strip of each row and sample of the image has its keys and values:
 * table[rows][n][strips]. It lies in a value of two floats each, a pointer. */
static void find_strips(const weft_view *all, const weft_value *kv, int n,
                        const float **table)
{
    const int strips = (kv->w - 1) / kv->strip + 1;

    for (int p = 0; p < all->n; p++) {
        const weft_rect *r = &all->rect[p];
        const size_t line = (size_t)r->columns * (size_t)kv->c;
        const float *from = (const void *)all->part[p];
        const float **to = table + r->row * n * strips + r->column / kv->strip;

        for (int y = 0; y < r->rows * n; y++, from += line, to += strips)
            for (int x = 0; x < r->columns; x += kv->strip)
                to[x / kv->strip] = from + (size_t)x * (size_t)kv->c;
    }
}

static weft_attend_args query_of(const weft_graph *g, const weft_node *d,
                                 const weft_run *run, int share)
{
    const int heads = d->u.attend.heads / d->u.attend.shares;
    const weft_value *kv = weft_graph_at(g, d->temp[KV]);
    float *q = weft_run_value(run, d->temp[QUERY]) +
               (size_t)share * (size_t)heads * (size_t)d->u.attend.dim;

    return (weft_attend_args){
        .n = run->layout->n,
        .w = weft_run_columns(g, run, d->in[IN]),
        .heads = heads,
        .dim = d->u.attend.dim,
        .rows = weft_run_rows(g, run, d->in[IN]),
        .key_rows = kv->rows_per_unit * run->layout->total_units,
        .key_w = kv->w,
        .strip = kv->strip,
        .scale = (float)(1 / sqrt(d->u.attend.dim)),
        .q = q,
        .kv = (void *)weft_run_value(run, d->temp[STRIPS]),
        .out = q,
        .step = d->u.attend.heads * d->u.attend.dim,
        .state = weft_run_value(run, d->temp[STATE]),
    };
}

/* Are all parts of line `line` of patches here? */
static weft_status line_is_here(weft_exchange *x, int slot,
                                const weft_view *all, int line, bool wait,
                                bool *here)
{
    const int first = line * all->across;

    *here = true;
    for (int p = first; p < first + all->across && *here; p++)
        WEFT_TRY(weft_exchange_await(x, slot, p, wait, here));
    return WEFT_OK;
}

/* Count on from *lines those lines of patches whose keys are here; there is at
 * least one more. */
static weft_status find_lines(weft_exchange *x, int slot, const weft_view *all,
                              int *lines)
{
    const int n = all->n / all->across;
    bool here;

    WEFT_TRY(line_is_here(x, slot, all, *lines, true, &here));
    do {
        ++*lines;
        if (*lines == n) break;
        WEFT_TRY(line_is_here(x, slot, all, *lines, false, &here));
    } while (here);
    return WEFT_OK;
}

/* Look at keys in the order of the image, as far as they have come. */
static weft_status look(const weft_graph *g, const weft_node *d,
                        const weft_run *run, int share)
{
    const int slot = run->slot + share, block = run->dev->attend_block;
    const weft_value *kv = weft_graph_at(g, d->temp[KV]);
    weft_attend_args a = query_of(g, d, run, share);
    const int keys = a.key_rows * a.key_w;
    weft_view all;

    WEFT_TRY(weft_exchange_look(run->x, slot, &all));
    find_strips(&all, kv, a.n, (void *)weft_run_value(run, d->temp[STRIPS]));
    for (int lines = 0; a.key1 < keys; a.key0 = a.key1) {
        const weft_rect *r;

        WEFT_TRY(find_lines(run->x, slot, &all, &lines));
        r = &all.rect[lines * all.across - 1];
        a.key1 = (r->row + r->rows) * a.key_w;
        if (a.key1 < keys) a.key1 = a.key1 / block * block;
        if (a.key0 < a.key1) run->dev->attend(&a, run->pool);
    }
    WEFT_TRY(weft_exchange_get(run->x, slot, &all));
    /* Another share comes in this one's place. */
    return weft_exchange_done(run->x, slot);
}

/* Keys and values of a share, to everybody. */
static weft_status publish(const weft_graph *g, const weft_node *d,
                           const weft_run *run, int share)
{
    const int *weight = d->weight + W_SHARE + share * SHARE;
    void *mine;

    if (share >= d->u.attend.shares) return WEFT_OK;
    WEFT_TRY(weft_exchange_open(run->x, run->slot + share, &mine));
    weft_project(g, run, d->in[IN], weight[W_KV], weight[B_KV], NULL, mine);
    return weft_exchange_put(run->x, run->slot + share);
}

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_val query = d->temp[QUERY];
    const int ahead = d->u.attend.ahead;

    for (int i = 0; i < ahead; i++) WEFT_TRY(publish(g, d, run, i));
    weft_project(g, run, d->in[IN], d->weight[W_Q], d->weight[B_Q], NULL,
                 weft_run_value(run, query));
    for (int i = 0; i < d->u.attend.shares; i++) {
        WEFT_TRY(look(g, d, run, i));
        WEFT_TRY(publish(g, d, run, i + ahead));
    }
    weft_project(g, run, query, d->weight[W_OUT], d->weight[B_OUT],
                 weft_run_optional(run, d->in[RES]),
                 weft_run_value(run, d->out));
    return WEFT_OK;
}

static size_t scratch(const weft_graph *g, int node, const weft_device *dev,
                      const weft_layout *l)
{
    const weft_node *d = &g->node[node];
    const int w = weft_layout_columns(l, weft_graph_at(g, d->in[IN]));
    const int last = W_SHARE + (d->u.attend.shares - 1) * SHARE + W_KV;
    size_t most = dev->attend_scratch(w, d->u.attend.heads / d->u.attend.shares,
                                      d->u.attend.dim);

    for (int i = W_OUT; i <= last; i += B_OUT - W_OUT + 1) { /* no biases */
        const size_t bytes = weft_conv_room(g, dev, l, d->in[IN], d->weight[i]);

        if (bytes > most) most = bytes;
    }
    return most;
}

static double matrix_flops(const weft_graph *g, const weft_node *d, int i,
                           double pixels)
{
    return weft_conv_flops(&g->weight[d->weight[i]].conv, pixels);
}

/* The projections, then q k' and p v: 2 d operations each per pair. */
static double flops(const weft_graph *g, int node, int n, int units,
                    int total_units)
{
    const weft_node *d = &g->node[node];
    const weft_value *v = weft_graph_at(g, d->in[IN]);
    const double mine = (double)units * v->rows_per_unit * v->w;
    const double all = (double)total_units * v->rows_per_unit * v->w;
    const double dims = (double)d->u.attend.heads * d->u.attend.dim;

    return d->u.attend.shares * matrix_flops(g, d, W_SHARE + W_KV, mine * n) +
           matrix_flops(g, d, W_Q, mine * n) +
           matrix_flops(g, d, W_OUT, mine * n) + 4 * dims * mine * all * n;
}

static const weft_layer_ops attention_ops = {"attention", forward, scratch,
                                             flops};

/* ---- building ------------------------------------------------------------ */

static bool fits(weft_graph *g, const char *name, weft_val in, weft_val res,
                 int heads, int dim)
{
    const weft_value *a = weft_graph_at(g, in), *b = a;

    if (heads < 1 || dim < 1 || heads > WEFT_MOST_CHANNELS / 2 / dim) {
        weft_graph_fail(g, "%s%s: %d heads of %d channels", g->prefix, name,
                        heads, dim);
        return false;
    }
    if (res != WEFT_NONE) b = weft_graph_at(g, res);
    if (a->rows_per_unit != b->rows_per_unit || a->w != b->w || a->c != b->c)
        weft_graph_fail(g,
                        "%s%s: what is added to its output has another "
                        "shape",
                        g->prefix, name);
    return weft_channels_ok(g, name, a->c, 2 * heads * dim);
}

/* The fewest shares of 4 to 8 that heads can be divided into: two of those on
 * their way are no more than a half, and each waits for one of 4 at most. With
 * an even number of heads, if that can be: two threads then find as many
 * columns each. Where there are none, 3, 2 or 1, one at a time. */
static int shares_of(int heads)
{
    for (int even = 2; even >= 1; even--)
        for (int n = 4; n <= MOST_SHARES; n++)
            if (heads % (n * even) == 0) return n;
    return heads % 3 == 0 ? 3 : heads % 2 == 0 ? 2 : 1;
}

static bool make_values(weft_graph *g, const weft_node *like, weft_val temp[],
                        weft_val *out)
{
    const weft_value in = *weft_graph_at(g, like->in[IN]);
    const int rows = in.rows_per_unit, dim = like->u.attend.dim;
    const int heads = like->u.attend.heads / like->u.attend.shares;
    const int state = (int)(WEFT_ATTEND_STATE(dim) / sizeof(float));

    temp[STRIPS] = weft_graph_strips(g, rows, 2);
    temp[STATE] = weft_graph_value(g, rows, in.w, heads * state);
    temp[QUERY] = weft_graph_value(g, rows, in.w, like->u.attend.heads * dim);
    for (int i = 0; i < MOST_AHEAD; i++)
        temp[KV + i] = i < like->u.attend.ahead
                           ? weft_graph_value(g, rows, in.w, 2 * heads * dim)
                           : WEFT_NONE;
    *out = weft_graph_value(g, rows, in.w, in.c);
    if (*out == WEFT_NONE) return false;
    for (int i = 0; i < like->u.attend.ahead; i++)
        weft_graph_at(g, temp[KV + i])->whole = true;
    weft_graph_at(g, temp[STRIPS])->whole = true;
    weft_graph_at(g, temp[STATE])->shared = true;
    return true;
}

/* Keys and values of one share of the heads: `inner` channels each. */
static void add_share(weft_graph *g, weft_node *d, const weft_names *n,
                      int share, int inner, bool bias)
{
    int *weight = d->weight + W_SHARE + share * SHARE;

    weight[W_KV] =
        weft_weight_matrix(g, &d->u.attend.kv, &n->at[WEFT_NAME_K], 2, true);
    if (bias)
        weight[B_KV] =
            weft_weight_vector(g, &n->at[WEFT_NAME_K], 2, "bias", inner);
    for (int i = 0; i < SHARE; i++)
        weft_weight_part(g, weight[i], share, d->u.attend.shares);
    weft_node_wants_all(d, WEFT_KV, d->temp[KV + share % d->u.attend.ahead]);
}

/* The projections: their shapes and weights, into the node. */
static void add_weights(weft_graph *g, weft_node *d, const weft_names *n,
                        bool bias, float scale)
{
    const weft_value *over = weft_graph_at(g, d->in[IN]);
    const int inner = d->u.attend.heads * d->u.attend.dim, c = over->c;
    const int shares = d->u.attend.shares;
    weft_conv *q = &d->u.attend.q, *out = &d->u.attend.out;

    d->u.attend.kv = weft_conv_1x1(g, over, c, 2 * inner / shares);
    *q = weft_conv_1x1(g, over, c, inner);
    *out = weft_conv_1x1(g, over, inner, c);
    out->scale = scale;
    for (int i = 0; i < shares; i++)
        add_share(g, d, n, i, inner / shares, bias);
    d->weight[W_Q] = weft_weight_matrix(g, q, &n->at[WEFT_NAME_Q], 1, true);
    if (bias)
        d->weight[B_Q] =
            weft_weight_vector(g, &n->at[WEFT_NAME_Q], 1, "bias", inner);
    d->weight[W_OUT] =
        weft_weight_matrix(g, out, &n->at[WEFT_NAME_OUT], 1, true);
    d->weight[B_OUT] =
        weft_weight_vector(g, &n->at[WEFT_NAME_OUT], 1, "bias", c);
}

weft_val weft_add_self_attention(weft_graph *g, const char *name, weft_val in,
                                 weft_val res, int heads, int dim, bool bias,
                                 bool old_names, float scale)
{
    weft_node like = {.in = {[IN] = in, [RES] = res}}, *d;
    weft_val out;
    weft_names n;

    if (g->status != WEFT_OK || !fits(g, name, in, res, heads, dim) ||
        !weft_names_make(g, name, old_names ? old_name : new_name, &n))
        return WEFT_NONE;
    like.u.attend.heads = heads;
    like.u.attend.dim = dim;
    like.u.attend.shares = shares_of(heads);
    like.u.attend.ahead = like.u.attend.shares < 4 ? 1 : MOST_AHEAD;
    if (!make_values(g, &like, like.temp, &out)) return WEFT_NONE;
    d = weft_graph_node(g, &attention_ops, name);
    if (!d) return WEFT_NONE;
    d->in[IN] = in;
    d->in[RES] = res;
    d->out = out;
    for (int i = 0; i < TEMPS; i++) d->temp[i] = like.temp[i];
    d->u = like.u;
    add_weights(g, d, &n, bias, scale);
    if (res != WEFT_NONE) d->over = RES;
    return g->status == WEFT_OK ? out : WEFT_NONE;
}
