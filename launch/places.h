/*
 * places.h - where a run writes, tried before its first step.
 *
 * *Local.* No output may fall on another output, on the config or on a file of
 * a model, whatever the names by which they are reached.
 */
#ifndef WEFT_LAUNCH_PLACES_H
#define WEFT_LAUNCH_PLACES_H

#include "launch/config.h"

/* The report, and the images `from` to `to` - 1. Makes their folders. */
weft_status weft_places_try(const weft_config *c, int from, int to);

#endif
