#include "launch/kernels.h"

#include <string.h>

weft_status weft_kernels_find(const weft_config *c, const weft_device **dev)
{
    const bool chosen = strcmp(c->run.kernels, "auto") == 0;

    return weft_device_find(chosen ? "fast" : c->run.kernels, NULL, dev);
}
