/* Checkpoints: what is written is read; whatever else is in the file is refused
 * in words. And what is left to be done, dealt to groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "launch/inspect.h"
#include "launch/share.h"

enum { ROWS = 3, COLUMNS = 2, CHANNELS = 2, FLOATS = 12, IMAGES = 9 };

static const char identity[] =
    "{\"sample\":{\"steps\":4,\"solver\":\"heun\"},\"parallel\":{}}";

static char folder[] = "/tmp/weft_checkpoint_XXXXXX", path[64], other[64];
static weft_noise_schedule schedule;
static weft_solver *heun;

static void is(weft_status st, weft_status want, const char *words)
{
    if (st != want) fail_msg("%d, not %d: %s", st, want, weft_fail_text());
    if (st != WEFT_OK && !strstr(weft_fail_text(), words))
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
}

static float value(int image, int buffer, int i)
{
    return (float)(image * 1000 + buffer * 100 + i) / 7;
}

/* The steps of image 0, 1, ...: its stage, or -1: not in flight. `done`: bit i
 * says image i. */
static void write_one(const char *to, const int *stage, int images,
                      unsigned done)
{
    static const double density[2] = {1.5, -2.5};
    unsigned char all[IMAGES] = {0};
    const weft_checkpoint_head head = {identity, "0123456789abcdef ", all,
                                       IMAGES};
    weft_keep item[IMAGES];
    weft_checkpoint_writer *w;
    float row[4];
    int n = 0;

    for (int i = 0; i < IMAGES; i++) all[i] = done >> i & 1;
    for (int i = 0; i < images; i++)
        if (stage[i] >= 0)
            item[n++] = (weft_keep){.image = i,
                                    .step = stage[i] / 2,
                                    .stage = stage[i] % 2,
                                    .draws = 1,
                                    .kept = stage[i] % 2 ? 10 : 0,
                                    .density = density,
                                    .models = i == 3 ? 2 : 0};
    is(weft_checkpoint_create(to, &head, item, n, ROWS, COLUMNS, CHANNELS, &w),
       WEFT_OK, "");
    for (int k = 0; k < n; k++)
        for (int b = -1; b < WEFT_KEPT; b++)
            for (int y = 0; y < ROWS && (b < 0 || item[k].kept >> b & 1); y++) {
                for (int i = 0; i < 4; i++)
                    row[i] = value(item[k].image, b, 4 * y + i);
                is(weft_checkpoint_rows(w, k, b, y, 1, row), WEFT_OK, "");
            }
    is(weft_checkpoint_finish(w), WEFT_OK, "");
}

static void check_plane(const weft_st_tensor *t, int image, int buffer)
{
    float all[FLOATS];

    assert_non_null(t);
    assert_int_equal(t->bytes, sizeof all);
    memcpy(all, t->data, sizeof all);
    for (int i = 0; i < FLOATS; i++)
        assert_true(all[i] == value(image, buffer, i));
}

static weft_checkpoint_fit fit(void)
{
    return (weft_checkpoint_fit){heun, ROWS, COLUMNS, CHANNELS, IMAGES};
}

static void what_is_written_is_read(void **state)
{
    static const int stage[] = {-1, 5, -1, 8, 0};
    const weft_checkpoint_fit f = fit();
    unsigned char done[IMAGES];
    weft_checkpoint c;

    (void)state;
    write_one(path, stage, 5, 1 << 0 | 1 << 6 | 1 << 7 | 1 << 8);
    is(weft_checkpoint_open(path, &c), WEFT_OK, "");
    assert_string_equal(c.identity, identity);
    assert_string_equal(c.done, "0,6-8");
    assert_int_equal(c.n, 3);
    assert_int_equal(c.item[0].image, 1);
    assert_int_equal(c.item[0].step, 2);
    assert_int_equal(c.item[0].stage, 1);
    check_plane(c.item[0].x, 1, -1);
    check_plane(c.item[0].kept[1], 1, 1);
    check_plane(c.item[0].kept[3], 1, 3);
    assert_null(c.item[0].kept[0]);
    assert_null(c.item[0].density);
    assert_int_equal(c.item[1].density->bytes, 16);
    check_plane(c.item[2].x, 4, -1);
    is(weft_checkpoint_done(&c, IMAGES, done), WEFT_OK, "");
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal(done[i], i == 0 || i >= 6);
    is(weft_checkpoint_done(&c, 8, done), WEFT_EINPUT, "image 8 of 8");
    is(weft_checkpoint_fits(&c, &f), WEFT_EINPUT,
       "image 3: it has not the log-densities");
    weft_checkpoint_close(&c);
    write_one(path, stage, 3, 0);
    is(weft_checkpoint_open(path, &c), WEFT_OK, "");
    is(weft_checkpoint_fits(&c, &f), WEFT_OK, "");
    assert_int_equal(c.item[0].at, 5);
    weft_checkpoint_close(&c);
}

/* ---- hostile files ------------------------------------------------------- */

static void put_file(const char *data, size_t bytes)
{
    FILE *f = fopen(other, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

/* Not one bit can change, and not one byte can be missing. */
static void damage_is_found(void **state)
{
    static const int stage[] = {5, -1, -1, 3};
    weft_checkpoint c;
    size_t bytes;
    char *data;

    (void)state;
    write_one(path, stage, 4, 2);
    is(weft_file_read(path, 1 << 20, &data, &bytes), WEFT_OK, "");
    for (size_t i = 0; i < 8 * bytes; i++) {
        data[i / 8] ^= (char)(1 << i % 8);
        put_file(data, bytes);
        if (weft_checkpoint_open(other, &c) == WEFT_OK)
            fail_msg("bit %zu of byte %zu may change", i % 8, i / 8);
        assert_non_null(strstr(weft_fail_text(), other));
        data[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t n = 0; n < bytes; n += 7) {
        put_file(data, n);
        is(weft_checkpoint_open(other, &c), WEFT_EINPUT, other);
    }
    put_file("", 0);
    is(weft_checkpoint_open(other, &c), WEFT_EINPUT, other);
    free(data);
    is(weft_checkpoint_open(WEFT_SOURCE_DIR "/tests/golden/demo_strong"
                                            ".safetensors",
                            &c),
       WEFT_EINPUT, "not a checkpoint of weft");
    is(weft_checkpoint_open("/tmp/no/such/file", &c), WEFT_EINPUT, "no/such");
}

static void misfit(int step, int stage, uint32_t draws, weft_checkpoint_fit f,
                   const char *words)
{
    static const int any[] = {2};
    weft_checkpoint c;

    write_one(path, any, 1, 0);
    is(weft_checkpoint_open(path, &c), WEFT_OK, "");
    c.item[0].step = step;
    c.item[0].stage = stage;
    c.item[0].draws = draws;
    is(weft_checkpoint_fits(&c, &f), words ? WEFT_EINPUT : WEFT_OK, words);
    weft_checkpoint_close(&c);
}

static void what_does_not_fit_is_refused(void **state)
{
    weft_checkpoint_fit f = fit();

    (void)state;
    misfit(1, 0, 1, f, NULL);
    misfit(4, 0, 1, f, NULL);
    misfit(4, 1, 1, f, "there are not so many steps");
    misfit(5, 0, 1, f, "there are not so many steps");
    misfit(3, 1, 1, f, "there are not so many steps");
    misfit(1, 1, 1, f, "it has not the buffers");
    misfit(1, 0, 0, f, "its noise is not at that step");
    misfit(1, 0, 2, f, "its noise is not at that step");
    f.rows = 4;
    misfit(1, 0, 1, f, "not as large as the model's");
    f = fit();
    f.images = 0;
    misfit(1, 0, 1, f, "image 0: there are not so many images");
}

/* ---- identities ---------------------------------------------------------- */

static void differences_are_named(void **state)
{
    (void)state;
    is(weft_checkpoint_same(identity, identity), WEFT_OK, "");
    is(weft_checkpoint_same("{\"b\":1,\"a\":[1]}", "{\"a\":[1],\"b\":1}"),
       WEFT_OK, "");
    is(weft_checkpoint_same(
           identity,
           "{\"sample\":{\"steps\":5,\"solver\":\"heun\"},\"parallel\":{}}"),
       WEFT_EINPUT, "sample.steps was 4 and is 5");
    is(weft_checkpoint_same("{\"a\":{\"b\":1}}", "{\"a\":{}}"), WEFT_EINPUT,
       "a.b was 1 and is not given");
    is(weft_checkpoint_same("{\"a\":{}}", "{\"a\":{\"b\":[\"x\"]}}"),
       WEFT_EINPUT, "a.b was not given and is [\"x\"]");
    is(weft_checkpoint_same("{\"a\":1}", "{\"a\":{\"b\":1}}"), WEFT_EINPUT,
       "a was 1 and is {\"b\":1}");
    is(weft_checkpoint_same("[", "{}"), WEFT_EINPUT, "no JSON object");
}

/* ---- several ------------------------------------------------------------- */

static void the_furthest_ahead_counts(void **state)
{
    static const int stage[][5] = {{2, 5, -1, -1, 3}, {4, -1, 7, -1, 2}};
    weft_checkpoint from[2], c;

    (void)state;
    write_one(path, stage[0], 5, 1 << 3);
    write_one(other, stage[1], 5, 1 << 1);
    is(weft_checkpoint_open(path, &from[0]), WEFT_OK, "");
    is(weft_checkpoint_open(other, &from[1]), WEFT_OK, "");
    is(weft_checkpoint_merge(from, 2, IMAGES, path), WEFT_OK, "");
    is(weft_checkpoint_merge(from, 2, 2, other), WEFT_EINPUT,
       "image 3 of 2 is");
    weft_checkpoint_close(&from[0]);
    weft_checkpoint_close(&from[1]);
    is(weft_checkpoint_open(path, &c), WEFT_OK, "");
    assert_string_equal(c.done, "1,3");
    assert_int_equal(c.n, 3);
    assert_int_equal(c.item[0].step, 2);
    assert_int_equal(c.item[1].image, 2);
    assert_int_equal(c.item[1].step, 3);
    check_plane(c.item[1].kept[1], 2, 1);
    assert_int_equal(c.item[2].image, 4);
    assert_int_equal(c.item[2].stage, 1);
    weft_checkpoint_close(&c);
}

/* The stage at which batch b enters. */
static int entered(const weft_share *s, int b)
{
    return b < s->nbegun ? s->begin[b] : 0;
}

/* Every image once, none that is complete, in batches of one stage, none later
 * than the one before. */
static void check_shares(const weft_plan *p, const weft_checkpoint *c,
                         unsigned left)
{
    for (int g = 0; g < p->grid.groups; g++) {
        weft_share s;

        is(weft_share_make(p, c, g, &s), WEFT_OK, "");
        assert_int_equal(s.first[0], 0);
        assert_int_equal(s.first[s.nbatches], s.n);
        for (int b = 0; b < s.nbatches; b++) {
            assert_in_range(s.first[b + 1] - s.first[b], 1, p->batch);
            assert_true(b == 0 || entered(&s, b) <= entered(&s, b - 1));
            for (int i = s.first[b]; i < s.first[b + 1]; i++) {
                assert_int_equal(b < s.nbegun, i < s.nsaved);
                if (b < s.nbegun)
                    assert_int_equal(s.saved[i]->at, entered(&s, b));
                if (b < s.nbegun)
                    assert_int_equal(s.saved[i]->image, s.image[i]);
                assert_true(left >> s.image[i] & 1);
                left ^= 1u << s.image[i];
            }
        }
        weft_share_release(&s);
    }
    assert_int_equal(left, 0);
}

static void all_that_is_left_is_dealt(void **state)
{
    static const int stage[] = {0, 2, 5, 2, -1, 2, -1};
    const weft_checkpoint_fit f = fit();
    weft_plan p = {.images = IMAGES};
    weft_checkpoint c;

    (void)state;
    write_one(path, stage, 3, 1 << 4 | 1 << 1);
    is(weft_checkpoint_open(path, &c), WEFT_OK, "");
    is(weft_checkpoint_fits(&c, &f), WEFT_OK, "");
    for (p.grid.groups = 1; p.grid.groups < 12; p.grid.groups++)
        for (p.batch = 1; p.batch < 4; p.batch++) {
            check_shares(&p, NULL, 0x1ff);
            check_shares(&p, &c, 0x1ff ^ (1 << 4 | 1 << 1));
        }
    weft_checkpoint_close(&c);
}

/* ---- words --------------------------------------------------------------- */

static void says_what_it_is(void **state)
{
    static const int stage[] = {5, -1, 8};
    char *said = NULL;
    size_t n;
    FILE *f = open_memstream(&said, &n);

    (void)state;
    write_one(path, stage, 3, 1 << 1 | 1 << 5);
    is(weft_inspect(path, f), WEFT_OK, "");
    fclose(f);
    for (const char *const *w =
             (const char *const[]){"a checkpoint of weft", "2 images complete",
                                   "2 images in flight",
                                   "image 0: step 3, stage 2 of it, comes next",
                                   "image 2: step 5 comes next",
                                   "3 x 2, 2 channels", "\"steps\":4", NULL};
         *w; w++)
        if (!strstr(said, *w)) fail_msg("no \"%s\" in:\n%s", *w, said);
    free(said);
}

static int set_up(void **state)
{
    static const char text[] = "{\"beta_start\": 0.0001, \"beta_end\": 0.02}";
    const weft_solver_opts o = {.kind = WEFT_HEUN, .steps = 4};
    weft_json *j;

    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a", folder);
    snprintf(other, sizeof other, "%s/b", folder);
    if (weft_json_parse("case", text, strlen(text), &j) != WEFT_OK ||
        weft_noise_schedule_read(j, NULL, WEFT_HEUN, &schedule) != WEFT_OK ||
        weft_solver_create(&o, &schedule, &heun) != WEFT_OK)
        return -1;
    weft_json_free(j);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    weft_solver_destroy(heun);
    weft_noise_schedule_release(&schedule);
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(the_furthest_ahead_counts),
        cmocka_unit_test(all_that_is_left_is_dealt),
        cmocka_unit_test(says_what_it_is),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
