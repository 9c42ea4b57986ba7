#include "core/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/spiece.h"
#include "core/text/token_file.h"
#include "core/text/vocab.h"
#include "core/text/words.h"

enum { ROLE_BEGIN, ROLE_END, ROLE_UNKNOWN, ROLE_PAD, ROLES };
enum { MOST_SPECIAL = 64, MOST_EXTRA = 10000, MOST_ADDED = 64 };

static const char *const role_key[ROLES] = {"bos_token", "eos_token",
                                            "unk_token", "pad_token"};

/* What differs between the classes of tokenizers. */
typedef struct family {
    const char *name[2];     /* the class, and its twin in Rust */
    const char *role[ROLES]; /* NULL: has none */
    int most, extra;         /* where the config says nothing */
    bool strips;             /* no spaces remain beside special tokens anyway */
} family;

static const family clip = {
    {"CLIPTokenizer", "CLIPTokenizerFast"},
    {"<|startoftext|>", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>"},
    77,
    0,
    false};
static const family t5 = {{"T5Tokenizer", "T5TokenizerFast"},
                          {NULL, "</s>", "<unk>", "<pad>"},
                          512,
                          100,
                          true};

/* One of a few texts that are tokens as they stand. */
typedef struct special {
    char text[MOST_SPECIAL];
    size_t bytes;
    int id;
    bool cleaned; /* looked for in cleaned text, else in the text as it is */
} special;

struct weft_tokenizer {
    const family *family;
    weft_bpe *bpe;       /* CLIP */
    weft_spiece *spiece; /* T5 */
    weft_tokenizer_info info;
    special special[ROLES]; /* different ones */
    int nspecial;
    int extra; /* T5: how many "<extra_id_N>" there are */
};

/* ---- special tokens ------------------------------------------------------ */

static weft_status fail_token(const weft_json *c, const char *key,
                              const char *what)
{
    return weft_fail(WEFT_EINPUT, "%s: %s: %s", weft_json_name(c), key, what);
}

/* Spaces around a token, or letters, are never asked for in CLIP's. */
static weft_status check_flags(const weft_json *c, const family *of)
{
    static const char *const flag[] = {"single_word", "lstrip", "rstrip"};
    bool on;

    for (int i = 0; i < (of->strips ? 1 : 3); i++) {
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

static weft_status read_object(const weft_json *o, const family *of,
                               spelling *s)
{
    const char *text;

    WEFT_TRY(weft_json_string(o, "content", NULL, &text));
    WEFT_TRY(check_flags(o, of));
    WEFT_TRY(weft_json_bool(o, "normalized", true, &s->cleaned));
    return spell(o, "content", text, s);
}

/* Changes *s where `c` has the key. */
static weft_status read_token(const weft_json *c, const char *key,
                              const family *of, spelling *s)
{
    const char *text;
    weft_json *o;
    weft_status st;

    if (!c || !weft_json_has(c, key)) return WEFT_OK;
    WEFT_TRY(weft_json_object(c, key, &o));
    if (o) {
        st = read_object(o, of, s);
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

/* The bytes of an "<extra_id_N>", N below `extra`, at the beginning of a text;
 * 0: there is none. */
static size_t spell_extra(const char *text, size_t bytes, int extra, int *n)
{
    static const char head[] = "<extra_id_";
    size_t at = sizeof head - 1;

    if (bytes < at || memcmp(text, head, at)) return 0;
    *n = 0;
    for (; at < bytes && text[at] >= '0' && text[at] <= '9'; at++) {
        if (*n == 0 && at > sizeof head - 1) return 0; /* 01 is not 1 */
        *n = 10 * *n + text[at] - '0';
        if (*n >= extra) return 0;
    }
    return at > sizeof head - 1 && at < bytes && text[at] == '>' ? at + 1 : 0;
}

static bool is_extra(const char *text, int extra)
{
    const size_t n = strlen(text);
    int number;

    return n && spell_extra(text, n, extra, &number) == n;
}

static int find_id(const weft_tokenizer *t, const weft_json *vocab,
                   const char *token)
{
    if (t->spiece) return weft_spiece_find(t->spiece, token);
    return weft_json_table(vocab, token, strlen(token), 0, WEFT_MOST_TOKENS - 1,
                           -1);
}

/* ---- configs ------------------------------------------------------------- */

/* added_tokens_decoder: how each special token is looked for. */
typedef struct decoder {
    const weft_json *json;
    const weft_tokenizer *t;
    spelling *role; /* [ROLES] */
} decoder;

static weft_status fail_added(const weft_json *c, const char *key)
{
    return fail_token(c, key,
                      "tokens that were added to the vocabulary are not "
                      "supported");
}

/* *known: this token is a role's, or one of T5's. */
static weft_status take_entry(const decoder *d, const weft_json *o, bool *known)
{
    spelling s = {.cleaned = true};

    WEFT_TRY(read_object(o, d->t->family, &s));
    *known = is_extra(s.text, d->t->extra);
    for (int i = 0; i < ROLES; i++)
        if (!strcmp(d->role[i].text, s.text)) {
            d->role[i].cleaned = s.cleaned;
            *known = true;
        }
    return WEFT_OK;
}

static weft_status take_added(void *arg, const char *id)
{
    decoder *d = arg;
    weft_json *o;
    weft_status st;
    bool known;

    WEFT_TRY(weft_json_object(d->json, id, &o));
    if (!o) return fail_token(d->json, id, "expected an object");
    st = take_entry(d, o, &known);
    weft_json_free(o);
    WEFT_TRY(st);
    return known ? WEFT_OK : fail_added(d->json, id);
}

/* An entry of tokenizer.json's added_tokens. */
static weft_status take_listed(const decoder *d, const weft_json *o,
                               const weft_json *vocab)
{
    const char *text;
    bool known;
    int id;

    WEFT_TRY(take_entry(d, o, &known));
    WEFT_TRY(weft_json_string(o, "content", "", &text));
    if (!known) return fail_added(o, text);
    WEFT_TRY(weft_json_int(o, "id", -1, 0, WEFT_MOST_TOKENS - 1, &id));
    if (id == find_id(d->t, vocab, text)) return WEFT_OK;
    return fail_token(o, text, "its id is not that of the vocabulary");
}

static weft_status take_list(const decoder *d, const weft_json *vocab)
{
    weft_status st = WEFT_OK;
    weft_json *o;
    int n;

    WEFT_TRY(weft_json_count(d->json, "added_tokens", MOST_ADDED, &n));
    for (int i = 0; i < n && st == WEFT_OK; i++) {
        WEFT_TRY(weft_json_item_object(d->json, "added_tokens", i, &o));
        st = take_listed(d, o, vocab);
        weft_json_free(o);
    }
    return st;
}

/* added_tokens.json: "<extra_id_N>" alone, the last one first. */
typedef struct added_file {
    const weft_json *json;
    const weft_tokenizer *t;
} added_file;

static int extra_id(const weft_tokenizer *t, int n)
{
    return weft_spiece_pieces(t->spiece) + t->extra - 1 - n;
}

static weft_status check_added(void *arg, const char *token)
{
    const added_file *a = arg;
    int id, n;

    if (!is_extra(token, a->t->extra)) return fail_added(a->json, token);
    spell_extra(token, strlen(token), a->t->extra, &n);
    id =
        weft_json_table(a->json, token, strlen(token), 0, WEFT_MOST_TOKENS, -1);
    if (id == extra_id(a->t, n)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: %s: expected the number %d",
                     weft_json_name(a->json), token, extra_id(a->t, n));
}

/* `vocab`: of tokenizer.json. */
static weft_status read_roles(const weft_tokenizer_files *f,
                              const weft_tokenizer *t, const weft_json *vocab,
                              spelling role[ROLES])
{
    const family *of = t->family;
    weft_json *added = NULL;
    weft_status st = WEFT_OK;

    for (int i = 0; i < ROLES; i++) {
        snprintf(role[i].text, sizeof role[i].text, "%s",
                 of->role[i] ? of->role[i] : "");
        role[i].cleaned = false;
        if (of->role[i])
            WEFT_TRY(read_token(f->config, role_key[i], of, &role[i]));
    }
    if (f->config)
        WEFT_TRY(weft_json_object(f->config, "added_tokens_decoder", &added));
    if (added) {
        decoder d = {added, t, role};
        st = weft_json_each(added, take_added, &d);
        weft_json_free(added);
        return st;
    }
    for (int i = 0; i < ROLES && st == WEFT_OK; i++)
        if (of->role[i]) st = read_token(f->map, role_key[i], of, &role[i]);
    if (st == WEFT_OK && f->whole)
        st = take_list(&(decoder){f->whole, t, role}, vocab);
    return st;
}

/* Texts are cut off and filled up at their ends. */
static weft_status check_sides(const weft_json *c)
{
    static const char *const side[] = {"truncation_side", "padding_side"};
    const char *found;

    for (int i = 0; i < 2; i++) {
        WEFT_TRY(weft_json_string(c, side[i], "right", &found));
        if (strcmp(found, "right"))
            return weft_fail(WEFT_EINPUT,
                             "%s: %s \"%s\" is not supported: it must be "
                             "\"right\"",
                             weft_json_name(c), side[i], found);
    }
    return WEFT_OK;
}

static weft_status read_config(const weft_json *c, weft_tokenizer *t)
{
    const family *of = t->family;
    const char *name;
    double most;

    t->info.most = of->most;
    t->extra = of->extra;
    if (!c) return WEFT_OK;
    WEFT_TRY(weft_json_string(c, "tokenizer_class", of->name[0], &name));
    if (strcmp(name, of->name[0]) && strcmp(name, of->name[1]))
        return weft_fail(WEFT_EINPUT,
                         "%s: tokenizer_class \"%s\" is not supported",
                         weft_json_name(c), name);
    WEFT_TRY(check_sides(c));
    /* Where there is no limit, transformers writes one of 30 digits. */
    WEFT_TRY(weft_json_double(c, "model_max_length", of->most, &most));
    if (most < 3)
        return weft_fail(WEFT_EINPUT, "%s: model_max_length %g leaves no token",
                         weft_json_name(c), most);
    if (most < WEFT_MOST_TOKENS) t->info.most = (int)most;
    if (of->extra)
        WEFT_TRY(
            weft_json_int(c, "extra_ids", of->extra, 0, MOST_EXTRA, &t->extra));
    return WEFT_OK;
}

static weft_status find_roles(weft_tokenizer *t, const char *file,
                              const weft_json *vocab,
                              const spelling role[ROLES])
{
    int *const id[ROLES] = {&t->info.begin, &t->info.end, &t->info.unknown,
                            &t->info.pad};

    for (int i = 0; i < ROLES; i++) {
        *id[i] = -1;
        if (!role[i].text[0]) continue;
        *id[i] = find_id(t, vocab, role[i].text);
        if (*id[i] < 0)
            return weft_fail(WEFT_EINPUT, "%s: has no token \"%s\", the %s",
                             file, role[i].text, role_key[i]);
        add_special(t, &role[i], *id[i]);
    }
    t->info.comma = t->spiece ? -1 : find_id(t, vocab, ",</w>");
    return WEFT_OK;
}

static void set_last(weft_tokenizer *t, int id, const char *token, size_t bytes)
{
    const size_t room = sizeof t->info.last_token - 1;

    t->info.last = id;
    memcpy(t->info.last_token, token, bytes < room ? bytes : room);
}

/* tokenizer.json, too, says what stands around a text. */
static weft_status check_frame(const weft_tokenizer_files *f,
                               const weft_tokenizer *t,
                               const spelling role[ROLES])
{
    const bool said = f->config && weft_json_has(f->config, role_key[ROLE_PAD]);

    return weft_token_file_frame(
        f->whole,
        &(weft_token_frame){.begin = role[ROLE_BEGIN].text,
                            .end = role[ROLE_END].text,
                            .begin_id = t->info.begin,
                            .end_id = t->info.end,
                            .pad = said ? NULL : role[ROLE_PAD].text});
}

static weft_status create_bpe(const weft_tokenizer_files *f,
                              const weft_json *vocab, const weft_merges *merges,
                              weft_tokenizer *t)
{
    spelling role[ROLES];
    weft_vocab_last last;

    t->family = &clip;
    WEFT_TRY(weft_vocab_check(vocab, &last));
    set_last(t, last.id, last.token, strlen(last.token));
    WEFT_TRY(read_config(f->config, t));
    WEFT_TRY(read_roles(f, t, vocab, role));
    WEFT_TRY(find_roles(t, weft_json_name(vocab), vocab, role));
    WEFT_TRY(weft_bpe_create(vocab, merges, &t->bpe));
    return f->whole ? check_frame(f, t, role) : WEFT_OK;
}

static weft_status create_clip(const weft_tokenizer_files *f, weft_tokenizer *t)
{
    const weft_merges merges = {f->merges_name, f->merges, f->merges_bytes,
                                NULL};
    weft_token_file one = {0};
    weft_status st;

    if (!f->whole) return create_bpe(f, f->vocab, &merges, t);
    st = weft_token_file_read(f->whole, &one);
    if (st == WEFT_OK) st = create_bpe(f, one.vocab, &one.merges, t);
    weft_token_file_release(&one);
    return st;
}

/* Behind the pieces, T5's own tokens. */
static void find_last_piece(weft_tokenizer *t)
{
    static const char extra[] = "<extra_id_0>";
    const int id = weft_spiece_pieces(t->spiece) - 1;
    size_t bytes;
    const char *piece = weft_spiece_piece(t->spiece, id, &bytes);

    if (t->extra)
        set_last(t, extra_id(t, 0), extra, sizeof extra - 1);
    else
        set_last(t, id, piece, bytes);
}

static weft_status create_t5(const weft_tokenizer_files *f, weft_tokenizer *t)
{
    spelling role[ROLES];

    t->family = &t5;
    WEFT_TRY(weft_spiece_create(f->spiece_name, f->spiece, f->spiece_bytes,
                                &t->spiece));
    WEFT_TRY(read_config(f->config, t));
    find_last_piece(t);
    WEFT_TRY(read_roles(f, t, NULL, role));
    /* They are never cleaned; SentencePiece's rules do not apply to them. */
    for (int i = 0; i < ROLES; i++) role[i].cleaned = false;
    if (f->added)
        WEFT_TRY(
            weft_json_each(f->added, check_added, &(added_file){f->added, t}));
    return find_roles(t, f->spiece_name, NULL, role);
}

weft_status weft_tokenizer_create(const weft_tokenizer_files *f,
                                  weft_tokenizer **out)
{
    weft_tokenizer *t = calloc(1, sizeof *t);
    weft_status st;

    if (!t) return weft_fail(WEFT_ENOMEM, "out of memory for a tokenizer");
    st = f->spiece ? create_t5(f, t) : create_clip(f, t);
    if (st == WEFT_OK)
        *out = t;
    else
        weft_tokenizer_free(t);
    return st;
}

void weft_tokenizer_free(weft_tokenizer *t)
{
    if (!t) return;
    weft_spiece_free(t->spiece);
    weft_bpe_free(t->bpe);
    free(t);
}

const weft_tokenizer_info *weft_tokenizer_tell(const weft_tokenizer *t)
{
    return &t->info;
}

/* ---- text ---------------------------------------------------------------- */

typedef struct found {
    size_t bytes; /* 0: none */
    int id;
} found;

/* The special token of the kind that a text begins with, the longest where
 * there are several. */
static found special_at(const weft_tokenizer *t, const char *text, size_t bytes,
                        bool cleaned)
{
    found f = {0, 0};
    size_t extra;
    int n;

    for (const special *s = t->special; s < t->special + t->nspecial; s++)
        if (s->cleaned == cleaned && s->bytes <= bytes && s->bytes > f.bytes &&
            !memcmp(text, s->text, s->bytes))
            f = (found){s->bytes, s->id};
    extra = cleaned ? 0 : spell_extra(text, bytes, t->extra, &n);
    return extra > f.bytes ? (found){extra, extra_id(t, n)} : f;
}

/* The first one in a text: its place, or `bytes`. */
static size_t find_special(const weft_tokenizer *t, const char *text,
                           size_t bytes, bool cleaned, found *which)
{
    for (size_t at = 0; at < bytes; at++) {
        *which = special_at(t, text + at, bytes - at, cleaned);
        if (which->bytes) return at;
    }
    *which = (found){0, 0};
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
    found s;

    for (size_t at = 0, n; at < bytes; at += n) {
        n = find_special(t, text + at, bytes - at, cleaned, &s);
        WEFT_TRY(rest(t, text + at, n, ids));
        if (!s.bytes) return WEFT_OK;
        WEFT_TRY(weft_ids_add(ids, s.id));
        n += s.bytes;
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
    if (t->spiece) return weft_spiece_encode(t->spiece, text, bytes, ids);
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
