/*
 * standard.h - the three standard streams.
 *
 * *Local.*
 */
#ifndef WEFT_LAUNCH_STANDARD_H
#define WEFT_LAUNCH_STANDARD_H

#include "core/status.h"

/* A stream that was closed when the program started stays unusable, but its
 * number is taken: else the first file that is opened would get it, and
 * messages would be written into that file. */
void weft_standard_reserve(void);

/* Whether all that was printed on standard output has arrived. WEFT_EIO. */
weft_status weft_standard_flush(void);

#endif
