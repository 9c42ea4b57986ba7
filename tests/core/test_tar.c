/*
 * Archives against GNU tar's (tests/golden/tar.sh), hashes against the vectors
 * of FIPS 180-4, pictures in memory against those in files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "core/io/file.h"
#include "core/io/hash.h"
#include "core/io/png.h"
#include "core/io/tar.h"
#include "tests/folder.h"

#define GOLDEN WEFT_SOURCE_DIR "/tests/golden/members.tar"

enum { ROOM = 1 << 14 };

/* ---- tar ----------------------------------------------------------------- */

static size_t add(char *to, const char *name, const char *data, size_t bytes)
{
    assert_int_equal(weft_tar_header(name, bytes, to), WEFT_OK);
    memcpy(to + WEFT_TAR_BLOCK, data, bytes);
    memset(to + WEFT_TAR_BLOCK + bytes, 0, weft_tar_padding(bytes));
    return WEFT_TAR_BLOCK + bytes + weft_tar_padding(bytes);
}

/* The archive that the golden is. */
static size_t make(char *to)
{
    char block[512];
    size_t n = 0;

    memset(block, 'x', sizeof block);
    n += add(to + n, "a.json", "{\"id\": \"a\"}\n", 12);
    n += add(to + n, "a.png", "picture", 7);
    n += add(to + n, "b.png", block, sizeof block);
    n += add(to + n, "b.txt", "", 0);
    memset(to + n, 0, WEFT_TAR_END);
    return n + WEFT_TAR_END;
}

static void the_bytes_are_those_of_tar(void **state)
{
    static char made[ROOM];
    const size_t n = make(made);
    char *golden;
    size_t bytes;

    (void)state;
    assert_int_equal(weft_file_read(GOLDEN, ROOM, &golden, &bytes), WEFT_OK);
    assert_int_equal(n, bytes);
    assert_memory_equal(made, golden, n);
    free(golden);
}

static void members_are_read_back(void **state)
{
    static const char *const name[] = {"a.json", "a.png", "b.png", "b.txt"};
    static const size_t bytes[] = {12, 7, 512, 0};
    weft_tar_member m;
    weft_tar t;
    char *data;

    (void)state;
    assert_int_equal(weft_tar_open(GOLDEN, &t), WEFT_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(weft_tar_next(&t, &m), WEFT_OK);
        assert_string_equal(m.name, name[i]);
        assert_int_equal(m.bytes, bytes[i]);
        assert_int_equal(weft_tar_read(&t, &m, 512, &data), WEFT_OK);
        if (i == 1) assert_string_equal(data, "picture");
        free(data);
    }
    assert_int_equal(weft_tar_next(&t, &m), WEFT_OK);
    assert_string_equal(m.name, "");
    weft_tar_close(&t);
}

static weft_status read_all(const char *path)
{
    weft_tar_member m = {.name = "?"};
    weft_status status;
    weft_tar t;

    WEFT_TRY(weft_tar_open(path, &t));
    do status = weft_tar_next(&t, &m);
    while (status == WEFT_OK && m.name[0]);
    weft_tar_close(&t);
    return status;
}

/* One byte changed anywhere in a header, or an end cut off, is seen. */
static void damage_is_found(void **state)
{
    static char made[ROOM];
    const size_t n = make(made);

    (void)state;
    assert_int_equal(read_all(put_in_folder("x.tar", made, n)), WEFT_OK);
    for (size_t at = 0; at < WEFT_TAR_BLOCK; at += 7) {
        made[at] ^= 4;
        assert_int_equal(read_all(put_in_folder("x.tar", made, n)),
                         WEFT_EINPUT);
        made[at] ^= 4;
    }
    for (size_t short_of = 1; short_of < n; short_of += 97)
        assert_int_equal(read_all(put_in_folder("x.tar", made, n - short_of)),
                         WEFT_EINPUT);
    made[n - 1] = 1;
    assert_int_equal(read_all(put_in_folder("x.tar", made, n)), WEFT_EINPUT);
}

static void names_are_held_to_their_room(void **state)
{
    char block[WEFT_TAR_BLOCK], name[128];

    (void)state;
    memset(name, 'n', sizeof name);
    name[100] = '\0';
    assert_int_equal(weft_tar_header(name, 1, block), WEFT_OK);
    name[100] = 'n';
    name[101] = '\0';
    assert_int_equal(weft_tar_header(name, 1, block), WEFT_EINPUT);
    assert_int_equal(weft_tar_header("", 1, block), WEFT_EINPUT);
    assert_int_equal(weft_tar_header("a", (uint64_t)1 << 33, block),
                     WEFT_EINPUT);
}

/* ---- hashes -------------------------------------------------------------- */

static void hashes_are_the_standards(void **state)
{
    char text[WEFT_HASH_TEXT];
    weft_hash h;

    (void)state;
    weft_hash_start(&h);
    weft_hash_add(&h, "ab", 2);
    weft_hash_add(&h, "c", 1);
    weft_hash_text(&h, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
                              "b410ff61f20015ad");
    for (int i = 0; i < 1000; i++) {
        static char many[1000];

        memset(many, 'a', sizeof many);
        weft_hash_add(&h, many, sizeof many);
    }
    weft_hash_text(&h, text);
    assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e"
                              "046d39ccc7112cd0");
}

static void files_are_hashed(void **state)
{
    char text[WEFT_HASH_TEXT];
    size_t bytes;

    (void)state;
    assert_int_equal(
        weft_hash_file(put_in_folder("x.tar", "abc", 3), text, &bytes),
        WEFT_OK);
    assert_int_equal(bytes, 3);
    assert_memory_equal(text, "ba7816bf", 8);
    assert_int_equal(weft_hash_file(folder, text, NULL), WEFT_EINPUT);
}

/* ---- pictures in memory -------------------------------------------------- */

static void memory_has_the_bytes_of_a_file(void **state)
{
    static unsigned char pixels[40][30][3], *data;
    const weft_png_text text = {"parameters", "Steps: 30"};
    const char *path = in_folder("x.png");
    size_t bytes, want;
    weft_png *png;
    char *file;

    (void)state;
    for (size_t i = 0; i < sizeof pixels; i++)
        (&pixels[0][0][0])[i] = (unsigned char)(i * i >> 4);
    assert_int_equal(weft_png_create(path, 30, 40, 3, &text, 1, &png), WEFT_OK);
    assert_int_equal(weft_png_rows(png, &pixels[0][0][0], 40), WEFT_OK);
    assert_int_equal(weft_png_finish(png), WEFT_OK);
    assert_int_equal(weft_png_encode("x", 30, 40, 3, &pixels[0][0][0], &text, 1,
                                     &data, &bytes),
                     WEFT_OK);
    assert_int_equal(weft_file_read(path, 1 << 20, &file, &want), WEFT_OK);
    assert_int_equal(bytes, want);
    assert_memory_equal(data, file, want);
    free(data);
    free(file);
    assert_int_equal(weft_png_encode("x", 0, 40, 3, &pixels[0][0][0], NULL, 0,
                                     &data, &bytes),
                     WEFT_EINPUT);
}

static int end_tests(void **state)
{
    remove(in_folder("x.tar"));
    remove(in_folder("x.png"));
    return remove_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_those_of_tar),
        cmocka_unit_test(members_are_read_back),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(names_are_held_to_their_room),
        cmocka_unit_test(hashes_are_the_standards),
        cmocka_unit_test(files_are_hashed),
        cmocka_unit_test(memory_has_the_bytes_of_a_file),
    };

    return cmocka_run_group_tests(tests, make_folder, end_tests);
}
