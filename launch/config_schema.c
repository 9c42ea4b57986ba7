#include "launch/config_schema.h"

#include <stdlib.h>
#include <string.h>

#include "core/guide/analytic.h"
#include "core/text/prompt_parse.h"
#include "launch/config.h"

/* Most entries are alike: optional, a plain member of the same name. */
#define TEXT(type, member)                                                     \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,  \
                           type, member, 1, 4096)
#define WHOLE(type, member)                                                    \
    CYAML_FIELD_INT(#member, CYAML_FLAG_OPTIONAL, type, member)
#define NUMBER(type, member)                                                   \
    CYAML_FIELD_FLOAT(#member, CYAML_FLAG_OPTIONAL, type, member)
#define AUTO(type, member)                                                     \
    CYAML_FIELD_ENUM(#member, CYAML_FLAG_OPTIONAL, type, member, automatic, 1)
#define NUMBERS(type, member, n)                                               \
    CYAML_FIELD_SEQUENCE_COUNT(#member,                                        \
                               CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, \
                               member, n, &number, 1, 10000)
#define PROMPT(type, member)                                                   \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,  \
                           type, member, 0, WEFT_MOST_PROMPT)
#define PAIR(type, member)                                                     \
    CYAML_FIELD_SEQUENCE_COUNT(#member,                                        \
                               CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, \
                               member, n##member, &whole, 2, 2)
#define WHOLES(type, member, n)                                                \
    CYAML_FIELD_SEQUENCE_COUNT(#member,                                        \
                               CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, \
                               member, n, &whole, 1, 64)
#define MAP(member, fields)                                                    \
    CYAML_FIELD_MAPPING(#member, CYAML_FLAG_OPTIONAL, weft_raw, member, fields)

/* An enumeration that is not strict: this word, or a number. */
static const cyaml_strval_t automatic[] = {{"auto", 0}};

static const cyaml_schema_value_t number = {
    CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};

static const cyaml_schema_value_t whole = {
    CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int)};

static const cyaml_schema_value_t prompt = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, WEFT_MOST_PROMPT)};

static const cyaml_schema_field_t component_fields[] = {
    CYAML_FIELD_FLOAT("weight", CYAML_FLAG_DEFAULT, weft_raw_component, weight),
    CYAML_FIELD_SEQUENCE_COUNT("mean", CYAML_FLAG_POINTER, weft_raw_component,
                               mean, nmean, &number, 1, WEFT_ANALYTIC_CHANNELS),
    CYAML_FIELD_FLOAT("std", CYAML_FLAG_DEFAULT, weft_raw_component, std),
    CYAML_FIELD_END};

static const cyaml_schema_value_t component = {CYAML_VALUE_MAPPING(
    CYAML_FLAG_DEFAULT, weft_raw_component, component_fields)};

static const cyaml_schema_field_t lora_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, weft_raw_lora, path, 1,
                           4096),
    CYAML_FIELD_FLOAT("scale", CYAML_FLAG_DEFAULT, weft_raw_lora, scale),
    CYAML_FIELD_END};

static const cyaml_schema_value_t lora = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, weft_raw_lora, lora_fields)};

static const cyaml_schema_field_t control_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, weft_raw_control, path,
                           1, 4096),
    TEXT(weft_raw_control, image),
    NUMBER(weft_raw_control, scale),
    NUMBER(weft_raw_control, start),
    NUMBER(weft_raw_control, end),
    CYAML_FIELD_END};

static const cyaml_schema_value_t control = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, weft_raw_control, control_fields)};

static const cyaml_schema_field_t model_fields[] = {
    TEXT(weft_raw_model, path),
    TEXT(weft_raw_model, pipeline),
    TEXT(weft_raw_model, kind),
    CYAML_FIELD_SEQUENCE_COUNT("shape",
                               CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               weft_raw_model, shape, nshape, &whole, 3, 3),
    CYAML_FIELD_SEQUENCE_COUNT(
        "mixture", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, weft_raw_model,
        mixture, nmixture, &component, 1, WEFT_COMPONENTS),
    CYAML_FIELD_SEQUENCE_COUNT(
        "loras", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, weft_raw_model,
        loras, nloras, &lora, 1, WEFT_LORAS),
    CYAML_FIELD_SEQUENCE_COUNT(
        "controls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, weft_raw_model,
        controls, ncontrols, &control, 1, WEFT_CONTROLS),
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, weft_raw_model, name, 1,
                           64),
    CYAML_FIELD_END};

static const cyaml_schema_value_t model = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, weft_raw_model, model_fields)};

static const cyaml_schema_field_t vae_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, weft_raw_folder, path, 1,
                           4096),
    CYAML_FIELD_END};

static const cyaml_schema_field_t schedule_fields[] = {
    TEXT(weft_raw_folder, path),
    CYAML_FIELD_STRING_PTR("inline", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           weft_raw_folder, rest, 1, CYAML_UNLIMITED),
    CYAML_FIELD_END};

static const cyaml_schema_field_t text_fields[] = {
    TEXT(weft_raw_text, encoder),
    TEXT(weft_raw_text, tokenizer),
    TEXT(weft_raw_text, encoder_2),
    TEXT(weft_raw_text, tokenizer_2),
    TEXT(weft_raw_text, force_zeros_for_empty_prompt),
    CYAML_FIELD_END};

static const cyaml_schema_field_t sample_fields[] = {
    TEXT(weft_raw_sample, method),
    TEXT(weft_raw_sample, model),
    TEXT(weft_raw_sample, refiner),
    NUMBER(weft_raw_sample, refine_from),
    TEXT(weft_raw_sample, solver),
    WHOLE(weft_raw_sample, steps),
    NUMBER(weft_raw_sample, guidance),
    NUMBER(weft_raw_sample, eta),
    CYAML_FIELD_INT("width", CYAML_FLAG_DEFAULT, weft_raw_sample, width),
    CYAML_FIELD_INT("height", CYAML_FLAG_DEFAULT, weft_raw_sample, height),
    WHOLE(weft_raw_sample, label),
    WHOLE(weft_raw_sample, null_label),
    CYAML_FIELD_UINT("seed", CYAML_FLAG_OPTIONAL, weft_raw_sample, seed),
    CYAML_FIELD_STRING_PTR("seeds", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           weft_raw_sample, seeds, 1, CYAML_UNLIMITED),
    TEXT(weft_raw_sample, rng),
    TEXT(weft_raw_sample, gpu),
    TEXT(weft_raw_sample, image),
    TEXT(weft_raw_sample, mask),
    NUMBER(weft_raw_sample, strength),
    TEXT(weft_raw_sample, control),
    NUMBERS(weft_raw_sample, nodes, nnodes),
    NUMBERS(weft_raw_sample, sigmas, nsigmas),
    TEXT(weft_raw_sample, guidance_schedule),
    NUMBER(weft_raw_sample, guidance_end),
    CYAML_FIELD_SEQUENCE_COUNT(
        "guidance_interval", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
        weft_raw_sample, guidance_interval, ninterval, &number, 2, 2),
    NUMBER(weft_raw_sample, guidance_rescale),
    WHOLE(weft_raw_sample, lambda),
    NUMBER(weft_raw_sample, guidance_strong),
    NUMBER(weft_raw_sample, guidance_weak),
    WHOLE(weft_raw_sample, inverse_offset),
    NUMBER(weft_raw_sample, gamma1),
    NUMBER(weft_raw_sample, gamma2),
    WHOLE(weft_raw_sample, rounds),
    NUMBER(weft_raw_sample, autoguidance),
    NUMBER(weft_raw_sample, temperature),
    NUMBERS(weft_raw_sample, bias, nbias),
    NUMBER(weft_raw_sample, lift),
    TEXT(weft_raw_sample, superdiff_quirk),
    WHOLES(weft_raw_sample, labels, nlabels),
    WHOLES(weft_raw_sample, null_labels, nnull_labels),
    PROMPT(weft_raw_sample, prompt),
    PROMPT(weft_raw_sample, negative_prompt),
    TEXT(weft_raw_sample, prompt_syntax),
    CYAML_FIELD_SEQUENCE_COUNT(
        "prompts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, weft_raw_sample,
        prompts, nprompts, &prompt, 1, 64),
    WHOLE(weft_raw_sample, clip_skip),
    PAIR(weft_raw_sample, original_size),
    PAIR(weft_raw_sample, crop_top_left),
    PAIR(weft_raw_sample, target_size),
    NUMBER(weft_raw_sample, aesthetic_score),
    NUMBER(weft_raw_sample, negative_aesthetic_score),
    CYAML_FIELD_END};

static const cyaml_schema_field_t role_fields[] = {
    CYAML_FIELD_INT("ranks", CYAML_FLAG_DEFAULT, weft_raw_role, ranks),
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, weft_raw_role, name, 1,
                           96),
    CYAML_FIELD_END};

static const cyaml_schema_value_t role = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, weft_raw_role, role_fields)};

static const cyaml_schema_field_t parallel_fields[] = {
    TEXT(weft_raw_parallel, patches),
    NUMBERS(weft_raw_parallel, weights, nweights),
    WHOLE(weft_raw_parallel, measured),
    AUTO(weft_raw_parallel, grain),
    AUTO(weft_raw_parallel, flights),
    TEXT(weft_raw_parallel, exchange),
    TEXT(weft_raw_parallel, sharing),
    WHOLE(weft_raw_parallel, warmup),
    WHOLE(weft_raw_parallel, lag),
    TEXT(weft_raw_parallel, norm),
    TEXT(weft_raw_parallel, wire),
    TEXT(weft_raw_parallel, inexact),
    TEXT(weft_raw_parallel, progress),
    TEXT(weft_raw_parallel, cluster),
    WHOLE(weft_raw_parallel, refresh),
    NUMBER(weft_raw_parallel, drift),
    CYAML_FIELD_SEQUENCE_COUNT("roles",
                               CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               weft_raw_parallel, role, nroles, &role, 1, 64),
    CYAML_FIELD_END};

static const cyaml_schema_field_t run_fields[] = {
    AUTO(weft_raw_run, threads),    AUTO(weft_raw_run, batch),
    TEXT(weft_raw_run, kernels),    NUMBER(weft_raw_run, memory),
    NUMBER(weft_raw_run, deadline), TEXT(weft_raw_run, checkpoint),
    TEXT(weft_raw_run, state),      CYAML_FIELD_END};

static const cyaml_schema_field_t output_fields[] = {
    TEXT(weft_raw_output, image),  TEXT(weft_raw_output, latents),
    TEXT(weft_raw_output, report), TEXT(weft_raw_output, trace),
    TEXT(weft_raw_output, dir),    CYAML_FIELD_END};

static const cyaml_schema_field_t items_fields[] = {
    TEXT(weft_raw_items, labels),
    CYAML_FIELD_STRING_PTR("seeds", CYAML_FLAG_POINTER, weft_raw_items, seeds,
                           1, 4096),
    CYAML_FIELD_END};

static const cyaml_schema_field_t dataset_fields[] = {
    TEXT(weft_raw_dataset, manifest),
    CYAML_FIELD_MAPPING("items", CYAML_FLAG_OPTIONAL, weft_raw_dataset, items,
                        items_fields),
    WHOLE(weft_raw_dataset, shard_size),
    TEXT(weft_raw_dataset, format),
    TEXT(weft_raw_dataset, images),
    TEXT(weft_raw_dataset, latents),
    TEXT(weft_raw_dataset, duplicates),
    TEXT(weft_raw_dataset, verify),
    TEXT(weft_raw_dataset, slice),
    CYAML_FIELD_END};

static const cyaml_schema_field_t bench_fields[] = {
    WHOLE(weft_raw_bench, runs), TEXT(weft_raw_bench, what),
    TEXT(weft_raw_bench, link), TEXT(weft_raw_bench, cluster), CYAML_FIELD_END};

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_INT("weft", CYAML_FLAG_OPTIONAL, weft_raw, identity),
    TEXT(weft_raw, pipeline),
    CYAML_FIELD_SEQUENCE_COUNT("models", CYAML_FLAG_POINTER, weft_raw, model,
                               nmodels, &model, 1, 64),
    MAP(text, text_fields),
    MAP(vae, vae_fields),
    MAP(schedule, schedule_fields),
    CYAML_FIELD_MAPPING("sample", CYAML_FLAG_DEFAULT, weft_raw, sample,
                        sample_fields),
    MAP(parallel, parallel_fields),
    MAP(run, run_fields),
    MAP(output, output_fields),
    MAP(dataset, dataset_fields),
    MAP(bench, bench_fields),
    CYAML_FIELD_END};

const cyaml_schema_value_t weft_raw_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, weft_raw, fields)};

static const cyaml_config_t settings = {.mem_fn = cyaml_mem,
                                        .flags = CYAML_CFG_NO_ALIAS};

weft_status weft_raw_load(const weft_tree *tree, const char *file,
                          weft_raw **raw)
{
    char *text = NULL;
    cyaml_err_t error;

    WEFT_TRY(weft_tree_write(tree, &text));
    error = cyaml_load_data((const uint8_t *)text, strlen(text), &settings,
                            &weft_raw_schema, (cyaml_data_t **)raw, NULL);
    free(text);
    if (error == CYAML_OK) return WEFT_OK;
    return weft_fail(error == CYAML_ERR_OOM ? WEFT_ENOMEM : WEFT_EINPUT,
                     "%s: %s", file, cyaml_strerror(error));
}

void weft_raw_free(weft_raw *raw)
{
    if (raw != NULL) cyaml_free(&settings, &weft_raw_schema, raw, 0);
}
