/* Prompts against tests/golden/prompts.py: grammar, chunks, cuts, weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "core/text/prompt.h"
#include "core/text/prompt_parse.h"
#include "tests/must.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/"

enum { MOST = 8192, LENGTH = 77 };

static weft_tokenizer *tokenizer(void)
{
    weft_json *vocab, *config;
    weft_tokenizer_files f = {.merges_name = "merges.txt"};
    weft_tokenizer *t;
    char *merges;

    must(weft_json_read(GOLDEN "tokens/vocab.json", &vocab));
    must(weft_json_read(GOLDEN "tokens/new.config.json", &config));
    must(weft_file_read(GOLDEN "tokens/merges.txt", 1 << 20, &merges,
                        &f.merges_bytes));
    f.vocab = vocab, f.config = config, f.merges = merges;
    must(weft_tokenizer_create(&f, &t));
    free(merges);
    weft_json_free(vocab);
    weft_json_free(config);
    return t;
}

/* ---- goldens ------------------------------------------------------------- */

static bool same_weight(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fabs(b);
}

static void check_spans(const weft_json *line, const char *text)
{
    static const char *want[MOST];
    static double weight[MOST];
    weft_prompt_spans s;
    int n, m;

    must(weft_json_strings(line, "spans", want, MOST, &n));
    must(weft_json_doubles(line, "weights", weight, MOST, &m));
    must(weft_prompt_parse(text, strlen(text), &s));
    if (s.n != n) fail_msg("\"%s\": %d stretches for %d", text, s.n, n);
    for (int i = 0; i < n; i++) {
        const weft_prompt_span *x = &s.span[i];
        const size_t bytes = x->to - x->from;

        assert_int_equal(x->is_break, weight[i] == -1);
        if (x->is_break) continue;
        if (bytes != strlen(want[i]) ||
            memcmp(s.text + x->from, want[i], bytes) ||
            !same_weight(x->weight, weight[i]))
            fail_msg("\"%s\": \"%.*s\" of %.17g for \"%s\" of %.17g", text,
                     (int)bytes, s.text + x->from, x->weight, want[i],
                     weight[i]);
    }
    weft_prompt_spans_release(&s);
}

static void check_chunks(const weft_json *line, const weft_tokenizer *t,
                         const char *text)
{
    static double weight[MOST];
    static int id[MOST];
    weft_prompt p;
    int n, m;

    must(weft_json_ints(line, "ids", 0, 1 << 20, id, MOST, &n));
    must(weft_json_doubles(line, "chunk", weight, MOST, &m));
    must(weft_prompt_weighted(t, text, &p));
    assert_int_equal(p.length, LENGTH);
    if (p.chunks * LENGTH != n)
        fail_msg("\"%s\": %d chunks for %d", text, p.chunks, n / LENGTH);
    for (int i = 0; i < n; i++)
        if (p.id[i] != id[i] || !same_weight(p.weight[i], weight[i]))
            fail_msg("\"%s\": at %d the token %d of %g for %d of %g", text, i,
                     p.id[i], p.weight[i], id[i], weight[i]);
    weft_prompt_release(&p);
}

/* How many tokens a text is. */
static size_t count(const weft_tokenizer *t, const char *text, size_t bytes)
{
    weft_ids ids = {0};
    size_t n;

    must(weft_tokenize(t, text, bytes, &ids));
    n = ids.n;
    weft_ids_release(&ids);
    return n;
}

/* What is told to be cut is the end of the text; what is before it fits, and
 * would not with one more word. */
static void check_cut(const weft_tokenizer *t, const char *text,
                      const weft_prompt *p)
{
    const size_t all = strlen(text), cut = strlen(p->cut);
    const size_t word = strcspn(p->cut, " \n");

    assert_true(cut > 0 && cut <= all);
    assert_string_equal(text + all - cut, p->cut);
    assert_true(count(t, text, all - cut) <= LENGTH - 2);
    assert_true(count(t, text, all - cut + word) > LENGTH - 2);
}

static void check_plain(const weft_json *line, const weft_tokenizer *t,
                        const char *text)
{
    int id[LENGTH], n;
    weft_prompt p;

    must(weft_json_ints(line, "plain", 0, 1 << 20, id, LENGTH, &n));
    must(weft_prompt_plain(t, text, &p));
    assert_int_equal(p.chunks, 1);
    assert_false(p.weighted);
    assert_memory_equal(p.id, id, sizeof id);
    assert_int_equal(p.cut != NULL, count(t, text, strlen(text)) > LENGTH - 2);
    if (p.cut) check_cut(t, text, &p);
    weft_prompt_release(&p);
}

static void equals_the_references(void **state)
{
    weft_tokenizer *t = tokenizer();
    char *text;
    size_t bytes;
    int lines = 0, cuts = 0;

    (void)state;
    must(weft_file_read(GOLDEN "prompts.jsonl", 4 << 20, &text, &bytes));
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        weft_json *line;
        const char *prompt;

        must(weft_json_parse("prompts.jsonl", at, (size_t)(end - at), &line));
        must(weft_json_string(line, "text", NULL, &prompt));
        check_spans(line, prompt);
        check_chunks(line, t, prompt);
        check_plain(line, t, prompt);
        lines++;
        cuts += count(t, prompt, strlen(prompt)) > LENGTH - 2;
        weft_json_free(line);
    }
    assert_true(lines >= 80 && cuts >= 5);
    free(text);
    weft_tokenizer_free(t);
}

/* ---- what the reference does not say ------------------------------------- */

static void breaks_within_brackets_are_breaks(void **state)
{
    static const char text[] = "(one BREAK two:1.5)";
    weft_prompt_spans s;

    (void)state;
    must(weft_prompt_parse(text, sizeof text - 1, &s));
    assert_int_equal(s.n, 3);
    assert_true(s.span[0].weight == 1.5 && s.span[2].weight == 1.5);
    assert_true(s.span[1].is_break);
    weft_prompt_spans_release(&s);
}

static void refuses_what_is_no_prompt(void **state)
{
    weft_tokenizer *t = tokenizer();
    char *text = malloc(WEFT_MOST_PROMPT + 2);
    weft_prompt p;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', WEFT_MOST_PROMPT + 1);
    text[WEFT_MOST_PROMPT + 1] = 0;
    assert_int_equal(weft_prompt_plain(t, text, &p), WEFT_EINPUT);
    assert_int_equal(weft_prompt_weighted(t, text, &p), WEFT_EINPUT);
    assert_int_equal(weft_prompt_plain(t, "\xff", &p), WEFT_EINPUT);
    assert_int_equal(weft_prompt_weighted(t, "a (\xff)", &p), WEFT_EINPUT);
    assert_int_equal(weft_prompt_weighted(t, "(a:1.2.3)", &p), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "1.2.3"));
    assert_int_equal(weft_prompt_weighted(t, "(a:99999999)", &p), WEFT_EINPUT);
    assert_int_equal(weft_prompt_weighted(t, "((a:9999):9999)", &p),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "brackets within brackets"));
    memset(text, '(', 9000); /* more than a double can say */
    text[9000] = 'a';
    text[9001] = 0;
    assert_int_equal(weft_prompt_weighted(t, text, &p), WEFT_EINPUT);
    free(text);
    weft_tokenizer_free(t);
}

static void lengthens_with_empty_chunks(void **state)
{
    weft_tokenizer *t = tokenizer();
    const weft_tokenizer_info *info = weft_tokenizer_tell(t);
    weft_prompt p;

    (void)state;
    must(weft_prompt_weighted(t, "(cat:2)", &p));
    assert_true(p.weighted);
    must(weft_prompt_lengthen(t, &p, 3));
    assert_int_equal(p.chunks, 3);
    for (int k = 1; k < 3; k++) {
        assert_int_equal(p.id[k * LENGTH], info->begin);
        assert_int_equal(p.id[k * LENGTH + 1], info->end);
        assert_int_equal(p.id[k * LENGTH + 76], info->pad);
        assert_true(p.weight[k * LENGTH + 1] == 1);
    }
    weft_prompt_release(&p);
    weft_tokenizer_free(t);
}

/* Each chunk's mean stays; tokens keep their directions and take their weights
 * relative to each other. */
static void weights_multiply_and_keep_the_mean(void **state)
{
    enum { TOKENS = 3, C = 2, CHUNKS = 2 };
    double weight[CHUNKS * TOKENS] = {1, 2, 1, 1, 1, 1};
    float x[CHUNKS * TOKENS * C] = {1, 2, 3, 4, 5, 7, 1, 2, 3, 4, 5, 6};
    const weft_prompt p = {
        .chunks = CHUNKS, .length = TOKENS, .weight = weight, .weighted = true};
    double sum = 0;

    (void)state;
    weft_prompt_weigh(&p, C, x);
    for (int i = 0; i < TOKENS * C; i++) sum += x[i];
    assert_true(fabs(sum - 22) < 1e-5);
    assert_true(fabs(x[2] / x[0] - 6) < 1e-6);
    assert_true(fabs(x[4] / x[0] - 5) < 1e-6);
    for (int i = 0; i < TOKENS * C; i++)
        assert_true(fabsf(x[TOKENS * C + i] - (float)(i + 1)) < 1e-6f);
    weight[0] = weight[1] = weight[2] = 0;
    weft_prompt_weigh(&p, C, x);
    for (int i = 0; i < TOKENS * C; i++) assert_true(x[i] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_references),
        cmocka_unit_test(breaks_within_brackets_are_breaks),
        cmocka_unit_test(refuses_what_is_no_prompt),
        cmocka_unit_test(lengthens_with_empty_chunks),
        cmocka_unit_test(weights_multiply_and_keep_the_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
