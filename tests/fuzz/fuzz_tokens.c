/*
 * A tokenizer's files, and a text for it: vocab.json, merges.txt, a config, a
 * map of special tokens and the text, with lines "====" between them. What is
 * left out at the end is not there. A vocabulary with a "model" is a whole
 * tokenizer.json, and the merges are not looked at.
 */
#include <stdint.h>
#include <string.h>

#include "core/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { VOCAB, MERGES, CONFIG, MAP, TEXT, PARTS };

typedef struct part {
    const char *text;
    size_t bytes;
} part;

static int cut(const char *text, size_t bytes, part p[PARTS])
{
    int n = 0;

    for (const char *end; n < PARTS; n++) {
        end = n < PARTS - 1 ? memmem(text, bytes, "\n====\n", 6) : NULL;
        p[n] = (part){text, end ? (size_t)(end - text) : bytes};
        if (!end) return n + 1;
        bytes -= p[n].bytes + 6;
        text = end + 6;
    }
    return n;
}

static void use(const weft_tokenizer *t, const part *text)
{
    weft_ids ids = {0};

    if (weft_tokenize(t, text->text, text->bytes, &ids) == WEFT_OK)
        for (size_t i = 0; i < ids.n; i++)
            WEFT_MUST(ids.id[i] >= 0 && ids.id[i] < WEFT_MOST_TOKENS);
    weft_ids_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const name[] = {[CONFIG] = "config", [MAP] = "map"};
    weft_json *json[PARTS] = {NULL};
    part p[PARTS] = {{NULL, 0}};
    const int n = cut((const char *)data, bytes, p);
    weft_tokenizer *t;

    if (weft_json_parse("vocab", p[VOCAB].text, p[VOCAB].bytes, &json[VOCAB]) !=
        WEFT_OK)
        return 0;
    for (int i = CONFIG; i <= MAP && i < n; i++)
        if (weft_json_parse(name[i], p[i].text, p[i].bytes, &json[i]) !=
            WEFT_OK)
            json[i] = NULL;
    if (weft_tokenizer_create(
            &(weft_tokenizer_files){
                .vocab = json[VOCAB],
                .whole =
                    weft_json_has(json[VOCAB], "model") ? json[VOCAB] : NULL,
                .config = json[CONFIG],
                .map = json[MAP],
                .merges_name = "merges",
                .merges = p[MERGES].text ? p[MERGES].text : "",
                .merges_bytes = p[MERGES].bytes},
            &t) == WEFT_OK) {
        if (n > TEXT) use(t, &p[TEXT]);
        weft_tokenizer_free(t);
    }
    for (int i = 0; i < PARTS; i++) weft_json_free(json[i]);
    return 0;
}
