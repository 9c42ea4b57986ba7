#include "core/trace.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"

/* Shorter waits are noise. */
static const double least_wait = 10e-6;

static const char *const kind_name[WEFT_TRACE_KINDS] = {
    [WEFT_TRACE_EVALUATION] = "evaluation",
    [WEFT_TRACE_LAYER] = "layer",
    [WEFT_TRACE_WAIT] = "wait",
    [WEFT_TRACE_POST] = "post",
};

weft_status weft_trace_create(size_t room, weft_trace **t)
{
    weft_trace *made = calloc(1, sizeof *made + room * sizeof *made->event);

    if (!made)
        return weft_fail(WEFT_ENOMEM, "out of memory: a trace of %zu events",
                         room);
    made->room = room;
    *t = made;
    return WEFT_OK;
}

void weft_trace_add(weft_trace *t, weft_trace_kind kind, int evaluation,
                    const char *name, const char *detail, double start)
{
    double seconds;

    if (!t) return;
    seconds = weft_clock() - start;
    if (kind == WEFT_TRACE_WAIT && seconds < least_wait) return;
    if (t->n == t->room)
        t->lost++;
    else
        t->event[t->n++] =
            (weft_trace_event){kind, evaluation, name, detail, start, seconds};
}

/* Names of layers come from files. */
static void escape(const char *name, char *out, size_t room)
{
    size_t n = 0;

    for (; name && *name && n + 7 < room; name++) {
        const unsigned char c = (unsigned char)*name;

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, room - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = '\0';
}

static int format_one(const weft_trace_event *e, int rank, double zero,
                      char *text, size_t room)
{
    char name[1024], more[64] = "";

    escape(e->name, name, sizeof name);
    if (e->kind == WEFT_TRACE_POST)
        snprintf(more, sizeof more, "\"ph\":\"i\",\"s\":\"t\"");
    else
        snprintf(more, sizeof more, "\"ph\":\"X\",\"dur\":%.3f",
                 1e6 * e->seconds);
    return snprintf(text, room,
                    ",\n{\"name\":\"%s%s%s\",\"cat\":\"%s\",%s,\"pid\":%d,"
                    "\"tid\":0,\"ts\":%.3f,\"args\":{\"evaluation\":%d}}",
                    name, e->detail ? " " : "", e->detail ? e->detail : "",
                    kind_name[e->kind], more, rank, 1e6 * (e->start - zero),
                    e->evaluation);
}

size_t weft_trace_format(const weft_trace *t, size_t *next, int rank,
                         double zero, char *text, size_t room)
{
    size_t bytes = 0;

    for (; t && *next < t->n && bytes + WEFT_TRACE_LINE <= room; ++*next)
        bytes += (size_t)format_one(&t->event[*next], rank, zero, text + bytes,
                                    room - bytes);
    return bytes;
}
