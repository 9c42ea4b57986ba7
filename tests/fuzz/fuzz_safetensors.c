/*
 * One safetensors file. An input that begins with '{' is a header and its data
 * (cut after the last '}'), and gets the right length put before it, for else
 * the fuzzer would seldom come past the first 8 bytes; any other input is the
 * whole file.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void put(int fd, const void *data, size_t bytes)
{
    WEFT_MUST(write(fd, data, bytes) == (ssize_t)bytes);
}

static void put_length(int fd, const uint8_t *data, size_t bytes)
{
    uint8_t length[8];
    size_t n = bytes;

    while (n > 0 && data[n - 1] != '}') n--;
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(n >> 8 * i);
    put(fd, length, 8);
}

/* What is promised of a tensor that was handed out; reads all of it. */
static void check(const weft_st *st, int i)
{
    const weft_st_tensor *t = weft_st_at(st, i);
    const volatile uint8_t *p = t->data;
    size_t bits = (size_t)weft_st_dtype_bits(t->dtype);

    WEFT_MUST(bits > 0 && t->ndim >= 0 && t->ndim <= WEFT_MAX_DIMS);
    for (int k = 0; k < t->ndim; k++) {
        WEFT_MUST(t->shape[k] >= 0);
        bits *= (size_t)t->shape[k];
    }
    WEFT_MUST(bits == 8 * t->bytes);
    WEFT_MUST(weft_st_find(st, t->name) == t);
    WEFT_MUST(i == 0 || strcmp(weft_st_at(st, i - 1)->name, t->name) < 0);
    for (size_t k = 0; k < t->bytes; k++) (void)p[k];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const int fd = memfd_create("model", MFD_CLOEXEC);
    char path[64];
    weft_st *st;

    WEFT_MUST(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (bytes > 0 && data[0] == '{') put_length(fd, data, bytes);
    put(fd, data, bytes);
    if (weft_st_open(path, &st) == WEFT_OK) {
        size_t sum = 0;

        for (int i = 0; i < weft_st_count(st); i++) {
            check(st, i);
            sum += weft_st_at(st, i)->bytes;
        }
        WEFT_MUST(sum <= weft_st_bytes(st));
        weft_st_metadata(st, "format");
        weft_st_close(st);
    } else {
        WEFT_MUST(strncmp(weft_fail_text(), path, strlen(path)) == 0);
    }
    close(fd);
    return 0;
}
