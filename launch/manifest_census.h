/*
 * manifest_census.h - what kinds of items a manifest has, while it is read.
 * *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_CENSUS_H
#define WEFT_LAUNCH_MANIFEST_CENSUS_H

#include "launch/manifest_item.h"
#include "launch/manifest_kinds.h"

/* All else begins as zeros. */
typedef struct weft_census {
    weft_manifest *m;
    weft_manifest_check *check; /* of it and its argument; or NULL */
    void *arg;
    weft_kinds kinds; /* to be released */
    double pixels;    /* of the largest kind that is not kept */
    bool weighted;    /* prompts of items that do not say */
} weft_census;

/* One more item, of the line of that number: to its kind in m, which is checked
 * if it is new; what the grammar of its prompts refuses is. *cost: as in
 * weft_verdict. */
weft_status weft_census_take(weft_census *c, const weft_item *item,
                             const weft_words *w, long long line, double *cost);

void weft_kind_release(weft_kind *k);

#endif
