#include "launch/progress.h"

#include <unistd.h>

#include "core/clock.h"

/* Seconds between two showings. */
static const double on_terminal = 0.1, in_log = 5;

static void write_time(char *text, size_t room, double seconds)
{
    const long s = (long)(seconds + 0.5);

    if (seconds < 9.95)
        snprintf(text, room, "%.1f s", seconds);
    else if (s < 100)
        snprintf(text, room, "%ld s", s);
    else if (s < 6000)
        snprintf(text, room, "%ld:%02ld min", s / 60, s % 60);
    else
        snprintf(text, room, "%ld:%02ld h", s / 3600, s / 60 % 60);
}

void weft_progress_text(const weft_progress *p, double now, char *text,
                        size_t room)
{
    const double passed = now - p->start;
    const double rate = passed > 0 ? p->done / passed : 0;
    char rest[32];

    if (p->done <= 0 || rate <= 0) {
        snprintf(text, room, "%s %d/%d", p->what, p->done, p->total);
        return;
    }
    if (p->done >= p->total) {
        write_time(rest, sizeof rest, passed);
        snprintf(text, room, "%s %d/%d, %.3g it/s, in %s", p->what, p->done,
                 p->total, rate, rest);
        return;
    }
    write_time(rest, sizeof rest, (p->total - p->done) / rate);
    snprintf(text, room, "%s %d/%d, %.3g it/s, %s left", p->what, p->done,
             p->total, rate, rest);
}

/* \r and "erase to the end of the line" draw the line anew. */
static void show(weft_progress *p, double now)
{
    char text[160];

    weft_progress_text(p, now, text, sizeof text);
    if (p->terminal)
        fprintf(p->out, "\r%s\033[K", text);
    else
        fprintf(p->out, "%s\n", text);
    fflush(p->out);
    p->shown = now;
    p->open = p->terminal;
}

void weft_progress_start(weft_progress *p, FILE *out, const char *what,
                         int total)
{
    const double now = weft_clock();

    *p = (weft_progress){
        .out = out, .what = what, .total = total, .start = now, .shown = now};
    if (out == NULL) return;
    p->terminal = isatty(fileno(out)) == 1;
    if (p->terminal) show(p, now);
}

void weft_progress_step(weft_progress *p, int done)
{
    const double now = weft_clock();

    p->done = done;
    if (p->out == NULL) return;
    if (now - p->shown >= (p->terminal ? on_terminal : in_log)) show(p, now);
}

void weft_progress_end(weft_progress *p)
{
    if (p->out == NULL) return;
    show(p, weft_clock());
    if (p->open) fputc('\n', p->out);
    p->out = NULL;
}
