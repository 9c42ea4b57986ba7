#include "core/model/merge.h"

#include <stdlib.h>
#include <string.h>

#include "core/device/dtype.h"
#include "core/finite.h"

enum {
    TILE = 64,    /* columns that are summed together */
    COLUMNS = 512 /* ... of which a worker keeps so many of `down` close by */
};

/* One product, and the rows it is added to. */
typedef struct product {
    const weft_low_rank *t;
    size_t row, columns; /* first row of `up`; of `down` and `out` */
    int rows;
    const float *down; /* [rank][columns] */
    float *out;        /* [rows][columns] */
} product;

bool weft_merge_wants(const weft_weight *w, int source)
{
    if (w->conv.rank) return false;
    for (int i = 0; i < w->nadded; i++)
        if (w->added[i].source == source) return true;
    return false;
}

static size_t columns_of(const int shape[4])
{
    size_t n = 1;

    for (int i = 1; i < 4; i++) n *= shape[i] ? (size_t)shape[i] : 1;
    return n;
}

/* ---- what is no number --------------------------------------------------- */

/* All bits of the exponent are set, in floats of 4 bytes and of 2 as they lie
 * in a file: anywhere, so not for weft_all_finite. */
static bool any_wide(const char *x, size_t n)
{
    uint32_t bits, bad = 0;

    for (size_t i = 0; i < n; i++) {
        memcpy(&bits, x + i * sizeof bits, sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return bad;
}

static bool any_short(const char *x, size_t n, uint16_t exponent)
{
    uint16_t bits, bad = 0;

    for (size_t i = 0; i < n; i++) {
        memcpy(&bits, x + i * sizeof bits, sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return bad;
}

static bool any_bad(weft_dtype type, const void *x, size_t from, size_t n)
{
    const char *at = (const char *)x + from * weft_dtype_size(type);

    return type == WEFT_F32
               ? any_wide(at, n)
               : any_short(at, n, type == WEFT_F16 ? 0x7c00 : 0x7f80);
}

static weft_status fail_number(const weft_low_rank *t, const char *name,
                               float is, size_t at, size_t columns)
{
    return weft_fail(WEFT_EINPUT,
                     "%s: %.200s is %g at row %zu, column %zu (from 0): the "
                     "file is damaged, or its training failed",
                     t->file, name, is, at / columns, at % columns);
}

static weft_status check_matrix(const weft_low_rank *t, const char *name,
                                weft_dtype type, const void *x, size_t rows,
                                size_t columns)
{
    enum { RUN = 4096 };
    const size_t n = rows * columns;

    for (size_t i = 0; i < n; i += RUN) {
        size_t at = i;

        if (!any_bad(type, x, i, n - i < RUN ? n - i : RUN)) continue;
        while (!any_bad(type, x, at, 1)) at++;
        return fail_number(t, name, weft_dtype_load(type, x, at), at, columns);
    }
    return WEFT_OK;
}

/* Both matrices of what is added to a tensor of `rows` x `columns`. */
static weft_status check_numbers(const weft_low_rank *t, size_t rows,
                                 size_t columns)
{
    const size_t rank = (size_t)t->rank;

    WEFT_TRY(
        check_matrix(t, t->down_name, t->down_type, t->down, rank, columns));
    return check_matrix(t, t->up_name, t->up_type, t->up, rows, rank);
}

/* ---- one product --------------------------------------------------------- */

/* n <= TILE columns of one row. */
static void add_tile(const product *p, size_t row, size_t column, size_t n)
{
    const weft_low_rank *t = p->t;
    const size_t rank = (size_t)t->rank;
    float *out = p->out + row * p->columns + column;
    float sum[TILE] = {0};

    for (size_t r = 0; r < rank; r++) {
        const float *down = p->down + r * p->columns + column;
        const float up =
            weft_dtype_load(t->up_type, t->up, (p->row + row) * rank + r);

        for (size_t k = 0; k < n; k++) sum[k] += up * down[k];
    }
    for (size_t k = 0; k < n; k++) out[k] += t->scale * sum[k];
}

/* COLUMNS of all rows. */
static void add_columns(void *arg, int i, int worker)
{
    const product *p = arg;
    const size_t from = (size_t)i * COLUMNS;
    const size_t to = from + COLUMNS < p->columns ? from + COLUMNS : p->columns;

    (void)worker;
    for (size_t row = 0; row < (size_t)p->rows; row++)
        for (size_t c = from; c < to; c += TILE)
            add_tile(p, row, c, to - c < TILE ? to - c : TILE);
}

/* ---- a tensor ------------------------------------------------------------ */

static void run(weft_pool *pool, int n, weft_task *fn, void *arg)
{
    if (pool)
        weft_pool_run(pool, n, fn, arg);
    else
        for (int i = 0; i < n; i++) fn(arg, i, 0);
}

static float *floats_of(weft_dtype type, const void *data, size_t n)
{
    float *out = malloc((n + 1) * sizeof *out);

    for (size_t i = 0; out && i < n; i++)
        out[i] = weft_dtype_load(type, data, i);
    return out;
}

static weft_status add_product(const weft_low_rank *t, product *p,
                               weft_pool *pool)
{
    float *down =
        floats_of(t->down_type, t->down, (size_t)t->rank * p->columns);

    if (!down) return weft_fail(WEFT_ENOMEM, "out of memory for weights");
    p->t = t;
    p->down = down;
    run(pool, (int)((p->columns - 1) / COLUMNS + 1), add_columns, p);
    free(down);
    return WEFT_OK;
}

/* Two matrices of numbers may make one that is none, and a scale too. */
static weft_status check_sum(const weft_low_rank *t, const float *sum, size_t n)
{
    if (weft_all_finite(sum, n)) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT,
        "%s: %.200s and %.200s, times a scale of %g, add more than "
        "a float holds: the file is damaged, or its scale in the "
        "config is too large",
        t->file, t->up_name, t->down_name, (double)t->scale);
}

weft_status weft_merge(const weft_weight *w, int source,
                       const weft_source *base, weft_pool *pool, float **merged)
{
    const size_t rows = (size_t)base->cout,
                 columns = columns_of(w->shape[source]);
    product p = {.row = rows * (size_t)w->part,
                 .columns = columns,
                 .rows = base->cout,
                 .out = floats_of(base->type, base->data, rows * columns)};
    weft_status st = WEFT_OK;
    bool whole; /* what is wrong with the base is no LoRA's fault */

    if (!p.out) return weft_fail(WEFT_ENOMEM, "out of memory for weights");
    whole = weft_all_finite(p.out, rows * columns);
    for (int i = 0; i < w->nadded && st == WEFT_OK; i++) {
        if (w->added[i].source != source) continue;
        st = check_numbers(&w->added[i], (size_t)w->shape[source][0], columns);
        if (st == WEFT_OK) st = add_product(&w->added[i], &p, pool);
        if (st == WEFT_OK && whole)
            st = check_sum(&w->added[i], p.out, rows * columns);
    }
    if (st == WEFT_OK)
        *merged = p.out;
    else
        free(p.out);
    return st;
}

/* ---- beside -------------------------------------------------------------- */

/* Those of one tensor lie below those of the one before. */
static void fill_down(const weft_weight *w, float *to)
{
    const size_t cin = (size_t)w->conv.cin[0] + (size_t)w->conv.cin[1];

    for (int i = 0; i < w->nadded; i++) {
        const weft_low_rank *t = &w->added[i];
        const size_t n = (size_t)t->rank * cin;

        for (size_t k = 0; k < n; k++)
            to[k] = weft_dtype_load(t->down_type, t->down, k);
        to += n;
    }
}

/* ... and here beside them, in the rows of their own tensor. */
static void fill_up(const weft_weight *w, float *to)
{
    const size_t all = (size_t)w->conv.rank;
    const size_t rows = (size_t)w->conv.cout / (size_t)w->nsrc;

    for (int i = 0; i < w->nadded; i++) {
        const weft_low_rank *t = &w->added[i];
        const size_t rank = (size_t)t->rank, from = rows * (size_t)w->part;

        for (size_t y = 0; y < rows; y++)
            for (size_t r = 0; r < rank; r++)
                to[(rows * (size_t)t->source + y) * all + r] =
                    t->scale *
                    weft_dtype_load(t->up_type, t->up, (from + y) * rank + r);
        to += rank;
    }
}

weft_status weft_merge_thin(const weft_weight *w, weft_thin thin, float **made)
{
    const size_t cin = (size_t)w->conv.cin[0] + (size_t)w->conv.cin[1];
    const size_t side = thin == WEFT_THIN_DOWN ? cin : (size_t)w->conv.cout;

    for (int i = 0; i < w->nadded; i++)
        WEFT_TRY(check_numbers(&w->added[i],
                               (size_t)w->shape[w->added[i].source][0], cin));
    *made = calloc(side * (size_t)w->conv.rank, sizeof **made);
    if (!*made) return weft_fail(WEFT_ENOMEM, "out of memory for weights");
    (thin == WEFT_THIN_DOWN ? fill_down : fill_up)(w, *made);
    return WEFT_OK;
}
