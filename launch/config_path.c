/* config_path.c - where the paths of a config lead. */
#include "launch/config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/path.h"
#include "core/model/component.h"

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* The length of PATH's folder with its slash: 0 for the working directory. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/*
 * The portable form: no empty and no "." parts, "a/.." left out, and no ".."
 * at the beginning. That is arithmetic on the name: what it means depends on
 * the file system, but it is never opened as it is, only looked for.
 */
static char *portable_form(const char *path)
{
    char *out = malloc(strlen(path) + 2);
    size_t n = 0;

    if (out == NULL) return NULL;
    if (path[0] == '/') out[n++] = '/';
    const size_t root = n;
    while (*path != '\0') {
        const size_t part = strcspn(path, "/");
        if (part == 2 && strncmp(path, "..", 2) == 0) {
            while (n > root && out[n - 1] != '/') n--;
            if (n > root) n--;
        } else if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (n > root) out[n++] = '/';
            memcpy(out + n, path, part);
            n += part;
        }
        path += part + (path[part] == '/');
    }
    if (n == 0) out[n++] = '.';
    out[n] = '\0';
    return out;
}

/* Of a model, the folder or the file that it is a part of. */
static bool is_there(const char *path)
{
    char file[WEFT_PATH];
    const char *rest;

    return weft_component_split(path, file, sizeof file, &rest) == WEFT_OK &&
           weft_path_exists(file);
}

/* Look for `name` in `folder` (absolute) and every folder above it. */
static char *look_upward(char *folder, const char *name)
{
    char *path;

    for (;;) {
        const char *slash = strcmp(folder, "/") == 0 ? "" : "/";
        if (asprintf(&path, "%s%s%s", folder, slash, name) < 0) return NULL;
        if (is_there(path)) return path;
        free(path);
        if (folder[1] == '\0') return NULL;
        char *last = strrchr(folder, '/');
        last[last == folder] = '\0';
    }
}

/* Where an installed weft has its own models: PREFIX/share/weft, beside the
 * PREFIX/bin of the program that runs. */
static char *look_installed(const char *name)
{
    char *folder = realpath("/proc/self/exe", NULL), *path = NULL;

    if (folder == NULL) return NULL;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(folder, '/');
        if (slash != NULL) *slash = '\0';
    }
    if (asprintf(&path, "%s/share/weft/%s", folder, name) < 0) path = NULL;
    free(folder);
    if (path == NULL || is_there(path)) return path;
    free(path);
    return NULL;
}

static char *look_around(const char *file, const char *name)
{
    char *near, *folder, *path = NULL;

    if (asprintf(&near, "%.*s.", (int)folder_length(file), file) < 0)
        return NULL;
    folder = realpath(near, NULL);
    free(near);
    if (folder != NULL) path = look_upward(folder, name);
    free(folder);
    if (path != NULL) return path;
    folder = getcwd(NULL, 0);
    if (folder != NULL) path = look_upward(folder, name);
    free(folder);
    return path != NULL ? path : look_installed(name);
}

static char *beside(const char *file, const char *text)
{
    char *path;

    if (asprintf(&path, "%.*s%s", (int)folder_length(file), file, text) < 0)
        return NULL;
    return path;
}

weft_status weft_config_find_path(const weft_tree *t, const char *key,
                                  bool identity, char **path, char **portable)
{
    const bool as_it_is = t->text[0] == '/' || t->place.override != NULL;
    char *form = portable_form(t->text), *found;

    if (form == NULL) return no_memory();
    if (as_it_is)
        found = strdup(t->text);
    else if (identity)
        found = look_around(t->place.file, form);
    else
        found = beside(t->place.file, t->text);
    if (found == NULL) {
        free(form);
        if (as_it_is || !identity) return no_memory();
        return weft_place_fail(&t->place,
                               "%s: no \"%.200s\" in the image's folder, the "
                               "working directory, above them, or where weft "
                               "is installed; say %s=FOLDER",
                               key, t->text, key);
    }
    *path = found;
    *portable = form;
    return WEFT_OK;
}

weft_status weft_config_take_path(const weft_tree *root, const char *key,
                                  bool identity, weft_config_path *to)
{
    const weft_tree *t = weft_tree_find(root, key);

    if (!t) return WEFT_OK;
    return weft_config_find_path(t, key, identity, &to->path, &to->portable);
}

/* `n` bytes of a path as a part of a pattern: braces doubled, so that they mean
 * themselves. Returns the end of what was written. */
static char *quote_braces(char *out, const char *path, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (path[i] == '{' || path[i] == '}') *out++ = path[i];
        *out++ = path[i];
    }
    return out;
}

weft_status weft_config_output_path(const weft_tree *t, bool pattern,
                                    char **path)
{
    const bool alone = t->text[0] == '/' || t->place.override != NULL;
    const char *file = t->place.file;
    const size_t folder = alone ? 0 : folder_length(file);
    const size_t rest = strlen(t->text) + 1;
    char *out = malloc(2 * folder + rest), *end;

    if (out == NULL) return no_memory();
    if (pattern)
        end = quote_braces(out, file, folder);
    else
        end = mempcpy(out, file, folder);
    memcpy(end, t->text, rest);
    *path = out;
    return WEFT_OK;
}

weft_status weft_config_again(const char *file, bool several, char **path)
{
    const char *dot = strrchr(file, '.');
    const char *tail = several ? "-again-{seed}.png" : "-again.png";
    const size_t rest = strlen(tail) + 1;
    char *out;

    *path = NULL;
    if (dot == NULL || strcasecmp(dot, ".png") != 0) return WEFT_OK;
    out = malloc(2 * strlen(file) + rest);
    if (out == NULL) return no_memory();
    memcpy(quote_braces(out, file, (size_t)(dot - file)), tail, rest);
    *path = out;
    return WEFT_OK;
}
