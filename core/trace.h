/*
 * trace.h - what a rank did and when, for Chrome's and Perfetto's viewers.
 *
 * A buffer of events, made in the plan: adding one allocates nothing, and what
 * does not fit is counted. Times are seconds on this process's clock until they
 * are written. Names are borrowed and must live until then.
 *
 * NULL is no trace, and every function takes it. One thread adds.
 */
#ifndef WEFT_CORE_TRACE_H
#define WEFT_CORE_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef enum weft_trace_kind {
    WEFT_TRACE_EVALUATION, /* of a net, with all below within it */
    WEFT_TRACE_LAYER,
    WEFT_TRACE_WAIT, /* blocked in the exchange, 10 us at least */
    WEFT_TRACE_POST, /* a moment: messages begin to leave */
    WEFT_TRACE_KINDS,
} weft_trace_kind;

typedef struct weft_trace_event {
    weft_trace_kind kind;
    int evaluation;     /* of the lane */
    const char *name;   /* of the layer; of an evaluation, the lane */
    const char *detail; /* class of message; NULL: none */
    double start, seconds;
} weft_trace_event;

typedef struct weft_trace {
    size_t n, room;
    uint64_t lost; /* did not fit */
    weft_trace_event event[];
} weft_trace;

/* *t is owned; free() it. */
weft_status weft_trace_create(size_t room, weft_trace **t);

/* From `start` until now. */
void weft_trace_add(weft_trace *t, weft_trace_kind kind, int evaluation,
                    const char *name, const char *detail, double start);

/* Writes events from `*next` on as JSON objects, each with a comma and a line
 * feed before it, as many as fit; moves *next and returns the bytes, 0 at the
 * end. `rank` is their row; `zero` on this clock becomes time 0. `room`: at
 * least WEFT_TRACE_LINE. */
enum { WEFT_TRACE_LINE = 2048 };
size_t weft_trace_format(const weft_trace *t, size_t *next, int rank,
                         double zero, char *text, size_t room);

#endif
