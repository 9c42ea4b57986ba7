/*
 * summons.h - something unforeseen that all ranks of a group do in one turn.
 *
 * A signal may reach one rank of a job and not the others, between any two
 * turns. Whoever wants something asks rank 0 of the job, which summons all;
 * then the ranks of each group agree on the first turn that none of them has
 * begun. Nothing is sent before somebody asks: an undisturbed run pays one look
 * at what has arrived in each turn.
 *
 * Why nobody waits for ever. Each rank says once which turn it could stop at:
 * the next one. It says so between two turns or, where it is held up in a wait
 * for another rank (mpi/watch.h), from within that wait. Until then it goes on
 * as ever; then it does its turns up to the one that it named, and there waits
 * for what the others named. So whoever has not spoken yet misses nothing of
 * those that have but what comes after a turn that it has not reached.
 *
 * Turns are numbered alike on all ranks of a group. A rank that has no more
 * turns still answers: it names the end.
 */
#ifndef WEFT_MPI_SUMMONS_H
#define WEFT_MPI_SUMMONS_H

#include "mpi/comm.h"

typedef struct weft_summons weft_summons;

/* What they come for; where several ask at once the greater. */
typedef enum weft_reason {
    WEFT_NO_REASON,
    WEFT_KEEP, /* write a checkpoint and go on */
    WEFT_STOP, /* write one and end */
} weft_reason;

/* What this process wants now, beside what it asks for: looked at in every turn
 * and, now and then, in waits. What it returns it asks for: once. */
typedef weft_reason weft_wanted(void *arg);

/* Collective over the job; `group` is my part of it. `wanted` may be NULL. */
weft_status weft_summons_open(const weft_comm *job, const weft_comm *group,
                              weft_wanted *wanted, void *arg, weft_summons **s);
/* Collective over the job. All ranks have met, so nothing is on its way to
 * anybody. NULL is nothing. */
void weft_summons_close(weft_summons *s);

/* Local. Never waits. */
weft_status weft_summons_ask(weft_summons *s, weft_reason why);

/* By every rank of the group before turn `turn` begins; INT_MAX behind the last
 * one. *why: what all of them do now, before this turn. *Local*, but where
 * somebody asked it waits for the others. */
weft_status weft_summons_heed(weft_summons *s, int turn, weft_reason *why);

#endif
