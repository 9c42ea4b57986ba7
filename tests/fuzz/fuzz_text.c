/*
 * A text encoder's config.json, as far as its net is built without weights.
 */
#include <stdint.h>
#include <string.h>

#include "core/net/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const weft_text_opts opts = {1, false, true};
    weft_json *json;
    weft_text_info info;
    weft_text text;

    if (weft_json_parse("config.json", data, bytes, &json) != WEFT_OK) return 0;
    if (weft_text_read_info(json, &info) == WEFT_OK &&
        weft_text_build(json, &opts, info.tokens, WEFT_F32, &text) == WEFT_OK)
        weft_graph_release(&text.graph);
    weft_json_free(json);
    return 0;
}
