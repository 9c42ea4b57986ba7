#include "launch/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "launch/manifest_line.h"

enum { MOST_JSON = WEFT_LINE_BYTES, MOST_PICTURE = 1 << 26 };

/* Colours follow the reader's system; nothing is fetched. */
static const char head[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<title>weft data set</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; font: 14px/1.4 sans-serif; }\n"
    "body { margin: 1rem; }\n"
    "main { display: grid; gap: .5rem;\n"
    "  grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }\n"
    "figure { margin: 0; padding: .25rem; cursor: pointer; }\n"
    "figure:focus { outline: 3px solid #47f; }\n"
    "figure img { width: 100%; display: block; image-rendering: auto; }\n"
    "figcaption { font-size: 11px; overflow-wrap: anywhere; }\n"
    "dialog img { max-width: 80vw; max-height: 60vh; min-width: 16rem;\n"
    "  display: block; margin: auto; }\n"
    "dialog table { font: 12px monospace; margin-top: .5rem; }\n"
    "dialog td { padding: 0 .5rem; overflow-wrap: anywhere; }\n"
    "</style>\n"
    "<h1>";

static const char middle[] =
    "</p>\n"
    "<p>Arrow keys, Home and End move; Enter opens a picture, Escape closes "
    "it.</p>\n"
    "<main>\n";

static const char tail[] =
    "<dialog><img alt=\"\"><table></table></dialog>\n"
    "<script>\n"
    "const all = [...document.querySelectorAll('figure')];\n"
    "const box = document.querySelector('dialog');\n"
    "let at = 0, shown = 0;\n"
    "const columns = () => {\n"
    "  const n = all.findIndex(f => f.offsetTop !== all[0].offsetTop);\n"
    "  return n < 0 ? all.length : n;\n"
    "};\n"
    "const fill = () => {\n"
    "  const table = box.querySelector('table');\n"
    "  shown = at;\n"
    "  box.querySelector('img').src = all[at].querySelector('img').src;\n"
    "  box.querySelector('img').alt = all[at].querySelector('img').alt;\n"
    "  table.replaceChildren();\n"
    "  const item = JSON.parse(all[at].dataset.item);\n"
    "  for (const key of Object.keys(item)) {\n"
    "    const row = table.insertRow();\n"
    "    row.insertCell().textContent = key;\n"
    "    row.insertCell().textContent = typeof item[key] === 'object' ?\n"
    "      JSON.stringify(item[key]) : item[key];\n"
    "  }\n"
    "};\n"
    "const go = n => {\n"
    "  at = Math.max(0, Math.min(all.length - 1, n));\n"
    "  all[at].focus();\n"
    "  if (box.open) fill();\n"
    "};\n"
    "const open = n => { at = n; fill(); if (!box.open) box.showModal(); };\n"
    "all.forEach((f, i) => {\n"
    "  f.addEventListener('focus', () => { if (!box.open) at = i; });\n"
    "  f.addEventListener('click', () => open(i));\n"
    "});\n"
    "box.addEventListener('close', () => go(shown));\n"
    "document.addEventListener('keydown', e => {\n"
    "  if (!all.length || e.ctrlKey || e.altKey || e.metaKey) return;\n"
    "  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(),\n"
    "    ArrowDown: columns(), Home: -all.length, End: all.length }[e.key];\n"
    "  if (step !== undefined) go(at + step);\n"
    "  else if (e.key === 'Enter' && !box.open) open(at);\n"
    "  else return;\n"
    "  e.preventDefault();\n"
    "});\n"
    "</script>\n"
    "</html>\n";

typedef struct sheet {
    const weft_shelf *shelf;
    weft_file file;
    int64_t stride, seen; /* every so many items one is shown; met so far */
    int shown;
    size_t bytes;
    char *json; /* of the item at hand, owned; NULL: it is not shown */
    weft_line fields;
} sheet;

/* ---- text and pictures --------------------------------------------------- */

static weft_status put(sheet *s, const char *text)
{
    return weft_file_write(&s->file, text, strlen(text));
}

/* As the text or the attribute of an element. */
static weft_status put_escaped(sheet *s, const char *text, size_t n)
{
    char *out = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&out, &bytes);
    weft_status st;

    if (!f) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (strchr("<>&\"'", text[i]))
            fprintf(f, "&#%d;", text[i]);
        else
            putc(text[i], f);
    }
    fclose(f);
    if (!out) return weft_fail(WEFT_ENOMEM, "out of memory");
    st = weft_file_write(&s->file, out, bytes);
    free(out);
    return st;
}

/* RFC 4648. */
static weft_status put_base64(sheet *s, const unsigned char *data, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                "uvwxyz0123456789+/";
    char *out = malloc((n + 2) / 3 * 4 + 1), *to = out;
    weft_status st;

    if (!out) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i += 3) {
        const unsigned b1 = i + 1 < n ? data[i + 1] : 0;
        const unsigned b2 = i + 2 < n ? data[i + 2] : 0;
        const unsigned v = (unsigned)data[i] << 16 | b1 << 8 | b2;

        *to++ = digit[v >> 18];
        *to++ = digit[v >> 12 & 63];
        *to++ = i + 1 < n ? digit[v >> 6 & 63] : '=';
        *to++ = i + 2 < n ? digit[v & 63] : '=';
    }
    st = weft_file_write(&s->file, out, (size_t)(to - out));
    free(out);
    return st;
}

static weft_status put_field(sheet *s, const char *key)
{
    for (int i = 0; i < s->fields.n; i++)
        if (weft_line_is(&s->fields.field[i], key))
            return put_escaped(s, s->fields.field[i].value,
                               s->fields.field[i].nvalue);
    return WEFT_OK;
}

static weft_status put_caption(sheet *s)
{
    WEFT_TRY(put_field(s, "id"));
    WEFT_TRY(put(s, "<br>label "));
    WEFT_TRY(put_field(s, "label"));
    WEFT_TRY(put(s, " seed "));
    return put_field(s, "seed");
}

static weft_status put_figure(sheet *s, const unsigned char *png, size_t n)
{
    size_t length = strlen(s->json);

    while (length && s->json[length - 1] == '\n') length--;
    if (weft_line_json(s->json, length, &s->fields) != WEFT_OK) return WEFT_OK;
    WEFT_TRY(put(s, "<figure tabindex=\"0\" data-item=\""));
    WEFT_TRY(put_escaped(s, s->json, length));
    WEFT_TRY(put(s, "\"><img alt=\""));
    WEFT_TRY(put_field(s, "id"));
    WEFT_TRY(put(s, "\" src=\"data:image/png;base64,"));
    WEFT_TRY(put_base64(s, png, n));
    WEFT_TRY(put(s, "\"><figcaption>"));
    WEFT_TRY(put_caption(s));
    s->shown++;
    s->bytes += n;
    return put(s, "</figcaption></figure>\n");
}

/* ---- shards -------------------------------------------------------------- */

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return n > m && strcmp(name + n - m, end) == 0;
}

/* An item's members come together, ID.json first. */
static weft_status take_member(sheet *s, const weft_shard_reader *r,
                               const weft_tar_member *m)
{
    weft_status st;
    char *png;

    if (ends_in(m->name, ".json")) {
        free(s->json);
        s->json = NULL;
        if (s->seen++ % s->stride != 0) return WEFT_OK;
        return weft_shard_read(r, m, MOST_JSON, &s->json);
    }
    if (!s->json || !ends_in(m->name, ".png")) return WEFT_OK;
    if (s->bytes + m->bytes > WEFT_CONTACT_BYTES) return WEFT_OK;
    WEFT_TRY(weft_shard_read(r, m, MOST_PICTURE, &png));
    st = put_figure(s, (unsigned char *)png, (size_t)m->bytes);
    free(png);
    return st;
}

static weft_status put_shard(sheet *s, int k)
{
    weft_shard_state state;
    weft_shard_reader r;
    weft_tar_member m;
    weft_status st;

    WEFT_TRY(weft_shelf_look(s->shelf, k, false, &state, NULL));
    if (state != WEFT_SHARD_DONE && state != WEFT_SHARD_FAILED) return WEFT_OK;
    WEFT_TRY(weft_shard_open(s->shelf, k, &r));
    do {
        st = weft_shard_next(&r, &m);
        if (st == WEFT_OK && m.name[0]) st = take_member(s, &r, &m);
    } while (st == WEFT_OK && m.name[0]);
    weft_shard_close(&r);
    free(s->json);
    s->json = NULL;
    return st;
}

static weft_status put_page(sheet *s, int shards, const char *about)
{
    char count[64];

    WEFT_TRY(put(s, head));
    WEFT_TRY(put_escaped(s, s->shelf->dir, strlen(s->shelf->dir)));
    WEFT_TRY(put(s, "</h1>\n<p>"));
    WEFT_TRY(put_escaped(s, about, strlen(about)));
    WEFT_TRY(put(s, middle));
    for (int k = 0; k < shards; k++) WEFT_TRY(put_shard(s, k));
    snprintf(count, sizeof count, "</main>\n<p>%d pictures shown</p>\n",
             s->shown);
    WEFT_TRY(put(s, count));
    return put(s, tail);
}

weft_status weft_contact_write(const weft_shelf *shelf, int shards,
                               int64_t items, const char *about)
{
    sheet *s = calloc(1, sizeof *s);
    char path[WEFT_SHELF_PATH];
    weft_status st;

    if (!s) return weft_fail(WEFT_ENOMEM, "out of memory");
    s->shelf = shelf;
    s->stride = (items + WEFT_CONTACT_PICTURES - 1) / WEFT_CONTACT_PICTURES;
    if (s->stride < 1) s->stride = 1;
    snprintf(path, sizeof path, "%.4096s/index.html", shelf->dir);
    st = weft_file_create(path, &s->file);
    if (st == WEFT_OK) {
        st = put_page(s, shards, about);
        if (st == WEFT_OK)
            st = weft_file_commit(&s->file);
        else
            weft_file_abandon(&s->file);
    }
    free(s);
    return st;
}
