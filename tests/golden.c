#include "tests/golden.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/layer/layer.h"
#include "tests/golden_loras.h"
#include "tests/team.h"

/* Patches run on threads, from which cmocka cannot return. */
static void must(weft_status st)
{
    if (st == WEFT_OK) return;
    fprintf(stderr, "%s\n", weft_fail_text());
    abort();
}

/* ---- numbers ------------------------------------------------------------- */

static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325;

    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3;
    return h;
}

static uint64_t bits(uint64_t hash, uint64_t i)
{
    uint64_t z = (hash + i) * 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool ends(const char *name, const char *with)
{
    const size_t n = strlen(name), m = strlen(with);

    return n > m && !strcmp(name + n - m, with);
}

static bool is_norm(const char *name)
{
    return strstr(name, "norm") && ends(name, ".weight");
}

/* What all weights of one name are: offset + (k - middle) * step of the highest
 * bits k, four or eight of them. */
typedef struct law {
    int shift, middle;
    float offset, step;
} law;

/* As nets.py has it. */
static law law_of(const char *name, const int64_t *shape, int ndim)
{
    int64_t fan_in = 1;
    int s = 0;

    if (ends(name, ".alpha")) return (law){60, 0, 1, 0.25f};
    if (is_norm(name)) return (law){60, 8, 1, 1.0f / 64};
    for (int d = 1; d < ndim; d++) fan_in *= shape[d];
    if (ndim < 2) s = 3;
    while (ndim > 1 && ((int64_t)6 << 2 * s) < fan_in) s++;
    if (ends(name, "up.weight") || strstr(name, "lora_B")) s += 4;
    return (law){56, 128, 0, ldexpf(1, -7 - s)};
}

static float weight(const law *l, uint64_t hash, uint64_t i)
{
    const int k = (int)(bits(hash, i) >> l->shift);

    return l->offset + (float)(k - l->middle) * l->step;
}

float golden_given(const char *name, uint64_t i)
{
    return ((float)(bits(hash(name), i) >> 48) - 32768) / 16384;
}

float golden_input(uint64_t i) { return golden_given("input", i); }

const weft_device *golden_device(const char *name)
{
    const weft_device *dev;

    must(weft_device_find(name, NULL, &dev));
    return dev;
}

double golden_distance(const float *a, const float *b, size_t n)
{
    double off = 0, all = 0;

    for (size_t i = 0; i < n; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)b[i] * b[i];
    }
    return sqrt(off / all);
}

/* ---- files --------------------------------------------------------------- */

/* "name dtype d0xd1;": fills the entry, whose strings are cut out of `text`;
 * returns what follows. */
static char *read_entry(char *text, weft_st_entry *e)
{
    char *at = text;

    memset(e, 0, sizeof *e);
    e->name = strsep(&at, " ");
    e->dtype = strsep(&at, " ");
    assert_non_null(at);
    while (*at != ';') {
        e->shape[e->ndim++] = strtoll(at, &at, 10);
        if (*at == 'x') at++;
    }
    return at + 1;
}

static size_t elements(const weft_st_entry *e)
{
    size_t n = 1;

    for (int i = 0; i < e->ndim; i++) n *= (size_t)e->shape[i];
    return n;
}

/* `v` as an element of a dtype that holds it exactly, others as F32; returns
 * its size. */
static size_t store(const char *dtype, float v, char *to)
{
    uint32_t b;
    uint16_t half;

    memcpy(&b, &v, 4);
    memcpy(to, &v, 4);
    if (strcmp(dtype, "F16") && strcmp(dtype, "BF16")) return 4;
    half = (uint16_t)(b >> 16);
    if (!strcmp(dtype, "F16") && v != 0)
        half = (uint16_t)((b >> 16 & 0x8000) | (((b >> 23 & 255) - 112) << 10) |
                          (b >> 13 & 1023));
    memcpy(to, &half, 2);
    return 2;
}

static void put(weft_st_writer *w, int i, const weft_st_entry *e)
{
    const size_t n = elements(e);
    const law l = law_of(e->name, e->shape, e->ndim);
    const uint64_t h = hash(e->name);
    char *data = malloc(4 * n), *at = data;

    assert_non_null(data);
    for (size_t k = 0; k < n; k++) at += store(e->dtype, weight(&l, h, k), at);
    must(weft_st_put(w, i, 0, data, (size_t)(at - data)));
    free(data);
}

void golden_write(const char *path, const char *tensors)
{
    golden_write_with(path, tensors, NULL);
}

void golden_write_with(const char *path, const char *tensors,
                       const char *const *metadata)
{
    char *text = strdup(tensors), *at = text;
    weft_st_entry *e = calloc(GOLDEN_TENSORS, sizeof *e);
    weft_st_writer *w;
    int n = 0;

    assert_true(text && e);
    while (*at) {
        assert_true(n < GOLDEN_TENSORS);
        at = read_entry(at, &e[n++]);
    }
    must(weft_st_create(path, e, n, metadata, &w));
    for (int i = 0; i < n; i++) put(w, i, &e[i]);
    must(weft_st_finish(w));
    free(e);
    free(text);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int golden_names(char (*name)[64], int room)
{
    DIR *d = opendir(WEFT_SOURCE_DIR "/tests/golden");
    struct dirent *e;
    int n = 0, end;

    assert_non_null(d);
    while ((e = readdir(d))) {
        end = 0;
        sscanf(e->d_name, "net_%*[^.].safetensors%n", &end);
        if (!end || e->d_name[end]) continue;
        assert_true(n < room);
        snprintf(name[n++], 64, "%.*s", end - 16, e->d_name + 4);
    }
    closedir(d);
    qsort(name, (size_t)n, 64, by_name);
    return n;
}

static const char *meta(const golden *g, const char *key)
{
    const char *text = weft_st_metadata(g->answer, key);

    if (!text) fail_msg("%s has no %s", weft_st_path(g->answer), key);
    return text;
}

static int read_numbers(const char *text, float *out)
{
    int n = 0;

    for (char *end; n < GOLDEN_BATCH; text = end + 1) {
        out[n++] = strtof(text, &end);
        if (!*end) break;
    }
    return n;
}

static void read_case(golden *g)
{
    const char *part = meta(g, "part");

    g->part = !strcmp(part, "net")      ? WEFT_PART_NET
              : !strcmp(part, "decode") ? WEFT_PART_DECODE
                                        : WEFT_PART_ENCODE;
    assert_int_equal(
        sscanf(meta(g, "input"), "%d,%d,%d,%d", &g->n, &g->c, &g->h, &g->w), 4);
    if (weft_st_metadata(g->answer, "time"))
        assert_int_equal(read_numbers(meta(g, "time"), g->time), g->n);
    g->has_label = weft_st_metadata(g->answer, "label") != NULL;
    if (g->has_label)
        assert_int_equal(read_numbers(meta(g, "label"), g->label), g->n);
    if (weft_st_metadata(g->answer, "tokens"))
        assert_int_equal(sscanf(meta(g, "tokens"), "%d", &g->tokens), 1);
    g->output = weft_st_find(g->answer, "output");
    assert_non_null(g->output);
}

static void read_controls(golden *g)
{
    char key[32];

    for (int *n = &g->info.ncontrols; *n < WEFT_HINTS; ++*n) {
        weft_json *json;
        const char *config;

        snprintf(key, sizeof key, "control%d", *n);
        config = weft_st_metadata(g->answer, key);
        if (!config) break;
        must(weft_json_parse(key, config, strlen(config), &json));
        snprintf(key, sizeof key, "scale%d", *n);
        g->control[*n] = (weft_control){json, g->wtype};
        g->follow[*n] = strtof(meta(g, key), NULL);
    }
    g->info.control = g->control;
}

void golden_open(golden *g, const char *name)
{
    char path[GOLDEN_PATH + 32];
    const char *config;

    memset(g, 0, sizeof *g);
    snprintf(path, sizeof path,
             WEFT_SOURCE_DIR "/tests/golden/net_%s.safetensors", name);
    must(weft_st_open(path, &g->answer));
    read_case(g);
    snprintf(g->folder, sizeof g->folder, "/tmp/weft-golden-XXXXXX");
    assert_non_null(mkdtemp(g->folder));
    snprintf(path, sizeof path, "%s/weights.safetensors", g->folder);
    golden_write(path, meta(g, "tensors"));
    must(weft_st_open(path, &g->weights));
    config = meta(g, "config");
    must(weft_json_parse(name, config, strlen(config), &g->config));
    must(weft_net_read_info(g->config, &g->info));
    if (g->tokens) g->info.tokens = g->tokens;
    g->wtype = weft_load_dtype(g->weights);
    read_controls(g);
}

void golden_close(golden *g)
{
    char path[GOLDEN_PATH + 32];

    snprintf(path, sizeof path, "%s/weights.safetensors", g->folder);
    unlink(path);
    rmdir(g->folder);
    for (int i = 0; i < g->info.ncontrols; i++)
        weft_json_free((weft_json *)g->control[i].config);
    weft_json_free(g->config);
    weft_st_close(g->weights);
    weft_st_close(g->answer);
}

/* ---- evaluation ---------------------------------------------------------- */

typedef struct job {
    const golden *g;
    const weft_device *dev;
    const weft_graph *graph;
    const int *first;
    int threads;
    const char *input; /* its name */
    bool reversed;     /* the input's channels */
    float *hint[WEFT_HINTS];
    float *out; /* [n][c][h][w] of the whole output, as are the hints */
} job;

/* My rows of an input called `name`, of an image of h rows. */
static void fill_input(const char *name, const weft_value *v, bool reversed,
                       int n, int y0, int rows, int h, float *to)
{
    for (int y = y0; y < y0 + rows; y++)
        for (int s = 0; s < n; s++)
            for (int x = 0; x < v->w; x++)
                for (int c = 0; c < v->c; c++)
                    *to++ = golden_given(
                        name,
                        (((uint64_t)s * v->c + (reversed ? v->c - 1 - c : c)) *
                             h +
                         y) * v->w +
                            x);
}

static void fill_hint(const weft_value *v, int n, int y0, int rows, int h,
                      const float *from, float *to)
{
    for (int y = y0; y < y0 + rows; y++)
        for (int s = 0; s < n; s++)
            for (int x = 0; x < v->w; x++)
                for (int c = 0; c < v->c; c++)
                    *to++ = from[(((size_t)s * v->c + c) * h + y) * v->w + x];
}

static void fill_inputs(const job *j, const weft_run *run, int first)
{
    const weft_graph *g = j->graph;
    const weft_layout *l = run->layout;

    for (int i = -1; i < g->nhints; i++) {
        const weft_val val = i < 0 ? g->input : g->hint[i];
        const weft_value *v = weft_graph_at(g, val);
        const int y0 = first * v->rows_per_unit;
        const int rows = l->units * v->rows_per_unit;
        const int h = l->total_units * v->rows_per_unit;

        if (i < 0)
            fill_input(j->input, v, j->reversed, l->n, y0, rows, h,
                       weft_run_value(run, val));
        else
            fill_hint(v, l->n, y0, rows, h, j->hint[i],
                      weft_run_value(run, val));
    }
}

static void take_output(const weft_value *v, int n, int y0, int rows, int h,
                        const float *from, float *out)
{
    for (int y = y0; y < y0 + rows; y++)
        for (int s = 0; s < n; s++)
            for (int x = 0; x < v->w; x++)
                for (int c = 0; c < v->c; c++)
                    out[(((size_t)s * v->c + c) * h + y) * v->w + x] = *from++;
}

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);

    assert_non_null(p);
    memset(p, 0xff, (bytes + 64) / 64 * 64); /* NaN */
    return p;
}

/* The weights, packed as if by three ranks. */
static void *pack(const job *j, const weft_layout *l, weft_pool *pool)
{
    void *weights = aligned(l->weight_bytes);

    for (int r = 2; r >= 0; r--)
        must(weft_load_pack(j->graph, j->dev, l, j->g->weights, weights, r, 3,
                            pool));
    return weights;
}

/* The sizes behind a pooled text: "1024,768"; those of sample s greater by s.
 */
static void fill_ids(const golden *g, float *added)
{
    const char *ids = meta(g, "ids"), *at;
    const int dim = g->info.id_channels;
    int count = 1;

    for (at = ids; *at; at++) count += *at == ',';
    for (int s = 0; s < g->n; s++) {
        float *to = added + (s + 1) * g->info.added - count * dim;

        at = ids;
        for (int i = 0; i < count; i++, to += dim, at += *at == ',')
            weft_sinusoids((float)(strtol(at, (char **)&at, 10) + s), dim,
                           g->info.flip, g->info.freq_shift, to);
    }
}

static void fill_given(const golden *of, const weft_graph *g,
                       const weft_run *run)
{
    static const char *const name[WEFT_GIVENS] = {"text", "added", "guide"};

    for (int i = 0; i < WEFT_GIVENS; i++) {
        const weft_val v = g->given[i];
        size_t count;

        if (v == WEFT_NONE) continue;
        count = (size_t)run->layout->n * (size_t)weft_graph_at(g, v)->w *
                (size_t)weft_graph_at(g, v)->c;
        for (size_t k = 0; k < count; k++)
            weft_run_value(run, v)[k] = golden_given(name[i], k);
        if (i == WEFT_GIVEN_ADDED) fill_ids(of, weft_run_value(run, v));
    }
}

static void one_patch(void *arg, int patch, weft_exchange *x)
{
    const job *j = arg;
    const golden *g = j->g;
    const int y0 = j->first[patch], units = j->first[patch + 1] - y0;
    const int total = weft_cut_total(&x->cut);
    const weft_value *out = weft_graph_at(j->graph, j->graph->output);
    weft_pool *pool;
    weft_layout l;
    weft_run run = {.dev = j->dev, .x = x, .layout = &l, .time = g->time};
    void *weights;

    must(weft_pool_create(j->threads, NULL, &pool));
    must(weft_layout_make(j->graph, j->dev, g->n, &x->cut, &l));
    must(weft_pool_reserve(pool, l.scratch));
    run.pool = pool;
    run.block = aligned(l.bytes);
    run.held = aligned(l.held_bytes);
    run.weights = weights = pack(j, &l, pool);
    run.label = g->has_label ? g->label : NULL;
    run.follow = g->follow;
    must(weft_graph_declare(j->graph, g->n, x));
    must(weft_graph_bind(j->graph, &l, run.block, x, 0));
    fill_given(g, j->graph, &run);
    must(weft_graph_prepare(j->graph, &run));
    fill_inputs(j, &run, y0);
    must(weft_graph_eval(j->graph, &run));
    take_output(out, g->n, y0 * out->rows_per_unit, units * out->rows_per_unit,
                total * out->rows_per_unit,
                weft_run_value(&run, j->graph->output), j->out);
    free(run.block);
    free(run.held);
    free(weights);
    weft_layout_release(&l);
    weft_pool_destroy(pool);
}

/* Of all patches; the output is j->out. */
static void run_patches(job *j, int patches)
{
    const weft_value *out = weft_graph_at(j->graph, j->graph->output);
    const weft_cut cut = {.n = patches, .first = j->first};

    j->out =
        calloc((size_t)j->g->n * (size_t)weft_cut_total(&cut) *
                   (size_t)out->rows_per_unit * (size_t)out->w * (size_t)out->c,
               sizeof *j->out);
    assert_non_null(j->out);
    if (patches == 1) {
        weft_exchange solo;

        must(weft_exchange_init(&solo, &weft_solo, &cut, WEFT_IN_STEP));
        one_patch(j, 0, &solo);
        weft_exchange_release(&solo);
    } else {
        weft_team team;

        weft_team_init(&team, &cut, WEFT_IN_STEP);
        weft_team_run(&team, one_patch, j);
        weft_team_release(&team);
    }
}

/* The names of a graph's weights as they are beside the U-Net's. */
static void rename_weights(weft_graph *g, int control)
{
    for (int i = 0; i < g->nweights; i++) {
        char *name = NULL;

        assert_true(
            asprintf(&name, "control%d.%s", control, g->weight[i].name[0]) > 0);
        free(g->weight[i].name[0]);
        g->weight[i].name[0] = name;
    }
}

/* What control net i sees in its picture. */
static void look(job *net, int i, int unit, int patches)
{
    const golden *g = net->g;
    job j = *net;
    weft_net_info info;
    weft_graph graph;
    char name[16];
    int size;

    must(weft_net_read_info(g->control[i].config, &info));
    size = info.per_latent;
    must(weft_net_build(g->control[i].config, &info, WEFT_PART_SIGHT,
                        (weft_cell){size * unit, size * unit, size * g->w},
                        g->wtype, &graph));
    rename_weights(&graph, i);
    must(weft_load_check(&graph, g->weights, NULL));
    snprintf(name, sizeof name, "hint%d", i);
    j.graph = &graph;
    j.input = name;
    j.reversed = info.reversed;
    run_patches(&j, patches);
    net->hint[i] = j.out;
    weft_graph_release(&graph);
}

float *golden_run(const golden *g, const weft_device *dev, int patches,
                  int threads)
{
    const int unit = g->part == WEFT_PART_DECODE ? 1 : g->info.stride;
    int first[WEFT_TEAM_MOST + 1];
    weft_graph graph;
    job j = {g, dev, &graph, first, threads, .input = "input"};
    weft_load_rest rest;

    must(weft_net_build(g->config, &g->info, g->part,
                        (weft_cell){unit, unit, g->w}, g->wtype, &graph));
    must(weft_load_check(&graph, g->weights, NULL));
    must(weft_load_unused(&graph, g->weights,
                          weft_net_besides(&g->info, g->part), &rest));
    if (rest.n) fail_msg("%d weights are not used: %s", rest.n, rest.first);
    if (g->loras) must(golden_loras_apply(g->loras, g->weights, &graph));
    for (int p = 0; p <= patches; p++) first[p] = p * (g->h / unit) / patches;
    for (int i = 0; i < g->info.ncontrols; i++) look(&j, i, unit, patches);
    run_patches(&j, patches);
    for (int i = 0; i < g->info.ncontrols; i++) free(j.hint[i]);
    weft_graph_release(&graph);
    return j.out;
}
