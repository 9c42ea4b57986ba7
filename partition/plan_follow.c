/* What ranks are told that do not sample, or of what others have read or have
 * added up. */
#include "partition/plan.h"

#include <stdlib.h>
#include <string.h>

#include "partition/split.h"

int weft_plan_reads(const weft_plan *p)
{
    for (int k = 0; k < p->nroles; k++)
        if (p->role[k].reads) return k;
    return -1;
}

bool weft_plan_texts_travel(const weft_plan *p)
{
    return p->readers_stay && weft_plan_reads(p) >= 0;
}

void weft_plan_texts(const weft_plan *p, int i, weft_span *have,
                     weft_span *want)
{
    const int n = p->net[i].n;

    for (int line = 0; line < p->grid.patches; line++) {
        const weft_cut cut =
            weft_roles_cut(&p->roles, weft_plan_reads(p), line);
        const bool asks = weft_roles_has(&p->roles, p->net[i].role, line);

        want[line] = (weft_span){0, asks ? n : 0};
        have[line] = (weft_span){0, 0};
        if (cut.me < 0) continue;
        have[line].from = weft_share_first(n, cut.n, cut.me);
        have[line].to = weft_share_first(n, cut.n, cut.me + 1);
    }
}

void weft_plan_pace(const weft_plan *p, weft_span *have, weft_span *want)
{
    for (int line = 0; line < p->grid.patches; line++) {
        const bool follows = !weft_span_units(p->roles.state[line]);

        have[line] = (weft_span){0, line == p->roles.role[0].rank0};
        want[line] = (weft_span){0, follows};
    }
}

/* Those who tell and are told go by columns, each by itself. */
static void add_spans(const weft_plan *p, const weft_span *have,
                      const weft_span *want, weft_class class, size_t unit,
                      int times, weft_volume *v)
{
    const weft_crossing c = weft_crossing_of(have, want, p->grid.patches);

    v->messages[class] += c.messages * (uint64_t)p->across * (uint64_t)times;
    v->bytes[class] += c.units * unit * (uint64_t)p->across * (uint64_t)times;
}

weft_status weft_plan_texts_volume(const weft_plan *p, int i, weft_volume *v)
{
    const weft_plan_net *net = &p->net[i];
    weft_span *have;

    memset(v, 0, sizeof *v);
    if (!net->text_bytes || !weft_plan_texts_travel(p)) return WEFT_OK;
    have = calloc(2 * (size_t)p->grid.patches, sizeof *have);
    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory for a plan");
    weft_plan_texts(p, i, have, have + p->grid.patches);
    add_spans(p, have, have + p->grid.patches, WEFT_REDISTRIBUTE,
              net->text_bytes, net->askers, v);
    free(have);
    return WEFT_OK;
}

weft_status weft_plan_pace_volume(const weft_plan *p, weft_volume *v)
{
    weft_span *have = calloc(2 * (size_t)p->grid.patches, sizeof *have);

    if (!have) return weft_fail(WEFT_ENOMEM, "out of memory for a plan");
    memset(v, 0, sizeof *v);
    weft_plan_pace(p, have, have + p->grid.patches);
    add_spans(p, have, have + p->grid.patches, WEFT_CONTROL, 1, 1, v);
    free(have);
    return WEFT_OK;
}

/* What the rank of a line and column sends: to all that keep state. */
static void add_sums(const weft_plan *p, int line, int column, weft_volume *v)
{
    const weft_span mine = weft_roles_span(&p->roles, 0, line);
    const uint64_t stretches =
        (uint64_t)weft_span_units(mine) * (uint64_t)p->unit *
        (uint64_t)(p->first_strip[column + 1] - p->first_strip[column]);
    uint64_t peers = 0;

    if (!weft_span_units(mine)) return;
    for (int q = 0; q < p->grid.patches; q++)
        if (weft_span_units(p->roles.state[q])) peers += (uint64_t)p->across;
    peers--; /* whoever sends keeps state */
    v->messages[WEFT_CONTROL] += peers * (uint64_t)p->totals;
    v->bytes[WEFT_CONTROL] += peers * stretches * (uint64_t)p->sums *
                              (uint64_t)p->batch * sizeof(double);
}

weft_volume weft_plan_totals(const weft_plan *p)
{
    weft_volume v = {0};

    if (weft_roles_keep_all(&p->roles) && p->across == 1) return v;
    for (int line = 0; line < p->grid.patches; line++)
        for (int column = 0; column < p->across; column++)
            add_sums(p, line, column, &v);
    return v;
}
