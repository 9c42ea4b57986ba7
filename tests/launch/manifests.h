/*
 * manifests.h - manifests of a test program, in a folder of its own:
 *
 *     cmocka_run_group_tests(tests, make_folder, remove_manifests)
 *
 * After <cmocka.h>.
 */
#ifndef WEFT_TESTS_LAUNCH_MANIFESTS_H
#define WEFT_TESTS_LAUNCH_MANIFESTS_H

#include <stdlib.h>
#include <string.h>

#include "launch/manifest.h"
#include "tests/folder.h"
#include "tests/must.h"

static char path[64]; /* of the file that was made last */

/* The file of that name, with this in it. */
static inline weft_config_dataset file_of(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s", put_in_folder(name, text, strlen(text)));
    return (weft_config_dataset){.manifest = path, .shard_size = 2};
}

static inline weft_manifest *read_well(const weft_config_dataset *d,
                                       int classes)
{
    weft_manifest *m;

    must(weft_manifest_read(d, classes, NULL, NULL, &m));
    return m;
}

/* What another rank makes of it. */
static inline weft_manifest *send(const weft_config_dataset *d,
                                  const weft_manifest *from)
{
    weft_manifest *m;
    size_t bytes;
    char *data;

    assert_int_equal(weft_manifest_pack(from, &data, &bytes), WEFT_OK);
    assert_int_equal(weft_manifest_unpack(d, data, bytes, &m), WEFT_OK);
    free(data);
    return m;
}

static inline void check_item(const weft_item *item, const char *id, int label,
                              uint64_t seed, int kind)
{
    assert_string_equal(item->id, id);
    assert_int_equal(item->label, label);
    assert_true(item->seed == seed);
    assert_int_equal(item->kind, kind);
}

static inline weft_items *shard_of(const weft_manifest *m, int k)
{
    weft_items *l;

    must(weft_manifest_shard(m, k, &l));
    assert_int_equal(l->n, weft_manifest_count(m, k));
    return l;
}

/* What is asked about keys: no kind twice, and an item's cost is its steps. The
 * larger it is the fewer. */
static inline weft_status count_kind(void *arg, const char *keys,
                                     weft_verdict *v)
{
    const char *steps = strstr(keys, "sample.steps=");

    ++*(int *)arg;
    assert_null(strstr(keys, "cat"));
    v->cost = steps ? strtod(steps + strlen("sample.steps="), NULL) : 1;
    v->pixels = 10000 - v->cost;
    v->weighted = strstr(keys, "sample.steps=77") != NULL;
    return v->cost == 13 ? weft_fail(WEFT_EINPUT, "thirteen steps") : WEFT_OK;
}

static inline int remove_manifests(void **state)
{
    remove(in_folder("x.jsonl"));
    remove(in_folder("x.csv"));
    return remove_folder(state);
}

#endif
