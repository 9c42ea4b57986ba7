/*
 * png.h - 8-bit PNG from rows as they come, over libpng.
 *
 * Same pixels and texts give the same bytes. The file appears under its name
 * when it is finished (core/io/file.h). Text that is Latin-1 goes into tEXt,
 * other text into iTXt.
 */
#ifndef WEFT_CORE_IO_PNG_H
#define WEFT_CORE_IO_PNG_H

#include <stddef.h>

#include "core/status.h"

typedef struct weft_png weft_png;

typedef struct weft_text {
    const char *key, *value; /* UTF-8 */
} weft_text;

/* `channels`: 1 grey, 3 RGB. */
weft_status weft_png_create(const char *path, int width, int height,
                            int channels, const weft_text *text, int ntext,
                            weft_png **png);
/* `rows` rows of [width][channels] bytes. */
weft_status weft_png_rows(weft_png *png, const unsigned char *pixels,
                          int rows);
weft_status weft_png_finish(weft_png *png); /* frees png, whatever happens */
void weft_png_abandon(weft_png *png);

/* Reading, for `weft inspect` and for repeating an image. Limits: 2^16 pixels
 * a side, texts of 8 MiB. */
typedef struct weft_png_info {
    int width, height, channels, depth;
    int ntext;
    char **key, **value; /* owned */
} weft_png_info;

weft_status weft_png_read_info(const char *path, weft_png_info *info);
void weft_png_info_release(weft_png_info *info);
/* All pixels, 8 bit; *pixels owned, [h][w][channels]. */
weft_status weft_png_read(const char *path, int *width, int *height,
                          int *channels, unsigned char **pixels);

#endif
