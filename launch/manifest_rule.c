#include "launch/manifest_rule.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most that a job of this version is made for. */
static const uint64_t most_items = 1000000000;

/* ---- counting ------------------------------------------------------------ */

/* Of all ranges; UINT64_MAX where they are more than that. */
static uint64_t count(const weft_range *r, int n)
{
    uint64_t sum = 0, each;

    for (int i = 0; i < n; i++) {
        if (__builtin_add_overflow(r[i].last - r[i].first, 1, &each) ||
            __builtin_add_overflow(sum, each, &sum))
            return UINT64_MAX;
    }
    return sum;
}

/* Number i of all ranges. */
static uint64_t pick(const weft_range *r, uint64_t i)
{
    while (i > r->last - r->first) {
        i -= r->last - r->first + 1;
        r++;
    }
    return r->first + i;
}

static void labels_of(const weft_manifest *m, const weft_range **r, int *n)
{
    *r = m->spec->nlabels ? m->spec->label : &m->all;
    *n = m->spec->nlabels ? m->spec->nlabels : 1;
}

static void make_item(const weft_manifest *m, uint64_t i, weft_item *item)
{
    const uint64_t seeds = count(m->spec->seed, m->spec->nseeds);
    const weft_range *labels;
    int n;

    *item = (weft_item){.label = -1, .seed = pick(m->spec->seed, i % seeds)};
    if (!m->labels) {
        snprintf(item->id, sizeof item->id, "%010llu",
                 (unsigned long long)item->seed);
        return;
    }
    labels_of(m, &labels, &n);
    item->label = (int)pick(labels, i / seeds);
    snprintf(item->id, sizeof item->id, "%04d-%010llu", item->label,
             (unsigned long long)item->seed);
}

/* ---- the rule ------------------------------------------------------------ */

/* The words of a rule are what it is; their hash is the manifest's. */
static void hash_rule(weft_manifest *m)
{
    const weft_config_dataset *d = m->spec;
    const weft_range *labels;
    weft_hash h;
    int n;

    labels_of(m, &labels, &n);
    weft_hash_start(&h);
    weft_hash_add(&h, &m->labels, sizeof m->labels);
    for (int i = 0; m->labels && i < n; i++)
        weft_hash_add(&h, &labels[i], sizeof labels[i]);
    weft_hash_add(&h, "seeds", 5);
    for (int i = 0; i < d->nseeds; i++)
        weft_hash_add(&h, &d->seed[i], sizeof d->seed[i]);
    weft_hash_text(&h, m->sha256);
}

static weft_status count_items(weft_manifest *m)
{
    uint64_t items = count(m->spec->seed, m->spec->nseeds);
    const weft_range *labels;
    int n;

    labels_of(m, &labels, &n);
    if ((m->labels &&
         __builtin_mul_overflow(items, count(labels, n), &items)) ||
        items > most_items)
        return weft_fail(WEFT_EINPUT, "dataset.items: more than %llu items",
                         (unsigned long long)most_items);
    m->items = (int64_t)items;
    m->shards =
        (int)((items + (uint64_t)m->shard_size - 1) / (uint64_t)m->shard_size);
    return WEFT_OK;
}

static int largest(const weft_manifest *m)
{
    uint64_t most = 0;
    const weft_range *labels;
    int n;

    labels_of(m, &labels, &n);
    for (int i = 0; i < n; i++)
        if (labels[i].last > most) most = labels[i].last;
    return (int)most;
}

weft_status weft_manifest_rule(const weft_config_dataset *d, int classes,
                               weft_manifest *m)
{
    if (!d->nseeds)
        return weft_fail(WEFT_EINPUT,
                         "dataset.manifest or dataset.items is missing");
    m->labels = d->nlabels > 0 || classes > 0;
    m->all = (weft_range){0, classes > 0 ? (uint64_t)classes - 1 : 0};
    m->name = strdup("dataset.items");
    m->kind[0] = (weft_kind){.keys = strdup(""), .most = -1};
    if (!m->name || !m->kind[0].keys)
        return weft_fail(WEFT_ENOMEM, "out of memory for a manifest");
    m->kinds = m->kept = 1;
    if (m->labels) {
        m->kind[0].most = largest(m);
        m->kind[0].most_line = 1;
    } else {
        m->kind[0].bare_line = 1;
    }
    WEFT_TRY(count_items(m));
    hash_rule(m);
    return WEFT_OK;
}

void weft_manifest_rule_shard(const weft_manifest *m, int k, weft_item *item)
{
    const uint64_t first = (uint64_t)k * (uint64_t)m->shard_size;

    for (int i = 0; i < weft_manifest_count(m, k); i++)
        make_item(m, first + (uint64_t)i, &item[i]);
}

weft_status weft_manifest_rule_walk(const weft_manifest *m,
                                    weft_manifest_visit *visit, void *arg)
{
    weft_item item;

    for (int64_t i = 0; i < m->items; i++) {
        make_item(m, (uint64_t)i, &item);
        WEFT_TRY(visit(arg, &item, "", 0));
    }
    return WEFT_OK;
}
