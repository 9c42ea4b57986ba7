/*
 * spiece_model.h - what a spiece.model says. For core/text/ only.
 */
#ifndef WEFT_CORE_TEXT_SPIECE_MODEL_H
#define WEFT_CORE_TEXT_SPIECE_MODEL_H

#include <stdbool.h>

#include "core/text/charsmap.h"
#include "core/text/spiece.h"

typedef enum weft_piece_kind {
    WEFT_PIECE_NORMAL = 1,
    WEFT_PIECE_UNKNOWN,
    WEFT_PIECE_CONTROL, /* never in a text */
    WEFT_PIECE_USER,    /* taken wherever it stands, as it stands */
    WEFT_PIECE_UNUSED,  /* in the table, but not taken */
    WEFT_PIECE_BYTE,
} weft_piece_kind;

enum { WEFT_MOST_PIECE = 256 }; /* bytes */

typedef struct weft_piece {
    const char *text; /* in model->file; no zero byte behind it */
    size_t bytes;
    float score;
    weft_piece_kind kind;
} weft_piece;

struct weft_spiece {
    char *file; /* owned */
    weft_piece *piece;
    int pieces, room;
    int unknown;                     /* id; -1 while none is known */
    int kind;                        /* of model: 1 is unigram */
    bool byte_fallback, spaces_last; /* a space belongs to the word before it */
    bool put_space, squeeze_spaces, mark_spaces;
    weft_charsmap map;
    /* Made of the pieces (spiece.c): */
    int *order; /* ids that a text may have, in the order of their bytes */
    int ordered;
    int first[257]; /* order[first[b]]: the first that begins with byte b */
    int byte[256];  /* byte_fallback: their ids */
    float low;      /* score of a normal piece */
    bool has_user;
};

/* Fills all but the last part of *m; `file` is m->file. */
weft_status weft_spiece_read(const char *name, size_t bytes, weft_spiece *m);

#endif
