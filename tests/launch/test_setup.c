/* parallel.roles: auto finds what roles by name would be given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "launch/setup.h"

static weft_status make(int ranks, const char *roles, const char *memory,
                        weft_config *c, weft_setup *s)
{
    const char *const override[] = {roles, memory, "sample.width=64",
                                    "sample.height=48", "run.kernels=lean"};
    weft_machine m;
    weft_status st;

    st = weft_config_load(WEFT_SOURCE_DIR "/configs/cfg-split.yaml", override,
                          5, c);
    if (st == WEFT_OK) st = weft_machine_find(c, 1, &m);
    if (st != WEFT_OK) fail_msg("%s", weft_fail_text());
    return weft_setup_make(c, ranks, 1, NULL, &m, s);
}

/* An image of three rows: one role has a use for three ranks, two for six. */
static void conditions_part_where_there_are_too_many_ranks(void **state)
{
    weft_config c;
    weft_setup s;
    int ranks = 0;

    (void)state;
    if (make(5, "parallel.roles=auto", "run.memory=8", &c, &s) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_int_equal(s.plan.grid.patches, 5);
    for (int k = 0; k < s.plan.nroles; k++)
        if (s.plan.role[k].denoises) ranks += s.plan.role[k].ranks;
    assert_int_equal(ranks, 5);
    weft_setup_release(&s);
    weft_config_release(&c);
}

/* What is said is what is wrong with the simpler plan. */
static void what_fits_nowhere_is_refused(void **state)
{
    weft_config c;
    weft_setup s;

    (void)state;
    assert_int_equal(make(7, "parallel.roles=auto", "run.memory=8", &c, &s),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "7 groups of 1 ranks"));
    weft_config_release(&c);
    assert_int_equal(make(2, "parallel.roles=auto", "run.memory=0.001", &c, &s),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "no placement of the roles"));
    weft_config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_part_where_there_are_too_many_ranks),
        cmocka_unit_test(what_fits_nowhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
