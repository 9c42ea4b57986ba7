#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char text[2048];

/* Names in hostile files must not steer a terminal. */
static void disarm(char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\n') || *s == 0x7f) *s = '?';
}

weft_status weft_fail(weft_status status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    disarm(text);
    return status;
}

weft_status weft_fail_within(weft_status status, const char *fmt, ...)
{
    char inner[sizeof text];
    size_t n;
    va_list args;

    memcpy(inner, text, sizeof inner);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    n = strlen(text);
    snprintf(text + n, sizeof text - n, ": %.*s", (int)(sizeof text - n),
             inner);
    disarm(text);
    return status;
}

const char *weft_fail_text(void) { return text; }

int weft_exit_code(weft_status status)
{
    return status == WEFT_OK ? 0 : status == WEFT_EINPUT ? 2 : 1;
}

void weft_bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "weft: bug at %s:%d: %s\n", file, line, what);
    abort();
}
