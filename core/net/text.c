#include "core/net/text.h"

#include <string.h>

#include "core/net/encoders.h"

/* By its class, or, where there is none, by the type of model. */
static weft_status is_t5(const weft_json *c, bool *yes)
{
    const char *name = NULL, *type;
    int n;

    WEFT_TRY(weft_json_string(c, "model_type", "", &type));
    WEFT_TRY(weft_json_strings(c, "architectures", &name, 1, &n));
    *yes = name ? !strcmp(name, "T5EncoderModel") : !strcmp(type, "t5");
    return WEFT_OK;
}

weft_status weft_text_read_info(const weft_json *c, weft_text_info *info)
{
    const char *class_name;
    bool t5;

    /* diffusers' configs have one, transformers' do not. */
    WEFT_TRY(weft_json_string(c, "_class_name", NULL, &class_name));
    if (class_name)
        return weft_fail(WEFT_EINPUT, "%s: a %.80s is not a text encoder",
                         weft_json_name(c), class_name);
    WEFT_TRY(is_t5(c, &t5));
    return t5 ? weft_t5_read_info(c, info) : weft_clip_read_info(c, info);
}

static weft_status check_opts(const weft_json *c, const weft_text_info *info,
                              const weft_text_opts *o)
{
    if (o->skip < 0 || o->skip > info->layers)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d layers cannot be skipped, it has %d",
                         weft_json_name(c), o->skip, info->layers);
    if (o->pooled && !info->pooled)
        return weft_fail(WEFT_EINPUT, "%s: %s makes no vector for a whole text",
                         weft_json_name(c), info->class_name);
    return WEFT_OK;
}

weft_status weft_text_build(const weft_json *c, const weft_text_opts *o,
                            int tokens, weft_dtype wtype, weft_text *t)
{
    weft_text made = {.pooled = WEFT_NONE};
    weft_text_info info;
    weft_status st;
    bool t5;

    WEFT_TRY(is_t5(c, &t5));
    WEFT_TRY(weft_text_read_info(c, &info));
    WEFT_MUST(tokens > 0 && tokens <= info.tokens);
    WEFT_TRY(check_opts(c, &info, o));
    weft_graph_init(&made.graph, (weft_cell){0, tokens, tokens}, 1);
    made.graph.wtype = wtype;
    st = t5 ? weft_t5_build(c, o, &made) : weft_clip_build(c, o, &made);
    if (st == WEFT_OK) {
        *t = made;
        return WEFT_OK;
    }
    weft_fail_within(st, "%s", weft_json_name(c));
    weft_graph_release(&made.graph);
    return st;
}

const char *const weft_text_besides[] = {"encoder.layers.", "final_layer_norm.",
                                         "text_projection.", NULL};
