#include "launch/telling.h"

#include <stdlib.h>
#include <string.h>

#include "core/layer/layer.h"

/* ---- the library --------------------------------------------------------- */

typedef struct book {
    weft_reading reading;
    char *text; /* owned; NULL: zeros */
    int model;  /* of the method's; -1: nothing is in it */
    weft_condition condition;
    uint64_t asked; /* when it was wanted last */
} book;

struct weft_library {
    book *book; /* [n], owned */
    int n;
    uint64_t asked;
};

static void empty(book *b)
{
    weft_reading_release(&b->reading);
    free(b->text);
    *b = (book){.model = -1};
}

static void close_library(weft_library *l)
{
    if (!l) return;
    for (int i = 0; i < l->n; i++) empty(&l->book[i]);
    free(l->book);
    free(l);
}

/* Room for all that one batch is told, and one text more of each kind. */
static weft_status open_library(weft_job *j)
{
    const int n =
        WEFT_BOTH * j->setup.method.nmodels * (j->setup.plan.batch + 1);
    weft_library *l = j->library = calloc(1, sizeof *l);

    if (l) l->book = calloc((size_t)n, sizeof *l->book);
    if (!l || !l->book)
        return weft_fail(WEFT_ENOMEM, "out of memory for texts");
    for (l->n = 0; l->n < n; l->n++) l->book[l->n].model = -1;
    return WEFT_OK;
}

static bool is_of(const book *b, int model, weft_condition condition,
                  const weft_reading *r)
{
    if (b->model != model || b->condition != condition) return false;
    return r->text ? b->text && strcmp(b->text, r->text) == 0 : !b->text;
}

static weft_status fill(weft_job *j, book *b, const weft_reading *r)
{
    b->reading = *r;
    if (r->text && !(b->text = strdup(r->text)))
        return weft_fail(WEFT_ENOMEM, "out of memory for a text");
    b->reading.text = b->text;
    WEFT_TRY(weft_prompts_fill(&j->setup.prompts, &j->setup.method, b->model,
                               &b->reading));
    WEFT_TRY(weft_reading_read(j, b->model, b->condition, &b->reading));
    b->reading.serial = ++j->told.serial;
    return WEFT_OK;
}

/* Of all who read a text for the same patches the first counts it. */
static void count(weft_job *j, int leaf, const weft_reading *r)
{
    const weft_plan *p = &j->setup.plan;
    const bool first =
        weft_plan_texts_travel(p)
            ? j->rank % p->across == 0
            : j->role[p->net[j->setup.net_of[leaf]].role].cut.me == 0;

    if (!first) return;
    j->told.read += r->text != NULL;
    j->told.cut += weft_reading_cut(r) != NULL;
}

/* The reading of a text; the one that nobody asked for longest makes room. */
static weft_status borrow(weft_job *j, int leaf, weft_condition condition,
                          const weft_reading *r, const weft_reading **found)
{
    const int model = j->setup.method.leaf[leaf].model;
    weft_library *l = j->library;
    book *b = &l->book[0];
    weft_status st = WEFT_OK;

    for (int i = 0; i < l->n && !is_of(b, model, condition, r); i++)
        if (is_of(&l->book[i], model, condition, r) ||
            l->book[i].asked < b->asked)
            b = &l->book[i];
    if (!is_of(b, model, condition, r)) {
        empty(b);
        b->model = model;
        b->condition = condition;
        st = fill(j, b, r);
        if (st == WEFT_OK)
            count(j, leaf, &b->reading);
        else
            empty(b);
    }
    b->asked = ++l->asked;
    *found = &b->reading;
    return st;
}

/* ---- memory -------------------------------------------------------------- */

/* A rank that reads for others has no net, or may have none. */
static weft_status make_room(weft_job *j, int leaf, weft_held *h)
{
    const int net = j->setup.net_of[leaf];
    const size_t n = net >= 0 ? (size_t)j->setup.plan.net[net].n : 0;
    const size_t held = net >= 0 ? j->net[net].layout.held_bytes : 0;
    const size_t text = net >= 0 ? j->setup.plan.net[net].text_bytes : 0;
    const bool travels = weft_plan_texts_travel(&j->setup.plan);

    if (!held && !(text && travels && j->reads)) return WEFT_OK;
    if (held) h->at = aligned_alloc(64, (held + 63) / 64 * 64);
    h->told = calloc(n, sizeof *h->told);
    h->text = malloc(n * text + 1);
    h->reads = (weft_span){0, travels || !text ? 0 : (int)n};
    if ((h->at || !held) && h->told && h->text) return WEFT_OK;
    return weft_fail(WEFT_ENOMEM, "out of memory: %zu bytes kept of a text",
                     held);
}

weft_status weft_telling_room(weft_job *j)
{
    const bool worded = j->config.sample.worded;

    j->texts = worded ? j->setup.plan.flights : 1;
    for (int i = 0; i < j->setup.method.nleaves; i++)
        for (int k = 0; k < j->texts; k++)
            WEFT_TRY(make_room(j, i, &j->held[i][k]));
    return worded && j->reads ? open_library(j) : WEFT_OK;
}

/* Sample k's text, as it is told. */
static float *text_of(const weft_job *j, int leaf, const weft_held *h, int k)
{
    const size_t bytes = j->setup.plan.net[j->setup.net_of[leaf]].text_bytes;

    return h->text + (size_t)k * (bytes / sizeof(float));
}

static weft_status connect(weft_job *j, int leaf, weft_held *h, weft_span *have)
{
    const weft_plan *p = &j->setup.plan;
    const int net = j->setup.net_of[leaf];
    weft_span *want = have + p->grid.patches;
    weft_redistribute_spec r = {.have = have,
                                .want = want,
                                .unit_bytes = p->net[net].text_bytes,
                                .class = WEFT_REDISTRIBUTE,
                                .what = "texts",
                                .all = h->text};

    weft_plan_texts(p, net, have, want);
    h->reads = have[j->line];
    if (h->text) r.mine = text_of(j, leaf, h, h->reads.from);
    return weft_redistribute_create(j->crossroads, &r, &h->road);
}

weft_status weft_telling_connect(weft_job *j)
{
    const weft_plan *p = &j->setup.plan;
    weft_span *have;
    weft_status st = WEFT_OK;

    if (!weft_plan_texts_travel(p)) return WEFT_OK;
    have = calloc(2 * (size_t)p->grid.patches, sizeof *have);
    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory for texts");
    for (int i = 0; i < j->setup.method.nleaves; i++)
        for (int k = 0; k < j->texts && st == WEFT_OK; k++)
            if (j->setup.net_of[i] >= 0 &&
                p->net[j->setup.net_of[i]].text_bytes)
                st = connect(j, i, &j->held[i][k], have);
    free(have);
    return st;
}

void weft_telling_release(weft_job *j)
{
    for (int i = 0; i < WEFT_LEAVES; i++)
        for (int k = 0; k < WEFT_FLIGHTS; k++) {
            weft_redistribute_destroy(j->held[i][k].road);
            free(j->held[i][k].at);
            free(j->held[i][k].told);
            free(j->held[i][k].text);
        }
    for (int i = 0; i < WEFT_READERS; i++)
        if (!j->reader[i].borrowed) weft_window_destroy(j->reader[i].packed);
    close_library(j->library);
}

static weft_held *held_of(weft_job *j, int leaf, int flight)
{
    return &j->held[leaf][flight % j->texts];
}

char *weft_telling_place(const weft_job *j, int leaf, int flight)
{
    return j->held[leaf][flight % j->texts].at;
}

/* ---- telling ------------------------------------------------------------- */

/* Of sample k of a leaf's net: unconditional ones come last. */
static weft_status find(weft_job *j, int i, int k, const int *image,
                        const weft_reading **r)
{
    const weft_leaf *leaf = &j->setup.method.leaf[i];
    const int batch = j->setup.plan.batch;
    const weft_condition condition =
        leaf->condition == WEFT_UNCOND || k >= batch ? WEFT_UNCOND : WEFT_COND;
    weft_reading chosen;

    if (!j->library) {
        *r = &j->setup.prompts.model[leaf->model].told[condition];
        return WEFT_OK;
    }
    weft_prompts_choose(&j->setup.method, leaf->model, condition,
                        &j->config.sample.each_said[image[k % batch]], &chosen);
    return borrow(j, i, condition, &chosen, r);
}

static void give(const weft_graph *g, const weft_run *run, weft_given what,
                 int sample, const float *from)
{
    const weft_val v = g->given[what];
    const weft_value *x = v == WEFT_NONE ? NULL : weft_graph_at(g, v);
    const size_t floats = x ? (size_t)x->w * (size_t)x->c : 0;

    if (x)
        memcpy(weft_run_value(run, v) + (size_t)sample * floats, from,
               floats * sizeof *from);
}

/* The guidance, for a net that is told it. */
static weft_status give_guide(const weft_job *j, const weft_graph *g,
                              const weft_run *run, int model, int samples)
{
    const int n = j->setup.prompts.model[model].guide;
    float *v;

    if (!n) return WEFT_OK;
    v = malloc((size_t)n * sizeof *v);
    if (!v) return weft_fail(WEFT_ENOMEM, "out of memory for the guidance");
    weft_guide_sinusoids(j->config.sample.guidance, n, v);
    for (int k = 0; k < samples; k++) give(g, run, WEFT_GIVEN_GUIDE, k, v);
    free(v);
    return WEFT_OK;
}

/* Floats of what comes before what is told: which reading it is of those of
 * whoever read it, who is always the same for a sample. */
enum { SERIAL = sizeof(uint64_t) / sizeof(float) };

/* What is read here, to where it is told or sent from. */
static weft_status read(weft_job *j, int i, const weft_held *h,
                        const int *image)
{
    const weft_listener *l =
        &j->setup.prompts.model[j->setup.method.leaf[i].model];
    const size_t hidden = (size_t)l->tokens * (size_t)l->channels;

    for (int k = h->reads.from; k < h->reads.to; k++) {
        float *to = text_of(j, i, h, k);
        const weft_reading *r;

        WEFT_TRY(find(j, i, k, image, &r));
        memcpy(to, &r->serial, sizeof r->serial);
        memcpy(to + SERIAL, r->hidden, hidden * sizeof *to);
        memcpy(to + SERIAL + hidden, r->added, (size_t)l->added * sizeof *to);
    }
    return WEFT_OK;
}

/* To a net of mine, what it has not been told before. */
static weft_status take(weft_job *j, int i, weft_held *h)
{
    const int model = j->setup.method.leaf[i].model, net = j->setup.net_of[i];
    const weft_listener *l = &j->setup.prompts.model[model];
    const weft_graph *g = j->setup.plan.net[net].graph;
    const int n = j->setup.plan.net[net].n;
    weft_run run = weft_job_run(j, net);
    bool same = true;

    run.held = h->at;
    for (int k = 0; k < n && l->any; k++) {
        const float *text = text_of(j, i, h, k);
        uint64_t serial;

        memcpy(&serial, text, sizeof serial);
        if (serial == h->told[k]) continue;
        text += SERIAL;
        give(g, &run, WEFT_GIVEN_TEXT, k, text);
        give(g, &run, WEFT_GIVEN_ADDED, k,
             text + (size_t)l->tokens * (size_t)l->channels);
        h->told[k] = serial;
        same = false;
    }
    if (same) return WEFT_OK;
    WEFT_TRY(give_guide(j, g, &run, model, n));
    return weft_graph_prepare(g, &run);
}

static bool is_loaded(const weft_job *j, int i)
{
    return j->weights[j->setup.plan.net[j->setup.net_of[i]].weights].loaded;
}

weft_status weft_telling_tell(weft_job *j, int i, int flight, const int *image)
{
    weft_held *h = held_of(j, i, flight);

    if (!h->text) return WEFT_OK;
    if (h->road) WEFT_TRY(weft_redistribute_ready(h->road));
    WEFT_TRY(read(j, i, h, image));
    if (h->road) {
        WEFT_TRY(weft_redistribute_post(h->road));
        WEFT_TRY(weft_redistribute_wait(h->road));
    }
    /* What samples in later steps is told when it is there. */
    return h->at && is_loaded(j, i) ? take(j, i, h) : WEFT_OK;
}

weft_status weft_telling_ahead(weft_job *j, const int *image)
{
    const weft_reading *r;

    if (weft_span_units(j->state) || !j->library) return WEFT_OK;
    for (int i = 0; i < j->setup.method.nleaves; i++) {
        const weft_span *mine = &held_of(j, i, 0)->reads;

        for (int k = mine->from; k < mine->to; k++)
            WEFT_TRY(find(j, i, k, image, &r));
    }
    return WEFT_OK;
}
