/*
 * progress.h - what a run tells the person who waits.
 *
 * On a terminal one line that is drawn anew, elsewhere (a log file, the pipe
 * of a launcher) a plain line every few seconds and at the end, so that logs
 * stay short. Progress allocates nothing. Rank 0 shows it; *Local*.
 *
 *     weft_progress_start(&p, stderr, "sampling", steps);
 *     weft_progress_step(&p, i + 1);
 *     weft_progress_end(&p);
 */
#ifndef WEFT_LAUNCH_PROGRESS_H
#define WEFT_LAUNCH_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

typedef struct weft_progress {
    FILE *out;        /* NULL: silent */
    const char *what; /* borrowed */
    int total, done;
    bool terminal;
    bool open; /* a line on the terminal waits for its end */
    double start, shown;
} weft_progress;

/* `out` NULL is silence. */
void weft_progress_start(weft_progress *p, FILE *out, const char *what,
                         int total);
/* `done` of `total` steps lie behind. Shows it if it is time to. */
void weft_progress_step(weft_progress *p, int done);
/* Shows the last state, and ends the line. */
void weft_progress_end(weft_progress *p);

/* The text of one state, for both forms: "sampling 12/30, 3.41 it/s, 5 s
 * left". Cut to `room`. */
void weft_progress_text(const weft_progress *p, double now, char *text,
                        size_t room);

#endif
