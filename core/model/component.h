/*
 * component.h - one model of a pipeline: where its config and weights are.
 *
 * Whatever opens a U-Net, an autoencoder or a text encoder takes one path:
 *
 *     sdxl/unet                  a folder with config.json and weights
 *     sdxl/unet:fp16             ... and this variant of the weights
 *     sdxl.safetensors:unet      a checkpoint in one file (original.h), and
 *                                what of it: unet, vae, text_encoder,
 *                                text_encoder_2, scheduler; vae-sd, vae-sdxl:
 *                                an autoencoder of that family
 *
 * What stands behind the last colon counts only where nothing has the whole
 * path for its name. Of a folder, weights are STEM.safetensors, or an index of
 * shards, STEM.safetensors.index.json; STEM is diffusion_pytorch_model or, as
 * transformers writes it, model. Where no variant is asked for, the
 * weights without one are meant, or else those of the only variant there is.
 *
 * Pickles (.bin, .ckpt, .pt) are refused: to read one is to run it.
 */
#ifndef WEFT_CORE_MODEL_COMPONENT_H
#define WEFT_CORE_MODEL_COMPONENT_H

#include "core/model/json.h"
#include "core/model/safetensors.h"

/* Both are the caller's; tensors have diffusers' names. WEFT_EINPUT names what
 * is missing. */
weft_status weft_component_open(const char *path, weft_json **config,
                                weft_st **st);
/* A scheduler's: FOLDER/scheduler_config.json, or what FILE:scheduler stands
 * for. */
weft_status weft_component_scheduler(const char *path, weft_json **config);

/* Refuse, by its first bytes, a file of weights that weft does not read: a
 * pickle, a GGUF. Others pass, whatever they are. */
weft_status weft_component_check_file(const char *path);

/* Of a folder: `config` is the path of config.json, `weights` of the file that
 * exists; at most `room` bytes each. Missing files are named. */
weft_status weft_component_paths(const char *path, char *config, char *weights,
                                 size_t room);

/* `path` without what stands behind its colon, into `file` of `room` bytes; the
 * rest of it, or NULL where it is all one name. */
weft_status weft_component_split(const char *path, char *file, size_t room,
                                 const char **rest);

#endif
