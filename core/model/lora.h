/*
 * lora.h - LoRA files: low-rank changes of the weights of a net.
 *
 * A file has, for some of a net's linear layers and convolutions, two thin
 * matrices whose product is added to the layer's own,
 *
 *     W + scale * alpha / rank * up * down
 *
 * (Hu et al. 2021, 4.1). Nothing of the net is loaded for it: the matrices are
 * noted in the graph, and each tensor is merged when it is packed (load.h), so
 * several files at any scales, negative ones too, cost no second copy of the
 * net. A weight that is changed is packed as float.
 *
 *     WEFT_TRY(weft_lora_open("style.safetensors", &lora));
 *     WEFT_TRY(weft_lora_apply(lora, WEFT_LORA_UNET, 0.8f, st, &graph));
 *     ... weft_load_pack(&graph, ...) ...
 *     weft_lora_close(lora);
 *
 * Names. kohya's (lora_unet_..., lora_te_ or lora_te1_, lora_te2_; modules as
 * diffusers calls them or, as for SDXL, as the original code did), diffusers'
 * of all ages (unet., text_encoder., text_encoder_2., none; ...to_q.lora.down,
 * ...processor.to_q_lora.down, ...lora_linear_layer.up, ...lora_A) and PEFT's
 * (base_model.model....lora_A.weight, with or without an adapter's name).
 *
 * alpha is a tensor of the file, or stands in what diffusers and PEFT write of
 * an adapter (__metadata__, or adapter_config.json beside the file); where
 * nothing says it, it is the rank, as diffusers has it.
 *
 * Refused by name: LoHa, LoKr, DoRA, OFT, GLoRA, (IA)3, convolutions in three
 * factors, embeddings, biases and whole differences. Files are hostile until
 * checked, as with safetensors.h.
 */
#ifndef WEFT_CORE_MODEL_LORA_H
#define WEFT_CORE_MODEL_LORA_H

#include "core/io/path.h"
#include "core/model/safetensors.h"
#include "core/net/graph.h"

/* What of a pipeline a module belongs to. */
typedef enum weft_lora_part {
    WEFT_LORA_UNET,
    WEFT_LORA_TEXT,   /* text_encoder */
    WEFT_LORA_TEXT_2, /* text_encoder_2 */
    WEFT_LORA_PARTS,
} weft_lora_part;

extern const char *const weft_lora_part_name[WEFT_LORA_PARTS]; /* in words */

typedef struct weft_lora weft_lora;

/* Whether a file has a matrix that is named as a LoRA's are; opening it may
 * still fail. */
bool weft_lora_is(const weft_st *st);

/* `path`: a .safetensors file, or a folder with adapter_model.safetensors or
 * pytorch_lora_weights.safetensors. */
weft_status weft_lora_open(const char *path, weft_lora **lora);
void weft_lora_close(weft_lora *lora);
/* Whether PEFT's adapter_config.json lies beside a file, and its path. */
bool weft_lora_beside(const char *path, char config[WEFT_PATH]);

/* Layers of `part` that the file changes. */
int weft_lora_count(const weft_lora *lora, weft_lora_part part);
/* The least and the greatest rank of its matrices. */
void weft_lora_ranks(const weft_lora *lora, int *least, int *most);
/* A number for what its layers' alphas are, wherever they stand. */
uint64_t weft_lora_alphas(const weft_lora *lora);
/* The file itself; borrowed. */
const weft_st *weft_lora_file(const weft_lora *lora);

/* Note in the graph of `part`, which has not been laid out yet, what the file
 * adds to it, times `scale`. The file must stay open until the graph's weights
 * are packed. A layer that neither the graph nor `st`, the file of the net's
 * weights, has is WEFT_EINPUT, as are shapes that do not fit: both are named,
 * with what comes nearest. On failure the graph may only be released. */
weft_status weft_lora_apply(const weft_lora *lora, weft_lora_part part,
                            float scale, const weft_st *st, weft_graph *g);

#endif
