/* Who computes where, on machines that we do not have and on this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "launch/topology.h"

/* Two packages of four cores of two threads; numbers run core by core: cpu 0
 * and 1 are core 0. */
static const char twin[] = "pack:2 [numa] core:4 pu:2";

static void check(const char *machine, int rank, int size, bool shared,
                  int want, const char *cpus, int numa)
{
    char said[256] = "";
    weft_topology t;

    assert_int_equal(
        weft_topology_synthetic(machine, rank, size, shared, want, &t),
        WEFT_OK);
    if (t.cpu == NULL) snprintf(said, sizeof said, "free %d", t.threads);
    for (int i = 0; t.cpu != NULL && i < t.threads; i++) {
        const size_t n = strlen(said);
        snprintf(said + n, sizeof said - n, "%s%d", i > 0 ? " " : "", t.cpu[i]);
    }
    assert_string_equal(said, cpus);
    if (numa != -2) assert_int_equal(t.numa, numa);
    assert_true(t.threads >= 1);
    weft_topology_release(&t);
}

static void test_shares(void **state)
{
    (void)state;
    check(twin, 0, 1, true, 0, "0 2 4 6 8 10 12 14 1 3 5 7 9 11 13 15", -1);
    check(twin, 0, 2, true, 0, "0 2 4 6 1 3 5 7", 0);
    check(twin, 1, 2, true, 0, "8 10 12 14 9 11 13 15", 1);
    check(twin, 1, 2, true, 4, "8 10 12 14", 1);
    check(twin, 1, 2, true, 1, "8", 1);
    check(twin, 0, 3, true, 0, "0 2 1 3", 0);
    check(twin, 1, 3, true, 0, "4 6 8 5 7 9", -1);
    check(twin, 2, 3, true, 0, "10 12 14 11 13 15", 1);
    check(twin, 7, 8, true, 0, "14 15", 1);
}

/* Fewer cores than ranks: threads of cores; fewer of these too: nothing. */
static void test_crowds(void **state)
{
    (void)state;
    check(twin, 0, 16, true, 0, "0", 0);
    check(twin, 15, 16, true, 0, "15", 1);
    check(twin, 0, 9, true, 0, "0", 0);
    check(twin, 8, 9, true, 0, "14 15", 1);
    check(twin, 3, 17, true, 0, "free 1", -1);
    check(twin, 3, 17, true, 2, "free 2", -1);
    check(twin, 0, 2, true, 9, "free 9", 0);
}

static void test_own_mask(void **state)
{
    (void)state;
    check("core:2 pu:1", 1, 2, false, 0, "0 1", -2);
    check("core:2 pu:1", 5, 9, false, 1, "0", -2);
    check("pu:3", 1, 3, true, 0, "1", -2);
}

/* For any number of ranks: shares are disjoint, and nothing is left over. */
static void test_cover(void **state)
{
    (void)state;
    for (int size = 1; size <= 16; size++) {
        int owner[16] = {0};
        for (int rank = 0; rank < size; rank++) {
            weft_topology t;
            assert_int_equal(
                weft_topology_synthetic(twin, rank, size, true, 0, &t),
                WEFT_OK);
            assert_int_equal(t.threads, t.cpus);
            assert_int_equal(t.node_cpus, 16);
            for (int i = 0; i < t.threads; i++) owner[t.cpu[i]]++;
            weft_topology_release(&t);
        }
        for (int i = 0; i < 16; i++) assert_int_equal(owner[i], 1);
    }
}

static void test_bad_machine(void **state)
{
    weft_topology t;

    (void)state;
    assert_int_equal(weft_topology_synthetic("no:thing", 0, 1, true, 0, &t),
                     WEFT_EINPUT);
}

/* This machine: all that the mask allows, and nothing else. */
static void test_here(void **state)
{
    cpu_set_t all, one;
    weft_topology t;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    const uint64_t mask = weft_topology_mask();
    assert_int_equal(weft_topology_discover(0, 1, true, 0, &t), WEFT_OK);
    assert_int_equal(t.threads, CPU_COUNT(&all));
    assert_in_range(t.cores, 1, t.threads);
    for (int i = 0; i < t.threads; i++) assert_true(CPU_ISSET(t.cpu[i], &all));
    assert_true(t.node_memory_bytes > 1 << 26);
    const int last = t.cpu[t.threads - 1];
    weft_topology_release(&t);

    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(weft_topology_discover(0, 1, false, 0, &t), WEFT_OK);
    assert_int_equal(t.threads, 1);
    assert_int_equal(t.cpu[0], last);
    weft_topology_release(&t);
    assert_int_equal(weft_topology_discover(1, 2, true, 0, &t), WEFT_OK);
    assert_null(t.cpu);
    assert_int_equal(t.threads, 1);
    weft_topology_release(&t);
    if (CPU_COUNT(&all) > 1) assert_true(weft_topology_mask() != mask);
    sched_setaffinity(0, sizeof all, &all);
    assert_true(weft_topology_mask() == mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),      cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_own_mask),    cmocka_unit_test(test_cover),
        cmocka_unit_test(test_bad_machine), cmocka_unit_test(test_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
