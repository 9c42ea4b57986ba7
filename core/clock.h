/*
 * clock.h - seconds on the monotonic clock, and those that the processors have
 * spent on this process.
 */
#ifndef WEFT_CORE_CLOCK_H
#define WEFT_CORE_CLOCK_H

double weft_clock(void);
double weft_cpu_clock(void);

#endif
