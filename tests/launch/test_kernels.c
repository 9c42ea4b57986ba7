/* run.kernels: auto takes what fits, however many ranks there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "launch/kernels.h"

static void must(weft_status st)
{
    if (st != WEFT_OK) fail_msg("%s", weft_fail_text());
}

static void load(const char *kernels, double gib, weft_config *c)
{
    char memory[64], name[64];
    const char *const override[] = {name, memory, "sample.width=64",
                                    "sample.height=320"};

    snprintf(name, sizeof name, "run.kernels=%s", kernels);
    snprintf(memory, sizeof memory, "run.memory=%.12f", gib);
    must(weft_config_load(WEFT_SOURCE_DIR "/configs/demo.yaml", override,
                          gib > 0 ? 4 : 1, c));
}

/* What is taken of `kernels` with so much memory of a rank, on a node of so
 * much. */
static void check(const char *kernels, double rank, double node, int ranks,
                  const char *want)
{
    weft_machine m;
    weft_config c;
    weft_setup s;

    load(kernels, rank / 1073741824, &c);
    must(weft_machine_find(&c, 1, &m));
    m.memory_bytes = node;
    must(weft_setup_make(&c, ranks, 1, NULL, &m, &s));
    assert_string_equal(s.dev->name, want);
    assert_string_equal(s.plan.kernels, want);
    weft_setup_release(&s);
    weft_config_release(&c);
}

/* Of each kind for the config that `check` plans. */
static void needs(double bytes[2])
{
    static const char *const name[] = {"lean", "fast"};
    weft_machine m;
    weft_config c;
    weft_setup s;

    load("reference", 1, &c);
    must(weft_machine_find(&c, 1, &m));
    must(weft_setup_make(&c, 1, 1, NULL, &m, &s));
    assert_string_equal(s.dev->name, "reference");
    for (int i = 0; i < 2; i++) {
        const weft_device *dev;
        size_t need;

        must(weft_device_find(name[i], NULL, &dev));
        must(weft_kernels_need(&s, dev, &need));
        bytes[i] = (double)need;
    }
    weft_setup_release(&s);
    weft_config_release(&c);
}

static void takes_what_fits(void **state)
{
    double bytes[2], between;

    (void)state;
    needs(bytes);
    assert_true(bytes[0] < bytes[1] - 4096);
    between = bytes[1] - 1024;
    for (int ranks = 1; ranks <= 5; ranks += ranks > 2 ? 2 : 1) {
        check("auto", bytes[1] * 1.5, 0, ranks, "fast");
        check("auto", between, 0, ranks, "lean");
    }
    check("auto", 0, 0, 1, "fast");
    check("auto", 0, 1e12, 1, "fast");
    check("auto", 0, 1, 1,
          "lean"); /* nothing was said, so nothing is refused */
    check("fast", 0, 1, 1, "fast");
    check("auto", bytes[1] * 1.5, 1, 1, "fast"); /* it was said */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_what_fits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
