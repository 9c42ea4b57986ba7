/* Pictures that are painted over, against diffusers' pipelines
 * (tests/golden/repaint.py), on any rows; masks and latents of pictures. */
#include "tests/core/solver_run.h"

#include "core/guide/model.h"
#include "core/solve/repaint.h"

enum { C = 4, H = 4, W = 3, ALL = C * H * W };

/* ---- goldens ------------------------------------------------------------- */

typedef struct golden {
    char kind[16];
    weft_solver_kind solver;
    int steps;
    double strength, x[ALL];
    char config[512];
} golden;

static bool read_golden(FILE *in, golden *g)
{
    char name[32];
    int k = 0;

    if (fscanf(in, " case %15s %31s %d %lf %511[^\n] x", g->kind, name,
               &g->steps, &g->strength, g->config) != 5)
        return false;
    for (int i = 0; i < ALL; i++)
        assert_int_equal(fscanf(in, "%lf", &g->x[i]), 1);
    while (strcmp(weft_solver_name[k], name)) k++;
    g->solver = (weft_solver_kind)k;
    return true;
}

/* Rows row0 on of f(k) at element k of [C][H][W], for each of n samples. */
static void fill(double (*f)(double), const weft_field *part, int n, float *to)
{
    for (int y = 0; y < part->rows; y++)
        for (int s = 0; s < n; s++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < C; c++)
                    *to++ = (float)f((c * H + part->row0 + y) * W + x);
}

/* A run over some rows, with what it is told of its picture. */
typedef struct painting {
    run r;
    float *picture, *masked, *noise, *wide, mask[H * W];
} painting;

/* diffusers' net of nine channels: what widening gives, element by element. */
static weft_status nine_answer(weft_denoiser *d, float *out)
{
    const toy *t = (const toy *)d;
    const painting *p = t->arg;
    const weft_batch *b = &d->batch;
    const float *wide = p->wide;

    weft_beside_widen(b, t->in.x, &(weft_beside){p->mask, p->masked, b->n},
                      p->wide);
    for (int y = 0; y < b->rows; y++)
        for (int i = 0; i < b->n * W; i++, wide += 2 * C + 1)
            for (int c = 0; c < C; c++) {
                const int k = (c * H + t->field.row0 + y) * W + i % W;

                *out++ = (float)(golden_rule(t, wide[c], k, t->in.time) +
                                 .2 * wide[C] + .3 * wide[C + 1 + c]);
            }
    return WEFT_OK;
}

static const weft_denoiser_ops nine_ops = {"nine", toy_ask, toy_work,
                                           nine_answer, NULL};

static float *floats(size_t n)
{
    float *p = calloc(n, sizeof *p);

    assert_non_null(p);
    return p;
}

static void open_painting(painting *p, const golden *g,
                          const weft_noise_schedule *c, weft_field f, int n)
{
    const weft_solver_opts o = {.kind = g->solver, .steps = g->steps};
    const size_t wide = (size_t)(f.rows * n * W) * (2 * C + 1);

    run_open(&p->r, &o, c, f, n);
    p->picture = floats(p->r.floats);
    p->masked = floats(p->r.floats);
    p->noise = floats(p->r.floats);
    p->wide = floats(wide);
    fill(cos, &f, n, p->picture);
    fill(sin, &f, n, p->masked);
    for (int i = 0; i < f.rows * W; i++) p->mask[i] = (f.row0 * W + i) % 3 != 0;
    if (strcmp(g->kind, "nine")) return;
    p->r.net.base.ops = &nine_ops;
    p->r.net.arg = p;
}

static void close_painting(painting *p)
{
    free(p->picture);
    free(p->masked);
    free(p->noise);
    free(p->wide);
    run_close(&p->r);
}

static void paint(painting *p, const golden *g)
{
    const weft_repaint keep = {p->picture, p->noise, p->mask};
    weft_solver *s = p->r.s;
    int first;

    assert_int_equal(weft_repaint_first(g->steps, g->strength, &first),
                     WEFT_OK);
    weft_solver_begin(s, first, 1);
    assert_int_equal(weft_solver_start(s, p->r.x), WEFT_OK);
    for (size_t i = 0; i < p->r.floats; i++)
        p->noise[i] = (float)(p->r.x[i] / s->init_sigma);
    if (strcmp(g->kind, "img2img") == 0 || g->strength < 1)
        weft_repaint_noised(s, weft_solver_begins(s), p->picture, p->noise,
                            p->r.x);
    for (int i = first; i < s->steps; i++) {
        assert_int_equal(weft_solver_step(s, i, &p->r.ask, p->r.x), WEFT_OK);
        if (strcmp(g->kind, "inpaint") == 0)
            weft_repaint_keep(s, i + 1, &keep, p->r.x);
    }
}

static double check_golden(const golden *g)
{
    weft_noise_schedule c = read_schedule(g->solver, g->config);
    double off = 0, all = 0;
    painting p;

    open_painting(&p, g, &c, (weft_field){C, H, W, 0, H, 0, W}, 1);
    paint(&p, g);
    for (int k = 0; k < ALL; k++) {
        const double d = p.r.x[k % (H * W) * C + k / (H * W)] - g->x[k];

        off += d * d;
        all += g->x[k] * g->x[k];
    }
    off = sqrt(off / all);
    if (!(off <= 1e-5))
        fail_msg("%s, %s, %d steps, strength %g, %s: relative rms %g", g->kind,
                 weft_solver_name[g->solver], g->steps, g->strength, g->config,
                 off);
    close_painting(&p);
    weft_noise_schedule_release(&c);
    return off;
}

static FILE *open_goldens(void)
{
    FILE *in = fopen(WEFT_SOURCE_DIR "/tests/golden/repaint.txt", "r");

    assert_non_null(in);
    return in;
}

static void equals_diffusers(void **state)
{
    FILE *in = open_goldens();
    double worst = 0;
    int cases = 0;
    golden g;

    (void)state;
    for (; read_golden(in, &g); cases++) worst = fmax(worst, check_golden(&g));
    assert_true(feof(in));
    fclose(in);
    print_message("%d cases, worst relative rms %.2g\n", cases, worst);
    assert_int_equal(cases, 112);
}

/* ---- properties ---------------------------------------------------------- */

/* Two samples on two rows of four are what both are alone on all. */
static void check_rows(const golden *g)
{
    weft_noise_schedule c = read_schedule(g->solver, g->config);
    painting whole, part;

    open_painting(&part, g, &c, (weft_field){C, H, W, 1, 2, 0, W}, 2);
    paint(&part, g);
    for (int n = 0; n < 2; n++) {
        open_painting(&whole, g, &c, (weft_field){C, H, W, 0, H, 0, W}, 1);
        weft_noise_init(&whole.r.noise[0], WEFT_RNG_TORCH_CPU,
                        (uint64_t)(SEED + n));
        paint(&whole, g);
        for (int y = 0; y < 2; y++)
            assert_memory_equal(part.r.x + (y * 2 + n) * W * C,
                                whole.r.x + (y + 1) * W * C,
                                W * C * sizeof(float));
        close_painting(&whole);
    }
    close_painting(&part);
    weft_noise_schedule_release(&c);
}

static void does_not_depend_on_the_rows(void **state)
{
    FILE *in = open_goldens();
    golden g;

    (void)state;
    for (int i = 0; read_golden(in, &g); i++)
        if (i % 5 == 0) check_rows(&g);
    fclose(in);
}

/* What the mask keeps ends as the picture, to the bit. */
static void keeps_the_picture(void **state)
{
    FILE *in = open_goldens();
    golden g;

    weft_noise_schedule c;
    painting p;

    (void)state;
    do assert_true(read_golden(in, &g));
    while (strcmp(g.kind, "inpaint"));
    fclose(in);
    c = read_schedule(g.solver, g.config);
    open_painting(&p, &g, &c, (weft_field){C, H, W, 0, H, 0, W}, 1);
    paint(&p, &g);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(p.r.x[i] == p.picture[i], p.mask[i / C] == 0);
    close_painting(&p);
    weft_noise_schedule_release(&c);
}

static void leaves_out_steps(void **state)
{
    static const struct {
        int steps;
        double strength;
        int first;
    } known[] = {{50, .6, 20}, {30, .7, 9}, {100, .29, 72}, {10, .3, 7},
                 {7, 1, 0},    {1, 1, 0},   {3, .34, 2}};
    int first = -1;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(
            weft_repaint_first(known[i].steps, known[i].strength, &first),
            WEFT_OK);
        assert_int_equal(first, known[i].first);
    }
    assert_int_equal(weft_repaint_first(10, .09, &first), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "0.1 leaves one"));
    assert_int_equal(weft_repaint_first(10, 1.01, &first), WEFT_EINPUT);
    assert_int_equal(weft_repaint_first(10, -.1, &first), WEFT_EINPUT);
    assert_int_equal(weft_repaint_first(10, NAN, &first), WEFT_EINPUT);
}

/* ---- pictures ------------------------------------------------------------ */

static void takes_the_upper_left_of_a_mask(void **state)
{
    unsigned char grey[4 * 6] = {0};
    float mask[2 * 3];

    (void)state;
    grey[0] = 128;         /* of pixel (0, 0) */
    grey[4] = 127;         /* of (0, 2) */
    grey[2 * 6 + 2] = 255; /* of (1, 1) */
    grey[3 * 6 + 5] = 255; /* of none */
    weft_repaint_mask(grey, 2, 3, 2, mask);
    for (int i = 0; i < 6; i++)
        assert_true(mask[i] == (i == 0 || i == 4 ? 1 : 0));
}

static void draws_latents(void **state)
{
    weft_net_info vae = {.kind = WEFT_NET_VAE_KL,
                         .latent_channels = 2,
                         .scaling_factor = .5f,
                         .shift_factor = .25f};
    /* of one pixel: means, log-variances, the second beyond what is taken */
    const float encoded[] = {1, -2, -1.386294361f, 50};
    const float noise[] = {3, .5f};
    float z[2];

    (void)state;
    weft_repaint_latents(&vae, encoded, noise, 1, z);
    assert_float_equal(z[0], (1 + .5 * 3 - .25) * .5, 1e-6);
    assert_float_equal(z[1] / ((-2 + exp(10) * .5 - .25) * .5), 1, 1e-6);
    vae.has_mean_std = true;
    vae.latents_mean[1] = 4;
    vae.latents_std[0] = 2;
    vae.latents_std[1] = 8;
    weft_repaint_latents(&vae, encoded, (float[]){0, 0}, 1, z);
    assert_float_equal(z[0], 1 * .5 / 2, 1e-6);
    assert_float_equal(z[1], (-2 - 4) * .5 / 8, 1e-6);
    vae = (weft_net_info){
        .kind = WEFT_NET_VAE_TINY, .latent_channels = 2, .scaling_factor = 1};
    weft_repaint_latents(&vae, encoded, NULL, 1, z);
    assert_true(z[0] == 1 && z[1] == -2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_diffusers),
        cmocka_unit_test(does_not_depend_on_the_rows),
        cmocka_unit_test(keeps_the_picture),
        cmocka_unit_test(leaves_out_steps),
        cmocka_unit_test(takes_the_upper_left_of_a_mask),
        cmocka_unit_test(draws_latents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
