/*
 * launcher.h - who started this process, and as one of how many.
 *
 * Launchers say so in the environment. What they say is not what MPI says: a
 * launcher of one MPI starts the ranks of another as so many jobs of one, each
 * of which would write the same files.
 */
#ifndef WEFT_MPI_LAUNCHER_H
#define WEFT_MPI_LAUNCHER_H

#include <stdbool.h>

#include "core/status.h"

typedef struct weft_launcher {
    const char *name; /* NULL: nobody; a batch script's own process too */
    bool mpi;         /* speaks to an MPI */
    int rank, size;   /* by its own count; 0 of 1 where it says nothing */
    int idle;         /* tasks of a batch job that its script did not start */
} weft_launcher;

/* Local. From the environment of this process. */
weft_launcher weft_launcher_find(void);

/* Local. WEFT_EINPUT, with what to do, where the launcher started more ranks
 * than the `size` that MPI, by the name of `library`, finds. */
weft_status weft_launcher_check(const weft_launcher *l, int size,
                                const char *library);

#endif
