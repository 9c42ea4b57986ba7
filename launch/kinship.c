#include "launch/kinship.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 4096 };

static const char *const prediction[] = {[WEFT_PREDICT_EPSILON] = "epsilon",
                                         [WEFT_PREDICT_V] = "v_prediction",
                                         [WEFT_PREDICT_SAMPLE] = "sample"};

/* *found is false where there is no file. */
static weft_status read_beside(const weft_config *c, const char *folder,
                               bool *found, weft_noise_schedule *s)
{
    char path[ROOM];
    weft_json *json;
    weft_status st;

    *found = false;
    if (snprintf(path, ROOM, "%s/../scheduler/scheduler_config.json", folder) >=
            ROOM ||
        access(path, R_OK) != 0)
        return WEFT_OK;
    WEFT_TRY(weft_json_read(path, &json));
    st = weft_noise_schedule_read(json, NULL, c->sample.solver, s);
    weft_json_free(json);
    *found = st == WEFT_OK;
    return st;
}

static weft_status compare(const weft_config *c, const char *a, const char *b,
                           const weft_noise_schedule *x,
                           const weft_noise_schedule *y)
{
    if (x->prediction != y->prediction)
        return weft_fail(WEFT_EINPUT,
                         "%s: models %s and %s do not go together: "
                         "prediction_type %s and %s",
                         c->file, a, b, prediction[x->prediction],
                         prediction[y->prediction]);
    if (x->train_steps != y->train_steps)
        return weft_fail(WEFT_EINPUT,
                         "%s: models %s and %s do not go together: %d and %d "
                         "num_train_timesteps",
                         c->file, a, b, x->train_steps, y->train_steps);
    for (int t = 0; t < x->train_steps; t++)
        if (x->abar[t] != y->abar[t])
            return weft_fail(WEFT_EINPUT,
                             "%s: models %s and %s do not go together: their "
                             "schedules differ, at train step %d by a "
                             "cumulative alpha of %.6g and %.6g",
                             c->file, a, b, t, x->abar[t], y->abar[t]);
    return WEFT_OK;
}

weft_status weft_kinship_check(const weft_method *m)
{
    const weft_config *c = m->config;
    const weft_config_model *first = &c->model[m->model[0]];
    weft_noise_schedule mine, other;
    weft_status st = WEFT_OK;
    bool found, too;

    if (m->nmodels < 2 || !first->path) return WEFT_OK;
    WEFT_TRY(read_beside(c, first->path, &found, &mine));
    if (!found) return WEFT_OK;
    for (int i = 1; i < m->nmodels && st == WEFT_OK; i++) {
        const weft_config_model *model = &c->model[m->model[i]];

        if (!model->path) continue;
        st = read_beside(c, model->path, &too, &other);
        if (st != WEFT_OK || !too) continue;
        st = compare(c, first->name, model->name, &mine, &other);
        weft_noise_schedule_release(&other);
    }
    weft_noise_schedule_release(&mine);
    return st;
}
