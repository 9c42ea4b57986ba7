/* job_borrow.c - packed weights that several jobs have in common, and those
 * that none needs any more. */
#include <string.h>

#include "launch/job.h"

/* What is packed depends on the kernels, on the rows of a unit and, for some
 * layers, on the columns. */
static bool packs_alike(const weft_job *a, const weft_job *b)
{
    return a->setup.dev == b->setup.dev &&
           a->setup.plan.unit == b->setup.plan.unit &&
           a->setup.plan.columns == b->setup.plan.columns;
}

/* Which file of `from` is file i of j, has been packed, and for this rank too
 * if it needs it; -1: none. */
static int find(const weft_job *j, int i, const weft_job *from)
{
    for (int k = 0; k < from->setup.models.nfiles; k++)
        if (from->weights[k].loaded &&
            (from->weights[k].mine || !j->weights[i].mine) &&
            (k == from->setup.models.encoder) ==
                (i == j->setup.models.encoder) &&
            weft_models_same_file(&from->setup.models, k, &j->setup.models, i))
            return k;
    return -1;
}

/* Packed alike, whatever else the jobs do. */
static bool same_reader(const weft_reader *a, const weft_reader *b)
{
    return !strcmp(a->encoder, b->encoder) &&
           a->fingerprint == b->fingerprint && a->part == b->part &&
           a->opts.skip == b->opts.skip && a->opts.norm == b->opts.norm &&
           a->opts.pooled == b->opts.pooled &&
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
        missing[i] = !packs_alike(j, from) || find(j, i, from) < 0;
    borrow_readers(j, from);
    WEFT_TRY(weft_comm_max(j->world, missing, n));
    for (int i = 0; i < n; i++) {
        if (missing[i] > 0 || j->weights[i].loaded) continue;
        j->weights[i].packed = from->weights[find(j, i, from)].packed;
        j->weights[i].loaded = j->weights[i].borrowed = true;
    }
    return WEFT_OK;
}

/* Pages of the files went when they were packed. */
void weft_job_unload(weft_job *j)
{
    for (int i = 0; i < j->setup.models.nfiles; i++) {
        weft_job_weights *w = &j->weights[i];

        if (i == j->setup.models.vae || w->borrowed) continue;
        weft_window_destroy(w->packed);
        w->packed = NULL;
    }
}
