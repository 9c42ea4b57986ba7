#include "core/model/lora_names.h"

#include <stdio.h>
#include <string.h>

#include "core/model/original.h"

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

static const char peft[] = "base_model.model.";

bool weft_lora_is_peft(const char *name) { return starts(name, peft); }

weft_status weft_lora_read_name(const char *file, const char *name,
                                weft_lora_name *n)
{
    const char *rest = name;
    size_t bytes = strlen(name);
    bool told;

    if (bytes >= WEFT_LORA_NAME - 8 || !find_role(name, &bytes, &n->role))
        return refuse(file, name);
    snprintf(n->module, sizeof n->module, "%.*s", (int)bytes, name);
    if (weft_lora_is_peft(name)) rest += strlen(peft);
    told = find_part(&rest, &n->part);
    if (rest >= name + bytes) return refuse(file, name);
    weft_lora_key(rest, bytes - (size_t)(rest - name), n->key);
    rename_old(n->key);
    if (!told) n->part = guess_part(n->key);
    return WEFT_OK;
}

/* ---- the original layout ------------------------------------------------- */

int weft_lora_blocks(const weft_graph *g)
{
    int most = -1, layer;

    for (int i = 0; i < g->nweights; i++)
        if (g->weight[i].nsrc &&
            sscanf(g->weight[i].name[0], "down_blocks.0.resnets.%d.", &layer) ==
                1 &&
            layer > most)
            most = layer;
    return most + 2;
}

bool weft_lora_from_original(int blocks, char key[WEFT_LORA_NAME])
{
    const weft_original_rules rules = {.role = WEFT_PIPELINE_UNET,
                                       .blocks = blocks};
    char tensor[WEFT_LORA_NAME + 8], name[WEFT_ORIGINAL_NAME];

    snprintf(tensor, sizeof tensor, "%s.weight", key);
    if (weft_original_rename(&rules, tensor, name) == WEFT_AS_NOTHING)
        return false;
    weft_lora_key(name, strlen(name) - strlen(".weight"), key);
    return true;
}
