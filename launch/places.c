#include "launch/places.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/path.h"
#include "core/model/component.h"

/* A file under its one real name, and what it is to this run. */
typedef struct place {
    char *real; /* owned */
    const char *what;
} place;

typedef struct places {
    place *at; /* [n] */
    int n, room;
} places;

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

static void release(places *p)
{
    for (int i = 0; i < p->n; i++) free(p->at[i].real);
    free(p->at);
}

/* ---- the list ------------------------------------------------------------ */

/* Takes `real` over. */
static weft_status keep(places *p, char *real, const char *what)
{
    if (p->n == p->room) {
        const int room = 2 * p->room + 16;
        place *more = realloc(p->at, (size_t)room * sizeof *more);

        if (!more) {
            free(real);
            return no_memory();
        }
        p->at = more;
        p->room = room;
    }
    p->at[p->n++] = (place){real, what};
    return WEFT_OK;
}

/* A file that is not there is no input. */
static weft_status add_input(places *p, const char *path, const char *what)
{
    char *real = realpath(path, NULL);

    return real ? keep(p, real, what) : WEFT_OK;
}

static bool is_model_file(const char *name)
{
    static const char *const ends[] = {".json", ".safetensors", ".txt",
                                       ".model"};
    const char *end = strrchr(name, '.');

    for (size_t i = 0; end && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(end, ends[i]) == 0) return true;
    return false;
}

static weft_status add_folder(places *p, const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    weft_status st = WEFT_OK;

    if (!dir) return WEFT_OK;
    while (st == WEFT_OK && (entry = readdir(dir))) {
        char *path;

        if (!is_model_file(entry->d_name)) continue;
        if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) {
            st = no_memory();
            break;
        }
        st = add_input(p, path, "a file of a model");
        free(path);
    }
    closedir(dir);
    return st;
}

/* A component: a folder, or what of a file is meant. */
static weft_status add_model(places *p, const char *path)
{
    char file[WEFT_PATH];
    const char *rest;

    if (!path) return WEFT_OK;
    WEFT_TRY(weft_component_split(path, file, sizeof file, &rest));
    if (weft_path_is_file(file)) return add_input(p, file, "a file of a model");
    return add_folder(p, file);
}

static weft_status add_picture(places *p, const weft_config_path *picture)
{
    if (!picture->path) return WEFT_OK;
    return add_input(p, picture->path, "a picture that this run looks at");
}

/* A model, and what it is changed by and told with. */
static weft_status add_parts(places *p, const weft_config_model *m)
{
    WEFT_TRY(add_model(p, m->path));
    for (int i = 0; i < WEFT_ENCODERS; i++) {
        WEFT_TRY(add_model(p, m->text.encoder[i].path));
        WEFT_TRY(add_model(p, m->text.tokenizer[i].path));
    }
    for (int i = 0; i < m->nloras; i++)
        WEFT_TRY(add_model(p, m->lora[i].file.path));
    for (int i = 0; i < m->ncontrols; i++) {
        WEFT_TRY(add_model(p, m->control[i].net.path));
        WEFT_TRY(add_picture(p, &m->control[i].image));
    }
    return WEFT_OK;
}

static weft_status add_inputs(places *p, const weft_config *c)
{
    WEFT_TRY(add_input(p, c->file, "the config of this run"));
    for (int i = 0; i < c->nmodels; i++) WEFT_TRY(add_parts(p, &c->model[i]));
    WEFT_TRY(add_picture(p, &c->sample.image));
    WEFT_TRY(add_picture(p, &c->sample.mask));
    WEFT_TRY(add_picture(p, &c->sample.control));
    WEFT_TRY(add_model(p, c->vae));
    return add_model(p, c->schedule);
}

/* ---- outputs ------------------------------------------------------------- */

/* The real name of an output whose folder is there. */
static weft_status real_name(const char *path, char **real)
{
    const char *slash = strrchr(path, '/');
    char *folder, *at;
    int n;

    *real = realpath(path, NULL);
    if (*real) return WEFT_OK;
    if (asprintf(&folder, "%.*s.", slash ? (int)(slash - path) + 1 : 0, path) <
        0)
        return no_memory();
    at = realpath(folder, NULL);
    n = asprintf(real, "%s/%s", at ? at : folder, slash ? slash + 1 : path);
    free(at);
    free(folder);
    return n < 0 ? no_memory() : WEFT_OK;
}

static weft_status add_output(places *p, const char *path, const char *key)
{
    char *real;

    WEFT_TRY(real_name(path, &real));
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->at[i].real, real) != 0) continue;
        free(real);
        return weft_fail(WEFT_EINPUT, "%s: %s is %s", key, path, p->at[i].what);
    }
    return keep(p, real, key);
}

/* What the config itself says may be out of reach, as in a weft that was
 * installed for all. */
static weft_status probe(const char *path, const char *key)
{
    const weft_status st = weft_file_probe(path);
    char why[1024];

    if (st != WEFT_EIO) return st;
    snprintf(why, sizeof why, "%s", weft_fail_text());
    return weft_fail(st, "%s; %s=FILE writes elsewhere", why, key);
}

static weft_status try_output(places *p, const weft_config *c,
                              const char *pattern, int image, const char *key)
{
    char *path;
    weft_status st;

    if (!pattern) return WEFT_OK;
    WEFT_TRY(weft_config_fill(c, pattern, image, &path));
    st = probe(path, key);
    if (st == WEFT_OK) st = add_output(p, path, key);
    free(path);
    return st;
}

/* The names of two images differ by their seed or index, so each image is
 * compared with the files before it on the list only. */
static weft_status try_image(places *p, const weft_config *c, int image)
{
    const int n = p->n;

    WEFT_TRY(try_output(p, c, c->output.image, image, "output.image"));
    WEFT_TRY(try_output(p, c, c->output.latents, image, "output.latents"));
    while (p->n > n) free(p->at[--p->n].real);
    return WEFT_OK;
}

static weft_status try_all(places *p, const weft_config *c, int from, int to)
{
    WEFT_TRY(add_inputs(p, c));
    if (c->output.report) {
        WEFT_TRY(weft_file_make_folder(c->output.report));
        WEFT_TRY(add_output(p, c->output.report, "output.report"));
    }
    if (c->output.trace) {
        WEFT_TRY(probe(c->output.trace, "output.trace"));
        WEFT_TRY(add_output(p, c->output.trace, "output.trace"));
    }
    for (int i = from; i < to; i++) WEFT_TRY(try_image(p, c, i));
    return WEFT_OK;
}

weft_status weft_places_try(const weft_config *c, int from, int to)
{
    places p = {0};
    weft_status st = try_all(&p, c, from, to);

    release(&p);
    return st;
}
