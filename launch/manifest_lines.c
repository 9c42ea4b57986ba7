#include "launch/manifest_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"

enum { PIECE = 1 << 20 };

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory for a manifest");
}

void weft_lines_close(weft_lines *l)
{
    free(l->buffer);
    free(l->header_text);
    free(l->fields);
    free(l->header);
}

weft_status weft_lines_open(const weft_manifest *m, uint64_t to, weft_lines *l)
{
    *l = (weft_lines){.m = m, .end = to};
    l->buffer = malloc(PIECE + WEFT_LINE_BYTES + 1);
    l->fields = malloc(sizeof *l->fields);
    l->header = malloc(sizeof *l->header);
    if (l->buffer && l->fields && l->header) return WEFT_OK;
    weft_lines_close(l);
    return no_memory();
}

/* At most one more piece. */
static weft_status read_more(weft_lines *l)
{
    const uint64_t left = l->end - l->at;
    const size_t want = left < PIECE ? (size_t)left : PIECE;
    ssize_t n;

    memmove(l->buffer, l->buffer + l->from, l->to - l->from);
    l->to -= l->from;
    l->from = 0;
    do n = pread(l->m->fd, l->buffer + l->to, want, (off_t)l->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) return weft_file_fail(errno, l->m->name, "read");
    if (n == 0)
        return weft_fail(WEFT_EINPUT, "%s: was shortened while it was read",
                         l->m->name);
    if (l->hash) weft_hash_add(l->hash, l->buffer + l->to, (size_t)n);
    l->at += (uint64_t)n;
    l->to += (size_t)n;
    return WEFT_OK;
}

weft_status weft_lines_blame(const weft_lines *l, weft_status s)
{
    if (s == WEFT_OK || s == WEFT_ENOMEM) return s;
    return l->number ? weft_fail_within(s, "%s:%lld", l->m->name, l->number)
                     : weft_fail_within(s, "%s", l->m->name);
}

/* The next line without its end, or *s NULL. */
static weft_status next_line(weft_lines *l, const char **s, size_t *bytes)
{
    const char *end;

    while (!(end = memchr(l->buffer + l->from, '\n', l->to - l->from)) &&
           l->at < l->end && l->to - l->from <= WEFT_LINE_BYTES)
        WEFT_TRY(read_more(l));
    *s = l->to > l->from ? l->buffer + l->from : NULL;
    if (!*s) return WEFT_OK;
    l->number++;
    *bytes = end ? (size_t)(end - *s) : l->to - l->from;
    if (*bytes > WEFT_LINE_BYTES)
        return weft_lines_blame(l, weft_fail(WEFT_EINPUT,
                                             "a line of more than %d bytes",
                                             WEFT_LINE_BYTES));
    l->begins = l->next;
    l->next += *bytes + (end != NULL);
    l->from += *bytes + (end != NULL);
    if (*bytes && (*s)[*bytes - 1] == '\r') --*bytes;
    return WEFT_OK;
}

static bool is_blank(const char *s, size_t bytes)
{
    while (bytes && (*s == ' ' || *s == '\t')) s++, bytes--;
    return bytes == 0;
}

weft_status weft_lines_next(weft_lines *l, const char **s, size_t *bytes)
{
    do {
        WEFT_TRY(next_line(l, s, bytes));
        if (*s && l->begins == 0 && *bytes >= 3 &&
            memcmp(*s, "\xef\xbb\xbf", 3) == 0) {
            *s += 3;
            *bytes -= 3;
        }
    } while (*s && is_blank(*s, *bytes));
    return WEFT_OK;
}

weft_status weft_lines_item(weft_lines *l, const char *s, size_t bytes,
                            weft_item *item, weft_words *w)
{
    weft_status st = l->m->table ? weft_line_row(l->header, s, bytes, l->fields)
                                 : weft_line_json(s, bytes, l->fields);

    if (st == WEFT_OK) st = weft_item_take(l->fields, item, w);
    return weft_lines_blame(l, st);
}

weft_status weft_lines_header(weft_lines *l)
{
    const char *s;
    size_t bytes;

    if (!l->m->table) return WEFT_OK;
    WEFT_TRY(weft_lines_next(l, &s, &bytes));
    if (!s) return weft_fail(WEFT_EINPUT, "%s: is empty", l->m->name);
    l->header_text = malloc(bytes + 1);
    if (!l->header_text) return no_memory();
    memcpy(l->header_text, s, bytes); /* there may be zeros in it */
    WEFT_TRY(
        weft_lines_blame(l, weft_line_cells(l->header_text, bytes, l->header)));
    for (int i = 0; i < l->header->n; i++)
        for (int k = 0; k < i; k++)
            if (l->header->field[i].nvalue == l->header->field[k].nvalue &&
                memcmp(l->header->field[i].value, l->header->field[k].value,
                       l->header->field[i].nvalue) == 0)
                return weft_lines_blame(
                    l, weft_fail(WEFT_EINPUT, "a column stands there twice"));
    return WEFT_OK;
}
