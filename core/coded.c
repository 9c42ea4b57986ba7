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

/* Threads are not woken for messages of fewer floats. */
enum { SMALL = 1 << 15, PIECES = 16 };

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
static weft_wire_rows shape(const weft_exchange *x, const weft_slot *s,
                            int patch, size_t bytes)
{
    weft_wire_rows r = {.wire = wire_of(x, s), .rows = 1};

    if (s->spec.reach == WEFT_REACH_ALL) r.rows = (size_t)s->rect[patch].rows;
    if (r.rows) r.width = bytes / sizeof(float) / r.rows;
    return r;
}

static size_t coded_bytes(const weft_exchange *x, const weft_slot *s, int patch,
                          size_t bytes)
{
    const weft_wire_rows r = shape(x, s, patch, bytes);

    return weft_wire_bytes(r.wire, false, r.rows, r.width);
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

/* ---- in pieces ----------------------------------------------------------- */

/* One message; rows of it are coded by whoever is free. */
typedef struct job {
    weft_wire_rows all;
    size_t pieces;
    char *wire;
    const float *in; /* out of it; held: see core/wire.h */
    float *held;
    const float *before; /* into it: what is copied first, or NULL */
    float *to;
} job;

static weft_wire_rows piece(const job *j, int i)
{
    weft_wire_rows r = j->all;

    r.from = r.rows * (size_t)i / j->pieces;
    r.to = r.rows * (size_t)(i + 1) / j->pieces;
    return r;
}

static void run(const weft_exchange *x, job *j, weft_task *fn)
{
    const size_t rows = j->all.rows;
    const bool many = x->pool && rows * j->all.width >= SMALL;

    j->pieces = !many ? 1 : rows < PIECES ? rows : PIECES;
    if (j->pieces > 1)
        weft_pool_run(x->pool, (int)j->pieces, fn, j);
    else
        fn(j, 0, 0);
}

/* ---- out ----------------------------------------------------------------- */

static void encode(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_wire_rows r = piece(j, i);

    (void)worker;
    weft_wire_encode_rows(&r, j->in, j->held, j->wire);
}

void weft_coded_send(const weft_exchange *x, const weft_slot *s, int k)
{
    char *const *from = s->out_at + k * s->nlinks;
    char *const *to = s->out_wire + k * s->nlinks;

    for (int l = 0; l < s->nlinks; l++) {
        job j = {.all = shape(x, s, x->cut.me, s->link[l].out),
                 .wire = to[l],
                 .in = (const float *)(const void *)from[l],
                 .held = (float *)(void *)s->held};

        if (l == 0 || s->spec.reach == WEFT_REACH_BORDER) run(x, &j, encode);
    }
}

void weft_coded_send_first(const weft_slot *s)
{
    if (s->nlinks) memcpy(s->held, s->out_at[0], s->link[0].out);
}

/* ---- in ------------------------------------------------------------------ */

static void decode(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_wire_rows r = piece(j, i);
    const size_t at = r.from * r.width, n = r.to * r.width - at;

    (void)worker;
    if (j->before) memcpy(j->to + at, j->before + at, n * sizeof *j->to);
    weft_wire_decode_rows(&r, j->wire, j->to);
}

void weft_coded_receive(const weft_exchange *x, const weft_slot *s, int t)
{
    char *const *wire = s->in_wire + t % s->depth * s->nlinks;
    char *const *to = s->in_at + t % s->depth * s->nlinks;
    char *const *before = s->in_at + (t + s->depth - 1) % s->depth * s->nlinks;
    const bool residual = weft_is_residual(x, s);

    if (residual && t == 0) return; /* a full message, received in place */
    for (int l = 0; l < s->nlinks; l++) {
        job j = {.all = shape(x, s, s->link[l].peer, s->link[l].in),
                 .wire = wire[l],
                 .to = (float *)(void *)to[l]};

        if (residual && s->depth > 1)
            j.before = (const float *)(const void *)before[l];
        run(x, &j, decode);
    }
}
