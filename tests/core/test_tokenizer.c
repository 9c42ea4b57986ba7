/* Token ids against transformers' CLIPTokenizer, and files that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "core/text/tokenizer.h"
#include "core/text/words.h"
#include "tests/folder.h"
#include "tests/must.h"
#include "tests/token_lines.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/tokens/"

/* ---- goldens ------------------------------------------------------------- */

enum { OLD, NEW, BARE, ONE, STYLES };
static const char *const style_name[STYLES] = {"old", "new", "bare", "one"};

static weft_json *parsed(const char *name)
{
    weft_json *c;

    must(weft_json_read(name, &c));
    return c;
}

static weft_tokenizer *open_style(int style)
{
    weft_json *vocab = NULL, *config = NULL, *map = NULL, *whole = NULL;
    weft_tokenizer_files f = {.merges_name = "merges.txt"};
    weft_tokenizer *t;
    char *merges;

    must(
        weft_file_read(GOLDEN "merges.txt", 1 << 20, &merges, &f.merges_bytes));
    if (style == ONE)
        whole = parsed(GOLDEN "tokenizer.json");
    else
        vocab = parsed(GOLDEN "vocab.json");
    if (style == OLD) config = parsed(GOLDEN "old.config.json");
    if (style == OLD) map = parsed(GOLDEN "old.map.json");
    if (style == NEW) config = parsed(GOLDEN "new.config.json");
    if (style == ONE) config = parsed(GOLDEN "one.config.json");
    f.vocab = vocab, f.whole = whole, f.config = config, f.map = map;
    f.merges = merges;
    must(weft_tokenizer_create(&f, &t));
    free(merges);
    weft_json_free(vocab);
    weft_json_free(whole);
    weft_json_free(config);
    weft_json_free(map);
    return t;
}

static void equals_transformers(void **state)
{
    weft_tokenizer *t[STYLES];

    (void)state;
    for (int s = 0; s < STYLES; s++) t[s] = open_style(s);
    assert_true(token_lines_check(GOLDEN "lines.jsonl", "style", style_name, t,
                                  STYLES) >= 370);
    for (int s = 0; s < STYLES; s++) weft_tokenizer_free(t[s]);
}

static void tells_the_special_tokens(void **state)
{
    weft_tokenizer *t = open_style(OLD);
    const weft_tokenizer_info *info = weft_tokenizer_tell(t);

    (void)state;
    assert_int_equal(info->end, info->begin + 1);
    assert_int_equal(info->unknown, info->end);
    assert_int_equal(info->pad, 0); /* "!": special_tokens_map.json wins */
    assert_int_equal(info->most, 77);
    assert_int_equal(info->last, info->end);
    assert_string_equal(info->last_token, "<|endoftext|>");
    weft_tokenizer_free(t);
    t = open_style(BARE);
    assert_int_equal(weft_tokenizer_tell(t)->pad, weft_tokenizer_tell(t)->end);
    weft_tokenizer_free(t);
}

/* Zero bytes are characters like others; what is no UTF-8 is an error. */
static void takes_utf8_alone(void **state)
{
    static const char *const bad[] = {"a\xff", "\xc3", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80", "\xc0\x80"};
    weft_tokenizer *t = open_style(OLD);
    weft_ids ids = {0};

    (void)state;
    must(weft_tokenize(t, "a\0b", 3, &ids));
    assert_true(ids.n >= 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weft_tokenize(t, bad[i], strlen(bad[i]), &ids),
                         WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), "UTF-8"));
    }
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
}

/* What tokenizers.normalizers NFC, then a run of white space as one space, then
 * Lowercase make of it; the last two are marks that are younger than NFC's
 * tables there. */
static void cleans_as_the_reference(void **state)
{
    static const char *const text[][2] = {
        {"e\xcc\x81", "\xc3\xa9"},                  /* e, acute */
        {"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87"}, /* dots, in order */
        {"\xe2\x84\xab", "\xc3\xa5"}, /* the sign of an angstrom */
        {"\xc4\xb0", "i\xcc\x87"},    /* I with a dot */
        {"A \t\xc2\xa0\xe3\x80\x80\nB", "a b"},
        {"\xe0\xba\x81\xe0\xbb\x89\xe0\xba\xba",
         "\xe0\xba\x81\xe0\xbb\x89\xe0\xba\xba"}, /* U+0EBA */
        {"\xe0\xa6\x95\xe0\xa7\xbe\xe0\xa6\xbc",
         "\xe0\xa6\x95\xe0\xa7\xbe\xe0\xa6\xbc"}, /* U+09FE */
    };

    (void)state;
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        char *clean;
        size_t n;

        must(weft_words_clean(text[i][0], strlen(text[i][0]), &clean, &n));
        assert_string_equal(clean, text[i][1]);
        assert_int_equal(n, strlen(clean));
        free(clean);
    }
}

/* Merges take n log n: this would be a minute with n n. */
static void takes_long_words(void **state)
{
    weft_tokenizer *t = open_style(OLD);
    char *text = malloc(WEFT_MOST_TEXT + 1);
    weft_ids ids = {0};

    (void)state;
    assert_non_null(text);
    for (int i = 0; i <= WEFT_MOST_TEXT; i++) text[i] = "aeinrst"[i % 7];
    must(weft_tokenize(t, text, WEFT_MOST_TEXT, &ids));
    assert_true(ids.n > 1000);
    assert_int_equal(weft_tokenize(t, text, WEFT_MOST_TEXT + 1, &ids),
                     WEFT_EINPUT);
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
    free(text);
}

/* ---- files that are refused ---------------------------------------------- */

static weft_status create(const char *vocab, const char *merges,
                          const char *config)
{
    weft_json *v, *c = NULL;
    weft_tokenizer *t;
    weft_status st;

    must(weft_json_parse("vocab.json", vocab, strlen(vocab), &v));
    if (config)
        must(weft_json_parse("config.json", config, strlen(config), &c));
    st = weft_tokenizer_create(
        &(weft_tokenizer_files){.vocab = v,
                                .config = c,
                                .merges_name = "merges.txt",
                                .merges = merges,
                                .merges_bytes = strlen(merges)},
        &t);
    if (st == WEFT_OK) weft_tokenizer_free(t);
    weft_json_free(v);
    weft_json_free(c);
    return st;
}

#define OPEN                                                                   \
    "{\"a\": 0, \"b</w>\": 1, \"ab</w>\": 2, \"<|startoftext|>\": 3, "         \
    "\"<|endoftext|>\": 4"
#define SMALL OPEN "}"

static void refuses_bad_files(void **state)
{
    static const struct {
        const char *vocab, *merges, *config, *word;
    } bad[] = {
        {"{}", "", NULL, "<|startoftext|>"},
        {SMALL, "#version: 0.2\na b</w>\na c\n", NULL, "merges.txt:3"},
        {SMALL, "a b</w>\na b</w>\n", NULL, "merges.txt:2"},
        {SMALL, "a  b</w>\n", NULL, "merges.txt:1"},
        {SMALL, "a\n", NULL, "merges.txt:1"},
        {SMALL, "", NULL, "merges.txt: holds no merges"},
        {SMALL, "#version: 0.2\r\n\r\n", NULL, "merges.txt: holds no merges"},
        {SMALL, "", "{\"tokenizer_class\": \"T5Tokenizer\"}", "T5Tokenizer"},
        {SMALL, "", "{\"model_max_length\": 2}", "model_max_length"},
        {SMALL, "", "{\"bos_token\": \"\"}", "bos_token"},
        {SMALL, "", "{\"pad_token\": \"<pad>\"}", "<pad>"},
        {SMALL, "", "{\"eos_token\": {\"content\": \"a\", \"rstrip\": true}}",
         "rstrip"},
        {SMALL, "",
         "{\"added_tokens_decoder\": {\"5\": {\"content\": \"<cat>\"}}}",
         "added"},
    };

    (void)state;
    must(create(SMALL, "#version: 0.2\r\na b</w>\r\n", NULL));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (create(bad[i].vocab, bad[i].merges, bad[i].config) != WEFT_EINPUT ||
            !strstr(weft_fail_text(), bad[i].word))
            fail_msg("case %zu: %s", i, weft_fail_text());
    }
}

/* An id that was passed over made another token of a word. */
static const char *const no_id[] = {
    "\"x\"", "null", "-1",    "1099511627776", "2147483648", "1048576", "1.5",
    "1.0",   "true", "\"5\"", "[1]",           "1e30",       "{}"};

static void refuses_bad_ids(void **state)
{
    char vocab[512];

    (void)state;
    for (size_t i = 0; i < sizeof no_id / sizeof *no_id; i++) {
        snprintf(vocab, sizeof vocab, OPEN ", \"cat\": %s}", no_id[i]);
        if (create(vocab, "a b</w>\n", NULL) != WEFT_EINPUT ||
            !strstr(weft_fail_text(), "vocab.json: token \"cat\": expected an "
                                      "id, a whole number from 0 to 1048575"))
            fail_msg("%s: %s", no_id[i], weft_fail_text());
    }
    must(create(OPEN ", \"cat\": 1048575}", "a b</w>\n", NULL));
}

static void refuses_two_tokens_of_one_id(void **state)
{
    (void)state;
    assert_int_equal(create(OPEN ", \"cat\": 2}", "a b</w>\n", NULL),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(),
                           "vocab.json: tokens \"ab</w>\" and \"cat\" "
                           "have the same id, 2"));
}

static void refuses_tokens_without_end(void **state)
{
    char vocab[4096], token[2049] = "";

    (void)state;
    memset(token, 'x', sizeof token - 1);
    snprintf(vocab, sizeof vocab, OPEN ", \"%s\": 5}", token);
    assert_int_equal(create(vocab, "a b</w>\n", NULL), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "is of 2048 bytes"));
    snprintf(vocab, sizeof vocab, OPEN ", \"%s\": 5}", token + 1);
    must(create(vocab, "a b</w>\n", NULL));
}

/* CLIP's recipe: what no merge makes lies beyond the special tokens. */
static weft_status create_cut(const weft_json *vocab, const char *merges,
                              size_t bytes)
{
    weft_tokenizer *t;
    const weft_status st =
        weft_tokenizer_create(&(weft_tokenizer_files){.vocab = vocab,
                                                      .merges_name = "m.txt",
                                                      .merges = merges,
                                                      .merges_bytes = bytes},
                              &t);

    if (st == WEFT_OK) weft_tokenizer_free(t);
    return st;
}

static void refuses_merges_that_are_cut_off(void **state)
{
    weft_json *vocab = parsed(GOLDEN "vocab.json");
    size_t bytes, gone, at = 0;
    char *merges, *end, last[32];
    int lines = 0;

    (void)state;
    must(weft_file_read(GOLDEN "merges.txt", 1 << 20, &merges, &bytes));
    must(create_cut(vocab, merges, bytes));
    for (size_t i = 0; i + 1 < bytes; i++) {
        if (merges[i] != '\n' || (++lines != 2 && lines != 400)) continue;
        snprintf(last, sizeof last, "m.txt:%d: ", lines);
        assert_int_equal(create_cut(vocab, merges, i), WEFT_EINPUT);
        if (strstr(weft_fail_text(), last) != weft_fail_text() ||
            !strstr(weft_fail_text(), "of the 700 tokens that they should "
                                      "make") ||
            !strstr(weft_fail_text(), "cut off"))
            fail_msg("%s", weft_fail_text());
        at = i;
    }
    /* One line less, and it not the last. */
    end = (char *)memchr(merges + at + 1, '\n', bytes - at - 1);
    gone = (size_t)(end - (merges + at));
    memmove(merges + at, end, bytes - at - gone);
    assert_int_equal(create_cut(vocab, merges, bytes - gone), WEFT_EINPUT);
    free(merges);
    weft_json_free(vocab);
}

/* ---- tokenizer.json ------------------------------------------------------ */

#define NORM                                                                   \
    "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, "         \
    "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\s+\"}, "           \
    "\"content\": \" \"}, {\"type\": \"Lowercase\"}]}"
#define WORDS                                                                  \
    "'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+"
#define SPLIT                                                                  \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" WORDS                  \
    "\"}, \"behavior\": \"Removed\", \"invert\": true}"
#define BYTES   "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}"
#define CUT(of) "{\"type\": \"Sequence\", \"pretokenizers\": [" of "]}"
#define MODEL_OF(vocab, more)                                                  \
    "{\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", \"vocab\": " vocab  \
        more "}"
#define MODEL(more) MODEL_OF(SMALL, more)
#define PAIR        ", \"merges\": [[\"a\", \"b</w>\"]]"

/* A whole file, any part of which may be left to what is right. */
static weft_status create_whole(const char *norm, const char *cut,
                                const char *model, const char *added)
{
    char text[4096];
    weft_json *j;
    weft_tokenizer *t;
    weft_status st;

    assert_in_range(snprintf(text, sizeof text,
                             "{\"normalizer\": %s, \"pre_tokenizer\": %s, "
                             "\"model\": %s, \"added_tokens\": %s}",
                             norm ? norm : NORM,
                             cut ? cut : CUT(SPLIT ", " BYTES),
                             model ? model : MODEL(PAIR), added ? added : "[]"),
                    1, sizeof text - 1);
    must(weft_json_parse("one.json", text, strlen(text), &j));
    st = weft_tokenizer_create(&(weft_tokenizer_files){.whole = j}, &t);
    if (st == WEFT_OK) weft_tokenizer_free(t);
    weft_json_free(j);
    return st;
}

static void takes_merges_in_both_spellings(void **state)
{
    (void)state;
    must(create_whole(NULL, NULL, NULL, NULL));
    must(create_whole(NULL, NULL, MODEL(", \"merges\": [\"a b</w>\"]"),
                      "[{\"id\": 3, \"content\": \"<|startoftext|>\"}]"));
}

static void refuses_other_tokenizers(void **state)
{
    static const struct {
        const char *norm, *cut, *model, *added, *word;
    } bad[] = {
        {.norm = "null", .word = "normalizer: expected an object"},
        {.norm = "{\"type\": \"NFKC\"}", .word = "normalizer: type \"NFKC\""},
        {.norm = "{\"type\": \"Sequence\", \"normalizers\": []}",
         .word = "0 normalizers"},
        {.norm = "{\"type\": \"Sequence\", \"normalizers\": [1, 2, 3]}",
         .word = "normalizers[0]"},
        {.cut = BYTES, .word = "pre_tokenizer: type \"ByteLevel\""},
        {.cut = CUT(BYTES ", " SPLIT), .word = "pretokenizers[0]"},
        {.cut = CUT(SPLIT ", {\"type\": \"ByteLevel\"}"),
         .word = "add_prefix_space \"true\""},
        {.cut =
             CUT("{\"type\": \"Split\", \"behavior\": \"Removed\", "
                 "\"invert\": true, \"pattern\": {\"Regex\": \" \"}}, " BYTES),
         .word = "Regex \" \""},
        {.cut = CUT("{\"type\": \"Split\", \"behavior\": \"Removed\", "
                    "\"invert\": true}, " BYTES),
         .word = "pattern: expected an object"},
        {.model = "{\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}",
         .word = "model: type \"Unigram\""},
        {.model = "[]", .word = "model: expected an object"},
        {.model = "{\"vocab\": " SMALL "}", .word = "end_of_word_suffix"},
        {.model = MODEL(PAIR ", \"fuse_unk\": true"), .word = "fuse_unk"},
        {.model = MODEL(PAIR ", \"dropout\": 0.1"), .word = "dropout 0.1"},
        {.model = MODEL(PAIR ", \"new\": 1"), .word = "\"new\""},
        {.model = MODEL(""), .word = "model: merges: holds no merges"},
        {.model = MODEL(", \"merges\": {}"), .word = "an array"},
        {.model = MODEL(", \"merges\": [1]"), .word = "merges[0]"},
        {.model = MODEL(", \"merges\": [[]]"), .word = "merges:1: expected"},
        {.model = MODEL(", \"merges\": [[\"a\"]]"),
         .word = "merges:1: expected"},
        {.model = MODEL(", \"merges\": [[\"a\", \"b</w>\", \"a\"]]"),
         .word = "3 values"},
        {.model = MODEL(", \"merges\": [[\"a\", \"b</w>\"], \"a b</w>\"]"),
         .word = "merges:2: these two"},
        {.model = MODEL(", \"merges\": [[\"a\", \"\"]]"),
         .word = "merges:1: expected"},
        {.model = MODEL(", \"merges\": [[\"a\", \"c\"]]"),
         .word = "merges:1: a piece"},
        {.model = "{\"end_of_word_suffix\": \"</w>\", \"vocab\": []" PAIR "}",
         .word = "vocab: expected an object"},
        {.model = MODEL_OF(OPEN ", \"cat\": null}", PAIR),
         .word = "one.json: model: vocab: token \"cat\": expected an id"},
        {.model = MODEL_OF(OPEN ", \"cat\": \"5\"}", PAIR),
         .word = "one.json: model: vocab: token \"cat\": expected an id"},
        {.model = MODEL_OF(OPEN ", \"cat\": 4}", PAIR),
         .word = "tokens \"<|endoftext|>\" and \"cat\" have the same id, 4"},
        {.added = "[{\"id\": 9, \"content\": \"<cat>\"}]", .word = "added"},
        {.added = "[{\"id\": 4, \"content\": \"<|startoftext|>\"}]",
         .word = "not that of the vocabulary"},
        {.added = "[7]", .word = "added_tokens[0]"},
        {.added = "[{\"id\": 3, \"content\": \"<|startoftext|>\", "
                  "\"lstrip\": true}]",
         .word = "lstrip"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (create_whole(bad[i].norm, bad[i].cut, bad[i].model, bad[i].added) !=
                WEFT_EINPUT ||
            !strstr(weft_fail_text(), bad[i].word))
            fail_msg("case %zu: %s", i, weft_fail_text());
    }
}

#define ENDS(cls, sep)                                                         \
    "\"post_processor\": {\"type\": \"RobertaProcessing\", \"cls\": " cls      \
    ", \"sep\": " sep "}"
#define CLS "[\"<|startoftext|>\", 3]"
#define SEP "[\"<|endoftext|>\", 4]"

/* With more members behind the rest, and a config or none. */
static weft_status create_framed(const char *more, const char *config)
{
    static const char form[] =
        "{\"normalizer\": " NORM ", \"pre_tokenizer\": " CUT(
            SPLIT ", " BYTES) ", \"model\": " MODEL(PAIR) ", %s}";
    char text[4096];
    weft_json *j, *c = NULL;
    weft_tokenizer *t;
    weft_status st;

    snprintf(text, sizeof text, form, more);
    must(weft_json_parse("one.json", text, strlen(text), &j));
    if (config) must(weft_json_parse("c.json", config, strlen(config), &c));
    st = weft_tokenizer_create(&(weft_tokenizer_files){.whole = j, .config = c},
                               &t);
    if (st == WEFT_OK) weft_tokenizer_free(t);
    weft_json_free(j);
    weft_json_free(c);
    return st;
}

static void takes_what_stands_around_a_text_if_it_is_clips(void **state)
{
    (void)state;
    must(create_framed(ENDS(CLS, SEP), NULL));
    must(create_framed("\"post_processor\": null, \"truncation\": null", NULL));
    must(create_framed("\"truncation\": {\"direction\": \"Right\", "
                       "\"max_length\": 20}",
                       NULL));
    must(create_framed("\"padding\": {\"direction\": \"Right\", "
                       "\"pad_token\": \"!\"}",
                       "{\"pad_token\": \"<|endoftext|>\"}"));
}

static void refuses_what_would_stand_around_a_text(void **state)
{
    static const struct {
        const char *more, *config, *word;
    } bad[] = {
        {"\"post_processor\": {\"type\": \"TemplateProcessing\"}", NULL,
         "one.json: post_processor: type \"TemplateProcessing\""},
        {"\"post_processor\": []", NULL, "post_processor: expected an object"},
        {ENDS(SEP, SEP), NULL, "cls is <|endoftext|>, 4 and not"},
        {ENDS(CLS, "[\"<|endoftext|>\", 3]"), NULL, "sep is <|endoftext|>, 3"},
        {ENDS(CLS, "[\"<|endoftext|>\"]"), NULL, "a string and an integer"},
        {ENDS(CLS, "[4, 4]"), NULL, "expected a string"},
        {"\"post_processor\": {\"type\": \"RobertaProcessing\"}", NULL,
         "cls is missing"},
        {"\"truncation\": {\"direction\": \"Left\"}", NULL,
         "one.json: truncation: direction \"Left\""},
        {"\"padding\": {\"direction\": \"Left\"}", NULL,
         "padding: direction \"Left\""},
        {"\"padding\": {\"pad_token\": \"!\"}", NULL,
         "padding: pad_token \"!\""},
        {ENDS(CLS, SEP), "{\"truncation_side\": \"left\"}",
         "c.json: truncation_side \"left\""},
        {ENDS(CLS, SEP), "{\"padding_side\": \"left\"}",
         "c.json: padding_side \"left\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (create_framed(bad[i].more, bad[i].config) != WEFT_EINPUT ||
            !strstr(weft_fail_text(), bad[i].word))
            fail_msg("case %zu: %s", i, weft_fail_text());
}

/* As transformers 5 leaves it; of two kinds of files the older are read. */
static void reads_a_folder_of_one_file(void **state)
{
    static const char text[] = "a photo of a cat";
    weft_tokenizer *t;
    weft_ids one = {0}, two = {0};
    const char *link = in_folder("tokenizer.json");
    const char *config = in_folder("tokenizer_config.json");

    (void)state;
    assert_int_equal(symlink(GOLDEN "tokenizer.json", link), 0);
    assert_int_equal(symlink(GOLDEN "one.config.json", config), 0);
    must(weft_tokenizer_open(folder, &t));
    must(weft_tokenize(t, text, sizeof text - 1, &one));
    weft_tokenizer_free(t);
    must(weft_tokenizer_open(GOLDEN, &t));
    must(weft_tokenize(t, text, sizeof text - 1, &two));
    weft_tokenizer_free(t);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(config), 0);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.id, two.id, one.n * sizeof *one.id);
    weft_ids_release(&one);
    weft_ids_release(&two);
}

static void names_the_file_that_is_missing(void **state)
{
    weft_tokenizer *t;

    (void)state;
    assert_int_equal(weft_tokenizer_open("/nowhere", &t), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "/nowhere/vocab.json"));
    must(weft_tokenizer_open(WEFT_SOURCE_DIR "/tests/golden/tokens", &t));
    weft_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_transformers),
        cmocka_unit_test(tells_the_special_tokens),
        cmocka_unit_test(takes_utf8_alone),
        cmocka_unit_test(cleans_as_the_reference),
        cmocka_unit_test(takes_long_words),
        cmocka_unit_test(refuses_bad_files),
        cmocka_unit_test(refuses_bad_ids),
        cmocka_unit_test(refuses_two_tokens_of_one_id),
        cmocka_unit_test(refuses_tokens_without_end),
        cmocka_unit_test(refuses_merges_that_are_cut_off),
        cmocka_unit_test(takes_merges_in_both_spellings),
        cmocka_unit_test(refuses_other_tokenizers),
        cmocka_unit_test(takes_what_stands_around_a_text_if_it_is_clips),
        cmocka_unit_test(refuses_what_would_stand_around_a_text),
        cmocka_unit_test(reads_a_folder_of_one_file),
        cmocka_unit_test(names_the_file_that_is_missing),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
