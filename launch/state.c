#include "launch/state.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "launch/checkpoint_check.h"
#include "launch/version.h"

/* Of a name, before what is put behind it; of a job, its groups' files. */
enum { LONGEST = 160, MOST_FILES = 4096 };

/* Seconds: a job that ends may hold its lock for a moment when the next one
 * begins. */
static const double patience = 2;

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- what the images are of ---------------------------------------------- */

static const char *const norms[] = {[WEFT_OLD_SHOWN] = "stale",
                                    [WEFT_OLD_PAIRED] = "corrected",
                                    [WEFT_OLD_REFUSED] = "fresh",
                                    [WEFT_OLD_ABSENT] = "local"};

/* What counts of `parallel`, whoever holds which rows. */
static json_t *parallel_of(const weft_config *c)
{
    json_t *p = json_pack("{s:i, s:s, s:s}", "grain", c->parallel.grain,
                          "exchange", c->parallel.async ? "async" : "sync",
                          "wire", weft_wire_name[c->parallel.wire]);

    if (c->parallel.async)
        json_object_update_new(
            p, json_pack("{s:i, s:i, s:s, s:i, s:f}", "warmup",
                         c->parallel.warmup, "lag", c->parallel.lag, "norm",
                         norms[c->parallel.norm], "refresh",
                         c->parallel.refresh, "drift", c->parallel.drift));
    return p;
}

/* "0-99,200" */
static json_t *seeds_of(const weft_config *c)
{
    const uint64_t *seed = c->sample.seed;
    const int n = c->sample.nseeds;
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    json_t *made;

    if (!f) return NULL;
    for (int i = 0, to; i < n; i = to + 1) {
        for (to = i; to + 1 < n && seed[to + 1] == seed[to] + 1;) to++;
        fprintf(f, "%s%" PRIu64, i ? "," : "", seed[i]);
        if (to > i) fprintf(f, "-%" PRIu64, seed[to]);
    }
    made = fclose(f) == 0 ? json_string(text) : NULL;
    free(text);
    return made;
}

static weft_status describe(const weft_config *c, char **text)
{
    char *image = NULL;
    json_t *all, *sample;

    /* Any seed will do: JSON's integers do not hold all of them. */
    WEFT_TRY(weft_config_identity(c, 0, &image));
    all = json_loads(image, 0, NULL);
    free(image);
    sample = json_object_get(all, "sample");
    json_object_del(sample, "seed");
    json_object_set_new(sample, "seeds", seeds_of(c));
    json_object_set_new(all, "parallel", parallel_of(c));
    json_object_set_new(all, "version", json_string(WEFT_VERSION));
    *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return *text ? WEFT_OK : no_memory();
}

/* ---- names --------------------------------------------------------------- */

/* Links are followed: what is beside /dev/stdout is not meant. */
static char *folder_of(const char *output)
{
    char *real = realpath(output, NULL), *folder = NULL;
    char *copy = real ? real : strdup(output);

    if (copy && asprintf(&folder, "%s/.weft", dirname(copy)) < 0) folder = NULL;
    free(copy);
    return folder;
}

static char *stem_of(const weft_config *c, const char *output)
{
    const char *slash = strrchr(output, '/');
    const char *name = slash ? slash + 1 : output;
    char *folder = c->run.state ? strdup(c->run.state) : folder_of(output);
    char *stem = NULL;
    int n = -1;

    if (folder && strlen(name) <= LONGEST)
        n = asprintf(&stem, "%s/%s", folder, name);
    else if (folder)
        n = asprintf(&stem, "%s/%.*s-%016" PRIx64, folder, LONGEST - 20, name,
                     weft_check_start(name));
    free(folder);
    return n < 0 ? NULL : stem;
}

weft_status weft_state_init(const weft_config *c, weft_state *s)
{
    const char *pattern = c->output.image ? c->output.image : c->output.latents;
    char *output = NULL;

    memset(s, 0, sizeof *s);
    s->lock.fd = -1;
    WEFT_TRY(weft_config_fill(c, pattern, 0, &output));
    s->stem = stem_of(c, output);
    free(output);
    if (!s->stem) return no_memory();
    return describe(c, &s->identity);
}

static char *named(const weft_state *s, const char *tail)
{
    char *path = NULL;

    return asprintf(&path, "%s.%s", s->stem, tail) < 0 ? NULL : path;
}

char *weft_state_group(const weft_state *s, int group)
{
    char tail[32];

    snprintf(tail, sizeof tail, "checkpoint.%d", group);
    return named(s, tail);
}

/* ---- files of groups ----------------------------------------------------- */

typedef struct files {
    char
        *path[MOST_FILES + 1]; /* owned; the common one first, if it is there */
    weft_checkpoint at[MOST_FILES + 1];
    int n, opened;
    bool common; /* path[0] is NAME.checkpoint */
} files;

/* "checkpoint.12" of "NAME.checkpoint.12"; whatever a killed run left of a file
 * that it was writing goes. */
static weft_status look_at(files *f, const char *folder, const char *name,
                           const char *entry)
{
    const size_t n = strlen(name);
    const char *tail = entry + n + strlen(".checkpoint");
    char *path;

    if (strncmp(entry, name, n) != 0 ||
        strncmp(entry + n, ".checkpoint", strlen(".checkpoint")) != 0)
        return WEFT_OK;
    if (asprintf(&path, "%s/%s", folder, entry) < 0) return no_memory();
    if (strstr(tail, ".tmp.")) {
        unlink(path);
    } else if (tail[0] == '.' && tail[1] &&
               !tail[1 + strspn(tail + 1, "0123456789")] && f->n < MOST_FILES) {
        f->path[f->n++] = path;
        return WEFT_OK;
    }
    free(path);
    return WEFT_OK;
}

static weft_status list_groups(const weft_state *s, files *f)
{
    char *copy = strdup(s->stem);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    const struct dirent *e;
    weft_status st = WEFT_OK;
    DIR *dir;

    if (!slash) {
        free(copy);
        return no_memory();
    }
    *slash = '\0';
    dir = opendir(copy);
    while (dir && st == WEFT_OK && (e = readdir(dir)))
        st = look_at(f, copy, slash + 1, e->d_name);
    if (dir) closedir(dir);
    free(copy);
    return st;
}

static weft_status list_files(const weft_state *s, files *f)
{
    char *common = named(s, "checkpoint");

    if (!common) return no_memory();
    f->common = access(common, F_OK) == 0;
    if (f->common)
        f->path[f->n++] = common;
    else
        free(common);
    return list_groups(s, f);
}

static void forget_files(files *f)
{
    for (int i = 0; i < f->opened; i++) weft_checkpoint_close(&f->at[i]);
    for (int i = 0; i < f->n; i++) free(f->path[i]);
}

/* ---- taking over --------------------------------------------------------- */

static weft_status check_one(const weft_state *s, const char *path,
                             const weft_checkpoint_fit *fit, weft_checkpoint *c)
{
    weft_status st = weft_checkpoint_open(path, c);

    if (st != WEFT_OK) {
        char why[1024];

        snprintf(why, sizeof why, "%s", weft_fail_text());
        return weft_fail(st, "%s; remove it to begin anew", why);
    }
    st = weft_checkpoint_same(c->identity, s->identity);
    if (st != WEFT_OK) {
        char why[512];

        snprintf(why, sizeof why, "%s", weft_fail_text());
        return weft_fail(st,
                         "%s: was kept for other images: %s; finish those "
                         "first, or remove it to begin anew",
                         path, why);
    }
    return weft_checkpoint_fits(c, fit);
}

static weft_status check_files(const weft_state *s, files *f,
                               const weft_checkpoint_fit *fit)
{
    for (int i = 0; i < f->n; i++) {
        const weft_status st = check_one(s, f->path[i], fit, &f->at[i]);

        if (f->at[i].st) f->opened = i + 1;
        WEFT_TRY(st);
    }
    return WEFT_OK;
}

/* All that there is becomes the common one. */
static weft_status unite(const weft_state *s, files *f, int images)
{
    char *common = named(s, "checkpoint");
    weft_status st = WEFT_OK;

    if (!common) return no_memory();
    if (f->n > 1)
        st = weft_checkpoint_merge(f->at, f->n, images, common);
    else if (f->n == 1 && !f->common && rename(f->path[0], common) != 0)
        st = weft_fail(WEFT_EIO, "%s: cannot be renamed", f->path[0]);
    for (int i = f->common; i < f->n && st == WEFT_OK; i++) unlink(f->path[i]);
    free(common);
    return st;
}

static weft_status lock(weft_state *s)
{
    char *path = named(s, "lock");
    weft_status st;

    if (!path) return no_memory();
    /* Another run may remove the folder, empty, before the lock is in it. */
    for (int i = 0; i < 10; i++) {
        st = weft_file_make_folder(path);
        if (st == WEFT_OK) st = weft_lock_take(path, patience, &s->lock);
        if (st != WEFT_EINPUT || access(path, F_OK) == 0) break;
    }
    free(path);
    if (st == WEFT_OK && s->lock.weak)
        fprintf(stderr,
                "weft: %s: this file system has no locks: nothing keeps a "
                "second run of the same images out\n",
                s->lock.path);
    return st;
}

static weft_status probe(const weft_state *s)
{
    char *path = named(s, "checkpoint");
    weft_status st = path ? weft_file_probe(path) : no_memory();

    free(path);
    return st;
}

/* Where the user did not choose the folder, say that it can be chosen. */
static weft_status elsewhere(weft_status st)
{
    char why[1024];

    if (st != WEFT_EIO) return st;
    snprintf(why, sizeof why, "%s", weft_fail_text());
    return weft_fail(st, "%s; run.state=FOLDER keeps checkpoints elsewhere",
                     why);
}

weft_status weft_state_take(weft_state *s, const weft_checkpoint_fit *fit,
                            bool *any)
{
    files *f = calloc(1, sizeof *f);
    weft_status st = f ? WEFT_OK : no_memory();

    if (st == WEFT_OK) st = elsewhere(lock(s));
    if (st == WEFT_OK) st = elsewhere(probe(s));
    if (st == WEFT_OK) st = list_files(s, f);
    if (st == WEFT_OK) st = check_files(s, f, fit);
    if (st == WEFT_OK) st = unite(s, f, fit->images);
    *any = st == WEFT_OK && f->n > 0;
    if (f) forget_files(f);
    free(f);
    return st;
}

weft_status weft_state_open(weft_state *s, const weft_checkpoint_fit *fit)
{
    char *path = named(s, "checkpoint");
    weft_status st = path ? WEFT_OK : no_memory();

    if (st == WEFT_OK) st = weft_checkpoint_open(path, &s->from);
    s->found = st == WEFT_OK;
    free(path);
    return st == WEFT_OK ? weft_checkpoint_fits(&s->from, fit) : st;
}

/* ---- the end ------------------------------------------------------------- */

void weft_state_remove(weft_state *s)
{
    files *f = calloc(1, sizeof *f);

    if (f && list_files(s, f) == WEFT_OK)
        for (int i = 0; i < f->n; i++) unlink(f->path[i]);
    if (f) forget_files(f);
    free(f);
}

/* The folder goes with its last file. */
void weft_state_release(weft_state *s)
{
    const bool held = s->lock.path != NULL;

    weft_checkpoint_close(&s->from);
    weft_lock_release(&s->lock);
    if (held) rmdir(dirname(s->stem));
    free(s->stem);
    free(s->identity);
    memset(s, 0, sizeof *s);
    s->lock.fd = -1;
}
