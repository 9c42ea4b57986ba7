/*
 * A lock file: one process at a time, and it ends with the process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/lock.h"

static char folder[] = "/tmp/weft_lock_XXXXXX", path[64];

/* A process that takes the lock, says so, and keeps it. */
static pid_t hold(void)
{
    int ends[2];
    char said;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        weft_lock l;

        if (weft_lock_take(path, 5, &l) != WEFT_OK) _exit(1);
        if (write(ends[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &said, 1), 1);
    close(ends[0]);
    return child;
}

static void one_holds_it(void **state)
{
    char who[64];
    weft_lock l;
    pid_t child;

    (void)state;
    child = hold();
    assert_int_equal(weft_lock_take(path, 0.1, &l), WEFT_EINPUT);
    snprintf(who, sizeof who, "another weft is at work there: process %ld on ",
             (long)child);
    assert_non_null(strstr(weft_fail_text(), who));
    weft_lock_release(&l);
    assert_int_equal(access(path, F_OK), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(access(path, F_OK), 0); /* and means nothing */
    assert_int_equal(weft_lock_take(path, 0, &l), WEFT_OK);
    assert_false(l.weak);
    weft_lock_release(&l);
    weft_lock_release(&l);
    assert_int_equal(access(path, F_OK), -1);
}

/* Many at once, again and again, each for a moment: never two. */
static void never_two(void **state)
{
    char inside[80];
    int failed = 0, status;

    (void)state;
    snprintf(inside, sizeof inside, "%s/inside", folder);
    for (int i = 0; i < 4; i++) {
        if (fork() != 0) continue;
        for (int k = 0; k < 25; k++) {
            weft_lock l;

            if (weft_lock_take(path, 60, &l) != WEFT_OK) _exit(1);
            if (mkdir(inside, 0777) != 0) _exit(2);
            usleep(500);
            if (rmdir(inside) != 0) _exit(3);
            weft_lock_release(&l);
        }
        _exit(0);
    }
    while (wait(&status) > 0) failed += status != 0;
    assert_int_equal(failed, 0);
}

static void needs_a_folder(void **state)
{
    weft_lock l;

    (void)state;
    assert_int_equal(weft_lock_take("/tmp/no/such/folder/x", 0, &l),
                     WEFT_EINPUT);
    weft_lock_release(&l);
}

static void goes_with_what_is_unfinished(void **state)
{
    weft_lock l;

    (void)state;
    assert_int_equal(weft_lock_take(path, 0, &l), WEFT_OK);
    weft_file_remove_unfinished();
    assert_int_equal(access(path, F_OK), -1);
    weft_lock_release(&l);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.lock", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_holds_it),
        cmocka_unit_test(never_two),
        cmocka_unit_test(needs_a_folder),
        cmocka_unit_test(goes_with_what_is_unfinished),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
