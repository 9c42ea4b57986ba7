/*
 * token_lines.h - token ids of many lines against what a reference made of
 * them: JSON lines {"KIND": name, "text": "...", "ids": [...]}.
 */
#ifndef WEFT_TESTS_TOKEN_LINES_H
#define WEFT_TESTS_TOKEN_LINES_H

#include "core/text/tokenizer.h"

/* Fails the test where a line's ids differ; t[i] is the tokenizer that the file
 * calls name[i]. Returns the lines. */
int token_lines_check(const char *path, const char *kind,
                      const char *const *name, weft_tokenizer *const *t, int n);

#endif
