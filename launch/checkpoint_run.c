/* checkpoint_run.c - a checkpoint beside a run: does it fit, what differs, and
 * several in one. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "launch/checkpoint.h"
#include "launch/config.h"
#include "launch/config_check.h"

/* ---- complete images ----------------------------------------------------- */

weft_status weft_checkpoint_done(const weft_checkpoint *c, int n,
                                 unsigned char *done)
{
    const weft_place at = {weft_st_path(c->st), NULL, 0};
    uint64_t *image = NULL;
    weft_status st = WEFT_OK;
    int count = 0;

    memset(done, 0, (size_t)n);
    if (c->done[0]) st = weft_config_seeds(&at, c->done, &image, &count);
    for (int i = 0; i < count && st == WEFT_OK; i++)
        if (image[i] < (uint64_t)n)
            done[image[i]] = 1;
        else
            st = weft_fail(
                WEFT_EINPUT, "%s: says that image %llu of %d is complete",
                weft_st_path(c->st), (unsigned long long)image[i], n);
    free(image);
    return st;
}

/* ---- fit ----------------------------------------------------------------- */

static weft_status misfit(const weft_checkpoint *c, const weft_saved *s,
                          const char *why)
{
    return weft_fail(WEFT_EINPUT, "%s: image %d: %s", weft_st_path(c->st),
                     s->image, why);
}

static weft_status fit_tensors(const weft_checkpoint *c, const weft_saved *s,
                               const weft_checkpoint_fit *fit)
{
    const weft_solver *solver = fit->solver;
    const unsigned keeps = weft_solver_keeps(solver, s->step, s->stage);
    const size_t models = (size_t)solver->models * sizeof(double);

    if (s->x->shape[0] != fit->rows || s->x->shape[1] != fit->columns ||
        s->x->shape[2] != fit->channels)
        return misfit(c, s, "its latent is not as large as the model's");
    for (int b = 0; b < WEFT_KEPT; b++)
        if (!s->kept[b] != !(keeps & 1u << b))
            return misfit(c, s, "it has not the buffers that its solver needs");
    if (s->density ? s->density->bytes != models : models != 0)
        return misfit(c, s, "it has not the log-densities of its models");
    return WEFT_OK;
}

/* The stages before that of an image; those of a step count alike in all
 * steps of a run that were planned. */
static weft_status fit_place(const weft_checkpoint *c, weft_saved *s,
                             const weft_checkpoint_fit *fit)
{
    const weft_solver *solver = fit->solver;
    uint32_t least, most;

    if (s->image >= fit->images)
        return misfit(c, s, "there are not so many images");
    if (s->step < solver->first || s->step > solver->steps ||
        s->stage >=
            (s->step < solver->steps ? weft_solver_stages(solver, s->step) : 1))
        return misfit(c, s, "there are not so many steps");
    weft_solver_drawn(solver, s->step, s->stage, &least, &most);
    if (s->draws < least || s->draws > most)
        return misfit(c, s, "its noise is not at that step");
    s->at = s->stage;
    for (int i = solver->first; i < s->step; i++)
        s->at += weft_solver_stages(solver, i);
    return WEFT_OK;
}

weft_status weft_checkpoint_fits(const weft_checkpoint *c,
                                 const weft_checkpoint_fit *fit)
{
    for (int i = 0; i < c->n; i++) {
        WEFT_TRY(fit_place(c, &c->item[i], fit));
        WEFT_TRY(fit_tensors(c, &c->item[i], fit));
    }
    return WEFT_OK;
}

/* ---- identities ---------------------------------------------------------- */

enum { DEPTH = 8, PATH = 256, SHOWN = 80 };

static weft_status differ(const char *path, const json_t *was, const json_t *is)
{
    char *old = was ? json_dumps(was, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *new = is ? json_dumps(is, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

    weft_fail(WEFT_EINPUT, "%s was %.*s and is %.*s", path, SHOWN,
              old ? old : "not given", SHOWN, new ? new : "not given");
    free(old);
    free(new);
    return WEFT_EINPUT;
}

static weft_status compare(const char *path, const json_t *was,
                           const json_t *is, int depth);

/* Keys of one of them; those of both were compared before. */
static weft_status compare_keys(const char *path, const json_t *one,
                                const json_t *other, bool swapped, int depth)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)one, key, v)
    {
        const json_t *w = json_object_get(other, key);
        char inner[PATH];

        snprintf(inner, sizeof inner, "%s%s%.64s", path, path[0] ? "." : "",
                 key);
        if (!w)
            return swapped ? differ(inner, NULL, v) : differ(inner, v, NULL);
        if (!swapped) WEFT_TRY(compare(inner, v, w, depth + 1));
    }
    return WEFT_OK;
}

static weft_status compare(const char *path, const json_t *was,
                           const json_t *is, int depth)
{
    if (json_equal(was, is)) return WEFT_OK;
    if (!json_is_object(was) || !json_is_object(is) || depth > DEPTH)
        return differ(path, was, is);
    WEFT_TRY(compare_keys(path, was, is, false, depth));
    return compare_keys(path, is, was, true, depth);
}

weft_status weft_checkpoint_same(const char *was, const char *is)
{
    json_t *old = json_loads(was, 0, NULL), *new = json_loads(is, 0, NULL);
    weft_status st = new ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");

    if (st == WEFT_OK && !json_is_object(old))
        st = weft_fail(WEFT_EINPUT, "what it is of is no JSON object");
    if (st == WEFT_OK) st = compare("", old, new, 0);
    json_decref(old);
    json_decref(new);
    return st;
}

/* ---- several in one ------------------------------------------------------ */

/* What becomes of images: the state of each that is furthest ahead. */
typedef struct merger {
    const weft_checkpoint *from;
    int n, images;
    unsigned char *done;     /* [images] */
    const weft_saved **best; /* [images]; NULL */
    weft_keep *item;         /* [nitems] */
    const weft_saved **source;
    int nitems;
} merger;

static bool is_ahead(const weft_saved *a, const weft_saved *b)
{
    return a->step != b->step ? a->step > b->step : a->stage > b->stage;
}

static weft_status choose(merger *m, unsigned char *done)
{
    for (int k = 0; k < m->n; k++) {
        const weft_checkpoint *c = &m->from[k];

        WEFT_TRY(weft_checkpoint_done(c, m->images, done));
        for (int i = 0; i < m->images; i++) m->done[i] |= done[i];
        for (int i = 0; i < c->n; i++) {
            const weft_saved *s = &c->item[i];

            if (s->image >= m->images)
                return misfit(c, s, "there are not so many images");
            if (!m->best[s->image] || is_ahead(s, m->best[s->image]))
                m->best[s->image] = s;
        }
    }
    return WEFT_OK;
}

static void describe(merger *m)
{
    for (int i = 0; i < m->images; i++) {
        const weft_saved *s = m->best[i];
        weft_keep *k = &m->item[m->nitems];

        if (!s || m->done[i]) continue;
        *k = (weft_keep){
            .image = i, .step = s->step, .stage = s->stage, .draws = s->draws};
        for (int b = 0; b < WEFT_KEPT; b++)
            if (s->kept[b]) k->kept |= 1u << b;
        if (s->density) {
            k->density = s->density->data;
            k->models = (int)(s->density->bytes / sizeof(double));
        }
        m->source[m->nitems++] = s;
    }
}

static weft_status copy(weft_checkpoint_writer *w, int i, const weft_saved *s)
{
    const int rows = (int)s->x->shape[0];

    WEFT_TRY(weft_checkpoint_rows(w, i, -1, 0, rows, s->x->data));
    for (int b = 0; b < WEFT_KEPT; b++)
        if (s->kept[b])
            WEFT_TRY(weft_checkpoint_rows(w, i, b, 0, rows, s->kept[b]->data));
    return WEFT_OK;
}

static weft_status write_all(merger *m, const char *path)
{
    const weft_checkpoint_head head = {.identity = m->from[0].identity,
                                       .weights = m->from[0].weights,
                                       .done = m->done,
                                       .images = m->images};
    const int64_t none[3] = {1, 1, 1};
    const int64_t *shape = m->nitems ? m->source[0]->x->shape : none;
    weft_checkpoint_writer *w;
    weft_status st = WEFT_OK;

    WEFT_TRY(weft_checkpoint_create(path, &head, m->item, m->nitems,
                                    (int)shape[0], (int)shape[1], (int)shape[2],
                                    &w));
    for (int i = 0; i < m->nitems && st == WEFT_OK; i++)
        st = copy(w, i, m->source[i]);
    if (st == WEFT_OK) return weft_checkpoint_finish(w);
    weft_checkpoint_abandon(w);
    return st;
}

static weft_status merge(merger *m, const char *path)
{
    const size_t n = (size_t)m->images;
    unsigned char *done = malloc(n);
    weft_status st;

    m->done = calloc(n, 1);
    m->best = calloc(n, sizeof *m->best);
    m->item = calloc(n, sizeof *m->item);
    m->source = calloc(n, sizeof *m->source);
    st = done && m->done && m->best && m->item && m->source
             ? choose(m, done)
             : weft_fail(WEFT_ENOMEM, "out of memory for %d images", m->images);
    free(done);
    if (st != WEFT_OK) return st;
    describe(m);
    return write_all(m, path);
}

weft_status weft_checkpoint_merge(const weft_checkpoint *from, int n,
                                  int images, const char *path)
{
    merger m = {.from = from, .n = n, .images = images};
    const weft_status st = merge(&m, path);

    free(m.done);
    free(m.best);
    free(m.item);
    free(m.source);
    return st;
}
