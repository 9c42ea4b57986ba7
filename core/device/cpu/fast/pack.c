/* pack.c - elements of weights as they lie in the file, which aligns nothing.
 */
#include "core/device/cpu/fast/kernel.h"
#include "core/device/dtype.h"

static void read_floats(const weft_source *s, size_t at, int n, float *out)
{
    if (s->type == WEFT_F32)
        memcpy(out, (const char *)s->data + at * sizeof *out,
               (size_t)n * sizeof *out);
    else
        for (int i = 0; i < n; i++)
            out[i] = weft_dtype_load(s->type, s->data, at + i);
}

/* Row n of all sources: which one has it, and which of its elements is the
 * first of channel k0. */
static const weft_source *find_row(const weight_view *v, int n, int k0,
                                   size_t *at)
{
    const weft_conv *c = v->conv;
    const int taps = c->kh * c->kw, k = c->cin[0] + c->cin[1];
    int i = 0;
    while (i < v->nsrc - 1 && n >= v->src[i].cout) n -= v->src[i++].cout;
    *at = ((size_t)n * k + k0) * taps;
    return &v->src[i];
}

void ISA(weight_copy)(const weight_view *v, int n, int k0, int nk, weft_dtype t,
                      void *out)
{
    const int count = nk * v->conv->kh * v->conv->kw;
    const size_t size = weft_dtype_size(t);
    size_t at;
    const weft_source *s = find_row(v, n, k0, &at);
    if (s->type == t) {
        memcpy(out, (const char *)s->data + at * size, count * size);
        return;
    }
    WEFT_MUST(t == WEFT_F32);
    read_floats(s, at, count, out);
}
