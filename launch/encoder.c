#include "launch/encoder.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/io/png.h"
#include "launch/config.h"
#include "launch/said.h"

enum { TEXT = 2048 };

/* What waits: an item in a place of its own, or a shard. */
typedef struct task {
    weft_finished *item; /* or NULL */
    weft_shard *shard;
} task;

/* Places and tasks are rings. Shards have no places, so there are twice as many
 * tasks as items, and whoever brings a shard waits for one too. */
struct weft_encoder {
    weft_encoder_spec spec;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    weft_finished *place; /* [room] */
    int given;            /* of places, so far */
    int freed;
    task *task; /* [2 room] */
    int pushed, taken, ended;
    bool stopping;
    weft_status status;
    char text[TEXT]; /* of a failure */
    int *done;       /* entries, [ndone]; owned */
    int ndone, roomdone, told;
    weft_encoder_tally tally;
};

void weft_shard_free(weft_shard *s)
{
    if (!s) return;
    weft_spool_close(&s->spool, false);
    weft_sights_release(&s->sights);
    weft_items_free(s->items);
    free(s);
}

/* ---- members of an item -------------------------------------------------- */

typedef struct made {
    weft_member member[WEFT_MEMBERS];
    void *data[WEFT_MEMBERS]; /* owned */
    char sha256[WEFT_MEMBERS][WEFT_HASH_TEXT];
    int n;
} made;

static void release(made *m)
{
    for (int i = 0; i < m->n; i++) free(m->data[i]);
    m->n = 0;
}

/* Takes over `data`. */
static void add(made *m, const char *suffix, void *data, size_t bytes)
{
    weft_member *to = &m->member[m->n];
    weft_hash h;

    *to = (weft_member){.data = data, .bytes = bytes};
    snprintf(to->suffix, sizeof to->suffix, "%s", suffix);
    weft_hash_start(&h);
    weft_hash_add(&h, data, bytes);
    weft_hash_text(&h, m->sha256[m->n]);
    m->data[m->n++] = data;
}

/* The config of this one item, which borrows all but its list of models. */
static weft_status config_of(const weft_finished *w, const weft_item *item,
                             weft_config *c)
{
    *c = w->form->config;
    c->sample.label = item->label;
    c->sample.has_label = item->label >= 0;
    if (item->said.prompt) c->sample.prompt = item->said.prompt;
    if (item->said.negative) c->sample.negative_prompt = item->said.negative;
    c->model = calloc((size_t)c->nmodels + 1, sizeof *c->model);
    if (!c->model) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int i = 0; i < c->nmodels; i++) {
        const char *own;

        c->model[i] = w->form->config.model[i];
        own = weft_said_for(item->said.own, c->model[i].name);
        if (own) c->model[i].prompt = (char *)own;
    }
    return WEFT_OK;
}

static weft_status add_png(const weft_finished *w, const weft_item *item,
                           const weft_config *c, made *m)
{
    const weft_form *f = w->form;
    char *parameters = NULL, *identity = NULL;
    unsigned char *data;
    size_t bytes;
    weft_status st = weft_config_parameters(c, item->seed, &parameters);

    if (st == WEFT_OK) st = weft_config_identity(c, item->seed, &identity);
    if (st == WEFT_OK) {
        const weft_png_text text[] = {{"parameters", parameters},
                                      {"weft", identity}};

        st = weft_png_encode(item->id, f->width, f->height, f->channels,
                             w->pixels, text, 2, &data, &bytes);
    }
    if (st == WEFT_OK) add(m, "png", data, bytes);
    free(parameters);
    free(identity);
    return st;
}

/* A safetensors file of one tensor, as core/model/st_write.c would write it. */
static weft_status add_latents(const weft_finished *w, made *m)
{
    const weft_form *f = w->form;
    const size_t bytes = (size_t)f->latent_channels * (size_t)f->rows *
                         (size_t)f->columns * sizeof(float);
    char head[256], *data;
    const int n = snprintf(head, sizeof head,
                           "{\"latents\":{\"dtype\":\"F32\",\"shape\":[1,%d,%d,"
                           "%d],\"data_offsets\":[0,%zu]}}",
                           f->latent_channels, f->rows, f->columns, bytes);
    const uint64_t padded = ((uint64_t)n + 7) / 8 * 8;

    data = malloc(sizeof padded + padded + bytes);
    if (!data) return weft_fail(WEFT_ENOMEM, "out of memory for latents");
    memcpy(data, &padded, sizeof padded);
    memset(data + sizeof padded, ' ', padded);
    memcpy(data + sizeof padded, head, (size_t)n);
    memcpy(data + sizeof padded + padded, w->latents, bytes);
    add(m, "latent.safetensors", data, sizeof padded + padded + bytes);
    return WEFT_OK;
}

/* A caption or a prompt, as it stands in the manifest. */
static weft_status add_caption(const weft_item *item, made *m)
{
    char *text = strdup(item->caption);

    if (!text) return weft_fail(WEFT_ENOMEM, "out of memory");
    add(m, "txt", text, strlen(text));
    return WEFT_OK;
}

static void write_caption(FILE *f, const weft_item *item)
{
    json_t *json = item->caption ? json_string(item->caption) : NULL;
    char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

    if (quoted) fprintf(f, ",\"caption\":%s", quoted);
    free(quoted);
    json_decref(json);
}

/* What the item is, and the hashes of what was made of it. */
static weft_status add_json(const weft_config *c, const weft_item *item,
                            made *m)
{
    char *sample = NULL, *text = NULL;
    size_t bytes;
    FILE *f;

    WEFT_TRY(weft_config_sample(c, item->seed, &sample));
    f = open_memstream(&text, &bytes);
    if (f) {
        fprintf(f, "{\"id\":\"%s\",%s", item->id, sample);
        write_caption(f, item);
        fputs(",\"sha256\":{", f);
        for (int i = 0; i < m->n; i++)
            fprintf(f, "%s\"%s\":\"%s\"", i ? "," : "", m->member[i].suffix,
                    m->sha256[i]);
        fputs("}}\n", f);
        fclose(f);
    }
    free(sample);
    if (!text) return weft_fail(WEFT_ENOMEM, "out of memory");
    add(m, "json", text, bytes);
    return WEFT_OK;
}

static bool is_black(const weft_finished *w)
{
    const weft_form *f = w->form;
    const size_t n = (size_t)f->width * (size_t)f->height * (size_t)f->channels;
    unsigned char most = 0;

    for (size_t i = 0; i < n; i++) most |= w->pixels[i];
    return most == 0;
}

static weft_status make_members(const weft_encoder *e, const weft_finished *w,
                                const weft_item *item, made *m)
{
    weft_config c;
    weft_status st = config_of(w, item, &c);

    if (st == WEFT_OK && e->spec.images) st = add_png(w, item, &c, m);
    if (st == WEFT_OK && e->spec.latents) st = add_latents(w, m);
    if (st == WEFT_OK && item->caption) st = add_caption(item, m);
    if (st == WEFT_OK) st = add_json(&c, item, m);
    free(c.model);
    return st;
}

static weft_status encode(weft_encoder *e, weft_finished *w, bool *failed)
{
    weft_outcome outcome = w->finite ? WEFT_MADE : WEFT_NAN;
    weft_status st = WEFT_OK;
    made m = {.n = 0};

    if (outcome == WEFT_MADE && e->spec.images && is_black(w))
        outcome = WEFT_BLACK;
    if (outcome == WEFT_MADE)
        st = make_members(e, w, &w->shard->items->item[w->item], &m);
    if (st == WEFT_OK)
        st = weft_spool_add(&w->shard->spool, w->item, outcome, m.member, m.n);
    release(&m);
    *failed = outcome != WEFT_MADE;
    return st;
}

/* ---- shards -------------------------------------------------------------- */

static weft_status commit(weft_encoder *e, weft_shard *s)
{
    weft_status st = weft_commit(
        e->spec.shelf, s->number, s->items->item, s->items->n, &s->spool,
        json_pack("{s:i, s:f, s:O*}", "rank", s->rank, "seconds",
                  weft_clock() - s->began, "pictures", s->sights.mark));

    if (st == WEFT_OK) weft_spool_close(&s->spool, true);
    weft_shard_free(s);
    return st;
}

/* Under the lock. */
static void note_done(weft_encoder *e, int entry)
{
    if (e->ndone == e->roomdone) {
        const int room = 2 * e->roomdone + 16;
        int *more = realloc(e->done, (size_t)room * sizeof *more);

        if (!more) return; /* it is done all the same */
        e->done = more;
        e->roomdone = room;
    }
    e->done[e->ndone++] = entry;
    e->tally.shards++;
}

/* ---- the thread ---------------------------------------------------------- */

static void keep_failure(weft_encoder *e, weft_status st)
{
    if (e->status != WEFT_OK) return;
    e->status = st;
    snprintf(e->text, sizeof e->text, "%s", weft_fail_text());
}

/* Under the lock, which is let go while there is work to do. After a failure
 * what comes is put aside. */
static void do_task(weft_encoder *e, task t)
{
    const int entry = t.shard ? t.shard->entry : 0;
    const bool works = e->status == WEFT_OK;
    weft_status st = WEFT_OK;
    bool failed = false;
    double start;

    pthread_mutex_unlock(&e->lock);
    start = weft_clock();
    if (works && t.item) st = encode(e, t.item, &failed);
    if (works && t.shard) st = commit(e, t.shard);
    if (!works) weft_shard_free(t.shard);
    pthread_mutex_lock(&e->lock);
    e->tally.busy += weft_clock() - start;
    if (st != WEFT_OK) keep_failure(e, st);
    if (t.item) {
        t.item->form->waiting--;
        e->freed++;
    }
    if (works && st == WEFT_OK) {
        if (t.shard) note_done(e, entry);
        e->tally.items += t.item != NULL;
        e->tally.failed += failed;
    }
}

static void *work(void *arg)
{
    weft_encoder *e = arg;
    const int tasks = 2 * e->spec.room;

    pthread_mutex_lock(&e->lock);
    for (;;) {
        while (e->taken == e->pushed && !e->stopping)
            pthread_cond_wait(&e->changed, &e->lock);
        if (e->taken == e->pushed) break;
        do_task(e, e->task[e->taken++ % tasks]);
        e->ended++;
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* ---- for who samples ----------------------------------------------------- */

static weft_status failure(const weft_encoder *e)
{
    return e->status == WEFT_OK ? WEFT_OK : weft_fail(e->status, "%s", e->text);
}

/* Items of other kinds may have been smaller. */
static weft_status make_room(const weft_encoder *e, weft_finished *w)
{
    const weft_form *f = w->form;
    const size_t pixels =
        (size_t)f->width * (size_t)f->height * (size_t)f->channels;
    const size_t floats =
        (size_t)f->rows * (size_t)f->columns * (size_t)f->latent_channels;

    if (e->spec.images && pixels > w->room_pixels) {
        free(w->pixels);
        w->pixels = malloc(pixels);
        w->room_pixels = w->pixels ? pixels : 0;
    }
    if (e->spec.latents && floats > w->room_floats) {
        free(w->latents);
        w->latents = malloc(floats * sizeof *w->latents);
        w->room_floats = w->latents ? floats : 0;
    }
    return (e->spec.images && w->room_pixels < pixels) ||
                   (e->spec.latents && w->room_floats < floats)
               ? weft_fail(WEFT_ENOMEM, "out of memory for finished items")
               : WEFT_OK;
}

weft_status weft_encoder_room(weft_encoder *e, weft_form *form,
                              weft_finished **w)
{
    const double start = weft_clock();
    weft_status st;

    pthread_mutex_lock(&e->lock);
    while (e->given - e->freed == e->spec.room)
        pthread_cond_wait(&e->changed, &e->lock);
    *w = &e->place[e->given++ % e->spec.room];
    e->tally.waited += weft_clock() - start;
    st = failure(e);
    pthread_mutex_unlock(&e->lock);
    (*w)->form = form;
    return st == WEFT_OK ? make_room(e, *w) : st;
}

static weft_status push(weft_encoder *e, task t)
{
    weft_status st;

    pthread_mutex_lock(&e->lock);
    while (e->pushed - e->taken == 2 * e->spec.room)
        pthread_cond_wait(&e->changed, &e->lock);
    e->task[e->pushed++ % (2 * e->spec.room)] = t;
    if (t.item) t.item->form->waiting++;
    pthread_cond_broadcast(&e->changed);
    st = failure(e);
    pthread_mutex_unlock(&e->lock);
    return st;
}

weft_status weft_encoder_item(weft_encoder *e, weft_finished *w)
{
    return push(e, (task){.item = w});
}

weft_status weft_encoder_fail(weft_encoder *e, weft_shard *shard, int item,
                              weft_outcome outcome)
{
    WEFT_TRY(weft_spool_add(&shard->spool, item, outcome, NULL, 0));
    pthread_mutex_lock(&e->lock);
    e->tally.items++;
    e->tally.failed++;
    pthread_mutex_unlock(&e->lock);
    return WEFT_OK;
}

weft_status weft_encoder_shard(weft_encoder *e, weft_shard *s)
{
    return push(e, (task){.shard = s});
}

weft_status weft_encoder_next_done(weft_encoder *e, int *entry)
{
    weft_status st;

    pthread_mutex_lock(&e->lock);
    *entry = e->told < e->ndone ? e->done[e->told++] : -1;
    st = failure(e);
    pthread_mutex_unlock(&e->lock);
    return st;
}

weft_encoder_tally weft_encoder_look(weft_encoder *e)
{
    weft_encoder_tally t;

    pthread_mutex_lock(&e->lock);
    t = e->tally;
    pthread_mutex_unlock(&e->lock);
    return t;
}

weft_status weft_encoder_settle(weft_encoder *e, const weft_form *form)
{
    weft_status st;

    pthread_mutex_lock(&e->lock);
    while (form->waiting > 0) pthread_cond_wait(&e->changed, &e->lock);
    st = failure(e);
    pthread_mutex_unlock(&e->lock);
    return st;
}

weft_status weft_encoder_drain(weft_encoder *e)
{
    weft_status st;

    pthread_mutex_lock(&e->lock);
    while (e->ended < e->pushed) pthread_cond_wait(&e->changed, &e->lock);
    st = failure(e);
    pthread_mutex_unlock(&e->lock);
    return st;
}

/* ---- life ---------------------------------------------------------------- */

static weft_status make_places(weft_encoder *e)
{
    const weft_encoder_spec *s = &e->spec;

    e->place = calloc((size_t)s->room, sizeof *e->place);
    e->task = calloc(2 * (size_t)s->room, sizeof *e->task);
    return e->place && e->task ? WEFT_OK
                               : weft_fail(WEFT_ENOMEM, "out of memory");
}

weft_status weft_encoder_start(const weft_encoder_spec *s, weft_encoder **out)
{
    weft_encoder *e = calloc(1, sizeof *e);
    weft_status st;

    if (!e) return weft_fail(WEFT_ENOMEM, "out of memory");
    e->spec = *s;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    st = make_places(e);
    if (st == WEFT_OK && pthread_create(&e->thread, NULL, work, e) != 0)
        st = weft_fail(WEFT_ENOMEM, "no thread to encode images could be made");
    e->started = st == WEFT_OK;
    if (st == WEFT_OK)
        *out = e;
    else
        weft_encoder_stop(e);
    return st;
}

void weft_encoder_stop(weft_encoder *e)
{
    if (!e) return;
    if (e->started) {
        pthread_mutex_lock(&e->lock);
        e->stopping = true;
        pthread_cond_broadcast(&e->changed);
        pthread_mutex_unlock(&e->lock);
        pthread_join(e->thread, NULL);
    }
    for (int i = 0; i < e->spec.room && e->place; i++) {
        free(e->place[i].pixels);
        free(e->place[i].latents);
    }
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e->place);
    free(e->task);
    free(e->done);
    free(e);
}
