/*
 * manifest_lines.h - a manifest's file, line by line.
 *
 * A large file is read in pieces; blank lines are left out, and so is a mark of
 * byte order. *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_LINES_H
#define WEFT_LAUNCH_MANIFEST_LINES_H

#include "launch/manifest_item.h"

typedef struct weft_lines {
    const weft_manifest *m;
    uint64_t at, end;      /* of what is still to be read from the file */
    char *buffer;          /* [1 MiB and a line] */
    size_t from, to;       /* what was read and not yet handed out */
    uint64_t begins, next; /* in the file: the line handed out, the next */
    long long number;      /* of the line handed out; 0: none yet */
    weft_hash *hash;       /* takes all that is read; or NULL */
    weft_line *fields, *header;
    char *header_text; /* what the header's fields point into */
} weft_lines;

/* Of m's file up to byte `to`; m is borrowed. */
weft_status weft_lines_open(const weft_manifest *m, uint64_t to, weft_lines *l);
void weft_lines_close(weft_lines *l);

/* A table's header, before its rows; of JSON lines there is none. */
weft_status weft_lines_header(weft_lines *l);
/* The next line without its end, or *s NULL: there is none. */
weft_status weft_lines_next(weft_lines *l, const char **s, size_t *bytes);
/* What that line says of an item. */
weft_status weft_lines_item(weft_lines *l, const char *s, size_t bytes,
                            weft_item *item, weft_words *w);
/* "FILE:LINE: " before what was said of the line. */
weft_status weft_lines_blame(const weft_lines *l, weft_status s);

#endif
