#include "core/text/spiece.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/text/spiece_model.h"

#define SPACE       "\xe2\x96\x81" /* U+2581 */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum { MOST_NORMAL = 16 << 20 };
static const float unknown_penalty = 10;

/* ---- pieces in order ----------------------------------------------------- */

/* The byte at `at`, or -1 behind the end, so that shorter pieces come first. */
static int byte_at(const weft_piece *p, size_t at)
{
    return at < p->bytes ? (unsigned char)p->text[at] : -1;
}

static int compare(const void *a, const void *b, void *pieces)
{
    const weft_piece *p = (const weft_piece *)pieces + *(const int *)a;
    const weft_piece *q = (const weft_piece *)pieces + *(const int *)b;
    const size_t n = p->bytes < q->bytes ? p->bytes : q->bytes;
    const int order = memcmp(p->text, q->text, n);

    return order ? order : (p->bytes > q->bytes) - (p->bytes < q->bytes);
}

static bool is_searched(const weft_piece *p)
{
    return p->kind == WEFT_PIECE_NORMAL || p->kind == WEFT_PIECE_USER ||
           p->kind == WEFT_PIECE_UNUSED;
}

static weft_status check_order(const char *name, weft_spiece *m)
{
    for (int i = 1; i < m->ordered; i++) {
        const weft_piece *p = &m->piece[m->order[i]];

        if (compare(&m->order[i - 1], &m->order[i], m->piece) == 0)
            return weft_fail(WEFT_EINPUT, "%s: piece \"%.*s\" is there twice",
                             name, (int)p->bytes, p->text);
    }
    return WEFT_OK;
}

static weft_status put_in_order(const char *name, weft_spiece *m)
{
    m->order = malloc(((size_t)m->pieces + 1) * sizeof *m->order);
    if (!m->order)
        return weft_fail(WEFT_ENOMEM, "out of memory for a tokenizer");
    for (int i = 0; i < m->pieces; i++)
        if (is_searched(&m->piece[i])) m->order[m->ordered++] = i;
    qsort_r(m->order, (size_t)m->ordered, sizeof *m->order, compare, m->piece);
    for (int b = 0, i = 0; b <= 256; b++) {
        while (i < m->ordered && byte_at(&m->piece[m->order[i]], 0) < b) i++;
        m->first[b] = i;
    }
    return check_order(name, m);
}

/* Pieces order[from .. to), which begin with the same `depth` bytes. */
typedef struct range {
    int from, to;
    size_t depth;
} range;

/* The first of a range whose next byte is `byte` or more. */
static int lower(const weft_spiece *m, const range *r, int byte)
{
    int from = r->from, to = r->to;

    while (from < to) {
        const int mid = from + (to - from) / 2;

        if (byte_at(&m->piece[m->order[mid]], r->depth) < byte)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

/* Those that go on with `byte`; false: there are none. */
static bool narrow(const weft_spiece *m, range *r, unsigned char byte)
{
    const range all = *r;

    r->from = r->depth ? lower(m, &all, byte) : m->first[byte];
    r->to = r->depth ? lower(m, &all, byte + 1) : m->first[byte + 1];
    r->depth++;
    return r->from < r->to;
}

/* The piece that is all of what a range has in common; -1: none. */
static int whole(const weft_spiece *m, const range *r)
{
    const int id = m->order[r->from];

    return m->piece[id].bytes == r->depth ? id : -1;
}

/* ---- models -------------------------------------------------------------- */

int weft_spiece_find(const weft_spiece *m, const char *piece)
{
    const size_t n = strlen(piece);

    for (int i = 0; i < m->pieces; i++)
        if (m->piece[i].bytes == n && !memcmp(m->piece[i].text, piece, n))
            return i;
    return -1;
}

static void find_lowest(weft_spiece *m)
{
    bool any = false;

    for (int i = 0; i < m->pieces; i++) {
        const weft_piece *p = &m->piece[i];

        if (p->kind == WEFT_PIECE_USER) m->has_user = true;
        if (p->kind != WEFT_PIECE_NORMAL) continue;
        if (!any || p->score < m->low) m->low = p->score;
        any = true;
    }
}

static weft_status find_bytes(const char *name, weft_spiece *m)
{
    for (int b = 0; b < 256 && m->byte_fallback; b++) {
        char piece[8];

        snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)b);
        m->byte[b] = weft_spiece_find(m, piece);
        if (m->byte[b] < 0 || m->piece[m->byte[b]].kind != WEFT_PIECE_BYTE)
            return weft_fail(WEFT_EINPUT, "%s: has no piece for byte %d", name,
                             b);
    }
    return WEFT_OK;
}

weft_status weft_spiece_create(const char *name, const void *file, size_t bytes,
                               weft_spiece **out)
{
    weft_spiece *m = calloc(1, sizeof *m);
    weft_status st = WEFT_OK;

    if (m) m->file = malloc(bytes + 1);
    if (!m || !m->file) {
        free(m);
        return weft_fail(WEFT_ENOMEM, "out of memory for a tokenizer");
    }
    memcpy(m->file, file, bytes);
    st = weft_spiece_read(name, bytes, m);
    if (st == WEFT_OK) st = put_in_order(name, m);
    if (st == WEFT_OK) st = find_bytes(name, m);
    if (st != WEFT_OK) {
        weft_spiece_free(m);
        return st;
    }
    find_lowest(m);
    *out = m;
    return WEFT_OK;
}

void weft_spiece_free(weft_spiece *m)
{
    if (!m) return;
    free(m->order);
    free(m->piece);
    free(m->file);
    free(m);
}

int weft_spiece_pieces(const weft_spiece *m) { return m->pieces; }

const char *weft_spiece_piece(const weft_spiece *m, int id, size_t *bytes)
{
    *bytes = m->piece[id].bytes;
    return m->piece[id].text;
}

/* ---- normal form --------------------------------------------------------- */

typedef struct normal {
    char *text;
    size_t n, room;
} normal;

static weft_status put(normal *t, const char *text, size_t n)
{
    if (n == 0) return WEFT_OK;
    if (n > t->room - t->n) {
        const size_t room = 2 * (t->room + n);
        char *more =
            room > 2 * (size_t)MOST_NORMAL ? NULL : realloc(t->text, room);

        if (room > 2 * (size_t)MOST_NORMAL)
            return weft_fail(WEFT_EINPUT,
                             "a text grows beyond %d bytes when it is "
                             "normalised",
                             MOST_NORMAL);
        if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for a text");
        t->text = more;
        t->room = room;
    }
    memcpy(t->text + t->n, text, n);
    t->n += n;
    return WEFT_OK;
}

static weft_status put_space(const weft_spiece *m, normal *t)
{
    return m->mark_spaces ? put(t, SPACE, strlen(SPACE)) : put(t, " ", 1);
}

/* Bytes of the longest piece at the beginning of a text that stays as it is. */
static size_t match_user(const weft_spiece *m, const char *text, size_t bytes)
{
    range r = {0};
    size_t longest = 0;

    if (!m->has_user) return 0;
    for (size_t i = 0; i < bytes && narrow(m, &r, (unsigned char)text[i]);
         i++) {
        const int id = whole(m, &r);

        if (id >= 0 && m->piece[id].kind == WEFT_PIECE_USER) longest = i + 1;
    }
    return longest;
}

/* What the beginning of a text becomes. */
typedef struct part {
    size_t taken;
    const char *text;
    size_t bytes;
} part;

static part normalise(const weft_spiece *m, const char *text, size_t bytes)
{
    part p = {match_user(m, text, bytes), text, 0};
    utf8proc_int32_t c;
    utf8proc_ssize_t n;

    p.bytes = p.taken;
    if (p.taken) return p;
    p.taken = weft_charsmap_match(&m->map, text, bytes, &p.text);
    p.bytes = strlen(p.taken ? p.text : "");
    if (p.taken) return p;
    n = utf8proc_iterate((const utf8proc_uint8_t *)text,
                         (utf8proc_ssize_t)bytes, &c);
    /* A rule may have ended within a character. */
    if (n <= 0) return (part){1, REPLACEMENT, strlen(REPLACEMENT)};
    return (part){(size_t)n, text, (size_t)n};
}

static weft_status put_part(const weft_spiece *m, const part *p, normal *t)
{
    size_t from = 0;

    for (size_t i = 0; i < p->bytes; i++) {
        if (p->text[i] != ' ') continue;
        WEFT_TRY(put(t, p->text + from, i - from));
        WEFT_TRY(put_space(m, t));
        from = i + 1;
    }
    return put(t, p->text + from, p->bytes - from);
}

/* Where the spaces that a text begins with end. */
static size_t skip_spaces(const weft_spiece *m, const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes) {
        const part p = normalise(m, text + at, bytes - at);

        if (p.bytes != 1 || *p.text != ' ') break;
        at += p.taken;
    }
    return at;
}

static void drop_spaces(const weft_spiece *m, normal *t)
{
    const char *space = m->mark_spaces ? SPACE : " ";
    const size_t n = strlen(space);

    while (t->n >= n && !memcmp(t->text + t->n - n, space, n)) t->n -= n;
}

static weft_status make_normal(const weft_spiece *m, const char *text,
                               size_t bytes, normal *t)
{
    size_t at = m->squeeze_spaces ? skip_spaces(m, text, bytes) : 0;
    bool spaced = m->squeeze_spaces;
    part p;

    if (at == bytes) return WEFT_OK;
    if (m->put_space) WEFT_TRY(put_space(m, t));
    for (; at < bytes; at += p.taken) {
        p = normalise(m, text + at, bytes - at);
        while (spaced && p.bytes && *p.text == ' ') p.text++, p.bytes--;
        WEFT_TRY(put_part(m, &p, t));
        if (p.bytes) spaced = m->squeeze_spaces && p.text[p.bytes - 1] == ' ';
    }
    if (m->squeeze_spaces) drop_spaces(m, t);
    return WEFT_OK;
}

/* ---- the best cut -------------------------------------------------------- */

/* The best way to cut the text as far as here. */
typedef struct best {
    float score;
    int id;    /* of its last piece ... */
    int start; /* ... and where that begins; -1: there is no way yet */
    int end;   /* made last: where the piece that begins here ends */
} best;

/* Of ways that are alike, by float's rounding, the first stays. */
static void offer(best *to, float score, int start, int id)
{
    if (to->start >= 0 && !(score > to->score)) return;
    to->score = score;
    to->start = start;
    to->id = id;
}

/* What users defined beats all else, longer ones first. */
static float score_of(const weft_spiece *m, int id, size_t bytes)
{
    if (m->piece[id].kind == WEFT_PIECE_USER)
        return (float)(0.1 * ((double)bytes - 1));
    return m->piece[id].score;
}

/* Bytes of a character by its first one, as SentencePiece has it. */
static int length_of(char first)
{
    const int high = (unsigned char)first >> 4;

    return high < 12 ? 1 : high < 14 ? 2 : high - 11;
}

static void extend(const weft_spiece *m, const normal *t, best *b, int start)
{
    const int n = (int)t->n, left = n - start;
    const int one =
        length_of(t->text[start]) < left ? length_of(t->text[start]) : left;
    const float here = b[start].score;
    bool known = false; /* is one character a piece? */
    range r = {0};

    for (int i = start; i < n && narrow(m, &r, (unsigned char)t->text[i]);
         i++) {
        const int id = whole(m, &r);

        if (id < 0 || m->piece[id].kind == WEFT_PIECE_UNUSED) continue;
        offer(&b[i + 1], score_of(m, id, r.depth) + here, start, id);
        known |= (int)r.depth == one;
    }
    if (known) return;
    offer(&b[start + one], m->low - unknown_penalty + here, start, m->unknown);
}

static weft_status add_bytes(const weft_spiece *m, const normal *t, int from,
                             int to, weft_ids *ids)
{
    for (int i = from; i < to; i++)
        WEFT_TRY(weft_ids_add(ids, m->byte[(unsigned char)t->text[i]]));
    return WEFT_OK;
}

/* The way to the end, from its beginning. */
static weft_status add_ids(const weft_spiece *m, const normal *t, best *b,
                           weft_ids *ids)
{
    bool was_unknown = false;

    for (int end = (int)t->n; end > 0; end = b[end].start)
        b[b[end].start].end = end;
    for (int at = 0; at < (int)t->n; at = b[at].end) {
        const int id = b[b[at].end].id;
        const bool unknown = id == m->unknown;

        if (unknown && m->byte_fallback)
            WEFT_TRY(add_bytes(m, t, at, b[at].end, ids));
        else if (!unknown || !was_unknown)
            WEFT_TRY(weft_ids_add(ids, id));
        was_unknown = unknown;
    }
    return WEFT_OK;
}

/* Long texts would leave float's accuracy: where a sum is beyond this, what is
 * known from there on is counted from there, as SentencePiece does. */
static void count_anew(const normal *t, best *b, int start)
{
    const float far = 100000, here = b[start].score;

    if (here >= -far && here <= far) return;
    for (int i = start; i <= (int)t->n && i <= start + WEFT_MOST_PIECE; i++)
        if (b[i].start >= 0) b[i].score -= here;
}

static weft_status cut(const weft_spiece *m, const normal *t, weft_ids *ids)
{
    best *b = malloc((t->n + 1) * sizeof *b);
    weft_status st;

    if (!b) return weft_fail(WEFT_ENOMEM, "out of memory for a text");
    for (size_t i = 0; i <= t->n; i++) b[i] = (best){.start = -1};
    for (int at = 0, one; at < (int)t->n; at += one) {
        one = length_of(t->text[at]);
        count_anew(t, b, at);
        extend(m, t, b, at);
    }
    st = add_ids(m, t, b, ids);
    free(b);
    return st;
}

weft_status weft_spiece_encode(const weft_spiece *m, const char *text,
                               size_t bytes, weft_ids *ids)
{
    normal t = {0};
    weft_status st = make_normal(m, text, bytes, &t);

    if (st == WEFT_OK && t.n) st = cut(m, &t, ids);
    free(t.text);
    return st;
}
