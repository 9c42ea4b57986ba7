/* The configs of the repository load, and no damage to them does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io/file.h"
#include "launch/config.h"

enum { DAMAGES = 1000, ROOM = 1 << 16 };

static void test_load(void **state)
{
    const glob_t *g = *state;

    assert_true(g->gl_pathc >= 10);
    for (size_t i = 0; i < g->gl_pathc; i++) {
        weft_config c;
        if (weft_config_load(g->gl_pathv[i], NULL, 0, &c) != WEFT_OK)
            fail_msg("%s", weft_fail_text());
        for (int m = 0; m < c.nmodels; m++)
            if (access(c.model[m].path, R_OK) != 0)
                fail_msg("%s: no %s", c.file, c.model[m].path);
        assert_int_equal(access(c.vae, R_OK), 0);
        assert_int_equal(access(c.schedule, R_OK), 0);
        assert_true(c.output.image || c.output.dir);
        weft_config_release(&c);
    }
}

/* The header of a config says why it is there. */
static void test_headers(void **state)
{
    const glob_t *g = *state;

    for (size_t i = 0; i < g->gl_pathc; i++) {
        char *text;
        size_t n;
        assert_int_equal(weft_file_read(g->gl_pathv[i], ROOM, &text, &n),
                         WEFT_OK);
        if (strncmp(text, "# ", 2) != 0 || strcspn(text, "\n") < 40)
            fail_msg("%s: has no header", g->gl_pathv[i]);
        free(text);
    }
}

/* xorshift64: the same damages everywhere. */
static uint32_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return (uint32_t)(*s >> 32);
}

/* A byte changed, a piece left out, a piece put in again elsewhere, or the
 * end cut off. */
static size_t damage(char *text, size_t n, uint64_t *s)
{
    static const char likely[] = "{}[]:,-#&*!|>'\"%@`~?\n\t 0\x80\xff\\=<";
    const size_t at = next(s) % n;
    size_t piece = next(s) % 16 + 1;

    if (piece > n - at) piece = n - at;
    switch (next(s) % 5) {
    case 0:
        text[at] = (char)next(s);
        return n;
    case 1:
        text[at] = likely[next(s) % (sizeof likely - 1)];
        return n;
    case 2:
        memmove(text + at, text + at + piece, n - at - piece);
        return n - piece;
    case 3:
        return at + 1;
    default: {
        const size_t to = next(s) % (n - piece + 1);
        char copy[16];
        memcpy(copy, text + at, piece);
        memmove(text + to + piece, text + to, n - to);
        memcpy(text + to, copy, piece);
        return n + piece;
    }
    }
}

/* What was accepted can be used, and its identity is one. */
static void use(const weft_config *c)
{
    const char *file = WEFT_SOURCE_DIR "/configs/x.png";
    char *json, *again, *text;
    weft_config d;

    assert_int_equal(weft_config_parameters(c, 1, &text), WEFT_OK);
    free(text);
    if (c->output.image != NULL) {
        const int last = c->sample.nseeds - 1;
        assert_int_equal(weft_config_fill(c, c->output.image, last, &text),
                         WEFT_OK);
        free(text);
    }
    assert_int_equal(weft_config_identity(c, 1, &json), WEFT_OK);
    if (weft_config_parse(file, json, strlen(json), NULL, 0, &d) == WEFT_OK) {
        assert_int_equal(weft_config_identity(&d, 1, &again), WEFT_OK);
        assert_string_equal(json, again);
        free(again);
        weft_config_release(&d);
    } else if (strstr(weft_fail_text(), "the image's folder") == NULL) {
        fail_msg("%s\n%s", json, weft_fail_text());
    }
    free(json);
}

static int damage_file(const char *path, uint64_t *s)
{
    char *good, *bad = malloc(ROOM + DAMAGES * 16);
    int accepted = 0;
    size_t size;

    assert_int_equal(weft_file_read(path, ROOM, &good, &size), WEFT_OK);
    for (int i = 0; i < DAMAGES; i++) {
        weft_config c;
        size_t n = size;
        memcpy(bad, good, size);
        for (uint32_t k = next(s) % 3 + 1; k > 0 && n > 0; k--)
            n = damage(bad, n, s);
        const weft_status st = weft_config_parse(path, bad, n, NULL, 0, &c);
        if (st == WEFT_OK) {
            accepted++;
            use(&c);
            weft_config_release(&c);
        } else {
            assert_int_equal(st, WEFT_EINPUT);
            assert_memory_equal(weft_fail_text(), path, strlen(path));
        }
    }
    free(good);
    free(bad);
    return accepted;
}

static void test_damage(void **state)
{
    const glob_t *g = *state;
    uint64_t s = 88172645463325252u;
    int accepted = 0;

    for (size_t i = 0; i < g->gl_pathc; i++)
        accepted += damage_file(g->gl_pathv[i], &s);
    /* Comments may be damaged, keys may not: neither all nor none pass. */
    assert_in_range(accepted, g->gl_pathc * DAMAGES / 50,
                    g->gl_pathc * DAMAGES / 2);
}

static int set_up(void **state)
{
    static glob_t g;

    *state = &g;
    return glob(WEFT_SOURCE_DIR "/configs/*.yaml", 0, NULL, &g);
}

static int tear_down(void **state)
{
    globfree(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
