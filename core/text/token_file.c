#include "core/text/token_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What \s, \p and the like mean there is what words.c does by itself. */
#define WORDS   "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
#define SPECIAL "<\\|startoftext\\|>|<\\|endoftext\\|>|"

typedef weft_status check(const weft_json *o);

/* ---- texts --------------------------------------------------------------- */

static weft_status fail_other(const weft_json *o, const char *key,
                              const char *found, const char *wanted)
{
    return weft_fail(WEFT_EINPUT,
                     "%s: %s \"%s\" is not supported: CLIP's is \"%s\"",
                     weft_json_name(o), key, found, wanted);
}

static weft_status expect(const weft_json *o, const char *key,
                          const char *fallback, const char *wanted)
{
    const char *found;

    WEFT_TRY(weft_json_string(o, key, fallback, &found));
    return strcmp(found, wanted) ? fail_other(o, key, found, wanted) : WEFT_OK;
}

static weft_status expect_flag(const weft_json *o, const char *key,
                               bool fallback, bool wanted)
{
    bool found;

    WEFT_TRY(weft_json_bool(o, key, fallback, &found));
    if (found == wanted) return WEFT_OK;
    return fail_other(o, key, found ? "true" : "false",
                      wanted ? "true" : "false");
}

/* The object that must stand under a key; the caller's. */
static weft_status open(const weft_json *o, const char *key, weft_json **inner)
{
    WEFT_TRY(weft_json_object(o, key, inner));
    if (*inner) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: %s: expected an object, as CLIP's",
                     weft_json_name(o), key);
}

/* One of a few patterns. */
static weft_status expect_pattern(const weft_json *o, const char *a,
                                  const char *b)
{
    weft_json *pattern;
    const char *found;
    weft_status st;

    WEFT_TRY(open(o, "pattern", &pattern));
    st = weft_json_string(pattern, "Regex", "", &found);
    if (st == WEFT_OK && strcmp(found, a) && strcmp(found, b))
        st = fail_other(pattern, "Regex", found, a);
    weft_json_free(pattern);
    return st;
}

/* ---- before the model ---------------------------------------------------- */

static weft_status check_nfc(const weft_json *o)
{
    return expect(o, "type", "", "NFC");
}

static weft_status check_spaces(const weft_json *o)
{
    WEFT_TRY(expect(o, "type", "", "Replace"));
    WEFT_TRY(expect(o, "content", "", " "));
    return expect_pattern(o, "\\s+", "\\s+");
}

static weft_status check_lower(const weft_json *o)
{
    return expect(o, "type", "", "Lowercase");
}

static weft_status check_words(const weft_json *o)
{
    WEFT_TRY(expect(o, "type", "", "Split"));
    WEFT_TRY(expect(o, "behavior", "", "Removed"));
    WEFT_TRY(expect_flag(o, "invert", false, true));
    return expect_pattern(o, SPECIAL WORDS, WORDS);
}

static weft_status check_bytes(const weft_json *o)
{
    WEFT_TRY(expect(o, "type", "", "ByteLevel"));
    WEFT_TRY(expect_flag(o, "add_prefix_space", true, false));
    return expect_flag(o, "use_regex", true, true);
}

static weft_status check_items(const weft_json *o, const char *items,
                               check *const *each, int n)
{
    weft_status st = WEFT_OK;
    weft_json *one;
    int found;

    WEFT_TRY(expect(o, "type", "", "Sequence"));
    WEFT_TRY(weft_json_count(o, items, 64, &found));
    if (found != n)
        return weft_fail(WEFT_EINPUT, "%s: %d %s, and CLIP has %d",
                         weft_json_name(o), found, items, n);
    for (int i = 0; i < n && st == WEFT_OK; i++) {
        WEFT_TRY(weft_json_item_object(o, items, i, &one));
        st = each[i](one);
        weft_json_free(one);
    }
    return st;
}

static weft_status check_sequence(const weft_json *whole, const char *key,
                                  const char *items, check *const *each, int n)
{
    weft_json *o;
    weft_status st;

    WEFT_TRY(open(whole, key, &o));
    st = check_items(o, items, each, n);
    weft_json_free(o);
    return st;
}

/* ---- the model ----------------------------------------------------------- */

static weft_status check_model(const weft_json *m)
{
    static const char *const off[] = {"fuse_unk", "byte_fallback",
                                      "ignore_merges"};
    static const char *const read[] = {"vocab", "merges", "unk_token", NULL};
    double dropout;

    WEFT_TRY(expect(m, "type", "BPE", "BPE"));
    WEFT_TRY(expect(m, "continuing_subword_prefix", "", ""));
    WEFT_TRY(expect(m, "end_of_word_suffix", "", "</w>"));
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        WEFT_TRY(expect_flag(m, off[i], false, false));
    WEFT_TRY(weft_json_double(m, "dropout", 0, &dropout));
    if (dropout != 0)
        return weft_fail(WEFT_EINPUT, "%s: dropout %g is not supported",
                         weft_json_name(m), dropout);
    return weft_json_refuse_rest(m, read);
}

static weft_status name_merges(weft_token_file *f)
{
    static const char key[] = ": merges";
    const char *model = weft_json_name(f->model);
    const size_t room = strlen(model) + sizeof key;
    char *name = malloc(room);

    if (!name) return weft_fail(WEFT_ENOMEM, "%s: out of memory", model);
    snprintf(name, room, "%s%s", model, key);
    f->merges = (weft_merges){.name = name, .json = f->model};
    return WEFT_OK;
}

weft_status weft_token_file_read(const weft_json *whole, weft_token_file *f)
{
    static check *const clean[] = {check_nfc, check_spaces, check_lower};
    static check *const cut[] = {check_words, check_bytes};

    /* First, for it names what is another kind altogether. */
    WEFT_TRY(open(whole, "model", &f->model));
    WEFT_TRY(check_model(f->model));
    WEFT_TRY(check_sequence(whole, "normalizer", "normalizers", clean, 3));
    WEFT_TRY(check_sequence(whole, "pre_tokenizer", "pretokenizers", cut, 2));
    WEFT_TRY(open(f->model, "vocab", &f->vocab));
    return name_merges(f);
}

/* ---- around a text ------------------------------------------------------- */

static weft_status expect_token(const weft_json *o, const char *key,
                                const char *token, int id)
{
    const char *found;
    int number = -1;

    WEFT_TRY(weft_json_pair(o, key, INT_MIN, INT_MAX, &found, &number));
    if (found && number == id && strcmp(found, token) == 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: %s is %s, %d and not \"%s\", %d: another token "
                     "around a text is not supported",
                     weft_json_name(o), key, found ? found : "missing", number,
                     token, id);
}

static weft_status check_ends(const weft_json *o, const weft_token_frame *f)
{
    WEFT_TRY(expect(o, "type", "", "RobertaProcessing"));
    WEFT_TRY(expect_token(o, "cls", f->begin, f->begin_id));
    return expect_token(o, "sep", f->end, f->end_id);
}

static weft_status check_truncation(const weft_json *o,
                                    const weft_token_frame *f)
{
    (void)f;
    return expect(o, "direction", "Right", "Right");
}

static weft_status check_padding(const weft_json *o, const weft_token_frame *f)
{
    WEFT_TRY(expect(o, "direction", "Right", "Right"));
    return f->pad ? expect(o, "pad_token", "[PAD]", f->pad) : WEFT_OK;
}

typedef weft_status check_frame(const weft_json *o, const weft_token_frame *f);

/* Null is none, and so is a file of before. */
static weft_status check_part(const weft_json *whole, const char *key,
                              check_frame *part, const weft_token_frame *f)
{
    weft_json *o;
    weft_status st;

    if (!weft_json_has(whole, key)) return WEFT_OK;
    WEFT_TRY(open(whole, key, &o));
    st = part(o, f);
    weft_json_free(o);
    return st;
}

weft_status weft_token_file_frame(const weft_json *whole,
                                  const weft_token_frame *f)
{
    WEFT_TRY(check_part(whole, "post_processor", check_ends, f));
    WEFT_TRY(check_part(whole, "truncation", check_truncation, f));
    return check_part(whole, "padding", check_padding, f);
}

void weft_token_file_release(weft_token_file *f)
{
    weft_json_free(f->model);
    weft_json_free(f->vocab);
    free((char *)f->merges.name);
    *f = (weft_token_file){0};
}
