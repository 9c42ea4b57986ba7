#include "launch/plan_cluster.h"

enum { WARMUP = 4 };

/* What displaced evaluations would be, where the config has none. */
static int warmup_of(const weft_setup *s)
{
    return s->plan.sched.lag ? s->plan.sched.warmup : WARMUP;
}

static int lag_of(const weft_setup *s)
{
    return s->plan.sched.lag ? s->plan.sched.lag : 1;
}

weft_status weft_plan_cluster_cost(const weft_setup *s, const weft_cluster *c,
                                   weft_plan_cost *cost)
{
    return weft_plan_cost_of(&s->plan, c, warmup_of(s), lag_of(s), cost);
}

/* ---- layouts ------------------------------------------------------------- */

/* One way to divide the ranks; seconds of all images. */
typedef struct layout {
    weft_shape patches;
    double sync, async;
    weft_wire wire;
} layout;

static void judge(const weft_plan *p, const weft_plan_cost *cost, layout *l)
{
    /* No group has more images than the last. */
    const double batches = weft_plan_batches(p, p->grid.groups - 1);

    l->patches = (weft_shape){p->grid.patches, p->across};
    l->wire = weft_plan_cost_wire(cost);
    l->sync = batches * cost->images;
    l->async = batches * cost->async[l->wire];
}

/* The same run with other patches; false where it cannot be. */
static bool try_layout(const weft_setup *s, const weft_cluster *c,
                       weft_shape patches, layout *l)
{
    weft_config config = *s->config;
    weft_plan_cost cost;
    weft_setup other;
    bool can;

    config.parallel.patches = patches;
    config.parallel.weights = NULL;
    if (weft_setup_make(&config, s->plan.ranks, s->plan.threads, NULL,
                        &s->machine, &other) != WEFT_OK)
        return false;
    can = weft_plan_cluster_cost(&other, c, &cost) == WEFT_OK;
    if (can) judge(&other.plan, &cost, l);
    weft_setup_release(&other);
    return can;
}

static double quicker(const layout *l)
{
    return l->async < l->sync ? l->async : l->sync;
}

static bool is_same(weft_shape a, weft_shape b)
{
    return a.lines == b.lines && a.across == b.across;
}

/* Fewer columns first: what comes later must be worth it. */
static layout best_layout(const weft_setup *s, const weft_cluster *c,
                          const layout *planned)
{
    const int ranks = s->plan.ranks;
    layout best = *planned, l;

    for (int across = 1; across <= ranks; across++)
        for (int lines = 1; lines * across <= ranks; lines++) {
            const weft_shape to_try = {lines, across};

            if (ranks % (lines * across) == 0 &&
                !is_same(to_try, planned->patches) &&
                try_layout(s, c, to_try, &l) &&
                quicker(&l) < quicker(&best) * (1 - WEFT_COST_WORTH))
                best = l;
        }
    return best;
}

/* ---- words --------------------------------------------------------------- */

static double mib(double bytes) { return bytes / 1048576.0; }

static void print_step(const char *what, double s, double ideal, FILE *to)
{
    fprintf(to, "  %-22s %10.1f ms   %6.3f x compute\n", what, s * 1e3,
            s / ideal);
}

static void print_steps(const weft_plan_cost *cost, FILE *to)
{
    char name[32];

    fprintf(to, "one evaluation, predicted:\n");
    print_step("compute alone", cost->compute, cost->compute, to);
    print_step("sync, nothing hidden", cost->blocking, cost->compute, to);
    print_step("sync", cost->in_step, cost->compute, to);
    for (int w = 0; w < WEFT_WIRES; w++) {
        snprintf(name, sizeof name, "async, wire %s", weft_wire_name[w]);
        print_step(name, cost->displaced[w], cost->compute, to);
    }
}

static void print_efficiency(const weft_plan *p, const weft_plan_cost *cost,
                             const layout *l, int warmup, FILE *to)
{
    const double fair = cost->alone / weft_plan_group(p);

    fprintf(to,
            "%d image%s, steps and decoding: sync %.2f s (efficiency %.0f %%), "
            "async %s after %d in step %.2f s (%.0f %%); one rank %.2f s\n",
            p->batch, p->batch == 1 ? "" : "s at once", cost->images,
            100 * fair / cost->images, weft_wire_name[l->wire], warmup,
            cost->async[l->wire], 100 * fair / cost->async[l->wire],
            cost->alone);
}

static void print_memory(const weft_cluster *c, const weft_plan_cost *cost,
                         FILE *to)
{
    fprintf(to, "memory     %.1f MiB on the fullest node",
            mib(cost->node_memory));
    if (c->node_bytes > 0)
        fprintf(to, " of %.0f%s", mib(c->node_bytes),
                cost->node_memory > c->node_bytes ? ": it does not fit" : "");
    fprintf(to, "\n");
}

static void print_patches(weft_shape s, FILE *to)
{
    fprintf(to, s.across > 1 ? "%dx%d" : "%d", s.lines, s.across);
}

static void advise_layout(const layout *planned, const layout *best, FILE *to)
{
    fprintf(to, "advice     parallel.patches: ");
    print_patches(best->patches, to);
    if (is_same(best->patches, planned->patches)) {
        fprintf(to, ", no other division of the ranks is quicker by %.0f %%\n",
                100 * WEFT_COST_WORTH);
        return;
    }
    fprintf(to, " takes %.2f s for all images, ", quicker(best));
    print_patches(planned->patches, to);
    fprintf(to, " as planned %.2f s\n", quicker(planned));
}

static void advise_exchange(const weft_plan_cost *cost, const layout *l,
                            FILE *to)
{
    const double gain = 1 - l->async / l->sync;

    if (gain < WEFT_COST_WORTH)
        fprintf(
            to,
            "           parallel.exchange: sync; async would save %.0f %%\n",
            gain > 0 ? 100 * gain : 0.0);
    else
        fprintf(to,
                "           parallel.exchange: async saves %.0f %% of the time "
                "and changes the picture;\n           wire %s: %.1f ms an "
                "evaluation, f32 %.1f, int8 %.1f\n",
                100 * gain, weft_wire_name[l->wire],
                cost->displaced[l->wire] * 1e3,
                cost->displaced[WEFT_WIRE_F32] * 1e3,
                cost->displaced[WEFT_WIRE_INT8] * 1e3);
}

static void print_nodes(const weft_cluster *c, FILE *to)
{
    fprintf(to, "\ncluster    %d node%s of %d rank%s", c->nodes,
            c->nodes == 1 ? "" : "s", c->ranks_per_node,
            c->ranks_per_node == 1 ? "" : "s");
    if (c->cores)
        fprintf(to, ", which take turns on %d processor%s", c->cores,
                c->cores == 1 ? "" : "s");
    fprintf(to, "\n");
}

weft_status weft_plan_cluster_print(const weft_setup *s, const weft_cluster *c,
                                    const weft_plan_cost *cost, FILE *to)
{
    layout planned, best;

    judge(&s->plan, cost, &planned);
    best = best_layout(s, c, &planned);
    print_nodes(c, to);
    print_steps(cost, to);
    print_efficiency(&s->plan, cost, &planned, warmup_of(s), to);
    print_memory(c, cost, to);
    advise_layout(&planned, &best, to);
    advise_exchange(cost, &planned, to);
    fprintf(to, "assumes    speeds by class of layer as given, whatever the "
                "shape; messages pass each port one by one;\n           "
                "a node's ranks share its port; no other jobs, no slow "
                "switches, ranks start together\n");
    return WEFT_OK;
}
