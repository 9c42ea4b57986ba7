/*
 * exchange_bench.h - exchanges for measuring only.
 *
 * What hiding is worth is the difference to two other runs: one that exchanges
 * nothing, and one that hides nothing.
 */
#ifndef WEFT_MPI_EXCHANGE_BENCH_H
#define WEFT_MPI_EXCHANGE_BENCH_H

#include "core/exchange.h"

typedef enum weft_bench_link {
    WEFT_LINK_REAL,
    WEFT_LINK_NONE,     /* nothing moves: peers' rows are zeros, the picture is
                           wrong, the work is the same */
    WEFT_LINK_BLOCKING, /* what is put is waited for at once, in step */
} weft_bench_link;

/* Local, before any slot is settled: wrap how x moves bytes. */
weft_status weft_exchange_measure(weft_exchange *x, weft_bench_link link);

#endif
