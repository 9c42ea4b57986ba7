#include "launch/config_control.h"

#include <stdlib.h>
#include <string.h>

#include "launch/config_check.h"
#include "launch/config_prompt.h"

/* ---- reading ------------------------------------------------------------- */

static weft_status set_default(weft_tree *control, const char *key,
                               const char *value)
{
    const weft_place nowhere = {control->place.file, NULL, 0};

    if (weft_tree_get(control, key)) return WEFT_OK;
    return weft_tree_put(control, key, weft_tree_text(value, false, &nowhere));
}

weft_status weft_config_default_controls(const weft_tree *root)
{
    const weft_tree *m = weft_tree_get(root, "models")->first;

    for (; m; m = m->next) {
        const weft_tree *list = weft_tree_get(m, "controls");

        for (weft_tree *t = list ? list->first : NULL; t; t = t->next) {
            WEFT_TRY(set_default(t, "scale", "1"));
            WEFT_TRY(set_default(t, "start", "0"));
            WEFT_TRY(set_default(t, "end", "1"));
        }
    }
    return WEFT_OK;
}

static weft_status take_path(const weft_tree *control, const char *model,
                             const char *name, bool identity,
                             weft_config_path *to)
{
    const weft_tree *t = weft_tree_get(control, name);
    char key[96];

    if (!t) return WEFT_OK;
    snprintf(key, sizeof key, "models.%s.controls.%s", model, name);
    return weft_config_find_path(t, key, identity, &to->path, &to->portable);
}

static weft_status take_control(const weft_tree *t, const char *model,
                                const weft_raw_control *raw, bool identity,
                                weft_config_control *to)
{
    if (!(raw->start < raw->end))
        return weft_place_fail(&t->place,
                               "models.%s.controls: its end (%g) is not after "
                               "its start (%g)",
                               model, raw->end, raw->start);
    to->scale = raw->scale;
    to->start = raw->start;
    to->end = raw->end;
    WEFT_TRY(take_path(t, model, "path", identity, &to->net));
    return take_path(t, model, "image", identity, &to->image);
}

weft_status weft_config_take_controls(const weft_tree *m,
                                      const weft_raw_model *raw, bool identity,
                                      weft_config_model *to)
{
    const weft_tree *t = weft_tree_get(m, "controls");

    if (!t) return WEFT_OK;
    to->control = calloc((size_t)raw->ncontrols, sizeof *to->control);
    if (!to->control) return weft_fail(WEFT_ENOMEM, "out of memory");
    to->ncontrols = raw->ncontrols;
    t = t->first;
    for (int i = 0; i < to->ncontrols; i++, t = t->next)
        WEFT_TRY(take_control(t, m->key, &raw->controls[i], identity,
                              &to->control[i]));
    return WEFT_OK;
}

/* ---- others -------------------------------------------------------------- */

static int count(const weft_config_model *m) { return m ? m->ncontrols : 0; }

bool weft_config_controls_begin_alike(const weft_config_model *a,
                                      const weft_config_model *b)
{
    for (int i = 0; i < count(a) && i < count(b); i++)
        if (strcmp(a->control[i].net.path, b->control[i].net.path) != 0)
            return false;
    return true;
}

bool weft_config_same_controls(const weft_config_model *a,
                               const weft_config_model *b)
{
    return count(a) == count(b) && weft_config_controls_begin_alike(a, b);
}

static void write_number(FILE *f, const char *key, double value)
{
    fprintf(f, ",\"%s\":", key);
    weft_config_write_number(f, value);
}

void weft_config_write_controls(FILE *f, const weft_config_model *m)
{
    if (!m->ncontrols) return;
    fputs(",\"controls\":[", f);
    for (int i = 0; i < m->ncontrols; i++) {
        const weft_config_control *c = &m->control[i];

        fputs(i ? ",{\"path\":" : "{\"path\":", f);
        weft_config_write_string(f, c->net.portable);
        if (c->image.path) {
            fputs(",\"image\":", f);
            weft_config_write_string(f, c->image.portable);
        }
        write_number(f, "scale", c->scale);
        write_number(f, "start", c->start);
        write_number(f, "end", c->end);
        putc('}', f);
    }
    putc(']', f);
}

void weft_config_release_controls(weft_config_model *m)
{
    for (int i = 0; i < m->ncontrols; i++) {
        weft_config_release_path(&m->control[i].net);
        weft_config_release_path(&m->control[i].image);
    }
    free(m->control);
}
