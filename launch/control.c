#include "launch/control.h"

#include <stdlib.h>
#include <string.h>

#include "core/finite.h"
#include "launch/config_tree.h"
#include "launch/pixels.h"
#include "launch/telling.h"
#include "mpi/watch.h"

static const weft_config_model *model_of(const weft_setup *s, int model)
{
    return &s->config->model[s->method.model[model]];
}

static const char *picture_of(const weft_config *c,
                              const weft_config_control *control)
{
    return control->image.path ? control->image.path : c->sample.control.path;
}

/* ---- plan ---------------------------------------------------------------- */

static weft_status check_control(weft_setup *s, int model, int k)
{
    const weft_config *c = s->config;
    const weft_config_model *m = model_of(s, model);
    const weft_net_info *info = &s->models.file[s->models.sight[model][k]].info;
    const char *path = m->control[k].net.path;
    const char *picture = picture_of(c, &m->control[k]);

    if (!picture)
        return weft_fail(WEFT_EINPUT,
                         "%s: models.%s.controls: %s has no picture: give it "
                         "an image, or all of them sample.control",
                         c->file, m->name, path);
    if (info->per_latent != s->plan.row_scale)
        return weft_fail(WEFT_EINPUT,
                         "%s: looks at %d x %d pixels for each of the sample, "
                         "and a picture has %d x %d (a vae is missing?)",
                         path, info->per_latent, info->per_latent,
                         s->plan.row_scale, s->plan.row_scale);
    if (info->picture != 1 && info->picture != 3)
        return weft_fail(WEFT_EINPUT,
                         "%s: looks at %d channels; a PNG has 1 or 3", path,
                         info->picture);
    return weft_pixels_check(c, picture, &s->picture);
}

/* None of the models' control nets, if there are any, looks at it. */
static weft_status not_seen(const weft_config *c, bool controls)
{
    const weft_place at = {c->file, NULL, c->sample.control_line};

    return weft_place_fail(&at, "sample.control: %s",
                           controls ? "all controls of the models have an "
                                      "image of their own"
                                    : "none of the models has controls");
}

weft_status weft_control_plan(weft_setup *s)
{
    const weft_config *c = s->config;
    int controls = 0, own = 0;

    for (int i = 0; i < s->method.nmodels; i++) {
        const weft_config_model *m = model_of(s, i);

        for (int k = 0; k < m->ncontrols; k++) {
            WEFT_TRY(check_control(s, i, k));
            own += m->control[k].image.path != NULL;
        }
        controls += m->ncontrols;
    }
    if (own < controls || !c->sample.control.path) return WEFT_OK;
    return not_seen(c, controls > 0);
}

/* ---- seeing -------------------------------------------------------------- */

/* One control net of one leaf. */
typedef struct view {
    weft_job *j;
    int leaf, k;
    const weft_config_control *control;
    const char *picture;
    weft_pixels pixels;
} view;

/* Floats of a row from the last to the first channel of each pixel. */
static void reverse(float *at, size_t pixels, int channels)
{
    for (size_t i = 0; i < pixels; i++, at += channels)
        for (int a = 0, b = channels - 1; a < b; a++, b--) {
            const float kept = at[a];

            at[a] = at[b];
            at[b] = kept;
        }
}

/* My rows of the picture to the net that sees it. */
static void show(const view *v, const weft_plan_net *net, weft_run *run)
{
    const weft_plan *p = &v->j->setup.plan;
    const weft_net_info *info = &v->j->setup.models.file[net->file].info;
    const int scale = p->row_scale;
    const weft_rect r = weft_plan_role_latent(p, net->role, v->j->rank);
    const weft_rect mine = {.row = r.row * scale,
                            .rows = r.rows * scale,
                            .column = r.column * scale,
                            .columns = r.columns * scale};
    float *to = weft_run_value(run, net->graph->input);

    weft_pixels_take(&v->pixels, &mine, info->picture, 1, 0, to);
    if (info->reversed) reverse(to, weft_rect_pixels(&mine), info->picture);
}

/* Rows for every sample of the leaf's batch, in a flight of its own texts. */
static void keep_for(const view *v, const weft_plan_net *leaf, int flight,
                     const float *from, size_t rows, size_t line)
{
    weft_run run = weft_job_run(v->j, v->j->setup.net_of[v->leaf]);
    float *to;

    run.held = weft_telling_place(v->j, v->leaf, flight);
    to = weft_run_value(&run, leaf->graph->hint[v->k]);
    for (size_t y = 0; y < rows; y++, from += line)
        for (int n = 0; n < leaf->n; n++, to += line)
            memcpy(to, from, line * sizeof *to);
}

/* What it sees. */
static weft_status keep(const view *v, const weft_plan_net *net,
                        const weft_run *sees)
{
    const weft_job *j = v->j;
    const weft_plan_net *leaf = &j->setup.plan.net[j->setup.net_of[v->leaf]];
    const weft_graph *g = net->graph;
    const size_t rows = (size_t)weft_run_rows(g, sees, g->output);
    const size_t line = (size_t)weft_run_columns(g, sees, g->output) *
                        (size_t)weft_graph_at(g, g->output)->c;
    const float *from = weft_run_value(sees, g->output);

    if (!weft_all_finite(from, rows * line))
        return weft_fail(WEFT_ENAN,
                         "%s: what it sees in %s is not a number: its weights "
                         "are damaged",
                         v->control->net.path, v->picture);
    for (int i = 0; i < j->texts; i++) keep_for(v, leaf, i, from, rows, line);
    return WEFT_OK;
}

/* Collective over the role of the leaf. */
static weft_status see(const view *v)
{
    const weft_setup *s = &v->j->setup;
    const int i = s->sight[v->leaf][v->k];
    weft_run run = weft_job_run(v->j, i);

    show(v, &s->plan.net[i], &run);
    WEFT_TRY(weft_graph_eval(s->plan.net[i].graph, &run));
    return keep(v, &s->plan.net[i], &run);
}

/* Collective over the job: one picture after the other. */
static weft_status look(weft_job *j, int leaf, int k)
{
    const weft_setup *s = &j->setup;
    const weft_config_model *m = model_of(s, s->method.leaf[leaf].model);
    const bool mine = j->net[s->net_of[leaf]].mine;
    view v = {.j = j,
              .leaf = leaf,
              .k = k,
              .control = &m->control[k],
              .picture = picture_of(&j->config, &m->control[k])};
    weft_status st = WEFT_OK;

    if (mine)
        st = weft_setup_status(
            weft_pixels_read(&j->config, v.picture, &v.pixels));
    st = weft_comm_agree(j->world, st);
    if (st == WEFT_OK) st = weft_comm_agree(j->world, mine ? see(&v) : WEFT_OK);
    free(v.pixels.at);
    return st;
}

weft_status weft_control_make(weft_job *j)
{
    const weft_setup *s = &j->setup;

    weft_watch_at("looking at control pictures", 0, 0);
    for (int i = 0; i < s->method.nleaves; i++) {
        const weft_config_model *m = model_of(s, s->method.leaf[i].model);

        for (int k = 0; k < m->ncontrols; k++) WEFT_TRY(look(j, i, k));
    }
    return WEFT_OK;
}

/* ---- following ----------------------------------------------------------- */

/* Evaluations of steps from `from` up to `to`. */
static int evaluations(const weft_solver *s, int from, int to)
{
    int n = 0;

    for (int i = from; i < to; i++) n += weft_solver_stages(s, i);
    return n;
}

/* The solver that steps are made of, whatever is made of those. */
static const weft_solver *walk_of(const weft_setup *s)
{
    const weft_solver *walk = s->solver;

    while (walk->inner) walk = walk->inner;
    return walk;
}

void weft_control_follow(const weft_setup *s, int leaf, int step, int stage,
                         float *follow)
{
    const weft_config_model *m = model_of(s, s->method.leaf[leaf].model);
    const weft_solver *walk = walk_of(s);
    const int last = weft_solver_stages(walk, step) - 1;
    const double all = evaluations(walk, walk->first, walk->steps);
    const double i =
        evaluations(walk, walk->first, step) + (stage < last ? stage : last);

    for (int k = 0; k < m->ncontrols; k++) {
        const weft_config_control *c = &m->control[k];
        const bool follows = i / all >= c->start && (i + 1) / all <= c->end;

        follow[k] = follows ? (float)c->scale : 0;
    }
}
