/*
 * A prompt, plain and weighted, with a vocabulary of a few pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static weft_tokenizer *make(void)
{
    static const char vocab[] =
        "{\"a\": 0, \"a</w>\": 1, \"b</w>\": 2, \"ab</w>\": 3, \",</w>\": 4, "
        "\"<|startoftext|>\": 5, \"<|endoftext|>\": 6}";
    static const char config[] = "{\"model_max_length\": 9}";
    static const char merges[] = "a b</w>";
    weft_tokenizer_files f = {.merges_name = "merges",
                              .merges = merges,
                              .merges_bytes = sizeof merges - 1};
    weft_json *v, *c;
    weft_tokenizer *t;

    WEFT_MUST(weft_json_parse("v", vocab, sizeof vocab - 1, &v) == WEFT_OK);
    WEFT_MUST(weft_json_parse("c", config, sizeof config - 1, &c) == WEFT_OK);
    f.vocab = v, f.config = c;
    WEFT_MUST(weft_tokenizer_create(&f, &t) == WEFT_OK);
    weft_json_free(v);
    weft_json_free(c);
    return t;
}

static void check(weft_prompt *p, const weft_tokenizer *t)
{
    const weft_tokenizer_info *info = weft_tokenizer_tell(t);

    WEFT_MUST(p->chunks > 0 && p->length == info->most);
    for (int k = 0; k < p->chunks; k++) {
        const int *id = p->id + k * p->length;
        int end = 1;

        WEFT_MUST(id[0] == info->begin);
        while (end < p->length && id[end] != info->end) end++;
        WEFT_MUST(end < p->length);
    }
    weft_prompt_release(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static weft_tokenizer *t;
    char *text = malloc(bytes + 1);
    weft_prompt p;

    WEFT_MUST(text);
    memcpy(text, data, bytes);
    text[bytes] = 0;
    if (!t) t = make();
    if (weft_prompt_plain(t, text, &p) == WEFT_OK) check(&p, t);
    if (weft_prompt_weighted(t, text, &p) == WEFT_OK) check(&p, t);
    free(text);
    return 0;
}
