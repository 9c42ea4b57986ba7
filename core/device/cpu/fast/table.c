/* table.c - the kernels of one instruction set as devices. */
#include "core/device/cpu/fast/fast.h"
#include "core/device/cpu/fast/kernel.h"

static const conv_kernel *kernel_of(weft_variant v)
{
    switch (v.kind) {
    case WEFT_NARROW:
        return &ISA(narrow);
    case WEFT_MINIMAL:
        return &ISA(minimal);
    case WEFT_STRIDED:
        return &ISA(strided);
    case WEFT_SEVEN:
        return &ISA(seven);
    default:
        return &ISA(direct);
    }
}

#define DEVICE_FUNCTIONS(mode, lean)                                           \
    static size_t mode##_bytes(const weft_conv *c)                             \
    {                                                                          \
        const weft_variant v = weft_variant_of(c, lean);                       \
        return kernel_of(v)->bytes(c, v);                                      \
    }                                                                          \
    static void mode##_pack(const weft_conv *c, const weft_source *src,        \
                            int nsrc, void *packed, int i, int parts)          \
    {                                                                          \
        const weft_variant v = weft_variant_of(c, lean);                       \
        const weight_view w = {c, src, nsrc};                                  \
        kernel_of(v)->pack(&w, v, packed, i, parts);                           \
    }                                                                          \
    static size_t mode##_scratch(const weft_conv *c, int n, int w)             \
    {                                                                          \
        const weft_variant v = weft_variant_of(c, lean);                       \
        return kernel_of(v)->scratch(c, v, n, w * c->up / c->stride);          \
    }                                                                          \
    static void mode##_conv(const weft_conv_args *a, weft_pool *pool)          \
    {                                                                          \
        const weft_variant v = weft_variant_of(a->conv, lean);                 \
        kernel_of(v)->run(a, v, pool);                                         \
    }

DEVICE_FUNCTIONS(fast, false)
DEVICE_FUNCTIONS(lean, true)

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#define DEVICE(mode)                                                           \
    {                                                                          \
        .name = #mode, .isa = TEXT(WEFT_ISA), .weight_bytes = mode##_bytes,    \
        .weight_pack = mode##_pack, .conv_scratch = mode##_scratch,            \
        .attend_scratch = ISA(attend_scratch), .attend_block = ATTEND_BLOCK,   \
        .conv = mode##_conv, .moments = ISA(moments), .affine = ISA(affine),   \
        .layer_norm = ISA(layer_norm), .attend = ISA(attend),                  \
        .resample = ISA(resample),                                             \
    }

const weft_device ISA(fast) = DEVICE(fast);
const weft_device ISA(lean) = DEVICE(lean);
