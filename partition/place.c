#include "partition/place.h"

#include <string.h>

enum { CANDIDATES = 500, BATCHES = 16 };

/* ---- the cost of one layout ---------------------------------------------- */

static int smaller(int a, int b) { return a < b ? a : b; }
static int larger(int a, int b) { return a > b ? a : b; }

/* Batches of equal size, so that little is computed twice to fill the last. */
static int even_batch(int images, int most)
{
    const int batches = (images + most - 1) / most;

    return (images + batches - 1) / batches;
}

static int images_of(const weft_plan *p, const weft_grid *g)
{
    return (p->images + g->groups - 1) / g->groups;
}

static void set_batch(const weft_place_opts *o, weft_plan *p,
                      const weft_grid *g, int flights)
{
    const int images = images_of(p, g);
    int most = o->batch;

    if (!most) most = smaller(o->batch_most, (images + flights - 1) / flights);
    p->batch = even_batch(images, smaller(larger(most, 1), images));
}

/* Seconds of group 0 with so many batches in flight. */
static weft_status expect(const weft_plan *asked, const weft_roles *roles,
                          int images, int flights, double *seconds)
{
    weft_lane_cost lane[WEFT_PLAN_NETS];
    weft_pipeline_spec s = {.roles = roles,
                            .lane = lane,
                            .nlanes = asked->nnets,
                            .stage = asked->stage,
                            .nstages = asked->nstages,
                            .flights = flights,
                            .hop = weft_plan_hop(asked, roles)};
    weft_pipeline order;

    for (int i = 0; i < asked->nnets; i++) {
        const weft_cut cut = weft_roles_cut(roles, asked->net[i].role, 0);

        lane[i] = weft_plan_lane(asked, i, &cut);
    }
    /* A long run goes round and round: its beginning tells. */
    s.batches = (images + asked->batch - 1) / asked->batch;
    s.batches = smaller(s.batches, BATCHES);
    WEFT_TRY(weft_pipeline_make(&s, &order));
    *seconds = weft_pipeline_forecast(&order).seconds * images /
               smaller(images, s.batches * asked->batch);
    weft_pipeline_release(&order);
    return WEFT_OK;
}

/* The fewest flights that are within a fiftieth of the best. */
static weft_status choose_flights(const weft_place_opts *o, weft_plan *p,
                                  const weft_roles *roles, const weft_grid *g,
                                  double *seconds)
{
    const double nearly = 1.02;
    const int images = images_of(p, g);
    double of[WEFT_FLIGHTS + 1], best = 0;
    int most = o->flights ? o->flights : smaller(images, WEFT_FLIGHTS), f;

    for (f = o->flights ? o->flights : 1; f <= most; f++) {
        set_batch(o, p, g, f);
        WEFT_TRY(expect(p, roles, images, f, &of[f]));
        if (best == 0 || of[f] < best) best = of[f];
    }
    f = o->flights ? o->flights : 1;
    while (of[f] > best * nearly) f++;
    set_batch(o, p, g, f);
    p->flights = f;
    *seconds = of[f];
    return WEFT_OK;
}

/* ---- ranks of a group ---------------------------------------------------- */

static int ranks_asked(const weft_plan *p)
{
    int sum = 0, beside = 0;

    for (int k = 0; k < p->nroles; k++)
        if (p->role[k].denoises) sum += p->role[k].ranks;
    /* A vae and texts may have ranks of their own beside the others. */
    for (int k = 0; k < p->nroles && sum; k++)
        if (!p->role[k].denoises) beside += p->role[k].ranks;
    return sum + beside;
}

/* The most ranks on one batch that the images and the rows have a use for. */
static int largest_group(int ranks, int most, int images)
{
    for (int d = smaller(ranks, most); d > 1; d--)
        if (ranks % d == 0 && ranks / d <= images) return d;
    return 1;
}

/* With ranks given by role, a group is as large as they are together, unless
 * that is given too; where there are fewer, roles share. */
static weft_status group_of(const weft_plan *p, int *group)
{
    const int sum = ranks_asked(p);

    if (!sum || p->group) {
        *group = p->group;
        return WEFT_OK;
    }
    *group = smaller(sum, p->ranks / p->across);
    if (p->ranks / p->across % *group)
        return weft_fail(WEFT_EINPUT,
                         "%d ranks are not a multiple of the %d that "
                         "parallel.roles asks for",
                         p->ranks, sum * p->across);
    if (p->ranks / p->across / *group > p->images)
        return weft_fail(WEFT_EINPUT,
                         "%d groups of the %d ranks that parallel.roles asks "
                         "for, but %d image%s: use fewer ranks or more seeds",
                         p->ranks / p->across / *group, sum * p->across,
                         p->images, p->images == 1 ? "" : "s");
    return WEFT_OK;
}

/* ---- candidates ---------------------------------------------------------- */

typedef struct search {
    const weft_place_opts *opts;
    weft_plan *plan;
    int units, group;
    int role[WEFT_ROLES], nroles; /* those that denoise */
    double work[WEFT_ROLES];      /* of each, on one rank */
    size_t least; /* bytes of a node, of what did not fit; 0: all did */
    bool found;
    double seconds;
    int ranks[WEFT_ROLES], batch, flights; /* the best so far */
} search;

/* Has every node room for it? */
static weft_status fits(search *s, weft_plan p, bool *fit)
{
    const weft_cluster *m = p.machine;
    size_t bytes;

    *fit = true;
    if (m->node_bytes <= 0) return WEFT_OK;
    p.group = s->group;
    WEFT_TRY(weft_plan_make(&p));
    bytes = weft_plan_node_memory(&p, m->ranks_per_node);
    weft_plan_release(&p);
    *fit = (double)bytes <= m->node_bytes;
    if (!*fit && (!s->least || bytes < s->least)) s->least = bytes;
    return WEFT_OK;
}

static weft_status consider(search *s, const int *ranks)
{
    const double worth = 0.98;
    weft_role_spec spec[WEFT_ROLES];
    weft_plan p = *s->plan;
    weft_roles roles;
    weft_grid g;
    double seconds;
    bool fit;
    weft_status st;

    for (int k = 0; k < s->nroles; k++) p.role[s->role[k]].ranks = ranks[k];
    WEFT_TRY(weft_grid_make(p.ranks / p.across, p.across, s->group, s->group,
                            p.images, &g));
    for (int k = 0; k < p.nroles; k++) {
        spec[k] = p.role[k];
        if (!spec[k].ranks) spec[k].ranks = smaller(g.patches, s->units);
    }
    WEFT_TRY(
        weft_roles_make(g.patches, s->units, spec, p.nroles, p.share, &roles));
    st = choose_flights(s->opts, &p, &roles, &g, &seconds);
    weft_roles_release(&roles);
    WEFT_TRY(st);
    if (s->found && seconds > s->seconds * worth) return WEFT_OK;
    WEFT_TRY(fits(s, p, &fit));
    if (!fit) return WEFT_OK;
    s->found = true;
    s->seconds = seconds;
    memcpy(s->ranks, ranks, sizeof s->ranks);
    s->batch = p.batch;
    s->flights = p.flights;
    return WEFT_OK;
}

/* How many ways there are to give n roles at least one of `ranks` each. */
static double ways(int ranks, int n)
{
    double c = 1;

    for (int i = 1; i < n; i++) c = c * (ranks - i) / i;
    return c;
}

/* All ways to give roles k .. the `left` ranks. */
static weft_status all_ways(search *s, int k, int left, int *ranks)
{
    const int rest = s->nroles - k - 1;

    if (rest == 0) {
        ranks[k] = left;
        return left <= s->units ? consider(s, ranks) : WEFT_OK;
    }
    for (int n = smaller(left - rest, s->units); n >= 1; n--) {
        ranks[k] = n;
        WEFT_TRY(all_ways(s, k + 1, left - n, ranks));
    }
    return WEFT_OK;
}

/* The next rank goes to the role that has the most to do for each it has. */
static bool in_proportion(const search *s, int *ranks)
{
    for (int k = 0; k < s->nroles; k++) ranks[k] = 1;
    for (int left = s->group - s->nroles; left > 0; left--) {
        int most = -1;

        for (int k = 0; k < s->nroles; k++)
            if (ranks[k] < s->units &&
                (most < 0 ||
                 s->work[k] * ranks[most] > s->work[most] * ranks[k]))
                most = k;
        if (most < 0) return false;
        ranks[most]++;
    }
    return true;
}

/* One rank less here and one more there, as long as that helps. */
static weft_status climb(search *s)
{
    double before;

    do {
        int ranks[WEFT_ROLES];

        before = s->seconds;
        memcpy(ranks, s->ranks, sizeof ranks);
        for (int a = 0; a < s->nroles; a++)
            for (int b = 0; b < s->nroles; b++) {
                if (a == b || ranks[a] == 1 || ranks[b] == s->units) continue;
                ranks[a]--, ranks[b]++;
                WEFT_TRY(consider(s, ranks));
                ranks[a]++, ranks[b]--;
            }
    } while (s->seconds < before);
    return WEFT_OK;
}

static weft_status apart(search *s)
{
    int ranks[WEFT_ROLES] = {0};

    if (ways(s->group, s->nroles) <= CANDIDATES)
        return all_ways(s, 0, s->group, ranks);
    if (!in_proportion(s, ranks)) return WEFT_OK;
    WEFT_TRY(consider(s, ranks));
    return climb(s);
}

static void list_roles(search *s)
{
    const int first[] = {0, s->units};
    const weft_cut one = {.n = 1, .first = first};
    const weft_plan *p = s->plan;

    for (int k = 0; k < p->nroles; k++)
        if (p->role[k].denoises) s->role[s->nroles++] = k;
    for (int k = 0; k < s->nroles; k++)
        for (int i = 0; i < p->nnets; i++)
            if (p->net[i].role == s->role[k])
                s->work[k] +=
                    weft_plan_seconds(p, i, &one) * p->net[i].evaluations;
}

static weft_status search_all(search *s)
{
    int ranks[WEFT_ROLES] = {0};

    if (s->nroles > 1 && s->group >= s->nroles) WEFT_TRY(apart(s));
    if (s->group <= s->units && (s->plan->share || s->nroles == 1)) {
        for (int k = 0; k < s->nroles; k++) ranks[k] = s->group;
        WEFT_TRY(consider(s, ranks));
    }
    if (s->found) return WEFT_OK;
    if (s->least)
        return weft_fail(WEFT_EINPUT,
                         "no placement of the roles fits: the smallest needs "
                         "%.0f MiB on a node of %.0f",
                         (double)s->least / 1048576,
                         s->plan->machine->node_bytes / 1048576);
    return weft_fail(WEFT_EINPUT,
                     "%d roles do not fit on groups of %d ranks of %d%s",
                     s->nroles, s->group, s->plan->ranks,
                     s->plan->share ? "" : ", and parallel.share is false");
}

static weft_status place_roles(const weft_place_opts *o, weft_plan *p)
{
    search s = {.opts = o, .plan = p, .units = p->rows / p->unit};

    p->batch = 1;
    list_roles(&s);
    s.group = p->group ? p->group
                       : largest_group(p->ranks / p->across, s.units * s.nroles,
                                       p->images);
    WEFT_TRY(search_all(&s));
    p->group = s.group;
    p->batch = s.batch;
    p->flights = s.flights;
    for (int k = 0; k < s.nroles; k++) p->role[s.role[k]].ranks = s.ranks[k];
    return WEFT_OK;
}

/* ---- ranks that are given ------------------------------------------------ */

static weft_status place_rest(const weft_place_opts *o, weft_plan *p)
{
    const int units = p->rows / p->unit;
    weft_role_spec spec[WEFT_ROLES];
    weft_roles roles;
    weft_grid g;
    double seconds;
    weft_status st;

    WEFT_TRY(group_of(p, &p->group));
    WEFT_TRY(weft_grid_make(p->ranks / p->across, p->across, p->group,
                            ranks_asked(p) ? p->ranks : units, p->images, &g));
    for (int k = 0; k < p->nroles; k++) {
        if (p->role[k].ranks > g.patches && p->share)
            p->role[k].ranks = g.patches;
        spec[k] = p->role[k];
        if (!spec[k].ranks) spec[k].ranks = smaller(g.patches, units);
    }
    WEFT_TRY(
        weft_roles_make(g.patches, units, spec, p->nroles, p->share, &roles));
    st = choose_flights(o, p, &roles, &g, &seconds);
    weft_roles_release(&roles);
    return st;
}

weft_status weft_place(const weft_place_opts *o, weft_plan *p)
{
    return o->roles ? place_roles(o, p) : place_rest(o, p);
}
