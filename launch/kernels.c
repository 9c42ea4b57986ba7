#include "launch/kernels.h"

#include <string.h>

static bool is_auto(const weft_config *c)
{
    return strcmp(c->run.kernels, "auto") == 0;
}

weft_status weft_kernels_guess(const weft_config *c, const weft_device **dev)
{
    return weft_device_find(is_auto(c) ? "fast" : c->run.kernels, NULL, dev);
}

/* Of one net, on the whole image. */
static weft_status need_of(const weft_setup *s, int i, const weft_device *dev,
                           size_t *weights, size_t *block)
{
    const bool samples = weft_net_is_unet(&s->models.file[i].info);
    const int batch =
        s->config->run.batch ? s->config->run.batch : weft_setup_batch_most(s);
    const int rows[] = {0, s->plan.rows / s->plan.unit};
    const weft_cut whole = {.n = 1, .first = rows};
    weft_layout l;

    WEFT_TRY(weft_layout_make(&s->models.file[i].graph, dev,
                              samples ? 2 * batch : 1, &whole, &l));
    *weights = l.weight_bytes;
    *block = l.bytes;
    weft_layout_release(&l);
    return WEFT_OK;
}

weft_status weft_kernels_need(const weft_setup *s, const weft_device *dev,
                              size_t *bytes)
{
    size_t all = 0, most = 0;

    for (int i = 0; i < s->models.nfiles; i++) {
        size_t weights, block;

        WEFT_TRY(need_of(s, i, dev, &weights, &block));
        if (s->models.head[i] == i) all += weights;
        if (block > most) most = block;
    }
    /* Scratch, state and what is kept of a text come on top, and depend on
     * threads and more. */
    *bytes = all + most + most / 4;
    return WEFT_OK;
}

double weft_kernels_limit(const weft_setup *s)
{
    if (s->config->run.memory > 0) return s->config->run.memory * 1073741824;
    return 0.9 * s->machine.memory_bytes;
}

weft_status weft_kernels_choose(weft_setup *s)
{
    const double limit = weft_kernels_limit(s);
    size_t bytes;

    if (!is_auto(s->config) || limit <= 0) return WEFT_OK;
    WEFT_TRY(weft_kernels_need(s, s->dev, &bytes));
    if ((double)bytes <= limit) return WEFT_OK;
    WEFT_TRY(weft_device_find("lean", NULL, &s->dev));
    return weft_prompts_lay_out(&s->prompts, s->dev);
}
