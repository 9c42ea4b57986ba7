/*
 * processor.h - the few things that threads must tell the processor itself.
 */
#ifndef WEFT_CORE_DEVICE_PROCESSOR_H
#define WEFT_CORE_DEVICE_PROCESSOR_H

#include <stdint.h>

#if defined __x86_64__
#include <immintrin.h>
#endif

/* Denormals count as zero in this thread. Returns what was before. */
static inline uint64_t weft_processor_flush_denormals(void)
{
    uint64_t old = 0;
#if defined __x86_64__
    old = _mm_getcsr();
    _mm_setcsr((unsigned)old | 0x8040); /* flush to zero, denormals are zero */
#elif defined __aarch64__
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | 1u << 24));
#endif
    return old;
}

/* Back to what weft_processor_flush_denormals() returned. */
static inline void weft_processor_restore_denormals(uint64_t old)
{
#if defined __x86_64__
    _mm_setcsr((unsigned)old);
#elif defined __aarch64__
    __asm__ volatile("msr fpcr, %0" : : "r"(old));
#else
    (void)old;
#endif
}

/* One turn of a loop that waits for another thread. */
static inline void weft_processor_relax(void)
{
#if defined __x86_64__
    _mm_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

#endif
