/* lora_apply.c - which module of a LoRA belongs to which weight of a net. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/listing.h"
#include "core/model/load.h"
#include "core/model/lora_module.h"

/* A module of the file by its key in diffusers' layout. */
typedef struct known {
    char key[WEFT_LORA_NAME];
    const weft_lora_module *module;
    bool original, used;
} known;

/* One file, applied to one net. */
typedef struct applying {
    const weft_lora *l;
    weft_lora_part part;
    float scale;
    const weft_st *st;
    weft_graph *g;
    known *known; /* [n], by key */
    int n;
    weft_listing wrong;
} applying;

/* ---- finding ------------------------------------------------------------- */

/* Of two alike the one that was not renamed comes first. */
static int by_key(const void *a, const void *b)
{
    const known *x = a, *y = b;
    const int order = strcmp(x->key, y->key);

    return order ? order : x->original - y->original;
}

static weft_status list_known(applying *a)
{
    const int blocks = weft_lora_blocks(a->g);

    a->known = calloc((size_t)a->l->n + 1, sizeof *a->known);
    if (!a->known) return weft_fail(WEFT_ENOMEM, "out of memory for a LoRA");
    for (int i = 0; i < a->l->n; i++) {
        const weft_lora_module *m = &a->l->module[i];
        known *k = &a->known[a->n];

        if (m->part != a->part) continue;
        k->module = m;
        snprintf(k->key, sizeof k->key, "%s", m->key);
        k->original = m->part == WEFT_LORA_UNET &&
                      weft_lora_from_original(blocks, k->key);
        a->n++;
    }
    qsort(a->known, (size_t)a->n, sizeof *a->known, by_key);
    return WEFT_OK;
}

/* Files with both layouts have the same twice. */
static const weft_lora_module *find(applying *a, const char *key)
{
    int low = 0, high = a->n;

    while (low < high) {
        const int middle = (low + high) / 2;

        if (strcmp(a->known[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    high = low;
    while (high < a->n && !strcmp(a->known[high].key, key))
        a->known[high++].used = true;
    return low < high ? a->known[low].module : NULL;
}

/* Bytes of the module's name in that of its weight; 0 where it is no weight. */
static size_t module_bytes(const char *weight)
{
    const size_t n = strlen(weight), m = strlen(".weight");

    return n > m && !strcmp(weight + n - m, ".weight") ? n - m : 0;
}

/* What the file has for a tensor. */
static const weft_lora_module *find_for(applying *a, const char *weight)
{
    const size_t bytes = module_bytes(weight);
    char key[WEFT_LORA_NAME];

    if (!bytes) return NULL;
    weft_lora_key(weight, bytes, key);
    return find(a, key);
}

/* ---- applying ------------------------------------------------------------ */

static bool fits(const weft_lora_module *m, const int shape[4])
{
    if (m->tensor[WEFT_LORA_UP]->shape[0] != shape[0]) return false;
    for (int i = 1; i < 4; i++)
        if (weft_lora_dimension(m->tensor[WEFT_LORA_DOWN], i) !=
            (shape[i] ? shape[i] : 1))
            return false;
    return true;
}

static void list_shape(applying *a, const weft_lora_module *m,
                       const char *weight, const int shape[4])
{
    weft_list(&a->wrong, "%.120s is for %lld x %lld, %.120s is %d x %d",
              m->name, (long long)m->tensor[WEFT_LORA_UP]->shape[0],
              (long long)m->tensor[WEFT_LORA_DOWN]->shape[1], weight, shape[0],
              shape[1]);
}

static weft_status add(applying *a, int weight, int source,
                       const weft_lora_module *m)
{
    const weft_st_tensor *up = m->tensor[WEFT_LORA_UP];
    const weft_st_tensor *down = m->tensor[WEFT_LORA_DOWN];
    weft_low_rank t = {.source = source,
                       .rank = m->rank,
                       .scale = (float)(a->scale * m->scale),
                       .up = up->data,
                       .down = down->data,
                       .file = weft_st_path(a->l->st),
                       .up_name = up->name,
                       .down_name = down->name};

    WEFT_MUST(weft_load_type(up, &t.up_type));
    WEFT_MUST(weft_load_type(down, &t.down_type));
    return weft_graph_add_to(a->g, weight, &t);
}

static weft_status apply_to(applying *a, int weight)
{
    const weft_weight *w = &a->g->weight[weight];

    for (int i = 0; i < w->nsrc; i++) {
        const weft_lora_module *m = find_for(a, w->name[i]);

        if (!m) continue;
        if (w->kind != WEFT_WEIGHT_CONV)
            return weft_fail(WEFT_EINPUT,
                             "%s: %.200s is neither a linear layer nor a "
                             "convolution",
                             weft_st_path(a->l->st), m->name);
        if (fits(m, w->shape[i]))
            WEFT_TRY(add(a, weight, i, m));
        else
            list_shape(a, m, w->name[i], w->shape[i]);
    }
    return WEFT_OK;
}

/* ---- what was not found -------------------------------------------------- */

/* Levenshtein's, of the first bytes. */
static int distance(const char *a, const char *b)
{
    enum { MOST = 160 };
    const int na = (int)strnlen(a, MOST), nb = (int)strnlen(b, MOST);
    int row[MOST + 1];

    for (int j = 0; j <= nb; j++) row[j] = j;
    for (int i = 1; i <= na; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            const int change = diagonal + (a[i - 1] != b[j - 1]);
            const int shift = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);

            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[nb];
}

/* The key of a module of the net that comes nearest. */
static void find_nearest(const applying *a, const char *key,
                         char nearest[WEFT_LORA_NAME])
{
    int least = WEFT_LORA_NAME, d;
    char other[WEFT_LORA_NAME];

    nearest[0] = 0;
    for (int i = 0; i < a->g->nweights; i++)
        for (int k = 0; k < a->g->weight[i].nsrc; k++) {
            const char *name = a->g->weight[i].name[k];
            const size_t bytes = module_bytes(name);

            if (!bytes || a->g->weight[i].kind != WEFT_WEIGHT_CONV) continue;
            weft_lora_key(name, bytes, other);
            d = distance(key, other);
            if (d >= least) continue;
            least = d;
            memcpy(nearest, other, sizeof other);
        }
}

/* Whether the net's file has a layer that the graph leaves out, as clip skip
 * does; its names may have something before them. */
static bool left_out(const applying *a, const char *key)
{
    const size_t n = strlen(key);
    char other[WEFT_LORA_NAME];

    for (int i = 0; i < weft_st_count(a->st); i++) {
        const char *name = weft_st_at(a->st, i)->name;
        size_t m = module_bytes(name);

        if (!m) continue;
        weft_lora_key(name, m, other);
        m = strlen(other);
        if (m < n || strcmp(other + m - n, key) != 0) continue;
        if (m == n || other[m - n - 1] == '_') return true;
    }
    return false;
}

static weft_status complain_missing(const applying *a,
                                    const weft_listing *missing,
                                    const char *first)
{
    char more[WEFT_LISTING_REST], nearest[WEFT_LORA_NAME];

    weft_listing_rest(missing, more);
    find_nearest(a, first, nearest);
    return weft_fail(WEFT_EINPUT,
                     "%s: of %d layers %d are not in the %s: %s%s; nearest to "
                     "the first is %s. Was it made for another base?",
                     weft_st_path(a->l->st), a->n, missing->n,
                     weft_lora_part_name[a->part], missing->text, more,
                     nearest);
}

static weft_status check_used(const applying *a)
{
    weft_listing missing = {0};
    const char *first = NULL;

    for (int i = 0; i < a->n; i++) {
        const known *k = &a->known[i];

        if (k->used || left_out(a, k->key)) continue;
        if (!first) first = k->key;
        weft_list(&missing, "%.200s", k->module->name);
    }
    return first ? complain_missing(a, &missing, first) : WEFT_OK;
}

static weft_status check_shapes(const applying *a)
{
    char more[WEFT_LISTING_REST];

    if (!a->wrong.n) return WEFT_OK;
    weft_listing_rest(&a->wrong, more);
    return weft_fail(WEFT_EINPUT,
                     "%s: does not fit the %s: %s%s. Was it made for another "
                     "base?",
                     weft_st_path(a->l->st), weft_lora_part_name[a->part],
                     a->wrong.text, more);
}

weft_status weft_lora_apply(const weft_lora *l, weft_lora_part part,
                            float scale, const weft_st *st, weft_graph *g)
{
    applying a = {.l = l, .part = part, .scale = scale, .st = st, .g = g};
    weft_status status;

    status = list_known(&a);
    for (int i = 0; i < g->nweights && status == WEFT_OK; i++)
        status = apply_to(&a, i);
    if (status == WEFT_OK) status = check_used(&a);
    if (status == WEFT_OK) status = check_shapes(&a);
    free(a.known);
    return status;
}
