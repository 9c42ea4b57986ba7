/*
 * text.h - between UTF-8 and Latin-1, for the texts of a PNG.
 */
#ifndef WEFT_CORE_IO_TEXT_H
#define WEFT_CORE_IO_TEXT_H

#include <stdbool.h>

/* Valid UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool weft_utf8_valid(const char *text);
/* Owned; NULL if there is no memory, or (with *fits false) if a character is
 * not one that Latin-1 prints, or a line feed. */
char *weft_utf8_to_latin1(const char *text, bool *fits);
/* Owned; NULL if there is no memory. Takes any bytes. */
char *weft_latin1_to_utf8(const char *text);

#endif
