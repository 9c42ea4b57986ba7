/*
 * folder.h - a folder of a test program's own, which must be empty in the end:
 *
 *     cmocka_run_group_tests(tests, make_folder, remove_folder)
 */
#ifndef WEFT_TESTS_FOLDER_H
#define WEFT_TESTS_FOLDER_H

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

#endif
