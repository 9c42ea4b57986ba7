/*
 * bpe.h - byte-pair encoding, as CLIP has it.
 *
 * A word is a run of bytes. Each byte begins as a piece of its own, the last
 * one of a word as another piece than elsewhere; then the two neighbours merge
 * that come first in the file of merges, the leftmost of them where there are
 * several, until none is in the file. What remains are tokens.
 *
 * Files spell a byte as one character (GPT-2's table: printable ones stand for
 * themselves, the others follow U+0100), and end a word by "</w>".
 */
#ifndef WEFT_CORE_TEXT_BPE_H
#define WEFT_CORE_TEXT_BPE_H

#include <stddef.h>

#include "core/model/json.h"

enum { WEFT_MOST_TOKENS = 1 << 20 }; /* ids lie below */

/* Ids, one behind the other; zero to begin with, weft_ids_release to end. */
typedef struct weft_ids {
    int *id;
    size_t n, room;
} weft_ids;

weft_status weft_ids_add(weft_ids *ids, int id);
void weft_ids_release(weft_ids *ids);

typedef struct weft_bpe weft_bpe;

/* Pairs of pieces, the first merges first: the text of a file of lines "PIECE
 * PIECE", of which the first may be "#version...", and whose name begins
 * errors; or, as tokenizer.json has it, `json` with an array "merges", each of
 * them such a line or two pieces. */
typedef struct weft_merges {
    const char *name, *text;
    size_t bytes;
    const weft_json *json; /* NULL: the text */
} weft_merges;

/* `vocab`: piece to id. WEFT_EINPUT: a merge that is not two pieces, or whose
 * pieces or their sum are not in the vocabulary; or, where that is numbered as
 * CLIP's (512 of bytes, what merges make, "<|startoftext|>"), a token that none
 * of them makes. */
weft_status weft_bpe_create(const weft_json *vocab, const weft_merges *merges,
                            weft_bpe **bpe);
void weft_bpe_free(weft_bpe *bpe);

/* The tokens of a word join `ids`; a byte without a piece is `unknown`. */
weft_status weft_bpe_word(const weft_bpe *bpe, const char *word, size_t bytes,
                          int unknown, weft_ids *ids);

#endif
