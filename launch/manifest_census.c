#include "launch/manifest_census.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/prompt_parse.h"
#include "launch/said.h"

/* ---- kinds --------------------------------------------------------------- */

static void note_label(weft_kind *k, int label, long long line)
{
    if (label < 0 && !k->bare_line) k->bare_line = line;
    if (label <= k->most) return;
    k->most = label;
    k->most_line = line;
}

void weft_kind_release(weft_kind *k)
{
    free(k->keys);
    weft_said_release(&k->said);
}

/* The kind of the item at hand, to be held against the models. */
static weft_status keep_kind(weft_kind *k, const weft_item *item,
                             const weft_words *w, long long line)
{
    weft_kind_release(k);
    *k = (weft_kind){.keys = strdup(w->kind), .most = -1, .line = line};
    if (!k->keys) return weft_fail(WEFT_ENOMEM, "out of memory for kinds");
    note_label(k, item->label, line);
    return weft_said_take(w, &k->said);
}

/* What an item says of its prompts' grammar; NULL: nothing. */
static const char *own_syntax(const weft_words *w)
{
    return weft_keys_find(w->kind, "prompt_syntax");
}

static bool is_weighted(const weft_census *c, const weft_words *w)
{
    const char *own = own_syntax(w);

    return own ? strncmp(own, "\"weighted\"", 10) == 0 : c->weighted;
}

/* A kind that nobody met before. */
static weft_status add_kind(weft_census *c, const weft_item *item,
                            const weft_words *w, long long line,
                            weft_met *place)
{
    weft_manifest *m = c->m;
    weft_verdict v = {.cost = 1};

    if (c->check) WEFT_TRY(c->check(c->arg, w->kind, &v));
    place->at = -1;
    if (m->kept < WEFT_KINDS) {
        place->at = m->kept++;
        WEFT_TRY(keep_kind(&m->kind[place->at], item, w, line));
    } else if (v.pixels > c->pixels) {
        c->pixels = v.pixels;
        WEFT_TRY(keep_kind(&m->kind[WEFT_KINDS], item, w, line));
    }
    if (!own_syntax(w)) c->weighted = v.weighted;
    place->cost = (float)v.cost;
    c->kinds.n++;
    m->kinds++;
    return WEFT_OK;
}

/* ---- prompts ------------------------------------------------------------- */

static weft_status check_prompt(const char *key, const char *text, size_t bytes)
{
    weft_prompt_spans spans;
    const weft_status st = weft_prompt_parse(text, bytes, &spans);

    if (st != WEFT_OK) return weft_fail_within(st, "%s", key);
    weft_prompt_spans_release(&spans);
    return WEFT_OK;
}

static weft_status check_prompts(const weft_words *w)
{
    weft_status st = WEFT_OK;
    char *own = NULL;

    if (w->prompt)
        WEFT_TRY(check_prompt("prompt", w->prompt->value, w->prompt->nvalue));
    if (w->negative)
        WEFT_TRY(check_prompt("negative_prompt", w->negative->value,
                              w->negative->nvalue));
    if (!w->own) return WEFT_OK;
    WEFT_TRY(weft_said_own(w->own->value, w->own->nvalue, &own));
    for (const char *at = own; *at && st == WEFT_OK; at += strlen(at) + 1) {
        at += strlen(at) + 1;
        st = check_prompt("prompts", at, strlen(at));
    }
    free(own);
    return st;
}

/* ---- items --------------------------------------------------------------- */

weft_status weft_census_take(weft_census *c, const weft_item *item,
                             const weft_words *w, long long line, double *cost)
{
    const uint64_t hash = weft_keys_hash(w->kind, strlen(w->kind));
    weft_met *met;

    WEFT_TRY(weft_kinds_find(&c->kinds, hash, &met));
    if (!met->hash) {
        WEFT_TRY(add_kind(c, item, w, line, met));
        met->hash = hash;
    }
    if (met->at >= 0) note_label(&c->m->kind[met->at], item->label, line);
    *cost = met->cost;
    return is_weighted(c, w) ? check_prompts(w) : WEFT_OK;
}
