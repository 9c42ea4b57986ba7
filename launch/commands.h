/*
 * commands.h - one function per command of the program.
 *
 * Each prints its own errors, once per job, as "weft: TEXT" on standard error
 * and returns the exit code: 0 done, 1 failed, 2 usage, config or a file that
 * is not right, 75 (WEFT_EXIT_AGAIN) stopped cleanly with work left.
 */
#ifndef WEFT_LAUNCH_COMMANDS_H
#define WEFT_LAUNCH_COMMANDS_H

#include "launch/cli.h"

/* *Collective* over all ranks that the launcher started. */
int weft_command_sample(const weft_cli *cli);
int weft_command_bench(const weft_cli *cli);
int weft_command_dataset(const weft_cli *cli);

/* *Local*: needs no MPI job. */
int weft_command_plan(const weft_cli *cli);
int weft_command_inspect(const weft_cli *cli);

#endif
