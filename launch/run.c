/*
 * `weft sample`, as a sentence: parse, discover, plan, connect, load, sample,
 * write.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "launch/commands.h"
#include "launch/places.h"
#include "launch/report.h"
#include "launch/sample.h"
#include "mpi/watch.h"

typedef struct run {
    const weft_cli *cli;
    weft_comm *world;
    weft_job job;
    weft_sampler sampler;
    weft_report *report; /* rank 0 */
} run;

/* ---- before step 0 ------------------------------------------------------- */

static weft_status check_outputs(const weft_config *c)
{
    if (c->output.image || c->output.latents) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: nothing would be written: give output.image or "
                     "output.latents",
                     c->file);
}

/* Each group's writer tries the places where it will write. */
static weft_status probe_outputs(const run *r)
{
    const weft_job *j = &r->job;
    const int from = weft_plan_first_image(&j->setup.plan, j->group);
    const int to = weft_plan_first_image(&j->setup.plan, j->group + 1);

    WEFT_TRY(check_outputs(&j->config));
    if (j->cut.me != 0) return WEFT_OK;
    return weft_places_try(&j->config, from, to);
}

static weft_status report_start(run *r)
{
    const weft_plan *p = &r->job.setup.plan;
    char hash[17];

    WEFT_TRY(weft_report_open(r->job.config.output.report, &r->report));
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)p->hash);
    return weft_report_event(
        r->report, "start",
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:i, s:i, s:i, s:i}",
                  "plan", hash, "ranks", p->ranks, "groups", p->grid.groups,
                  "patches", p->grid.patches, "threads", p->threads, "kernels",
                  p->kernels, "isa", p->dev->isa, "width", p->width, "height",
                  p->height, "images", p->images, "batch", p->batch));
}

static weft_status start(run *r)
{
    weft_job *j = &r->job;
    weft_status st;

    WEFT_TRY(weft_job_plan(r->world, r->cli->path, r->cli->override,
                           r->cli->noverrides, j));
    WEFT_TRY(weft_comm_agree(r->world, weft_setup_status(probe_outputs(r))));
    st = weft_comm_rank(r->world) == 0 ? report_start(r) : WEFT_OK;
    WEFT_TRY(weft_comm_agree(r->world, weft_setup_status(st)));
    WEFT_TRY(weft_job_connect(j, false));
    return weft_sampler_create(j, &r->sampler);
}

/* ---- steps --------------------------------------------------------------- */

/* JSON's integers end at 2^63 - 1 here; seeds beyond are written as text. */
static json_t *json_seed(uint64_t seed)
{
    char text[24];

    if (seed <= INT64_MAX) return json_integer((json_int_t)seed);
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    return json_string(text);
}

static weft_status report_image(run *r, int image, double seconds)
{
    const weft_config *c = &r->job.config;
    char *picture = NULL, *latents = NULL;
    weft_status st = WEFT_OK;

    if (weft_comm_rank(r->world) != 0) return WEFT_OK;
    if (c->output.image)
        st = weft_config_fill(c, c->output.image, image, &picture);
    if (st == WEFT_OK && c->output.latents)
        st = weft_config_fill(c, c->output.latents, image, &latents);
    if (st == WEFT_OK)
        st = weft_report_event(
            r->report, "image",
            json_pack("{s:o, s:i, s:s?, s:s?, s:f}", "seed",
                      json_seed(c->sample.seed[image]), "index", image, "image",
                      picture, "latents", latents, "seconds", seconds));
    free(picture);
    free(latents);
    return st;
}

static weft_status write_batch(run *r, int first, int n, double began)
{
    for (int i = 0; i < n; i++) {
        WEFT_TRY(weft_sampler_write(&r->sampler, i, first + i));
        WEFT_TRY(report_image(r, first + i, weft_clock() - began));
    }
    return WEFT_OK;
}

static weft_status make_images(run *r)
{
    weft_job *j = &r->job;
    const weft_plan *p = &j->setup.plan;
    const int from = weft_plan_first_image(p, j->group);
    const int to = weft_plan_first_image(p, j->group + 1);
    const int batches = (to - from + p->batch - 1) / p->batch;
    const bool shown = weft_comm_rank(r->world) == 0;
    weft_progress progress;

    weft_progress_start(&progress, shown ? stderr : NULL, "sampling",
                        batches * p->steps);
    for (int b = 0; b < batches; b++) {
        const int first = from + b * p->batch;
        const int n = to - first < p->batch ? to - first : p->batch;
        const double began = weft_clock();

        WEFT_TRY(
            weft_sampler_run(&r->sampler, first, n, &progress, b * p->steps));
        if (j->setup.decode >= 0) WEFT_TRY(weft_job_load(j, j->setup.decode));
        WEFT_TRY(write_batch(r, first, n, began));
    }
    weft_progress_end(&progress);
    return WEFT_OK;
}

/* ---- the end ------------------------------------------------------------- */

enum { EXPOSED = 2 * WEFT_CLASSES, EXPOSED_ASYNC, HIDDEN, EVALUATIONS, SUMS };
enum { PEAK, SAMPLING, DECODE, AGE, MOSTS };

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

static void weights_of(const weft_job *j, weft_summary *s)
{
    for (int i = 0; i < j->setup.plan.nnets; i++) {
        s->weights_mapped_bytes += (int64_t)weft_st_bytes(j->net[i].file->st);
        s->weights_packed_bytes += (int64_t)j->net[i].layout.weight_bytes;
    }
}

static void fill(const run *r, const double *sum, const double *most,
                 weft_summary *s)
{
    const int ranks = weft_comm_size(r->world);

    *s = (weft_summary){
        .ranks = ranks,
        .threads = r->job.topology.threads,
        .evaluations = (int64_t)sum[EVALUATIONS],
        .seconds_first_eval = r->sampler.tally.first_eval - r->cli->started,
        .seconds_sampling = most[SAMPLING],
        .seconds_decode = most[DECODE],
        .seconds_total = weft_clock() - r->cli->started,
        .peak_rss_bytes = (int64_t)most[PEAK],
        .wait_exposed_s = sum[EXPOSED] / ranks,
        .wait_exposed_async_s = sum[EXPOSED_ASYNC] / ranks,
        .max_age = (int)most[AGE],
        .comm_hidden_s = sum[HIDDEN] / ranks,
    };
    for (int c = 0; c < WEFT_CLASSES; c++) {
        s->bytes_sent[c] = (int64_t)sum[c];
        s->messages_sent[c] = (int64_t)sum[WEFT_CLASSES + c];
    }
    weights_of(&r->job, s);
}

static weft_status finish(run *r)
{
    const weft_tally *tally = &r->sampler.tally;
    const weft_traffic lanes = weft_job_traffic(&r->job);
    double sum[SUMS] = {0}, most[MOSTS];
    weft_summary s;

    weft_watch_at("finishing", 0, 0);
    add_traffic(&lanes, sum);
    add_traffic(&tally->output, sum);
    if (r->job.cut.me == 0) sum[EVALUATIONS] = (double)tally->evaluations;
    most[PEAK] = (double)weft_peak_rss();
    most[SAMPLING] = tally->sampling;
    most[DECODE] = tally->decode;
    most[AGE] = lanes.max_age;
    WEFT_TRY(weft_comm_sum(r->world, sum, SUMS));
    WEFT_TRY(weft_comm_max(r->world, most, MOSTS));
    if (weft_comm_rank(r->world) != 0) return WEFT_OK;
    fill(r, sum, most, &s);
    return weft_report_event(r->report, "summary", weft_summary_json(&s));
}

/* Rank 0 tells the person who waits where to look. */
static weft_status say_where(const run *r)
{
    const weft_config *c = &r->job.config;
    const char *pattern = c->output.image ? c->output.image : c->output.latents;
    const int images = c->sample.nseeds;
    char *first = NULL, *last = NULL;
    weft_status st;

    if (weft_comm_rank(r->world) != 0) return WEFT_OK;
    st = weft_config_fill(c, pattern, 0, &first);
    if (st == WEFT_OK) st = weft_config_fill(c, pattern, images - 1, &last);
    if (st == WEFT_OK && images == 1)
        fprintf(stderr, "wrote %s\n", first);
    else if (st == WEFT_OK)
        fprintf(stderr, "wrote %d images, %s to %s\n", images, first, last);
    free(first);
    free(last);
    return st;
}

int weft_command_sample(const weft_cli *cli)
{
    run r = {.cli = cli};
    weft_status st = weft_comm_open(&r.world);

    if (st == WEFT_OK) st = start(&r);
    if (st == WEFT_OK) {
        /* From here on peers wait for each other: who fails ends the job. */
        st = make_images(&r);
        if (st == WEFT_OK) st = finish(&r);
        if (st == WEFT_OK) st = say_where(&r);
        if (st != WEFT_OK) weft_comm_abort(r.world);
    } else if (!r.world || weft_comm_rank(r.world) == 0) {
        fprintf(stderr, "weft: %s\n", weft_fail_text());
    }
    weft_report_close(r.report);
    weft_sampler_release(&r.sampler);
    weft_job_release(&r.job);
    weft_comm_close(r.world);
    return weft_exit_code(st);
}
