/*
 * What a patch gives its neighbours, and where it shows what it gets.
 *
 *          left   | the activation's columns |  right
 *         --------+--------------------------+--------
 *          corner |       spare rows         | corner
 *          side   |       my rows            | side
 *          corner |       spare rows         | corner
 *
 * Spare rows follow mine in the activation. The columns at each side are an
 * array of their own, corners included, so every piece that comes is dense and
 * is received in place. Rows leave from where they lie; columns are packed.
 */
#include <string.h>

#include "core/mail.h"

static size_t bytes_of(const weft_slot *s, const weft_rect *r)
{
    return weft_rect_pixels(r) * (size_t)s->spec.n * s->spec.pixel_bytes;
}

/* Bytes of a row of `columns`, all samples. */
static size_t line_of(const weft_slot *s, int columns)
{
    return (size_t)s->spec.n * (size_t)columns * s->spec.pixel_bytes;
}

void weft_border_link(const weft_exchange *x, weft_slot *s)
{
    for (int down = -1; down <= 1; down++)
        for (int right = -1; right <= 1; right++) {
            const int peer =
                weft_cut_neighbour(&x->cut, x->cut.me, down, right);
            const weft_rect from =
                weft_border_from(&s->mine, &s->spec.border, down, right);
            const weft_rect to =
                weft_border_to(&s->mine, &s->spec.border, down, right);

            if (peer < 0 || peer == x->cut.me) continue;
            s->link[s->nlinks++] = (weft_link){.peer = peer,
                                               .down = down,
                                               .right = right,
                                               .in = bytes_of(s, &from),
                                               .out = bytes_of(s, &to)};
        }
}

size_t weft_border_side(const weft_exchange *x, const weft_slot *s, int right,
                        size_t *before)
{
    const weft_border *b = &s->spec.border;
    const size_t line = line_of(s, right ? b->right : b->left);

    if (weft_cut_neighbour(&x->cut, x->cut.me, 0, right ? 1 : -1) < 0) return 0;
    *before = (size_t)b->above * line;
    return (size_t)(b->above + s->mine.rows + b->below) * line;
}

char *weft_border_shown(const weft_slot *s, const weft_link *l)
{
    const weft_rect r =
        weft_border_from(&s->mine, &s->spec.border, l->down, l->right);
    char *row0 = l->right ? s->side[l->right > 0] : s->base;

    return row0 + (ptrdiff_t)r.row * (ptrdiff_t)line_of(s, r.columns);
}

char *weft_border_rows(const weft_slot *s, const weft_link *l)
{
    const weft_rect r =
        weft_border_to(&s->mine, &s->spec.border, l->down, l->right);

    return l->right ? NULL : s->base + (size_t)r.row * line_of(s, r.columns);
}

void weft_border_pack(const weft_slot *s, const weft_link *l, char *to)
{
    const weft_rect r =
        weft_border_to(&s->mine, &s->spec.border, l->down, l->right);
    const size_t pixel = s->spec.pixel_bytes;
    const size_t run = (size_t)r.columns * pixel;
    const size_t line = (size_t)s->mine.columns * pixel;
    const char *from = s->base + (size_t)r.row * line_of(s, s->mine.columns) +
                       (size_t)r.column * pixel;

    for (int y = 0; y < r.rows * s->spec.n; y++, from += line, to += run)
        memcpy(to, from, run);
}

/* The corners of the columns at the image's upper and lower edge are zero from
 * the start, and nobody sends any. */
void weft_border_clear(const weft_exchange *x, const weft_slot *s)
{
    const size_t line = line_of(s, s->mine.columns);
    const weft_border *b = &s->spec.border;
    const int me = x->cut.me;

    if (weft_cut_neighbour(&x->cut, me, -1, 0) < 0)
        memset(s->base - (size_t)b->above * line, 0, (size_t)b->above * line);
    if (weft_cut_neighbour(&x->cut, me, 1, 0) < 0)
        memset(s->base + (size_t)s->mine.rows * line, 0,
               (size_t)b->below * line);
}
