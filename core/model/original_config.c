/* original_config.c - the configs that a checkpoint in one file lacks. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/model/original.h"

enum { LEVELS = 8, LAYERS = 64, MOST = 65536, TEXT = 4096, HEAD = 64 };

/* ---- JSON ---------------------------------------------------------------- */

typedef struct text {
    char s[TEXT];
    size_t n;
} text;

/* What a config says is short: levels and layers are few. */
static void WEFT_PRINTF(2, 3) add(text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    t->n += (size_t)vsnprintf(t->s + t->n, sizeof t->s - t->n, format, args);
    va_end(args);
    WEFT_MUST(t->n < sizeof t->s);
}

static void add_numbers(text *t, const char *key, const int *number, int n)
{
    add(t, ", \"%s\": [", key);
    for (int i = 0; i < n; i++) add(t, "%s%d", i ? ", " : "", number[i]);
    add(t, "]");
}

/* "Cross..." where there is attention. */
static void add_blocks(text *t, const char *key, const char *kind,
                       const bool *sight, int n, bool upward)
{
    add(t, ", \"%s\": [", key);
    for (int i = 0; i < n; i++)
        add(t, "%s\"%s%s\"", i ? ", " : "",
            sight && sight[upward ? n - 1 - i : i] ? "CrossAttn" : "", kind);
    add(t, "]");
}

/* ---- shapes -------------------------------------------------------------- */

typedef struct source {
    const weft_st *st;
    const char *prefix, *name;
} source;

/* Number k of a tensor's shape; 0 where there is none, or no sensible one. */
static int size_of(const weft_st_tensor *t, int k)
{
    return t && k < t->ndim && t->shape[k] <= MOST ? (int)t->shape[k] : 0;
}

static const weft_st_tensor *find(const source *s, const char *name)
{
    return weft_original_find(s->st, s->prefix, "%s", name);
}

static weft_status refuse(const source *s, const char *why)
{
    return weft_fail(WEFT_EINPUT, "%s: %s", s->name, why);
}

/* ---- U-Net --------------------------------------------------------------- */

typedef struct unet {
    int levels, layers, channels[LEVELS], depth[LEVELS];
    bool sight[LEVELS], linear;
    int in, out, context, added;
} unet;

/* Transformers of one layer, by its name: "input_blocks.4". */
static int depth_of(const source *s, const char *layer, unet *u)
{
    const weft_st_tensor *t =
        weft_original_find(s->st, s->prefix, "%s.1.proj_in.weight", layer);
    int n = 0;

    if (t) u->linear = t->ndim == 2;
    for (; n < LAYERS; n++) {
        t = weft_original_find(s->st, s->prefix,
                               "%s.1.transformer_blocks.%d.attn2.to_k.weight",
                               layer, n);
        if (t == NULL) break;
        u->context = size_of(t, 1);
    }
    return n;
}

/* Layer `at` of all on the way down, which begins a level or goes on with it:
 * the layers of one are alike. */
static weft_status read_layer(const source *s, int at, unet *u)
{
    const int level = (at - 1) / (u->layers + 1);
    const bool first = (at - 1) % (u->layers + 1) == 0;
    char layer[32];
    int channels, depth;

    snprintf(layer, sizeof layer, "input_blocks.%d", at);
    channels = size_of(
        weft_original_find(s->st, s->prefix, "%s.0.in_layers.2.weight", layer),
        0);
    depth = depth_of(s, layer, u);
    if (!channels || level >= LEVELS)
        return refuse(s, "the U-Net's blocks are not what weft knows");
    if (!first && (depth != u->depth[level] || channels != u->channels[level]))
        return refuse(s, "the layers of a level of the U-Net differ");
    u->channels[level] = channels;
    u->depth[level] = depth;
    u->sight[level] = depth > 0;
    u->levels = level + 1;
    return WEFT_OK;
}

/* Between two levels their sampler stands; the last level has none. */
static weft_status read_levels(const source *s, unet *u)
{
    int at = 1;

    for (;; at++) {
        const bool sampler = at % (u->layers + 1) == 0;

        if (!weft_original_find(s->st, s->prefix,
                                sampler
                                    ? "input_blocks.%d.0.op.weight"
                                    : "input_blocks.%d.0.in_layers.2.weight",
                                at))
            break;
        if (!sampler) WEFT_TRY(read_layer(s, at, u));
    }
    if (u->levels == 0 || at != u->levels * (u->layers + 1))
        return refuse(s, "the U-Net's levels differ in their layers");
    return WEFT_OK;
}

/* diffusers' middle takes the depth of the last level; where that has no
 * transformers, it is the middle's alone. */
static weft_status read_middle(const source *s, unet *u)
{
    const int depth = depth_of(s, "middle_block", u), last = u->levels - 1;

    if (depth == 0) return refuse(s, "the U-Net's middle has no transformers");
    if (u->sight[last] && u->depth[last] != depth)
        return refuse(s, "the U-Net's middle is deeper or less deep than its "
                         "last level");
    u->depth[last] = depth;
    for (int i = 0; i < last; i++)
        if (!u->sight[i]) u->depth[i] = 1;
    return WEFT_OK;
}

static bool is_xl(weft_original_family family)
{
    return family == WEFT_ORIGINAL_XL || family == WEFT_ORIGINAL_REFINER;
}

static weft_status read_added(const source *s, weft_original_family family,
                              unet *u)
{
    const bool xl = is_xl(family);

    if (find(s, "label_emb.weight"))
        return refuse(s, "the U-Net is told a noise level (label_emb.weight), "
                         "as the upscaler's is, which weft does not know");
    u->added = size_of(find(s, "label_emb.0.0.weight"), 1);
    if (u->added && !xl)
        return refuse(s, "the U-Net is told more than a text "
                         "(label_emb.0.0.weight), as unCLIP's is, which weft "
                         "does not know");
    if (!u->added && xl)
        return refuse(s, "the U-Net has no label_emb.0.0.weight, as Stable "
                         "Diffusion XL's has");
    return WEFT_OK;
}

/* The way down and the middle, which control nets have as well. */
static weft_status read_half(const source *s, const weft_original *o,
                             weft_pipeline_role role, unet *u)
{
    weft_original_rules rules;

    weft_original_read_rules(s->st, o, role, &rules);
    *u = (unet){.layers = rules.blocks - 1};
    u->in = size_of(find(s, "input_blocks.0.0.weight"), 1);
    if (!u->in || !u->layers || u->layers > LAYERS)
        return refuse(s, "the U-Net's ends are not what weft knows");
    WEFT_TRY(read_levels(s, u));
    return read_middle(s, u);
}

static weft_status read_unet(const source *s, const weft_original *o, unet *u)
{
    WEFT_TRY(read_half(s, o, WEFT_PIPELINE_UNET, u));
    u->out = size_of(find(s, "out.2.weight"), 0);
    if (!u->out) return refuse(s, "the U-Net's ends are not what weft knows");
    return read_added(s, o->family, u);
}

/* Whose family a control net is of only its shapes say. */
static weft_status read_control(const source *s, const weft_original *o,
                                unet *u)
{
    const bool xl = find(s, "label_emb.0.0.weight") != NULL;

    WEFT_TRY(read_half(s, o, WEFT_PIPELINE_CONTROL, u));
    return read_added(s, xl ? WEFT_ORIGINAL_XL : WEFT_ORIGINAL_NONE, u);
}

/* Stable Diffusion 1 has eight heads everywhere; later ones have heads of 64
 * channels. What diffusers calls attention_head_dim is their number. */
static void add_heads(text *t, const unet *u)
{
    int heads[LEVELS];

    for (int i = 0; i < u->levels; i++)
        heads[i] = !u->linear               ? 8
                   : u->channels[i] >= HEAD ? u->channels[i] / HEAD
                                            : 1;
    add_numbers(t, "attention_head_dim", heads, u->levels);
}

static void write_half(const unet *u, text *t)
{
    add(t, ", \"in_channels\": %d", u->in);
    add_numbers(t, "block_out_channels", u->channels, u->levels);
    add_blocks(t, "down_block_types", "DownBlock2D", u->sight, u->levels,
               false);
    add(t, ", \"layers_per_block\": %d, \"cross_attention_dim\": %d", u->layers,
        u->context);
    add_heads(t, u);
    add_numbers(t, "transformer_layers_per_block", u->depth, u->levels);
    add(t, ", \"use_linear_projection\": %s", u->linear ? "true" : "false");
    if (u->added)
        add(t,
            ", \"addition_embed_type\": \"text_time\", "
            "\"addition_time_embed_dim\": 256, "
            "\"projection_class_embeddings_input_dim\": %d",
            u->added);
}

/* Levels of the picture's encoder begin with every second of its layers. */
static void write_control(const source *s, const unet *u, text *t)
{
    const char *const begins[] = {
        "input_hint_block.0.weight", "input_hint_block.4.weight",
        "input_hint_block.8.weight", "input_hint_block.12.weight"};
    int channels[4];

    for (int i = 0; i < 4; i++) channels[i] = size_of(find(s, begins[i]), 0);
    add(t,
        "{\"_class_name\": \"ControlNetModel\", "
        "\"conditioning_channels\": %d",
        size_of(find(s, begins[0]), 1));
    add_numbers(t, "conditioning_embedding_out_channels", channels, 4);
    write_half(u, t);
    add(t, "}");
}

static void write_unet(const unet *u, weft_original_family family, text *t)
{
    static const int sample[] = {[WEFT_ORIGINAL_NONE] = 64,
                                 [WEFT_ORIGINAL_SD1] = 64,
                                 [WEFT_ORIGINAL_SD2] = 96,
                                 [WEFT_ORIGINAL_XL] = 128,
                                 [WEFT_ORIGINAL_REFINER] = 128};

    add(t, "{\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": %d",
        sample[family]);
    add(t, ", \"out_channels\": %d", u->out);
    add_blocks(t, "up_block_types", "UpBlock2D", u->sight, u->levels, true);
    write_half(u, t);
    add(t, "}");
}

/* ---- autoencoder --------------------------------------------------------- */

static int vae_layers(const source *s)
{
    int n = 0;

    while (n <= LAYERS &&
           weft_original_find(s->st, s->prefix,
                              "decoder.up.0.block.%d.conv1.weight", n))
        n++;
    return n - 1; /* a decoder's level has one more */
}

static weft_status vae_config(const source *s, const weft_original *o,
                              double scaling, text *t)
{
    weft_original_rules rules;
    const weft_st_tensor *encoder = find(s, "encoder.conv_in.weight");
    const int layers = vae_layers(s);
    int channels[LEVELS];

    weft_original_read_rules(s->st, o, WEFT_PIPELINE_VAE, &rules);
    if (rules.levels < 1 || rules.levels > LEVELS || layers < 1)
        return refuse(s, "the autoencoder's levels are not what weft knows");
    for (int i = 0; i < rules.levels; i++)
        channels[i] =
            size_of(weft_original_find(s->st, s->prefix,
                                       "decoder.up.%d.block.0.conv1.weight", i),
                    0);
    add(t, "{\"_class_name\": \"AutoencoderKL\", \"in_channels\": %d",
        encoder ? size_of(encoder, 1) : 3);
    add(t, ", \"out_channels\": %d, \"latent_channels\": %d",
        size_of(find(s, "decoder.conv_out.weight"), 0),
        size_of(find(s, "decoder.conv_in.weight"), 1));
    add_numbers(t, "block_out_channels", channels, rules.levels);
    add_blocks(t, "down_block_types", "DownEncoderBlock2D", NULL, rules.levels,
               false);
    add_blocks(t, "up_block_types", "UpDecoderBlock2D", NULL, rules.levels,
               true);
    add(t, ", \"layers_per_block\": %d, \"scaling_factor\": %.17g", layers,
        scaling);
    add(t, ", \"use_quant_conv\": %s, \"use_post_quant_conv\": %s}",
        find(s, "quant_conv.weight") ? "true" : "false",
        find(s, "post_quant_conv.weight") ? "true" : "false");
    return WEFT_OK;
}

/* The factor is in no file. */
static weft_status choose_scaling(const source *s, weft_original_family family,
                                  double *scaling)
{
    if (*scaling > 0) return WEFT_OK;
    if (family == WEFT_ORIGINAL_NONE)
        return refuse(s,
                      "an autoencoder alone does not say what its latents "
                      "are scaled by: name it FILE:vae-sd (0.18215, of "
                      "Stable Diffusion 1 and 2) or FILE:vae-sdxl (0.13025)");
    *scaling = is_xl(family) ? 0.13025 : 0.18215;
    return WEFT_OK;
}

/* ---- text encoders ------------------------------------------------------- */

typedef struct encoder {
    int vocab, tokens, channels, inner, layers;
    bool open_clip;
} encoder;

static int text_layers(const source *s, const weft_original_rules *rules)
{
    int n = 0;

    while (n < LAYERS && n < rules->layers &&
           weft_original_find(s->st, s->prefix,
                              rules->open_clip
                                  ? "transformer.resblocks.%d.ln_1.weight"
                                  : "encoder.layers.%d.layer_norm1.weight",
                              n))
        n++;
    return n;
}

static weft_status read_encoder(const source *s, const weft_original *o,
                                weft_pipeline_role role, encoder *e)
{
    weft_original_rules rules;
    const weft_st_tensor *tokens, *positions, *inner;

    weft_original_read_rules(s->st, o, role, &rules);
    e->open_clip = rules.open_clip;
    tokens = find(s, e->open_clip ? "token_embedding.weight"
                                  : "embeddings.token_embedding.weight");
    positions = find(s, e->open_clip ? "positional_embedding"
                                     : "embeddings.position_embedding.weight");
    inner = find(s, e->open_clip ? "transformer.resblocks.0.mlp.c_fc.weight"
                                 : "encoder.layers.0.mlp.fc1.weight");
    e->vocab = size_of(tokens, 0);
    e->channels = size_of(tokens, 1);
    e->tokens = size_of(positions, 0);
    e->inner = size_of(inner, 0);
    e->layers = text_layers(s, &rules);
    if (e->vocab && e->tokens && e->inner && e->layers && e->channels >= HEAD &&
        e->channels % HEAD == 0)
        return WEFT_OK;
    return refuse(s, "the text encoder's shapes are not what weft knows");
}

/* As the configs of all these families have it, eos_token_id 2 means the
 * largest id. */
static weft_status text_config(const source *s, const weft_original *o,
                               weft_pipeline_role role, text *t)
{
    const bool projected = role == WEFT_PIPELINE_TEXT_2;
    encoder e;
    int projection;

    WEFT_TRY(read_encoder(s, o, role, &e));
    projection = projected ? size_of(find(s, "text_projection"), 1) : 0;
    if (projected && !projection)
        return refuse(s, "the text encoder has no text_projection");
    add(t, "{\"architectures\": [\"CLIPTextModel%s\"]",
        projected ? "WithProjection" : "");
    add(t, ", \"model_type\": \"clip_text_model\", \"hidden_act\": \"%s\"",
        e.open_clip ? "gelu" : "quick_gelu");
    add(t, ", \"vocab_size\": %d, \"max_position_embeddings\": %d", e.vocab,
        e.tokens);
    add(t, ", \"hidden_size\": %d, \"intermediate_size\": %d", e.channels,
        e.inner);
    add(t, ", \"num_hidden_layers\": %d, \"num_attention_heads\": %d", e.layers,
        e.channels / HEAD);
    if (projected) add(t, ", \"projection_dim\": %d", projection);
    add(t, ", \"layer_norm_eps\": 1e-05, \"eos_token_id\": 2}");
    return WEFT_OK;
}

/* ---- scheduler ----------------------------------------------------------- */

/* What the families' own folders have. */
static weft_status scheduler_config(const source *s, const weft_original *o,
                                    text *t)
{
    static const char *const names[] = {
        [WEFT_ORIGINAL_SD1] = "PNDMScheduler",
        [WEFT_ORIGINAL_SD2] = "DDIMScheduler",
        [WEFT_ORIGINAL_XL] = "EulerDiscreteScheduler",
        [WEFT_ORIGINAL_REFINER] = "EulerDiscreteScheduler"};

    if (o->family == WEFT_ORIGINAL_NONE)
        return refuse(s, "which noise schedule belongs to this U-Net is not "
                         "known");
    add(t, "{\"_class_name\": \"%s\"", names[o->family]);
    add(t, ", \"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085, "
           "\"beta_end\": 0.012, \"num_train_timesteps\": 1000");
    add(t, ", \"prediction_type\": \"%s\"",
        o->predicts_v ? "v_prediction" : "epsilon");
    add(t, ", \"clip_sample\": false, \"set_alpha_to_one\": false, "
           "\"skip_prk_steps\": true, \"steps_offset\": 1");
    if (is_xl(o->family)) add(t, ", \"timestep_spacing\": \"leading\"");
    if (o->zero_snr) add(t, ", \"rescale_betas_zero_snr\": true");
    add(t, "}");
    return WEFT_OK;
}

/* ---- all ----------------------------------------------------------------- */

static weft_status write_config(const source *s, const weft_original *o,
                                weft_pipeline_role role, double scaling,
                                text *t)
{
    unet u;

    switch (role) {
    case WEFT_PIPELINE_UNET:
        WEFT_TRY(read_unet(s, o, &u));
        write_unet(&u, o->family, t);
        return WEFT_OK;
    case WEFT_PIPELINE_CONTROL:
        WEFT_TRY(read_control(s, o, &u));
        write_control(s, &u, t);
        return WEFT_OK;
    case WEFT_PIPELINE_VAE:
        WEFT_TRY(choose_scaling(s, o->family, &scaling));
        return vae_config(s, o, scaling, t);
    case WEFT_PIPELINE_SCHEDULER:
        return scheduler_config(s, o, t);
    default:
        return text_config(s, o, role, t);
    }
}

weft_status weft_original_config(const weft_st *st, const weft_original *o,
                                 weft_pipeline_role role, const char *name,
                                 double scaling, weft_json **config)
{
    const source s = {st, o->prefix[role], name};
    text t = {.n = 0};

    WEFT_TRY(write_config(&s, o, role, scaling, &t));
    return weft_json_parse(name, t.s, t.n, config);
}
