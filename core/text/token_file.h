/*
 * token_file.h - tokenizer.json, the one file that transformers 5 writes for a
 * tokenizer.
 *
 * It describes a tokenizer of any kind; CLIP's is taken, and all others are
 * refused by what is not CLIP's of them: how text is cleaned (NFC, white space
 * as one space, lower case), cut into words, and what the model does with them.
 * How words are cut comes in two spellings, with the special tokens and
 * without; transformers 5 goes by neither but by its own, and so does weft
 * (words.h). That holds for the unknown token, too, and for what follows the
 * model (post_processor, decoder) and says how long texts may be (truncation,
 * padding): the class and tokenizer_config.json decide.
 */
#ifndef WEFT_CORE_TEXT_TOKEN_FILE_H
#define WEFT_CORE_TEXT_TOKEN_FILE_H

#include "core/text/bpe.h"

/* Zero to begin with; weft_token_file_release to end, after a failure too. */
typedef struct weft_token_file {
    weft_json *model, *vocab;
    weft_merges merges; /* of the model; its name is owned */
} weft_token_file;

/* WEFT_EINPUT: not a tokenizer of CLIP's kind. */
weft_status weft_token_file_read(const weft_json *whole, weft_token_file *f);
void weft_token_file_release(weft_token_file *f);

#endif
