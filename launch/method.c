#include "launch/method.h"

#include <stdio.h>
#include <string.h>

#include "core/solve/reflect.h"
#include "core/solve/superpose.h"
#include "launch/adapters.h"
#include "launch/config_method.h"

/* ---- models -------------------------------------------------------------- */

static int index_of(const weft_config *c, const char *name)
{
    for (int i = 0; i < c->nmodels; i++)
        if (!strcmp(name, c->model[i].name)) return i;
    WEFT_BUG("a config without the model that samples");
}

/* Strong and weak, in this order. */
static bool takes_pair(weft_method_kind method)
{
    return method == WEFT_W2SD || method == WEFT_AUTOGUIDANCE;
}

static bool superposes(weft_method_kind method)
{
    return method == WEFT_SUPERDIFF_OR || method == WEFT_SUPERDIFF_AND ||
           method == WEFT_AVERAGE;
}

weft_status weft_method_models(const weft_config *c, weft_method *m)
{
    memset(m, 0, sizeof *m);
    m->config = c;
    if (superposes(c->sample.method)) {
        WEFT_MUST(c->nmodels <= WEFT_MODELS);
        for (int i = 0; i < c->nmodels; i++) m->model[m->nmodels++] = i;
        return WEFT_OK;
    }
    m->model[m->nmodels++] = index_of(c, c->sample.model);
    if (takes_pair(c->sample.method))
        m->model[m->nmodels++] = index_of(c, "weak");
    if (c->sample.refiner)
        m->model[m->nmodels++] = index_of(c, c->sample.refiner);
    return WEFT_OK;
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
    if (is_plain(g, 1) || m->guided[model]) {
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

/* The config's guidance, of whatever scale, as it goes over the steps. */
static weft_guidance over_steps(const weft_config *c, double scale)
{
    const weft_config_guidance *g = &c->sample.over;

    return (weft_guidance){.scale = scale,
                           .linear = g->linear,
                           .end = g->end,
                           .limited = g->limited,
                           .start = g->start,
                           .stop = g->stop,
                           .steps = c->sample.steps,
                           .rescale = g->rescale};
}

static weft_guidance constant(double scale)
{
    return (weft_guidance){.scale = scale};
}

static void ask_one(weft_method *m, int model, weft_condition condition,
                    weft_half half)
{
    m->asked[m->nasked++] = (weft_asked){
        .leaf = add_leaf(m, model, condition), .against = -1, .half = half};
}

static bool same_path(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_text(const weft_config_text *a, const weft_config_text *b)
{
    for (int i = 0; i < WEFT_ENCODERS; i++)
        if (!same_path(a->encoder[i].path, b->encoder[i].path) ||
            !same_path(a->tokenizer[i].path, b->tokenizer[i].path))
            return false;
    return a->zeros == b->zeros;
}

/* Two models that are one net asked about nothing. */
static bool same_uncond(const weft_method *m, int a, int b)
{
    const weft_config_model *x = &m->config->model[m->model[a]];
    const weft_config_model *y = &m->config->model[m->model[b]];

    return x->path && y->path && !strcmp(x->path, y->path) &&
           x->null_label == y->null_label && same_text(&x->text, &y->text) &&
           weft_adapters_same(x, y);
}

/* How many unconditional predictions a superposition of the method's models
 * asks: one where it is the same for all. */
static int unconds(const weft_method *m)
{
    const weft_guidance g = over_steps(m->config, m->config->sample.guidance);

    if (is_plain(&g, 1)) return 0;
    for (int i = 1; i < m->nmodels; i++)
        if (!same_uncond(m, 0, i)) return m->nmodels;
    return 1;
}

/* Both conditions of a model share passes over its weights unless they are two
 * roles. */
static void ask_superposed(weft_method *m)
{
    const int n = unconds(m);

    for (int i = 0; i < m->nmodels; i++)
        if (i < n && !m->apart[i])
            ask_one(m, i, WEFT_BOTH, WEFT_COND_HALF);
        else
            ask_one(m, i, WEFT_COND, WEFT_WHOLE);
    for (int i = 0; i < n; i++)
        if (m->apart[i])
            ask_one(m, i, WEFT_UNCOND, WEFT_WHOLE);
        else
            ask_one(m, i, WEFT_BOTH, WEFT_UNCOND_HALF);
}

/* In the order of reflect.h: ordinary, strong, weak. */
static void ask_reflected(weft_method *m)
{
    const weft_config *c = m->config;
    const weft_config_method *how = &c->sample.how;
    const bool zigzag = c->sample.method == WEFT_ZSAMPLING;
    const weft_guidance ordinary =
        over_steps(c, zigzag ? how->gamma1 : c->sample.guidance);
    const weft_guidance strong =
        zigzag ? ordinary : constant(how->guidance_strong);
    const weft_guidance weak =
        constant(zigzag ? how->gamma2 : how->guidance_weak);

    ask_guided(m, 0, &ordinary);
    ask_guided(m, 0, &strong);
    if (c->sample.method != WEFT_RESAMPLING)
        ask_guided(m, takes_pair(c->sample.method), &weak);
}

weft_status weft_method_list(weft_method *m)
{
    const weft_config *c = m->config;
    const weft_guidance g = over_steps(c, c->sample.guidance);

    m->nleaves = m->nasked = 0;
    if (superposes(c->sample.method) || c->sample.method == WEFT_AUTOGUIDANCE)
        ask_superposed(m);
    else if (weft_method_reflects(c->sample.method))
        ask_reflected(m);
    else /* the refiner, where there is one, in the place of the model */
        for (int i = 0; i < m->nmodels; i++) ask_guided(m, i, &g);
    return WEFT_OK;
}

bool weft_method_asks(const weft_method *m, int model, weft_condition condition)
{
    for (int i = 0; i < m->nleaves; i++)
        if (m->leaf[i].model == model && (m->leaf[i].condition == condition ||
                                          m->leaf[i].condition == WEFT_BOTH))
            return true;
    return false;
}

bool weft_method_guides(const weft_method *m)
{
    for (int i = 0; i < m->nleaves; i++)
        if (m->leaf[i].condition != WEFT_COND) return true;
    return false;
}

int weft_method_sums(const weft_method *m, int n)
{
    const int superposed = m->nmodels * (m->nmodels + 2) + 1;
    int most = superposed > WEFT_RESCALE_SUMS ? superposed : WEFT_RESCALE_SUMS;

    for (int i = 0; i < m->nmodels; i++)
        if (m->config->model[m->model[i]].components > most)
            most = m->config->model[m->model[i]].components;
    return n * most;
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

static weft_status reflected(const weft_method *m, weft_solver *inner,
                             weft_solver **s)
{
    const weft_config *c = m->config;
    const bool resample = c->sample.method == WEFT_RESAMPLING;
    const weft_reflect_opts o = {
        .name = weft_method_name[c->sample.method],
        .lambda = c->sample.how.lambda,
        .rounds = c->sample.how.rounds,
        .inverse_offset = resample ? 0 : c->sample.how.inverse_offset,
        .resample = resample};

    return weft_reflect_create(&o, inner, s);
}

/* Auto-guidance is an average of weights 1 + w and -w: good + w (good - bad).
 */
static weft_status superposed(const weft_method *m, weft_solver *inner,
                              weft_solver **s)
{
    static const weft_superpose_kind kinds[WEFT_METHODS] = {
        [WEFT_AUTOGUIDANCE] = WEFT_SUPERPOSE_AVERAGE,
        [WEFT_SUPERDIFF_OR] = WEFT_SUPERPOSE_OR,
        [WEFT_SUPERDIFF_AND] = WEFT_SUPERPOSE_AND,
        [WEFT_AVERAGE] = WEFT_SUPERPOSE_AVERAGE};
    const weft_config *c = m->config;
    const weft_config_method *how = &c->sample.how;
    const weft_method_kind method = c->sample.method;
    const double apart[] = {1 + how->autoguidance, -how->autoguidance};
    const weft_superpose_opts o = {
        .name = weft_method_name[method],
        .kind = kinds[method],
        .models = m->nmodels,
        .unconds = unconds(m),
        .guidance = over_steps(c, c->sample.guidance),
        .temperature = how->temperature,
        .bias = method == WEFT_AUTOGUIDANCE ? apart : how->bias,
        .lift = method == WEFT_SUPERDIFF_AND ? how->lift : 0,
        .quirk = method == WEFT_SUPERDIFF_OR && how->quirk};

    return weft_superpose_create(&o, inner, s);
}

/* The method's solver, which owns the inner one; on failure that is gone. */
static weft_status wrap(const weft_method *m, weft_solver *inner,
                        weft_solver **s)
{
    const weft_method_kind method = m->config->sample.method;
    weft_status st = WEFT_OK;

    if (weft_method_reflects(method))
        st = reflected(m, inner, s);
    else if (superposes(method) || method == WEFT_AUTOGUIDANCE)
        st = superposed(m, inner, s);
    else
        *s = inner;
    if (st != WEFT_OK) weft_solver_destroy(inner);
    return st;
}

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

    weft_solver *inner;
    weft_status st;

    st = weft_solver_create(&o, schedule, &inner);
    if (st == WEFT_OK && c->sample.refiner) {
        st = weft_solver_hand_over(inner, c->sample.refine_from);
        if (st != WEFT_OK) weft_solver_destroy(inner);
    }
    if (st == WEFT_OK) st = wrap(m, inner, s);
    return st == WEFT_OK ? st : weft_fail_within(st, "%s", c->file);
}
