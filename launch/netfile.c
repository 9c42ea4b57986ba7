#include "launch/netfile.h"

#include <stdio.h>
#include <string.h>

#include "core/fnv.h"
#include "core/model/component.h"
#include "core/model/load.h"

enum { SAMPLES = 4, SAMPLE_BYTES = 64 };

/* Of the header, not of the data: cheap however large the file is. */
uint64_t weft_netfile_fingerprint(const weft_st *st)
{
    uint64_t h = WEFT_FNV_BASIS;

    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);

        h = weft_fnv(h, t->name, strlen(t->name));
        h = weft_fnv(h, t->dtype, strlen(t->dtype));
        h = weft_fnv(h, t->shape, (size_t)t->ndim * sizeof *t->shape);
    }
    return h;
}

/* Samples from the first bytes to the last, evenly apart. */
static uint64_t fold_samples(uint64_t h, const weft_st_tensor *t)
{
    const char *data = t->data;

    if (t->bytes <= SAMPLES * SAMPLE_BYTES) return weft_fnv(h, data, t->bytes);
    for (size_t i = 0; i < SAMPLES; i++) {
        const size_t at = (t->bytes - SAMPLE_BYTES) / (SAMPLES - 1) * i;

        h = weft_fnv(h, data + at, SAMPLE_BYTES);
    }
    return h;
}

uint64_t weft_netfile_sample(const weft_st *st)
{
    uint64_t h = WEFT_FNV_BASIS;

    for (int i = 0; i < weft_st_count(st); i++)
        h = fold_samples(h, weft_st_at(st, i));
    return h;
}

/* ---- control nets -------------------------------------------------------- */

_Static_assert((int)WEFT_CONTROLS == (int)WEFT_HINTS, "a picture each");

/* What a control net and its U-Net must have alike, which are of one base. */
static weft_status compare(const char *path, const char *what, int control,
                           int unet, const char *base)
{
    if (control == unet) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: is made for %s of %d, and %s has %d: another base",
                     path, what, control, base, unet);
}

static weft_status check_control(const char *path, const weft_net_info *control,
                                 const char *base, const weft_net_info *unet)
{
    if (control->kind != WEFT_NET_CONTROL)
        return weft_fail(WEFT_EINPUT, "%s: a %s is not a control net", path,
                         control->class_name);
    if (unet->kind != WEFT_NET_UNET2D_CONDITION)
        return weft_fail(WEFT_EINPUT,
                         "%s: control nets are for a UNet2DConditionModel, and "
                         "%s is a %s",
                         path, base, unet->class_name);
    if (weft_net_paints(unet))
        return weft_fail(
            WEFT_EINPUT,
            "%s: control nets do not go with models that are made "
            "for inpainting, as %s is; any other one inpaints with "
            "sample.mask",
            path, base);
    WEFT_TRY(compare(path, "channels in", control->in_channels,
                     unet->in_channels, base));
    WEFT_TRY(compare(path, "a cross_attention_dim", control->text_channels,
                     unet->text_channels, base));
    WEFT_TRY(compare(path, "a vector beside the text", control->added,
                     unet->added, base));
    return compare(path, "a total stride", control->stride, unet->stride, base);
}

static weft_status add_control(const char *path, const char *base,
                               weft_netfile *f)
{
    weft_control *c = &f->control[f->info.ncontrols];
    weft_net_info info;
    weft_json *config;
    weft_st *st;
    char prefix[16];
    weft_status s;

    WEFT_TRY(weft_component_open(path, &config, &st));
    *c = (weft_control){config, weft_load_dtype(st)};
    snprintf(prefix, sizeof prefix, "control%d.", f->info.ncontrols++);
    s = weft_net_read_info(config, &info);
    if (s == WEFT_OK) s = check_control(path, &info, base, &f->info);
    if (s == WEFT_OK) s = weft_st_join(f->st, prefix, st);
    if (s != WEFT_OK) weft_st_close(st);
    return s;
}

/* ---- the file ------------------------------------------------------------ */

weft_status weft_netfile_open(const char *path, const weft_config_model *m,
                              weft_netfile *f)
{
    memset(f, 0, sizeof *f);
    WEFT_TRY(weft_component_open(path, &f->config, &f->st));
    WEFT_TRY(weft_net_read_info(f->config, &f->info));
    WEFT_TRY(weft_adapters_open(m, &f->adapters));
    f->wtype = weft_load_dtype(f->st);
    for (int i = 0; m && i < m->ncontrols; i++)
        WEFT_TRY(add_control(m->control[i].net.path, path, f));
    f->fingerprint = weft_netfile_fingerprint(f->st) ^
                     weft_adapters_fingerprint(&f->adapters);
    return WEFT_OK;
}

weft_status weft_spare_find(const weft_graph *g, const weft_st *st,
                            const char *const *besides, weft_spare *s)
{
    weft_load_rest rest;

    WEFT_TRY(weft_load_unused(g, st, besides, &rest));
    s->n = rest.n;
    snprintf(s->first, sizeof s->first, "%s", rest.n ? rest.first : "");
    return WEFT_OK;
}

void weft_spare_print(const weft_spare *s, const char *about, FILE *to)
{
    if (s->n)
        fprintf(to, "%s%d tensor%s of the file %s not used, the first is %s\n",
                about, s->n, s->n == 1 ? "" : "s", s->n == 1 ? "is" : "are",
                s->first);
}

/* What a graph says of a control net's layers begins with its prefix. */
static weft_status blame_control(const weft_netfile *f, weft_status st)
{
    char prefix[24];

    for (int i = 0; i < f->info.ncontrols; i++) {
        snprintf(prefix, sizeof prefix, "control%d.", i);
        if (strstr(weft_fail_text(), prefix))
            return weft_fail_within(st, "%s: may be for another base",
                                    weft_json_name(f->control[i].config));
    }
    return st;
}

weft_status weft_netfile_build(weft_netfile *f, weft_net_part part,
                               weft_cell cell, bool beside)
{
    weft_status st;

    f->info.control = f->control;
    st = weft_net_build(f->config, &f->info, part, cell, f->wtype, &f->graph);
    if (st != WEFT_OK) return blame_control(f, st);
    f->built = true;
    WEFT_TRY(weft_load_check(&f->graph, f->st, &f->file_bytes));
    WEFT_TRY(weft_spare_find(&f->graph, f->st, weft_net_besides(&f->info, part),
                             &f->spare));
    WEFT_TRY(
        weft_adapters_apply(&f->adapters, WEFT_LORA_UNET, f->st, &f->graph));
    return beside ? weft_graph_beside(&f->graph) : WEFT_OK;
}

void weft_netfile_unmap(weft_netfile *f)
{
    weft_st_close(f->st);
    f->st = NULL;
    weft_adapters_close(&f->adapters);
}

void weft_netfile_close(weft_netfile *f)
{
    if (f->built) weft_graph_release(&f->graph);
    weft_st_close(f->st);
    weft_adapters_close(&f->adapters);
    for (int i = 0; i < f->info.ncontrols; i++)
        weft_json_free((weft_json *)f->control[i].config);
    weft_json_free(f->config);
    memset(f, 0, sizeof *f);
}
