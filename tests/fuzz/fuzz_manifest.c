/*
 * Manifests, of both kinds: the first byte says which. Whatever is accepted is
 * given again shard by shard, also after a journey to another rank.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launch/manifest.h"

enum { SHARD = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void use_item(const weft_items *l, const weft_item *item)
{
    WEFT_MUST(item->kind >= 0 && item->kind < l->kinds && item->id[0]);
    WEFT_MUST(strlen(item->id) < WEFT_ITEM_ID);
    WEFT_MUST(!item->caption || item->caption[0]);
}

static void use(const weft_manifest *m)
{
    weft_items *l;

    for (int k = 0; k < m->shards; k++) {
        WEFT_MUST(weft_manifest_shard(m, k, &l) == WEFT_OK);
        WEFT_MUST(l->n == weft_manifest_count(m, k));
        for (int i = 0; i < l->n; i++) use_item(l, &l->item[i]);
        weft_items_free(l);
    }
}

static void read_one(const char *path)
{
    weft_config_dataset d = {.manifest = (char *)path, .shard_size = SHARD};
    weft_manifest *m, *other;
    size_t bytes;
    char *packed;

    if (weft_manifest_read(&d, 10, NULL, NULL, &m) != WEFT_OK) return;
    WEFT_MUST(weft_manifest_pack(m, &packed, &bytes) == WEFT_OK);
    WEFT_MUST(weft_manifest_unpack(&d, packed, bytes, &other) == WEFT_OK);
    use(other);
    free(packed);
    weft_manifest_free(other);
    weft_manifest_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const int fd = memfd_create("manifest", MFD_CLOEXEC);
    char target[64], path[64];

    if (bytes == 0) {
        close(fd);
        return 0;
    }
    WEFT_MUST(fd >= 0);
    WEFT_MUST(write(fd, data + 1, bytes - 1) == (ssize_t)bytes - 1);
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    snprintf(path, sizeof path, "/tmp/weft_fuzz_%ld.%s", (long)getpid(),
             data[0] % 2 ? "csv" : "jsonl");
    unlink(path);
    WEFT_MUST(symlink(target, path) == 0);
    read_one(path);
    unlink(path);
    close(fd);
    return 0;
}
