/*
 * listing.h - what is wrong, the first few in words.
 *
 *     weft_listing wrong = {0};
 *     weft_list(&wrong, "%s is missing", name);     as often as there is need
 *     weft_listing_rest(&wrong, more);              " and 3 more", or ""
 *     weft_fail(..., "%s%s", wrong.text, more);
 */
#ifndef WEFT_CORE_MODEL_LISTING_H
#define WEFT_CORE_MODEL_LISTING_H

#include "core/status.h"

enum { WEFT_MOST_LISTED = 10, WEFT_LISTING_REST = 32 };

typedef struct weft_listing {
    int n;
    char text[900]; /* "a, b, c" */
} weft_listing;

/* Counts one more; those after the tenth are not written. */
void weft_list(weft_listing *l, const char *fmt, ...) WEFT_PRINTF(2, 3);
void weft_listing_rest(const weft_listing *l, char text[WEFT_LISTING_REST]);

#endif
