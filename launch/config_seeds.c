/* config_seeds.c - "0-99,200" as numbers, and as ranges. */
#include "launch/config_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config.h"

/* Where ranges stand, for messages. */
typedef struct source {
    const weft_place *at;
    const char *key, *text;
} source;

static weft_status malformed(const source *s)
{
    return weft_place_fail(s->at,
                           "%s: expected numbers and ranges such "
                           "as 0-99,200, found \"%.80s\"",
                           s->key, s->text);
}

static void skip_blanks(const char **c) { *c += strspn(*c, " "); }

static weft_status read_seed(const source *s, const char **c, uint64_t *seed)
{
    const size_t digits = strspn(*c, "0123456789");
    char *end;

    if (digits == 0 || (digits > 1 && **c == '0')) return malformed(s);
    errno = 0;
    *seed = strtoull(*c, &end, 10);
    if (errno != 0)
        return weft_place_fail(s->at,
                               "%s: %.*s is out of range, "
                               "expected 0 to 18446744073709551615",
                               s->key, digits < 80 ? (int)digits : 80, *c);
    *c = end;
    skip_blanks(c);
    return WEFT_OK;
}

/* One number or range at *c, up to and with the comma behind it. */
static weft_status read_range(const source *s, const char **c, uint64_t *first,
                              uint64_t *last)
{
    skip_blanks(c);
    WEFT_TRY(read_seed(s, c, first));
    *last = *first;
    if (**c == '-') {
        ++*c;
        skip_blanks(c);
        WEFT_TRY(read_seed(s, c, last));
    }
    if (*last < *first)
        return weft_place_fail(s->at,
                               "%s: the range %llu-%llu runs "
                               "backwards",
                               s->key, (unsigned long long)*first,
                               (unsigned long long)*last);
    if (**c == ',' && (*c)[1 + strspn(*c + 1, " ")] != '\0')
        ++*c;
    else if (**c != '\0')
        return malformed(s);
    return WEFT_OK;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static weft_status refuse_duplicates(const weft_place *at, const uint64_t *seed,
                                     int n)
{
    uint64_t *sorted = malloc((size_t)n * sizeof *sorted);
    weft_status s = WEFT_OK;

    if (sorted == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(sorted, seed, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    for (int i = 1; i < n && s == WEFT_OK; i++)
        if (sorted[i] == sorted[i - 1])
            s = weft_place_fail(at, "sample.seeds: %llu stands there twice",
                                (unsigned long long)sorted[i]);
    free(sorted);
    return s;
}

/* Twice over the text: to count, and with `seed` to fill. */
static weft_status walk(const weft_place *at, const char *text, uint64_t *seed,
                        int *n)
{
    const source s = {at, "sample.seeds", text};
    int count = 0;

    for (const char *c = text; *c != '\0' || c == text;) {
        uint64_t first, last;
        WEFT_TRY(read_range(&s, &c, &first, &last));
        if (last - first >= (uint64_t)(WEFT_MAX_SEEDS - count))
            return weft_place_fail(at, "sample.seeds: more than %d seeds",
                                   WEFT_MAX_SEEDS);
        for (uint64_t i = 0; i <= last - first; i++, count++)
            if (seed != NULL) seed[count] = first + i;
    }
    *n = count;
    return WEFT_OK;
}

weft_status weft_config_seeds(const weft_place *at, const char *text,
                              uint64_t **seed, int *n)
{
    uint64_t *all;
    weft_status s;

    WEFT_TRY(walk(at, text, NULL, n));
    all = malloc((size_t)*n * sizeof *all);
    if (all == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    s = walk(at, text, all, n);
    if (s == WEFT_OK) s = refuse_duplicates(at, all, *n);
    if (s == WEFT_OK)
        *seed = all;
    else
        free(all);
    return s;
}

/* ---- ranges, not one by one ---------------------------------------------- */

static int compare_ranges(const void *a, const void *b)
{
    return compare(&((const weft_range *)a)->first,
                   &((const weft_range *)b)->first);
}

static weft_status refuse_overlaps(const source *s, const weft_range *range,
                                   int n)
{
    weft_range *sorted = malloc((size_t)n * sizeof *sorted);
    weft_status status = WEFT_OK;

    if (sorted == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(sorted, range, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_ranges);
    for (int i = 1; i < n && status == WEFT_OK; i++)
        if (sorted[i].first <= sorted[i - 1].last)
            status =
                weft_place_fail(s->at, "%s: %llu stands there twice", s->key,
                                (unsigned long long)sorted[i].first);
    free(sorted);
    return status;
}

/* Commas and one are as many ranges as there can be. */
static int most_ranges(const char *text)
{
    int n = 1;

    for (; *text; text++) n += *text == ',';
    return n;
}

weft_status weft_config_ranges(const weft_place *at, const char *key,
                               const char *text, weft_range **range, int *n)
{
    const source s = {at, key, text};
    weft_range *all = malloc((size_t)most_ranges(text) * sizeof *all);
    weft_status status = WEFT_OK;
    int count = 0;

    if (all == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (const char *c = text; (*c || c == text) && status == WEFT_OK; count++)
        status = read_range(&s, &c, &all[count].first, &all[count].last);
    if (status == WEFT_OK) status = refuse_overlaps(&s, all, count);
    if (status == WEFT_OK) {
        *range = all;
        *n = count;
    } else {
        free(all);
    }
    return status;
}
