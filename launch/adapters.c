#include "launch/adapters.h"

#include <string.h>

#include "launch/netfile.h"

weft_status weft_adapters_open(const weft_config_model *m, weft_adapters *a)
{
    memset(a, 0, sizeof *a);
    for (int i = 0; m && i < m->nloras; i++) {
        WEFT_TRY(weft_lora_open(m->lora[i].file.path, &a->lora[i]));
        a->scale[i] = (float)m->lora[i].scale;
        a->n = i + 1;
    }
    return WEFT_OK;
}

void weft_adapters_close(weft_adapters *a)
{
    for (int i = 0; i < a->n; i++) weft_lora_close(a->lora[i]);
    memset(a, 0, sizeof *a);
}

weft_status weft_adapters_apply(const weft_adapters *a, weft_lora_part part,
                                const weft_st *st, weft_graph *g)
{
    for (int i = 0; i < a->n; i++)
        WEFT_TRY(weft_lora_apply(a->lora[i], part, a->scale[i], st, g));
    return WEFT_OK;
}

weft_status weft_adapters_refuse(const weft_adapters *a, weft_lora_part part,
                                 const char *name)
{
    for (int i = 0; i < a->n; i++) {
        const int layers = weft_lora_count(a->lora[i], part);

        if (layers)
            return weft_fail(WEFT_EINPUT,
                             "%s: changes %d layers of a %s, which the model "
                             "%s has not. Was it made for another base?",
                             weft_st_path(weft_lora_file(a->lora[i])), layers,
                             weft_lora_part_name[part], name);
    }
    return WEFT_OK;
}

uint64_t weft_adapters_fingerprint(const weft_adapters *a)
{
    uint64_t h = 0;

    for (int i = 0; i < a->n; i++) {
        uint32_t scale;

        memcpy(&scale, &a->scale[i], sizeof scale);
        h = h * 31 ^ weft_netfile_fingerprint(weft_lora_file(a->lora[i]));
        h = h * 31 ^ weft_lora_alphas(a->lora[i]);
        h = h * 31 ^ scale;
    }
    return h;
}

uint64_t weft_adapters_sample(const weft_adapters *a)
{
    uint64_t h = 0;

    for (int i = 0; i < a->n; i++)
        h = h * 31 ^ weft_netfile_sample(weft_lora_file(a->lora[i]));
    return h;
}

bool weft_adapters_same(const weft_config_model *a, const weft_config_model *b)
{
    const int n = a ? a->nloras : 0;

    if (n != (b ? b->nloras : 0)) return false;
    for (int i = 0; i < n; i++)
        if (strcmp(a->lora[i].file.path, b->lora[i].file.path) != 0 ||
            a->lora[i].scale != b->lora[i].scale)
            return false;
    return true;
}
