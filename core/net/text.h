/*
 * text.h - text encoders from transformers' config.json: token ids to what a
 * net of images is given.
 *
 * CLIPTextModel and CLIPTextModelWithProjection: a transformer whose tokens see
 * those before them. T5EncoderModel: one whose tokens all see each other,
 * padding included, as Stable Diffusion 3 and FLUX ask it. Nets are trained on
 * what it makes of a text after its last layer or some layers earlier, and some
 * on a vector for the whole text besides. What is meant by skipping:
 *
 *     Stable Diffusion 1.x, 2.x   {.skip = clip_skip, .norm = true}
 *     SDXL                        {.skip = clip_skip + 1}, .pooled of the
 *                                 second
 *     T5                          {.norm = true}
 *
 * A graph for text has the ids as its input, [n][tokens][1] as floats, and no
 * rows: lay it out on a cut of one unit.
 */
#ifndef WEFT_CORE_NET_TEXT_H
#define WEFT_CORE_NET_TEXT_H

#include "core/model/json.h"
#include "core/net/graph.h"

typedef struct weft_text_info {
    const char *class_name;
    int vocab;  /* ids lie below */
    int tokens; /* of a text, at most: CLIP 77, begin and end included; T5's
                   length is the caller's choice, up to this */
    int layers;
    int channels; /* of a token */
    int pooled;   /* channels of the vector for the text; 0: it makes none */
    int eos;      /* the vector is taken at the first token of this id; -1:
                     at the largest id, as configs of before 2023 mean it */
} weft_text_info;

/* Options that CLIPTextConfig or T5Config does not know are passed over, as
 * transformers does. WEFT_EINPUT names file and key. */
weft_status weft_text_read_info(const weft_json *c, weft_text_info *info);

typedef struct weft_text_opts {
    int skip;    /* layers at the end that are left out: 0 to info.layers */
    bool norm;   /* the last norm is applied nevertheless */
    bool pooled; /* the vector for the text is wanted; it skips nothing */
} weft_text_opts;

typedef struct weft_text {
    weft_graph graph; /* .input: the ids; .output: [n][tokens][channels] */
    weft_val pooled;  /* [n][pooled], kept; NONE if it is not wanted */
} weft_text;

/* Texts, up to NULL, in the names of weights that some graphs of an encoder do
 * without. */
extern const char *const weft_text_besides[];

/* Texts of `tokens` ids, at most info.tokens. On failure there is no graph to
 * release. */
weft_status weft_text_build(const weft_json *c, const weft_text_opts *o,
                            int tokens, weft_dtype wtype, weft_text *t);

#endif
