#include "core/io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/io/file.h"

enum { HOLDER = 300 };

/* Whoever held it before may have removed the name from what was opened. */
static bool is_there(int fd, const char *path)
{
    struct stat mine, named;

    return fstat(fd, &mine) == 0 && stat(path, &named) == 0 &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

/* "process 12 on host" */
static void sign(int fd)
{
    char host[HOLDER - 40] = "", text[HOLDER];
    ssize_t written;
    int n;

    gethostname(host, sizeof host - 1);
    n = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(),
                 host);
    written = ftruncate(fd, 0) == 0 ? pwrite(fd, text, (size_t)n, 0) : 0;
    (void)written; /* it is for people */
}

static weft_status held(int fd, const char *path)
{
    char text[HOLDER];
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return weft_fail(WEFT_EINPUT, "%s: another weft is at work there%s%s", path,
                     text[0] ? ": " : "", text);
}

/* Once. *fd is -1 where somebody else has it, and the failure says who. */
static weft_status try_once(const char *path, int *fd, bool *weak)
{
    const int new = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    weft_status st = WEFT_OK;

    *fd = -1;
    if (new < 0) return weft_file_fail(errno, path, "lock");
    *weak = false;
    if (flock(new, LOCK_EX | LOCK_NB) == 0) {
        if (!is_there(new, path)) st = held(new, path);
    } else if (errno == EWOULDBLOCK) {
        st = held(new, path);
    } else {
        *weak = true;
    }
    if (st == WEFT_OK)
        *fd = new;
    else
        close(new);
    return WEFT_OK;
}

weft_status weft_lock_take(const char *path, double seconds, weft_lock *l)
{
    const double until = weft_clock() + seconds;
    char *copy = strdup(path);
    weft_status st = WEFT_OK;

    *l = (weft_lock){.fd = -1};
    if (!copy) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (;;) {
        st = try_once(path, &l->fd, &l->weak);
        if (st != WEFT_OK || l->fd >= 0) break;
        if (weft_clock() > until) {
            st = WEFT_EINPUT;
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    if (st != WEFT_OK) {
        free(copy);
        return st;
    }
    sign(l->fd);
    l->path = copy;
    l->place = weft_file_remember(path);
    return WEFT_OK;
}

void weft_lock_release(weft_lock *l)
{
    if (!l->path) return;
    unlink(l->path);
    weft_file_forget(l->place);
    close(l->fd);
    free(l->path);
    *l = (weft_lock){.fd = -1};
}
