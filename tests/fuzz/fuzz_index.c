/*
 * The index of a sharded model, beside two good shards: "s1" holds the tensors
 * "a" and "b" of 4 bytes each, "s2" holds "c".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char folder[] = "/tmp/weft_fuzz_XXXXXX";
static char index_path[64], shard_path[2][64];

static void clean_up(void)
{
    unlink(index_path);
    unlink(shard_path[0]);
    unlink(shard_path[1]);
    rmdir(folder);
}

static void put_shard(const char *path, const weft_st_entry *entry, int n)
{
    weft_st_writer *w;

    WEFT_MUST(weft_st_create(path, entry, n, NULL, &w) == WEFT_OK);
    for (int i = 0; i < n; i++)
        WEFT_MUST(weft_st_put(w, i, 0, "1234", 4) == WEFT_OK);
    WEFT_MUST(weft_st_finish(w) == WEFT_OK);
}

static void set_up(void)
{
    static const weft_st_entry entry[] = {
        {"a", "F32", 0, {0}}, {"b", "U8", 1, {4}}, {"c", "F16", 1, {2}}};

    WEFT_MUST(mkdtemp(folder) != NULL);
    snprintf(index_path, sizeof index_path, "%s/index.json", folder);
    for (int i = 0; i < 2; i++)
        snprintf(shard_path[i], sizeof shard_path[i], "%s/s%d", folder, i + 1);
    put_shard(shard_path[0], entry, 2);
    put_shard(shard_path[1], entry + 2, 1);
    atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    FILE *f;
    weft_st *st;

    if (index_path[0] == '\0') set_up();
    f = fopen(index_path, "wb");
    WEFT_MUST(f && fwrite(data, 1, bytes, f) == bytes);
    fclose(f);
    if (weft_st_open(index_path, &st) == WEFT_OK) {
        WEFT_MUST(weft_st_count(st) <= 3);
        for (int i = 0; i < weft_st_count(st); i++)
            WEFT_MUST(memcmp(weft_st_at(st, i)->data, "1234", 4) == 0);
        weft_st_close(st);
    } else {
        WEFT_MUST(strstr(weft_fail_text(), index_path) != NULL);
    }
    return 0;
}
