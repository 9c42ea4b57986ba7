/*
 * picture.h - the picture that a run's samples begin with, and its mask.
 *
 * Every patch encodes its own rows, once for all images; what the encoder makes
 * goes to those who keep the rows (core/solve/repaint.h says what for).
 */
#ifndef WEFT_LAUNCH_PICTURE_H
#define WEFT_LAUNCH_PICTURE_H

#include "launch/job.h"

/* Local, in the plan: sizes of the files, where the walk begins, and what that
 * draws of the noise. s->picture is a hash of the files. */
weft_status weft_picture_plan(weft_setup *s);

/* Collective over the job, connected: j->picture. The weights that encode it
 * are loaded for that, and given back. */
weft_status weft_picture_make(weft_job *j);
void weft_picture_release(weft_picture *p);

#endif
