/*
 * folder.h - a folder of a test program's own, which must be empty in the end:
 *
 *     cmocka_run_group_tests(tests, make_folder, remove_folder)
 *
 * After <cmocka.h>.
 */
#ifndef WEFT_TESTS_FOLDER_H
#define WEFT_TESTS_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/weft_test_XXXXXX";

/* Good until 16 more are asked for. */
static inline const char *in_folder(const char *name)
{
    static char path[16][4096];
    static int next;

    next = (next + 1) % 16;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static inline int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* A new file each time: truncating in place makes ext4 write through. */
static inline const char *put_in_folder(const char *name, const void *bytes,
                                        size_t n)
{
    const char *path = in_folder(name);
    FILE *f;

    remove(path);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline int files_in_folder(void)
{
    DIR *dir = opendir(folder);
    int n = 0;

    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

#endif
