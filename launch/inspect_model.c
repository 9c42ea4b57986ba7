#include "launch/inspect_model.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/path.h"
#include "core/model/component.h"
#include "core/model/load.h"
#include "core/model/lora.h"
#include "core/model/original.h"
#include "core/net/net.h"
#include "core/net/text.h"
#include "core/text/tokenizer.h"
#include "launch/checkpoint.h"
#include "launch/netfile.h"

enum { NAMES_SHOWN = 8, TYPES = 16 };

static void print_bytes(FILE *out, double bytes)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int i = 0;

    for (; bytes >= 1024 && i < 4; i++) bytes /= 1024;
    fprintf(out, i == 0 ? "%.0f %s" : "%.1f %s", bytes, unit[i]);
}

/* ---- weights ---------------------------------------------------------------
 */

typedef struct counts {
    int64_t parameters;
    const char *type[TYPES];
    int tensors[TYPES];
    int ntypes;
} counts;

/* The file has been checked: unless a shape has a 0, its product fits. */
static int64_t elements(const weft_st_tensor *t)
{
    int64_t n = t->bytes > 0;

    for (int i = 0; i < t->ndim && n > 0; i++) n *= t->shape[i];
    return n;
}

static counts count(const weft_st *st)
{
    counts c = {0};

    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);
        int k = 0;
        c.parameters += elements(t);
        while (k < c.ntypes && strcmp(c.type[k], t->dtype) != 0) k++;
        if (k == TYPES) continue;
        if (k == c.ntypes) c.type[c.ntypes++] = t->dtype;
        c.tensors[k]++;
    }
    return c;
}

/* 4,058,692 */
static void print_count(FILE *out, int64_t n)
{
    if (n >= 1000) {
        print_count(out, n / 1000);
        fprintf(out, ",%03d", (int)(n % 1000));
    } else {
        fprintf(out, "%d", (int)n);
    }
}

static void print_weights(FILE *out, const weft_st *st)
{
    const counts c = count(st);

    print_count(out, c.parameters);
    fprintf(out, " numbers in %d tensor%s,", weft_st_count(st),
            weft_st_count(st) == 1 ? "" : "s");
    for (int i = 0; i < c.ntypes; i++) {
        fprintf(out, "%s ", i > 0 ? "," : "");
        if (c.ntypes > 1) fprintf(out, "%d ", c.tensors[i]);
        fputs(c.type[i], out);
    }
    fputs(", ", out);
    print_bytes(out, (double)weft_st_bytes(st));
    putc('\n', out);
}

static void print_tensor(FILE *out, const weft_st_tensor *t)
{
    fputs("    ", out);
    weft_inspect_print(out, t->name, 100);
    fprintf(out, "  %s [", t->dtype);
    for (int i = 0; i < t->ndim; i++)
        fprintf(out, "%s%" PRId64, i > 0 ? ", " : "", t->shape[i]);
    fputs("]\n", out);
}

static void print_metadata(FILE *out, const weft_st *st)
{
    static const char *const keys[] = {"format", "parameters", "weft"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = weft_st_metadata(st, keys[i]);
        if (value == NULL) continue;
        fprintf(out, "  metadata %s: ", keys[i]);
        weft_inspect_print(out, value, 2000);
        putc('\n', out);
    }
}

static void print_tensors(FILE *out, const weft_st *st)
{
    const int n = weft_st_count(st);
    const int shown = n < NAMES_SHOWN ? n : NAMES_SHOWN;

    for (int i = 0; i < shown; i++) print_tensor(out, weft_st_at(st, i));
    if (shown < n) fprintf(out, "    and %d more\n", n - shown);
}

static void print_refusal(FILE *out, const char *what)
{
    fprintf(out, "  weft cannot %s it: ", what);
    weft_inspect_print(out, weft_fail_text(), 500);
    putc('\n', out);
}

/* A change of another model's weights. */
static void print_lora(FILE *out, const char *path)
{
    weft_lora *lora;
    int layers = 0, least, most;

    fputs("  a LoRA", out);
    if (weft_lora_open(path, &lora) != WEFT_OK) {
        putc('\n', out);
        print_refusal(out, "use");
        return;
    }
    for (int i = 0; i < WEFT_LORA_PARTS; i++)
        layers += weft_lora_count(lora, (weft_lora_part)i);
    weft_lora_ranks(lora, &least, &most);
    fprintf(out, ": changes %d layers by matrices of rank %d", layers, least);
    if (most > least) fprintf(out, " to %d", most);
    putc('\n', out);
    weft_lora_close(lora);
}

/* What a file is by the names in it. */
static weft_status print_file(const char *path, const weft_st *st, FILE *out)
{
    weft_original o;

    if (weft_checkpoint_is(st)) return weft_inspect_checkpoint(path, out);
    weft_original_tell(st, &o);
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++)
        if (o.prefix[i]) return weft_inspect_pipeline(path, out);
    fprintf(out, "%s: safetensors\n  ", path);
    print_weights(out, st);
    if (weft_lora_is(st)) print_lora(out, path);
    if (o.prefix[WEFT_PIPELINE_CONTROL])
        fprintf(out, "  a ControlNet under its authors' names: %s:controlnet\n",
                path);
    print_metadata(out, st);
    print_tensors(out, st);
    return WEFT_OK;
}

weft_status weft_inspect_tensors(const char *path, FILE *out)
{
    weft_st *st;
    weft_status s;

    WEFT_TRY(weft_st_open(path, &st));
    s = print_file(path, st, out);
    weft_st_close(st);
    return s;
}

/* ---- one component ---------------------------------------------------------
 */

static bool holds(const char *folder, const char *name)
{
    char path[WEFT_PATH];

    return weft_path_join(folder, name, path, sizeof path) == WEFT_OK &&
           weft_path_exists(path);
}

static void print_told(FILE *out, const weft_net_info *info)
{
    if (info->text_channels > 0)
        fprintf(out, "  sees a text of %d channels", info->text_channels);
    if (info->added > 0)
        fprintf(out, ", and %d numbers of its vector and of sizes",
                info->added);
    if (info->text_channels > 0) putc('\n', out);
}

static void print_unet(FILE *out, const weft_net_info *info)
{
    fprintf(out,
            "  %d channels in, %d out; height and width of the sample in "
            "multiples of %d\n",
            info->in_channels, info->out_channels, info->stride);
    print_told(out, info);
    if (weft_net_paints(info))
        fputs("  made for inpainting: sees a mask, and the picture without "
              "what is under it\n",
              out);
    if (info->guide > 0)
        fputs("  is told the guidance: one evaluation a step\n", out);
    if (info->labels > 0)
        fprintf(out,
                "  %d classes, of which the last (%d) is the default "
                "null_label\n",
                info->labels, info->labels - 1);
    if (info->label_is_time)
        fputs("  any whole number as label; null_label has no default\n", out);
}

static void print_control(FILE *out, const weft_net_info *info)
{
    fprintf(
        out,
        "  for U-Nets of %d channels; height and width of the sample in "
        "multiples of %d\n"
        "  follows a picture of %d channels%s, %dx%d pixels for each of the "
        "sample\n",
        info->in_channels, info->stride, info->picture,
        info->reversed ? " in reverse order" : "", info->per_latent,
        info->per_latent);
    print_told(out, info);
}

static void print_vae(FILE *out, const weft_net_info *info)
{
    fprintf(out,
            "  %d channels of %dx%d pixels to %d of latents; scaling "
            "factor %g",
            info->in_channels, info->stride, info->stride,
            info->latent_channels, (double)info->scaling_factor);
    if (info->has_mean_std)
        fputs(", a mean and deviation per channel\n", out);
    else
        fprintf(out, ", shift %g\n", (double)info->shift_factor);
}

static void print_text(FILE *out, const weft_text_info *info)
{
    fprintf(out,
            "  %d layers of %d channels; texts of at most %d tokens, of %d "
            "there are\n",
            info->layers, info->channels, info->tokens, info->vocab);
    fprintf(out, "  a vector of %d numbers for the whole text\n", info->pooled);
}

static weft_status print_spare(FILE *out, const weft_graph *g,
                               const weft_st *st, const char *const *besides)
{
    weft_spare s;

    WEFT_TRY(weft_spare_find(g, st, besides, &s));
    weft_spare_print(&s, "  ", out);
    return WEFT_OK;
}

/* Whether its weights are all there. */
static weft_status try_text(FILE *out, const weft_json *config,
                            const weft_text_info *info, const weft_st *st)
{
    const weft_text_opts opts = {.norm = true, .pooled = true};
    weft_text text;
    weft_status s;

    WEFT_TRY(weft_text_build(config, &opts, info->tokens, weft_load_dtype(st),
                             &text));
    s = weft_load_check(&text.graph, st, NULL);
    if (s == WEFT_OK) s = print_spare(out, &text.graph, st, weft_text_besides);
    weft_graph_release(&text.graph);
    return s;
}

static weft_status try_part(FILE *out, const weft_json *config,
                            const weft_net_info *info, const weft_st *st,
                            weft_net_part part, int stride)
{
    const weft_cell cell = {stride, stride, stride};
    weft_graph g;
    weft_status s;

    WEFT_TRY(weft_net_build(config, info, part, cell, weft_load_dtype(st), &g));
    s = weft_load_check(&g, st, NULL);
    if (s == WEFT_OK)
        s = print_spare(out, &g, st, weft_net_besides(info, part));
    weft_graph_release(&g);
    return s;
}

static weft_status try_net(FILE *out, const weft_json *config,
                           const weft_net_info *info, const weft_st *st)
{
    if (info->kind == WEFT_NET_CONTROL)
        WEFT_TRY(
            try_part(out, config, info, st, WEFT_PART_SIGHT, info->per_latent));
    return try_part(out, config, info, st,
                    weft_net_is_unet(info) || info->kind == WEFT_NET_CONTROL
                        ? WEFT_PART_NET
                        : WEFT_PART_DECODE,
                    info->stride);
}

static weft_status print_text_encoder(FILE *out, const weft_json *config,
                                      const weft_st *st)
{
    weft_text_info info;

    WEFT_TRY(weft_text_read_info(config, &info));
    print_text(out, &info);
    return try_text(out, config, &info, st);
}

static weft_status print_image_net(FILE *out, const weft_json *config,
                                   const weft_st *st)
{
    weft_net_info info;

    WEFT_TRY(weft_net_read_info(config, &info));
    if (weft_net_is_unet(&info))
        print_unet(out, &info);
    else if (info.kind == WEFT_NET_CONTROL)
        print_control(out, &info);
    else
        print_vae(out, &info);
    return try_net(out, config, &info, st);
}

/* A net that weft cannot run is still worth describing. transformers' configs
 * tell their class elsewhere than diffusers'. */
static void print_net(FILE *out, const weft_json *config, const weft_st *st,
                      bool *runs)
{
    const weft_status s = weft_json_has(config, "architectures")
                              ? print_text_encoder(out, config, st)
                              : print_image_net(out, config, st);

    if (s == WEFT_OK) return;
    print_refusal(out, "run");
    *runs = false;
}

static weft_status read_class(const weft_json *json, const char **class)
{
    int n = 0;

    *class = "a model without a class name";
    if (!weft_json_has(json, "architectures"))
        return weft_json_string(json, "_class_name", *class, class);
    return weft_json_strings(json, "architectures", class, 1, &n);
}

void weft_inspect_head(FILE *out, const char *name, const char *class)
{
    weft_inspect_print(out, name, 200);
    fputs(": ", out);
    weft_inspect_print(out, class, 80);
    putc('\n', out);
}

static weft_status print_component(const char *path, const char *name,
                                   bool brief, bool *runs, FILE *out)
{
    const char *class;
    weft_json *json;
    weft_st *st;
    weft_status s;

    WEFT_TRY(weft_component_open(path, &json, &st));
    s = read_class(json, &class);
    if (s == WEFT_OK) {
        weft_inspect_head(out, name, class);
        fputs("  ", out);
        print_weights(out, st);
        print_net(out, json, st, runs);
        if (!brief) {
            fprintf(out, "  %s\n", weft_st_path(st));
            print_metadata(out, st);
            print_tensors(out, st);
        }
    }
    weft_st_close(st);
    weft_json_free(json);
    return s;
}

/* ---- a folder of components ------------------------------------------------
 */

static int is_component(const struct dirent *e) { return e->d_name[0] != '.'; }

static weft_status print_tokenizer(const char *folder, const char *name,
                                   FILE *out)
{
    weft_tokenizer *t;
    const weft_tokenizer_info *info;

    WEFT_TRY(weft_tokenizer_open(folder, &t));
    info = weft_tokenizer_tell(t);
    weft_inspect_head(out, name, "CLIPTokenizer");
    fprintf(out, "  texts of at most %d tokens; begin %d, end %d, padding %d\n",
            info->most, info->begin, info->end, info->pad);
    weft_tokenizer_free(t);
    return WEFT_OK;
}

weft_status weft_inspect_part(const char *path, const char *name, bool brief,
                              bool *runs, FILE *out)
{
    const char *inside = strrchr(path, ':');

    *runs = true;
    if (holds(path, "scheduler_config.json") ||
        (inside && strcmp(inside, ":scheduler") == 0))
        return weft_inspect_schedule(path, name, runs, out);
    if (holds(path, "vocab.json") || holds(path, "tokenizer.json"))
        return print_tokenizer(path, name, out);
    return print_component(path, name, brief, runs, out);
}

/* Each subfolder that is a component; a broken one is named and the rest goes
 * on. *n counts them. */
static weft_status print_parts(const char *folder, FILE *out, int *n)
{
    struct dirent **entry;
    const int entries = scandir(folder, &entry, is_component, alphasort);
    weft_status worst = WEFT_OK;
    char part[WEFT_PATH], first[512] = "";
    bool runs;

    *n = 0;
    for (int i = 0; i < entries; i++) {
        const char *name = entry[i]->d_name;
        if (weft_path_join(folder, name, part, sizeof part) != WEFT_OK)
            continue;
        if (!holds(part, "config.json") &&
            !holds(part, "scheduler_config.json"))
            continue;
        ++*n;
        const weft_status s = weft_inspect_part(part, name, true, &runs, out);
        if (s == WEFT_OK) continue;
        weft_inspect_head(out, name, "cannot be used");
        if (worst == WEFT_OK)
            snprintf(first, sizeof first, "%s", weft_fail_text());
        worst = s;
    }
    for (int i = 0; i < entries; i++) free(entry[i]);
    if (entries >= 0) free(entry);
    return worst == WEFT_OK ? WEFT_OK : weft_fail(worst, "%s", first);
}

/* The classes that demo.json names, as labels. */
static weft_status print_classes(const char *path, FILE *out)
{
    const char *name[64];
    weft_json *json;
    weft_status s;
    int n = 0;

    WEFT_TRY(weft_json_read(path, &json));
    s = weft_json_strings(json, "class_names", name, 64, &n);
    if (n > 0) fputs("labels:", out);
    for (int i = 0; i < n; i++) {
        fprintf(out, "%s %d ", i > 0 ? "," : "", i);
        weft_inspect_print(out, name[i], 40);
    }
    if (n > 0) putc('\n', out);
    weft_json_free(json);
    return s;
}

static weft_status print_collection(const char *folder, FILE *out)
{
    char path[WEFT_PATH];
    int n;

    WEFT_TRY(weft_path_join(folder, "demo.json", path, sizeof path));
    if (weft_path_exists(path)) WEFT_TRY(print_classes(path, out));
    WEFT_TRY(print_parts(folder, out, &n));
    if (n > 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: holds neither config.json nor folders with one",
                     folder);
}

weft_status weft_inspect_folder(const char *path, FILE *out)
{
    static const char *const component[] = {
        "config.json", "scheduler_config.json", "vocab.json", "tokenizer.json"};
    bool runs;

    if (holds(path, "model_index.json"))
        return weft_inspect_pipeline(path, out);
    for (size_t i = 0; i < sizeof component / sizeof *component; i++)
        if (holds(path, component[i]))
            return weft_inspect_part(path, path, false, &runs, out);
    return print_collection(path, out);
}
