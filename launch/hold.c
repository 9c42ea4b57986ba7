#include "launch/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/io/file.h"

enum { PATH = 4200, WHO = 300 };

/* What the holder wrote into the file. */
static weft_status refuse(int fd, const char *dir)
{
    char who[WHO] = "";
    const ssize_t n = pread(fd, who, sizeof who - 1, 0);

    who[n > 0 ? n : 0] = '\0';
    who[strcspn(who, "\n")] = '\0';
    close(fd);
    return weft_fail(WEFT_EINPUT,
                     "%s: another weft dataset works on it%s%s; dataset.slice "
                     "lets several share the work",
                     dir, who[0] ? ": " : "", who);
}

static void sign(int fd)
{
    char host[WHO / 2] = "", who[WHO];
    int n;

    gethostname(host, sizeof host - 1);
    n = snprintf(who, sizeof who, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, who, (size_t)n, 0) != n)
        return; /* a courtesy */
}

static weft_status take(const char *dir, const char *path, bool shared, int *fd)
{
    const int new = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (new < 0) return weft_file_fail(errno, path, "create");
    if (flock(new, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK)
        return refuse(new, dir);
    if (!shared) sign(new);
    *fd = new;
    return WEFT_OK;
}

weft_status weft_hold_take(const char *dir, int slice, int slices, weft_hold *h)
{
    char path[PATH];
    weft_status st;

    *h = (weft_hold){-1, -1};
    snprintf(path, sizeof path, "%.4096s/.lock", dir);
    WEFT_TRY(take(dir, path, slices > 1, &h->all));
    if (slices == 1) return WEFT_OK;
    snprintf(path, sizeof path, "%.4096s/.lock-%d-%d", dir, slice, slices);
    st = take(dir, path, false, &h->slice);
    if (st != WEFT_OK) weft_hold_release(h);
    return st;
}

void weft_hold_release(weft_hold *h)
{
    if (h->all >= 0) close(h->all);
    if (h->slice >= 0) close(h->slice);
    *h = (weft_hold){-1, -1};
}
