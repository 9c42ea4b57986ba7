/* Solvers against trajectories of diffusers and k-diffusion (solvers.py and
 * schedulers.py in tests/golden). */
#include "tests/core/solver_run.h"

enum { MOST = 1024 };

typedef struct golden {
    weft_solver_kind kind;
    int steps;
    double eta;
    bool back; /* inverted from a start, last step first */
    char config[1024];
    double nodes[MOST], sigmas[MOST], t[MOST], s[MOST], x[24];
    int nnodes, nsigmas, nt, ns, nx;
} golden;

static int read_numbers(const char *line, double *out, int room)
{
    int n = 0, used;

    for (line++; n < room && sscanf(line, "%lf%n", &out[n], &used) == 1; n++)
        line += used;
    return n;
}

static weft_solver_kind kind_of(const char *name)
{
    for (int k = 0; k < WEFT_SOLVERS; k++)
        if (strcmp(name, weft_solver_name[k]) == 0) return (weft_solver_kind)k;
    fail_msg("no solver %s", name);
    return WEFT_SOLVERS;
}

/* The next case; false at the end of the file. */
static bool read_golden(FILE *in, golden *g)
{
    static char line[1 << 16];
    char name[32], word[8];

    memset(g, 0, sizeof *g);
    if (!fgets(line, sizeof line, in)) return false;
    assert_int_equal(sscanf(line, "%7s %31s %d %lf %1023[^\n]", word, name,
                            &g->steps, &g->eta, g->config),
                     5);
    g->back = strcmp(word, "back") == 0;
    g->kind = kind_of(name);
    while (g->nx == 0 && fgets(line, sizeof line, in)) switch (line[0]) {
        case 'n':
            g->nnodes = read_numbers(line, g->nodes, MOST);
            break;
        case 'g':
            g->nsigmas = read_numbers(line, g->sigmas, MOST);
            break;
        case 't':
            g->nt = read_numbers(line, g->t, MOST);
            break;
        case 's':
            g->ns = read_numbers(line, g->s, MOST);
            break;
        default:
            g->nx = read_numbers(line, g->x, 24);
        }
    assert_int_equal(g->nt, g->steps);
    assert_int_equal(g->ns, g->steps);
    assert_int_equal(g->nx, 24);
    return true;
}

static void describe(const golden *g)
{
    print_message("%s, %d steps, eta %g, %s%s%s\n", weft_solver_name[g->kind],
                  g->steps, g->eta, g->config,
                  g->nnodes || g->nsigmas ? ", own nodes" : "",
                  g->back ? ", backwards" : "");
}

/* Times exactly, but for those that torch found by float32 logarithms; sigmas
 * to the last place of float32, which torch's own square root may miss. */
static bool levels_agree(const golden *g, const weft_solver *s)
{
    const bool found = g->nsigmas || s->schedule->respacing;

    for (int i = 0; i < g->steps; i++) {
        const double slack = found ? 1e-3 : 0;
        const double off = fabs((float)s->time[i] - (float)g->t[i]);
        const double ratio = g->s[i] == s->sigma[i] ? 1 : s->sigma[i] / g->s[i];

        if (off <= slack && fabs(ratio - 1) < (found ? 6e-7 : 2.4e-7)) continue;
        describe(g);
        print_message("node %d: time %.9g, not %.9g; sigma %.9g, not %.9g\n", i,
                      s->time[i], g->t[i], s->sigma[i], g->s[i]);
        return false;
    }
    return true;
}

/* Relative rms; x is [4][1][3][2], the golden [2][4][3]. */
static double distance(const double *want, const float *x)
{
    double off = 0, all = 0;

    for (int e = 0; e < 24; e++) {
        const double v = x[e % 12 * 2 + e / 12];

        off += (v - want[e]) * (v - want[e]);
        all += want[e] * want[e];
    }
    return sqrt(off / all);
}

static void run_back(run *r)
{
    assert_int_equal(weft_solver_start(r->s, r->x), WEFT_OK);
    for (int i = r->s->steps - 1; i >= 0; i--)
        assert_int_equal(weft_solver_invert(r->s, i, &r->ask, r->x), WEFT_OK);
}

/* The distance, which is infinite where the nodes are other ones. */
static double compare(const golden *g)
{
    const weft_solver_opts o = {.kind = g->kind,
                                .steps = g->steps,
                                .eta = g->eta,
                                .nodes = g->nnodes ? g->nodes : NULL,
                                .sigmas = g->nsigmas ? g->sigmas : NULL,
                                .nnodes = g->nnodes + g->nsigmas};
    weft_noise_schedule c = read_schedule(g->kind, g->config);
    double off;
    run r;

    run_open(&r, &o, &c, (weft_field){2, 4, 3, 0, 4, 0, 3}, 1);
    assert_int_equal(r.s->steps, g->steps);
    if (g->back)
        run_back(&r);
    else
        run_all(&r);
    off = levels_agree(g, r.s) ? distance(g->x, r.x) : INFINITY;
    if (!(off <= 1e-5)) {
        describe(g);
        print_message("relative rms %g\n", off);
    }
    run_close(&r);
    weft_noise_schedule_release(&c);
    return off;
}

static int compare_all(const char *file, double *worst)
{
    static golden g;
    FILE *in = fopen(file, "r");
    int cases = 0;

    assert_non_null(in);
    for (; read_golden(in, &g); cases++) {
        const double off = compare(&g);

        if (!(off <= worst[g.kind])) worst[g.kind] = off;
    }
    fclose(in);
    return cases;
}

static void test_goldens(void **state)
{
    double worst[WEFT_SOLVERS] = {0};
    int cases = 0;

    (void)state;
    cases += compare_all(WEFT_SOURCE_DIR "/tests/golden/solvers.txt", worst);
    cases += compare_all(WEFT_SOURCE_DIR "/tests/golden/schedulers.txt", worst);
    print_message("%d cases, worst relative rms:\n", cases);
    for (int k = 0; k < WEFT_SOLVERS; k++)
        print_message("%-20s %.2g\n", weft_solver_name[k], worst[k]);
    for (int k = 0; k < WEFT_SOLVERS; k++) assert_true(worst[k] <= 1e-5);
    for (int k = 0; k < WEFT_SOLVERS; k++) assert_true(worst[k] > 0);
    assert_int_equal(cases, 772);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
