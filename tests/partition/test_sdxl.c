/*
 * How much SDXL's U-Net exchanges: its shapes (sdxl.json), built of weft's own
 * layers, against what was derived for DistriFusion from the same shapes and
 * agrees with its paper (arXiv 2402.19481, table 2): one image of 1024 x 1024,
 * fp16, per rank and step
 *
 *     ranks   all-gather   of which halo
 *       2       218 MB         8 MB
 *       4       339 MB        25 MB
 *       8       424 MB        57 MB       155 tensors, 30.3 M elements a rank
 *
 * Cross-attention and feed-forward look at one pixel at a time and exchange
 * nothing; they are left out.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/layer/layer.h"
#include "core/net/blocks.h"
#include "core/wire.h"
#include "partition/split.h"

enum { LEVELS = 3, UNIT = 4 };

typedef struct sdxl {
    int in, out, size, layers, groups;
    int channels[LEVELS], heads[LEVELS], depth[LEVELS];
    weft_block_style style;
    weft_graph g;
} sdxl;

/* ---- the net ------------------------------------------------------------- */

static void ints(const weft_json *c, const char *key, int *out)
{
    int n;

    assert_int_equal(weft_json_ints(c, key, 0, 4096, out, LEVELS, &n), WEFT_OK);
    assert_int_equal(n, LEVELS);
}

static void one(const weft_json *c, const char *key, int *out)
{
    assert_int_equal(weft_json_int(c, key, 0, 1, 4096, out), WEFT_OK);
}

static void read_shapes(sdxl *s)
{
    weft_json *c;

    assert_int_equal(
        weft_json_read(WEFT_SOURCE_DIR "/tests/partition/sdxl.json", &c),
        WEFT_OK);
    one(c, "in_channels", &s->in);
    one(c, "out_channels", &s->out);
    one(c, "sample_size", &s->size);
    one(c, "layers_per_block", &s->layers);
    one(c, "norm_num_groups", &s->groups);
    ints(c, "block_out_channels", s->channels);
    ints(c, "attention_heads", s->heads);
    ints(c, "transformer_depth", s->depth);
    assert_int_equal(weft_json_refuse_rest(c, NULL), WEFT_OK);
    weft_json_free(c);
    s->style = (weft_block_style){
        .act = WEFT_SILU, .groups = s->groups, .eps = 1e-5f, .time = WEFT_NONE};
}

/* Transformer2DModel, as far as it looks beyond a pixel. */
static weft_val transformer(sdxl *s, const char *name, weft_val in, int level)
{
    const int c = s->channels[level], heads = s->heads[level];
    weft_val h = in;

    if (!s->depth[level]) return in;
    h = weft_block_norm(&s->g, "norm", in, WEFT_NONE, s->groups, 1e-6f,
                        WEFT_NONE, WEFT_LINEAR);
    h = weft_add_conv(&s->g, "proj_in", h, c, WEFT_CONV(.k = 1));
    for (int i = 0; i < s->depth[level]; i++)
        h = weft_add_self_attention(&s->g, name, h, h, heads, c / heads, false,
                                    false, 1);
    return weft_add_conv(&s->g, "proj_out", h, c, WEFT_CONV(.k = 1, .res = in));
}

static weft_val resnet(sdxl *s, weft_val in, weft_val skip, int level)
{
    return weft_block_resnet(&s->g, &s->style, "resnet", in, skip,
                             s->channels[level], WEFT_KEEP, 1);
}

static weft_val go_down(sdxl *s, weft_val h, weft_val *skip, int *n)
{
    for (int level = 0; level < LEVELS; level++) {
        for (int i = 0; i < s->layers; i++) {
            h = resnet(s, h, WEFT_NONE, level);
            h = skip[(*n)++] = transformer(s, "attn1", h, level);
        }
        if (level + 1 == LEVELS) break;
        h = skip[(*n)++] = weft_block_downsample(&s->g, "down", h, false);
    }
    return h;
}

static weft_val go_up(sdxl *s, weft_val h, const weft_val *skip, int n)
{
    for (int level = LEVELS - 1; level >= 0; level--) {
        for (int i = 0; i <= s->layers; i++) {
            h = resnet(s, h, skip[--n], level);
            h = transformer(s, "attn1", h, level);
        }
        if (level > 0) h = weft_block_upsample(&s->g, "up", h);
    }
    assert_int_equal(n, 0);
    return h;
}

static void build(sdxl *s, int pixels)
{
    const int deep = LEVELS - 1, side = pixels / 8;
    weft_val skip[3 * LEVELS + 1], h;
    int n = 0;

    read_shapes(s);
    weft_graph_init(&s->g, (weft_cell){UNIT, 4 * UNIT, side}, s->in);
    h = skip[n++] = weft_add_conv(&s->g, "conv_in", s->g.input, s->channels[0],
                                  WEFT_CONV(.k = 3));
    h = go_down(s, h, skip, &n);
    h = resnet(s, h, WEFT_NONE, deep);
    h = transformer(s, "attn1", h, deep);
    h = resnet(s, h, WEFT_NONE, deep);
    h = go_up(s, h, skip, n);
    h = weft_block_norm(&s->g, "conv_norm_out", h, WEFT_NONE, s->groups, 1e-5f,
                        WEFT_NONE, WEFT_SILU);
    h = weft_add_conv(&s->g, "conv_out", h, s->out, WEFT_CONV(.k = 3));
    assert_int_equal(weft_graph_finish(&s->g, h), WEFT_OK);
}

/* ---- what is exchanged --------------------------------------------------- */

typedef double per_want(const weft_graph *g, const weft_node *d,
                        const weft_want *w, const void *arg);

static double sum(const weft_graph *g, weft_class class, per_want *of,
                  const void *arg)
{
    double total = 0;

    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nwants; k++)
            if (g->node[i].want[k].class == class)
                total += of(g, &g->node[i], &g->node[i].want[k], arg);
    return total;
}

/* What DistriFusion registers on each of n ranks, in elements: two rows for a
 * convolution, of the input as the kernel sees it; its own keys and values; a
 * mean and a mean square for each group. The first convolution sees the whole
 * latent. */
static double registered(const weft_graph *g, const weft_node *d,
                         const weft_want *w, const void *arg)
{
    const weft_value *v = weft_graph_at(g, w->val);
    const int ranks = *(const int *)arg;
    const int rows = v->rows_per_unit * (g->value[0].w / UNIT) / ranks;

    if (w->class == WEFT_MOMENTS) return v->c / 2.0;
    if (w->class == WEFT_KV) return (double)rows * v->w * v->c;
    return d->in[0] == g->input ? 0 : 2.0 * d->u.conv.up * v->w * v->c;
}

static double one_tensor(const weft_graph *g, const weft_node *d,
                         const weft_want *w, const void *arg)
{
    (void)arg;
    if (w->class == WEFT_KV) return 1.0 / d->nwants; /* in shares */
    return d->in[0] == g->input ? 0 : 1;
}

/* What weft sends from a rank with neighbours on both sides. */
typedef struct sent {
    int ranks;
    weft_wire wire;
} sent;

static double bytes_sent(const weft_graph *g, const weft_node *d,
                         const weft_want *w, const void *arg)
{
    const sent *s = arg;
    const weft_value *v = weft_graph_at(g, w->val);
    const int rows = v->rows_per_unit * (g->value[0].w / UNIT) / s->ranks;
    const size_t width = (size_t)v->w * (size_t)v->c;

    (void)d;
    if (w->reach == WEFT_REACH_BORDER)
        return (double)(weft_wire_bytes(s->wire, false, (size_t)w->border.above,
                                        width) +
                        weft_wire_bytes(s->wire, false, (size_t)w->border.below,
                                        width));
    return (s->ranks - 1) * (double)weft_wire_bytes(w->class == WEFT_MOMENTS
                                                        ? WEFT_WIRE_F32
                                                        : s->wire,
                                                    false, (size_t)rows, width);
}

/* ---- tests --------------------------------------------------------------- */

static double mb(double bytes) { return bytes / 1e6; }

static void the_net_is_sdxl(void **state)
{
    static const double gather[] = {[2] = 218, [4] = 339, [8] = 424};
    static const double halo[] = {[2] = 8, [4] = 25, [8] = 57};
    sdxl s = {0};

    (void)state;
    build(&s, 1024);
    assert_int_equal(sum(&s.g, WEFT_BORDER, one_tensor, NULL), 39);
    assert_int_equal(sum(&s.g, WEFT_KV, one_tensor, NULL), 70);
    assert_int_equal(sum(&s.g, WEFT_MOMENTS, one_tensor, NULL), 46);
    for (int n = 2; n <= 8; n *= 2) {
        const double border = sum(&s.g, WEFT_BORDER, registered, &n);
        const double all = border + sum(&s.g, WEFT_KV, registered, &n) +
                           sum(&s.g, WEFT_MOMENTS, registered, &n);
        assert_float_equal(mb(all * 2 * (n - 1)), gather[n], 0.5);
        assert_float_equal(mb(border * 2 * (n - 1)), halo[n], 0.5);
    }
    weft_graph_release(&s.g);
}
static double total(const sdxl *s, const sent *a)
{
    return sum(&s->g, WEFT_BORDER, bytes_sent, a) +
           sum(&s->g, WEFT_KV, bytes_sent, a) +
           sum(&s->g, WEFT_MOMENTS, bytes_sent, a);
}

static void borders_go_to_neighbours_alone(void **state)
{
    const sent half = {8, WEFT_WIRE_F16};
    sdxl s = {0};

    (void)state;
    build(&s, 1024);
    assert_true(mb(sum(&s.g, WEFT_BORDER, bytes_sent, &half)) <= 8.3);
    weft_graph_release(&s.g);
}

/* 10 blocks of 4096 pixels and 60 of 1024, keys and values of 640 and 1280
 * channels: (n - 1) / n of them all. */
static void keys_and_values_are_what_they_must_be(void **state)
{
    const double all = 10 * 4096.0 * 2 * 640 + 60 * 1024.0 * 2 * 1280;
    sdxl s = {0};

    (void)state;
    build(&s, 1024);
    for (int n = 2; n <= 8; n *= 2) {
        const sent half = {n, WEFT_WIRE_F16};

        assert_float_equal(sum(&s.g, WEFT_KV, bytes_sent, &half),
                           2 * all * (n - 1) / n, 0.5);
    }
    weft_graph_release(&s.g);
}

static void residuals_are_less_than_half(void **state)
{
    const sent residual = {8, WEFT_WIRE_INT8};
    sdxl s = {0};

    (void)state;
    build(&s, 1024);
    assert_true(mb(total(&s, &residual)) <= 0.47 * 424);
    weft_graph_release(&s.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_net_is_sdxl),
        cmocka_unit_test(borders_go_to_neighbours_alone),
        cmocka_unit_test(keys_and_values_are_what_they_must_be),
        cmocka_unit_test(residuals_are_less_than_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
