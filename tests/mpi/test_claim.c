/*
 * A queue of all ranks: every entry is given once, to somebody, and rank 0
 * reads what the others wrote on the board.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/clock.h"
#include "mpi/claim.h"
#include "tests/mpi/world.h"

/* Takes all that is left and counts the takes of each entry. */
static int take_all(weft_claim *q, int entries, double *taken)
{
    int n = 0, entry;

    for (;; n++) {
        assert_int_equal(weft_claim_next(q, &entry), WEFT_OK);
        assert_true(entry >= 0);
        if (entry >= entries) return n;
        taken[entry]++;
    }
}

static void every_entry_is_given_once(void **state)
{
    enum { ENTRIES = 5000 };
    double *taken = calloc(ENTRIES, sizeof *taken);
    weft_claim *q;

    (void)state;
    assert_non_null(taken);
    assert_int_equal(weft_claim_create(world, ENTRIES, 1, &q), WEFT_OK);
    take_all(q, ENTRIES, taken);
    assert_int_equal(weft_comm_sum(world, taken, ENTRIES), WEFT_OK);
    for (int i = 0; i < ENTRIES; i++) assert_true(taken[i] == 1);
    if (weft_comm_rank(world) == 0)
        assert_int_equal(weft_claim_taken(q), ENTRIES);
    weft_claim_destroy(q);
    free(taken);
}

static void an_empty_queue_has_nothing(void **state)
{
    weft_claim *q;
    int entry;

    (void)state;
    assert_int_equal(weft_claim_create(world, 0, 0, &q), WEFT_OK);
    assert_int_equal(weft_claim_next(q, &entry), WEFT_OK);
    assert_true(entry >= 0);
    weft_claim_destroy(q);
}

static void rank_0_reads_the_board(void **state)
{
    enum { FACTS = 3, EACH = 4 };
    const int rank = weft_comm_rank(world), size = weft_comm_size(world);
    const double mine[FACTS] = {rank, 0.5, -rank};
    weft_claim *q;

    (void)state;
    assert_int_equal(weft_claim_create(world, size * EACH, FACTS, &q), WEFT_OK);
    assert_int_equal(weft_claim_tell(q, mine), WEFT_OK);
    assert_int_equal(weft_claim_done(q, rank * EACH + 1), WEFT_OK);
    weft_claim_poll(q);
    assert_int_equal(weft_comm_barrier(world), WEFT_OK);
    for (int r = 0; r < size && rank == 0; r++) {
        const double *facts = weft_claim_facts(q, r);

        assert_true(facts[0] == r && facts[1] == 0.5 && facts[2] == -r);
        for (int i = 0; i < EACH; i++)
            assert_int_equal(weft_claim_is_done(q, r * EACH + i), i == 1);
    }
    assert_int_equal(weft_comm_barrier(world), WEFT_OK);
    weft_claim_destroy(q);
}

/* Claims of so many entries of nothing, in a second; by hand:
 *     mpirun -n 8 mpi_claim 1000000 */
static int time_it(const char *text)
{
    const int entries = (int)strtol(text, NULL, 10);
    double *taken = calloc((size_t)entries + 1, sizeof *taken), seconds, start;
    weft_claim *q;

    if (!taken || weft_claim_create(world, entries, 1, &q) != WEFT_OK) return 1;
    start = weft_clock();
    take_all(q, entries, taken);
    seconds = weft_clock() - start;
    if (weft_comm_max(world, &seconds, 1) != WEFT_OK) return 1;
    if (weft_comm_rank(world) == 0)
        printf("%d entries, %d ranks: %.0f claims a second\n", entries,
               weft_comm_size(world), entries / seconds);
    weft_claim_destroy(q);
    free(taken);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_given_once),
        cmocka_unit_test(an_empty_queue_has_nothing),
        cmocka_unit_test(rank_0_reads_the_board),
    };

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    return leave_world(argc > 1 ? time_it(argv[1])
                                : cmocka_run_group_tests(tests, NULL, NULL));
}
