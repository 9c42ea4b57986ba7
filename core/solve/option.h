/*
 * option.h - one option of a scheduler, from the file or from the keys given in
 * its place. Inside core/solve only.
 */
#ifndef WEFT_CORE_SOLVE_OPTION_H
#define WEFT_CORE_SOLVE_OPTION_H

#include "core/solve/schedule.h"

/* The two places where an option may stand; the second wins. */
typedef struct weft_options {
    const weft_json *config, *override;
    weft_solver_kind solver;
} weft_options;

/* Where the option stands, not null; NULL: nowhere. */
const weft_json *weft_option_holder(const weft_options *f, const char *key);
/* For messages: where it stands or would stand. */
const char *weft_option_place(const weft_options *f, const char *key);

/* Whether it is that word. */
bool weft_option_is(const weft_options *f, const char *key, const char *word);

weft_status weft_option_int(const weft_options *f, const char *key,
                            int fallback, int min, int max, int *out);
weft_status weft_option_double(const weft_options *f, const char *key,
                               double fallback, double *out);
weft_status weft_option_bool(const weft_options *f, const char *key,
                             bool fallback, bool *out);
/* One of `names` (NULL-terminated): its place, where `fallback` is missing. */
weft_status weft_option_choice(const weft_options *f, const char *key,
                               const char *fallback, const char *const *names,
                               int *out);
/* WEFT_EINPUT where a switch is on that this solver does not have. */
weft_status weft_option_refuse_true(const weft_options *f, const char *key);

#endif
