#include "core/model/listing.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void weft_list(weft_listing *l, const char *fmt, ...)
{
    const size_t used = strlen(l->text);
    va_list args;
    size_t n;

    if (l->n++ >= WEFT_MOST_LISTED) return;
    n = (size_t)snprintf(l->text + used, sizeof l->text - used, "%s",
                         used ? ", " : "");
    if (used + n >= sizeof l->text) return;
    va_start(args, fmt);
    vsnprintf(l->text + used + n, sizeof l->text - used - n, fmt, args);
    va_end(args);
}

void weft_listing_rest(const weft_listing *l, char text[WEFT_LISTING_REST])
{
    text[0] = 0;
    if (l->n > WEFT_MOST_LISTED)
        snprintf(text, WEFT_LISTING_REST, " and %d more",
                 l->n - WEFT_MOST_LISTED);
}
