/*
 * Ranks that share processors: of a node's `cores`, the r-th, the (r +
 * cores)-th and so on share the r-th.
 */
#include "partition/cost_walk.h"

static bool is_shared(const weft_cost_walk *w)
{
    return w->c->cores > 0 && w->c->cores < w->c->ranks_per_node;
}

void weft_cost_seat(weft_cost_walk *w)
{
    const int cores = w->c->cores;

    for (int r = 0; r < w->cut->n; r++) {
        const int local = (w->how.rank0 + r) % w->c->ranks_per_node;
        const bool beside = is_shared(w) && local >= cores && r >= cores;

        w->order[r] = r;
        w->core_of[r] = beside ? w->core_of[r - cores] : r;
        w->core[w->core_of[r]].ranks++;
    }
}

void weft_cost_turns(weft_cost_walk *w)
{
    for (int k = 1; is_shared(w) && k < w->cut->n; k++) {
        const int r = w->order[k];
        int to = k;

        for (; to > 0 && w->clock[w->order[to - 1]] > w->clock[r]; to--)
            w->order[to] = w->order[to - 1];
        w->order[to] = r;
    }
}

/* What fits into the core's last idle time. */
static double fill(weft_cost_core *c, double *now, double seconds)
{
    const double start = weft_later(*now, c->idle0);
    double some = c->idle1 - start;

    if (some <= 0) return seconds;
    if (some > seconds) some = seconds;
    *now = c->idle0 = start + some;
    return seconds - some;
}

void weft_cost_spend(weft_cost_walk *w, int r, double seconds)
{
    weft_cost_core *c = &w->core[w->core_of[r]];
    double *now = &w->clock[r];

    if (c->ranks > 1) seconds = fill(c, now, seconds);
    if (c->ranks > 1 && seconds > 0) {
        if (*now > c->until) {
            c->idle0 = c->until;
            c->idle1 = *now;
        } else {
            *now = c->until;
        }
        c->until = *now + seconds;
    }
    *now += seconds;
}
