/*
 * vec.h - one vector type, VL floats wide, for every instruction set.
 *
 * Which one is decided by the compiler's flags: AVX-512F (16 lanes), AVX2 with
 * FMA and F16C (8), or plain C (8). WEFT_VEC_WIDE makes 16 lanes out of two
 * AVX2 halves: slow, but it shows on any x86 what AVX-512 computes.
 *
 * All of them give the same bits. Every multiply-add is an explicit fma, and
 * the compiler may not contract others (-ffp-contract=off). vmax and vmin
 * return the second operand where one is NaN, as x86 does.
 */
#ifndef WEFT_CPU_FAST_VEC_H
#define WEFT_CPU_FAST_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined __AVX2__ || defined __AVX512F__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* Unrolled only where it buys registers: without vector fma the code would
 * just be large. */
#if defined WEFT_VEC_WIDE || (!defined __AVX2__ && !defined __FP_FAST_FMAF)
#define UNROLL
#elif defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 36")
#endif

/* vstream is vst to an aligned place, past the caches where there is a way;
 * vstreamed: what was written so is there before what is written next. */
#if defined __AVX2__ || defined __AVX512F__
INLINE void vstreamed(void) { _mm_sfence(); }
#else
INLINE void vstreamed(void) {}
#endif

#if defined WEFT_VEC_WIDE

enum { VL = 16 };
typedef float vf __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef union vhalves {
    vf v;
    __m256 h[2];
} vhalves;
#define TWICE(expr)                                                            \
    vhalves r;                                                                 \
    for (int i = 0; i < 2; i++) r.h[i] = (expr);                               \
    return r.v
#define H(x) ((vhalves){.v = (x)}.h[i])
INLINE vf vld(const float *p) { TWICE(_mm256_loadu_ps(p + 8 * i)); }
INLINE void vst(float *p, vf x)
{
    for (int i = 0; i < 2; i++) _mm256_storeu_ps(p + 8 * i, H(x));
}
INLINE void vstream(float *p, vf x)
{
    for (int i = 0; i < 2; i++) _mm256_stream_ps(p + 8 * i, H(x));
}
INLINE vf vset(float x) { TWICE(_mm256_set1_ps(x)); }
INLINE vf vfma(vf a, vf b, vf c) { TWICE(_mm256_fmadd_ps(H(a), H(b), H(c))); }
INLINE vf vfnma(vf a, vf b, vf c) { TWICE(_mm256_fnmadd_ps(H(a), H(b), H(c))); }
INLINE vf vmax(vf a, vf b) { TWICE(_mm256_max_ps(H(a), H(b))); }
INLINE vf vmin(vf a, vf b) { TWICE(_mm256_min_ps(H(a), H(b))); }
INLINE vf vlt(vf a, vf b, vf x, vf y)
{
    TWICE(_mm256_blendv_ps(H(y), H(x), _mm256_cmp_ps(H(a), H(b), _CMP_LT_OQ)));
}
INLINE vf vpow2(vf p, vf k)
{
    TWICE(_mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(H(p)),
                         _mm256_slli_epi32(_mm256_castps_si256(H(k)), 23))));
}
INLINE vf vhalf(const uint16_t *p)
{
    TWICE(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8 * i))));
}
INLINE vf vbf16(const uint16_t *p)
{
    TWICE(_mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p + 8 * i))),
        16)));
}
#undef TWICE
#undef H

#elif defined __AVX512F__

enum { VL = 16 };
typedef __m512 vf;
typedef uint32_t vu __attribute__((vector_size(64)));
INLINE vf vld(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vstream(float *p, vf x) { _mm512_stream_ps(p, x); }
INLINE void vst(float *p, vf x) { _mm512_storeu_ps(p, x); }
INLINE vf vset(float x) { return _mm512_set1_ps(x); }
INLINE vf vfma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vfnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vlt(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
INLINE vf vpow2(vf p, vf k)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(k), 23)));
}
INLINE vf vhalf(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
INLINE vf vbf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
#define WEFT_VEC_MASKED
INLINE vf vld_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void vst_n(float *p, vf x, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}

#elif defined __AVX2__

enum { VL = 8 };
typedef __m256 vf;
typedef uint32_t vu __attribute__((vector_size(32)));
INLINE vf vld(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vstream(float *p, vf x) { _mm256_stream_ps(p, x); }
INLINE void vst(float *p, vf x) { _mm256_storeu_ps(p, x); }
INLINE vf vset(float x) { return _mm256_set1_ps(x); }
INLINE vf vfma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf vfnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf vlt(vf a, vf b, vf x, vf y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
INLINE vf vpow2(vf p, vf k)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(k), 23)));
}
INLINE vf vhalf(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE vf vbf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
#define WEFT_VEC_MASKED
INLINE __m256i vmask(int n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}
INLINE vf vld_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, vmask(n));
}
INLINE void vst_n(float *p, vf x, int n)
{
    _mm256_maskstore_ps(p, vmask(n), x);
}

#else

enum { VL = 8 };
typedef float vf __attribute__((vector_size(32)));
typedef uint32_t vu __attribute__((vector_size(32)));
INLINE vf vld(const float *p)
{
    vf r;
    memcpy(&r, p, sizeof r);
    return r;
}
INLINE void vst(float *p, vf x) { memcpy(p, &x, sizeof x); }
INLINE void vstream(float *p, vf x) { vst(p, x); }
INLINE vf vset(float x) { return (vf){x, x, x, x, x, x, x, x}; }
INLINE vf vfma(vf a, vf b, vf c)
{
    for (int i = 0; i < VL; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
INLINE vf vfnma(vf a, vf b, vf c) { return vfma(-a, b, c); }
INLINE vf vlt(vf a, vf b, vf x, vf y)
{
    const vu m = (vu)(a < b);
    return (vf)(((vu)x & m) | ((vu)y & ~m));
}
INLINE vf vmax(vf a, vf b) { return vlt(b, a, a, b); }
INLINE vf vmin(vf a, vf b) { return vlt(a, b, a, b); }
INLINE vf vpow2(vf p, vf k) { return (vf)((vu)p + ((vu)k << 23)); }
INLINE vf vbf16(const uint16_t *p)
{
    vu r;
    for (int i = 0; i < VL; i++) r[i] = (uint32_t)p[i] << 16;
    return (vf)r;
}
/* Normal numbers, zeros, infinities and NaN move their bits; subnormal halves
 * are m * 2^-24 exactly. */
INLINE vf vhalf(const uint16_t *p)
{
    vu r;
    for (int i = 0; i < VL; i++) {
        const uint32_t h = p[i], m = h & 0x3ff, e = h >> 10 & 31;
        const float tiny = (float)m * 0x1p-24f;
        uint32_t u;
        memcpy(&u, &tiny, sizeof u);
        if (e) u = (e == 31 ? 255 : e + 112) << 23 | m << 13;
        r[i] = u | (h & 0x8000) << 16;
    }
    return (vf)r;
}

#endif

#ifndef WEFT_VEC_MASKED
/* The first n < VL floats; lanes behind are zero, memory behind untouched. */
INLINE vf vld_n(const float *p, int n)
{
    float t[VL] = {0};
    memcpy(t, p, (size_t)n * sizeof *t);
    return vld(t);
}
INLINE void vst_n(float *p, vf x, int n)
{
    float t[VL];
    vst(t, x);
    memcpy(p, t, (size_t)n * sizeof *t);
}
#endif

/* s += a b with s pinned to its register: left to itself, GCC moves the sums
 * of a full register tile about, which costs 5 to 10 % of the inner loop. */
INLINE void vacc(vf *s, vf a, vf b)
{
#if (defined __AVX2__ || defined __AVX512F__) && !defined WEFT_VEC_WIDE
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*s) : "v"(a), "v"(b));
#else
    *s = vfma(a, b, *s);
#endif
}

/* Lanes of a and of b by turns: those of the lower halves to to[0], the others
 * to to[1]. */
#if defined WEFT_VEC_WIDE || !defined __AVX2__
INLINE void vzip(vu a, vu b, vu *to)
{
    for (int i = 0; i < VL; i++) {
        to[i / (VL / 2)][2 * i % VL] = a[i];
        to[i / (VL / 2)][2 * i % VL + 1] = b[i];
    }
}
#elif defined __AVX512F__
INLINE void vzip(vu a, vu b, vu *to)
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
                                          21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    to[0] = (vu)_mm512_permutex2var_epi32((__m512i)a, low, (__m512i)b);
    to[1] = (vu)_mm512_permutex2var_epi32((__m512i)a, high, (__m512i)b);
}
#else
INLINE void vzip(vu a, vu b, vu *to)
{
    const __m256i low = _mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
    const __m256i high = _mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
    to[0] = (vu)_mm256_permute2x128_si256(low, high, 0x20);
    to[1] = (vu)_mm256_permute2x128_si256(low, high, 0x31);
}
#endif

INLINE void vprefetch(const void *p) { __builtin_prefetch(p); }

/* Sums across lanes run over 16 virtual lanes on any instruction set: lanes i
 * and i + 8, then i + 4, i + 2, i + 1; so do maxima. */
enum { LANES = 16, UNITS = LANES / VL };

#if (defined __AVX2__ || defined __AVX512F__) && !defined WEFT_VEC_WIDE
#define FOLD(name, op, last)                                                   \
    INLINE float name(__m256 x)                                                \
    {                                                                          \
        const __m128 high = _mm256_extractf128_ps(x, 1);                       \
        __m128 s = op(_mm256_castps256_ps128(x), high);                        \
        s = op(s, _mm_movehl_ps(s, s));                                        \
        return _mm_cvtss_f32(last(s, _mm_movehdup_ps(s)));                     \
    }
FOLD(vsum8, _mm_add_ps, _mm_add_ss)
FOLD(vmax8, _mm_max_ps, _mm_max_ss)
#undef FOLD
#ifdef __AVX512F__
INLINE __m256 vhigh(vf x)
{
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}
INLINE float vsum16(const vf *x)
{
    return vsum8(_mm256_add_ps(_mm512_castps512_ps256(*x), vhigh(*x)));
}
INLINE float vmax16(const vf *x)
{
    return vmax8(_mm256_max_ps(_mm512_castps512_ps256(*x), vhigh(*x)));
}
#else
INLINE float vsum16(const vf *x) { return vsum8(x[0] + x[1]); }
INLINE float vmax16(const vf *x) { return vmax8(_mm256_max_ps(x[0], x[1])); }
#endif
#else
INLINE float vsum16(const vf *x)
{
    float t[LANES];
    for (int u = 0; u < UNITS; u++) vst(t + u * VL, x[u]);
    for (int w = LANES / 2; w; w /= 2)
        for (int i = 0; i < w; i++) t[i] += t[i + w];
    return t[0];
}
INLINE float vmax16(const vf *x)
{
    float t[LANES];
    for (int u = 0; u < UNITS; u++) vst(t + u * VL, x[u]);
    for (int w = LANES / 2; w; w /= 2)
        for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
    return t[0];
}
#endif

#endif
