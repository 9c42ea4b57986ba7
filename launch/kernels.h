/*
 * kernels.h - which kernels a run takes where run.kernels is auto.
 *
 * *Local.* fast holds more: 3x3 kernels transformed. It is taken where the
 * packed weights of all nets, and five quarters of the activations of one image
 * (or batch) that is not cut, fit into what is given: run.memory, or else nine
 * tenths of the smallest node's memory, where that is known. Ranks and threads
 * do not matter, so that the same config makes the same bytes on any number of
 * them.
 */
#ifndef WEFT_LAUNCH_KERNELS_H
#define WEFT_LAUNCH_KERNELS_H

#include "launch/setup.h"

/* What is taken for a device before the nets are known. */
weft_status weft_kernels_guess(const weft_config *c, const weft_device **dev);
/* Bytes that count, with this device. The nets are built. */
weft_status weft_kernels_need(const weft_setup *s, const weft_device *dev,
                              size_t *bytes);
/* What they may be; 0: nobody knows. */
double weft_kernels_limit(const weft_setup *s);
/* s->dev, once the nets are built and nothing is laid out. */
weft_status weft_kernels_choose(weft_setup *s);

#endif
