/* Memory of ranks and of nodes. */
#include "partition/plan.h"

weft_status weft_plan_net_past(const weft_plan *p, const weft_plan_net *net,
                               const weft_cut *cut, size_t *bytes)
{
    const int kinds = net->lanes ? net->lanes : 1;
    const int lanes = weft_has_past(&net->sched) ? kinds * p->flights : 1;

    *bytes = 0;
    WEFT_TRY(weft_plan_graph_past(net->graph, net->n, cut, net->sched, bytes));
    *bytes *= (size_t)lanes;
    return WEFT_OK;
}

/* ---- phases -------------------------------------------------------------- */

static bool overlap(const weft_role *a, const weft_role *b)
{
    return a->rank0 < b->rank0 + b->asked.ranks &&
           b->rank0 < a->rank0 + a->asked.ranks;
}

/* Has a rank of net k any net of these weights? */
static bool meets(const weft_plan *p, int k, int weights)
{
    const weft_role *role = p->roles.role;

    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].weights == weights &&
            overlap(&role[p->net[k].role], &role[p->net[i].role]))
            return true;
    return false;
}

/* Alike for all nets of one file's weights, which come and go as one. */
bool weft_plan_is_beside(const weft_plan *p, int i)
{
    const int weights = p->net[i].weights;

    for (int k = 0; k < p->nnets; k++)
        if (p->net[k].phase == WEFT_PHASE_STEPS && !p->net[k].each_image &&
            !p->net[k].once && p->net[k].weights != weights &&
            meets(p, k, weights))
            return true;
    return false;
}

/* A net that decodes what is all sampled already is alone. */
weft_plan_phase weft_plan_phase_of(const weft_plan *p, int i)
{
    const bool together = p->grid.groups == 1;
    const bool alone = together && weft_plan_batches(p, 0) == 1;
    const weft_plan_phase phase = p->net[i].phase;

    if (phase == WEFT_PHASE_AFTER && !alone) return WEFT_PHASE_STEPS;
    if (phase != WEFT_PHASE_LATER) return phase;
    return (alone || (together && p->swaps)) && weft_plan_is_beside(p, i)
               ? WEFT_PHASE_LATER
               : WEFT_PHASE_STEPS;
}

weft_plan_phase weft_plan_stage_phase(const weft_plan *p,
                                      const weft_stage *stage)
{
    for (int i = 0; i < stage->n; i++)
        if (weft_plan_phase_of(p, stage->lane[i]) == WEFT_PHASE_LATER)
            return WEFT_PHASE_LATER;
    return WEFT_PHASE_STEPS;
}

/* Is net i, beside those of a phase, there in it? What is there in the steps
 * but does not sample stays to their end. */
static bool is_there(const weft_plan *p, int i, weft_plan_phase phase)
{
    const weft_plan_phase own = weft_plan_phase_of(p, i);

    return own == phase ||
           (phase == WEFT_PHASE_LATER && own == WEFT_PHASE_STEPS &&
            (p->net[i].each_image || p->net[i].once));
}

/* ---- weights ------------------------------------------------------------- */

/* Does any of the ranks have net i? */
static bool has_net(const weft_plan *p, int i, int rank, int ranks)
{
    for (int r = rank; r < rank + ranks; r++)
        if (weft_roles_has(&p->roles, p->net[i].role,
                           r % weft_plan_group(p) / p->across))
            return true;
    return false;
}

/* Packed for these ranks together, in a phase. */
static size_t weights_in(const weft_plan *p, int rank, int ranks,
                         weft_plan_phase phase)
{
    size_t sum = 0;

    for (int i = 0; i < p->nnets; i++) {
        bool counted = !has_net(p, i, rank, ranks) || !is_there(p, i, phase);

        for (int k = 0; k < i; k++)
            counted |= p->net[k].weights == p->net[i].weights &&
                       has_net(p, k, rank, ranks) && is_there(p, k, phase);
        if (!counted) sum += p->net[i].weight_bytes;
    }
    return sum;
}

/* The most at once. */
static size_t weights_of(const weft_plan *p, int rank, int ranks)
{
    size_t most = 0;

    for (int k = 0; k < WEFT_PHASES; k++) {
        const size_t bytes = weights_in(p, rank, ranks, (weft_plan_phase)k);

        if (bytes > most) most = bytes;
    }
    return most;
}

/* Of so many ranks of the job from `rank` on, those that read texts. */
static int readers_among(const weft_plan *p, int rank, int ranks)
{
    const int role = weft_plan_reads(p);
    int n = 0;

    for (int r = rank; r < rank + ranks; r++)
        n += role < 0 || weft_roles_has(&p->roles, role,
                                        r % weft_plan_group(p) / p->across);
    return n;
}

/* Before the steps, where readers do not stay: of ranks of a node that share
 * one copy of a reader's weights with `sharers`. */
static size_t reading_of(const weft_plan *p, int ranks, int sharers)
{
    size_t most = 0;

    if (p->readers_stay || !ranks) return 0;
    for (int i = 0; i < p->nreaders; i++) {
        const weft_plan_reader *r = &p->reader[i];
        const size_t own =
            r->block_bytes + r->scratch_bytes * (size_t)p->threads;
        const size_t all =
            r->weight_bytes / (size_t)sharers + own * (size_t)ranks;

        if (all > most) most = all;
    }
    return most;
}

/* While sampling, where readers stay: the weights of all. */
static size_t readers_weights(const weft_plan *p)
{
    size_t sum = 0;

    if (!p->readers_stay) return 0;
    for (int i = 0; i < p->nreaders; i++) sum += p->reader[i].weight_bytes;
    return sum;
}

/* ... and what one of them needs to work. Batches in flight have texts of their
 * own then. */
static void add_readers(const weft_plan *p, int rank, int ranks_on_node,
                        weft_plan_memory *m)
{
    if (!p->readers_stay) return;
    m->held *= (size_t)p->flights;
    if (!readers_among(p, rank, 1)) return;
    m->weights_share += readers_weights(p) / (size_t)ranks_on_node;
    for (int i = 0; i < p->nreaders; i++) {
        const weft_plan_reader *r = &p->reader[i];

        if (r->block_bytes > m->activations) m->activations = r->block_bytes;
        if (r->scratch_bytes > m->scratch) m->scratch = r->scratch_bytes;
    }
}

/* Texts of a batch, as they are told: of those whose nets are, and of those who
 * read them for others. */
static size_t texts_of(const weft_plan *p, int rank)
{
    const bool reads = weft_plan_texts_travel(p) && readers_among(p, rank, 1);
    size_t sum = 0;

    for (int i = 0; i < p->nnets; i++) {
        const weft_plan_net *net = &p->net[i];

        if (reads || weft_roles_has(&p->roles, net->role, rank / p->across))
            sum += net->text_bytes * (size_t)net->n * (size_t)net->askers;
    }
    return sum;
}

/* While sampling, but for weights. */
static size_t unshared(const weft_plan_memory *m)
{
    return m->activations + m->scratch + m->state + m->past + m->held;
}

weft_plan_memory weft_plan_memory_of(const weft_plan *p, int rank,
                                     int ranks_on_node)
{
    const weft_rect mine = weft_plan_latent(p, rank);
    weft_plan_memory m = {0};

    for (int i = 0; i < p->nnets; i++) {
        const weft_cut cut = weft_plan_cut(p, p->net[i].role, rank);
        weft_layout l;
        size_t past;

        if (cut.me < 0) continue;
        if (weft_plan_net_past(p, &p->net[i], &cut, &past) == WEFT_OK)
            m.past += past;
        if (weft_layout_make(p->net[i].graph, p->dev, p->net[i].n, &cut, &l) !=
            WEFT_OK)
            continue;
        /* Nets take turns in one block. */
        if (l.bytes > m.activations) m.activations = l.bytes;
        if (l.scratch > m.scratch) m.scratch = l.scratch;
        m.held += l.held_bytes * (size_t)p->net[i].askers;
        weft_layout_release(&l);
    }
    m.weights_share = weights_of(p, rank, 1) / (size_t)ranks_on_node;
    m.held += texts_of(p, rank);
    add_readers(p, rank, ranks_on_node, &m);
    m.scratch *= (size_t)p->threads;
    m.state = p->state_bytes_per_row * (size_t)mine.rows *
              (size_t)mine.columns / (size_t)p->columns * (size_t)p->batch *
              (size_t)p->flights;
    m.reading = reading_of(p, readers_among(p, rank, 1), ranks_on_node);
    m.total = m.weights_share + unshared(&m);
    if (m.reading > m.total) m.total = m.reading;
    return m;
}

/* Of these ranks of the job, who share one copy of each net's weights. */
static size_t memory_of_node(const weft_plan *p, int rank, int ranks)
{
    const int readers = readers_among(p, rank, ranks);
    const bool reads =
        weft_plan_reads(p) < 0 ? !rank : rank < weft_plan_group(p);
    const size_t reading = reads ? reading_of(p, readers, 1) : 0;
    size_t sum = readers ? readers_weights(p) : 0;

    for (int r = rank; r < rank + ranks; r++) {
        const weft_plan_memory m =
            weft_plan_memory_of(p, r % weft_plan_group(p), 1);

        sum += unshared(&m);
    }
    sum += weights_of(p, rank, ranks);
    return sum > reading ? sum : reading;
}

size_t weft_plan_node_memory(const weft_plan *p, int ranks_per_node)
{
    size_t most = 0;

    for (int r = 0; r < p->ranks; r += ranks_per_node) {
        const int left = p->ranks - r;
        const size_t node =
            memory_of_node(p, r, left < ranks_per_node ? left : ranks_per_node);

        if (node > most) most = node;
    }
    return most;
}
