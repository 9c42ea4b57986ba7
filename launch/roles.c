#include "launch/roles.h"

#include <stdlib.h>
#include <string.h>

#include "launch/config_dataset.h"

/* ---- names --------------------------------------------------------------- */

static bool is_given(const weft_config *c, const char *name)
{
    for (int i = 0; i < c->parallel.nroles; i++)
        if (!strcmp(c->parallel.role[i].name, name)) return true;
    return false;
}

/* NAME.cond means the same as cond where there is one model. */
static bool gives(const weft_method *m, int model, const char *condition)
{
    char name[WEFT_ROLE_NAME];

    snprintf(name, sizeof name, "%s.%s", m->config->model[m->model[model]].name,
             condition);
    return is_given(m->config, name) ||
           (m->nmodels == 1 && is_given(m->config, condition));
}

void weft_roles_split(weft_setup *s, bool all)
{
    weft_method *m = &s->method;

    for (int i = 0; i < m->nmodels; i++)
        m->apart[i] = all || gives(m, i, "cond") || gives(m, i, "uncond");
}

/* ---- roles --------------------------------------------------------------- */

static int role_named(const weft_setup *s, const char *name)
{
    for (int k = 0; k < s->plan.nroles; k++)
        if (!strcmp(s->role_name[k], name)) return k;
    return -1;
}

static weft_status add_role(weft_setup *s, const char *name, bool denoises,
                            int *role)
{
    weft_plan *p = &s->plan;

    *role = role_named(s, name);
    if (*role >= 0) return WEFT_OK;
    if (p->nroles == WEFT_ROLES)
        return weft_fail(WEFT_EINPUT, "%s: more than %d roles", s->config->file,
                         WEFT_ROLES);
    *role = p->nroles++;
    snprintf(s->role_name[*role], WEFT_ROLE_NAME, "%s", name);
    p->role[*role] =
        (weft_role_spec){.name = s->role_name[*role], .denoises = denoises};
    return WEFT_OK;
}

/* Texts have a role where it is given ranks; without one, whoever needs a text
 * reads it, or rank 0's node does for all. */
static weft_status add_text(weft_setup *s)
{
    int role;

    if (!s->prompts.readers || !is_given(s->config, "text")) return WEFT_OK;
    WEFT_TRY(add_role(s, "text", false, &role));
    s->plan.role[role].reads = true;
    return WEFT_OK;
}

/* "strong, weak and vae" */
static void list_roles(const weft_setup *s, char *text, size_t room)
{
    const int n = s->plan.nroles;
    size_t at = 0;

    for (int k = 0; k < n && at < room; k++)
        at += (size_t)snprintf(text + at, room - at, "%s%s",
                               k == 0       ? ""
                               : k + 1 == n ? " and "
                                            : ", ",
                               s->role_name[k]);
}

/* ":7", or nothing. */
static const char *line_of(const weft_config_role *r, char *text, size_t room)
{
    *text = '\0';
    if (r->line) snprintf(text, room, ":%d", r->line);
    return text;
}

static weft_status refuse_role(const weft_setup *s, const weft_config_role *r)
{
    char roles[WEFT_ROLES * WEFT_ROLE_NAME];
    char line[24];

    list_roles(s, roles, sizeof roles);
    return weft_fail(WEFT_EINPUT,
                     "%s%s: parallel.roles: nothing in this run asks \"%s\"; "
                     "its roles are %s",
                     s->config->file, line_of(r, line, sizeof line), r->name,
                     roles);
}

/* Of a role, the lines: whole ones. */
static weft_status lines_of(const weft_setup *s, const weft_config_role *r,
                            int *lines)
{
    const int across = s->plan.across;
    char line[24];

    *lines = r->ranks / across;
    if (r->ranks % across == 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s%s: parallel.roles.%s: %d rank%s %s no multiple of "
                     "the %d side by side of parallel.patches",
                     s->config->file, line_of(r, line, sizeof line), r->name,
                     r->ranks, r->ranks == 1 ? "" : "s",
                     r->ranks == 1 ? "is" : "are", across);
}

/* MODEL.cond is cond where MODEL is the only one. */
static const char *short_name(const weft_setup *s, const char *name)
{
    const weft_method *m = &s->method;
    const char *model = s->config->model[m->model[0]].name;
    const size_t n = strlen(model);

    if (m->nmodels == 1 && !strncmp(name, model, n) && name[n] == '.')
        return name + n + 1;
    return name;
}

static weft_status give_ranks(weft_setup *s)
{
    const weft_config *c = s->config;

    for (int i = 0; i < c->parallel.nroles; i++) {
        const weft_config_role *r = &c->parallel.role[i];
        const int k = role_named(s, short_name(s, r->name));

        if (k < 0) return refuse_role(s, r);
        s->plan.role[k].own = !s->plan.role[k].denoises;
        WEFT_TRY(lines_of(s, r, &s->plan.role[k].ranks));
    }
    for (int k = 0; k < s->plan.nroles && c->parallel.nroles; k++)
        if (s->plan.role[k].denoises && !s->plan.role[k].ranks)
            return weft_fail(WEFT_EINPUT,
                             "%s: parallel.roles gives no ranks to %s", c->file,
                             s->role_name[k]);
    return WEFT_OK;
}

/* ---- nets ---------------------------------------------------------------- */

/* Leaves of one net, role and size of batch share a layout and a lane. */
static weft_status add_net(weft_setup *s, int file, int role, int conditions,
                           int *net)
{
    weft_plan *p = &s->plan;

    for (*net = 0; *net < p->nnets; ++*net)
        if (p->net[*net].file == file && p->net[*net].role == role &&
            p->net[*net].conditions == conditions)
            return WEFT_OK;
    if (p->nnets == WEFT_PLAN_NETS)
        return weft_fail(WEFT_EINPUT, "%s: more than %d nets of roles",
                         s->config->file, WEFT_PLAN_NETS);
    p->net[p->nnets] =
        (weft_plan_net){.role = role,
                        .graph = &s->models.file[file].graph,
                        .file = file,
                        .weights = s->models.head[file],
                        .machine = s->machine.from == WEFT_COSTS_MEASURED
                                       ? &s->machine.net[file]
                                       : NULL,
                        .conditions = conditions,
                        .file_bytes = s->models.file[file].file_bytes};
    p->nnets++;
    return WEFT_OK;
}

/* Whoever evaluates a leaf sees its pictures for itself: its rows of them. */
static weft_status add_sights(weft_setup *s, int leaf, int role)
{
    const int model = s->method.leaf[leaf].model;
    const weft_config_model *m = &s->config->model[s->method.model[model]];

    for (int k = 0; k < m->ncontrols; k++) {
        int *net = &s->sight[leaf][k];

        WEFT_TRY(add_net(s, s->models.sight[model][k], role, 1, net));
        s->plan.net[*net].once = true;
        s->plan.net[*net].evaluations++;
    }
    return WEFT_OK;
}

static weft_status add_leaves(weft_setup *s)
{
    const weft_method *m = &s->method;

    for (int i = 0; i < m->nleaves; i++) {
        const weft_leaf *leaf = &m->leaf[i];
        char name[WEFT_ROLE_NAME];
        int role;

        weft_method_role(m, leaf, name, sizeof name);
        WEFT_TRY(add_role(s, name, true, &role));
        s->net_of[i] = -1;
        if (s->models.of[leaf->model] < 0) continue;
        WEFT_TRY(add_net(s, s->models.of[leaf->model], role,
                         leaf->condition == WEFT_BOTH ? 2 : 1, &s->net_of[i]));
        if (s->config->sample.refiner && leaf->model == 1 &&
            !weft_config_is_dataset(s->config))
            s->plan.net[s->net_of[i]].phase = WEFT_PHASE_LATER;
        s->plan.net[s->net_of[i]].askers++;
        s->plan.net[s->net_of[i]].text_bytes =
            weft_listener_bytes(&s->prompts.model[leaf->model]);
        WEFT_TRY(add_sights(s, i, role));
    }
    return WEFT_OK;
}

static weft_status add_vae(weft_setup *s)
{
    s->plan.vae = s->decode = s->encode = -1;
    s->plan.gives_latents = 0;
    if (s->models.vae < 0) return WEFT_OK;
    WEFT_TRY(add_role(s, "vae", false, &s->plan.vae));
    WEFT_TRY(add_net(s, s->models.vae, s->plan.vae, 1, &s->decode));
    s->plan.net[s->decode].each_image = true;
    s->plan.net[s->decode].evaluations = s->config->output.pictures ? 1 : 0;
    if (!weft_config_is_dataset(s->config))
        s->plan.net[s->decode].phase = WEFT_PHASE_AFTER;
    else if (s->config->output.pictures) /* one rank writes both */
        s->plan.gives_latents = s->plan.vae;
    if (s->models.encoder < 0) return WEFT_OK;
    WEFT_TRY(add_net(s, s->models.encoder, s->plan.vae, 1, &s->encode));
    s->plan.net[s->encode].once = true;
    s->plan.net[s->encode].evaluations = 1 + s->models.paints;
    s->plan.net[s->encode].phase = WEFT_PHASE_BEFORE;
    return WEFT_OK;
}

/* ---- stages -------------------------------------------------------------- */

/* Questions of one kind, a step apart, have a lane of their own where nets see
 * the past. */
static weft_status count_lane(weft_setup *s, int leaf, int kind)
{
    weft_plan_net *net = &s->plan.net[s->net_of[leaf]];
    int *lane = &s->lane_of[leaf][kind];

    if (*lane < 0 && net->lanes == WEFT_PLAN_LANES)
        return weft_fail(WEFT_EINPUT,
                         "%s: more than %d kinds of questions to one net",
                         s->config->file, WEFT_PLAN_LANES);
    if (*lane < 0) *lane = net->lanes++;
    net->in_lane[*lane]++;
    net->evaluations++;
    return WEFT_OK;
}

static weft_status add_lane(weft_setup *s, weft_stage *stage, int leaf)
{
    const int kind = weft_solver_lane(s->solver, stage->step, stage->index);

    if (leaf < 0 || s->net_of[leaf] < 0) return WEFT_OK;
    if (stage->n == WEFT_STAGE_LANES)
        return weft_fail(WEFT_EINPUT,
                         "%s: more than %d evaluations in one stage",
                         s->config->file, WEFT_STAGE_LANES);
    stage->lane[stage->n++] = s->net_of[leaf];
    return count_lane(s, leaf, kind);
}

static weft_status list_stage(weft_setup *s, int step, int k, weft_stage *to)
{
    weft_question q;

    *to = (weft_stage){.step = step,
                       .index = k,
                       .planes = 1 + __builtin_popcount(weft_solver_keeps(
                                         s->solver, step, k))};
    weft_solver_who(s->solver, step, k, &q);
    for (int i = 0; i < q.n; i++) {
        const weft_asked *a = &s->method.asked[q.who[i]];

        if (a->half == WEFT_UNCOND_HALF)
            continue; /* evaluated with the other */
        WEFT_TRY(add_lane(s, to, a->leaf));
        WEFT_TRY(add_lane(s, to, a->against));
    }
    return WEFT_OK;
}

static weft_status list_stages(weft_setup *s)
{
    weft_plan *p = &s->plan;
    int n = 1;

    for (int i = 0; i < s->solver->steps; i++)
        n += weft_solver_stages(s->solver, i);
    if (weft_solver_lanes(s->solver) > WEFT_PLAN_LANES)
        return weft_fail(WEFT_EINPUT, "%s: more than %d kinds of questions",
                         s->config->file, WEFT_PLAN_LANES);
    memset(s->lane_of, -1, sizeof s->lane_of);
    free(s->stage);
    s->stage = calloc((size_t)n, sizeof *s->stage);
    if (!s->stage) return weft_fail(WEFT_ENOMEM, "out of memory for stages");
    p->stage = s->stage;
    p->nstages = 0;
    for (int i = s->solver->first; i < s->solver->steps; i++)
        for (int k = 0; k < weft_solver_stages(s->solver, i); k++)
            WEFT_TRY(list_stage(s, i, k, &s->stage[p->nstages++]));
    s->stage[p->nstages] =
        (weft_stage){.step = s->solver->steps, .leaves = true, .planes = 1};
    if (s->decode >= 0 && s->config->output.pictures) {
        s->stage[p->nstages].lane[0] = s->decode;
        s->stage[p->nstages].n = 1;
    }
    p->nstages++;
    return WEFT_OK;
}

/* ---- sums over images ---------------------------------------------------- */

static void add_total(weft_plan *p, int sums)
{
    p->totals++;
    p->sums += sums;
}

/* An analytic model weighs its components by them. */
static void add_leaf_sums(weft_setup *s, int leaf)
{
    const weft_method *m = &s->method;

    if (leaf >= 0 && s->net_of[leaf] < 0)
        add_total(&s->plan,
                  m->config->model[m->model[m->leaf[leaf].model]].components);
}

static void add_stage_sums(weft_setup *s, const weft_stage *stage)
{
    weft_question q;

    weft_solver_who(s->solver, stage->step, stage->index, &q);
    for (int i = 0; i < q.n; i++) {
        const weft_asked *a = &s->method.asked[q.who[i]];

        if (a->half == WEFT_UNCOND_HALF) continue;
        add_leaf_sums(s, a->leaf);
        add_leaf_sums(s, a->against);
        if (a->guided && a->guidance.rescale > 0)
            add_total(&s->plan, WEFT_RESCALE_SUMS);
    }
}

static void count_sums(weft_setup *s)
{
    weft_plan *p = &s->plan;

    p->totals = p->sums = 0;
    for (int i = -1; i < s->solver->steps; i++) {
        const weft_solver_sums of = weft_solver_totals(s->solver, i);

        if (i >= 0 && i < s->solver->first) continue;
        p->totals += of.times;
        p->sums += of.sums;
    }
    for (int i = 0; i < p->nstages; i++)
        if (!p->stage[i].leaves) add_stage_sums(s, &p->stage[i]);
}

/* What shared ranks are dealt by. */
static void weigh_roles(weft_plan *p)
{
    for (int i = 0; i < p->nnets; i++) {
        const int first[] = {0, p->rows / p->unit};
        const weft_cut one = {.n = 1, .first = first};

        p->role[p->net[i].role].work +=
            weft_plan_seconds(p, i, &one) * p->net[i].evaluations;
    }
}

weft_status weft_roles_ask(weft_setup *s)
{
    s->plan.nroles = s->plan.nnets = 0;
    s->plan.batch = 1;
    WEFT_TRY(add_leaves(s));
    WEFT_TRY(add_vae(s));
    WEFT_TRY(add_text(s));
    WEFT_TRY(give_ranks(s));
    WEFT_TRY(list_stages(s));
    count_sums(s);
    weigh_roles(&s->plan);
    return WEFT_OK;
}
