#include "launch/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/file.h"

const char *const weft_outcome_name[WEFT_OUTCOMES] = {[WEFT_MADE] = "done",
                                                      [WEFT_NAN] = "nan",
                                                      [WEFT_BLACK] = "black",
                                                      [WEFT_UNSEEN] =
                                                          "control picture"};

/* The first bytes of a file. */
typedef struct head {
    char magic[16], about[WEFT_HASH_TEXT];
} head;

static const char magic[16] = "weft spool 1\n";

/* Before the contents of an item's members, one after the other. The hash is
 * of the rest of the record and of the contents. */
typedef struct record {
    unsigned char hash[WEFT_HASH_BYTES];
    int32_t item, outcome, members;
    struct {
        char suffix[WEFT_SUFFIX];
        uint64_t bytes;
    } member[WEFT_MEMBERS];
} record;

enum { PIECE = 1 << 16 };

/* ---- bytes --------------------------------------------------------------- */

static weft_status write_at(const weft_spool *s, const void *data, size_t bytes,
                            uint64_t at)
{
    const char *from = data;

    while (bytes > 0) {
        const ssize_t n = pwrite(s->fd, from, bytes, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return weft_file_fail(n < 0 ? errno : EIO, s->path, "write");
        from += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return WEFT_OK;
}

static bool read_at(const weft_spool *s, void *data, size_t bytes, uint64_t at)
{
    char *to = data;

    while (bytes > 0) {
        const ssize_t n = pread(s->fd, to, bytes, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return true;
}

/* ---- reading ------------------------------------------------------------- */

/* Plausible, and of an item of this shard. */
static bool is_record(const weft_spool *s, const record *r, uint64_t room)
{
    if (r->item < 0 || r->item >= s->items || r->outcome < 0 ||
        r->outcome >= WEFT_OUTCOMES || r->members < 0 ||
        r->members > WEFT_MEMBERS)
        return false;
    for (int i = 0; i < r->members; i++) {
        if (r->member[i].bytes > room ||
            !memchr(r->member[i].suffix, '\0', WEFT_SUFFIX))
            return false;
        room -= r->member[i].bytes;
    }
    return true;
}

static void start_hash(const record *r, weft_hash *h)
{
    weft_hash_start(h);
    weft_hash_add(h, (const char *)r + sizeof r->hash,
                  sizeof *r - sizeof r->hash);
}

static bool is_whole(const weft_spool *s, const record *r, uint64_t at,
                     uint64_t bytes)
{
    unsigned char found[WEFT_HASH_BYTES];
    char piece[PIECE];
    weft_hash h;

    start_hash(r, &h);
    while (bytes > 0) {
        const size_t n = bytes < PIECE ? (size_t)bytes : PIECE;

        if (!read_at(s, piece, n, at)) return false;
        weft_hash_add(&h, piece, n);
        at += n;
        bytes -= n;
    }
    weft_hash_end(&h, found);
    return memcmp(found, r->hash, sizeof found) == 0;
}

static void note(weft_spool *s, const record *r)
{
    weft_spooled *item = &s->item[r->item];
    uint64_t at = s->end + sizeof *r;

    s->found += !item->there;
    *item = (weft_spooled){.there = true,
                           .outcome = (weft_outcome)r->outcome,
                           .members = r->members};
    for (int i = 0; i < r->members; i++) {
        weft_member *m = &item->member[i];

        memcpy(m->suffix, r->member[i].suffix, WEFT_SUFFIX);
        m->bytes = r->member[i].bytes;
        m->at = at;
        at += m->bytes;
    }
    s->end = at;
}

/* All that is whole; what is behind it is cut off. */
static void take_old(weft_spool *s, uint64_t size)
{
    record r;

    while (size - s->end >= sizeof r && read_at(s, &r, sizeof r, s->end)) {
        uint64_t bytes = 0;

        if (!is_record(s, &r, size - s->end - sizeof r)) break;
        for (int i = 0; i < r.members; i++) bytes += r.member[i].bytes;
        if (!is_whole(s, &r, s->end + sizeof r, bytes)) break;
        note(s, &r);
    }
}

static weft_status begin(weft_spool *s, const char about[WEFT_HASH_TEXT])
{
    struct stat stat;
    head h, want;

    memset(&want, 0, sizeof want);
    memcpy(want.magic, magic, sizeof magic);
    memcpy(want.about, about, WEFT_HASH_TEXT);
    s->end = sizeof want;
    if (fstat(s->fd, &stat) != 0) return weft_file_fail(errno, s->path, "open");
    if ((uint64_t)stat.st_size >= sizeof h && read_at(s, &h, sizeof h, 0) &&
        memcmp(&h, &want, sizeof h) == 0)
        take_old(s, (uint64_t)stat.st_size);
    else
        WEFT_TRY(write_at(s, &want, sizeof want, 0));
    if (ftruncate(s->fd, (off_t)s->end) != 0)
        return weft_file_fail(errno, s->path, "write");
    return WEFT_OK;
}

/* ---- life ---------------------------------------------------------------- */

static bool is_same_file(const weft_spool *s)
{
    struct stat a, b;

    return fstat(s->fd, &a) == 0 && stat(s->path, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The named file, unless another process has it. Where files have no locks
 * everybody gets it: whoever has the folder has its lock. */
static weft_status open_named(weft_spool *s)
{
    s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0) return weft_file_fail(errno, s->path, "create");
    s->named = (flock(s->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
               is_same_file(s);
    if (s->named) return WEFT_OK;
    close(s->fd);
    s->fd = -1;
    return WEFT_OK;
}

static weft_status open_nameless(weft_spool *s)
{
    char *path;

    if (asprintf(&path, "%s.XXXXXX", s->path) < 0)
        return weft_fail(WEFT_ENOMEM, "out of memory");
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd >= 0) unlink(path);
    free(path);
    return s->fd >= 0 ? WEFT_OK : weft_file_fail(errno, s->path, "create");
}

weft_status weft_spool_open(const char *path, const char about[WEFT_HASH_TEXT],
                            int items, weft_spool *out)
{
    weft_spool s = {.fd = -1, .items = items};
    weft_status st = WEFT_OK;

    s.path = strdup(path);
    s.item = calloc((size_t)items + 1, sizeof *s.item);
    if (!s.path || !s.item) st = weft_fail(WEFT_ENOMEM, "out of memory");
    if (st == WEFT_OK) st = open_named(&s);
    if (st == WEFT_OK && s.fd < 0) st = open_nameless(&s);
    if (st == WEFT_OK) st = begin(&s, about);
    if (st == WEFT_OK)
        *out = s;
    else
        weft_spool_close(&s, false);
    return st;
}

void weft_spool_close(weft_spool *s, bool remove)
{
    if (remove && s->named) unlink(s->path);
    if (s->fd >= 0) close(s->fd);
    free(s->path);
    free(s->item);
    *s = (weft_spool){.fd = -1};
}

/* ---- items --------------------------------------------------------------- */

weft_status weft_spool_add(weft_spool *s, int item, weft_outcome outcome,
                           const weft_member *member, int members)
{
    uint64_t at = s->end + sizeof(record);
    weft_hash h;
    record r;

    WEFT_MUST(item >= 0 && item < s->items && members <= WEFT_MEMBERS);
    memset(&r, 0, sizeof r);
    r.item = item;
    r.outcome = (int32_t)outcome;
    r.members = members;
    for (int i = 0; i < members; i++) {
        memcpy(r.member[i].suffix, member[i].suffix, WEFT_SUFFIX);
        r.member[i].bytes = member[i].bytes;
    }
    start_hash(&r, &h);
    for (int i = 0; i < members; i++) {
        weft_hash_add(&h, member[i].data, (size_t)member[i].bytes);
        WEFT_TRY(write_at(s, member[i].data, (size_t)member[i].bytes, at));
        at += member[i].bytes;
    }
    weft_hash_end(&h, r.hash);
    WEFT_TRY(write_at(s, &r, sizeof r, s->end));
    note(s, &r);
    return WEFT_OK;
}

weft_status weft_spool_read(const weft_spool *s, const weft_member *m, void *to)
{
    if (read_at(s, to, (size_t)m->bytes, m->at)) return WEFT_OK;
    return weft_fail(WEFT_EIO, "%s: cannot be read back", s->path);
}
