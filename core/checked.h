/*
 * checked.h - an exchange that trusts nobody, for debug builds.
 *
 * It wraps any other: its transport stands before the exchange's own, and what
 * layers are shown are copies. A mistake that would give a slightly wrong
 * picture then gives none:
 *
 *   looking too early   rows on their way are not-a-number until they are here,
 *                       each part by itself
 *   looking too late    so is a view after done(), and spare rows beside mine
 *   looking beyond      so is what lies before and behind every part and every
 *                       array of columns; with the address sanitizer it may not
 *                       be read at all, nor may a view that has expired
 *   writing too late    rows that change between put() and their leaving are
 *                       refused
 *   calls unpaired      get() without put(), put() without open(), anything
 *                       twice, or a slot that an evaluation leaves out
 *   disagreement        every message says which image, evaluation and slot it
 *                       is of, which of the evaluation's puts it was and what
 *                       was put before it; a receiver with another opinion
 *                       refuses it
 *
 * Refused means: a sentence with lane, evaluation, layer and slot, and the
 * process aborts. Not seen are rows beyond an activation's spare ones, which
 * the exchange does not know the number of, and ranks that wait for each
 * other's put for ever, which the deadline ends. Messages and bytes are counted
 * as ever; memory is about three times what travels in an evaluation, and not
 * counted.
 *
 * Built with WEFT_CHECKED every exchange is checked (preset asan).
 */
#ifndef WEFT_CORE_CHECKED_H
#define WEFT_CORE_CHECKED_H

#include "core/mail.h"

struct weft_checks {
    const weft_transport *inner;
    int image;      /* restarts */
    int nput;       /* puts in this evaluation */
    uint64_t order; /* of all of them: which, and in which order */
};

/* Before slots are declared; an exchange that is checked already stays so. */
weft_status weft_exchange_check(weft_exchange *x);

/* ---- for core/exchange.c and past.c; nothing where x is not checked -------
 */

weft_status weft_checked_settle(weft_exchange *x, weft_slot *s);
void weft_checked_free(weft_slot *s);
void weft_checked_restart(weft_exchange *x);
/* The evaluation under way, if there is one, ends. */
void weft_checked_next(weft_exchange *x);
void weft_checked_open(weft_exchange *x, const weft_slot *s);
/* Before anything of it leaves or comes. */
void weft_checked_put(weft_exchange *x, weft_slot *s);
/* Before peers' parts are looked at or waited for; `call`: by what. */
void weft_checked_look(const weft_exchange *x, const weft_slot *s,
                       const char *call);
/* Of a view, show copies: of my part, and with `all` of the peers' too. */
void weft_checked_show(const weft_exchange *x, const weft_slot *s, bool all,
                       weft_view *v);
/* Part p is here. */
void weft_checked_here(const weft_exchange *x, const weft_slot *s, int p);
void weft_checked_done(const weft_exchange *x, const weft_slot *s);

#endif
