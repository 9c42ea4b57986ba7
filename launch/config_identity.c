/* config_identity.c - what an identity says of analytic models and methods:
 * the keys that mean something to the method, and no others. */
#include "launch/config_check.h"
#include "launch/config_method.h"

static void write_key(FILE *f, const char *key, double value)
{
    fprintf(f, ",\"%s\":", key);
    weft_config_write_number(f, value);
}

static void write_component(FILE *f, const weft_component *v, int channels)
{
    fputs("{\"weight\":", f);
    weft_config_write_number(f, v->weight);
    fputs(",\"mean\":[", f);
    for (int c = 0; c < channels; c++) {
        if (c) putc(',', f);
        weft_config_write_number(f, v->mean[c]);
    }
    fputs("],\"std\":", f);
    weft_config_write_number(f, v->std);
    putc('}', f);
}

void weft_config_write_analytic(FILE *f, const weft_config_model *m)
{
    fprintf(f, "{\"kind\":\"analytic\",\"shape\":[%d,%d,%d],\"mixture\":[",
            m->shape[0], m->shape[1], m->shape[2]);
    for (int k = 0; k < m->components; k++) {
        if (k) putc(',', f);
        write_component(f, &m->component[k], m->shape[0]);
    }
    fputs("]}", f);
}

/* ---- keys of sample ------------------------------------------------------ */

static void write_over(FILE *f, const weft_config_guidance *g)
{
    if (g->linear) {
        fputs(",\"guidance_schedule\":\"linear\"", f);
        write_key(f, "guidance_end", g->end);
    }
    if (g->limited) {
        fputs(",\"guidance_interval\":[", f);
        weft_config_write_number(f, g->start);
        putc(',', f);
        weft_config_write_number(f, g->stop);
        putc(']', f);
    }
    if (g->rescale > 0) write_key(f, "guidance_rescale", g->rescale);
}

static void write_labels(FILE *f, const weft_config *c, const char *key,
                         bool null)
{
    bool any = false;

    for (int i = 0; i < c->nmodels; i++) {
        const weft_config_model *m = &c->model[i];
        const int label = null ? m->null_label : m->label;

        if (label < 0) continue;
        if (!any) fprintf(f, ",\"%s\":{", key);
        fprintf(f, "%s\"%s\":%d", any ? "," : "", m->name, label);
        any = true;
    }
    if (any) putc('}', f);
}

static void write_bias(FILE *f, const weft_config *c)
{
    if (!c->sample.how.bias) return;
    fputs(",\"bias\":{", f);
    for (int i = 0; i < c->nmodels; i++) {
        fprintf(f, "%s\"%s\":", i ? "," : "", c->model[i].name);
        weft_config_write_number(f, c->sample.how.bias[i]);
    }
    putc('}', f);
}

static void write_reflection(FILE *f, weft_method_kind method,
                             const weft_config_method *how)
{
    fprintf(f, ",\"lambda\":%d,\"rounds\":%d", how->lambda, how->rounds);
    if (method == WEFT_ZSAMPLING) {
        write_key(f, "gamma1", how->gamma1);
        write_key(f, "gamma2", how->gamma2);
    } else {
        write_key(f, "guidance_strong", how->guidance_strong);
    }
    if (method == WEFT_W2SD) write_key(f, "guidance_weak", how->guidance_weak);
    if (method != WEFT_RESAMPLING)
        fprintf(f, ",\"inverse_offset\":%d", how->inverse_offset);
}

void weft_config_write_method(FILE *f, const weft_config *c)
{
    const weft_config_method *how = &c->sample.how;
    const weft_method_kind method = c->sample.method;

    if (c->sample.refiner) {
        fputs(",\"refiner\":", f);
        weft_config_write_string(f, c->sample.refiner);
        write_key(f, "refine_from", c->sample.refine_from);
    }
    write_over(f, &c->sample.over);
    write_labels(f, c, "labels", false);
    write_labels(f, c, "null_labels", true);
    if (weft_method_reflects(method)) write_reflection(f, method, how);
    if (method == WEFT_AUTOGUIDANCE)
        write_key(f, "autoguidance", how->autoguidance);
    if (method >= WEFT_SUPERDIFF_OR) write_bias(f, c);
    if (method == WEFT_SUPERDIFF_OR) {
        write_key(f, "temperature", how->temperature);
        if (how->quirk) fputs(",\"superdiff_quirk\":true", f);
    }
    if (method == WEFT_SUPERDIFF_AND) write_key(f, "lift", how->lift);
}
