/* A LoRA, applied to a small U-Net, whose changed weights are merged. */
#include <stdlib.h>
#include <string.h>

#include "core/model/lora.h"
#include "core/model/merge.h"
#include "core/net/net.h"
#include "tests/fuzz/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char config[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"norm_num_groups\": 4,"
    "\"block_out_channels\": [8, 16], \"layers_per_block\": 1,"
    "\"down_block_types\": [\"DownBlock2D\", \"CrossAttnDownBlock2D\"],"
    "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"UpBlock2D\"],"
    "\"attention_head_dim\": 2, \"cross_attention_dim\": 8}";

static void build(weft_graph *g)
{
    weft_net_info info;
    weft_json *json;

    WEFT_MUST(weft_json_parse("config.json", config, strlen(config), &json) ==
              WEFT_OK);
    WEFT_MUST(weft_net_read_info(json, &info) == WEFT_OK);
    WEFT_MUST(weft_net_build(json, &info, WEFT_PART_NET, (weft_cell){2, 2, 4},
                             WEFT_F32, g) == WEFT_OK);
    weft_json_free(json);
}

static void merge(const weft_weight *w)
{
    for (int i = 0; i < w->nsrc; i++) {
        const int rows = w->shape[i][0] / (w->parts ? w->parts : 1);
        size_t count = (size_t)rows;
        float *merged = NULL, *base;

        if (!weft_merge_wants(w, i)) continue;
        for (int d = 1; d < 4; d++)
            count *= w->shape[i][d] ? (size_t)w->shape[i][d] : 1;
        base = calloc(count, sizeof *base);
        WEFT_MUST(base != NULL);
        if (weft_merge(w, i, &(weft_source){base, WEFT_F32, rows}, NULL,
                       &merged) != WEFT_OK)
            WEFT_MUST(merged == NULL &&
                      (strstr(weft_fail_text(), " at row ") ||
                       strstr(weft_fail_text(), "than a float holds")));
        free(merged);
        free(base);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char path[64];
    const int fd = fuzz_file(data, bytes, path);
    weft_lora *lora;
    weft_graph g;

    if (weft_lora_open(path, &lora) == WEFT_OK) {
        build(&g);
        if (weft_lora_apply(lora, WEFT_LORA_UNET, -1.5f, weft_lora_file(lora),
                            &g) == WEFT_OK)
            for (int i = 0; i < g.nweights; i++) merge(&g.weight[i]);
        weft_graph_release(&g);
        weft_lora_close(lora);
    } else {
        WEFT_MUST(strncmp(weft_fail_text(), path, strlen(path)) == 0);
    }
    close(fd);
    return 0;
}
