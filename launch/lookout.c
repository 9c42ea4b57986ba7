#include "launch/lookout.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

static const double interval = 0.5, minute = 60;

weft_status weft_lookout_open(const weft_crew *c, int ranks, int items,
                              weft_report *report, weft_lookout *l)
{
    const double now = weft_clock();

    *l = (weft_lookout){.crew = c,
                        .ranks = ranks,
                        .report = report,
                        .began = now,
                        .looked = now,
                        .minute = now};
    l->told = calloc((size_t)c->entries + 1, sizeof *l->told);
    l->busy = calloc((size_t)ranks, sizeof *l->busy);
    if (!l->told || !l->busy) return weft_fail(WEFT_ENOMEM, "out of memory");
    weft_progress_start(&l->progress, stderr, "items", items);
    return WEFT_OK;
}

void weft_lookout_close(weft_lookout *l)
{
    free(l->told);
    free(l->busy);
}

void weft_lookout_sum(const weft_lookout *l, double sum[WEFT_FACTS])
{
    memset(sum, 0, WEFT_FACTS * sizeof *sum);
    for (int r = 0; r < l->ranks; r++) {
        const double *fact = weft_claim_facts(l->crew->claim, r);

        for (int i = 0; i < WEFT_FACTS; i++) sum[i] += fact[i];
    }
}

bool weft_lookout_all_left(const weft_lookout *l)
{
    double sum[WEFT_FACTS];

    weft_lookout_sum(l, sum);
    return sum[WEFT_FACT_LEFT] == l->ranks;
}

/* ---- the report ---------------------------------------------------------- */

/* What a mark says, but for what it says of single items. */
static weft_status report_shard(weft_lookout *l, int entry)
{
    const weft_crew *c = l->crew;
    weft_shard_state state;
    json_t *mark;

    if (!l->report) return WEFT_OK;
    WEFT_TRY(weft_shelf_look(c->shelf, c->queue[entry], false, &state, &mark));
    if (!mark) return WEFT_OK; /* taken away meanwhile */
    json_object_del(mark, "status");
    json_object_del(mark, "manifest");
    return weft_report_event(l->report, "shard", mark);
}

static weft_status report_shards(weft_lookout *l)
{
    for (int i = 0; i < l->crew->entries; i++) {
        if (l->told[i] || !weft_claim_is_done(l->crew->claim, i)) continue;
        l->told[i] = true;
        l->done++;
        WEFT_TRY(report_shard(l, i));
    }
    return WEFT_OK;
}

static json_t *busy_shares(weft_lookout *l, double seconds)
{
    json_t *all = json_array();

    for (int r = 0; r < l->ranks; r++) {
        const double busy = weft_claim_facts(l->crew->claim, r)[WEFT_FACT_BUSY];

        json_array_append_new(all, json_real((busy - l->busy[r]) / seconds));
        l->busy[r] = busy;
    }
    return all;
}

static weft_status report_minute(weft_lookout *l, double now)
{
    const double seconds = now - l->minute;
    double sum[WEFT_FACTS];
    json_t *event;

    if (!l->report || seconds <= 0) return WEFT_OK;
    weft_lookout_sum(l, sum);
    event = json_pack(
        "{s:f, s:I, s:I, s:f, s:f, s:o, s:i, s:i}", "seconds", now - l->began,
        "items", (json_int_t)sum[WEFT_FACT_ITEMS], "failed",
        (json_int_t)sum[WEFT_FACT_FAILED], "images_per_s",
        (sum[WEFT_FACT_ITEMS] - l->before[WEFT_FACT_ITEMS]) / seconds,
        "steps_per_s",
        (sum[WEFT_FACT_STEPS] - l->before[WEFT_FACT_STEPS]) / seconds, "busy",
        busy_shares(l, seconds), "shards_done", l->done, "queue_left",
        l->crew->entries - weft_claim_taken(l->crew->claim));
    memcpy(l->before, sum, sizeof sum);
    l->minute = now;
    return weft_report_event(l->report, "minute", event);
}

weft_status weft_lookout_look(void *lookout)
{
    weft_lookout *l = lookout;
    const double now = weft_clock();
    double sum[WEFT_FACTS];

    if (now - l->looked < interval) return WEFT_OK;
    l->looked = now;
    weft_lookout_sum(l, sum);
    weft_progress_step(&l->progress, (int)sum[WEFT_FACT_ITEMS]);
    WEFT_TRY(report_shards(l));
    return now - l->minute < minute ? WEFT_OK : report_minute(l, now);
}

weft_status weft_lookout_end(weft_lookout *l)
{
    double sum[WEFT_FACTS];

    weft_lookout_sum(l, sum);
    weft_progress_step(&l->progress, (int)sum[WEFT_FACT_ITEMS]);
    weft_progress_end(&l->progress);
    WEFT_TRY(report_shards(l));
    return report_minute(l, weft_clock());
}
