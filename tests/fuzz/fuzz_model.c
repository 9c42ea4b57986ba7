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
    const int stride =
        part == WEFT_PART_SIGHT ? info->per_latent : info->stride;
    const weft_cell cell = {stride, stride, 2 * stride};
    weft_graph g;

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
        const bool control = info.kind == WEFT_NET_CONTROL;
        const bool vae = !control && !weft_net_is_unet(&info);

        if (!vae) build(json, &info, WEFT_PART_NET);
        if (control) build(json, &info, WEFT_PART_SIGHT);
        if (vae) build(json, &info, WEFT_PART_DECODE);
        if (vae) build(json, &info, WEFT_PART_ENCODE);
    }
    weft_json_free(json);
    return 0;
}
