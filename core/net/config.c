/* Reading what the configs of several nets have in common. */
#include "core/net/blocks.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <strings.h>

weft_status weft_json_choice(const weft_json *c, const char *key,
                             const char *fallback, const char *const *names,
                             int *index)
{
    const char *value;

    WEFT_TRY(weft_json_string(c, key, fallback, &value));
    for (int i = 0; names[i]; i++)
        if (!strcmp(value, names[i])) {
            *index = i;
            return WEFT_OK;
        }
    return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported",
                     weft_json_name(c), key, value);
}

weft_status weft_config_act(const weft_json *c, const char *key,
                            const char *fallback, weft_act *act)
{
    static const struct {
        const char *name;
        weft_act act;
    } known[] = {
        {"silu", WEFT_SILU}, {"swish", WEFT_SILU}, {"relu", WEFT_RELU},
        {"gelu", WEFT_GELU}, {"mish", WEFT_MISH},
    };
    const char *value;

    WEFT_TRY(weft_json_string(c, key, fallback, &value));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(value, known[i].name)) {
            *act = known[i].act;
            return WEFT_OK;
        }
    return weft_fail(WEFT_EINPUT, "%s: %s \"%s\" is not supported",
                     weft_json_name(c), key, value);
}

weft_status weft_config_levels(const weft_json *c, const char *key, int max,
                               const int *fallback, int *out, int *n)
{
    const int given = *n;

    WEFT_TRY(weft_json_ints(c, key, 1, max, out, WEFT_MAX_LEVELS, n));
    if (*n) return WEFT_OK;
    if (weft_json_has(c, key))
        return weft_fail(WEFT_EINPUT, "%s: %s is empty", weft_json_name(c),
                         key);
    memcpy(out, fallback, (size_t)given * sizeof *out);
    *n = given;
    return WEFT_OK;
}

weft_status weft_config_float(const weft_json *c, const char *key,
                              double fallback, float *out)
{
    double value;

    WEFT_TRY(weft_json_double(c, key, fallback, &value));
    if (!(fabs(value) <= FLT_MAX))
        return weft_fail(WEFT_EINPUT, "%s: %s is out of range",
                         weft_json_name(c), key);
    *out = (float)value;
    return WEFT_OK;
}

weft_status weft_config_eps(const weft_json *c, const char *key,
                            double fallback, float *out)
{
    WEFT_TRY(weft_config_float(c, key, fallback, out));
    if (*out >= 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: %s is below 0", weft_json_name(c), key);
}

weft_status weft_config_sample_size(const weft_json *c, weft_net_info *info)
{
    int size[2], n;

    WEFT_TRY(weft_json_ints(c, "sample_size", 1, 1 << 20, size, 2, &n));
    info->sample_size = n ? size[0] : 0;
    return WEFT_OK;
}

weft_status weft_config_latents(const weft_json *c, double scaling,
                                weft_net_info *info)
{
    WEFT_TRY(
        weft_config_float(c, "scaling_factor", scaling, &info->scaling_factor));
    WEFT_TRY(weft_config_float(c, "shift_factor", 0, &info->shift_factor));
    if (!isnormal(info->scaling_factor))
        return weft_fail(WEFT_EINPUT, "%s: scaling_factor is zero",
                         weft_json_name(c));
    return WEFT_OK;
}
