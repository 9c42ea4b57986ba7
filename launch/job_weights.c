/*
 * Packed weights: made once by all who share them, taken over from another job,
 * given back.
 */
#include <string.h>

#include "core/model/load.h"
#include "launch/job.h"
#include "mpi/watch.h"

/* ---- packing ------------------------------------------------------------- */

/* What file i has and none of its kin before it. */
static weft_status pack(weft_job *j, int i)
{
    const weft_netfile *f = &j->setup.models.file[i];
    const weft_job_weights *w = &j->weights[j->setup.models.head[i]];
    weft_layout l = {0};
    weft_status st = weft_layout_weights(&f->graph, j->setup.dev, &l);

    if (st == WEFT_OK)
        st = weft_load_pack(
            &f->graph, j->setup.dev, &l, f->st, weft_window_base(w->packed),
            weft_comm_rank(w->sharers), weft_comm_size(w->sharers), j->pool);
    weft_layout_release(&l);
    return st;
}

/* Collective over the job: memory for file i and its kin. */
static weft_status open_window(weft_job *j, int i)
{
    weft_job_weights *w = &j->weights[i];
    weft_layout l = {0};
    weft_status st = WEFT_OK;

    if (w->mine)
        st = weft_layout_weights(&j->setup.models.file[i].graph, j->setup.dev,
                                 &l);
    st = weft_comm_agree(j->world, st);
    if (st == WEFT_OK && w->mine)
        st = weft_window_create(w->sharers, l.weight_bytes, &w->packed);
    if (st == WEFT_OK && w->mine) weft_job_count_packed(j, l.weight_bytes);
    w->bytes = l.weight_bytes;
    weft_layout_release(&l);
    return weft_comm_agree(j->world, st);
}

/* Of all files whose weights lie together, once. */
static void tell_spare(weft_job_weights *w, const weft_models *m, int head)
{
    char about[WEFT_PATH + 16];

    for (int i = 0; i < m->nfiles && !w->told; i++) {
        if (m->head[i] != head) continue;
        snprintf(about, sizeof about, "weft: %.4000s: ", m->path[i]);
        weft_spare_print(&m->file[i].spare, about, stderr);
    }
    w->told = true;
}

void weft_job_count_packed(weft_job *j, size_t bytes)
{
    j->packed += bytes;
    if (j->packed > j->packed_most) j->packed_most = j->packed;
}

weft_status weft_job_load(weft_job *j, int file)
{
    const weft_models *m = &j->setup.models;
    const int head = m->head[file];
    weft_job_weights *w = &j->weights[head];
    weft_status st = WEFT_OK;

    if (w->loaded) return WEFT_OK;
    w->loaded = true;
    if (weft_comm_rank(j->world) == 0) tell_spare(w, m, head);
    weft_watch_at("loading", 0, 0);
    WEFT_TRY(open_window(j, head));
    for (int i = 0; i < m->nfiles && w->mine && st == WEFT_OK; i++)
        if (m->head[i] == head) st = pack(j, i);
    WEFT_TRY(weft_comm_agree(j->world, st));
    if (w->mine) st = weft_window_settle(w->packed);
    return weft_comm_agree(j->world, st);
}

/* ---- another job's ------------------------------------------------------- */

/* What is packed depends on the kernels, on the rows of a unit and, for some
 * layers, on the columns. */
static bool packs_alike(const weft_job *a, const weft_job *b)
{
    return a->setup.dev == b->setup.dev &&
           a->setup.plan.unit == b->setup.plan.unit &&
           a->setup.plan.columns == b->setup.plan.columns;
}

/* The next file whose weights lie with those of file i; -1: none. */
static int next_kin(const weft_models *m, int i)
{
    const int head = m->head[i];

    while (++i < m->nfiles)
        if (m->head[i] == head) return i;
    return -1;
}

static bool same_kin(const weft_models *a, int i, const weft_models *b, int k)
{
    while (i >= 0 && k >= 0 && weft_models_same_file(a, i, b, k)) {
        i = next_kin(a, i);
        k = next_kin(b, k);
    }
    return i < 0 && k < 0;
}

/* Which file of `from` is file i of j, the first of its kin, has been packed,
 * and for this rank too if it needs it; -1: none. */
static int find(const weft_job *j, int i, const weft_job *from)
{
    const weft_models *m = &from->setup.models;

    for (int k = 0; k < m->nfiles; k++)
        if (m->head[k] == k && from->weights[k].loaded &&
            (from->weights[k].mine || !j->weights[i].mine) &&
            (k == m->encoder) == (i == j->setup.models.encoder) &&
            same_kin(m, k, &j->setup.models, i))
            return k;
    return -1;
}

/* Packed alike, whatever else the jobs do. */
static bool same_reader(const weft_reader *a, const weft_reader *b)
{
    return !strcmp(a->encoder, b->encoder) &&
           a->fingerprint == b->fingerprint && a->part == b->part &&
           weft_prompts_same_opts(&a->opts, &b->opts) &&
           a->layout.weight_bytes == b->layout.weight_bytes &&
           weft_adapters_same(a->changes, b->changes);
}

static void borrow_readers(weft_job *j, const weft_job *from)
{
    const weft_prompts *mine = &j->setup.prompts,
                       *theirs = &from->setup.prompts;

    if (!j->config.sample.worded || j->setup.dev != from->setup.dev) return;
    for (int i = 0; i < mine->readers; i++)
        for (int k = 0; k < theirs->readers && !j->reader[i].packed; k++)
            if (from->reader[k].packed &&
                same_reader(&mine->reader[i], &theirs->reader[k]))
                j->reader[i] = (weft_job_reader){from->reader[k].packed, true};
}

weft_status weft_job_borrow(weft_job *j, const weft_job *from)
{
    double missing[WEFT_FILES] = {0};
    const int n = j->setup.models.nfiles;

    for (int i = 0; i < n; i++)
        missing[i] = j->setup.models.head[i] != i || !packs_alike(j, from) ||
                     find(j, i, from) < 0;
    borrow_readers(j, from);
    WEFT_TRY(weft_comm_max(j->world, missing, n));
    for (int i = 0; i < n; i++) {
        if (missing[i] > 0 || j->weights[i].loaded) continue;
        j->weights[i].packed = from->weights[find(j, i, from)].packed;
        j->weights[i].loaded = j->weights[i].borrowed = true;
    }
    return WEFT_OK;
}

/* ---- back ---------------------------------------------------------------- */

/* Pages of the file went when they were packed. */
void weft_job_unload(weft_job *j, int i)
{
    weft_job_weights *w = &j->weights[i];

    if (w->borrowed) return;
    if (w->packed) j->packed -= w->bytes;
    weft_window_destroy(w->packed);
    w->packed = NULL;
    w->loaded = false;
}

/* Do nets with these weights sample in a phase? */
static bool samples_in(const weft_job *j, int head, weft_plan_phase phase)
{
    const weft_plan *p = &j->setup.plan;

    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].weights == head && !p->net[i].each_image &&
            !p->net[i].once && weft_plan_phase_of(p, i) == phase)
            return true;
    return false;
}

weft_status weft_job_turn_to(weft_job *j, weft_plan_phase phase)
{
    const int n = j->setup.models.nfiles;

    for (int i = 0; i < n; i++)
        if (samples_in(j, i, j->phase) && !samples_in(j, i, phase))
            weft_job_unload(j, i);
    j->phase = phase;
    for (int i = 0; i < n; i++)
        if (samples_in(j, i, phase)) WEFT_TRY(weft_job_load(j, i));
    return WEFT_OK;
}

void weft_job_unload_models(weft_job *j)
{
    for (int i = 0; i < j->setup.models.nfiles; i++)
        if (i != j->setup.models.vae) weft_job_unload(j, i);
}
