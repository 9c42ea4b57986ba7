/* device.c - which devices there are, and which this CPU can run. */
#include "core/device/device.h"
#include "core/device/cpu/fast/fast.h"

#include <string.h>
#ifdef WEFT_X86_64
#include <cpuid.h>
#endif

extern const weft_device weft_device_reference;

static bool always(void) { return true; }

#ifdef WEFT_X86_64
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           has_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f");
}
#endif

/* Best first. */
static const struct isa {
    const weft_device *fast, *lean;
    bool (*has)(void);
} isas[] = {
#ifdef WEFT_X86_64
    {&weft_avx512_fast, &weft_avx512_lean, has_avx512},
    {&weft_avx2_fast, &weft_avx2_lean, has_avx2},
#endif
    {&weft_generic_fast, &weft_generic_lean, always},
};

static weft_status find_isa(bool lean, const char *isa, const weft_device **dev)
{
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (isa && strcmp(isas[i].fast->isa, isa)) continue;
        if (isas[i].has()) {
            *dev = lean ? isas[i].lean : isas[i].fast;
            return WEFT_OK;
        }
        if (isa) return weft_fail(WEFT_EINPUT, "this CPU has no %s", isa);
    }
    return weft_fail(WEFT_EINPUT,
                     "no kernels for instruction set \"%s\"; there are "
                     "avx512, avx2 and generic",
                     isa);
}

weft_status weft_device_find(const char *name, const char *isa,
                             const weft_device **dev)
{
    if (!strcmp(name, "reference")) {
        *dev = &weft_device_reference;
        return WEFT_OK;
    }
    if (!strcmp(name, "fast") || !strcmp(name, "lean"))
        return find_isa(name[0] == 'l', isa, dev);
    return weft_fail(WEFT_EINPUT,
                     "unknown kernels \"%s\"; there are reference, lean and "
                     "fast",
                     name);
}

double weft_conv_flops(const weft_conv *c, double pixels)
{
    const double cin = c->cin[0] + c->cin[1];
    const double beside = c->rank * (cin + c->cout);
    return 2 * ((double)c->kh * c->kw * cin * c->cout + beside) * pixels;
}

/* Few outputs are computed along the inputs, and have no place for it. */
bool weft_conv_takes_rank(const weft_conv *c)
{
    return c->kh == 1 && c->kw == 1 && c->stride == 1 && c->up == 1 &&
           c->cout > 4;
}

static weft_conv thin(int cin0, int cin1, int cout)
{
    return (weft_conv){.kh = 1,
                       .kw = 1,
                       .stride = 1,
                       .up = 1,
                       .cin = {cin0, cin1},
                       .cout = cout,
                       .tile_rows = 1,
                       .wtype = WEFT_F32,
                       .scale = 1};
}

weft_conv weft_conv_down(const weft_conv *c)
{
    return thin(c->cin[0], c->cin[1], c->rank);
}

weft_conv weft_conv_up(const weft_conv *c) { return thin(c->rank, 0, c->cout); }
