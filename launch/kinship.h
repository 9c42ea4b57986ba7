/*
 * kinship.h - whether models were made for the same noise. *Local*.
 */
#ifndef WEFT_LAUNCH_KINSHIP_H
#define WEFT_LAUNCH_KINSHIP_H

#include "launch/method.h"

/* A model that lies in a pipeline's folder has its scheduler beside it
 * (../scheduler). Models that are combined must agree about what is predicted
 * and about the noise of every train step; WEFT_EINPUT says which do not. What
 * has no scheduler beside it is not looked at. */
weft_status weft_kinship_check(const weft_method *m);
/* The run's schedule predicts what each model's own says that it does, unless
 * the config names prediction_type itself. WEFT_EINPUT. */
weft_status weft_kinship_schedule(const weft_method *m,
                                  const weft_noise_schedule *used);

#endif
