#include "launch/stock.h"

#include <stdlib.h>
#include <string.h>

#include "launch/cli.h"
#include "launch/config_dataset.h"
#include "mpi/watch.h"

enum { MOST_KEYS = 128 };

/* ---- the config of a kind ------------------------------------------------ */

/* "KEY=VALUE\n..." as single overrides behind those of the command line. Cuts
 * `keys` up. */
static int split(char *keys, const char **override, int n)
{
    for (char *at = keys; *at && n < MOST_KEYS + WEFT_MAX_OVERRIDES;) {
        char *end = strchr(at, '\n');

        override[n++] = at;
        *end = '\0';
        at = end + 1;
    }
    return n;
}

/* Seeds and labels are those of a shard's items. */
static weft_status adapt(const weft_stock_spec *spec, const weft_kind *kind,
                         weft_config *c)
{
    const size_t n = (size_t)spec->manifest->shard_size;

    free(c->sample.seed);
    c->sample.seed = calloc(n, sizeof *c->sample.seed);
    if (!c->sample.seed) return weft_fail(WEFT_ENOMEM, "out of memory");
    c->sample.nseeds = spec->manifest->shard_size;
    weft_config_for_dataset(c, weft_comm_size(spec->world));
    if (kind->most >= c->sample.label) c->sample.label = kind->most;
    c->sample.has_label = c->sample.label >= 0;
    return WEFT_OK;
}

static weft_status make_config(const weft_stock_spec *spec,
                               const weft_kind *kind, weft_config *c)
{
    const char *override[WEFT_MAX_OVERRIDES + MOST_KEYS];
    char *keys = strdup(kind->keys);
    weft_status st;
    int n;

    if (!keys) return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(override, spec->override,
           (size_t)spec->noverrides * sizeof *override);
    n = split(keys, override, spec->noverrides);
    st = weft_config_parse(spec->path, spec->text, spec->bytes, override, n, c);
    free(keys);
    if (st != WEFT_OK) return st;
    st = weft_config_resolve(c);
    if (st == WEFT_OK) st = adapt(spec, kind, c);
    if (st != WEFT_OK) weft_config_release(c);
    return st;
}

/* ---- planning ------------------------------------------------------------ */

static weft_status blame(const weft_manifest *m, long long line, weft_status st)
{
    if (st != WEFT_EINPUT || !line || !m->offset) return st;
    return weft_fail_within(st, "%s:%lld", m->name, line);
}

/* A plan is made for the largest label of a kind. */
static weft_status blame_plan(const weft_manifest *m, const weft_kind *kind,
                              weft_status st)
{
    if (strstr(weft_fail_text(), "sample.label"))
        return blame(m, kind->most_line, st);
    return kind->keys[0] ? blame(m, kind->line, st) : st;
}

/* Items without a label need one from the config, if any item's model asks. */
static weft_status check_labels(const weft_stock_spec *spec,
                                const weft_kind *kind, const weft_good *g)
{
    const weft_models *m = &g->job.setup.models;
    const weft_method *method = &g->job.setup.method;

    if (!kind->bare_line || spec->config->sample.has_label) return WEFT_OK;
    for (int i = 0; i < method->nmodels; i++)
        if (m->label[i].any && g->job.config.model[method->model[i]].label < 0)
            return blame(spec->manifest, kind->bare_line,
                         weft_fail(WEFT_EINPUT,
                                   "label is missing, and the config has no "
                                   "sample.label"));
    return WEFT_OK;
}

static weft_status check_group(const weft_stock *s, int k)
{
    const weft_plan *p = &s->kind[k].job.setup.plan;

    if (weft_plan_group(p) == weft_plan_group(&s->kind[0].job.setup.plan))
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "items of different parameters would be split over %d and "
                     "%d ranks: give parallel.patches",
                     weft_plan_group(&s->kind[0].job.setup.plan),
                     weft_plan_group(p));
}

static void fill_form(weft_good *g)
{
    const weft_plan *p = &g->job.setup.plan;

    g->form = (weft_form){.config = g->job.config,
                          .width = p->width,
                          .height = p->height,
                          .channels = g->job.setup.picture_channels,
                          .rows = p->rows,
                          .columns = p->columns,
                          .latent_channels = p->channels};
}

static weft_status make_lists(const weft_manifest *m, weft_good *g)
{
    g->label = calloc((size_t)m->shard_size, sizeof *g->label);
    g->done = calloc((size_t)m->shard_size, 1);
    if (!g->label || !g->done) return weft_fail(WEFT_ENOMEM, "out of memory");
    if (g->job.config.sample.has_label)
        g->job.config.sample.each_label = g->label;
    g->job.lenient = true;
    fill_form(g);
    return WEFT_OK;
}

static weft_status plan_kind(const weft_stock_spec *spec, int k, weft_stock *s)
{
    const weft_kind *kind = &spec->manifest->kind[k];
    weft_good *g = &s->kind[k];
    weft_config c = {0};
    weft_status st = make_config(spec, kind, &c);

    st = weft_comm_agree(spec->world, blame(spec->manifest, kind->line, st));
    if (st != WEFT_OK) {
        weft_config_release(&c);
        return st;
    }
    s->kinds = k + 1;
    st = weft_job_plan_config(spec->world, &c, &g->job);
    if (st != WEFT_OK) return blame_plan(spec->manifest, kind, st);
    WEFT_TRY(check_labels(spec, kind, g));
    WEFT_TRY(check_group(s, k));
    return weft_comm_agree(spec->world, make_lists(spec->manifest, g));
}

weft_status weft_stock_plan(const weft_stock_spec *spec, weft_stock *s)
{
    *s = (weft_stock){
        .kind = calloc((size_t)spec->manifest->kinds, sizeof *s->kind)};
    if (!s->kind) return weft_fail(WEFT_ENOMEM, "out of memory");
    weft_watch_at("planning", 0, 0);
    for (int k = 0; k < spec->manifest->kinds; k++)
        WEFT_TRY(plan_kind(spec, k, s));
    return WEFT_OK;
}

/* ---- life ---------------------------------------------------------------- */

weft_status weft_stock_open(weft_stock *s, void (*poll)(void *), void *arg)
{
    for (int k = 0; k < s->kinds; k++) {
        weft_job *j = &s->kind[k].job;

        j->poll = poll;
        j->poll_arg = arg;
        WEFT_TRY(weft_job_connect(j, false));
        for (int i = 0; i < k; i++)
            WEFT_TRY(weft_job_borrow(j, &s->kind[i].job));
        WEFT_TRY(weft_sampler_create(j, &s->kind[k].sampler));
        if (j->setup.models.vae >= 0)
            WEFT_TRY(weft_job_load(j, j->setup.models.vae));
    }
    return WEFT_OK;
}

void weft_stock_release(weft_stock *s)
{
    for (int k = 0; k < s->kinds; k++) {
        weft_sampler_release(&s->kind[k].sampler);
        weft_job_release(&s->kind[k].job);
        free(s->kind[k].label);
        free(s->kind[k].done);
    }
    free(s->kind);
    *s = (weft_stock){.kind = NULL};
}

void weft_stock_take(weft_stock *s, int k, const weft_item *item, int n,
                     const bool *wanted)
{
    weft_good *g = &s->kind[k];

    g->left = 0;
    for (int i = 0; i < n; i++) {
        g->job.config.sample.seed[i] = item[i].seed;
        g->label[i] = item[i].label;
        g->done[i] = !wanted[i] || item[i].kind != k;
        g->left += !g->done[i];
    }
}

double weft_stock_cost(const weft_stock *s, int k)
{
    const weft_plan *p = &s->kind[k].job.setup.plan;
    double flops = 0;

    for (int i = 0; i < p->nnets; i++)
        flops += p->net[i].flops * p->net[i].evaluations /
                 (p->net[i].each_image ? 1 : p->batch);
    return flops > 0 ? flops : p->steps;
}
