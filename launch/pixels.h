/*
 * pixels.h - pictures that a run is given. *Local*.
 */
#ifndef WEFT_LAUNCH_PIXELS_H
#define WEFT_LAUNCH_PIXELS_H

#include "core/cut.h"
#include "launch/config.h"

typedef struct weft_pixels {
    unsigned char *at; /* [height][width][channels]; owned */
    int width, channels;
} weft_pixels;

/* A PNG of the sample's size, as its header says; NULL: there is none. */
weft_status weft_pixels_fit(const weft_config *c, const char *path);
/* The same, for a plan: *hash is folded with that of the file, so that ranks
 * which compare it have the same one. */
weft_status weft_pixels_check(const weft_config *c, const char *path,
                              uint64_t *hash);
/* NULL: there is none. */
weft_status weft_pixels_read(const weft_config *c, const char *path,
                             weft_pixels *p);

/* A rectangle of it as [rows][columns][channels], byte / 255 * mul + add. Grey
 * is alike in all channels. */
void weft_pixels_take(const weft_pixels *p, const weft_rect *r, int channels,
                      float mul, float add, float *to);

#endif
