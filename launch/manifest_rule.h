/*
 * manifest_rule.h - a manifest that is said in two lines: every label with
 * every seed. Needs no memory, however many items. *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_RULE_H
#define WEFT_LAUNCH_MANIFEST_RULE_H

#include "launch/manifest.h"

weft_status weft_manifest_rule(const weft_config_dataset *d, int classes,
                               weft_manifest *m);
/* item: [weft_manifest_count] */
void weft_manifest_rule_shard(const weft_manifest *m, int k, weft_item *item);
weft_status weft_manifest_rule_walk(const weft_manifest *m,
                                    weft_manifest_visit *visit, void *arg);

#endif
