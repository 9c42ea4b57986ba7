#include "launch/inspect_model.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/model/component.h"
#include "core/net/net.h"
#include "launch/checkpoint.h"

enum { PATH_ROOM = 4096, NAMES_SHOWN = 8, TYPES = 16 };

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

weft_status weft_inspect_tensors(const char *path, FILE *out)
{
    weft_st *st;

    WEFT_TRY(weft_st_open(path, &st));
    if (weft_checkpoint_is(st)) {
        weft_st_close(st);
        return weft_inspect_checkpoint(path, out);
    }
    fprintf(out, "%s: safetensors\n  ", path);
    print_weights(out, st);
    print_metadata(out, st);
    print_tensors(out, st);
    weft_st_close(st);
    return WEFT_OK;
}

/* ---- one component ---------------------------------------------------------
 */

static bool join(const char *folder, const char *name, char *path)
{
    const size_t n = strlen(folder);
    const char *slash = n > 0 && folder[n - 1] == '/' ? "" : "/";

    return snprintf(path, PATH_ROOM, "%s%s%s", folder, slash, name) < PATH_ROOM;
}

static bool holds(const char *folder, const char *name)
{
    char path[PATH_ROOM];

    return join(folder, name, path) && access(path, F_OK) == 0;
}

static void print_unet(FILE *out, const weft_net_info *info)
{
    fprintf(out,
            "  %d channels in, %d out; height and width of the sample in "
            "multiples of %d\n",
            info->in_channels, info->out_channels, info->stride);
    if (info->labels > 0)
        fprintf(out,
                "  %d classes, of which the last (%d) is the default "
                "null_label\n",
                info->labels, info->labels - 1);
    if (info->label_is_time)
        fputs("  any whole number as label; null_label has no default\n", out);
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

/* A net that weft cannot run is still worth describing. */
static void print_net(FILE *out, const weft_json *config)
{
    weft_net_info info;

    if (weft_net_read_info(config, &info) != WEFT_OK) {
        fputs("  weft cannot run it: ", out);
        weft_inspect_print(out, weft_fail_text(), 500);
        putc('\n', out);
    } else if (weft_net_is_unet(&info)) {
        print_unet(out, &info);
    } else {
        print_vae(out, &info);
    }
}

/* "NAME: CLASS" and a line feed. */
static void print_head(FILE *out, const char *name, const char *class)
{
    weft_inspect_print(out, name, 200);
    fputs(": ", out);
    weft_inspect_print(out, class, 80);
    putc('\n', out);
}

static weft_status print_component(const char *folder, const char *name,
                                   FILE *out, bool brief)
{
    const char *class;
    weft_json *json;
    weft_st *st;
    weft_status s;

    WEFT_TRY(weft_component_open(folder, &json, &st));
    s = weft_json_string(json, "_class_name", "a model without a class name",
                         &class);
    if (s == WEFT_OK) {
        print_head(out, name, class);
        fputs("  ", out);
        print_weights(out, st);
        print_net(out, json);
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

static weft_status print_scheduler(const char *folder, const char *name,
                                   FILE *out)
{
    const char *class, *beta, *prediction, *spacing;
    weft_json *json;
    weft_status s;
    int steps;

    WEFT_TRY(weft_component_scheduler(folder, &json));
    s = weft_json_string(json, "_class_name", "a scheduler", &class);
    if (s == WEFT_OK)
        s = weft_json_string(json, "beta_schedule", "default", &beta);
    if (s == WEFT_OK)
        s = weft_json_string(json, "prediction_type", "default", &prediction);
    if (s == WEFT_OK)
        s = weft_json_string(json, "timestep_spacing", "default", &spacing);
    if (s == WEFT_OK)
        s = weft_json_int(json, "num_train_timesteps", 1000, 1, 1000000,
                          &steps);
    if (s == WEFT_OK) {
        print_head(out, name, class);
        fprintf(out, "  %d train steps, betas ", steps);
        weft_inspect_print(out, beta, 40);
        fputs(", predicts ", out);
        weft_inspect_print(out, prediction, 40);
        fputs(", spacing ", out);
        weft_inspect_print(out, spacing, 40);
        putc('\n', out);
    }
    weft_json_free(json);
    return s;
}

/* ---- a folder of components ------------------------------------------------
 */

static int is_component(const struct dirent *e) { return e->d_name[0] != '.'; }

static weft_status print_part(const char *folder, const char *name, FILE *out,
                              bool brief)
{
    return holds(folder, "scheduler_config.json")
               ? print_scheduler(folder, name, out)
               : print_component(folder, name, out, brief);
}

/* Each subfolder that is a component; a broken one is named and the rest goes
 * on. *n counts them. */
static weft_status print_parts(const char *folder, FILE *out, int *n)
{
    struct dirent **entry;
    const int entries = scandir(folder, &entry, is_component, alphasort);
    weft_status worst = WEFT_OK;
    char part[PATH_ROOM], first[512] = "";

    *n = 0;
    for (int i = 0; i < entries; i++) {
        const char *name = entry[i]->d_name;
        if (!join(folder, name, part)) continue;
        if (!holds(part, "config.json") &&
            !holds(part, "scheduler_config.json"))
            continue;
        ++*n;
        const weft_status s = print_part(part, name, out, true);
        if (s == WEFT_OK) continue;
        print_head(out, name, "cannot be used");
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

static weft_status print_pipeline(const char *path, FILE *out)
{
    const char *class;
    weft_json *json;
    weft_status s;

    WEFT_TRY(weft_json_read(path, &json));
    s = weft_json_string(json, "_class_name", "no class", &class);
    if (s == WEFT_OK) {
        fputs("pipeline: ", out);
        weft_inspect_print(out, class, 80);
        putc('\n', out);
    }
    weft_json_free(json);
    return s;
}

static weft_status print_collection(const char *folder, FILE *out)
{
    char path[PATH_ROOM];
    int n;

    if (holds(folder, "model_index.json") &&
        join(folder, "model_index.json", path))
        WEFT_TRY(print_pipeline(path, out));
    if (holds(folder, "demo.json") && join(folder, "demo.json", path))
        WEFT_TRY(print_classes(path, out));
    WEFT_TRY(print_parts(folder, out, &n));
    if (n > 0) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: holds neither config.json nor folders with one",
                     folder);
}

weft_status weft_inspect_folder(const char *path, FILE *out)
{
    if (!holds(path, "config.json") && !holds(path, "scheduler_config.json"))
        return print_collection(path, out);
    return print_part(path, path, out, false);
}
