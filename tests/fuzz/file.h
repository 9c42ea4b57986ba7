/*
 * file.h - a fuzzer's input as a safetensors file. An input that begins with
 * '{' is a header and its data (cut after the last '}'), and gets the right
 * length put before it, for else the fuzzer would seldom come past the first 8
 * bytes; any other input is the whole file.
 */
#ifndef WEFT_TESTS_FUZZ_FILE_H
#define WEFT_TESTS_FUZZ_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/status.h"

static inline void fuzz_put(int fd, const void *data, size_t bytes)
{
    WEFT_MUST(write(fd, data, bytes) == (ssize_t)bytes);
}

static inline void fuzz_put_length(int fd, const uint8_t *data, size_t bytes)
{
    uint8_t length[8];
    size_t n = bytes;

    while (n > 0 && data[n - 1] != '}') n--;
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(n >> 8 * i);
    fuzz_put(fd, length, 8);
}

/* In memory, under `path`, until the descriptor is closed. */
static inline int fuzz_file(const uint8_t *data, size_t bytes, char path[64])
{
    const int fd = memfd_create("model", MFD_CLOEXEC);

    WEFT_MUST(fd >= 0);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    if (bytes > 0 && data[0] == '{') fuzz_put_length(fd, data, bytes);
    fuzz_put(fd, data, bytes);
    return fd;
}

#endif
