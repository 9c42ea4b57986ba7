/*
 * roles.h - who evaluates what within a group, and who must tell whom.
 *
 * A *role* is a net asked about one condition, or about several at once:
 * strong, weak, cond, uncond, strong.cond, vae. It has a run of the group's
 * ranks and its own cut of the rows over them, so roles may have different
 * numbers of ranks. Runs may overlap: then roles share ranks and take turns.
 *
 * Whoever has a role that denoises keeps rows of the samples' state: the
 * smallest span of units that covers the rows of its roles. A prediction goes
 * from the ranks of its role to all ranks that keep state, point to point and
 * only the rows that both have. So only predictions cross between roles; the
 * solver's arithmetic is repeated by everybody on the rows that they keep.
 */
#ifndef WEFT_PARTITION_ROLES_H
#define WEFT_PARTITION_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/exchange.h"

enum { WEFT_ROLES = 16 };

/* Units from .. to; empty where from == to. */
typedef struct weft_span {
    int from, to;
} weft_span;

static inline int weft_span_units(weft_span s) { return s.to - s.from; }

static inline weft_span weft_span_both(weft_span a, weft_span b)
{
    const int from = a.from > b.from ? a.from : b.from;
    const int to = a.to < b.to ? a.to : b.to;

    return to > from ? (weft_span){from, to} : (weft_span){from, from};
}

/* What is asked of weft_roles_make. */
typedef struct weft_role_spec {
    const char *name; /* borrowed */
    int ranks;
    double work;   /* of a run, in any unit: shared ranks are dealt by it */
    bool denoises; /* its ranks keep state; those of vae and text need not */
    bool reads;    /* texts: its ranks have the text encoders */
    bool own;      /* it does not denoise, and was given ranks all the same */
    const double *speed; /* of each rank of the group, for heights; borrowed.
                            NULL: all alike */
} weft_role_spec;

typedef struct weft_role {
    weft_role_spec asked;
    int rank0;  /* the rank of the group that holds patch 0 */
    int *first; /* [asked.ranks + 1], a cut; owned. Those that read have no
                   rows: of their number */
} weft_role;

typedef struct weft_roles {
    int ranks, units, n;
    bool shared; /* some rank has several roles that denoise or have ranks of
                    their own */
    weft_role role[WEFT_ROLES];
    weft_span *state; /* [ranks]: rows of the state; owned */
} weft_roles;

/* Deal `ranks` ranks out to n roles, in order, each to the run of ranks with
 * the least work so far; what a role that does not denoise does counts only
 * where ranks are alike otherwise. WEFT_EINPUT with the numbers: a role of more
 * ranks than there are or than the rows make patches; roles that must share
 * although `share` is false. Ranks that no role needs are refused too. On
 * failure nothing is left to release. */
weft_status weft_roles_make(int ranks, int units, const weft_role_spec *spec,
                            int n, bool share, weft_roles *r);
void weft_roles_release(weft_roles *r);

/* The cut of role k as `rank` sees it; `me` is -1 where it has no part. */
weft_cut weft_roles_cut(const weft_roles *r, int k, int rank);
/* The units of role k that `rank` evaluates; empty where it has no part. */
weft_span weft_roles_span(const weft_roles *r, int k, int rank);

static inline bool weft_roles_has(const weft_roles *r, int k, int rank)
{
    return rank >= r->role[k].rank0 &&
           rank < r->role[k].rank0 + r->role[k].asked.ranks;
}

/* Whether every rank that keeps state keeps all of it. */
bool weft_roles_keep_all(const weft_roles *r);

/*
 * Redistribution: rows that `have` owns once, to all who want them.
 */

/* What one rank sends to or gets from a peer; the peer may be itself. */
typedef struct weft_overlap {
    int peer;
    weft_span units;
} weft_overlap;

/* The parts of `mine` that the spans of `n` ranks hold, by rank; `out` has
 * room for n. Returns how many. Sending, `mine` is what I own and `of` what
 * others want; receiving, the reverse. */
int weft_overlaps(weft_span mine, const weft_span *of, int n,
                  weft_overlap *out);

/* Messages and units between different ranks: what they cost. */
typedef struct weft_crossing {
    uint64_t messages, units;
} weft_crossing;

weft_crossing weft_crossing_of(const weft_span *have, const weft_span *want,
                               int n);
/* Of role k's rows to all that keep state. `span` is room for all ranks. */
weft_crossing weft_roles_crossing(const weft_roles *r, int k, weft_span *span);

/* Every unit of every wanted span is held by exactly one rank. */
bool weft_crossing_is_valid(const weft_span *have, const weft_span *want,
                            int n);

#endif
