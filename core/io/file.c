#include "core/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/path.h"

/* How often a temporary name that is taken is given another number; how many
 * files of a process are remembered in case it ends. */
enum { NAME_TRIES = 100, UNFINISHED = 64 };

/* Temporary files there are. In memory of its own, so that a handler of signals
 * may read it while another thread finishes a file. */
static struct {
    atomic_int taken;
    atomic_bool there;
    char path[PATH_MAX];
} unfinished[UNFINISHED];

static bool path_is_wrong(int err)
{
    return err == ENOENT || err == ENOTDIR || err == EISDIR ||
           err == ENAMETOOLONG || err == ELOOP || err == EINVAL;
}

weft_status weft_file_fail(int err, const char *path, const char *what)
{
    weft_status status = WEFT_EIO;

    if (err == ENOMEM) status = WEFT_ENOMEM;
    if (path_is_wrong(err)) status = WEFT_EINPUT;
    return weft_fail(status, "%s: cannot %s: %s", path, what, strerror(err));
}

/* ---- creating ------------------------------------------------------------ */

/* Where a file called `path` really goes: links are followed, so that renaming
 * never replaces a link such as /dev/stdout by a file. *real is owned. */
static weft_status resolve(const char *path, char **real)
{
    const size_t n = strlen(path);
    struct stat s;

    if (n == 0) return weft_fail(WEFT_EINPUT, "the name of a file is empty");
    if (path[n - 1] == '/')
        return weft_fail(WEFT_EINPUT, "%s: is the name of a folder", path);
    if (lstat(path, &s) != 0) {
        if (errno != ENOENT) return weft_file_fail(errno, path, "create");
        *real = strdup(path);
    } else {
        *real = realpath(path, NULL);
        if (*real == NULL && errno == ENOENT)
            return weft_fail(WEFT_EINPUT, "%s: is a link that leads nowhere",
                             path);
    }
    return *real ? WEFT_OK : weft_file_fail(errno, path, "create");
}

static weft_status refuse_other_kinds(const char *path)
{
    struct stat s;

    if (stat(path, &s) != 0) return WEFT_OK; /* nothing there yet */
    if (S_ISDIR(s.st_mode))
        return weft_fail(WEFT_EINPUT, "%s: is a folder", path);
    if (!S_ISREG(s.st_mode))
        return weft_fail(WEFT_EINPUT, "%s: is not a regular file", path);
    return WEFT_OK;
}

/* PATH.tmp.PID, or PATH.tmp.PID.N if that is taken: by a dead process, another
 * thread, or a process of the same number on another node. */
static weft_status open_temp(weft_file *f)
{
    const size_t room = strlen(f->path) + 48;

    f->temp = malloc(room);
    if (f->temp == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (int i = 0; i < NAME_TRIES; i++) {
        const int n =
            snprintf(f->temp, room, "%s.tmp.%ld", f->path, (long)getpid());

        if (i > 0) snprintf(f->temp + n, room - (size_t)n, ".%d", i);
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd >= 0) return WEFT_OK;
        if (errno != EEXIST) break;
    }
    return weft_file_fail(errno, f->path, "create");
}

/* A name that is too long to be remembered is too long to be opened. */
int weft_file_remember(const char *path)
{
    for (int i = 0; i < UNFINISHED; i++) {
        if (atomic_exchange(&unfinished[i].taken, 1)) continue;
        snprintf(unfinished[i].path, sizeof unfinished[i].path, "%s", path);
        atomic_store(&unfinished[i].there, true);
        return i + 1;
    }
    return 0;
}

void weft_file_forget(int place)
{
    if (!place) return;
    atomic_store(&unfinished[place - 1].there, false);
    atomic_store(&unfinished[place - 1].taken, 0);
}

void weft_file_remove_unfinished(void)
{
    for (int i = 0; i < UNFINISHED; i++)
        if (atomic_load(&unfinished[i].there)) unlink(unfinished[i].path);
}

/* Forget the file without touching the disk. */
static void release(weft_file *f)
{
    weft_file_forget(f->place);
    if (f->temp && f->fd >= 0) close(f->fd);
    free(f->path);
    free(f->temp);
    *f = (weft_file){.fd = -1};
}

weft_status weft_file_create(const char *path, weft_file *f)
{
    weft_file new = {.fd = -1};
    weft_status status = resolve(path, &new.path);

    if (status == WEFT_OK) status = refuse_other_kinds(new.path);
    if (status == WEFT_OK) status = open_temp(&new);
    if (status == WEFT_OK) new.place = weft_file_remember(new.temp);
    if (status == WEFT_OK)
        *f = new;
    else
        release(&new);
    return status;
}

/* ---- writing ------------------------------------------------------------- */

static weft_status write_failed(weft_file *f, int err)
{
    f->broken = true;
    return weft_file_fail(err, f->path, "write");
}

weft_status weft_file_write(weft_file *f, const void *data, size_t bytes)
{
    const char *p = data;

    while (bytes > 0) {
        const ssize_t n = write(f->fd, p, bytes);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_failed(f, n < 0 ? errno : EIO);
        p += n;
        bytes -= (size_t)n;
    }
    return WEFT_OK;
}

weft_status weft_file_write_at(weft_file *f, size_t offset, const void *data,
                               size_t bytes)
{
    const char *p = data;
    size_t end;

    if (__builtin_add_overflow(offset, bytes, &end) || end > SSIZE_MAX)
        return write_failed(f, EFBIG);
    while (bytes > 0) {
        const ssize_t n = pwrite(f->fd, p, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_failed(f, n < 0 ? errno : EIO);
        p += n;
        offset += (size_t)n;
        bytes -= (size_t)n;
    }
    return WEFT_OK;
}

/* ---- finishing ----------------------------------------------------------- */

/* The folder part of `path`, owned; "." if there is none. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) return strdup(".");
    if (slash == path) return strdup("/");
    return strndup(path, (size_t)(slash - path));
}

/* Make the new name itself last. Some file systems cannot sync a folder and
 * say EINVAL; there is nothing more to do then. */
static weft_status sync_folder(const char *path)
{
    char *folder = folder_of(path);
    weft_status status = WEFT_OK;
    int fd;

    if (folder == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = weft_file_fail(errno, folder, "sync");
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

static weft_status sync_and_close(weft_file *f)
{
    if (f->broken)
        return weft_fail(WEFT_EIO, "%s: not kept, a write failed", f->path);
    if (fsync(f->fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        return weft_file_fail(errno, f->path, "write");
    /* Network file systems may report a full disk only here. */
    const int rc = close(f->fd);

    f->fd = -1;
    return rc == 0 ? WEFT_OK : weft_file_fail(errno, f->path, "write");
}

weft_status weft_file_commit(weft_file *f)
{
    weft_status status = sync_and_close(f);

    if (status == WEFT_OK && rename(f->temp, f->path) != 0)
        status = weft_file_fail(errno, f->path, "put the file in place");
    if (status != WEFT_OK) {
        weft_file_abandon(f);
        return status;
    }
    status = sync_folder(f->path);
    release(f);
    return status;
}

void weft_file_abandon(weft_file *f)
{
    if (f->temp) unlink(f->temp);
    release(f);
}

weft_status weft_file_save(const char *path, const void *data, size_t bytes)
{
    weft_status status;
    weft_file f;

    WEFT_TRY(weft_file_create(path, &f));
    status = weft_file_write(&f, data, bytes);
    if (status == WEFT_OK) return weft_file_commit(&f);
    weft_file_abandon(&f);
    return status;
}

/* ---- reading ------------------------------------------------------------- */

weft_status weft_file_open(const char *path, int *fd, size_t *bytes)
{
    /* O_NONBLOCK: opening a pipe that nobody writes must not wait. */
    const int new = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    weft_status status = WEFT_OK;
    struct stat s;

    if (new < 0) return weft_file_fail(errno, path, "open");
    if (fstat(new, &s) != 0)
        status = weft_file_fail(errno, path, "open");
    else if (S_ISDIR(s.st_mode))
        status = weft_fail(WEFT_EINPUT, "%s: is a folder, not a file", path);
    else if (!S_ISREG(s.st_mode))
        status = weft_fail(WEFT_EINPUT, "%s: is not a regular file", path);
    if (status != WEFT_OK) {
        close(new);
        return status;
    }
    *fd = new;
    *bytes = (size_t)s.st_size;
    return WEFT_OK;
}

/* Until the end of the file or until `room` is full. */
static weft_status read_up_to(int fd, const char *path, char *data, size_t room,
                              size_t *bytes)
{
    size_t n = 0;

    while (n < room) {
        const ssize_t got = read(fd, data + n, room - n);

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return weft_file_fail(errno, path, "read");
        if (got == 0) break;
        n += (size_t)got;
    }
    *bytes = n;
    return WEFT_OK;
}

weft_status weft_file_read(const char *path, size_t most, char **data,
                           size_t *bytes)
{
    weft_status status = WEFT_OK;
    char *new = NULL;
    size_t size = 0, n = 0;
    int fd;

    WEFT_TRY(weft_file_open(path, &fd, &size));
    if (size > most) {
        status = weft_fail(WEFT_EINPUT,
                           "%s: is %zu bytes long, at most %zu are accepted",
                           path, size, most);
        goto out;
    }
    new = malloc(size + 1);
    if (new == NULL) {
        status = weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    status = read_up_to(fd, path, new, size, &n);
    if (status != WEFT_OK) goto out;
    new[n] = '\0';
    *data = new;
    *bytes = n;
    new = NULL;
out:
    free(new);
    close(fd);
    return status;
}

/* ---- folders ------------------------------------------------------------- */

/* An existing folder is looked at first: on a read-only disk mkdir may speak
 * of the disk before it sees that there is nothing to do. */
static weft_status make_one(const char *folder)
{
    if (weft_path_is_folder(folder) || mkdir(folder, 0777) == 0) return WEFT_OK;
    if (errno == EEXIST && weft_path_is_folder(folder)) return WEFT_OK;
    if (errno == EEXIST)
        return weft_fail(WEFT_EINPUT, "%s: is not a folder", folder);
    return weft_file_fail(errno, folder, "make the folder");
}

weft_status weft_file_make_folder(const char *path)
{
    char *folder = folder_of(path);
    weft_status status = WEFT_OK;

    if (folder == NULL) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (char *p = folder + 1; status == WEFT_OK && *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        status = make_one(folder);
        *p = '/';
    }
    if (status == WEFT_OK) status = make_one(folder);
    free(folder);
    return status;
}

weft_status weft_file_probe(const char *path)
{
    weft_file f;

    if (path[0] != '\0') WEFT_TRY(weft_file_make_folder(path));
    WEFT_TRY(weft_file_create(path, &f));
    weft_file_abandon(&f);
    return WEFT_OK;
}
