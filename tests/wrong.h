/*
 * wrong.h - transports that do wrong, so that a test of the exchange can be
 * seen to find out, and one that is only slow. None touches what ranks agree
 * by: they would wait for each other for ever.
 */
#ifndef WEFT_TESTS_WRONG_H
#define WEFT_TESTS_WRONG_H

#include "core/mail.h"

typedef enum weft_wrong {
    WEFT_RIGHT,
    WEFT_WRONG_LATE,    /* sends what it was given the time before */
    WEFT_WRONG_MINE,    /* leaves my own old part where my new one belongs */
    WEFT_WRONG_SWAPPED, /* the upper border below, the lower one above */
    WEFT_WRONG_COLUMNS, /* the left columns right, the right ones left */
    WEFT_WRONG_CORNERS, /* the left corners right, the right ones left */
    WEFT_WRONG_SHIFTED, /* borders one pixel further on */
    WEFT_WRONGS,
    WEFT_SLOW, /* waits at random before it starts or awaits anything */
} weft_wrong;

/* Before slots are settled. Nothing is to be released. */
void weft_wrong_wrap(weft_exchange *x, weft_wrong how);
/* In step my own part lies where the net put it, beyond a transport's reach. */
bool weft_wrong_needs_lag(weft_wrong how);

#endif
