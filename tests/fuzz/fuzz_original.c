/*
 * A checkpoint in one file: lines of "NAME SHAPE", such as "a.weight 3x64", at
 * most 64 of at most 4096 bytes each; all of its components, whatever they
 * are, lie in the file or in memory of their own.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/model/component.h"
#include "core/model/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST = 64, MOST_BYTES = 4096 };

static char folder[] = "/tmp/weft_fuzz_XXXXXX";
static char path[64];

static void clean_up(void)
{
    unlink(path);
    rmdir(folder);
}

static void set_up(void)
{
    WEFT_MUST(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    atexit(clean_up);
}

/* "3x64"; false where it is no shape or a large one. */
static bool read_shape(const char *text, weft_st_entry *e, size_t *size)
{
    char *end = NULL;

    *size = 4;
    if (*text == '\0') return true;
    do {
        const long n = strtol(text, &end, 10);

        if (end == text || n < 0 || n > MOST_BYTES || e->ndim == WEFT_MAX_DIMS)
            return false;
        e->shape[e->ndim++] = n;
        *size *= (size_t)n;
        if (*size > MOST_BYTES) return false;
        text = end + 1;
    } while (*end == 'x');
    return *end == '\0';
}

/* Cuts `text`; tensors of one name would be refused by the writer. */
static int read_lines(char *text, weft_st_entry *entry, size_t *size)
{
    int n = 0;

    for (char *line = text, *next; line && n < MOST; line = next) {
        char *blank;

        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        blank = strchr(line, ' ');
        if (blank) *blank = '\0';
        entry[n] = (weft_st_entry){.name = line, .dtype = "F32"};
        if (read_shape(blank ? blank + 1 : "", &entry[n], &size[n])) n++;
    }
    return n;
}

static bool write_file(const weft_st_entry *entry, const size_t *size, int n)
{
    static const char zeros[MOST_BYTES];
    weft_st_writer *w;

    if (weft_st_create(path, entry, n, NULL, &w) != WEFT_OK) return false;
    for (int i = 0; i < n; i++)
        WEFT_MUST(weft_st_put(w, i, 0, zeros, size[i]) == WEFT_OK);
    return weft_st_finish(w) == WEFT_OK;
}

/* All of it is there, and is zeros. */
static void look(const weft_st *st)
{
    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);
        const char *b = t->data;
        size_t count = 4;

        for (int k = 0; k < t->ndim; k++) count *= (size_t)t->shape[k];
        WEFT_MUST(count == t->bytes);
        for (size_t k = 0; k < t->bytes; k++) WEFT_MUST(b[k] == 0);
        weft_st_drop(st, t);
    }
}

static void open_inside(const char *what)
{
    char name[128];
    weft_json *config;
    weft_st *st;

    snprintf(name, sizeof name, "%s:%s", path, what);
    if (weft_component_open(name, &config, &st) != WEFT_OK) {
        WEFT_MUST(strstr(weft_fail_text(), path) != NULL);
        return;
    }
    look(st);
    weft_json_free(config);
    weft_st_close(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const insides[] = {"unet", "vae-sd", "text_encoder",
                                          "text_encoder_2"};
    weft_st_entry entry[MOST];
    size_t size[MOST];
    char *text = calloc(1, bytes + 1);
    weft_pipeline *p;

    if (path[0] == '\0') set_up();
    WEFT_MUST(text != NULL);
    if (bytes) memcpy(text, data, bytes);
    if (write_file(entry, size, read_lines(text, entry, size))) {
        if (weft_pipeline_open(path, &p) == WEFT_OK) weft_pipeline_free(p);
        for (int i = 0; i < 4; i++) open_inside(insides[i]);
    }
    free(text);
    return 0;
}
