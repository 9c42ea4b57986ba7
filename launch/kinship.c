#include "launch/kinship.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/model/component.h"

enum { ROOM = 4096, PREDICTIONS = 3 };

static const char *const prediction[] = {[WEFT_PREDICT_EPSILON] = "epsilon",
                                         [WEFT_PREDICT_V] = "v_prediction",
                                         [WEFT_PREDICT_SAMPLE] = "sample"};

/* A model's own scheduler: its pipeline's, or one beside it; NULL: none. */
static weft_status open_own(const weft_config_model *m, weft_json **json)
{
    char path[ROOM], place[ROOM];
    const char *rest;

    *json = NULL;
    if (m->schedule) return weft_component_scheduler(m->schedule, json);
    WEFT_TRY(weft_component_split(m->path, place, ROOM, &rest));
    if (snprintf(path, ROOM, "%s/../scheduler/scheduler_config.json", place) >=
            ROOM ||
        access(path, R_OK) != 0)
        return WEFT_OK;
    return weft_json_read(path, json);
}

/* *found is false where there is none. */
static weft_status read_own(const weft_config *c, const weft_config_model *m,
                            bool *found, weft_noise_schedule *s)
{
    weft_json *json;
    weft_status st;

    *found = false;
    WEFT_TRY(open_own(m, &json));
    if (!json) return WEFT_OK;
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
    WEFT_TRY(read_own(c, first, &found, &mine));
    if (!found) return WEFT_OK;
    for (int i = 1; i < m->nmodels && st == WEFT_OK; i++) {
        const weft_config_model *model = &c->model[m->model[i]];

        if (!model->path) continue;
        st = read_own(c, model, &too, &other);
        if (st != WEFT_OK || !too) continue;
        st = compare(c, first->name, model->name, &mine, &other);
        weft_noise_schedule_release(&other);
    }
    weft_noise_schedule_release(&mine);
    return st;
}

/* Of a model's own scheduler; `fallback` where it has none. */
static weft_status own_prediction(const weft_config_model *m, int fallback,
                                  int *is)
{
    const char *said;
    weft_json *json;
    weft_status st;

    *is = fallback;
    WEFT_TRY(open_own(m, &json));
    if (!json) return WEFT_OK;
    st = weft_json_string(json, "prediction_type", prediction[0], &said);
    for (int i = 0; i < PREDICTIONS && st == WEFT_OK; i++)
        if (!strcmp(said, prediction[i])) *is = i;
    weft_json_free(json);
    return st;
}

weft_status weft_kinship_schedule(const weft_method *m,
                                  const weft_noise_schedule *used)
{
    const weft_config *c = m->config;

    if (c->schedule_inline && strstr(c->schedule_inline, "\"prediction_type\""))
        return WEFT_OK;
    for (int i = 0; i < m->nmodels; i++) {
        const weft_config_model *model = &c->model[m->model[i]];
        int is;

        if (!model->path) continue;
        WEFT_TRY(own_prediction(model, (int)used->prediction, &is));
        if (is == (int)used->prediction) continue;
        return weft_fail(WEFT_EINPUT,
                         "%s: the schedule's prediction_type is %s, and the "
                         "model %s has a scheduler of its own that says %s "
                         "(schedule.prediction_type would say which is meant)",
                         c->file, prediction[used->prediction], model->name,
                         prediction[is]);
    }
    return WEFT_OK;
}
