/*
 * Slots that travel in another form than they are computed in (core/wire.h).
 *
 * Floats lie where they always do: what arrives in in_at, what leaves in
 * out_at. Beside them each place of the rings has room for the message itself.
 * Residuals are added in the order in which they were sent, each to what the
 * one before it gave; so nothing may arrive in a place that is not decoded yet.
 */
#include <string.h>

#include "core/mail.h"

/* A residual costs both ends a copy of the floats, which pays for keys and
 * values; borders are small and travel as halves then. */
weft_wire weft_schedule_wire(const weft_schedule *s, weft_class class)
{
    if (class == WEFT_KV) return s->wire;
    if (class != WEFT_BORDER) return WEFT_WIRE_F32;
    return weft_wire_is_residual(s->wire) ? WEFT_WIRE_F16 : s->wire;
}

bool weft_has_past(const weft_schedule *s)
{
    return s->lag > 0 || weft_wire_is_residual(s->wire);
}

static weft_wire wire_of(const weft_exchange *x, const weft_slot *s)
{
    return x->cut.n == 1 ? WEFT_WIRE_F32
                         : weft_schedule_wire(&x->sched, s->spec.class);
}

bool weft_is_coded(const weft_exchange *x, const weft_slot *s)
{
    return wire_of(x, s) != WEFT_WIRE_F32;
}

bool weft_is_residual(const weft_exchange *x, const weft_slot *s)
{
    return weft_wire_is_residual(wire_of(x, s));
}

/* A message's floats as rows of equal length: those of the image, so that no
 * run of a residual crosses one. */
static void shape(const weft_slot *s, int patch, size_t bytes, size_t *rows,
                  size_t *width)
{
    *rows = s->spec.reach == WEFT_REACH_ALL ? (size_t)s->rect[patch].rows : 1;
    *width = *rows ? bytes / sizeof(float) / *rows : 0;
}

static size_t coded_bytes(const weft_exchange *x, const weft_slot *s, int patch,
                          size_t bytes)
{
    size_t rows, width;

    shape(s, patch, bytes, &rows, &width);
    return weft_wire_bytes(wire_of(x, s), false, rows, width);
}

size_t weft_coded_in(const weft_exchange *x, const weft_slot *s,
                     const weft_link *l)
{
    return coded_bytes(x, s, l->peer, l->in);
}

size_t weft_coded_out(const weft_exchange *x, const weft_slot *s,
                      const weft_link *l)
{
    return coded_bytes(x, s, x->cut.me, l->out);
}

/* ---- out ----------------------------------------------------------------- */

static void encode(const weft_exchange *x, const weft_slot *s, size_t bytes,
                   const char *from, char *to)
{
    size_t rows, width;

    shape(s, x->cut.me, bytes, &rows, &width);
    weft_wire_encode(wire_of(x, s), false, rows, width, (const float *)from,
                     (float *)s->held, to);
}

void weft_coded_send(const weft_exchange *x, const weft_slot *s, int k)
{
    char *const *from = s->out_at + k * s->nlinks;
    char *const *to = s->out_wire + k * s->nlinks;

    for (int l = 0; l < s->nlinks; l++)
        if (l == 0 || s->spec.reach == WEFT_REACH_BORDER)
            encode(x, s, s->link[l].out, from[l], to[l]);
}

void weft_coded_send_first(const weft_slot *s)
{
    if (s->nlinks) memcpy(s->held, s->out_at[0], s->link[0].out);
}

/* ---- in ------------------------------------------------------------------ */

void weft_coded_receive(const weft_exchange *x, const weft_slot *s, int t)
{
    char *const *wire = s->in_wire + t % s->depth * s->nlinks;
    char *const *to = s->in_at + t % s->depth * s->nlinks;
    char *const *before = s->in_at + (t + s->depth - 1) % s->depth * s->nlinks;
    const bool residual = weft_is_residual(x, s);

    if (residual && t == 0) return; /* a full message, received in place */
    for (int l = 0; l < s->nlinks; l++) {
        size_t rows, width;

        shape(s, s->link[l].peer, s->link[l].in, &rows, &width);
        if (residual && s->depth > 1) memcpy(to[l], before[l], s->link[l].in);
        weft_wire_decode(wire_of(x, s), false, rows, width, wire[l],
                         (float *)to[l]);
    }
}
