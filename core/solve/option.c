#include "core/solve/option.h"

#include <string.h>

const weft_json *weft_option_holder(const weft_options *f, const char *key)
{
    if (f->override && weft_json_has(f->override, key)) return f->override;
    return f->config && weft_json_has(f->config, key) ? f->config : NULL;
}

const char *weft_option_place(const weft_options *f, const char *key)
{
    const weft_json *j = weft_option_holder(f, key);

    if (!j) j = f->config ? f->config : f->override;
    return j ? weft_json_name(j) : "schedule";
}

bool weft_option_is(const weft_options *f, const char *key, const char *word)
{
    const weft_json *j = weft_option_holder(f, key);
    const char *is = "";

    return j && weft_json_string(j, key, "", &is) == WEFT_OK &&
           strcmp(is, word) == 0;
}

weft_status weft_option_int(const weft_options *f, const char *key,
                            int fallback, int min, int max, int *out)
{
    const weft_json *j = weft_option_holder(f, key);

    *out = fallback;
    return j ? weft_json_int(j, key, fallback, min, max, out) : WEFT_OK;
}

weft_status weft_option_double(const weft_options *f, const char *key,
                               double fallback, double *out)
{
    const weft_json *j = weft_option_holder(f, key);

    *out = fallback;
    return j ? weft_json_double(j, key, fallback, out) : WEFT_OK;
}

weft_status weft_option_bool(const weft_options *f, const char *key,
                             bool fallback, bool *out)
{
    const weft_json *j = weft_option_holder(f, key);

    *out = fallback;
    return j ? weft_json_bool(j, key, fallback, out) : WEFT_OK;
}

weft_status weft_option_choice(const weft_options *f, const char *key,
                               const char *fallback, const char *const *names,
                               int *out)
{
    const weft_json *j = weft_option_holder(f, key);
    const char *word = fallback;

    if (j) WEFT_TRY(weft_json_string(j, key, fallback, &word));
    for (int i = 0; names[i]; i++)
        if (strcmp(word, names[i]) == 0) {
            *out = i;
            return WEFT_OK;
        }
    return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported by solver %s",
                     weft_option_place(f, key), key, word,
                     weft_solver_name[f->solver]);
}

weft_status weft_option_refuse_true(const weft_options *f, const char *key)
{
    bool on;

    WEFT_TRY(weft_option_bool(f, key, false, &on));
    if (!on) return WEFT_OK;
    return weft_fail(
        WEFT_EINPUT, "%s: option \"%s\" is on, and solver %s does not have it",
        weft_option_place(f, key), key, weft_solver_name[f->solver]);
}
