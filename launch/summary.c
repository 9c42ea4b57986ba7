#include "launch/summary.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "launch/report.h"

/* What is added up over ranks: bytes and messages by class, and these; then
 * seconds and times of each net. */
enum { EXPOSED = 2 * WEFT_CLASSES, EXPOSED_ASYNC, HIDDEN, EVALUATIONS, NETS };
enum { SUMS = NETS + 2 * WEFT_PLAN_NETS };
/* Of which the largest counts. */
enum { PEAK, SAMPLING, DECODE, AGE, DRIFTED, MAPPED, PACKED, MOSTS };

static void add_traffic(const weft_traffic *t, double *sum)
{
    for (int c = 0; c < WEFT_CLASSES; c++) {
        sum[c] += (double)t->bytes[c];
        sum[WEFT_CLASSES + c] += (double)t->messages[c];
    }
    sum[EXPOSED] += t->exposed_s;
    sum[EXPOSED_ASYNC] += t->exposed_async_s;
    sum[HIDDEN] += t->hidden_s;
}

/* ---- weights ------------------------------------------------------------- */

/* Of the files that this rank has a role for. */
static double mapped_here(const weft_job *j)
{
    double sum = 0;

    for (int i = 0; i < j->setup.models.nfiles; i++)
        if (j->setup.models.file[i].st)
            sum += (double)weft_st_bytes(j->setup.models.file[i].st);
    return sum;
}

static weft_status collect_mapped(const weft_job *j, json_t **list)
{
    const int ranks = weft_comm_size(j->world);
    const double mine = mapped_here(j);
    double *all = calloc((size_t)ranks, sizeof *all);
    weft_status st = all ? weft_comm_collect(j->world, &mine, 1, all)
                         : weft_fail(WEFT_ENOMEM, "out of memory");

    *list = NULL;
    if (st == WEFT_OK && weft_comm_rank(j->world) == 0) {
        *list = json_array();
        for (int i = 0; i < ranks; i++)
            json_array_append_new(*list, json_integer((json_int_t)all[i]));
    }
    free(all);
    return st;
}

/* ---- roles --------------------------------------------------------------- */

/* What the turns of group 0 would take if every evaluation took as long as it
 * did on the average, and nothing else took time. Decoding is not looked at:
 * sampling is counted without it. */
static weft_forecast ideal_of(const weft_plan *p, const double *sum)
{
    weft_lane_cost lane[WEFT_PLAN_NETS];
    weft_forecast f = {0};

    for (int i = 0; i < p->nnets; i++) {
        const double times = sum[NETS + 2 * i + 1];

        lane[i] = (weft_lane_cost){p->net[i].role, 0};
        if (times > 0) lane[i].seconds = sum[NETS + 2 * i] / times;
    }
    (void)weft_plan_forecast(p, lane, &f);
    return f;
}

static json_t *role_json(const weft_plan *p, int k, const double *sum,
                         double sampling, const weft_forecast *ideal)
{
    const int ranks = p->roles.role[k].asked.ranks * p->across;
    double seconds = 0, times = 0;

    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].role == k) {
            seconds += sum[NETS + 2 * i];
            times += sum[NETS + 2 * i + 1];
        }
    seconds /= ranks * p->grid.groups;
    times /= ranks * p->grid.groups;
    return json_pack("{s:s, s:i, s:f, s:f, s:f, s:f}", "role",
                     p->roles.role[k].asked.name, "ranks", ranks,
                     "evaluation_s", times > 0 ? seconds / times : 0, "busy",
                     sampling > 0 ? seconds / sampling : 0, "busy_ideal",
                     ideal->busy[k], "busy_planned", p->sampling.busy[k]);
}

static json_t *roles_json(const weft_plan *p, const double *sum,
                          double sampling, const weft_forecast *ideal)
{
    json_t *list = json_array();

    for (int k = 0; k < p->nroles; k++)
        if (p->role[k].denoises)
            json_array_append_new(list, role_json(p, k, sum, sampling, ideal));
    return list;
}

/* ---- the whole ----------------------------------------------------------- */

static weft_status add_up(const weft_job *j, const weft_sampler *s, double *sum,
                          double *most)
{
    const weft_traffic job = weft_job_traffic(j);

    add_traffic(&job, sum);
    add_traffic(&s->tally.output, sum);
    if (j->rank == 0) sum[EVALUATIONS] = (double)s->tally.evaluations;
    for (int i = 0; i < j->setup.plan.nnets; i++) {
        sum[NETS + 2 * i] = j->net[i].clock.seconds;
        sum[NETS + 2 * i + 1] = (double)j->net[i].clock.times;
    }
    most[PEAK] = (double)weft_peak_rss();
    most[SAMPLING] = s->tally.sampling;
    most[DECODE] = s->tally.decode;
    most[AGE] = job.max_age;
    most[DRIFTED] = job.drifted;
    most[MAPPED] = mapped_here(j);
    most[PACKED] = (double)j->packed_most;
    WEFT_TRY(weft_comm_sum(j->world, sum, SUMS));
    return weft_comm_max(j->world, most, MOSTS);
}

static weft_summary fill(const weft_job *j, const weft_sampler *sampler,
                         double started, const double *sum, const double *most)
{
    const int ranks = weft_comm_size(j->world);
    weft_summary s = {
        .ranks = ranks,
        .threads = j->topology.threads,
        .evaluations = (int64_t)sum[EVALUATIONS],
        .seconds_first_eval = sampler->tally.first_eval > 0
                                  ? sampler->tally.first_eval - started
                                  : 0, /* nothing was left to do */
        .seconds_sampling = most[SAMPLING],
        .seconds_decode = most[DECODE],
        .seconds_total = weft_clock() - started,
        .peak_rss_bytes = (int64_t)most[PEAK],
        .weights_mapped_bytes = (int64_t)most[MAPPED],
        .weights_packed_bytes = (int64_t)most[PACKED],
        .wait_exposed_s = sum[EXPOSED] / ranks,
        .wait_exposed_async_s = sum[EXPOSED_ASYNC] / ranks,
        .max_age = (int)most[AGE],
        .drifted = (int64_t)most[DRIFTED],
        .comm_hidden_s = sum[HIDDEN] / ranks,
    };

    for (int c = 0; c < WEFT_CLASSES; c++) {
        s.bytes_sent[c] = (int64_t)sum[c];
        s.messages_sent[c] = (int64_t)sum[WEFT_CLASSES + c];
    }
    return s;
}

weft_status weft_summary_collect(const weft_job *j, const weft_sampler *sampler,
                                 double started, json_t **fields)
{
    const weft_plan *p = &j->setup.plan;
    double sum[SUMS] = {0}, most[MOSTS];
    weft_forecast ideal;
    weft_summary s;
    json_t *mapped;

    *fields = NULL;
    WEFT_TRY(add_up(j, sampler, sum, most));
    WEFT_TRY(collect_mapped(j, &mapped));
    if (weft_comm_rank(j->world) != 0) return WEFT_OK;
    s = fill(j, sampler, started, sum, most);
    ideal = ideal_of(p, sum);
    *fields = weft_summary_json(&s);
    json_object_set_new(*fields, "weights_mapped_by_rank", mapped);
    json_object_set_new(*fields, "flights", json_integer(p->flights));
    json_object_set_new(*fields, "costs", json_string(p->costs));
    json_object_set_new(*fields, "seconds_planned",
                        json_real(p->sampling.seconds));
    json_object_set_new(*fields, "seconds_ideal", json_real(ideal.seconds));
    json_object_set_new(*fields, "roles",
                        roles_json(p, sum, s.seconds_sampling, &ideal));
    return WEFT_OK;
}
