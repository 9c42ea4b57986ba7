/*
 * png.h - 8-bit PNG from rows as they come, over libpng.
 *
 * Same pixels and texts give the same bytes (of one version of zlib). The file
 * appears under its name when it is finished (core/io/file.h). Text that is
 * Latin-1 goes into tEXt, other text into iTXt, both before the pixels.
 *
 * Limits of both sides: 2^16 pixels a side, 8 MiB of text.
 */
#ifndef WEFT_CORE_IO_PNG_H
#define WEFT_CORE_IO_PNG_H

#include <stddef.h>

#include "core/status.h"

typedef struct weft_png weft_png;

typedef struct weft_png_text {
    const char *key, *value; /* UTF-8; key: 1 to 79 printable ASCII */
} weft_png_text;

/* `channels`: 1 grey, 3 RGB. */
weft_status weft_png_create(const char *path, int width, int height,
                            int channels, const weft_png_text *text, int ntext,
                            weft_png **png);
/* `rows` rows of [width][channels] bytes. After a failure: abandon. */
weft_status weft_png_rows(weft_png *png, const unsigned char *pixels, int rows);
/* Frees png, whatever happens. Fails if rows are missing. */
weft_status weft_png_finish(weft_png *png);
void weft_png_abandon(weft_png *png);

/* A whole image, [height][width][channels] bytes, as the bytes of the file that
 * the functions above write; *data is owned. `name` stands in messages. */
weft_status weft_png_encode(const char *name, int width, int height,
                            int channels, const unsigned char *pixels,
                            const weft_png_text *text, int ntext,
                            unsigned char **data, size_t *bytes);

/* Reading, for `weft inspect` and for repeating an image. Any PNG is read;
 * what is asked for is not trusted. */
typedef struct weft_png_info {
    int width, height;
    int channels; /* 1 grey, 2 grey and alpha, 3 RGB or palette, 4 RGBA */
    int depth;    /* bits of a channel in the file */
    int ntext;
    char **key, **value; /* owned; UTF-8 */
} weft_png_info;

/* Texts that stand before the pixels, in the order of the file. */
weft_status weft_png_read_info(const char *path, weft_png_info *info);
void weft_png_info_release(weft_png_info *info);
/* All pixels, 8 bit; *pixels owned, [h][w][channels]. *channels is 1 or 3:
 * alpha is dropped, a palette resolved. */
weft_status weft_png_read(const char *path, int *width, int *height,
                          int *channels, unsigned char **pixels);

#endif
