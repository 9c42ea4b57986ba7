/*
 * main.c - weft: parse the command line, do the command, say how it went.
 */
#include <stdio.h>

#include "core/clock.h"
#include "launch/cli.h"
#include "launch/commands.h"
#include "launch/signals.h"
#include "launch/standard.h"
#include "mpi/comm.h"
#include "mpi/launcher.h"

/* Whether this process is the one of its job that speaks before MPI has
 * started. */
static bool speaks(void) { return weft_launcher_find().rank == 0; }

static int refuse(void)
{
    if (speaks()) fprintf(stderr, "weft: %s\n", weft_fail_text());
    return weft_exit_code(WEFT_EINPUT);
}

static int show(const weft_cli *cli)
{
    if (!speaks()) return 0;
    fputs(cli->show, stdout);
    if (cli->library) {
        char library[80];

        weft_comm_library(library, sizeof library);
        printf("MPI: %s\n", library);
    }
    if (weft_standard_flush() == WEFT_OK) return 0;
    fprintf(stderr, "weft: %s\n", weft_fail_text());
    return 1;
}

int main(int argc, char **argv)
{
    weft_signals_install();
    weft_standard_reserve();
    static weft_cli cli;

    cli.started = weft_clock();
    if (weft_cli_parse(argc, argv, &cli) != WEFT_OK) return refuse();
    switch (cli.command) {
    case WEFT_COMMAND_SAMPLE:
        return weft_command_sample(&cli);
    case WEFT_COMMAND_DATASET:
        return weft_command_dataset(&cli);
    case WEFT_COMMAND_PLAN:
        return weft_command_plan(&cli);
    case WEFT_COMMAND_BENCH:
        return weft_command_bench(&cli);
    case WEFT_COMMAND_INSPECT:
        return weft_command_inspect(&cli);
    case WEFT_COMMAND_SHOW:
        break;
    }
    return show(&cli);
}
