/*
 * Checkpoints in one file against diffusers' own conversion of them: every
 * name, shape and value, and the configs (tests/golden/original.py). The nets
 * that weft builds of the configs find all their weights.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <inttypes.h>
#include <unistd.h>

#include "core/model/component.h"
#include "core/model/load.h"
#include "core/model/pipeline.h"
#include "core/net/net.h"
#include "core/net/text.h"

/* Pipelines come first, then control nets. */
enum { PIPELINES = 4, KINDS = 6 };
enum { TENSORS = 4096, NAME = 160, COMPONENTS = 4, LINE = 4096 };

typedef struct tensor {
    char name[NAME];
    int ndim;
    int64_t shape[WEFT_MAX_DIMS];
    uint64_t sum;
} tensor;

typedef struct component {
    char name[32], *config;
    tensor *tensor;
    int n;
} component;

typedef struct kind {
    char name[16], dtype[8], path[64];
    tensor *tensor; /* of the file */
    int n;
    component component[COMPONENTS];
    int ncomponents;
} kind;

static kind kinds[KINDS];
static int nkinds;
static char folder[] = "/tmp/weft_original_XXXXXX";

/* ---- the golden ---------------------------------------------------------- */

static void read_shape(const char *text, tensor *t)
{
    char *end;

    if (strcmp(text, "-") == 0) return;
    do {
        assert_true(t->ndim < WEFT_MAX_DIMS);
        t->shape[t->ndim++] = strtoll(text, &end, 10);
        text = end + 1;
    } while (*end == 'x');
    assert_true(*end == '\0');
}

static tensor *next(tensor **list, int *n)
{
    if (*list == NULL) *list = calloc(TENSORS, sizeof **list);
    assert_non_null(*list);
    assert_true(*n < TENSORS);
    return &(*list)[(*n)++];
}

static kind *last_kind(void)
{
    assert_true(nkinds > 0);
    return &kinds[nkinds - 1];
}

static component *last_component(void)
{
    kind *k = last_kind();

    assert_true(k->ncomponents > 0);
    return &k->component[k->ncomponents - 1];
}

static void read_line(char *line)
{
    char name[NAME], shape[64];

    if (line[0] == 'k') {
        kind *k = &kinds[nkinds++];
        assert_int_equal(sscanf(line, "kind %15s %7s", k->name, k->dtype), 2);
        snprintf(k->path, sizeof k->path, "%s/%d.safetensors", folder, nkinds);
    } else if (line[0] == 't') {
        kind *k = last_kind();
        tensor *t = next(&k->tensor, &k->n);
        assert_int_equal(sscanf(line, "t %159s %63s", t->name, shape), 2);
        read_shape(shape, t);
    } else if (line[0] == 'c') {
        kind *k = last_kind();
        assert_true(k->ncomponents < COMPONENTS);
        component *c = &k->component[k->ncomponents++];
        assert_int_equal(sscanf(line, "config %31s", c->name), 1);
        c->config = strdup(strchr(line, '{'));
        assert_non_null(c->config);
    } else {
        component *c = last_component();
        tensor *t = next(&c->tensor, &c->n);
        assert_int_equal(sscanf(line, "= %31s %159s %63s %" SCNu64, name,
                                t->name, shape, &t->sum),
                         4);
        assert_string_equal(name, c->name);
        read_shape(shape, t);
    }
}

/* ---- the files ----------------------------------------------------------- */

static float value(uint32_t number, uint32_t i)
{
    uint32_t h = number * 0x9E3779B1u + i * 0x85EBCA77u;

    h ^= h >> 15;
    h *= 0x2C1B3C6Du;
    h ^= h >> 12;
    return ((float)(h & 2047) - 1024) / 1024;
}

/* Exact, for numbers that a half can be and no smaller than 2^-14. */
static uint16_t half_of(float x)
{
    uint32_t b;

    memcpy(&b, &x, sizeof b);
    if (x == 0) return 0;
    return (uint16_t)((b >> 16 & 0x8000) | (((b >> 23 & 255) - 112) << 10) |
                      (b >> 13 & 0x3ff));
}

static size_t count(const tensor *t)
{
    size_t n = 1;

    for (int i = 0; i < t->ndim; i++) n *= (size_t)t->shape[i];
    return n;
}

static void put_tensor(weft_st_writer *w, const kind *k, int number)
{
    const bool half = strcmp(k->dtype, "F16") == 0;
    const size_t n = count(&k->tensor[number]), size = half ? 2 : 4;
    char *data = malloc(n * size + 1);

    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        const float x = value((uint32_t)number, (uint32_t)i);
        const uint16_t h = half_of(x);

        memcpy(data + i * size, half ? (const void *)&h : (const void *)&x,
               size);
    }
    assert_int_equal(weft_st_put(w, number, 0, data, n * size), WEFT_OK);
    free(data);
}

static void write_file(const kind *k)
{
    weft_st_entry *entry = calloc((size_t)k->n, sizeof *entry);
    weft_st_writer *w;

    assert_non_null(entry);
    for (int i = 0; i < k->n; i++) {
        entry[i] = (weft_st_entry){
            k->tensor[i].name, k->dtype, k->tensor[i].ndim, {0}};
        memcpy(entry[i].shape, k->tensor[i].shape, sizeof entry[i].shape);
    }
    assert_int_equal(weft_st_create(k->path, entry, k->n, NULL, &w), WEFT_OK);
    for (int i = 0; i < k->n; i++) put_tensor(w, k, i);
    assert_int_equal(weft_st_finish(w), WEFT_OK);
    free(entry);
}

static int set_up(void **state)
{
    FILE *f = fopen(WEFT_SOURCE_DIR "/tests/golden/original.txt", "r");
    char *line = malloc(LINE);

    (void)state;
    if (!f || !line || !mkdtemp(folder)) return -1;
    while (fgets(line, LINE, f)) read_line(line);
    fclose(f);
    free(line);
    for (int i = 0; i < nkinds; i++) write_file(&kinds[i]);
    return nkinds == KINDS ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < nkinds; i++) {
        unlink(kinds[i].path);
        free(kinds[i].tensor);
        for (int c = 0; c < kinds[i].ncomponents; c++) {
            free(kinds[i].component[c].config);
            free(kinds[i].component[c].tensor);
        }
    }
    return rmdir(folder);
}

/* ---- tensors ------------------------------------------------------------- */

static uint64_t sum(const weft_st_tensor *t)
{
    const unsigned char *b = t->data;
    const size_t size = strcmp(t->dtype, "F16") == 0 ? 2 : 4;
    uint64_t all = 0;

    for (size_t i = 0; i < t->bytes / size; i++) {
        uint64_t word = 0;

        for (size_t k = size; k-- > 0;) word = word << 8 | b[i * size + k];
        all += word * (i + 1);
    }
    return all;
}

static void is_tensor(const weft_st *st, const tensor *want)
{
    const weft_st_tensor *t = weft_st_find(st, want->name);

    if (t == NULL) fail_msg("no %s", want->name);
    if (t->ndim != want->ndim ||
        memcmp(t->shape, want->shape, (size_t)t->ndim * sizeof t->shape[0]) !=
            0)
        fail_msg("%s: another shape", want->name);
    if (sum(t) != want->sum) fail_msg("%s: other values", want->name);
}

static void open_component(const kind *k, const component *c, weft_json **json,
                           weft_st **st)
{
    char path[128];

    snprintf(path, sizeof path, "%s:%s", k->path, c->name);
    if (weft_component_open(path, json, st) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_string_equal(weft_json_name(*json), path);
    assert_string_equal(weft_st_path(*st), k->path);
}

/* All of them and no others; and again when their pages were given back. */
static void tensors_are_diffusers(void **state)
{
    (void)state;
    for (int i = 0; i < nkinds; i++)
        for (int c = 0; c < kinds[i].ncomponents; c++) {
            const component *part = &kinds[i].component[c];
            weft_json *json;
            weft_st *st;

            open_component(&kinds[i], part, &json, &st);
            assert_int_equal(weft_st_count(st), part->n);
            for (int k = 0; k < part->n; k++) is_tensor(st, &part->tensor[k]);
            for (int k = 0; k < part->n; k++)
                weft_st_drop(st, weft_st_at(st, k));
            for (int k = 0; k < part->n; k++) is_tensor(st, &part->tensor[k]);
            weft_json_free(json);
            weft_st_close(st);
        }
}

/* ---- configs ------------------------------------------------------------- */

/* Depths count where there are transformers: at levels that see the text, and
 * in the middle, which has that of the last. */
static void same_depths(const weft_json *a, const weft_json *b)
{
    const char *block[16];
    int x[16], y[16], n = 0, m = 0, blocks = 0;

    assert_int_equal(
        weft_json_ints(a, "transformer_layers_per_block", 0, 99, x, 16, &n),
        WEFT_OK);
    assert_int_equal(
        weft_json_ints(b, "transformer_layers_per_block", 0, 99, y, 16, &m),
        WEFT_OK);
    assert_int_equal(
        weft_json_strings(b, "down_block_types", block, 16, &blocks), WEFT_OK);
    assert_true(m == 1 || m == n);
    for (int i = 0; m && i < n; i++)
        if (i == n - 1 || strncmp(block[i], "Cross", 5) == 0)
            assert_int_equal(x[i], y[m == 1 ? 0 : i]);
}

/* Lists, and single numbers as lists that repeat them. */
static void same_numbers(const weft_json *a, const weft_json *b)
{
    static const char *const keys[] = {"in_channels",
                                       "out_channels",
                                       "latent_channels",
                                       "block_out_channels",
                                       "layers_per_block",
                                       "cross_attention_dim",
                                       "attention_head_dim",
                                       "addition_time_embed_dim",
                                       "projection_class_embeddings_input_dim",
                                       "scaling_factor",
                                       "conditioning_channels",
                                       "conditioning_embedding_out_channels",
                                       "vocab_size",
                                       "hidden_size",
                                       "intermediate_size",
                                       "num_hidden_layers",
                                       "num_attention_heads",
                                       "projection_dim",
                                       "eos_token_id",
                                       "max_position_embeddings"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double x[16], y[16];
        int n = 0, m = 0;

        assert_int_equal(weft_json_doubles(a, keys[i], x, 16, &n), WEFT_OK);
        assert_int_equal(weft_json_doubles(b, keys[i], y, 16, &m), WEFT_OK);
        if ((n == 0) != (m == 0) && strcmp(keys[i], "projection_dim"))
            fail_msg("%s: %s: %d and %d numbers", weft_json_name(a), keys[i], n,
                     m);
        for (int k = 0; n && k < m; k++)
            if (x[n == 1 ? 0 : k] != y[k])
                fail_msg("%s: %s: %g and %g", weft_json_name(a), keys[i],
                         x[n == 1 ? 0 : k], y[k]);
        for (int k = m; m && k < n; k++)
            if (x[k] != y[m - 1])
                fail_msg("%s: %s: %g and %g", weft_json_name(a), keys[i], x[k],
                         y[m - 1]);
    }
}

static void same_words(const weft_json *a, const weft_json *b)
{
    static const char *const keys[] = {"down_block_types", "up_block_types",
                                       "addition_embed_type", "hidden_act",
                                       "architectures"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *x[8], *y[8];
        int n = 0, m = 0;

        assert_int_equal(weft_json_strings(a, keys[i], x, 8, &n), WEFT_OK);
        assert_int_equal(weft_json_strings(b, keys[i], y, 8, &m), WEFT_OK);
        assert_int_equal(n, m);
        for (int k = 0; k < n; k++) assert_string_equal(x[k], y[k]);
    }
}

static void same_flags(const weft_json *a, const weft_json *b)
{
    bool x, y;

    assert_int_equal(weft_json_bool(a, "use_linear_projection", false, &x),
                     WEFT_OK);
    assert_int_equal(weft_json_bool(b, "use_linear_projection", false, &y),
                     WEFT_OK);
    assert_int_equal(x, y);
}

static void build_net(const weft_json *json, const weft_st *st)
{
    weft_net_info info;

    assert_int_equal(weft_net_read_info(json, &info), WEFT_OK);
    for (int part = weft_net_is_unet(&info) ? WEFT_PART_NET : WEFT_PART_DECODE;
         part <= (weft_net_is_unet(&info) ? WEFT_PART_NET : WEFT_PART_ENCODE);
         part++) {
        const weft_cell cell = {info.stride, info.stride, info.stride};
        weft_graph g;
        weft_load_rest rest;

        if (weft_net_build(json, &info, (weft_net_part)part, cell,
                           weft_load_dtype(st), &g) != WEFT_OK ||
            weft_load_check(&g, st, NULL) != WEFT_OK ||
            weft_load_unused(&g, st,
                             weft_net_besides(&info, (weft_net_part)part),
                             &rest) != WEFT_OK)
            fail_msg("%s", weft_fail_text());
        assert_int_equal(rest.n, 0);
        weft_graph_release(&g);
    }
}

/* What looks at the picture, and what is added to a U-Net. */
static void build_control(const weft_json *json, const weft_st *st)
{
    static const char *const all[] = {NULL};
    weft_net_info info;
    int used = 0;

    assert_int_equal(weft_net_read_info(json, &info), WEFT_OK);
    for (int i = 0; i < 2; i++) {
        const int side = 8 * info.stride;
        weft_graph g;
        weft_load_rest rest;

        if (weft_net_build(json, &info, i ? WEFT_PART_SIGHT : WEFT_PART_NET,
                           (weft_cell){side, side, side}, weft_load_dtype(st),
                           &g) != WEFT_OK ||
            weft_load_check(&g, st, NULL) != WEFT_OK ||
            weft_load_unused(&g, st, all, &rest) != WEFT_OK)
            fail_msg("%s", weft_fail_text());
        used += weft_st_count(st) - rest.n;
        weft_graph_release(&g);
    }
    assert_int_equal(used, weft_st_count(st));
}

static void build_text(const weft_json *json, const weft_st *st)
{
    weft_text_info info;
    weft_text text;
    weft_load_rest rest;

    assert_int_equal(weft_text_read_info(json, &info), WEFT_OK);
    assert_int_equal(info.eos, -1);
    if (weft_text_build(json, &(weft_text_opts){0, true, true}, info.tokens,
                        weft_load_dtype(st), &text) != WEFT_OK ||
        weft_load_check(&text.graph, st, NULL) != WEFT_OK ||
        weft_load_unused(&text.graph, st, (const char *const[]){NULL}, &rest) !=
            WEFT_OK)
        fail_msg("%s", weft_fail_text());
    assert_int_equal(rest.n, 0);
    weft_graph_release(&text.graph);
}

static void configs_are_diffusers(void **state)
{
    (void)state;
    for (int i = 0; i < nkinds; i++)
        for (int c = 0; c < kinds[i].ncomponents; c++) {
            const component *part = &kinds[i].component[c];
            weft_json *json, *want;
            weft_st *st;

            open_component(&kinds[i], part, &json, &st);
            assert_int_equal(weft_json_parse("want", part->config,
                                             strlen(part->config), &want),
                             WEFT_OK);
            same_numbers(json, want);
            same_depths(json, want);
            same_words(json, want);
            same_flags(json, want);
            if (part->name[0] == 't')
                build_text(json, st);
            else if (part->name[0] == 'c')
                build_control(json, st);
            else
                build_net(json, st);
            weft_json_free(want);
            weft_json_free(json);
            weft_st_close(st);
        }
}

/* ---- pipelines ----------------------------------------------------------- */

static void files_are_pipelines(void **state)
{
    static const struct {
        const char *class_name, *scheduler, *prediction;
        bool text, text_2, zeros, aesthetics;
    } want[PIPELINES] = {
        {"StableDiffusionPipeline", "PNDMScheduler", "epsilon", true, false,
         false, false},
        {"StableDiffusionPipeline", "DDIMScheduler", "v_prediction", true,
         false, false, false},
        {"StableDiffusionXLPipeline", "EulerDiscreteScheduler", "epsilon", true,
         true, true, false},
        {"StableDiffusionXLImg2ImgPipeline", "EulerDiscreteScheduler",
         "epsilon", false, true, true, true},
    };

    (void)state;
    for (int i = 0; i < PIPELINES; i++) {
        char path[128];
        const char *prediction;
        weft_pipeline *p;
        weft_json *json;

        if (weft_pipeline_open(kinds[i].path, &p) != WEFT_OK)
            fail_msg("%s", weft_fail_text());
        assert_true(p->one_file);
        assert_string_equal(p->class_name, want[i].class_name);
        snprintf(path, sizeof path, "%s:unet", kinds[i].path);
        assert_string_equal(p->part[WEFT_PIPELINE_UNET].path, path);
        snprintf(path, sizeof path, "%s:vae", kinds[i].path);
        assert_string_equal(p->part[WEFT_PIPELINE_VAE].path, path);
        assert_int_equal(p->part[WEFT_PIPELINE_TEXT].path != NULL,
                         want[i].text);
        assert_int_equal(p->part[WEFT_PIPELINE_TEXT_2].path != NULL,
                         want[i].text_2);
        assert_null(p->part[WEFT_PIPELINE_TOKENIZER].path);
        assert_string_equal(p->part[WEFT_PIPELINE_SCHEDULER].class_name,
                            want[i].scheduler);
        assert_int_equal(p->force_zeros_for_empty_prompt, want[i].zeros);
        assert_int_equal(p->requires_aesthetics_score, want[i].aesthetics);
        assert_int_equal(weft_component_scheduler(
                             p->part[WEFT_PIPELINE_SCHEDULER].path, &json),
                         WEFT_OK);
        assert_int_equal(
            weft_json_string(json, "prediction_type", "", &prediction),
            WEFT_OK);
        assert_string_equal(prediction, want[i].prediction);
        weft_json_free(json);
        weft_pipeline_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_diffusers),
        cmocka_unit_test(configs_are_diffusers),
        cmocka_unit_test(files_are_pipelines),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
