#include "core/io/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/text.h"

enum {
    MOST_PIXELS = 1 << 16,
    MOST_TEXT = 8 << 20,
    MOST_TEXTS = 128,
    MOST_MEMORY = 64 << 20, /* libpng's own: texts that unpack to much more */
    MOST_PACKED = 1032,     /* deflate packs no more bytes than this into one */
};

/*
 * As in png.c: what lives across libpng's longjmp lives here, and guarded() is
 * the only place to land.
 */
typedef struct reader {
    const char *path;
    FILE *file;
    size_t bytes;  /* of the file */
    size_t memory; /* that libpng took so far */
    weft_status status;
    png_structp png;
    png_infop info;
    unsigned char *pixels, **row; /* owned */
} reader;

/* ---- libpng's way out ---------------------------------------------------- */

static void on_error(png_structp png, png_const_charp why)
{
    reader *r = png_get_error_ptr(png);

    if (r->status == WEFT_OK)
        r->status =
            weft_fail(WEFT_EINPUT, "%s: not a good PNG: %s", r->path, why);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void on_read(png_structp png, png_bytep data, size_t bytes)
{
    reader *r = png_get_io_ptr(png);

    if (fread(data, 1, bytes, r->file) != bytes)
        png_error(png, "the file ends too early");
}

/* Never counted back: enough for any honest file, and a bound for others. On
 * its own libpng would go on without the text that finds no room. */
static png_voidp on_malloc(png_structp png, png_alloc_size_t bytes)
{
    reader *r = png_get_mem_ptr(png);
    void *new;

    if (bytes > MOST_MEMORY - r->memory) {
        r->status = weft_fail(WEFT_EINPUT, "%s: unpacks to too much", r->path);
        return NULL;
    }
    new = malloc(bytes);
    if (new == NULL)
        r->status = weft_fail(WEFT_ENOMEM, "%s: out of memory", r->path);
    else
        r->memory += bytes;
    return new;
}

static void on_free(png_structp png, png_voidp data)
{
    (void)png;
    free(data);
}

static weft_status guarded(reader *r, void (*call)(reader *))
{
    r->status = WEFT_OK;
    if (setjmp(png_jmpbuf(r->png)) == 0) call(r);
    return r->status;
}

/* ---- what is done under guard -------------------------------------------- */

static void read_head(reader *r)
{
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, MOST_PIXELS, MOST_PIXELS);
    png_set_chunk_malloc_max(r->png, MOST_TEXT);
    png_set_chunk_cache_max(r->png, MOST_TEXTS);
    png_read_info(r->png, r->info);
}

/* Whatever it is, make it 8-bit grey or RGB. */
static void set_conversion(reader *r)
{
    png_set_scale_16(r->png);
    png_set_palette_to_rgb(r->png);
    png_set_expand_gray_1_2_4_to_8(r->png);
    png_set_strip_alpha(r->png);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
}

static void read_pixels(reader *r)
{
    png_read_image(r->png, r->row);
    png_read_end(r->png, NULL);
}

/* ---- opening ------------------------------------------------------------- */

static weft_status open_reader(reader *r, const char *path)
{
    int fd;

    *r = (reader){.path = path};
    WEFT_TRY(weft_file_open(path, &fd, &r->bytes));
    r->file = fdopen(fd, "rb");
    if (r->file == NULL) {
        close(fd);
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    }
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error,
                                      on_warning, r, on_malloc, on_free);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (r->info == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    return guarded(r, read_head);
}

static void close_reader(reader *r)
{
    if (r->png) png_destroy_read_struct(&r->png, &r->info, NULL);
    if (r->file) fclose(r->file);
    free(r->row);
    free(r->pixels);
}

/* ---- texts --------------------------------------------------------------- */

/* iTXt is UTF-8 if it keeps its word, the others are Latin-1. */
static char *value_of(const png_text *t)
{
    const bool utf8 = t->compression == PNG_ITXT_COMPRESSION_NONE ||
                      t->compression == PNG_ITXT_COMPRESSION_zTXt;

    if (t->text == NULL) return strdup("");
    if (utf8 && weft_utf8_valid(t->text)) return strdup(t->text);
    return weft_latin1_to_utf8(t->text);
}

static weft_status check_total(const reader *r, const png_text *text, int n)
{
    size_t total = 0;

    for (int i = 0; i < n; i++)
        total += text[i].text ? strlen(text[i].text) : 0;
    if (total > MOST_TEXT)
        return weft_fail(WEFT_EINPUT,
                         "%s: %zu bytes of text, at most %d are "
                         "accepted",
                         r->path, total, MOST_TEXT);
    return WEFT_OK;
}

static weft_status take_texts(const reader *r, weft_png_info *info)
{
    png_text *text = NULL;
    const int n = png_get_text(r->png, r->info, &text, NULL);

    WEFT_TRY(check_total(r, text, n));
    info->key = calloc((size_t)n + 1, sizeof *info->key);
    info->value = calloc((size_t)n + 1, sizeof *info->value);
    if (info->key == NULL || info->value == NULL) goto no_memory;
    for (int i = 0; i < n; i++) {
        info->key[i] = weft_latin1_to_utf8(text[i].key);
        info->value[i] = value_of(&text[i]);
        info->ntext = i + 1;
        if (info->key[i] == NULL || info->value[i] == NULL) goto no_memory;
    }
    return WEFT_OK;
no_memory:
    return weft_fail(WEFT_ENOMEM, "%s: out of memory", r->path);
}

static void take_shape(const reader *r, weft_png_info *info)
{
    const bool palette =
        png_get_color_type(r->png, r->info) == PNG_COLOR_TYPE_PALETTE;

    info->width = (int)png_get_image_width(r->png, r->info);
    info->height = (int)png_get_image_height(r->png, r->info);
    info->channels = palette ? 3 : png_get_channels(r->png, r->info);
    info->depth = png_get_bit_depth(r->png, r->info);
}

weft_status weft_png_read_info(const char *path, weft_png_info *info)
{
    weft_png_info new = {0};
    reader r;
    weft_status status = open_reader(&r, path);

    if (status == WEFT_OK) {
        take_shape(&r, &new);
        status = take_texts(&r, &new);
    }
    close_reader(&r);
    if (status == WEFT_OK)
        *info = new;
    else
        weft_png_info_release(&new);
    return status;
}

void weft_png_info_release(weft_png_info *info)
{
    for (int i = 0; i < info->ntext; i++) {
        free(info->key[i]);
        free(info->value[i]);
    }
    free(info->key);
    free(info->value);
    *info = (weft_png_info){0};
}

/* ---- pixels -------------------------------------------------------------- */

/* A small file may claim to be huge: no memory for what it cannot hold. */
static weft_status check_plausible(const reader *r)
{
    const size_t claimed = png_get_rowbytes(r->png, r->info) *
                           png_get_image_height(r->png, r->info);

    if (claimed / MOST_PACKED > r->bytes)
        return weft_fail(WEFT_EINPUT,
                         "%s: not a good PNG: too short for its size", r->path);
    return WEFT_OK;
}

static weft_status make_room(reader *r)
{
    const size_t stride = png_get_rowbytes(r->png, r->info);
    const size_t height = png_get_image_height(r->png, r->info);

    r->pixels = malloc(stride * height);
    r->row = malloc(height * sizeof *r->row);
    if (r->pixels == NULL || r->row == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", r->path);
    for (size_t i = 0; i < height; i++) r->row[i] = r->pixels + i * stride;
    return WEFT_OK;
}

weft_status weft_png_read(const char *path, int *width, int *height,
                          int *channels, unsigned char **pixels)
{
    reader r;
    weft_status status = open_reader(&r, path);

    if (status == WEFT_OK) status = check_plausible(&r);
    if (status == WEFT_OK) status = guarded(&r, set_conversion);
    if (status == WEFT_OK) status = make_room(&r);
    if (status == WEFT_OK) status = guarded(&r, read_pixels);
    if (status == WEFT_OK) {
        *width = (int)png_get_image_width(r.png, r.info);
        *height = (int)png_get_image_height(r.png, r.info);
        *channels = png_get_channels(r.png, r.info);
        *pixels = r.pixels;
        r.pixels = NULL;
    }
    close_reader(&r);
    return status;
}
