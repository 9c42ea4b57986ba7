/*
 * Files that are complete or not there: what stands on the disk is looked at
 * with plain system calls.
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
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/file.h"
#include "tests/folder.h"

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void holds(const char *path, const char *text)
{
    char bytes[256];
    FILE *f = fopen(path, "rb");

    assert_non_null(f);
    bytes[fread(bytes, 1, sizeof bytes - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(bytes, text);
}

static int files_in(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static void says(weft_status status, weft_status expected, const char *words)
{
    assert_int_equal(status, expected);
    if (strstr(weft_fail_text(), words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", weft_fail_text(), words);
}

/* ---- writing ------------------------------------------------------------- */

static void appears_when_committed(void **state)
{
    const char *path = in_folder("a");
    weft_file f;

    (void)state;
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    assert_int_equal(weft_file_write(&f, "hello ", 6), WEFT_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(files_in(folder), 1); /* PATH.tmp.PID */
    assert_int_equal(weft_file_write_at(&f, 8, "ld", 2), WEFT_OK);
    assert_int_equal(weft_file_write(&f, "wo", 2), WEFT_OK);
    assert_int_equal(weft_file_commit(&f), WEFT_OK);
    holds(path, "hello wold");
    assert_int_equal(files_in(folder), 1);
    assert_null(f.temp);
    weft_file_abandon(&f); /* nothing is left to abandon */
    holds(path, "hello wold");
    unlink(path);
}

/* What a handler of signals does before the process ends. */
static void removes_what_is_unfinished(void **state)
{
    const char *path[3] = {in_folder("a"), in_folder("b"), in_folder("c")};
    weft_file f[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(weft_file_create(path[i], &f[i]), WEFT_OK);
    assert_int_equal(weft_file_commit(&f[0]), WEFT_OK);
    weft_file_abandon(&f[1]);
    assert_int_equal(weft_file_create(path[1], &f[1]), WEFT_OK);
    assert_int_equal(files_in(folder), 3);
    weft_file_remove_unfinished();
    assert_int_equal(files_in(folder), 1);
    holds(path[0], "");
    says(weft_file_commit(&f[1]), WEFT_EINPUT, "cannot put the file in place");
    weft_file_abandon(&f[2]);
    put_file(in_folder("c"), "not ours any more");
    weft_file_remove_unfinished();
    assert_int_equal(files_in(folder), 2);
    unlink(path[0]);
    unlink(path[2]);
}

static void replaces_the_old_file_whole(void **state)
{
    const char *path = in_folder("a");
    weft_file f;

    (void)state;
    put_file(path, "a long old text");
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    assert_int_equal(weft_file_write(&f, "new", 3), WEFT_OK);
    holds(path, "a long old text");
    assert_int_equal(weft_file_commit(&f), WEFT_OK);
    holds(path, "new");
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    assert_int_equal(weft_file_write(&f, "newer", 5), WEFT_OK);
    weft_file_abandon(&f);
    holds(path, "new");
    assert_int_equal(files_in(folder), 1);
    unlink(path);
}

static void makes_readable_files(void **state)
{
    const char *path = in_folder("a");
    const mode_t mask = umask(027);
    struct stat s;
    weft_file f;

    (void)state;
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    assert_int_equal(weft_file_commit(&f), WEFT_OK);
    umask(mask);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0640);
    unlink(path);
}

static void does_not_touch_a_stale_temporary(void **state)
{
    const char *path = in_folder("a");
    char stale[4096];
    weft_file f, g;

    (void)state;
    snprintf(stale, sizeof stale, "%s.tmp.%ld", path, (long)getpid());
    put_file(stale, "somebody's");
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    assert_int_equal(weft_file_create(path, &g), WEFT_OK);
    assert_int_equal(weft_file_write(&f, "f", 1), WEFT_OK);
    assert_int_equal(weft_file_write(&g, "g", 1), WEFT_OK);
    assert_int_equal(weft_file_commit(&g), WEFT_OK);
    holds(path, "g");
    assert_int_equal(weft_file_commit(&f), WEFT_OK);
    holds(path, "f");
    holds(stale, "somebody's");
    unlink(stale);
    unlink(path);
}

/* At any moment: the process dies between two steps, and the old file is
 * there; after commit the new one is. */
static void survives_a_kill(void **state)
{
    const char *path = in_folder("a");

    (void)state;
    for (int step = 0; step < 4; step++) {
        pid_t child;
        int status;

        put_file(path, "old");
        child = fork();
        if (child == 0) {
            weft_file f;

            if (step >= 1) weft_file_create(path, &f);
            if (step >= 2) weft_file_write(&f, "new", 3);
            if (step >= 3) weft_file_commit(&f);
            raise(SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        holds(path, step >= 3 ? "new" : "old");
        if (step == 1 || step == 2) {
            char temp[4096];

            snprintf(temp, sizeof temp, "%s.tmp.%ld", path, (long)child);
            assert_int_equal(unlink(temp), 0);
        }
    }
    unlink(path);
}

static void follows_links(void **state)
{
    const char *path = in_folder("a"), *link = in_folder("l");
    struct stat s;
    weft_file f;

    (void)state;
    put_file(path, "old");
    assert_int_equal(symlink("a", link), 0);
    assert_int_equal(weft_file_create(link, &f), WEFT_OK);
    assert_int_equal(weft_file_write(&f, "new", 3), WEFT_OK);
    assert_int_equal(weft_file_commit(&f), WEFT_OK);
    holds(path, "new");
    assert_int_equal(lstat(link, &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    unlink(path);
    says(weft_file_create(link, &f), WEFT_EINPUT, "leads nowhere");
    unlink(link);
}

static void refuses_wrong_paths(void **state)
{
    char longest[NAME_MAX + 2];
    weft_file f;

    (void)state;
    memset(longest, 'n', sizeof longest - 1);
    longest[NAME_MAX] = '\0'; /* fits, but not with .tmp.PID behind it */
    says(weft_file_create("", &f), WEFT_EINPUT, "is empty");
    says(weft_file_create(folder, &f), WEFT_EINPUT, "is a folder");
    says(weft_file_create(in_folder("x/"), &f), WEFT_EINPUT,
         "name of a folder");
    says(weft_file_create(in_folder("no/a"), &f), WEFT_EINPUT, "No such file");
    says(weft_file_create(in_folder(longest), &f), WEFT_EINPUT, "too long");
    says(weft_file_create("/dev/null", &f), WEFT_EINPUT,
         "/dev/null: is not a regular file");
    put_file(in_folder("a"), "");
    says(weft_file_create(in_folder("a/b"), &f), WEFT_EINPUT,
         "Not a directory");
    unlink(in_folder("a"));
    assert_int_equal(files_in(folder), 0);
}

/* ---- trouble of the world ------------------------------------------------ */

/* A limit on the size of files makes write(2) fail as a full disk does. */
static void does_not_keep_a_broken_file(void **state)
{
    const char *path = in_folder("a");
    static const char zeros[8192];
    struct rlimit old, tight;
    weft_status status;
    weft_file f;

    (void)state;
    put_file(path, "old");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = (struct rlimit){5000, old.rlim_max};
    for (int at = 0; at < 2; at++) {
        assert_int_equal(weft_file_create(path, &f), WEFT_OK);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        status = at ? weft_file_write_at(&f, 1, zeros, sizeof zeros)
                    : weft_file_write(&f, zeros, sizeof zeros);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        says(status, WEFT_EIO, "cannot write: File too large");
        assert_int_equal(weft_file_write(&f, "x", 1), WEFT_OK);
        says(weft_file_commit(&f), WEFT_EIO, "not kept, a write failed");
        holds(path, "old");
        assert_int_equal(files_in(folder), 1);
    }
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    says(weft_file_write_at(&f, SIZE_MAX, "x", 1), WEFT_EIO, "too large");
    weft_file_abandon(&f);
    unlink(path);
}

/* Mounts of this process are its own and go with it, also if a test fails.
 * Only the superuser may have them. */
static bool may_mount(void)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* A disk of 64 KiB. */
static void reports_a_full_disk(void **state)
{
    const char *disk = in_folder("disk"), *path = in_folder("disk/a");
    static const char zeros[1 << 17];
    weft_file f;

    (void)state;
    if (!may_mount()) skip();
    assert_int_equal(mkdir(disk, 0700), 0);
    assert_int_equal(mount("none", disk, "tmpfs", 0, "size=64k"), 0);
    assert_int_equal(weft_file_create(path, &f), WEFT_OK);
    says(weft_file_write(&f, zeros, sizeof zeros), WEFT_EIO,
         "No space left on device");
    says(weft_file_commit(&f), WEFT_EIO, "not kept");
    assert_int_equal(files_in(disk), 0);
    assert_int_equal(umount(disk), 0);
    assert_int_equal(mount("none", disk, "tmpfs", MS_RDONLY, "size=64k"), 0);
    says(weft_file_probe(path), WEFT_EIO, "Read-only file system");
    assert_int_equal(umount(disk), 0);
    rmdir(disk);
}

/* The superuser may write anywhere, so it becomes somebody else for a while. */
static void reports_lack_of_permission(void **state)
{
    const char *locked = in_folder("locked"), *path = in_folder("locked/a");
    const bool root = geteuid() == 0;
    weft_file f;
    int fd;
    size_t n;

    (void)state;
    assert_int_equal(mkdir(locked, 0755), 0);
    put_file(in_folder("secret"), "x");
    assert_int_equal(chmod(in_folder("secret"), 0), 0);
    assert_int_equal(chmod(locked, 0555), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    if (root && seteuid(65534) != 0) skip();
    says(weft_file_create(path, &f), WEFT_EIO, "Permission denied");
    says(weft_file_probe(path), WEFT_EIO, "Permission denied");
    says(weft_file_probe(in_folder("locked/deep/a")), WEFT_EIO,
         "locked/deep: cannot make the folder: Permission denied");
    says(weft_file_open(in_folder("secret"), &fd, &n), WEFT_EIO,
         "secret: cannot open: Permission denied");
    if (root) assert_int_equal(seteuid(0), 0);
    unlink(in_folder("secret"));
    assert_int_equal(rmdir(locked), 0);
}

/* ---- reading ------------------------------------------------------------- */

static void reads_whole_files(void **state)
{
    const char *path = in_folder("a");
    char *data = NULL;
    size_t n = 99;

    (void)state;
    put_file(path, "12345");
    assert_int_equal(weft_file_read(path, 5, &data, &n), WEFT_OK);
    assert_int_equal(n, 5);
    assert_string_equal(data, "12345"); /* the zero byte behind it */
    free(data);
    data = NULL;
    says(weft_file_read(path, 4, &data, &n), WEFT_EINPUT,
         "is 5 bytes long, at most 4 are accepted");
    assert_null(data);
    put_file(path, "");
    assert_int_equal(weft_file_read(path, 0, &data, &n), WEFT_OK);
    assert_int_equal(n, 0);
    assert_string_equal(data, "");
    free(data);
    unlink(path);
}

static void refuses_to_read_other_things(void **state)
{
    const char *path = in_folder("pipe");
    char *data = NULL;
    size_t n;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20); /* rather than wait for a writer for ever */
    says(weft_file_open(path, &fd, &n), WEFT_EINPUT, "not a regular file");
    alarm(0);
    unlink(path);
    says(weft_file_read("/dev/zero", 9, &data, &n), WEFT_EINPUT,
         "not a regular file");
    says(weft_file_read(folder, 9, &data, &n), WEFT_EINPUT,
         "is a folder, not a file");
    says(weft_file_read(path, 9, &data, &n), WEFT_EINPUT,
         "cannot open: No such file");
    says(weft_file_read("", 9, &data, &n), WEFT_EINPUT, "No such file");
    assert_null(data);
}

/* ---- folders ------------------------------------------------------------- */

static void makes_folders(void **state)
{
    struct stat s;

    (void)state;
    assert_int_equal(weft_file_make_folder(in_folder("p//q/./r/a")), WEFT_OK);
    assert_int_equal(stat(in_folder("p/q/r"), &s), 0);
    assert_true(S_ISDIR(s.st_mode));
    assert_int_equal(access(in_folder("p/q/r/a"), F_OK), -1);
    assert_int_equal(weft_file_make_folder(in_folder("p/q/r/a")), WEFT_OK);
    assert_int_equal(weft_file_make_folder("/a"), WEFT_OK);
    assert_int_equal(weft_file_make_folder("a"), WEFT_OK);
    put_file(in_folder("p/f"), "");
    says(weft_file_make_folder(in_folder("p/f/a")), WEFT_EINPUT,
         "p/f: is not a folder");
    says(weft_file_make_folder(in_folder("p/f/g/a")), WEFT_EINPUT,
         "p/f: is not a folder");
    unlink(in_folder("p/f"));
    rmdir(in_folder("p/q/r"));
    rmdir(in_folder("p/q"));
    rmdir(in_folder("p"));
}

static void probes(void **state)
{
    const char *path = in_folder("p/a");

    (void)state;
    assert_int_equal(weft_file_probe(path), WEFT_OK);
    assert_int_equal(files_in(in_folder("p")), 0);
    put_file(path, "old");
    assert_int_equal(weft_file_probe(path), WEFT_OK);
    holds(path, "old");
    assert_int_equal(files_in(in_folder("p")), 1);
    unlink(path);
    says(weft_file_probe(in_folder("p")), WEFT_EINPUT, "is a folder");
    says(weft_file_probe(""), WEFT_EINPUT, "is empty");
    says(weft_file_probe("/dev/full"), WEFT_EINPUT, "not a regular file");
    rmdir(in_folder("p"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appears_when_committed),
        cmocka_unit_test(removes_what_is_unfinished),
        cmocka_unit_test(replaces_the_old_file_whole),
        cmocka_unit_test(makes_readable_files),
        cmocka_unit_test(does_not_touch_a_stale_temporary),
        cmocka_unit_test(survives_a_kill),
        cmocka_unit_test(follows_links),
        cmocka_unit_test(refuses_wrong_paths),
        cmocka_unit_test(does_not_keep_a_broken_file),
        cmocka_unit_test(reports_a_full_disk),
        cmocka_unit_test(reports_lack_of_permission),
        cmocka_unit_test(reads_whole_files),
        cmocka_unit_test(refuses_to_read_other_things),
        cmocka_unit_test(makes_folders),
        cmocka_unit_test(probes),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
