#include "launch/plan_dataset.h"

#include <limits.h>
#include <stdlib.h>

#include "launch/config_dataset.h"
#include "launch/models.h"
#include "launch/stock.h"

/* ---- what there is ------------------------------------------------------- */

static double pixels(const weft_plan_kind *k)
{
    return (double)k->width * k->height;
}

static void note(const weft_plan_kind *k, weft_plan_items *of)
{
    if (k->steps < of->shortest.steps) of->shortest = *k;
    if (k->steps > of->longest.steps) of->longest = *k;
    if (pixels(k) < pixels(&of->smallest)) of->smallest = *k;
    if (pixels(k) > pixels(&of->largest)) of->largest = *k;
}

static weft_status find_kind(const weft_stock_spec *spec, const weft_kind *kind,
                             int ranks, weft_plan_kind *k)
{
    weft_config c = {0};

    WEFT_TRY(weft_stock_config(spec, kind, ranks, &c));
    *k = (weft_plan_kind){c.sample.steps, c.sample.width, c.sample.height,
                          kind->line};
    weft_config_release(&c);
    return WEFT_OK;
}

static weft_status note_kinds(const weft_stock_spec *spec, int ranks,
                              weft_plan_items *of)
{
    const weft_manifest *m = spec->manifest;
    weft_plan_kind k;

    WEFT_TRY(find_kind(spec, &m->kind[0], ranks, &k));
    of->shortest = of->longest = of->smallest = of->largest = k;
    for (int i = 1; i <= m->kept; i++) {
        const weft_kind *kind = &m->kind[i < m->kept ? i : WEFT_KINDS];

        if (!kind->keys) continue;
        WEFT_TRY(find_kind(spec, kind, ranks, &k));
        note(&k, of);
    }
    return WEFT_OK;
}

static void count_items(const weft_manifest *m, const weft_config_dataset *d,
                        weft_plan_items *of)
{
    int64_t n = 0;

    for (int k = d->slice; k < m->shards; k += d->slices)
        n += weft_manifest_count(m, k);
    *of = (weft_plan_items){.items = n < INT_MAX ? (int)n : INT_MAX,
                            .shard_size = m->shard_size,
                            .kinds = m->kinds,
                            .first = m->kind[0].line};
}

/* ---- what is planned ----------------------------------------------------- */

/* Any label stands for those of the items. */
static weft_status take_kind(const weft_stock_spec *spec, int i, int classes,
                             int ranks, weft_config *c)
{
    WEFT_TRY(weft_stock_config(spec, &spec->manifest->kind[i], ranks, c));
    if (!classes || c->sample.has_label) return WEFT_OK;
    c->sample.label = 0;
    c->sample.has_label = true;
    return WEFT_OK;
}

static int kind_at(const weft_manifest *m, long long line)
{
    int i = 0;

    while (i < m->kept && m->kind[i].line != line) i++;
    return i < m->kept ? i : WEFT_KINDS;
}

/* The first kind, and the largest one where that is another size. */
static weft_status take_kinds(const weft_stock_spec *spec, int classes,
                              int ranks, weft_plan_items *of,
                              weft_config *first)
{
    const weft_manifest *m = spec->manifest;
    weft_status st;

    WEFT_TRY(take_kind(spec, 0, classes, ranks, first));
    if (pixels(&of->largest) <=
        (double)first->sample.width * first->sample.height)
        return WEFT_OK;
    st = take_kind(spec, kind_at(m, of->largest.line), classes, ranks,
                   &of->most);
    if (st != WEFT_OK) weft_config_release(first);
    return st;
}

static weft_status read_manifest(weft_stock_spec *spec, int ranks,
                                 weft_plan_items *of, weft_config *first)
{
    const weft_config_dataset *d = &spec->config->dataset;
    weft_manifest *m;
    int classes;
    weft_status st;

    WEFT_TRY(weft_models_classes(spec->config, &classes));
    WEFT_TRY(weft_manifest_read(d, classes, weft_stock_check, spec, &m));
    spec->manifest = m;
    count_items(m, d, of);
    st = note_kinds(spec, ranks, of);
    if (st == WEFT_OK) st = take_kinds(spec, classes, ranks, of, first);
    weft_manifest_free(m);
    return st;
}

weft_status weft_plan_dataset(const weft_cli *cli, weft_config *c,
                              weft_plan_items *of)
{
    weft_stock_spec spec = {.path = cli->path,
                            .override = cli->override,
                            .noverrides = cli->noverrides,
                            .config = c};
    weft_config first = {0};
    char *text;
    weft_status st;

    *of = (weft_plan_items){0};
    if (!weft_config_is_dataset(c)) return WEFT_OK;
    WEFT_TRY(weft_config_read(cli->path, &text, &spec.bytes));
    spec.text = text;
    st = read_manifest(&spec, cli->ranks, of, &first);
    free(text);
    if (st != WEFT_OK) return st;
    weft_config_release(c);
    *c = first;
    return WEFT_OK;
}

/* The rank that takes most, of ranks that share one copy of the weights with
 * nobody: as the plan's table says it. */
static size_t most_of(const weft_plan *p)
{
    size_t most = 0;

    for (int q = 0; q < weft_plan_group(p); q++) {
        const size_t total = weft_plan_memory_of(p, q, 1).total;

        if (total > most) most = total;
    }
    return most;
}

void weft_plan_dataset_release(weft_plan_items *of)
{
    weft_config_release(&of->most);
}

weft_status weft_plan_dataset_most(const weft_setup *first, weft_plan_items *of)
{
    const weft_plan *p = &first->plan;
    weft_setup s;
    weft_status st;

    if (!of->most.file) return WEFT_OK;
    st = weft_setup_make(&of->most, weft_plan_group(p), p->threads, NULL,
                         &first->machine, &s);
    if (st == WEFT_EINPUT && of->largest.line)
        return weft_fail_within(st, "%s:%lld", of->most.dataset.manifest,
                                of->largest.line);
    if (st != WEFT_OK) return st;
    of->most_bytes = most_of(&s.plan);
    weft_setup_release(&s);
    return WEFT_OK;
}

/* ---- in words ------------------------------------------------------------ */

static void print_spread(const weft_plan_items *of, FILE *to)
{
    const weft_plan_kind *small = &of->smallest, *large = &of->largest;

    if (of->shortest.steps < of->longest.steps)
        fprintf(to, "           %d (line %lld) to %d steps (line %lld)\n",
                of->shortest.steps, of->shortest.line, of->longest.steps,
                of->longest.line);
    if (pixels(small) < pixels(large))
        fprintf(to, "           %d x %d (line %lld) to %d x %d (line %lld)\n",
                small->width, small->height, small->line, large->width,
                large->height, large->line);
}

static void print_memory(const weft_plan_items *of, const weft_plan *p,
                         FILE *to)
{
    const double mib = 1048576;

    if (of->most_bytes)
        fprintf(to,
                "memory     of a rank: at most %.1f MiB for the largest items "
                "(line %lld, %d x %d), %.1f for those shown\n",
                (double)of->most_bytes / mib, of->largest.line,
                of->largest.width, of->largest.height,
                (double)most_of(p) / mib);
    if (of->kinds > 1)
        fprintf(
            to,
            "           (up to %d kinds are there at once, each with memory "
            "of its own; those of one width and grain share weights)\n",
            WEFT_GOODS);
}

void weft_plan_dataset_json(const weft_plan_items *of, FILE *to)
{
    if (!of->items) return;
    fprintf(to, "\"kinds\": %lld, \"line\": %lld, ", of->kinds, of->first);
    if (of->most_bytes)
        fprintf(to,
                "\"largest\": {\"line\": %lld, \"width\": %d, \"height\": %d, "
                "\"rank_bytes\": %zu}, ",
                of->largest.line, of->largest.width, of->largest.height,
                of->most_bytes);
}

void weft_plan_dataset_print(const weft_plan_items *of, const weft_setup *first,
                             FILE *to)
{
    const weft_config *c = first->config;
    const int batch = first->plan.batch;

    if (of->kinds > 1) {
        fprintf(to,
                "items      of %lld kinds; planned as if all were like line "
                "%lld of %s\n",
                of->kinds, of->first, c->dataset.manifest);
        print_spread(of, to);
    }
    if (of->kinds > WEFT_KINDS)
        fprintf(to,
                "           (looked at: the first %d kinds, and the largest of "
                "the others)\n",
                WEFT_KINDS);
    if (of->items) print_memory(of, &first->plan, to);
    if (of->items > of->shard_size && of->shard_size % batch)
        fprintf(to,
                "shards     of %d items, whose last batches are not full: not "
                "counted\n",
                of->shard_size);
}
