/*
 * leftover.h - what a killed run left of the files that it was writing.
 *
 * A file on its way to PATH is PATH.tmp.PID (core/io/file.h). Where a process
 * is killed it stays; the next run of the same images removes it. *Local*.
 */
#ifndef WEFT_LAUNCH_LEFTOVER_H
#define WEFT_LAUNCH_LEFTOVER_H

#include "launch/config.h"

/* Of pictures, latents and trace of this run; who calls has its lock. Files of
 * a process that lives on this machine stay: they may be another run's. */
void weft_leftover_remove(const weft_config *c);

#endif
