/*
 * Manifests: what a file or a rule says is what each shard has; what is twice,
 * malformed or changed meanwhile is refused with its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/launch/manifests.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- files --------------------------------------------------------------- */

static const char fifty[] =
    "sample.eta=0.5\nsample.solver=\"ddim\"\nsample.steps=50\n";

static void check_three(const weft_manifest *m)
{
    weft_items *l = shard_of(m, 0);

    assert_int_equal(m->items, 3);
    assert_int_equal(m->shards, 2);
    assert_int_equal(m->kinds, 2);
    assert_string_equal(m->kind[0].keys, "");
    assert_int_equal(l->n, 2);
    assert_int_equal(l->kinds, 2);
    assert_string_equal(l->keys[0], "");
    assert_string_equal(l->keys[1], fifty);
    check_item(&l->item[0], "a-1", 3, 7, 0);
    check_item(&l->item[1], "a-2", -1, UINT64_MAX, 1);
    weft_items_free(l);
    l = shard_of(m, 1);
    assert_int_equal(l->n, 1);
    check_item(&l->item[0], "b", 0, 0, 0);
    weft_items_free(l);
}

static void json_and_tables_say_the_same(void **state)
{
    static const char json[] =
        "\xef\xbb\xbf{\"id\": \"a-1\", \"label\": 3, \"seed\": 7}\n\n"
        "{\"steps\":50,\"seed\":18446744073709551615,\"id\":\"a\\u002d2\","
        "\"solver\":\"ddim\",\"eta\":0.50}\r\n"
        "{ \"id\" : \"b\", \"seed\" : 0, \"label\": 0, \"eta\": null }";
    static const char table[] = "id,label,seed,steps,solver,\"eta\"\r\n"
                                "a-1,3,7,,,\n"
                                "\n"
                                "a-2,,18446744073709551615, 50 ,\"ddim\",0.50\n"
                                "b,0,0,,,\n";
    const char *const name[] = {"x.jsonl", "x.csv"};
    const char *const text[] = {json, table};

    (void)state;
    for (int i = 0; i < 2; i++) {
        const weft_config_dataset d = file_of(name[i], text[i]);
        weft_manifest *m = read_well(&d, 10), *other = send(&d, m);

        check_three(m);
        check_three(other);
        assert_int_equal(m->kind[0].most, 3);
        assert_int_equal(m->kind[0].most_line, i ? 2 : 1);
        assert_int_equal(m->kept, 2);
        assert_string_equal(m->kind[1].keys, fifty);
        assert_int_equal(m->kind[1].bare_line, i ? 4 : 3);
        assert_string_equal(m->sha256, other->sha256);
        weft_manifest_free(other);
        weft_manifest_free(m);
    }
}

static void pictures_in_tables_are_texts(void **state)
{
    const weft_config_dataset d = file_of("x.csv", "id,seed,control\na,1,5\n");
    weft_manifest *m = read_well(&d, 0);

    (void)state;
    assert_string_equal(m->kind[0].keys, "sample.control=\"5\"\n");
    weft_manifest_free(m);
}

typedef struct bad {
    const char *name, *text, *says;
} bad;

static const bad bad_files[] = {
    {"x.jsonl", "", "has no items"},
    {"x.csv", "", "is empty"},
    {"x.csv", "id,seed\n", "has no items"},
    {"x.jsonl", "[]\n", ":1: byte 1: an object { ... } is expected"},
    {"x.jsonl", "\n{\"id\": \"a\"}\n", ":2: seed is missing"},
    {"x.jsonl", "{\"seed\": 1}\n", ":1: id is missing"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": -1}\n",
     ":1: seed: expected a whole number from 0 to 18446744073709551615, found "
     "-1"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 18446744073709551616}\n",
     ":1: seed: expected a whole number from 0 to 18446744073709551615, found "
     "18446744073709551616"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1.0}\n", "found 1.0"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": \"1\"}\n", "found 1"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"label\": 2147483648}\n",
     ":1: label: expected a whole number from 0 to 2147483647"},
    {"x.jsonl", "{\"id\": \"a/b\", \"seed\": 1}\n",
     ":1: id \"a/b\": expected 1 to 80 letters, digits, _, -, +, = and @"},
    {"x.jsonl", "{\"id\": \"a.b\", \"seed\": 1}\n", ":1: id \"a.b\""},
    {"x.jsonl", "{\"id\": \"\", \"seed\": 1}\n", ":1: id \"\""},
    {"x.jsonl", "{\"id\": 1, \"seed\": 1, \"id\": 2}\n",
     ":1: \"id\" stands there twice"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"seeds\": \"1-9\"}\n",
     ":1: unknown key \"seeds\""},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"a.b\": 1}\n",
     ":1: unknown key \"a.b\""},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1} {}\n",
     ":1: byte 24: the end of the line is expected"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, }\n",
     ":1: byte 24: a key in quotes is expected"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"bias\": {\"a\": [1}\n",
     ":1: the line ends where a closing bracket is expected"},
    {"x.jsonl", "{\"id\": \"a\n", ":1: the line ends where the end of a text"},
    {"x.jsonl", "{\"id\": \"a\\\n",
     ":1: the line ends where the end of a text"},
    {"x.jsonl", "{\"id\": \"a\\x\", \"seed\": 1}\n",
     ":1: byte 8: not a text: invalid escape"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"prompt\": \"\\ud83d\"}\n",
     ":1: byte 34: not a text: invalid Unicode '\\uD83D'"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"prompt\": \"\\u001b[2J\"}\n",
     ":1: prompt: expected a text without control characters"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"caption\": \"\\u0085\"}\n",
     ":1: caption: expected a text without control characters"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"caption\": 3}\n",
     ":1: caption: expected a text in quotes"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"prompt\": [1]}\n",
     ":1: prompt: expected a text in quotes"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"control\": 5}\n",
     ":1: control: expected a text in quotes"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"control\": true}\n",
     ":1: control: expected a text in quotes"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"control\": [\"x.png\"]}\n",
     ":1: control: expected a text in quotes"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"prompt\": \"\xff\"}\n",
     ":1: prompt: expected a text in UTF-8"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"caption\": \"a\\u0000b\"}\n",
     ":1: caption: expected a text without control characters"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"prompts\": {\"a\": 3}}\n",
     ":1: prompts: expected texts by model"},
    {"x.jsonl", "{\"id\": \"a\", \"seed\": 1, \"prompts\": \"a\"}\n",
     ":1: prompts: expected texts by model"},
    {"x.jsonl",
     "{\"id\": \"a\", \"seed\": 1, \"prompts\": {\"a\": \"\\u0007\"}}\n",
     ":1: prompts: expected texts by model"},
    {"x.csv", "id,seed\na,1,2\n", ":2: 3 cells under a header of 2"},
    {"x.csv", "id,id\na,1\n", ":1: a column stands there twice"},
    {"x.csv", "id,seed\n\"a,1\n",
     ":2: the line ends where a closing quote is expected"},
    {"x.csv", "id,seed\n\"a\"b,1\n", ":2: byte 4: a comma is expected"},
    {"x.jsonl",
     "{\"id\": \"a\", \"seed\": 1}\n{\"id\": \"b\", \"seed\": 2}\n\n"
     "{\"id\": \"a\", \"seed\": 3}\n",
     ":4: id a stands on line 1 too"},
    {"x.jsonl",
     "{\"id\": \"a\", \"seed\": 1, \"steps\": 5, \"eta\": 0.5}\n"
     "{\"id\": \"b\", \"seed\": 1}\n"
     "{\"id\": \"c\", \"eta\": 5e-1, \"seed\": 1, \"steps\": 5}\n",
     ":3: the same item as a on line 1, but for its id; dataset.duplicates: "
     "allow would make both"},
};

static void what_is_wrong_is_refused_with_its_line(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(bad_files); i++) {
        const weft_config_dataset d =
            file_of(bad_files[i].name, bad_files[i].text);
        weft_manifest *m = NULL;

        if (weft_manifest_read(&d, 10, NULL, NULL, &m) != WEFT_EINPUT)
            fail_msg("accepted: %s", bad_files[i].text);
        assert_null(m);
        if (!strstr(weft_fail_text(), bad_files[i].says) ||
            strncmp(weft_fail_text(), path, strlen(path)) != 0)
            fail_msg("\"%s\" does not say \"%s\"", weft_fail_text(),
                     bad_files[i].says);
    }
}

static void equal_items_may_be_allowed(void **state)
{
    weft_config_dataset d = file_of("x.jsonl", "{\"id\":\"a\",\"seed\":1}\n"
                                               "{\"id\":\"b\",\"seed\":1}\n");
    weft_manifest *m;

    (void)state;
    d.repeat = true;
    m = read_well(&d, 10);
    assert_int_equal(m->items, 2);
    weft_manifest_free(m);
}

/* ---- kinds --------------------------------------------------------------- */

/* More kinds than are kept, each of them twice and far apart. */
static void there_may_be_many_kinds(void **state)
{
    enum { MANY = 3 * WEFT_KINDS };
    char *all = malloc(2 * MANY * 64);
    weft_config_dataset d;
    weft_manifest *m, *other;
    weft_items *l;
    int asked = 0;
    size_t n = 0;

    (void)state;
    assert_non_null(all);
    for (int i = 0; i < 2 * MANY; i++)
        n += (size_t)snprintf(all + n, 64,
                              "{\"id\":\"%d\",\"seed\":%d,\"steps\":%d}\n", i,
                              i, 100 + i % MANY);
    d = file_of("x.jsonl", all);
    free(all);
    d.shard_size = MANY / 2;
    assert_int_equal(weft_manifest_read(&d, 10, count_kind, &asked, &m),
                     WEFT_OK);
    assert_int_equal(asked, MANY);
    assert_int_equal(m->kinds, MANY);
    assert_int_equal(m->kept, WEFT_KINDS);
    assert_string_equal(m->kind[WEFT_KINDS - 1].keys, "sample.steps=355\n");
    assert_string_equal(m->kind[WEFT_KINDS].keys, "sample.steps=356\n");
    assert_int_equal(m->kind[WEFT_KINDS].line, WEFT_KINDS + 1);
    other = send(&d, m);
    assert_int_equal(other->kinds, MANY);
    assert_string_equal(other->kind[0].keys, "sample.steps=100\n");
    assert_true(other->cost[0] == other->cost[2]);
    assert_true(other->cost[1] ==
                other->cost[0] + (MANY / 2) * (double)(MANY / 2));
    l = shard_of(other, 3);
    assert_int_equal(l->kinds, MANY / 2);
    assert_int_equal(l->item[5].kind, 5);
    assert_string_equal(l->keys[5], "sample.steps=489\n");
    weft_items_free(l);
    weft_manifest_free(other);
    weft_manifest_free(m);
}

static void what_no_run_can_do_is_refused_with_its_line(void **state)
{
    const weft_config_dataset d =
        file_of("x.jsonl", "{\"id\":\"a\",\"seed\":1,\"steps\":12}\n"
                           "{\"id\":\"b\",\"seed\":1,\"steps\":13}\n");
    weft_manifest *m;
    int asked = 0;

    (void)state;
    assert_int_equal(weft_manifest_read(&d, 10, count_kind, &asked, &m),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "x.jsonl:2: thirteen steps"));
}

/* Lines cross the pieces that a file is read in. */
static void long_files_are_read_whole(void **state)
{
    enum { ITEMS = 60000 };
    char *all = malloc(ITEMS * 64);
    weft_config_dataset d;
    weft_manifest *m;
    weft_items *l;
    size_t n = 0;

    (void)state;
    assert_non_null(all);
    for (int i = 0; i < ITEMS; i++)
        n += (size_t)snprintf(all + n, 64, "{\"id\":\"item-%d\",\"seed\":%d}\n",
                              i, i);
    d = file_of("x.jsonl", all);
    free(all);
    d.shard_size = 999;
    m = read_well(&d, 10);
    assert_int_equal(m->items, ITEMS);
    assert_int_equal(m->shards, ITEMS / 999 + 1);
    for (int k = 0; k < m->shards; k++) {
        l = shard_of(m, k);
        for (int i = 0; i < l->n; i++)
            assert_true(l->item[i].seed == (uint64_t)(k * 999 + i));
        weft_items_free(l);
    }
    weft_manifest_free(m);
}

static void a_file_that_changes_is_noticed(void **state)
{
    const weft_config_dataset d =
        file_of("x.jsonl", "{\"id\":\"a\",\"seed\":1}\n");
    weft_manifest *m = read_well(&d, 10);
    weft_items *l;
    FILE *f = fopen(path, "r+");

    (void)state;
    assert_non_null(f);
    fputs("{\"id\":\"a\",\"seed\":2}\n", f);
    fclose(f);
    assert_int_equal(weft_manifest_shard(m, 0, &l), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "has changed"));
    weft_manifest_free(m);
}

/* ---- rules --------------------------------------------------------------- */

static void a_rule_has_every_label_with_every_seed(void **state)
{
    weft_range label[] = {{4, 5}, {1, 1}}, seed[] = {{10, 12}, {7, 7}};
    weft_config_dataset d = {.label = label,
                             .nlabels = 2,
                             .seed = seed,
                             .nseeds = 2,
                             .shard_size = 5};
    weft_manifest *m = read_well(&d, 10), *other = send(&d, m);
    weft_items *l;

    (void)state;
    assert_int_equal(other->items, 12);
    assert_int_equal(other->shards, 3);
    assert_int_equal(m->kind[0].most, 5);
    l = shard_of(other, 0);
    check_item(&l->item[0], "0004-0000000010", 4, 10, 0);
    check_item(&l->item[3], "0004-0000000007", 4, 7, 0);
    check_item(&l->item[4], "0005-0000000010", 5, 10, 0);
    weft_items_free(l);
    l = shard_of(other, 2);
    check_item(&l->item[1], "0001-0000000007", 1, 7, 0);
    weft_items_free(l);
    weft_manifest_free(other);
    weft_manifest_free(m);
}

/* All labels, or none where a model has none; and without end nearly. */
static void rules_follow_the_model(void **state)
{
    weft_range seed[] = {{0, 9999999}}, all[] = {{0, UINT64_MAX}};
    weft_config_dataset d = {.seed = seed, .nseeds = 1, .shard_size = 1000};
    weft_manifest *m = read_well(&d, 10);
    weft_items *l;

    (void)state;
    assert_int_equal(m->items, 100000000);
    l = shard_of(m, 99999);
    check_item(&l->item[999], "0009-0009999999", 9, 9999999, 0);
    weft_items_free(l);
    weft_manifest_free(m);
    m = read_well(&d, 0);
    assert_int_equal(m->items, 10000000);
    l = shard_of(m, 0);
    check_item(&l->item[1], "0000000001", -1, 1, 0);
    weft_items_free(l);
    weft_manifest_free(m);
    d.seed = all;
    assert_int_equal(weft_manifest_read(&d, 10, NULL, NULL, &m), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "more than 1000000000 items"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_and_tables_say_the_same),
        cmocka_unit_test(pictures_in_tables_are_texts),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(equal_items_may_be_allowed),
        cmocka_unit_test(there_may_be_many_kinds),
        cmocka_unit_test(what_no_run_can_do_is_refused_with_its_line),
        cmocka_unit_test(long_files_are_read_whole),
        cmocka_unit_test(a_file_that_changes_is_noticed),
        cmocka_unit_test(a_rule_has_every_label_with_every_seed),
        cmocka_unit_test(rules_follow_the_model),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_manifests);
}
