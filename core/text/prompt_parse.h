/*
 * prompt_parse.h - the grammar of weighted prompts; for prompt.c.
 */
#ifndef WEFT_CORE_TEXT_PROMPT_PARSE_H
#define WEFT_CORE_TEXT_PROMPT_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

enum { WEFT_MOST_PROMPT = 1 << 16 }; /* bytes */

/* A stretch of text of one weight, or a break between chunks. */
typedef struct weft_prompt_span {
    size_t from, to; /* in weft_prompt_spans.text */
    double weight;
    bool is_break;
} weft_prompt_span;

typedef struct weft_prompt_spans {
    char *text; /* without signs of the grammar */
    weft_prompt_span *span;
    int n;
} weft_prompt_spans;

/* Owned; neighbours differ in weight. At most WEFT_MOST_PROMPT bytes. */
weft_status weft_prompt_parse(const char *text, size_t bytes,
                              weft_prompt_spans *s);
void weft_prompt_spans_release(weft_prompt_spans *s);

#endif
