/*
 * mail.h - between the exchange and its transports.
 *
 * The exchange decides what travels, when, and where it lies; a transport moves
 * bytes. Its unit is a mail: messages that begin together, all of them outgoing
 * or all incoming, with at most one to or from each peer. Whatever a slot sends
 * in one evaluation is one mail; what it receives another. A slot that keeps a
 * past has a mail for each place in it.
 *
 * Messages match by class, tag and pair of patches; those that agree in all
 * three, in the order in which they are started at either end.
 */
#ifndef WEFT_CORE_MAIL_H
#define WEFT_CORE_MAIL_H

#include "core/exchange.h"

typedef struct weft_parcel {
    int peer;
    char *at;
    size_t bytes; /* a multiple of `unit`; never 0 */
    size_t unit;
} weft_parcel;

typedef struct weft_mail {
    weft_class class;
    int tag;
    bool out;
    bool under_way;
    bool leaving; /* out: under way, and not known to be gone */
    int n;
    weft_parcel *parcel;
    const char *layer;    /* borrowed; for messages */
    void *via;            /* the transport's own */
    struct weft_mail *of; /* what a transport that stands before another gives
                             it: the mail that this one is for; else NULL */
} weft_mail;

/* One of weft's five seams.
 *   prepare  the mail's memory is known: set up requests          (plan)
 *   start    begin to move it; no wait. It is not under way       (step)
 *   wait     parcel i of it has arrived (or left: its memory may be
 *            overwritten); may be asked again                     (step)
 *   arrived  the same without waiting                             (step)
 *   poll     make progress with whatever is under way             (step)
 *   forget   undo prepare; the mail is not under way              (end)
 *   release  undo the rest; may be NULL                           (end) */
struct weft_transport {
    const char *name;
    weft_status (*prepare)(weft_exchange *x, weft_mail *m);
    weft_status (*start)(weft_exchange *x, weft_mail *m);
    weft_status (*wait)(weft_exchange *x, weft_mail *m, int i);
    bool (*arrived)(weft_exchange *x, weft_mail *m, int i);
    void (*poll)(weft_exchange *x);
    void (*forget)(weft_exchange *x, weft_mail *m);
    void (*release)(weft_exchange *x);
};

/* For transports: all of it has left, as a poll has found. */
void weft_exchange_left(weft_exchange *x, weft_mail *m);

/* A peer of a slot: what comes from it and goes to it in an evaluation. */
typedef struct weft_link {
    int peer;
    int down, right; /* BORDER: where it lies, each -1, 0 or 1 */
    size_t in, out;  /* bytes; 0: nothing that way */
} weft_link;

/* Place k of a ring belongs to the evaluations t with t % depth == k. `at` and
 * `in`, `out` of a slot that keeps no past point into the caller's memory. */
struct weft_slot {
    weft_slot_spec spec;
    int id;
    char *base;
    weft_rect mine;
    bool kept;     /* the exchange owns the memory */
    char *side[2]; /* BORDER: row 0 of the columns left and right; or NULL */
    int nlinks;
    weft_link *link;
    /* received: [depth] */
    int depth;
    char **in_at;        /* [depth][nlinks] */
    weft_mail *in;       /* of this slot alone */
    weft_mail **in_last; /* what was started last into each place, or NULL */
    int *in_t;           /* of which evaluation */
    char **in_wire;      /* [depth][nlinks]; messages, where they are coded */
    int decoded;         /* the last evaluation that was; -1 */
    /* mine: [mine_depth] */
    int mine_depth;
    char **out_at;  /* [mine_depth][nlinks] */
    char **mine_at; /* ALL: [mine_depth] */
    weft_mail *out;
    weft_mail **out_last;
    char **out_wire; /* [mine_depth][nlinks] */
    /* residuals: what receivers hold of mine; an image's first messages, which
     * are full ones */
    char *held;
    weft_mail first_in, first_out;
    /* displaced, it travels with others: from the first to the last of them, in
     * mails of the first */
    int first, last, next;       /* ids; next -1: the last */
    weft_mail *in_all, *out_all; /* [depth], [mine_depth]; NULL: alone */
    /* view */
    const char **part, **then;              /* ALL: [n] */
    weft_rect *rect, *rect_alone;           /* ALL: [n] */
    int opened_at, put_at, got_at, done_at; /* evaluations */
    struct weft_watched *watched;           /* core/checked.c */
};

/* Bytes of what patch p holds. */
size_t weft_slot_bytes(const weft_exchange *x, const weft_slot *s, int p);

/* ---- core/coded.c: messages that are not f32 ------------------------------
 */

bool weft_is_coded(const weft_exchange *x, const weft_slot *s);
bool weft_is_residual(const weft_exchange *x, const weft_slot *s);
/* Bytes of the message from and to a peer. */
size_t weft_coded_in(const weft_exchange *x, const weft_slot *s,
                     const weft_link *l);
size_t weft_coded_out(const weft_exchange *x, const weft_slot *s,
                      const weft_link *l);
/* Make the messages in place k of what lies in out_at there. */
void weft_coded_send(const weft_exchange *x, const weft_slot *s, int k);
/* The same of the first, which needs no making. */
void weft_coded_send_first(const weft_slot *s);
/* Decode what arrived in evaluation t, the one after the last decoded. */
void weft_coded_receive(const weft_exchange *x, const weft_slot *s, int t);

/* ---- core/exchange.c ----------------------------------------------------- */

weft_status weft_mail_start(weft_exchange *x, weft_mail *m);
/* All of it is here, or has left; NULL and what nobody started are. */
weft_status weft_mail_finish(weft_exchange *x, weft_mail *m);

/* ---- core/bundle.c ------------------------------------------------------- */

/* Which of the slots from `from` on travel together. */
void weft_bundle_slots(weft_exchange *x, int from);
/* The mails of the bundle that slot s is the first of. */
weft_status weft_bundle_settle(weft_exchange *x, weft_slot *s);
void weft_bundle_release(weft_exchange *x, weft_slot *s);
/* Displaced: slot s was put, or is done; the last of a bundle moves all. */
weft_status weft_bundle_send(weft_exchange *x, weft_slot *s);
weft_status weft_bundle_receive(weft_exchange *x, weft_slot *s);

/* ---- core/drift.c -------------------------------------------------------- */

weft_status weft_drift_settle(weft_exchange *x);
weft_status weft_drift_restart(weft_exchange *x);
void weft_drift_release(weft_exchange *x);
/* At the end of an evaluation: what moved in it, to everybody. */
weft_status weft_drift_publish(weft_exchange *x);
/* At the beginning of one: did too much move, two evaluations ago? */
weft_status weft_drift_decide(weft_exchange *x, bool *in_step);

/* ---- core/border.c: BORDER ----------------------------------------------- */

/* Links to the neighbours that give or get something. */
void weft_border_link(const weft_exchange *x, weft_slot *s);
/* Bytes of the columns left (0) or right of the patch; 0 where there are none.
 * `before`: of the spare rows above row 0. */
size_t weft_border_side(const weft_exchange *x, const weft_slot *s, int right,
                        size_t *before);
/* Where what comes from a neighbour is shown: spare rows, or columns. */
char *weft_border_shown(const weft_slot *s, const weft_link *l);
/* Where what goes to it lies in my rows, if it is whole rows; else NULL. */
char *weft_border_rows(const weft_slot *s, const weft_link *l);
/* What goes to it, in one piece. */
void weft_border_pack(const weft_slot *s, const weft_link *l, char *to);
/* Beyond the edges of the image there are zeros. */
void weft_border_clear(const weft_exchange *x, const weft_slot *s);

#endif
