/* Token ids against SentencePiece and transformers' T5Tokenizer, and models
 * that are refused. See tests/golden/spiece.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "core/text/charsmap.h"
#include "core/text/prompt.h"
#include "core/text/spiece.h"
#include "tests/must.h"
#include "tests/token_lines.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/spiece/"

/* ---- goldens ------------------------------------------------------------- */

enum { T5, BYTES, MODELS };
static const char *const model_name[MODELS] = {"t5", "bytes"};

static weft_json *parse(const char *text)
{
    weft_json *c;

    must(weft_json_parse("config.json", text, strlen(text), &c));
    return c;
}

static weft_status create(const char *file, size_t bytes, const char *config,
                          const char *added, weft_tokenizer **t)
{
    weft_json *c = config ? parse(config) : NULL;
    weft_json *a = added ? parse(added) : NULL;
    const weft_status st =
        weft_tokenizer_create(&(weft_tokenizer_files){.config = c,
                                                      .added = a,
                                                      .spiece_name = "m",
                                                      .spiece = file,
                                                      .spiece_bytes = bytes},
                              t);

    weft_json_free(c);
    weft_json_free(a);
    return st;
}

static char *read_model(int model, size_t *bytes)
{
    char path[512], *file;

    snprintf(path, sizeof path, GOLDEN "%s.model", model_name[model]);
    must(weft_file_read(path, 1 << 20, &file, bytes));
    return file;
}

static weft_tokenizer *open_with(int model, const char *config)
{
    weft_tokenizer *t;
    size_t bytes;
    char *file = read_model(model, &bytes);

    must(create(file, bytes, config, NULL, &t));
    free(file);
    return t;
}

static void equals_sentencepiece(void **state)
{
    weft_tokenizer *t[MODELS];

    (void)state;
    for (int m = 0; m < MODELS; m++) t[m] = open_with(m, NULL);
    assert_true(token_lines_check(GOLDEN "lines.jsonl", "model", model_name, t,
                                  MODELS) >= 300);
    for (int m = 0; m < MODELS; m++) weft_tokenizer_free(t[m]);
}

static void check_ids(const weft_tokenizer *t, const char *text, size_t bytes,
                      const int *want, size_t n)
{
    weft_ids ids = {0};

    must(weft_tokenize(t, text, bytes, &ids));
    assert_int_equal(ids.n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(ids.id[i], want[i]);
    weft_ids_release(&ids);
}

/* One unknown token for a run of them; text that is nothing but spaces. */
static void knows_what_is_unknown(void **state)
{
    weft_tokenizer *t = open_with(T5, NULL);
    const weft_tokenizer_info *info = weft_tokenizer_tell(t);
    weft_ids ids = {0};

    (void)state;
    must(weft_tokenize(t, "\xf0\x90\x8e\xa0\xf0\x90\x8e\xa1", 8, &ids));
    assert_int_equal(ids.n, 2); /* the space in front, and both */
    assert_int_equal(ids.id[1], info->unknown);
    weft_ids_release(&ids);
    check_ids(t, " \t\n ", 4, NULL, 0);
    weft_tokenizer_free(t);
}

static void tells_the_special_tokens(void **state)
{
    weft_tokenizer *t = open_with(T5, "{\"model_max_length\": 300}");
    const weft_tokenizer_info *info = weft_tokenizer_tell(t);

    (void)state;
    assert_int_equal(info->begin, -1);
    assert_int_equal(info->pad, 0);
    assert_int_equal(info->end, 1);
    assert_int_equal(info->unknown, 2);
    assert_int_equal(info->comma, -1);
    assert_int_equal(info->most, 300);
    weft_tokenizer_free(t);
    t = open_with(T5, NULL);
    assert_int_equal(weft_tokenizer_tell(t)->most, 512);
    weft_tokenizer_free(t);
}

/* The first of few is the last id; what is no such number is a text. */
static void counts_extra_ids_down(void **state)
{
    weft_tokenizer *t = open_with(T5, "{\"extra_ids\": 3}");
    weft_ids ids = {0};
    int last;

    (void)state;
    must(weft_tokenize(t, "<extra_id_0>", 12, &ids));
    assert_int_equal(ids.n, 1);
    last = ids.id[0];
    assert_int_equal(weft_tokenizer_tell(t)->last, last);
    assert_string_equal(weft_tokenizer_tell(t)->last_token, "<extra_id_0>");
    check_ids(t, "<extra_id_2><pad></s>", 21, (int[]){last - 2, 0, 1}, 3);
    ids.n = 0;
    must(weft_tokenize(t, "<extra_id_3>", 12, &ids));
    assert_true(ids.n > 1);
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
    t = open_with(T5, "{\"extra_ids\": 0}");
    assert_int_equal(weft_tokenizer_tell(t)->last, last - 3);
    weft_tokenizer_free(t);
}

static void takes_utf8_alone(void **state)
{
    static const char *const bad[] = {"a\xff", "\xc3", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80", "\xc0\x80"};
    weft_tokenizer *t = open_with(T5, NULL);
    weft_ids ids = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weft_tokenize(t, bad[i], strlen(bad[i]), &ids),
                         WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), "UTF-8"));
    }
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
}

/* A prompt has its end and padding, but no beginning; what does not fit is
 * told. */
static void makes_prompts(void **state)
{
    weft_tokenizer *t = open_with(T5, "{\"model_max_length\": 6}");
    weft_ids ids = {0};
    weft_prompt p;

    (void)state;
    must(weft_tokenize(t, "a", 1, &ids));
    must(weft_prompt_plain(t, "a", &p));
    assert_int_equal(p.chunks, 1);
    assert_int_equal(p.length, 6);
    assert_int_equal(p.id[0], ids.id[0]);
    assert_int_equal(p.id[ids.n], 1);
    for (size_t i = ids.n + 1; i < 6; i++) assert_int_equal(p.id[i], 0);
    assert_null(p.cut);
    weft_prompt_release(&p);
    must(weft_prompt_plain(t, "a </s></s></s></s> zebra", &p));
    assert_int_equal(p.id[5], 1);
    assert_string_equal(p.cut, "zebra");
    weft_prompt_release(&p);
    must(weft_prompt_weighted(t, "a (a:2) </s></s></s></s>", &p));
    assert_true(p.chunks > 1 && p.weighted);
    assert_int_equal(p.id[6], 1);
    weft_prompt_release(&p);
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
}

/* U+FDFA becomes 18 characters. */
static void takes_long_texts(void **state)
{
    enum { N = 100000 };
    weft_tokenizer *t = open_with(T5, NULL);
    char *text = malloc(3 * N);
    weft_ids ids = {0};

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < N; i++) memcpy(text + 3 * (size_t)i, "\xef\xb7\xba", 3);
    must(weft_tokenize(t, text, 3 * N, &ids));
    assert_true(ids.n >= 4 * N);
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
    free(text);
}

/* ---- models that are refused --------------------------------------------- */

static void damage(const char *file, size_t bytes, size_t at, char *copy)
{
    weft_ids ids = {0};
    weft_spiece *m;

    memcpy(copy, file, bytes);
    copy[at] ^= (char)(1 << at % 8);
    if (weft_spiece_create("m", copy, at % 2 ? bytes : at, &m) != WEFT_OK)
        return;
    if (weft_spiece_encode(m, "a\xc3\xa9 <sep>\xef\xbc\xa1", 12, &ids) ==
        WEFT_OK)
        for (size_t k = 0; k < ids.n; k++)
            assert_true(ids.id[k] < weft_spiece_pieces(m));
    weft_ids_release(&ids);
    weft_spiece_free(m);
}

/* A model cut off, or with a bit changed, is refused or read; what is asked of
 * it then stays within it. */
static void survives_damage(void **state)
{
    (void)state;
    for (int model = 0; model < MODELS; model++) {
        size_t bytes;
        char *file = read_model(model, &bytes), *copy = malloc(bytes);

        assert_non_null(copy);
        for (size_t i = 0; i < bytes; i += i < 300 ? 1 : 151)
            damage(file, bytes, i, copy);
        free(copy);
        free(file);
    }
}

static void refuses_bad_models(void **state)
{
    static const struct {
        const char *file;
        size_t bytes;
        const char *word;
    } bad[] = {
        {"", 0, "has no piece for what is unknown"},
        {"\x0a", 1, "byte 1: the file ends in a number"},
        {"\x0a\x05xy", 4, "byte 2: a field is longer than what is left"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, "longer than 64"},
        {"\x02\x00", 2, "number 0"},
        {"\x0b", 1, "a type that there is not"},
        {"\x08\x01", 2, "another type than it has"},
        {"\x0a\x00", 2, "not 1 to 256 bytes long"},
        {"\x0a\x05\x0a\x01x\x18\x07", 7, "of a kind that there is not"},
        {"\x0a\x08\x0a\x01x\x15\x00\x00\x80\x7f", 10, "a score is no number"},
        {"\x0a\x05\x0a\x01x\x18\x02\x0a\x05\x0a\x01y\x18\x02", 14,
         "two pieces are the unknown one"},
        {"\x0a\x03\x0a\x01x\x0a\x03\x0a\x01x\x0a\x05\x0a\x01y\x18\x02", 17,
         "\"x\" is there twice"},
        {"\x12\x02\x18\x02", 4, "byte-pair encoding"},
        {"\x12\x02\x18\x09", 4, "a model of a kind"},
        {"\x12\x03\xc0\x01\x01", 5, "treat_whitespace_as_suffix"},
        {"\x0a\x05\x0a\x01y\x18\x02\x12\x03\x98\x02\x01", 12,
         "no piece for byte 0"},
        {"\x1a\x04\x12\x02xy", 6, "not what they say"},
        {"\x1a\x0b\x12\x09\x04\x00\x00\x00\x00\x00\x00\x00x", 13, "no end"},
        {"\x1a\x0b\x12\x09\x04\x00\x00\x00\x00\x01\x00\x00\x00", 13, "nowhere"},
        {"\x0a\x05\x0a\x01y\x18\x02", 7, "has no token \"</s>\""},
    };
    weft_tokenizer *t;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (create(bad[i].file, bad[i].bytes, NULL, NULL, &t) != WEFT_EINPUT ||
            !strstr(weft_fail_text(), bad[i].word))
            fail_msg("case %zu: %s", i, weft_fail_text());
}

static void refuses_configs(void **state)
{
    static const struct {
        const char *config, *added, *word;
    } bad[] = {
        {"{\"tokenizer_class\": \"LlamaTokenizer\"}", NULL, "LlamaTokenizer"},
        {"{\"eos_token\": \"<end>\"}", NULL, "<end>"},
        {"{\"extra_ids\": -1}", NULL, "extra_ids"},
        {"{\"model_max_length\": 1}", NULL, "model_max_length"},
        {"{\"added_tokens_decoder\": {\"7\": {\"content\": \"<cat>\"}}}", NULL,
         "added"},
        {"{\"added_tokens_decoder\": {\"0\": {\"content\": \"<pad>\", "
         "\"single_word\": true}}}",
         NULL, "single_word"},
        {NULL, "{\"<cat>\": 7}", "added"},
        {NULL, "{\"<extra_id_0>\": 7}", "expected the number"},
    };
    size_t bytes;
    char *file = read_model(T5, &bytes);
    weft_tokenizer *t;

    (void)state;
    must(create(file, bytes,
                "{\"tokenizer_class\": \"T5TokenizerFast\", "
                "\"added_tokens_decoder\": {\"0\": {\"content\": \"<pad>\"}, "
                "\"9\": {\"content\": \"<extra_id_99>\", \"lstrip\": true}}}",
                NULL, &t));
    weft_tokenizer_free(t);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (create(file, bytes, bad[i].config, bad[i].added, &t) !=
                WEFT_EINPUT ||
            !strstr(weft_fail_text(), bad[i].word))
            fail_msg("case %zu: %s", i, weft_fail_text());
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_sentencepiece),
        cmocka_unit_test(knows_what_is_unknown),
        cmocka_unit_test(tells_the_special_tokens),
        cmocka_unit_test(counts_extra_ids_down),
        cmocka_unit_test(takes_utf8_alone),
        cmocka_unit_test(makes_prompts),
        cmocka_unit_test(takes_long_texts),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(refuses_bad_models),
        cmocka_unit_test(refuses_configs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
