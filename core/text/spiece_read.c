/*
 * A spiece.model is a protocol buffer, "ModelProto" of sentencepiece: fields of
 * a number and a type, of which those are read here that encoding a text needs.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/spiece_model.h"

/* ---- protocol buffers ---------------------------------------------------- */

typedef enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 } wire;

typedef struct field {
    uint64_t number;
    wire type;
    uint64_t value; /* of VARINT, FIXED32 */
    const uint8_t *data;
    size_t bytes; /* of BYTES */
} field;

/* A message, or what is left of it. */
typedef struct message {
    const char *name;
    const uint8_t *file; /* for places in errors */
    const uint8_t *at, *end;
} message;

static weft_status fail_at(const message *m, const char *what)
{
    return weft_fail(WEFT_EINPUT, "%s: byte %zu: %s", m->name,
                     (size_t)(m->at - m->file), what);
}

/* Seven bits in each byte, the lowest first; the top bit says that there are
 * more. */
static weft_status read_varint(message *m, uint64_t *value)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        uint64_t part;

        if (m->at == m->end) return fail_at(m, "the file ends in a number");
        part = *m->at & 0x7f;
        if (shift == 63 && part > 1) break;
        v |= part << shift;
        if (!(*m->at++ & 0x80)) {
            *value = v;
            return WEFT_OK;
        }
    }
    return fail_at(m, "a number is longer than 64 bits");
}

static weft_status take(message *m, uint64_t bytes, field *f)
{
    if (bytes > (uint64_t)(m->end - m->at))
        return fail_at(m, "a field is longer than what is left");
    f->data = m->at;
    f->bytes = (size_t)bytes;
    m->at += bytes;
    return WEFT_OK;
}

static weft_status read_fixed32(message *m, field *f)
{
    WEFT_TRY(take(m, 4, f));
    f->value = 0;
    for (int i = 0; i < 4; i++) f->value |= (uint64_t)f->data[i] << 8 * i;
    return WEFT_OK;
}

static weft_status read_field(message *m, field *f)
{
    uint64_t tag, bytes;

    WEFT_TRY(read_varint(m, &tag));
    *f = (field){.number = tag >> 3, .type = (wire)(tag & 7)};
    if (f->number == 0) return fail_at(m, "a field has number 0");
    switch (f->type) {
    case VARINT:
        return read_varint(m, &f->value);
    case FIXED64:
        return take(m, 8, f);
    case BYTES:
        WEFT_TRY(read_varint(m, &bytes));
        return take(m, bytes, f);
    case FIXED32:
        return read_fixed32(m, f);
    }
    return fail_at(m, "a field of a type that there is not");
}

/* Fields that are known: their number, type and where they go. */
typedef weft_status take_field(const message *in, const field *f, void *to);

typedef struct known {
    uint64_t number;
    wire type;
    take_field *take; /* NULL: it is the bool of *to at `flag` */
    size_t flag;
} known;

static weft_status take_known(const known *k, const message *in, const field *f,
                              void *to)
{
    if (k->take) return k->take(in, f, to);
    *(bool *)((char *)to + k->flag) = f->value != 0;
    return WEFT_OK;
}

static weft_status read_message(message m, const known *fields, int n, void *to)
{
    while (m.at < m.end) {
        field f;

        WEFT_TRY(read_field(&m, &f));
        for (int i = 0; i < n; i++) {
            if (fields[i].number != f.number) continue;
            if (fields[i].type != f.type)
                return fail_at(&m, "a field is of another type than it has");
            WEFT_TRY(take_known(&fields[i], &m, &f, to));
        }
    }
    return WEFT_OK;
}

/* The message in a field of `in`. */
static message within(const message *in, const field *f)
{
    return (message){in->name, in->file, f->data, f->data + f->bytes};
}

#define COUNT(fields) (int)(sizeof(fields) / sizeof *(fields))

/* ---- SentencePiece ------------------------------------------------------- */

static weft_status take_text(const message *in, const field *f, void *to)
{
    weft_piece *p = to;

    (void)in;
    p->text = (const char *)f->data;
    p->bytes = f->bytes;
    return WEFT_OK;
}

static weft_status take_score(const message *in, const field *f, void *to)
{
    const uint32_t bits = (uint32_t)f->value;
    weft_piece *p = to;

    memcpy(&p->score, &bits, sizeof bits);
    /* So large that no sum of them can overflow. */
    if (fabsf(p->score) <= 1e9f) return WEFT_OK;
    return fail_at(in, "a score is no number, or beyond 1e9");
}

static weft_status take_kind(const message *in, const field *f, void *to)
{
    weft_piece *p = to;

    if (f->value < WEFT_PIECE_NORMAL || f->value > WEFT_PIECE_BYTE)
        return fail_at(in, "a piece is of a kind that there is not");
    p->kind = (weft_piece_kind)f->value;
    return WEFT_OK;
}

static weft_status check_piece(const message *in, const weft_piece *p,
                               weft_spiece *m)
{
    if (p->bytes == 0 || p->bytes > WEFT_MOST_PIECE)
        return fail_at(in, "a piece is not 1 to 256 bytes long");
    if (p->kind != WEFT_PIECE_UNKNOWN) return WEFT_OK;
    if (m->unknown >= 0) return fail_at(in, "two pieces are the unknown one");
    m->unknown = m->pieces;
    return WEFT_OK;
}

static weft_status grow(weft_spiece *m)
{
    const int room = m->room ? 2 * m->room : 1024;
    weft_piece *more;

    if (m->pieces < m->room) return WEFT_OK;
    more = realloc(m->piece, (size_t)room * sizeof *more);
    if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for a tokenizer");
    m->piece = more;
    m->room = room;
    return WEFT_OK;
}

static weft_status take_piece(const message *in, const field *f, void *to)
{
    static const known fields[] = {{1, BYTES, take_text, 0},
                                   {2, FIXED32, take_score, 0},
                                   {3, VARINT, take_kind, 0}};
    weft_piece p = {.kind = WEFT_PIECE_NORMAL};
    weft_spiece *m = to;

    WEFT_TRY(read_message(within(in, f), fields, COUNT(fields), &p));
    WEFT_TRY(check_piece(in, &p, m));
    if (m->pieces == WEFT_MOST_TOKENS)
        return fail_at(in, "there are more than 1048576 pieces");
    WEFT_TRY(grow(m));
    m->piece[m->pieces++] = p;
    return WEFT_OK;
}

/* ---- TrainerSpec --------------------------------------------------------- */

static weft_status take_model(const message *in, const field *f, void *to)
{
    enum { KINDS = 5 };

    if (f->value >= KINDS)
        return fail_at(in, "a model of a kind that there is not");
    ((weft_spiece *)to)->kind = (int)f->value;
    return WEFT_OK;
}

static weft_status take_trainer(const message *in, const field *f, void *to)
{
    static const known fields[] = {
        {3, VARINT, take_model, 0},
        {24, VARINT, NULL, offsetof(weft_spiece, spaces_last)},
        {35, VARINT, NULL, offsetof(weft_spiece, byte_fallback)}};

    return read_message(within(in, f), fields, COUNT(fields), to);
}

/* ---- NormalizerSpec ------------------------------------------------------ */

static weft_status take_map(const message *in, const field *f, void *to)
{
    return weft_charsmap_init(in->name, f->data, f->bytes,
                              &((weft_spiece *)to)->map);
}

static weft_status take_normalizer(const message *in, const field *f, void *to)
{
    static const known fields[] = {
        {2, BYTES, take_map, 0},
        {3, VARINT, NULL, offsetof(weft_spiece, put_space)},
        {4, VARINT, NULL, offsetof(weft_spiece, squeeze_spaces)},
        {5, VARINT, NULL, offsetof(weft_spiece, mark_spaces)}};

    return read_message(within(in, f), fields, COUNT(fields), to);
}

/* ---- ModelProto ---------------------------------------------------------- */

static weft_status check_model(const char *name, const weft_spiece *m)
{
    static const char *const kind[] = {
        "of no kind", "unigram", "byte-pair encoding", "words", "characters"};

    if (m->kind != 1)
        return weft_fail(WEFT_EINPUT,
                         "%s: a SentencePiece model of %s; unigram ones are "
                         "supported",
                         name, kind[m->kind]);
    if (m->spaces_last)
        return weft_fail(WEFT_EINPUT,
                         "%s: treat_whitespace_as_suffix is not supported",
                         name);
    if (m->unknown < 0)
        return weft_fail(WEFT_EINPUT, "%s: has no piece for what is unknown",
                         name);
    return WEFT_OK;
}

weft_status weft_spiece_read(const char *name, size_t bytes, weft_spiece *m)
{
    static const known fields[] = {{1, BYTES, take_piece, 0},
                                   {2, BYTES, take_trainer, 0},
                                   {3, BYTES, take_normalizer, 0}};
    const uint8_t *file = (const uint8_t *)m->file;

    m->unknown = -1;
    m->kind = 1;
    m->put_space = m->squeeze_spaces = m->mark_spaces = true;
    WEFT_TRY(read_message((message){name, file, file, file + bytes}, fields,
                          COUNT(fields), m));
    return check_model(name, m);
}
