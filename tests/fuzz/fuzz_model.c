/*
 * A model's config.json, as far as a net is built without its weights: every
 * part of whatever kind the config says it is.
 */
#include <stdint.h>
#include <string.h>

#include "core/model/json.h"
#include "core/net/graph.h"
#include "core/net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void build(const weft_json *json, const weft_net_info *info,
                  weft_net_part part)
{
    weft_graph g;

    const weft_cell cell = {info->stride, info->stride, 2 * info->stride};

    if (weft_net_build(json, info, part, cell, WEFT_F32, &g) == WEFT_OK)
        weft_graph_release(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    weft_json *json;
    weft_net_info info;

    if (weft_json_parse("config.json", data, bytes, &json) != WEFT_OK) {
        WEFT_MUST(strncmp(weft_fail_text(), "config.json", 11) == 0);
        return 0;
    }
    if (weft_net_read_info(json, &info) == WEFT_OK) {
        if (weft_net_is_unet(&info)) build(json, &info, WEFT_PART_NET);
        if (!weft_net_is_unet(&info)) build(json, &info, WEFT_PART_DECODE);
        if (!weft_net_is_unet(&info)) build(json, &info, WEFT_PART_ENCODE);
    }
    weft_json_free(json);
    return 0;
}
