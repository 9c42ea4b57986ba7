/* One safetensors file. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/model/safetensors.h"
#include "tests/fuzz/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

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
    char path[64];
    const int fd = fuzz_file(data, bytes, path);
    weft_st *st;

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
