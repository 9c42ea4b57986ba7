#include "launch/stock.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "launch/cli.h"
#include "launch/config_dataset.h"
#include "launch/pixels.h"
#include "launch/said.h"
#include "mpi/watch.h"

enum { MOST_KEYS = 128 };

/* Of what all items of a kind have in common in their ID.json, so that one with
 * a caption and prompts of its own, which double at most, is a line that the
 * index is made of. */
enum {
    MOST_COMMON =
        WEFT_LINE_BYTES - WEFT_KEYS_ROOM - 2 * WEFT_CAPTION_ROOM - 2048
};

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

static weft_status check_length(const weft_config *c)
{
    char *members;
    size_t bytes;

    WEFT_TRY(weft_config_sample(c, UINT64_MAX, &members));
    bytes = strlen(members);
    free(members);
    if (bytes <= MOST_COMMON) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: the parameters of an item take %zu bytes in its "
                     "ID.json, at most %d are accepted: sample.prompt or "
                     "another text is too long for a data set",
                     c->file, bytes, MOST_COMMON);
}

/* A picture that a line of the manifest names, like any path in a file, is
 * looked for from that file on. */
static weft_status find_picture(const char *keys, weft_config *c)
{
    const char *slash = c->dataset.manifest;
    char *path;

    if (slash) slash = strrchr(slash, '/');
    if (!weft_keys_find(keys, "control") || !slash ||
        c->sample.control.path[0] == '/')
        return WEFT_OK;
    if (asprintf(&path, "%.*s/%s", (int)(slash - c->dataset.manifest),
                 c->dataset.manifest, c->sample.control.path) < 0)
        return weft_fail(WEFT_ENOMEM, "out of memory");
    free(c->sample.control.path);
    c->sample.control.path = path;
    return WEFT_OK;
}

static weft_status parse(const weft_stock_spec *spec, const char *keys,
                         weft_config *c)
{
    const char *override[WEFT_MAX_OVERRIDES + MOST_KEYS];
    char *copy = strdup(keys);
    weft_status st;
    int n;

    if (!copy) return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(override, spec->override,
           (size_t)spec->noverrides * sizeof *override);
    n = split(copy, override, spec->noverrides);
    st = weft_config_parse(spec->path, spec->text, spec->bytes, override, n, c);
    free(copy);
    if (st != WEFT_OK) return st;
    st = find_picture(keys, c);
    if (st == WEFT_OK) st = check_length(c);
    if (st != WEFT_OK) weft_config_release(c);
    return st;
}

weft_status weft_stock_check(void *arg, const char *keys, weft_verdict *v)
{
    const weft_stock_spec *spec = arg;
    weft_config c = {0};
    weft_status st;

    WEFT_TRY(parse(spec, keys, &c));
    v->pixels = (double)c.sample.width * c.sample.height;
    v->cost = (double)c.sample.steps * v->pixels;
    v->weighted = c.sample.weighted;
    st = weft_setup_status(weft_pixels_fit(&c, c.sample.control.path));
    weft_config_release(&c);
    return st;
}

/* Seeds and labels are those of a shard's items; `most` is their largest label,
 * or -1. */
static weft_status adapt(const weft_stock_spec *spec, int ranks, int most,
                         weft_config *c)
{
    const size_t n = (size_t)spec->manifest->shard_size;

    free(c->sample.seed);
    c->sample.seed = calloc(n, sizeof *c->sample.seed);
    if (!c->sample.seed) return weft_fail(WEFT_ENOMEM, "out of memory");
    c->sample.nseeds = spec->manifest->shard_size;
    weft_config_for_dataset(c, ranks);
    if (most >= c->sample.label) c->sample.label = most;
    c->sample.has_label = c->sample.label >= 0;
    return WEFT_OK;
}

/* What one kind is planned for: a member of it. On failure there is nothing to
 * be released. */
static weft_status make_config(const weft_stock_spec *spec, const char *keys,
                               const weft_said *said, int ranks, int most,
                               weft_config *c)
{
    weft_status st = parse(spec, keys, c);

    if (st != WEFT_OK) return st;
    st = weft_config_resolve(c);
    if (st == WEFT_OK) st = weft_said_tell(said, c);
    if (st == WEFT_OK) st = adapt(spec, ranks, most, c);
    if (st == WEFT_OK) return WEFT_OK;
    weft_config_release(c);
    *c = (weft_config){0};
    return st;
}

/* ---- whose fault it is --------------------------------------------------- */

static weft_status blame(const weft_manifest *m, long long line, weft_status st)
{
    if (st != WEFT_EINPUT || !line || !m->offset) return st;
    return weft_fail_within(st, "%s:%lld", m->name, line);
}

weft_status weft_stock_config(const weft_stock_spec *spec,
                              const weft_kind *kind, int ranks, weft_config *c)
{
    return blame(
        spec->manifest, kind->line,
        make_config(spec, kind->keys, &kind->said, ranks, kind->most, c));
}

/* A plan is made for the largest label of a kind. What has no parameters is the
 * config's fault, but where others name a picture for control nets. */
static weft_status blame_plan(const weft_manifest *m, const weft_kind *kind,
                              weft_status st)
{
    if (st == WEFT_OK) return st;
    if (strstr(weft_fail_text(), "sample.label"))
        return blame(m, kind->most_line, st);
    return kind->keys[0] || strstr(weft_fail_text(), "has no picture")
               ? blame(m, kind->line, st)
               : st;
}

/* Items without a label need one from the config, if any item's model asks. */
static weft_status check_bare(const weft_setup *s)
{
    const weft_method *method = &s->method;

    for (int i = 0; i < method->nmodels; i++)
        if (s->models.label[i].any &&
            s->config->model[method->model[i]].label < 0)
            return weft_fail(WEFT_EINPUT,
                             "label is missing, and the config has no "
                             "sample.label");
    return WEFT_OK;
}

static weft_status check_labels(const weft_stock_spec *spec,
                                const weft_kind *kind, const weft_setup *s)
{
    if (!kind->bare_line || spec->config->sample.has_label) return WEFT_OK;
    return blame(spec->manifest, kind->bare_line, check_bare(s));
}

static weft_status check_group(const weft_plan *base, const weft_plan *p)
{
    if (weft_plan_group(p) == weft_plan_group(base)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "items of different parameters would be split over %d and "
                     "%d ranks: give parallel.patches",
                     weft_plan_group(base), weft_plan_group(p));
}

/* The rank that takes most, against what there is. */
static weft_status check_memory(const weft_job *base, const weft_plan *p)
{
    const double gib = 1073741824.0;
    const int ranks = weft_comm_size(base->node);
    const size_t have = base->topology.node_memory_bytes;
    size_t most = 0;

    for (int q = 0; q < weft_plan_group(p); q++) {
        const size_t total = weft_plan_memory_of(p, q, ranks).total;

        if (total > most) most = total;
    }
    if (!have || most <= have) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "items of %d x %d would take %.1f GiB on a rank, and its "
                     "node has %.1f",
                     p->width, p->height, (double)most / gib,
                     (double)have / gib);
}

bool weft_stock_clerk(const weft_good *g, const weft_config_dataset *d)
{
    return d->images ? weft_sampler_gets_picture(&g->job)
                     : weft_sampler_gets_latents(&g->job);
}

/* ---- one kind ------------------------------------------------------------ */

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
    g->said = calloc((size_t)m->shard_size, sizeof *g->said);
    g->done = calloc((size_t)m->shard_size, 1);
    if (!g->label || !g->said || !g->done)
        return weft_fail(WEFT_ENOMEM, "out of memory");
    if (g->job.config.sample.has_label)
        g->job.config.sample.each_label = g->label;
    if (g->job.config.sample.worded) g->job.config.sample.each_said = g->said;
    g->chunks = g->job.setup.prompts.chunks;
    g->job.lenient = true;
    fill_form(g);
    return WEFT_OK;
}

/* Collective over the job of g. */
static weft_status open_good(const weft_stock *s, weft_good *g)
{
    weft_job *j = &g->job;

    j->poll = s->poll;
    j->poll_arg = s->poll_arg;
    WEFT_TRY(weft_job_connect(j, false));
    if (g != s->good[0]) WEFT_TRY(weft_job_borrow(j, &s->good[0]->job));
    WEFT_TRY(weft_sampler_create(j, &g->sampler));
    return j->setup.models.vae >= 0 ? weft_job_load(j, j->setup.models.vae)
                                    : WEFT_OK;
}

static void release_good(weft_good *g)
{
    if (!g) return;
    weft_sampler_release(&g->sampler);
    weft_job_release(&g->job);
    free(g->keys);
    free(g->label);
    free(g->said);
    free(g->done);
    free(g);
}

static weft_status new_good(const char *keys, weft_good **g)
{
    *g = calloc(1, sizeof **g);
    if (*g) (*g)->keys = strdup(keys);
    return *g && (*g)->keys ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- planning ------------------------------------------------------------ */

/* Before anything is written, for all other kinds are planned beside this. */
static weft_status check_picture(const weft_config *c)
{
    weft_pixels p = {NULL, 0, 0};
    const weft_status st = weft_pixels_read(c, c->sample.control.path, &p);

    free(p.at);
    return weft_setup_status(st);
}

/* Collective over the job. */
static weft_status plan_base(weft_stock *s)
{
    const weft_stock_spec *spec = &s->spec;
    const weft_manifest *m = spec->manifest;
    const weft_kind *kind = &m->kind[0];
    weft_config c = {0};
    weft_good *g;
    weft_status st = new_good(kind->keys, &g);

    s->good[0] = g;
    s->n = g != NULL;
    if (g) g->most = kind->most;
    if (st == WEFT_OK)
        st = weft_stock_config(spec, kind, weft_comm_size(spec->world), &c);
    if (st == WEFT_OK) st = blame(m, kind->line, check_picture(&c));
    st = weft_comm_agree(spec->world, st);
    if (st != WEFT_OK) {
        weft_config_release(&c);
        return st;
    }
    st = weft_job_plan_config(spec->world, &c, NULL, &g->job);
    WEFT_TRY(blame_plan(m, kind, st));
    WEFT_TRY(check_labels(spec, kind, &g->job.setup));
    WEFT_TRY(weft_comm_agree(
        spec->world,
        blame(m, kind->line, check_memory(&g->job, &g->job.setup.plan))));
    return weft_comm_agree(spec->world, make_lists(m, g));
}

/* Without a job: what its models and its plan say. */
static weft_status try_kind(const weft_stock *s, const weft_kind *kind)
{
    const weft_stock_spec *spec = &s->spec;
    const weft_job *base = &s->good[0]->job;
    const int ranks = weft_plan_group(&base->setup.plan);
    weft_config c = {0};
    weft_setup setup;
    weft_status st;

    WEFT_TRY(weft_stock_config(spec, kind, ranks, &c));
    st = weft_setup_make(&c, ranks, base->topology.threads, NULL,
                         &base->setup.machine, &setup);
    st = blame_plan(spec->manifest, kind, st);
    if (st == WEFT_OK) {
        st = check_labels(spec, kind, &setup);
        if (st == WEFT_OK)
            st = blame_plan(spec->manifest, kind,
                            check_group(&base->setup.plan, &setup.plan));
        if (st == WEFT_OK)
            st = blame(spec->manifest, kind->line,
                       check_memory(base, &setup.plan));
        weft_setup_release(&setup);
    }
    weft_config_release(&c);
    return st;
}

static weft_status try_kinds(const weft_stock *s)
{
    const weft_manifest *m = s->spec.manifest;

    for (int k = 1; k < m->kept; k++) WEFT_TRY(try_kind(s, &m->kind[k]));
    return m->kind[WEFT_KINDS].keys ? try_kind(s, &m->kind[WEFT_KINDS])
                                    : WEFT_OK;
}

weft_status weft_stock_plan(const weft_stock_spec *spec, weft_stock *s)
{
    weft_status st;

    *s = (weft_stock){.spec = *spec};
    weft_watch_at("planning", 0, 0);
    WEFT_TRY(plan_base(s));
    weft_watch_deadline(0); /* there may be many */
    st = weft_comm_agree(spec->world, try_kinds(s));
    weft_watch_deadline(spec->config->run.deadline);
    return st;
}

/* ---- life ---------------------------------------------------------------- */

weft_status weft_stock_open(weft_stock *s, void (*poll)(void *), void *arg)
{
    s->poll = poll;
    s->poll_arg = arg;
    return open_good(s, s->good[0]);
}

static void add_tally(const weft_good *g, weft_stock_tally *to)
{
    const weft_tally *t = &g->sampler.tally;
    const weft_traffic sent = weft_job_traffic(&g->job);

    for (int c = 0; c < WEFT_CLASSES; c++) {
        to->bytes[c] += (double)(sent.bytes[c] + t->output.bytes[c]);
        to->messages[c] += (double)(sent.messages[c] + t->output.messages[c]);
    }
    to->busy += t->sampling + t->decode;
    to->steps += (double)t->steps;
    to->loaded += (double)g->job.told.loaded;
    to->read += (double)g->job.told.read;
    to->cut += (double)g->job.told.cut;
}

/* The one that nobody wanted for longest makes room; never the base. */
static weft_status make_room(weft_stock *s)
{
    int oldest = 1;
    weft_good *g;

    if (s->n < WEFT_GOODS) return WEFT_OK;
    for (int i = 2; i < s->n; i++)
        if (s->good[i]->asked < s->good[oldest]->asked) oldest = i;
    g = s->good[oldest];
    if (s->encoder) WEFT_TRY(weft_encoder_settle(s->encoder, &g->form));
    s->good[oldest] = s->good[--s->n];
    add_tally(g, &s->gone);
    release_good(g);
    return WEFT_OK;
}

/* "FILE: items with sample.steps=50 sample.eta=0.5: " before what was said. */
static weft_status blame_keys(const weft_manifest *m, const char *keys,
                              weft_status st)
{
    char shown[160];

    if (st == WEFT_OK || st == WEFT_ENOMEM) return st;
    snprintf(shown, sizeof shown, "%s", keys[0] ? keys : "no parameters");
    for (char *c = shown; *c; c++)
        if (*c == '\n') *c = ' ';
    return weft_fail_within(st, "%s: items with %s", m->name, shown);
}

static weft_status add(weft_stock *s, const weft_said *said, weft_good *g)
{
    const weft_job *base = &s->good[0]->job;
    const weft_stock_spec *spec = &s->spec;
    const weft_config_dataset *d = spec->manifest->spec;
    const int ranks = weft_comm_size(base->group);
    weft_config c = {0};
    weft_status st = make_config(spec, g->keys, said, ranks, g->most, &c);

    st = weft_comm_agree(base->group, st);
    if (st != WEFT_OK) {
        weft_config_release(&c);
        return st;
    }
    WEFT_TRY(weft_job_plan_config(base->group, &c, base, &g->job));
    WEFT_TRY(check_group(&base->setup.plan, &g->job.setup.plan));
    WEFT_TRY(weft_comm_agree(base->group, make_lists(spec->manifest, g)));
    if (weft_stock_clerk(g, d) != weft_stock_clerk(s->good[0], d))
        return weft_fail(WEFT_EINPUT,
                         "they would be written by another rank than others");
    return open_good(s, g);
}

static weft_status add_good(weft_stock *s, const char *keys,
                            const weft_said *said, int most, weft_good **g)
{
    weft_status st;

    weft_watch_at("planning", 0, 0);
    WEFT_TRY(make_room(s));
    st = new_good(keys, g);
    if (*g) s->good[s->n++] = *g;
    WEFT_TRY(st);
    (*g)->most = most;
    return add(s, said, *g);
}

static void span_labels(const weft_items *items, int k, int *least, int *most)
{
    *least = INT_MAX;
    *most = -1;
    for (int i = 0; i < items->n; i++) {
        const weft_item *item = &items->item[i];

        if (item->kind != k) continue;
        if (item->label < *least) *least = item->label;
        if (item->label > *most) *most = item->label;
    }
}

/* Its models have seen no label as large as that. */
static weft_status admit(weft_good *g, int most)
{
    weft_job *j = &g->job;

    if (most <= g->most) return WEFT_OK;
    j->config.sample.label = g->most = most;
    j->config.sample.has_label = true;
    return weft_models_label(&j->setup.method, &j->setup.models);
}

/* All of a kind are told something of their own, or none is. */
static weft_status fits(const weft_good *g, const weft_said *said, bool *fit)
{
    const weft_setup *s = &g->job.setup;
    int chunks = g->chunks;

    if (g->job.config.sample.worded)
        WEFT_TRY(weft_prompts_chunks(&s->prompts, &s->method, said, &chunks));
    *fit = chunks == g->chunks;
    return WEFT_OK;
}

static weft_status find(weft_stock *s, const char *keys, const weft_said *said,
                        int least, int most, weft_good **g)
{
    bool fit = false;

    for (int i = 0; i < s->n && !fit; i++) {
        *g = s->good[i];
        if (strcmp((*g)->keys, keys) == 0) WEFT_TRY(fits(*g, said, &fit));
    }
    if (!fit) WEFT_TRY(add_good(s, keys, said, most, g));
    (*g)->asked = ++s->asked;
    WEFT_TRY(admit(*g, most));
    return least < 0 ? check_bare(&(*g)->job.setup) : WEFT_OK;
}

weft_status weft_stock_find(weft_stock *s, const weft_items *items, int i,
                            weft_good **g)
{
    const weft_item *item = &items->item[i];
    const char *keys = items->keys[item->kind];
    int least, most;

    span_labels(items, item->kind, &least, &most);
    return blame_keys(s->spec.manifest, keys,
                      find(s, keys, &item->said, least, most, g));
}

void weft_stock_release(weft_stock *s)
{
    while (s->n) release_good(s->good[--s->n]);
    *s = (weft_stock){.n = 0};
}

/* ---- a shard ------------------------------------------------------------- */

weft_status weft_stock_take(weft_good *g, int k, const weft_items *items,
                            const bool *wanted)
{
    for (int i = 0; i < items->n; i++) {
        const weft_item *item = &items->item[i];
        bool fit = wanted[i] && item->kind == k;

        if (fit) WEFT_TRY(fits(g, &item->said, &fit));
        g->job.config.sample.seed[i] = item->seed;
        g->label[i] = item->label;
        g->said[i] = item->said;
        g->done[i] = !fit;
    }
    return WEFT_OK;
}

weft_stock_tally weft_stock_sum(const weft_stock *s)
{
    weft_stock_tally sum = s->gone;

    for (int i = 0; i < s->n; i++) add_tally(s->good[i], &sum);
    return sum;
}
