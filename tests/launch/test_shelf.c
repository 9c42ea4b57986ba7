/*
 * Shards on their way to the shelf: what was spooled survives whoever wrote
 * it, what was committed is whole, and what is damaged is found.
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
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/file.h"
#include "launch/commit.h"

enum { ITEMS = 3, MOST = 1 << 20 };

static const char about[WEFT_HASH_TEXT] = "about",
                  other[WEFT_HASH_TEXT] = "other";

/* Not in the order of their names: "b-1.png" comes before "b.png". */
static const weft_item item[ITEMS] = {
    {.id = "b", .seed = 1}, {.id = "b-1", .seed = 2}, {.id = "a", .seed = 3}};

static char folder[] = "/tmp/weft_shelf_XXXXXX";
static weft_shelf shelf = {.dir = folder, .manifest = "m"};

static const char *in_folder(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static weft_spool open_spool(void)
{
    char path[WEFT_SHELF_PATH];
    weft_spool s;

    weft_shelf_path(&shelf, 0, WEFT_SHELF_SPOOL, path);
    if (weft_spool_open(path, about, ITEMS, &s) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    return s;
}

static void add(weft_spool *s, int i, weft_outcome outcome)
{
    char png[32], json[32];
    const int n = snprintf(png, sizeof png, "picture of %s", item[i].id);
    const int m = snprintf(json, sizeof json, "{\"id\":\"%s\"}", item[i].id);
    const weft_member member[] = {
        {.suffix = "png", .data = png, .bytes = (uint64_t)n},
        {.suffix = "json", .data = json, .bytes = (uint64_t)m}};

    assert_int_equal(
        weft_spool_add(s, i, outcome, member, outcome == WEFT_MADE ? 2 : 0),
        WEFT_OK);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");

    if (!f) fail_msg("cannot write %s", name);
    fputs(text, f);
    fclose(f);
}

/* ---- the spool ----------------------------------------------------------- */

static void items_outlive_their_writer(void **state)
{
    weft_spool s = open_spool(), t;
    char text[32] = "";

    (void)state;
    assert_int_equal(s.found, 0);
    add(&s, 2, WEFT_MADE);
    add(&s, 0, WEFT_NAN);
    weft_spool_close(&s, false);
    t = open_spool();
    assert_int_equal(t.found, 2);
    assert_false(t.item[1].there);
    assert_int_equal(t.item[0].outcome, WEFT_NAN);
    assert_string_equal(t.item[2].member[0].suffix, "png");
    assert_int_equal(weft_spool_read(&t, &t.item[2].member[0], text), WEFT_OK);
    assert_string_equal(text, "picture of a");
    weft_spool_close(&t, true);
    assert_int_not_equal(access(in_folder(".000000.part"), F_OK), 0);
}

/* Wherever a kill ends the file, or a bit changes, what is before it stays. */
static void a_torn_spool_keeps_what_is_whole(void **state)
{
    const char *path = in_folder(".000000.part");
    weft_spool s = open_spool();
    char *bytes;
    size_t n, two;

    (void)state;
    add(&s, 0, WEFT_MADE);
    add(&s, 1, WEFT_MADE);
    two = (size_t)s.end;
    add(&s, 2, WEFT_MADE);
    weft_spool_close(&s, false);
    assert_int_equal(weft_file_read(path, MOST, &bytes, &n), WEFT_OK);
    for (size_t cut = two; cut < n; cut += 13) {
        FILE *f = fopen(in_folder(".000000.part"), "wb");

        assert_non_null(f);
        bytes[cut] ^= 1;
        fwrite(bytes, 1, cut % 2 ? n : cut, f);
        bytes[cut] ^= 1;
        fclose(f);
        s = open_spool();
        assert_int_equal(s.found, 2);
        add(&s, 2, WEFT_BLACK); /* goes on behind them */
        weft_spool_close(&s, false);
        s = open_spool();
        assert_int_equal(s.found, 3);
        weft_spool_close(&s, false);
    }
    free(bytes);
    assert_int_equal(
        weft_spool_open(in_folder(".000000.part"), other, ITEMS, &s), WEFT_OK);
    assert_int_equal(s.found, 0);
    weft_spool_close(&s, true);
}

static void a_second_owner_has_its_own(void **state)
{
    weft_spool s = open_spool(), t;

    (void)state;
    add(&s, 0, WEFT_MADE);
    t = open_spool();
    assert_int_equal(t.found, 0);
    add(&t, 1, WEFT_MADE);
    weft_spool_close(&t, true);
    add(&s, 2, WEFT_MADE);
    weft_spool_close(&s, false);
    s = open_spool();
    assert_int_equal(s.found, 2);
    assert_false(s.item[1].there);
    weft_spool_close(&s, true);
}

/* ---- the shelf ----------------------------------------------------------- */

static void commit_all(weft_outcome last)
{
    weft_spool s = open_spool();

    for (int i = 0; i < ITEMS; i++)
        add(&s, i, i == ITEMS - 1 ? last : WEFT_MADE);
    assert_int_equal(weft_commit(&shelf, 0, item, ITEMS, &s,
                                 json_pack("{s:f}", "seconds", 1.5)),
                     WEFT_OK);
    weft_spool_close(&s, true);
}

static void look(bool verify, weft_shard_state want, json_t **mark)
{
    weft_shard_state is;

    assert_int_equal(weft_shelf_look(&shelf, 0, verify, &is, mark), WEFT_OK);
    assert_int_equal(is, want);
}

static void check_members(int first)
{
    static const char *const name[] = {"a.json", "a.png", "b-1.json", "b-1.png",
                                       "b.json", "b.png", ""};
    weft_shard_reader r;
    weft_tar_member m;
    char *data;

    assert_int_equal(weft_shard_open(&shelf, 0, &r), WEFT_OK);
    for (int i = first; i < 7; i++) {
        assert_int_equal(weft_shard_next(&r, &m), WEFT_OK);
        assert_string_equal(m.name, name[i]);
        if (i != 5) continue;
        assert_int_equal(weft_shard_read(&r, &m, 64, &data), WEFT_OK);
        assert_string_equal(data, "picture of b");
        free(data);
    }
    weft_shard_close(&r);
}

static void a_shard_is_sorted_and_marked(void **state)
{
    char sha256[WEFT_HASH_TEXT];
    const char *says, *tar, *status;
    json_t *mark;
    int shard, items, failed;
    json_int_t bytes;
    size_t size;

    (void)state;
    look(false, WEFT_SHARD_LEFT, NULL);
    commit_all(WEFT_MADE);
    check_members(0);
    look(true, WEFT_SHARD_DONE, &mark);
    assert_int_equal(json_unpack(mark,
                                 "{s:i, s:s, s:I, s:s, s:i, s:i, s:{s:s}}",
                                 "shard", &shard, "tar", &tar, "bytes", &bytes,
                                 "sha256", &says, "items", &items, "failed",
                                 &failed, "status", "b-1", &status),
                     0);
    assert_int_equal(weft_hash_file(in_folder("000000.tar"), sha256, &size),
                     WEFT_OK);
    assert_string_equal(says, sha256);
    assert_string_equal(tar, "000000.tar");
    assert_string_equal(status, "done");
    assert_true(bytes == (json_int_t)size && shard == 0 && items == ITEMS &&
                failed == 0);
    json_decref(mark);
}

static void a_folder_has_the_hash_of_its_tar(void **state)
{
    json_t *tar, *dir;

    (void)state;
    commit_all(WEFT_MADE);
    look(true, WEFT_SHARD_DONE, &tar);
    shelf.folder = true;
    look(false, WEFT_SHARD_DAMAGED, NULL);
    commit_all(WEFT_MADE);
    commit_all(WEFT_MADE); /* over one that is there */
    check_members(0);
    look(true, WEFT_SHARD_DONE, &dir);
    assert_true(json_equal(json_object_get(tar, "sha256"),
                           json_object_get(dir, "sha256")));
    assert_true(json_equal(json_object_get(tar, "bytes"),
                           json_object_get(dir, "bytes")));
    json_decref(tar);
    json_decref(dir);
    assert_int_equal(truncate(in_folder("000000/b.png"), 3), 0);
    look(false, WEFT_SHARD_DONE, NULL);
    look(true, WEFT_SHARD_DAMAGED, NULL);
    assert_int_equal(unlink(in_folder("000000/b.png")), 0);
    look(false, WEFT_SHARD_DAMAGED, NULL);
    assert_non_null(strstr(weft_fail_text(), "2 files *.png, and 3 items"));
    commit_all(WEFT_NAN);
    look(false, WEFT_SHARD_FAILED, NULL);
    assert_int_equal(unlink(in_folder("000000/b.json")), 0);
    look(false, WEFT_SHARD_DAMAGED, NULL);
    shelf.folder = false;
}

static void damage_is_found(void **state)
{
    const char *path;
    weft_shard_state is;
    char mark[4096];
    int fd;

    (void)state;
    commit_all(WEFT_MADE);
    shelf.manifest = "other";
    assert_int_equal(weft_shelf_look(&shelf, 0, false, &is, NULL), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "of another manifest"));
    shelf.manifest = "m";
    path = in_folder("000000.tar");
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 514), 1);
    close(fd);
    look(false, WEFT_SHARD_DONE, NULL);
    look(true, WEFT_SHARD_DAMAGED, NULL);
    assert_non_null(strstr(weft_fail_text(), "its contents have changed"));
    assert_int_equal(truncate(path, 1024), 0);
    look(false, WEFT_SHARD_DAMAGED, NULL);
    assert_int_equal(unlink(path), 0);
    look(false, WEFT_SHARD_DAMAGED, NULL);
    assert_non_null(strstr(weft_fail_text(), "is missing"));
    commit_all(WEFT_MADE);
    snprintf(mark, sizeof mark, "%s", in_folder("000001.json"));
    assert_int_equal(link(in_folder("000000.json"), mark), 0);
    snprintf(mark, sizeof mark, "%s", in_folder("000001.tar"));
    assert_int_equal(link(in_folder("000000.tar"), mark), 0);
    assert_int_equal(weft_shelf_look(&shelf, 1, true, &is, NULL), WEFT_OK);
    assert_int_equal(is, WEFT_SHARD_DAMAGED);
    assert_non_null(strstr(weft_fail_text(), "its mark is of shard 0"));
    assert_int_equal(truncate(in_folder("000000.json"), 20), 0);
    look(false, WEFT_SHARD_DAMAGED, NULL);
}

/* What failed is not in the shard; what did not fail goes back. */
static void failed_items_can_be_tried_again(void **state)
{
    weft_spool s;
    json_t *mark;
    const char *status;

    (void)state;
    commit_all(WEFT_NAN);
    look(true, WEFT_SHARD_FAILED, &mark);
    assert_int_equal(json_unpack(mark, "{s:{s:s}}", "status", "a", &status), 0);
    assert_string_equal(status, "nan");
    json_decref(mark);
    check_members(2);
    s = open_spool();
    assert_int_equal(weft_commit_reload(&shelf, 0, item, ITEMS, &s), WEFT_OK);
    assert_int_equal(s.found, 2);
    assert_false(s.item[2].there);
    assert_int_equal(s.item[0].members, 2);
    add(&s, 2, WEFT_MADE);
    assert_int_equal(weft_commit(&shelf, 0, item, ITEMS, &s, NULL), WEFT_OK);
    weft_spool_close(&s, true);
    look(true, WEFT_SHARD_DONE, NULL);
    check_members(0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static void empty(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *d;

    while (dir && (d = readdir(dir)))
        if (d->d_name[0] != '.') unlinkat(dirfd(dir), d->d_name, 0);
    if (dir) closedir(dir);
}

/* What only looks like weft's stays, and a link to a folder is not one. */
static void what_is_not_ours_stays(void **state)
{
    static const char *const torn[] = {"000003.tar.tmp.7", "000003.tmp.7.1",
                                       ".000003.part.abcdef",
                                       ".000003.flight.tmp.7",
                                       "dataset.json.tmp.7"},
                             *const kept[] = {
                                 "20261128.tmp.mine", "000003.txt.tmp.7",
                                 "000003.tar.tmp.",   ".000003.part.abcdefg",
                                 "notes.json.tmp.7",  "000003.tar"};

    (void)state;
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++)
        write_text(torn[i], "");
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        write_text(kept[i], "");
    weft_shelf_sweep(folder, 0, 1);
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++)
        if (access(in_folder(torn[i]), F_OK) == 0) fail_msg("%s", torn[i]);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (unlink(in_folder(kept[i])) != 0) fail_msg("%s", kept[i]);
}

static int clear(void **state)
{
    (void)state;
    empty(in_folder("000000"));
    rmdir(in_folder("000000"));
    empty(folder);
    return 0;
}

static int remove_all(void **state)
{
    clear(state);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(items_outlive_their_writer, clear),
        cmocka_unit_test_teardown(a_torn_spool_keeps_what_is_whole, clear),
        cmocka_unit_test_teardown(a_second_owner_has_its_own, clear),
        cmocka_unit_test_teardown(a_shard_is_sorted_and_marked, clear),
        cmocka_unit_test_teardown(a_folder_has_the_hash_of_its_tar, clear),
        cmocka_unit_test_teardown(damage_is_found, clear),
        cmocka_unit_test_teardown(failed_items_can_be_tried_again, clear),
        cmocka_unit_test_teardown(what_is_not_ours_stays, clear),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_all);
}
