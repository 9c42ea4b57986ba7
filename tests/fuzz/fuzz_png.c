/*
 * PNG files: both readers, and what they promise of their results. Checksums
 * are made right first, for else the fuzzer would be stopped by them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "core/io/png.h"
#include "core/io/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void mend_sums(uint8_t *data, size_t n)
{
    for (size_t at = 8; at + 12 <= n;) {
        uint8_t *p = data + at;
        const size_t length =
            (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        unsigned long sum;

        if (length > n - at - 12) return;
        sum = crc32(0, p + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            p[8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + length;
    }
}

static void read_info(const char *path)
{
    weft_png_info info;

    if (weft_png_read_info(path, &info) != WEFT_OK) return;
    WEFT_MUST(info.width > 0 && info.height > 0);
    WEFT_MUST(info.channels >= 1 && info.channels <= 4);
    for (int i = 0; i < info.ntext; i++) {
        WEFT_MUST(weft_utf8_valid(info.key[i]));
        WEFT_MUST(weft_utf8_valid(info.value[i]));
    }
    weft_png_info_release(&info);
}

static void read_pixels(const char *path)
{
    volatile uint8_t *p;
    uint8_t *pixels;
    int w, h, c;

    if (weft_png_read(path, &w, &h, &c, &pixels) != WEFT_OK) return;
    WEFT_MUST(c == 1 || c == 3);
    p = pixels;
    for (size_t i = 0; i < (size_t)w * (size_t)h * (size_t)c; i++) (void)p[i];
    free(pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const int fd = memfd_create("image", MFD_CLOEXEC);
    uint8_t *copy = malloc(bytes + 1);
    char path[64];

    WEFT_MUST(fd >= 0 && copy);
    memcpy(copy, data, bytes);
    mend_sums(copy, bytes);
    WEFT_MUST(write(fd, copy, bytes) == (ssize_t)bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_info(path);
    read_pixels(path);
    free(copy);
    close(fd);
    return 0;
}
