#include "launch/models.h"

#include <string.h>

#include "core/fnv.h"
#include "launch/config_control.h"

/* ---- files --------------------------------------------------------------- */

bool weft_models_same_file(const weft_models *a, int i, const weft_models *b,
                           int k)
{
    return !strcmp(a->path[i], b->path[k]) &&
           weft_adapters_same(a->changes[i], b->changes[k]) &&
           weft_config_same_controls(a->changes[i], b->changes[k]);
}

/* Of one path, and what control nets both have are the same ones. */
static bool are_kin(const weft_models *s, int i, int k)
{
    return !strcmp(s->path[i], s->path[k]) &&
           weft_config_controls_begin_alike(s->changes[i], s->changes[k]);
}

/* Do files i and k have their weights in one piece? Where models have ranks of
 * their own, nobody holds control nets for others. */
static bool lie_together(const weft_models *s, int i, int k)
{
    return are_kin(s, i, k) && (!s->apart || weft_config_same_controls(
                                                 s->changes[i], s->changes[k]));
}

/* The first of those that file n, which is to come, lies with, all of them; or
 * itself. */
static int first_of(const weft_models *s)
{
    const int n = s->nfiles;

    for (int head = 0; head < n; head++) {
        bool with = s->head[head] == head;

        for (int i = head; i < n && with; i++)
            with = s->head[i] != head || lie_together(s, i, n);
        if (with) return head;
    }
    return n;
}

static weft_status open_file(weft_models *s, const char *path,
                             const weft_config_model *changes, int *which)
{
    if (s->nfiles == WEFT_FILES)
        return weft_fail(WEFT_EINPUT, "%s: more than %d nets in one run", path,
                         WEFT_FILES);
    s->path[s->nfiles] = path;
    s->changes[s->nfiles] = changes;
    s->head[s->nfiles] = first_of(s);
    for (int i = 0; i < s->nfiles; i++)
        if (weft_models_same_file(s, i, s, s->nfiles)) {
            *which = i;
            return WEFT_OK;
        }
    WEFT_TRY(weft_netfile_open(path, changes, &s->file[s->nfiles]));
    *which = s->nfiles++;
    return WEFT_OK;
}

static weft_status check_model(const char *path, const weft_net_info *info)
{
    if (!weft_net_is_unet(info))
        return weft_fail(WEFT_EINPUT, "%s: a %s is not a model that samples",
                         path, info->class_name);
    if (info->in_channels != info->out_channels && !weft_net_paints(info))
        return weft_fail(WEFT_EINPUT,
                         "%s: %d channels in, %d out: not a prediction of its "
                         "own input",
                         path, info->in_channels, info->out_channels);
    return WEFT_OK;
}

/* Either all of a method's models, or none: the others would have to put back
 * what the mask keeps. */
static weft_status check_paints(const weft_method *m, weft_models *s, int which,
                                bool is)
{
    const weft_config_model *model = m->config->model;

    if (which == 0) s->paints = is;
    if (is == s->paints) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: models %s and %s do not go together: one is made for "
                     "inpainting and the other is not",
                     m->config->file, model[m->model[0]].name,
                     model[m->model[which]].name);
}

/* Models that are combined must speak of the same latents. */
static weft_status check_shape(const weft_method *m, weft_models *s, int which,
                               int channels)
{
    const weft_config_model *model = m->config->model;

    if (!s->channels) s->channels = channels;
    if (channels == s->channels) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: models %s and %s do not go together: %d and %d "
                     "latent channels",
                     m->config->file, model[m->model[0]].name,
                     model[m->model[which]].name, s->channels, channels);
}

/* An analytic model is one of images of its own size. */
static weft_status check_analytic(const weft_config *c,
                                  const weft_config_model *a)
{
    if (c->vae)
        return weft_fail(WEFT_EINPUT,
                         "%s: models.%s is analytic: its samples are pictures, "
                         "so there is nothing for a vae to decode",
                         c->file, a->name);
    if (a->shape[1] == c->sample.height && a->shape[2] == c->sample.width)
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: models.%s has the shape of %d x %d pixels, and "
                     "sample.width and height are %d x %d",
                     c->file, a->name, a->shape[2], a->shape[1],
                     c->sample.width, c->sample.height);
}

/* A net that is told how strongly to follow its text knows one strength, and
 * nothing of what it would predict without the text. */
static weft_status check_guided(const weft_method *m, int i)
{
    const weft_config *c = m->config;
    const weft_config_guidance *g = &c->sample.over;

    if (c->sample.method == WEFT_PLAIN && !g->linear && !g->limited &&
        g->rescale == 0)
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: the model %s is told its guidance "
                     "(time_cond_proj_dim): it takes sample.guidance with "
                     "method plain, alike in all steps and not rescaled",
                     c->file, c->model[m->model[i]].name);
}

static weft_status open_sights(const weft_config_model *model, weft_models *s,
                               int sight[WEFT_CONTROLS])
{
    for (int k = 0; k < model->ncontrols; k++)
        WEFT_TRY(open_file(s, model->control[k].net.path, NULL, &sight[k]));
    return WEFT_OK;
}

static weft_status open_model(weft_method *m, int i, weft_models *s)
{
    const weft_config_model *model = &m->config->model[m->model[i]];
    const weft_net_info *info;

    s->of[i] = -1;
    if (!model->path) {
        WEFT_TRY(check_analytic(m->config, model));
        WEFT_TRY(check_paints(m, s, i, false));
        return check_shape(m, s, i, model->shape[0]);
    }
    WEFT_TRY(open_file(s, model->path, model, &s->of[i]));
    info = &s->file[s->of[i]].info;
    WEFT_TRY(check_model(model->path, info));
    m->guided[i] = info->guide > 0;
    if (m->guided[i]) WEFT_TRY(check_guided(m, i));
    for (int k = 0; k < WEFT_ENCODERS; k++)
        if (!info->text_channels || !model->text.encoder[k].path)
            WEFT_TRY(weft_adapters_refuse(&s->file[s->of[i]].adapters,
                                          (weft_lora_part)(WEFT_LORA_TEXT + k),
                                          model->name));
    WEFT_TRY(check_paints(m, s, i, weft_net_paints(info)));
    WEFT_TRY(open_sights(model, s, s->sight[i]));
    return check_shape(m, s, i, info->out_channels);
}

static weft_status open_vae(const weft_config *c, weft_models *s)
{
    const weft_net_info *info;

    s->vae = -1;
    if (!c->vae) return WEFT_OK;
    WEFT_TRY(open_file(s, c->vae, NULL, &s->vae));
    info = &s->file[s->vae].info;
    if (weft_net_is_unet(info))
        return weft_fail(WEFT_EINPUT, "%s: a %s is not an autoencoder", c->vae,
                         info->class_name);
    if (info->latent_channels == s->channels) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT,
        "%s: has %d latent channels, and the model %s has %d: they "
        "are of different families",
        c->vae, info->latent_channels, s->path[0], s->channels);
}

/* Other weights of the file, in a net of their own. */
static weft_status open_encoder(const weft_config *c, weft_models *s)
{
    s->encoder = -1;
    if (s->vae < 0 || !c->sample.image.path) return WEFT_OK;
    if (s->nfiles == WEFT_FILES)
        return weft_fail(WEFT_EINPUT, "%s: more than %d nets in one run",
                         c->vae, WEFT_FILES);
    WEFT_TRY(weft_netfile_open(c->vae, NULL, &s->file[s->nfiles]));
    s->path[s->nfiles] = c->vae;
    s->head[s->nfiles] = s->nfiles;
    s->encoder = s->nfiles++;
    return WEFT_OK;
}

weft_status weft_models_open(weft_method *m, weft_models *s)
{
    const weft_config *c = m->config;

    memset(s, 0, sizeof *s);
    s->vae = s->encoder = -1;
    s->apart = c->parallel.roles != WEFT_ROLES_SHARED;
    for (int i = 0; i < m->nmodels; i++) WEFT_TRY(open_model(m, i, s));
    WEFT_TRY(open_vae(c, s));
    return open_encoder(c, s);
}

void weft_models_close(weft_models *s)
{
    for (int i = 0; i < WEFT_FILES; i++) weft_netfile_close(&s->file[i]);
    memset(s, 0, sizeof *s);
    s->vae = s->encoder = -1;
}

bool weft_models_has_kin(const weft_models *s, int i)
{
    for (int k = 0; k < s->nfiles; k++)
        if (k != i && k != s->encoder && are_kin(s, i, k)) return true;
    return false;
}

void weft_models_join(weft_models *s)
{
    for (int i = 0; i < s->nfiles; i++) {
        const int head = s->head[i];

        s->kin[head][s->nkin[head]++] = &s->file[i].graph;
    }
    for (int i = 0; i < s->nfiles; i++) {
        s->file[i].graph.kin = s->kin[s->head[i]];
        s->file[i].graph.nkin = s->nkin[s->head[i]];
    }
}

weft_status weft_models_classes(const weft_config *c, int *classes)
{
    weft_method method;
    weft_models models;
    weft_status st;

    *classes = 0;
    WEFT_TRY(weft_method_models(c, &method));
    st = weft_models_open(&method, &models);
    for (int i = 0; i < models.nfiles && st == WEFT_OK; i++) {
        const int labels = models.file[i].info.labels - 1;

        if (i != models.vae && labels > 0 && (!*classes || labels < *classes))
            *classes = labels;
    }
    weft_models_close(&models);
    return st;
}

int weft_models_stride(const weft_models *s)
{
    int all = 1;

    for (int i = 0; i < s->nfiles; i++) {
        const int stride = s->file[i].info.stride;
        int a = all, b = stride;

        if (i == s->vae || i == s->encoder) continue;
        while (b) {
            const int rest = a % b;

            a = b;
            b = rest;
        }
        all = all / a * stride;
    }
    return all;
}

uint64_t weft_models_fingerprint(const weft_method *m, const weft_models *s)
{
    uint64_t h = WEFT_FNV_BASIS;

    for (int i = 0; i < s->nfiles; i++) h = h * 31 ^ s->file[i].fingerprint;
    for (int i = 0; i < m->nmodels; i++) {
        const weft_config_model *model = &m->config->model[m->model[i]];

        for (int k = 0; k < model->components; k++) {
            const weft_component *c = &model->component[k];

            h = weft_fnv(h, &c->weight, sizeof c->weight);
            h = weft_fnv(h, &c->std, sizeof c->std);
            h = weft_fnv(h, c->mean, (size_t)model->shape[0] * sizeof *c->mean);
        }
    }
    return h;
}

uint64_t weft_models_sample(const weft_models *s, int i)
{
    return weft_netfile_sample(s->file[i].st) ^
           weft_adapters_sample(&s->file[i].adapters);
}

const char *weft_models_more(const weft_models *s, int i)
{
    const weft_config_model *m = s->changes[i];

    return m && m->nloras + m->ncontrols ? ", or its LoRAs or control nets"
                                         : "";
}

/* ---- labels -------------------------------------------------------------- */

static const char *name_of(const weft_method *m, int model)
{
    return m->config->model[m->model[model]].name;
}

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
    const weft_config_model *own = &c->model[m->model[model]];
    int label = own->null_label >= 0       ? own->null_label
                : c->sample.has_null_label ? c->sample.null_label
                                           : -1;

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

static weft_status label_model(const weft_method *m, int model,
                               const weft_net_info *info, weft_labels *l)
{
    const weft_config *c = m->config;
    const weft_config_model *own = &c->model[m->model[model]];
    const bool has = own->label >= 0 || c->sample.has_label;
    const int label = own->label >= 0 ? own->label : c->sample.label;
    const bool told = info && info->text_channels; /* a text is a condition */

    l->any = info && (info->labels > 0 || info->label_is_time);
    if (l->any && !has && weft_method_asks(m, model, WEFT_COND))
        return weft_fail(WEFT_EINPUT,
                         "%s: the model %s is conditional: give sample.label",
                         c->file, own->name);
    if (!l->any && has)
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.label: the model %s takes no labels",
                         c->file, own->name);
    if (!l->any && !told && weft_method_asks(m, model, WEFT_UNCOND))
        return weft_fail(WEFT_EINPUT,
                         "%s: sample.guidance %g needs a condition, and the "
                         "model %s has none",
                         c->file, c->sample.guidance, own->name);
    if (!l->any) return WEFT_OK;
    l->cond = (float)label;
    if (has)
        WEFT_TRY(check_label(m, model, info,
                             own->label >= 0 ? "sample.labels" : "sample.label",
                             label));
    return weft_method_asks(m, model, WEFT_UNCOND)
               ? null_label(m, model, info, l)
               : WEFT_OK;
}

weft_status weft_models_label(const weft_method *m, weft_models *s)
{
    for (int i = 0; i < m->nmodels; i++)
        WEFT_TRY(label_model(m, i,
                             s->of[i] >= 0 ? &s->file[s->of[i]].info : NULL,
                             &s->label[i]));
    return WEFT_OK;
}
