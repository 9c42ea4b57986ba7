/*
 * pack.c - weights as they lie in the file, which aligns nothing, to panels.
 *
 * A file has a row for each output channel, a panel a row for each of what is
 * summed over: squares of a vector's length are turned in registers.
 */
#include "core/device/cpu/fast/kernel.h"
#include "core/device/dtype.h"

/* ---- elements of output channel n: [channel][tap] ------------------------ */

/* Which source has them, and where they begin in it. */
static const weft_source *find_row(const weight_view *v, int n, size_t *at)
{
    int i = 0;
    while (i < v->nsrc - 1 && n >= v->src[i].cout) n -= v->src[i++].cout;
    *at = (size_t)n * depth_of(v->conv);
    return &v->src[i];
}

static const char *row_of(const weight_view *v, int n)
{
    size_t at;
    const weft_source *s = find_row(v, n, &at);
    return (const char *)s->data + at * weft_dtype_size(s->type);
}

void ISA(weight_copy)(const weight_view *v, int n, int e, int count,
                      weft_dtype t, void *out)
{
    size_t at;
    const weft_source *s = find_row(v, n, &at);
    float *to = out;
    if (s->type == t) {
        const size_t size = weft_dtype_size(t);
        memcpy(out, row_of(v, n) + (size_t)e * size, (size_t)count * size);
        return;
    }
    WEFT_MUST(t == WEFT_F32);
    for (int i = 0; i < count; i++)
        to[i] = weft_dtype_load(s->type, s->data, at + (size_t)(e + i));
}

/* ---- squares ------------------------------------------------------------- */

/* Elements e0 .. e0 + n of the columns of a panel. */
typedef struct turn {
    const char *row[NMAX]; /* element e0 of each column; whole vectors of them
                              can be read */
    int have, cols;        /* rows that there are; the others are zeros */
    int e0, n, taps;
    char *panel;
    ptrdiff_t tap; /* bytes from one tap to the next */
} turn;

/* Where an element of all columns belongs, for each in turn. */
typedef struct place {
    char *at;
    int tap, left; /* elements */
} place;

static place begin(const turn *x, int size)
{
    const int k = x->e0 / x->taps, tap = x->e0 % x->taps;
    return (place){x->panel + (ptrdiff_t)k * x->cols * size + tap * x->tap, tap,
                   x->n};
}

/* The first `bytes` of each of so many vectors, an element's columns, from
 * `col` on. Nobody reads soon what is packed: whole lines go past the caches.
 */
INLINE void put(const turn *x, place *p, int col, int size, int bytes,
                const vu *v, int most)
{
    const int line = x->cols * size, n = min_int(p->left, most);
    const ptrdiff_t back = line - (x->taps - 1) * x->tap;
    const bool past = bytes == 64 && line % 64 == 0;
    for (int i = 0; i < n; i++) {
        const bool last = p->tap + 1 == x->taps;
        char *at = p->at + col * size;
        if (past)
            vstream((float *)(void *)at, (vf)v[i]);
        else
            memcpy(at, &v[i], (size_t)bytes);
        p->at += last ? back : x->tap;
        p->tap = last ? 0 : p->tap + 1;
    }
    p->left -= n;
}

enum { AHEAD = 256 }; /* bytes; rows are too many to be foreseen */

/* A vector at byte `at` of each of VL rows, every so many-th, to VL vectors of
 * a lane of each row. Zipping those that are half of all apart turns one bit of
 * a lane's place into one of its vector's. */
INLINE void square(const char *const *row, int step, int rows, ptrdiff_t at,
                   vu *to)
{
    vu other[VL];
    UNROLL for (int i = 0; i < VL; i++)
    {
        to[i] = (vu){0};
        if (i >= rows) continue;
        memcpy(&to[i], row[i * step] + at, sizeof *to);
        vprefetch(row[i * step] + at + AHEAD);
    }
    UNROLL for (int bit = 1; bit < VL; bit *= 2)
    {
        UNROLL for (int i = 0; i < VL / 2; i++)
            vzip(to[i], to[i + VL / 2], &other[2 * i]);
        UNROLL for (int i = 0; i < VL; i++) to[i] = other[i];
    }
}

static void turn_singles(const turn *x)
{
    for (int col = 0; col < x->cols; col += VL) {
        const int rows = x->have - col;
        place p = begin(x, 4);
        for (ptrdiff_t at = 0; p.left; at += sizeof(vu)) {
            vu one[VL];
            square(x->row + col, 1, rows, at, one);
            put(x, &p, col, 4, sizeof(vu), one, VL);
        }
    }
}

/* Two to a lane: columns that are even and those that are odd are turned apart
 * from each other. */
static void turn_halves(const turn *x)
{
    for (int col = 0; col < x->cols; col += 2 * VL) {
        const int rows = x->have - col;
        const bool whole = x->cols - col > VL;
        place p = begin(x, 2);
        for (ptrdiff_t at = 0; p.left; at += sizeof(vu)) {
            vu even[VL], odd[VL], two[2 * VL];
            square(x->row + col, 2, (rows + 1) / 2, at, even);
            square(x->row + col + 1, 2, rows / 2, at, odd);
            UNROLL for (int i = 0; i < VL; i++)
            {
                two[2 * i] = (even[i] & 0xffff) | odd[i] << 16;
                two[2 * i + 1] = even[i] >> 16 | (odd[i] & 0xffff0000);
            }
            if (whole)
                put(x, &p, col, 2, sizeof(vu), two, 2 * VL);
            else
                put(x, &p, col, 2, sizeof(vu) / 2, two, 2 * VL);
        }
    }
}

/* ---- panels: [panel][tap][channel][column] ------------------------------- */

size_t ISA(panels_bytes)(const weft_conv *c, weft_variant v)
{
    const size_t columns = round_up(c->cout, VL);
    return (columns * depth_of(c) * weft_dtype_size(v.dtype) + 63) / 64 * 64;
}

/* Bytes of a row that are copied before they are turned: whole vectors, and
 * those of all columns stay in L1. */
enum { LINE = 512 };

static bool as_they_are(const weight_view *w, weft_dtype t)
{
    for (int i = 0; i < w->nsrc; i++)
        if (w->src[i].type != t) return false;
    return true;
}

/* Rows where they lie, but for what is of another type and for ends that are no
 * whole vector, behind which the file may end. */
static void pack_panel(const weight_view *w, weft_variant v, int n0, char *dst)
{
    const weft_conv *c = w->conv;
    const int size = (int)weft_dtype_size(v.dtype), n = (int)depth_of(c);
    const int vector = (int)sizeof(vu) / size;
    const int straight = as_they_are(w, v.dtype) ? n / vector * vector : 0;
    char lines[NMAX][LINE];
    turn x = {.taps = c->kh * c->kw, .panel = dst};
    x.cols = panel_vectors(c->cout, n0) * VL;
    x.have = min_int(x.cols, c->cout - n0);
    x.tap = (ptrdiff_t)(n / x.taps) * x.cols * size;
    if (straight < n) memset(lines, 0, sizeof lines);
    for (; x.e0 < n; x.e0 += x.n) {
        const bool copied = x.e0 >= straight;
        x.n = copied ? min_int(LINE / size, n - x.e0) : straight;
        for (int j = 0; j < x.have; j++) {
            x.row[j] = copied ? lines[j] : row_of(w, n0 + j);
            if (copied)
                ISA(weight_copy)(w, n0 + j, x.e0, x.n, v.dtype, lines[j]);
        }
        (size == 4 ? turn_singles : turn_halves)(&x);
    }
}

void ISA(panels_pack)(const weight_view *w, weft_variant v, void *packed, int i,
                      int parts)
{
    const weft_conv *c = w->conv;
    const int np = panel_count(c->cout);
    const size_t elem = depth_of(c) * weft_dtype_size(v.dtype);
    for (int p = part_begin(np, i, parts); p < part_begin(np, i + 1, parts);
         p++)
        pack_panel(w, v, p * NR, (char *)packed + (size_t)p * NR * elem);
    vstreamed();
    if (i == parts - 1) { /* the rest of the last line */
        const size_t used = round_up(c->cout, VL) * elem;
        memset((char *)packed + used, 0, ISA(panels_bytes)(c, v) - used);
    }
}
