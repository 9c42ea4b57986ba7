/*
 * contact.h - a data set to look at: `index.html` in its folder.
 *
 * One page that needs nothing beside it: pictures and their parameters are in
 * it. Of large sets it shows pictures spread evenly over all shards, at most
 * WEFT_CONTACT_PICTURES and WEFT_CONTACT_BYTES of them. Arrow keys move from
 * picture to picture, Enter opens one with all that its ID.json says, Escape
 * closes it. *Local*.
 */
#ifndef WEFT_LAUNCH_CONTACT_H
#define WEFT_LAUNCH_CONTACT_H

#include <stdint.h>

#include "launch/shelf.h"

enum { WEFT_CONTACT_PICTURES = 400, WEFT_CONTACT_BYTES = 1 << 25 };

/* `about`: a line of plain text for the head of the page. Shards that are not
 * on the shelf are passed over. */
weft_status weft_contact_write(const weft_shelf *s, int shards, int64_t items,
                               const char *about);

#endif
