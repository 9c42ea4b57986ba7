/*
 * encoders.h - the classes of text encoders, behind text.h. For core/net/ only.
 */
#ifndef WEFT_CORE_NET_ENCODERS_H
#define WEFT_CORE_NET_ENCODERS_H

#include "core/net/text.h"

weft_status weft_clip_read_info(const weft_json *c, weft_text_info *info);
/* The graph is set up; failures stick to it. */
weft_status weft_clip_build(const weft_json *c, const weft_text_opts *o,
                            weft_text *t);

weft_status weft_t5_read_info(const weft_json *c, weft_text_info *info);
weft_status weft_t5_build(const weft_json *c, const weft_text_opts *o,
                          weft_text *t);

#endif
