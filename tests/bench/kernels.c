/*
 * kernels.c - runs one kernel at a time for kernels.py, which alternates it
 * with torch. Commands on stdin, one line each:
 *
 *   device NAME ISA THREADS             ISA may be "best"
 *   conv K STRIDE UP CIN CIN2 COUT TILE ACT DTYPE N H W
 *   attend HEADS DIM N H W
 *   norm C GROUPS N H W                 group norm and SiLU
 *   run COUNT                           prints wall and processor seconds,
 *                                       means of so many runs on end
 */
#include "core/device/device.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench {
    const weft_device *dev;
    weft_pool *pool;
    void (*run)(struct bench *b);
    weft_conv conv;
    weft_conv_args c;
    weft_attend_args a;
    weft_moments_args m;
    weft_affine_args f;
    void *block[5]; /* owned */
    int blocks;
} bench;

static void die(const char *why)
{
    fprintf(stderr, "kernels: %s\n", why);
    exit(1);
}

static void must(weft_status s)
{
    if (s != WEFT_OK) die(weft_fail_text());
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *block(bench *b, size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!p) die("out of memory");
    b->block[b->blocks++] = p;
    return p;
}

/* Numbers around zero, not all alike. */
static float *numbers(bench *b, size_t n)
{
    float *p = block(b, n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)((i * 2654435761u >> 8) % 1001) / 500 - 1;
    return p;
}

static void clear(bench *b)
{
    while (b->blocks) free(b->block[--b->blocks]);
    b->run = NULL;
}

/* Each thread has a processor of its own, as in a run. */
static void set_pool(bench *b, int threads)
{
    int cpu[CPU_SETSIZE], n = 0;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) die("which processors?");
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) cpu[n++] = i;
    weft_pool_destroy(b->pool);
    must(weft_pool_create(threads, threads <= n ? cpu : NULL, &b->pool));
}

static void set_device(bench *b, const char *line)
{
    char name[20], isa[20];
    int threads;
    if (sscanf(line, "%19s %19s %d", name, isa, &threads) != 3)
        die("device NAME ISA THREADS");
    must(weft_device_find(name, strcmp(isa, "best") ? isa : NULL, &b->dev));
    set_pool(b, threads);
}

/* ---- kernels ------------------------------------------------------------- */

static void run_conv(bench *b) { b->dev->conv(&b->c, b->pool); }

static void set_conv(bench *b, const char *line)
{
    int k, stride, up, c0, c1, cout, tile, act, type, n, h, w;
    if (sscanf(line, "%d %d %d %d %d %d %d %d %d %d %d %d", &k, &stride, &up,
               &c0, &c1, &cout, &tile, &act, &type, &n, &h, &w) != 12)
        die("conv K STRIDE UP CIN CIN2 COUT TILE ACT DTYPE N H W");
    b->conv = (weft_conv){.kh = k,
                          .kw = k,
                          .stride = stride,
                          .up = up,
                          .pad_top = k / 2,
                          .pad_left = k / 2,
                          .cin = {c0, c1},
                          .cout = cout,
                          .tile_rows = tile,
                          .wtype = (weft_dtype)type,
                          .act = (weft_act)act,
                          .scale = 1};
    const int rows = h * up / stride, wout = w * up / stride;
    const size_t line0 = (size_t)n * w * c0, line1 = (size_t)n * w * c1;
    float *in0 = numbers(b, line0 * (h + 4)),
          *in1 = numbers(b, line1 * (h + 4));
    float *weights = numbers(b, (size_t)cout * (c0 + c1) * k * k);
    void *packed = block(b, b->dev->weight_bytes(&b->conv));
    const weft_source src = {weights, b->conv.wtype, cout};
    b->dev->weight_pack(&b->conv, &src, 1, packed, 0, 1);
    must(weft_pool_reserve(b->pool, b->dev->conv_scratch(&b->conv, n, w)));
    b->c = (weft_conv_args){.conv = &b->conv,
                            .weight = packed,
                            .n = n,
                            .w = w,
                            .wout = wout,
                            .col1 = wout,
                            .in = {in0 + 2 * line0, in1 + 2 * line1},
                            .out = numbers(b, (size_t)rows * n * wout * cout),
                            .bias = weights,
                            .row1 = rows};
    b->run = run_conv;
}

static void run_attend(bench *b) { b->dev->attend(&b->a, b->pool); }

static void set_attend(bench *b, const char *line)
{
    int heads, dim, n, h, w;
    if (sscanf(line, "%d %d %d %d %d", &heads, &dim, &n, &h, &w) != 5)
        die("attend HEADS DIM N H W");
    const size_t row = (size_t)n * w * heads * dim;
    const float *kv = numbers(b, 2 * row * h);
    const float **rows = block(b, (size_t)h * n * sizeof *rows);
    for (int y = 0; y < h * n; y++) rows[y] = kv + 2 * row / n * y;
    must(weft_pool_reserve(b->pool, b->dev->attend_scratch(w, heads, dim)));
    b->a = (weft_attend_args){.n = n,
                              .w = w,
                              .heads = heads,
                              .step = heads * dim,
                              .dim = dim,
                              .rows = h,
                              .key_rows = h,
                              .key_w = w,
                              .strip = w,
                              .scale = 0.125f,
                              .q = numbers(b, row * h),
                              .kv = rows,
                              .out = numbers(b, row * h)};
    b->run = run_attend;
}

static void run_norm(bench *b)
{
    b->dev->moments(&b->m, b->pool);
    b->dev->affine(&b->f, b->pool);
}

static void set_norm(bench *b, const char *line)
{
    int c, groups, n, h, w;
    if (sscanf(line, "%d %d %d %d %d", &c, &groups, &n, &h, &w) != 5)
        die("norm C GROUPS N H W");
    const float *in = numbers(b, (size_t)n * h * w * c);
    const float *mul = numbers(b, 2 * (size_t)n * c);
    b->m = (weft_moments_args){
        n,      w,          h,
        groups, 1,          w,
        {c, 0}, {in, NULL}, block(b, (size_t)h * n * groups * 16)};
    b->f = (weft_affine_args){n,         w,
                              {c, 0},    {in, NULL},
                              mul,       mul + n * c,
                              WEFT_SILU, numbers(b, (size_t)n * h * w * c),
                              0,         h};
    b->run = run_norm;
}

static void time_runs(bench *b, const char *line)
{
    const long count = strtol(line, NULL, 10);
    if (!b->run || count < 1) die("nothing to run");
    const double wall = seconds(CLOCK_MONOTONIC);
    const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; i++) b->run(b);
    printf("%.9f %.9f\n", (seconds(CLOCK_MONOTONIC) - wall) / (double)count,
           (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count);
    fflush(stdout);
}

int main(void)
{
    bench b = {0};
    char line[200];
    while (fgets(line, sizeof line, stdin)) {
        const char *rest = strchr(line, ' ');
        if (!rest) die("what?");
        if (!strncmp(line, "run ", 4)) {
            time_runs(&b, rest);
            continue;
        }
        clear(&b);
        if (!strncmp(line, "device ", 7))
            set_device(&b, rest);
        else if (!strncmp(line, "conv ", 5))
            set_conv(&b, rest);
        else if (!strncmp(line, "attend ", 7))
            set_attend(&b, rest);
        else if (!strncmp(line, "norm ", 5))
            set_norm(&b, rest);
        else
            die("what?");
    }
    clear(&b);
    weft_pool_destroy(b.pool);
    return 0;
}
