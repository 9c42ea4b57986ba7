/*
 * config_roles.h - `parallel.roles`: auto, shared, or ranks by name. *Local*.
 */
#ifndef WEFT_LAUNCH_CONFIG_ROLES_H
#define WEFT_LAUNCH_CONFIG_ROLES_H

#include "launch/config.h"
#include "launch/config_schema.h"

/* The mapping of names becomes a list of {name, ranks}; a word one entry. */
weft_status weft_config_shape_roles(weft_tree *root);

/* Fill in what c->parallel says of roles. */
weft_status weft_config_take_roles(const weft_tree *root,
                                   weft_raw_parallel *raw, weft_config *c);

#endif
