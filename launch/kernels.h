/*
 * kernels.h - which kernels a run takes.
 */
#ifndef WEFT_LAUNCH_KERNELS_H
#define WEFT_LAUNCH_KERNELS_H

#include "core/device/device.h"
#include "launch/config.h"

/* *Local.* As run.kernels says: `auto` is `fast`, which takes no more memory
 * than others do, whatever there is of it. */
weft_status weft_kernels_find(const weft_config *c, const weft_device **dev);

#endif
