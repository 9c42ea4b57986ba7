#include "launch/card.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/path.h"
#include "core/model/component.h"
#include "core/model/lora.h"

enum { MOST_BYTES = 1 << 20, PATH = 4352, SHOWN = 100 };

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* ---- hashes of models ---------------------------------------------------- */

static int is_part(const struct dirent *d)
{
    const char *end = strrchr(d->d_name, '.');

    return end && (!strcmp(end, ".json") || !strcmp(end, ".safetensors") ||
                   !strcmp(d->d_name, "merges.txt"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static weft_status add_file(const char *folder, const char *name, weft_hash *h)
{
    char path[PATH], text[WEFT_HASH_TEXT];

    snprintf(path, sizeof path, "%.4090s/%.255s", folder, name);
    WEFT_TRY(weft_hash_file(path, text, NULL));
    weft_hash_add(h, name, strlen(name) + 1);
    weft_hash_add(h, text, strlen(text));
    return WEFT_OK;
}

/* Names and contents of what weft may read in a folder. */
static weft_status hash_folder(const char *folder, char text[WEFT_HASH_TEXT])
{
    struct dirent **list;
    const int n = scandir(folder, &list, is_part, by_bytes);
    weft_status st = WEFT_OK;
    weft_hash h;

    if (n < 0) return weft_file_fail(errno, folder, "open");
    weft_hash_start(&h);
    for (int i = 0; i < n; i++) {
        if (st == WEFT_OK) st = add_file(folder, list[i]->d_name, &h);
        free(list[i]);
    }
    free(list);
    weft_hash_text(&h, text);
    return st;
}

/* Of a variant, all of its folder; of a component in one file, that. */
static weft_status hash_component(const char *path, char text[WEFT_HASH_TEXT])
{
    char place[PATH];
    const char *variant;

    WEFT_TRY(weft_component_split(path, place, sizeof place, &variant));
    if (weft_path_is_file(place)) return weft_hash_file(place, text, NULL);
    return hash_folder(place, text);
}

static weft_status add_folder(json_t *models, const char *name,
                              const char *folder)
{
    char text[WEFT_HASH_TEXT];

    if (!folder) return WEFT_OK;
    WEFT_TRY(hash_component(folder, text));
    return json_object_set_new(models, name, json_string(text)) == 0
               ? WEFT_OK
               : no_memory();
}

static weft_status add_readers(json_t *models, const weft_config_model *m)
{
    static const char *const part[][2] = {{"text_encoder", "tokenizer"},
                                          {"text_encoder_2", "tokenizer_2"}};
    char name[128];

    for (int i = 0; i < WEFT_ENCODERS; i++) {
        snprintf(name, sizeof name, "%s.%s", m->name, part[i][0]);
        WEFT_TRY(add_folder(models, name, m->text.encoder[i].path));
        snprintf(name, sizeof name, "%s.%s", m->name, part[i][1]);
        WEFT_TRY(add_folder(models, name, m->text.tokenizer[i].path));
    }
    return WEFT_OK;
}

static weft_status add_numbered(json_t *models, const char *model,
                                const char *what, int i, const char *path)
{
    char name[128];

    snprintf(name, sizeof name, "%.63s.%s%d", model, what, i);
    return add_folder(models, name, path);
}

/* A file of PEFT's has its alphas beside it; in a folder they are in that. */
static weft_status add_lora(json_t *models, const char *model, int i,
                            const char *path)
{
    char config[WEFT_PATH];

    WEFT_TRY(add_numbered(models, model, "lora", i, path));
    if (!weft_path_is_file(path) || !weft_lora_beside(path, config))
        return WEFT_OK;
    return add_numbered(models, model, "adapter_config", i, config);
}

/* LoRAs, control nets and their pictures. */
static weft_status add_changes(json_t *models, const weft_config_model *m)
{
    for (int i = 0; i < m->nloras; i++)
        WEFT_TRY(add_lora(models, m->name, i, m->lora[i].file.path));
    for (int i = 0; i < m->ncontrols; i++) {
        const weft_config_control *c = &m->control[i];

        WEFT_TRY(add_numbered(models, m->name, "control", i, c->net.path));
        WEFT_TRY(add_numbered(models, m->name, "image", i, c->image.path));
    }
    return WEFT_OK;
}

static weft_status hash_models(const weft_config *c, json_t *models)
{
    for (int i = 0; i < c->nmodels; i++) {
        WEFT_TRY(add_folder(models, c->model[i].name, c->model[i].path));
        WEFT_TRY(add_readers(models, &c->model[i]));
        WEFT_TRY(add_changes(models, &c->model[i]));
    }
    WEFT_TRY(add_folder(models, "vae", c->vae));
    WEFT_TRY(add_folder(models, "control", c->sample.control.path));
    return add_folder(models, "schedule", c->schedule);
}

/* ---- the card ------------------------------------------------------------ */

static weft_status add_identity(const weft_config *c, json_t *card)
{
    weft_config plain = *c;
    char *identity;
    json_t *json;

    plain.sample.has_label = false;
    WEFT_TRY(weft_config_identity(&plain, 0, &identity));
    json = json_loads(identity, 0, NULL);
    free(identity);
    if (!json) return no_memory();
    json_object_del(json_object_get(json, "sample"), "seed");
    return json_object_set_new(card, "config", json) == 0 ? WEFT_OK
                                                          : no_memory();
}

weft_status weft_card_make(const weft_config *c, const weft_manifest *m,
                           json_t **out)
{
    const weft_config_dataset *d = m->spec;
    json_t *models = json_object();
    json_t *card = json_pack(
        "{s:s, s:s, s:I, s:i, s:s, s:b, s:b, s:o}", "format", "weft dataset 1",
        "manifest", m->sha256, "items", (json_int_t)m->items, "shard_size",
        m->shard_size, "shards", d->folder ? "folder" : "tar", "images",
        d->images, "latents", d->latents, "models", models);
    weft_status st = card ? hash_models(c, models) : no_memory();

    /* A label that all items without one have is a part of them. */
    if (st == WEFT_OK && c->sample.has_label)
        json_object_set_new(card, "label", json_integer(c->sample.label));
    if (st == WEFT_OK) st = add_identity(c, card);
    if (st == WEFT_OK)
        *out = card;
    else
        json_decref(card);
    return st;
}

weft_status weft_card_hash(const json_t *card, char text[WEFT_HASH_TEXT])
{
    char *all = json_dumps(card, JSON_COMPACT | JSON_SORT_KEYS);
    weft_hash h;

    if (!all) return no_memory();
    weft_hash_start(&h);
    weft_hash_add(&h, all, strlen(all));
    weft_hash_text(&h, text);
    free(all);
    return WEFT_OK;
}

/* ---- comparing ----------------------------------------------------------- */

static char *shown(const json_t *v)
{
    return v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT)
             : strdup("missing");
}

static weft_status say(const char *dir, const char *key, const json_t *was,
                       const json_t *is)
{
    char *old = shown(was), *new = shown(is);

    weft_fail(WEFT_EINPUT,
              "%s: %s was %.*s when this data set was begun and is %.*s now; "
              "another one needs an output.dir of its own",
              dir, key, SHOWN, old ? old : "?", SHOWN, new ? new : "?");
    free(old);
    free(new);
    return WEFT_EINPUT;
}

/* The first that differs, of all that one of them has. */
static weft_status compare(const char *dir, const char *path, const json_t *was,
                           const json_t *is)
{
    char inner[256];
    const char *key;
    json_t *v;

    if (json_equal(was, is)) return WEFT_OK;
    if (!json_is_object(was) || !json_is_object(is))
        return say(dir, path, was, is);
    json_object_foreach((json_t *)was, key, v)
    {
        snprintf(inner, sizeof inner, "%s%s%.64s", path, *path ? "." : "", key);
        WEFT_TRY(compare(dir, inner, v, json_object_get(is, key)));
    }
    json_object_foreach((json_t *)is, key, v)
    {
        snprintf(inner, sizeof inner, "%s%s%.64s", path, *path ? "." : "", key);
        if (!json_object_get(was, key)) WEFT_TRY(compare(dir, inner, NULL, v));
    }
    return WEFT_OK;
}

static void card_path(const char *dir, char path[PATH])
{
    snprintf(path, PATH, "%.4096s/dataset.json", dir);
}

static weft_status write_card(const char *path, const json_t *card)
{
    char *text = json_dumps(card, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    weft_status st;
    size_t bytes;

    if (!text) return no_memory();
    bytes = strlen(text);
    text[bytes] = '\n'; /* in place of its end */
    st = weft_file_save(path, text, bytes + 1);
    free(text);
    return st;
}

weft_status weft_card_read(const char *dir, json_t **card)
{
    json_error_t error;
    char path[PATH], *text;
    size_t bytes;

    *card = NULL;
    card_path(dir, path);
    if (access(path, F_OK) != 0) return WEFT_OK;
    WEFT_TRY(weft_file_read(path, MOST_BYTES, &text, &bytes));
    *card = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (json_is_object(*card)) return WEFT_OK;
    json_decref(*card);
    *card = NULL;
    return weft_fail(WEFT_EINPUT, "%s: is not what weft dataset wrote: %s",
                     path, error.text);
}

/* 000123.json */
static bool is_mark(const char *name)
{
    const size_t n = strspn(name, "0123456789");

    return n >= 6 && n <= 9 && strcmp(name + n, ".json") == 0;
}

/* A card comes before the first mark: nobody knows what these are of. */
static weft_status refuse_marks(const char *dir, const char *card)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    weft_status st = WEFT_OK;

    while (d && st == WEFT_OK && (e = readdir(d)))
        if (is_mark(e->d_name))
            st = weft_fail(WEFT_EINPUT,
                           "%s: is missing, and %s is there: shards of a data "
                           "set that nobody knows; put it back, or give this "
                           "one a folder of its own",
                           card, e->d_name);
    if (d) closedir(d);
    return st;
}

weft_status weft_card_check(const char *dir, const json_t *card)
{
    char path[PATH];
    weft_status st;
    json_t *was;

    card_path(dir, path);
    WEFT_TRY(weft_card_read(dir, &was));
    if (!was) {
        WEFT_TRY(refuse_marks(dir, path));
        return write_card(path, card);
    }
    st = compare(dir, "", was, card);
    json_decref(was);
    return st;
}
