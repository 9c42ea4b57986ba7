/*
 * tokenizer.h - from text to token ids, as transformers' CLIPTokenizer and
 * T5Tokenizer.
 *
 * A folder as pipelines have it: vocab.json and merges.txt or tokenizer.json
 * (CLIP), or spiece.model (T5), with tokenizer_config.json and
 * special_tokens_map.json where they are. Special tokens (begin, end, unknown,
 * padding; T5's
 * "<extra_id_7>") that stand in a text are themselves. What lies between them
 * is, for CLIP, cleaned and cut into words (words.h), and words into tokens
 * (bpe.h); for T5 it is SentencePiece's (spiece.h), each stretch by itself.
 */
#ifndef WEFT_CORE_TEXT_TOKENIZER_H
#define WEFT_CORE_TEXT_TOKENIZER_H

#include "core/text/bpe.h"

typedef struct weft_tokenizer weft_tokenizer;

typedef struct weft_tokenizer_info {
    int begin, end, unknown, pad; /* ids; begin -1: none (T5) */
    int comma;                    /* of a comma by itself; -1: none */
    int most;                     /* tokens of a text, begin and end included */
    int last;                     /* the largest id */
    char last_token[64];          /* its token, or how that begins */
} weft_tokenizer_info;

/* Plan time. WEFT_EINPUT names the file and what is wrong with it; tokens that
 * were added to a vocabulary, and other classes, are refused. */
weft_status weft_tokenizer_open(const char *folder, weft_tokenizer **t);

/* The files' texts: vocab and merges, `whole` (tokenizer.json), or spiece. The
 * other JSON may be NULL (`added`: added_tokens.json). Names begin errors. */
typedef struct weft_tokenizer_files {
    const weft_json *vocab, *whole, *config, *map;
    const char *merges_name, *merges;
    size_t merges_bytes;
    const char *spiece_name, *spiece;
    size_t spiece_bytes;
    const weft_json *added;
} weft_tokenizer_files;
weft_status weft_tokenizer_create(const weft_tokenizer_files *f,
                                  weft_tokenizer **t);
void weft_tokenizer_free(weft_tokenizer *t);

const weft_tokenizer_info *weft_tokenizer_tell(const weft_tokenizer *t);

/* Longer texts are refused. */
enum { WEFT_MOST_TEXT = 1 << 20 };

/* The ids of a text join `ids`: all of them, without begin and end.
 * WEFT_EINPUT: no valid UTF-8, or too long. */
weft_status weft_tokenize(const weft_tokenizer *t, const char *text,
                          size_t bytes, weft_ids *ids);

#endif
