/*
 * spiece.h - SentencePiece's unigram models, as T5 has them.
 *
 * A text is normalised: at each place the longest rule of the model
 * (charsmap.h) is applied, runs of spaces become one, none is left at the ends,
 * one is put in front, and all are written U+2581. Of all ways to cut it into
 * pieces the one of the highest sum of scores is taken (T. Kudo, Subword
 * Regularization, 2018, section 3.2; Viterbi). A character that no piece
 * begins with counts 10 less than the lowest score and is unknown; unknown ones
 * in a row are one token, or each is the tokens of its bytes, where the model
 * has those ("byte fallback").
 *
 * Ids are those of SentencePiece's own encoder (0.2.3), which adds up scores in
 * float32, and in which of two equal ways the first wins. Some earlier versions
 * round near ties otherwise.
 */
#ifndef WEFT_CORE_TEXT_SPIECE_H
#define WEFT_CORE_TEXT_SPIECE_H

#include "core/text/bpe.h"

typedef struct weft_spiece weft_spiece;

/* `file`: a spiece.model of `bytes` bytes, copied; `name` begins errors.
 * WEFT_EINPUT: it is damaged, or of another kind than unigram. */
weft_status weft_spiece_create(const char *name, const void *file, size_t bytes,
                               weft_spiece **m);
void weft_spiece_free(weft_spiece *m);

int weft_spiece_pieces(const weft_spiece *m); /* ids lie below */
const char *weft_spiece_piece(const weft_spiece *m, int id, size_t *bytes);
/* The id of a piece of any kind; -1: there is none. */
int weft_spiece_find(const weft_spiece *m, const char *piece);

/* The ids of a text join `ids`. `text` is valid UTF-8, zero bytes included.
 * WEFT_EINPUT: its normal form is longer than 16 MiB. */
weft_status weft_spiece_encode(const weft_spiece *m, const char *text,
                               size_t bytes, weft_ids *ids);

#endif
