/* inspect_checkpoint.c - images in flight, in words. */
#include <stdlib.h>
#include <string.h>

#include "launch/checkpoint.h"
#include "launch/config.h"
#include "launch/inspect_model.h"

enum { SHOWN = 16, TEXT = 4000 };

static const char *plural(int n) { return n == 1 ? "" : "s"; }

static weft_status print_done(const weft_checkpoint *c, FILE *out)
{
    unsigned char *done = malloc(WEFT_MAX_SEEDS);
    weft_status st = done ? weft_checkpoint_done(c, WEFT_MAX_SEEDS, done)
                          : weft_fail(WEFT_ENOMEM, "out of memory");
    int n = 0;

    for (int i = 0; i < WEFT_MAX_SEEDS && st == WEFT_OK; i++) n += done[i];
    free(done);
    if (st != WEFT_OK) return st;
    fprintf(out, "  %d image%s complete%s", n, plural(n), n ? ": " : "");
    weft_inspect_print(out, c->done, 200);
    putc('\n', out);
    return WEFT_OK;
}

static void print_item(const weft_saved *s, FILE *out)
{
    fprintf(out, "    image %d: step %d", s->image, s->step + 1);
    if (s->stage) fprintf(out, ", stage %d of it,", s->stage + 1);
    fputs(" comes next\n", out);
}

static void print_items(const weft_checkpoint *c, FILE *out)
{
    const int64_t *shape = c->n ? c->item[0].x->shape : NULL;

    fprintf(out, "  %d image%s in flight", c->n, plural(c->n));
    if (shape)
        fprintf(out, ", latents of %lld x %lld, %lld channels",
                (long long)shape[0], (long long)shape[1], (long long)shape[2]);
    putc('\n', out);
    for (int i = 0; i < c->n && i < SHOWN; i++) print_item(&c->item[i], out);
    if (c->n > SHOWN) fprintf(out, "    and %d more\n", c->n - SHOWN);
}

weft_status weft_inspect_checkpoint(const char *path, FILE *out)
{
    weft_checkpoint c;
    weft_status st;

    WEFT_TRY(weft_checkpoint_open(path, &c));
    fprintf(out, "%s: a checkpoint of weft\n", path);
    st = print_done(&c, out);
    if (st == WEFT_OK) {
        print_items(&c, out);
        fputs("  images are counted from 0 in the list of seeds; of:\n  ", out);
        weft_inspect_print(out, c.identity, TEXT);
        putc('\n', out);
    }
    weft_checkpoint_close(&c);
    return st;
}
