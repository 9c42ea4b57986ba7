#include "core/io/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/io/file.h"
#include "core/io/text.h"

enum {
    MOST_PIXELS = 1 << 16,
    MOST_TEXT = 8 << 20,
    IDAT_BYTES = 1 << 16, /* fewer, larger chunks than by default */
};

/*
 * libpng leaves its functions by longjmp. All that lives across a jump is kept
 * in this struct, and guarded() is the only place to land, so that no local
 * variable can be lost.
 */
struct weft_png {
    weft_file file;
    char *name;          /* for messages */
    bool in_memory;      /* `data` takes what else the file would */
    unsigned char *data; /* [room], owned */
    size_t bytes, room;
    weft_status status; /* of the call into libpng that is under way */
    png_structp png;
    png_infop info;
    int width, height, channels, rows;
    png_text *text; /* values owned */
    int ntext;
};

typedef struct rows {
    const unsigned char *pixels;
    int n;
} rows;

/* ---- libpng's way out ---------------------------------------------------- */

static void on_error(png_structp png, png_const_charp why)
{
    weft_png *p = png_get_error_ptr(png);

    if (p->status == WEFT_OK) /* else a write has said more */
        p->status = weft_fail(WEFT_EIO, "%s: %s", p->name, why);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static weft_status keep(weft_png *p, const unsigned char *data, size_t bytes)
{
    if (bytes > p->room - p->bytes) {
        const size_t room = 2 * (p->bytes + bytes);
        unsigned char *more = realloc(p->data, room);

        if (!more) return weft_fail(WEFT_ENOMEM, "%s: out of memory", p->name);
        p->data = more;
        p->room = room;
    }
    memcpy(p->data + p->bytes, data, bytes);
    p->bytes += bytes;
    return WEFT_OK;
}

static void on_write(png_structp png, png_bytep data, size_t bytes)
{
    weft_png *p = png_get_io_ptr(png);

    p->status = p->in_memory ? keep(p, data, bytes)
                             : weft_file_write(&p->file, data, bytes);
    if (p->status != WEFT_OK) png_error(png, "");
}

static void on_flush(png_structp png) { (void)png; }

static weft_status guarded(weft_png *p, void (*call)(weft_png *, const rows *),
                           const rows *r)
{
    p->status = WEFT_OK;
    if (setjmp(png_jmpbuf(p->png)) == 0) call(p, r);
    return p->status;
}

/* ---- what is done under guard -------------------------------------------- */

/* Paeth on every row is within 0.1 % of the best choice per row on what nets
 * paint, and cheaper. What it leaves has no strings that come again, so only
 * runs are looked for: a quarter of the time, and a little smaller. No time, no
 * gamma: the same image is the same file. */
static void write_head(weft_png *p, const rows *r)
{
    (void)r;
    png_set_write_fn(p->png, p, on_write, on_flush);
    png_set_IHDR(p->png, p->info, (png_uint_32)p->width, (png_uint_32)p->height,
                 8, p->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(p->png, 4);
    png_set_compression_mem_level(p->png, 9);
    png_set_compression_strategy(p->png, Z_RLE);
    png_set_compression_buffer_size(p->png, IDAT_BYTES);
    png_set_filter(p->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
    if (p->ntext > 0) png_set_text(p->png, p->info, p->text, p->ntext);
    png_write_info(p->png, p->info);
}

static void write_rows(weft_png *p, const rows *r)
{
    const size_t stride = (size_t)p->width * (size_t)p->channels;

    for (int i = 0; i < r->n; i++)
        png_write_row(p->png, r->pixels + (size_t)i * stride);
}

static void write_tail(weft_png *p, const rows *r)
{
    (void)r;
    png_write_end(p->png, NULL);
}

/* ---- texts --------------------------------------------------------------- */

/* What the PNG standard asks of a keyword, less the upper half of Latin-1. */
static bool is_keyword(const char *key)
{
    const size_t n = strlen(key);

    if (n < 1 || n > 79 || key[0] == ' ' || key[n - 1] == ' ') return false;
    for (size_t i = 0; i < n; i++) {
        if (key[i] < 0x20 || key[i] > 0x7e) return false;
        if (key[i] == ' ' && key[i + 1] == ' ') return false;
    }
    return true;
}

static weft_status put_text(const char *path, const weft_png_text *t,
                            png_text *out)
{
    bool fits;

    if (!is_keyword(t->key))
        return weft_fail(WEFT_EINPUT, "%s: \"%s\" cannot be a keyword of a PNG",
                         path, t->key);
    if (strlen(t->value) > MOST_TEXT)
        return weft_fail(WEFT_EINPUT, "%s: text \"%s\" is too long", path,
                         t->key);
    if (!weft_utf8_valid(t->value))
        return weft_fail(WEFT_EINPUT, "%s: text \"%s\" is not UTF-8", path,
                         t->key);
    out->key = (char *)t->key; /* libpng copies */
    out->compression = PNG_TEXT_COMPRESSION_NONE;
    out->text = weft_utf8_to_latin1(t->value, &fits);
    if (!fits) {
        out->compression = PNG_ITXT_COMPRESSION_NONE;
        out->text = strdup(t->value);
    }
    if (out->text == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    return WEFT_OK;
}

static weft_status put_texts(weft_png *p, const char *path,
                             const weft_png_text *text, int n)
{
    p->text = calloc((size_t)n + 1, sizeof *p->text);
    if (p->text == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    p->ntext = n;
    for (int i = 0; i < n; i++) WEFT_TRY(put_text(path, &text[i], &p->text[i]));
    return WEFT_OK;
}

/* ---- the image ----------------------------------------------------------- */

static weft_status check_shape(const char *path, const weft_png *p)
{
    if (p->width < 1 || p->height < 1 || p->width > MOST_PIXELS ||
        p->height > MOST_PIXELS)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d x %d pixels; a PNG here has 1 to %d a side",
                         path, p->width, p->height, MOST_PIXELS);
    if (p->channels != 1 && p->channels != 3)
        return weft_fail(WEFT_EINPUT, "%s: %d channels; 1 or 3 are written",
                         path, p->channels);
    return WEFT_OK;
}

static weft_status start(weft_png *p)
{
    if (!p->in_memory) WEFT_TRY(weft_file_create(p->name, &p->file));
    p->png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
    if (p->png) p->info = png_create_info_struct(p->png);
    if (p->info == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", p->name);
    return guarded(p, write_head, NULL);
}

static weft_status create(const char *name, bool in_memory, int width,
                          int height, int channels, const weft_png_text *text,
                          int ntext, weft_png **png)
{
    weft_png *new = calloc(1, sizeof *new);
    weft_status status;

    if (new == NULL) return weft_fail(WEFT_ENOMEM, "%s: out of memory", name);
    new->file.fd = -1;
    new->in_memory = in_memory;
    new->width = width;
    new->height = height;
    new->channels = channels;
    new->name = strdup(name);
    status = new->name ? check_shape(name, new)
                       : weft_fail(WEFT_ENOMEM, "%s: out of memory", name);
    if (status == WEFT_OK) status = put_texts(new, name, text, ntext);
    if (status == WEFT_OK) status = start(new);
    if (status == WEFT_OK)
        *png = new;
    else
        weft_png_abandon(new);
    return status;
}

weft_status weft_png_create(const char *path, int width, int height,
                            int channels, const weft_png_text *text, int ntext,
                            weft_png **png)
{
    return create(path, false, width, height, channels, text, ntext, png);
}

weft_status weft_png_rows(weft_png *png, const unsigned char *pixels, int n)
{
    const rows r = {pixels, n};

    if (n < 0 || n > png->height - png->rows)
        return weft_fail(WEFT_EINPUT, "%s: %d rows after %d of %d", png->name,
                         n, png->rows, png->height);
    WEFT_TRY(guarded(png, write_rows, &r));
    png->rows += n;
    return WEFT_OK;
}

static weft_status finish(weft_png *p)
{
    if (p->rows != p->height)
        return weft_fail(WEFT_EINPUT, "%s: only %d of %d rows were written",
                         p->name, p->rows, p->height);
    WEFT_TRY(guarded(p, write_tail, NULL));
    return p->in_memory ? WEFT_OK : weft_file_commit(&p->file);
}

weft_status weft_png_finish(weft_png *png)
{
    const weft_status status = finish(png);

    weft_png_abandon(png);
    return status;
}

weft_status weft_png_encode(const char *name, int width, int height,
                            int channels, const unsigned char *pixels,
                            const weft_png_text *text, int ntext,
                            unsigned char **data, size_t *bytes)
{
    weft_png *p;
    weft_status status;

    WEFT_TRY(create(name, true, width, height, channels, text, ntext, &p));
    status = weft_png_rows(p, pixels, height);
    if (status == WEFT_OK) status = finish(p);
    if (status == WEFT_OK) {
        *data = p->data;
        *bytes = p->bytes;
        p->data = NULL;
    }
    weft_png_abandon(p);
    return status;
}

void weft_png_abandon(weft_png *png)
{
    if (png == NULL) return;
    if (png->png) png_destroy_write_struct(&png->png, &png->info);
    weft_file_abandon(&png->file);
    free(png->name);
    free(png->data);
    for (int i = 0; i < png->ntext; i++) free(png->text[i].text);
    free(png->text);
    free(png);
}
