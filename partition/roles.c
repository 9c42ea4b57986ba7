#include "partition/roles.h"

#include <stdlib.h>
#include <string.h>

#include "partition/split.h"

/* ---- dealing ------------------------------------------------------------- */

static weft_status check_spec(const weft_role_spec *s, int ranks, int units)
{
    if (s->ranks < 1)
        return weft_fail(WEFT_EINPUT, "role %s: %d ranks", s->name, s->ranks);
    if (s->ranks > ranks)
        return weft_fail(WEFT_EINPUT,
                         "role %s wants %d ranks, but its group has %d",
                         s->name, s->ranks, ranks);
    if (s->ranks > units && !s->reads)
        return weft_fail(WEFT_EINPUT,
                         "role %s wants %d ranks, but the image's rows make "
                         "only %d patch%s",
                         s->name, s->ranks, units, units == 1 ? "" : "es");
    return WEFT_OK;
}

/* Does the run of n ranks from `a` on have less to do than the one from `b`:
 * its busiest rank, or all together where those are equal? */
static bool is_freer(const double *load, int n, int a, int b)
{
    double most[2] = {0}, sum[2] = {0};

    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            const double one = load[(k ? b : a) + i];

            sum[k] += one;
            if (one > most[k]) most[k] = one;
        }
    return most[0] < most[1] || (most[0] == most[1] && sum[0] < sum[1]);
}

/* The first of equal ones. */
static int least_loaded(const double *load, int ranks, int n)
{
    int best = 0;

    for (int i = 1; i + n <= ranks; i++)
        if (is_freer(load, n, i, best)) best = i;
    return best;
}

/* Work of 0 would not keep the next role away. */
static double work_of(const weft_role_spec *s)
{
    const double least = 1e-9;

    return (s->work > least ? s->work : least) / s->ranks;
}

static bool claims(const weft_role *r)
{
    return r->asked.denoises || r->asked.own;
}

/* Is this rank that of a role before k? */
static bool is_taken(const weft_roles *r, int k, int rank)
{
    for (int i = 0; i < k; i++)
        if (claims(&r->role[i]) && weft_roles_has(r, i, rank)) return true;
    return false;
}

static weft_status deal(weft_roles *r, double *load)
{
    const double trifle = 1e-12;

    for (int k = 0; k < r->n; k++) {
        weft_role *role = &r->role[k];
        const bool denoises = role->asked.denoises;
        const int n = role->asked.ranks;

        /* Texts and the vae come before and after the samples are made, whoever
         * makes them. */
        role->rank0 = n == r->ranks ? 0 : least_loaded(load, r->ranks, n);
        for (int i = role->rank0; i < role->rank0 + n; i++) {
            r->shared |= claims(role) && is_taken(r, k, i);
            load[i] += denoises ? work_of(&role->asked) : trifle;
        }
    }
    return WEFT_OK;
}

/* ---- state --------------------------------------------------------------- */

static bool has_any(const weft_roles *r, int rank)
{
    for (int k = 0; k < r->n; k++)
        if (weft_roles_has(r, k, rank)) return true;
    return false;
}

static weft_span state_of(const weft_roles *r, int rank)
{
    weft_span all = {0, 0};

    for (int k = 0; k < r->n; k++) {
        const weft_span s = weft_roles_span(r, k, rank);

        if (!r->role[k].asked.denoises || !weft_span_units(s)) continue;
        if (!weft_span_units(all)) all = s;
        if (s.from < all.from) all.from = s.from;
        if (s.to > all.to) all.to = s.to;
    }
    return all;
}

/* ---- making -------------------------------------------------------------- */

static weft_status cut_role(weft_roles *r, int k)
{
    weft_role *role = &r->role[k];
    const int ranks = role->asked.ranks;

    role->first = calloc((size_t)ranks + 1, sizeof *role->first);
    if (!role->first) return weft_fail(WEFT_ENOMEM, "out of memory for a cut");
    return weft_split_rows(role->asked.reads ? ranks : r->units, 1, ranks,
                           role->asked.speed ? role->asked.speed + role->rank0
                                             : NULL,
                           role->first);
}

static weft_status refuse_sharing(const weft_roles *r)
{
    int sum = 0;

    for (int k = 0; k < r->n; k++)
        if (claims(&r->role[k])) sum += r->role[k].asked.ranks;
    return weft_fail(WEFT_EINPUT,
                     "the roles want %d ranks, the group has %d, and "
                     "parallel.share is false: use %d ranks, or let roles "
                     "share them",
                     sum, r->ranks, sum);
}

static weft_status refuse_idle(const weft_roles *r)
{
    for (int i = 0; i < r->ranks; i++)
        if (!has_any(r, i))
            return weft_fail(WEFT_EINPUT,
                             "rank %d of the group's %d would have no role: "
                             "give the roles more ranks or use fewer",
                             i, r->ranks);
    return WEFT_OK;
}

static weft_status make(weft_roles *r, bool share)
{
    double *load = calloc((size_t)r->ranks, sizeof *load);
    weft_status st = load ? deal(r, load)
                          : weft_fail(WEFT_ENOMEM, "out of memory for roles");

    free(load);
    WEFT_TRY(st);
    if (r->shared && !share) return refuse_sharing(r);
    WEFT_TRY(refuse_idle(r));
    for (int k = 0; k < r->n; k++) WEFT_TRY(cut_role(r, k));
    r->state = calloc((size_t)r->ranks, sizeof *r->state);
    if (!r->state) return weft_fail(WEFT_ENOMEM, "out of memory for roles");
    for (int i = 0; i < r->ranks; i++) r->state[i] = state_of(r, i);
    return WEFT_OK;
}

weft_status weft_roles_make(int ranks, int units, const weft_role_spec *spec,
                            int n, bool share, weft_roles *r)
{
    weft_status st = WEFT_OK;

    WEFT_MUST(ranks > 0 && units > 0 && n > 0 && n <= WEFT_ROLES);
    memset(r, 0, sizeof *r);
    r->ranks = ranks;
    r->units = units;
    r->n = n;
    for (int k = 0; k < n && st == WEFT_OK; k++) {
        r->role[k].asked = spec[k];
        st = check_spec(&spec[k], ranks, units);
    }
    if (st == WEFT_OK) st = make(r, share);
    if (st != WEFT_OK) weft_roles_release(r);
    return st;
}

void weft_roles_release(weft_roles *r)
{
    for (int k = 0; k < r->n; k++) free(r->role[k].first);
    free(r->state);
    memset(r, 0, sizeof *r);
}

weft_cut weft_roles_cut(const weft_roles *r, int k, int rank)
{
    const weft_role *role = &r->role[k];

    return (weft_cut){.n = role->asked.ranks,
                      .me =
                          weft_roles_has(r, k, rank) ? rank - role->rank0 : -1,
                      .first = role->first};
}

bool weft_roles_keep_all(const weft_roles *r)
{
    for (int i = 0; i < r->ranks; i++) {
        const int units = weft_span_units(r->state[i]);

        if (units && units != r->units) return false;
    }
    return true;
}

weft_span weft_roles_span(const weft_roles *r, int k, int rank)
{
    const weft_cut c = weft_roles_cut(r, k, rank);

    if (c.me < 0) return (weft_span){0, 0};
    return (weft_span){c.first[c.me], c.first[c.me + 1]};
}

/* ---- redistribution ------------------------------------------------------ */

int weft_overlaps(weft_span mine, const weft_span *of, int n, weft_overlap *out)
{
    int found = 0;

    for (int i = 0; i < n; i++) {
        const weft_span both = weft_span_both(mine, of[i]);

        if (weft_span_units(both)) out[found++] = (weft_overlap){i, both};
    }
    return found;
}

weft_crossing weft_crossing_of(const weft_span *have, const weft_span *want,
                               int n)
{
    weft_crossing sum = {0};

    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const int units = weft_span_units(weft_span_both(have[i], want[j]));

            if (i == j || !units) continue;
            sum.messages++;
            sum.units += (uint64_t)units;
        }
    return sum;
}

weft_crossing weft_roles_crossing(const weft_roles *r, int k, weft_span *span)
{
    for (int i = 0; i < r->ranks; i++) span[i] = weft_roles_span(r, k, i);
    return weft_crossing_of(span, r->state, r->ranks);
}

/* How many of `have` hold unit u. */
static int holders(const weft_span *have, int n, int u)
{
    int held = 0;

    for (int i = 0; i < n; i++) held += u >= have[i].from && u < have[i].to;
    return held;
}

bool weft_crossing_is_valid(const weft_span *have, const weft_span *want, int n)
{
    for (int i = 0; i < n; i++)
        for (int u = want[i].from; u < want[i].to; u++)
            if (holders(have, n, u) != 1) return false;
    return true;
}
