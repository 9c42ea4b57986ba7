/*
 * `weft plan`: what a run would do, without one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/commands.h"
#include "launch/plan_cluster.h"
#include "launch/plan_dataset.h"
#include "launch/setup.h"
#include "launch/standard.h"
#include "launch/topology.h"

/* Of all models: in their files; packed, once per node. */
typedef struct weights {
    size_t file, packed;
} weights;

static weft_status add_up(const weft_setup *s, weights *sum)
{
    *sum = (weights){0};
    for (int i = 0; i < s->models.nfiles; i++) {
        weft_layout l = {0};

        if (s->models.head[i] != i) continue;
        WEFT_TRY(weft_layout_weights(&s->models.file[i].graph, s->dev, &l));
        sum->file += s->models.file[i].file_bytes;
        sum->packed += l.weight_bytes;
        weft_layout_release(&l);
    }
    return WEFT_OK;
}

/* `cost` may be NULL. */
static weft_status print_json(const weft_setup *s, const weft_plan_cost *cost,
                              const weft_plan_items *items)
{
    char *about, *first = NULL;
    size_t bytes;
    FILE *f;

    WEFT_TRY(weft_config_about(s->config, &about));
    f = open_memstream(&first, &bytes);
    if (f) {
        fputs(about, f);
        weft_plan_dataset_json(items, f);
        if (cost) weft_plan_cost_json(cost, f);
        fclose(f);
        weft_plan_print_json(&s->plan, first, stdout);
    }
    free(about);
    free(first);
    return f ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory for a plan");
}

/* The plan, and what it costs on a cluster that somebody described. */
static weft_status print(const weft_cli *cli, const weft_setup *s,
                         const weft_plan_items *items)
{
    const weft_cluster *cluster =
        s->machine.from == WEFT_COSTS_CLUSTER ? &s->machine.cluster : NULL;
    weft_plan_cost cost;
    weights w;

    WEFT_TRY(add_up(s, &w));
    if (cluster) WEFT_TRY(weft_plan_cluster_cost(s, cluster, &cost));
    if (cli->json) return print_json(s, cluster ? &cost : NULL, items);
    weft_plan_print(&s->plan, stdout);
    weft_plan_dataset_print(items, s, stdout);
    printf("weights    %.1f MiB in the files, %.1f MiB packed for %s kernels, "
           "once per node\n",
           (double)w.file / 1048576, (double)w.packed / 1048576, s->dev->name);
    return cluster ? weft_plan_cluster_print(s, cluster, &cost, stdout)
                   : WEFT_OK;
}

/* --cluster is the key of that name. */
static weft_status take_cluster(const weft_cli *cli, weft_config *c)
{
    if (!cli->cluster) return WEFT_OK;
    free(c->parallel.cluster);
    c->parallel.cluster = strdup(cli->cluster);
    return c->parallel.cluster ? WEFT_OK
                               : weft_fail(WEFT_ENOMEM, "out of memory");
}

/* A data set is planned for images without end, and told for those that it has.
 */
static weft_status show(const weft_cli *cli, const weft_config *c,
                        weft_plan_items *items)
{
    weft_machine machine;
    weft_topology t;
    weft_setup s;
    weft_status st = WEFT_OK;
    int threads;

    WEFT_TRY(weft_topology_discover(0, 1, false, c->run.threads, &t));
    threads = t.threads;
    weft_topology_release(&t);
    WEFT_TRY(weft_machine_find(c, threads, &machine));
    WEFT_TRY(weft_setup_make(c, cli->ranks, threads, NULL, &machine, &s));
    if (items->items) st = weft_plan_recount(&s.plan, items->items);
    if (st == WEFT_OK) st = weft_plan_dataset_most(&s, items);
    if (st == WEFT_OK) st = print(cli, &s, items);
    weft_setup_release(&s);
    return st == WEFT_OK ? weft_standard_flush() : st;
}

int weft_command_plan(const weft_cli *cli)
{
    weft_config c;
    weft_plan_items items;
    weft_status st =
        weft_config_load(cli->path, cli->override, cli->noverrides, &c);

    if (st == WEFT_OK) {
        if (c.note) fputs(c.note, stderr);
        st = weft_plan_dataset(cli, &c, &items);
        if (st == WEFT_OK) st = take_cluster(cli, &c);
        if (st == WEFT_OK) st = show(cli, &c, &items);
        weft_plan_dataset_release(&items);
        weft_config_release(&c);
    }
    if (st != WEFT_OK) fprintf(stderr, "weft: %s\n", weft_fail_text());
    return weft_exit_code(st);
}
