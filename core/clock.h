/*
 * clock.h - seconds on the monotonic clock.
 */
#ifndef WEFT_CORE_CLOCK_H
#define WEFT_CORE_CLOCK_H

double weft_clock(void);

#endif
