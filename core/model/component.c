#include "core/model/component.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/path.h"
#include "core/model/original.h"

enum { NAME_ROOM = 256, STEMS = 2 };

static const char *const stems[STEMS] = {"diffusion_pytorch_model", "model"};

/* ---- names --------------------------------------------------------------- */

/* Whether FOLDER/NAME is there; `path` tells it in full. */
static weft_status look(const char *folder, const char *name, char *path,
                        size_t room, bool *there)
{
    WEFT_TRY(weft_path_join(folder, name, path, room));
    *there = weft_path_exists(path);
    return WEFT_OK;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

weft_status weft_component_split(const char *path, char *file, size_t room,
                                 const char **rest)
{
    const char *colon = strrchr(path, ':');
    const size_t n = strlen(path);

    *rest = NULL;
    if (n >= room)
        return weft_fail(WEFT_EINPUT, "%s: the name is too long", path);
    memcpy(file, path, n + 1);
    if (!colon || !colon[1] || strchr(colon, '/') || weft_path_exists(path))
        return WEFT_OK;
    file[colon - path] = '\0';
    *rest = colon + 1;
    return WEFT_OK;
}

/* ---- variants ------------------------------------------------------------ */

/* How the weights of a variant are named, and an index of them: as diffusers
 * does it today, then as it did. */
static const char *const forms[][2] = {{".", ".safetensors"},
                                       {".safetensors.index.", ".json"},
                                       {".", ".safetensors.index.json"}};

enum { FORMS = sizeof forms / sizeof *forms };

/* The variant that a file's name tells; "" for none. */
static void variant_of(const char *name, char variant[NAME_ROOM])
{
    variant[0] = '\0';
    for (int i = 0; i < STEMS * FORMS; i++) {
        const char *const *form = forms[i % FORMS];
        char begin[64];
        size_t n;

        snprintf(begin, sizeof begin, "%s%s", stems[i / FORMS], form[0]);
        n = strlen(begin);
        if (strncmp(name, begin, n) != 0 || !ends_in(name + n, form[1]))
            continue;
        snprintf(variant, NAME_ROOM, "%.*s",
                 (int)(strlen(name + n) - strlen(form[1])), name + n);
        if (!strchr(variant, '.') && !strstr(variant, "-of-")) return;
        variant[0] = '\0';
    }
}

/* What there is in a folder: the first two variants by name, and a pickle. */
struct found {
    char variant[2][NAME_ROOM], pickle[NAME_ROOM];
};

static void consider_variant(struct found *found, const char *variant)
{
    char(*v)[NAME_ROOM] = found->variant;

    if (!strcmp(v[0], variant) || !strcmp(v[1], variant)) return;
    if (!v[0][0] || strcmp(variant, v[0]) < 0) {
        memcpy(v[1], v[0], NAME_ROOM);
        snprintf(v[0], NAME_ROOM, "%s", variant);
    } else if (!v[1][0] || strcmp(variant, v[1]) < 0) {
        snprintf(v[1], NAME_ROOM, "%s", variant);
    }
}

static bool is_pickle(const char *name)
{
    return ends_in(name, ".bin") || ends_in(name, ".ckpt") ||
           ends_in(name, ".pt") || ends_in(name, ".pth");
}

static weft_status search(const char *folder, struct found *found)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char variant[NAME_ROOM];

    *found = (struct found){0};
    if (dir == NULL) return weft_file_fail(errno, folder, "open the folder");
    while ((entry = readdir(dir))) {
        variant_of(entry->d_name, variant);
        if (variant[0]) consider_variant(found, variant);
        if (is_pickle(entry->d_name) &&
            (!found->pickle[0] || strcmp(entry->d_name, found->pickle) < 0))
            snprintf(found->pickle, NAME_ROOM, "%s", entry->d_name);
    }
    closedir(dir);
    return WEFT_OK;
}

/* ---- weights ------------------------------------------------------------- */

static weft_status look_plain(const char *folder, char *path, size_t room,
                              bool *there)
{
    *there = false;
    for (int i = 0; i < 2 * STEMS && !*there; i++) {
        char name[NAME_ROOM];

        snprintf(name, sizeof name, "%s.safetensors%s", stems[i / 2],
                 i % 2 ? ".index.json" : "");
        WEFT_TRY(look(folder, name, path, room, there));
    }
    return WEFT_OK;
}

static weft_status look_variant(const char *folder, const char *variant,
                                char *path, size_t room, bool *there)
{
    *there = false;
    for (int i = 0; i < STEMS * FORMS && !*there; i++) {
        const char *const *form = forms[i % FORMS];
        char name[2 * NAME_ROOM];

        snprintf(name, sizeof name, "%s%s%.200s%s", stems[i / FORMS], form[0],
                 variant, form[1]);
        WEFT_TRY(look(folder, name, path, room, there));
    }
    return WEFT_OK;
}

/* `what`: "is", or all that a folder has. */
static weft_status refuse_pickle(const char *path, const char *what)
{
    return weft_fail(WEFT_EINPUT,
                     "%s: %s a pickle: to read one is to run what is in it, so "
                     "weft does not; convert it to safetensors (diffusers' and "
                     "transformers' save_pretrained write them)",
                     path, what);
}

static weft_status refuse(const char *folder, const struct found *found)
{
    char what[NAME_ROOM + 32];

    if (found->variant[0][0])
        return weft_fail(WEFT_EINPUT,
                         "%s: no weights but those of variants, and more than "
                         "one (%s, %s): say which, such as %s:%s",
                         folder, found->variant[0], found->variant[1], folder,
                         found->variant[0]);
    if (found->pickle[0]) {
        snprintf(what, sizeof what, "has no weights but %s,", found->pickle);
        return refuse_pickle(folder, what);
    }
    return weft_fail(WEFT_EINPUT,
                     "%s: no %s.safetensors and no %s.safetensors.index.json, "
                     "nor those of %s",
                     folder, stems[0], stems[0], stems[1]);
}

static weft_status find_weights(const char *folder, char *path, size_t room)
{
    struct found found;
    bool there;

    WEFT_TRY(look_plain(folder, path, room, &there));
    if (there) return WEFT_OK;
    WEFT_TRY(search(folder, &found));
    if (!found.variant[0][0] || found.variant[1][0])
        return refuse(folder, &found);
    return look_variant(folder, found.variant[0], path, room, &there);
}

static weft_status find_variant(const char *folder, const char *variant,
                                char *path, size_t room)
{
    struct found found;
    bool there;

    WEFT_TRY(look_variant(folder, variant, path, room, &there));
    if (there) return WEFT_OK;
    WEFT_TRY(search(folder, &found));
    return weft_fail(WEFT_EINPUT, "%s: no weights of the variant %s%s%s%s%s",
                     folder, variant, found.variant[0][0] ? ", but of " : "",
                     found.variant[0], found.variant[1][0] ? " and " : "",
                     found.variant[1]);
}

/* ---- the component ------------------------------------------------------- */

static weft_status check_folder(const char *folder)
{
    if (weft_path_is_folder(folder)) return WEFT_OK;
    if (!weft_path_exists(folder))
        return weft_file_fail(errno, folder, "open the folder");
    return weft_fail(WEFT_EINPUT, "%s: is not a folder", folder);
}

weft_status weft_component_paths(const char *path, char *config, char *weights,
                                 size_t room)
{
    char folder[WEFT_PATH];
    const char *variant;
    bool there, pipeline;
    weft_status status;

    WEFT_TRY(weft_component_split(path, folder, sizeof folder, &variant));
    WEFT_TRY(check_folder(folder));
    WEFT_TRY(look(folder, "model_index.json", config, room, &pipeline));
    WEFT_TRY(look(folder, "config.json", config, room, &there));
    if (!there && pipeline)
        return weft_fail(WEFT_EINPUT,
                         "%s: is a whole pipeline (it has a model_index.json): "
                         "name the folder of one model in it, such as unet",
                         folder);
    status = variant ? find_variant(folder, variant, weights, room)
                     : find_weights(folder, weights, room);
    if (there) return status;
    if (status == WEFT_OK)
        return weft_fail(WEFT_EINPUT, "%s: no config.json", folder);
    return weft_fail_within(status, "%s: no config.json; also", folder);
}

/* ---- checkpoints in one file --------------------------------------------- */

/* What of a file is meant, as it stands behind the colon. */
static const struct inside {
    const char *name;
    weft_pipeline_role role;
    double scaling; /* 0: the family's */
} insides[] = {
    {"unet", WEFT_PIPELINE_UNET, 0},
    {"vae", WEFT_PIPELINE_VAE, 0},
    {"text_encoder", WEFT_PIPELINE_TEXT, 0},
    {"text_encoder_2", WEFT_PIPELINE_TEXT_2, 0},
    {"scheduler", WEFT_PIPELINE_SCHEDULER, 0},
    {"controlnet", WEFT_PIPELINE_CONTROL, 0},
    {"vae-sd", WEFT_PIPELINE_VAE, 0.18215},
    {"vae-sdxl", WEFT_PIPELINE_VAE, 0.13025},
};

static bool is_config(const char *file)
{
    const size_t n = strlen(file), m = strlen(".json");

    return n > m && strcmp(file + n - m, ".json") == 0;
}

static weft_status find_inside(const char *file, const char *name,
                               const struct inside **in)
{
    for (size_t i = 0; name && i < sizeof insides / sizeof *insides; i++)
        if (strcmp(insides[i].name, name) == 0) {
            *in = &insides[i];
            return WEFT_OK;
        }
    if (is_config(file))
        return weft_fail(WEFT_EINPUT,
                         "%s: is the config of a component: give the folder "
                         "that it is in",
                         file);
    return weft_fail(WEFT_EINPUT,
                     "%s: is one file: say what of it is meant, as %s:unet "
                     "(or vae, text_encoder, text_encoder_2, scheduler, "
                     "controlnet)%s%s",
                     file, file, name ? ", not " : "", name ? name : "");
}

/* A scheduler is in no file, but goes with a U-Net. */
static weft_status check_inside(const char *file, const struct inside *in,
                                const weft_original *o)
{
    const weft_pipeline_role role =
        in->role == WEFT_PIPELINE_SCHEDULER ? WEFT_PIPELINE_UNET : in->role;

    if (o->prefix[role]) return WEFT_OK;
    for (int i = 0; i < WEFT_PIPELINE_PARTS; i++)
        if (o->prefix[i])
            return weft_fail(WEFT_EINPUT, "%s: has no %s", file, in->name);
    return weft_fail(WEFT_EINPUT,
                     "%s: is no checkpoint of Stable Diffusion 1, 2 or XL by "
                     "the names of its tensors",
                     file);
}

/* `path` is its name in errors. Without `select` st stays as it is. */
static weft_status read_inside(const char *path, const char *file,
                               const struct inside *in, bool select,
                               weft_json **config, weft_st *st)
{
    weft_original o;
    weft_status status;

    if (select && in->role == WEFT_PIPELINE_SCHEDULER)
        return weft_fail(WEFT_EINPUT, "%s: a scheduler is no model", path);
    weft_original_tell(st, &o);
    WEFT_TRY(check_inside(file, in, &o));
    WEFT_TRY(weft_original_config(st, &o, in->role, path, in->scaling, config));
    status = select ? weft_original_select(st, &o, in->role) : WEFT_OK;
    if (status != WEFT_OK) weft_json_free(*config);
    return status;
}

/* st may be NULL: the config alone is wanted. */
static weft_status open_inside(const char *path, const char *file,
                               const char *name, weft_json **config,
                               weft_st **st)
{
    const struct inside *in = NULL;
    weft_json *json;
    weft_st *whole;
    weft_status status;

    WEFT_TRY(weft_component_check_file(file));
    WEFT_TRY(find_inside(file, name, &in));
    WEFT_TRY(weft_st_open(file, &whole));
    status = read_inside(path, file, in, st != NULL, &json, whole);
    if (status == WEFT_OK) *config = json;
    if (status == WEFT_OK && st)
        *st = whole;
    else
        weft_st_close(whole);
    return status;
}

weft_status weft_component_check_file(const char *path)
{
    unsigned char head[4] = {0};
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL) return weft_file_fail(errno, path, "open");
    n = fread(head, 1, sizeof head, f);
    fclose(f);
    if (n == 4 && memcmp(head, "GGUF", 4) == 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: is a GGUF file, which weft does not read: take "
                         "the safetensors that it was made of",
                         path);
    if (n == 4 && (memcmp(head, "PK\3\4", 4) == 0 ||
                   (head[0] == 0x80 && head[1] >= 2 && head[1] <= 5)))
        return refuse_pickle(path, "is");
    return WEFT_OK;
}

/* ---- opening ------------------------------------------------------------- */

weft_status weft_component_scheduler(const char *path, weft_json **config)
{
    char file[WEFT_PATH], json[WEFT_PATH];
    const char *rest;

    WEFT_TRY(weft_component_split(path, file, sizeof file, &rest));
    if (weft_path_is_file(file))
        return open_inside(path, file, rest, config, NULL);
    WEFT_TRY(weft_path_join(path, "scheduler_config.json", json, sizeof json));
    return weft_json_read(json, config);
}

static weft_status open_folder(const char *path, weft_json **config,
                               weft_st **st)
{
    char file[WEFT_PATH], weights[WEFT_PATH];
    weft_json *json = NULL;
    weft_status status;

    WEFT_TRY(weft_component_paths(path, file, weights, WEFT_PATH));
    WEFT_TRY(weft_json_read(file, &json));
    status = weft_st_open(weights, st);
    if (status == WEFT_OK)
        *config = json;
    else
        weft_json_free(json);
    return status;
}

weft_status weft_component_open(const char *path, weft_json **config,
                                weft_st **st)
{
    char file[WEFT_PATH];
    const char *rest;

    WEFT_TRY(weft_component_split(path, file, sizeof file, &rest));
    return weft_path_is_file(file) ? open_inside(path, file, rest, config, st)
                                   : open_folder(path, config, st);
}
