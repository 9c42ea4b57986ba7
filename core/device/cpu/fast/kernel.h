/*
 * kernel.h - what the fast kernels share. Every file of this folder is
 * compiled once per instruction set; WEFT_ISA is its name.
 *
 * The one inner loop under linear layers, direct and minimal-filtering
 * convolution and attention is chunk():
 *
 *   c[m][n] (+)= sum over segments s, k of  row[s][m][off + k] * b[s][k][n]
 *
 * for one panel of at most NMAX columns n. Rows are given by pointer, so they
 * are read where they lie: pixels, tiles, tokens. A long sum is a fixed
 * sequence of chunks, whatever the number of rows: that is what makes results
 * the same bytes for any cut.
 */
#ifndef WEFT_CPU_FAST_KERNEL_H
#define WEFT_CPU_FAST_KERNEL_H

#include "core/device/cpu/fast/act.h"
#include "core/device/cpu/fast/vec.h"
#include "core/device/cpu/variant.h"
#include "core/device/device.h"

#ifndef WEFT_ISA
#error "WEFT_ISA must name the instruction set"
#endif
#define ISA_JOIN_(isa, name) weft_##isa##_##name
#define ISA_JOIN(isa, name)  ISA_JOIN_(isa, name)
#define ISA(name)            ISA_JOIN(WEFT_ISA, name)

enum {
    NV = 2,                /* vectors of columns per panel */
    NR = NV * VL,          /* columns per panel */
    NMAX = NR + VL,        /* of the last at most: no vector is left alone */
    MR = VL == 8 ? 6 : 12, /* rows of the register tile */
    THIN = 4,              /* panels side by side under a single row */
    KC = 160,              /* most k per part of a channel range */
    KMERGE = 192,          /* most k per chunk of several segments */
    MAX_SEGMENTS = 18,     /* 9 taps of two inputs */
    MAX_M = 192            /* most rows per call */
};

static inline int min_int(int a, int b) { return a < b ? a : b; }
static inline int max_int(int a, int b) { return a > b ? a : b; }
static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
static inline int round_up(int a, int b) { return ceil_div(a, b) * b; }

/* ---- gemm.c -------------------------------------------------------------- */

typedef struct segment {
    const float *const *row;
    ptrdiff_t off;
    int k;
} segment;

/* Where sums go: to = from + what is summed + bias. */
typedef struct target {
    const float *from; /* earlier chunks' sums, or NULL */
    ptrdiff_t from_step;
    const float *bias; /* of the panel's columns, or NULL */
    float *to;
    ptrdiff_t to_step;
} target;

/* Sums are set, or added to those that are there. */
static inline target sums_at(float *c, ptrdiff_t ldc, bool add)
{
    return (target){add ? c : NULL, ldc, NULL, c, ldc};
}

/* `b`: the chunk's weights [sum of k][nv * VL]. `next` is fetched into the
 * cache meanwhile: the following chunk's weights. NULL: nothing is. */
void ISA(chunk)(int m, const segment *s, int ns, const void *b, weft_dtype t,
                int nv, const target *to, const void *next);

/* The same for one row and THIN panels of NV vectors, or two rows and half as
 * many; the weights of neighbouring panels are `apart` bytes from each other.
 * The bytes are those of chunk(). */
void ISA(chunk_thin)(int m, const segment *s, int ns, const void *b,
                     size_t apart, weft_dtype t, const target *to);

/* Weights [k][NR] that are made of others: of one source x0, of two x0 - x1, of
 * three x0 - (x1 - x2), of four that less x3; less `less`, or NULL. They are
 * kept in `to`, which may be `less` or x0. */
typedef struct mix {
    const void *of[4];
    weft_dtype t; /* of sources */
    int n;        /* of them */
    const float *less;
    float *to;
} mix;

/* chunk() of a single segment and NR columns, whose weights are made while the
 * first rows take them. */
void ISA(chunk_made)(int m, const segment *s, const mix *b, const target *to,
                     const void *next);

/* n columns are cut into panels of NV vectors; the last has NV + 1 rather than
 * leave a single vector, whose tile would wait for loads. */
static inline int panel_count(int n)
{
    return max_int(1, ceil_div(n, VL) / NV);
}

/* Vectors in the panel that starts at column n0 of n. */
static inline int panel_vectors(int n, int n0)
{
    const int left = ceil_div(n - n0, VL);
    return left <= NV + 1 ? left : NV;
}

/* Keep rows of so many floats out of each other's L1 sets. */
static inline size_t off_4k(size_t floats)
{
    floats = (floats + 15) / 16 * 16;
    return floats % 256 ? floats : floats + 16;
}

/* Length of the parts that k channels are cut into. */
static inline int part_length(int k)
{
    const int parts = ceil_div(k, KC);
    return round_up(ceil_div(k, parts), 8);
}

/* ---- pack.c -------------------------------------------------------------- */

typedef struct weight_view {
    const weft_conv *conv;
    const weft_source *src;
    int nsrc;
} weight_view;

/* Elements e .. e + count, [channel][tap], of output channel n in type t: that
 * of the sources, or float where they differ. */
void ISA(weight_copy)(const weight_view *v, int n, int e, int count,
                      weft_dtype t, void *out);

/* Weights of one column. */
static inline size_t depth_of(const weft_conv *c)
{
    return (size_t)c->kh * c->kw * (c->cin[0] + c->cin[1]);
}

/* As all but narrow.c hold them: [panel][tap][channel][column], in the type of
 * the file. What an algorithm makes of them it makes in a worker's scratch. */
size_t ISA(panels_bytes)(const weft_conv *c, weft_variant v);
void ISA(panels_pack)(const weight_view *w, weft_variant v, void *packed, int i,
                      int parts);

/* Elements i .. i + VL of weights in type t. */
INLINE vf vweights(const void *b, size_t i, weft_dtype t)
{
    if (t == WEFT_F16) return vhalf((const uint16_t *)b + i);
    if (t == WEFT_BF16) return vbf16((const uint16_t *)b + i);
    return vld((const float *)b + i);
}

/* ---- one algorithm per file ---------------------------------------------- */

/* A share of the work that all threads know: part i of `parts` of n things. */
static inline int part_begin(int n, int i, int parts)
{
    return (int)((long long)n * i / parts);
}

typedef struct conv_kernel {
    size_t (*bytes)(const weft_conv *c, weft_variant v);
    void (*pack)(const weight_view *w, weft_variant v, void *packed, int i,
                 int parts);
    size_t (*scratch)(const weft_conv *c, weft_variant v, int n, int wout);
    void (*run)(const weft_conv_args *a, weft_variant v, weft_pool *pool);
} conv_kernel;

extern const conv_kernel ISA(direct), ISA(narrow), ISA(minimal), ISA(strided),
    ISA(seven);

enum { ATTEND_BLOCK = 256 }; /* keys per block: part of the result */
size_t ISA(attend_scratch)(int w, int heads, int dim);
void ISA(attend)(const weft_attend_args *a, weft_pool *pool);
void ISA(moments)(const weft_moments_args *a, weft_pool *pool);
void ISA(affine)(const weft_affine_args *a, weft_pool *pool);
void ISA(layer_norm)(const weft_layer_norm_args *a, weft_pool *pool);
void ISA(resample)(const weft_resample_args *a, weft_pool *pool);

/* ---- the end of a convolution -------------------------------------------- */

INLINE vf vload(const float *p, int lanes)
{
    return lanes == VL ? vld(p) : vld_n(p, lanes);
}

INLINE void vstore(float *p, vf x, int lanes)
{
    if (lanes == VL)
        vst(p, x);
    else
        vst_n(p, x, lanes);
}

/* What is added to the sums of columns n .. n + lanes of sample s. */
INLINE vf bias_lanes(const weft_conv_args *a, int s, int n, int lanes)
{
    vf b = a->bias ? vload(a->bias + n, lanes) : vset(0);
    if (a->bias_n)
        b += vload(a->bias_n + (ptrdiff_t)s * a->conv->cout + n, lanes);
    return b;
}

/* `v`: the sum, bias included, of `lanes` columns that belong at out[at]. */
INLINE void put_lanes(const weft_conv_args *a, vf v, ptrdiff_t at, int lanes)
{
    const weft_conv *c = a->conv;
    v = vact(c->act, v);
    if (a->res) {
        const vf res = vload(a->res + at, lanes);
        v = c->gated ? v * res : v + res;
    }
    v = vact(c->post, v);
    if (c->scale != 1) v *= vset(c->scale);
    vstore(a->out + at, v, lanes);
}

#endif
