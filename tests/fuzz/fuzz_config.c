/*
 * A config, and after a zero byte each KEY=VALUE that is put on it. What is
 * accepted is used, and its identity is held to be one: as a config it gives
 * itself again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launch/config.h"

enum { MOST_OVERRIDES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* An identity whose models are not there is one all the same. */
static void use(const weft_config *c)
{
    char *json, *again, *text;
    weft_config d;

    if (weft_config_parameters(c, 1, &text) == WEFT_OK) free(text);
    if (c->output.image != NULL &&
        weft_config_fill(c, c->output.image, 0, &text) == WEFT_OK)
        free(text);
    if (weft_config_identity(c, 1, &json) != WEFT_OK) return;
    if (weft_config_parse("/x.png", json, strlen(json), NULL, 0, &d) ==
        WEFT_OK) {
        if (weft_config_identity(&d, 1, &again) == WEFT_OK) {
            if (strcmp(json, again) != 0) abort();
            free(again);
        }
        weft_config_release(&d);
    } else if (strstr(weft_fail_text(), "the image's folder") == NULL) {
        abort();
    }
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *override[MOST_OVERRIDES];
    char *all = malloc(bytes + 1);
    size_t at;
    weft_config c;
    int n = 0;

    if (all == NULL) return 0;
    if (bytes > 0) memcpy(all, data, bytes);
    all[bytes] = '\0';
    const size_t size = strlen(all);
    for (at = size + 1; at < bytes && n < MOST_OVERRIDES;
         at += strlen(all + at) + 1)
        override[n++] = all + at;
    if (weft_config_parse("d/a.yaml", all, size, override, n, &c) == WEFT_OK) {
        use(&c);
        weft_config_release(&c);
    }
    free(all);
    return 0;
}
