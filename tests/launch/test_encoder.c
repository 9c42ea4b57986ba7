/*
 * The encoder beside a sampler: what is handed over ends on the shelf, in any
 * number of shards, whoever waits for whom; a failure reaches who samples.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#include "core/io/png.h"
#include "core/model/safetensors.h"
#include "launch/encoder.h"

enum { SHARDS = 5, ITEMS = 7, SIDE = 16, BLACK = 2, BAD = 4, CAPTIONED = 5 };

static const char caption[] = "a \"tree\", l\u00e4rch";

static char folder[] = "/tmp/weft_encoder_XXXXXX";
static weft_shelf shelf = {.dir = folder, .manifest = "m"};
static weft_form form;

static weft_encoder *start(void)
{
    const weft_encoder_spec s = {
        .shelf = &shelf, .images = true, .latents = true, .room = 3};
    weft_encoder *e;

    assert_int_equal(weft_encoder_start(&s, &e), WEFT_OK);
    return e;
}

static void fill_item(weft_item *item, int k, int i)
{
    *item = (weft_item){.seed = (uint64_t)(k * ITEMS + i), .label = 3};
    snprintf(item->id, sizeof item->id, "item-%d-%d", k, i);
    if (i == CAPTIONED) item->caption = strdup(caption);
}

static weft_shard *open_shard(int k)
{
    static const char about[WEFT_HASH_TEXT] = "about";
    weft_shard *s = calloc(1, sizeof *s);
    char path[WEFT_SHELF_PATH];

    assert_non_null(s);
    *s = (weft_shard){.number = k, .entry = SHARDS - k};
    s->items = calloc(1, sizeof *s->items);
    assert_non_null(s->items);
    s->items->n = ITEMS;
    s->items->item = calloc(ITEMS, sizeof *s->items->item);
    assert_non_null(s->items->item);
    for (int i = 0; i < ITEMS; i++) fill_item(&s->items->item[i], k, i);
    weft_shelf_path(&shelf, k, WEFT_SHELF_SPOOL, path);
    assert_int_equal(weft_spool_open(path, about, ITEMS, &s->spool), WEFT_OK);
    return s;
}

static weft_status give(weft_encoder *e, weft_shard *s, int i)
{
    weft_finished *w;

    WEFT_TRY(weft_encoder_room(e, &form, &w));
    w->shard = s;
    w->item = i;
    w->finite = i != BAD;
    memset(w->pixels, i == BLACK ? 0 : 10 + i,
           (size_t)(SIDE * SIDE * form.channels));
    for (int k = 0; k < 2 * 4 * 4; k++) w->latents[k] = (float)(k + i);
    return weft_encoder_item(e, w);
}

static void check_png(const weft_shard_reader *r, const weft_tar_member *m)
{
    char path[64], *data;
    unsigned char *pixels;
    int w, h, c;
    FILE *f;

    snprintf(path, sizeof path, "%s/x.png", folder);
    assert_int_equal(weft_shard_read(r, m, 1 << 20, &data), WEFT_OK);
    f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(data, 1, (size_t)m->bytes, f);
    fclose(f);
    free(data);
    assert_int_equal(weft_png_read(path, &w, &h, &c, &pixels), WEFT_OK);
    assert_true(w == SIDE && h == SIDE && c == 3);
    assert_int_equal(pixels[SIDE], 10 + m->name[7] - '0');
    free(pixels);
}

static void check_latents(const weft_shard_reader *r, const weft_tar_member *m)
{
    char path[64], *data;
    const weft_st_tensor *t;
    weft_st *st;
    FILE *f;

    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    assert_int_equal(weft_shard_read(r, m, 1 << 20, &data), WEFT_OK);
    f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(data, 1, (size_t)m->bytes, f);
    fclose(f);
    free(data);
    assert_int_equal(weft_st_open(path, &st), WEFT_OK);
    t = weft_st_find(st, "latents");
    assert_true(t && t->ndim == 4 && t->shape[1] == 2 && t->shape[3] == 4);
    assert_true(((const float *)t->data)[5] == (float)(5 + m->name[7] - '0'));
    weft_st_close(st);
}

static void check_text(const weft_shard_reader *r, const weft_tar_member *m,
                       const char *text)
{
    char *data;

    assert_int_equal(weft_shard_read(r, m, 1 << 20, &data), WEFT_OK);
    assert_non_null(strstr(data, text));
    free(data);
}

/* Three members of each item but two; four of one that has a caption. */
static void check_shard(int k)
{
    weft_shard_reader r;
    weft_tar_member m;
    int n = 0;

    assert_int_equal(weft_shard_open(&shelf, k, &r), WEFT_OK);
    for (;; n++) {
        assert_int_equal(weft_shard_next(&r, &m), WEFT_OK);
        if (!m.name[0]) break;
        if (strstr(m.name, ".png")) check_png(&r, &m);
        if (strstr(m.name, ".latent")) check_latents(&r, &m);
        if (strstr(m.name, ".txt")) check_text(&r, &m, caption);
        if (m.name[7] == '0' + CAPTIONED && strstr(m.name, ".json"))
            check_text(&r, &m, "\"caption\":\"a \\\"tree\\\", l\u00e4rch\"");
    }
    weft_shard_close(&r);
    assert_int_equal(n, 3 * (ITEMS - 2) + 1);
}

static void all_that_is_given_is_kept(void **state)
{
    weft_encoder *e = start();
    weft_encoder_tally t;
    weft_shard_state is;
    int entry, told = 0;

    (void)state;
    for (int k = 0; k < SHARDS; k++) {
        weft_shard *s = open_shard(k);

        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(give(e, s, i), WEFT_OK);
        assert_int_equal(weft_encoder_shard(e, s), WEFT_OK);
        (void)weft_encoder_look(e);
    }
    assert_int_equal(weft_encoder_drain(e), WEFT_OK);
    for (;; told++) {
        assert_int_equal(weft_encoder_next_done(e, &entry), WEFT_OK);
        if (entry < 0) break;
        assert_int_equal(entry, SHARDS - told);
    }
    t = weft_encoder_look(e);
    assert_true(t.items == SHARDS * ITEMS && t.failed == 2 * SHARDS);
    assert_true(told == SHARDS && t.shards == SHARDS);
    weft_encoder_stop(e);
    for (int k = 0; k < SHARDS; k++) {
        assert_int_equal(weft_shelf_look(&shelf, k, true, &is, NULL), WEFT_OK);
        assert_int_equal(is, WEFT_SHARD_FAILED);
        check_shard(k);
    }
}

/* Stopped in the middle of a shard: its spool has what was given. */
static void what_was_given_outlives_a_stop(void **state)
{
    weft_encoder *e = start();
    weft_shard *s = open_shard(0);

    (void)state;
    for (int i = 0; i < 3; i++) assert_int_equal(give(e, s, i), WEFT_OK);
    assert_int_equal(weft_encoder_drain(e), WEFT_OK);
    weft_encoder_stop(e);
    weft_shard_free(s);
    s = open_shard(0);
    assert_int_equal(s->spool.found, 3);
    weft_shard_free(s);
}

static void a_failure_reaches_who_samples(void **state)
{
    weft_encoder *e = start();
    weft_shard *s = open_shard(0);
    weft_status st = WEFT_OK;

    (void)state;
    form.channels = 2; /* no PNG of ours has that */
    for (int i = 0; i < ITEMS && st == WEFT_OK; i++) st = give(e, s, i);
    if (st == WEFT_OK) st = weft_encoder_drain(e);
    assert_int_equal(st, WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "1 or 3 are written"));
    form.channels = 3;
    assert_int_equal(weft_encoder_shard(e, s), WEFT_EINPUT);
    assert_int_equal(weft_encoder_drain(e), WEFT_EINPUT);
    weft_encoder_stop(e);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    form = (weft_form){.width = SIDE,
                       .height = SIDE,
                       .channels = 3,
                       .rows = 4,
                       .columns = 4,
                       .latent_channels = 2};
    return weft_config_load(WEFT_SOURCE_DIR "/configs/dataset.yaml", NULL, 0,
                            &form.config) == WEFT_OK
               ? 0
               : -1;
}

static int clear(void **state)
{
    DIR *dir = opendir(folder);
    const struct dirent *d;

    (void)state;
    while (dir && (d = readdir(dir))) unlinkat(dirfd(dir), d->d_name, 0);
    if (dir) closedir(dir);
    return 0;
}

static int remove_folder(void **state)
{
    clear(state);
    weft_config_release(&form.config);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(all_that_is_given_is_kept, clear),
        cmocka_unit_test_teardown(what_was_given_outlives_a_stop, clear),
        cmocka_unit_test_teardown(a_failure_reaches_who_samples, clear),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
