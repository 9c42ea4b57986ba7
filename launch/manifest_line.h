/*
 * manifest_line.h - a line of a manifest as keys and values. *Local*.
 *
 * Nothing is allocated: fields point into the line, or where a text is written
 * with escapes, into the scratch of the weft_line. Messages say what is wrong
 * at which byte; file and line are the caller's to add.
 */
#ifndef WEFT_LAUNCH_MANIFEST_LINE_H
#define WEFT_LAUNCH_MANIFEST_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

enum { WEFT_LINE_FIELDS = 64, WEFT_LINE_BYTES = 1 << 16 };

typedef struct weft_line_field {
    const char *key, *value;
    size_t nkey, nvalue;
    bool text; /* else a number, true, false, null, a list or a mapping, as it
                  stands there */
} weft_line_field;

typedef struct weft_line {
    weft_line_field field[WEFT_LINE_FIELDS];
    int n;
    char scratch[WEFT_LINE_BYTES];
    size_t used;
} weft_line;

/* One JSON object of at most WEFT_LINE_BYTES. Of a list or mapping only its end
 * is found; keys are unique. */
weft_status weft_line_json(const char *s, size_t bytes, weft_line *l);

/* The cells of one line of a table (RFC 4180, without line feeds in quotes), as
 * values without keys. */
weft_status weft_line_cells(const char *s, size_t bytes, weft_line *l);
/* One row under such a header: empty cells are left out, and what looks like a
 * number, true, false, a list or a mapping is one, but for captions,
 * prompts and control.
 */
weft_status weft_line_row(const weft_line *header, const char *s, size_t bytes,
                          weft_line *l);

bool weft_line_is(const weft_line_field *f, const char *key);

#endif
