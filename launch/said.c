#include "launch/said.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_tree.h"

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory for a text");
}

/* ---- by model ------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static weft_status write_own(json_t *map, const char **name, char **own)
{
    char *text = NULL;
    size_t bytes = 0, n = 0;
    const char *key;
    json_t *value;
    FILE *f = open_memstream(&text, &bytes);

    if (!f) return no_memory();
    json_object_foreach(map, key, value) name[n++] = key;
    qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%s%c%s%c", name[i], 0,
                json_string_value(json_object_get(map, name[i])), 0);
    putc(0, f);
    if (fclose(f) != 0) {
        free(text);
        return no_memory();
    }
    *own = text;
    return WEFT_OK;
}

static bool is_text(const json_t *value)
{
    return json_is_string(value) &&
           !weft_text_control(json_string_value(value),
                              json_string_length(value));
}

static bool are_texts(json_t *map)
{
    const char *key;
    json_t *value;

    if (json_object_size(map) == 0) return false;
    json_object_foreach(map, key, value)
    {
        if (!key[0] || !is_text(value)) return false;
    }
    return true;
}

weft_status weft_said_own(const char *json, size_t bytes, char **own)
{
    json_t *map = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, NULL);
    const char **name = NULL;
    weft_status st;

    if (!map || !are_texts(map)) {
        json_decref(map);
        return weft_fail(WEFT_EINPUT,
                         "prompts: expected texts by model, such as "
                         "{ \"strong\": \"...\", \"weak\": \"...\" }");
    }
    name = calloc(json_object_size(map), sizeof *name);
    st = name ? write_own(map, name, own) : no_memory();
    free(name);
    json_decref(map);
    return st;
}

static const char *behind(const char *text) { return text + strlen(text) + 1; }

size_t weft_said_bytes(const char *own)
{
    const char *at = own;

    while (*at) at = behind(behind(at));
    return (size_t)(at - own) + 1;
}

const char *weft_said_for(const char *own, const char *model)
{
    for (; own && *own; own = behind(behind(own)))
        if (strcmp(own, model) == 0) return behind(own);
    return NULL;
}

/* ---- an item ------------------------------------------------------------- */

static weft_status keep(const weft_line_field *f, char **to)
{
    if (!f) return WEFT_OK;
    *to = strndup(f->value, f->nvalue);
    return *to ? WEFT_OK : no_memory();
}

weft_status weft_said_take(const weft_words *w, weft_said *said)
{
    WEFT_TRY(keep(w->prompt, &said->prompt));
    WEFT_TRY(keep(w->negative, &said->negative));
    if (!w->own) return WEFT_OK;
    return weft_said_own(w->own->value, w->own->nvalue, &said->own);
}

void weft_said_release(weft_said *said)
{
    free(said->prompt);
    free(said->negative);
    free(said->own);
    *said = (weft_said){.prompt = NULL};
}

/* ---- a run --------------------------------------------------------------- */

static weft_status put(const char *text, char **to)
{
    if (!text) return WEFT_OK;
    free(*to);
    *to = strdup(text);
    return *to ? WEFT_OK : no_memory();
}

weft_status weft_said_tell(const weft_said *said, weft_config *c)
{
    c->sample.worded = said->prompt || said->negative || said->own;
    WEFT_TRY(put(said->prompt, &c->sample.prompt));
    for (int i = 0; i < c->nmodels; i++)
        WEFT_TRY(put(weft_said_for(said->own, c->model[i].name),
                     &c->model[i].prompt));
    return put(said->negative, &c->sample.negative_prompt);
}
