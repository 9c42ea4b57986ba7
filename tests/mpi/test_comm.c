/*
 * What all ranks do together outside a step.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mpi/stream.h"
#include "mpi/window.h"
#include "partition/split.h"
#include "tests/mpi/world.h"

static void everybody_learns_of_a_failure(void **state)
{
    const int last = weft_comm_size(world) - 1;
    const bool mine = weft_comm_rank(world) == last;

    (void)state;
    assert_int_equal(weft_comm_agree(world, WEFT_OK), WEFT_OK);
    assert_int_equal(
        weft_comm_agree(world, mine ? weft_fail(WEFT_EINPUT, "no such file")
                                    : WEFT_OK),
        WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "no such file"));
    if (last > 0) {
        char who[32];

        snprintf(who, sizeof who, "rank %d on ", last);
        assert_non_null(strstr(weft_fail_text(), who));
    }
}

/* What a user can mend goes before what the world did. */
static void your_own_mistakes_come_first(void **state)
{
    const bool first = weft_comm_rank(world) == 0;
    const weft_status mine = weft_comm_size(world) > 1 && first
                                 ? weft_fail(WEFT_EIO, "disk full")
                                 : weft_fail(WEFT_EINPUT, "bad label");

    (void)state;
    assert_int_equal(weft_comm_agree(world, mine), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "bad label"));
}

static void who_differs_is_named(void **state)
{
    const int rank = weft_comm_rank(world), size = weft_comm_size(world);
    char who[32];

    (void)state;
    assert_int_equal(weft_comm_same(world, 42, "plan"), WEFT_OK);
    if (size == 1) return;
    assert_int_equal(weft_comm_same(world, rank == size - 1, "plan"),
                     WEFT_EINPUT);
    snprintf(who, sizeof who, "rank %d and rank 0", size - 1);
    assert_non_null(strstr(weft_fail_text(), who));
}

static void rank_0_shares_its_text(void **state)
{
    char *text = weft_comm_rank(world) == 0 ? strdup("steps: 30") : NULL;
    size_t bytes = text ? strlen(text) : 0;

    (void)state;
    assert_int_equal(weft_comm_share(world, &text, &bytes), WEFT_OK);
    assert_int_equal(bytes, 9);
    assert_string_equal(text, "steps: 30");
    free(text);
}

static void numbers_add_up(void **state)
{
    const int n = weft_comm_size(world);
    double v[2] = {1, weft_comm_rank(world)}, most = weft_comm_rank(world);

    (void)state;
    assert_int_equal(weft_comm_sum(world, v, 2), WEFT_OK);
    assert_true(v[0] == n && v[1] == n * (n - 1) / 2);
    assert_int_equal(weft_comm_max(world, &most, 1), WEFT_OK);
    assert_true(most == n - 1);
}

static void a_window_is_one_memory(void **state)
{
    const int rank = weft_comm_rank(world), n = weft_comm_size(world);
    weft_window *w;
    weft_comm *node;
    int *v;

    (void)state;
    assert_int_equal(weft_comm_node(world, &node), WEFT_OK);
    assert_int_equal(weft_comm_size(node), n);
    assert_int_equal(weft_window_create(node, (size_t)n * sizeof *v + 100, &w),
                     WEFT_OK);
    v = weft_window_base(w);
    assert_int_equal((uintptr_t)v % 64, 0);
    v[rank] = rank + 1;
    assert_int_equal(weft_window_settle(w), WEFT_OK);
    for (int i = 0; i < n; i++) assert_int_equal(v[i], i + 1);
    assert_int_equal(weft_comm_barrier(node), WEFT_OK);
    weft_window_destroy(w);
    weft_comm_free(node);
}

/* ---- the stream ---------------------------------------------------------- */

typedef struct seen {
    const weft_cut *cut;
    int rows, next;
    weft_status fail;
} seen;

static const weft_cell cell = {.rows = 3, .columns = 1, .width = 5};

static void give(void *arg, int row, int rows, void *out, size_t stride)
{
    const seen *s = arg;
    const weft_rect r = weft_cut_rect(s->cut, &cell, s->cut->me);
    char *line = out;

    for (int y = row; y < row + rows; y++, line += stride)
        for (int i = 0; i < r.columns; i++) {
            const int v = (r.row + y) * 10 + r.column + i;

            memcpy(line + (size_t)i * sizeof v, &v, sizeof v);
        }
}

static weft_status take(void *arg, int row, int rows, const void *data)
{
    seen *s = arg;
    const int *from = data;

    assert_int_equal(row, s->next);
    for (int y = row; y < row + rows; y++)
        for (int i = 0; i < 5; i++) assert_int_equal(*from++, y * 10 + i);
    s->next += rows;
    return s->fail;
}

static void stream_of(int units, int across, int piece, weft_status fail)
{
    int *first = calloc((size_t)units + 1, sizeof *first), strip[6];
    weft_cut cut = {.n = weft_comm_size(world),
                    .me = weft_comm_rank(world),
                    .first = first,
                    .across = across,
                    .strip = strip};
    seen s = {.cut = &cut, .rows = 3 * units, .fail = fail};
    weft_rect mine;
    weft_traffic traffic = {0};
    weft_stream stream = {.patches = world,
                          .cut = &cut,
                          .cell = cell,
                          .pixel_bytes = sizeof(int),
                          .piece = piece,
                          .give = give,
                          .give_arg = &s,
                          .take = take,
                          .take_arg = &s,
                          .traffic = &traffic};

    assert_int_equal(weft_split_rows(units, 1, cut.n / across, NULL, first),
                     WEFT_OK);
    assert_int_equal(weft_split_columns(5, 1, across, strip), WEFT_OK);
    stream.buffer = malloc(2 * (size_t)piece * 5 * sizeof(int));
    assert_int_equal(weft_stream_run(&stream), cut.me == 0 ? fail : WEFT_OK);
    if (cut.me == 0 && fail == WEFT_OK) assert_int_equal(s.next, s.rows);
    mine = weft_cut_rect(&cut, &cell, cut.me);
    if (cut.me > 0)
        assert_int_equal(traffic.bytes[WEFT_OUTPUT],
                         4 * weft_rect_pixels(&mine));
    free(stream.buffer);
    free(first);
}

static void rows_arrive_in_order(void **state)
{
    (void)state;
    stream_of(5, 1, 1, WEFT_OK);
    stream_of(11, 1, 4, WEFT_OK);
    stream_of(17, 1, 100, WEFT_OK);
    stream_of(5, weft_comm_size(world), 4, WEFT_OK);
}

static void a_failing_writer_leaves_nobody_waiting(void **state)
{
    (void)state;
    stream_of(9, 1, 2, WEFT_EIO);
    stream_of(9, weft_comm_size(world), 2, WEFT_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_learns_of_a_failure),
        cmocka_unit_test(your_own_mistakes_come_first),
        cmocka_unit_test(who_differs_is_named),
        cmocka_unit_test(rank_0_shares_its_text),
        cmocka_unit_test(numbers_add_up),
        cmocka_unit_test(a_window_is_one_memory),
        cmocka_unit_test(rows_arrive_in_order),
        cmocka_unit_test(a_failing_writer_leaves_nobody_waiting),
    };

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    return leave_world(cmocka_run_group_tests(tests, NULL, NULL));
}
