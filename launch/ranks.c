#include "launch/ranks.h"

#include <stdlib.h>

#include "mpi/watch.h"

enum { MOST_SHOWN = 8 };

/* ---- collecting ---------------------------------------------------------- */

static void fill(const weft_job *j, const weft_sampler *s, double *mine)
{
    const weft_traffic t = weft_job_traffic(j), *out = &s->tally.output;

    for (int c = 0; c < WEFT_CLASSES; c++) {
        mine[WEFT_RANK_BYTES + c] = (double)(t.bytes[c] + out->bytes[c]);
        mine[WEFT_RANK_MESSAGES + c] =
            (double)(t.messages[c] + out->messages[c]);
        mine[WEFT_RANK_EXPOSED + c] = t.exposed_by[c];
        mine[WEFT_RANK_HIDDEN + c] = t.hidden_by[c];
    }
    mine[WEFT_RANK_SAMPLING] = s->tally.sampling;
    mine[WEFT_RANK_EXPOSED_ALL] = t.exposed_s;
    mine[WEFT_RANK_HIDDEN_ALL] = t.hidden_s;
    mine[WEFT_RANK_AGE] = t.max_age;
}

weft_status weft_ranks_collect(const weft_job *j, const weft_sampler *s,
                               weft_ranks *r)
{
    const bool first = weft_comm_rank(j->world) == 0;
    double mine[WEFT_RANK_NUMBERS];

    *r = (weft_ranks){.n = weft_comm_size(j->world)};
    if (first) {
        r->rank = calloc((size_t)r->n, sizeof *r->rank);
        if (!r->rank) return weft_fail(WEFT_ENOMEM, "out of memory");
    }
    fill(j, s, mine);
    return weft_comm_collect(j->world, mine, WEFT_RANK_NUMBERS,
                             first ? r->rank[0] : NULL);
}

void weft_ranks_release(weft_ranks *r)
{
    free(r->rank);
    r->rank = NULL;
}

/* ---- numbers ------------------------------------------------------------- */

static double mean(const weft_ranks *r, int what)
{
    double sum = 0;

    for (int i = 0; i < r->n; i++) sum += r->rank[i][what];
    return sum / r->n;
}

/* At work: sampling, and not waiting. */
static double work(const weft_ranks *r, int i)
{
    return r->rank[i][WEFT_RANK_SAMPLING] - r->rank[i][WEFT_RANK_EXPOSED_ALL];
}

static double imbalance(const weft_ranks *r)
{
    double sum = 0, most = 0;

    for (int i = 0; i < r->n; i++) {
        sum += work(r, i);
        if (work(r, i) > most) most = work(r, i);
    }
    return sum > 0 ? most * r->n / sum : 1;
}

/* ---- the report ---------------------------------------------------------- */

static json_t *whole(const double *by_class)
{
    json_t *all = json_object();

    for (int c = 0; c < WEFT_CLASSES; c++)
        json_object_set_new(all, weft_class_name[c],
                            json_integer((json_int_t)by_class[c]));
    return all;
}

static json_t *seconds(const double *by_class)
{
    json_t *all = json_object();

    for (int c = 0; c < WEFT_CLASSES; c++)
        json_object_set_new(all, weft_class_name[c], json_real(by_class[c]));
    return all;
}

weft_status weft_ranks_report(const weft_ranks *r, weft_report *report)
{
    for (int i = 0; i < r->n && r->rank; i++) {
        const double *v = r->rank[i];

        WEFT_TRY(weft_report_event(
            report, "rank",
            json_pack("{s:i, s:s, s:f, s:f, s:f, s:f, s:i, s:o, s:o, s:o, s:o}",
                      "rank", i, "host", weft_watch_host(i), "seconds_sampling",
                      v[WEFT_RANK_SAMPLING], "work_s", work(r, i),
                      "wait_exposed_s", v[WEFT_RANK_EXPOSED_ALL],
                      "comm_hidden_s", v[WEFT_RANK_HIDDEN_ALL], "max_age",
                      (int)v[WEFT_RANK_AGE], "bytes_sent",
                      whole(v + WEFT_RANK_BYTES), "messages_sent",
                      whole(v + WEFT_RANK_MESSAGES), "exposed_s",
                      seconds(v + WEFT_RANK_EXPOSED), "hidden_s",
                      seconds(v + WEFT_RANK_HIDDEN))));
    }
    return WEFT_OK;
}

void weft_ranks_summary(const weft_ranks *r, json_t *fields)
{
    double exposed[WEFT_CLASSES], hidden[WEFT_CLASSES];

    for (int c = 0; c < WEFT_CLASSES; c++) {
        exposed[c] = mean(r, WEFT_RANK_EXPOSED + c);
        hidden[c] = mean(r, WEFT_RANK_HIDDEN + c);
    }
    json_object_set_new(fields, "exposed_s", seconds(exposed));
    json_object_set_new(fields, "hidden_s", seconds(hidden));
    json_object_set_new(fields, "imbalance", json_real(imbalance(r)));
}

/* ---- the table ----------------------------------------------------------- */

static void print_classes(const weft_ranks *r, FILE *to)
{
    fprintf(to, "%-13s %10s %10s %9s %9s\n", "per rank", "messages", "MiB",
            "waited s", "hidden s");
    for (int c = 0; c < WEFT_CLASSES; c++)
        if (mean(r, WEFT_RANK_MESSAGES + c) > 0)
            fprintf(to, "%-13s %10.0f %10.2f %9.3f %9.3f\n", weft_class_name[c],
                    mean(r, WEFT_RANK_MESSAGES + c),
                    mean(r, WEFT_RANK_BYTES + c) / 1048576,
                    mean(r, WEFT_RANK_EXPOSED + c),
                    mean(r, WEFT_RANK_HIDDEN + c));
}

void weft_ranks_print(const weft_ranks *r, FILE *to)
{
    if (!r->rank || r->n == 1) return;
    print_classes(r, to);
    if (r->n <= MOST_SHOWN)
        for (int i = 0; i < r->n; i++)
            fprintf(to, "rank %-8d %10s %10s %9.3f %9.3f  at work %.2f s\n", i,
                    "", "", r->rank[i][WEFT_RANK_EXPOSED_ALL],
                    r->rank[i][WEFT_RANK_HIDDEN_ALL], work(r, i));
    fprintf(to, "imbalance     %.3f (the busiest rank against the mean)\n",
            imbalance(r));
}
