#include "core/io/file.h"
#include "mpi/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi/launcher.h"

weft_status weft_mpi_check(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n;

    if (code == MPI_SUCCESS) return WEFT_OK;
    MPI_Error_string(code, text, &n);
    return weft_fail(WEFT_ECOMM, "%s: %s", what, text);
}

void weft_comm_library(char *name, size_t room)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int n = 0;

    MPI_Get_library_version(text, &n);
    text[strcspn(text, ",\n")] = '\0';
    for (char *tab; (tab = strchr(text, '\t'));) *tab = ' ';
    snprintf(name, room, "%s", text);
}

/* Each task believes to be rank 0; the launcher's own speaks for all, and the
 * others stay until it has and say nothing when they are ended. */
static weft_status check_launcher(weft_comm *c, const weft_launcher *l)
{
    char library[80];
    weft_status st;

    weft_comm_library(library, sizeof library);
    st = weft_launcher_check(l, c->size, library);
    if (st == WEFT_OK || l->rank == 0) return st;
    c->rank = l->rank;
    signal(SIGTERM, SIG_DFL);
    sleep(1);
    return st;
}

/* Debian's Open MPI 4 comes set up without any one-sided messages between nodes
 * of a plain network: `osc = ^ucx,pt2pt`. Who says otherwise in the environment
 * is obeyed. */
static void let_windows_span_nodes(void)
{
    char library[80];

    weft_comm_library(library, sizeof library);
    if (strncmp(library, "Open MPI v4.", 12) == 0)
        setenv("OMPI_MCA_osc", "^ucx", 0);
}

static weft_status open_mpi(weft_comm *c)
{
    int provided, given;

    let_windows_span_nodes();
    weft_watch_starting(true);
    given = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    weft_watch_starting(false);
    WEFT_TRY(weft_mpi_check(given, "MPI_Init_thread"));
    given = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    WEFT_TRY(weft_mpi_check(given, "MPI_Comm_set_errhandler"));
    MPI_Comm_rank(MPI_COMM_WORLD, &c->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &c->size);
    c->mpi = MPI_COMM_WORLD;
    if (provided < MPI_THREAD_FUNNELED)
        return weft_fail(WEFT_EINPUT,
                         "this MPI does not allow threads beside it");
    return weft_watch_open(c);
}

weft_status weft_comm_open(weft_comm **job)
{
    const weft_launcher l = weft_launcher_find();
    weft_comm *c = calloc(1, sizeof *c);
    weft_status st;

    if (!c) return weft_fail(WEFT_ENOMEM, "out of memory");
    c->size = 1;
    gethostname(c->host, sizeof c->host - 1);
    c->alone = !l.mpi;
    st = c->alone ? WEFT_OK : open_mpi(c);
    if (st == WEFT_OK) st = check_launcher(c, &l);
    *job = c;
    return st;
}

void weft_comm_close(weft_comm *job)
{
    if (!job) return;
    if (!job->alone) weft_watch_finalize();
    free(job);
}

int weft_comm_rank(const weft_comm *c) { return c->rank; }
int weft_comm_size(const weft_comm *c) { return c->size; }

static weft_status derive(const weft_comm *c, MPI_Comm mpi, weft_comm **out)
{
    weft_comm *d = malloc(sizeof *d);

    if (!d) return weft_fail(WEFT_ENOMEM, "out of memory");
    *d = *c;
    d->mpi = mpi;
    d->owned = !c->alone;
    if (d->owned) {
        MPI_Comm_set_errhandler(mpi, MPI_ERRORS_RETURN);
        MPI_Comm_rank(mpi, &d->rank);
        MPI_Comm_size(mpi, &d->size);
    }
    *out = d;
    return WEFT_OK;
}

weft_status weft_comm_split(const weft_comm *c, int color, weft_comm **part)
{
    MPI_Comm mpi = MPI_COMM_NULL;
    int code;

    if (!c->alone) {
        WEFT_TRY(weft_watch_guard(c, "MPI_Comm_split"));
        code = MPI_Comm_split(c->mpi, color, c->rank, &mpi);
        weft_watch_unguard();
        WEFT_TRY(weft_mpi_check(code, "MPI_Comm_split"));
    }
    return derive(c, mpi, part);
}

weft_status weft_comm_node(const weft_comm *c, weft_comm **node)
{
    MPI_Comm mpi = MPI_COMM_NULL;
    int code;

    if (!c->alone) {
        WEFT_TRY(weft_watch_guard(c, "MPI_Comm_split_type"));
        code = MPI_Comm_split_type(c->mpi, MPI_COMM_TYPE_SHARED, c->rank,
                                   MPI_INFO_NULL, &mpi);
        weft_watch_unguard();
        WEFT_TRY(weft_mpi_check(code, "MPI_Comm_split_type"));
    }
    return derive(c, mpi, node);
}

void weft_comm_free(weft_comm *c)
{
    if (!c) return;
    if (c->owned) MPI_Comm_free(&c->mpi);
    free(c);
}

void weft_comm_abort(const weft_comm *c)
{
    fflush(NULL);
    weft_watch_fail(weft_fail_text());
    weft_file_remove_unfinished();
    if (!c->alone) MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}
