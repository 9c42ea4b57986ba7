/*
 * compare - how far two results are apart.
 *
 *     compare A.safetensors B.safetensors RMS        tensor "latents"
 *     compare A.png B.png FRACTION                   8-bit pixels
 *
 * Prints the relative root mean square of the difference, against B, or which
 * fraction of all values differ by more than 1 of 255; and the most that any
 * value differs. Exit code 0 if it is at most the limit given, 1 if not, 2 if
 * the two cannot be compared.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/png.h"
#include "core/model/safetensors.h"

enum { NEAR, FAR, BAD };

static int bad(void)
{
    fprintf(stderr, "compare: %s\n", weft_fail_text());
    return BAD;
}

static int verdict(double value, const char *limit)
{
    return value <= strtod(limit, NULL) ? NEAR : FAR;
}

/* ---- latents ------------------------------------------------------------- */

static weft_status same_kind(const weft_st_tensor *a, const weft_st_tensor *b)
{
    if (!a || !b)
        return weft_fail(WEFT_EINPUT, "a file has no tensor \"latents\"");
    if (strcmp(a->dtype, "F32") || strcmp(b->dtype, "F32"))
        return weft_fail(WEFT_EINPUT, "latents are not F32");
    if (a->ndim != b->ndim ||
        memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape))
        return weft_fail(WEFT_EINPUT, "latents are of different shapes");
    return WEFT_OK;
}

static float element(const weft_st_tensor *t, size_t i)
{
    float v;

    memcpy(&v, (const char *)t->data + i * sizeof v, sizeof v);
    return v;
}

static double latents_off(const weft_st_tensor *a, const weft_st_tensor *b)
{
    double off = 0, all = 0, most = 0;

    for (size_t i = 0; i < b->bytes / sizeof(float); i++) {
        const double d = (double)element(a, i) - element(b, i);
        off += d * d;
        all += (double)element(b, i) * element(b, i);
        most = fmax(most, fabs(d));
    }
    off = sqrt(off / all);
    printf("relative rms %.3g, most %.3g\n", off, most);
    return off;
}

static int compare_latents(const char *a, const char *b, const char *limit)
{
    weft_st *x = NULL, *y = NULL;
    const weft_st_tensor *p, *q;
    int result = BAD;

    if (weft_st_open(a, &x) == WEFT_OK && weft_st_open(b, &y) == WEFT_OK) {
        p = weft_st_find(x, "latents");
        q = weft_st_find(y, "latents");
        if (same_kind(p, q) == WEFT_OK)
            result = verdict(latents_off(p, q), limit);
    }
    if (result == BAD) bad();
    if (x) weft_st_close(x);
    if (y) weft_st_close(y);
    return result;
}

/* ---- pictures ------------------------------------------------------------ */

typedef struct picture {
    int width, height, channels;
    unsigned char *pixels;
} picture;

static weft_status read_picture(const char *path, picture *p)
{
    return weft_png_read(path, &p->width, &p->height, &p->channels, &p->pixels);
}

static double pixels_off(const picture *a, const picture *b)
{
    const size_t n = (size_t)a->width * a->height * a->channels;
    size_t far = 0;
    int most = 0;

    for (size_t i = 0; i < n; i++) {
        const int d = abs(a->pixels[i] - b->pixels[i]);
        if (d > 1) far++;
        if (d > most) most = d;
    }
    printf("%.6f of the values differ by more than 1, most %d\n",
           (double)far / n, most);
    return (double)far / n;
}

static int compare_pictures(const char *a, const char *b, const char *limit)
{
    picture x = {0}, y = {0};
    int result = BAD;

    if (read_picture(a, &x) == WEFT_OK && read_picture(b, &y) == WEFT_OK) {
        if (x.width == y.width && x.height == y.height &&
            x.channels == y.channels)
            result = verdict(pixels_off(&x, &y), limit);
        else
            weft_fail(WEFT_EINPUT, "pictures are of different sizes");
    }
    if (result == BAD) bad();
    free(x.pixels);
    free(y.pixels);
    return result;
}

int main(int argc, char **argv)
{
    const char *end;

    if (argc != 4) {
        fprintf(stderr, "compare A B LIMIT\n");
        return BAD;
    }
    end = strrchr(argv[1], '.');
    if (end && !strcmp(end, ".png"))
        return compare_pictures(argv[1], argv[2], argv[3]);
    return compare_latents(argv[1], argv[2], argv[3]);
}
