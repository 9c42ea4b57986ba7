#include "partition/plan.h"

#include <string.h>

static double mib(size_t bytes) { return (double)bytes / 1048576.0; }

static const char *plural(int n) { return n == 1 ? "" : "s"; }

static void print_volume(const weft_volume *v, const char *what, FILE *to)
{
    for (int c = 0; c < WEFT_CLASSES; c++)
        if (v->messages[c])
            fprintf(to, "           %-12s %8llu messages %14llu bytes%s\n",
                    weft_class_name[c], (unsigned long long)v->messages[c],
                    (unsigned long long)v->bytes[c], what);
}

static void print_displaced(const weft_plan_net *n, FILE *to)
{
    int displaced = 0;

    for (int k = 0; k < n->lanes; k++)
        displaced += weft_plan_displaced(n->sched, n->in_lane[k]);
    fprintf(to,
            "           %d lane%s, %d evaluations in step, %d displaced by "
            "%d; the past takes %.1f MiB\n",
            n->lanes, plural(n->lanes), n->evaluations - displaced, displaced,
            n->sched.lag, mib(n->past_bytes));
    if (n->sched.drift > 0)
        fprintf(to,
                "           a drift of %g puts more of them in step, for the "
                "same bytes\n",
                n->sched.drift);
}

/* In step only f32 keeps the promise of equal bytes. */
static void print_wire(const weft_plan_net *n, FILE *to)
{
    const weft_schedule *s = &n->sched;

    if (s->wire == WEFT_WIRE_F32) return;
    fprintf(to, "           keys and values travel as %s, borders as %s%s\n",
            weft_wire_name[weft_schedule_wire(s, WEFT_KV)],
            weft_wire_name[weft_schedule_wire(s, WEFT_BORDER)],
            s->lag ? "" : ": the image depends on the number of ranks");
    if (weft_wire_is_residual(s->wire))
        print_volume(&n->first, ", first of an image", to);
}

/* When the packed weights of a net are there, if not all the time. */
static const char *when(const weft_plan *p, const weft_plan_net *n)
{
    const int i = (int)(n - p->net);
    const weft_plan_phase is = weft_plan_phase_of(p, i);

    if (is == WEFT_PHASE_BEFORE) return "; given back before the first step";
    if (is == WEFT_PHASE_LATER)
        return p->swaps ? "; in place of those before it, in each batch anew"
                        : "; in place of those before it";
    return n->phase == WEFT_PHASE_LATER && weft_plan_is_beside(p, i)
               ? "; beside those before it"
               : "";
}

/* Where the packed weights of a net lie: with those of an earlier one? */
static void print_packed(const weft_plan *p, const weft_plan_net *n, FILE *to)
{
    const weft_plan_net *first = p->net;

    while (first->weights != n->weights) first++;
    if (first == n)
        fprintf(to, "%.1f MiB packed%s\n", mib(n->weight_bytes), when(p, n));
    else
        fprintf(to, "packed with those of %s\n", p->role[first->role].name);
}

static void print_net(const weft_plan *p, const weft_plan_net *n, FILE *to)
{
    fprintf(to,
            "%-10s %d evaluation%s per %s of %d sample%s, %.1f GFLOP each; "
            "weights %.1f MiB in the file, ",
            p->role[n->role].name, n->evaluations, plural(n->evaluations),
            n->once         ? "run"
            : n->each_image ? "image"
                            : "batch",
            n->n, plural(n->n), n->flops / 1e9, mib(n->file_bytes));
    print_packed(p, n, to);
    fprintf(to,
            "           busiest patch %.1f %% of the work, holds %zu of "
            "%zu rows of the largest feature map\n",
            100 * n->share, n->max_rows_held, n->max_rows_image);
    if (n->sched.lag) print_displaced(n, to);
    print_wire(n, to);
    print_volume(&n->volume, "", to);
    if (n->sched.lag) print_volume(&n->displaced, ", displaced", to);
    print_volume(&n->ballot, ", for the drift", to);
    print_volume(&n->told, ", texts of a batch", to);
}

static void print_reader(const weft_plan *p, const weft_plan_reader *r,
                         FILE *to)
{
    fprintf(
        to,
        "text       %s: weights %.1f MiB in the file, %.1f MiB packed; %s\n",
        r->name, mib(r->file_bytes), mib(r->weight_bytes),
        p->readers_stay ? "kept for the items' texts"
                        : "given back before the first step");
}

void weft_plan_print_roles(const weft_plan *p, FILE *to)
{
    for (int k = 0; k < p->nroles; k++) {
        const weft_role *r = &p->roles.role[k];
        const int rank0 = r->rank0 * p->across;
        const int ranks = r->asked.ranks * p->across;

        fprintf(to, "role       %-14s rank%s %d", r->asked.name, plural(ranks),
                rank0);
        if (ranks > 1) fprintf(to, " .. %d", rank0 + ranks - 1);
        fprintf(to, " of each group");
        if (r->asked.denoises)
            fprintf(to, ", busy %.0f %% of the time",
                    100 * p->sampling.busy[k]);
        fprintf(to, "\n");
    }
    fprintf(to,
            "turns      %d batch%s in flight; about %.3g s of sampling for "
            "group 0, %.3g s with decoding\ncosts      %s\n",
            p->flights, p->flights == 1 ? "" : "es", p->sampling.seconds,
            p->forecast.seconds, p->costs);
}

enum { TURNS_SHOWN = 12 };

/* The first turns: batch, step, and who evaluates. */
static void print_order(const weft_plan *p, FILE *to)
{
    const weft_pipeline_spec s = weft_plan_pipeline(p, 0);
    weft_pipeline order;
    weft_turn t;

    if (p->flights == 1 || weft_pipeline_make(&s, &order) != WEFT_OK) return;
    fprintf(to, "order     ");
    for (int i = 0; i < TURNS_SHOWN && weft_pipeline_next(&order, &t); i++) {
        const weft_stage *stage = &p->stage[t.stage];

        fprintf(to, " %c%d:", 'A' + t.batch % 26, stage->step);
        for (int k = 0; k < stage->n; k++)
            fprintf(to, "%s%s", k ? "+" : "",
                    p->role[p->net[stage->lane[k]].role].name);
    }
    fprintf(to, " ...\n           (batch A .., its step: who evaluates; the "
                "same order on every rank)\n");
    weft_pipeline_release(&order);
}

/* "0 ..   31", or rows and columns "0 ..   31 x 32 ..   63". */
static void print_rect(const weft_plan *p, weft_rect r, int scale, FILE *to)
{
    char columns[40] = "";

    if (!r.rows) {
        fprintf(to, " %-*s", p->across > 1 ? 27 : 14, "none");
        return;
    }
    if (p->across > 1)
        snprintf(columns, sizeof columns, " x %d ..%5d", r.column * scale,
                 (r.column + r.columns) * scale - 1);
    fprintf(to, " %5d ..%5d%-*s", r.row * scale, (r.row + r.rows) * scale - 1,
            p->across > 1 ? 14 : 1, columns);
}

static size_t sum_of(const weft_plan_memory *m)
{
    return m->weights_share + m->activations + m->scratch + m->state + m->past +
           m->held;
}

/* Before the first step: what reads then, and where. */
static void print_reading(const weft_plan *p, FILE *to)
{
    size_t most = 0;

    for (int q = 0; q < weft_plan_group(p); q++) {
        const size_t reading = weft_plan_memory_of(p, q, 1).reading;

        if (reading > most) most = reading;
    }
    if (!most) return;
    fprintf(to, "(before, on %s, the largest text encoder: %.1f MiB)\n",
            weft_plan_reads(p) < 0 ? "the first node"
                                   : "ranks of the role text",
            mib(most));
}

static void print_ranks(const weft_plan *p, FILE *to)
{
    const char *by = p->across > 1 ? " rows x columns" : " rows";
    const int wide = p->across > 1 ? 21 : 8;

    fprintf(to,
            "\n%-5s %-5s  latent%-*s  picture%-*s "
            "MiB: weights + activations + scratch + state + past%s\n",
            "rank", "units", wide, by, wide, by, p->nreaders ? " + text" : "");
    for (int q = 0; q < weft_plan_group(p); q++) {
        const weft_plan_memory m = weft_plan_memory_of(p, q, 1);
        const weft_rect r = weft_plan_latent(p, q);

        fprintf(to, "%-5d %-5d", q, r.rows / p->unit);
        print_rect(p, r, 1, to);
        print_rect(p, r, p->row_scale, to);
        fprintf(to, " %.1f + %.1f + %.1f + %.1f + %.1f", mib(m.weights_share),
                mib(m.activations), mib(m.scratch), mib(m.state), mib(m.past));
        if (p->nreaders) fprintf(to, " + %.1f", mib(m.held));
        fprintf(to, " = %.1f\n", mib(sum_of(&m)));
    }
    fprintf(to, "(the ranks of a node share one copy of the weights)\n");
    print_reading(p, to);
}

/* "4 ranks", or "2 lines of 2 ranks". */
static void print_group(const weft_plan *p, FILE *to)
{
    if (p->across > 1)
        fprintf(to, "%d line%s of ", p->grid.patches, plural(p->grid.patches));
    fprintf(to, "%d rank%s", p->across > 1 ? p->across : p->grid.patches,
            plural(p->across > 1 ? p->across : p->grid.patches));
}

static void print_speeds(const weft_plan *p, FILE *to)
{
    if (!p->line_speed) return;
    fprintf(to, "weights    [");
    for (int i = 0; i < p->grid.patches; i++)
        fprintf(to, "%s%g", i ? ", " : "", p->line_speed[i]);
    fprintf(to, "] of the lines of a group\n");
}

void weft_plan_print(const weft_plan *p, FILE *to)
{
    fprintf(to,
            "picture    %d x %d, latent %d x %d x %d, grain %d rows, strips "
            "of %d columns\n",
            p->width, p->height, p->columns, p->rows, p->channels, p->unit,
            p->strip);
    fprintf(to, "ranks      %d = %d group%s of ", p->ranks, p->grid.groups,
            plural(p->grid.groups));
    print_group(p, to);
    fprintf(to, ", %d thread%s each, kernels %s (%s)\n", p->threads,
            plural(p->threads), p->kernels, p->dev->isa);
    print_speeds(p, to);
    fprintf(to, "images     %d, %d at once, %d steps\n", p->images, p->batch,
            p->steps);
    for (int i = 0; i < p->nreaders; i++) print_reader(p, &p->reader[i], to);
    for (int i = 0; i < p->nnets; i++) print_net(p, &p->net[i], to);
    if (p->output.messages[WEFT_OUTPUT])
        fprintf(to, "%-10s %llu messages %llu bytes per image\n", "output",
                (unsigned long long)p->output.messages[WEFT_OUTPUT],
                (unsigned long long)p->output.bytes[WEFT_OUTPUT]);
    print_volume(&p->pace, ", each turn, to ranks that do not sample", to);
    print_volume(&p->summed, ", each batch, of sums over the image", to);
    weft_plan_print_roles(p, to);
    print_order(p, to);
    print_ranks(p, to);
    fprintf(to, "plan       %016llx\n", (unsigned long long)p->hash);
}

/* ---- JSON ---------------------------------------------------------------- */

static void json_volume(const char *key, const weft_volume *v, FILE *to)
{
    fprintf(to, "\"%s\":{", key);
    for (int c = 0, first = 1; c < WEFT_CLASSES; c++) {
        if (!v->messages[c]) continue;
        fprintf(to, "%s\"%s\":{\"messages\":%llu,\"bytes\":%llu}",
                first ? "" : ",", weft_class_name[c],
                (unsigned long long)v->messages[c],
                (unsigned long long)v->bytes[c]);
        first = 0;
    }
    fprintf(to, "}");
}

static void json_net(const weft_plan *p, const weft_plan_net *n, FILE *to)
{
    fprintf(to,
            "{\"role\":\"%s\",\"samples\":%d,\"evaluations\":%d,"
            "\"gflop\":%.6f,\"busiest_share\":%.6f,\"file_bytes\":%zu,"
            "\"packed_bytes\":%zu,\"block_bytes\":%zu,\"scratch_bytes\":%zu,"
            "\"max_rows_held\":%zu,\"max_rows_image\":%zu,",
            p->role[n->role].name, n->n, n->evaluations, n->flops / 1e9,
            n->share, n->file_bytes, n->weight_bytes, n->block_bytes,
            n->scratch_bytes, n->max_rows_held, n->max_rows_image);
    if (n->sched.wire != WEFT_WIRE_F32) {
        fprintf(to, "\"wire\":\"%s\",", weft_wire_name[n->sched.wire]);
        json_volume("first_evaluation", &n->first, to);
        fprintf(to, ",");
    }
    json_volume("per_evaluation", &n->volume, to);
    if (n->sched.lag) {
        fprintf(to, ",\"lanes\":%d,\"past_bytes\":%zu,", n->lanes,
                n->past_bytes);
        json_volume("per_displaced_evaluation", &n->displaced, to);
    }
    fprintf(to, "}");
}

/* A path may hold whatever a JSON text may not. */
static void json_reader(const weft_plan_reader *r, const char *before, FILE *to)
{
    fprintf(to, "%s{\"name\":\"", before);
    for (const char *c = r->name; *c; c++) {
        if (*c == '"' || *c == '\\') putc('\\', to);
        putc(*c, to);
    }
    fprintf(to,
            "\",\"file_bytes\":%zu,\"packed_bytes\":%zu,"
            "\"block_bytes\":%zu,\"scratch_bytes\":%zu}",
            r->file_bytes, r->weight_bytes, r->block_bytes, r->scratch_bytes);
}

static void json_patch(const weft_plan *p, int q, FILE *to)
{
    const weft_plan_memory m = weft_plan_memory_of(p, q, 1);
    const weft_rect r = weft_plan_latent(p, q);

    fprintf(to,
            "{\"patch\":%d,\"first_row\":%d,\"rows\":%d,"
            "\"first_column\":%d,\"columns\":%d,"
            "\"weights_bytes\":%zu,\"activation_bytes\":%zu,"
            "\"scratch_bytes\":%zu,\"state_bytes\":%zu,\"held_bytes\":%zu,"
            "\"reading_bytes\":%zu,\"total_bytes\":%zu}",
            q, r.row, r.rows, r.column, r.columns, m.weights_share,
            m.activations, m.scratch, m.state, m.held, m.reading, m.total);
}

static void json_roles(const weft_plan *p, FILE *to)
{
    fprintf(to,
            "\"flights\":%d,\"costs\":\"%s\",\"seconds\":%.6g,"
            "\"sampling_seconds\":%.6g,\"roles\":[",
            p->flights, p->costs, p->forecast.seconds, p->sampling.seconds);
    for (int k = 0; k < p->nroles; k++) {
        const weft_role *r = &p->roles.role[k];

        fprintf(to,
                "%s{\"role\":\"%s\",\"first_rank\":%d,\"ranks\":%d,"
                "\"busy\":%.4f}",
                k ? "," : "", r->asked.name, r->rank0 * p->across,
                r->asked.ranks * p->across, p->sampling.busy[k]);
    }
    fprintf(to, "],");
}

void weft_plan_print_json(const weft_plan *p, const char *first, FILE *to)
{
    const weft_volume total = weft_plan_total(p);

    fprintf(to,
            "{%s\"width\":%d,\"height\":%d,\"latent\":[%d,%d,%d],\"grain\":%d,"
            "\"strip\":%d,\"ranks\":%d,\"groups\":%d,\"patches\":%d,"
            "\"across\":%d,\"threads\":%d,"
            "\"kernels\":\"%s\",\"isa\":\"%s\",\"images\":%d,\"batch\":%d,"
            "\"steps\":%d,\"nets\":[",
            first, p->width, p->height, p->channels, p->rows, p->columns,
            p->unit, p->strip, p->ranks, p->grid.groups, weft_plan_group(p),
            p->across, p->threads, p->kernels, p->dev->isa, p->images, p->batch,
            p->steps);
    for (int i = 0; i < p->nnets; i++) {
        if (i) fprintf(to, ",");
        json_net(p, &p->net[i], to);
    }
    fprintf(to, "],\"readers\":[");
    for (int i = 0; i < p->nreaders; i++)
        json_reader(&p->reader[i], i ? "," : "", to);
    fprintf(to, "],");
    json_roles(p, to);
    fprintf(to, "\"by_patch\":[");
    for (int q = 0; q < weft_plan_group(p); q++) {
        if (q) fprintf(to, ",");
        json_patch(p, q, to);
    }
    fprintf(to, "],");
    json_volume("output_per_image", &p->output, to);
    fprintf(to, ",");
    json_volume("group_0_total", &total, to);
    fprintf(to, ",\"hash\":\"%016llx\"}\n", (unsigned long long)p->hash);
}
