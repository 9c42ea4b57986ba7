#include "launch/share.h"

#include <stdlib.h>
#include <string.h>

#include "partition/split.h"

/* ---- what is left -------------------------------------------------------- */

static int by_progress(const void *a, const void *b)
{
    const weft_saved *x = *(const weft_saved *const *)a;
    const weft_saved *y = *(const weft_saved *const *)b;

    if (x->at != y->at) return x->at > y->at ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* All images that are left: those in flight, then the others. Fills in `done`,
 * [images], as it goes. */
static void list_all(int images, const weft_checkpoint *from,
                     unsigned char *done, weft_share *w)
{
    for (int i = 0; from && i < from->n; i++) {
        const weft_saved *s = &from->item[i];

        if (done[s->image]) continue;
        w->saved[w->nsaved++] = s;
        done[s->image] = 1;
    }
    if (w->nsaved)
        qsort(w->saved, (size_t)w->nsaved, sizeof *w->saved, by_progress);
    for (w->n = 0; w->n < w->nsaved; w->n++)
        w->image[w->n] = w->saved[w->n]->image;
    for (int i = 0; i < images; i++)
        if (!done[i]) w->image[w->n++] = i;
}

static int larger(int a, int b) { return a > b ? a : b; }

/* Of all of it, the part of one group. */
static void keep_part(weft_share *w, int groups, int group)
{
    const int from = weft_share_first(w->n, groups, group);
    const int to = weft_share_first(w->n, groups, group + 1);
    const int saved = larger(0, w->nsaved - from);

    memmove(w->image, w->image + from, (size_t)(to - from) * sizeof *w->image);
    if (saved)
        memmove(w->saved, w->saved + from, (size_t)saved * sizeof *w->saved);
    w->n = to - from;
    w->nsaved = saved < w->n ? saved : w->n;
}

/* ---- batches ------------------------------------------------------------- */

static int stage_of(const weft_share *w, int i)
{
    return i < w->nsaved ? w->saved[i]->at : -1;
}

static void make_batches(weft_share *w, int batch)
{
    for (int i = 0; i < w->n; i++) {
        const int last = w->nbatches ? w->first[w->nbatches - 1] : 0;

        if (w->nbatches && i - last < batch &&
            stage_of(w, i) == stage_of(w, last))
            continue;
        if (i < w->nsaved) w->begin[w->nbegun++] = stage_of(w, i);
        w->first[w->nbatches++] = i;
    }
    w->first[w->nbatches] = w->n;
}

static weft_status make(int n, const weft_checkpoint *from, unsigned char *done,
                        weft_share *w)
{
    const size_t images = (size_t)n, saved = from ? (size_t)from->n : 0;

    w->image = malloc((images + 1) * sizeof *w->image);
    w->saved = calloc(saved + 1, sizeof *w->saved);
    w->first = malloc((images + 1) * sizeof *w->first);
    w->begin = calloc(saved + 1, sizeof *w->begin);
    if (!w->image || !w->saved || !w->first || !w->begin)
        return weft_fail(WEFT_ENOMEM, "out of memory for %d images", n);
    list_all(n, from, done, w);
    return WEFT_OK;
}

weft_status weft_share_make(const weft_plan *p, const weft_checkpoint *from,
                            int group, weft_share *w)
{
    unsigned char *done = calloc((size_t)p->images, 1);
    weft_status st = done ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");

    memset(w, 0, sizeof *w);
    if (st == WEFT_OK && from) st = weft_checkpoint_done(from, p->images, done);
    if (st == WEFT_OK) st = make(p->images, from, done, w);
    free(done);
    if (st != WEFT_OK) {
        weft_share_release(w);
        return st;
    }
    keep_part(w, p->grid.groups, group);
    make_batches(w, p->batch);
    return WEFT_OK;
}

weft_status weft_share_left(int images, int batch, const weft_checkpoint *from,
                            const unsigned char *done, weft_share *w)
{
    unsigned char *copy = malloc((size_t)images + 1);
    weft_status st = copy ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");

    memset(w, 0, sizeof *w);
    if (copy) memcpy(copy, done, (size_t)images);
    if (st == WEFT_OK) st = make(images, from, copy, w);
    free(copy);
    if (st != WEFT_OK) {
        weft_share_release(w);
        return st;
    }
    make_batches(w, batch);
    return WEFT_OK;
}

void weft_share_release(weft_share *w)
{
    free(w->image);
    free(w->saved);
    free(w->first);
    free(w->begin);
    memset(w, 0, sizeof *w);
}
