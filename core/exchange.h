/*
 * exchange.h - how a layer sees beyond its own patch.
 *
 * A layer knows only its rows of the image. What else it needs it asks of an
 * exchange:
 *
 *     open(slot)   ALL: where my rows go in this evaluation
 *     put(slot)    publish them: what peers will want from me
 *     ...          compute whatever needs only my own rows
 *     get(slot)    now the peers' rows are here
 *     done(slot)   they will not be looked at again
 *
 * There are two reaches. BORDER: the `above` last rows of the upper neighbour
 * and the `below` first rows of the lower one, shown in the spare rows that an
 * activation keeps above its first and below its last row; beyond the edge of
 * the image they are filled with zeros. Where patches lie side by side, the
 * neighbours' columns too, corners included, in two narrow arrays. ALL: every
 * patch's rows.
 *
 * Whether there are peers, how bytes reach them and how old they are is the
 * exchange's business. One rank is an exchange without peers (`weft_solo`).
 *
 * Age is exact: at evaluation t a layer sees its peers as they were at
 * t - lag(t), never "whatever has arrived", and itself as it is. In step is lag
 * 0. A displaced evaluation (DistriFusion, arXiv 2402.19481, section 4) is one
 * of lag 1 or more: what travels in it is looked at in a later one, so nobody
 * waits for the network. The rows of the past lie in memory that the exchange
 * owns: for lag L it keeps L copies of the peers' parts, and L of mine that are
 * on their way (L + 1 where my own past is shown too).
 *
 * One exchange serves one lane: one model asked the same question each
 * evaluation (a model and its conditions, and a stage of the solver's step).
 *
 * Slots are declared, bound to memory and settled in the plan, in the same
 * order by every peer; a step allocates nothing. In an evaluation every slot is
 * put once, by all peers in the same order. put() and open() wait for nobody
 * but for my own rows of `lag` evaluations ago to have left; so no rank is more
 * than that ahead of another, and memory is bounded.
 */
#ifndef WEFT_CORE_EXCHANGE_H
#define WEFT_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cut.h"
#include "core/pool.h"
#include "core/status.h"
#include "core/trace.h"
#include "core/wire.h"

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

/* What a displaced evaluation shows of a slot. */
typedef enum weft_old {
    WEFT_OLD_SHOWN,   /* peers as they were */
    WEFT_OLD_PAIRED,  /* the same, and my own part of then */
    WEFT_OLD_REFUSED, /* peers as they are: this slot is always in step */
    WEFT_OLD_ABSENT,  /* my own part alone; nothing is sent */
} weft_old;

typedef struct weft_slot_spec {
    weft_reach reach;
    weft_class class;
    weft_cell cell;     /* of the value, [rows][n][columns][pixel_bytes] */
    weft_border border; /* REACH_BORDER: what is wanted of the neighbours */
    int n;              /* samples */
    size_t pixel_bytes; /* of one sample */
    const char *layer;  /* borrowed; names the layer in messages */
    weft_old old;
    int bundle; /* displaced, slots of a class and a bundle that follow each
                   other (in that class) travel together; 0: alone. ALL */
} weft_slot_spec;

/* How old peers may be: in step for `warmup` evaluations, then `lag` behind;
 * but in step again in every `refresh`-th of those, and two evaluations after
 * one in which the moments moved by more than `drift` of themselves (the root
 * of the mean, over layers and image, of squared change by square; agreed by
 * all peers). */
typedef struct weft_schedule {
    int warmup, lag;  /* warmup at least lag */
    weft_old moments; /* what displaced evaluations show of class MOMENTS */
    weft_wire wire;   /* how keys, values and borders travel */
    int refresh;      /* 0: never */
    double drift;     /* 0: not measured. Needs moments that are exchanged */
} weft_schedule;

/* Are there bundles? Not with a drift: then the bytes and messages of an
 * evaluation are those of any other, though nobody knows which are in step. */
static inline bool weft_schedule_bundles(const weft_schedule *s)
{
    return s->lag > 0 && s->drift == 0 &&
           (s->moments == WEFT_OLD_SHOWN || s->moments == WEFT_OLD_PAIRED);
}

#define WEFT_IN_STEP ((weft_schedule){.lag = 0})

/* How messages of a class travel: all but keys, values and borders as f32. */
weft_wire weft_schedule_wire(const weft_schedule *s, weft_class class);
/* Does an evaluation need what was sent before it? Then a lane must not serve
 * two kinds of questions, or two images. */
bool weft_has_past(const weft_schedule *s);
/* The lag of evaluation t, drift aside. */
int weft_lag(const weft_schedule *s, int t);

/* What get() shows of an ALL slot: part[p] is what patch p holds, [rows][n]
 * [columns]. Of a BORDER slot the rows are in the spare rows of the buffer, and
 * `side` shows the columns left and right of it, with as many spare rows:
 * NULL at the image's edges. Valid until done(). */
typedef struct weft_view {
    int n, me;
    int age; /* of every part but my own */
    const char **part;
    const weft_rect *rect; /* of the image, by part; no rows: absent */
    int across;            /* parts side by side */
    const char **then; /* OLD_PAIRED and age > 0: the same parts, my own too as
                          old as theirs; else NULL */
    const char *side[2];
} weft_view;

/* Counted since creation. Bytes are payload, counted once, at the sender.
 *
 * A rank is exposed while it is blocked: in get() for what has not come, in
 * put() and open() for what has not left. Communication is hidden while the
 * rank is not blocked and at least one of its outgoing messages is on its way,
 * from put() until its end is noticed: at once if it is short, else by the next
 * poll between two tasks (core/pool.h), by which hidden time is too long at
 * most. Seconds on the clock, not sums over messages. */
typedef struct weft_traffic {
    uint64_t bytes[WEFT_CLASSES], messages[WEFT_CLASSES];
    double exposed_s;                /* time spent waiting for messages */
    double exposed_by[WEFT_CLASSES]; /* the same by class */
    double exposed_async_s;          /* that of evaluations after the warm-up */
    double hidden_s; /* time at work while messages of mine were on
                        their way; by class: those of it, which overlap */
    double hidden_by[WEFT_CLASSES];
    int max_age; /* ever shown */
    int drifted; /* evaluations in step because of drift */
} weft_traffic;

typedef struct weft_exchange weft_exchange;
typedef struct weft_slot weft_slot;
typedef struct weft_transport weft_transport;
typedef struct weft_ballot weft_ballot;

/* First member of every exchange. */
struct weft_exchange {
    const weft_transport *via; /* core/mail.h */
    const char *name;  /* of the lane, for messages; borrowed, may be NULL */
    weft_trace *trace; /* borrowed; NULL: none */
    weft_pool *pool;   /* borrowed; who codes messages; NULL: the caller */
    weft_cut cut;
    weft_schedule sched;
    int t;      /* evaluation now under way; -1 before the first */
    int behind; /* evaluations that the image had before the first */
    int lag;    /* of this evaluation */
    int nslots, room, settled;
    weft_slot *slot;
    int leaving[WEFT_CLASSES]; /* outgoing mails not known to have left */
    double counted;            /* time is, until then */
    char **past;               /* the memory of each call of settle() */
    int npasts;
    weft_ballot *ballot;        /* NULL: drift is not measured */
    struct weft_checks *checks; /* core/checked.h; NULL: none */
    weft_traffic traffic;
};

/* Local. WEFT_EINPUT: a warm-up shorter than the lag. A cut of one patch has
 * nobody to lag behind: its lag is 0. */
weft_status weft_exchange_init(weft_exchange *x, const weft_transport *via,
                               const weft_cut *cut, weft_schedule sched);
/* Collective where messages are under way: they are waited for. */
void weft_exchange_release(weft_exchange *x);

/* ---- plan time ----------------------------------------------------------- */

/* Every peer declares the same slots in the same order. A patch with fewer
 * rows than a neighbour's border wants is refused. */
weft_status weft_exchange_declare(weft_exchange *x, const weft_slot_spec *spec,
                                  int *slot);
/* `base`: BORDER: row 0 of my patch, with the spare rows around it;
 * ALL: room for the whole image, used while the exchange keeps no past of the
 * slot. The memory stays the caller's. */
void weft_exchange_bind(weft_exchange *x, int slot, void *base);
/* All slots declared since the last call are bound: make memory and messages.
 * Collective over the peers. */
weft_status weft_exchange_settle(weft_exchange *x);
/* Bytes that the exchange needs on my patch for the slots declared so far: the
 * past, and columns on their way. */
size_t weft_exchange_past_bytes(weft_exchange *x);

/* ---- run time ------------------------------------------------------------ */

/* A new image begins: what is under way is waited for, and nothing of the past
 * will be seen. Collective over the peers. */
weft_status weft_exchange_restart(weft_exchange *x);
/* The same for an image that goes on after `done` evaluations on this lane, of
 * which nothing is left: in step for as many as the lag, then as the schedule
 * says of those behind. */
weft_status weft_exchange_resume(weft_exchange *x, int done);
/* A new evaluation begins. */
weft_status weft_exchange_next(weft_exchange *x);
weft_status weft_exchange_open(weft_exchange *x, int slot, void **mine);
weft_status weft_exchange_put(weft_exchange *x, int slot);
weft_status weft_exchange_get(weft_exchange *x, int slot, weft_view *seen);
/* Between put() and get() of an ALL slot: what get() will show. Only the parts
 * that weft_exchange_await says are `here` may be looked at. */
weft_status weft_exchange_look(weft_exchange *x, int slot, weft_view *seen);
/* Is part p here? With `wait`, not before it is. */
weft_status weft_exchange_await(weft_exchange *x, int slot, int p, bool wait,
                                bool *here);
weft_status weft_exchange_done(weft_exchange *x, int slot);
void weft_exchange_poll(weft_exchange *x);
/* After put() on a BORDER slot: must rows of the neighbour above (or below) be
 * waited for? Not at the edge of the image, where the zeros are there already.
 */
bool weft_exchange_awaits(const weft_exchange *x, int slot, bool above);
/* The same of columns of the neighbour on the left (or right). */
bool weft_exchange_awaits_columns(const weft_exchange *x, int slot, bool left);
/* Do those neighbours get columns of mine? A stride makes one of the two sides
 * want none. */
bool weft_exchange_gives_columns(const weft_exchange *x, int slot);
/* After put(): get() will not wait. */
bool weft_exchange_ready(weft_exchange *x, int slot);
/* Was it put in this evaluation? */
bool weft_exchange_is_put(const weft_exchange *x, int slot);

/* After open() of a slot of moments: my part of one evaluation ago, to say how
 * much they moved; NULL where drift is not measured. */
const void *weft_exchange_before(const weft_exchange *x, int slot);
/* Where it is: the sum of squared changes of my part, and of its squares. */
void weft_exchange_moved(weft_exchange *x, int slot, double changed,
                         double size);

/* No peers: a cut of one. */
extern const weft_transport weft_solo;

#endif
