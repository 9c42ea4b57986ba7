/* inspect_pipeline.c - whole pipelines in words. */
#include <string.h>

#include "core/io/path.h"
#include "core/model/component.h"
#include "core/model/original.h"
#include "core/model/pipeline.h"
#include "launch/inspect_model.h"

/* The first failure; what is broken is named and the rest goes on. */
typedef struct outcome {
    weft_status status;
    char first[512]; /* why weft cannot sample; "" while it can */
} outcome;

static void print_part(const weft_pipeline_part *part, FILE *out, outcome *o)
{
    bool runs;
    const weft_status s =
        weft_inspect_part(part->path, part->name, true, &runs, out);

    if (s == WEFT_OK && runs) return;
    if (!o->first[0])
        snprintf(o->first, sizeof o->first, "%s", weft_fail_text());
    if (s == WEFT_OK) return;
    weft_inspect_head(out, part->name, part->class_name);
    fputs("  cannot be used: ", out);
    weft_inspect_print(out, weft_fail_text(), 500);
    putc('\n', out);
    if (o->status == WEFT_OK) o->status = s;
}

static void print_other(const weft_pipeline_part *part, FILE *out)
{
    weft_inspect_head(out, part->name, part->class_name);
    fputs(weft_pipeline_ignores(part->name) ? "  weft does without it\n"
                                            : "  weft does not know it\n",
          out);
}

static bool lacks_tokenizer(const weft_pipeline *p)
{
    const weft_pipeline_part *part = p->part;

    return (part[WEFT_PIPELINE_TEXT].path &&
            !part[WEFT_PIPELINE_TOKENIZER].path) ||
           (part[WEFT_PIPELINE_TEXT_2].path &&
            !part[WEFT_PIPELINE_TOKENIZER_2].path);
}

static void print_verdict(const weft_pipeline *p, const outcome *o, FILE *out)
{
    const bool known = weft_pipeline_check(p) == WEFT_OK;

    if (known && !o->first[0]) {
        fputs("weft can sample with it", out);
        fputs(lacks_tokenizer(p) ? ", given a tokenizer: it has none\n" : "\n",
              out);
        return;
    }
    fputs("weft cannot sample with it: ", out);
    weft_inspect_print(out, known ? o->first : weft_fail_text(), 500);
    putc('\n', out);
}

static void print_title(const weft_pipeline *p, FILE *out)
{
    fputs(p->one_file ? "pipeline in one file: " : "pipeline: ", out);
    weft_inspect_print(out, p->class_name, 80);
    if (weft_pipeline_is_strange(p))
        fputs(", a class that weft does not know", out);
    putc('\n', out);
}

weft_status weft_inspect_pipeline(const char *path, FILE *out)
{
    outcome o = {WEFT_OK, ""};
    char file[WEFT_PATH];
    const char *variant;
    weft_status status = WEFT_OK;
    weft_pipeline *p;

    WEFT_TRY(weft_component_split(path, file, sizeof file, &variant));
    WEFT_TRY(weft_pipeline_read(file, &p));
    if (variant) status = weft_pipeline_choose(p, variant);
    if (status != WEFT_OK) {
        weft_pipeline_free(p);
        return status;
    }
    print_title(p, out);
    for (int i = 0; i < WEFT_PIPELINE_ROLES; i++)
        if (p->part[i].path) print_part(&p->part[i], out, &o);
    for (int i = 0; i < p->nother; i++) print_other(&p->other[i], out);
    print_verdict(p, &o, out);
    weft_pipeline_free(p);
    return o.status == WEFT_OK ? WEFT_OK : weft_fail(o.status, "%s", o.first);
}
