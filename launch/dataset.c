/*
 * `weft dataset`, as a sentence: parse, read the manifest, plan, see what is
 * done, connect, make what is left, list what there is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/io/file.h"
#include "launch/card.h"
#include "launch/commands.h"
#include "launch/crew.h"
#include "launch/endure.h"
#include "launch/hold.h"
#include "launch/lookout.h"
#include "launch/survey.h"
#include "launch/table.h"
#include "mpi/watch.h"

typedef struct dataset {
    const weft_cli *cli;
    weft_comm *world;
    weft_config config; /* without the keys of a kind */
    char *text;         /* of the config */
    size_t bytes;
    weft_manifest *manifest;
    weft_stock stock;
    weft_shelf shelf;
    weft_survey survey;
    weft_crew crew;
    weft_hold hold; /* rank 0, as the next ones */
    weft_report *report;
    weft_lookout lookout;
    bool again; /* stopped, with work left */
} dataset;

static bool first(const dataset *d) { return weft_comm_rank(d->world) == 0; }

/* ---- what is asked ------------------------------------------------------- */

static weft_status check_config(const weft_config *c)
{
    if (!c->output.dir)
        return weft_fail(WEFT_EINPUT, "%s: output.dir is missing", c->file);
    if (!c->dataset.manifest && !c->dataset.nseeds)
        return weft_fail(WEFT_EINPUT,
                         "%s: dataset.manifest or dataset.items is missing",
                         c->file);
    if (!c->dataset.images && !c->dataset.latents)
        return weft_fail(WEFT_EINPUT,
                         "%s: nothing would be written: dataset.images or "
                         "dataset.latents must be true",
                         c->file);
    return WEFT_OK;
}

static weft_status parse(dataset *d)
{
    const weft_cli *cli = d->cli;

    WEFT_TRY(weft_config_parse(cli->path, d->text, d->bytes, cli->override,
                               cli->noverrides, &d->config));
    WEFT_TRY(weft_config_resolve(&d->config));
    return check_config(&d->config);
}

/* ---- the manifest -------------------------------------------------------- */

static weft_stock_spec stock_spec(const dataset *d)
{
    return (weft_stock_spec){.world = d->world,
                             .path = d->cli->path,
                             .text = d->text,
                             .bytes = d->bytes,
                             .override = d->cli->override,
                             .noverrides = d->cli->noverrides,
                             .config = &d->config,
                             .manifest = d->manifest};
}

static weft_status read_manifest(dataset *d)
{
    weft_stock_spec spec = stock_spec(d);
    int classes;

    WEFT_TRY(weft_models_classes(&d->config, &classes));
    return weft_manifest_read(&d->config.dataset, classes, weft_stock_check,
                              &spec, &d->manifest);
}

/* Rank 0 reads all of it; the others learn where shards begin. */
static weft_status share_manifest(dataset *d)
{
    weft_status st = first(d) ? read_manifest(d) : WEFT_OK;
    char *data = NULL;
    size_t bytes = 0;

    weft_watch_at("reading the manifest", 0, 0);
    weft_watch_deadline(0); /* as long as that takes */
    st = weft_comm_agree(d->world, weft_setup_status(st));
    weft_watch_deadline(d->config.run.deadline);
    WEFT_TRY(st);
    if (first(d)) st = weft_manifest_pack(d->manifest, &data, &bytes);
    st = weft_comm_agree(d->world, st);
    if (st == WEFT_OK) st = weft_comm_share(d->world, &data, &bytes);
    if (st == WEFT_OK && !first(d))
        st =
            weft_manifest_unpack(&d->config.dataset, data, bytes, &d->manifest);
    free(data);
    return weft_comm_agree(d->world, weft_setup_status(st));
}

static weft_status plan(dataset *d)
{
    const weft_cli *cli = d->cli;
    weft_stock_spec spec;

    WEFT_TRY(weft_job_read(d->world, cli->path, cli->override, cli->noverrides,
                           &d->text, &d->bytes));
    WEFT_TRY(weft_comm_agree(d->world, parse(d)));
    WEFT_TRY(share_manifest(d));
    spec = stock_spec(d);
    return weft_stock_plan(&spec, &d->stock);
}

/* ---- the folder ---------------------------------------------------------- */

/* The folder is there, mine, and of this data set. */
static weft_status open_folder(dataset *d)
{
    const weft_config_dataset *of = &d->config.dataset;
    const char *dir = d->config.output.dir;
    char path[WEFT_SHELF_PATH];
    json_t *card = NULL;
    weft_status st;

    if (!first(d)) return WEFT_OK;
    snprintf(path, sizeof path, "%.4096s/.lock", dir);
    WEFT_TRY(weft_file_make_folder(path));
    WEFT_TRY(weft_hold_take(dir, of->slice, of->slices, &d->hold));
    WEFT_TRY(weft_card_make(&d->stock.good[0]->job.config, d->manifest, &card));
    st = weft_card_check(dir, card);
    if (st == WEFT_OK) st = weft_card_hash(card, d->crew.about);
    json_decref(card);
    if (st == WEFT_OK) weft_shelf_sweep(dir, of->slice, of->slices);
    return st;
}

/* All ranks know what spools are of. */
static weft_status share_about(dataset *d)
{
    char *about = first(d) ? strdup(d->crew.about) : NULL;
    size_t bytes = WEFT_HASH_TEXT - 1;
    weft_status st = weft_comm_share(d->world, &about, &bytes);

    if (st == WEFT_OK && about)
        snprintf(d->crew.about, WEFT_HASH_TEXT, "%s", about);
    free(about);
    return st;
}

static weft_status look_at_folder(dataset *d)
{
    const weft_survey_spec spec = {.world = d->world,
                                   .shelf = &d->shelf,
                                   .manifest = d->manifest,
                                   .stock = &d->stock,
                                   .verify = d->config.dataset.verify,
                                   .retry = d->cli->retry};

    d->shelf = (weft_shelf){.dir = d->config.output.dir,
                            .folder = d->config.dataset.folder,
                            .manifest = d->manifest->sha256};
    weft_watch_at("opening the folder", 0, 0);
    weft_watch_deadline(0); /* models are hashed */
    WEFT_TRY(weft_comm_agree(d->world, weft_setup_status(open_folder(d))));
    weft_watch_deadline(d->config.run.deadline);
    WEFT_TRY(share_about(d));
    return weft_survey_make(&spec, &d->survey);
}

/* ---- making -------------------------------------------------------------- */

static void poll_claims(void *arg)
{
    const dataset *d = arg;

    if (d->crew.claim) weft_claim_poll(d->crew.claim);
}

/* Room for two batches to wait, of the base and of most others. */
static weft_status start_encoder(dataset *d)
{
    enum { LEAST = 8 };
    const int batch = d->stock.good[0]->job.setup.plan.batch;
    const weft_encoder_spec s = {.shelf = &d->shelf,
                                 .images = d->config.dataset.images,
                                 .latents = d->config.dataset.latents,
                                 .room = 2 * batch > LEAST ? 2 * batch : LEAST};

    if (weft_stock_clerk(d->stock.good[0], &d->config.dataset))
        WEFT_TRY(weft_encoder_start(&s, &d->crew.encoder));
    d->stock.encoder = d->crew.encoder;
    return WEFT_OK;
}

static weft_status open_crew(dataset *d)
{
    weft_crew *c = &d->crew;

    c->stock = &d->stock;
    c->manifest = d->manifest;
    c->shelf = &d->shelf;
    c->queue = d->survey.queue;
    c->state = d->survey.state;
    c->entries = d->survey.entries;
    c->label = d->config.sample.has_label ? d->config.sample.label : -1;
    WEFT_TRY(weft_comm_agree(d->world, start_encoder(d)));
    WEFT_TRY(weft_crew_init(c));
    return weft_claim_create(d->world, c->entries, WEFT_FACTS, &c->claim);
}

static weft_status report_start(dataset *d)
{
    const weft_plan *p = &d->stock.good[0]->job.setup.plan;

    return weft_report_event(
        d->report, "start",
        json_pack("{s:i, s:i, s:i, s:s, s:s, s:I, s:i, s:I, s:i, s:I, s:i}",
                  "ranks", p->ranks, "groups", p->grid.groups, "threads",
                  p->threads, "kernels", p->kernels, "isa", p->dev->isa,
                  "items", (json_int_t)d->manifest->items, "shards",
                  d->manifest->shards, "kinds", (json_int_t)d->manifest->kinds,
                  "batch", p->batch, "items_left", (json_int_t)d->survey.items,
                  "shards_left", d->survey.entries));
}

static weft_status open_report(dataset *d)
{
    if (!first(d)) return WEFT_OK;
    WEFT_TRY(weft_report_open(d->config.output.report, &d->report));
    WEFT_TRY(report_start(d));
    WEFT_TRY(weft_lookout_open(&d->crew, weft_comm_size(d->world),
                               (int)d->survey.items, d->report, &d->lookout));
    d->crew.watch = weft_lookout_look;
    d->crew.watch_arg = &d->lookout;
    return WEFT_OK;
}

static weft_status start(dataset *d)
{
    WEFT_TRY(plan(d));
    WEFT_TRY(look_at_folder(d));
    /* Before threads are bound to processors: the encoder is free to go. */
    WEFT_TRY(open_crew(d));
    WEFT_TRY(weft_stock_open(&d->stock, poll_claims, d));
    return weft_comm_agree(d->world, weft_setup_status(open_report(d)));
}

/* ---- the end ------------------------------------------------------------- */

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* Ranks that are through wait for the others, however long their last shards
 * take, without taking their time. */
static weft_status wait_for_end(dataset *d)
{
    bool closed = false;

    while (!closed) {
        WEFT_TRY(weft_crew_rest(&d->crew));
        WEFT_TRY(weft_claim_closed(d->crew.claim, &closed));
        if (!closed) nap();
    }
    return WEFT_OK;
}

static weft_status wait_for_others(dataset *d)
{
    while (!weft_lookout_all_left(&d->lookout)) {
        nap();
        weft_claim_poll(d->crew.claim);
        WEFT_TRY(weft_crew_rest(&d->crew));
        WEFT_TRY(weft_lookout_look(&d->lookout));
    }
    return weft_lookout_end(&d->lookout);
}

typedef struct totals {
    int left, failed; /* shards */
} totals;

/* Other jobs may have made other slices meanwhile. */
static weft_status count_shards(const dataset *d, totals *t)
{
    weft_shard_state state;

    *t = (totals){0, 0};
    for (int k = 0; k < d->manifest->shards; k++) {
        WEFT_TRY(weft_shelf_look(&d->shelf, k, false, &state, NULL));
        t->left += state == WEFT_SHARD_LEFT || state == WEFT_SHARD_DAMAGED;
        t->failed += state == WEFT_SHARD_FAILED;
    }
    return WEFT_OK;
}

/* By class. */
static json_t *json_classes(const double *of)
{
    json_t *all = json_object();

    for (int c = 0; c < WEFT_CLASSES; c++)
        json_object_set_new(all, weft_class_name[c],
                            json_integer((json_int_t)of[c]));
    return all;
}

static weft_status report_end(dataset *d, const totals *t)
{
    double sum[WEFT_FACTS];

    weft_lookout_sum(&d->lookout, sum);
    return weft_report_event(
        d->report, "summary",
        json_pack(
            "{s:i, s:I, s:I, s:i, s:i, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:b, "
            "s:o, s:o}",
            "ranks", weft_comm_size(d->world), "items",
            (json_int_t)sum[WEFT_FACT_ITEMS], "failed",
            (json_int_t)sum[WEFT_FACT_FAILED], "shards_left", t->left,
            "shards_failed", t->failed, "seconds_busy", sum[WEFT_FACT_BUSY],
            "seconds_waited", sum[WEFT_FACT_WAITED], "encoders_loaded",
            (json_int_t)sum[WEFT_FACT_LOADED], "texts_read",
            (json_int_t)sum[WEFT_FACT_READ], "texts_cut",
            (json_int_t)sum[WEFT_FACT_CUT], "seconds_first_claim",
            d->lookout.began - d->cli->started, "seconds_total",
            weft_clock() - d->cli->started, "stopped", d->crew.stopped,
            "bytes_sent", json_classes(sum + WEFT_FACT_BYTES), "messages_sent",
            json_classes(sum + WEFT_FACT_MESSAGES)));
}

static void say(const dataset *d, const totals *t)
{
    const char *dir = d->config.output.dir;
    double sum[WEFT_FACTS];

    weft_lookout_sum(&d->lookout, sum);
    fprintf(stderr, "%s: %.0f items made, %d of %d shards left\n", dir,
            sum[WEFT_FACT_ITEMS] - sum[WEFT_FACT_FAILED], t->left,
            d->manifest->shards);
    if (sum[WEFT_FACT_CUT] > 0)
        fprintf(stderr,
                "%s: %.0f texts were longer than the text encoder takes and "
                "were cut off (prompt_syntax: weighted takes longer ones)\n",
                dir, sum[WEFT_FACT_CUT]);
    if (t->failed)
        fprintf(stderr,
                "%s: %d shards have items that failed: weft inspect says "
                "which, --retry-failed tries them again\n",
                dir, t->failed);
}

/* On rank 0, while the others wait. */
static weft_status close_books(dataset *d)
{
    totals t;

    WEFT_TRY(wait_for_others(d));
    WEFT_TRY(count_shards(d, &t));
    if (!t.left) WEFT_TRY(weft_table_write(&d->shelf, d->manifest->shards));
    WEFT_TRY(report_end(d, &t));
    say(d, &t);
    d->again = d->crew.stopped && t.left > 0;
    weft_claim_close(d->crew.claim);
    return WEFT_OK;
}

static weft_status make(dataset *d)
{
    double again;

    WEFT_TRY(weft_crew_run(&d->crew));
    WEFT_TRY(weft_crew_tell(&d->crew, true));
    weft_watch_at("waiting for the last shards", 0, 0);
    WEFT_TRY(first(d) ? close_books(d) : wait_for_end(d));
    again = d->again;
    WEFT_TRY(weft_comm_max(d->world, &again, 1));
    d->again = again > 0;
    return WEFT_OK;
}

static void release(dataset *d)
{
    weft_encoder_stop(d->crew.encoder);
    weft_crew_release(&d->crew);
    weft_claim_destroy(d->crew.claim);
    weft_lookout_close(&d->lookout);
    weft_report_close(d->report);
    weft_survey_release(&d->survey);
    weft_stock_release(&d->stock);
    weft_manifest_free(d->manifest);
    weft_config_release(&d->config);
    weft_hold_release(&d->hold);
    free(d->text);
}

int weft_command_dataset(const weft_cli *cli)
{
    dataset d = {.cli = cli, .hold = {-1, -1}};
    weft_status st = weft_comm_open(&d.world);

    if (st == WEFT_OK) st = start(&d);
    if (st == WEFT_OK) {
        /* From here on ranks are on their own: who fails ends the job. */
        st = make(&d);
        if (st != WEFT_OK) weft_comm_abort(d.world);
    } else if (!d.world || first(&d)) {
        fprintf(stderr, "weft: %s\n", weft_fail_text());
    }
    release(&d);
    weft_comm_close(d.world);
    return st == WEFT_OK && d.again ? WEFT_EXIT_AGAIN : weft_exit_code(st);
}
