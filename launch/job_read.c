/* job_read.c - one config for all ranks. */
#include <string.h>

#include "core/fnv.h"
#include "launch/job.h"

static uint64_t hash_text(uint64_t h, const char *text)
{
    return weft_fnv(h, text, strlen(text)) * 31;
}

/* Rank 0's file for all, but everybody's own arguments, which must agree. */
weft_status weft_job_read(const weft_comm *world, const char *path,
                          const char *const *overrides, int noverrides,
                          char **text, size_t *bytes)
{
    uint64_t h = hash_text(WEFT_FNV_BASIS, path);
    weft_status st = WEFT_OK;

    *text = NULL;
    for (int i = 0; i < noverrides; i++) h = hash_text(h, overrides[i]);
    WEFT_TRY(weft_comm_same(world, h, "config and arguments"));
    if (weft_comm_rank(world) == 0) st = weft_config_read(path, text, bytes);
    WEFT_TRY(weft_comm_agree(world, st));
    return weft_comm_share(world, text, bytes);
}
