#include "core/model/component.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/io/file.h"

enum { PATH_ROOM = 4096, NAME_ROOM = 256, STEMS = 2 };

static const char *const stems[STEMS] = {"diffusion_pytorch_model", "model"};

/* ---- names --------------------------------------------------------------- */

static weft_status join(const char *folder, const char *name, char *path,
                        size_t room)
{
    const size_t n = strlen(folder);
    const char *slash = n > 0 && folder[n - 1] == '/' ? "" : "/";
    const int length = snprintf(path, room, "%s%s%s", folder, slash, name);

    if (length < 0 || (size_t)length >= room)
        return weft_fail(WEFT_EINPUT, "%s: the name is too long", folder);
    return WEFT_OK;
}

static bool exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0;
}

/* Whether FOLDER/NAME is there; `path` tells it in full. */
static weft_status look(const char *folder, const char *name, char *path,
                        size_t room, bool *there)
{
    WEFT_TRY(join(folder, name, path, room));
    *there = exists(path);
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
    if (!colon || !colon[1] || strchr(colon, '/') || exists(path))
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

static weft_status refuse(const char *folder, const struct found *found)
{
    if (found->variant[0][0])
        return weft_fail(WEFT_EINPUT,
                         "%s: no weights but those of variants, and more than "
                         "one (%s, %s): say which, such as %s:%s",
                         folder, found->variant[0], found->variant[1], folder,
                         found->variant[0]);
    if (found->pickle[0])
        return weft_fail(WEFT_EINPUT,
                         "%s: has no weights but %s, a pickle: to read one is "
                         "to run what is in it, so weft does not; convert it "
                         "to safetensors (diffusers' and transformers' "
                         "save_pretrained write them)",
                         folder, found->pickle);
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
    struct stat s;

    if (stat(folder, &s) != 0)
        return weft_file_fail(errno, folder, "open the folder");
    if (!S_ISDIR(s.st_mode))
        return weft_fail(WEFT_EINPUT, "%s: is not a folder", folder);
    return WEFT_OK;
}

weft_status weft_component_paths(const char *path, char *config, char *weights,
                                 size_t room)
{
    char folder[PATH_ROOM];
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

weft_status weft_component_scheduler(const char *path, weft_json **config)
{
    char file[PATH_ROOM];

    WEFT_TRY(join(path, "scheduler_config.json", file, sizeof file));
    return weft_json_read(file, config);
}

weft_status weft_component_open(const char *path, weft_json **config,
                                weft_st **st)
{
    char file[PATH_ROOM], weights[PATH_ROOM];
    weft_json *json = NULL;
    weft_status status;

    WEFT_TRY(weft_component_paths(path, file, weights, PATH_ROOM));
    WEFT_TRY(weft_json_read(file, &json));
    status = weft_st_open(weights, st);
    if (status == WEFT_OK)
        *config = json;
    else
        weft_json_free(json);
    return status;
}
