/*
 * suggest.h - "did you mean". *Local*.
 */
#ifndef WEFT_LAUNCH_SUGGEST_H
#define WEFT_LAUNCH_SUGGEST_H

#include <stddef.h>

/* Edits (a letter put in, left out, changed, or two neighbours swapped; case
 * does not count) that make `b` of `a`. Words beyond 63 letters are far. */
int weft_edit_distance(const char *a, const char *b);

/* The nearest of `n` words if it is near enough to have been meant, or NULL. */
const char *weft_suggest(const char *word, const char *const *known, int n);

/* Write `, did you mean "x"?` if there is such a word, else, where the words
 * fit, `; known are a, b, c`. Cut to `room`; returns `text`. */
const char *weft_suggest_text(const char *word, const char *const *known, int n,
                              char *text, size_t room);

#endif
