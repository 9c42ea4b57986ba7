/*
 * vocab.h - the vocabulary of CLIP's tokenizers: an object of tokens and their
 * ids.
 */
#ifndef WEFT_CORE_TEXT_VOCAB_H
#define WEFT_CORE_TEXT_VOCAB_H

#include "core/model/json.h"

/* The token with the largest id, borrowed from the vocabulary; id -1: none. */
typedef struct weft_vocab_last {
    const char *token;
    int id;
} weft_vocab_last;

/* WEFT_EINPUT: an id that is no whole number of 0 to WEFT_MOST_TOKENS - 1, or
 * two tokens that have one. */
weft_status weft_vocab_check(const weft_json *vocab, weft_vocab_last *last);

#endif
