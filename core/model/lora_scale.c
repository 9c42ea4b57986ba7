#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/device/dtype.h"
#include "core/io/path.h"
#include "core/model/json.h"
#include "core/model/load.h"
#include "core/model/lora_module.h"

/* ---- tensors ------------------------------------------------------------- */

static bool read_number(const weft_st_tensor *t, double *x)
{
    weft_dtype type;

    if (!strcmp(t->dtype, "F64") && t->bytes == sizeof *x)
        memcpy(x, t->data, sizeof *x);
    else if (weft_load_type(t, &type) && t->bytes == weft_dtype_size(type))
        *x = weft_dtype_load(type, t->data, 0);
    else
        return false;
    return isfinite(*x);
}

static weft_status read_alpha(const weft_st *st, weft_lora_module *m)
{
    const weft_st_tensor *t = m->tensor[WEFT_LORA_ALPHA];
    double alpha;

    m->scale = 1;
    if (!t) return WEFT_OK;
    if (!read_number(t, &alpha))
        return weft_fail(WEFT_EINPUT, "%s: %.200s is not a number",
                         weft_st_path(st), t->name);
    m->scale = alpha / m->rank;
    m->told = true;
    return WEFT_OK;
}

/* ---- what is written of an adapter --------------------------------------- */

/* PEFT's LoraConfig, of the modules whose names begin with `prefix`. */
typedef struct adapter {
    const weft_json *json;
    const char *prefix; /* "", or diffusers' "unet." and its like */
    weft_lora_module *module;
    int n;
    bool root; /* use_rslora: divide by the square root of the rank */
    const weft_json *pattern;
} adapter;

static const char *key_of(const adapter *a, const char *key, char text[64])
{
    snprintf(text, 64, "%s%s", a->prefix, key);
    return text;
}

static bool covers(const adapter *a, const weft_lora_module *m)
{
    return !m->told && strncmp(m->name, a->prefix, strlen(a->prefix)) == 0;
}

static void tell(const adapter *a, weft_lora_module *m, double alpha)
{
    m->scale = alpha / (a->root ? sqrt(m->rank) : m->rank);
    m->told = true;
}

/* PEFT takes patterns for regular expressions; names alone are understood. */
static weft_status use_pattern(void *arg, const char *key)
{
    const adapter *a = arg;
    const size_t n = strlen(key);
    double alpha;

    if (strpbrk(key, "*+?[](){}|^$\\"))
        return weft_fail(WEFT_EINPUT,
                         "%s: \"%.200s\" is a regular expression, which is "
                         "not supported",
                         weft_json_name(a->pattern), key);
    WEFT_TRY(weft_json_double(a->pattern, key, 0, &alpha));
    for (int i = 0; i < a->n; i++) {
        weft_lora_module *m = &a->module[i];
        const size_t length = strlen(m->name);

        if (!covers(a, m) || length < n ||
            strcmp(m->name + length - n, key) != 0)
            continue;
        if (length == n || m->name[length - n - 1] == '.') tell(a, m, alpha);
    }
    return WEFT_OK;
}

static weft_status use_patterns(adapter *a)
{
    char key[64];
    weft_json *pattern = NULL;
    weft_status st;

    WEFT_TRY(
        weft_json_object(a->json, key_of(a, "alpha_pattern", key), &pattern));
    if (!pattern) return WEFT_OK;
    a->pattern = pattern;
    st = weft_json_each(pattern, use_pattern, a);
    weft_json_free(pattern);
    return st;
}

static weft_status refuse_kinds(const adapter *a)
{
    const char *type, *bias;
    char key[64];
    bool dora;

    WEFT_TRY(
        weft_json_string(a->json, key_of(a, "peft_type", key), "LORA", &type));
    if (strcmp(type, "LORA"))
        return weft_fail(WEFT_EINPUT,
                         "%s: peft_type \"%.64s\" is not "
                         "supported",
                         weft_json_name(a->json), type);
    WEFT_TRY(weft_json_bool(a->json, key_of(a, "use_dora", key), false, &dora));
    if (dora)
        return weft_fail(WEFT_EINPUT, "%s: DoRA is not supported",
                         weft_json_name(a->json));
    WEFT_TRY(weft_json_string(a->json, key_of(a, "bias", key), "none", &bias));
    if (!strcmp(bias, "none")) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: bias \"%.64s\" is not supported",
                     weft_json_name(a->json), bias);
}

static weft_status use_adapter(adapter *a)
{
    double alpha;
    char key[64];

    if (!weft_json_has(a->json, key_of(a, "lora_alpha", key))) return WEFT_OK;
    WEFT_TRY(refuse_kinds(a));
    WEFT_TRY(
        weft_json_double(a->json, key_of(a, "lora_alpha", key), 0, &alpha));
    WEFT_TRY(
        weft_json_bool(a->json, key_of(a, "use_rslora", key), false, &a->root));
    WEFT_TRY(use_patterns(a));
    for (int i = 0; i < a->n; i++)
        if (covers(a, &a->module[i])) tell(a, &a->module[i], alpha);
    return WEFT_OK;
}

/* diffusers writes it into the file: "unet.lora_alpha" and so on. */
static weft_status use_metadata(const weft_lora *l)
{
    static const char *const part[] = {"unet.", "text_encoder.",
                                       "text_encoder_2."};
    const char *text = weft_st_metadata(l->st, "lora_adapter_metadata");
    weft_status status = WEFT_OK;
    weft_json *json;

    if (!text) return WEFT_OK;
    WEFT_TRY(weft_json_parse(weft_st_path(l->st), text, strlen(text), &json));
    for (int i = 0; i < 3 && status == WEFT_OK; i++) {
        adapter a = {json, part[i], l->module, l->n, false, NULL};

        status = use_adapter(&a);
    }
    weft_json_free(json);
    return status;
}

bool weft_lora_beside(const char *path, char config[WEFT_PATH])
{
    const char *slash = strrchr(path, '/');
    const int n = snprintf(config, WEFT_PATH, "%.*sadapter_config.json",
                           slash ? (int)(slash + 1 - path) : 0, path);

    return n > 0 && n < WEFT_PATH && weft_path_is_file(config);
}

/* PEFT writes it beside the file. */
static weft_status use_config(const weft_lora *l)
{
    adapter a = {NULL, "", l->module, l->n, false, NULL};
    weft_json *json;
    weft_status status;
    char config[WEFT_PATH];

    if (!weft_lora_is_peft(l->module[0].name) ||
        !weft_lora_beside(weft_st_path(l->st), config))
        return WEFT_OK;
    WEFT_TRY(weft_json_read(config, &json));
    a.json = json;
    status = use_adapter(&a);
    weft_json_free(json);
    return status;
}

weft_status weft_lora_read_scales(weft_lora *l)
{
    for (int i = 0; i < l->n; i++) WEFT_TRY(read_alpha(l->st, &l->module[i]));
    WEFT_TRY(use_metadata(l));
    return use_config(l);
}

uint64_t weft_lora_alphas(const weft_lora *l)
{
    uint64_t h = 0;

    for (int i = 0; i < l->n; i++) {
        uint64_t scale;

        memcpy(&scale, &l->module[i].scale, sizeof scale);
        h = (h ^ scale) * 1099511628211u;
    }
    return h;
}
