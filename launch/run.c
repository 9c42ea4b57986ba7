/*
 * `weft sample`, as a sentence: parse, discover, plan, connect, load, sample,
 * write.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "launch/commands.h"
#include "launch/endure.h"
#include "launch/places.h"
#include "launch/ranks.h"
#include "launch/report.h"
#include "launch/sample.h"
#include "mpi/gather_trace.h"
#include "mpi/launcher.h"
#include "mpi/watch.h"
#include "launch/summary.h"

typedef struct run {
    const weft_cli *cli;
    weft_comm *world;
    weft_job job;
    weft_sampler sampler;
    weft_endure endure;
    weft_standing end;
    weft_report *report; /* rank 0 */
    double *facts;       /* [images][nfacts] */
    int nfacts;
    bool *reported; /* [images] */
    int arrived;    /* batches of my group */
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

/* The first rank of each group tries the places where it will write. */
static weft_status probe_outputs(const run *r)
{
    const weft_job *j = &r->job;
    const int from = weft_plan_first_image(&j->setup.plan, j->index);
    const int to = weft_plan_first_image(&j->setup.plan, j->index + 1);

    WEFT_TRY(check_outputs(&j->config));
    if (j->rank != 0) return WEFT_OK;
    return weft_places_try(&j->config, from, to);
}

/* What the nets that promise least promise. */
static const weft_schedule *loosest(const weft_plan *p)
{
    int i = 0;

    while (i < p->nnets - 1 && !p->net[i].sched.lag &&
           p->net[i].sched.wire == WEFT_WIRE_F32)
        i++;
    return &p->net[i].sched;
}

static weft_status report_start(run *r)
{
    const weft_plan *p = &r->job.setup.plan;
    const weft_schedule *sched = loosest(p);
    const bool coded = sched->wire != WEFT_WIRE_F32;
    const int idle = weft_launcher_find().idle;
    char hash[17];

    if (r->job.config.parallel.roles == WEFT_ROLES_AUTO && p->ranks > 1)
        weft_plan_print_roles(p, stderr);
    if (idle > 0)
        fprintf(stderr,
                "weft: one rank in a job of %d tasks: mpirun or srun would "
                "start as many\n",
                idle + 1);
    if (coded && !sched->lag)
        fprintf(stderr,
                "weft: parallel.wire %s in step: the image depends on the "
                "number of ranks\n",
                weft_wire_name[sched->wire]);
    WEFT_TRY(weft_report_open(r->job.config.output.report, &r->report));
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)p->hash);
    return weft_report_event(
        r->report, "start",
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:i, s:i, s:i, s:i, "
                  "s:s, s:s, s:b}",
                  "plan", hash, "ranks", p->ranks, "groups", p->grid.groups,
                  "patches", weft_plan_group(p), "threads", p->threads,
                  "kernels", p->kernels, "isa", p->dev->isa, "width", p->width,
                  "height", p->height, "images", p->images, "batch", p->batch,
                  "exchange", sched->lag ? "async" : "sync", "wire",
                  weft_wire_name[sched->wire], "same_bytes",
                  !coded && !sched->lag));
}

static weft_status report_resume(run *r)
{
    const weft_endure *e = &r->endure;

    if (!e->state.found) return WEFT_OK;
    return weft_report_event(r->report, "resume",
                             json_pack("{s:s, s:i, s:i}", "checkpoint",
                                       weft_st_path(e->state.from.st),
                                       "complete", e->complete, "in_flight",
                                       e->state.from.n));
}

/* What is to be said of an image: seconds, then the models' log-density. */
static double *facts_of(const run *r, int image)
{
    return r->facts + (size_t)image * (size_t)r->nfacts;
}

static weft_status keep_facts(run *r)
{
    const weft_solver *s = r->job.setup.solver;

    r->nfacts = 1 + s->models;
    r->facts = calloc((size_t)r->job.setup.plan.images * (size_t)r->nfacts,
                      sizeof *r->facts);
    r->reported = calloc((size_t)r->job.setup.plan.images, sizeof *r->reported);
    return r->facts && r->reported ? WEFT_OK
                                   : weft_fail(WEFT_ENOMEM, "out of memory");
}

/* Groups that reach their first picture at moments of their own cannot load
 * what decodes it together then. */
static weft_status load_decoder(run *r)
{
    const int vae = r->job.setup.models.vae;

    if (vae < 0 || r->job.setup.plan.grid.groups == 1) return WEFT_OK;
    return weft_job_load(&r->job, vae);
}

static weft_status start(run *r)
{
    weft_job *j = &r->job;
    weft_status st;

    WEFT_TRY(weft_job_plan(r->world, r->cli->path, r->cli->override,
                           r->cli->noverrides, j));
    WEFT_TRY(weft_comm_agree(r->world, weft_setup_status(probe_outputs(r))));
    WEFT_TRY(weft_endure_find(j, &r->endure));
    st = weft_comm_rank(r->world) == 0 ? report_start(r) : WEFT_OK;
    WEFT_TRY(weft_comm_agree(r->world, weft_setup_status(st)));
    WEFT_TRY(weft_job_connect(j, false));
    WEFT_TRY(weft_comm_agree(r->world, keep_facts(r)));
    WEFT_TRY(weft_sampler_create(j, &r->sampler));
    WEFT_TRY(load_decoder(r));
    WEFT_TRY(weft_endure_begin(&r->endure));
    return weft_comm_agree(r->world, weft_setup_status(report_resume(r)));
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

static void note_image(run *r, const weft_flight *f, int slot, double began)
{
    double *fact = facts_of(r, f->image[slot]);

    fact[0] = weft_clock() - began;
    for (int m = 1; m < r->nfacts; m++)
        fact[m] = f->solver->log_density[slot * (r->nfacts - 1) + m - 1];
}

/* Model names to numbers; NULL where the method carries none. */
static json_t *json_density(const run *r, const double *density)
{
    const weft_method *m = &r->job.setup.method;
    json_t *all = r->nfacts > 1 ? json_object() : NULL;

    for (int i = 0; i < r->nfacts - 1; i++)
        json_object_set_new(all, r->job.config.model[m->model[i]].name,
                            json_real(density[i]));
    return all;
}

static weft_status report_image(run *r, int image)
{
    const weft_config *c = &r->job.config;
    const double *fact = facts_of(r, image);
    char *picture = NULL, *latents = NULL;
    weft_status st = WEFT_OK;

    if (c->output.image)
        st = weft_config_fill(c, c->output.image, image, &picture);
    if (st == WEFT_OK && c->output.latents)
        st = weft_config_fill(c, c->output.latents, image, &latents);
    if (st == WEFT_OK)
        st = weft_report_event(
            r->report, "image",
            json_pack("{s:o, s:i, s:s?, s:s?, s:f, s:o*}", "seed",
                      json_seed(c->sample.seed[image]), "index", image, "image",
                      picture, "latents", latents, "seconds", fact[0],
                      "log_density", json_density(r, fact + 1)));
    free(picture);
    free(latents);
    r->reported[image] = true;
    return st;
}

/* Rank 0 knows that its own group's images are written if it writes them; of
 * others it learns at the end. */
static bool reports_at_once(const run *r)
{
    const weft_job *j = &r->job;
    const int vae = j->setup.plan.vae;

    return weft_comm_rank(r->world) == 0 &&
           (vae < 0 || j->role[vae].cut.me == 0);
}

static weft_status report_others(run *r)
{
    const weft_plan *p = &r->job.setup.plan;

    WEFT_TRY(weft_comm_sum(r->world, r->facts, p->images * r->nfacts));
    if (weft_comm_rank(r->world) != 0) return WEFT_OK;
    for (int i = 0; i < p->images; i++)
        if (facts_of(r, i)[0] > 0 && !r->reported[i])
            WEFT_TRY(report_image(r, i));
    return WEFT_OK;
}

/* Nothing is left to be sampled: groups share the weights of a node, and each
 * knows of itself only. */
static bool is_last(const run *r)
{
    return r->job.setup.plan.grid.groups == 1 &&
           r->arrived == r->endure.share.nbatches;
}

static weft_status write_batch(void *arg, const weft_flight *f, double began)
{
    run *r = arg;
    const weft_models *m = &r->job.setup.models;

    r->arrived++;
    if (is_last(r)) weft_job_unload_models(&r->job);
    if (m->vae >= 0) WEFT_TRY(weft_job_load(&r->job, m->vae));
    for (int i = 0; i < f->n; i++) {
        WEFT_TRY(weft_sampler_write(&r->sampler, f, i));
        weft_endure_done(&r->endure, f->image[i]);
        if (r->job.rank == 0) note_image(r, f, i, began);
        if (reports_at_once(r)) WEFT_TRY(report_image(r, f->image[i]));
    }
    return WEFT_OK;
}

static weft_status pause(void *arg, int turn, int steps, bool *stop)
{
    run *r = arg;

    return weft_endure_pause(&r->endure, &r->sampler, turn, steps, stop);
}

static weft_status make_images(run *r)
{
    const weft_share *share = &r->endure.share;
    const bool shown = weft_comm_rank(r->world) == 0;
    weft_progress progress;
    const weft_voyage v = {.share = share,
                           .progress = &progress,
                           .arrive = write_batch,
                           .pause = pause,
                           .arg = r};

    weft_progress_start(&progress, shown ? stderr : NULL, "sampling",
                        weft_sampler_steps(&r->sampler, share));
    WEFT_TRY(weft_sampler_run(&r->sampler, &v));
    weft_progress_end(&progress);
    weft_watch_at("finishing", 0, 0);
    return weft_endure_end(&r->endure, &r->sampler, &r->end);
}

/* ---- the end ------------------------------------------------------------- */

static weft_status report_stop(run *r)
{
    const weft_standing *end = &r->end;

    if (!end->stopped) return WEFT_OK;
    return weft_report_event(r->report, "stopped",
                             json_pack("{s:i, s:i, s:i}", "images", end->images,
                                       "complete", end->complete, "in_flight",
                                       end->in_flight));
}

static weft_status finish(run *r)
{
    json_t *summary = NULL;
    weft_ranks ranks;
    weft_status st;

    if (r->job.trace)
        WEFT_TRY(weft_trace_gather(r->world, r->job.trace, r->job.zero,
                                   r->job.config.output.trace));
    WEFT_TRY(report_others(r));
    WEFT_TRY(weft_ranks_collect(&r->job, &r->sampler, &ranks));
    st = weft_summary_collect(&r->job, &r->sampler, r->cli->started, &summary);
    if (st == WEFT_OK && summary) {
        weft_ranks_summary(&ranks, summary);
        st = weft_ranks_report(&ranks, r->report);
        weft_ranks_print(&ranks, stderr);
    }
    weft_ranks_release(&ranks);
    if (st == WEFT_OK) st = report_stop(r);
    if (st == WEFT_OK) return weft_report_event(r->report, "summary", summary);
    json_decref(summary);
    return st;
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
    if (r->end.stopped) {
        fprintf(stderr,
                "weft: stopped by SIGUSR1: %d of %d image%s complete, %d in "
                "flight; the same command goes on from %s.checkpoint\n",
                r->end.complete, images, images == 1 ? "" : "s",
                r->end.in_flight, r->endure.state.stem);
        return WEFT_OK;
    }
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
    weft_endure_release(&r.endure);
    free(r.facts);
    free(r.reported);
    weft_sampler_release(&r.sampler);
    weft_job_release(&r.job);
    weft_comm_close(r.world);
    return st == WEFT_OK && r.end.stopped ? WEFT_EXIT_AGAIN
                                          : weft_exit_code(st);
}
