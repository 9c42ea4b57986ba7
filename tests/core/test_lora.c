/* LoRA against diffusers and PEFT, and files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/golden_loras.h"
#include "tests/must.h"

static const double limit = 2e-5;

static void build(const golden *g, weft_graph *graph)
{
    must(weft_net_build(g->config, &g->info, g->part,
                        (weft_cell){g->info.stride, g->info.stride, g->w},
                        g->wtype, graph));
}

/* ---- goldens ------------------------------------------------------------- */

/* A net with what `name` adds to it, whose answer is then that of the LoRA. */
static void open_both(golden_loras *l, golden *g, const char *name)
{
    golden_loras_open(l, name);
    golden_open(g, l->base + strlen("net_"));
    g->loras = l;
    g->output = weft_st_find(l->answer, "output");
    assert_non_null(g->output);
}

static double distance_of(const golden *g, const char *dev, int patches)
{
    float *out = golden_run(g, golden_device(dev), patches, 2);
    const double off =
        golden_distance(out, g->output->data, g->output->bytes / sizeof *out);

    free(out);
    return off;
}

#ifdef __SANITIZE_THREAD__ /* the threads are the same in all cases */
enum { EVERY = 4 };
#else
enum { EVERY = 1 };
#endif

/* Merged, and beside the weights. */
static void check_golden(golden *g, golden_loras *l, const char *name,
                         const char *dev)
{
    for (int beside = 0; beside < 2; beside++) {
        double off;

        l->beside = beside;
        off = distance_of(g, dev, 1);
        if (!(off <= limit))
            fail_msg("%s, %s%s: relative rms %.2e", name, dev,
                     beside ? ", beside" : "", off);
    }
}

static void equals_diffusers(void **state)
{
    static const char *const name[] = {
        "sd15_kohya", "sd15_negative", "sd15_processor",
        "sd15_two",   "sd15_metadata", "sd15_peft",
        "sd21_lora",  "sdxl_kohya",    "sdxl_ab"};
    static const char *const dev[] = {"reference", "fast", "lean"};
    golden_loras l;
    golden g;

    (void)state;
    for (size_t i = 0; i < sizeof name / sizeof *name; i += EVERY) {
        open_both(&l, &g, name[i]);
        for (int k = i % 3 || EVERY > 1 ? 1 : 0; k < 3; k++)
            check_golden(&g, &l, name[i], dev[k]);
        g.loras = NULL;
        assert_true(distance_of(&g, "fast", 1) > 0.01); /* it does something */
        golden_close(&g);
        golden_loras_close(&l);
    }
}

/* Packed bytes of the whole net, by so many ranks and threads; owned. */
static char *packed(const golden *g, const char *dev, int ranks, int threads,
                    size_t *bytes)
{
    static const int first[] = {0, 1};
    weft_pool *pool = NULL;
    weft_graph graph;
    weft_layout l;
    char *to;

    build(g, &graph);
    if (g->loras) must(golden_loras_apply(g->loras, g->weights, &graph));
    if (threads) must(weft_pool_create(threads, NULL, &pool));
    must(weft_layout_make(&graph, golden_device(dev), 1,
                          &(weft_cut){.n = 1, .first = first}, &l));
    *bytes = l.weight_bytes;
    to = aligned_alloc(64, l.weight_bytes);
    assert_non_null(to);
    memset(to, 0, l.weight_bytes);
    for (int r = 0; r < ranks; r++)
        must(weft_load_pack(&graph, golden_device(dev), &l, g->weights, to, r,
                            ranks, pool));
    weft_layout_release(&l);
    weft_pool_destroy(pool);
    weft_graph_release(&graph);
    return to;
}

static void packs_alike_whoever_packs(void **state)
{
    golden_loras l;
    golden g;
    size_t bytes, again;
    char *one, *many;

    (void)state;
    open_both(&l, &g, "sdxl_kohya");
    l.beside = true;
    one = packed(&g, "lean", 1, 0, &bytes);
    for (int ranks = 2; ranks <= 5; ranks++) {
        many = packed(&g, "lean", ranks, ranks % 3 + 1, &again);
        assert_int_equal(bytes, again);
        assert_memory_equal(one, many, bytes);
        free(many);
    }
    free(one);
    golden_close(&g);
    golden_loras_close(&l);
}

/* Scales that sum to nothing leave the net as it was, in float. */
static void opposites_cancel(void **state)
{
    golden_loras l;
    golden g;

    (void)state;
    open_both(&l, &g, "sd15_negative");
    l.lora[1] = l.lora[0];
    l.scale[1] = -l.scale[0];
    l.n = 2;
    g.output = weft_st_find(g.answer, "output");
    assert_true(distance_of(&g, "fast", 1) <= limit);
    l.n = 1;
    golden_close(&g);
    golden_loras_close(&l);
}

static void same_for_any_cut(void **state)
{
    golden_loras l;
    golden g;
    float *whole, *cut;

    (void)state;
    open_both(&l, &g, "sd15_two");
    l.beside = true;
    whole = golden_run(&g, golden_device("fast"), 1, 1);
    for (int patches = 2; patches <= 5; patches += 3) {
        cut = golden_run(&g, golden_device("fast"), patches, 1);
        assert_memory_equal(whole, cut, g.output->bytes);
        free(cut);
    }
    free(whole);
    golden_close(&g);
    golden_loras_close(&l);
}

/* ---- kin ----------------------------------------------------------------- */

enum { KIN = 3 };

/* The net itself, and as two LoRAs of one file change it. */
typedef struct family {
    golden_loras l;
    golden g;
    weft_graph graph[KIN];
    const weft_graph *kin[KIN];
    weft_layout layout[KIN];
    char *packed;
} family;

static size_t bytes_of(const weft_graph *g, const weft_device *dev)
{
    weft_layout l = {0};
    size_t bytes;

    must(weft_layout_weights(g, dev, &l));
    bytes = l.weight_bytes;
    weft_layout_release(&l);
    return bytes;
}

static void open_family(family *f, const char *dev)
{
    static const float scale[KIN] = {0, .8f, -1.5f};

    memset(f, 0, sizeof *f);
    open_both(&f->l, &f->g, "sd15_kohya");
    f->l.beside = true;
    for (int k = 0; k < KIN; k++) {
        build(&f->g, &f->graph[k]);
        f->l.scale[0] = scale[k];
        if (k) must(golden_loras_apply(&f->l, f->g.weights, &f->graph[k]));
        f->kin[k] = &f->graph[k];
    }
    for (int k = 0; k < KIN; k++) {
        f->graph[k].kin = f->kin;
        f->graph[k].nkin = KIN;
        must(weft_layout_weights(&f->graph[k], golden_device(dev),
                                 &f->layout[k]));
    }
    f->packed = aligned_alloc(64, f->layout[0].weight_bytes);
    assert_non_null(f->packed);
    memset(f->packed, 0xa5, f->layout[0].weight_bytes);
    for (int k = 0; k < KIN; k++)
        must(weft_load_pack(&f->graph[k], golden_device(dev), &f->layout[k],
                            f->g.weights, f->packed, 0, 1, NULL));
}

static void close_family(family *f)
{
    for (int k = 0; k < KIN; k++) {
        weft_layout_release(&f->layout[k]);
        weft_graph_release(&f->graph[k]);
    }
    free(f->packed);
    golden_close(&f->g);
    golden_loras_close(&f->l);
}

/* Every weight of each of them, as it is packed where nobody is kin. */
static void check_member(family *f, int k, const weft_device *dev)
{
    weft_graph *g = &f->graph[k];
    weft_layout alone = {0};
    char *to;

    g->nkin = 0;
    must(weft_layout_weights(g, dev, &alone));
    to = aligned_alloc(64, alone.weight_bytes);
    assert_non_null(to);
    must(weft_load_pack(g, dev, &alone, f->g.weights, to, 0, 1, NULL));
    for (int i = 0; i < g->nweights; i++)
        assert_memory_equal(f->packed + f->layout[k].weight[i],
                            to + alone.weight[i],
                            weft_weight_bytes(&g->weight[i], dev));
    g->nkin = KIN;
    free(to);
    weft_layout_release(&alone);
}

/* What one of them has and no other: thin matrices, merged weights. */
static size_t own_bytes(const weft_graph *g, const weft_device *dev,
                        int *beside)
{
    size_t sum = 0;

    for (int i = 0; i < g->nweights; i++) {
        const weft_weight *w = &g->weight[i];

        *beside += w->conv.rank > 0;
        if (w->thin || (w->nadded && !w->conv.rank))
            sum += (weft_weight_bytes(w, dev) + 63) / 64 * 64;
    }
    return sum;
}

/* All three take the bytes of one, and what two change. */
static void kin_share_the_base(void **state)
{
    static const char *const name[] = {"reference", "fast", "lean"};
    family f;

    (void)state;
    for (int d = 0; d < 3; d++) {
        const weft_device *dev = golden_device(name[d]);
        size_t all;
        int beside = 0;

        open_family(&f, name[d]);
        f.graph[0].nkin = 0;
        all = bytes_of(&f.graph[0], dev);
        f.graph[0].nkin = KIN;
        for (int k = 1; k < KIN; k++)
            all += own_bytes(&f.graph[k], dev, &beside);
        assert_true(beside > 0);
        for (int k = 0; k < KIN; k++) {
            assert_int_equal(f.layout[k].weight_bytes, all);
            check_member(&f, k, dev);
        }
        close_family(&f);
    }
}

/* ---- refusals ------------------------------------------------------------ */

#define Q  "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
#define QK "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"

/* Opens a LoRA of these tensors and applies it to a small Stable Diffusion. */
static weft_status try_lora(const char *tensors)
{
    char path[] = "/tmp/weft-lora-XXXXXX";
    weft_lora *l = NULL;
    weft_graph graph;
    weft_status st;
    golden g;

    close(mkstemp(path));
    golden_write(path, tensors);
    golden_open(&g, "cond_sd15");
    build(&g, &graph);
    st = weft_lora_open(path, &l);
    if (st == WEFT_OK)
        st = weft_lora_apply(l, WEFT_LORA_UNET, 1, g.weights, &graph);
    weft_lora_close(l);
    weft_graph_release(&graph);
    golden_close(&g);
    unlink(path);
    return st;
}

static void refused(const char *tensors, const char *const *words)
{
    assert_int_equal(try_lora(tensors), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "/tmp/weft-lora-"));
    for (; *words; words++)
        if (!strstr(weft_fail_text(), *words))
            fail_msg("no \"%s\" in: %s", *words, weft_fail_text());
}

#define REFUSED(tensors, ...)                                                  \
    refused(tensors, (const char *const[]){__VA_ARGS__, NULL})
#define PAIR(name, down, up)                                                   \
    name ".lora_down.weight F32 " down ";" name ".lora_up.weight F32 " up ";"

static void takes_all_it_should(void **state)
{
    (void)state;
    must(try_lora(PAIR("lora_unet_" QK, "4x16", "16x4")));
    must(try_lora(PAIR("lora_unet_" QK, "4x16x1x1", "16x4x1x1")));
    must(try_lora("unet." Q ".lora_A.weight BF16 1x16;unet." Q
                  ".lora_B.weight F16 16x1;"));
    must(try_lora(Q ".lora_A.a.weight F32 1x16;" Q
                    ".lora_B.a.weight F32 16x1;"));
    must(try_lora("base_model.model." Q ".lora_A.a.weight F32 1x16;"
                  "base_model.model." Q ".lora_B.a.weight F32 16x1;"));
    must(try_lora(PAIR("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_"
                       "to_q",
                       "4x16", "16x4") PAIR("lora_unet_" QK, "4x16", "16x4")));
}

static void names_other_kinds(void **state)
{
    (void)state;
    REFUSED("lora_unet_" QK ".hada_w1_a F32 16x4;", "LoHa", QK);
    REFUSED("lora_unet_" QK ".lokr_w1 F32 4x4;", "LoKr", QK);
    REFUSED(PAIR("lora_unet_" QK, "4x16", "16x4") "lora_unet_" QK
                                                  ".dora_scale F32 16x1;",
            "DoRA");
    REFUSED("unet." Q ".lora_magnitude_vector F32 16;", "DoRA");
    REFUSED("lora_unet_" QK ".lora_mid.weight F32 4x4x3x3;", "three factors");
    REFUSED("unet." Q ".lora_B.bias F32 16;", "biases");
    REFUSED("lora_unet_" QK ".diff F32 16x16;", "whole difference");
    REFUSED("conv_in.weight F32 16x4x3x3;", "conv_in.weight",
            "no part of a LoRA");
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    REFUSED("lora_unet_" QK ".lora_down.weight F32 4x16;", "has no up");
    REFUSED("lora_unet_" QK ".alpha F32 ;", "has no up");
    REFUSED(PAIR("lora_unet_" QK, "4x16", "16x5"), "ranks 5 and 4");
    REFUSED(PAIR("lora_unet_" QK, "4", "16x4"), "two matrices");
    REFUSED(PAIR("lora_unet_" QK, "4x16", "16x4x3x3"), "two matrices");
    REFUSED("lora_unet_" QK ".lora_down.weight I32 4x16;lora_unet_" QK
            ".lora_up.weight F32 16x4;",
            "two matrices");
    REFUSED(PAIR("lora_unet_" QK, "4x16", "16x4") "lora_unet_" QK
                                                  ".alpha F32 2;",
            "alpha is not a number");
    REFUSED(PAIR("lora_unet_" QK, "4x16", "16x4") "unet." Q
                                                  ".lora_A.weight F32 4x16;",
            "are the same");
    REFUSED(PAIR("lora_unet_" QK, "4x32", "32x4"), "does not fit the U-Net",
            "32 x 32", "16 x 16", "another base");
    REFUSED(PAIR("lora_unet_conv_in", "4x4x1x1", "16x4"), "does not fit");
    REFUSED(PAIR("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_"
                 "attn1_to_qq",
                 "4x16", "16x4"),
            "of 1 layers 1 are not in the U-Net", "attn1_to_qq",
            "nearest to the first is " QK);
    REFUSED(PAIR("lora_unet_input_blocks_1_1_transformer_blocks_9_attn1_to_q",
                 "4x16", "16x4"),
            "nearest", "input_blocks_1_1");
}

static void shows_ten_at_most(void **state)
{
    char tensors[8192] = "";
    int shown = 0;

    (void)state;
    for (int i = 0; i < 23; i++)
        snprintf(tensors + strlen(tensors), sizeof tensors - strlen(tensors),
                 PAIR("lora_unet_other_%d", "4x16", "16x4"), i, i);
    REFUSED(tensors, "of 23 layers 23", "and 13 more");
    for (const char *at = weft_fail_text(); (at = strstr(at, "_other_")); at++)
        shown++;
    assert_int_equal(shown, 10);
}

/* ---- what is no number --------------------------------------------------- */

/* Packs a small Stable Diffusion with a LoRA of two matrices, 4x16 and 16x4 of
 * `type`, of which the number that ends `before` bytes before the end of the
 * file is `bits`. */
static weft_status pack_number(const char *type, const void *bits, size_t bytes,
                               long before, bool beside)
{
    static const int first[] = {0, 1};
    char path[] = "/tmp/weft-lora-XXXXXX", tensors[512];
    weft_graph graph;
    weft_layout lay;
    weft_lora *l;
    weft_status st;
    golden g;
    FILE *f;
    void *to;

    close(mkstemp(path));
    snprintf(tensors, sizeof tensors,
             "lora_unet_" QK ".lora_down.weight %s 4x16;"
             "lora_unet_" QK ".lora_up.weight %s 16x4;",
             type, type);
    golden_write(path, tensors);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -before - (long)bytes, SEEK_END), 0);
    assert_int_equal(fwrite(bits, bytes, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    golden_open(&g, "cond_sd15");
    build(&g, &graph);
    must(weft_lora_open(path, &l));
    must(weft_lora_apply(l, WEFT_LORA_UNET, 1, g.weights, &graph));
    if (beside) must(weft_graph_beside(&graph));
    must(weft_layout_make(&graph, golden_device("fast"), 1,
                          &(weft_cut){.n = 1, .first = first}, &lay));
    to = aligned_alloc(64, lay.weight_bytes);
    assert_non_null(to);
    st = weft_load_pack(&graph, golden_device("fast"), &lay, g.weights, to, 0,
                        1, NULL);
    free(to);
    weft_layout_release(&lay);
    weft_lora_close(l);
    weft_graph_release(&graph);
    golden_close(&g);
    unlink(path);
    return st;
}

static void names_what_is_no_number(void **state)
{
    static const struct {
        const char *type;
        uint32_t bits;
        size_t bytes;
        long before; /* the matrices are 64 numbers each, up is the last */
        const char *words;
    } bad[] = {
        {"F32", 0x7fc00000, 4, 0,
         "lora_unet_" QK ".lora_up.weight is nan at row 15, column 3"},
        {"F32", 0xff800000, 4, 4 * 64,
         "lora_unet_" QK ".lora_down.weight is -inf at row 3, column 15"},
        {"F16", 0x7c00, 2, 2 * 62, "lora_up.weight is inf at row 0, column 1"},
        {"BF16", 0x7f80, 2, 2 * 127,
         "lora_down.weight is inf at row 0, column 0"},
    };
    static const uint32_t largest = 0x7f7fffff;
    static const uint32_t large[128] = {[0] = 0x7f000000, [64] = 0x7f000000};

    (void)state;
    for (int beside = 0; beside < 2; beside++) {
        must(pack_number("F32", &largest, 4, 0, beside));
        must(pack_number("F16", (uint16_t[]){0x7bff}, 2, 0, beside));
        must(pack_number("BF16", (uint16_t[]){0x7f7f}, 2, 0, beside));
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            assert_int_equal(pack_number(bad[i].type, &bad[i].bits,
                                         bad[i].bytes, bad[i].before, beside),
                             WEFT_EINPUT);
            if (!strstr(weft_fail_text(), bad[i].words) ||
                strncmp(weft_fail_text(), "/tmp/weft-lora-", 15) != 0)
                fail_msg("%s", weft_fail_text());
        }
    }
    /* The first of down and of up, 1.7e38 each. */
    assert_int_equal(pack_number("F32", large, sizeof large, 0, false),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "lora_up.weight and lora_unet_"));
    assert_non_null(strstr(weft_fail_text(), "add more than a float holds"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_diffusers),
        cmocka_unit_test(packs_alike_whoever_packs),
        cmocka_unit_test(opposites_cancel),
        cmocka_unit_test(same_for_any_cut),
        cmocka_unit_test(kin_share_the_base),
        cmocka_unit_test(takes_all_it_should),
        cmocka_unit_test(names_other_kinds),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(shows_ten_at_most),
        cmocka_unit_test(names_what_is_no_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
