/* config_tree_write.c - a tree as text for libcyaml, and as JSON. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config_tree.h"

bool weft_text_whole(const char *text)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    const size_t n = strspn(digits, "0123456789");

    return n > 0 && digits[n] == '\0' && (n == 1 || digits[0] != '0');
}

/* Decimal only: strtod would take "0x1p3", "inf" and "nan" too. */
bool weft_text_number(const char *text, double *value)
{
    char *end;

    if (strspn(text, "+-.0123456789eE") != strlen(text)) return false;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

/* YAML would fold line breaks. */
static void write_text(FILE *f, const char *text)
{
    static const char special[] = "\"\\\n\r\t", letter[] = "\"\\nrt";

    putc('"', f);
    for (const char *c = text; *c != '\0'; c++) {
        const char *at = strchr(special, *c);

        if (at) putc('\\', f);
        putc(at ? letter[at - special] : *c, f);
    }
    putc('"', f);
}

static void write_node(FILE *f, const weft_tree *t)
{
    const bool map = t->kind == WEFT_TREE_MAP;

    if (t->kind == WEFT_TREE_TEXT) {
        write_text(f, t->text);
        return;
    }
    putc(map ? '{' : '[', f);
    for (const weft_tree *c = t->first; c != NULL; c = c->next) {
        if (map) {
            write_text(f, c->key);
            fputs(": ", f);
        }
        write_node(f, c);
        if (c->next != NULL) fputs(", ", f);
    }
    putc(map ? '}' : ']', f);
}

weft_status weft_tree_write(const weft_tree *tree, char **text)
{
    char *buffer = NULL;
    size_t bytes;
    FILE *f = open_memstream(&buffer, &bytes);
    bool bad;

    if (f == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    write_node(f, tree);
    bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad) {
        free(buffer);
        return weft_fail(WEFT_ENOMEM, "out of memory");
    }
    *text = buffer;
    return WEFT_OK;
}

/* By way of quoted YAML, so that it passes the same checks. */
weft_status weft_tree_parse_literal(const char *file, const char *override,
                                    const char *text, weft_tree **tree)
{
    const weft_place at = {file, override, 0};
    weft_tree *t = NULL;
    char *quoted = NULL;
    weft_status s;

    if (weft_text_null(text)) return weft_place_fail(&at, "has no value");
    t = weft_tree_text(text, true, &at);
    s = t != NULL ? weft_tree_write(t, &quoted)
                  : weft_fail(WEFT_ENOMEM, "%s: out of memory", file);
    weft_tree_free(t);
    if (s == WEFT_OK)
        s = weft_tree_parse(file, override, quoted, strlen(quoted), tree);
    free(quoted);
    return s;
}

static json_t *text_json(const weft_tree *t)
{
    double number;

    if (t->quoted) return json_string(t->text);
    if (strcmp(t->text, "true") == 0) return json_true();
    if (strcmp(t->text, "false") == 0) return json_false();
    if (weft_text_whole(t->text)) {
        errno = 0;
        const long long whole = strtoll(t->text, NULL, 10);
        if (errno == 0) return json_integer(whole);
    }
    if (weft_text_number(t->text, &number)) return json_real(number);
    return json_string(t->text);
}

json_t *weft_tree_json(const weft_tree *tree)
{
    const bool map = tree->kind == WEFT_TREE_MAP;
    json_t *out;

    if (tree->kind == WEFT_TREE_TEXT) return text_json(tree);
    out = map ? json_object() : json_array();
    for (const weft_tree *c = tree->first; c != NULL && out != NULL;
         c = c->next) {
        json_t *value = weft_tree_json(c);
        const int bad = map ? json_object_set_new(out, c->key, value)
                            : json_array_append_new(out, value);
        if (bad == 0) continue;
        json_decref(out);
        return NULL;
    }
    return out;
}
