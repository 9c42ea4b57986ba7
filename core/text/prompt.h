/*
 * prompt.h - prompts as what a text encoder reads: chunks of ids, each as long
 * as the encoder's text, begin and end included.
 *
 * Plain: one chunk. What does not fit is cut, and told.
 *
 * Weighted: the grammar of the A1111 web UI, and as many chunks as are needed.
 *
 *     (text)       counts 1.1 times as much; brackets within brackets multiply
 *     [text]       1 / 1.1 times
 *     (text:1.3)   1.3 times
 *     \( \) \[ \]  the signs themselves; \\ a backslash
 *     BREAK        a word by itself: go on in a new chunk
 *
 * Brackets that are not closed end with the text. A chunk that is full ends at
 * its last comma if that is among its last 20 tokens. Weights multiply what the
 * encoder makes of a token, and each chunk's mean is then made what it was.
 */
#ifndef WEFT_CORE_TEXT_PROMPT_H
#define WEFT_CORE_TEXT_PROMPT_H

#include "core/text/tokenizer.h"

typedef struct weft_prompt {
    int chunks, length; /* length: ids of a chunk */
    int *id;            /* [chunks][length]: begin, text, end, padding */
    double *weight;     /* [chunks][length] */
    bool weighted;      /* is a weight not 1? */
    char *cut; /* plain: the text that did not fit, from a word on; NULL
                  if all did */
} weft_prompt;

/* *p is written on success, and the caller's. WEFT_EINPUT: no UTF-8, longer
 * than 64 KiB, or a weight that is no number. */
weft_status weft_prompt_plain(const weft_tokenizer *t, const char *text,
                              weft_prompt *p);
weft_status weft_prompt_weighted(const weft_tokenizer *t, const char *text,
                                 weft_prompt *p);
void weft_prompt_release(weft_prompt *p);

/* Add empty chunks until there are `chunks`: two prompts that are evaluated
 * together must be of one length. */
weft_status weft_prompt_lengthen(const weft_tokenizer *t, weft_prompt *p,
                                 int chunks);

/* Weights, on what an encoder made of all chunks: [chunks][length][c]. */
void weft_prompt_weigh(const weft_prompt *p, int c, float *hidden);

#endif
