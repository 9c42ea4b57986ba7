/* Text encoders against transformers, and configs that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/net/text.h"
#include "tests/golden_loras.h"
#include "tests/must.h"

static const double limit = 1e-5;

enum { PATH = 512 };

/* One golden: see tests/golden/text.py. */
typedef struct text_case {
    weft_st *answer, *weights;
    weft_json *config;
    weft_text_info info;
    weft_dtype wtype;
    int n, tokens;
    float *ids; /* [n][tokens] */
    char path[PATH];
    const golden_loras *loras; /* NULL: none */
} text_case;

static void read_ids(text_case *t, const char *text)
{
    int count = 1;
    char *at;

    for (const char *c = text; *c; c++) count += *c == ',';
    t->n = count / t->tokens;
    t->ids = calloc((size_t)count, sizeof *t->ids);
    assert_non_null(t->ids);
    at = (char *)text;
    for (int i = 0; i < count; i++, at++) t->ids[i] = strtof(at, &at);
}

static void open_case(text_case *t, const char *name)
{
    char path[PATH];
    const char *config, *length;

    memset(t, 0, sizeof *t);
    snprintf(path, sizeof path,
             WEFT_SOURCE_DIR "/tests/golden/text_%s.safetensors", name);
    must(weft_st_open(path, &t->answer));
    config = weft_st_metadata(t->answer, "config");
    must(weft_json_parse(name, config, strlen(config), &t->config));
    must(weft_text_read_info(t->config, &t->info));
    snprintf(t->path, sizeof t->path, "/tmp/weft-text-XXXXXX");
    close(mkstemp(t->path));
    golden_write(t->path, weft_st_metadata(t->answer, "tensors"));
    must(weft_st_open(t->path, &t->weights));
    t->wtype = weft_load_dtype(t->weights);
    length = weft_st_metadata(t->answer, "length");
    t->tokens = length ? (int)strtol(length, NULL, 10) : t->info.tokens;
    read_ids(t, weft_st_metadata(t->answer, "ids"));
}

static void close_case(text_case *t)
{
    free(t->ids);
    unlink(t->path);
    weft_st_close(t->weights);
    weft_st_close(t->answer);
    weft_json_free(t->config);
}

static void *aligned(size_t bytes)
{
    const size_t room = (bytes + 64) / 64 * 64;
    void *p = aligned_alloc(64, room);

    assert_non_null(p);
    memset(p, 0xff, room); /* NaN */
    return p;
}

static void compare(const text_case *t, const char *name, const float *got,
                    const char *what)
{
    const weft_st_tensor *want = weft_st_find(t->answer, name);
    double off;

    assert_non_null(want);
    off = golden_distance(got, want->data, want->bytes / sizeof *got);
    if (!(off <= limit)) fail_msg("%s: %s: relative rms %.2e", what, name, off);
}

/* Everything that an evaluation needs, on one rank. */
typedef struct stage {
    weft_text text;
    weft_layout layout;
    weft_exchange solo;
    weft_pool *pool;
    weft_run run;
    void *weights;
} stage;

static void set_stage(const text_case *t, const weft_text_opts *o,
                      const weft_device *dev, stage *s)
{
    static const int first[] = {0, 1};
    const weft_cut cut = {.n = 1, .first = first};

    memset(s, 0, sizeof *s);
    must(weft_text_build(t->config, o, t->tokens, t->wtype, &s->text));
    must(weft_load_check(&s->text.graph, t->weights, NULL));
    if (t->loras)
        must(golden_loras_apply(t->loras, t->weights, &s->text.graph));
    must(weft_exchange_init(&s->solo, &weft_solo, &cut, WEFT_IN_STEP));
    must(weft_layout_make(&s->text.graph, dev, t->n, &cut, &s->layout));
    must(weft_pool_create(2, NULL, &s->pool));
    must(weft_pool_reserve(s->pool, s->layout.scratch));
    s->weights = aligned(s->layout.weight_bytes);
    must(weft_load_pack(&s->text.graph, dev, &s->layout, t->weights, s->weights,
                        0, 1, s->pool));
    s->run = (weft_run){.dev = dev,
                        .pool = s->pool,
                        .x = &s->solo,
                        .layout = &s->layout,
                        .block = aligned(s->layout.bytes),
                        .weights = s->weights};
}

static void clear_stage(stage *s)
{
    free(s->run.block);
    free(s->weights);
    weft_layout_release(&s->layout);
    weft_pool_destroy(s->pool);
    weft_exchange_release(&s->solo);
    weft_graph_release(&s->text.graph);
}

static weft_status encode(const text_case *t, stage *s)
{
    memcpy(weft_run_value(&s->run, s->text.graph.input), t->ids,
           (size_t)t->n * (size_t)t->tokens * sizeof *t->ids);
    return weft_graph_eval(&s->text.graph, &s->run);
}

static void check(const text_case *t, const weft_text_opts *o,
                  const char *hidden, const char *device_name)
{
    stage s;

    set_stage(t, o, golden_device(device_name), &s);
    must(encode(t, &s));
    compare(t, hidden, weft_run_value(&s.run, s.text.graph.output),
            device_name);
    if (o->pooled)
        compare(t, "pooled", weft_run_value(&s.run, s.text.pooled),
                device_name);
    clear_stage(&s);
}

static void equals_transformers(void **state)
{
    static const char *const name[] = {"clip_l", "clip_h", "clip_g",
                                       "clip_old_g"};
    static const char *const dev[] = {"reference", "fast", "lean"};

    (void)state;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            text_case t;

            open_case(&t, name[i]);
            check(&t, &(weft_text_opts){0, true, true}, "last", dev[k]);
            check(&t, &(weft_text_opts){0, true, false}, "last", dev[k]);
            check(&t, &(weft_text_opts){1, false, true}, "skip1", dev[k]);
            check(&t, &(weft_text_opts){2, true, false}, "skip2", dev[k]);
            close_case(&t);
        }
}

static void t5_equals_transformers(void **state)
{
    static const char *const name[] = {"t5_gated", "t5_relu", "t5_long"};
    static const char *const dev[] = {"reference", "fast", "lean"};

    (void)state;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            text_case t;

            open_case(&t, name[i]);
            check(&t, &(weft_text_opts){0, true, false}, "last", dev[k]);
            check(&t, &(weft_text_opts){1, false, false}, "skip1", dev[k]);
            check(&t, &(weft_text_opts){2, true, false}, "skip2", dev[k]);
            close_case(&t);
        }
}

/* Layers that are skipped are no reason to refuse what changes them. */
static void equals_transformers_with_loras(void **state)
{
    static const char *const name[] = {"clip_l_kohya", "clip_l_te1",
                                       "clip_l_old",   "clip_h_linear",
                                       "clip_g_te2",   "clip_g_ab"};
    golden_loras l;
    weft_st *plain;
    text_case t;
    stage s;

    (void)state;
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        golden_loras_open(&l, name[i]);
        open_case(&t, l.base + strlen("text_"));
        plain = t.answer;
        t.answer = l.answer;
        t.loras = &l;
        check(&t, &(weft_text_opts){0, true, true}, "last", "reference");
        check(&t, &(weft_text_opts){0, true, true}, "last", "fast");
        set_stage(&t, &(weft_text_opts){2, true, false}, golden_device("lean"),
                  &s);
        clear_stage(&s);
        t.answer = plain;
        close_case(&t);
        golden_loras_close(&l);
    }
}

static void refuses_tokens_of_another_vocabulary(void **state)
{
    text_case t;
    stage s;

    (void)state;
    open_case(&t, "clip_g");
    set_stage(&t, &(weft_text_opts){0, true, false}, golden_device("fast"), &s);
    t.ids[3] = 100;
    assert_int_equal(encode(&t, &s), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "token 100 is not in 0 to 99"));
    t.ids[3] = -1;
    assert_int_equal(encode(&t, &s), WEFT_EINPUT);
    clear_stage(&s);
    close_case(&t);
}

/* ---- configs ------------------------------------------------------------- */

static weft_status try_config(const char *text, weft_text_info *info)
{
    weft_json *c;
    weft_status st;

    assert_int_equal(weft_json_parse("text.json", text, strlen(text), &c),
                     WEFT_OK);
    st = weft_text_read_info(c, info);
    weft_json_free(c);
    return st;
}

#define T5 "{\"architectures\": [\"T5EncoderModel\"], "

static void refuses_by_name(void **state)
{
    static const char *const bad[][2] = {
        {"{\"architectures\": [\"UMT5EncoderModel\"]}", "UMT5EncoderModel"},
        {"{\"model_type\": \"umt5\"}", "model_type"},
        {"{\"hidden_act\": \"gelu_new\"}", "hidden_act"},
        {"{\"hidden_size\": 0}", "hidden_size"},
        {"{\"hidden_size\": 100, \"num_attention_heads\": 8}",
         "num_attention_heads"},
        {"{\"num_hidden_layers\": 1000000}", "num_hidden_layers"},
        {"{\"max_position_embeddings\": 1e9}", "max_position_embeddings"},
        {"{\"use_attention_mask\": true}", "use_attention_mask"},
        {T5 "\"feed_forward_proj\": \"gated-silu\"}", "gated-silu"},
        {T5 "\"num_heads\": 0}", "num_heads"},
        {T5 "\"d_model\": 1e9}", "d_model"},
        {T5 "\"relative_attention_num_buckets\": 30}", "buckets 30"},
        {T5 "\"relative_attention_max_distance\": 8}", "max_distance 8"},
    };
    weft_text_info info;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(try_config(bad[i][0], &info), WEFT_EINPUT);
        if (!strstr(weft_fail_text(), bad[i][1]) ||
            !strstr(weft_fail_text(), "text.json"))
            fail_msg("%s: %s", bad[i][0], weft_fail_text());
    }
}

static void tells_what_the_rest_must_know(void **state)
{
    weft_text_info info;

    (void)state;
    assert_int_equal(try_config("{\"architectures\": [\"CLIPTextModel\"], "
                                "\"hidden_size\": 768, \"eos_token_id\": 2, "
                                "\"num_attention_heads\": 12}",
                                &info),
                     WEFT_OK);
    assert_int_equal(info.vocab, 49408);
    assert_int_equal(info.tokens, 77);
    assert_int_equal(info.layers, 12);
    assert_int_equal(info.pooled, 768);
    assert_int_equal(info.eos, -1);
    assert_int_equal(try_config("{\"architectures\": "
                                "[\"CLIPTextModelWithProjection\"], "
                                "\"projection_dim\": 1280}",
                                &info),
                     WEFT_OK);
    assert_int_equal(info.pooled, 1280);
    assert_int_equal(info.eos, 49407);
    assert_int_equal(try_config("{\"model_type\": \"t5\", \"d_model\": 4096, "
                                "\"num_layers\": 24}",
                                &info),
                     WEFT_OK);
    assert_string_equal(info.class_name, "T5EncoderModel");
    assert_int_equal(info.vocab, 32128);
    assert_int_equal(info.channels, 4096);
    assert_int_equal(info.layers, 24);
    assert_int_equal(info.pooled, 0);
}

static void skips_no_more_than_there_is(void **state)
{
    weft_text text;
    text_case t;

    (void)state;
    open_case(&t, "clip_l");
    assert_int_equal(weft_text_build(t.config,
                                     &(weft_text_opts){5, true, false}, 77,
                                     WEFT_F32, &text),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "5 layers"));
    close_case(&t);
}

static void makes_no_vector_where_there_is_none(void **state)
{
    weft_text text;
    text_case t;

    (void)state;
    open_case(&t, "t5_gated");
    assert_int_equal(weft_text_build(t.config, &(weft_text_opts){0, true, true},
                                     8, WEFT_F32, &text),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "no vector"));
    close_case(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_transformers),
        cmocka_unit_test(t5_equals_transformers),
        cmocka_unit_test(equals_transformers_with_loras),
        cmocka_unit_test(refuses_tokens_of_another_vocabulary),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(tells_what_the_rest_must_know),
        cmocka_unit_test(skips_no_more_than_there_is),
        cmocka_unit_test(makes_no_vector_where_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
