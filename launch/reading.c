#include "launch/reading.h"

#include <stdlib.h>
#include <string.h>

#include "core/finite.h"
#include "core/layer/layer.h"
#include "core/model/load.h"
#include "mpi/watch.h"

/* ---- one chunk of one prompt --------------------------------------------- */

/* A reader at work: its graph on one rank. */
typedef struct desk {
    const weft_reader *reader;
    weft_exchange solo;
    weft_run run;
    float *hidden; /* [tokens][channels], of one prompt */
} desk;

static weft_status read_chunk(desk *d, const weft_prompt *p, int chunk,
                              float *pooled)
{
    const weft_text *t = &d->reader->text;
    const size_t n = (size_t)p->length * (size_t)d->reader->info.channels;
    float *ids = weft_run_value(&d->run, t->graph.input);
    float *to = d->hidden + (size_t)chunk * n;

    for (int i = 0; i < p->length; i++)
        ids[i] = (float)p->id[(size_t)chunk * (size_t)p->length + (size_t)i];
    WEFT_TRY(weft_graph_eval(&t->graph, &d->run));
    memcpy(to, weft_run_value(&d->run, t->graph.output), n * sizeof *to);
    if (t->pooled != WEFT_NONE && chunk == 0)
        memcpy(pooled, weft_run_value(&d->run, t->pooled),
               (size_t)d->reader->info.pooled * sizeof *pooled);
    if (weft_all_finite(to, n)) return WEFT_OK;
    return weft_fail(WEFT_ENAN,
                     "%s: what the text encoder makes of a prompt is not a "
                     "number: its weights are damaged",
                     d->reader->encoder);
}

/* Channels of the readers before this one come first. Zeros are +0, wherever
 * they were made. */
static void place(const desk *d, const weft_listener *l, int at,
                  weft_reading *r)
{
    const int c = d->reader->info.channels;

    for (int t = 0; t < l->tokens; t++)
        for (int k = 0; k < c; k++)
            r->hidden[(size_t)t * (size_t)l->channels + (size_t)(at + k)] =
                d->hidden[(size_t)t * (size_t)c + (size_t)k] + 0.0f;
    for (int k = 0; k < l->pooled && d->reader->opts.pooled; k++)
        r->added[k] += 0.0f;
}

/* Reader `i` of a listener reads what it is told under one condition. */
static weft_status read_prompt(desk *d, const weft_prompts *all,
                               const weft_listener *l, int i, weft_reading *r)
{
    const weft_prompt *p = &r->prompt[i];
    int at = 0;

    for (int k = 0; k < i; k++)
        at += all->reader[l->reader[WEFT_COND][k]].info.channels;
    for (int k = 0; k < p->chunks; k++) WEFT_TRY(read_chunk(d, p, k, r->added));
    weft_prompt_weigh(p, d->reader->info.channels, d->hidden);
    place(d, l, at, r);
    return WEFT_OK;
}

/* ---- one reader ---------------------------------------------------------- */

/* Every so many-th prompt is this rank's. */
static weft_status read_share(desk *d, weft_prompts *all, int rank, int ranks)
{
    int n = 0;

    for (int m = 0; m < WEFT_MODELS; m++)
        for (int c = 0; c < WEFT_BOTH; c++)
            for (int i = 0; i < all->model[m].readers; i++) {
                weft_listener *l = &all->model[m];

                if (&all->reader[l->reader[c][i]] != d->reader ||
                    !l->told[c].text)
                    continue;
                if (n++ % ranks == rank)
                    WEFT_TRY(read_prompt(d, all, l, i, &l->told[c]));
            }
    return WEFT_OK;
}

static int most_tokens(const weft_prompts *p)
{
    int most = 0;

    for (int m = 0; m < WEFT_MODELS; m++)
        if (p->model[m].tokens > most) most = p->model[m].tokens;
    return most;
}

static weft_status sit_down(const weft_job *j, desk *d, const void *weights)
{
    static const int first[] = {0, 1};
    const weft_cut whole = {.n = 1, .first = first};
    const int tokens = most_tokens(&j->setup.prompts);

    d->hidden = calloc((size_t)tokens * (size_t)d->reader->info.channels,
                       sizeof *d->hidden);
    if (!d->hidden) return weft_fail(WEFT_ENOMEM, "out of memory for a text");
    WEFT_TRY(weft_exchange_init(&d->solo, &weft_solo, &whole, WEFT_IN_STEP));
    d->run = (weft_run){.dev = j->setup.dev,
                        .pool = j->pool,
                        .x = &d->solo,
                        .layout = &d->reader->layout,
                        .block = j->block,
                        .weights = weights};
    return WEFT_OK;
}

/* Collective over the node's readers. */
static weft_status load(weft_job *j, const weft_reader *r, weft_window **w)
{
    const weft_comm *node = j->node_readers;
    weft_status st = weft_window_create(node, r->layout.weight_bytes, w);

    WEFT_TRY(weft_comm_agree(node, st));
    weft_job_count_packed(j, r->layout.weight_bytes);
    j->told.loaded += weft_comm_rank(node) == 0;
    st = weft_load_pack(&r->text.graph, j->setup.dev, &r->layout, r->st,
                        weft_window_base(*w), weft_comm_rank(node),
                        weft_comm_size(node), j->pool);
    WEFT_TRY(weft_comm_agree(node, st));
    return weft_window_settle(*w);
}

static void stand_up(desk *d)
{
    weft_exchange_release(&d->solo);
    free(d->hidden);
}

/* Collective over the readers. */
static weft_status use_reader(weft_job *j, weft_reader *r)
{
    desk d = {.reader = r};
    weft_window *w = NULL;
    weft_status st = load(j, r, &w);

    if (st == WEFT_OK) st = sit_down(j, &d, weft_window_base(w));
    if (st == WEFT_OK)
        st = read_share(&d, &j->setup.prompts, weft_comm_rank(j->readers),
                        weft_comm_size(j->readers));
    st = weft_comm_agree(j->node_readers, st);
    stand_up(&d);
    if (w) j->packed -= r->layout.weight_bytes;
    weft_window_destroy(w);
    return st;
}

/* Collective over the node's readers. */
static weft_status keep_reader(weft_job *j, int i)
{
    weft_job_reader *own = &j->reader[i];

    if (own->packed) return WEFT_OK; /* another job's */
    return load(j, &j->setup.prompts.reader[i], &own->packed);
}

/* ---- all of them --------------------------------------------------------- */

static weft_status make_room(weft_job *j)
{
    weft_prompts *p = &j->setup.prompts;

    for (int m = 0; m < WEFT_MODELS; m++)
        for (int c = 0; c < WEFT_BOTH; c++) {
            weft_reading *r = &p->model[m].told[c];

            if (!r->text && !r->zeros) continue;
            WEFT_TRY(weft_prompts_fill(p, &j->setup.method, m, r));
            r->serial = ++j->told.serial;
        }
    return WEFT_OK;
}

/* Collective over the job: one rank has it, the others zeros. */
static weft_status share(const weft_comm *world, float *v, int n)
{
    double *all = calloc((size_t)n + 1, sizeof *all);
    weft_status st;

    st = all ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory for a text");
    st = weft_comm_agree(world, st);
    for (int i = 0; i < n && st == WEFT_OK; i++) all[i] = v[i];
    if (st == WEFT_OK) st = weft_comm_sum(world, all, n);
    for (int i = 0; i < n && st == WEFT_OK; i++) v[i] = (float)all[i];
    free(all);
    return st;
}

/* Each number as SDXL's nets know it, behind the vector of the text. */
static void add_sizes(const weft_config_sizes *s, bool cond,
                      const weft_listener *l, float *added)
{
    const bool refines = l->ids == 5;
    const double id[] = {s->original[0],
                         s->original[1],
                         s->crop[0],
                         s->crop[1],
                         !refines ? s->target[0]
                         : cond   ? s->score
                                  : s->negative_score,
                         s->target[1]};

    for (int i = 0; i < l->ids; i++)
        weft_sinusoids((float)id[i], l->id_channels, l->flip, l->shift,
                       added + l->pooled + i * l->id_channels);
}

static weft_status share_all(weft_job *j)
{
    weft_prompts *p = &j->setup.prompts;

    for (int m = 0; m < WEFT_MODELS; m++)
        for (int c = 0; c < WEFT_BOTH; c++) {
            const weft_listener *l = &p->model[m];
            weft_reading *r = &p->model[m].told[c];

            if (!r->hidden) continue;
            WEFT_TRY(share(j->world, r->hidden, l->tokens * l->channels));
            WEFT_TRY(share(j->world, r->added, l->pooled));
            add_sizes(&j->config.sample.sizes, c == WEFT_COND, l, r->added);
        }
    return WEFT_OK;
}

/* Collective over the job: rank 0's word for it. */
static weft_status sample_files(weft_job *j)
{
    const weft_prompts *p = &j->setup.prompts;

    for (int i = 0; i < p->readers && weft_comm_rank(j->world) == 0; i++) {
        const uint64_t h = weft_netfile_sample(p->reader[i].st) ^
                           weft_adapters_sample(&p->reader[i].adapters);

        j->read[i][0] = (double)(h & 0xffffffff);
        j->read[i][1] = (double)(h >> 32);
    }
    return weft_comm_sum(j->world, *j->read, 2 * p->readers);
}

/* Collective over the job: what the config says. */
static weft_status read_config(weft_job *j)
{
    weft_prompts *p = &j->setup.prompts;

    if (weft_comm_rank(j->world) == 0) weft_prompts_tell(p, stderr);
    WEFT_TRY(weft_comm_agree(j->world, make_room(j)));
    for (int i = 0; i < p->readers; i++)
        WEFT_TRY(weft_comm_agree(
            j->world, j->reads ? use_reader(j, &p->reader[i]) : WEFT_OK));
    return share_all(j);
}

/* Collective over the job: for what items will say. */
static weft_status keep_readers(weft_job *j)
{
    for (int i = 0; i < j->setup.prompts.readers; i++)
        WEFT_TRY(
            weft_comm_agree(j->world, j->reads ? keep_reader(j, i) : WEFT_OK));
    return WEFT_OK;
}

weft_status weft_reading_make(weft_job *j)
{
    weft_prompts *p = &j->setup.prompts;

    if (!p->readers) return WEFT_OK;
    weft_watch_at("reading prompts", 0, 0);
    WEFT_TRY(sample_files(j));
    WEFT_TRY(j->config.sample.worded ? keep_readers(j) : read_config(j));
    weft_prompts_unmap(p);
    return WEFT_OK;
}

weft_status weft_reading_read(const weft_job *j, int model,
                              weft_condition condition, weft_reading *r)
{
    const weft_prompts *p = &j->setup.prompts;
    const weft_listener *l = &p->model[model];
    weft_status st = WEFT_OK;

    for (int i = 0; i < l->readers && r->text && st == WEFT_OK; i++) {
        const int k = l->reader[condition][i];
        desk d = {.reader = &p->reader[k]};

        st = sit_down(j, &d, weft_window_base(j->reader[k].packed));
        if (st == WEFT_OK) st = read_prompt(&d, p, l, i, r);
        stand_up(&d);
    }
    if (st == WEFT_OK)
        add_sizes(&j->config.sample.sizes, condition == WEFT_COND, l, r->added);
    return st;
}
