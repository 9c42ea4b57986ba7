/*
 * Cluster files: what a good one says, and that every wrong one is refused with
 * its place.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "launch/cluster.h"

#define DEVICE                                                                 \
    "device:\n"                                                                \
    "  processors: 4\n"                                                        \
    "  gflops: {conv3x3: 100, other: 20}\n"                                    \
    "  memory_gbytes_per_s: 10\n"
#define LINKS                                                                  \
    "links:\n"                                                                 \
    "  node: {latency_us: 1, gbytes_per_s: 8}\n"                               \
    "  network: {latency_us: 20, gbytes_per_s: 12.5, message_us: 2, "          \
    "byte_ns: 0.5, duplex: half}\n"
#define HEAD "nodes: 2\nranks_per_node: 4\ntopology: \"pack:2 core:16 pu:1\"\n"
#define GOOD HEAD DEVICE LINKS

static const char path[] = "test_cluster.yaml";

static weft_status read_text(const char *text, int threads, weft_cluster *c)
{
    FILE *f = fopen(path, "w");
    weft_status st;

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    st = weft_cluster_read(path, threads, c);
    unlink(path);
    return st;
}

static void a_good_one_is_read(void **state)
{
    weft_cluster c;

    (void)state;
    assert_int_equal(read_text(GOOD, 0, &c), WEFT_OK);
    assert_int_equal(c.nodes, 2);
    assert_int_equal(c.ranks_per_node, 4);
    assert_int_equal(c.nspeeds, 2);
    assert_string_equal(c.speed[0].kind, "conv3x3");
    /* 8 of 32 cores each, measured with 4 */
    assert_float_equal(c.speed[0].flops_per_s, 200e9, 1);
    assert_float_equal(c.memory_bytes_per_s, 20e9, 1);
    assert_float_equal(c.inside.latency_s, 1e-6, 1e-12);
    assert_float_equal(c.between.bytes_per_s, 12.5e9, 1);
    assert_float_equal(c.between.message_s, 2e-6, 1e-12);
    assert_float_equal(c.between.byte_s, 0.5e-9, 1e-15);
    assert_true(c.between.half_duplex && !c.inside.half_duplex);
    assert_true(c.node_bytes == 0);
    assert_int_equal(c.cores, 0);
}

static void more_ranks_than_processors_share_them(void **state)
{
    weft_cluster c;

    (void)state;
    assert_int_equal(read_text("nodes: 2\nranks_per_node: 4\n"
                               "topology: \"core:1 pu:2\"\n" DEVICE LINKS,
                               0, &c),
                     WEFT_OK);
    assert_int_equal(c.cores, 2);
    /* half of a processor each, measured with 4 */
    assert_float_equal(c.speed[0].flops_per_s, 100e9 / 8, 1);
}

static void threads_of_the_config_count(void **state)
{
    weft_cluster c;

    (void)state;
    assert_int_equal(read_text(GOOD, 2, &c), WEFT_OK);
    assert_float_equal(c.speed[0].flops_per_s, 50e9, 1);
}

static void json_is_yaml(void **state)
{
    weft_cluster c;

    (void)state;
    assert_int_equal(
        read_text("{\"nodes\":1,\"ranks_per_node\":2,\"topology\":\"core:2 "
                  "pu:1\",\"memory_gib\":4,\"device\":{\"processors\":1,"
                  "\"gflops\":{\"other\":5},\"memory_gbytes_per_s\":3},"
                  "\"links\":{\"node\":{\"latency_us\":1,\"gbytes_per_s\":2},"
                  "\"network\":{\"latency_us\":1,\"gbytes_per_s\":2}}}",
                  0, &c),
        WEFT_OK);
    assert_float_equal(c.node_bytes, 4.0 * 1073741824, 1);
    assert_float_equal(c.speed[0].flops_per_s, 5e9, 1);
}

static void what_is_written_is_read_again(void **state)
{
    const weft_cluster c = {.nodes = 3,
                            .ranks_per_node = 2,
                            .inside = {1e-6, 5e9, 2e-7, 1e-10, true},
                            .between = {3e-5, 1e8, 1e-6, 2e-9, false},
                            .speed = {{"conv3x3", 123.4e9}, {"norm", 5e9}},
                            .nspeeds = 2,
                            .memory_bytes_per_s = 8e9,
                            .node_bytes = 2147483648.0};
    const weft_cluster_facts facts = {
        .topology = "pack:1 core:2 pu:1", .note = "", .processors = 1};
    char *text = NULL;
    size_t bytes;
    weft_cluster again;
    FILE *f = open_memstream(&text, &bytes);

    (void)state;
    assert_non_null(f);
    weft_cluster_write(&c, &facts, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(read_text(text, 0, &again), WEFT_OK);
    free(text);
    assert_int_equal(again.nodes, 3);
    assert_int_equal(again.nspeeds, 2);
    assert_float_equal(again.speed[0].flops_per_s, 123.4e9, 1);
    assert_float_equal(again.between.byte_s, 2e-9, 1e-15);
    assert_true(again.inside.half_duplex && !again.between.half_duplex);
    assert_float_equal(again.node_bytes, 2147483648.0, 1);
}

static void wrong_ones_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "test_cluster.yaml"},
        {"- 1\n", "expected a mapping"},
        {HEAD DEVICE, "links is missing"},
        {HEAD LINKS, "device is missing"},
        {"nodez: 2\n" GOOD, ":1: unknown key \"nodez\", did you mean "
                            "\"nodes\"?"},
        {"nodes: 0\nranks_per_node: 4\ntopology: \"core:2\"\n" DEVICE LINKS,
         ":1: nodes: 0 is out of range, expected 1 to 65536"},
        {"nodes: 2.5\nranks_per_node: 4\ntopology: \"core:2\"\n" DEVICE LINKS,
         ":1: nodes: expected a whole number"},
        {"nodes: two\nranks_per_node: 4\ntopology: \"core:2\"\n" DEVICE LINKS,
         ":1: nodes: expected a number"},
        {"nodes: 2\nranks_per_node: 4\ntopology: \"kore:2\"\n" DEVICE LINKS,
         ":3: topology: hwloc does not understand \"kore:2\""},
        {"nodes: 2\nranks_per_node: 4\ntopology: \"core:99999999 "
         "pu:9\"\n" DEVICE LINKS,
         ":3: topology: \"core:99999999 pu:9\" is not of 1 to 8192"},
        {"nodes: 2\nranks_per_node: 4\ntopology: \"core:-4 pu:-1\"\n" DEVICE
             LINKS,
         ":3: topology"},
        {HEAD "device: 3\n" LINKS, ":4: device: expected a mapping"},
        {HEAD
         "device: {processors: 1, gflops: {}, memory_gbytes_per_s: 1}\n" LINKS,
         "gflops: no class is given"},
        {HEAD "device: {processors: 1, gflops: {norm: 0}, "
              "memory_gbytes_per_s: 1}\n" LINKS,
         "device.gflops: 0 is out of range"},
        {HEAD "device: {processors: 1, gflops: {a_name_of_no_class_of_layers: "
              "1}, memory_gbytes_per_s: 1}\n" LINKS,
         "is no class of layers"},
        {HEAD DEVICE "links: {node: {latency_us: 1, gbytes_per_s: 1}, network: "
                     "{latency_us: 1, gbytes_per_s: 1, duplex: both}}\n",
         "links.network.duplex: expected full or half, found \"both\""},
        {HEAD DEVICE "links: {node: {latency_us: 1}, network: {latency_us: 1, "
                     "gbytes_per_s: 1}}\n",
         "links.node.gbytes_per_s is missing"},
        {GOOD "nodes: 3\n", "nodes"},
    };
    weft_cluster c;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_text(wrong[i].text, 0, &c), WEFT_EINPUT);
        if (!strstr(weft_fail_text(), wrong[i].says))
            fail_msg("%zu: \"%s\" does not say \"%s\"", i, weft_fail_text(),
                     wrong[i].says);
    }
    assert_int_equal(weft_cluster_read("no such file", 0, &c), WEFT_EINPUT);
}

static void classes_have_an_end(void **state)
{
    char text[4096] = HEAD "device: {processors: 1, memory_gbytes_per_s: 1, "
                           "gflops: {c0: 1";
    weft_cluster c;

    (void)state;
    for (int i = 1; i <= WEFT_COST_SPEEDS; i++) {
        char more[32];

        snprintf(more, sizeof more, ", c%d: 1", i);
        strncat(text, more, sizeof text - strlen(text) - 1);
    }
    strncat(text, "}}\n" LINKS, sizeof text - strlen(text) - 1);
    assert_int_equal(read_text(text, 0, &c), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "more than 16 classes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_is_read),
        cmocka_unit_test(more_ranks_than_processors_share_them),
        cmocka_unit_test(threads_of_the_config_count),
        cmocka_unit_test(json_is_yaml),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(wrong_ones_are_refused_with_their_place),
        cmocka_unit_test(classes_have_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
