#include "launch/pixels.h"

#include <stdlib.h>

#include "core/io/hash.h"
#include "core/io/png.h"

static weft_status check_size(const weft_config *c, const char *path, int width,
                              int height)
{
    if (width == c->sample.width && height == c->sample.height) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: %s is %d x %d pixels, and sample.width and height "
                     "are %d x %d",
                     c->file, path, width, height, c->sample.width,
                     c->sample.height);
}

weft_status weft_pixels_fit(const weft_config *c, const char *path)
{
    weft_png_info info;
    weft_status st;

    if (!path) return WEFT_OK;
    WEFT_TRY(weft_png_read_info(path, &info));
    st = check_size(c, path, info.width, info.height);
    weft_png_info_release(&info);
    return st;
}

weft_status weft_pixels_check(const weft_config *c, const char *path,
                              uint64_t *hash)
{
    char text[WEFT_HASH_TEXT];

    WEFT_TRY(weft_pixels_fit(c, path));
    WEFT_TRY(weft_hash_file(path, text, NULL));
    text[16] = 0;
    *hash = *hash * 31 ^ strtoull(text, NULL, 16);
    return WEFT_OK;
}

weft_status weft_pixels_read(const weft_config *c, const char *path,
                             weft_pixels *p)
{
    int height;
    weft_status st;

    if (!path) return WEFT_OK;
    WEFT_TRY(weft_png_read(path, &p->width, &height, &p->channels, &p->at));
    st = check_size(c, path, p->width, height);
    if (st != WEFT_OK) free(p->at), p->at = NULL;
    return st;
}

void weft_pixels_take(const weft_pixels *p, const weft_rect *r, int channels,
                      float mul, float add, float *to)
{
    for (int y = r->row; y < r->row + r->rows; y++)
        for (int x = r->column; x < r->column + r->columns; x++) {
            const unsigned char *from =
                p->at + ((size_t)y * (size_t)p->width + (size_t)x) *
                            (size_t)p->channels;

            for (int k = 0; k < channels; k++)
                *to++ =
                    (float)from[p->channels > 1 ? k : 0] / 255.0f * mul + add;
        }
}
