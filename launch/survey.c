#include "launch/survey.h"

#include <stdlib.h>
#include <string.h>

#include "mpi/watch.h"

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- what is there ------------------------------------------------------- */

static weft_status look(const weft_survey_spec *spec, int k, double *state)
{
    const weft_config_dataset *d = spec->manifest->spec;
    weft_shard_state is;
    weft_status st = WEFT_OK;
    json_t *mark;

    WEFT_TRY(weft_shelf_look(spec->shelf, k, spec->verify, &is, &mark));
    if (is == WEFT_SHARD_DAMAGED)
        fprintf(stderr, "weft: shard %06d is made again: %s\n", k,
                weft_fail_text());
    else if (k % d->slices == d->slice) /* others' are others' to refuse */
        st = weft_sights_check(spec->manifest, k, mark);
    json_decref(mark);
    *state = is;
    return st;
}

static weft_status look_at_mine(const weft_survey_spec *spec, double *state)
{
    const int step = weft_comm_size(spec->world);

    for (int k = weft_comm_rank(spec->world); k < spec->manifest->shards;
         k += step)
        WEFT_TRY(look(spec, k, &state[k]));
    return WEFT_OK;
}

static weft_status look_at_all(const weft_survey_spec *spec, double *state)
{
    const double deadline = spec->stock->spec.config->run.deadline;
    weft_status st;

    weft_watch_at("looking at what is done", 0, 0);
    weft_watch_deadline(0); /* disks take what they take */
    st = weft_comm_agree(spec->world, look_at_mine(spec, state));
    weft_watch_deadline(deadline);
    WEFT_TRY(st);
    return weft_comm_sum(spec->world, state, spec->manifest->shards);
}

/* ---- the queue ----------------------------------------------------------- */

typedef struct waiting {
    int shard;
    double cost;
} waiting;

/* The costliest first; equal ones by number. */
static int compare(const void *a, const void *b)
{
    const waiting *x = a, *y = b;

    if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
    return (x->shard > y->shard) - (x->shard < y->shard);
}

static double cost_of(const weft_survey_spec *spec, int k)
{
    const weft_manifest *m = spec->manifest;

    return m->cost ? m->cost[k] : weft_manifest_count(m, k);
}

static bool is_left(const weft_survey_spec *spec, weft_shard_state state)
{
    return state == WEFT_SHARD_LEFT || state == WEFT_SHARD_DAMAGED ||
           (state == WEFT_SHARD_FAILED && spec->retry);
}

static void count(weft_survey *s, weft_shard_state state)
{
    s->done += state == WEFT_SHARD_DONE;
    s->failed += state == WEFT_SHARD_FAILED;
}

static weft_status make_queue(const weft_survey_spec *spec, weft_survey *s)
{
    const weft_config_dataset *d = spec->manifest->spec;
    waiting *w = calloc((size_t)spec->manifest->shards + 1, sizeof *w);

    s->queue = calloc((size_t)spec->manifest->shards + 1, sizeof *s->queue);
    if (!w || !s->queue) {
        free(w);
        return no_memory();
    }
    for (int k = d->slice; k < spec->manifest->shards; k += d->slices) {
        if (!is_left(spec, s->state[k])) {
            count(s, s->state[k]);
            continue;
        }
        w[s->entries++] = (waiting){k, cost_of(spec, k)};
        s->items += weft_manifest_count(spec->manifest, k);
    }
    qsort(w, (size_t)s->entries, sizeof *w, compare);
    for (int i = 0; i < s->entries; i++) s->queue[i] = w[i].shard;
    free(w);
    return WEFT_OK;
}

weft_status weft_survey_make(const weft_survey_spec *spec, weft_survey *s)
{
    const size_t n = (size_t)spec->manifest->shards;
    double *state = calloc(n, sizeof *state);
    weft_status st;

    *s = (weft_survey){.state = calloc(n, 1)};
    st = state && s->state ? WEFT_OK : no_memory();
    st = weft_comm_agree(spec->world, st);
    if (st == WEFT_OK) st = look_at_all(spec, state);
    for (size_t k = 0; k < n && st == WEFT_OK; k++)
        s->state[k] = (unsigned char)state[k];
    free(state);
    if (st == WEFT_OK) st = make_queue(spec, s);
    return weft_comm_agree(spec->world, st);
}

void weft_survey_release(weft_survey *s)
{
    free(s->state);
    free(s->queue);
}
