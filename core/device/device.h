/*
 * device.h - the table of kernels, one of weft's five seams.
 *
 * A device computes; it knows no layers, ranks or files. `reference` is
 * complete and readable, `fast` is weft's own vector code chosen at start from
 * what the CPU has; `lean` is `fast` with the sums as they are written below,
 * without minimal filtering or products of halves and quarters.
 *
 * Shapes. An activation of one patch is [rows][n][w][c] float, c fastest: rows
 * of the image outermost, then the samples of the batch side by side. A border
 * of k rows is one contiguous span whatever the batch, and so is a patch.
 *
 * Exactness. Every output element is computed by a sum whose order depends on
 * the descriptor alone: never on row0, row1, n, w, the number of threads, or
 * the instruction set. So any cut of the image gives the same bytes.
 * `reference`, `lean` and `fast` differ from each other in the last bits.
 *
 * Weights are packed once, at load, into memory that the caller provides
 * (shared by the ranks of a node): packed bytes depend on descriptor and
 * device only.
 */
#ifndef WEFT_CORE_DEVICE_DEVICE_H
#define WEFT_CORE_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/pool.h"
#include "core/status.h"

typedef enum weft_dtype { WEFT_F32, WEFT_F16, WEFT_BF16 } weft_dtype;

static inline size_t weft_dtype_size(weft_dtype t)
{
    return t == WEFT_F32 ? 4 : 2;
}

/* y = x; x sigmoid(x); max(x, 0); exact (erf) gelu; x tanh(softplus(x));
 * 3 tanh(x / 3) (AutoencoderTiny's input clamp); x sigmoid(1.702 x) (CLIP's
 * gelu); x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)) (the tanh form of gelu,
 * T5's) */
typedef enum weft_act {
    WEFT_LINEAR,
    WEFT_SILU,
    WEFT_RELU,
    WEFT_GELU,
    WEFT_MISH,
    WEFT_TANH3,
    WEFT_QUICK_GELU,
    WEFT_GELU_TANH,
} weft_act;

/*
 * A convolution, or with kh = kw = 1 a linear layer. Output pixel (y, x) is
 *
 *   out = post(act(sum + bias + bias_n[sample]) + res) * scale
 *         post(act(sum + bias + bias_n[sample]) * res) * scale    if gated
 *   sum = over ky, kx, c:
 *         in[y*stride + ky - pad_top][x*stride + kx - pad_left][c]
 *         * weight[ky][kx][c]
 *
 * over the input after nearest upsampling by `up` (1 or 2; only with stride
 * 1). Columns outside the patch are those of `side`, or zero; rows outside are
 * whatever lies in the spare rows (the neighbour's, or zeros at the edge of the
 * image). `w` and `wout` are multiples of 4 but for the image's last columns,
 * so that tiles of minimal filtering lie where they would in one patch. The
 * input may be two tensors side by side along c (a skip connection): channels
 * cin[0] of the first, then cin[1] of the second; cin[1] = 0 for one.
 */
typedef struct weft_conv {
    int kh, kw, stride, up;
    int pad_top, pad_left;
    int cin[2], cout;
    int tile_rows;    /* 1, 2 or 4: the most output rows that a minimal-
                         filtering tile may span; every cut is a multiple */
    weft_dtype wtype; /* type of the weights in the file */
    weft_act act, post;
    bool gated;  /* `res` multiplies; there is one, and the kernel is 1x1 */
    int paired;  /* of a 1x1 kernel over an image: 2 or 4 pixels of a row that
                    may be computed together; every patch begins at a multiple
                    of 4. Else 0 */
    float scale; /* 1 for none */
    int rank;    /* of two thin matrices whose product is added to this one
                    (weft_conv_args.down, up); 0: there are none */
} weft_conv;

/* Two thin matrices beside a 1x1 kernel (LoRA): sum += up (down in), with down
 * [rank][cin] and up [cout][rank], each packed as the convolution below and
 * float. So the kernel's own packed weights serve all who add something else
 * to them. */
enum { WEFT_RANK = 16 }; /* ranks are multiples of it; zeros fill up */

/* Whether a convolution may have a rank. */
bool weft_conv_takes_rank(const weft_conv *conv);
weft_conv weft_conv_down(const weft_conv *conv);
weft_conv weft_conv_up(const weft_conv *conv);

/* One tensor of a weight, as it lies in the file: [cout][cin][kh][kw] or
 * [cout][cin]. Several are stacked along cout (fused keys and values). */
typedef struct weft_source {
    const void *data;
    weft_dtype type;
    int cout;
} weft_source;

enum { WEFT_CONV_COLUMNS = 4 };

typedef struct weft_conv_args {
    const weft_conv *conv;
    const void *weight; /* packed */
    int n, w;           /* samples; columns of the input before upsampling */
    int wout;
    const float *in[2];  /* row 0 of the patch; spare rows readable around it */
    float *out;          /* row 0; [rows][n][wout][cout] */
    const float *bias;   /* [cout] or NULL */
    const float *bias_n; /* [n][cout] or NULL */
    const float *res;    /* [rows][n][wout][cout] or NULL; may be `out` */
    int row0, row1;      /* output rows to compute; row0 a multiple of
                            tile_rows, row1 too or the patch's last row */
    int col0, col1;      /* and columns of them: multiples of WEFT_CONV_COLUMNS,
                            col1 may be wout */
    /* Of each input the columns left of column 0 and right of the last, where
     * the image goes on there: row 0 of [rows][n][beside[]][cin], with the same
     * spare rows as `in`. NULL: zeros. */
    const float *side[2][2];
    int beside[2];         /* how many columns: left, right */
    const void *down, *up; /* packed; where conv->rank is not 0 */
} weft_conv_args;

/* Per cell, sample and group the sum and the sum of squared differences from
 * that cell's own mean, in double. Cells are `cell_rows` rows, which divide
 * `rows`, by `cell_columns` columns, the last one perhaps fewer:
 * moments[rows / cell_rows][n][w / cell_columns, rounded up][groups][2]. */
typedef struct weft_moments_args {
    int n, w, rows, groups;
    int cell_rows, cell_columns;
    int c[2]; /* channels of the one or two inputs, as in weft_conv */
    const float *in[2];
    double *moments;
} weft_moments_args;

/* out = act(in * mul + add), mul and add per sample and channel ([n][c]). */
typedef struct weft_affine_args {
    int n, w;
    int c[2];
    const float *in[2];
    const float *mul, *add; /* NULL: 1 and 0 */
    weft_act act;
    float *out; /* [rows][n][w][c[0] + c[1]]; may be in[0] if c[1] = 0 */
    int row0, row1;
} weft_affine_args;

/* Of each pixel by itself, over its channels:
 * out = (in - mean) / sqrt(variance + eps) * gamma + beta, or, by `rms`,
 * out = in / sqrt(mean of squares + eps) * gamma. */
typedef struct weft_layer_norm_args {
    int pixels, c;
    float eps;
    const float *in;           /* [pixels][c] */
    const float *gamma, *beta; /* [c]; beta NULL: zeros */
    float *out;                /* may be `in` */
    bool rms;
} weft_layer_norm_args;

/*
 * Softmax(q k' scale) v for every head, online over blocks of `block` keys
 * counted from key 0 of the image, in order; no matrix of scores is stored.
 * The keys and values of the whole image lie in strips of `strip` columns, the
 * last one perhaps narrower: kv[y][sample][i] is strip i of row y, [columns][2
 * c], keys first, c = heads * dim. Query, output: [rows][n][w], `step` floats
 * from one pixel to the next, the first c of which are looked at.
 *
 * Keys may come in several calls, key0 .. key1 of each where the one before
 * left off: whole blocks of device->attend_block, but for the last keys of the
 * image. What is known of each query and head in between lies in `state`; the
 * last call writes the output. The bytes are those of one call.
 */
typedef struct weft_attend_args {
    int n, w, heads, dim;
    int rows;                   /* query rows and columns (w): my patch's */
    int key_rows, key_w, strip; /* of the whole image */
    float scale;
    const float *q;
    const float *const *kv; /* [key_rows][n][key_w / strip, rounded up] */
    float *out;             /* may be q */
    int step;               /* at least heads * dim */
    bool causal;            /* query t of a sample sees keys 0 .. t only */
    const float *tilt;      /* NULL, or [heads][2 keys - 1]: what the score of
                               query t and key k gets, at k - t + keys - 1 */
    int key0, key1;         /* key1 0: all */
    void *state; /* [rows][n][w][heads] of WEFT_ATTEND_STATE(dim) bytes; NULL
                    where all keys come at once */
} weft_attend_args;

#define WEFT_ATTEND_STATE(dim) (((size_t)(dim) + 2) * sizeof(double))

/* Nearest upsampling (up: each pixel 2x2) or 2x2 means (down), outputs
 * row0 .. row1. */
typedef struct weft_resample_args {
    int n, w, c;
    bool up;
    const float *in;
    float *out;
    int row0, row1;
} weft_resample_args;

typedef struct weft_device {
    const char *name; /* as in run.kernels */
    const char *isa;  /* "avx2", "avx512", "generic" */

    /* Packed bytes of a conv's weights, a multiple of 64. */
    size_t (*weight_bytes)(const weft_conv *conv);
    /* Fill part `i` of `parts` of the packed weights (so that several workers
     * or ranks share the work; parts are disjoint and cover everything). */
    void (*weight_pack)(const weft_conv *conv, const weft_source *src, int nsrc,
                        void *packed, int i, int parts);
    /* Scratch each worker needs for `conv` on rows of n samples of width w,
     * and for attention. */
    size_t (*conv_scratch)(const weft_conv *conv, int n, int w);
    size_t (*attend_scratch)(int w, int heads, int dim);

    void (*conv)(const weft_conv_args *a, weft_pool *pool);
    void (*moments)(const weft_moments_args *a, weft_pool *pool);
    void (*affine)(const weft_affine_args *a, weft_pool *pool);
    void (*layer_norm)(const weft_layer_norm_args *a, weft_pool *pool);
    void (*attend)(const weft_attend_args *a, weft_pool *pool);
    int attend_block; /* keys that are visited together */
    void (*resample)(const weft_resample_args *a, weft_pool *pool);
} weft_device;

/* "reference", "lean" or "fast"; `isa` NULL takes the best that this CPU has
 * (tests name one). An ISA that the CPU lacks is WEFT_EINPUT. */
weft_status weft_device_find(const char *name, const char *isa,
                             const weft_device **dev);

/* Multiply-adds of a conv on `pixels` output pixels, times 2. */
double weft_conv_flops(const weft_conv *conv, double pixels);

#endif
