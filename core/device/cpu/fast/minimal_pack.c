/* minimal_pack.c - transformed weights of minimal filtering, in double. */
#include "core/device/cpu/fast/minimal.h"

size_t ISA(minimal_bytes)(const weft_conv *c, weft_variant v)
{
    const size_t n = position_floats(c, v.mh) * rows_in(v.mh) * NW;
    return (n * sizeof(float) + 63) / 64 * 64;
}

/* Rows of the weights' transform: 1, p, p^2 over the product of differences of
 * the points; the last is infinity. m = 1: none. */
static void transform(int m, double g[6][3])
{
    static const double two[] = {0, 1, -1};
    static const double four[] = {0, POINT_A, -POINT_A, POINT_B, -POINT_B};
    const double *p = m == 2 ? two : four;
    memset(g, 0, 18 * sizeof(double));
    for (int j = 0; j < m + 1; j++) {
        double f = 1;
        for (int l = 0; l < m + 1; l++)
            if (l != j) f *= p[j] - p[l];
        g[j][0] = 1 / f;
        g[j][1] = p[j] / f;
        g[j][2] = p[j] * p[j] / f;
    }
    g[m + 1][2] = 1;
}

/* The same for strided.c: four points for the outer columns of the kernel, and
 * infinity; the middle column as it is. */
static void transform_strided(double g[6][3])
{
    static const double p[] = {POINT_A, -POINT_A, POINT_B, -POINT_B};
    memset(g, 0, 18 * sizeof(double));
    for (int j = 0; j < 4; j++) {
        double f = 1;
        for (int l = 0; l < 4; l++)
            if (l != j) f *= p[j] - p[l];
        g[j][0] = 1 / f;
        g[j][2] = p[j] / f;
    }
    g[4][2] = 1;
    g[5][1] = 1;
}

/* One kernel of each column, [3][3][column], to [position or tap][column]. */
typedef double columns[NMAX];

static void transform_kernels(int mh, int cols, double (*g)[3], double (*h)[3],
                              columns *kernel, float (*out)[NMAX])
{
    const int nh = mh == 1 ? 3 : mh + 2; /* one row of taps each, if mh = 1 */
    columns row[3];
    for (int y = 0; y < nh; y++) {
        for (int x = 0; x < 3; x++)
            for (int j = 0; j < cols; j++)
                row[x][j] = mh == 1 ? kernel[y * 3 + x][j]
                                    : h[y][0] * kernel[x][j] +
                                          h[y][1] * kernel[3 + x][j] +
                                          h[y][2] * kernel[6 + x][j];
        for (int x = 0; x < NW; x++)
            for (int j = 0; j < cols; j++)
                out[y * NW + x][j] =
                    (float)(g[x][0] * row[0][j] + g[x][1] * row[1][j] +
                            g[x][2] * row[2][j]);
    }
}

/* Kernels that are read at a time: with those of all columns they stay in L1.
 */
enum { PACK_K = 16 };
typedef float line[PACK_K * 9];

/* Of the columns that there are. */
static void read_lines(const weight_view *w, int n0, int cols, int k0, int nk,
                       line *lines)
{
    for (int j = 0; j < min_int(cols, w->conv->cout - n0); j++)
        ISA(weight_read)(w, n0 + j, k0, nk, lines[j]);
}

/* Kernel k of each. */
static void turn_kernel(const line *lines, int k, int cols, columns *kernel)
{
    for (int t = 0; t < 9; t++)
        for (int j = 0; j < cols; j++) kernel[t][j] = lines[j][k * 9 + t];
}

/* Where channel k of a panel starts, for position 0 and tap 0, and the step
 * to the next tap. */
static size_t channel_at(int k, int channels, int taps, int cols, size_t *tap)
{
    const int part = part_length(channels), k0 = k / part * part;
    const int n = min_int(part, channels - k0);
    *tap = (size_t)n * cols;
    return ((size_t)k0 * taps + (k - k0)) * cols;
}

/* Nobody reads them soon: they need not be fetched first. */
static void put_columns(float *to, const float *from, int cols)
{
    for (int j = 0; j < cols; j += VL) vstream(to + j, vld(from + j));
}

static void pack_panel(const weight_view *w, int mh, int n0, float *dst)
{
    const weft_conv *c = w->conv;
    const int k = c->cin[0] + c->cin[1], cols = panel_vectors(c->cout, n0) * VL;
    const int taps = taps_of(mh), positions = rows_in(mh) * NW;
    double g[6][3], h[6][3];
    line lines[NMAX];
    columns kernel[9];
    float out[MAX_POSITIONS][NMAX];
    memset(lines, 0, sizeof lines); /* columns that are not there */
    if (c->stride == 2)
        transform_strided(g);
    else
        transform(MW, g);
    if (mh > 1) transform(mh, h);
    for (int k0 = 0; k0 < k; k0 += PACK_K) {
        const int nk = min_int(PACK_K, k - k0);
        read_lines(w, n0, cols, k0, nk, lines);
        for (int i = 0; i < nk; i++) {
            size_t tap, at = channel_at(k0 + i, k, taps, cols, &tap);
            turn_kernel(lines, i, cols, kernel);
            transform_kernels(mh, cols, g, h, kernel, out);
            for (int t = 0; t < taps; t++)
                for (int x = 0; x < positions; x++)
                    put_columns(dst + x * position_floats(c, mh) + at + t * tap,
                                out[t * positions + x], cols);
        }
    }
}

void ISA(minimal_pack)(const weight_view *w, weft_variant v, void *packed,
                       int i, int parts)
{
    const weft_conv *c = w->conv;
    const int np = panel_count(c->cout), end = part_begin(np, i + 1, parts);
    const size_t depth = (size_t)(c->cin[0] + c->cin[1]) * taps_of(v.mh);
    for (int p = part_begin(np, i, parts); p < end; p++)
        pack_panel(w, v.mh, p * NR, (float *)packed + (size_t)p * NR * depth);
    vstreamed();
    if (i == parts - 1) {
        const size_t used =
            position_floats(c, v.mh) * rows_in(v.mh) * NW * sizeof(float);
        memset((char *)packed + used, 0, ISA(minimal_bytes)(c, v) - used);
    }
}
