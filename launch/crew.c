#include "launch/crew.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "mpi/watch.h"

enum { ABOUT = 200 };

static weft_job *job(const weft_crew *c) { return &c->stock->good[0]->job; }

static bool alone(const weft_crew *c)
{
    return weft_comm_size(job(c)->group) == 1;
}

/* ---- the crew ------------------------------------------------------------ */

static weft_status make_lists(weft_crew *c)
{
    const size_t n = (size_t)c->manifest->shard_size;

    c->wanted = calloc(n, sizeof *c->wanted);
    c->vote = calloc(n + 1, sizeof *c->vote);
    return c->wanted && c->vote
               ? WEFT_OK
               : weft_fail(WEFT_ENOMEM, "out of memory for a shard's items");
}

weft_status weft_crew_init(weft_crew *c)
{
    const weft_job *j = job(c);

    WEFT_TRY(weft_comm_agree(j->world, make_lists(c)));
    return weft_keeper_open(&j->config, j->world, j->group, &c->keeper);
}

/* The clerk's shard has its items. */
static void forget_shard(weft_crew *c)
{
    if (!c->shard) weft_items_free(c->items);
    weft_shard_free(c->shard);
    c->shard = NULL;
    c->items = NULL;
}

void weft_crew_release(weft_crew *c)
{
    weft_keeper_close(&c->keeper);
    forget_shard(c);
    free(c->wanted);
    free(c->vote);
}

/* ---- the board ----------------------------------------------------------- */

/* Shards that the encoder has put on the shelf. */
static weft_status note_done(weft_crew *c)
{
    int entry;

    for (;;) {
        WEFT_TRY(weft_encoder_next_done(c->encoder, &entry));
        if (entry < 0) return WEFT_OK;
        WEFT_TRY(weft_claim_done(c->claim, entry));
    }
}

weft_status weft_crew_tell(weft_crew *c, bool left)
{
    const weft_stock_tally made = weft_stock_sum(c->stock);
    double fact[WEFT_FACTS] = {
        [WEFT_FACT_LEFT] = left,        [WEFT_FACT_BUSY] = made.busy,
        [WEFT_FACT_STEPS] = made.steps, [WEFT_FACT_LOADED] = made.loaded,
        [WEFT_FACT_READ] = made.read,   [WEFT_FACT_CUT] = made.cut};

    memcpy(fact + WEFT_FACT_BYTES, made.bytes, sizeof made.bytes);
    memcpy(fact + WEFT_FACT_MESSAGES, made.messages, sizeof made.messages);
    if (c->encoder) {
        const weft_encoder_tally t = weft_encoder_look(c->encoder);

        WEFT_TRY(note_done(c));
        fact[WEFT_FACT_ITEMS] = (double)t.items;
        fact[WEFT_FACT_FAILED] = (double)t.failed;
        fact[WEFT_FACT_WAITED] = t.waited;
    }
    WEFT_TRY(weft_claim_tell(c->claim, fact));
    return c->watch ? c->watch(c->watch_arg) : WEFT_OK;
}

/* ---- items --------------------------------------------------------------- */

static weft_status take_picture(void *arg, int row, int rows, const void *data)
{
    const weft_crew *c = arg;
    const weft_form *f = &c->kind->form;
    const size_t line = (size_t)f->width * (size_t)f->channels;

    memcpy(c->work->pixels + (size_t)row * line, data, (size_t)rows * line);
    return WEFT_OK;
}

/* [rows][columns][channels] to [channels][rows][columns]. */
static weft_status take_latents(void *arg, int row, int rows, const void *data)
{
    const weft_crew *c = arg;
    const weft_form *f = &c->kind->form;
    const size_t columns = (size_t)f->columns, ch = (size_t)f->latent_channels;
    const float *from = data;

    for (size_t k = 0; k < ch; k++)
        for (size_t i = 0; i < (size_t)rows * columns; i++)
            c->work
                ->latents[(k * (size_t)f->rows + (size_t)row) * columns + i] =
                from[i * ch + k];
    return WEFT_OK;
}

/* What a rank of a role found bad in its rows, all of the role know. */
static weft_status agree_finite(const weft_job_role *role, bool *finite)
{
    double bad = !*finite;

    if (role->cut.me < 0 || role->cut.n == 1) return WEFT_OK;
    WEFT_TRY(weft_comm_max(role->ranks, &bad, 1));
    *finite = bad == 0;
    return WEFT_OK;
}

/* Those who handed out rows, of whom the clerk is one; others go on. */
static weft_status agree(const weft_crew *c, bool *finite)
{
    const weft_config_dataset *d = c->manifest->spec;
    const weft_job *j = &c->kind->job;
    const int vae = j->setup.plan.vae;

    if (d->images && vae >= 0) return agree_finite(&j->role[vae], finite);
    return agree_finite(&j->role[0], finite);
}

static weft_status give_item(weft_crew *c, const weft_flight *f, int slot)
{
    const weft_config_dataset *d = c->manifest->spec;
    const weft_sink sink = {.picture = d->images ? take_picture : NULL,
                            .latents = d->latents ? take_latents : NULL,
                            .arg = c};
    bool finite;

    if (c->encoder)
        WEFT_TRY(weft_encoder_room(c->encoder, &c->kind->form, &c->work));
    WEFT_TRY(weft_sampler_give(&c->kind->sampler, f, slot, &sink, &finite));
    WEFT_TRY(agree(c, &finite));
    if (!c->encoder) return WEFT_OK;
    c->work->shard = c->shard;
    c->work->item = f->image[slot];
    c->work->finite = finite;
    return weft_encoder_item(c->encoder, c->work);
}

static weft_status arrive(void *arg, const weft_flight *f, double began)
{
    weft_crew *c = arg;

    (void)began;
    for (int i = 0; i < f->n; i++) WEFT_TRY(give_item(c, f, i));
    return weft_crew_tell(c, false);
}

/* ---- in flight ----------------------------------------------------------- */

/* What an identity is to a checkpoint's images. */
static void about(const weft_crew *c, char text[ABOUT])
{
    snprintf(text, ABOUT,
             "{\"dataset\":\"%s\",\"pictures\":%" PRIu64
             ",\"shard\":%d,\"kind\":%d,\"chunks\":%d}",
             c->about, c->seen, c->number, c->making, c->kind->chunks);
}

/* One file for all kinds and lengths of a shard: they are made one after the
 * other, each to its end before the next one's images could take its place. */
static void flight_path(const weft_crew *c, char path[WEFT_SHELF_PATH])
{
    weft_shelf_path(c->shelf, c->number, WEFT_SHELF_FLIGHT, path);
}

/* All that is in flight, so that whoever goes on begins there. */
static weft_status keep(weft_crew *c)
{
    char path[WEFT_SHELF_PATH], text[ABOUT];
    const weft_checkpoint_head head = {.identity = text,
                                       .weights = c->about,
                                       .done = c->kind->done,
                                       .images = c->items->n};

    about(c, text);
    flight_path(c, path);
    WEFT_TRY(weft_sampler_settle(&c->kind->sampler));
    WEFT_TRY(weft_sampler_keep(&c->kind->sampler, path, &head));
    weft_keeper_kept(&c->keeper);
    return WEFT_OK;
}

/* A weft_pause. Turns and steps are counted on from shard to shard. */
static weft_status pause_turn(void *arg, int turn, int steps, bool *stop)
{
    weft_crew *c = arg;
    weft_reason why;

    if (turn == INT_MAX) {
        c->steps += steps;
        return WEFT_OK;
    }
    WEFT_TRY(weft_keeper_heed(&c->keeper, c->turns++, c->steps + steps, &why));
    if (!why) return WEFT_OK;
    *stop = c->stopped = why == WEFT_STOP;
    return keep(c);
}

static weft_status open_flight(const weft_crew *c, const char *path,
                               weft_checkpoint *from)
{
    const weft_good *g = c->kind;
    const weft_checkpoint_fit fit = {.solver = g->job.setup.solver,
                                     .rows = g->job.setup.plan.rows,
                                     .columns = g->job.setup.plan.columns,
                                     .channels = g->job.setup.plan.channels,
                                     .images = c->items->n};
    char text[ABOUT];
    weft_status st;

    about(c, text);
    WEFT_TRY(weft_checkpoint_open(path, from));
    st = strcmp(from->identity, text) == 0
             ? weft_checkpoint_fits(from, &fit)
             : weft_fail(WEFT_EINPUT, "of another kind");
    if (st != WEFT_OK) weft_checkpoint_close(from);
    return st;
}

/* What was in flight when a job was stopped; of no use to all of the group if
 * one of them cannot read it. */
static weft_status find_flight(const weft_crew *c, weft_checkpoint *from,
                               bool *found)
{
    char path[WEFT_SHELF_PATH];
    double bad;

    flight_path(c, path);
    bad = access(path, F_OK) != 0 || open_flight(c, path, from) != WEFT_OK;
    *found = !bad;
    if (!alone(c)) WEFT_TRY(weft_comm_max(job(c)->group, &bad, 1));
    if (*found && bad > 0) weft_checkpoint_close(from);
    *found = bad == 0;
    return WEFT_OK;
}

static weft_status voyage(weft_crew *c, const weft_checkpoint *from)
{
    weft_good *g = c->kind;
    weft_share share;
    weft_status st;

    WEFT_TRY(weft_share_left(c->items->n, g->job.setup.plan.batch, from,
                             g->done, &share));
    const weft_voyage v = {
        .share = &share, .arrive = arrive, .pause = pause_turn, .arg = c};

    st = weft_sampler_run(&g->sampler, &v);
    weft_share_release(&share);
    return st;
}

/* -1: none. */
static int next_wanted(const weft_crew *c, int k)
{
    for (int i = 0; i < c->items->n; i++)
        if (c->wanted[i] && c->items->item[i].kind == k) return i;
    return -1;
}

/* Item i, and all of its kind whose texts are as long. */
static weft_status make_alike(weft_crew *c, int i)
{
    weft_checkpoint from;
    weft_status st;
    bool found;

    c->making = c->items->item[i].kind;
    WEFT_TRY(weft_stock_find(c->stock, c->items, i, &c->kind));
    WEFT_TRY(weft_stock_take(c->kind, c->making, c->items, c->wanted));
    WEFT_TRY(find_flight(c, &from, &found));
    st = voyage(c, found ? &from : NULL);
    if (found) weft_checkpoint_close(&from);
    for (int n = 0; n < c->items->n; n++) c->wanted[n] &= c->kind->done[n];
    return st;
}

static weft_status make_kind(weft_crew *c, int k)
{
    for (int i; !c->stopped && (i = next_wanted(c, k)) >= 0;)
        WEFT_TRY(make_alike(c, i));
    return WEFT_OK;
}

/* ---- shards -------------------------------------------------------------- */

/* What the clerk knows, for the whole group. */
static weft_status share(weft_crew *c, double *v, int n)
{
    if (alone(c)) return WEFT_OK;
    for (int i = 0; i < n && !c->encoder; i++) v[i] = 0;
    return weft_comm_sum(job(c)->group, v, n);
}

/* As two numbers, which a double holds. */
static weft_status share_seen(weft_crew *c)
{
    double half[] = {(double)(c->seen >> 32), (double)(uint32_t)c->seen};

    WEFT_TRY(share(c, half, 2));
    c->seen = (uint64_t)half[0] << 32 | (uint64_t)half[1];
    return WEFT_OK;
}

/* The next entry of the queue; `entries` behind its end. */
static weft_status claim(weft_crew *c, int *entry)
{
    double found = 0;

    if (c->encoder) {
        WEFT_TRY(weft_claim_next(c->claim, entry));
        found = *entry;
    }
    WEFT_TRY(share(c, &found, 1));
    *entry = (int)found;
    return WEFT_OK;
}

/* Items that failed before are tried again; the others are there, if the shard
 * is as it was written. */
static weft_status reload(const weft_crew *c, weft_shard *s)
{
    weft_shard_state state;

    WEFT_TRY(weft_shelf_look(c->shelf, c->number, true, &state, NULL));
    if (state != WEFT_SHARD_FAILED) return WEFT_OK;
    return weft_commit_reload(c->shelf, c->number, s->items->item, s->items->n,
                              &s->spool);
}

/* What was made with other pictures is not gone on with. */
static void about_spool(const weft_crew *c, char text[WEFT_HASH_TEXT])
{
    weft_hash h;

    memcpy(text, c->about, WEFT_HASH_TEXT);
    if (!c->seen) return;
    weft_hash_start(&h);
    weft_hash_add(&h, c->about, WEFT_HASH_TEXT);
    weft_hash_add(&h, &c->seen, sizeof c->seen);
    weft_hash_text(&h, text);
}

static weft_status open_spool(weft_crew *c, weft_shard *s)
{
    char path[WEFT_SHELF_PATH], text[WEFT_HASH_TEXT];

    about_spool(c, text);
    weft_shelf_path(c->shelf, c->number, WEFT_SHELF_SPOOL, path);
    WEFT_TRY(weft_spool_open(path, text, s->items->n, &s->spool));
    if (c->state[c->number] == WEFT_SHARD_FAILED && !s->spool.found)
        return reload(c, s);
    return WEFT_OK;
}

/* Items whose pictures cannot be read. */
static weft_status pass_over(weft_crew *c, weft_shard *s)
{
    for (int i = 0; i < s->items->n; i++) {
        const weft_item *item = &s->items->item[i];
        const char *fault = s->sights.fault[item->kind];

        if (!fault || s->spool.item[i].there) continue;
        fprintf(stderr, "weft: %s:%lld: item %s is not made: %s\n",
                c->manifest->name, item->line, item->id, fault);
        WEFT_TRY(weft_encoder_fail(c->encoder, s, i, WEFT_UNSEEN));
    }
    return WEFT_OK;
}

static weft_status open_shard(weft_crew *c, int entry)
{
    weft_shard *s = calloc(1, sizeof *s);

    if (!s) return weft_fail(WEFT_ENOMEM, "out of memory");
    *s = (weft_shard){.number = c->number,
                      .items = c->items,
                      .entry = entry,
                      .rank = weft_comm_rank(job(c)->world),
                      .began = weft_clock(),
                      .spool = {.fd = -1}};
    c->shard = s;
    WEFT_TRY(weft_sights_look(c->manifest, s->items, &s->sights));
    c->seen = s->sights.seen;
    WEFT_TRY(open_spool(c, s));
    WEFT_TRY(pass_over(c, s));
    for (int i = 0; i < s->items->n; i++) c->vote[i] = !s->spool.item[i].there;
    return WEFT_OK;
}

static weft_status find_items(weft_crew *c)
{
    WEFT_TRY(weft_manifest_shard(c->manifest, c->number, &c->items));
    for (int i = 0; i < c->items->n; i++) {
        weft_item *item = &c->items->item[i];

        if (item->label < 0) item->label = c->label;
    }
    return WEFT_OK;
}

/* All of it was made: what is left to be done with it is the encoder's. */
static weft_status end_shard(weft_crew *c)
{
    weft_shard *s = c->shard;
    char path[WEFT_SHELF_PATH];

    if (!s) {
        forget_shard(c);
        return WEFT_OK;
    }
    flight_path(c, path);
    unlink(path); /* if it is there */
    c->shard = NULL;
    c->items = NULL;
    return weft_encoder_shard(c->encoder, s);
}

/* The group waits while its clerk looks at pictures and at what is there. */
static weft_status begin_shard(weft_crew *c, int entry)
{
    weft_status st = WEFT_OK;

    weft_watch_at("looking at a shard's pictures", 0, 0);
    weft_watch_deadline(0); /* disks take what they take */
    if (c->encoder) st = open_shard(c, entry);
    if (st == WEFT_OK) st = share_seen(c);
    weft_watch_deadline(job(c)->config.run.deadline);
    return st;
}

static weft_status make_shard(weft_crew *c, int entry)
{
    c->number = c->queue[entry];
    WEFT_TRY(find_items(c));
    WEFT_TRY(begin_shard(c, entry));
    WEFT_TRY(share(c, c->vote, c->items->n));
    for (int i = 0; i < c->items->n; i++) c->wanted[i] = c->vote[i] != 0;
    for (int k = 0; k < c->items->kinds && !c->stopped; k++)
        WEFT_TRY(make_kind(c, k));
    return c->stopped ? WEFT_OK : end_shard(c);
}

weft_status weft_crew_rest(weft_crew *c)
{
    weft_reason why;

    return weft_keeper_heed(&c->keeper, INT_MAX, 0, &why);
}

weft_status weft_crew_run(weft_crew *c)
{
    int entry;

    for (;;) {
        WEFT_TRY(weft_crew_tell(c, false));
        WEFT_TRY(claim(c, &entry));
        if (entry >= c->entries) break;
        WEFT_TRY(make_shard(c, entry));
        if (c->stopped) break;
    }
    weft_watch_at("finishing", 0, 0);
    WEFT_TRY(weft_crew_rest(c));
    return c->encoder ? weft_encoder_drain(c->encoder) : WEFT_OK;
}
