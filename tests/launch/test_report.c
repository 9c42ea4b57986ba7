/* JSON lines, and the progress line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/io/file.h"
#include "launch/progress.h"
#include "launch/report.h"

static char *read_all(const char *path)
{
    char *text;
    size_t n;

    assert_int_equal(weft_file_read(path, 1 << 20, &text, &n), WEFT_OK);
    return text;
}

static void test_lines(void **state)
{
    char folder[] = "/tmp/weft-report-XXXXXX", path[64];
    weft_report *r;
    char *text;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/new/run.jsonl", folder);
    assert_int_equal(weft_report_open(path, &r), WEFT_OK);
    assert_int_equal(weft_report_event(r, "start", NULL), WEFT_OK);
    text = read_all(path); /* there before it is closed */
    assert_string_equal(text, "{\"event\": \"start\"}\n");
    free(text);
    weft_report_close(r);

    assert_int_equal(weft_report_open(path, &r), WEFT_OK);
    assert_int_equal(
        weft_report_event(r, "image",
                          json_pack("{s:s, s:f, s:I}", "b", "x\ny", "a", 0.25,
                                    "c", (json_int_t)INT64_MAX)),
        WEFT_OK);
    weft_report_close(r);
    text = read_all(path);
    assert_string_equal(text, "{\"event\": \"start\"}\n"
                              "{\"event\": \"image\", \"b\": \"x\\ny\", "
                              "\"a\": 0.25, \"c\": 9223372036854775807}\n");
    free(text);
    unlink(path);
    snprintf(path, sizeof path, "%s/new", folder);
    rmdir(path);
    rmdir(folder);
}

static void test_no_report(void **state)
{
    weft_report *r = (weft_report *)&r;

    (void)state;
    assert_int_equal(weft_report_open(NULL, &r), WEFT_OK);
    assert_null(r);
    assert_int_equal(weft_report_event(r, "x", json_object()), WEFT_OK);
    weft_report_close(r);
}

static void test_unwritable(void **state)
{
    weft_report *r;

    (void)state;
    assert_int_not_equal(weft_report_open("/proc/no/r.jsonl", &r), WEFT_OK);
    assert_null(r);
    assert_int_equal(weft_report_open("/dev/full", &r), WEFT_OK);
    assert_int_equal(weft_report_event(r, "x", NULL), WEFT_EIO);
    assert_string_equal(weft_fail_text(), "/dev/full: cannot be written: No "
                                          "space left on device");
    weft_report_close(r);
}

/* The names that the summary must have, from the contract with its readers. */
static void test_summary(void **state)
{
    static const char *const keys[] = {
        "ranks",          "threads",          "evaluations",
        "seconds_total",  "seconds_sampling", "seconds_first_eval",
        "seconds_decode", "peak_rss_bytes",   "weights_mapped_bytes",
        "bytes_sent",     "messages_sent",    "weights_packed_bytes",
        "wait_exposed_s", "comm_hidden_s",    "wait_exposed_async_s",
        "max_age",        "drifted"};
    static const char *const classes[] = {"border",      "kv",     "moments",
                                          "latents",     "output", "control",
                                          "redistribute"};
    weft_summary s = {.ranks = 3, .evaluations = 1LL << 40, .seconds_total = 2};
    json_t *json;

    (void)state;
    for (int i = 0; i < WEFT_CLASSES; i++) s.bytes_sent[i] = 100 + i;
    json = weft_summary_json(&s);
    assert_int_equal(json_object_size(json), sizeof keys / sizeof *keys);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(json, keys[i]) == NULL) fail_msg("%s", keys[i]);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (!json_object_get(json_object_get(json, "bytes_sent"), classes[i]))
            fail_msg("%s", classes[i]);
    assert_true(json_integer_value(json_object_get(json, "evaluations")) ==
                1LL << 40);
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(json, "bytes_sent"), "control")),
                     100 + WEFT_CONTROL);
    json_decref(json);
}

static void test_peak(void **state)
{
    const int64_t before = weft_peak_rss();
    enum { BYTES = 64 << 20 };
    volatile char *block = malloc(BYTES);

    (void)state;
    for (int i = 0; i < BYTES; i += 4096) block[i] = 1;
    assert_true(before > 100000);
    assert_true(weft_peak_rss() - before > BYTES / 2);
    free((void *)block);
}

/* ---- progress
 * ---------------------------------------------------------------- */

static void check_text(int done, double passed, const char *expected)
{
    const weft_progress p = {
        .what = "sampling", .total = 30, .done = done, .start = 100};
    char text[160];

    weft_progress_text(&p, 100 + passed, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_progress_text(void **state)
{
    (void)state;
    check_text(0, 5, "sampling 0/30");
    check_text(12, 4, "sampling 12/30, 3 it/s, 6.0 s left");
    check_text(12, 40, "sampling 12/30, 0.3 it/s, 60 s left");
    check_text(1, 10, "sampling 1/30, 0.1 it/s, 4:50 min left");
    check_text(1, 1000, "sampling 1/30, 0.001 it/s, 8:03 h left");
    check_text(30, 3, "sampling 30/30, 10 it/s, in 3.0 s");
}

/* What a run of many quick steps shows on `out`, read at the other end up to
 * the line feed: a terminal may hand it over in pieces. */
static void run(FILE *out, int read_end, char *text, size_t room)
{
    weft_progress p;
    size_t n = 0;

    weft_progress_start(&p, out, "sampling", 1000);
    for (int i = 1; i <= 1000; i++) weft_progress_step(&p, i);
    weft_progress_end(&p);
    while (n == 0 || text[n - 1] != '\n') {
        const ssize_t more = read(read_end, text + n, room - 1 - n);
        assert_true(more > 0);
        n += (size_t)more;
    }
    text[n] = '\0';
}

static void test_progress_log(void **state)
{
    char text[4096];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    FILE *out = fdopen(ends[1], "w");
    run(out, ends[0], text, sizeof text);
    fclose(out);
    close(ends[0]);
    assert_memory_equal(text, "sampling 1000/1000, ", 20);
    assert_null(strchr(text, '\r'));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_progress_terminal(void **state)
{
    char text[4096];
    int master, slave;

    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    FILE *out = fdopen(slave, "w");
    run(out, master, text, sizeof text);
    fclose(out);
    close(master);
    assert_memory_equal(text, "\rsampling 0/1000\033[K\r", 20);
    assert_non_null(strstr(text, "\rsampling 1000/1000, "));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_progress_silent(void **state)
{
    weft_progress p;

    (void)state;
    weft_progress_start(&p, NULL, "x", 1);
    weft_progress_step(&p, 1);
    weft_progress_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_no_report),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_progress_text),
        cmocka_unit_test(test_progress_log),
        cmocka_unit_test(test_progress_terminal),
        cmocka_unit_test(test_progress_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
