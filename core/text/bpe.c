#include "core/text/bpe.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END "</w>"

enum { MOST_MERGES = 1 << 20, MOST_PIECE = 512 };

/* Two neighbours' ids, and what becomes of them. */
typedef struct merge {
    int left, right;
    int rank; /* line of the file: the lowest merges first; -1: no merge */
    int id;
} merge;

struct weft_bpe {
    int inner[256], last[256]; /* ids of bytes; -1: none */
    merge *table;              /* by hash, open */
    size_t room;               /* a power of two */
};

/* ---- ids ----------------------------------------------------------------- */

weft_status weft_ids_add(weft_ids *ids, int id)
{
    if (ids->n == ids->room) {
        const size_t room = ids->room ? 2 * ids->room : 64;
        int *more = realloc(ids->id, room * sizeof *more);

        if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for tokens");
        ids->id = more;
        ids->room = room;
    }
    ids->id[ids->n++] = id;
    return WEFT_OK;
}

void weft_ids_release(weft_ids *ids)
{
    free(ids->id);
    *ids = (weft_ids){0};
}

/* ---- merges -------------------------------------------------------------- */

static size_t place_of(const weft_bpe *b, int left, int right)
{
    uint64_t h = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;
    h = (h ^ h >> 27) * 0x94d049bb133111eb;
    return (size_t)(h ^ h >> 31) & (b->room - 1);
}

/* Where the merge of these two is in the table, or would be. */
static merge *find_merge(const weft_bpe *b, int left, int right)
{
    size_t i = place_of(b, left, right);

    while (b->table[i].rank >= 0 &&
           (b->table[i].left != left || b->table[i].right != right))
        i = (i + 1) & (b->room - 1);
    return &b->table[i];
}

static weft_status make_table(weft_bpe *b, size_t lines)
{
    b->room = 64;
    while (b->room < 2 * lines) b->room *= 2;
    b->table = malloc(b->room * sizeof *b->table);
    if (!b->table) return weft_fail(WEFT_ENOMEM, "out of memory for merges");
    for (size_t i = 0; i < b->room; i++) b->table[i].rank = -1;
    return WEFT_OK;
}

/* A line of the file of merges without its end, or the pieces of a pair. */
typedef struct line {
    const char *name;
    int number;
    const char *text;
    size_t bytes;
    const char *right; /* NULL: behind the line's space */
} line;

static weft_status fail_line(const line *l, const char *what)
{
    return weft_fail(WEFT_EINPUT, "%s:%d: %s", l->name, l->number, what);
}

static int find_piece(const weft_json *vocab, const char *piece, size_t bytes)
{
    return weft_json_table(vocab, piece, bytes, 0, WEFT_MOST_TOKENS - 1, -1);
}

/* The pieces as the vocabulary has them, each 1 to MOST_PIECE bytes. */
typedef struct pair {
    const char *left, *right;
    size_t lefts, rights;
} pair;

static bool is_piece(const char *text, size_t bytes)
{
    return bytes && bytes <= MOST_PIECE && !memchr(text, ' ', bytes);
}

static weft_status part_line(const line *l, pair *p)
{
    const char *space = l->right ? NULL : memchr(l->text, ' ', l->bytes);

    if (l->right)
        *p = (pair){l->text, l->right, l->bytes, strlen(l->right)};
    else if (space)
        *p = (pair){l->text, space + 1, (size_t)(space - l->text),
                    (size_t)(l->text + l->bytes - space - 1)};
    else
        *p = (pair){l->text, "", l->bytes, 0};
    if (is_piece(p->left, p->lefts) && is_piece(p->right, p->rights))
        return WEFT_OK;
    return fail_line(l, "expected two pieces and a space between them");
}

static weft_status add_merge(weft_bpe *b, const weft_json *vocab, const line *l,
                             int rank)
{
    char both[2 * MOST_PIECE];
    merge m = {.rank = rank}, *to;
    pair p;

    WEFT_TRY(part_line(l, &p));
    memcpy(both, p.left, p.lefts);
    memcpy(both + p.lefts, p.right, p.rights);
    m.left = find_piece(vocab, p.left, p.lefts);
    m.right = find_piece(vocab, p.right, p.rights);
    m.id = find_piece(vocab, both, p.lefts + p.rights);
    if (m.left < 0 || m.right < 0 || m.id < 0)
        return fail_line(l, "a piece, or the two together, is not in the "
                            "vocabulary");
    to = find_merge(b, m.left, m.right);
    if (to->rank >= 0) return fail_line(l, "these two were merged before");
    *to = m;
    return WEFT_OK;
}

/* The next line at *at; false at the end. */
static bool next_line(const char *text, size_t bytes, size_t *at, line *l)
{
    const char *end;

    if (*at >= bytes) return false;
    l->text = text + *at;
    end = memchr(l->text, '\n', bytes - *at);
    l->bytes = end ? (size_t)(end - l->text) : bytes - *at;
    *at += l->bytes + 1;
    if (l->bytes && l->text[l->bytes - 1] == '\r') l->bytes--;
    l->number++;
    return true;
}

static weft_status read_lines(weft_bpe *b, const weft_json *vocab,
                              const weft_merges *m, int *read, int *last)
{
    size_t lines = 1, at = 0;
    line l = {.name = m->name};

    for (size_t i = 0; i < m->bytes; i++) lines += m->text[i] == '\n';
    if (lines > MOST_MERGES)
        return weft_fail(WEFT_EINPUT, "%s: %zu lines, at most %d are accepted",
                         m->name, lines, MOST_MERGES);
    WEFT_TRY(make_table(b, lines));
    while (next_line(m->text, m->bytes, &at, &l)) {
        if (!l.bytes || (l.number == 1 && l.text[0] == '#')) continue;
        WEFT_TRY(add_merge(b, vocab, &l, (*read)++));
        *last = l.number;
    }
    return WEFT_OK;
}

static weft_status read_pairs(weft_bpe *b, const weft_json *vocab,
                              const weft_merges *m, int *read)
{
    const char *piece[2];
    line l = {.name = m->name};
    int n, pieces;

    WEFT_TRY(weft_json_count(m->json, "merges", MOST_MERGES, &n));
    WEFT_TRY(make_table(b, (size_t)n));
    for (; *read < n; (*read)++) {
        WEFT_TRY(weft_json_item_strings(m->json, "merges", *read, piece, 2,
                                        &pieces));
        if (!pieces) piece[0] = "";
        l.text = piece[0];
        l.bytes = strlen(piece[0]);
        l.right = pieces == 2 ? piece[1] : NULL;
        l.number = *read + 1;
        WEFT_TRY(add_merge(b, vocab, &l, *read));
    }
    return WEFT_OK;
}

/* ---- a vocabulary without its merges ---------------------------------------
 */

/* CLIP numbers its tokens by the recipe that they are made by: every byte
 * twice, what each merge makes, the two around a text. */
enum { OF_BYTES = 512 };

#define FIRST_SPECIAL "<|startoftext|>"

typedef struct census {
    const weft_json *vocab;
    const bool *made; /* by id */
    int end;          /* ids from OF_BYTES to it are to be made */
    int tokens, missing, first;
    const char *token; /* the first that is missing */
} census;

static bool by_recipe(const weft_bpe *b, int special)
{
    for (int i = 0; i < 256; i++)
        if (b->inner[i] < 0 || b->inner[i] >= OF_BYTES || b->last[i] < 0 ||
            b->last[i] >= OF_BYTES)
            return false;
    return special >= OF_BYTES;
}

static weft_status count_token(void *arg, const char *token)
{
    census *c = arg;
    const int id = find_piece(c->vocab, token, strlen(token));

    if (id < OF_BYTES || id >= c->end) return WEFT_OK;
    c->tokens++;
    if (c->made[id]) return WEFT_OK;
    if (c->missing++ && id > c->first) return WEFT_OK;
    c->first = id;
    c->token = token;
    return WEFT_OK;
}

/* Every token of such a vocabulary is made by a merge; `last` is the number of
 * the last one's line. Vocabularies by other recipes may hold what nothing
 * makes. */
static weft_status check_made(const weft_bpe *b, const weft_json *vocab,
                              const char *name, int last)
{
    census c = {.vocab = vocab};
    bool *made;
    weft_status st;

    c.end = find_piece(vocab, FIRST_SPECIAL, sizeof FIRST_SPECIAL - 1);
    if (!by_recipe(b, c.end)) return WEFT_OK;
    made = calloc((size_t)c.end, sizeof *made);
    if (!made) return weft_fail(WEFT_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < b->room; i++)
        if (b->table[i].rank >= 0 && b->table[i].id < c.end)
            made[b->table[i].id] = true;
    c.made = made;
    st = weft_json_each(vocab, count_token, &c);
    free(made);
    if (st != WEFT_OK || !c.missing) return st;
    return weft_fail(WEFT_EINPUT,
                     "%s:%d: the merges end here, and of the %d tokens that "
                     "they should make %d are made by none, such as \"%.64s\" "
                     "(%d): cut off, or of another vocabulary",
                     name, last, c.tokens, c.missing, c.token, c.first);
}

static weft_status read_merges(weft_bpe *b, const weft_json *vocab,
                               const weft_merges *m)
{
    int read = 0, last = 0;

    WEFT_TRY(m->json ? read_pairs(b, vocab, m, &read)
                     : read_lines(b, vocab, m, &read, &last));
    if (read == 0)
        return weft_fail(WEFT_EINPUT, "%s: holds no merges", m->name);
    return check_made(b, vocab, m->name, m->json ? read : last);
}

/* ---- bytes --------------------------------------------------------------- */

static bool is_printed(int byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
           byte >= 0xae;
}

/* The character that a byte is spelt as, in UTF-8; `hidden` counts those before
 * it that are not printed. */
static size_t spell(int byte, int hidden, char text[2])
{
    const int c = is_printed(byte) ? byte : 0x100 + hidden;

    if (c < 0x80) {
        text[0] = (char)c;
        return 1;
    }
    text[0] = (char)(0xc0 | c >> 6);
    text[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

static void find_bytes(weft_bpe *b, const weft_json *vocab)
{
    int hidden = 0;

    for (int byte = 0; byte < 256; byte++) {
        char text[2 + sizeof END];
        const size_t n = spell(byte, hidden, text);

        hidden += !is_printed(byte);
        memcpy(text + n, END, sizeof END);
        b->inner[byte] = find_piece(vocab, text, n);
        b->last[byte] = find_piece(vocab, text, n + sizeof END - 1);
    }
}

weft_status weft_bpe_create(const weft_json *vocab, const weft_merges *merges,
                            weft_bpe **bpe)
{
    weft_bpe *b = calloc(1, sizeof *b);
    weft_status st;

    if (!b) return weft_fail(WEFT_ENOMEM, "out of memory for merges");
    find_bytes(b, vocab);
    st = read_merges(b, vocab, merges);
    if (st == WEFT_OK)
        *bpe = b;
    else
        weft_bpe_free(b);
    return st;
}

void weft_bpe_free(weft_bpe *b)
{
    if (!b) return;
    free(b->table);
    free(b);
}

/* ---- a word -------------------------------------------------------------- */

/* Pieces in a row; those that were merged into the one before have id -1. */
typedef struct piece {
    int id;
    int before, after; /* pieces; -1: none */
} piece;

/* A merge that was possible when it was found. */
typedef struct chance {
    int rank, at, id;
} chance;

/* Chances, the first on top: a heap. A word of n pieces finds n - 1 to begin
 * with, and at most two at each of n - 1 merges. */
typedef struct work {
    piece *piece;
    chance *heap;
    size_t n, chances;
} work;

static bool sooner(const chance *a, const chance *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void swap(chance *a, chance *b)
{
    const chance c = *a;

    *a = *b;
    *b = c;
}

static void push(work *w, chance c)
{
    size_t i = w->chances++;

    w->heap[i] = c;
    for (; i && sooner(&w->heap[i], &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&w->heap[i], &w->heap[(i - 1) / 2]);
}

static chance pop(work *w)
{
    const chance top = w->heap[0];
    size_t i = 0, k;

    w->heap[0] = w->heap[--w->chances];
    while ((k = 2 * i + 1) < w->chances) {
        if (k + 1 < w->chances && sooner(&w->heap[k + 1], &w->heap[k])) k++;
        if (!sooner(&w->heap[k], &w->heap[i])) break;
        swap(&w->heap[k], &w->heap[i]);
        i = k;
    }
    return top;
}

static const merge *merge_at(const weft_bpe *b, const work *w, int at)
{
    const int after = at < 0 ? -1 : w->piece[at].after;

    if (after < 0) return NULL;
    return find_merge(b, w->piece[at].id, w->piece[after].id);
}

static void consider(const weft_bpe *b, work *w, int at)
{
    const merge *m = merge_at(b, w, at);

    if (m && m->rank >= 0) push(w, (chance){m->rank, at, m->id});
}

static void merge_all(const weft_bpe *b, work *w)
{
    while (w->chances) {
        const chance c = pop(w);
        const merge *m;
        piece *left = &w->piece[c.at], *right;

        if (left->id < 0 || !(m = merge_at(b, w, c.at)) || m->rank != c.rank)
            continue; /* not possible any more */
        right = &w->piece[left->after];
        left->id = c.id;
        left->after = right->after;
        right->id = -1;
        if (left->after >= 0) w->piece[left->after].before = c.at;
        consider(b, w, left->before);
        consider(b, w, c.at);
    }
}

static void begin(const weft_bpe *b, const char *word, int unknown, work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const unsigned char byte = (unsigned char)word[i];
        const bool last = i + 1 == w->n;
        const int id = last ? b->last[byte] : b->inner[byte];

        w->piece[i] =
            (piece){id < 0 ? unknown : id, (int)i - 1, last ? -1 : (int)i + 1};
    }
    for (size_t i = 0; i + 1 < w->n; i++) consider(b, w, (int)i);
}

weft_status weft_bpe_word(const weft_bpe *b, const char *word, size_t bytes,
                          int unknown, weft_ids *ids)
{
    work w = {.n = bytes};
    weft_status st = WEFT_OK;

    if (!bytes) return WEFT_OK;
    w.piece = malloc(bytes * sizeof *w.piece);
    w.heap = malloc(3 * bytes * sizeof *w.heap);
    if (w.piece && w.heap) {
        begin(b, word, unknown, &w);
        merge_all(b, &w);
        for (int i = 0; i >= 0 && st == WEFT_OK; i = w.piece[i].after)
            st = weft_ids_add(ids, w.piece[i].id);
    } else {
        st = weft_fail(WEFT_ENOMEM, "out of memory for a word");
    }
    free(w.piece);
    free(w.heap);
    return st;
}
