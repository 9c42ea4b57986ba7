/*
 * A pipeline's model_index.json: whatever is in it, paths stay in its folder.
 */
#include <stdint.h>
#include <string.h>

#include "core/model/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const weft_pipeline_part *part)
{
    if (part->path == NULL) return;
    WEFT_MUST(strncmp(part->path, "at/", 3) == 0);
    WEFT_MUST(strcmp(part->path + 3, part->name) == 0);
    WEFT_MUST(strchr(part->name, '/') == NULL && part->name[0] != '.');
    WEFT_MUST(part->class_name != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    weft_pipeline *p;

    if (weft_pipeline_parse("index", data, bytes, "at", &p) != WEFT_OK) {
        WEFT_MUST(strncmp(weft_fail_text(), "index", 5) == 0);
        return 0;
    }
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++) check(&p->part[i]);
    for (int i = 0; i < p->nother; i++) check(&p->other[i]);
    WEFT_MUST(weft_pipeline_check(p) == WEFT_EINPUT); /* no folder is there */
    weft_pipeline_free(p);
    return 0;
}
