/*
 * weft_tokens FOLDER: the token ids of texts from stdin, each behind its length
 * (4 bytes, the lowest first), one line for each; for tests/golden/tokens.py.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/text/tokenizer.h"

static void must(weft_status st)
{
    if (st == WEFT_OK) return;
    fprintf(stderr, "%s\n", weft_fail_text());
    exit(weft_exit_code(st));
}

static bool read_length(uint32_t *n)
{
    unsigned char b[4];

    if (fread(b, 1, 4, stdin) != 4) return false;
    *n = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
         (uint32_t)b[3] << 24;
    return *n <= WEFT_MOST_TEXT;
}

int main(int argc, char **argv)
{
    static char text[WEFT_MOST_TEXT];
    weft_tokenizer *t;
    weft_ids ids = {0};
    uint32_t n;

    if (argc != 2) return 2;
    must(weft_tokenizer_open(argv[1], &t));
    while (read_length(&n) && fread(text, 1, n, stdin) == n) {
        ids.n = 0;
        must(weft_tokenize(t, text, n, &ids));
        for (size_t i = 0; i < ids.n; i++)
            printf("%s%d", i ? " " : "", ids.id[i]);
        putchar('\n');
    }
    weft_ids_release(&ids);
    weft_tokenizer_free(t);
    return 0;
}
