/*
 * Reading safetensors. What is right is read from files that the format's own
 * library wrote (tests/golden/safetensors_files.py); what is wrong is written
 * here byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "core/model/safetensors.h"
#include "tests/folder.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/safetensors/"

/* A file of this header text and `data` bytes 0, 1, 2, ... behind it. */
static const char *put_model(const char *name, const char *header, size_t data)
{
    const size_t n = strlen(header);
    unsigned char *bytes = calloc(8 + n + data + 1, 1);
    const char *path;

    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++) bytes[8 + n + i] = (unsigned char)i;
    path = put_in_folder(name, bytes, 8 + n + data);
    free(bytes);
    return path;
}

static void refuse_file(const char *path, const char *words)
{
    weft_st *st = NULL;
    const weft_status status = weft_st_open(path, &st);

    if (status == WEFT_OK) fail_msg("opened, should lack: %s", words);
    assert_null(st);
    assert_int_equal(status, WEFT_EINPUT);
    if (strstr(weft_fail_text(), words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
}

static void refuse(const char *header, size_t data, const char *words)
{
    const char *path = put_model("bad.safetensors", header, data);

    refuse_file(path, words);
    assert_int_equal(strncmp(weft_fail_text(), path, strlen(path)), 0);
}

static weft_st *accept_file(const char *path)
{
    weft_st *st = NULL;

    if (weft_st_open(path, &st) != WEFT_OK) fail_msg("%s", weft_fail_text());
    return st;
}

static weft_st *accept(const char *header, size_t data)
{
    return accept_file(put_model("good.safetensors", header, data));
}

/* ---- files of the format's own library ----------------------------------- */

static const weft_st_tensor *must_find(const weft_st *st, const char *name,
                                       const char *dtype, int ndim,
                                       size_t bytes)
{
    const weft_st_tensor *t = weft_st_find(st, name);

    if (t == NULL) fail_msg("no %s", name);
    assert_string_equal(t->name, name);
    assert_string_equal(t->dtype, dtype);
    assert_int_equal(t->ndim, ndim);
    assert_int_equal(t->bytes, bytes);
    return t;
}

static void same(const weft_st_tensor *t, const void *expected)
{
    assert_memory_equal(t->data, expected, t->bytes);
}

static void reads_every_kind(void **state)
{
    static const double f64[] = {0, 0.25, 0.5, 0.75, 1, 1.25};
    static const float f32[] = {0, 0.25f, 0.5f, 0.75f, 1, 1.25f};
    static const uint16_t f16[] = {0, 0x3400, 0x3800, 0x3a00, 0x3c00};
    static const uint16_t bf16[] = {0, 0x3e80, 0x3f00};
    static const int64_t i64[] = {0, 1, 2, 3};
    static const unsigned char u8[] = {0, 1, 2, 3, 4, 5, 6};
    static const unsigned char bool3[] = {1, 0, 1};
    static const unsigned char f8[] = {0x38, 0x40};
    static const float scalar = 2.5f;
    weft_st *st = accept_file(GOLDEN "kinds.safetensors");
    const weft_st_tensor *t;

    (void)state;
    assert_int_equal(weft_st_count(st), 11);
    t = must_find(st, "f64", "F64", 2, sizeof f64);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    same(t, f64);
    t = must_find(st, "f32", "F32", 3, sizeof f32);
    assert_int_equal(t->shape[1], 1);
    same(t, f32);
    same(must_find(st, "f16", "F16", 1, sizeof f16), f16);
    same(must_find(st, "bf16", "BF16", 1, sizeof bf16), bf16);
    same(must_find(st, "i64", "I64", 1, sizeof i64), i64);
    same(must_find(st, "u8", "U8", 1, sizeof u8), u8);
    same(must_find(st, "bool", "BOOL", 1, sizeof bool3), bool3);
    same(must_find(st, "f8", "F8_E4M3", 1, sizeof f8), f8);
    same(must_find(st, "scalar", "F32", 0, sizeof scalar), &scalar);
    t = must_find(st, "empty", "F32", 2, 0);
    assert_int_equal(t->shape[0], 0);
    must_find(st, "n\xc3\xa4me \"q\" \\ \n", "I32", 1, 4);
    assert_null(weft_st_find(st, "f6"));
    assert_null(weft_st_find(st, ""));
    assert_null(weft_st_find(st, "__metadata__"));
    assert_string_equal(weft_st_metadata(st, "format"), "pt");
    assert_string_equal(weft_st_metadata(st, "n\xc3\xb6te"), "two\nlines");
    assert_null(weft_st_metadata(st, "f64"));
    weft_st_close(st);
}

static void counts_in_name_order(void **state)
{
    weft_st *st = accept_file(GOLDEN "kinds.safetensors");
    struct stat s;

    (void)state;
    for (int i = 1; i < weft_st_count(st); i++)
        assert_true(
            strcmp(weft_st_at(st, i - 1)->name, weft_st_at(st, i)->name) < 0);
    assert_null(weft_st_at(st, -1));
    assert_null(weft_st_at(st, weft_st_count(st)));
    assert_int_equal(stat(GOLDEN "kinds.safetensors", &s), 0);
    assert_int_equal(weft_st_bytes(st), s.st_size);
    assert_string_equal(weft_st_path(st), GOLDEN "kinds.safetensors");
    weft_st_close(st);
}

static void reads_shards(void **state)
{
    weft_st *st = accept_file(GOLDEN "s.safetensors.index.json");
    static const float a[] = {0, 0.25f, 0.5f, 0.75f};
    static const int64_t b[] = {0, 1};
    static const uint16_t c[] = {0, 0x3400, 0x3800, 0x3a00};

    (void)state;
    assert_int_equal(weft_st_count(st), 3); /* "spare" is not in the map */
    same(must_find(st, "a", "F32", 1, sizeof a), a);
    same(must_find(st, "b", "I64", 1, sizeof b), b);
    same(must_find(st, "c", "F16", 2, sizeof c), c);
    assert_null(weft_st_find(st, "spare"));
    assert_string_equal(weft_st_metadata(st, "shard"), "00001");
    assert_int_equal(weft_st_bytes(st), 180 + 184);
    weft_st_close(st);
}

/* ---- right, but rare ----------------------------------------------------- */

static void accepts_odd_files(void **state)
{
    weft_st *st = accept("{}", 0);

    (void)state;
    assert_int_equal(weft_st_count(st), 0);
    assert_null(weft_st_find(st, "a"));
    assert_null(weft_st_metadata(st, "a"));
    weft_st_close(st);
    st = accept("{\"__metadata__\":{}}     ", 0);
    assert_int_equal(weft_st_count(st), 0);
    weft_st_close(st);
    /* Empty tensors anywhere, the header out of order and not aligned. */
    st = accept("{\"z\":{\"dtype\":\"U8\",\"shape\":[2,0],\"data_offsets\":"
                "[3,3]},\"b\":{\"data_offsets\":[1,3],\"shape\":[2],\"dtype\":"
                "\"I8\"},\"y\":{\"dtype\":\"F64\",\"shape\":[0],"
                "\"data_offsets\":[1,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[],"
                "\"data_offsets\":[0,1]}}",
                3);
    assert_int_equal(weft_st_count(st), 4);
    assert_int_equal(*(const char *)weft_st_find(st, "a")->data, 0);
    assert_memory_equal(weft_st_find(st, "b")->data, "\1\2", 2);
    weft_st_close(st);
    /* Two 4-bit and four 6-bit numbers fill whole bytes. */
    st = accept("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]"
                "},\"b\":{\"dtype\":\"F6_E2M3\",\"shape\":[2,2],"
                "\"data_offsets\":[1,4]}}",
                4);
    assert_int_equal(weft_st_find(st, "b")->bytes, 3);
    weft_st_close(st);
    st = accept("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],"
                "\"data_offsets\":[0,1]}}",
                1);
    assert_int_equal(weft_st_find(st, "a")->ndim, 8);
    weft_st_close(st);
}

/* ---- wrong headers ------------------------------------------------------- */

/* One tensor "a" with this text as its entry. */
static void refuse_entry(const char *entry, size_t data, const char *words)
{
    char header[1024];

    snprintf(header, sizeof header, "{\"a\":%s}", entry);
    refuse(header, data, words);
}

static void refuse_shape(const char *dtype, const char *shape, const char *ends,
                         size_t data, const char *words)
{
    char entry[512];

    snprintf(entry, sizeof entry,
             "{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}", dtype,
             shape, ends);
    refuse_entry(entry, data, words);
    assert_non_null(strstr(weft_fail_text(), "\"a\""));
}

static void refuses_wrong_entries(void **state)
{
    (void)state;
    refuse_entry("1", 0, "expected an object, found an integer");
    refuse_entry("null", 0, "expected an object, found null");
    refuse_entry("{}", 0, "dtype: expected a string, found nothing");
    refuse_entry("{\"dtype\":5}", 0, "dtype: expected a string");
    refuse_entry("{\"dtype\":\"F32\"}", 0, "shape: expected an array");
    refuse_entry("{\"dtype\":\"F32\",\"shape\":[1]}", 4,
                 "data_offsets: expected an array, found nothing");
    refuse_entry("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],"
                 "\"stride\":[1]}",
                 4, "key \"stride\" is not known");
    refuse_shape("F31", "[1]", "[0,4]", 4, "dtype \"F31\" is not known");
    refuse_shape("F32", "{}", "[0,4]", 4, "shape: expected an array");
    refuse_shape("F32", "[1.0]", "[0,4]", 4, "shape: expected an integer");
    refuse_shape("F32", "[\"1\"]", "[0,4]", 4, "shape: expected an integer");
    refuse_shape("F32", "[-1]", "[0,4]", 4, "-1 is negative");
    refuse_shape("F32", "[-1,-1]", "[0,4]", 4, "-1 is negative");
    refuse_shape("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]", 4, "at most 8");
    refuse_shape("F32", "[1]", "[0]", 4, "a begin and an end");
    refuse_shape("F32", "[1]", "[0,4,8]", 4, "at most 2");
    refuse_shape("F32", "[1]", "[4,0]", 4, "a begin and an end");
    refuse_shape("F32", "[1]", "[-4,0]", 4, "-4 is negative");
    refuse_shape("F32", "[2]", "[0,4]", 4, "ask for 8 bytes");
    refuse_shape("F16", "[1]", "[0,4]", 4, "ask for 2 bytes");
    refuse_shape("F32", "[0]", "[0,4]", 4, "ask for 0 bytes");
    refuse_shape("F4", "[3]", "[0,2]", 2, "do not fill the last byte");
    refuse_shape("F6_E3M2", "[2]", "[0,2]", 2, "do not fill the last byte");
}

static void refuses_overflow(void **state)
{
    (void)state;
    refuse_shape("U8", "[9223372036854775807,3]", "[0,0]", 0, "too large");
    refuse_shape("U8", "[4294967296,4294967296]", "[0,0]", 0, "too large");
    refuse_shape("F32", "[4611686018427387904]", "[0,0]", 0, "too large");
    refuse_shape("U8", "[0,9223372036854775807,2]", "[0,0]", 0, "too large");
    refuse_shape("U8", "[9223372036854775807,2,0]", "[0,0]", 0, "too large");
    refuse_shape("U8", "[8]", "[9223372036854775800,9223372036854775807]", 0,
                 "ask for 8 bytes");
    refuse_shape("U8", "[7]", "[9223372036854775800,9223372036854775807]", 0,
                 "has only 0 bytes");
    refuse_shape("U8", "[0]", "[1,1]", 0, "has only 0 bytes");
    refuse_entry("{\"dtype\":\"U8\",\"shape\":[18446744073709551616],"
                 "\"data_offsets\":[0,0]}",
                 0, "too big integer");
}

#define U8(n, begin, end)                                                      \
    "{\"dtype\":\"U8\",\"shape\":[" #n "],\"data_offsets\":[" #begin "," #end  \
    "]}"

static void refuses_holes_and_overlaps(void **state)
{
    (void)state;
    refuse("{\"a\":" U8(4, 0, 4) "}", 5, "the last 1 bytes belong to no");
    refuse("{\"a\":" U8(4, 0, 4) "}", 3, "has only 3 bytes");
    refuse("{}", 1, "the last 1 bytes belong to no");
    refuse("{\"a\":" U8(4, 1, 5) "}", 5,
           "1 bytes before tensor \"a\" belong to no");
    refuse("{\"a\":" U8(2, 0, 2) ",\"b\":" U8(2, 3, 5) "}", 5,
           "1 bytes before tensor \"b\" belong to no");
    refuse("{\"a\":" U8(2, 0, 2) ",\"b\":" U8(2, 1, 3) "}", 3,
           "tensor \"b\" overlaps another");
    refuse("{\"a\":" U8(2, 0, 2) ",\"b\":" U8(2, 0, 2) "}", 2,
           "overlaps another");
    refuse("{\"b\":" U8(4, 0, 4) ",\"a\":" U8(0, 2, 2) "}", 4,
           "tensor \"a\" overlaps another");
}

static void refuses_wrong_headers(void **state)
{
    (void)state;
    refuse("", 0, "does not begin with '{'");
    refuse(" {}", 0, "does not begin with '{'");
    refuse("[]", 0, "does not begin with '{'");
    refuse("{", 0, "end of file");
    refuse("{}x", 0, "end of file expected");
    refuse("{\"a\":" U8(1, 0, 1) ",\"a\":" U8(1, 0, 1) "}", 1, "duplicate");
    refuse("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
           "\"data_offsets\":[0,1]}}",
           1, "duplicate");
    refuse("{\"\xff\":" U8(1, 0, 1) "}", 1, "unable to decode byte");
    refuse("{\"a\\u0000\":" U8(1, 0, 1) "}", 1, "\\u0000");
    refuse("{\"__metadata__\":[]}", 0, "expected an object, found an array");
    refuse("{\"__metadata__\":{\"k\":1}}", 0,
           "key \"k\": expected a string, found an integer");
    refuse("{\"__metadata__\":{\"k\":{}}}", 0, "expected a string");
}

static void refuses_wrong_lengths(void **state)
{
    static const unsigned char huge[16] = {255, 255, 255, 255, 255,
                                           255, 255, 255, '{', '}'};
    static const unsigned char above[16] = {0x01, 0xe1, 0xf5, 0x05};
    static const unsigned char at[16] = {0x00, 0xe1, 0xf5, 0x05};

    (void)state;
    refuse_file(put_in_folder("x", "", 0), "(0 bytes long)");
    refuse_file(put_in_folder("x", "\2\0\0\0\0\0\0", 7), "(7 bytes long)");
    refuse_file(put_in_folder("x", "\0\0\0\0\0\0\0", 8), "does not begin");
    refuse_file(put_in_folder("x", "\2\0\0\0\0\0\0\0{", 9), "ends within");
    refuse_file(put_in_folder("x", huge, 16), "header of 18446744073709551615");
    refuse_file(put_in_folder("x", above, 16), "header of 100000001 bytes");
    refuse_file(put_in_folder("x", at, 16), "ends within its header");
}

/* ---- all at once --------------------------------------------------------- */

/* Touches every byte: outside the map it would crash. */
static unsigned sum_of(const weft_st *st)
{
    unsigned sum = 0;

    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);
        const unsigned char *p = t->data;

        for (size_t k = 0; k < t->bytes; k++) sum += p[k];
    }
    return sum;
}

static unsigned char *load(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = malloc(1 << 16);

    assert_non_null(f);
    *n = fread(bytes, 1, 1 << 16, f);
    fclose(f);
    return bytes;
}

static void refuses_every_truncation(void **state)
{
    size_t n;
    unsigned char *bytes = load(GOLDEN "kinds.safetensors", &n);

    (void)state;
    for (size_t i = 0; i < n; i++)
        refuse_file(put_in_folder("t", bytes, i), "");
    bytes[n] = 0;
    refuse_file(put_in_folder("t", bytes, n + 1), "the last 1 bytes");
    free(bytes);
}

/* A flipped bit is refused or yields other names and numbers. */
static void survives_every_bit(void **state)
{
    size_t n;
    unsigned char *bytes = load(GOLDEN "kinds.safetensors", &n);
    int opened = 0;

    (void)state;
    for (size_t i = 0; i < 8 * (n - 140); i++) {
        weft_st *st = NULL;

        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        if (weft_st_open(put_in_folder("t", bytes, n), &st) == WEFT_OK) {
            sum_of(st);
            opened++;
        } else {
            assert_int_equal(strncmp(weft_fail_text(), folder, strlen(folder)),
                             0);
        }
        weft_st_close(st);
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    assert_in_range(opened, 1, 8 * (n - 140));
    free(bytes);
}

static void refuses_other_things(void **state)
{
    const char *path;

    (void)state;
    refuse_file(in_folder("missing"), "No such file");
    refuse_file(folder, "is a folder, not a file");
    path = in_folder("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    refuse_file(path, "is not a regular file"); /* and does not hang */
    refuse_file("/dev/zero", "is not a regular file");
    refuse_file("", "cannot open");
    if (geteuid() == 0) return; /* may read everything */
    path = put_model("secret", "{}", 0);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(weft_st_open(path, &(weft_st *){NULL}), WEFT_EIO);
    assert_non_null(strstr(weft_fail_text(), "Permission denied"));
}

/* ---- wrong indexes ------------------------------------------------------- */

static const char *put_index(const char *text)
{
    return put_in_folder("m.index.json", text, strlen(text));
}

static void refuse_index(const char *text, const char *words)
{
    refuse_file(put_index(text), words);
    assert_non_null(strstr(weft_fail_text(), "m.index.json"));
}

static void opens_each_shard_once(void **state)
{
    weft_st *st;
    size_t bytes = 0;

    (void)state;
    put_model("s1", "{\"a\":" U8(1, 0, 1) ",\"c\":" U8(1, 1, 2) "}", 2);
    put_model("s2", "{\"b\":" U8(1, 0, 1) ",\"d\":" U8(1, 1, 2) "}", 2);
    for (int i = 0; i < 2; i++) {
        st = accept_file(in_folder(i ? "s2" : "s1"));
        bytes += weft_st_bytes(st);
        weft_st_close(st);
    }
    st = accept_file(put_index("{\"weight_map\":{\"a\":\"s1\",\"d\":\"s2\","
                               "\"c\":\"s1\",\"b\":\"s2\"}}"));
    assert_int_equal(weft_st_bytes(st), bytes);
    assert_int_equal(*(const char *)weft_st_find(st, "c")->data, 1);
    assert_int_equal(*(const char *)weft_st_find(st, "b")->data, 0);
    weft_st_close(st);
}

static void refuses_wrong_indexes(void **state)
{
    (void)state;
    put_model("s1", "{\"a\":" U8(1, 0, 1) ",\"b\":" U8(1, 1, 2) "}", 2);
    put_model("s2", "{\"a\":" U8(1, 0, 1) "}", 2);
    refuse_index("", "m.index.json");
    refuse_index("[]", "expected an object");
    refuse_index("{}", "has no \"weight_map\"");
    refuse_index("{\"weight_map\":[]}", "expected an object, found an array");
    refuse_index("{\"weight_map\":{},\"metadata\":1}", "expected an object");
    refuse_index("{\"weight_map\":{},\"x\":1}", "key \"x\" is not known");
    refuse_index("{\"weight_map\":{\"a\":1}}", "expected a string");
    refuse_index("{\"weight_map\":{\"a\":\"s1\",\"a\":\"s1\"}}", "duplicate");
    refuse_index("{\"weight_map\":{\"a\":\"\"}}", "not the name of a file");
    refuse_index("{\"weight_map\":{\"a\":\".\"}}", "not the name of a file");
    refuse_index("{\"weight_map\":{\"a\":\"..\"}}", "not the name of a file");
    refuse_index("{\"weight_map\":{\"a\":\"../s1\"}}", "not the name of a");
    refuse_index("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "not the name");
    refuse_index("{\"weight_map\":{\"c\":\"s1\"}}", "tensor \"c\" is not in ");
    refuse_index("{\"weight_map\":{\"a\":\"s0\"}}", "/s0: cannot open");
    /* The tensor that the map names is right, but not the rest. */
    refuse_index("{\"weight_map\":{\"a\":\"s2\"}}", "/s2: the last 1 bytes");
}

/* ---- memory -------------------------------------------------------------- */

/* Pages of the mapping around `at` that are in memory. */
static size_t pages_in(const void *at)
{
    const uintptr_t place = (uintptr_t)at;
    FILE *f = fopen("/proc/self/smaps", "r");
    size_t count = 0;
    char line[512];
    bool mine = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long lo, hi, kb;

        if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
            mine = lo <= place && place < hi;
        if (mine && sscanf(line, "Rss: %lu kB", &kb) == 1)
            count = kb * 1024 / (size_t)sysconf(_SC_PAGESIZE);
    }
    fclose(f);
    return count;
}

static void drops_pages_and_keeps_bytes(void **state)
{
    enum { MIB = 1 << 20 };
    char header[256];
    weft_st *st;
    const weft_st_tensor *a;
    size_t pages;
    unsigned sum;

    (void)state;
    /* "b" is longer than a page, but holds none whole. */
    snprintf(header, sizeof header,
             "{\"a\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
             "\"b\":{\"dtype\":\"U8\",\"shape\":[5000],\"data_offsets\":"
             "[%d,%d]},\"e\":" U8(0, 0, 0) "}",
             4 * MIB, 4 * MIB, 4 * MIB, 4 * MIB + 5000);
    st = accept(header, 4 * MIB + 5000);
    a = weft_st_find(st, "a");
    sum = sum_of(st);
    pages = pages_in(a->data);
    assert_true(pages >= 1024);
    weft_st_drop(st, weft_st_find(st, "b"));
    weft_st_drop(st, weft_st_find(st, "e"));
    assert_int_equal(pages_in(a->data), pages);
    weft_st_drop(st, a);
    assert_in_range(pages_in(a->data), 1, 4);
    assert_int_equal(sum_of(st), sum);
    weft_st_close(st);
}

/* ---- run ----------------------------------------------------------------- */

static int end_tests(void **state)
{
    static const char *const names[] = {
        "bad.safetensors", "good.safetensors", "x",  "t", "pipe",
        "secret",          "m.index.json",     "s1", "s2"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(counts_in_name_order),
        cmocka_unit_test(reads_shards),
        cmocka_unit_test(accepts_odd_files),
        cmocka_unit_test(refuses_wrong_entries),
        cmocka_unit_test(refuses_overflow),
        cmocka_unit_test(refuses_holes_and_overlaps),
        cmocka_unit_test(refuses_wrong_headers),
        cmocka_unit_test(refuses_wrong_lengths),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(survives_every_bit),
        cmocka_unit_test(refuses_other_things),
        cmocka_unit_test(opens_each_shard_once),
        cmocka_unit_test(refuses_wrong_indexes),
        cmocka_unit_test(drops_pages_and_keeps_bytes),
    };

    weft_st_close(NULL);
    return cmocka_run_group_tests(tests, make_folder, end_tests);
}
