#include "partition/cost_plan.h"

static weft_status cost(const weft_plan *p, const weft_plan_net *net,
                        const weft_cut *cut, const weft_cluster *c,
                        weft_cost_how how, double *s)
{
    how.rank0 = p->roles.role[net->role].rank0 * p->across;
    return weft_cost_of(net->graph, net->n, cut, c, &how, s);
}

/* One evaluation of a net. */
static weft_status evaluation(const weft_plan *p, const weft_plan_net *net,
                              const weft_cluster *c, int lag,
                              weft_plan_cost *one)
{
    const weft_cut cut = weft_plan_cut(p, net->role, 0);
    const int all[] = {0, p->units};
    const weft_cut whole = {.n = 1, .first = all};
    const weft_cost_how silent = {.silent = true}, blocks = {.blocks = true};
    const weft_cost_how in_step = {0};

    WEFT_TRY(cost(p, net, &whole, c, silent, &one->alone));
    WEFT_TRY(cost(p, net, &cut, c, silent, &one->compute));
    WEFT_TRY(cost(p, net, &cut, c, blocks, &one->blocking));
    WEFT_TRY(cost(p, net, &cut, c, in_step, &one->in_step));
    for (int w = 0; w < WEFT_WIRES; w++) {
        const weft_cost_how how = {.lag = lag, .wire = (weft_wire)w};

        WEFT_TRY(cost(p, net, &cut, c, how, &one->displaced[w]));
    }
    return WEFT_OK;
}

static void add(weft_plan_cost *sum, const weft_plan_cost *one)
{
    sum->compute += one->compute;
    sum->blocking += one->blocking;
    sum->in_step += one->in_step;
    sum->images += one->images;
    for (int w = 0; w < WEFT_WIRES; w++) {
        sum->displaced[w] += one->displaced[w];
        sum->async[w] += one->async[w];
    }
}

/* All evaluations of a net for one batch. What decodes does it in step, and is
 * no part of a step. */
static void all_evaluations(const weft_plan *p, const weft_plan_net *net,
                            int warmup, weft_plan_cost *one)
{
    const double n =
        net->once ? 0
                  : (double)net->evaluations * (net->each_image ? p->batch : 1);
    const double first = n < warmup || net->each_image ? n : warmup;

    one->images = n * one->in_step;
    one->alone *= n;
    for (int w = 0; w < WEFT_WIRES; w++)
        one->async[w] = first * one->in_step + (n - first) * one->displaced[w];
    if (!net->each_image && !net->once) return;
    one->compute = one->blocking = one->in_step = 0;
    for (int w = 0; w < WEFT_WIRES; w++) one->displaced[w] = 0;
}

static bool takes_part(const weft_plan *p, const weft_plan_net *net, int rank)
{
    const weft_role *r = &p->roles.role[net->role];

    return rank >= r->rank0 && rank < r->rank0 + r->asked.ranks;
}

/* Nets on the same ranks take turns, on others they work at the same time: the
 * busiest rank of the group sets the pace. */
static void busiest(const weft_plan *p, const weft_plan_cost *net,
                    weft_plan_cost *most)
{
    for (int r = 0; r < p->grid.patches; r++) {
        weft_plan_cost sum = {0};

        for (int i = 0; i < p->nnets; i++)
            if (takes_part(p, &p->net[i], r)) add(&sum, &net[i]);
        if (sum.images > most->images) *most = sum;
    }
}

weft_status weft_plan_cost_of(const weft_plan *p, const weft_cluster *c,
                              int warmup, int lag, weft_plan_cost *sum)
{
    weft_plan_cost net[WEFT_PLAN_NETS] = {{0}};
    double alone = 0;

    *sum = (weft_plan_cost){0};
    if (p->ranks > c->nodes * c->ranks_per_node)
        return weft_fail(WEFT_EINPUT,
                         "%d ranks, but the cluster has room for %d: nodes %d, "
                         "ranks_per_node %d",
                         p->ranks, c->nodes * c->ranks_per_node, c->nodes,
                         c->ranks_per_node);
    for (int i = 0; i < p->nnets; i++) {
        WEFT_TRY(evaluation(p, &p->net[i], c, lag, &net[i]));
        all_evaluations(p, &p->net[i], warmup, &net[i]);
        alone += net[i].alone;
    }
    busiest(p, net, sum);
    sum->alone = alone;
    sum->node_memory = (double)weft_plan_node_memory(p, c->ranks_per_node);
    return WEFT_OK;
}

weft_wire weft_plan_cost_wire(const weft_plan_cost *cost)
{
    double best = cost->async[0];
    int w;

    for (w = 1; w < WEFT_WIRES; w++)
        if (cost->async[w] < best) best = cost->async[w];
    for (w = 0; cost->async[w] > best * (1 + WEFT_COST_WORTH);) w++;
    return (weft_wire)w;
}

static void json_wires(const char *key, const double *s, FILE *to)
{
    fprintf(to, ",\"%s\":{", key);
    for (int w = 0; w < WEFT_WIRES; w++)
        fprintf(to, "%s\"%s\":%.6g", w ? "," : "", weft_wire_name[w], s[w]);
    fprintf(to, "}");
}

void weft_plan_cost_json(const weft_plan_cost *cost, FILE *to)
{
    fprintf(
        to,
        "\"cost\":{\"compute_s\":%.6g,\"blocking_s\":%.6g,\"in_step_s\":%.6g",
        cost->compute, cost->blocking, cost->in_step);
    json_wires("displaced_s", cost->displaced, to);
    fprintf(to, ",\"alone_images_s\":%.6g,\"sync_images_s\":%.6g", cost->alone,
            cost->images);
    json_wires("async_images_s", cost->async, to);
    fprintf(to, ",\"node_memory_bytes\":%.0f},", cost->node_memory);
}
