#include "tests/golden_loras.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/must.h"

/* "WHATi" in the golden's metadata, or NULL. */
static const char *meta(const golden_loras *l, const char *what, int i)
{
    char key[32];

    snprintf(key, sizeof key, "%s%d", what, i);
    return weft_st_metadata(l->answer, key);
}

static void path_in(const golden_loras *l, int i, const char *file,
                    char path[GOLDEN_PATH + 64])
{
    snprintf(path, GOLDEN_PATH + 64, "%s/%s", l->folder[i], file);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void open_lora(golden_loras *l, int i)
{
    const char *adapter = meta(l, "adapter", i), *config = meta(l, "config", i);
    const char *const metadata[] = {adapter ? "lora_adapter_metadata" : NULL,
                                    adapter, NULL};
    char path[GOLDEN_PATH + 64];

    snprintf(l->folder[i], GOLDEN_PATH, "/tmp/weft-lora-XXXXXX");
    assert_non_null(mkdtemp(l->folder[i]));
    path_in(l, i, "adapter_config.json", path);
    if (config) write_text(path, config);
    path_in(l, i, "adapter_model.safetensors", path);
    golden_write_with(path, meta(l, "lora", i), metadata);
    must(weft_lora_open(i ? path : l->folder[i], &l->lora[i]));
    l->scale[i] = strtof(meta(l, "scale", i), NULL);
}

void golden_loras_open(golden_loras *l, const char *name)
{
    static const char *const parts[] = {"unet", "text_encoder",
                                        "text_encoder_2"};
    char path[GOLDEN_PATH];

    memset(l, 0, sizeof *l);
    snprintf(path, sizeof path,
             WEFT_SOURCE_DIR "/tests/golden/lora_%s.safetensors", name);
    must(weft_st_open(path, &l->answer));
    l->base = weft_st_metadata(l->answer, "base");
    for (int i = 0; i < WEFT_LORA_PARTS; i++)
        if (!strcmp(parts[i], weft_st_metadata(l->answer, "part")))
            l->part = (weft_lora_part)i;
    for (; l->n < GOLDEN_LORAS && meta(l, "lora", l->n); l->n++)
        open_lora(l, l->n);
}

void golden_loras_close(golden_loras *l)
{
    char path[GOLDEN_PATH + 64];

    for (int i = 0; i < l->n; i++) {
        weft_lora_close(l->lora[i]);
        path_in(l, i, "adapter_config.json", path);
        unlink(path);
        path_in(l, i, "adapter_model.safetensors", path);
        unlink(path);
        rmdir(l->folder[i]);
    }
    weft_st_close(l->answer);
}

weft_status golden_loras_apply(const golden_loras *l, const weft_st *st,
                               weft_graph *g)
{
    for (int i = 0; i < l->n; i++)
        WEFT_TRY(weft_lora_apply(l->lora[i], l->part, l->scale[i], st, g));
    return l->beside ? weft_graph_beside(g) : WEFT_OK;
}
