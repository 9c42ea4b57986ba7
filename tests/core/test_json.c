/*
 * JSON: what is accepted is what Python's json.loads gives (values are written
 * out here by hand); everything else is refused with file and key.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>
#include <limits.h>
#include <unistd.h>

#include "core/model/json.h"

static weft_json *parse(const char *text)
{
    weft_json *json = NULL;

    if (weft_json_parse("a.json", text, strlen(text), &json) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    return json;
}

static void refuse(const char *text, size_t bytes, const char *words)
{
    weft_json *json = NULL;

    assert_int_equal(weft_json_parse("a.json", text, bytes, &json),
                     WEFT_EINPUT);
    assert_null(json);
    if (strncmp(weft_fail_text(), "a.json", 6) != 0 ||
        strstr(weft_fail_text(), words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
}

/* The status must be WEFT_EINPUT, and the text exactly this. */
static void says(weft_status status, const char *text)
{
    assert_int_equal(status, WEFT_EINPUT);
    assert_string_equal(weft_fail_text(), text);
}

static void reads_values(void **state)
{
    weft_json *json = parse("{\"i\": -7, \"d\": 1e-05, \"w\": 3, \"t\": true,"
                            "\"f\": false, \"s\": \"\\u00e9\\n\","
                            "\"big\": 2147483647}");
    const char *s;
    double d;
    int i;
    bool b;

    (void)state;
    assert_int_equal(weft_json_int(json, "i", 0, -7, 7, &i), WEFT_OK);
    assert_int_equal(i, -7);
    assert_int_equal(weft_json_int(json, "big", 0, 0, INT_MAX, &i), WEFT_OK);
    assert_int_equal(i, INT_MAX);
    assert_int_equal(weft_json_double(json, "d", 0, &d), WEFT_OK);
    assert_true(d == 1e-05);
    assert_int_equal(weft_json_double(json, "w", 0, &d), WEFT_OK);
    assert_true(d == 3.0);
    assert_int_equal(weft_json_bool(json, "t", false, &b), WEFT_OK);
    assert_true(b);
    assert_int_equal(weft_json_bool(json, "f", true, &b), WEFT_OK);
    assert_false(b);
    assert_int_equal(weft_json_string(json, "s", NULL, &s), WEFT_OK);
    assert_string_equal(s, "\xc3\xa9\n");
    assert_string_equal(weft_json_name(json), "a.json");
    weft_json_free(json);
}

/* transformers' "no limit" is one of 31 digits. */
static void takes_whole_numbers_of_any_length(void **state)
{
    static const struct {
        const char *key;
        double value;
    } all[] = {{"limit", 1e30},
               {"below", -1e20},
               {"fraction", 0.1234567890123456789},
               {"small", 1e-9},
               {"least", 1.5e-20}};
    weft_json *json = parse("{\"limit\":1000000000000000019884624838656,"
                            "\"below\": -100000000000000000000, "
                            "\"fraction\": 0.1234567890123456789012345, "
                            "\"small\": 1000000000000000000000e-30, "
                            "\"least\": 1.5e-00000000000000000000020, "
                            "\"text\": \"\\\"1000000000000000000000000\", "
                            "\"id\": 9223372036854775807}");
    const char *text;
    double d;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(weft_json_double(json, all[i].key, 0, &d), WEFT_OK);
        if (!(fabs(d - all[i].value) <= 1e-13 * fabs(all[i].value)))
            fail_msg("%s is %.17g", all[i].key, d);
    }
    assert_int_equal(weft_json_string(json, "text", NULL, &text), WEFT_OK);
    assert_string_equal(text, "\"1000000000000000000000000");
    weft_json_free(json);
}

static void falls_back(void **state)
{
    weft_json *json = parse("{\"n\": null, \"zero\": 0, \"low\": -Infinity, "
                            "\"high\": Infinity, \"word\": \"\\\"Infinity\"}");
    static const char *const keys[] = {"n", "missing", "low", "high"};
    const char *s = "x";
    double d;
    int i, n = 9;
    bool b = false;

    (void)state;
    assert_int_equal(weft_json_string(json, "word", NULL, &s), WEFT_OK);
    assert_string_equal(s, "\"Infinity");
    for (int k = 0; k < 4; k++) {
        const char *key = keys[k];

        assert_false(weft_json_has(json, key));
        assert_int_equal(weft_json_int(json, key, -5, 0, 9, &i), WEFT_OK);
        assert_int_equal(i, -5); /* the default need not be in range */
        assert_int_equal(weft_json_double(json, key, 0.5, &d), WEFT_OK);
        assert_true(d == 0.5);
        assert_int_equal(weft_json_bool(json, key, true, &b), WEFT_OK);
        assert_true(b);
        assert_int_equal(weft_json_string(json, key, NULL, &s), WEFT_OK);
        assert_null(s);
        assert_int_equal(weft_json_ints(json, key, 0, 9, &i, 1, &n), WEFT_OK);
        assert_int_equal(n, 0);
    }
    assert_true(weft_json_is_null(json, "n"));
    assert_false(weft_json_is_null(json, "missing"));
    assert_false(weft_json_is_null(json, "zero"));
    weft_json_free(json);
}

static void reads_arrays(void **state)
{
    weft_json *json = parse("{\"i\": [1, 2, 3], \"one\": 4, \"d\": [0.5, 2],"
                            "\"s\": [\"a\", \"b\"], \"e\": []}");
    const char *s[2];
    double d[2];
    int i[3], n;

    (void)state;
    assert_int_equal(weft_json_ints(json, "i", 1, 3, i, 3, &n), WEFT_OK);
    assert_int_equal(n, 3);
    assert_int_equal(i[0] + 10 * i[1] + 100 * i[2], 321);
    assert_int_equal(weft_json_ints(json, "one", 0, 9, i, 3, &n), WEFT_OK);
    assert_int_equal(n, 1);
    assert_int_equal(i[0], 4);
    assert_int_equal(weft_json_doubles(json, "d", d, 2, &n), WEFT_OK);
    assert_int_equal(n, 2);
    assert_true(d[0] == 0.5 && d[1] == 2.0);
    assert_int_equal(weft_json_strings(json, "s", s, 2, &n), WEFT_OK);
    assert_int_equal(n, 2);
    assert_string_equal(s[1], "b");
    assert_int_equal(weft_json_ints(json, "e", 0, 9, i, 3, &n), WEFT_OK);
    assert_int_equal(n, 0);
    weft_json_free(json);
}

static void refuses_wrong_types(void **state)
{
    weft_json *json = parse("{\"s\": \"x\", \"r\": 1.0, \"a\": [1, true],"
                            "\"o\": {}, \"l\": 5000000000, \"three\": 3}");
    const char *s;
    double d;
    int i[2], n;
    bool b;

    (void)state;
    says(weft_json_int(json, "s", 0, 0, 9, i),
         "a.json: key \"s\": expected an integer, found a string");
    says(weft_json_int(json, "r", 0, 0, 9, i),
         "a.json: key \"r\": expected an integer, found a real number");
    says(weft_json_int(json, "l", 0, 0, 9, i),
         "a.json: key \"l\": 5000000000 is not within 0 to 9");
    says(weft_json_int(json, "l", 0, INT_MAX, INT_MAX, i),
         "a.json: key \"l\": 5000000000 is not within 2147483647 to "
         "2147483647");
    says(weft_json_int(json, "three", 0, 4, 9, i),
         "a.json: key \"three\": 3 is not within 4 to 9");
    says(weft_json_bool(json, "l", 0, &b),
         "a.json: key \"l\": expected true or false, found an integer");
    says(weft_json_double(json, "o", 0, &d),
         "a.json: key \"o\": expected a number, found an object");
    says(weft_json_string(json, "a", NULL, &s),
         "a.json: key \"a\": expected a string, found an array");
    says(weft_json_ints(json, "a", 0, 9, i, 2, &n),
         "a.json: key \"a\": expected an integer, found true");
    says(weft_json_ints(json, "a", 0, 9, i, 1, &n),
         "a.json: key \"a\": 2 values, at most 1 are accepted");
    says(weft_json_ints(json, "o", 0, 9, i, 2, &n),
         "a.json: key \"o\": expected an integer, found an object");
    weft_json_free(json);
}

static void refuses_unread_options(void **state)
{
    static const char *const harmless[] = {"dropout", NULL};
    weft_json *json = parse("{\"_class_name\": \"X\", \"a\": 1, \"off\": null,"
                            "\"dropout\": 0.1, \"b\": 2}");
    int i;

    (void)state;
    assert_true(weft_json_has(json, "b"));
    says(weft_json_refuse_rest(json, harmless),
         "a.json: option \"a\" is not supported");
    assert_int_equal(weft_json_int(json, "a", 0, 0, 9, &i), WEFT_OK);
    says(weft_json_refuse_rest(json, harmless),
         "a.json: option \"b\" is not supported");
    assert_int_equal(weft_json_int(json, "b", 0, 0, 9, &i), WEFT_OK);
    assert_int_equal(weft_json_refuse_rest(json, harmless), WEFT_OK);
    says(weft_json_refuse_rest(json, NULL),
         "a.json: option \"dropout\" is not supported");
    weft_json_free(json);
}

static void refuses_bad_text(void **state)
{
    static const char *const bad[][2] = {
        {"", "a.json"},
        {" ", "a.json"},
        {"[]", "expected an object, found an array"},
        {"1", "expected an object, found an integer"},
        {"{", "end of file"},
        {"{}x", "end of file expected"},
        {"{}{}", "end of file expected"},
        {"\xef\xbb\xbf{}", "invalid token"},
        {"{'a': 1}", "a.json:1:"},
        {"{\"a\": 1,}", "a.json:1:"},
        {"{\"a\": NaN}", "a.json:1:"},
        {"{\"a\": +Infinity}", "a.json:1:"},
        {"{Infinity: 1}", "a.json:1:"},
        {"{\"a\": 1e999}", "real number overflow"},
        {"{\"a\": 01}", "a.json:1:"},
        {"{\"a\": .5}", "a.json:1:"},
        {"{\"a\": \"\xff\"}", "unable to decode byte 0xff"},
        {"{\"a\": \"\xc0\x80\"}", "unable to decode byte 0xc0"},
        {"{\"a\": \"\\u0000\"}", "\\u0000"},
        {"{\"a\": \"\\ud800\"}", "a.json:1:"},
        {"{\"a\": 1,\n \"a\": 2}", "a.json:2:"},
        {"{\"o\": {\"a\": 1, \"a\": 1}}", "duplicate"},
        {"{\"a\": 1} // no", "end of file expected"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse(bad[i][0], strlen(bad[i][0]), bad[i][1]);
    refuse("{\"a\": 1}\0", 9, "a.json:1:"); /* a zero byte at the end */
    refuse("{\"a\": \"x\0y\"}", 12, "a.json:1:");
}

/* 63 arrays in an object are 64 levels; quoted brackets are none. */
static void limits_depth(void **state)
{
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG);
    weft_json *json;

    (void)state;
    for (int n = 63; n <= 64; n++) {
        const size_t at = (size_t)snprintf(text, LONG, "{\"a\\\"[[\": ");

        memset(text + at, '[', (size_t)n);
        memset(text + at + n, ']', (size_t)n);
        memcpy(text + at + 2 * n, "}", 2);
        if (n == 63) {
            json = parse(text);
            weft_json_free(json);
        } else {
            refuse(text, strlen(text), "nested more than 64 deep");
        }
    }
    memset(text, '[', LONG);
    refuse(text, LONG, "nested more than 64 deep");
    memset(text, '{', LONG);
    refuse(text, LONG, "nested more than 64 deep");
    free(text);
}

static void limits_size(void **state)
{
    enum { MOST = 16 << 20 };
    char *text = malloc(MOST + 1);
    weft_json *json;

    (void)state;
    memset(text, ' ', MOST + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(weft_json_parse("a.json", text, MOST, &json), WEFT_OK);
    weft_json_free(json);
    refuse(text, MOST + 1, "longer than 16777216 bytes");
    free(text);
}

/* Every proper prefix of an object is not an object. */
static void refuses_every_truncation(void **state)
{
    static const char text[] = "{\"a\": [1, 2.5e-3, \"x\\u00e9\"], \"b\": null,"
                               " \"c\": {\"d\": true, \"e\": -12}}";

    (void)state;
    weft_json_free(parse(text));
    for (size_t n = 0; n < strlen(text); n++) {
        char *exact = malloc(n + !n); /* so that one byte too many is seen */

        memcpy(exact, text, n);
        refuse(exact, n, "");
        free(exact);
    }
}

static void reads_files(void **state)
{
    char path[] = "/tmp/weft_json_XXXXXX";
    const int fd = mkstemp(path);
    weft_json *json;
    int i;

    (void)state;
    assert_int_equal(write(fd, "{\"a\": 3}", 8), 8);
    close(fd);
    assert_int_equal(weft_json_read(path, &json), WEFT_OK);
    assert_string_equal(weft_json_name(json), path);
    assert_int_equal(weft_json_int(json, "a", 0, 0, 9, &i), WEFT_OK);
    assert_int_equal(i, 3);
    weft_json_free(json);
    unlink(path);
    assert_int_equal(weft_json_read(path, &json), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), path));
    assert_int_equal(weft_json_read("/tmp", &json), WEFT_EINPUT);
    assert_string_equal(weft_fail_text(), "/tmp: is a folder, not a file");
}

static int allocations_left;

static void *scarce_malloc(size_t bytes)
{
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

/* Fail the first, the second, ... allocation of the parser: a clean failure,
 * though jansson may take a string that found no room for a wrong one. */
static void survives_lack_of_memory(void **state)
{
    static const char text[] = "{\"a\": [1, 2.5, \"x\"], \"b\": {\"c\": 1}}";
    weft_status status = WEFT_ENOMEM;
    weft_json *json;
    int n = 0;

    (void)state;
    json_set_alloc_funcs(scarce_malloc, free);
    for (; status != WEFT_OK && n < 1000; n++) {
        allocations_left = n;
        status = weft_json_parse("a.json", text, strlen(text), &json);
        if (status == WEFT_OK) weft_json_free(json);
    }
    json_set_alloc_funcs(malloc, free);
    assert_in_range(n, 10, 999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values),
        cmocka_unit_test(takes_whole_numbers_of_any_length),
        cmocka_unit_test(falls_back),
        cmocka_unit_test(reads_arrays),
        cmocka_unit_test(refuses_wrong_types),
        cmocka_unit_test(refuses_unread_options),
        cmocka_unit_test(refuses_bad_text),
        cmocka_unit_test(limits_depth),
        cmocka_unit_test(limits_size),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(reads_files),
        cmocka_unit_test(survives_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
