/*
 * component.c - which files make up a model: a folder as diffusers writes it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/io/file.h"
#include "core/model/safetensors.h"

#define STEM "diffusion_pytorch_model."

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

/* Whether FOLDER/NAME is there; `path` tells it in full. */
static weft_status look(const char *folder, const char *name, char *path,
                        size_t room, bool *there)
{
    struct stat s;

    WEFT_TRY(join(folder, name, path, room));
    *there = stat(path, &s) == 0;
    return WEFT_OK;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

/* STEM.VARIANT.safetensors, and the two forms in which an index names its
 * variant; not the shards themselves ("-00001-of-00002"). */
static bool is_variant(const char *name)
{
    if (strncmp(name, STEM, strlen(STEM)) != 0) return false;
    if (ends_in(name, ".json"))
        return strstr(name, ".index.") && strstr(name, ".safetensors.");
    return ends_in(name, ".safetensors") && strstr(name, "-of-") == NULL;
}

/* ---- variants ------------------------------------------------------------ */

struct found {
    char first[256], second[256]; /* the first two variants by name */
    int variants;
    bool torch; /* weights in a form that is not read */
};

static void consider(struct found *found, const char *name)
{
    if (ends_in(name, ".bin") || ends_in(name, ".ckpt") ||
        ends_in(name, ".pt") || ends_in(name, ".pth"))
        found->torch = true;
    if (!is_variant(name)) return;
    if (found->variants++ == 0 || strcmp(name, found->first) < 0) {
        memcpy(found->second, found->first, sizeof found->first);
        snprintf(found->first, sizeof found->first, "%s", name);
    } else if (found->variants == 2 || strcmp(name, found->second) < 0) {
        snprintf(found->second, sizeof found->second, "%s", name);
    }
}

static weft_status search(const char *folder, struct found *found)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    *found = (struct found){0};
    if (dir == NULL) return weft_file_fail(errno, folder, "open the folder");
    while ((entry = readdir(dir))) consider(found, entry->d_name);
    closedir(dir);
    return WEFT_OK;
}

static weft_status find_variant(const char *folder, char *path, size_t room)
{
    struct found found;

    WEFT_TRY(search(folder, &found));
    if (found.variants == 1) return join(folder, found.first, path, room);
    if (found.variants > 1)
        return weft_fail(WEFT_EINPUT,
                         "%s: no " STEM "safetensors, and more than one "
                         "variant of it (%s, %s): link one to that name",
                         folder, found.first, found.second);
    return weft_fail(WEFT_EINPUT,
                     "%s: no " STEM "safetensors and no " STEM
                     "safetensors.index.json%s",
                     folder,
                     found.torch ? " (PyTorch weights such as .bin are not "
                                   "read: convert them to safetensors)"
                                 : "");
}

/* ---- the component ------------------------------------------------------- */

static weft_status find_weights(const char *folder, char *path, size_t room)
{
    bool there;

    WEFT_TRY(look(folder, STEM "safetensors", path, room, &there));
    if (there) return WEFT_OK;
    WEFT_TRY(look(folder, STEM "safetensors.index.json", path, room, &there));
    if (there) return WEFT_OK;
    return find_variant(folder, path, room);
}

static weft_status check_folder(const char *folder)
{
    struct stat s;

    if (stat(folder, &s) != 0)
        return weft_file_fail(errno, folder, "open the folder");
    if (!S_ISDIR(s.st_mode))
        return weft_fail(WEFT_EINPUT, "%s: is not a folder", folder);
    return WEFT_OK;
}

weft_status weft_component_paths(const char *folder, char *config,
                                 char *weights, size_t room)
{
    bool there, pipeline;
    weft_status status;

    WEFT_TRY(check_folder(folder));
    WEFT_TRY(look(folder, "model_index.json", config, room, &pipeline));
    WEFT_TRY(look(folder, "config.json", config, room, &there));
    if (!there && pipeline)
        return weft_fail(WEFT_EINPUT,
                         "%s: is a whole pipeline (it has a model_index.json): "
                         "name the folder of one model in it, such as unet",
                         folder);
    status = find_weights(folder, weights, room);
    if (there) return status;
    if (status == WEFT_OK)
        return weft_fail(WEFT_EINPUT, "%s: no config.json", folder);
    return weft_fail_within(status, "%s: no config.json; also", folder);
}
