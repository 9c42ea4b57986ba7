#include "launch/config_dataset.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"

static bool is_true(const char *word) { return strcmp(word, "true") == 0; }

/* ---- the rule ------------------------------------------------------------ */

static weft_status take_labels(const weft_tree *t, const char *text,
                               weft_config_dataset *d)
{
    if (text == NULL || strcmp(text, "all") == 0) return WEFT_OK;
    WEFT_TRY(weft_config_ranges(&t->place, "dataset.items.labels", text,
                                &d->label, &d->nlabels));
    for (int i = 0; i < d->nlabels; i++)
        if (d->label[i].last > INT_MAX)
            return weft_place_fail(&t->place,
                                   "dataset.items.labels: %llu is out of "
                                   "range, expected 0 to %d",
                                   (unsigned long long)d->label[i].last,
                                   INT_MAX);
    return WEFT_OK;
}

static weft_status take_rule(const weft_tree *root, const weft_raw_dataset *raw,
                             weft_config_dataset *d)
{
    const weft_tree *items = weft_tree_find(root, "dataset.items");
    const weft_tree *seeds = weft_tree_find(root, "dataset.items.seeds");

    if (items == NULL) return WEFT_OK;
    if (raw->manifest != NULL)
        return weft_place_fail(&items->place,
                               "dataset.manifest and dataset.items are both "
                               "given");
    WEFT_TRY(take_labels(weft_tree_find(root, "dataset.items.labels"),
                         raw->items.labels, d));
    return weft_config_ranges(&seeds->place, "dataset.items.seeds",
                              raw->items.seeds, &d->seed, &d->nseeds);
}

/* ---- slices -------------------------------------------------------------- */

/* "2/8": the third of eight. */
static weft_status take_slice(const weft_tree *root, const char *text,
                              weft_config_dataset *d)
{
    const weft_tree *t = weft_tree_find(root, "dataset.slice");
    char end;

    d->slices = 1;
    if (text == NULL) return WEFT_OK;
    if (strspn(text, "0123456789/") == strlen(text) &&
        sscanf(text, "%9d/%9d%c", &d->slice, &d->slices, &end) == 2 &&
        d->slice < d->slices)
        return WEFT_OK;
    return weft_place_fail(&t->place,
                           "dataset.slice: expected I/N with I from 0 to "
                           "N - 1, such as 0/8, found \"%.80s\"",
                           text);
}

/* "out/" is "out". */
static weft_status take_folder(const weft_tree *t, weft_config *c)
{
    if (t == NULL) return WEFT_OK;
    WEFT_TRY(weft_config_output_path(t, false, &c->output.dir));
    for (size_t n = strlen(c->output.dir); n > 1; n--) {
        if (c->output.dir[n - 1] != '/') break;
        c->output.dir[n - 1] = '\0';
    }
    return WEFT_OK;
}

weft_status weft_config_take_dataset(const weft_tree *root,
                                     const weft_raw_dataset *raw,
                                     weft_config *c)
{
    weft_config_dataset *d = &c->dataset;
    const weft_tree *manifest = weft_tree_find(root, "dataset.manifest");

    d->shard_size = raw->shard_size;
    d->folder = weft_config_choice("dataset.format", raw->format) == 1;
    d->images = is_true(raw->images);
    d->latents = is_true(raw->latents);
    d->verify = is_true(raw->verify);
    d->repeat = strcmp(raw->duplicates, "allow") == 0;
    WEFT_TRY(take_slice(root, raw->slice, d));
    WEFT_TRY(take_rule(root, raw, d));
    WEFT_TRY(take_folder(weft_tree_find(root, "output.dir"), c));
    if (manifest == NULL) return WEFT_OK;
    return weft_config_output_path(manifest, false, &d->manifest);
}

/* ---- as a run ------------------------------------------------------------ */

bool weft_config_is_dataset(const weft_config *c)
{
    return c->output.dir && (c->dataset.manifest || c->dataset.nseeds) &&
           !c->output.image && !c->output.latents;
}

static void forget(char **text)
{
    free(*text);
    *text = NULL;
}

void weft_config_for_dataset(weft_config *c, int ranks)
{
    enum { MANY = 1 << 14 };

    c->sample.images = MANY * ranks;
    forget(&c->output.image);
    forget(&c->output.latents);
    forget(&c->output.trace);
    c->output.pictures = c->dataset.images;
    c->output.states = c->dataset.latents;
    if (c->parallel.roles == WEFT_ROLES_SHARED && !c->parallel.patches.lines)
        c->parallel.patches = (weft_shape){1, 1};
}
