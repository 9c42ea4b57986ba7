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
    const int role = j->setup.plan.net[j->setup.net_of[leaf]].role;

    if (j->role[role].cut.me != 0) return;
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

static weft_status make_room(weft_job *j, int leaf, weft_held *h)
{
    const int net = j->setup.net_of[leaf];
    const size_t bytes = net >= 0 ? j->net[net].layout.held_bytes : 0;

    if (!bytes) return WEFT_OK;
    h->at = aligned_alloc(64, (bytes + 63) / 64 * 64);
    h->told = calloc((size_t)j->setup.plan.net[net].n, sizeof *h->told);
    if (h->at && h->told) return WEFT_OK;
    return weft_fail(WEFT_ENOMEM, "out of memory: %zu bytes kept of a text",
                     bytes);
}

weft_status weft_telling_room(weft_job *j)
{
    const bool worded = j->config.sample.worded;

    j->texts = worded ? j->setup.plan.flights : 1;
    for (int i = 0; i < j->setup.method.nleaves; i++)
        for (int k = 0; k < j->texts; k++)
            WEFT_TRY(make_room(j, i, &j->held[i][k]));
    return worded ? open_library(j) : WEFT_OK;
}

void weft_telling_release(weft_job *j)
{
    for (int i = 0; i < WEFT_LEAVES; i++)
        for (int k = 0; k < WEFT_FLIGHTS; k++) {
            free(j->held[i][k].at);
            free(j->held[i][k].told);
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

weft_status weft_telling_tell(weft_job *j, int i, int flight, const int *image)
{
    const weft_leaf *leaf = &j->setup.method.leaf[i];
    const int net = j->setup.net_of[i];
    const weft_graph *g = j->setup.plan.net[net].graph;
    weft_held *h = held_of(j, i, flight);
    weft_run run = weft_job_run(j, net);
    bool same = true;

    if (!h->at) return WEFT_OK;
    run.held = h->at;
    for (int k = 0; k < j->setup.plan.net[net].n; k++) {
        const weft_reading *r;

        WEFT_TRY(find(j, i, k, image, &r));
        if (r->serial == h->told[k]) continue;
        give(g, &run, WEFT_GIVEN_TEXT, k, r->hidden);
        give(g, &run, WEFT_GIVEN_ADDED, k, r->added);
        h->told[k] = r->serial;
        same = false;
    }
    if (same) return WEFT_OK;
    WEFT_TRY(give_guide(j, g, &run, leaf->model, j->setup.plan.net[net].n));
    return weft_graph_prepare(g, &run);
}
