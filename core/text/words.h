/*
 * words.h - text as CLIP's tokenizer cleans it and cuts it into words.
 */
#ifndef WEFT_CORE_TEXT_WORDS_H
#define WEFT_CORE_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

/* Valid UTF-8, zero bytes included. */
bool weft_words_valid(const char *text, size_t bytes);

/* In composed form (NFC), runs of white space as one space, lower case. `text`
 * is valid UTF-8. *out is owned, with a zero byte behind its *n. */
weft_status weft_words_clean(const char *text, size_t bytes, char **out,
                             size_t *n);

/* From `at` on, where the run of white space ends, or that of all else. */
size_t weft_words_run(const char *text, size_t bytes, size_t at, bool space);

/* Where one is in a cleaned text; to begin with, text and bytes alone. */
typedef struct weft_words {
    const char *text;
    size_t bytes, at;
    int spelt; /* parts of a special token that were given */
} weft_words;

/* The next word; false at the end. A word is one of
 *     's  't  're  've  'm  'll  'd
 *     letters;  one number;  anything else but white space, in a run
 * and special tokens that are spelt out, "<|startoftext|>", are three. */
bool weft_words_next(weft_words *w, const char **word, size_t *n);

#endif
