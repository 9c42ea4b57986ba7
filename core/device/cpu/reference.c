/*
 * The reference device: every kernel as the textbook has it, in plain C. Slow,
 * complete, and the judge of the fast ones. All sums are in double, in the
 * order written here, so a result depends on its own inputs alone.
 *
 * Packed weights are [kh][kw][cin][cout] in the type that they have in the
 * file: all outputs of one input channel lie side by side, so the innermost
 * loops run along memory.
 */
#include "core/device/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "core/device/dtype.h"

enum {
    CHUNK = 64,    /* output channels summed at a time */
    KEY_BLOCK = 64 /* keys per step of the online softmax */
};

static double activate(weft_act act, double x)
{
    switch (act) {
    case WEFT_LINEAR:
        return x;
    case WEFT_SILU:
        return x / (1 + exp(-x));
    case WEFT_RELU:
        return x < 0 ? 0 : x; /* lets not-a-number through */
    case WEFT_GELU:
        return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case WEFT_MISH:
        return x * tanh(log1p(exp(x)));
    case WEFT_TANH3:
        return 3 * tanh(x / 3);
    case WEFT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case WEFT_GELU_TANH:
        return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
    WEFT_BUG("unknown activation");
}

static int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

static int min_int(int a, int b) { return a < b ? a : b; }

/* ---- weights ------------------------------------------------------------ */

static size_t conv_cin(const weft_conv *v)
{
    return (size_t)v->cin[0] + (size_t)v->cin[1];
}

static size_t weight_used(const weft_conv *v)
{
    return (size_t)v->kh * v->kw * conv_cin(v) * v->cout *
           weft_dtype_size(v->wtype);
}

static size_t weight_bytes(const weft_conv *v)
{
    return (weight_used(v) + 63) / 64 * 64;
}

/* Element i of a source to `to`: as it is, or as float where the tensors of a
 * file differ. */
static char *weight_put(const weft_conv *v, const weft_source *s, size_t i,
                        char *to)
{
    const size_t size = weft_dtype_size(v->wtype);
    const float f = weft_dtype_load(s->type, s->data, i);
    const bool same = s->type == v->wtype;

    WEFT_MUST(same || v->wtype == WEFT_F32);
    memcpy(to, same ? (const char *)s->data + i * size : (const char *)&f,
           size);
    return to + size;
}

/* Parts are ranges of (ky, kx, cin); the last one clears the padding too. */
static void weight_pack(const weft_conv *v, const weft_source *src, int nsrc,
                        void *packed, int part, int parts)
{
    const size_t cin = conv_cin(v), taps = (size_t)v->kh * v->kw;
    const size_t first = taps * cin * part / parts;
    const size_t last = taps * cin * (part + 1) / parts;
    char *out = (char *)packed + first * v->cout * weft_dtype_size(v->wtype);

    for (size_t i = first; i < last; i++) {
        const size_t tap = i / cin, c = i % cin;
        for (int s = 0; s < nsrc; s++)
            for (size_t o = 0; o < (size_t)src[s].cout; o++)
                out = weight_put(v, &src[s], (o * cin + c) * taps + tap, out);
    }
    if (part == parts - 1)
        memset((char *)packed + weight_used(v), 0,
               weight_bytes(v) - weight_used(v));
}

/* ---- convolution -------------------------------------------------------- */

/* A pixel of input `i` in a column left or right of the patch: the neighbour's,
 * or NULL. */
static const float *side_pixel(const weft_conv_args *a, int i, int row, int col,
                               int sample)
{
    const int right = col >= a->w, columns = a->beside[right];
    const int at = right ? col - a->w : col + columns;

    if (!a->side[i][right] || at < 0 || at >= columns) return NULL;
    return a->side[i][right] +
           (((ptrdiff_t)row * a->n + sample) * columns + at) * a->conv->cin[i];
}

/* The pixel of input `i` that tap (ky, kx) of output (y, x) sees, or NULL
 * where that is a column outside of the image. */
static const float *conv_pixel(const weft_conv_args *a, int i, int y, int x,
                               int ky, int kx, int sample)
{
    const weft_conv *v = a->conv;
    const int up = v->up;
    const int row = floor_div(y * v->stride + ky - v->pad_top, up);
    const int col = floor_div(x * v->stride + kx - v->pad_left, up);

    if (col < 0 || col >= a->w) return side_pixel(a, i, row, col, sample);
    return a->in[i] +
           (((ptrdiff_t)row * a->n + sample) * a->w + col) * v->cin[i];
}

/* sum[0 .. count) += in[c] * weight[at + c * cout ..] over the channels c. */
static void conv_tap(const weft_conv *v, const float *in, int cin,
                     const void *weight, size_t at, int count, double *sum)
{
    for (int c = 0; c < cin; c++, at += v->cout)
        for (int o = 0; o < count; o++)
            sum[o] += (double)in[c] * weft_dtype_load(v->wtype, weight, at + o);
}

static void conv_sum(const weft_conv_args *a, int y, int x, int sample,
                     int first, int count, double *sum)
{
    const weft_conv *v = a->conv;
    size_t at = first;

    for (int ky = 0; ky < v->kh; ky++)
        for (int kx = 0; kx < v->kw; kx++)
            for (int i = 0; i < 2; i++) {
                const float *in = NULL;
                if (v->cin[i]) in = conv_pixel(a, i, y, x, ky, kx, sample);
                if (in) conv_tap(v, in, v->cin[i], a->weight, at, count, sum);
                at += (size_t)v->cin[i] * v->cout;
            }
}

/* What the two thin matrices beside a 1x1 kernel add to the sums. */
static void conv_low(const weft_conv_args *a, int y, int x, int sample,
                     int first, int count, double *sum)
{
    const weft_conv *v = a->conv, down = weft_conv_down(v);
    const float *up = a->up;

    for (int r = 0; r < v->rank; r += WEFT_RANK) {
        double low[WEFT_RANK] = {0};
        size_t at = r;

        for (int i = 0; i < 2 && v->cin[i]; i++) {
            conv_tap(&down, conv_pixel(a, i, y, x, 0, 0, sample), v->cin[i],
                     a->down, at, WEFT_RANK, low);
            at += (size_t)v->cin[i] * v->rank;
        }
        for (int k = 0; k < WEFT_RANK; k++)
            for (int o = 0; o < count; o++)
                sum[o] += low[k] * up[(size_t)(r + k) * v->cout + first + o];
    }
}

/* Channels first .. first + count of one output pixel. */
static void conv_chunk(const weft_conv_args *a, int y, int x, int sample,
                       int first, int count)
{
    const weft_conv *v = a->conv;
    const size_t at =
        (((size_t)y * a->n + sample) * a->wout + x) * v->cout + first;
    double sum[CHUNK] = {0};

    conv_sum(a, y, x, sample, first, count, sum);
    conv_low(a, y, x, sample, first, count, sum);
    for (int o = 0; o < count; o++) {
        if (a->bias) sum[o] += a->bias[first + o];
        if (a->bias_n)
            sum[o] += a->bias_n[(size_t)sample * v->cout + first + o];
        sum[o] = activate(v->act, sum[o]);
        if (a->res && v->gated) sum[o] *= a->res[at + o];
        if (a->res && !v->gated) sum[o] += a->res[at + o];
        a->out[at + o] = (float)(activate(v->post, sum[o]) * v->scale);
    }
}

static void conv_row(void *arg, int i, int worker)
{
    const weft_conv_args *a = arg;
    const int cout = a->conv->cout;

    (void)worker;
    for (int s = 0; s < a->n; s++)
        for (int x = a->col0; x < a->col1; x++)
            for (int o = 0; o < cout; o += CHUNK)
                conv_chunk(a, a->row0 + i, x, s, o, min_int(CHUNK, cout - o));
}

static void conv(const weft_conv_args *a, weft_pool *pool)
{
    weft_conv_args copy = *a;

    weft_pool_run(pool, a->row1 - a->row0, conv_row, &copy);
}

static size_t conv_scratch(const weft_conv *v, int n, int w)
{
    (void)v, (void)n, (void)w;
    return 0;
}

/* ---- group norm --------------------------------------------------------- */

/* Channel c of the inputs laid side by side: which input, which channel. */
static const float *channel(const float *const in[2], const int c[2],
                            size_t pixel, int at)
{
    return at < c[0] ? in[0] + pixel * c[0] + at
                     : in[1] + pixel * c[1] + (at - c[0]);
}

/* One cell of one sample: its first pixel, rows line * w pixels apart. */
typedef struct cell {
    size_t pixel, line;
    int rows, columns;
} cell;

/* The sum over channels from .. to of (value - mean) to the power of `power`,
 * 1 or 2. */
static double cell_sum(const weft_moments_args *a, const cell *t, int from,
                       int to, double mean, int power)
{
    double sum = 0;

    for (int y = 0; y < t->rows; y++)
        for (int x = 0; x < t->columns; x++)
            for (int c = from; c < to; c++) {
                const size_t at = t->pixel + y * t->line + x;
                const double d = *channel(a->in, a->c, at, c) - mean;
                sum += power == 2 ? d * d : d;
            }
    return sum;
}

/* Task: one row of cells of one sample. */
static void moments_line(void *arg, int i, int worker)
{
    const weft_moments_args *a = arg;
    const int size = (a->c[0] + a->c[1]) / a->groups, strip = a->cell_columns;
    const int strips = (a->w + strip - 1) / strip, y = i / a->n, s = i % a->n;
    double *out = a->moments + (size_t)i * strips * a->groups * 2;

    (void)worker;
    for (int k = 0; k < strips; k++) {
        const cell t = {.pixel = ((size_t)y * a->cell_rows * a->n + s) * a->w +
                                 k * strip,
                        .line = (size_t)a->n * a->w,
                        .rows = a->cell_rows,
                        .columns = min_int(strip, a->w - k * strip)};
        const double count = (double)t.rows * t.columns * size;
        for (int g = 0; g < a->groups; g++, out += 2) {
            const int from = g * size, to = from + size;
            out[0] = cell_sum(a, &t, from, to, 0, 1);
            out[1] = cell_sum(a, &t, from, to, out[0] / count, 2);
        }
    }
}

static void moments(const weft_moments_args *a, weft_pool *pool)
{
    weft_moments_args copy = *a;

    weft_pool_run(pool, a->rows / a->cell_rows * a->n, moments_line, &copy);
}

static void affine_row(void *arg, int i, int worker)
{
    const weft_affine_args *a = arg;
    const int c = a->c[0] + a->c[1];

    (void)worker;
    for (int s = 0; s < a->n; s++)
        for (int x = 0; x < a->w; x++) {
            const size_t pixel = ((size_t)(a->row0 + i) * a->n + s) * a->w + x;
            for (int k = 0; k < c; k++) {
                const size_t at = (size_t)s * c + k;
                const double mul = a->mul ? a->mul[at] : 1;
                const double add = a->add ? a->add[at] : 0;
                const double in = *channel(a->in, a->c, pixel, k);
                a->out[pixel * c + k] = (float)activate(a->act, in * mul + add);
            }
        }
}

static void affine(const weft_affine_args *a, weft_pool *pool)
{
    weft_affine_args copy = *a;

    weft_pool_run(pool, a->row1 - a->row0, affine_row, &copy);
}

/* ---- layer norm --------------------------------------------------------- */

static void layer_norm_pixel(void *arg, int i, int worker)
{
    const weft_layer_norm_args *a = arg;
    const float *in = a->in + (size_t)i * a->c;
    float *out = a->out + (size_t)i * a->c;
    double mean = 0, var = 0;

    (void)worker;
    for (int k = 0; k < a->c && !a->rms; k++) mean += in[k];
    mean /= a->c;
    for (int k = 0; k < a->c; k++) var += (in[k] - mean) * (in[k] - mean);
    var /= a->c;
    for (int k = 0; k < a->c; k++)
        out[k] = (float)((in[k] - mean) / sqrt(var + a->eps) * a->gamma[k] +
                         (a->beta ? a->beta[k] : 0));
}

static void layer_norm(const weft_layer_norm_args *a, weft_pool *pool)
{
    weft_layer_norm_args copy = *a;

    weft_pool_run(pool, a->pixels, layer_norm_pixel, &copy);
}

/* ---- attention ---------------------------------------------------------- */

/* The online softmax of one query: after any number of keys, `acc` holds the
 * sum of exp(score - top) value, `den` the sum of exp(score - top), and `top`
 * the largest score. A larger one rescales both. */
typedef struct softmax {
    double top, den;
    double *acc; /* [dim] */
    int dim;
} softmax;

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* Key `j` of the image, its value c floats further. */
static const float *key_at(const weft_attend_args *a, int sample, int head,
                           int j)
{
    const size_t c = (size_t)a->heads * a->dim;
    const int strips = (a->key_w + a->strip - 1) / a->strip;
    const size_t line = (size_t)(j / a->key_w) * a->n + sample;
    const int x = j % a->key_w;

    return a->kv[line * strips + x / a->strip] + x % a->strip * 2 * c +
           (size_t)head * a->dim;
}

/* What the score of query t and key 0 gets, those of later keys behind it. */
static const float *tilt_of(const weft_attend_args *a, int head, int t)
{
    const int keys = a->key_rows * a->key_w;

    return a->tilt + (size_t)head * (2 * (size_t)keys - 1) + (keys - 1 - t);
}

/* `tilt`: of the first of the keys, or NULL. */
static void softmax_block(const weft_attend_args *a, const float *q, int sample,
                          int head, int first, int count, const float *tilt,
                          softmax *s)
{
    double score[KEY_BLOCK], top = s->top;

    for (int j = 0; j < count; j++) {
        score[j] =
            a->scale * dot(q, key_at(a, sample, head, first + j), s->dim) +
            (tilt ? tilt[j] : 0);
        if (!(score[j] <= top)) top = score[j]; /* lets not-a-number through */
    }
    const double keep = exp(s->top - top);
    s->top = top;
    s->den *= keep;
    for (int d = 0; d < s->dim; d++) s->acc[d] *= keep;
    for (int j = 0; j < count; j++) {
        const float *value =
            key_at(a, sample, head, first + j) + (size_t)a->heads * a->dim;
        const double p = exp(score[j] - top);
        s->den += p;
        for (int d = 0; d < s->dim; d++) s->acc[d] += p * value[d];
    }
}

/* The state of a query and head: acc, then top and den. */
static void resume(const double *state, softmax *s)
{
    memcpy(s->acc, state, s->dim * sizeof *state);
    s->top = state[s->dim];
    s->den = state[s->dim + 1];
}

static void suspend(const softmax *s, double *state)
{
    memcpy(state, s->acc, s->dim * sizeof *state);
    state[s->dim] = s->top;
    state[s->dim + 1] = s->den;
}

/* Query t of a sample. */
static void attend_query(const weft_attend_args *a, const float *q, int sample,
                         int head, int t, double *acc, double *state,
                         float *out)
{
    const int keys = a->key_rows * a->key_w, end = a->key1 ? a->key1 : keys;
    const int sees = a->causal ? min_int(keys, t + 1) : keys;
    softmax s = {.top = -HUGE_VAL, .acc = acc, .dim = a->dim};

    memset(acc, 0, a->dim * sizeof *acc);
    if (a->key0) resume(state, &s);
    for (int j = a->key0; j < min_int(end, sees); j += KEY_BLOCK)
        softmax_block(a, q, sample, head, j, min_int(KEY_BLOCK, sees - j),
                      a->tilt ? tilt_of(a, head, t) + j : NULL, &s);
    if (end < keys) {
        suspend(&s, state);
        return;
    }
    for (int d = 0; d < a->dim; d++) out[d] = (float)(acc[d] / s.den);
}

typedef struct attend_task {
    const weft_attend_args *a;
    weft_pool *pool;
} attend_task;

/* Task: one row, sample and head. */
static void attend_part(void *arg, int i, int worker)
{
    const attend_task *t = arg;
    const weft_attend_args *a = t->a;
    const int head = i % a->heads, line = i / a->heads;
    double *acc = weft_pool_scratch(t->pool, worker);

    for (int x = 0; x < a->w; x++) {
        const size_t pixel = (size_t)line * a->w + x;
        const size_t at = pixel * a->step + (size_t)head * a->dim;
        const size_t query = pixel * a->heads + head;
        double *state =
            a->state ? (double *)a->state + query * (a->dim + 2) : NULL;

        attend_query(a, a->q + at, line % a->n, head, line / a->n * a->w + x,
                     acc, state, a->out + at);
    }
}

static void attend(const weft_attend_args *a, weft_pool *pool)
{
    attend_task t = {a, pool};

    weft_pool_run(pool, a->rows * a->n * a->heads, attend_part, &t);
}

static size_t attend_scratch(int w, int heads, int dim)
{
    (void)w, (void)heads;
    return dim * sizeof(double);
}

/* ---- resampling --------------------------------------------------------- */

/* The w pixels of one sample in one row of the input or output. */
static size_t line_at(int row, int n, int sample, int w, size_t c)
{
    return ((size_t)row * n + sample) * w * c;
}

static void upsample_line(const weft_resample_args *a, int y, int sample)
{
    const size_t c = a->c;
    const float *in = a->in + line_at(y / 2, a->n, sample, a->w, c);
    float *out = a->out + line_at(y, a->n, sample, 2 * a->w, c);

    for (int x = 0; x < 2 * a->w; x++)
        memcpy(out + x * c, in + x / 2 * c, c * sizeof *out);
}

static void downsample_line(const weft_resample_args *a, int y, int sample)
{
    const size_t c = a->c;
    const float *in = a->in + line_at(2 * y, a->n, sample, a->w, c);
    const float *below = a->in + line_at(2 * y + 1, a->n, sample, a->w, c);
    float *out = a->out + line_at(y, a->n, sample, a->w / 2, c);

    for (int x = 0; x < a->w / 2; x++, in += 2 * c, below += 2 * c)
        for (size_t k = 0; k < c; k++)
            *out++ = (in[k] + in[c + k] + below[k] + below[c + k]) * 0.25f;
}

static void resample_row(void *arg, int i, int worker)
{
    const weft_resample_args *a = arg;

    (void)worker;
    for (int s = 0; s < a->n; s++)
        (a->up ? upsample_line : downsample_line)(a, a->row0 + i, s);
}

static void resample(const weft_resample_args *a, weft_pool *pool)
{
    weft_resample_args copy = *a;

    weft_pool_run(pool, a->row1 - a->row0, resample_row, &copy);
}

const weft_device weft_device_reference = {
    .name = "reference",
    .isa = "generic",
    .weight_bytes = weight_bytes,
    .weight_pack = weight_pack,
    .conv_scratch = conv_scratch,
    .attend_scratch = attend_scratch,
    .conv = conv,
    .moments = moments,
    .affine = affine,
    .layer_norm = layer_norm,
    .attend = attend,
    .attend_block = KEY_BLOCK,
    .resample = resample,
};
