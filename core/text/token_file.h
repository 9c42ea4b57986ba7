/*
 * token_file.h - tokenizer.json, the one file that transformers 5 writes for a
 * tokenizer.
 *
 * It describes a tokenizer of any kind; CLIP's is taken, and all others are
 * refused by what is not CLIP's of them: how text is cleaned (NFC, white space
 * as one space, lower case), cut into words, and what the model does with them.
 * How words are cut comes in two spellings, with the special tokens and
 * without; transformers 5 goes by neither but by its own, and so does weft
 * (words.h). That holds for the unknown token and the decoder, too. What stands
 * around a text (post_processor) is CLIP's or refused: transformers 5 adds the
 * tokens of its class all the same, 4 added those of the file. Texts end where
 * the class and tokenizer_config.json say, whatever length truncation and
 * padding have; a file that would cut or pad them on the left is refused.
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

/* What weft puts around a text. */
typedef struct weft_token_frame {
    const char *begin, *end;
    int begin_id, end_id;
    const char *pad; /* NULL: tokenizer_config.json says it, whatever is here */
} weft_token_frame;

/* WEFT_EINPUT: the file would put something else there. */
weft_status weft_token_file_frame(const weft_json *whole,
                                  const weft_token_frame *frame);
void weft_token_file_release(weft_token_file *f);

#endif
