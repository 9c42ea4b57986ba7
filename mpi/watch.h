/*
 * watch.h - waiting for other ranks, and what is said when it takes too long.
 *
 * Whatever blocks in this folder blocks here: messages are tested in a loop,
 * and what MPI has no test for is preceded by a meeting of all and guarded by
 * a timer. A wait that lasts longer than the deadline prints a line with rank,
 * host, step, and what is waited for: lane, evaluation, layer, slot, class and
 * the peer that did not send. Then it calls the roll: every rank that is
 * waiting too prints its own line and answers. Those that did not answer within
 * GRACE seconds are named as the likely cause, and the job ends with exit 1.
 *
 * A rank that is ended with SIGTERM, by a launcher because another one died, or
 * with SIGINT or SIGHUP, says where it was. Files that it had not finished are
 * removed.
 */
#ifndef WEFT_MPI_WATCH_H
#define WEFT_MPI_WATCH_H

enum { WEFT_WATCH_DEADLINE = 120, WEFT_WATCH_GRACE = 2 };

/* Local. Seconds that a wait may last; 0: for ever. WEFT_WATCH_DEADLINE until
 * it is called. */
void weft_watch_deadline(double seconds);

/* Local. What ranks are there for, for messages about them: rank r of the job
 * for duty[r / across % lines]. Borrowed until the next call; NULL or
 * empty: nothing is said of it. */
enum { WEFT_WATCH_DUTY = 96 };
void weft_watch_duties(char (*duty)[WEFT_WATCH_DUTY], int lines, int across);

/* Local. What this rank does now, for messages: "step", 4, 30 is shown as
 * "step 4 of 30"; "loading", 0, 0 as "loading". `doing` stays the caller's and
 * must live on. */
void weft_watch_at(const char *doing, int i, int of);

/* Local. The host of a rank of the job; "" without MPI. */
const char *weft_watch_host(int rank);

/* Handlers of SIGTERM, and of SIGINT and SIGHUP where they are not ignored: say
 * where the calling process was, remove its unfinished files (core/io/file.h),
 * then let the signal end it. To be installed by main's first statement, on the
 * main thread. */
void weft_watch_install(void);

#endif
