/*
 * The layers, as nets of a few of them: torch's answers on one patch, and the
 * same bytes on any number of patches (threads as ranks).
 *
 * All memory starts as not-a-number and an evaluation of something else comes
 * first, so reading rows that have not arrived, or are old, shows.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "core/layer/layer.h"
#include "tests/answers.h"
#include "tests/core/layer_nets.h"
#include "tests/team.h"

enum { N = 2, ROWS = 20, W = 6, C = 4, UNIT = 4 };

/* ---- weaving: a net on a number of patches ------------------------------- */

typedef struct loom {
    const weft_graph *g;
    const weft_device *dev;
    int threads, total; /* of a patch; units of the image */
    bool late;          /* as of a team */
    const float *time, *label;
    char *weights; /* packed */
    float *image;  /* [rows][n][w][c] of the output, or the vector */
    _Atomic int failed;
} loom;

static size_t shape_size(const int shape[4])
{
    size_t n = 1;

    for (int i = 0; i < 4 && shape[i]; i++) n *= (size_t)shape[i];
    return n;
}

static void pack_weight(const loom *l, const weft_weight *w, char *to)
{
    weft_source src[WEFT_MAX_SOURCES];
    float *data[WEFT_MAX_SOURCES], *floats = (float *)to;

    for (int i = 0; i < w->nsrc; i++) {
        const int parts = w->parts ? w->parts : 1;
        const size_t all = shape_size(w->shape[i]), n = all / (size_t)parts;
        const float *part = data[i] = fill_new(w->name[i], all, 0.25f);

        part += n * (size_t)w->part;
        src[i] = (weft_source){part, WEFT_F32, w->shape[i][0] / parts};
        if (w->kind == WEFT_WEIGHT_CONV) continue;
        memcpy(floats, part, n * sizeof *floats);
        floats += n;
    }
    if (w->kind == WEFT_WEIGHT_CONV)
        l->dev->weight_pack(&w->conv, src, w->nsrc, to, 0, 1);
    for (int i = 0; i < w->nsrc; i++) free(data[i]);
}

/* What my patch holds of a value, and where in the image, [rows][n][w][c], line
 * y of it begins: a row of one sample. */
static weft_rect rect_of(const weft_run *run, const weft_value *v)
{
    const weft_cell cell = {v->rows_per_unit, v->strip, v->w};

    if (!v->rows_per_unit) return (weft_rect){.rows = 1, .columns = v->w};
    return weft_cut_rect(&run->x->cut, &cell, run->x->cut.me);
}

static size_t line_at(const weft_rect *r, const weft_value *v, int y)
{
    return ((size_t)(r->row * N + y) * (size_t)v->w + (size_t)r->column) *
           (size_t)v->c;
}

/* The input of my patch out of the image called `name`. */
static void fill_input(const loom *l, weft_run *run, const char *name)
{
    const weft_value *v = weft_graph_at(l->g, l->g->input);
    const weft_rect r = rect_of(run, v);
    const size_t line = (size_t)(r.columns * v->c);

    for (int y = 0; y < r.rows * N; y++)
        fill_from(name, weft_run_value(run, l->g->input) + (size_t)y * line,
                  line_at(&r, v, y), line, 1);
}

/* Mine of it; a vector, which everyone has, is taken from the last patch. */
static void take_output(const loom *l, const weft_run *run)
{
    const weft_value *v = weft_graph_at(l->g, l->g->output);
    const bool last = run->x->cut.me == run->x->cut.n - 1;
    const weft_rect r = rect_of(run, v);
    const size_t line = (size_t)(r.columns * v->c);

    if (!v->rows_per_unit && !last) return;
    for (int y = 0; y < r.rows * N; y++)
        memcpy(l->image + line_at(&r, v, y),
               weft_run_value(run, l->g->output) + (size_t)y * line,
               line * sizeof *l->image);
}

static weft_status evaluate(const loom *l, weft_run *run)
{
    fill_input(l, run, "something else");
    WEFT_TRY(weft_graph_eval(l->g, run));
    fill_input(l, run, "x");
    WEFT_TRY(weft_graph_eval(l->g, run));
    take_output(l, run);
    return WEFT_OK;
}

static void *new_block(size_t bytes)
{
    void *block = aligned_alloc(64, bytes + 64);

    WEFT_MUST(block);
    memset(block, 0xff, bytes + 64);
    return block;
}

static void weave_patch(void *arg, int patch, weft_exchange *x)
{
    loom *l = arg;
    weft_layout layout;
    weft_run run = {.dev = l->dev,
                    .x = x,
                    .layout = &layout,
                    .weights = l->weights,
                    .time = l->time,
                    .label = l->label};

    (void)patch;
    WEFT_MUST(!weft_layout_make(l->g, l->dev, N, &x->cut, &layout));
    WEFT_MUST(!weft_pool_create(l->threads, NULL, &run.pool));
    WEFT_MUST(!weft_pool_reserve(run.pool, layout.scratch));
    run.block = new_block(layout.bytes);
    WEFT_MUST(!weft_graph_declare(l->g, N, x));
    WEFT_MUST(!weft_graph_bind(l->g, &layout, run.block, x, 0));
    l->failed += evaluate(l, &run) != WEFT_OK;
    free(run.block);
    weft_pool_destroy(run.pool);
    weft_layout_release(&layout);
}

static void load_weights(loom *l)
{
    weft_layout layout;

    const int all[] = {0, l->total};
    const weft_cut one = {.n = 1, .first = all};

    WEFT_MUST(!weft_layout_make(l->g, l->dev, N, &one, &layout));
    l->weights = new_block(layout.weight_bytes);
    for (int i = 0; i < l->g->nweights; i++)
        pack_weight(l, &l->g->weight[i], l->weights + layout.weight[i]);
    weft_layout_release(&layout);
}

/* The output image of a cut with `threads` threads a patch; owned. */
static float *weave(loom *l, const weft_cut *cut, int threads)
{
    static weft_team team;
    const weft_value *out = weft_graph_at(l->g, l->g->output);
    const int rows = out->rows_per_unit ? out->rows_per_unit * l->total : 1;

    l->threads = threads;
    l->failed = 0;
    l->image = calloc((size_t)(rows * N * out->w * out->c), sizeof(float));
    assert_non_null(l->image);
    weft_team_init(&team, cut, WEFT_IN_STEP);
    team.late = l->late;
    weft_team_run(&team, weave_patch, l);
    weft_team_release(&team);
    assert_int_equal(l->failed, 0);
    return l->image;
}

/* ---- tests --------------------------------------------------------------- */

static const float times[N] = {999, 20.5f}, labels[N] = {3, 0};
#ifdef __SANITIZE_THREAD__ /* the threads are the same on every device */
static const char *const device_name[] = {"lean", "fast"};
#else
static const char *const device_name[] = {"reference", "lean", "fast"};
#endif

/* `stride`: the total of the net; of the nets of the answers, at `w` columns,
 * and of others `wide` enough for cuts along the columns. */
typedef struct net {
    const char *name;
    weft_val (*build)(weft_graph *g);
    int stride, w, wide, c;
} net;

static const net nets[] = {
    {"convolutions", convolutions, 2, W, 44, C},
    {"norms", norms, 2, W, 20, C},
    {"attention", attention, 1, W, 13, C},
    {"resampling", resampling, 2, W, 36, C},
    {"vectors", vectors, 1, W, 12, C},
    {"wide", wide, 2, 64, 60, 3},
    {"deep", deep, 4, 28, 56, 20},
};

/* Strips that no tile of minimal filtering spans. */
static void net_init(const net *n, weft_graph *g, int unit, int w)
{
    weft_graph_init(g, (weft_cell){unit, 4 * n->stride, w}, n->c);
    assert_int_equal(weft_graph_finish(g, n->build(g)), WEFT_OK);
}

static const int rows[][6] = {
    {0, 5}, {0, 2, 5}, {0, 1, 4, 5}, {0, 1, 2, 3, 5}, {0, 1, 2, 3, 4, 5}};

/* Every cut gives the bytes of one patch; returns that patch's image. */
static float *check_cuts(loom *l, size_t floats)
{
    const weft_cut whole = {.n = 1, .first = rows[0]};
    float *one = weave(l, &whole, 1);

    for (int i = 0; i < 9; i++) {
        const weft_cut cut = {.n = i / 2 + 1, .first = rows[i / 2]};
        float *many = weave(l, &cut, 1 + i % 2);

        assert_memory_equal(one, many, floats * sizeof *one);
        free(many);
    }
    return one;
}

/* 1 x 2, 2 x 2, 3 x 2, 1 x 3, 2 x 3 and 5 x 3 patches, where strips allow. */
static void check_columns(loom *l, const float *one, size_t floats)
{
    const weft_cell *cell = &l->g->cell;
    const int strips = (cell->width - 1) / cell->columns + 1;
    const int two[] = {0, strips / 2, strips}, three[] = {0, 1, 2, strips};

    for (int i = 0; i < 6; i++) {
        static const int lines[] = {1, 2, 3, 1, 2, 5};
        const int across = i < 3 ? 2 : 3;
        const weft_cut cut = {.n = lines[i] * across,
                              .first = rows[lines[i] - 1],
                              .across = across,
                              .strip = across == 2 ? two : three};
        float *many;

        if (strips < across) continue;
        l->late = i % 3 != 1;
        many = weave(l, &cut, 1 + i % 2);
        assert_memory_equal(one, many, floats * sizeof *one);
        free(many);
    }
}

static bool find_answer(const char *name, answer *a)
{
    FILE *f = answers_open();
    bool found = false;

    while (!found && answers_next(f, a)) {
        found = !strcmp(a->name, name);
        if (!found) free(a->value);
    }
    fclose(f);
    return found;
}

static void check_answer(const net *n, const float *got, size_t floats)
{
    answer a;
    double d;

    if (!find_answer(n->name, &a)) return;
    d = answer_distance(&a, got);
    assert_int_equal(a.count, floats);
    if (!(d < 3e-6)) print_message("%s: %g\n", n->name, d);
    assert_true(d < 3e-6);
    free(a.value);
}

static void check_net(const net *n, const weft_device *dev, int w)
{
    weft_graph g;
    float *got;

    net_init(n, &g, UNIT, w);
    loom l = {.g = &g,
              .dev = dev,
              .total = ROWS / UNIT,
              .time = times,
              .label = labels};
    const weft_value *out = weft_graph_at(&g, g.output);
    const size_t floats =
        (size_t)((out->rows_per_unit ? out->rows_per_unit * l.total : 1) * N *
                 out->w * out->c);
    load_weights(&l);
    if (w == n->w) {
        got = check_cuts(&l, floats);
        check_answer(n, got, floats);
    } else {
        got = weave(&l, &(weft_cut){.n = 1, .first = rows[0]}, 1);
        check_columns(&l, got, floats);
    }
    for (size_t i = 0; i < floats; i++) assert_true(isfinite(got[i]));
    free(got);
    free(l.weights);
    weft_graph_release(&g);
}

static void torch_and_any_cut(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof device_name / sizeof *device_name; d++) {
        const weft_device *dev;

        assert_int_equal(weft_device_find(device_name[d], NULL, &dev), WEFT_OK);
        for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
            check_net(&nets[i], dev, nets[i].w);
            check_net(&nets[i], dev, nets[i].wide);
        }
    }
}

/* ---- the inside ---------------------------------------------------------- */

static const weft_device *plain;
static _Atomic long early,
    computed; /* pixels; early: of who saw no neighbour */

static void count_conv(const weft_conv_args *a, weft_pool *pool)
{
    const long pixels = (long)(a->row1 - a->row0) * a->n * (a->col1 - a->col0);

    computed += pixels;
    if (!a->beside[0] && !a->beside[1]) early += pixels;
    plain->conv(a, pool);
}

static int neighbours(const weft_cut *c, int p, int down, int right)
{
    return (weft_cut_neighbour(c, p, down, right) >= 0) +
           (weft_cut_neighbour(c, p, -down, -right) >= 0);
}

/* But for a tile at each side that has a neighbour. */
static long pixels_inside(const weft_graph *g, const weft_cut *c)
{
    long sum = 0;

    for (int p = 0; p < c->n; p++) {
        const weft_rect r = weft_cut_rect(c, &g->cell, p);
        const int high = r.rows - 4 * neighbours(c, p, 1, 0);
        const int broad = r.columns - 4 * neighbours(c, p, 0, 1);

        assert_true(high > 0 && broad > 0);
        sum += (long)high * N * broad;
    }
    return sum;
}

static void the_inside_comes_before_the_neighbours(void **state)
{
    static const int rows2[] = {0, 2, 5}, rows1[] = {0, 5};
    static const int two[] = {0, 11, 24}, three[] = {0, 8, 17, 24};
    static const weft_cut cuts[] = {
        {.n = 2, .first = rows2},
        {.n = 2, .first = rows1, .across = 2, .strip = two},
        {.n = 3, .first = rows1, .across = 3, .strip = three},
        {.n = 4, .first = rows2, .across = 2, .strip = two}};
    weft_device counting;
    weft_graph g;
    loom l = {.g = &g, .dev = &counting, .total = 5, .late = true};

    (void)state;
    assert_int_equal(weft_device_find("fast", NULL, &plain), WEFT_OK);
    counting = *plain;
    counting.conv = count_conv;
    weft_graph_init(&g, (weft_cell){UNIT, 4, 96}, C);
    assert_int_equal(weft_graph_finish(&g, weft_add_conv(&g, "a", g.input, C,
                                                         WEFT_CONV(.k = 3))),
                     WEFT_OK);
    load_weights(&l);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        early = computed = 0;
        free(weave(&l, &cuts[i], 1));
        assert_int_equal(computed, 2 * UNIT * 5 * N * 96);
        assert_int_equal(early, 2 * pixels_inside(&g, &cuts[i]));
    }
    free(l.weights);
    weft_graph_release(&g);
}

/* ---- embeddings ---------------------------------------------------------- */

static float *run_vector(weft_graph *g, weft_val v, const float *t)
{
    loom l = {.g = g, .total = 1, .time = t};
    const int one[] = {0, 1};
    float *got;

    assert_int_equal(weft_graph_finish(g, v), WEFT_OK);
    assert_int_equal(weft_device_find("reference", NULL, &l.dev), WEFT_OK);
    load_weights(&l);
    got = weave(&l, &(weft_cut){.n = 1, .first = one}, 1);
    free(l.weights);
    return got;
}

static void embeddings_of_diffusers(void **state)
{
    const float sinusoid_times[] = {999, 0}, fourier_times[] = {999, 0.5f};
    FILE *f = answers_open();
    int checked = 0;
    answer a;

    (void)state;
    while (answers_next(f, &a)) {
        const double *p = a.param;
        const bool fourier = !strcmp(a.name, "fourier");
        weft_graph g;
        weft_val v;
        float *got;

        if (!fourier && strcmp(a.name, "sinusoid")) {
            free(a.value);
            continue;
        }
        weft_graph_init(&g, (weft_cell){1, 1, 1}, 1);
        v = fourier ? weft_add_fourier(&g, "p", WEFT_EMBED_TIME, 16, p[0] != 0,
                                       p[1] != 0)
                    : weft_add_sinusoid(&g, WEFT_EMBED_TIME, (int)p[0],
                                        p[1] != 0, (float)p[2]);
        got = run_vector(&g, v, fourier ? fourier_times : sinusoid_times);
        assert_true(answer_distance(&a, got) < 1e-6);
        checked++;
        free(got);
        free(a.value);
        weft_graph_release(&g);
    }
    fclose(f);
    assert_int_equal(checked, 5);
}

static weft_status eval_alone(const weft_graph *g, weft_run *run)
{
    const int first[] = {0, 1};
    const weft_cut cut = {.n = 1, .first = first};
    weft_exchange x;
    weft_layout layout;
    weft_status st;

    assert_int_equal(weft_device_find("reference", NULL, &run->dev), WEFT_OK);
    assert_int_equal(weft_layout_make(g, run->dev, 1, &cut, &layout), WEFT_OK);
    assert_int_equal(weft_exchange_init(&x, &weft_solo, &cut, WEFT_IN_STEP),
                     WEFT_OK);
    run->x = &x;
    run->layout = &layout;
    run->block = new_block(layout.bytes);
    run->weights = new_block(layout.weight_bytes);
    st = weft_graph_eval(g, run);
    free(run->block);
    free((char *)run->weights);
    weft_exchange_release(&x);
    weft_layout_release(&layout);
    return st;
}

static void labels_out_of_range_are_refused(void **state)
{
    const float bad[] = {-1, 5, NAN, INFINITY}, good = 4;
    weft_run run = {.label = NULL};
    weft_graph g;

    (void)state;
    weft_graph_init(&g, (weft_cell){1, 1, 1}, 1);
    assert_int_equal(weft_graph_finish(&g, weft_add_lookup(&g, "c", 5, 7)),
                     WEFT_OK);
    assert_int_equal(eval_alone(&g, &run), WEFT_EINPUT);
    for (int i = 0; i < 4; i++) {
        run.label = &bad[i];
        assert_int_equal(eval_alone(&g, &run), WEFT_EINPUT);
    }
    run.label = &good;
    assert_int_equal(eval_alone(&g, &run), WEFT_OK);
    weft_graph_release(&g);
}

/* diffusers' get_guidance_scale_embedding of w - 1, float32, printed. */
static void guidance_as_sinusoids(void **state)
{
    static const struct {
        double w;
        int dim;
        float v[9];
    } want[] = {
        {8.5,
         6,
         {-0.851235867f, -0.38778165f, 0.681638718f, -0.524783254f,
          0.921751261f, 0.731688917f}},
        {1, 5, {0, 0, 1, 1, 0}},
        {0,
         9,
         {-0.826879561f, -0.650315821f, -0.834463179f, -0.0998334065f,
          0.562379062f, -0.759663999f, -0.551063657f, 0.995004177f, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        float v[9];

        weft_guide_sinusoids(want[i].w, want[i].dim, v);
        for (int k = 0; k < want[i].dim; k++)
            assert_true(fabsf(v[k] - want[i].v[k]) < 1e-6f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guidance_as_sinusoids),
        cmocka_unit_test(torch_and_any_cut),
        cmocka_unit_test(the_inside_comes_before_the_neighbours),
        cmocka_unit_test(embeddings_of_diffusers),
        cmocka_unit_test(labels_out_of_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
