#include "launch/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/png.h"
#include "launch/config_check.h"
#include "launch/config_control.h"
#include "launch/config_dataset.h"
#include "launch/config_gpu.h"
#include "launch/config_picture.h"
#include "launch/config_method.h"
#include "launch/config_parallel.h"
#include "launch/config_prompt.h"
#include "launch/config_roles.h"
#include "launch/config_run.h"
#include "launch/config_schema.h"
#include "launch/suggest.h"

enum { MOST_BYTES = 1 << 20 };

/* ---- reading ---------------------------------------------------------------
 */

static bool is_png(const char *path)
{
    static const unsigned char signature[8] = {0x89, 'P',  'N',  'G',
                                               '\r', '\n', 0x1a, '\n'};
    unsigned char head[8];
    FILE *f = fopen(path, "rb");
    bool same;

    if (f == NULL) return false;
    same = fread(head, 1, sizeof head, f) == sizeof head &&
           memcmp(head, signature, sizeof head) == 0;
    fclose(f);
    return same;
}

/* Take the "weft" text out of an image's texts. */
static char *take_identity(weft_png_info *info)
{
    for (int i = 0; i < info->ntext; i++) {
        char *text = info->value[i];
        if (strcmp(info->key[i], "weft") != 0) continue;
        info->value[i] = NULL;
        return text;
    }
    return NULL;
}

static weft_status read_png(const char *path, char **text, size_t *bytes)
{
    weft_png_info info;
    char *identity;

    WEFT_TRY(weft_png_read_info(path, &info));
    identity = take_identity(&info);
    weft_png_info_release(&info);
    if (identity == NULL)
        return weft_fail(WEFT_EINPUT,
                         "%s: has no \"weft\" text, so weft did not make it",
                         path);
    *text = identity;
    *bytes = strlen(identity);
    return WEFT_OK;
}

/* A config that cannot be read is the user's to mend, whatever the reason. */
weft_status weft_config_read(const char *path, char **text, size_t *bytes)
{
    const weft_status s = is_png(path)
                              ? read_png(path, text, bytes)
                              : weft_file_read(path, MOST_BYTES, text, bytes);

    return s == WEFT_EIO ? WEFT_EINPUT : s;
}

/* ---- from the tree to the struct -------------------------------------------
 */

typedef struct loading {
    weft_tree *root;
    weft_raw *raw;
    weft_config *c;
    bool identity;
} loading;

/* Where a key was said, or if it was not, where its section was. */
static weft_place place_of(const loading *l, const char *path)
{
    const weft_tree *t = weft_tree_find(l->root, path);
    const weft_place file = {l->root->place.file, NULL, 0};

    if (t == NULL) t = weft_tree_get(l->root, "sample");
    return t != NULL ? t->place : file;
}

static char *take(char **text)
{
    char *taken = *text;

    *text = NULL;
    return taken;
}

static weft_status take_model_path(const loading *l, const weft_tree *m,
                                   weft_config_model *to)
{
    const weft_tree *pipeline = weft_tree_get(m, "pipeline");
    char key[96];

    snprintf(key, sizeof key, "models.%s.%s", m->key,
             pipeline ? "pipeline" : "path");
    if (pipeline)
        return weft_config_find_path(pipeline, key, l->identity,
                                     &to->pipeline.path,
                                     &to->pipeline.portable);
    return weft_config_find_path(weft_tree_get(m, "path"), key, l->identity,
                                 &to->path, &to->portable);
}

static weft_status take_loras(const loading *l, const weft_tree *m,
                              const weft_raw_model *raw, weft_config_model *to)
{
    const weft_tree *t = weft_tree_get(m, "loras");
    char key[96];

    if (t == NULL) return WEFT_OK;
    to->lora = calloc((size_t)raw->nloras, sizeof *to->lora);
    if (to->lora == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    to->nloras = raw->nloras;
    snprintf(key, sizeof key, "models.%s.loras.path", m->key);
    t = t->first;
    for (int i = 0; i < to->nloras; i++, t = t->next) {
        to->lora[i].scale = raw->loras[i].scale;
        WEFT_TRY(weft_config_find_path(weft_tree_get(t, "path"), key,
                                       l->identity, &to->lora[i].file.path,
                                       &to->lora[i].file.portable));
    }
    return WEFT_OK;
}

static weft_status take_models(loading *l)
{
    const int n = l->raw->nmodels;
    const weft_tree *m = weft_tree_get(l->root, "models")->first;
    weft_config *c = l->c;

    c->model = calloc((size_t)n, sizeof *c->model);
    if (c->model == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    c->nmodels = n;
    for (int i = 0; i < n; i++, m = m->next) {
        c->model[i].name = take(&l->raw->model[i].name);
        WEFT_TRY(weft_config_take_model(m, &l->raw->model[i], c, i));
        if (c->model[i].components) continue;
        WEFT_TRY(take_model_path(l, m, &c->model[i]));
        WEFT_TRY(take_loras(l, m, &l->raw->model[i], &c->model[i]));
        WEFT_TRY(weft_config_take_controls(m, &l->raw->model[i], l->identity,
                                           &c->model[i]));
    }
    return WEFT_OK;
}

static weft_status take_folder(loading *l, const char *key, char **path,
                               char **portable)
{
    const weft_tree *t = weft_tree_find(l->root, key);

    if (t == NULL) return WEFT_OK;
    return weft_config_find_path(t, key, l->identity, path, portable);
}

static weft_status take_seeds(loading *l)
{
    weft_config *c = l->c;
    const weft_raw_sample *raw = &l->raw->sample;
    const weft_place at = place_of(l, "sample.seeds");

    if (raw->seeds != NULL) {
        if (weft_tree_find(l->root, "sample.seed") != NULL)
            return weft_place_fail(&at, "sample.seed and sample.seeds are "
                                        "both given");
        return weft_config_seeds(&at, raw->seeds, &c->sample.seed,
                                 &c->sample.nseeds);
    }
    c->sample.seed = malloc(sizeof *c->sample.seed);
    if (c->sample.seed == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    c->sample.seed[0] = raw->seed;
    c->sample.nseeds = 1;
    return WEFT_OK;
}

static weft_status check_descent(const loading *l, const char *path,
                                 const double *value, int n)
{
    const weft_place at = place_of(l, path);

    for (int i = 1; i < n; i++)
        if (!(value[i] < value[i - 1]))
            return weft_place_fail(&at,
                                   "%s: expected descending numbers, "
                                   "found %g after %g",
                                   path, value[i], value[i - 1]);
    if (l->raw->sample.steps != n)
        return weft_place_fail(&at, "%s: %d numbers for %d sample.steps", path,
                               n, l->raw->sample.steps);
    return WEFT_OK;
}

static weft_status take_nodes(loading *l)
{
    weft_raw_sample *raw = &l->raw->sample;
    const weft_place at = place_of(l, "sample.sigmas");

    if (raw->nodes != NULL && raw->sigmas != NULL)
        return weft_place_fail(&at, "sample.nodes and sample.sigmas are both "
                                    "given");
    if (raw->nodes != NULL)
        WEFT_TRY(check_descent(l, "sample.nodes", raw->nodes, raw->nnodes));
    if (raw->sigmas != NULL)
        WEFT_TRY(check_descent(l, "sample.sigmas", raw->sigmas, raw->nsigmas));
    l->c->sample.nodes = raw->nodes;
    l->c->sample.sigmas = raw->sigmas;
    l->c->sample.nnodes = raw->nodes != NULL ? raw->nnodes : raw->nsigmas;
    raw->nodes = raw->sigmas = NULL;
    return WEFT_OK;
}

/* The solver; without one, that of the scheduler's class, which may be a
 * pipeline's and known later. */
static weft_status take_solver(loading *l)
{
    const weft_tree *t = weft_tree_find(l->root, "sample.solver");
    weft_config *c = l->c;

    c->sample.has_solver = t && (t->place.line || t->place.override);
    c->sample.solver = (weft_solver_kind)weft_config_choice(
        "sample.solver", l->raw->sample.solver);
    return weft_config_scheduler(c);
}

static weft_status take_sample(loading *l)
{
    weft_raw_sample *raw = &l->raw->sample;
    weft_config *c = l->c;

    WEFT_TRY(take_solver(l));
    c->sample.rng = (weft_rng_kind)weft_config_choice("sample.rng", raw->rng);
    WEFT_TRY(weft_config_take_gpu(l->root, raw, c));
    WEFT_TRY(weft_config_take_picture(l->root, raw, l->identity, c));
    c->sample.steps = raw->steps;
    c->sample.guidance = raw->guidance;
    c->sample.eta = raw->eta;
    c->sample.width = raw->width;
    c->sample.height = raw->height;
    c->sample.label = raw->label;
    c->sample.has_label = raw->label >= 0;
    c->sample.null_label = raw->null_label;
    c->sample.has_null_label = raw->null_label >= 0;
    WEFT_TRY(weft_config_take_method(l->root, raw, c));
    weft_config_take_prompts(l->root, raw, c);
    WEFT_TRY(take_seeds(l));
    c->sample.images = c->sample.nseeds;
    return take_nodes(l);
}

static void take_rest(loading *l)
{
    const weft_raw *raw = l->raw;
    weft_config *c = l->c;

    c->parallel.grain = raw->parallel.grain;
    c->run.threads = raw->run.threads;
    c->run.batch = raw->run.batch;
    c->run.memory = raw->run.memory;
    c->run.deadline = raw->run.deadline;
    c->run.kernels = take(&l->raw->run.kernels);
    c->bench.runs = raw->bench.runs;
    c->bench.what = take(&l->raw->bench.what);
    c->bench.link =
        (weft_bench_link)weft_config_choice("bench.link", raw->bench.link);
    c->schedule_inline = take(&l->raw->schedule.rest);
}

static weft_status take_output(loading *l, const char *key, bool pattern,
                               char **path)
{
    const weft_tree *t = weft_tree_find(l->root, key);
    const weft_config *c = l->c;

    if (t == NULL) return WEFT_OK;
    if (l->identity && t->place.override == NULL)
        return weft_place_fail(&t->place,
                               "%s: an image does not say where "
                               "output goes",
                               key);
    WEFT_TRY(pattern ? weft_config_check_pattern(t, key, c->sample.nseeds > 1,
                                                 c->sample.has_label)
                     : weft_config_check_single(t, key));
    return weft_config_output_path(t, pattern, path);
}

static weft_status take_cluster(loading *l)
{
    const weft_tree *t = weft_tree_find(l->root, "parallel.cluster");

    return t ? weft_config_output_path(t, false, &l->c->parallel.cluster)
             : WEFT_OK;
}

static weft_status take_outputs(loading *l)
{
    weft_config *c = l->c;
    const weft_place at = place_of(l, "output.latents");

    WEFT_TRY(take_output(l, "output.image", true, &c->output.image));
    WEFT_TRY(take_output(l, "output.latents", true, &c->output.latents));
    WEFT_TRY(take_output(l, "output.report", false, &c->output.report));
    WEFT_TRY(take_output(l, "output.trace", false, &c->output.trace));
    WEFT_TRY(take_output(l, "bench.cluster", false, &c->bench.cluster));
    if (c->output.image != NULL && c->output.latents != NULL &&
        strcmp(c->output.image, c->output.latents) == 0)
        return weft_place_fail(&at, "output.image and output.latents are the "
                                    "same file");
    if (!l->identity || c->output.image != NULL || c->output.latents != NULL)
        return WEFT_OK;
    return weft_config_again(c->file, c->sample.nseeds > 1, &c->output.image);
}

static void note_outputs(weft_config *c)
{
    c->output.pictures = c->output.image != NULL;
    c->output.states = c->output.latents != NULL;
}

static weft_status take_all(loading *l)
{
    weft_config *c = l->c;

    c->file = strdup(l->root->place.file);
    if (c->file == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    WEFT_TRY(take_models(l));
    WEFT_TRY(
        weft_config_take_path(l->root, "pipeline", l->identity, &c->pipeline));
    WEFT_TRY(weft_config_take_text(l->root,
                                   l->raw->text.force_zeros_for_empty_prompt,
                                   l->identity, &c->text));
    WEFT_TRY(take_folder(l, "vae.path", &c->vae, &c->vae_portable));
    WEFT_TRY(
        take_folder(l, "schedule.path", &c->schedule, &c->schedule_portable));
    WEFT_TRY(take_sample(l));
    take_rest(l);
    WEFT_TRY(weft_config_parallel(l->root, &l->raw->parallel, c));
    WEFT_TRY(weft_config_take_roles(l->root, &l->raw->parallel, l->c));
    WEFT_TRY(weft_config_take_run(l->root, &l->raw->run, c));
    WEFT_TRY(take_cluster(l));
    WEFT_TRY(weft_config_take_dataset(l->root, &l->raw->dataset, c));
    WEFT_TRY(take_outputs(l));
    note_outputs(c);
    return WEFT_OK;
}

/* ---- the whole way ---------------------------------------------------------
 */

/* Nodes of one's own say how many steps there are. */
static weft_status default_steps(weft_tree *root)
{
    const weft_tree *nodes = weft_tree_find(root, "sample.nodes");
    char steps[16];

    if (nodes == NULL) nodes = weft_tree_find(root, "sample.sigmas");
    if (nodes == NULL || weft_tree_find(root, "sample.steps") != NULL)
        return WEFT_OK;
    snprintf(steps, sizeof steps, "%d", weft_tree_count(nodes));
    return weft_tree_put_at(root, "sample.steps",
                            weft_tree_text(steps, false, &nodes->place));
}

static weft_status prepare(weft_tree *root, const char *const *overrides, int n)
{
    if (root->kind != WEFT_TREE_MAP)
        return weft_place_fail(&root->place,
                               "expected a mapping at the top, such as "
                               "models: ...");
    for (int i = 0; i < n; i++)
        WEFT_TRY(weft_config_override(root, root->place.file, overrides[i]));
    WEFT_TRY(weft_config_shape(root));
    WEFT_TRY(weft_config_check(root));
    WEFT_TRY(default_steps(root));
    WEFT_TRY(weft_config_default_controls(root));
    return weft_config_defaults(root);
}

weft_status weft_config_parse(const char *name, const char *text, size_t bytes,
                              const char *const *overrides, int n,
                              weft_config *c)
{
    weft_config made = {0};
    loading l = {.c = &made};
    weft_status s = weft_tree_parse(name, NULL, text, bytes, &l.root);

    if (s == WEFT_OK) s = prepare(l.root, overrides, n);
    if (s == WEFT_OK) s = weft_raw_load(l.root, name, &l.raw);
    if (s == WEFT_OK) {
        l.identity = l.raw->identity != 0;
        s = take_all(&l);
    }
    weft_raw_free(l.raw);
    weft_tree_free(l.root);
    if (s == WEFT_OK)
        *c = made;
    else
        weft_config_release(&made);
    return s;
}

weft_status weft_config_load(const char *path, const char *const *overrides,
                             int n, weft_config *c)
{
    char *text = NULL;
    size_t bytes = 0;
    weft_status s;

    WEFT_TRY(weft_config_read(path, &text, &bytes));
    s = weft_config_parse(path, text, bytes, overrides, n, c);
    free(text);
    if (s != WEFT_OK) return s;
    s = weft_config_resolve(c);
    if (s != WEFT_OK) weft_config_release(c);
    return s;
}

void weft_config_release_roles(weft_config *c)
{
    for (int i = 0; i < c->parallel.nroles; i++) free(c->parallel.role[i].name);
    free(c->parallel.role);
    c->parallel.role = NULL;
    c->parallel.nroles = 0;
}

void weft_config_release(weft_config *c)
{
    for (int i = 0; i < c->nmodels; i++) {
        free(c->model[i].name);
        free(c->model[i].path);
        free(c->model[i].portable);
        free(c->model[i].prompt);
        free(c->model[i].schedule);
        free(c->model[i].component);
        for (int k = 0; k < c->model[i].nloras; k++)
            weft_config_release_path(&c->model[i].lora[k].file);
        free(c->model[i].lora);
        weft_config_release_controls(&c->model[i]);
        weft_config_release_path(&c->model[i].pipeline);
        weft_config_release_text(&c->model[i].text);
    }
    free(c->model);
    weft_config_release_path(&c->pipeline);
    weft_config_release_path(&c->sample.image);
    weft_config_release_path(&c->sample.mask);
    weft_config_release_path(&c->sample.control);
    weft_config_release_text(&c->text);
    weft_config_release_roles(c);
    char *const text[] = {c->file,
                          c->note,
                          c->vae,
                          c->vae_portable,
                          c->schedule,
                          c->schedule_portable,
                          c->schedule_inline,
                          c->sample.model,
                          c->sample.refiner,
                          c->sample.prompt,
                          c->sample.negative_prompt,
                          c->parallel.cluster,
                          c->run.kernels,
                          c->run.state,
                          c->output.image,
                          c->output.latents,
                          c->output.report,
                          c->output.trace,
                          c->output.dir,
                          c->dataset.manifest,
                          c->bench.what,
                          c->bench.cluster};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) free(text[i]);
    free(c->sample.seed);
    free(c->sample.nodes);
    free(c->sample.sigmas);
    free(c->sample.how.bias);
    free(c->parallel.weights);
    free(c->dataset.label);
    free(c->dataset.seed);
    *c = (weft_config){0};
}
