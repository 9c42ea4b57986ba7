/*
 * The reference device against torch, and the promises of device.h: sums do
 * not depend on the rows that a call covers, nor on threads; packing can be
 * shared; what may be done in place is.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "core/device/cpu/cpu.h"
#include "core/device/dtype.h"
#include "tests/answers.h"

static const weft_device *const dev = &weft_device_reference;
static weft_pool *pool;

enum { SPARE = 3 }; /* rows around an input */

/* ---- convolution --------------------------------------------------------- */

typedef struct conv_case {
    weft_conv conv;
    weft_conv_args args;
    float *in[2], *weight, *packed, *bias, *bias_n, *res, *out;
    int rows;
    size_t out_floats;
} conv_case;

/* An input with SPARE rows of zeros on both sides. */
static float *new_input(const char *name, int h, size_t row)
{
    float *v = calloc((size_t)(h + 2 * SPARE) * row + 1, sizeof *v);

    assert_non_null(v);
    fill_from(name, v + SPARE * row, 0, (size_t)h * row, 1);
    return v;
}

static void *pack(const weft_conv *v, const weft_source *src, int n, int parts)
{
    char *packed = malloc(dev->weight_bytes(v));

    assert_non_null(packed);
    memset(packed, 0xff, dev->weight_bytes(v));
    for (int i = parts - 1; i >= 0; i--)
        dev->weight_pack(v, src, n, packed, i, parts);
    return packed;
}

static weft_conv conv_of(const double *p)
{
    return (weft_conv){.kh = (int)p[0],
                       .kw = (int)p[1],
                       .stride = (int)p[2],
                       .up = (int)p[3],
                       .pad_top = (int)p[4],
                       .pad_left = (int)p[5],
                       .cin = {(int)p[6], (int)p[7]},
                       .cout = (int)p[8],
                       .tile_rows = 1,
                       .act = (weft_act)p[9],
                       .post = (weft_act)p[10],
                       .scale = (float)p[11]};
}

static void conv_case_init(conv_case *c, const answer *a)
{
    const double *p = a->param;
    const int n = (int)p[15], h = (int)p[16], w = (int)p[17];
    const size_t cout = (size_t)p[8];

    memset(c, 0, sizeof *c);
    c->conv = conv_of(p);
    c->rows = (int)p[18];
    c->out_floats = (size_t)p[18] * (size_t)n * (size_t)p[19] * cout;
    for (int i = 0; i < 2; i++)
        c->in[i] =
            new_input(i ? "in1" : "in0", h, (size_t)(n * w * c->conv.cin[i]));
    c->weight =
        fill_new("weight", (size_t)(p[0] * p[1] * (p[6] + p[7])) * cout, 0.25f);
    const weft_source src = {c->weight, WEFT_F32, (int)cout};
    c->packed = pack(&c->conv, &src, 1, 1);
    c->bias = fill_new("bias", cout, 1);
    c->bias_n = fill_new("bias_n", (size_t)n * cout, 1);
    c->res = fill_new("res", c->out_floats, 1);
    c->out = fill_new("garbage", c->out_floats, 1);
    c->args = (weft_conv_args){.conv = &c->conv,
                               .weight = c->packed,
                               .n = n,
                               .w = w,
                               .wout = (int)p[19],
                               .col1 = (int)p[19],
                               .out = c->out,
                               .bias = p[12] != 0 ? c->bias : NULL,
                               .bias_n = p[13] != 0 ? c->bias_n : NULL,
                               .res = p[14] != 0 ? c->res : NULL,
                               .row1 = c->rows};
    for (int i = 0; i < 2; i++)
        c->args.in[i] = c->in[i] + SPARE * n * w * c->conv.cin[i];
}

static void conv_case_release(conv_case *c)
{
    free(c->in[0]);
    free(c->in[1]);
    free(c->weight);
    free(c->packed);
    free(c->bias);
    free(c->bias_n);
    free(c->res);
    free(c->out);
}

/* Row by row, last row first; and over the residual: the same bytes. */
static void check_rows_and_place(conv_case *c)
{
    const size_t bytes = c->out_floats * sizeof(float);
    float *whole = malloc(bytes);

    assert_non_null(whole);
    memcpy(whole, c->out, bytes);
    if (c->args.res) {
        memcpy(c->out, c->res, bytes);
        c->args.res = c->out;
    }
    for (int y = c->rows - 1; y >= 0; y--) {
        c->args.row0 = y;
        c->args.row1 = y + 1;
        dev->conv(&c->args, pool);
    }
    assert_memory_equal(whole, c->out, bytes);
    free(whole);
}

static void check_conv(const answer *a)
{
    conv_case c;

    conv_case_init(&c, a);
    assert_int_equal(c.out_floats, a->count);
    dev->conv(&c.args, pool);
    assert_true(answer_distance(a, c.out) < 3e-7);
    check_rows_and_place(&c);
    conv_case_release(&c);
}

static void check_act(const answer *a)
{
    const int act = (int)a->param[0];
    float *v = fill_new("act", 64, 20);
    const weft_affine_args args = {.n = 1,
                                   .w = 64,
                                   .c = {1},
                                   .in = {v},
                                   .act = (weft_act)act,
                                   .out = v,
                                   .row1 = 1};

    dev->affine(&args, pool);
    assert_true(answer_distance(a, v) < 3e-7);
    free(v);
}

/* ---- attention ----------------------------------------------------------- */

/* kv[y] = [n][w][2 c], in rows that lie apart. */
static float **new_kv(int n, int h, int w, int c)
{
    const size_t row = (size_t)(n * w * c);
    float *k = fill_new("k", (size_t)h * row, 2);
    float *v = fill_new("v", (size_t)h * row, 2);
    float **kv = calloc((size_t)h, sizeof *kv);

    assert_non_null(kv);
    for (int y = 0; y < h; y++) {
        kv[y] = malloc(2 * row * sizeof(float));
        assert_non_null(kv[y]);
        for (int i = 0; i < n * w; i++) {
            float *to = kv[y] + 2 * i * c;
            memcpy(to, k + (size_t)y * row + i * c, (size_t)c * sizeof *to);
            memcpy(to + c, v + (size_t)y * row + i * c, (size_t)c * sizeof *to);
        }
    }
    free(k);
    free(v);
    return kv;
}

static void check_attend(const answer *a)
{
    const double *p = a->param;
    const int n = (int)p[0], h = (int)p[1], w = (int)p[2];
    const int c = (int)(p[3] * p[4]);
    float *q = fill_new("q", (size_t)a->count, 2);
    float **kv = new_kv(n, h, w, c);
    const float *table[64];
    weft_attend_args args = {.n = n,
                             .w = w,
                             .heads = (int)p[3],
                             .dim = (int)p[4],
                             .rows = 2,
                             .key_rows = h,
                             .key_w = w,
                             .strip = w,
                             .scale = (float)p[5],
                             .q = q,
                             .kv = table,
                             .out = q,
                             .step = c};

    assert_true(n * h <= 64);
    for (int y = 0; y < h; y++)
        for (int s = 0; s < n; s++)
            table[y * n + s] = kv[y] + (ptrdiff_t)s * w * 2 * c;
    dev->attend(&args, pool); /* two calls in place: two patches */
    args.q = args.out = q + (ptrdiff_t)2 * n * w * c;
    args.rows = h - 2;
    args.state =
        calloc((size_t)h * n * w * args.heads, WEFT_ATTEND_STATE(args.dim));
    assert_non_null(args.state);
    for (; args.key0 < h * w; args.key0 = args.key1) { /* a block at a time */
        args.key1 = args.key0 + dev->attend_block;
        if (args.key1 > h * w) args.key1 = h * w;
        dev->attend(&args, pool);
    }
    free(args.state);
    assert_true(answer_distance(a, q) < 3e-7);
    for (int y = 0; y < h; y++) free(kv[y]);
    free(kv);
    free(q);
}

/* ---- moments, resampling, types ------------------------------------------ */

static void check_moments(const answer *a)
{
    const double *p = a->param;
    const int n = (int)p[0], h = (int)p[1], w = (int)p[2];
    double *got = calloc((size_t)a->count, sizeof *got);
    weft_moments_args args = {.n = n,
                              .w = w,
                              .rows = h,
                              .groups = (int)p[5],
                              .cell_rows = 1,
                              .cell_columns = w,
                              .c = {(int)p[3], (int)p[4]},
                              .moments = got};
    float *in[2];

    assert_non_null(got);
    for (int i = 0; i < 2; i++) {
        const size_t count = (size_t)(n * h * w * args.c[i]);
        in[i] = fill_new(i ? "in1" : "in0", count, 1);
        for (size_t k = 0; k < count; k++) in[i][k] += 1000;
        args.in[i] = in[i];
    }
    dev->moments(&args, pool);
    for (int i = 0; i < a->count; i++) {
        const double most = 1e-8 * (1 + fabs(a->value[i]));
        assert_true(fabs(got[i] - a->value[i]) <= most);
    }
    free(in[0]);
    free(in[1]);
    free(got);
}

static void check_resample(const answer *a, bool up)
{
    float *in = fill_new("in0", 2 * 4 * 6 * 3, 1);
    float *out = calloc((size_t)a->count, sizeof *out);
    weft_resample_args args = {
        .n = 2, .w = 6, .c = 3, .up = up, .in = in, .out = out, .row1 = 1};

    assert_non_null(out);
    dev->resample(&args, pool);
    args.row0 = 1;
    args.row1 = up ? 8 : 2;
    dev->resample(&args, pool);
    assert_true(answer_distance(a, out) < 2e-7);
    free(in);
    free(out);
}

static void check_dtype(const answer *a)
{
    const weft_dtype type = a->param[0] == 10 ? WEFT_F16 : WEFT_BF16;
    uint32_t crc = 0;

    for (unsigned i = 0; i < 1 << 16; i++) {
        const uint16_t bits = (uint16_t)i;
        const float f = weft_dtype_load(type, &bits, 0);
        if (!isnan(f)) crc = crc32_of(crc, &f, sizeof f);
    }
    assert_int_equal(crc & 0xffff, (int)a->value[0]);
    assert_int_equal(crc >> 16, (int)a->value[1]);
}

static bool check(const answer *a)
{
    if (!strcmp(a->name, "conv")) return check_conv(a), true;
    if (!strcmp(a->name, "act")) return check_act(a), true;
    if (!strcmp(a->name, "attend")) return check_attend(a), true;
    if (!strcmp(a->name, "moments")) return check_moments(a), true;
    if (!strcmp(a->name, "up")) return check_resample(a, true), true;
    if (!strcmp(a->name, "down")) return check_resample(a, false), true;
    if (!strcmp(a->name, "dtype")) return check_dtype(a), true;
    return false;
}

static void answers_of_torch(void **state)
{
    FILE *f = answers_open();
    int checked = 0;
    answer a;

    (void)state;
    while (answers_next(f, &a)) {
        checked += check(&a);
        free(a.value);
    }
    fclose(f);
    assert_int_equal(checked, 23);
}

/* ---- promises ------------------------------------------------------------ */

/* Halves packed in many parts, from two stacked tensors, are what their
 * float values packed in one part are. */
static void packing_is_shared(void **state)
{
    enum { CIN = 5, COUT = 7, N = CIN * COUT * 9 };
    const weft_conv v = {.kh = 3,
                         .kw = 3,
                         .stride = 1,
                         .up = 1,
                         .cin = {3, 2},
                         .cout = COUT,
                         .tile_rows = 1,
                         .scale = 1};
    char half[2 * N + 1]; /* from an odd address */
    float wide[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        const uint16_t bits = (uint16_t)(i * 97 % 0x7c00);
        memcpy(half + 1 + 2 * i, &bits, 2);
        wide[i] = weft_float_of_half(bits);
    }
    const weft_source one = {wide, WEFT_F32, COUT};
    const weft_source two[] = {{half + 1, WEFT_F16, 3},
                               {half + 1 + 2 * 3 * CIN * 9, WEFT_F16, 4}};
    char *a = pack(&v, &one, 1, 1), *b = pack(&v, two, 2, 4);
    assert_int_equal(dev->weight_bytes(&v) % 64, 0);
    assert_memory_equal(a, b, dev->weight_bytes(&v));
    memset(b, 0xff, 4);
    dev->weight_pack(&v, two, 2, b, 3, 4);
    assert_memory_equal(b, "\377\377\377\377", 4);
    free(a);
    free(b);
}

/* Not-a-number in an input reaches the output through every activation. */
static void nan_is_not_hidden(void **state)
{
    const float in = NAN;
    float out;

    (void)state;
    for (int act = WEFT_LINEAR; act <= WEFT_GELU_TANH; act++) {
        const weft_affine_args a = {.n = 1,
                                    .w = 1,
                                    .c = {1},
                                    .in = {&in},
                                    .act = (weft_act)act,
                                    .out = &out,
                                    .row1 = 1};
        out = 0;
        dev->affine(&a, pool);
        assert_true(isnan(out));
    }
}

static int set_up(void **state)
{
    (void)state;
    if (weft_pool_create(2, NULL, &pool) != WEFT_OK) return -1;
    return weft_pool_reserve(pool, dev->attend_scratch(11, 2, 3)) != WEFT_OK;
}

static int tear_down(void **state)
{
    (void)state;
    weft_pool_destroy(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_torch),
        cmocka_unit_test(packing_is_shared),
        cmocka_unit_test(nan_is_not_hidden),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
