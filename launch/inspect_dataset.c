#include "launch/inspect_dataset.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch/card.h"
#include "launch/contact.h"
#include "launch/inspect_model.h"
#include "launch/shelf.h"
#include "launch/spool.h"

enum { MOST_NAMED = 20, MOST_WORD = 100 };

typedef struct survey {
    weft_shelf shelf;
    bool verify;
    FILE *out;
    json_int_t items;
    int shards, shard_size;
    int count[WEFT_SHARD_DAMAGED + 1]; /* of each state */
    int spools;
    long long made, failed; /* items */
} survey;

bool weft_is_dataset(const char *path)
{
    char card[WEFT_SHELF_PATH];

    snprintf(card, sizeof card, "%.4096s/dataset.json", path);
    return access(card, F_OK) == 0;
}

/* ---- a shard ------------------------------------------------------------- */

static void print_failed(survey *s, const char *id, const char *word)
{
    if (s->failed++ == MOST_NAMED) fputs("  ...\n", s->out);
    if (s->failed > MOST_NAMED) return;
    fputs("  failed: ", s->out);
    weft_inspect_print(s->out, id, MOST_WORD);
    fputs(", ", s->out);
    weft_inspect_print(s->out, word, MOST_WORD);
    putc('\n', s->out);
}

static void count_items(survey *s, json_t *mark)
{
    const char *id;
    json_t *status;

    json_object_foreach(json_object_get(mark, "status"), id, status)
    {
        const char *word = json_string_value(status);

        if (word && strcmp(word, weft_outcome_name[WEFT_MADE]) == 0)
            s->made++;
        else
            print_failed(s, id, word ? word : "?");
    }
}

static weft_status look(survey *s, int k)
{
    char path[WEFT_SHELF_PATH];
    weft_shard_state state;
    json_t *mark;

    WEFT_TRY(weft_shelf_look(&s->shelf, k, s->verify, &state, &mark));
    s->count[state]++;
    if (state == WEFT_SHARD_DAMAGED)
        fprintf(s->out, "  damaged: %s\n", weft_fail_text());
    else
        count_items(s, mark);
    json_decref(mark);
    weft_shelf_path(&s->shelf, k, WEFT_SHELF_SPOOL, path);
    s->spools += access(path, F_OK) == 0;
    return WEFT_OK;
}

/* ---- the whole ----------------------------------------------------------- */

static weft_status read_card(survey *s)
{
    json_t *card;
    const char *form;
    int bad;

    WEFT_TRY(weft_card_read(s->shelf.dir, &card));
    bad = json_unpack(card, "{s:I, s:i, s:s}", "items", &s->items, "shard_size",
                      &s->shard_size, "shards", &form);
    if (!bad) s->shelf.folder = strcmp(form, "folder") == 0;
    json_decref(card);
    if (bad || s->items < 1 || s->shard_size < 1 ||
        (s->items - 1) / s->shard_size >= 1000000000)
        return weft_fail(WEFT_EINPUT,
                         "%s: dataset.json is not what weft "
                         "dataset wrote",
                         s->shelf.dir);
    s->shards = (int)((s->items - 1) / s->shard_size) + 1;
    return WEFT_OK;
}

static void print_counts(const survey *s, char *about, size_t room)
{
    const int done = s->count[WEFT_SHARD_DONE] + s->count[WEFT_SHARD_FAILED];

    snprintf(about, room,
             "%lld items in shards of %d; %d of %d shards done, %d left, %d "
             "damaged; %lld items made, %lld failed",
             (long long)s->items, s->shard_size, done, s->shards,
             s->count[WEFT_SHARD_LEFT], s->count[WEFT_SHARD_DAMAGED], s->made,
             s->failed);
    fprintf(s->out, "  %s\n", about);
    if (s->spools) fprintf(s->out, "  %d shards are begun\n", s->spools);
    if (s->failed)
        fputs("  weft dataset CONFIG --retry-failed tries failed items again\n",
              s->out);
}

weft_status weft_inspect_dataset(const char *path, bool verify, FILE *out)
{
    survey s = {.shelf = {.dir = path}, .verify = verify, .out = out};
    char about[256];

    WEFT_TRY(read_card(&s));
    fprintf(out, "%s: a data set\n", path);
    for (int k = 0; k < s.shards; k++) WEFT_TRY(look(&s, k));
    print_counts(&s, about, sizeof about);
    /* A folder that cannot be written can be looked at all the same. */
    if (weft_contact_write(&s.shelf, s.shards, s.items, about) == WEFT_OK)
        fprintf(out, "  pictures: %s/index.html\n", path);
    else
        fprintf(out, "  no pictures: %s\n", weft_fail_text());
    if (!s.count[WEFT_SHARD_DAMAGED]) return WEFT_OK;
    return weft_fail(WEFT_EIO,
                     "%s: %d shards are damaged; weft dataset CONFIG "
                     "dataset.verify=true makes them again",
                     path, s.count[WEFT_SHARD_DAMAGED]);
}
