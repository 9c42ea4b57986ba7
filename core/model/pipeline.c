#include "core/model/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/path.h"
#include "core/model/component.h"
#include "core/model/json_tree.h"
#include "core/model/original.h"
#include "core/model/pipeline_class.h"

enum { MOST_BYTES = 1 << 20, MOST_OTHERS = 64 };

/* A component by name, and the classes of it that weft knows. A scheduler's
 * class is judged by who reads its config. */
static const struct role {
    const char *name;
    const char *classes[4];
} roles[WEFT_PIPELINE_ROLES] = {
    [WEFT_PIPELINE_UNET] = {"unet", {"UNet2DConditionModel", "UNet2DModel"}},
    [WEFT_PIPELINE_VAE] = {"vae", {"AutoencoderKL", "AutoencoderTiny"}},
    [WEFT_PIPELINE_TEXT] = {"text_encoder",
                            {"CLIPTextModel", "CLIPTextModelWithProjection"}},
    [WEFT_PIPELINE_TEXT_2] = {"text_encoder_2",
                              {"CLIPTextModelWithProjection", "CLIPTextModel"}},
    [WEFT_PIPELINE_TOKENIZER] = {"tokenizer",
                                 {"CLIPTokenizer", "CLIPTokenizerFast"}},
    [WEFT_PIPELINE_TOKENIZER_2] = {"tokenizer_2",
                                   {"CLIPTokenizer", "CLIPTokenizerFast"}},
    [WEFT_PIPELINE_SCHEDULER] = {"scheduler", {NULL}},
};

bool weft_pipeline_ignores(const char *name)
{
    static const char *const without[] = {"safety_checker", "feature_extractor",
                                          "image_encoder", "watermark"};

    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strcmp(without[i], name) == 0) return true;
    return false;
}

/* ---- reading ------------------------------------------------------------- */

typedef struct reader {
    const char *name; /* of the file */
    weft_pipeline *p;
} reader;

static weft_status no_memory(const reader *r)
{
    return weft_fail(WEFT_ENOMEM, "%s: out of memory", r->name);
}

static weft_status wrong_kind(const reader *r, const char *key,
                              const char *want, const json_t *value)
{
    return weft_fail(WEFT_EINPUT, "%s: key \"%.64s\": expected %s, found %s",
                     r->name, key, want, weft_json_kind(value));
}

/* Component names become names of folders. */
static bool is_plain(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static weft_pipeline_part *place_for(weft_pipeline *p, const char *name)
{
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++)
        if (strcmp(roles[i].name, name) == 0) return &p->part[i];
    if (p->nother == MOST_OTHERS) return NULL;
    return &p->other[p->nother++];
}

static weft_status add_part(const reader *r, const char *name,
                            const char *class_name)
{
    weft_pipeline_part *part = place_for(r->p, name);
    const size_t room = strlen(r->p->path) + strlen(name) + 2;

    if (part == NULL)
        return weft_fail(WEFT_EINPUT, "%s: more than %d components", r->name,
                         MOST_OTHERS);
    part->name = strdup(name);
    part->class_name = strdup(class_name);
    part->path = malloc(room);
    if (!part->name || !part->class_name || !part->path) return no_memory(r);
    snprintf(part->path, room, "%s%s%s", r->p->path, r->p->one_file ? ":" : "/",
             name);
    return WEFT_OK;
}

/* [LIBRARY, CLASS], or [null, null] for one that is not there. */
static weft_status read_part(const reader *r, const char *key, json_t *pair)
{
    const json_t *class_name = json_array_get(pair, 1);

    if (json_array_size(pair) != 2)
        return weft_fail(WEFT_EINPUT,
                         "%s: component %.64s: expected a library and a class",
                         r->name, key);
    if (json_is_null(class_name)) return WEFT_OK;
    if (!json_is_string(class_name))
        return weft_fail(WEFT_EINPUT,
                         "%s: component %.64s: expected the name of a class, "
                         "found %s",
                         r->name, key, weft_json_kind(class_name));
    if (!is_plain(key))
        return weft_fail(WEFT_EINPUT,
                         "%s: component \"%.64s\" is not the name of a folder",
                         r->name, key);
    return add_part(r, key, json_string_value(class_name));
}

static weft_status read_flag(const reader *r, json_t *root, const char *key,
                             bool fallback, bool *out)
{
    const json_t *value = json_object_get(root, key);

    *out = fallback;
    if (value == NULL || json_is_null(value)) return WEFT_OK;
    if (!json_is_boolean(value))
        return wrong_kind(r, key, "true or false", value);
    *out = json_is_true(value);
    return WEFT_OK;
}

/* A class of somebody's own is [MODULE, CLASS]. */
static weft_status read_class(const reader *r, json_t *root)
{
    const json_t *value = json_object_get(root, "_class_name");

    if (json_array_size(value) == 2) value = json_array_get(value, 1);
    if (value == NULL)
        return weft_fail(WEFT_EINPUT, "%s: has no \"_class_name\"", r->name);
    if (!json_is_string(value))
        return wrong_kind(r, "_class_name", "a string", value);
    r->p->class_name = strdup(json_string_value(value));
    return r->p->class_name ? WEFT_OK : no_memory(r);
}

/* Every array is a component; what else a pipeline notes down of itself is
 * passed over, but for the flags that change pictures. */
static weft_status read_index(const reader *r, json_t *root)
{
    const char *key;
    json_t *value;
    bool xl;

    WEFT_TRY(read_class(r, root));
    json_object_foreach(root, key, value)
    {
        if (json_is_array(value) && key[0] != '_')
            WEFT_TRY(read_part(r, key, value));
    }
    xl = strncmp(r->p->class_name, "StableDiffusionXL", 17) == 0;
    WEFT_TRY(read_flag(r, root, "force_zeros_for_empty_prompt", xl,
                       &r->p->force_zeros_for_empty_prompt));
    return read_flag(r, root, "requires_aesthetics_score", false,
                     &r->p->requires_aesthetics_score);
}

/* An empty pipeline of a folder, whose path gets no slash at its end. */
static weft_pipeline *make(const char *folder)
{
    weft_pipeline *p = calloc(1, sizeof *p);
    size_t n = strlen(folder);

    if (p == NULL) return NULL;
    while (n > 1 && folder[n - 1] == '/') n--;
    p->path = strndup(folder, n);
    p->other = calloc(MOST_OTHERS, sizeof *p->other);
    if (p->path && p->other) return p;
    weft_pipeline_free(p);
    return NULL;
}

weft_status weft_pipeline_parse(const char *name, const void *text,
                                size_t bytes, const char *folder,
                                weft_pipeline **p)
{
    const reader r = {name, make(folder)};
    json_t *root = NULL;
    weft_status status;

    if (r.p == NULL) return no_memory(&r);
    status = weft_json_tree(name, text, bytes, &root);
    if (status == WEFT_OK) status = read_index(&r, root);
    json_decref(root);
    if (status == WEFT_OK)
        *p = r.p;
    else
        weft_pipeline_free(r.p);
    return status;
}

static void free_part(weft_pipeline_part *part)
{
    free(part->name);
    free(part->class_name);
    free(part->path);
}

void weft_pipeline_free(weft_pipeline *p)
{
    if (p == NULL) return;
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++) free_part(&p->part[i]);
    for (int i = 0; i < p->nother; i++) free_part(&p->other[i]);
    free(p->other);
    free(p->class_name);
    free(p->path);
    free(p);
}

/* ---- files --------------------------------------------------------------- */

static const char index_name[] = "model_index.json";

/* `path` without the name of the index at its end. */
static char *folder_of(const char *path)
{
    const size_t n = strlen(path), m = sizeof index_name - 1;

    if (n < m || strcmp(path + n - m, index_name) != 0) return strdup(path);
    if (n == m) return strdup(".");
    return path[n - m - 1] == '/' ? strndup(path, n - m) : strdup(path);
}

static weft_status read_folder(const char *folder, char *file, size_t room,
                               weft_pipeline **p)
{
    char *text;
    size_t bytes;
    weft_status status;

    snprintf(file, room, "%s/%s", folder, index_name);
    if (!weft_path_exists(folder))
        return weft_file_fail(errno, folder, "open the pipeline");
    if (!weft_path_exists(file))
        return weft_fail(WEFT_EINPUT, "%s: is not a pipeline: it has no %s",
                         folder, index_name);
    WEFT_TRY(weft_file_read(file, MOST_BYTES, &text, &bytes));
    status = weft_pipeline_parse(file, text, bytes, folder, p);
    free(text);
    return status;
}

static weft_status add_scheduler(const reader *r, const weft_st *st,
                                 const weft_original *o)
{
    const char *class_name;
    weft_json *config;
    weft_status status;

    if (o->family == WEFT_ORIGINAL_NONE || !o->prefix[WEFT_PIPELINE_UNET])
        return WEFT_OK;
    WEFT_TRY(weft_original_config(st, o, WEFT_PIPELINE_SCHEDULER, r->name, 0,
                                  &config));
    status = weft_json_string(config, "_class_name", "", &class_name);
    if (status == WEFT_OK) status = add_part(r, "scheduler", class_name);
    weft_json_free(config);
    return status;
}

static weft_status add_parts(const reader *r, const weft_st *st)
{
    static const char *const pipelines[] = {
        [WEFT_ORIGINAL_NONE] = "checkpoint",
        [WEFT_ORIGINAL_SD1] = "StableDiffusionPipeline",
        [WEFT_ORIGINAL_SD2] = "StableDiffusionPipeline",
        [WEFT_ORIGINAL_XL] = "StableDiffusionXLPipeline",
        [WEFT_ORIGINAL_REFINER] = "StableDiffusionXLImg2ImgPipeline"};
    weft_original o;

    weft_original_tell(st, &o);
    r->p->class_name = strdup(pipelines[o.family]);
    if (r->p->class_name == NULL) return no_memory(r);
    r->p->force_zeros_for_empty_prompt =
        o.family == WEFT_ORIGINAL_XL || o.family == WEFT_ORIGINAL_REFINER;
    r->p->requires_aesthetics_score = o.family == WEFT_ORIGINAL_REFINER;
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++)
        if (o.prefix[i])
            WEFT_TRY(add_part(r, roles[i].name, roles[i].classes[0]));
    return add_scheduler(r, st, &o);
}

static weft_status read_file(const char *path, weft_pipeline **p)
{
    const reader r = {path, make(path)};
    weft_st *st = NULL;
    weft_status status;

    if (r.p == NULL) return no_memory(&r);
    r.p->one_file = true;
    status = weft_component_check_file(path);
    if (status == WEFT_OK) status = weft_st_open(path, &st);
    if (status == WEFT_OK) status = add_parts(&r, st);
    weft_st_close(st);
    if (status == WEFT_OK)
        *p = r.p;
    else
        weft_pipeline_free(r.p);
    return status;
}

weft_status weft_pipeline_read(const char *path, weft_pipeline **p)
{
    char *folder = folder_of(path);
    const size_t room = strlen(path) + sizeof index_name + 2;
    char *file = malloc(room);
    weft_status status = WEFT_ENOMEM;

    if (!folder || !file)
        weft_fail(status, "%s: out of memory", path);
    else if (weft_path_is_file(folder))
        status = read_file(folder, p);
    else
        status = read_folder(folder, file, room, p);
    free(file);
    free(folder);
    return status;
}

/* ---- checking ------------------------------------------------------------ */

static weft_status refuse_class(const weft_pipeline *p, const struct role *role,
                                const weft_pipeline_part *part)
{
    return weft_fail(WEFT_EINPUT,
                     "%s: component %s is a %.80s, which weft does not know "
                     "(%s%s%s)",
                     p->path, part->name, part->class_name, role->classes[0],
                     role->classes[1] ? " or " : "",
                     role->classes[1] ? role->classes[1] : "");
}

static weft_status check_class(const weft_pipeline *p, const struct role *role,
                               const weft_pipeline_part *part)
{
    if (role->classes[0] == NULL) return WEFT_OK;
    for (int i = 0; role->classes[i]; i++)
        if (strcmp(role->classes[i], part->class_name) == 0) return WEFT_OK;
    return refuse_class(p, role, part);
}

static weft_status check_folder(const weft_pipeline *p,
                                const weft_pipeline_part *part)
{
    char folder[WEFT_PATH];
    const char *variant;

    WEFT_TRY(weft_component_split(part->path, folder, sizeof folder, &variant));
    if (p->one_file || weft_path_is_folder(folder)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: component %s (%.80s) is in model_index.json, but %s "
                     "is %s",
                     p->path, part->name, part->class_name, folder,
                     weft_path_exists(folder) ? "not a folder" : "not there");
}

/* Nothing can be sampled without it. */
static weft_status check_unet(const weft_pipeline *p)
{
    if (p->part[WEFT_PIPELINE_UNET].path) return WEFT_OK;
    if (p->one_file)
        return weft_fail(WEFT_EINPUT,
                         "%s: is no checkpoint of Stable Diffusion 1, 2 or XL "
                         "by the names of its tensors",
                         p->path);
    return weft_fail(WEFT_EINPUT, "%s: a %.80s without a unet", p->path,
                     p->class_name);
}

/* Control nets are given beside a pipeline. */
static weft_status refuse_control(const weft_pipeline *p,
                                  const weft_pipeline_part *other)
{
    return weft_fail(WEFT_EINPUT,
                     "%s: component %.64s (a %.80s) is no part of a pipeline "
                     "for weft: give it as models.NAME.controls (path: %s, "
                     "image: ...), and the others one by one, as models, text, "
                     "vae and schedule",
                     p->path, other->name, other->class_name, other->path);
}

static weft_status refuse_other(const weft_pipeline *p,
                                const weft_pipeline_part *other)
{
    return weft_fail(
        WEFT_EINPUT,
        "%s: weft knows no component %.64s (a %.80s of a %.80s): %s", p->path,
        other->name, other->class_name, p->class_name,
        p->part[WEFT_PIPELINE_UNET].path
            ? "what it knows can be given one by one, as models, text, vae and "
              "schedule"
            : "it samples with U-Nets, such as those of Stable Diffusion 1, 2 "
              "and XL");
}

/* Before its components, of which some may be what weft knows. */
static weft_status check_pipeline_class(const weft_pipeline *p)
{
    const char *why = weft_pipeline_class_other(p->class_name);

    if (!why || p->one_file) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT,
        "%s: is a %.80s, which weft cannot sample: %s. Weft samples with "
        "U-Nets as the pipelines of Stable Diffusion 1, 2 and XL do; if its "
        "components are such ones, they can be given one by one, as models, "
        "text, vae and schedule",
        p->path, p->class_name, why);
}

weft_status weft_pipeline_check(const weft_pipeline *p)
{
    WEFT_TRY(check_pipeline_class(p));
    for (int i = 0; i < p->nother; i++)
        if (!weft_pipeline_ignores(p->other[i].name))
            return strncmp(p->other[i].name, "controlnet", 10)
                       ? refuse_other(p, &p->other[i])
                       : refuse_control(p, &p->other[i]);
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++) {
        if (p->part[i].path == NULL) continue;
        WEFT_TRY(check_class(p, &roles[i], &p->part[i]));
        WEFT_TRY(check_folder(p, &p->part[i]));
    }
    return check_unet(p);
}

bool weft_pipeline_is_strange(const weft_pipeline *p)
{
    return !p->one_file && !weft_pipeline_class_known(p->class_name) &&
           !weft_pipeline_class_other(p->class_name);
}

/* ---- variants ------------------------------------------------------------ */

static weft_status set_variant(weft_pipeline_part *part, const char *variant)
{
    const size_t n = strlen(part->path), room = n + strlen(variant) + 2;
    char *path = malloc(room), config[WEFT_PATH], weights[WEFT_PATH];
    weft_status status;

    if (path == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", part->path);
    snprintf(path, room, "%s:%s", part->path, variant);
    status = weft_component_paths(path, config, weights, WEFT_PATH);
    free(status == WEFT_OK ? part->path : path);
    if (status == WEFT_OK) part->path = path;
    return status;
}

weft_status weft_pipeline_choose(weft_pipeline *p, const char *variant)
{
    static const weft_pipeline_role role[] = {
        WEFT_PIPELINE_TEXT, WEFT_PIPELINE_TEXT_2, WEFT_PIPELINE_VAE,
        WEFT_PIPELINE_UNET};
    weft_status status = WEFT_OK;
    int have = 0;

    if (p->one_file)
        return weft_fail(WEFT_EINPUT,
                         "%s: is one file, which has no variants (%s)", p->path,
                         variant);
    for (size_t i = 0; i < sizeof role / sizeof *role; i++) {
        if (p->part[role[i]].path == NULL) continue;
        status = set_variant(&p->part[role[i]], variant);
        if (status == WEFT_ENOMEM) return status;
        have += status == WEFT_OK;
    }
    return have ? WEFT_OK : status;
}

/* ---- opening ------------------------------------------------------------- */

weft_status weft_pipeline_open(const char *path, weft_pipeline **p)
{
    char folder[WEFT_PATH];
    const char *variant;
    weft_pipeline *read = NULL;
    weft_status status;

    WEFT_TRY(weft_component_split(path, folder, sizeof folder, &variant));
    WEFT_TRY(weft_pipeline_read(folder, &read));
    status = weft_pipeline_check(read);
    if (status == WEFT_OK && variant)
        status = weft_pipeline_choose(read, variant);
    if (status == WEFT_OK)
        *p = read;
    else
        weft_pipeline_free(read);
    return status;
}
