#include "core/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/io/file.h"
#include "core/text/words.h"

enum { ROLE_BEGIN, ROLE_END, ROLE_UNKNOWN, ROLE_PAD, ROLES };
enum { MOST_SPECIAL = 64, MOST_MERGES_BYTES = 64 << 20 };

static const char *const role_key[ROLES] = {"bos_token", "eos_token",
                                            "unk_token", "pad_token"};
static const char *const role_default[ROLES] = {
    "<|startoftext|>", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>"};

/* One of a few texts that are tokens as they stand. */
typedef struct special {
    char text[MOST_SPECIAL];
    size_t bytes;
    int id;
    bool cleaned; /* looked for in cleaned text, else in the text as it is */
} special;

struct weft_tokenizer {
    weft_bpe *bpe;
    weft_tokenizer_info info;
    special special[ROLES]; /* different ones */
    int nspecial;
};

/* ---- special tokens ------------------------------------------------------ */

static weft_status fail_token(const weft_json *c, const char *key,
                              const char *what)
{
    return weft_fail(WEFT_EINPUT, "%s: %s: %s", weft_json_name(c), key, what);
}

/* Spaces around a token, or letters, are never asked for in CLIP's. */
static weft_status check_flags(const weft_json *c)
{
    static const char *const flag[] = {"lstrip", "rstrip", "single_word"};
    bool on;

    for (int i = 0; i < 3; i++) {
        WEFT_TRY(weft_json_bool(c, flag[i], false, &on));
        if (on) return fail_token(c, flag[i], "\"true\" is not supported");
    }
    return WEFT_OK;
}

/* A token as it is written in a config: a text, or an object. */
typedef struct spelling {
    char text[MOST_SPECIAL];
    bool cleaned;
} spelling;

static weft_status spell(const weft_json *c, const char *key, const char *text,
                         spelling *s)
{
    const size_t n = text ? strlen(text) : 0;

    if (!n || n >= sizeof s->text)
        return fail_token(c, key, "expected a token of 1 to 63 bytes");
    memcpy(s->text, text, n + 1);
    return WEFT_OK;
}

static weft_status read_object(const weft_json *o, spelling *s)
{
    const char *text;

    WEFT_TRY(weft_json_string(o, "content", NULL, &text));
    WEFT_TRY(check_flags(o));
    WEFT_TRY(weft_json_bool(o, "normalized", true, &s->cleaned));
    return spell(o, "content", text, s);
}

/* Changes *s where `c` has the key. */
static weft_status read_token(const weft_json *c, const char *key, spelling *s)
{
    const char *text;
    weft_json *o;
    weft_status st;

    if (!c || !weft_json_has(c, key)) return WEFT_OK;
    WEFT_TRY(weft_json_object(c, key, &o));
    if (o) {
        st = read_object(o, s);
        weft_json_free(o);
        return st;
    }
    WEFT_TRY(weft_json_string(c, key, NULL, &text));
    s->cleaned = false;
    return spell(c, key, text, s);
}

/* A later one of the same text says how it is looked for. */
static void add_special(weft_tokenizer *t, const spelling *s, int id)
{
    special *to = t->special;

    while (to < t->special + t->nspecial && strcmp(to->text, s->text)) to++;
    if (to == t->special + t->nspecial) t->nspecial++;
    memcpy(to->text, s->text, sizeof to->text);
    to->bytes = strlen(s->text);
    to->id = id;
    to->cleaned = s->cleaned;
}

/* ---- configs ------------------------------------------------------------- */

/* added_tokens_decoder: how each special token is looked for. */
typedef struct decoder {
    const weft_json *json;
    spelling *role; /* [ROLES] */
} decoder;

static weft_status take_added(void *arg, const char *id)
{
    decoder *d = arg;
    spelling s = {.cleaned = true};
    bool known = false;
    weft_json *o;
    weft_status st;

    WEFT_TRY(weft_json_object(d->json, id, &o));
    if (!o) return fail_token(d->json, id, "expected an object");
    st = read_object(o, &s);
    weft_json_free(o);
    WEFT_TRY(st);
    for (int i = 0; i < ROLES; i++)
        if (!strcmp(d->role[i].text, s.text)) {
            d->role[i].cleaned = s.cleaned;
            known = true;
        }
    return known ? WEFT_OK
                 : fail_token(d->json, id,
                              "tokens that were added to the vocabulary are "
                              "not supported");
}

static weft_status read_roles(const weft_tokenizer_files *f,
                              spelling role[ROLES])
{
    weft_json *added = NULL;
    weft_status st = WEFT_OK;

    for (int i = 0; i < ROLES; i++) {
        snprintf(role[i].text, sizeof role[i].text, "%s", role_default[i]);
        role[i].cleaned = false;
        WEFT_TRY(read_token(f->config, role_key[i], &role[i]));
    }
    if (f->config)
        WEFT_TRY(weft_json_object(f->config, "added_tokens_decoder", &added));
    if (added) {
        decoder d = {added, role};
        st = weft_json_each(added, take_added, &d);
        weft_json_free(added);
        return st;
    }
    for (int i = 0; i < ROLES && st == WEFT_OK; i++)
        st = read_token(f->map, role_key[i], &role[i]);
    return st;
}

static weft_status read_config(const weft_json *c, weft_tokenizer_info *info)
{
    static const char *const known[] = {"CLIPTokenizer", "CLIPTokenizerFast",
                                        NULL};
    const char *name;
    double most;

    info->most = 77;
    if (!c) return WEFT_OK;
    WEFT_TRY(weft_json_string(c, "tokenizer_class", known[0], &name));
    if (strcmp(name, known[0]) && strcmp(name, known[1]))
        return weft_fail(WEFT_EINPUT,
                         "%s: tokenizer_class \"%s\" is not supported",
                         weft_json_name(c), name);
    /* Where there is no limit, transformers writes one of 30 digits. */
    WEFT_TRY(weft_json_double(c, "model_max_length", info->most, &most));
    if (most < 3)
        return weft_fail(WEFT_EINPUT, "%s: model_max_length %g leaves no token",
                         weft_json_name(c), most);
    if (most < WEFT_MOST_TOKENS) info->most = (int)most;
    return WEFT_OK;
}

static weft_status find_roles(weft_tokenizer *t, const weft_json *vocab,
                              const spelling role[ROLES])
{
    int *const id[ROLES] = {&t->info.begin, &t->info.end, &t->info.unknown,
                            &t->info.pad};

    for (int i = 0; i < ROLES; i++) {
        *id[i] = weft_json_table(vocab, role[i].text, strlen(role[i].text), 0,
                                 WEFT_MOST_TOKENS - 1, -1);
        if (*id[i] < 0)
            return weft_fail(WEFT_EINPUT, "%s: has no token \"%s\", the %s",
                             weft_json_name(vocab), role[i].text, role_key[i]);
        add_special(t, &role[i], *id[i]);
    }
    t->info.comma = weft_json_table(vocab, ",</w>", strlen(",</w>"), 0,
                                    WEFT_MOST_TOKENS - 1, -1);
    return WEFT_OK;
}

weft_status weft_tokenizer_create(const weft_tokenizer_files *f,
                                  weft_tokenizer **out)
{
    weft_tokenizer *t = calloc(1, sizeof *t);
    spelling role[ROLES];
    weft_status st;

    if (!t) return weft_fail(WEFT_ENOMEM, "out of memory for a tokenizer");
    st = read_config(f->config, &t->info);
    if (st == WEFT_OK) st = read_roles(f, role);
    if (st == WEFT_OK) st = find_roles(t, f->vocab, role);
    if (st == WEFT_OK)
        st = weft_bpe_create(f->vocab, f->merges_name, f->merges,
                             f->merges_bytes, &t->bpe);
    if (st == WEFT_OK)
        *out = t;
    else
        weft_tokenizer_free(t);
    return st;
}

void weft_tokenizer_free(weft_tokenizer *t)
{
    if (!t) return;
    weft_bpe_free(t->bpe);
    free(t);
}

const weft_tokenizer_info *weft_tokenizer_tell(const weft_tokenizer *t)
{
    return &t->info;
}

/* ---- folders ------------------------------------------------------------- */

enum { PATH_ROOM = 4096 };

static weft_status join(const char *folder, const char *name, char *path)
{
    const int n = snprintf(path, PATH_ROOM, "%s/%s", folder, name);

    if (n < 0 || n >= PATH_ROOM)
        return weft_fail(WEFT_EINPUT, "%s: the name is too long", folder);
    return WEFT_OK;
}

static bool is_there(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0;
}

/* *json stays NULL where the file is not there, and may be. */
static weft_status read_json(const char *folder, const char *name, bool needed,
                             weft_json **json)
{
    char path[PATH_ROOM];

    WEFT_TRY(join(folder, name, path));
    if (!needed && !is_there(path)) return WEFT_OK;
    return weft_json_read(path, json);
}

static weft_status refuse_added(const char *folder)
{
    char path[PATH_ROOM];

    WEFT_TRY(join(folder, "added_tokens.json", path));
    if (!is_there(path)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: tokens that were added to the vocabulary are not "
                     "supported",
                     path);
}

static weft_status open_files(const char *folder, weft_tokenizer **t)
{
    weft_json *vocab = NULL, *config = NULL, *map = NULL;
    char path[PATH_ROOM], *merges = NULL;
    weft_tokenizer_files f = {.merges_name = path};
    weft_status st;

    st = read_json(folder, "vocab.json", true, &vocab);
    if (st == WEFT_OK)
        st = read_json(folder, "tokenizer_config.json", false, &config);
    if (st == WEFT_OK)
        st = read_json(folder, "special_tokens_map.json", false, &map);
    if (st == WEFT_OK) st = join(folder, "merges.txt", path);
    if (st == WEFT_OK)
        st = weft_file_read(path, MOST_MERGES_BYTES, &merges, &f.merges_bytes);
    f.vocab = vocab, f.config = config, f.map = map, f.merges = merges;
    if (st == WEFT_OK) st = weft_tokenizer_create(&f, t);
    free(merges);
    weft_json_free(vocab);
    weft_json_free(config);
    weft_json_free(map);
    return st;
}

weft_status weft_tokenizer_open(const char *folder, weft_tokenizer **t)
{
    WEFT_TRY(refuse_added(folder));
    return open_files(folder, t);
}

/* ---- text ---------------------------------------------------------------- */

/* The first special token of the kind in a text, the longest where several
 * begin there: its place, or `bytes`. */
static size_t find_special(const weft_tokenizer *t, const char *text,
                           size_t bytes, bool cleaned, const special **which)
{
    for (size_t at = 0; at < bytes; at++) {
        *which = NULL;
        for (const special *s = t->special; s < t->special + t->nspecial; s++)
            if (s->cleaned == cleaned && s->bytes <= bytes - at &&
                !memcmp(text + at, s->text, s->bytes) &&
                (!*which || s->bytes > (*which)->bytes))
                *which = s;
        if (*which) return at;
    }
    return bytes;
}

static weft_status put_words(const weft_tokenizer *t, const char *text,
                             size_t bytes, weft_ids *ids)
{
    weft_words w = {.text = text, .bytes = bytes};
    const char *word;
    size_t n;

    while (weft_words_next(&w, &word, &n))
        WEFT_TRY(weft_bpe_word(t->bpe, word, n, t->info.unknown, ids));
    return WEFT_OK;
}

typedef weft_status put_text(const weft_tokenizer *t, const char *text,
                             size_t bytes, weft_ids *ids);

/* Special tokens of a kind, and by `rest` what lies between them. */
static weft_status put_between(const weft_tokenizer *t, const char *text,
                               size_t bytes, bool cleaned, put_text *rest,
                               weft_ids *ids)
{
    const special *s = NULL;

    for (size_t at = 0, n; at < bytes; at += n) {
        n = find_special(t, text + at, bytes - at, cleaned, &s);
        WEFT_TRY(rest(t, text + at, n, ids));
        if (!s) return WEFT_OK;
        WEFT_TRY(weft_ids_add(ids, s->id));
        n += s->bytes;
    }
    return WEFT_OK;
}

static weft_status put_raw(const weft_tokenizer *t, const char *text,
                           size_t bytes, weft_ids *ids)
{
    char *clean;
    size_t n;
    weft_status st;

    if (!bytes) return WEFT_OK;
    WEFT_TRY(weft_words_clean(text, bytes, &clean, &n));
    st = put_between(t, clean, n, true, put_words, ids);
    free(clean);
    return st;
}

weft_status weft_tokenize(const weft_tokenizer *t, const char *text,
                          size_t bytes, weft_ids *ids)
{
    if (bytes > WEFT_MOST_TEXT)
        return weft_fail(WEFT_EINPUT,
                         "a text of %zu bytes, at most %d are accepted", bytes,
                         WEFT_MOST_TEXT);
    if (!weft_words_valid(text, bytes))
        return weft_fail(WEFT_EINPUT, "the text is not valid UTF-8");
    return put_between(t, text, bytes, false, put_raw, ids);
}
