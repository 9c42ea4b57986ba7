#include "core/model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/dtype.h"
#include "core/model/listing.h"
#include "core/model/merge.h"

/* ---- finding ------------------------------------------------------------- */

static const weft_st_tensor *find_renamed(const weft_st *st, const char *name,
                                          const char *now, const char *was)
{
    const char *at = strstr(name, now);
    char old[512];

    if (!at) return NULL;
    snprintf(old, sizeof old, "%.*s%s%s", (int)(at - name), name, was,
             at + strlen(now));
    return weft_st_find(st, old);
}

static const weft_st_tensor *find(const weft_st *st, const char *name)
{
    static const char *const renamed[][2] = {{".to_q.", ".query."},
                                             {".to_k.", ".key."},
                                             {".to_v.", ".value."},
                                             {".to_out.0.", ".proj_attn."},
                                             {"text_model.", ""}};
    const weft_st_tensor *t = weft_st_find(st, name);

    for (size_t i = 0; !t && i < sizeof renamed / sizeof *renamed; i++)
        t = find_renamed(st, name, renamed[i][0], renamed[i][1]);
    return t;
}

bool weft_load_type(const weft_st_tensor *t, weft_dtype *type)
{
    static const char *const name[] = {
        [WEFT_F32] = "F32", [WEFT_F16] = "F16", [WEFT_BF16] = "BF16"};

    for (int i = 0; i < 3; i++)
        if (!strcmp(t->dtype, name[i])) {
            *type = (weft_dtype)i;
            return true;
        }
    return false;
}

weft_dtype weft_load_dtype(const weft_st *st)
{
    bool seen[3] = {false, false, false};
    weft_dtype type = WEFT_F32;

    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);
        if (t->ndim > 1 && weft_load_type(t, &type)) seen[type] = true;
    }
    if (seen[WEFT_F16] + seen[WEFT_BF16] + seen[WEFT_F32] != 1) return WEFT_F32;
    return seen[WEFT_F16] ? WEFT_F16 : seen[WEFT_BF16] ? WEFT_BF16 : WEFT_F32;
}

/* ---- checking ------------------------------------------------------------ */

static bool same_shape(const weft_st_tensor *t, const int want[4])
{
    for (int i = 0; i < 4 || i < t->ndim; i++) {
        const int64_t have = i < t->ndim ? t->shape[i] : 1;
        const int64_t need = i < 4 && want[i] ? want[i] : 1;
        if (have != need) return false;
    }
    return true;
}

static void shape_text(char *text, size_t room, const int64_t *shape, int n)
{
    size_t at = 0;

    text[0] = 0;
    for (int i = 0; i < n && at < room; i++)
        at += (size_t)snprintf(text + at, room - at, "%s%lld", i ? "x" : "",
                               (long long)shape[i]);
}

static void list_shape(weft_listing *wrong, const char *name,
                       const weft_st_tensor *t, const int want[4])
{
    char have_text[128], want_text[64];
    int64_t shape[4];
    int n = 0;

    while (n < 4 && want[n]) shape[n] = want[n], n++;
    shape_text(have_text, sizeof have_text, t->shape, t->ndim);
    shape_text(want_text, sizeof want_text, shape, n);
    weft_list(wrong, "%s is %s instead of %s", name,
              t->ndim ? have_text : "a number", want_text);
}

/* Of the first file that has any. */
typedef struct faults {
    const char *path; /* NULL: there are none */
    weft_listing missing, wrong;
} faults;

static const weft_st_tensor *check(const weft_st *st, const weft_weight *w,
                                   int i, faults *f)
{
    const weft_st_tensor *t = find(st, w->name[i]);
    const char *name = t ? t->name : w->name[i], *path;
    weft_dtype type;
    const bool typed = t && weft_load_type(t, &type);

    if (typed && same_shape(t, w->shape[i])) return t;
    path = weft_st_home(st, &name);
    if (!f->path) f->path = path;
    if (f->path != path) return t;
    if (!t)
        weft_list(&f->missing, "%s", name);
    else if (!typed)
        weft_list(&f->wrong, "%s is %s instead of F32, F16 or BF16", name,
                  t->dtype);
    else
        list_shape(&f->wrong, name, t, w->shape[i]);
    return t;
}

static int by_address(const void *a, const void *b)
{
    const weft_st_tensor *const *x = a, *const *y = b;

    return *x < *y ? -1 : *x > *y;
}

static size_t sum_up(const weft_st_tensor **used, int n)
{
    size_t bytes = 0;

    qsort(used, (size_t)n, sizeof *used, by_address);
    for (int i = 0; i < n; i++)
        if (!i || used[i] != used[i - 1]) bytes += used[i]->bytes;
    return bytes;
}

static weft_status complain(const faults *f)
{
    const weft_listing *missing = &f->missing, *wrong = &f->wrong;
    char more_missing[WEFT_LISTING_REST], more_wrong[WEFT_LISTING_REST];

    weft_listing_rest(missing, more_missing);
    weft_listing_rest(wrong, more_wrong);
    if (!missing->n)
        return weft_fail(WEFT_EINPUT, "%s: does not fit the net: %s%s", f->path,
                         wrong->text, more_wrong);
    return weft_fail(WEFT_EINPUT, "%s: %d tensor%s missing: %s%s%s%s%s",
                     f->path, missing->n, missing->n == 1 ? "" : "s",
                     missing->text, more_missing, wrong->n ? "; " : "",
                     wrong->text, more_wrong);
}

weft_status weft_load_check(const weft_graph *g, const weft_st *st,
                            size_t *bytes)
{
    const size_t most = (size_t)g->nweights * WEFT_MAX_SOURCES;
    const weft_st_tensor **used = malloc((most + 1) * sizeof *used);
    faults f = {.path = NULL};
    int n = 0;

    if (!used) return weft_fail(WEFT_ENOMEM, "out of memory for weights");
    for (int i = 0; i < g->nweights; i++)
        for (int k = 0; k < g->weight[i].nsrc; k++)
            used[n++] = check(st, &g->weight[i], k, &f);
    if (bytes && !f.path) *bytes = sum_up(used, n);
    free(used);
    return f.path ? complain(&f) : WEFT_OK;
}

static bool is_besides(const char *name, const char *const *besides)
{
    if (strstr(name, "position_ids")) return true;
    for (; *besides; besides++)
        if (strstr(name, *besides)) return true;
    return false;
}

weft_status weft_load_unused(const weft_graph *g, const weft_st *st,
                             const char *const *besides, weft_load_rest *rest)
{
    const size_t most = (size_t)g->nweights * WEFT_MAX_SOURCES;
    const weft_st_tensor **used = malloc((most + 1) * sizeof *used);
    size_t n = 0;

    *rest = (weft_load_rest){.n = 0};
    if (!used) return weft_fail(WEFT_ENOMEM, "out of memory for weights");
    for (int i = 0; i < g->nweights; i++)
        for (int k = 0; k < g->weight[i].nsrc; k++)
            used[n++] = find(st, g->weight[i].name[k]);
    qsort(used, n, sizeof *used, by_address);
    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);

        if (is_besides(t->name, besides) ||
            bsearch(&t, used, n, sizeof *used, by_address))
            continue;
        if (!rest->n++) rest->first = t->name;
    }
    free(used);
    return WEFT_OK;
}

/* ---- packing ------------------------------------------------------------- */

enum {
    PIECE = 1 << 20,  /* packed bytes that one worker takes at a time */
    STRIDE = 16 << 20 /* ... after which the pages read are given back */
};

/* Part `part` of `parts` of a weight. */
typedef struct piece {
    int weight, part, parts;
    size_t bytes;
} piece;

typedef struct packing {
    const weft_graph *g;
    const weft_device *dev;
    const weft_layout *layout;
    const weft_st *st;
    char *dst;
    piece *piece;
    float **merged; /* [nweights][WEFT_MAX_SOURCES]: while they are wanted */
} packing;

/* 0 where another net packs it. */
static size_t packed_bytes(const packing *p, int i)
{
    return weft_graph_is_first(p->g, i)
               ? weft_weight_bytes(&p->g->weight[i], p->dev)
               : 0;
}

static int pieces_of(const packing *p, int i)
{
    if (!packed_bytes(p, i)) return 0;
    if (p->g->weight[i].kind == WEFT_WEIGHT_FLOAT) return 1;
    return (int)(packed_bytes(p, i) / PIECE) + 1;
}

/* The pieces of part `part`, in order; returns how many. */
static int deal(packing *p, int part, int nparts)
{
    size_t total = 0, before = 0;
    int n = 0;

    for (int i = 0; i < p->g->nweights; i++) total += packed_bytes(p, i);
    for (int i = 0; i < p->g->nweights; i++) {
        const int parts = pieces_of(p, i);
        const size_t bytes = parts ? packed_bytes(p, i) / (size_t)parts : 0;

        for (int k = 0; k < parts; k++, before += bytes)
            if (before * (size_t)nparts / total == (size_t)part)
                p->piece[n++] = (piece){i, k, parts, bytes};
    }
    return n;
}

static weft_source source(const packing *p, const weft_weight *w, int i)
{
    const weft_st_tensor *t = find(p->st, w->name[i]);
    const int parts = w->parts ? w->parts : 1;
    weft_source s = {.cout = w->shape[i][0] / parts};

    WEFT_MUST(t && weft_load_type(t, &s.type));
    s.data = (const char *)t->data + t->bytes / (size_t)parts * (size_t)w->part;
    return s;
}

static float **merged_at(const packing *p, int weight, int source)
{
    return &p->merged[weight * WEFT_MAX_SOURCES + source];
}

static weft_source merged_source(const packing *p, int weight, int i)
{
    weft_source s = source(p, &p->g->weight[weight], i);
    const float *merged = *merged_at(p, weight, i);

    if (merged) s = (weft_source){merged, WEFT_F32, s.cout};
    return s;
}

/* What a weight is packed from; returns how many. */
static int sources(const packing *p, int weight, weft_source *src)
{
    const weft_weight *w = &p->g->weight[weight];

    if (w->thin != WEFT_NOT_THIN) {
        *src = (weft_source){*merged_at(p, weight, 0), WEFT_F32, w->conv.cout};
        return 1;
    }
    for (int k = 0; k < w->nsrc; k++) src[k] = merged_source(p, weight, k);
    return w->nsrc;
}

/* What something is added to is made beforehand, a weight at a time. */
static weft_status merge(packing *p, int weight, weft_pool *pool)
{
    const weft_weight *w = &p->g->weight[weight];

    if (w->thin != WEFT_NOT_THIN && !*merged_at(p, weight, 0))
        return weft_merge_thin(&p->g->weight[w->of], w->thin,
                               merged_at(p, weight, 0));
    for (int i = 0; i < w->nsrc; i++) {
        const weft_source base = source(p, w, i);
        float **merged = merged_at(p, weight, i);

        if (!*merged && weft_merge_wants(w, i))
            WEFT_TRY(weft_merge(w, i, &base, pool, merged));
    }
    return WEFT_OK;
}

static void forget_merged(packing *p, int weight)
{
    for (int i = 0; i < WEFT_MAX_SOURCES; i++) {
        free(*merged_at(p, weight, i));
        *merged_at(p, weight, i) = NULL;
    }
}

static void pack_floats(const packing *p, const weft_weight *w, float *out)
{
    if (!w->nsrc) {
        memcpy(out, w->constant, w->count * sizeof *out);
        return;
    }
    for (int i = 0; i < w->nsrc; i++) {
        const weft_source s = source(p, w, i);
        const size_t count = w->count / (size_t)w->nsrc;

        for (size_t k = 0; k < count; k++)
            *out++ = weft_dtype_load(s.type, s.data, k);
    }
}

/* Part of a table, in the type of the file or, where its tensors differ, as
 * float. */
static void pack_table(const packing *p, const weft_weight *w, int part,
                       int parts, char *out)
{
    const weft_source s = source(p, w, 0);
    const size_t first = w->count * (size_t)part / (size_t)parts;
    const size_t end = w->count * ((size_t)part + 1) / (size_t)parts;
    const size_t size = weft_dtype_size(w->type);
    float *floats = (float *)(void *)out;

    if (s.type == w->type) {
        memcpy(out + first * size, (const char *)s.data + first * size,
               (end - first) * size);
        return;
    }
    WEFT_MUST(w->type == WEFT_F32);
    for (size_t k = first; k < end; k++)
        floats[k] = weft_dtype_load(s.type, s.data, k);
}

static void pack_piece(void *arg, int i, int worker)
{
    const packing *p = arg;
    const piece *x = &p->piece[i];
    const weft_weight *w = &p->g->weight[x->weight];
    char *out = p->dst + p->layout->weight[x->weight];
    weft_source src[WEFT_MAX_SOURCES];
    int n;

    (void)worker;
    if (w->kind == WEFT_WEIGHT_FLOAT) {
        pack_floats(p, w, (float *)out);
        return;
    }
    if (w->kind == WEFT_WEIGHT_TABLE) {
        pack_table(p, w, x->part, x->parts, out);
        return;
    }
    n = sources(p, x->weight, src);
    p->dev->weight_pack(&w->conv, src, n, out, x->part, x->parts);
}

static void drop(const packing *p, int weight)
{
    const weft_weight *w = &p->g->weight[weight];

    for (int k = 0; k < w->nsrc; k++)
        weft_st_drop(p->st, find(p->st, w->name[k]));
}

/* Piece i is the first of its weight. */
static bool begins(const packing *p, int i)
{
    return !i || p->piece[i].weight != p->piece[i - 1].weight;
}

/* A stretch of pieces: packed by all workers, then their pages dropped.
 * `more`: the next one begins within the last weight. */
static weft_status pack_stretch(packing *p, int n, bool more, weft_pool *pool)
{
    for (int i = 0; i < n; i++)
        if (begins(p, i)) WEFT_TRY(merge(p, p->piece[i].weight, pool));
    if (pool)
        weft_pool_run(pool, n, pack_piece, p);
    else
        for (int i = 0; i < n; i++) pack_piece(p, i, 0);
    for (int i = 0; i < n; i++) {
        const int weight = p->piece[i].weight;

        if (!begins(p, i)) continue;
        drop(p, weight);
        if (!more || weight != p->piece[n - 1].weight) forget_merged(p, weight);
    }
    return WEFT_OK;
}

static weft_status pack_all(packing *p, int n, weft_pool *pool)
{
    piece *const all = p->piece;

    for (int i = 0; i < n;) {
        size_t bytes = 0;
        int k = i;

        while (k < n && bytes < STRIDE) bytes += all[k++].bytes;
        p->piece = all + i;
        WEFT_TRY(pack_stretch(
            p, k - i, k < n && all[k].weight == all[k - 1].weight, pool));
        i = k;
    }
    return WEFT_OK;
}

weft_status weft_load_pack(const weft_graph *g, const weft_device *dev,
                           const weft_layout *layout, const weft_st *st,
                           void *dst, int part, int nparts, weft_pool *pool)
{
    const size_t tensors = (size_t)g->nweights * WEFT_MAX_SOURCES;
    packing p = {g, dev, layout, st, dst, NULL, NULL};
    weft_status status = WEFT_OK;
    piece *all;
    size_t most = 0;

    WEFT_MUST(part >= 0 && part < nparts);
    for (int i = 0; i < g->nweights; i++) most += (size_t)pieces_of(&p, i);
    p.piece = all = malloc((most + 1) * sizeof *all);
    p.merged = calloc(tensors + 1, sizeof *p.merged);
    if (!all || !p.merged)
        status = weft_fail(WEFT_ENOMEM, "out of memory for weights");
    else
        status = pack_all(&p, deal(&p, part, nparts), pool);
    for (int i = 0; p.merged && i < g->nweights; i++) forget_merged(&p, i);
    free(p.merged);
    free(all);
    return status;
}
