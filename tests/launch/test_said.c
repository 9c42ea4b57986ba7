/*
 * What items of a manifest say in words: it stays with its item, makes no
 * kinds, and is known to all ranks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launch/said.h"
#include "tests/launch/manifests.h"

/* ---- texts --------------------------------------------------------------- */

static void check_caption(const weft_items *l, int i, const char *caption)
{
    if (caption)
        assert_string_equal(l->item[i].caption, caption);
    else
        assert_null(l->item[i].caption);
}

static void check_said(const weft_said *said, const char *prompt,
                       const char *negative)
{
    const char *const is[] = {said->prompt, said->negative};
    const char *const want[] = {prompt, negative};

    for (int i = 0; i < 2; i++)
        if (want[i])
            assert_string_equal(is[i], want[i]);
        else
            assert_null(is[i]);
}

static void check_texts(const weft_manifest *m)
{
    weft_items *l = shard_of(m, 0);

    assert_int_equal(l->kinds, 3);
    assert_string_equal(l->keys[0], "sample.prompt=\"\"\nsample.steps=5\n");
    assert_string_equal(l->keys[1],
                        "sample.negative_prompt=\"\"\nsample.prompt=\"\"\n"
                        "sample.steps=5\n");
    assert_string_equal(l->keys[2], "");
    check_said(&l->item[0].said, "a \"cat\", 42", NULL);
    check_said(&l->item[1].said, "1", "7");
    check_said(&l->item[2].said, NULL, NULL);
    check_caption(l, 0, "a \"cat\", 42");
    check_caption(l, 1, "9");
    check_caption(l, 2, "l\u00e4rch");
    check_caption(l, 3, NULL);
    weft_items_free(l);
}

/* That there is a prompt makes a kind of items, and what it says does not;
 * captions make none. A table's cells may look like numbers. */
static void texts_stay_with_their_items(void **state)
{
    static const char json[] =
        "{\"id\":\"a\",\"seed\":1,\"steps\":5,\"prompt\":"
        "\"a \\\"cat\\\", 42\"}\n"
        "{\"id\":\"b\",\"seed\":1,\"caption\":\"9\",\"steps\":5,\"prompt\":"
        "\"1\","
        "\"negative_prompt\":\"7\"}\n"
        "{\"id\":\"c\",\"seed\":1,\"caption\":\"l\\u00e4rch\"}\n"
        "{\"id\":\"d\",\"seed\":2}\n";
    static const char table[] = "id,seed,steps,prompt,caption,negative_prompt\n"
                                "a,1,5,\"a \"\"cat\"\", 42\",,\nb,1,5,1,9,7\n"
                                "c,1,,,l\u00e4rch,\nd,2,,,,\n";
    const char *const name[] = {"x.jsonl", "x.csv"};
    const char *const text[] = {json, table};

    (void)state;
    for (int i = 0; i < 2; i++) {
        weft_config_dataset d = file_of(name[i], text[i]);
        weft_manifest *m;
        int asked = 0;

        d.shard_size = 4;
        assert_int_equal(weft_manifest_read(&d, 10, count_kind, &asked, &m),
                         WEFT_OK);
        assert_int_equal(asked, 3);
        assert_int_equal(m->kept, 3);
        check_said(&m->kind[1].said, "1", "7");
        check_texts(m);
        weft_manifest_free(m);
    }
}

/* Any number of prompts are one kind, whose first is known to all ranks. */
static void many_prompts_are_one_kind(void **state)
{
    weft_config_dataset d = file_of(
        "x.jsonl", "{\"id\":\"a\",\"seed\":1,\"prompt\":\"one\\ntwo\"}\n"
                   "{\"id\":\"b\",\"seed\":1,\"prompt\":\"\"}\n"
                   "{\"id\":\"c\",\"seed\":1,\"prompt\":\"three\\t\"}\n");
    weft_manifest *m = read_well(&d, 0), *other = send(&d, m);
    weft_items *l;

    (void)state;
    assert_int_equal(other->kinds, 1);
    check_said(&other->kind[0].said, "one\ntwo", NULL);
    l = shard_of(other, 0);
    assert_int_equal(l->kinds, 1);
    check_said(&l->item[0].said, "one\ntwo", NULL);
    check_said(&l->item[1].said, "", NULL);
    check_caption(l, 0, "one\ntwo");
    weft_items_free(l);
    weft_manifest_free(other);
    weft_manifest_free(m);
}

/* So are prompts by model that name the same models. */
static void prompts_by_model_are_told_apart(void **state)
{
    static const char json[] =
        "{\"id\":\"a\",\"seed\":1,\"prompts\":{\"w\":\"x\\n\",\"s\":\"\"}}\n"
        "{\"id\":\"b\",\"seed\":1,\"prompts\":{\"s\":\"y\",\"w\":\"\"}}\n"
        "{\"id\":\"c\",\"seed\":1,\"prompts\":{\"s\":\"y\"}}\n";
    weft_config_dataset d = file_of("x.jsonl", json);
    weft_manifest *m, *other;
    weft_items *l;

    (void)state;
    d.shard_size = 3;
    m = read_well(&d, 0);
    other = send(&d, m);
    assert_int_equal(m->kinds, 2);
    assert_string_equal(other->kind[0].keys,
                        "sample.prompts={\"s\":\"\",\"w\":\"\"}\n");
    assert_string_equal(weft_said_for(other->kind[0].said.own, "w"), "x\n");
    l = shard_of(other, 0);
    assert_int_equal(l->kinds, 2);
    check_item(&l->item[1], "b", -1, 1, 0);
    check_item(&l->item[2], "c", -1, 1, 1);
    assert_string_equal(weft_said_for(l->item[0].said.own, "s"), "");
    assert_string_equal(weft_said_for(l->item[1].said.own, "s"), "y");
    assert_null(weft_said_for(l->item[2].said.own, "w"));
    weft_items_free(l);
    weft_manifest_free(other);
    weft_manifest_free(m);
}

/* Whether prompts have a grammar is the item's word, or else the config's. */
static void a_grammar_is_held_to_its_items(void **state)
{
    static const char *const text[] = {
        "{\"id\":\"a\",\"seed\":1,\"steps\":78,\"prompt\":\"(a:9999999)\"}\n"
        "{\"id\":\"b\",\"seed\":1,\"steps\":77,\"prompt\":\"(a:9999999)\"}\n",
        "{\"id\":\"a\",\"seed\":1,\"prompt\":\"(a:9999999)\"}\n"
        "{\"id\":\"b\",\"seed\":1,\"prompt_syntax\":\"weighted\","
        "\"negative_prompt\":\"(a:9999999)\"}\n",
        "{\"id\":\"a\",\"seed\":1,\"steps\":77,\"prompt\":\"(a:9999999)\","
        "\"control\":\"sample.prompt_syntax=\"}\n"};
    static const char *const says[] = {
        ":2: prompt: ", ":2: negative_prompt: ", ":1: prompt: "};
    weft_manifest *m;
    int asked = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        const weft_config_dataset d = file_of("x.jsonl", text[i]);

        assert_int_equal(weft_manifest_read(&d, 0, count_kind, &asked, &m),
                         WEFT_EINPUT);
        if (!strstr(weft_fail_text(), says[i]))
            fail_msg("%s", weft_fail_text());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_stay_with_their_items),
        cmocka_unit_test(many_prompts_are_one_kind),
        cmocka_unit_test(prompts_by_model_are_told_apart),
        cmocka_unit_test(a_grammar_is_held_to_its_items),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_manifests);
}
