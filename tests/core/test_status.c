#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/status.h"

static weft_status inner(void)
{
    return weft_fail(WEFT_EINPUT, "a.yaml:%d: unknown key", 3);
}

static weft_status outer(void)
{
    WEFT_TRY(inner());
    return WEFT_OK;
}

static void the_first_to_know_says_it(void **state)
{
    (void)state;
    assert_int_equal(outer(), WEFT_EINPUT);
    assert_string_equal(weft_fail_text(), "a.yaml:3: unknown key");
    assert_int_equal(weft_fail_within(WEFT_EIO, "rank %d", 2), WEFT_EIO);
    assert_string_equal(weft_fail_text(), "rank 2: a.yaml:3: unknown key");
}

static void texts_cannot_steer_a_terminal(void **state)
{
    (void)state;
    weft_fail(WEFT_EIO, "%s", "a\x1b[2Jb\tc\x7f\nd \xc3\xa9");
    assert_string_equal(weft_fail_text(), "a?[2Jb?c?\nd \xc3\xa9");
    weft_fail(WEFT_EIO, "y");
    weft_fail_within(WEFT_EIO, "%s", "x\x1b[2J");
    assert_string_equal(weft_fail_text(), "x?[2J: y");
}

static void long_texts_are_cut(void **state)
{
    char text[5000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    weft_fail(WEFT_EIO, "%s", text);
    assert_int_equal(strlen(weft_fail_text()), 2047);
    weft_fail_within(WEFT_EIO, "%s", text);
    assert_int_equal(strlen(weft_fail_text()), 2047);
}

static void exit_codes_are_as_published(void **state)
{
    (void)state;
    assert_int_equal(weft_exit_code(WEFT_OK), 0);
    assert_int_equal(weft_exit_code(WEFT_EINPUT), 2);
    assert_int_equal(weft_exit_code(WEFT_EIO), 1);
    assert_int_equal(weft_exit_code(WEFT_ENAN), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_to_know_says_it),
        cmocka_unit_test(texts_cannot_steer_a_terminal),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(exit_codes_are_as_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
