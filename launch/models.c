#include "launch/models.h"

#include <string.h>

/* ---- files --------------------------------------------------------------- */

static weft_status open_file(weft_models *s, const char *path, int *which)
{
    for (int i = 0; i < s->nfiles; i++)
        if (!strcmp(s->path[i], path)) {
            *which = i;
            return WEFT_OK;
        }
    WEFT_TRY(weft_netfile_open(path, &s->file[s->nfiles]));
    s->path[s->nfiles] = path;
    *which = s->nfiles++;
    return WEFT_OK;
}

static weft_status check_model(const char *path, const weft_net_info *info)
{
    if (info->kind != WEFT_NET_UNET2D)
        return weft_fail(WEFT_EINPUT, "%s: a %s is not a model that samples",
                         path, info->class_name);
    if (info->in_channels != info->out_channels)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d channels in, %d out: not a prediction of its "
                         "own input",
                         path, info->in_channels, info->out_channels);
    return WEFT_OK;
}

/* Models that are combined must speak of the same latents. */
static weft_status check_shape(const weft_models *s, int which)
{
    const weft_net_info *a = &s->file[0].info, *b = &s->file[which].info;

    if (a->in_channels == b->in_channels) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT, "%s and %s do not go together: %d and %d latent channels",
        s->path[0], s->path[which], a->in_channels, b->in_channels);
}

static weft_status open_vae(const weft_config *c, weft_models *s)
{
    const weft_net_info *info;

    s->vae = -1;
    if (!c->vae) return WEFT_OK;
    WEFT_TRY(open_file(s, c->vae, &s->vae));
    info = &s->file[s->vae].info;
    if (info->kind == WEFT_NET_UNET2D)
        return weft_fail(WEFT_EINPUT, "%s: a %s is not an autoencoder", c->vae,
                         info->class_name);
    if (info->latent_channels == s->file[0].info.in_channels) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "the model has %d latent channels, the vae %d",
                     s->file[0].info.in_channels, info->latent_channels);
}

static const char *name_of(const weft_method *m, int model)
{
    return m->config->model[m->model[model]].name;
}

weft_status weft_models_open(const weft_method *m, weft_models *s)
{
    const weft_config *c = m->config;

    memset(s, 0, sizeof *s);
    s->vae = -1;
    for (int i = 0; i < m->nmodels; i++) {
        const char *path = c->model[m->model[i]].path;

        if (!path)
            return weft_fail(WEFT_EINPUT,
                             "%s: models.%s: an analytic model cannot be "
                             "sampled by this version",
                             c->file, name_of(m, i));
        WEFT_TRY(open_file(s, path, &s->of[i]));
        WEFT_TRY(check_model(path, &s->file[s->of[i]].info));
        WEFT_TRY(check_shape(s, s->of[i]));
    }
    return open_vae(c, s);
}

void weft_models_close(weft_models *s)
{
    for (int i = 0; i < WEFT_FILES; i++) weft_netfile_close(&s->file[i]);
    memset(s, 0, sizeof *s);
    s->vae = -1;
}

int weft_models_stride(const weft_models *s)
{
    int all = 1;

    for (int i = 0; i < s->nfiles; i++) {
        const int stride = s->file[i].info.stride;
        int a = all, b = stride;

        if (i == s->vae) continue;
        while (b) {
            const int rest = a % b;

            a = b;
            b = rest;
        }
        all = all / a * stride;
    }
    return all;
}

const weft_net_info *weft_models_info(const weft_models *s)
{
    return &s->file[0].info;
}

uint64_t weft_models_fingerprint(const weft_models *s)
{
    uint64_t h = 0;

    for (int i = 0; i < s->nfiles; i++) h = h * 31 ^ s->file[i].fingerprint;
    return h;
}

/* ---- labels -------------------------------------------------------------- */

static weft_status check_label(const weft_method *m, int model,
                               const weft_net_info *info, const char *key,
                               int label)
{
    if (info->label_is_time || (label >= 0 && label < info->labels))
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: %s %d is out of range: the model %s has labels 0 to "
                     "%d",
                     m->config->file, key, label, name_of(m, model),
                     info->labels - 1);
}

/* Each model has its own: what is last in one is a class in another. */
static weft_status null_label(const weft_method *m, int model,
                              const weft_net_info *info, weft_labels *l)
{
    const weft_config *c = m->config;
    const int own = c->model[m->model[model]].null_label;
    int label = own >= 0 ? own : c->sample.null_label;

    if (label < 0) {
        if (info->label_is_time)
            return weft_fail(WEFT_EINPUT,
                             "%s: guidance needs sample.null_label: labels of "
                             "this model are times, so there is no last one",
                             c->file);
        label = info->labels - 1;
    }
    l->uncond = (float)label;
    return check_label(m, model, info, "sample.null_label", label);
}

/* Does the method ask this model about that condition? */
static bool asks(const weft_method *m, int model, weft_condition condition)
{
    for (int i = 0; i < m->nleaves; i++)
        if (m->leaf[i].model == model && (m->leaf[i].condition == condition ||
                                          m->leaf[i].condition == WEFT_BOTH))
            return true;
    return false;
}

static weft_status label_model(const weft_method *m, int model,
                               const weft_net_info *info, weft_labels *l)
{
    const weft_config *c = m->config;
    const int own = c->model[m->model[model]].label;
    const int label = own >= 0 ? own : c->sample.label;

    l->any = info->labels > 0 || info->label_is_time;
    if (l->any && label < 0 && asks(m, model, WEFT_COND))
        return weft_fail(WEFT_EINPUT,
                         "%s: the model %s is conditional: give sample.label",
                         c->file, name_of(m, model));
    if (!l->any && label >= 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.label: the model takes no labels",
                         c->file);
    if (!l->any && asks(m, model, WEFT_UNCOND))
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.guidance %g needs a condition, and the "
                         "model has none",
                         c->file, c->sample.guidance);
    if (!l->any) return WEFT_OK;
    l->cond = (float)label;
    if (label >= 0)
        WEFT_TRY(check_label(m, model, info,
                             own >= 0 ? "sample.labels" : "sample.label",
                             label));
    return asks(m, model, WEFT_UNCOND) ? null_label(m, model, info, l)
                                       : WEFT_OK;
}

weft_status weft_models_label(const weft_method *m, weft_models *s)
{
    for (int i = 0; i < m->nmodels; i++)
        WEFT_TRY(label_model(m, i, &s->file[s->of[i]].info, &s->label[i]));
    return WEFT_OK;
}
