#include "mpi/launcher.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* By whom, and where the rank and the number of ranks are. Whoever started this
 * process comes before whoever started its launcher: mpirun within a job of
 * Slurm starts a daemon on each node by srun, so that ranks inherit the numbers
 * of the daemons' step. */
static const struct launcher {
    const char *name, *rank, *size;
    bool mpi;
} launchers[] = {
    {"mpirun of Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     true},
    {"a launcher that speaks PMI", "PMI_RANK", "PMI_SIZE", true},
    {"a launcher that speaks PMIx", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", true},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", false},
};

/* `otherwise` where it is no number of `least` or more. */
static int number(const char *variable, int least, int otherwise)
{
    const char *text = getenv(variable);
    char *end;
    long n;

    if (text == NULL) return otherwise;
    n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < least || n > INT_MAX)
        return otherwise;
    return (int)n;
}

weft_launcher weft_launcher_find(void)
{
    weft_launcher found = {.size = 1};

    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        const struct launcher *l = &launchers[i];

        if (getenv(l->rank) == NULL) continue;
        if (!l->mpi && getenv("SLURM_STEP_ID") == NULL) continue;
        return (weft_launcher){.name = l->name,
                               .mpi = l->mpi,
                               .rank = number(l->rank, 0, 0),
                               .size = number(l->size, 1, 1)};
    }
    if (getenv("SLURM_JOB_ID") != NULL)
        found.idle = number("SLURM_NTASKS", 1, 1) - 1;
    return found;
}

weft_status weft_launcher_check(const weft_launcher *l, int size,
                                const char *library)
{
    const bool open = strstr(library, "Open MPI") != NULL;

    if (size >= l->size) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT,
        "%s started %d tasks, but MPI sees %d rank%s: this weft is built with "
        "%s; use the mpirun that belongs to it, or srun --mpi=%s",
        l->name, l->size, size, size == 1 ? "" : "s", library,
        open ? "pmix" : "pmi2");
}
