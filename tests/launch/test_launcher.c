/*
 * Who started a process: the variables that launchers were seen to set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mpi/launcher.h"

/* NAME=VALUE words are the whole of what a launcher says. */
static weft_launcher under(const char *words)
{
    static const char *const all[] = {"OMPI_COMM_WORLD_RANK",
                                      "OMPI_COMM_WORLD_SIZE",
                                      "PMI_RANK",
                                      "PMI_SIZE",
                                      "PMIX_RANK",
                                      "SLURM_PROCID",
                                      "SLURM_STEP_NUM_TASKS",
                                      "SLURM_STEP_ID",
                                      "SLURM_JOB_ID",
                                      "SLURM_NTASKS"};
    char text[256], *rest = text;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) unsetenv(all[i]);
    assert_in_range(strlen(words), 0, sizeof text - 1);
    memcpy(text, words, strlen(words) + 1);
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        char *value = strchr(word, '=');

        *value = '\0';
        assert_int_equal(setenv(word, value + 1, 1), 0);
    }
    return weft_launcher_find();
}

static void check(const char *words, bool mpi, int rank, int size)
{
    const weft_launcher l = under(words);

    assert_int_equal(l.mpi, mpi);
    assert_int_equal(l.rank, rank);
    assert_int_equal(l.size, size);
}

static void the_nearest_launcher_counts(void **state)
{
    (void)state;
    check("", false, 0, 1);
    check("OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 PMIX_RANK=3", true, 3,
          4);
    check("PMI_RANK=1 PMI_SIZE=2", true, 1, 2);
    /* srun with PMIx, PMI-2 and nothing */
    check("PMIX_RANK=1 SLURM_PROCID=1 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2",
          true, 1, 2);
    check("PMI_RANK=1 PMI_SIZE=2 SLURM_PROCID=1 SLURM_STEP_ID=0 "
          "SLURM_STEP_NUM_TASKS=2",
          true, 1, 2);
    check("SLURM_PROCID=1 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=2", false, 1, 2);
    /* mpirun of each MPI in a job of Slurm: the step is that of its daemons */
    check("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1 PMIX_RANK=0 "
          "SLURM_PROCID=1 SLURM_STEP_ID=3 SLURM_STEP_NUM_TASKS=2",
          true, 0, 1);
    check("PMI_RANK=3 PMI_SIZE=4 SLURM_PROCID=1 SLURM_STEP_ID=4 "
          "SLURM_STEP_NUM_TASKS=2",
          true, 3, 4);
    /* numbers that are none */
    check("PMI_RANK=x PMI_SIZE=99999999999", true, 0, 1);
    check("PMI_RANK=-1 PMI_SIZE=0", true, 0, 1);
}

/* A batch script runs weft by itself: allowed, and noted. */
static void a_batch_script_is_no_launcher(void **state)
{
    weft_launcher l;

    (void)state;
    l = under("SLURM_JOB_ID=1 SLURM_NTASKS=4 SLURM_PROCID=0");
    assert_null(l.name);
    assert_int_equal(l.size, 1);
    assert_int_equal(l.idle, 3);
    l = under("SLURM_JOB_ID=1 SLURM_NTASKS=1 SLURM_PROCID=0");
    assert_int_equal(l.idle, 0);
    l = under("SLURM_JOB_ID=1 SLURM_NTASKS=4 SLURM_STEP_ID=0 SLURM_PROCID=0 "
              "SLURM_STEP_NUM_TASKS=1");
    assert_int_equal(l.idle, 0);
}

static void refused(const char *words, int size, const char *library,
                    const char *says)
{
    const weft_launcher l = under(words);

    assert_int_equal(weft_launcher_check(&l, size, library), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), says));
}

static void copies_of_one_rank_are_refused(void **state)
{
    const weft_launcher one = under("PMI_RANK=0 PMI_SIZE=1");
    const weft_launcher many = under("SLURM_PROCID=0 SLURM_STEP_ID=0 "
                                     "SLURM_STEP_NUM_TASKS=4");

    (void)state;
    assert_int_equal(weft_launcher_check(&one, 1, "Open MPI"), WEFT_OK);
    assert_int_equal(weft_launcher_check(&many, 4, "Open MPI"), WEFT_OK);
    refused("SLURM_PROCID=0 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=4", 1,
            "Open MPI v4.1.4",
            "srun started 4 tasks, but MPI sees 1 rank: this weft is built "
            "with Open MPI v4.1.4; use the mpirun that belongs to it, or srun "
            "--mpi=pmix");
    refused("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2", 1,
            "MPICH Version: 4.0.2", "srun --mpi=pmi2");
    refused("PMI_RANK=0 PMI_SIZE=3", 2, "MPICH", "sees 2 ranks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_launcher_counts),
        cmocka_unit_test(a_batch_script_is_no_launcher),
        cmocka_unit_test(copies_of_one_rank_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
