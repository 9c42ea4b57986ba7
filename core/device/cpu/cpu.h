/*
 * cpu.h - the devices of the CPU.
 */
#ifndef WEFT_CORE_DEVICE_CPU_CPU_H
#define WEFT_CORE_DEVICE_CPU_CPU_H

#include "core/device/device.h"

extern const weft_device weft_device_reference;

#endif
