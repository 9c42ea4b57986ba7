/*
 * world.h - all ranks of a test program. After <cmocka.h>.
 *
 *     if (weft_comm_open(&world) != WEFT_OK) return 1;
 *     return leave_world(cmocka_run_group_tests(tests, NULL, NULL));
 */
#ifndef WEFT_TESTS_MPI_WORLD_H
#define WEFT_TESTS_MPI_WORLD_H

#include "mpi/comm.h"

static weft_comm *world;

/* The end of main. A rank that has failed ends the job: others may be waiting
 * for it. */
static inline int leave_world(int failed)
{
    if (failed) weft_comm_abort(world);
    weft_comm_close(world);
    return 0;
}

#endif
