#include "launch/method.h"

#include <stdio.h>
#include <string.h>

/* ---- models -------------------------------------------------------------- */

static int index_of(const weft_config *c, const char *name)
{
    for (int i = 0; i < c->nmodels; i++)
        if (!strcmp(name, c->model[i].name)) return i;
    WEFT_BUG("a config without the model that samples");
}

weft_status weft_method_models(const weft_config *c, weft_method *m)
{
    memset(m, 0, sizeof *m);
    m->config = c;
    m->model[m->nmodels++] = index_of(c, c->sample.model);
    return WEFT_OK;
}

int weft_method_model(const weft_method *m, const char *name)
{
    for (int i = 0; i < m->nmodels; i++)
        if (!strcmp(name, m->config->model[m->model[i]].name)) return i;
    return -1;
}

/* ---- what is asked ------------------------------------------------------- */

static int add_leaf(weft_method *m, int model, weft_condition condition)
{
    for (int i = 0; i < m->nleaves; i++)
        if (m->leaf[i].model == model && m->leaf[i].condition == condition)
            return i;
    WEFT_MUST(m->nleaves < WEFT_LEAVES);
    m->leaf[m->nleaves] = (weft_leaf){model, condition};
    return m->nleaves++;
}

/* 1 is the conditional prediction alone, 0 the unconditional one, literally. */
static bool is_plain(const weft_guidance *g, double scale)
{
    return g->scale == scale && !g->linear && !g->limited;
}

/* A model under guidance, as one of the solver's denoisers. */
static void ask_guided(weft_method *m, int model, const weft_guidance *g)
{
    weft_asked *a = &m->asked[m->nasked++];

    *a = (weft_asked){.against = -1};
    if (is_plain(g, 1)) {
        a->leaf = add_leaf(m, model, WEFT_COND);
        return;
    }
    if (is_plain(g, 0)) {
        a->leaf = add_leaf(m, model, WEFT_UNCOND);
        return;
    }
    a->guided = true;
    a->guidance = *g;
    a->leaf = add_leaf(m, model, m->apart[model] ? WEFT_COND : WEFT_BOTH);
    if (m->apart[model]) a->against = add_leaf(m, model, WEFT_UNCOND);
}

weft_status weft_method_list(weft_method *m)
{
    const weft_config *c = m->config;

    m->nleaves = m->nasked = 0;
    ask_guided(m, 0, &(weft_guidance){.scale = c->sample.guidance});
    return WEFT_OK;
}

bool weft_method_guides(const weft_method *m)
{
    for (int i = 0; i < m->nasked; i++)
        if (m->asked[i].guided) return true;
    return false;
}

/* Guidance rescale: two sums and two of squares. */
int weft_method_sums(const weft_method *m, int n)
{
    (void)m;
    return 4 * n;
}

void weft_method_role(const weft_method *m, const weft_leaf *leaf, char *name,
                      size_t room)
{
    const char *model = m->config->model[m->model[leaf->model]].name;
    const char *condition = leaf->condition == WEFT_UNCOND ? "uncond" : "cond";

    if (!m->apart[leaf->model])
        snprintf(name, room, "%s", model);
    else if (m->nmodels == 1)
        snprintf(name, room, "%s", condition);
    else
        snprintf(name, room, "%s.%s", model, condition);
}

/* ---- solvers ------------------------------------------------------------- */

weft_status weft_method_solver(const weft_method *m,
                               const weft_noise_schedule *schedule,
                               weft_solver **s)
{
    const weft_config *c = m->config;
    const weft_solver_opts o = {.kind = c->sample.solver,
                                .steps = c->sample.steps,
                                .eta = c->sample.eta,
                                .nodes = c->sample.nodes,
                                .sigmas = c->sample.sigmas,
                                .nnodes = c->sample.nnodes};

    return weft_solver_create(&o, schedule, s);
}
