#include "core/text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "core/text/bpe.h"

enum { MOST_TOKEN = 2047 }; /* bytes that weft_json_table looks up */

typedef struct census {
    const weft_json *vocab;
    weft_vocab_last *last;
    const char **owner; /* of each id, up to the largest */
} census;

static int id_of(const census *c, const char *token)
{
    return weft_json_table(c->vocab, token, strlen(token), 0,
                           WEFT_MOST_TOKENS - 1, -1);
}

static weft_status check_id(void *arg, const char *token)
{
    const census *c = arg;
    const int id = id_of(c, token);

    if (strlen(token) > MOST_TOKEN)
        return weft_fail(WEFT_EINPUT,
                         "%s: token \"%.64s...\" is of %zu bytes, at most %d "
                         "are accepted",
                         weft_json_name(c->vocab), token, strlen(token),
                         MOST_TOKEN);
    if (id < 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: token \"%s\": expected an id, a whole number "
                         "from 0 to %d",
                         weft_json_name(c->vocab), token, WEFT_MOST_TOKENS - 1);
    if (id > c->last->id) *c->last = (weft_vocab_last){token, id};
    return WEFT_OK;
}

static weft_status check_owner(void *arg, const char *token)
{
    const census *c = arg;
    const int id = id_of(c, token);

    if (c->owner[id])
        return weft_fail(WEFT_EINPUT,
                         "%s: tokens \"%s\" and \"%s\" have the same id, %d",
                         weft_json_name(c->vocab), c->owner[id], token, id);
    c->owner[id] = token;
    return WEFT_OK;
}

weft_status weft_vocab_check(const weft_json *vocab, weft_vocab_last *last)
{
    census c = {vocab, last, NULL};
    weft_status st;

    *last = (weft_vocab_last){"", -1};
    WEFT_TRY(weft_json_each(vocab, check_id, &c));
    c.owner = calloc((size_t)last->id + 2, sizeof *c.owner);
    if (!c.owner)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory",
                         weft_json_name(vocab));
    st = weft_json_each(vocab, check_owner, &c);
    free(c.owner);
    return st;
}
