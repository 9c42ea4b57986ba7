#include "tests/token_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "core/model/json.h"
#include "tests/must.h"

enum { MOST_IDS = 2048 };

static int find(const char *const *name, int n, const char *which)
{
    int i = 0;

    while (i < n && strcmp(name[i], which)) i++;
    if (i == n) fail_msg("no tokenizer is called %s", which);
    return i;
}

static void check_line(const char *text, size_t bytes, const char *kind,
                       const char *const *name, weft_tokenizer *const *t, int n)
{
    const char *which, *words;
    int want[MOST_IDS], count;
    weft_ids ids = {0};
    weft_json *line;

    must(weft_json_parse("lines.jsonl", text, bytes, &line));
    must(weft_json_string(line, kind, NULL, &which));
    must(weft_json_string(line, "text", NULL, &words));
    must(weft_json_ints(line, "ids", 0, 1 << 20, want, MOST_IDS, &count));
    must(weft_tokenize(t[find(name, n, which)], words, strlen(words), &ids));
    if (ids.n != (size_t)count ||
        (count && memcmp(ids.id, want, (size_t)count * sizeof *want)))
        fail_msg("%s: \"%s\": %zu tokens for %d", which, words, ids.n, count);
    weft_ids_release(&ids);
    weft_json_free(line);
}

int token_lines_check(const char *path, const char *kind,
                      const char *const *name, weft_tokenizer *const *t, int n)
{
    size_t bytes;
    int lines = 0;
    char *text;

    must(weft_file_read(path, 1 << 20, &text, &bytes));
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        check_line(at, (size_t)(end - at), kind, name, t, n);
        lines++;
    }
    free(text);
    return lines;
}
