/*
 * Writing safetensors. The bytes are compared with a file that the format's
 * own library wrote, and read back by our reader, which has tests of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/model/safetensors.h"
#include "tests/folder.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/safetensors/"

enum { ROOM = 1 << 16 };

static char path[64];

static size_t load(const char *name, char *bytes)
{
    FILE *f = fopen(name, "rb");
    size_t n;

    assert_non_null(f);
    n = fread(bytes, 1, ROOM, f);
    fclose(f);
    return n;
}

static weft_st_writer *begin(const weft_st_entry *entry, int n,
                             const char *const *metadata)
{
    weft_st_writer *w = NULL;

    if (weft_st_create(path, entry, n, metadata, &w) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    return w;
}

static void says(weft_status status, const char *words)
{
    assert_int_equal(status, WEFT_EINPUT);
    if (strstr(weft_fail_text(), words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
}

static void knows_all_dtypes(void **state)
{
    static const struct {
        const char *name;
        int bits;
    } known[] = {
        {"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6},
        {"U8", 8},      {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8},
        {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
        {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32},
        {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},
        {"I64", 64},    {"U64", 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(weft_st_dtype_bits(known[i].name), known[i].bits);
    assert_int_equal(weft_st_dtype_bits("f32"), 0);
    assert_int_equal(weft_st_dtype_bits(""), 0);
    assert_int_equal(weft_st_dtype_bits("F32 "), 0);
}

/* Same tensors, order and metadata as in the golden: the same bytes. */
static void equals_the_library(void **state)
{
    static const weft_st_entry entry[] = {{"b", "I64", 1, {2}},
                                          {"c", "F16", 2, {2, 2}}};
    static const char *const metadata[] = {"shard", "00002", NULL};
    static const int64_t b[] = {0, 1};
    static const uint16_t c[] = {0, 0x3400, 0x3800, 0x3a00};
    char *mine = malloc(ROOM), *theirs = malloc(ROOM);
    weft_st_writer *w = begin(entry, 2, metadata);
    const size_t n = load(GOLDEN "s-00002-of-00002.safetensors", theirs);

    (void)state;
    assert_int_equal(weft_st_put(w, 1, 4, c + 2, 4), WEFT_OK);
    assert_int_equal(weft_st_put(w, 0, 0, b, sizeof b), WEFT_OK);
    assert_int_equal(weft_st_put(w, 1, 0, c, 4), WEFT_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(weft_st_finish(w), WEFT_OK);
    assert_int_equal(load(path, mine), n);
    assert_memory_equal(mine, theirs, n);
    free(mine);
    free(theirs);
}

static void comes_back(void **state)
{
    static const weft_st_entry entry[] = {
        {"z\n\"\\\xc3\xa9", "F64", 0, {0}},
        {"empty", "F32", 2, {3, 0}},
        {"deep", "U8", 8, {1, 2, 1, 1, 1, 1, 1, 3}},
        {"four", "F4", 1, {4}}};
    static const char *const metadata[] = {"a", "", "\xc3\xa9", "x\ny", NULL};
    static const double z = -0.1;
    weft_st_writer *w = begin(entry, 4, metadata);
    const weft_st_tensor *t;
    weft_st *st;

    (void)state;
    assert_int_equal(weft_st_put(w, 0, 0, &z, 8), WEFT_OK);
    assert_int_equal(weft_st_put(w, 1, 0, "", 0), WEFT_OK);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(weft_st_put(w, 2, 5 - i, &"fedcba"[i], 1), WEFT_OK);
    assert_int_equal(weft_st_put(w, 3, 0, "\x21\x43", 2), WEFT_OK);
    assert_int_equal(weft_st_finish(w), WEFT_OK);
    assert_int_equal(weft_st_open(path, &st), WEFT_OK);
    assert_int_equal(weft_st_count(st), 4);
    t = weft_st_find(st, entry[0].name);
    assert_int_equal(t->ndim, 0);
    assert_memory_equal(t->data, &z, 8);
    assert_int_equal((uintptr_t)t->data % 8, 0);
    t = weft_st_find(st, "deep");
    assert_int_equal(t->ndim, 8);
    assert_int_equal(t->shape[7], 3);
    assert_memory_equal(t->data, "abcdef", 6);
    assert_int_equal(weft_st_find(st, "empty")->shape[0], 3);
    assert_int_equal(weft_st_find(st, "four")->bytes, 2);
    assert_string_equal(weft_st_metadata(st, "a"), "");
    assert_string_equal(weft_st_metadata(st, "\xc3\xa9"), "x\ny");
    weft_st_close(st);
}

static void writes_empty_files(void **state)
{
    weft_st *st;

    (void)state;
    assert_int_equal(weft_st_finish(begin(NULL, 0, NULL)), WEFT_OK);
    assert_int_equal(weft_st_open(path, &st), WEFT_OK);
    assert_int_equal(weft_st_count(st), 0);
    assert_int_equal(weft_st_bytes(st), 16); /* 8, and "{}" padded to 8 */
    weft_st_close(st);
}

static void keeps_within_bounds(void **state)
{
    static const weft_st_entry entry[] = {{"a", "U8", 1, {4}},
                                          {"b", "U8", 1, {4}}};
    weft_st_writer *w = begin(entry, 2, NULL);

    (void)state;
    unlink(path);
    says(weft_st_put(w, 0, 0, "12345", 5), "do not fit into 4");
    says(weft_st_put(w, 0, 4, "1", 1), "1 bytes at 4 do not fit into 4");
    says(weft_st_put(w, 0, 5, "", 0), "do not fit");
    says(weft_st_put(w, 0, SIZE_MAX, "12", 2), "do not fit");
    says(weft_st_put(w, 0, 1, "1", SIZE_MAX), "do not fit");
    says(weft_st_put(w, 2, 0, "1", 1), "has no tensor 2");
    says(weft_st_put(w, -1, 0, "1", 1), "has no tensor -1");
    assert_int_equal(weft_st_put(w, 0, 0, "1234", 4), WEFT_OK);
    assert_int_equal(weft_st_put(w, 1, 0, "123", 3), WEFT_OK);
    says(weft_st_finish(w), "tensor 1 got 3 of its 4 bytes");
    assert_int_equal(files_in_folder(), 0);
}

static void leaves_nothing_when_abandoned(void **state)
{
    static const weft_st_entry entry[] = {{"a", "U8", 1, {4}}};
    weft_st_writer *w = begin(entry, 1, NULL);

    (void)state;
    assert_int_equal(weft_st_put(w, 0, 0, "1234", 4), WEFT_OK);
    assert_int_equal(files_in_folder(), 1);
    weft_st_abandon(w);
    weft_st_abandon(NULL);
    assert_int_equal(files_in_folder(), 0);
}

static void refuse(const weft_st_entry *entry, int n,
                   const char *const *metadata, const char *words)
{
    weft_st_writer *w = NULL;

    says(weft_st_create(path, entry, n, metadata, &w), words);
    assert_null(w);
    assert_int_equal(files_in_folder(), 0);
}

static void refuses_wrong_entries(void **state)
{
    static const int64_t most = INT64_MAX;
    const weft_st_entry dtype[] = {{"a", "F31", 1, {1}}};
    const weft_st_entry twice[] = {{"a", "F32", 1, {1}}, {"a", "F32", 1, {1}}};
    const weft_st_entry reserved[] = {{"__metadata__", "F32", 1, {1}}};
    const weft_st_entry negative[] = {{"a", "F32", 1, {-1}}};
    const weft_st_entry large[] = {{"a", "F32", 2, {most, 2}}};
    const weft_st_entry sum[] = {
        {"a", "U8", 1, {most / 8}},   {"b", "U8", 1, {most / 8}},
        {"c", "F64", 1, {most / 64}}, {"d", "F64", 1, {most / 64}},
        {"e", "F64", 1, {most / 64}}, {"f", "F64", 1, {most / 64}},
        {"g", "F64", 1, {most / 64}}, {"h", "F64", 1, {most / 64}},
        {"i", "F64", 1, {most / 64}}};
    const weft_st_entry ragged[] = {{"a", "F4", 1, {3}}};
    const weft_st_entry deep[] = {{"a", "U8", 9, {1}}};
    const weft_st_entry bytes[] = {{"\xff", "U8", 1, {1}}};
    static const char *const metadata[] = {"k", "1", "k", "2", NULL};
    static const char *const not_text[] = {"k", "\xff", NULL};

    (void)state;
    refuse(dtype, 1, NULL, "tensor \"a\": dtype \"F31\" is not known");
    refuse(twice, 2, NULL, "\"a\" is there twice");
    refuse(negative, 1, NULL, "negative");
    refuse(large, 1, NULL, "shape is too large");
    refuse(sum, 9, NULL, "becomes too large");
    refuse(ragged, 1, NULL, "do not fill the last byte");
    refuse(deep, 1, NULL, "9 dimensions");
    refuse(bytes, 1, NULL, "is not UTF-8");
    refuse(dtype, 0, metadata, "\"k\" is there twice");
    refuse(dtype, 0, not_text, "\"k\" is not UTF-8");
    refuse(reserved, 1, NULL, "is reserved");
}

static void refuses_wrong_places(void **state)
{
    weft_st_writer *w = NULL;

    (void)state;
    says(weft_st_create(folder, NULL, 0, NULL, &w), "is a folder");
    says(weft_st_create("/dev/null", NULL, 0, NULL, &w), "not a regular file");
    says(weft_st_create("/nowhere/a", NULL, 0, NULL, &w), "No such file");
    assert_null(w);
}

static void reports_a_full_disk(void **state)
{
    static const weft_st_entry entry[] = {{"a", "U8", 1, {9000}}};
    static const char zeros[9000];
    struct rlimit old, tight;
    weft_st_writer *w = NULL;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    w = begin(entry, 1, NULL);
    tight = (struct rlimit){5000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    assert_int_equal(weft_st_put(w, 0, 0, zeros, 9000), WEFT_EIO);
    assert_non_null(strstr(weft_fail_text(), path));
    assert_int_equal(weft_st_create(path, entry, 1, NULL, &w), WEFT_EIO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    weft_st_abandon(w);
    assert_int_equal(files_in_folder(), 0);
}

static int begin_tests(void **state)
{
    if (make_folder(state) != 0) return -1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    return 0;
}

static int end_tests(void **state)
{
    unlink(path);
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_all_dtypes),
        cmocka_unit_test(equals_the_library),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(writes_empty_files),
        cmocka_unit_test(keeps_within_bounds),
        cmocka_unit_test(leaves_nothing_when_abandoned),
        cmocka_unit_test(refuses_wrong_entries),
        cmocka_unit_test(refuses_wrong_places),
        cmocka_unit_test(reports_a_full_disk),
    };

    return cmocka_run_group_tests(tests, begin_tests, end_tests);
}
