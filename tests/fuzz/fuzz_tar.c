/*
 * Archives: every member that is handed out lies in the file. Checksums are
 * made right first, for else the fuzzer would be stopped by them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/io/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void mend_sums(uint8_t *data, size_t n)
{
    for (size_t at = 0; at + WEFT_TAR_BLOCK <= n; at += WEFT_TAR_BLOCK) {
        uint8_t *block = data + at;
        unsigned sum = 0;
        char text[8];

        if (memcmp(block + 257, "ustar", 5) != 0) continue;
        memset(block + 148, ' ', 8);
        for (int i = 0; i < WEFT_TAR_BLOCK; i++) sum += block[i];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(block + 148, text, 7);
    }
}

static void read_all(const char *path, size_t bytes)
{
    weft_tar_member m;
    weft_tar t;
    char *data;

    if (weft_tar_open(path, &t) != WEFT_OK) return;
    while (weft_tar_next(&t, &m) == WEFT_OK && m.name[0]) {
        WEFT_MUST(m.at <= bytes && m.bytes <= bytes - m.at);
        WEFT_MUST(strlen(m.name) < WEFT_TAR_NAME);
        if (weft_tar_read(&t, &m, 1 << 16, &data) == WEFT_OK) free(data);
    }
    weft_tar_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const int fd = memfd_create("archive", MFD_CLOEXEC);
    uint8_t *copy = malloc(bytes + 1);
    char path[64];

    WEFT_MUST(fd >= 0 && copy);
    if (bytes) memcpy(copy, data, bytes);
    mend_sums(copy, bytes);
    WEFT_MUST(write(fd, copy, bytes) == (ssize_t)bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_all(path, bytes);
    free(copy);
    close(fd);
    return 0;
}
