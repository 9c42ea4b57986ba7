#include "launch/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "launch/manifest_line.h"

enum { MOST_JSON = WEFT_LINE_BYTES };

static const char *const column[] = {
    "id",     "label",           "seed",    "method",  "model",  "solver",
    "steps",  "guidance",        "eta",     "width",   "height", "rng",
    "prompt", "negative_prompt", "prompts", "caption",
};

enum { COLUMNS = sizeof column / sizeof *column };

/* The two files, and the lines of one shard. */
typedef struct table {
    const weft_shelf *shelf;
    weft_file index, csv;
    FILE *index_lines, *csv_lines;
    weft_line fields;
    char shard[WEFT_TAR_NAME];
} table;

/* ---- lines --------------------------------------------------------------- */

/* As RFC 4180 says: in quotes where need be, quotes doubled. */
static void write_cell(FILE *to, const weft_line_field *f)
{
    bool quoted = false;

    for (size_t i = 0; i < f->nvalue; i++)
        quoted |= strchr("\",\n\r", f->value[i]) != NULL;
    if (quoted) putc('"', to);
    for (size_t i = 0; i < f->nvalue; i++) {
        if (f->value[i] == '"') putc('"', to);
        putc(f->value[i], to);
    }
    if (quoted) putc('"', to);
}

static void write_row(table *t)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (i) putc(',', t->csv_lines);
        for (int k = 0; k < t->fields.n; k++) {
            const weft_line_field *f = &t->fields.field[k];

            if (weft_line_is(f, column[i])) write_cell(t->csv_lines, f);
        }
    }
    fprintf(t->csv_lines, ",%s,done\n", t->shard);
}

/* `text` is one object and a line feed. */
static weft_status write_item(table *t, const char *name, const char *text)
{
    size_t n = strlen(text);

    while (n && text[n - 1] == '\n') n--;
    if (weft_line_json(text, n, &t->fields) != WEFT_OK)
        return weft_fail_within(WEFT_EINPUT, "%s: %s", t->shard, name);
    fprintf(t->index_lines, "%.*s,\"shard\":\"%s\"}\n", (int)n - 1, text,
            t->shard);
    write_row(t);
    return WEFT_OK;
}

static void write_failed(table *t, const char *id, const char *status)
{
    fprintf(t->index_lines,
            "{\"id\":\"%s\",\"shard\":\"%s\",\"status\":\"%s\"}\n", id,
            t->shard, status);
    fputs(id, t->csv_lines);
    for (int i = 0; i < COLUMNS; i++) putc(',', t->csv_lines);
    fprintf(t->csv_lines, "%s,%s\n", t->shard, status);
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return n > m && strcmp(name + n - m, end) == 0;
}

static weft_status write_items(table *t, weft_shard_reader *r)
{
    weft_tar_member m;
    weft_status st;
    char *text;

    for (;;) {
        WEFT_TRY(weft_shard_next(r, &m));
        if (!m.name[0]) return WEFT_OK;
        if (!ends_in(m.name, ".json")) continue;
        WEFT_TRY(weft_shard_read(r, &m, MOST_JSON, &text));
        st = write_item(t, m.name, text);
        free(text);
        WEFT_TRY(st);
    }
}

/* ---- shards -------------------------------------------------------------- */

static weft_status write_failures(table *t, int k)
{
    weft_shard_state state;
    const char *id;
    json_t *mark, *status;

    WEFT_TRY(weft_shelf_look(t->shelf, k, false, &state, &mark));
    json_object_foreach(json_object_get(mark, "status"), id, status)
    {
        const char *word = json_string_value(status);

        if (word && strcmp(word, "done") != 0) write_failed(t, id, word);
    }
    json_decref(mark);
    return WEFT_OK;
}

static weft_status write_shard(table *t, int k)
{
    char *index = NULL, *csv = NULL;
    size_t index_bytes = 0, csv_bytes = 0;
    weft_shard_reader r;
    weft_status st;

    WEFT_TRY(weft_shard_open(t->shelf, k, &r));
    snprintf(t->shard, sizeof t->shard, "%.100s", strrchr(r.path, '/') + 1);
    t->index_lines = open_memstream(&index, &index_bytes);
    t->csv_lines = open_memstream(&csv, &csv_bytes);
    st = t->index_lines && t->csv_lines
             ? write_items(t, &r)
             : weft_fail(WEFT_ENOMEM, "out of memory");
    if (st == WEFT_OK) st = write_failures(t, k);
    if (t->index_lines) fclose(t->index_lines);
    if (t->csv_lines) fclose(t->csv_lines);
    weft_shard_close(&r);
    if (st == WEFT_OK) st = weft_file_write(&t->index, index, index_bytes);
    if (st == WEFT_OK) st = weft_file_write(&t->csv, csv, csv_bytes);
    free(index);
    free(csv);
    return st;
}

static weft_status write_header(table *t)
{
    for (int i = 0; i < COLUMNS; i++) {
        WEFT_TRY(weft_file_write(&t->csv, column[i], strlen(column[i])));
        WEFT_TRY(weft_file_write(&t->csv, ",", 1));
    }
    return weft_file_write(&t->csv, "shard,status\n", 13);
}

static weft_status create(const weft_shelf *s, const char *name, weft_file *f)
{
    char path[WEFT_SHELF_PATH];

    snprintf(path, sizeof path, "%.4096s/%s", s->dir, name);
    return weft_file_create(path, f);
}

static weft_status write_all(table *t, int shards)
{
    weft_status st = write_header(t);

    for (int k = 0; k < shards && st == WEFT_OK; k++) st = write_shard(t, k);
    if (st == WEFT_OK) return weft_file_commit(&t->csv);
    weft_file_abandon(&t->csv);
    return st;
}

weft_status weft_table_write(const weft_shelf *s, int shards)
{
    table *t = calloc(1, sizeof *t);
    weft_status st;

    if (!t) return weft_fail(WEFT_ENOMEM, "out of memory");
    t->shelf = s;
    st = create(s, "index.jsonl", &t->index);
    if (st == WEFT_OK) {
        st = create(s, "table.csv", &t->csv);
        if (st == WEFT_OK) st = write_all(t, shards);
        if (st == WEFT_OK)
            st = weft_file_commit(&t->index);
        else
            weft_file_abandon(&t->index);
    }
    free(t);
    return st;
}
