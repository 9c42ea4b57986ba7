/*
 * pipeline - a golden's pipeline, made again.
 *
 *     pipeline GOLDEN FOLDER
 *
 * Writes the diffusers folder that tests/golden/pipelines.py drew with, or the
 * checkpoint of one_file.py, of which GOLDEN's metadata tell, to FOLDER; and a
 * config that asks for the same to standard output, as JSON, which is YAML.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "tests/golden.h"

enum { PATH = 512 };

static const char *folder;
static const weft_st *golden_file;

static const char *path_of(const char *part, const char *name)
{
    static char path[PATH];

    snprintf(path, sizeof path, "%s/%s", folder, part);
    if (mkdir(path, 0777) && errno != EEXIST) perror(path), exit(2);
    snprintf(path, sizeof path, "%s/%s%s%s", folder, part, *part ? "/" : "",
             name);
    return path;
}

static void write_text(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");

    if (!f || fwrite(text, 1, n, f) != n || fclose(f)) perror(path), exit(2);
}

static void copy(const char *from, const char *to)
{
    char path[PATH], *text;
    size_t n;

    snprintf(path, sizeof path, WEFT_SOURCE_DIR "/tests/golden/tokens/%s",
             from);
    if (weft_file_read(path, 1 << 20, &text, &n) != WEFT_OK)
        fprintf(stderr, "%s\n", weft_fail_text()), exit(2);
    write_text(to, text, n);
    free(text);
}

static void write_json(const char *part, const char *key, const char *name)
{
    const char *text = weft_st_metadata(golden_file, key);

    if (text) write_text(path_of(part, name), text, strlen(text));
}

static void write_net(const char *part, const char *weights)
{
    char key[64];
    const char *tensors;

    snprintf(key, sizeof key, "%s.tensors", part);
    tensors = weft_st_metadata(golden_file, key);
    if (!tensors) return;
    write_json(part, part, "config.json");
    golden_write(path_of(part, weights), tensors);
}

static void write_tokenizer(const char *part)
{
    const char *which = weft_st_metadata(golden_file, part);
    char name[64];

    if (!which) return;
    copy("vocab.json", path_of(part, "vocab.json"));
    copy("merges.txt", path_of(part, "merges.txt"));
    snprintf(name, sizeof name, "%s.config.json", which);
    copy(name, path_of(part, "tokenizer_config.json"));
    if (strcmp(which, "old") == 0)
        copy("old.map.json", path_of(part, "special_tokens_map.json"));
}

/* "[\"a\", \"b\"]" as models of one pipeline. */
static void write_models(const char *names)
{
    const char *before = "\"models\": {";

    for (const char *c = strchr(names, '"'); c; c = strchr(c, '"')) {
        const size_t n = strcspn(c + 1, "\"");

        printf("%s\"%.*s\": {\"pipeline\": \"%s\"}", before, (int)n, c + 1,
               folder);
        before = ", ";
        c += n + 2;
    }
    printf("}");
}

/* The pipeline's model, with its control nets. */
static void write_controls(const char *of, const char *path,
                           const char *controls)
{
    printf("\"models\": {\"it\": {\"%s\": \"%s%s\", \"controls\": %s}}", of,
           folder, path, controls);
}

/* A checkpoint in one file, and the tokenizers that it lacks. */
static void write_one_file(const char *controls)
{
    if (controls) {
        write_controls("path", "/all.safetensors:unet", controls);
        printf(", ");
    }
    printf("\"pipeline\": \"%s/all.safetensors\", \"text\": {", folder);
    printf("\"tokenizer\": \"%s/tokenizer\"", folder);
    if (weft_st_metadata(golden_file, "tokenizer_2"))
        printf(", \"tokenizer_2\": \"%s/tokenizer_2\"", folder);
    printf("}");
}

static void write_config(void)
{
    const char *models = weft_st_metadata(golden_file, "models");
    const char *controls = weft_st_metadata(golden_file, "controls");

    printf("{\"sample\": %s, ", weft_st_metadata(golden_file, "sample"));
    if (weft_st_metadata(golden_file, "file.tensors"))
        write_one_file(controls);
    else if (models)
        write_models(models);
    else if (controls)
        write_controls("pipeline", "", controls);
    else
        printf("\"pipeline\": \"%s\"", folder);
    printf("}\n");
}

int main(int argc, char **argv)
{
    weft_st *st;

    if (argc != 3) return 2;
    folder = argv[2];
    if (weft_st_open(argv[1], &st) != WEFT_OK)
        return fprintf(stderr, "%s\n", weft_fail_text()), 2;
    golden_file = st;
    write_json("", "model_index", "model_index.json");
    write_json("scheduler", "scheduler", "scheduler_config.json");
    write_net("unet", "diffusion_pytorch_model.safetensors");
    write_net("vae", "diffusion_pytorch_model.safetensors");
    write_net("control0", "diffusion_pytorch_model.safetensors");
    write_net("control1", "diffusion_pytorch_model.safetensors");
    write_net("text_encoder", "model.safetensors");
    write_net("text_encoder_2", "model.safetensors");
    if (weft_st_metadata(st, "file.tensors"))
        golden_write(path_of("", "all.safetensors"),
                     weft_st_metadata(st, "file.tensors"));
    if (weft_st_metadata(st, "control.tensors"))
        golden_write(path_of("", "control.safetensors"),
                     weft_st_metadata(st, "control.tensors"));
    write_tokenizer("tokenizer");
    write_tokenizer("tokenizer_2");
    write_config();
    weft_st_close(st);
    return 0;
}
