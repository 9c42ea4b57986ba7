/*
 * A spiece.model, and behind a line "====" a text for it, of any bytes.
 */
#include <stdint.h>
#include <string.h>

#include "core/text/spiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = bytes ? memmem(data, bytes, "\n====\n", 6) : NULL;
    const size_t n = end ? (size_t)(end - data) : bytes;
    const char *text = end ? (const char *)end + 6 : "";
    weft_ids ids = {0};
    weft_spiece *m;

    if (weft_spiece_create("model", bytes ? (const void *)data : "", n, &m) !=
        WEFT_OK)
        return 0;
    if (weft_spiece_encode(m, text, end ? bytes - n - 6 : 0, &ids) == WEFT_OK)
        for (size_t i = 0; i < ids.n; i++)
            WEFT_MUST(ids.id[i] >= 0 && ids.id[i] < weft_spiece_pieces(m));
    weft_ids_release(&ids);
    weft_spiece_free(m);
    return 0;
}
