#include "launch/config_parallel.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"
#include "partition/split.h"

/* Only displaced evaluations have these. */
static const char *const async_only[] = {"parallel.warmup", "parallel.lag",
                                         "parallel.norm", "parallel.refresh",
                                         "parallel.drift"};

enum { WARMUP = 4, LAG = 1 };

static weft_place place_of(const weft_tree *root, const char *key)
{
    const weft_tree *t = weft_tree_find(root, key);

    return t ? t->place : (weft_place){root->place.file, NULL, 0};
}

static weft_status check_async_only(const weft_tree *root)
{
    for (size_t i = 0; i < sizeof async_only / sizeof *async_only; i++) {
        const weft_tree *t = weft_tree_find(root, async_only[i]);

        if (t)
            return weft_place_fail(
                &t->place, "%s needs parallel.exchange: async", async_only[i]);
    }
    return WEFT_OK;
}

static weft_status check_warmup(const weft_tree *root, const weft_config *c)
{
    const weft_place at = place_of(root, "parallel.warmup");

    if (c->parallel.warmup >= c->parallel.lag) return WEFT_OK;
    return weft_place_fail(
        &at,
        "parallel.warmup %d is below the lag of %d: an evaluation that looks "
        "%d back needs as many before it",
        c->parallel.warmup, c->parallel.lag, c->parallel.lag);
}

/* In step the bytes of an image do not depend on the ranks; whoever gives that
 * up says so. */
static weft_status check_wire(const weft_tree *root, const weft_config *c)
{
    const weft_place at = place_of(root, "parallel.wire");

    if (c->parallel.async || c->parallel.inexact ||
        c->parallel.wire == WEFT_WIRE_F32)
        return WEFT_OK;
    return weft_place_fail(
        &at,
        "parallel.wire: %s rounds what ranks tell each other, so the image "
        "would depend on their number; in exchange: sync that must be asked "
        "for: parallel.inexact: true",
        weft_wire_name[c->parallel.wire]);
}

/* It is measured on moments, of all images of a batch together. */
static weft_status check_drift(const weft_tree *root, const weft_config *c)
{
    const weft_place at = place_of(root, "parallel.drift");

    if (c->parallel.drift == 0) return WEFT_OK;
    if (c->parallel.norm == WEFT_OLD_ABSENT)
        return weft_place_fail(&at,
                               "parallel.drift is a change of the moments, "
                               "which parallel.norm: local does not exchange");
    if (c->run.batch > 1)
        return weft_place_fail(&at,
                               "parallel.drift decides for a batch as a whole, "
                               "so an image would depend on what is made with "
                               "it: run.batch can only be 1, not %d",
                               c->run.batch);
    return WEFT_OK;
}

/* ---- patches and their weights ------------------------------------------- */

enum { MOST_PATCHES = 65536 };

/* A number at *text, up to the first character that is no digit; above
 * MOST_PATCHES where it is longer than any. False: there is none. */
static bool read_count(const char **text, int *n)
{
    const size_t digits = strspn(*text, "0123456789");

    if (digits == 0 || (digits > 1 && **text == '0')) return false;
    *n = digits > 6 ? INT_MAX : (int)strtol(*text, NULL, 10);
    *text += digits;
    return true;
}

/* "auto", "N" or "RxC". */
static weft_status read_patches(const weft_place *at, const char *text,
                                weft_shape *s)
{
    const char *c = text;

    *s = (weft_shape){0, 0};
    if (text == NULL || strcmp(text, "auto") == 0) return WEFT_OK;
    *s = (weft_shape){0, 1};
    if (!read_count(&c, &s->lines) ||
        (*c == 'x' && (c++, !read_count(&c, &s->across))) || *c != '\0')
        return weft_place_fail(at,
                               "parallel.patches: expected auto, a number, or "
                               "ROWSxCOLUMNS such as 2x2, found \"%.80s\"",
                               text);
    if (s->lines >= 1 && s->across >= 1 && s->lines <= MOST_PATCHES &&
        s->across <= MOST_PATCHES / s->lines)
        return WEFT_OK;
    return weft_place_fail(at,
                           "parallel.patches: %.80s is out of range, expected "
                           "1 to %d",
                           text, MOST_PATCHES);
}

/* Weights are those of the lines of patches; how many lines there are is known
 * here unless patches are auto. */
static weft_status take_weights(const weft_tree *root, weft_raw_parallel *raw,
                                weft_config *c)
{
    const weft_place at = place_of(root, "parallel.weights");
    const int lines = c->parallel.patches.lines;

    c->parallel.measured = raw->measured != 0;
    c->parallel.weights = raw->weights;
    c->parallel.nweights = raw->nweights;
    raw->weights = NULL;
    if (!c->parallel.weights) return WEFT_OK;
    if (weft_split_check_weights(c->parallel.weights, c->parallel.nweights,
                                 lines ? lines : c->parallel.nweights) ==
        WEFT_OK)
        return WEFT_OK;
    return weft_place_fail(&at, "%s", weft_fail_text());
}

weft_status weft_config_parallel(const weft_tree *root, weft_raw_parallel *raw,
                                 weft_config *c)
{
    const weft_place at = place_of(root, "parallel.patches");

    WEFT_TRY(read_patches(&at, raw->patches, &c->parallel.patches));
    WEFT_TRY(take_weights(root, raw, c));
    c->parallel.async =
        weft_config_choice("parallel.exchange", raw->exchange) == 1;
    c->parallel.wire =
        (weft_wire)weft_config_choice("parallel.wire", raw->wire);
    c->parallel.inexact =
        weft_config_choice("parallel.inexact", raw->inexact) == 1;
    c->parallel.thread =
        raw->progress &&
        weft_config_choice("parallel.progress", raw->progress) == 1;
    WEFT_TRY(check_wire(root, c));
    if (!c->parallel.async) return check_async_only(root);
    c->parallel.warmup =
        weft_tree_find(root, "parallel.warmup") ? raw->warmup : WARMUP;
    c->parallel.lag = raw->lag ? raw->lag : LAG;
    c->parallel.norm = WEFT_OLD_PAIRED;
    if (raw->norm)
        c->parallel.norm =
            (weft_old)weft_config_choice("parallel.norm", raw->norm);
    c->parallel.refresh = raw->refresh;
    c->parallel.drift = raw->drift;
    WEFT_TRY(check_warmup(root, c));
    return check_drift(root, c);
}
