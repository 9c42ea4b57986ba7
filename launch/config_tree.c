#include "launch/config_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    const char *file, *override;
    int nodes, depth;
} reader;

weft_status weft_place_fail(const weft_place *at, const char *fmt, ...)
{
    char text[1536];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (at->override != NULL)
        return weft_fail(WEFT_EINPUT, "override \"%.200s\": %s", at->override,
                         text);
    if (at->line > 0)
        return weft_fail(WEFT_EINPUT, "%s:%d: %s", at->file, at->line, text);
    return weft_fail(WEFT_EINPUT, "%s: %s", at->file, text);
}

static weft_status no_memory(const char *file)
{
    return weft_fail(WEFT_ENOMEM, "%s: out of memory", file);
}

/* ---- nodes ----------------------------------------------------------------
 */

weft_tree *weft_tree_new(weft_tree_kind kind, const weft_place *at)
{
    weft_tree *t = calloc(1, sizeof *t);

    if (t == NULL) return NULL;
    t->kind = kind;
    t->place = t->key_place = *at;
    return t;
}

weft_tree *weft_tree_text(const char *text, bool quoted, const weft_place *at)
{
    weft_tree *t = weft_tree_new(WEFT_TREE_TEXT, at);

    if (t == NULL) return NULL;
    t->quoted = quoted;
    t->text = strdup(text);
    if (t->text == NULL) {
        weft_tree_free(t);
        return NULL;
    }
    return t;
}

/* Depth is bounded by WEFT_TREE_DEPTH, so recursion is too. */
void weft_tree_free(weft_tree *tree)
{
    if (tree == NULL) return;
    for (weft_tree *c = tree->first, *next; c != NULL; c = next) {
        next = c->next;
        weft_tree_free(c);
    }
    free(tree->key);
    free(tree->text);
    free(tree);
}

weft_tree *weft_tree_get(const weft_tree *map, const char *key)
{
    if (map == NULL || map->kind != WEFT_TREE_MAP) return NULL;
    for (weft_tree *c = map->first; c != NULL; c = c->next)
        if (strcmp(c->key, key) == 0) return c;
    return NULL;
}

weft_tree *weft_tree_find(const weft_tree *map, const char *path)
{
    char key[256];
    const char *dot = strchr(path, '.');

    if (dot == NULL) return weft_tree_get(map, path);
    if ((size_t)(dot - path) >= sizeof key) return NULL;
    snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
    return weft_tree_find(weft_tree_get(map, key), dot + 1);
}

int weft_tree_count(const weft_tree *parent)
{
    int n = 0;

    for (const weft_tree *c = parent->first; c != NULL; c = c->next) n++;
    return n;
}

weft_status weft_tree_put(weft_tree *map, const char *key, weft_tree *value)
{
    weft_tree **at = &map->first;
    char *copy = value != NULL ? strdup(key) : NULL;

    if (copy == NULL) {
        weft_tree_free(value);
        return no_memory(map->place.file);
    }
    while (*at != NULL && strcmp((*at)->key, key) != 0) at = &(*at)->next;
    if (*at != NULL) {
        weft_tree *old = *at;
        value->next = old->next;
        weft_tree_free(old);
    }
    free(value->key);
    value->key = copy;
    *at = value;
    return WEFT_OK;
}

void weft_tree_remove(weft_tree *map, const char *key)
{
    weft_tree **at = &map->first;
    weft_tree *old;

    while (*at != NULL && strcmp((*at)->key, key) != 0) at = &(*at)->next;
    if (*at == NULL) return;
    old = *at;
    *at = old->next;
    weft_tree_free(old);
}

weft_status weft_tree_put_at(weft_tree *map, const char *path, weft_tree *value)
{
    const char *dot = strchr(path, '.');
    const weft_place at = value != NULL ? value->place : map->place;
    char key[256];
    weft_tree *child;

    if (dot == NULL) return weft_tree_put(map, path, value);
    snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
    child = weft_tree_get(map, key);
    if (child == NULL) {
        const weft_status s =
            weft_tree_put(map, key, weft_tree_new(WEFT_TREE_MAP, &at));
        if (s != WEFT_OK) {
            weft_tree_free(value);
            return s;
        }
        child = weft_tree_get(map, key);
    }
    if (child->kind != WEFT_TREE_MAP) {
        weft_tree_free(value);
        return weft_place_fail(&at,
                               "\"%s\" is not a mapping, so it has no "
                               "\"%s\"",
                               key, dot + 1);
    }
    return weft_tree_put_at(child, dot + 1, value);
}

/* ---- reading ---------------------------------------------------------------
 */

static weft_place place_of(const reader *r, const yaml_event_t *e)
{
    return (weft_place){r->file, r->override, (int)e->start_mark.line + 1};
}

static weft_status next(reader *r, yaml_event_t *e)
{
    const yaml_parser_t *p = &r->parser;
    weft_place at = {r->file, r->override, 0};

    if (yaml_parser_parse(&r->parser, e)) return WEFT_OK;
    if (p->error == YAML_MEMORY_ERROR) return no_memory(r->file);
    /* The reader (bytes that are no text) sets no mark; its own is that of
     * what has been taken so far. */
    at.line = (int)(p->error == YAML_READER_ERROR ? p->mark.line
                                                  : p->problem_mark.line) +
              1;
    return weft_place_fail(&at, "not valid YAML: %s",
                           p->problem != NULL ? p->problem : "unknown problem");
}

static weft_status refuse_anchor(reader *r, const yaml_event_t *e,
                                 const yaml_char_t *anchor,
                                 const yaml_char_t *tag)
{
    const weft_place at = place_of(r, e);

    if (anchor != NULL)
        return weft_place_fail(&at, "anchors (&%.60s) are not supported",
                               (const char *)anchor);
    if (tag != NULL)
        return weft_place_fail(&at, "tags (%.60s) are not supported",
                               (const char *)tag);
    return WEFT_OK;
}

/* Below 0x20, 0x7f, and U+0080 to U+009F. */
bool weft_text_control(const char *text, size_t n)
{
    const unsigned char *c = (const unsigned char *)text;

    for (size_t i = 0; i < n; i++) {
        if (c[i] == '\n' || c[i] == '\r' || c[i] == '\t') continue;
        if (c[i] < 0x20 || c[i] == 0x7f) return true;
        if (c[i] == 0xc2 && i + 1 < n && c[i + 1] < 0xa0) return true;
    }
    return false;
}

bool weft_text_breaks(const char *text)
{
    return strpbrk(text, "\n\r\t") != NULL;
}

bool weft_text_null(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (strcmp(text, nulls[i]) == 0) return true;
    return false;
}

static bool is_null(const weft_tree *t)
{
    return !t->quoted && weft_text_null(t->text);
}

static weft_status read_text(reader *r, const yaml_event_t *e, weft_tree **out)
{
    const weft_place at = place_of(r, e);
    const char *value = (const char *)e->data.scalar.value;

    WEFT_TRY(refuse_anchor(r, e, e->data.scalar.anchor, e->data.scalar.tag));
    if (weft_text_control(value, e->data.scalar.length))
        return weft_place_fail(&at, "text contains a control character");
    *out = weft_tree_text(value,
                          e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE, &at);
    return *out != NULL ? WEFT_OK : no_memory(r->file);
}

static weft_status read_node(reader *r, yaml_event_t *e, weft_tree **out);

static weft_status refuse_null(const weft_tree *t, const char *key)
{
    if (t->kind != WEFT_TREE_TEXT || !is_null(t)) return WEFT_OK;
    if (key == NULL) return weft_place_fail(&t->place, "a value is missing");
    return weft_place_fail(&t->place,
                           "\"%.80s\" has no value; leave the key out or "
                           "give it one",
                           key);
}

static weft_status read_key(reader *r, yaml_event_t *e, const weft_tree *map,
                            int keys, weft_tree **key)
{
    const weft_place at = place_of(r, e);
    const weft_tree *old;

    if (e->type != YAML_SCALAR_EVENT)
        return weft_place_fail(&at, "a key must be plain text");
    WEFT_TRY(read_text(r, e, key));
    if (is_null(*key) || (*key)->text[0] == '\0')
        return weft_place_fail(&at, "a key is empty");
    if (weft_text_breaks((*key)->text))
        return weft_place_fail(&at, "text contains a control character");
    if (strcmp((*key)->text, "<<") == 0)
        return weft_place_fail(&at, "merge keys (<<) are not supported");
    old = weft_tree_get(map, (*key)->text);
    if (old != NULL)
        return weft_place_fail(&at, "duplicate key \"%.80s\", first in line %d",
                               (*key)->text, old->key_place.line);
    if (keys >= WEFT_TREE_KEYS)
        return weft_place_fail(&at, "more than %d keys in one mapping",
                               WEFT_TREE_KEYS);
    return WEFT_OK;
}

/* One `key: value`; *e is the key's event and is released here. The new child
 * is put in front: read_children reverses the list once. */
static weft_status read_pair(reader *r, yaml_event_t *e, weft_tree *map,
                             int keys)
{
    weft_tree *key = NULL, *value = NULL;
    weft_status s = read_key(r, e, map, keys, &key);

    yaml_event_delete(e);
    if (s == WEFT_OK) s = next(r, e);
    if (s == WEFT_OK) {
        s = read_node(r, e, &value);
        if (s == WEFT_OK) s = refuse_null(value, key->text);
    }
    if (s == WEFT_OK) {
        value->key = key->text;
        value->key_place = key->place;
        key->text = NULL;
        value->next = map->first;
        map->first = value;
    } else {
        weft_tree_free(value);
    }
    weft_tree_free(key);
    return s;
}

static weft_status read_entry(reader *r, yaml_event_t *e, weft_tree *list)
{
    weft_tree *value = NULL;
    weft_status s = read_node(r, e, &value);

    if (s == WEFT_OK) s = refuse_null(value, NULL);
    if (s != WEFT_OK) {
        weft_tree_free(value);
        return s;
    }
    value->next = list->first;
    list->first = value;
    return WEFT_OK;
}

static weft_status read_children(reader *r, weft_tree *parent)
{
    weft_tree *forward = NULL;

    for (int n = 0;; n++) {
        yaml_event_t e;
        WEFT_TRY(next(r, &e));
        if (e.type == YAML_MAPPING_END_EVENT ||
            e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            break;
        }
        if (parent->kind == WEFT_TREE_MAP)
            WEFT_TRY(read_pair(r, &e, parent, n));
        else
            WEFT_TRY(read_entry(r, &e, parent));
    }
    for (weft_tree *c = parent->first, *after; c != NULL; c = after) {
        after = c->next;
        c->next = forward;
        forward = c;
    }
    parent->first = forward;
    return WEFT_OK;
}

static weft_status read_parent(reader *r, const yaml_event_t *e,
                               weft_tree **out)
{
    const weft_place at = place_of(r, e);
    const bool map = e->type == YAML_MAPPING_START_EVENT;
    weft_tree *t;
    weft_status s;

    WEFT_TRY(map ? refuse_anchor(r, e, e->data.mapping_start.anchor,
                                 e->data.mapping_start.tag)
                 : refuse_anchor(r, e, e->data.sequence_start.anchor,
                                 e->data.sequence_start.tag));
    if (r->depth >= WEFT_TREE_DEPTH)
        return weft_place_fail(&at, "nested more than %d deep",
                               WEFT_TREE_DEPTH);
    t = weft_tree_new(map ? WEFT_TREE_MAP : WEFT_TREE_LIST, &at);
    if (t == NULL) return no_memory(r->file);
    r->depth++;
    s = read_children(r, t);
    r->depth--;
    if (s == WEFT_OK)
        *out = t;
    else
        weft_tree_free(t);
    return s;
}

/* The node that *e begins; releases *e. */
static weft_status read_node(reader *r, yaml_event_t *e, weft_tree **out)
{
    const weft_place at = place_of(r, e);
    weft_status s;

    if (++r->nodes > WEFT_TREE_NODES)
        s = weft_place_fail(&at, "more than %d values", WEFT_TREE_NODES);
    else if (e->type == YAML_ALIAS_EVENT)
        s = weft_place_fail(&at, "aliases (*%.60s) are not supported",
                            (const char *)e->data.alias.anchor);
    else if (e->type == YAML_SCALAR_EVENT)
        s = read_text(r, e, out);
    else
        s = read_parent(r, e, out);
    yaml_event_delete(e);
    return s;
}

/* Take one event, which must be of the type given; or say what is wrong. */
static weft_status expect(reader *r, yaml_event_type_t type, const char *what)
{
    yaml_event_t e;
    weft_place at;
    bool fits;

    WEFT_TRY(next(r, &e));
    at = place_of(r, &e);
    fits = e.type == type;
    yaml_event_delete(&e);
    return fits ? WEFT_OK : weft_place_fail(&at, "%s", what);
}

static weft_status read_document(reader *r, weft_tree **tree)
{
    const weft_place nowhere = {r->file, r->override, 0};
    yaml_event_t e;

    WEFT_TRY(expect(r, YAML_STREAM_START_EVENT, "not a stream of YAML"));
    WEFT_TRY(next(r, &e));
    if (e.type != YAML_DOCUMENT_START_EVENT) {
        yaml_event_delete(&e);
        return weft_place_fail(&nowhere, "is empty");
    }
    yaml_event_delete(&e);
    WEFT_TRY(next(r, &e));
    WEFT_TRY(read_node(r, &e, tree));
    WEFT_TRY(refuse_null(*tree, NULL));
    WEFT_TRY(expect(r, YAML_DOCUMENT_END_EVENT, "not one document"));
    return expect(r, YAML_STREAM_END_EVENT, "a second document begins here");
}

weft_status weft_tree_parse(const char *file, const char *override,
                            const char *text, size_t bytes, weft_tree **tree)
{
    reader r = {.file = file, .override = override};
    weft_tree *t = NULL;
    weft_status s;

    if (!yaml_parser_initialize(&r.parser)) return no_memory(file);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    s = read_document(&r, &t);
    yaml_parser_delete(&r.parser);
    if (s == WEFT_OK)
        *tree = t;
    else
        weft_tree_free(t);
    return s;
}
