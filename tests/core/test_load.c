/* From files to packed weights: who packs what, and what is refused. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/golden.h"
#include "tests/must.h"

static void build(const golden *g, weft_graph *graph)
{
    const int unit = g->part == WEFT_PART_DECODE ? g->h : g->info.stride;

    must(weft_net_build(g->config, &g->info, g->part,
                        (weft_cell){unit, unit, g->w}, g->wtype, graph));
}

/* ---- other checkpoints for the same net ---------------------------------- */

/* Replace the golden's checkpoint by one of these tensors. */
static void rewrite(golden *g, const char *tensors)
{
    char path[GOLDEN_PATH + 32];

    snprintf(path, sizeof path, "%s/weights.safetensors", g->folder);
    weft_st_close(g->weights);
    golden_write(path, tensors);
    must(weft_st_open(path, &g->weights));
    g->wtype = weft_load_dtype(g->weights);
}

/* The golden's list of tensors with every `from` made `to`; owned. */
static char *edited(const golden *g, const char *from, const char *to)
{
    const char *text = weft_st_metadata(g->answer, "tensors"), *hit;
    char *out = NULL;
    size_t bytes;
    FILE *f = open_memstream(&out, &bytes);

    assert_non_null(f);
    for (; (hit = strstr(text, from)); text = hit + strlen(from))
        fprintf(f, "%.*s%s", (int)(hit - text), text, to);
    fputs(text, f);
    fclose(f);
    return out;
}

static void open_edited(golden *g, const char *name, const char *from,
                        const char *to)
{
    char *tensors;

    golden_open(g, name);
    tensors = edited(g, from, to);
    assert_string_not_equal(tensors, weft_st_metadata(g->answer, "tensors"));
    rewrite(g, tensors);
    free(tensors);
}

static void still_right(golden *g)
{
    float *out = golden_run(g, golden_device("reference"), 1, 1);
    const size_t n = g->output->bytes / sizeof *out;

    assert_true(golden_distance(out, g->output->data, n) <= 1e-5);
    free(out);
    golden_close(g);
}

static void reads_mixed_types(void **state)
{
    golden g;

    (void)state;
    open_edited(&g, "unet_plain", "conv2.weight F32", "conv2.weight F16");
    assert_int_equal(g.wtype, WEFT_F32);
    still_right(&g);
    open_edited(&g, "unet_head_dim", "to_k.weight F32", "to_k.weight BF16");
    still_right(&g);
    open_edited(&g, "tiny_decode", ".bias F16", ".bias F32");
    assert_int_equal(g.wtype, WEFT_F16);
    still_right(&g);
}

static void reads_matrices_as_convolutions_and_back(void **state)
{
    golden g;

    (void)state;
    open_edited(&g, "kl_decode", "post_quant_conv.weight F32 4x4x1x1",
                "post_quant_conv.weight F32 4x4");
    still_right(&g);
    open_edited(&g, "kl_old_names", "query.weight F32 16x16",
                "query.weight F32 16x16x1x1");
    still_right(&g);
}

static weft_load_rest rest_of(const golden *g, const weft_graph *graph)
{
    weft_load_rest rest;

    must(weft_load_unused(graph, g->weights,
                          weft_net_besides(&g->info, g->part), &rest));
    return rest;
}

static void counts_what_is_not_used(void **state)
{
    weft_load_rest rest;
    weft_graph graph;
    size_t bytes = 0;
    golden g;

    (void)state;
    golden_open(&g, "unet_class_fourier"); /* uses one tensor twice */
    build(&g, &graph);
    must(weft_load_check(&graph, g.weights, &bytes));
    assert_true(bytes > 0 && bytes < weft_st_bytes(g.weights));
    rest = rest_of(&g, &graph);
    assert_int_equal(rest.n, 0);
    assert_null(rest.first);
    weft_graph_release(&graph);
    golden_close(&g);
    open_edited(&g, "kl_no_attention", "post_quant_conv.bias F32 4;",
                "post_quant_conv.bias F32 4;spare F32 7;extra F32 7;");
    build(&g, &graph);
    must(weft_load_check(&graph, g.weights, NULL));
    rest = rest_of(&g, &graph);
    assert_int_equal(rest.n, 2); /* the encoder's are not counted */
    assert_string_equal(rest.first, "extra");
    weft_graph_release(&graph);
    golden_close(&g);
}

/* A file of these tensors, opened; the name is gone already. */
static weft_st *open_new(const char *tensors)
{
    char path[] = "/tmp/weft-load-XXXXXX";
    weft_st *st;

    close(mkstemp(path));
    golden_write(path, tensors);
    must(weft_st_open(path, &st));
    unlink(path);
    return st;
}

static void joins_files_under_a_prefix(void **state)
{
    weft_st *st = open_new("a F32 1;x.b F32 2;");
    weft_st *other = open_new("a F32 3;c F16 4;");
    const size_t bytes = weft_st_bytes(st) + weft_st_bytes(other);

    (void)state;
    must(weft_st_join(st, "y.", other));
    assert_int_equal(weft_st_count(st), 4);
    assert_int_equal(weft_st_bytes(st), bytes);
    assert_int_equal(weft_st_find(st, "a")->bytes, 4);
    assert_int_equal(weft_st_find(st, "x.b")->bytes, 8);
    assert_int_equal(weft_st_find(st, "y.a")->bytes, 12);
    assert_int_equal(weft_st_find(st, "y.c")->bytes, 8);
    assert_null(weft_st_find(st, "c"));
    other = open_new("b F32 1;");
    assert_int_equal(weft_st_join(st, "x.", other), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "x.b"));
    assert_int_equal(weft_st_count(st), 4);
    weft_st_close(other);
    weft_st_close(st);
}

static void names_the_file_of_a_joined_tensor(void **state)
{
    weft_st *st = open_new("a F32 1;"), *other = open_new("a F32 3;");
    const char *name = "y.missing", *path = weft_st_path(other);

    (void)state;
    must(weft_st_join(st, "y.", other));
    assert_ptr_equal(weft_st_home(st, &name), path);
    assert_string_equal(name, "missing");
    name = "ya";
    assert_ptr_equal(weft_st_home(st, &name), weft_st_path(st));
    assert_string_equal(name, "ya");
    weft_st_close(st);
}

/* ---- refusals ------------------------------------------------------------ */

static void refused(const char *name, const char *from, const char *to,
                    const char *const *words)
{
    weft_graph graph;
    golden g;

    open_edited(&g, name, from, to);
    build(&g, &graph);
    assert_int_equal(weft_load_check(&graph, g.weights, NULL), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "weights.safetensors"));
    for (; *words; words++)
        if (!strstr(weft_fail_text(), *words))
            fail_msg("no \"%s\" in: %s", *words, weft_fail_text());
    weft_graph_release(&graph);
    golden_close(&g);
}

#define REFUSED(name, from, to, ...)                                           \
    refused(name, from, to, (const char *const[]){__VA_ARGS__, NULL})

static void names_what_is_wrong(void **state)
{
    (void)state;
    REFUSED("unet_plain", "conv_in.weight F32 8x4x3x3;", "", "1 tensor missing",
            ": conv_in.weight");
    REFUSED("unet_plain", "conv_in.weight F32 8x4x3x3;",
            "conv_in.weight F32 8x4x3x2;",
            "conv_in.weight is 8x4x3x2 instead of 8x4x3x3");
    REFUSED("unet_plain", "conv_in.bias F32 8;", "conv_in.bias F32 8x2;",
            "conv_in.bias is 8x2 instead of 8");
    REFUSED("unet_plain", "conv_in.bias F32 8;", "conv_in.bias I32 8;",
            "conv_in.bias is I32 instead of F32, F16 or BF16");
    REFUSED("unet_head_dim", "to_k.weight F32 18x20;", "to_k.weight F32 20x18;",
            "to_k.weight is 20x18 instead of 18x20");
    REFUSED("unet_attention", "resnets", "layers", " more");
}

static int count(const char *text, const char *what)
{
    int n = 0;

    for (; (text = strstr(text, what)); text++) n++;
    return n;
}

static void shows_ten_at_most(void **state)
{
    weft_graph graph;
    golden g;

    (void)state;
    open_edited(&g, "unet_attention", ".bias ", ".offset ");
    build(&g, &graph);
    assert_int_equal(weft_load_check(&graph, g.weights, NULL), WEFT_EINPUT);
    assert_int_equal(count(weft_fail_text(), ".bias"), 10);
    weft_graph_release(&graph);
    golden_close(&g);
}

/* ---- packing ------------------------------------------------------------- */

/* Packed by `nparts` ranks, in an order of its own; owned. */
static char *packed(const golden *g, const weft_graph *graph,
                    const weft_device *dev, const weft_layout *l, int nparts,
                    int threads)
{
    const size_t bytes = (l->weight_bytes + 63) / 64 * 64;
    char *to = aligned_alloc(64, bytes);
    weft_pool *pool = NULL;

    assert_non_null(to);
    memset(to, 0, bytes);
    if (threads) must(weft_pool_create(threads, NULL, &pool));
    for (int r = nparts - 1; r >= 0; r--)
        must(weft_load_pack(graph, dev, l, g->weights, to, r, nparts, pool));
    if (pool) weft_pool_destroy(pool);
    return to;
}

static const int one_unit[] = {0, 1};

static void one_device(const golden *g, const char *name)
{
    static const int shares[][2] = {{1, 2}, {2, 0}, {3, 1}, {7, 2}, {64, 0}};
    const weft_device *dev = golden_device(name);
    const weft_cut cut = {.n = 1, .first = one_unit};
    weft_graph graph;
    weft_layout l;
    char *one, *many;

    build(g, &graph);
    must(weft_layout_make(&graph, dev, g->n, &cut, &l));
    one = packed(g, &graph, dev, &l, 1, 0);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        many = packed(g, &graph, dev, &l, shares[i][0], shares[i][1]);
        assert_memory_equal(one, many, l.weight_bytes);
        free(many);
    }
    free(one);
    weft_layout_release(&l);
    weft_graph_release(&graph);
}

static void packs_the_same_however_shared(void **state)
{
    golden g;

    (void)state;
    golden_open(&g, "kl_mean_std");
    one_device(&g, "reference");
    one_device(&g, "fast");
    one_device(&g, "lean");
    golden_close(&g);
    golden_open(&g, "tiny_defaults"); /* weights of several pieces */
    one_device(&g, "fast");
    golden_close(&g);
}

/* Bytes of the file that this process has in memory. */
static size_t resident(const char *path)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[1024];
    bool ours = false;
    size_t kb, sum = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (!isupper(line[0])) ours = strstr(line, path) != NULL; /* a map */
        if (ours && sscanf(line, "Rss: %zu", &kb) == 1) sum += kb * 1024;
    }
    fclose(f);
    return sum;
}

static void gives_the_pages_back(void **state)
{
    const weft_cut cut = {.n = 1, .first = one_unit};
    weft_graph graph;
    weft_layout l;
    golden g;
    char *to;

    (void)state;
    golden_open(&g, "unet_defaults");
    build(&g, &graph);
    must(weft_layout_make(&graph, golden_device("reference"), 1, &cut, &l));
    assert_true(weft_st_bytes(g.weights) > 2 << 20);
    to = packed(&g, &graph, golden_device("reference"), &l, 1, 0);
    assert_true(resident(g.folder) < weft_st_bytes(g.weights) / 4);
    free(to);
    weft_layout_release(&l);
    weft_graph_release(&graph);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_mixed_types),
        cmocka_unit_test(reads_matrices_as_convolutions_and_back),
        cmocka_unit_test(counts_what_is_not_used),
        cmocka_unit_test(joins_files_under_a_prefix),
        cmocka_unit_test(names_the_file_of_a_joined_tensor),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(shows_ten_at_most),
        cmocka_unit_test(packs_the_same_however_shared),
        cmocka_unit_test(gives_the_pages_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
