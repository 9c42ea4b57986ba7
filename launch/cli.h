/*
 * cli.h - the command line, as a plain struct.
 *
 *     weft sample CONFIG [KEY=VALUE ...]
 *     weft plan   CONFIG [KEY=VALUE ...] [--ranks N] [--json]
 *     weft bench  CONFIG [KEY=VALUE ...]
 *     weft dataset CONFIG [KEY=VALUE ...] [--retry-failed]
 *     weft inspect PATH [--verify]
 *
 * Options and KEY=VALUE may stand anywhere after the command; the first plain
 * word is CONFIG or PATH. Everything is borrowed from argv. *Local*.
 */
#ifndef WEFT_LAUNCH_CLI_H
#define WEFT_LAUNCH_CLI_H

#include <stdbool.h>

#include "core/status.h"

enum { WEFT_MAX_OVERRIDES = 256, WEFT_MAX_RANKS = 1000000 };

typedef enum weft_command {
    WEFT_COMMAND_SHOW, /* --help, --version: print `show` and end well */
    WEFT_COMMAND_SAMPLE,
    WEFT_COMMAND_PLAN,
    WEFT_COMMAND_BENCH,
    WEFT_COMMAND_DATASET,
    WEFT_COMMAND_INSPECT,
} weft_command;

typedef struct weft_cli {
    weft_command command;
    const char *show;
    bool library;     /* and say which MPI it is */
    const char *path; /* CONFIG or PATH */
    const char *override[WEFT_MAX_OVERRIDES];
    int noverrides;
    int ranks;           /* plan; 1 unless given */
    const char *cluster; /* plan; NULL: none */
    bool json;           /* plan */
    bool retry;          /* dataset: --retry-failed */
    bool verify;         /* inspect: --verify */
    double started;      /* weft_clock() at main's first statement */
} weft_cli;

/* Usage that is not right is WEFT_EINPUT; the text names the word and what
 * may have been meant. `started` is left alone. */
weft_status weft_cli_parse(int argc, char *const *argv, weft_cli *cli);

#endif
