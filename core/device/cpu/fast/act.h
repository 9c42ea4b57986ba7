/*
 * act.h - activations on vectors, without libm: the same bits everywhere.
 * A NaN comes out as NaN.
 */
#ifndef WEFT_CPU_FAST_ACT_H
#define WEFT_CPU_FAST_ACT_H

#include "core/device/cpu/fast/vec.h"
#include "core/device/device.h"

enum { EXPS = 4 }; /* most vectors at once in what follows */

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
INLINE vf vpoly(vf x, const float *c, int n)
{
    vf p = vset(c[n - 1]);
    UNROLL for (int i = n - 2; i >= 0; i--) p = vfma(p, x, vset(c[i]));
    return p;
}

/* 2^x for x below 127.5, clamped at 2^-126: x is rounded to n + f with
 * |f| <= 1/2, n goes into the exponent, f into a polynomial (error 8e-8). It is
 * one long chain of dependent steps, so several vectors walk it in step. */
INLINE void vexp2s(int count, vf *x)
{
    static const float c[] = {1.0f,          6.9314718e-1f, 2.4022648e-1f,
                              5.5503324e-2f, 9.6184374e-3f, 1.3398873e-3f,
                              1.5353361e-4f};
    const vf magic = vset(12582912.0f); /* 1.5 * 2^23: low bits become n */
    vf k[EXPS], p[EXPS];
    UNROLL for (int i = 0; i < count; i++) x[i] = vmax(vset(-126.0f), x[i]);
    UNROLL for (int i = 0; i < count; i++) k[i] = x[i] + magic;
    UNROLL for (int i = 0; i < count; i++) x[i] -= k[i] - magic;
    UNROLL for (int i = 0; i < count; i++) p[i] = vset(c[6]);
    UNROLL for (int j = 5; j >= 0; j--)
    {
        UNROLL for (int i = 0; i < count; i++) p[i] =
            vfma(p[i], x[i], vset(c[j]));
    }
    UNROLL for (int i = 0; i < count; i++) x[i] = vpow2(p[i], k[i]);
}

INLINE vf vexp2(vf x)
{
    vexp2s(1, &x);
    return x;
}

INLINE void vsilus(int count, vf *x)
{
    vf e[EXPS];
    UNROLL for (int i = 0; i < count; i++) e[i] =
        vmin(vset(126.0f), x[i] * vset(-1.44269504f));
    vexp2s(count, e);
    UNROLL for (int i = 0; i < count; i++) x[i] = x[i] / (vset(1.0f) + e[i]);
}

INLINE vf vsilu(vf x)
{
    vsilus(1, &x);
    return x;
}

/* x / (1 + exp(-1.702 x)); 2.4554669 = 1.702 log2(e) */
INLINE vf vquick_gelu(vf x)
{
    const vf e = vexp2(vmin(vset(126.0f), x * vset(-2.4554669f)));
    return x / (vset(1.0f) + e);
}

/* x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))); 2.3022082 is that factor
 * times log2(e) */
INLINE vf vgelu_tanh(vf x)
{
    const vf u = vfma(x * x * vset(0.044715f), x, x);
    const vf e = vexp2(vmin(vset(126.0f), u * vset(-2.3022082f)));
    return x / (vset(1.0f) + e);
}

/* erfc(z) = exp(-z^2) t P(t), t = 1 / (1 + 0.35 z), for z >= 0: the tail of the
 * normal distribution, without cancellation on either side. */
INLINE vf vgelu(vf x)
{
    static const float c[] = {
        0.19748378f, 0.19713840f,  0.18790205f, 0.15118782f,  0.14603749f,
        0.08702748f, -0.02771611f, 0.18146905f, -0.15893160f, 0.03840166f};
    const vf zero = vset(0), z = vmax(x, zero - x) * vset(0.70710678f);
    const vf t = vset(1.0f) / vfma(vset(0.35f), z, vset(1.0f));
    const vf e = vexp2(x * x * vset(-0.72134752f));
    const vf tail = vset(0.5f) * e * t * vpoly(t, c, 10);
    return vlt(x, zero, x * tail, vfnma(x, tail, x));
}

/* tanh(ln(1 + e)) = e (e + 2) / (e (e + 2) + 2) with e = exp(x); from 20 on
 * that is 1 */
INLINE vf vmish(vf x)
{
    const vf e = vexp2(vmin(vset(20.0f), x) * vset(1.44269504f));
    const vf n = e * (e + vset(2.0f));
    return x * (n / (n + vset(2.0f)));
}

/* An odd polynomial near 0, where 1 - exp would cancel. */
INLINE vf vtanh(vf u)
{
    static const float c[] = {-0.33333331f, 0.13332932f, -0.053876317f,
                              0.021121451f, -0.0062836610f};
    const vf zero = vset(0), a = vmax(u, zero - u), s = u * u;
    const vf q = vexp2(a * vset(-2.88539008f));
    const vf far = (vset(1.0f) - q) / (vset(1.0f) + q);
    const vf near = vfma(u * s, vpoly(s, c, 5), u);
    const vf big = vlt(u, zero, zero - far, far);
    return vlt(vset(0.6f), a, big, near);
}

/* The rarer ones, out of line so that loops stay small. */
static __attribute__((noinline, unused)) vf vact_rare(weft_act act, vf x)
{
    switch (act) {
    case WEFT_GELU:
        return vgelu(x);
    case WEFT_MISH:
        return vmish(x);
    case WEFT_TANH3:
        return vset(3.0f) * vtanh(x * vset(0.33333333f));
    case WEFT_QUICK_GELU:
        return vquick_gelu(x);
    case WEFT_GELU_TANH:
        return vgelu_tanh(x);
    default:
        return x;
    }
}

INLINE vf vact(weft_act act, vf x)
{
    if (act == WEFT_LINEAR) return x;
    if (act == WEFT_SILU) return vsilu(x);
    if (act == WEFT_RELU) return vmax(vset(0), x);
    return vact_rare(act, x);
}

#endif
