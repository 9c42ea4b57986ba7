#include "core/model/lora.h"

#include <stdlib.h>
#include <string.h>

#include "core/io/path.h"
#include "core/model/component.h"
#include "core/model/load.h"
#include "core/model/lora_module.h"

enum { MOST_RANK = 1 << 16 };

/* ---- reading ------------------------------------------------------------- */

/* The order of modules: by part, then by key. */
static int by_key(const void *a, const void *b)
{
    const weft_lora_module *x = a, *y = b;

    return x->part != y->part ? (int)x->part - (int)y->part
                              : strcmp(x->key, y->key);
}

/* One module for each tensor, with that tensor alone. */
static weft_status read_names(weft_lora *l)
{
    const int n = weft_st_count(l->st);

    l->module = calloc((size_t)n + 1, sizeof *l->module);
    if (!l->module) return weft_fail(WEFT_ENOMEM, "out of memory for a LoRA");
    for (; l->n < n; l->n++) {
        weft_lora_module *m = &l->module[l->n];
        const weft_st_tensor *t = weft_st_at(l->st, l->n);
        weft_lora_name name;

        WEFT_TRY(weft_lora_read_name(weft_st_path(l->st), t->name, &name));
        m->part = name.part;
        m->tensor[name.role] = t;
        m->key = strdup(name.key);
        m->name = strdup(name.module);
        if (m->key && m->name) continue;
        l->n++;
        return weft_fail(WEFT_ENOMEM, "out of memory for a LoRA");
    }
    return WEFT_OK;
}

static void release_module(weft_lora_module *m)
{
    free(m->key);
    free(m->name);
}

/* Put the tensors of one module together. */
static weft_status join(const weft_lora *l, weft_lora_module *to,
                        const weft_lora_module *from)
{
    for (int i = 0; i < WEFT_LORA_ROLES; i++) {
        if (!from->tensor[i]) continue;
        if (to->tensor[i])
            return weft_fail(WEFT_EINPUT, "%s: %.200s and %.200s are the same",
                             weft_st_path(l->st), to->tensor[i]->name,
                             from->tensor[i]->name);
        to->tensor[i] = from->tensor[i];
    }
    return WEFT_OK;
}

static weft_status join_all(weft_lora *l)
{
    weft_status st = WEFT_OK;
    int n = 0;

    qsort(l->module, (size_t)l->n, sizeof *l->module, by_key);
    for (int i = 0; i < l->n; i++) {
        weft_lora_module *m = &l->module[i];

        if (!n || by_key(&l->module[n - 1], m) != 0) {
            l->module[n++] = *m;
            continue;
        }
        if (st == WEFT_OK) st = join(l, &l->module[n - 1], m);
        release_module(m);
    }
    l->n = n;
    return st;
}

/* ---- checking ------------------------------------------------------------ */

int64_t weft_lora_dimension(const weft_st_tensor *t, int i)
{
    return i < t->ndim ? t->shape[i] : 1;
}

/* A matrix, or a convolution whose kernel is that. */
static bool is_matrix(const weft_st_tensor *t)
{
    weft_dtype type;

    return (t->ndim == 2 || t->ndim == 4) && weft_load_type(t, &type) &&
           t->bytes > 0;
}

static weft_status check_pair(const weft_lora *l, weft_lora_module *m)
{
    const weft_st_tensor *up = m->tensor[WEFT_LORA_UP];
    const weft_st_tensor *down = m->tensor[WEFT_LORA_DOWN];
    const char *file = weft_st_path(l->st);

    if (!up || !down)
        return weft_fail(WEFT_EINPUT, "%s: %.200s has no %s matrix", file,
                         m->name, up ? "down (A)" : "up (B)");
    if (!is_matrix(up) || !is_matrix(down) || weft_lora_dimension(up, 2) != 1 ||
        weft_lora_dimension(up, 3) != 1)
        return weft_fail(WEFT_EINPUT,
                         "%s: %.200s: expected two matrices of F32, F16 or "
                         "BF16",
                         file, m->name);
    if (up->shape[1] != down->shape[0] || down->shape[0] > MOST_RANK)
        return weft_fail(
            WEFT_EINPUT, "%s: %.200s: ranks %lld and %lld of its two matrices",
            file, m->name, (long long)up->shape[1], (long long)down->shape[0]);
    m->rank = (int)down->shape[0];
    return WEFT_OK;
}

static weft_status check_modules(weft_lora *l)
{
    if (!l->n)
        return weft_fail(WEFT_EINPUT, "%s: has no tensors",
                         weft_st_path(l->st));
    for (int i = 0; i < l->n; i++) WEFT_TRY(check_pair(l, &l->module[i]));
    return weft_lora_read_scales(l);
}

/* ---- opening ------------------------------------------------------------- */

static weft_status open_file(const char *path, weft_st **st)
{
    static const char *const name[] = {"adapter_model.safetensors",
                                       "pytorch_lora_weights.safetensors"};
    char file[WEFT_PATH];

    if (!weft_path_is_folder(path)) {
        WEFT_TRY(weft_component_check_file(path));
        return weft_st_open(path, st);
    }
    for (int i = 0; i < 2; i++) {
        WEFT_TRY(weft_path_join(path, name[i], file, sizeof file));
        if (weft_path_is_file(file)) return weft_st_open(file, st);
    }
    return weft_fail(WEFT_EINPUT, "%s: has neither %s nor %s", path, name[0],
                     name[1]);
}

weft_status weft_lora_open(const char *path, weft_lora **lora)
{
    weft_lora *l = calloc(1, sizeof *l);
    weft_status st;

    if (!l) return weft_fail(WEFT_ENOMEM, "out of memory for a LoRA");
    st = open_file(path, &l->st);
    if (st == WEFT_OK) st = read_names(l);
    if (st == WEFT_OK) st = join_all(l);
    if (st == WEFT_OK) st = check_modules(l);
    if (st == WEFT_OK)
        *lora = l;
    else
        weft_lora_close(l);
    return st;
}

void weft_lora_close(weft_lora *l)
{
    if (!l) return;
    for (int i = 0; i < l->n; i++) release_module(&l->module[i]);
    free(l->module);
    weft_st_close(l->st);
    free(l);
}

int weft_lora_count(const weft_lora *l, weft_lora_part part)
{
    int n = 0;

    for (int i = 0; i < l->n; i++) n += l->module[i].part == part;
    return n;
}

void weft_lora_ranks(const weft_lora *l, int *least, int *most)
{
    *least = *most = l->module[0].rank;
    for (int i = 1; i < l->n; i++) {
        const int rank = l->module[i].rank;

        if (rank < *least) *least = rank;
        if (rank > *most) *most = rank;
    }
}

bool weft_lora_is(const weft_st *st)
{
    weft_lora_name name;

    for (int i = 0; i < weft_st_count(st); i++)
        if (weft_lora_read_name(weft_st_path(st), weft_st_at(st, i)->name,
                                &name) == WEFT_OK &&
            name.role != WEFT_LORA_ALPHA)
            return true;
    return false;
}

const weft_st *weft_lora_file(const weft_lora *l) { return l->st; }
