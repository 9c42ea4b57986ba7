#include "core/model/lora_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

const char *const weft_lora_part_name[WEFT_LORA_PARTS] = {
    "U-Net", "text encoder", "second text encoder"};

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, size_t n, const char *with)
{
    const size_t m = strlen(with);

    return n >= m && strncmp(text + n - m, with, m) == 0;
}

/* Take `with` off the end of a text of *n bytes. */
static bool drop_end(const char *text, size_t *n, const char *with)
{
    if (!ends(text, *n, with)) return false;
    *n -= strlen(with);
    return true;
}

void weft_lora_key(const char *module, size_t bytes, char key[WEFT_LORA_NAME])
{
    snprintf(key, WEFT_LORA_NAME, "%.*s", (int)bytes, module);
    for (char *c = key; *c; c++)
        if (*c == '.') *c = '_';
    if (starts(key, "text_model_"))
        memmove(key, key + strlen("text_model_"),
                strlen(key) - strlen("text_model_") + 1);
}

/* ---- names in files ------------------------------------------------------ */

static weft_status refuse(const char *file, const char *name)
{
    static const char *const kinds[][2] = {
        {".hada_", "LoHa"},
        {".lokr_", "LoKr"},
        {".dora_scale", "DoRA"},
        {".lora_magnitude_vector", "DoRA"},
        {".oft_", "OFT"},
        {".lora_mid.", "a convolution in three factors"},
        {".lora_embedding_", "a LoRA of an embedding"},
        {".ia3_", "(IA)3"},
        {".on_input", "(IA)3"},
        {".a1.", "GLoRA"},
        {".diff", "a whole difference"},
        {".bias", "a LoRA of biases"},
    };

    for (int i = 0; i < COUNT(kinds); i++)
        if (strstr(name, kinds[i][0]))
            return weft_fail(WEFT_EINPUT,
                             "%s: %.200s: %s is not supported, only LoRA of "
                             "linear layers and convolutions",
                             file, name, kinds[i][1]);
    return weft_fail(WEFT_EINPUT, "%s: %.200s is no part of a LoRA", file,
                     name);
}

/* ".lora_A.ADAPTER.weight" and its like are ".lora_A.weight". */
static bool drop_adapter(const char *name, size_t *n, const char *matrix)
{
    const char *at = NULL, *dot;

    if (!ends(name, *n, ".weight")) return false;
    for (const char *next = name; (next = strstr(next, matrix)); next++)
        at = next;
    if (!at) return false;
    dot = strchr(at + strlen(matrix), '.');
    if (!dot || dot + strlen(".weight") != name + *n) return false;
    *n = (size_t)(at - name);
    return true;
}

/* Take off what says which of a module's tensors it is. */
static bool find_role(const char *name, size_t *n, weft_lora_role *role)
{
    static const struct {
        const char *end;
        weft_lora_role role;
    } known[] = {
        {".lora_down.weight", WEFT_LORA_DOWN},
        {".lora_up.weight", WEFT_LORA_UP},
        {".lora.down.weight", WEFT_LORA_DOWN},
        {".lora.up.weight", WEFT_LORA_UP},
        {"_lora.down.weight", WEFT_LORA_DOWN},
        {"_lora.up.weight", WEFT_LORA_UP},
        {".lora_linear_layer.down.weight", WEFT_LORA_DOWN},
        {".lora_linear_layer.up.weight", WEFT_LORA_UP},
        {".lora_A.weight", WEFT_LORA_DOWN},
        {".lora_B.weight", WEFT_LORA_UP},
        {"_lora.alpha", WEFT_LORA_ALPHA},
        {".lora.alpha", WEFT_LORA_ALPHA},
        {".alpha", WEFT_LORA_ALPHA},
    };

    for (int i = 0; i < COUNT(known); i++)
        if (drop_end(name, n, known[i].end)) {
            *role = known[i].role;
            return true;
        }
    *role = WEFT_LORA_DOWN;
    if (drop_adapter(name, n, ".lora_A.")) return true;
    *role = WEFT_LORA_UP;
    return drop_adapter(name, n, ".lora_B.");
}

/* Step over what says which part of a pipeline it is; false: nothing does. */
static bool find_part(const char **name, weft_lora_part *part)
{
    static const struct {
        const char *start;
        weft_lora_part part;
    } known[] = {
        {"lora_unet_", WEFT_LORA_UNET},
        {"lora_te_", WEFT_LORA_TEXT},
        {"lora_te1_", WEFT_LORA_TEXT},
        {"lora_te2_", WEFT_LORA_TEXT_2},
        {"unet.", WEFT_LORA_UNET},
        {"text_encoder.", WEFT_LORA_TEXT},
        {"text_encoder_2.", WEFT_LORA_TEXT_2},
    };

    for (int i = 0; i < COUNT(known); i++)
        if (starts(*name, known[i].start)) {
            *name += strlen(known[i].start);
            *part = known[i].part;
            return true;
        }
    return false;
}

static weft_lora_part guess_part(const char *key)
{
    return starts(key, "encoder_layers_") || starts(key, "text_projection")
               ? WEFT_LORA_TEXT
               : WEFT_LORA_UNET;
}

static void replace_end(char key[WEFT_LORA_NAME], const char *was,
                        const char *now)
{
    const size_t n = strlen(key), m = strlen(was);

    if (ends(key, n, was))
        snprintf(key + n - m, WEFT_LORA_NAME - (n - m), "%s", now);
}

/* What diffusers called modules while LoRAs were kept beside them. */
static void rename_old(char key[WEFT_LORA_NAME])
{
    static const char *const text[][2] = {
        {"_self_attn_to_q", "_self_attn_q_proj"},
        {"_self_attn_to_k", "_self_attn_k_proj"},
        {"_self_attn_to_v", "_self_attn_v_proj"},
        {"_self_attn_to_out", "_self_attn_out_proj"},
    };
    char *processor = strstr(key, "_processor_to_");

    if (processor)
        memmove(processor, processor + strlen("_processor"),
                strlen(processor + strlen("_processor")) + 1);
    for (int i = 0; i < COUNT(text); i++)
        replace_end(key, text[i][0], text[i][1]);
    replace_end(key, "_to_out", "_to_out_0");
}

weft_status weft_lora_read_name(const char *file, const char *name,
                                weft_lora_name *n)
{
    const char *const peft = "base_model.model.", *rest = name;
    size_t bytes = strlen(name);
    bool told;

    if (bytes >= WEFT_LORA_NAME - 8 || !find_role(name, &bytes, &n->role))
        return refuse(file, name);
    snprintf(n->module, sizeof n->module, "%.*s", (int)bytes, name);
    n->peft = starts(name, peft);
    if (n->peft) rest += strlen(peft);
    told = find_part(&rest, &n->part);
    if (rest >= name + bytes) return refuse(file, name);
    weft_lora_key(rest, bytes - (size_t)(rest - name), n->key);
    rename_old(n->key);
    if (!told) n->part = guess_part(n->key);
    return WEFT_OK;
}

/* ---- the original layout ------------------------------------------------- */

/* "BEFORE.a.MIDDLE.b.": the two numbers. */
static bool two_numbers(const char *name, const char *before,
                        const char *middle, int *a, int *b)
{
    const char *at = name;
    char *end;

    if (!starts(at, before)) return false;
    *a = (int)strtol(at + strlen(before), &end, 10);
    if (!starts(end, middle)) return false;
    *b = (int)strtol(end + strlen(middle), &end, 10);
    return *end == '.' && *a >= 0 && *a < WEFT_LORA_LEVELS && *b >= 0;
}

void weft_lora_learn(const weft_graph *g, weft_lora_original *o)
{
    memset(o, 0, sizeof *o);
    for (int i = 0; i < g->nweights; i++) {
        const char *name = g->weight[i].nsrc ? g->weight[i].name[0] : "";
        int level, layer;

        if (two_numbers(name, "down_blocks.", ".resnets.", &level, &layer)) {
            if (level >= o->levels) o->levels = level + 1;
            if (layer >= o->layers[level]) o->layers[level] = layer + 1;
        }
        if (two_numbers(name, "up_blocks.", ".attentions.", &level, &layer))
            o->sees[level] = true;
    }
}

/* Blocks of the way down, and up, before those of level i of it. */
static int blocks_before(const weft_lora_original *o, int i, bool up)
{
    int n = up ? 0 : 1;

    for (int k = 0; k < i && k < o->levels; k++)
        n += 1 + o->layers[up ? o->levels - 1 - k : k];
    return n;
}

/* Layers that have one name. */
static const char *rename_single(const char *name, size_t n)
{
    static const char *const names[][2] = {
        {"conv_in", "input_blocks_0_0"},
        {"time_embedding.linear_1", "time_embed_0"},
        {"time_embedding.linear_2", "time_embed_2"},
        {"add_embedding.linear_1", "label_emb_0_0"},
        {"add_embedding.linear_2", "label_emb_0_2"},
        {"conv_out", "out_2"},
    };

    for (int i = 0; i < COUNT(names); i++)
        if (strlen(names[i][0]) == n && !memcmp(names[i][0], name, n))
            return names[i][1];
    return NULL;
}

static const char *rename_inner(const char *part)
{
    static const char *const names[][2] = {
        {"conv1", "in_layers_2"},
        {"conv2", "out_layers_3"},
        {"time_emb_proj", "emb_layers_1"},
        {"conv_shortcut", "skip_connection"},
    };

    for (int i = 0; i < COUNT(names); i++)
        if (!strcmp(names[i][0], part)) return names[i][1];
    return part;
}

/* "BLOCK.number" with what follows it; false where it is another block. */
static bool find_block(const weft_lora_original *o, const char *name,
                       char block[64])
{
    int a, b;

    if (two_numbers(name, "down_blocks.", ".resnets.", &a, &b))
        snprintf(block, 64, "input_blocks_%d_0",
                 blocks_before(o, a, false) + b);
    else if (two_numbers(name, "down_blocks.", ".attentions.", &a, &b))
        snprintf(block, 64, "input_blocks_%d_1",
                 blocks_before(o, a, false) + b);
    else if (two_numbers(name, "down_blocks.", ".downsamplers.", &a, &b))
        snprintf(block, 64, "input_blocks_%d_0_op",
                 blocks_before(o, a + 1, false) - 1);
    else if (two_numbers(name, "up_blocks.", ".resnets.", &a, &b))
        snprintf(block, 64, "output_blocks_%d_0",
                 blocks_before(o, a, true) + b);
    else if (two_numbers(name, "up_blocks.", ".attentions.", &a, &b))
        snprintf(block, 64, "output_blocks_%d_1",
                 blocks_before(o, a, true) + b);
    else if (two_numbers(name, "up_blocks.", ".upsamplers.", &a, &b))
        snprintf(block, 64, "output_blocks_%d_%d_conv",
                 blocks_before(o, a + 1, true) - 1, o->sees[a] ? 2 : 1);
    else if (starts(name, "mid_block.attentions.0."))
        snprintf(block, 64, "middle_block_1");
    else if (starts(name, "mid_block.resnets."))
        snprintf(block, 64, "middle_block_%d",
                 name[strlen("mid_block.resnets.")] == '0' ? 0 : 2);
    else
        return false;
    return true;
}

/* Behind the second number of a block's name. */
static const char *behind_number(const char *name)
{
    for (int dots = starts(name, "mid_block.") ? 3 : 4; dots && name; dots--) {
        name = strchr(name, '.');
        if (name) name++;
    }
    return name;
}

bool weft_lora_original_key(const weft_lora_original *o, const char *module,
                            size_t bytes, char key[WEFT_LORA_NAME])
{
    const char *single = rename_single(module, bytes), *rest;
    char name[WEFT_LORA_NAME], block[64];

    if (single) {
        snprintf(key, WEFT_LORA_NAME, "%s", single);
        return true;
    }
    if (bytes >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", (int)bytes, module);
    if (!find_block(o, name, block)) return false;
    rest = behind_number(name);
    if (!rest || strstr(name, "samplers."))
        snprintf(key, WEFT_LORA_NAME, "%s", block);
    else
        snprintf(key, WEFT_LORA_NAME, "%s_%.400s", block, rename_inner(rest));
    for (char *c = key; *c; c++)
        if (*c == '.') *c = '_';
    return true;
}
