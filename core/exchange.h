/*
 * exchange.h - how a layer sees beyond its own patch.
 *
 * A layer knows only its rows of the image. What else it needs it asks of an
 * exchange, in two moves:
 *
 *     put(slot)    publish what peers will want from me; never waits for them
 *     ...          compute whatever needs only my own rows
 *     get(slot)    now the peers' rows are here
 *
 * There are two reaches. BORDER: the `above` last rows of the upper neighbour
 * and the `below` first rows of the lower one, received in place, into the
 * spare rows that an activation keeps above its first and below its last row;
 * beyond the edge of the image they are filled with zeros. ALL: every patch's
 * rows of a buffer that spans the whole image, each written by its owner.
 *
 * Whether there are peers, how bytes reach them and how old they are is the
 * exchange's business. One rank is an exchange without peers (`weft_solo`).
 * Age is exact: at evaluation t a layer sees its peers as they were at
 * t - lag(t), never "whatever has arrived". In-step is lag 0.
 *
 * One exchange serves one lane: one model asked the same question each
 * evaluation (a model and its conditions, and a stage of the solver's step).
 *
 * Slots are declared and bound to memory in the plan, in the same order by
 * every peer; a step allocates nothing.
 */
#ifndef WEFT_CORE_EXCHANGE_H
#define WEFT_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cut.h"
#include "core/status.h"

/* What a message is for: the unit of accounting, and of communicators. */
typedef enum weft_class {
    WEFT_BORDER,
    WEFT_KV,
    WEFT_MOMENTS,
    WEFT_LATENTS,
    WEFT_REDISTRIBUTE,
    WEFT_OUTPUT,
    WEFT_CONTROL,
    WEFT_CLASSES,
} weft_class;

extern const char *const weft_class_name[WEFT_CLASSES];

typedef enum weft_reach { WEFT_REACH_BORDER, WEFT_REACH_ALL } weft_reach;

typedef struct weft_slot_spec {
    weft_reach reach;
    weft_class class;
    int rows_per_unit;
    int above, below; /* REACH_BORDER: rows wanted of each neighbour */
    size_t row_bytes;
    const char *layer; /* borrowed; names the layer in messages */
} weft_slot_spec;

/* How old peers may be: in step for `warmup` evaluations, then `lag` behind. */
typedef struct weft_schedule {
    int warmup, lag;
} weft_schedule;

static inline int weft_lag(weft_schedule s, int t)
{
    return t < s.warmup ? 0 : s.lag;
}

/* What get() shows of an ALL slot: part[p] holds patch p's rows. Of a BORDER
 * slot only `age` is set: the rows are in the spare rows of the buffer. Valid
 * until the next put() on the same slot. */
typedef struct weft_view {
    int n;
    int age; /* of every part but my own */
    const char **part;
    const int *rows; /* rows of each part */
} weft_view;

/* Counted since creation. Bytes are payload, counted once, at the sender. */
typedef struct weft_traffic {
    uint64_t bytes[WEFT_CLASSES], messages[WEFT_CLASSES];
    double exposed_s; /* time spent waiting in get() */
    double hidden_s;  /* between put() and get(), with messages under way */
} weft_traffic;

typedef struct weft_exchange weft_exchange;
typedef struct weft_slot weft_slot;

/* A transport moves the bytes; policy and bookkeeping live in the base.
 *   bind  the slot's memory is known: set up requests        (plan)
 *   post  start sending mine and receiving theirs; no wait   (step)
 *   wait  theirs are here, and mine may be overwritten       (step)
 *   poll  make progress with whatever is under way           (step)   */
typedef struct weft_transport {
    const char *name;
    weft_status (*bind)(weft_exchange *x, weft_slot *s);
    weft_status (*post)(weft_exchange *x, weft_slot *s);
    weft_status (*wait)(weft_exchange *x, weft_slot *s);
    void (*poll)(weft_exchange *x);
    void (*release)(weft_exchange *x);
} weft_transport;

struct weft_slot {
    weft_slot_spec spec;
    int id;
    char *base;         /* BORDER: my row 0; ALL: row 0 of the image */
    const char **part;  /* ALL: [n] */
    int *rows;          /* ALL: [n] */
    int put_at, got_at; /* evaluations, to catch a get without a put */
    double posted;      /* when, seconds */
    void *via;          /* the transport's own */
};

/* First member of every exchange. */
struct weft_exchange {
    const weft_transport *via;
    weft_cut cut;
    weft_schedule sched;
    int t; /* evaluation now under way; -1 before the first */
    int nslots, room;
    weft_slot *slot;
    weft_traffic traffic;
};

/* Local. Lag above 0 is refused here until a transport keeps a past. */
weft_status weft_exchange_init(weft_exchange *x, const weft_transport *via,
                               const weft_cut *cut, weft_schedule sched);
void weft_exchange_release(weft_exchange *x);

/* Plan time. Every peer declares the same slots in the same order. A patch
 * with fewer rows than a neighbour's border wants is refused. */
weft_status weft_exchange_declare(weft_exchange *x, const weft_slot_spec *spec,
                                  int *slot);
/* `base`: BORDER: row 0 of my patch, with the spare rows around it;
 * ALL: row 0 of the whole image. The memory stays the caller's. */
weft_status weft_exchange_bind(weft_exchange *x, int slot, void *base);

/* Run time. */
void weft_exchange_next(weft_exchange *x); /* a new evaluation begins */
weft_status weft_exchange_put(weft_exchange *x, int slot);
weft_status weft_exchange_get(weft_exchange *x, int slot, weft_view *seen);
void weft_exchange_poll(weft_exchange *x);
/* After put() on a BORDER slot: will rows of a neighbour come above (or below)
 * mine? At the edge of the image none will; its zeros are there already. */
bool weft_exchange_awaits(const weft_exchange *x, int slot, bool above);

/* For layers and transports. */
int weft_slot_rows(const weft_exchange *x, const weft_slot *s, int patch);
/* ALL: where the rows of `patch` begin. */
void *weft_slot_part(const weft_exchange *x, const weft_slot *s, int patch);

/* No peers: a cut of one. */
extern const weft_transport weft_solo;

#endif
