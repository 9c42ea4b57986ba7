/* The command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "launch/cli.h"
#include "launch/suggest.h"
#include "launch/version.h"

enum { MOST_WORDS = 16 };

/* `line` split at blanks; `text` has room for it and must outlive *cli. */
static weft_status parse(const char *line, char *text, weft_cli *cli)
{
    char *argv[MOST_WORDS + 1] = {text};
    int argc = 1;

    for (; *line != '\0'; line++, text++) {
        *text = *line == ' ' ? '\0' : *line;
        if (*line == ' ') argv[argc++] = text + 1;
    }
    *text = '\0';
    return weft_cli_parse(argc, argv, cli);
}

static void test_right(void **state)
{
    weft_cli cli = {.started = 42};
    char text[512];

    (void)state;
    assert_int_equal(parse("weft sample c.yaml", text, &cli), WEFT_OK);
    assert_int_equal(cli.command, WEFT_COMMAND_SAMPLE);
    assert_string_equal(cli.path, "c.yaml");
    assert_int_equal(cli.noverrides, 0);
    assert_true(cli.started == 42);

    assert_int_equal(
        parse("weft plan --ranks 64 c.yaml a=1 --json b=2=3", text, &cli),
        WEFT_OK);
    assert_int_equal(cli.command, WEFT_COMMAND_PLAN);
    assert_int_equal(cli.ranks, 64);
    assert_true(cli.json);
    assert_int_equal(cli.noverrides, 2);
    assert_string_equal(cli.override[0], "a=1");
    assert_string_equal(cli.override[1], "b=2=3");

    assert_int_equal(parse("weft plan ./a=b.yaml --ranks=3", text, &cli),
                     WEFT_OK);
    assert_string_equal(cli.path, "./a=b.yaml");
    assert_int_equal(cli.ranks, 3);
    assert_false(cli.json);

    assert_int_equal(parse("weft bench c.yaml", text, &cli), WEFT_OK);
    assert_int_equal(cli.command, WEFT_COMMAND_BENCH);
    assert_int_equal(cli.ranks, 1);
    assert_int_equal(parse("weft inspect a=b.png", text, &cli), WEFT_OK);
    assert_int_equal(cli.command, WEFT_COMMAND_INSPECT);
}

static void check_show(const char *line, const char *begins)
{
    weft_cli cli;
    char text[512];

    assert_int_equal(parse(line, text, &cli), WEFT_OK);
    assert_int_equal(cli.command, WEFT_COMMAND_SHOW);
    assert_memory_equal(cli.show, begins, strlen(begins));
    for (const char *c = cli.show; *c != '\0';) {
        const size_t n = strcspn(c, "\n");
        assert_in_range(n, 0, 80);
        c += n + 1;
    }
}

static void test_show(void **state)
{
    (void)state;
    check_show("weft --help", "usage: weft COMMAND");
    check_show("weft -h", "usage: weft COMMAND");
    check_show("weft --version", "weft " WEFT_VERSION "\n");
    check_show("weft sample --help", "usage: weft sample CONFIG");
    check_show("weft plan c.yaml --help", "usage: weft plan CONFIG");
    check_show("weft bench -h", "usage: weft bench CONFIG");
    check_show("weft inspect --help", "usage: weft inspect PATH");
}

static void test_wrong(void **state)
{
    static const char *const cases[][2] = {
        {"weft", "expected a command; see weft --help"},
        {"weft sampel c", "unknown command \"sampel\", did you mean "
                          "\"sample\"?"},
        {"weft frobnicate", "unknown command \"frobnicate\"; known are sample, "
                            "plan, dataset, bench, inspect"},
        {"weft --hlep", "unknown option \"--hlep\", did you mean \"--help\"?"},
        {"weft sample", "weft sample needs a CONFIG; see weft sample --help"},
        {"weft inspect", "weft inspect needs a PATH; see weft inspect --help"},
        {"weft inspect a b", "weft inspect takes one PATH; \"b\" is one too "
                             "many"},
        {"weft sample sample.steps=3 c.yaml",
         "\"sample.steps=3\" stands where CONFIG should: weft sample CONFIG "
         "KEY=VALUE"},
        {"weft sample c.yaml d.yaml", "expected KEY=VALUE, found \"d.yaml\""},
        {"weft plan c --rank 3", "unknown option of weft plan \"--rank\", did "
                                 "you mean \"--ranks\"?"},
        {"weft sample c --ranks 3",
         "unknown option of weft sample \"--ranks\"; known are --help"},
        {"weft plan c --ranks", "--ranks: expected a number"},
        {"weft plan c --ranks 0", "--ranks: expected 1 to 1000000, found "
                                  "\"0\""},
        {"weft plan c --ranks=1000001", "--ranks: expected 1 to 1000000, found "
                                        "\"1000001\""},
        {"weft plan c --ranks=3x", "--ranks: expected 1 to 1000000, found "
                                   "\"3x\""},
        {"weft plan c --ranks=99999999999999999999",
         "--ranks: expected 1 to 1000000, found \"99999999999999999999\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_cli cli;
        char text[512];
        assert_int_equal(parse(cases[i][0], text, &cli), WEFT_EINPUT);
        assert_string_equal(weft_fail_text(), cases[i][1]);
    }
}

static void test_many_overrides(void **state)
{
    char *argv[WEFT_MAX_OVERRIDES + 5] = {"weft", "sample", "c"};
    weft_cli cli;

    (void)state;
    for (int i = 0; i < WEFT_MAX_OVERRIDES; i++) argv[3 + i] = "a=1";
    assert_int_equal(weft_cli_parse(3 + WEFT_MAX_OVERRIDES, argv, &cli),
                     WEFT_OK);
    assert_int_equal(cli.noverrides, WEFT_MAX_OVERRIDES);
    argv[3 + WEFT_MAX_OVERRIDES] = "a=1";
    assert_int_equal(weft_cli_parse(4 + WEFT_MAX_OVERRIDES, argv, &cli),
                     WEFT_EINPUT);
}

/* Values of the literature: kitten to sitting is 3, Saturday to Sunday 3; a
 * swap of neighbours is 1 in the alignment distance, and "ca" to "abc" 3. */
static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        int d;
    } cases[] = {{"kitten", "sitting", 3}, {"saturday", "sunday", 3},
                 {"", "abc", 3},           {"abc", "", 3},
                 {"eular", "euler", 1},    {"ab", "ba", 1},
                 {"ca", "abc", 3},         {"SAME", "same", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(weft_edit_distance(cases[i].a, cases[i].b),
                         cases[i].d);
        assert_int_equal(weft_edit_distance(cases[i].b, cases[i].a),
                         cases[i].d);
    }
}

/* The build's version is the program's. */
static void test_version(void **state)
{
    static const char expected[] = "project(weft VERSION " WEFT_VERSION " ";
    char *text;
    size_t n;

    (void)state;
    assert_int_equal(
        weft_file_read(WEFT_SOURCE_DIR "/CMakeLists.txt", 1 << 20, &text, &n),
        WEFT_OK);
    assert_non_null(strstr(text, expected));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),    cmocka_unit_test(test_show),
        cmocka_unit_test(test_wrong),    cmocka_unit_test(test_many_overrides),
        cmocka_unit_test(test_distance), cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
