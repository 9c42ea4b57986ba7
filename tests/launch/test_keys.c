/* docs/config.md says what the program does: every key of the schema has a line
 * in its tables, and every line there is a key, with its type, default and
 * values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "launch/config.h"
#include "launch/config_check.h"
#include "launch/config_schema.h"

enum { KEYS = 256, COLUMNS = 5, ROOM = 256, MOST_BYTES = 1 << 18 };

static const char doc[] = "docs/config.md";

/* A key as users type it: NAME stands for a name of their choice, [] for any
 * entry of a list. */
typedef struct key {
    char path[ROOM];
    const cyaml_schema_value_t *value;
} key;

/* | `path` | type | default | values | meaning | */
typedef struct line {
    int number;
    char column[COLUMNS][2 * ROOM];
} line;

typedef struct tables {
    key key[KEYS];
    line line[KEYS];
    int keys, lines;
} tables;

/* ---- the schema ------------------------------------------------------------
 */

/* What weft writes into a tree for itself, and no user types. */
static bool is_internal(const char *name)
{
    return strcmp(name, "weft") == 0 || strcmp(name, "name") == 0 ||
           strcmp(name, "inline") == 0 || strcmp(name, "measured") == 0;
}

/* A mapping of names to numbers, or a word: typed in one piece. */
static bool is_whole(const char *path)
{
    return strcmp(path, "parallel.roles") == 0;
}

/* Whether a list of mappings is typed as a mapping of names. */
static bool is_named(const cyaml_schema_value_t *entry)
{
    const cyaml_schema_field_t *f = entry->mapping.fields;

    while (f->key && strcmp(f->key, "name") != 0) f++;
    return f->key != NULL;
}

static void walk(tables *t, const cyaml_schema_value_t *v, const char *path)
{
    if (v->type == CYAML_SEQUENCE && v->sequence.entry->type == CYAML_MAPPING &&
        !is_whole(path)) {
        char entry[ROOM];
        assert_true(snprintf(entry, ROOM, "%s%s", path,
                             is_named(v->sequence.entry) ? ".NAME" : "[]") <
                    ROOM);
        walk(t, v->sequence.entry, entry);
    } else if (v->type == CYAML_MAPPING && !is_whole(path)) {
        for (const cyaml_schema_field_t *f = v->mapping.fields; f->key; f++) {
            char inner[ROOM];
            if (is_internal(f->key)) continue;
            assert_true(snprintf(inner, ROOM, "%s%s%s", path, *path ? "." : "",
                                 f->key) < ROOM);
            walk(t, &f->value, inner);
        }
    } else {
        assert_true(t->keys < KEYS);
        t->key[t->keys].value = v;
        snprintf(t->key[t->keys++].path, ROOM, "%s", path);
    }
}

static const key *find_key(const tables *t, const char *path)
{
    for (int i = 0; i < t->keys; i++)
        if (strcmp(t->key[i].path, path) == 0) return &t->key[i];
    return NULL;
}

/* ---- the document ----------------------------------------------------------
 */

/* `from` to `to` without the blanks and quotes around it. */
static void trim(const char *from, const char *to, char *out)
{
    while (from < to && *from == ' ') from++;
    while (from < to && to[-1] == ' ') to--;
    assert_true(to - from < 2 * ROOM);
    snprintf(out, 2 * ROOM, "%.*s", (int)(to - from), from);
}

/* `x` without its quotes, where that is all there is. */
static void unquote(char *text)
{
    const size_t n = strlen(text);

    if (n < 3 || text[0] != '`' || strchr(text + 1, '`') != text + n - 1)
        return;
    memmove(text, text + 1, n - 2);
    text[n - 2] = '\0';
}

static void read_line(tables *t, const char *text, int number)
{
    line *l = &t->line[t->lines];

    if (strncmp(text, "| `", 3) != 0) return;
    assert_true(t->lines++ < KEYS);
    l->number = number;
    text++;
    for (int i = 0; i < COLUMNS; i++) {
        const char *bar = strchr(text, '|');
        const char *end = strchr(text, '\n');
        if (!bar || (end && bar > end))
            fail_msg("%s:%d: expected | `key` | type | default | values | "
                     "meaning |",
                     doc, number);
        trim(text, bar, l->column[i]);
        text = bar + 1;
    }
    unquote(l->column[0]);
    unquote(l->column[2]);
}

static void read_doc(tables *t)
{
    char *text, *at;
    size_t n;

    assert_int_equal(weft_file_read(WEFT_SOURCE_DIR "/docs/config.md",
                                    MOST_BYTES, &text, &n),
                     WEFT_OK);
    at = text;
    for (int number = 1; *at; number++) {
        read_line(t, at, number);
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    free(text);
}

static const line *find_line(const tables *t, const char *path)
{
    for (int i = 0; i < t->lines; i++)
        if (strcmp(t->line[i].column[0], path) == 0) return &t->line[i];
    return NULL;
}

/* ---- what the program says -------------------------------------------------
 */

static const char *type_of(const cyaml_schema_value_t *v)
{
    switch (v->type) {
    case CYAML_STRING:
        return "text";
    case CYAML_INT:
    case CYAML_UINT:
        return "whole number";
    case CYAML_FLOAT:
        return "number";
    case CYAML_ENUM:
        return "`auto` or whole number";
    case CYAML_SEQUENCE:
        if (v->sequence.entry->type == CYAML_MAPPING)
            return "a word or ranks by role";
        if (v->sequence.entry->type == CYAML_STRING) return "texts";
        return v->sequence.entry->type == CYAML_INT ? "whole numbers"
                                                    : "numbers";
    default:
        return "?";
    }
}

/* KEY=VALUE, with a name for NAME; LIST[].KEY becomes LIST=[{KEY: VALUE}], with
 * the path that such entries want. */
static void write_override(const char *path, const char *value, char *out,
                           size_t room)
{
    const char *name = strstr(path, "NAME"), *list = strstr(path, "[].");
    char typed[2 * ROOM];

    snprintf(typed, sizeof typed, "%.*s%s%s",
             name ? (int)(name - path) : (int)strlen(path), path,
             name ? "strong" : "", name ? name + 4 : "");
    if (list) {
        char *inner = strstr(typed, "[].");
        snprintf(out, room, "%.*s=[{%s: %s%s}]", (int)(inner - typed), typed,
                 inner + 3, value,
                 strcmp(inner + 3, "path") ? ", path: x" : "");
    } else {
        snprintf(out, room, "%s=%s", typed, value);
    }
}

/* What is said of VALUE at a key; "" if it is a value that the key may have. */
static const char *verdict(const char *path, const char *value)
{
    static const char text[] = "models: {strong: {path: m}}\n"
                               "sample: {width: 8, height: 8}\n";
    char override[3 * ROOM];
    weft_tree *root = NULL;
    weft_status s;

    write_override(path, value, override, sizeof override);
    assert_int_equal(
        weft_tree_parse("a.yaml", NULL, text, sizeof text - 1, &root), WEFT_OK);
    s = weft_config_override(root, "a.yaml", override);
    if (s == WEFT_OK) s = weft_config_shape(root);
    if (s == WEFT_OK) s = weft_config_check(root);
    weft_tree_free(root);
    return s == WEFT_OK ? "" : weft_fail_text();
}

/* Numbers that no range holds, for a value or as many of a list as it wants. */
static void write_huge(const cyaml_schema_value_t *v, char *out)
{
    const bool list = v->type == CYAML_SEQUENCE;
    const cyaml_type_e type = list ? v->sequence.entry->type : v->type;
    const char *one = type == CYAML_FLOAT ? "1e300" : "99999999999999999999999";
    size_t n = (size_t)snprintf(out, ROOM, "%s%s", list ? "[" : "", one);

    for (unsigned i = 1; list && i < v->sequence.min && n < ROOM; i++)
        n += (size_t)snprintf(out + n, ROOM - n, ", %s", one);
    assert_true(n + 1 < ROOM);
    if (list) snprintf(out + n, ROOM - n, "]");
}

/* The range of a key as "A to B"; "any" without one. */
static void range_of(const key *k, char *out)
{
    char huge[ROOM];

    write_huge(k->value, huge);
    const char *said = verdict(k->path, huge);
    snprintf(out, ROOM, "%s",
             strstr(said, "out of range") ? strstr(said, "expected ") + 9
                                          : "any");
}

/* The names of a choice, each in quotes; "any" for free text. */
static void choices_of(const key *k, char *out)
{
    const char *said = verdict(k->path, "zzzzzzzz");
    const char *at = strstr(said, "; known are ");
    size_t n = 0;

    snprintf(out, ROOM, "any");
    if (!strstr(said, "unknown ")) return;
    if (!at)
        fail_msg("%s: its choices are too many to list: %s", k->path, said);
    for (at += 12; *at; at += strspn(at, ", ")) {
        const size_t word = strcspn(at, ",");
        n += (size_t)snprintf(out + n, ROOM - n, "%s`%.*s`", n ? ", " : "",
                              (int)word, at);
        assert_true(n < ROOM);
        at += word;
    }
}

static void default_of(const key *k, char *out)
{
    static const weft_place nowhere = {"a.yaml", NULL, 0};
    weft_tree *root = weft_tree_new(WEFT_TREE_MAP, &nowhere);
    const weft_tree *t;

    assert_non_null(root);
    assert_int_equal(weft_config_defaults(root), WEFT_OK);
    t = weft_tree_find(root, k->path);
    out[0] = '\0';
    if (t) snprintf(out, ROOM, "%s", strcmp(t->text, "-1") ? t->text : "none");
    if (!t && !(k->value->flags & CYAML_FLAG_OPTIONAL))
        snprintf(out, ROOM, "required");
    weft_tree_free(root);
}

/* ---- tests -----------------------------------------------------------------
 */

static void test_every_key_has_a_line(void **state)
{
    const tables *t = *state;
    int missing = 0;

    assert_true(t->keys > 20);
    for (int i = 0; i < t->keys; i++) {
        const key *k = &t->key[i];
        if (find_line(t, k->path)) continue;
        missing++;
        print_error("%s: no line for the key %s; add one to the table of its "
                    "section:\n  | `%s` | %s | DEFAULT | VALUES | MEANING |\n",
                    doc, k->path, k->path, type_of(k->value));
    }
    if (missing) fail_msg("%d keys are not in %s", missing, doc);
}

static void test_every_line_is_a_key(void **state)
{
    const tables *t = *state;

    for (int i = 0; i < t->lines; i++) {
        const line *l = &t->line[i];
        if (!find_key(t, l->column[0]))
            fail_msg("%s:%d: there is no key %s", doc, l->number, l->column[0]);
        if (find_line(t, l->column[0]) != l)
            fail_msg("%s:%d: a second line for %s", doc, l->number,
                     l->column[0]);
        if (strlen(l->column[4]) < 5)
            fail_msg("%s:%d: %s has no meaning", doc, l->number, l->column[0]);
    }
}

static void expect(const line *l, int column, const char *expected)
{
    static const char *const name[] = {"key", "type", "default", "values"};

    if (strcmp(l->column[column], expected) != 0)
        fail_msg("%s:%d: %s: %s \"%s\", not \"%s\"", doc, l->number,
                 l->column[0], name[column], expected, l->column[column]);
}

static void test_lines_are_true(void **state)
{
    const tables *t = *state;

    for (int i = 0; i < t->keys; i++) {
        const key *k = &t->key[i];
        const line *l = find_line(t, k->path);
        char values[ROOM], by_default[ROOM];
        if (!l) continue; /* said above */
        expect(l, 1, type_of(k->value));
        default_of(k, by_default);
        if (by_default[0]) expect(l, 2, by_default);
        if (k->value->type == CYAML_STRING)
            choices_of(k, values);
        else
            range_of(k, values);
        expect(l, 3, values);
    }
}

/* The default that a line names is a value that the key may have. */
static void test_defaults_pass(void **state)
{
    const tables *t = *state;

    for (int i = 0; i < t->lines; i++) {
        const line *l = &t->line[i];
        if (strcmp(l->column[2], "none") == 0 ||
            strcmp(l->column[2], "required") == 0)
            continue;
        const char *said = verdict(l->column[0], l->column[2]);
        if (said[0]) fail_msg("%s:%d: %s", doc, l->number, said);
    }
}

static int set_up(void **state)
{
    static tables t;

    walk(&t, &weft_raw_schema, "");
    read_doc(&t);
    *state = &t;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_has_a_line),
        cmocka_unit_test(test_every_line_is_a_key),
        cmocka_unit_test(test_lines_are_true),
        cmocka_unit_test(test_defaults_pass),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
