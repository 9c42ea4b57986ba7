/*
 * net.c - evaluates one net on given inputs, for fullsize.py:
 *
 *   weft_bench_net PART CONFIG WEIGHTS INPUTS OUTPUTS [KEY=VALUE...]
 *
 * PART is net, decode, encode or text; CONFIG a config.json; WEIGHTS and INPUTS
 * safetensors, the latter with "input" [n][c][h][w] (of a text "ids"
 * [n][tokens]) and what the net is given besides: "time" [n], "text"
 * [n][tokens][c], "added" [n][c]; all F32. OUTPUTS gets "output", and "pooled"
 * where a text has it.
 *
 * Keys: kernels, isa, threads (of a patch), patches (threads in place of
 * ranks, which share the weights), grain (rows of a unit, of latents), runs
 * (evaluations that are timed, after one), ask (1: a timed run waits for a line
 * on stdin, and its seconds are printed at once). Prints one line of JSON:
 * seconds of each part of the start, of each run and by class of layer; bytes
 * as planned and as they were.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "core/model/load.h"
#include "core/net/net.h"
#include "core/net/text.h"
#include "tests/team.h"

enum { MOST_RUNS = 64 };

typedef struct options {
    const char *kernels, *isa;
    int threads, patches, runs, grain, ask;
} options;

typedef struct bench {
    options o;
    weft_json *config;
    weft_st *weights, *inputs;
    const weft_st_tensor *input;
    const weft_device *dev;
    weft_graph graph;
    weft_val pooled;
    int n, rows, units; /* rows: of the input; 0 for a text */
    int first[WEFT_TEAM_MOST + 1];
    void *packed;
    float *out, *out_pooled;
    weft_layout layout; /* of patch 0 */
    double opened, built, packed_at, prepared;
    double run[MOST_RUNS + 1]; /* the first is not timed */
    double *seconds;           /* of nodes, of patch 0 */
} bench;

static void die(const char *why)
{
    fprintf(stderr, "net: %s\n", why);
    exit(1);
}

static void must(weft_status st)
{
    if (st != WEFT_OK) die(weft_fail_text());
}

static void *pages(size_t bytes)
{
    void *p = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) die("out of memory");
    madvise(p, bytes + 1, MADV_HUGEPAGE);
    return p;
}

static const float *floats(const bench *b, const char *name, size_t count)
{
    const weft_st_tensor *t = weft_st_find(b->inputs, name);

    if (!t || strcmp(t->dtype, "F32") || t->bytes != count * sizeof(float)) {
        fprintf(stderr, "net: %s: %zu floats are needed\n", name, count);
        exit(1);
    }
    return t->data;
}

/* ---- building ------------------------------------------------------------ */

static void build_text(bench *b)
{
    weft_text_info info;
    weft_text text;

    must(weft_text_read_info(b->config, &info));
    b->units = 1;
    must(weft_text_build(b->config, &(weft_text_opts){0, true, true},
                         (int)b->input->shape[1], weft_load_dtype(b->weights),
                         &text));
    b->graph = text.graph;
    b->pooled = text.pooled;
}

static void build_net(bench *b, weft_net_part part)
{
    enum { GRAIN = 8, STRIP = 32 }; /* as `auto` of 512 pixels and more */
    const int w = (int)b->input->shape[3];
    const weft_st_tensor *text = weft_st_find(b->inputs, "text");
    weft_net_info info;
    int unit = GRAIN, strip = STRIP;

    must(weft_net_read_info(b->config, &info));
    if (text) info.tokens = (int)text->shape[1];
    if (b->o.grain) unit = b->o.grain;
    if (part == WEFT_PART_ENCODE) {
        unit *= info.stride;
        strip *= info.stride;
    }
    b->rows = (int)b->input->shape[2];
    b->units = b->rows / unit;
    must(weft_net_build(b->config, &info, part, (weft_cell){unit, strip, w},
                        weft_load_dtype(b->weights), &b->graph));
}

static void build(bench *b, const char *part)
{
    const bool text = !strcmp(part, "text");

    b->pooled = WEFT_NONE;
    b->input = weft_st_find(b->inputs, text ? "ids" : "input");
    if (!b->input || b->input->ndim != (text ? 2 : 4)) die("no input");
    b->n = (int)b->input->shape[0];
    if (text)
        build_text(b);
    else
        build_net(b, !strcmp(part, "decode")   ? WEFT_PART_DECODE
                     : !strcmp(part, "encode") ? WEFT_PART_ENCODE
                                               : WEFT_PART_NET);
    must(weft_load_check(&b->graph, b->weights, NULL));
    b->seconds = calloc((size_t)b->graph.nnodes, sizeof *b->seconds);
    if (!b->seconds) die("out of memory");
    for (int p = 0; p <= b->o.patches; p++)
        b->first[p] = p * b->units / b->o.patches;
}

/* Weights as `weft sample` has them on a node: packed once, for all ranks. */
static void pack(bench *b)
{
    const weft_cut cut = {.n = b->o.patches, .first = b->first};
    weft_pool *pool;

    must(weft_layout_make(&b->graph, b->dev, b->n, &cut, &b->layout));
    must(weft_pool_create(b->o.threads * b->o.patches, NULL, &pool));
    b->packed = pages(b->layout.weight_bytes);
    must(weft_load_pack(&b->graph, b->dev, &b->layout, b->weights, b->packed, 0,
                        1, pool));
    weft_pool_destroy(pool);
}

/* ---- one patch ----------------------------------------------------------- */

/* [n][c][rows of the image][w] to rows y0 on, [rows][n][w][c]; or back. */
static void copy_rows(const weft_value *v, int n, int y0, int rows, int all,
                      float *image, float *mine, bool out)
{
    for (int y = y0; y < y0 + rows; y++)
        for (int s = 0; s < n; s++)
            for (int x = 0; x < v->w; x++)
                for (int c = 0; c < v->c; c++, mine++) {
                    float *at =
                        image +
                        (((size_t)s * v->c + c) * (size_t)all + y) * v->w + x;

                    if (out)
                        *at = *mine;
                    else
                        *mine = *at;
                }
}

static size_t vector_floats(const bench *b, weft_val v)
{
    const weft_value *x = weft_graph_at(&b->graph, v);

    return (size_t)b->n * (size_t)x->w * (size_t)x->c;
}

static void fill(const bench *b, const weft_run *run, int y0, int units)
{
    static const char *const name[WEFT_GIVENS] = {"text", "added", "guide"};
    const weft_value *in = weft_graph_at(&b->graph, b->graph.input);
    float *to = weft_run_value(run, b->graph.input);

    for (int i = 0; i < WEFT_GIVENS; i++) {
        const weft_val v = b->graph.given[i];

        if (v == WEFT_NONE) continue;
        memcpy(weft_run_value(run, v), floats(b, name[i], vector_floats(b, v)),
               vector_floats(b, v) * sizeof(float));
    }
    if (b->rows)
        copy_rows(in, b->n, y0 * in->rows_per_unit, units * in->rows_per_unit,
                  b->rows, (float *)b->input->data, to, false);
    else
        memcpy(to, b->input->data, b->input->bytes);
}

static void take(const bench *b, const weft_run *run, int y0, int units)
{
    const weft_value *out = weft_graph_at(&b->graph, b->graph.output);
    const int each = out->rows_per_unit;
    float *from = weft_run_value(run, b->graph.output);

    if (each)
        copy_rows(out, b->n, y0 * each, units * each, b->units * each, b->out,
                  from, true);
    else
        memcpy(b->out, from, vector_floats(b, b->graph.output) * sizeof *from);
    if (b->pooled != WEFT_NONE)
        memcpy(b->out_pooled, weft_run_value(run, b->pooled),
               vector_floats(b, b->pooled) * sizeof *from);
}

static void wait_for_line(void)
{
    char line[16];

    if (!fgets(line, sizeof line, stdin)) exit(0);
}

/* The input's place may hold something else after a run. */
static void evaluate(bench *b, weft_run *run, int y0, int units, bool speaks)
{
    if (speaks) b->prepared = weft_clock();
    for (int i = 0; i <= b->o.runs; i++) {
        double start, processor;

        if (i && speaks && b->o.ask) wait_for_line();
        start = weft_clock();
        processor = weft_cpu_clock();
        if (i == 1 && speaks) run->seconds = b->seconds;
        fill(b, run, y0, units);
        must(weft_graph_eval(&b->graph, run));
        if (speaks) b->run[i] = weft_clock() - start;
        if (i && speaks && b->o.ask) {
            printf("%.6f %.6f\n", b->run[i], weft_cpu_clock() - processor);
            fflush(stdout);
        }
    }
    take(b, run, y0, units);
}

static void one_patch(void *arg, int patch, weft_exchange *x)
{
    bench *b = arg;
    const int y0 = b->first[patch], units = b->first[patch + 1] - y0;
    weft_pool *pool;
    weft_layout l;
    weft_run run = {.dev = b->dev, .x = x, .layout = &l};

    if (weft_st_find(b->inputs, "time"))
        run.time = floats(b, "time", (size_t)b->n);
    must(weft_pool_create(b->o.threads, NULL, &pool));
    must(weft_layout_make(&b->graph, b->dev, b->n, &x->cut, &l));
    must(weft_pool_reserve(pool, l.scratch));
    run.pool = pool;
    run.block = pages(l.bytes);
    run.held = pages(l.held_bytes);
    run.weights = b->packed;
    must(weft_graph_declare(&b->graph, b->n, x));
    must(weft_graph_bind(&b->graph, &l, run.block, x, 0));
    fill(b, &run, y0, units);
    must(weft_graph_prepare(&b->graph, &run));
    evaluate(b, &run, y0, units, patch == 0);
    weft_layout_release(&l);
    weft_pool_destroy(pool);
}

static void run_patches(bench *b)
{
    const weft_cut cut = {.n = b->o.patches, .first = b->first};
    weft_team team;

    weft_team_init(&team, &cut, WEFT_IN_STEP);
    weft_team_run(&team, one_patch, b);
    weft_team_release(&team);
}

/* ---- output -------------------------------------------------------------- */

static weft_st_entry entry(const bench *b, weft_val v, const char *name)
{
    const weft_value *x = weft_graph_at(&b->graph, v);
    const int rows = x->rows_per_unit * b->units;

    if (!rows) return (weft_st_entry){name, "F32", 3, {b->n, x->w, x->c}};
    return (weft_st_entry){name, "F32", 4, {b->n, x->c, rows, x->w}};
}

static size_t entry_floats(const weft_st_entry *e)
{
    size_t n = 1;

    for (int i = 0; i < e->ndim; i++) n *= (size_t)e->shape[i];
    return n;
}

static void make_room(bench *b)
{
    const weft_st_entry e = entry(b, b->graph.output, "output");

    b->out = pages(entry_floats(&e) * sizeof *b->out);
    if (b->pooled != WEFT_NONE)
        b->out_pooled = pages(vector_floats(b, b->pooled) * sizeof *b->out);
}

static void write_out(const bench *b, const char *path)
{
    const int n = b->pooled == WEFT_NONE ? 1 : 2;
    const float *const data[2] = {b->out, b->out_pooled};
    weft_st_entry e[2] = {entry(b, b->graph.output, "output")};
    weft_st_writer *w;

    if (n == 2) e[1] = entry(b, b->pooled, "pooled");
    must(weft_st_create(path, e, n, NULL, &w));
    for (int i = 0; i < n; i++)
        must(
            weft_st_put(w, i, 0, data[i], entry_floats(&e[i]) * sizeof(float)));
    must(weft_st_finish(w));
}

/* "linear": [seconds of one run, operations], patch 0's. */
static void print_classes(const bench *b)
{
    const weft_graph *g = &b->graph;

    printf("\"classes\": {");
    for (int i = 0, seen = 0; i < g->nnodes; i++) {
        double seconds = 0, flops = 0;
        int k = 0;

        while (k < i && strcmp(g->node[k].ops->kind, g->node[i].ops->kind)) k++;
        if (k < i) continue;
        for (; k < g->nnodes; k++) {
            if (strcmp(g->node[k].ops->kind, g->node[i].ops->kind)) continue;
            seconds += b->seconds[k] / (b->o.runs > 0 ? b->o.runs : 1);
            flops += weft_graph_flops(g, k, b->n, b->layout.units, b->units);
        }
        printf("%s\"%s\": [%.6f, %.6g]", seen++ ? ", " : "",
               g->node[i].ops->kind, seconds, flops);
    }
    printf("}");
}

static void print(const bench *b, double start)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    printf("{\"open_s\": %.4f, \"build_s\": %.4f, \"pack_s\": %.4f, "
           "\"prepare_s\": %.4f, \"first_s\": %.4f, \"run_s\": [",
           b->opened - start, b->built - b->opened, b->packed_at - b->built,
           b->prepared - b->packed_at, b->run[0]);
    for (int i = 1; i <= b->o.runs; i++)
        printf("%s%.5f", i > 1 ? ", " : "", b->run[i]);
    printf("], \"weight_bytes\": %zu, \"block_bytes\": %zu, "
           "\"held_bytes\": %zu, \"scratch_bytes\": %zu, "
           "\"peak_bytes\": %lld, ",
           b->layout.weight_bytes, b->layout.bytes, b->layout.held_bytes,
           b->layout.scratch * (size_t)b->o.threads,
           (long long)used.ru_maxrss * 1024);
    print_classes(b);
    printf("}\n");
}

static bool read_option(const char *key, const char *value, options *o)
{
    const struct {
        const char *key;
        int *to, least, most;
    } number[] = {{"threads", &o->threads, 1, 1024},
                  {"patches", &o->patches, 1, WEFT_TEAM_MOST},
                  {"runs", &o->runs, 0, MOST_RUNS},
                  {"grain", &o->grain, 0, 1024},
                  {"ask", &o->ask, 0, 1}};
    char *end;

    if (!strcmp(key, "kernels"))
        o->kernels = value;
    else if (!strcmp(key, "isa"))
        o->isa = value;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        const long x = strtol(value, &end, 10);

        if (strcmp(key, number[i].key)) continue;
        if (*end || x < number[i].least || x > number[i].most) return false;
        *number[i].to = (int)x;
        return true;
    }
    return !strcmp(key, "kernels") || !strcmp(key, "isa");
}

static void read_options(char **arg, options *o)
{
    *o = (options){"lean", NULL, 1, 1, 1, 0, 0};
    for (; *arg; arg++) {
        char *value = strchr(*arg, '=');

        if (!value) die("KEY=VALUE is wanted");
        *value++ = 0;
        if (!read_option(*arg, value, o)) die("unknown key, or out of range");
    }
}

int main(int argc, char **argv)
{
    const double start = weft_clock();
    bench b = {0};

    if (argc < 6) die("PART CONFIG WEIGHTS INPUTS OUTPUTS [KEY=VALUE...]");
    read_options(argv + 6, &b.o);
    must(weft_device_find(b.o.kernels, b.o.isa, &b.dev));
    must(weft_json_read(argv[2], &b.config));
    must(weft_st_open(argv[3], &b.weights));
    must(weft_st_open(argv[4], &b.inputs));
    b.opened = weft_clock();
    build(&b, argv[1]);
    b.built = weft_clock();
    pack(&b);
    b.packed_at = weft_clock();
    make_room(&b);
    run_patches(&b);
    write_out(&b, argv[5]);
    print(&b, start);
    free(b.seconds);
    weft_layout_release(&b.layout);
    weft_graph_release(&b.graph);
    weft_st_close(b.inputs);
    weft_st_close(b.weights);
    weft_json_free(b.config);
    return 0;
}
