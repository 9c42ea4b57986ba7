/*
 * PNG: what others wrote (tests/golden/png_files.py) is read, what we write is
 * read back, and whatever is broken is refused in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>
#include <zlib.h>

#include "core/io/png.h"
#include "tests/folder.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/png/"

enum { W = 13, H = 7, ROOM = 1 << 20 };

/* What the goldens hold: see there. */
static unsigned value(int x, int y, int c)
{
    return (unsigned)(x * 16 + y * 32 + c * 64) % 256;
}

static size_t load(const char *path, unsigned char *bytes)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(f);
    n = fread(bytes, 1, ROOM, f);
    fclose(f);
    return n;
}

/* ---- reading what others wrote ------------------------------------------- */

static unsigned char *read_golden(const char *name, int channels)
{
    char path[4096];
    unsigned char *pixels = NULL;
    int w, h, c;

    snprintf(path, sizeof path, "%s%s", GOLDEN, name);
    if (weft_png_read(path, &w, &h, &c, &pixels) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_int_equal(w, W);
    assert_int_equal(h, H);
    assert_int_equal(c, channels);
    return pixels;
}

static unsigned plain(int x, int y, int c) { return value(x, y, c); }

static unsigned two_tone(int x, int y, int c)
{
    return value(x, y, c) >= 128 ? 255 : 0;
}

static unsigned from_palette(int x, int y, int c)
{
    const unsigned i = value(x, y, 0) / 16;

    return c == 0 ? i : c == 1 ? 255 - i : 7 * i;
}

static void reads_every_kind(void **state)
{
    static const struct {
        const char *name;
        int channels;
        unsigned (*expected)(int, int, int);
        int info_channels, depth;
    } kinds[] = {
        {"grey.png", 1, plain, 1, 8},
        {"bit.png", 1, two_tone, 1, 1},
        {"grey_alpha.png", 1, plain, 2, 8},
        {"rgb.png", 3, plain, 3, 8},
        {"rgba.png", 3, plain, 4, 8},
        {"palette.png", 3, from_palette, 3, 4},
        {"rgb16.png", 3, plain, 3, 16},
        {"interlaced.png", 3, plain, 3, 8},
        {"texts.png", 3, plain, 3, 8},
    };

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const int n = kinds[k].channels;
        unsigned char *pixels = read_golden(kinds[k].name, n);
        weft_png_info info;
        char path[4096];

        for (int i = 0; i < W * H * n; i++)
            assert_int_equal(pixels[i],
                             kinds[k].expected(i / n % W, i / n / W, i % n));
        free(pixels);
        snprintf(path, sizeof path, "%s%s", GOLDEN, kinds[k].name);
        assert_int_equal(weft_png_read_info(path, &info), WEFT_OK);
        assert_int_equal(info.width, W);
        assert_int_equal(info.height, H);
        assert_int_equal(info.channels, kinds[k].info_channels);
        assert_int_equal(info.depth, kinds[k].depth);
        weft_png_info_release(&info);
        assert_null(info.key);
    }
}

static void reads_texts(void **state)
{
    weft_png_info info;

    (void)state;
    assert_int_equal(weft_png_read_info(GOLDEN "texts.png", &info), WEFT_OK);
    assert_int_equal(info.ntext, 6);
    assert_string_equal(info.key[0], "plain");
    assert_string_equal(info.value[0], "one\ntwo");
    assert_string_equal(info.value[1], "caf\xc3\xa9 \xc2\xb5");
    assert_int_equal(strspn(info.value[2], "x"), 3000);
    assert_string_equal(info.key[3], "other");
    assert_string_equal(info.value[3],
                        "\xe7\xb9\x94\xe3\x82\x8b \xf0\x9f\xa7\xb6");
    assert_int_equal(strlen(info.value[4]), 6000);
    assert_string_equal(info.value[5], "");
    weft_png_info_release(&info);
}

/* ---- writing ------------------------------------------------------------- */

static void fill(unsigned char *pixels, int w, int h, int channels)
{
    for (int i = 0; i < w * h * channels; i++)
        pixels[i] = (unsigned char)((unsigned)i * 2654435761u >> 13 ^ i / w);
}

static weft_status write_image(const char *path, int w, int h, int channels,
                               int step, const weft_png_text *text, int ntext)
{
    unsigned char *pixels = malloc((size_t)(w * h * channels));
    weft_png *png = NULL;
    weft_status status =
        weft_png_create(path, w, h, channels, text, ntext, &png);

    fill(pixels, w, h, channels);
    for (int y = 0; status == WEFT_OK && y < h; y += step)
        status = weft_png_rows(png, pixels + (size_t)(y * w * channels),
                               y + step > h ? h - y : step);
    if (status == WEFT_OK)
        status = weft_png_finish(png);
    else
        weft_png_abandon(png);
    free(pixels);
    return status;
}

static void must_write(const char *path, int w, int h, int channels, int step,
                       const weft_png_text *text, int ntext)
{
    if (write_image(path, w, h, channels, step, text, ntext) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
}

static void reads_what_it_wrote(void **state)
{
    static const int shape[][3] = {{1, 1, 1}, {1, 1, 3},    {5, 3, 3},
                                   {3, 5, 1}, {300, 70, 3}, {1, 4000, 3}};
    const char *path = in_folder("a.png");

    (void)state;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        const int w = shape[i][0], h = shape[i][1], n = shape[i][2];
        unsigned char *expected = malloc((size_t)(w * h * n)), *pixels;
        int rw, rh, rn;

        fill(expected, w, h, n);
        must_write(path, w, h, n, 2, NULL, 0);
        assert_int_equal(weft_png_read(path, &rw, &rh, &rn, &pixels), WEFT_OK);
        assert_int_equal(rw, w);
        assert_int_equal(rh, h);
        assert_int_equal(rn, n);
        assert_memory_equal(pixels, expected, (size_t)(w * h * n));
        free(pixels);
        free(expected);
    }
    unlink(path);
}

/* However the rows come, whenever it is written, over whatever was there. */
static void writes_the_same_bytes(void **state)
{
    static const weft_png_text text[] = {{"parameters", "a\nb"},
                                         {"weft", "\xe2\x86"
                                                  "\x92"}};
    unsigned char *first = malloc(ROOM), *again = malloc(ROOM);
    size_t n;

    (void)state;
    must_write(in_folder("a.png"), 64, 48, 3, 48, text, 2);
    n = load(in_folder("a.png"), first);
    for (int step = 1; step < 48; step += 5) {
        must_write(in_folder("a.png"), 64, 48, 3, step, text, 2);
        assert_int_equal(load(in_folder("a.png"), again), n);
        assert_memory_equal(first, again, n);
    }
    unlink(in_folder("a.png"));
    free(first);
    free(again);
}

/* Names of the chunks in a file, in order, once each; checks their sums. */
static void chunks_of(const char *path, char *names, size_t room)
{
    unsigned char *bytes = malloc(ROOM);
    const size_t n = load(path, bytes);
    size_t at = 8;

    names[0] = '\0';
    while (at < n) {
        const unsigned char *p = bytes + at;
        const size_t length =
            (size_t)(p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]);
        const unsigned char *sum = p + 8 + length;
        const size_t used = strlen(names);

        assert_true(at + 12 + length <= n);
        assert_int_equal(crc32(0, p + 4, (uInt)length + 4),
                         (unsigned)sum[0] << 24 | sum[1] << 16 | sum[2] << 8 |
                             sum[3]);
        snprintf(names + used, room - used, "%.4s ", p + 4);
        at += 12 + length;
    }
    free(bytes);
}

static void puts_texts_where_they_belong(void **state)
{
    static char large[100000];
    const weft_png_text text[] = {
        {"parameters", "Steps: 30,\nSeed: 7"},
        {"latin", "na\xc3\xafve \xc3\xbf"},
        {"weft", "{\"prompt\": \"\xe6\x9f\x84\"}"},
        {"tab", "a\tb"},
        {"next line", "\xc2\x85"}, /* Latin-1, but for controls */
        {"empty", ""},
        {"large", large},
    };
    const char *path = in_folder("a.png");
    weft_png_info info;
    char names[256];

    (void)state;
    memset(large, 'y', sizeof large - 1);
    must_write(path, 4, 4, 3, 4, text, 7);
    chunks_of(path, names, sizeof names);
    assert_string_equal(names,
                        "IHDR tEXt tEXt iTXt iTXt iTXt tEXt tEXt IDAT IEND ");
    assert_int_equal(weft_png_read_info(path, &info), WEFT_OK);
    assert_int_equal(info.ntext, 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(info.key[i], text[i].key);
        assert_string_equal(info.value[i], text[i].value);
    }
    weft_png_info_release(&info);
    unlink(path);
}

static void refuses_wrong_texts(void **state)
{
    static const char too_long[] = "0123456789012345678901234567890123456789"
                                   "0123456789012345678901234567890123456789";
    static const char *const keys[] = {"",     " a",   "a ",        "a  b",
                                       "a\nb", "\x7f", "a\xc3\xa9", too_long};
    static const char *const values[] = {
        "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xc3", "\x80",     "\xe2\x82",     "\xf8\x88\x80\x80\x80"};
    const char *path = in_folder("a.png");

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const weft_png_text text = {keys[i], "v"};

        assert_int_equal(write_image(path, 1, 1, 1, 1, &text, 1), WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), "keyword"));
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const weft_png_text text = {"key", values[i]};

        assert_int_equal(write_image(path, 1, 1, 1, 1, &text, 1), WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), "is not UTF-8"));
    }
    assert_int_equal(files_in_folder(), 0);
}

static void refuses_wrong_shapes(void **state)
{
    static const unsigned char pixels[12];
    const char *path = in_folder("a.png");
    weft_png *png = NULL;

    (void)state;
    assert_int_equal(weft_png_create(path, 0, 1, 3, NULL, 0, &png),
                     WEFT_EINPUT);
    assert_int_equal(weft_png_create(path, 1, -1, 3, NULL, 0, &png),
                     WEFT_EINPUT);
    assert_int_equal(weft_png_create(path, 65537, 1, 3, NULL, 0, &png),
                     WEFT_EINPUT);
    assert_int_equal(weft_png_create(path, 1, 1, 4, NULL, 0, &png),
                     WEFT_EINPUT);
    assert_null(png);
    assert_int_equal(weft_png_create(path, 2, 2, 3, NULL, 0, &png), WEFT_OK);
    assert_int_equal(weft_png_rows(png, pixels, 1), WEFT_OK);
    assert_int_equal(weft_png_rows(png, pixels, 2), WEFT_EINPUT);
    assert_int_equal(weft_png_rows(png, pixels, -1), WEFT_EINPUT);
    assert_int_equal(weft_png_finish(png), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "only 1 of 2 rows"));
    assert_int_equal(weft_png_create(path, 2, 2, 3, NULL, 0, &png), WEFT_OK);
    weft_png_abandon(png);
    weft_png_abandon(NULL);
    assert_int_equal(files_in_folder(), 0);
}

/* A disk that fills up, played by a limit on the size of files: the failure
 * comes out of libpng's depths, and nothing is left. */
static void reports_a_full_disk(void **state)
{
    struct rlimit old, tight;
    weft_status status;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t most = 0; most < 40000; most = 2 * most + 10) {
        tight = (struct rlimit){most, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        status = write_image(in_folder("a.png"), 256, 256, 3, 16, NULL, 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, WEFT_EIO);
        assert_non_null(strstr(weft_fail_text(), "cannot write: File too"));
        assert_int_equal(files_in_folder(), 0);
    }
}

/* ---- broken files -------------------------------------------------------- */

/* Both readers must come back; whether with a picture is the file's affair. */
static bool try_both(const char *path)
{
    weft_png_info info = {0};
    unsigned char *pixels = NULL;
    int w, h, c;
    const bool good = weft_png_read(path, &w, &h, &c, &pixels) == WEFT_OK;

    if (!good)
        assert_int_equal(strncmp(weft_fail_text(), path, strlen(path)), 0);
    weft_png_read_info(path, &info);
    weft_png_info_release(&info);
    free(pixels);
    return good;
}

static void refuses_every_truncation(void **state)
{
    static const char *const names[] = {"texts.png", "interlaced.png"};
    unsigned char *bytes = malloc(ROOM);
    char path[4096];

    (void)state;
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s%s", GOLDEN, names[k]);
        const size_t n = load(path, bytes);

        for (size_t i = 0; i < n; i++)
            assert_false(try_both(put_in_folder("x.png", bytes, i)));
        assert_true(try_both(put_in_folder("x.png", bytes, n)));
    }
    unlink(in_folder("x.png"));
    free(bytes);
}

static void mend_sums(unsigned char *bytes, size_t n)
{
    for (size_t at = 8; at + 12 <= n;) {
        unsigned char *p = bytes + at;
        const size_t length =
            (size_t)p[0] << 24 | (size_t)p[1] << 16 | p[2] << 8 | p[3];
        unsigned long sum;

        if (length > n - at - 12) return;
        sum = crc32(0, p + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            p[8 + length + i] = (unsigned char)(sum >> (24 - 8 * i));
        at += 12 + length;
    }
}

/* Flipped bits, with the checksums left wrong and with them made right. */
static void survives_every_bit(void **state)
{
    static const char *const names[] = {"texts.png", "palette.png",
                                        "interlaced.png"};
    unsigned char *good = malloc(ROOM), *bytes = malloc(ROOM);
    char path[4096];

    (void)state;
    for (int k = 0; k < 3; k++) {
        snprintf(path, sizeof path, "%s%s", GOLDEN, names[k]);
        const size_t n = load(path, good);

        for (size_t i = 0; i < 8 * n; i += k == 0 ? 3 : 1) {
            memcpy(bytes, good, n);
            bytes[i / 8] ^= (unsigned char)(1 << i % 8);
            if (i % 2) mend_sums(bytes, n);
            try_both(put_in_folder("x.png", bytes, n));
        }
    }
    unlink(in_folder("x.png"));
    free(good);
    free(bytes);
}

/* The header of a small file claims to be large. */
static void refuses_absurd_claims(void **state)
{
    static const struct {
        unsigned w, h;
        const char *words;
    } claims[] = {{65536, 65536, "too short for its size"},
                  {65537, 1, "Invalid IHDR"},
                  {1, 65537, "Invalid IHDR"},
                  {0, 1, "Invalid IHDR"},
                  {0x80000000u, 1, "out of range"},
                  {0xffffffffu, 0xffffffffu, "out of range"}};
    unsigned char *bytes = malloc(ROOM), *pixels = NULL;
    const size_t n = load(GOLDEN "rgb.png", bytes);
    int w, h, c;

    (void)state;
    for (size_t k = 0; k < sizeof claims / sizeof *claims; k++) {
        for (int i = 0; i < 4; i++) {
            bytes[16 + i] = (unsigned char)(claims[k].w >> (24 - 8 * i));
            bytes[20 + i] = (unsigned char)(claims[k].h >> (24 - 8 * i));
        }
        mend_sums(bytes, n);
        assert_int_equal(weft_png_read(put_in_folder("x.png", bytes, n), &w, &h,
                                       &c, &pixels),
                         WEFT_EINPUT);
        if (strstr(weft_fail_text(), claims[k].words) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), claims[k].words);
        assert_null(pixels);
    }
    unlink(in_folder("x.png"));
    free(bytes);
}

static size_t add_chunk(unsigned char *bytes, size_t at, const char *kind,
                        const unsigned char *data, size_t length)
{
    for (int i = 0; i < 4; i++)
        bytes[at + (size_t)i] = (unsigned char)(length >> (24 - 8 * i));
    memcpy(bytes + at + 4, kind, 4);
    memcpy(bytes + at + 8, data, length);
    return at + 12 + length;
}

/* 100 texts of 7 MiB each, packed into 0.7 MB. */
static void survives_packed_texts(void **state)
{
    enum { UNPACKED = 7 << 20 };
    unsigned char *bytes = malloc(ROOM), *whole = calloc(UNPACKED, 1);
    unsigned char packed[16384] = "k"; /* keyword, 0, method 0, data */
    uLongf length = sizeof packed - 3;
    size_t at = 33; /* behind IHDR */
    weft_png_info info = {0};

    (void)state;
    load(GOLDEN "rgb.png", bytes);
    memset(whole, 'z', UNPACKED);
    assert_int_equal(compress2(packed + 3, &length, whole, UNPACKED, 9), Z_OK);
    for (int i = 0; i < 100; i++)
        at = add_chunk(bytes, at, "zTXt", packed, length + 3);
    at = add_chunk(bytes, at, "IDAT", packed, 0);
    mend_sums(bytes, at);
    assert_int_equal(
        weft_png_read_info(put_in_folder("x.png", bytes, at), &info),
        WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "unpacks to too much"));
    assert_null(info.key);
    unlink(in_folder("x.png"));
    free(whole);
    free(bytes);
}

static void refuses_other_files(void **state)
{
    weft_png_info info;

    (void)state;
    assert_int_equal(weft_png_read_info(in_folder("none"), &info), WEFT_EINPUT);
    assert_int_equal(weft_png_read_info(folder, &info), WEFT_EINPUT);
    assert_int_equal(weft_png_read_info(put_in_folder("x.png", "", 0), &info),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "ends too early"));
    assert_int_equal(
        weft_png_read_info(put_in_folder("x.png", "GIF89a...", 9), &info),
        WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "Not a PNG file"));
    unlink(in_folder("x.png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind),
        cmocka_unit_test(reads_texts),
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(writes_the_same_bytes),
        cmocka_unit_test(puts_texts_where_they_belong),
        cmocka_unit_test(refuses_wrong_texts),
        cmocka_unit_test(refuses_wrong_shapes),
        cmocka_unit_test(reports_a_full_disk),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(survives_every_bit),
        cmocka_unit_test(refuses_absurd_claims),
        cmocka_unit_test(survives_packed_texts),
        cmocka_unit_test(refuses_other_files),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
