/* original.c - what a file is, and its tensors under other names. */
#include "core/model/original.h"

#include <stdlib.h>
#include <string.h>

#include "core/model/st_file.h"

/* ---- telling ------------------------------------------------------------- */

/* Where the parts of each family lie. `key` goes on behind the prefix. A file
 * may be known by either text encoder; the first rule that holds counts. */
static const struct rule {
    const char *prefix, *key;
    weft_pipeline_role role;
    weft_original_family family;
} rules[] = {
    {"model.diffusion_model.", "input_blocks.0.0.weight", WEFT_PIPELINE_UNET,
     WEFT_ORIGINAL_NONE},
    {"control_model.", "input_hint_block.0.weight", WEFT_PIPELINE_CONTROL,
     WEFT_ORIGINAL_NONE},
    {"", "input_hint_block.0.weight", WEFT_PIPELINE_CONTROL,
     WEFT_ORIGINAL_NONE},
    {"first_stage_model.", "decoder.mid.block_1.norm1.weight",
     WEFT_PIPELINE_VAE, WEFT_ORIGINAL_NONE},
    {"vae.", "decoder.mid.block_1.norm1.weight", WEFT_PIPELINE_VAE,
     WEFT_ORIGINAL_NONE},
    {"", "decoder.mid.block_1.norm1.weight", WEFT_PIPELINE_VAE,
     WEFT_ORIGINAL_NONE},
    {"conditioner.embedders.0.transformer.text_model.",
     "embeddings.token_embedding.weight", WEFT_PIPELINE_TEXT, WEFT_ORIGINAL_XL},
    {"conditioner.embedders.1.model.", "token_embedding.weight",
     WEFT_PIPELINE_TEXT_2, WEFT_ORIGINAL_XL},
    {"conditioner.embedders.0.model.", "token_embedding.weight",
     WEFT_PIPELINE_TEXT_2, WEFT_ORIGINAL_REFINER},
    {"cond_stage_model.model.", "token_embedding.weight", WEFT_PIPELINE_TEXT,
     WEFT_ORIGINAL_SD2},
    {"cond_stage_model.transformer.text_model.",
     "embeddings.token_embedding.weight", WEFT_PIPELINE_TEXT,
     WEFT_ORIGINAL_SD1},
    {"cond_stage_model.transformer.", "embeddings.token_embedding.weight",
     WEFT_PIPELINE_TEXT, WEFT_ORIGINAL_SD1},
};

/* Of a U-Net without text encoders: each family's text has a width of its
 * own. */
static weft_original_family family_of_unet(const weft_st *st,
                                           const char *prefix)
{
    static const struct {
        int width;
        weft_original_family family;
    } widths[] = {{768, WEFT_ORIGINAL_SD1},
                  {1024, WEFT_ORIGINAL_SD2},
                  {2048, WEFT_ORIGINAL_XL},
                  {1280, WEFT_ORIGINAL_REFINER}};
    const weft_st_tensor *t = NULL;

    for (int i = 1; i < 16 && !t; i++)
        t = weft_original_find(
            st, prefix,
            "input_blocks.%d.1.transformer_blocks.0.attn2.to_k.weight", i);
    for (size_t i = 0; t && i < sizeof widths / sizeof *widths; i++)
        if (t->ndim == 2 && t->shape[1] == widths[i].width)
            return widths[i].family;
    return WEFT_ORIGINAL_NONE;
}

void weft_original_tell(const weft_st *st, weft_original *o)
{
    *o = (weft_original){.family = WEFT_ORIGINAL_NONE};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *r = &rules[i];

        if (o->prefix[r->role] ||
            !weft_original_find(st, r->prefix, "%s", r->key))
            continue;
        o->prefix[r->role] = r->prefix;
        if (!o->family) o->family = r->family;
    }
    if (!o->family && o->prefix[WEFT_PIPELINE_UNET])
        o->family = family_of_unet(st, o->prefix[WEFT_PIPELINE_UNET]);
    o->predicts_v =
        o->family == WEFT_ORIGINAL_SD2 || weft_st_find(st, "v_pred") != NULL;
    o->zero_snr = weft_st_find(st, "ztsnr") != NULL;
}

/* ---- tensors under other names ------------------------------------------- */

typedef struct selection {
    const weft_st *st;
    const char *prefix;
    weft_original_rules rules;
    weft_st_tensor *tensor;
    int n;
    char *names;  /* WEFT_ORIGINAL_NAME for each tensor */
    char *turned; /* behind them: room for what is turned */
} selection;

static weft_status refuse(const selection *s, const weft_st_tensor *t)
{
    return weft_fail(WEFT_EINPUT, "%s: %.200s has a shape that no rule knows",
                     weft_st_path(s->st), t->name);
}

static weft_st_tensor *add(selection *s, const weft_st_tensor *t,
                           const char *name)
{
    weft_st_tensor *new = &s->tensor[s->n];
    char *copy = s->names + (size_t)s->n * WEFT_ORIGINAL_NAME;

    s->n++;
    memcpy(copy, name, WEFT_ORIGINAL_NAME);
    *new = *t;
    new->name = copy;
    return new;
}

/* [3d][...] as three of [d][...]. */
static weft_status add_three(selection *s, const weft_st_tensor *t, char *name)
{
    char *letter = strstr(name, "q_proj");

    if (t->ndim < 1 || t->shape[0] % 3 || t->bytes % 3) return refuse(s, t);
    for (int i = 0; i < 3; i++) {
        weft_st_tensor *new;

        *letter = "qkv"[i];
        new = add(s, t, name);
        new->shape[0] /= 3;
        new->bytes /= 3;
        new->data = (const char *)t->data + (size_t)i *new->bytes;
    }
    return WEFT_OK;
}

static weft_status add_turned(selection *s, const weft_st_tensor *t,
                              const char *name)
{
    const size_t size = (size_t)weft_st_dtype_bits(t->dtype) / 8;
    weft_st_tensor *new;
    size_t rows, columns;

    if (t->ndim != 2 || size * 8 != (size_t)weft_st_dtype_bits(t->dtype))
        return refuse(s, t);
    rows = (size_t)t->shape[0];
    columns = (size_t)t->shape[1];
    new = add(s, t, name);
    new->shape[0] = t->shape[1];
    new->shape[1] = t->shape[0];
    new->data = s->turned;
    for (size_t i = 0; t->bytes && i < rows; i++)
        for (size_t k = 0; k < columns; k++)
            memcpy(s->turned + (k * rows + i) * size,
                   (const char *)t->data + (i * columns + k) * size, size);
    return WEFT_OK;
}

static void add_matrix(selection *s, const weft_st_tensor *t, const char *name)
{
    weft_st_tensor *new = add(s, t, name);

    while (new->ndim > 2 && new->shape[new->ndim - 1] == 1) new->ndim--;
}

static weft_status select_one(selection *s, const weft_st_tensor *t)
{
    const size_t n = strlen(s->prefix);
    char name[WEFT_ORIGINAL_NAME];

    if (strncmp(t->name, s->prefix, n) != 0) return WEFT_OK;
    switch (weft_original_rename(&s->rules, t->name + n, name)) {
    case WEFT_AS_NOTHING:
        return WEFT_OK;
    case WEFT_AS_IT_IS:
        add(s, t, name);
        return WEFT_OK;
    case WEFT_AS_MATRIX:
        add_matrix(s, t, name);
        return WEFT_OK;
    case WEFT_AS_THREE:
        return add_three(s, t, name);
    case WEFT_AS_TURNED:
        return add_turned(s, t, name);
    }
    return WEFT_OK;
}

/* Room for as many tensors as there can be, and for the one that is turned. */
static weft_status make_room(selection *s)
{
    const size_t most = 3 * (size_t)weft_st_count(s->st) + 1;
    const weft_st_tensor *t =
        weft_original_find(s->st, s->prefix, "text_projection");

    s->tensor = calloc(most, sizeof *s->tensor);
    s->names = malloc(most * WEFT_ORIGINAL_NAME + (t ? t->bytes : 0));
    if (s->tensor && s->names) {
        s->turned = s->names + most * WEFT_ORIGINAL_NAME;
        return WEFT_OK;
    }
    free(s->tensor);
    free(s->names);
    return weft_fail(WEFT_ENOMEM, "%s: out of memory", weft_st_path(s->st));
}

weft_status weft_original_select(weft_st *st, const weft_original *o,
                                 weft_pipeline_role role)
{
    selection s = {.st = st, .prefix = o->prefix[role]};
    weft_status status = WEFT_OK;

    weft_original_read_rules(st, o, role, &s.rules);
    WEFT_TRY(make_room(&s));
    for (int i = 0; i < weft_st_count(st) && status == WEFT_OK; i++)
        status = select_one(&s, weft_st_at(st, i));
    if (status == WEFT_OK) return weft_st_replace(st, s.tensor, s.n, s.names);
    free(s.tensor);
    free(s.names);
    return status;
}
