/*
 * roles.h - from what a method asks to the roles and nets of a plan.
 *
 * *Local.*
 */
#ifndef WEFT_LAUNCH_ROLES_H
#define WEFT_LAUNCH_ROLES_H

#include "launch/setup.h"

/* Keep the conditions of those models apart whose NAME.cond or NAME.uncond has
 * ranks of its own; `all`: of every model that is guided. */
void weft_roles_split(weft_setup *s, bool all);

/* Fill in the plan's roles, nets and stages. WEFT_EINPUT: roles that nothing
 * asks, roles that have no ranks. */
weft_status weft_roles_ask(weft_setup *s);

#endif
