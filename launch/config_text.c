/* config_text.c - what a config says in names and in images. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "launch/config.h"
#include "launch/config_check.h"
#include "launch/config_control.h"
#include "launch/config_method.h"
#include "launch/config_picture.h"
#include "launch/config_prompt.h"
#include "launch/suggest.h"
#include "launch/version.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- names of outputs -----------------------------------------------------
 */

enum { SEED, LABEL, INDEX, STEPS, WIDTH, HEIGHT, MODEL, PLACEHOLDERS };

static const char *const placeholder[PLACEHOLDERS] = {
    "seed", "label", "index", "steps", "width", "height", "model"};

/* Which placeholder stands at *c (behind its brace); moves *c behind it. -1:
 * none; `word` then has what stands there, cut to `room`. */
static int read_placeholder(const char **c, char *word, size_t room)
{
    const size_t n = strcspn(*c, "{}");

    snprintf(word, room, "%.*s", (int)(n < 64 ? n : 64), *c);
    if ((*c)[n] != '}') return -1;
    for (int i = 0; i < PLACEHOLDERS; i++)
        if (strcmp(word, placeholder[i]) == 0) {
            *c += n + 1;
            return i;
        }
    return -1;
}

/* Whether a doubled brace stands at *c, which means a single one; moves *c. */
static bool skip_doubled(const char **c)
{
    if ((**c != '{' && **c != '}') || (*c)[0] != (*c)[1]) return false;
    *c += 2;
    return true;
}

static weft_status check_suffix(const weft_tree *t, const char *path)
{
    static const char *const others[] = {".jpg", ".jpeg", ".webp", ".gif",
                                         ".bmp", ".tif",  ".tiff", ".ppm"};
    const char *suffix = strrchr(t->text, '.');

    if (t->text[strlen(t->text) - 1] == '/')
        return weft_place_fail(&t->place, "%s: \"%.200s\" is a folder", path,
                               t->text);
    for (int i = 0; suffix != NULL && i < COUNT(others); i++)
        if (strcasecmp(suffix, others[i]) == 0 &&
            strcmp(path, "output.image") == 0)
            return weft_place_fail(&t->place,
                                   "%s: images are PNG, so its name cannot "
                                   "end in \"%s\"",
                                   path, suffix);
    return WEFT_OK;
}

weft_status weft_config_check_single(const weft_tree *t, const char *key)
{
    char word[72];

    WEFT_TRY(check_suffix(t, key));
    for (const char *c = t->text; *c != '\0';) {
        if (*c++ != '{' || read_placeholder(&c, word, sizeof word) < 0)
            continue;
        return weft_place_fail(&t->place,
                               "%s: there is one for the whole run, so its "
                               "name has no {%s}",
                               key, word);
    }
    return WEFT_OK;
}

weft_status weft_config_check_pattern(const weft_tree *t, const char *path,
                                      bool several, bool has_label)
{
    bool used[PLACEHOLDERS] = {false};
    char word[72], hint[128];

    WEFT_TRY(check_suffix(t, path));
    for (const char *c = t->text; *c != '\0';) {
        if (skip_doubled(&c)) continue;
        if (*c++ != '{') continue;
        const int i = read_placeholder(&c, word, sizeof word);
        if (i < 0)
            return weft_place_fail(
                &t->place, "%s: unknown placeholder {%s}%s", path, word,
                weft_suggest_text(word, placeholder, PLACEHOLDERS, hint,
                                  sizeof hint));
        used[i] = true;
    }
    if (used[LABEL] && !has_label)
        return weft_place_fail(&t->place, "%s: {label} needs sample.label",
                               path);
    if (several && !used[SEED] && !used[INDEX])
        return weft_place_fail(&t->place,
                               "%s: there are several seeds, so its name "
                               "needs {seed} or {index}",
                               path);
    return WEFT_OK;
}

static void write_placeholder(FILE *f, const weft_config *c, int image, int i)
{
    switch (i) {
    case SEED:
        fprintf(f, "%" PRIu64, c->sample.seed[image]);
        break;
    case LABEL:
        fprintf(f, "%d", c->sample.label);
        break;
    case INDEX:
        fprintf(f, "%06d", image);
        break;
    case STEPS:
        fprintf(f, "%d", c->sample.steps);
        break;
    case WIDTH:
        fprintf(f, "%d", c->sample.width);
        break;
    case HEIGHT:
        fprintf(f, "%d", c->sample.height);
        break;
    default:
        fputs(c->sample.model, f);
        break;
    }
}

/* A text that is being written; `end` gives it away. */
typedef struct writer {
    FILE *f;
    char *text;
    size_t bytes;
} writer;

static weft_status begin(writer *w)
{
    w->text = NULL;
    w->f = open_memstream(&w->text, &w->bytes);
    return w->f != NULL ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");
}

static weft_status end(writer *w, char **text)
{
    const bool bad = ferror(w->f) != 0;

    if (fclose(w->f) != 0 || bad) {
        free(w->text);
        return weft_fail(WEFT_ENOMEM, "out of memory");
    }
    *text = w->text;
    return WEFT_OK;
}

weft_status weft_config_fill(const weft_config *c, const char *pattern,
                             int image, char **path)
{
    char word[72];
    writer w;

    WEFT_MUST(image >= 0 && image < c->sample.nseeds);
    WEFT_TRY(begin(&w));
    while (*pattern != '\0') {
        if (skip_doubled(&pattern)) {
            putc(pattern[-1], w.f);
            continue;
        }
        const char *behind = pattern + 1;
        const int i =
            *pattern == '{' ? read_placeholder(&behind, word, sizeof word) : -1;
        if (i >= 0)
            write_placeholder(w.f, c, image, i);
        else
            putc(*pattern, w.f);
        pattern = behind;
    }
    return end(&w, path);
}

/* ---- texts of an image -----------------------------------------------------
 */

void weft_config_write_number(FILE *f, double value)
{
    char text[40];

    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, f);
}

void weft_config_write_string(FILE *f, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json != NULL ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

    /* Only text that is not UTF-8 could not be written, and none was loaded. */
    fputs(quoted != NULL ? quoted : "\"\"", f);
    free(quoted);
    json_decref(json);
}

static void write_folder(FILE *f, const char *key, const char *path)
{
    fprintf(f, "{\"%s\":", key);
    weft_config_write_string(f, path);
    putc('}', f);
}

static void write_model(FILE *f, const weft_config_model *m)
{
    fputs(m->pipeline.portable ? "{\"pipeline\":" : "{\"path\":", f);
    weft_config_write_string(f, m->pipeline.portable ? m->pipeline.portable
                                                     : m->portable);
    for (int i = 0; i < m->nloras; i++) {
        fputs(i ? "," : ",\"loras\":[", f);
        fputs("{\"path\":", f);
        weft_config_write_string(f, m->lora[i].file.portable);
        fputs(",\"scale\":", f);
        weft_config_write_number(f, m->lora[i].scale);
        putc('}', f);
    }
    if (m->nloras) putc(']', f);
    weft_config_write_controls(f, m);
    putc('}', f);
}

static void write_models(FILE *f, const weft_config *c)
{
    fputs("\"models\":{", f);
    for (int i = 0; i < c->nmodels; i++) {
        if (i > 0) putc(',', f);
        weft_config_write_string(f, c->model[i].name);
        putc(':', f);
        if (c->model[i].components)
            weft_config_write_analytic(f, &c->model[i]);
        else
            write_model(f, &c->model[i]);
    }
    putc('}', f);
}

/* The inline keys are an object of their own: its inside goes in here. */
static void write_schedule(FILE *f, const weft_config *c)
{
    const char *rest = c->schedule_inline;

    if (c->schedule_portable == NULL && rest == NULL) return;
    fputs(",\"schedule\":{", f);
    if (c->schedule_portable != NULL) {
        fputs("\"path\":", f);
        weft_config_write_string(f, c->schedule_portable);
    }
    if (c->schedule_portable != NULL && rest != NULL) putc(',', f);
    if (rest != NULL) fwrite(rest + 1, 1, strlen(rest) - 2, f);
    putc('}', f);
}

static void write_numbers(FILE *f, const char *key, const double *value, int n)
{
    if (value == NULL) return;
    fprintf(f, ",\"%s\":[", key);
    for (int i = 0; i < n; i++) {
        if (i > 0) putc(',', f);
        weft_config_write_number(f, value[i]);
    }
    putc(']', f);
}

static void write_sample(FILE *f, const weft_config *c, uint64_t seed)
{
    fprintf(f,
            "\"method\":\"%s\",\"model\":", weft_method_name[c->sample.method]);
    weft_config_write_string(f, c->sample.model);
    fprintf(f, ",\"solver\":\"%s\",\"steps\":%d,\"guidance\":",
            weft_solver_name[c->sample.solver], c->sample.steps);
    weft_config_write_number(f, c->sample.guidance);
    fputs(",\"eta\":", f);
    weft_config_write_number(f, c->sample.eta);
    fprintf(f, ",\"width\":%d,\"height\":%d", c->sample.width,
            c->sample.height);
    if (c->sample.has_label) fprintf(f, ",\"label\":%d", c->sample.label);
    if (c->sample.has_null_label)
        fprintf(f, ",\"null_label\":%d", c->sample.null_label);
    fprintf(f, ",\"seed\":%" PRIu64 ",\"rng\":\"%s\"", seed,
            weft_rng_name[c->sample.rng]);
    if (c->sample.gpu.multiprocessors)
        fprintf(f, ",\"gpu\":\"%dx%d\"", c->sample.gpu.multiprocessors,
                c->sample.gpu.threads);
    weft_config_write_prompts(f, c);
    weft_config_write_picture(f, c);
    weft_config_write_method(f, c);
    write_numbers(f, "nodes", c->sample.nodes, c->sample.nnodes);
    write_numbers(f, "sigmas", c->sample.sigmas, c->sample.nnodes);
}

/* What a displaced run shows depends on who holds which rows; in step, or
 * alone, nothing does. */
/* Names of roles are those of models and need no quoting. */
static void write_roles(FILE *f, const weft_config *c)
{
    fputs("\"roles\":{", f);
    for (int i = 0; i < c->parallel.nroles; i++)
        fprintf(f, "%s\"%s\":%d", i ? "," : "", c->parallel.role[i].name,
                c->parallel.role[i].ranks);
    fputs("},", f);
}

static void write_parallel(FILE *f, const weft_config *c)
{
    static const char *const norm[] = {[WEFT_OLD_SHOWN] = "stale",
                                       [WEFT_OLD_PAIRED] = "corrected",
                                       [WEFT_OLD_REFUSED] = "fresh",
                                       [WEFT_OLD_ABSENT] = "local"};
    const bool coded = c->parallel.wire != WEFT_WIRE_F32;
    const weft_shape *s = &c->parallel.patches;
    const bool cut = (c->parallel.async || coded) && s->lines * s->across != 1;

    if (!cut && !c->parallel.grain) return;
    fputs(",\"parallel\":{", f);
    if (c->parallel.grain)
        fprintf(f, "\"grain\":%d%s", c->parallel.grain, cut ? "," : "");
    if (cut && s->across > 1)
        fprintf(f, "\"patches\":\"%dx%d\",", s->lines, s->across);
    else if (cut && s->lines)
        fprintf(f, "\"patches\":%d,", s->lines);
    if (cut && c->parallel.nroles) write_roles(f, c);
    if (cut && c->parallel.async)
        fprintf(f,
                "\"exchange\":\"async\",\"warmup\":%d,\"lag\":%d,"
                "\"norm\":\"%s\"",
                c->parallel.warmup, c->parallel.lag, norm[c->parallel.norm]);
    if (cut && c->parallel.async && c->parallel.refresh)
        fprintf(f, ",\"refresh\":%d", c->parallel.refresh);
    if (cut && c->parallel.async && c->parallel.drift > 0) {
        fputs(",\"drift\":", f);
        weft_config_write_number(f, c->parallel.drift);
    }
    if (cut && coded)
        fprintf(f, "%s\"wire\":\"%s\"%s", c->parallel.async ? "," : "",
                weft_wire_name[c->parallel.wire],
                c->parallel.async ? "" : ",\"inexact\":true");
    if (cut)
        write_numbers(f, "weights", c->parallel.weights, c->parallel.nweights);
    putc('}', f);
}

weft_status weft_config_identity(const weft_config *c, uint64_t seed,
                                 char **json)
{
    writer w;

    WEFT_TRY(begin(&w));
    fputs("{\"weft\":1,", w.f);
    if (c->pipeline.portable != NULL) {
        fputs("\"pipeline\":", w.f);
        weft_config_write_string(w.f, c->pipeline.portable);
        putc(',', w.f);
    }
    write_models(w.f, c);
    weft_config_write_text(w.f, &c->text);
    if (c->vae_portable != NULL) {
        fputs(",\"vae\":", w.f);
        write_folder(w.f, "path", c->vae_portable);
    }
    write_schedule(w.f, c);
    fputs(",\"sample\":{", w.f);
    write_sample(w.f, c, seed);
    putc('}', w.f);
    write_parallel(w.f, c);
    fprintf(w.f, ",\"run\":{\"kernels\":\"%s\"}}", c->run.kernels);
    return end(&w, json);
}

weft_status weft_config_sample(const weft_config *c, uint64_t seed,
                               char **members)
{
    writer w;

    WEFT_TRY(begin(&w));
    write_sample(w.f, c, seed);
    return end(&w, members);
}

weft_status weft_config_about(const weft_config *c, char **members)
{
    writer w;

    WEFT_TRY(begin(&w));
    fputs("\"version\": \"" WEFT_VERSION "\", \"config\": ", w.f);
    weft_config_write_string(w.f, c->file);
    fprintf(w.f, ", \"method\": \"%s\", ", weft_method_name[c->sample.method]);
    return end(&w, members);
}

weft_status weft_config_parameters(const weft_config *c, uint64_t seed,
                                   char **text)
{
    static const char *const sampler[WEFT_SOLVERS] = {
        [WEFT_DDIM] = "DDIM",
        [WEFT_EULER] = "Euler",
        [WEFT_EULER_A] = "Euler a",
        [WEFT_HEUN] = "Heun",
        [WEFT_DPMPP_2M] = "DPM++ 2M",
        [WEFT_DPMPP_2M_SDE] = "DPM++ 2M SDE",
        [WEFT_DPMPP_3M_SDE] = "DPM++ 3M SDE",
        [WEFT_DPMPP_2S] = "DPM++ 2S",
        [WEFT_DPMPP_2S_A] = "DPM++ 2S a",
        [WEFT_DPMPP_SDE] = "DPM++ SDE",
        [WEFT_UNIPC] = "UniPC",
        [WEFT_LMS] = "LMS",
        [WEFT_PNDM] = "PNDM",
        [WEFT_LCM] = "LCM",
        [WEFT_TCD] = "TCD"};
    static const char *const rng[WEFT_RNGS] = {[WEFT_RNG_COUNTER] = "counter",
                                               [WEFT_RNG_TORCH_CPU] = "CPU",
                                               [WEFT_RNG_TORCH_CUDA] = "GPU"};
    writer w;

    WEFT_TRY(begin(&w));
    weft_config_prompt_parameters(w.f, c);
    fprintf(w.f, "Steps: %d, Sampler: %s, CFG scale: ", c->sample.steps,
            sampler[c->sample.solver]);
    weft_config_write_number(w.f, c->sample.guidance);
    fprintf(w.f, ", Seed: %" PRIu64 ", Size: %dx%d, Model: %s", seed,
            c->sample.width, c->sample.height, c->sample.model);
    if (c->sample.refiner) {
        fprintf(w.f, ", Refiner: %s, Refiner switch at: ", c->sample.refiner);
        weft_config_write_number(w.f, c->sample.refine_from);
    }
    if (c->sample.method != WEFT_PLAIN)
        fprintf(w.f, ", Method: %s", weft_method_name[c->sample.method]);
    if (c->sample.eta != 0) {
        fputs(", Eta: ", w.f);
        weft_config_write_number(w.f, c->sample.eta);
    }
    if (c->sample.image.path) {
        fputs(", Denoising strength: ", w.f);
        weft_config_write_number(w.f, c->sample.strength);
    }
    if (c->sample.has_label) fprintf(w.f, ", Label: %d", c->sample.label);
    fprintf(w.f, ", RNG: %s, Version: weft %s", rng[c->sample.rng],
            WEFT_VERSION);
    return end(&w, text);
}
