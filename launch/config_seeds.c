/* config_seeds.c - "0-99,200" as numbers. */
#include "launch/config_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config.h"

static weft_status malformed(const weft_place *at, const char *text)
{
    return weft_place_fail(at,
                           "sample.seeds: expected numbers and ranges such "
                           "as 0-99,200, found \"%.80s\"",
                           text);
}

static void skip_blanks(const char **c) { *c += strspn(*c, " "); }

static weft_status read_seed(const weft_place *at, const char *text,
                             const char **c, uint64_t *seed)
{
    const size_t digits = strspn(*c, "0123456789");
    char *end;

    if (digits == 0 || (digits > 1 && **c == '0')) return malformed(at, text);
    errno = 0;
    *seed = strtoull(*c, &end, 10);
    if (errno != 0)
        return weft_place_fail(at,
                               "sample.seeds: %.*s is out of range, "
                               "expected 0 to 18446744073709551615",
                               digits < 80 ? (int)digits : 80, *c);
    *c = end;
    skip_blanks(c);
    return WEFT_OK;
}

/* One number or range at *c, up to and with the comma behind it. */
static weft_status read_range(const weft_place *at, const char *text,
                              const char **c, uint64_t *first, uint64_t *last)
{
    skip_blanks(c);
    WEFT_TRY(read_seed(at, text, c, first));
    *last = *first;
    if (**c == '-') {
        ++*c;
        skip_blanks(c);
        WEFT_TRY(read_seed(at, text, c, last));
    }
    if (*last < *first)
        return weft_place_fail(at,
                               "sample.seeds: the range %llu-%llu runs "
                               "backwards",
                               (unsigned long long)*first,
                               (unsigned long long)*last);
    if (**c == ',' && (*c)[1 + strspn(*c + 1, " ")] != '\0')
        ++*c;
    else if (**c != '\0')
        return malformed(at, text);
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
    int count = 0;

    for (const char *c = text; *c != '\0' || c == text;) {
        uint64_t first, last;
        WEFT_TRY(read_range(at, text, &c, &first, &last));
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
