/*
 * How fast ranks take from a queue, by hand:
 *
 *     mpirun -n 8 weft_bench_claim [ENTRIES]       10^6 unless said otherwise
 *
 * Every rank claims single entries until there are none. Rank 0 prints a JSON
 * line: claims a second, how many the ranks had, what memory one grew by.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "mpi/claim.h"

/* The largest that this process ever was, in KiB. */
static double peak(void)
{
    struct rusage use;

    return getrusage(RUSAGE_SELF, &use) == 0 ? (double)use.ru_maxrss : 0;
}

static weft_status claim_all(const weft_comm *job, int entries)
{
    double most[4] = {0}, taken = 0, start, before;
    weft_claim *q;
    int entry = 0;

    WEFT_TRY(weft_claim_create(job, entries, 1, &q));
    WEFT_TRY(weft_comm_barrier(job));
    before = peak();
    start = weft_clock();
    while (entry < entries) {
        WEFT_TRY(weft_claim_next(q, &entry));
        taken += entry < entries;
    }
    most[0] = weft_clock() - start;
    most[1] = taken;
    most[2] = -taken;
    most[3] = peak() - before;
    WEFT_TRY(weft_comm_max(job, most, 4));
    if (weft_comm_rank(job) == 0)
        printf("{\"bench\": \"claim\", \"ranks\": %d, \"entries\": %d, "
               "\"claims_per_s\": %.0f, \"most\": %.0f, \"least\": %.0f, "
               "\"grew_kib\": %.0f}\n",
               weft_comm_size(job), entries, entries / most[0], most[1],
               -most[2], most[3]);
    weft_claim_destroy(q);
    return WEFT_OK;
}

int main(int argc, char **argv)
{
    const int entries = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000000;
    weft_comm *job;
    weft_status st;

    if (entries < 1 || weft_comm_open(&job) != WEFT_OK) return 2;
    st = claim_all(job, entries);
    if (st != WEFT_OK) {
        fprintf(stderr, "%s\n", weft_fail_text());
        weft_comm_abort(job);
    }
    weft_comm_close(job);
    return 0;
}
