/* run.kernels: which are taken, and what they make of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "launch/setup.h"

/* What is taken of `kernels`, and the weights that it packs. */
static size_t packed(const char *kernels, int ranks, const char *want)
{
    char name[64];
    const char *const override[] = {name};
    size_t sum = 0;
    weft_machine m;
    weft_config c;
    weft_setup s;

    snprintf(name, sizeof name, "run.kernels=%s", kernels);
    if (weft_config_load(WEFT_SOURCE_DIR "/configs/demo.yaml", override, 1,
                         &c) != WEFT_OK ||
        weft_machine_find(&c, 1, &m) != WEFT_OK ||
        weft_setup_make(&c, ranks, 1, NULL, &m, &s) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_string_equal(s.dev->name, want);
    assert_string_equal(s.plan.kernels, want);
    for (int i = 0; i < s.plan.nnets; i++) sum += s.plan.net[i].weight_bytes;
    weft_setup_release(&s);
    weft_config_release(&c);
    return sum;
}

static void auto_is_fast_and_packs_what_lean_does(void **state)
{
    const size_t lean = packed("lean", 1, "lean");

    (void)state;
    assert_true(lean > 1 << 20);
    for (int ranks = 1; ranks <= 5; ranks += ranks > 2 ? 2 : 1) {
        assert_int_equal(packed("fast", ranks, "fast"), lean);
        assert_int_equal(packed("auto", ranks, "fast"), lean);
    }
    packed("reference", 1, "reference");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_is_fast_and_packs_what_lean_does)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
