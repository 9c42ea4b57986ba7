#include "launch/commit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/file.h"

enum { PIECE = 1 << 18, MOST_MEMBER = 1 << 30 };

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory for a shard");
}

/* ---- the order of names -------------------------------------------------- */

typedef struct entry {
    const weft_item *item;
    const weft_spooled *made;
} entry;

/* As names go, and every name is ID.SUFFIX: "a-b.png" comes before "a.png". */
static int compare(const void *a, const void *b)
{
    char x[WEFT_ITEM_ID + 1], y[WEFT_ITEM_ID + 1];

    snprintf(x, sizeof x, "%s.", ((const entry *)a)->item->id);
    snprintf(y, sizeof y, "%s.", ((const entry *)b)->item->id);
    return strcmp(x, y);
}

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const weft_member *)a)->suffix,
                  ((const weft_member *)b)->suffix);
}

/* ---- the tar, and the files of a folder ---------------------------------- */

/* Bytes on their way into a tar. Of a folder's shard only the hash is made of
 * them, and each member has a file of its own. */
typedef struct shard {
    const weft_spool *spool;
    weft_hash hash; /* of all that was put so far */
    uint64_t bytes;
    weft_file *tar;     /* NULL: a folder */
    const char *folder; /* its temporary name */
    char *piece;        /* [PIECE] */
    size_t full;
} shard;

static weft_status flush(shard *s)
{
    weft_status st = WEFT_OK;

    weft_hash_add(&s->hash, s->piece, s->full);
    s->bytes += s->full;
    if (s->tar) st = weft_file_write(s->tar, s->piece, s->full);
    s->full = 0;
    return st;
}

static weft_status put(shard *s, const char *data, size_t bytes)
{
    while (bytes > 0) {
        const size_t room = PIECE - s->full;
        const size_t n = bytes < room ? bytes : room;

        if (data)
            memcpy(s->piece + s->full, data, n);
        else
            memset(s->piece + s->full, 0, n);
        s->full += n;
        bytes -= n;
        if (data) data += n;
        if (s->full == PIECE) WEFT_TRY(flush(s));
    }
    return WEFT_OK;
}

static weft_status write_all(int fd, const char *path, const char *data,
                             size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(fd, data, bytes);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return weft_file_fail(n < 0 ? errno : EIO, path, "write");
        data += n;
        bytes -= (size_t)n;
    }
    return WEFT_OK;
}

static weft_status put_file(const shard *s, const char *name, const char *data,
                            size_t bytes)
{
    char path[WEFT_SHELF_PATH];
    weft_status st;
    int fd;

    snprintf(path, sizeof path, "%.4000s/%.128s", s->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return weft_file_fail(errno, path, "create");
    st = write_all(fd, path, data, bytes);
    if (close(fd) != 0 && st == WEFT_OK)
        st = weft_file_fail(errno, path, "write");
    return st;
}

static weft_status put_member(shard *s, const char *id, const weft_member *m)
{
    char name[WEFT_TAR_NAME + WEFT_ITEM_ID], block[WEFT_TAR_BLOCK];
    char *data = malloc((size_t)m->bytes + 1);
    weft_status st;

    if (!data) return no_memory();
    snprintf(name, sizeof name, "%.80s.%.23s", id, m->suffix);
    st = weft_tar_header(name, m->bytes, block);
    if (st == WEFT_OK) st = weft_spool_read(s->spool, m, data);
    if (st == WEFT_OK) st = put(s, block, sizeof block);
    if (st == WEFT_OK) st = put(s, data, (size_t)m->bytes);
    if (st == WEFT_OK) st = put(s, NULL, weft_tar_padding(m->bytes));
    if (st == WEFT_OK && s->folder)
        st = put_file(s, name, data, (size_t)m->bytes);
    free(data);
    return st;
}

static weft_status put_item(shard *s, const entry *e)
{
    weft_member member[WEFT_MEMBERS];
    const int n = e->made->members;

    memcpy(member, e->made->member, sizeof member);
    qsort(member, (size_t)n, sizeof *member, compare_members);
    for (int i = 0; i < n; i++)
        WEFT_TRY(put_member(s, e->item->id, &member[i]));
    return WEFT_OK;
}

static weft_status put_all(shard *s, const entry *e, int n)
{
    weft_status st = WEFT_OK;

    s->piece = malloc(PIECE);
    if (!s->piece) return no_memory();
    weft_hash_start(&s->hash);
    for (int i = 0; i < n && st == WEFT_OK; i++) st = put_item(s, &e[i]);
    if (st == WEFT_OK) st = put(s, NULL, WEFT_TAR_END);
    if (st == WEFT_OK) st = flush(s);
    free(s->piece);
    return st;
}

static weft_status write_tar(const char *path, shard *s, const entry *e, int n)
{
    weft_file tar;
    weft_status st;

    WEFT_TRY(weft_file_create(path, &tar));
    s->tar = &tar;
    st = put_all(s, e, n);
    if (st == WEFT_OK) return weft_file_commit(&tar);
    weft_file_abandon(&tar);
    return st;
}

/* NULL where there is none, or a link to one: what that holds is not ours. */
static DIR *open_folder(const char *folder)
{
    const int fd =
        open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && !dir) close(fd);
    return dir;
}

/* A folder without folders in it, if it is there. */
static void remove_folder(const char *folder)
{
    DIR *dir = open_folder(folder);
    const struct dirent *d;

    if (!dir) return;
    while ((d = readdir(dir))) unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    rmdir(folder);
}

static bool is_folder(DIR *in, const char *name)
{
    struct stat st;

    return fstatat(dirfd(in), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st.st_mode) && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* What lies where the folder of a shard shall be is one, or nothing. */
static weft_status check_place(const char *folder)
{
    DIR *dir = open_folder(folder);
    const int why = errno;
    const struct dirent *d;
    weft_status st = WEFT_OK;

    if (!dir && why == ENOENT) return WEFT_OK;
    if (!dir)
        return weft_fail(WEFT_EIO,
                         "%s: is not a folder that weft made; move it away",
                         folder);
    while (st == WEFT_OK && (d = readdir(dir)))
        if (is_folder(dir, d->d_name))
            st = weft_fail(WEFT_EIO,
                           "%s: holds %s, which weft did not put there; move "
                           "it away",
                           folder, d->d_name);
    closedir(dir);
    return st;
}

/* All files of the folder reach the disk together. */
static weft_status sync_all(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd >= 0 && syncfs(fd) == 0;
    const int why = errno;

    if (fd >= 0) close(fd);
    return synced ? WEFT_OK : weft_file_fail(why, folder, "sync");
}

static weft_status write_folder(const char *path, shard *s, const entry *e,
                                int n)
{
    char temp[WEFT_SHELF_PATH + 32];
    weft_status st;

    WEFT_TRY(check_place(path));
    snprintf(temp, sizeof temp, "%s.tmp.%ld", path, (long)getpid());
    if (mkdir(temp, 0777) != 0) {
        remove_folder(temp);
        if (mkdir(temp, 0777) != 0)
            return weft_file_fail(errno, temp, "make the folder");
    }
    s->folder = temp;
    st = put_all(s, e, n);
    if (st == WEFT_OK) st = sync_all(temp);
    if (st == WEFT_OK) {
        remove_folder(path);
        if (rename(temp, path) != 0)
            st = weft_file_fail(errno, path, "put the folder in place");
    }
    if (st != WEFT_OK) remove_folder(temp);
    return st;
}

/* ---- the mark ------------------------------------------------------------ */

/* What became of every item; *failed: of how many not an image. */
static json_t *statuses(const entry *e, int n, int *failed)
{
    json_t *all = json_object();

    *failed = 0;
    for (int i = 0; i < n; i++) {
        json_object_set_new(all, e[i].item->id,
                            json_string(weft_outcome_name[e[i].made->outcome]));
        *failed += e[i].made->outcome != WEFT_MADE;
    }
    return all;
}

/* Takes over `about`. */
static json_t *make_mark(const weft_shelf *shelf, int k, const shard *s,
                         const entry *e, int n, json_t *about)
{
    char path[WEFT_SHELF_PATH], sha256[WEFT_HASH_TEXT];
    weft_hash hash = s->hash;
    json_t *status, *mark;
    int failed;

    weft_shelf_path(shelf, k, WEFT_SHELF_SHARD, path);
    weft_hash_text(&hash, sha256);
    status = statuses(e, n, &failed);
    mark = json_pack("{s:i, s:s, s:I, s:s, s:i, s:i, s:s, s:o}", "shard", k,
                     shelf->folder ? "folder" : "tar", strrchr(path, '/') + 1,
                     "bytes", (json_int_t)s->bytes, "sha256", sha256, "items",
                     n, "failed", failed, "manifest", shelf->manifest, "status",
                     status);
    if (mark) json_object_update(mark, about);
    json_decref(about);
    return mark;
}

static weft_status write_mark(const weft_shelf *shelf, int k,
                              const json_t *mark)
{
    char *text =
        mark ? json_dumps(mark, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6))
             : NULL;
    char path[WEFT_SHELF_PATH];
    weft_status st;
    size_t bytes;

    if (!text) return no_memory();
    weft_shelf_path(shelf, k, WEFT_SHELF_MARK, path);
    bytes = strlen(text);
    text[bytes] = '\n'; /* in place of its end */
    st = weft_file_save(path, text, bytes + 1);
    free(text);
    return st;
}

static weft_status remove_mark(const weft_shelf *shelf, int k)
{
    char path[WEFT_SHELF_PATH];

    weft_shelf_path(shelf, k, WEFT_SHELF_MARK, path);
    if (unlink(path) == 0 || errno == ENOENT) return WEFT_OK;
    return weft_file_fail(errno, path, "remove");
}

static weft_status commit(const weft_shelf *shelf, int k, const entry *e, int n,
                          const weft_spool *spool, json_t *about)
{
    char path[WEFT_SHELF_PATH];
    shard s = {.spool = spool};
    weft_status st = remove_mark(shelf, k);
    json_t *mark;

    weft_shelf_path(shelf, k, WEFT_SHELF_SHARD, path);
    if (st == WEFT_OK)
        st = shelf->folder ? write_folder(path, &s, e, n)
                           : write_tar(path, &s, e, n);
    if (st != WEFT_OK) {
        json_decref(about);
        return st;
    }
    mark = make_mark(shelf, k, &s, e, n, about);
    st = write_mark(shelf, k, mark);
    json_decref(mark);
    return st;
}

weft_status weft_commit(const weft_shelf *shelf, int k, const weft_item *item,
                        int n, const weft_spool *spool, json_t *about)
{
    entry *e = calloc((size_t)n + 1, sizeof *e);
    weft_status st;

    if (!e) {
        json_decref(about);
        return no_memory();
    }
    for (int i = 0; i < n; i++) {
        WEFT_MUST(spool->item[i].there);
        e[i] = (entry){&item[i], &spool->item[i]};
    }
    qsort(e, (size_t)n, sizeof *e, compare);
    st = commit(shelf, k, e, n, spool, about);
    free(e);
    return st;
}

/* ---- back ---------------------------------------------------------------- */

/* Which item a name is of, or -1; *suffix: behind its dot. Names come in the
 * order of the ids nearly: the search goes on where it was. */
static int item_of(const char *name, const weft_item *item, int n, int from,
                   const char **suffix)
{
    const size_t id = strcspn(name, ".");

    if (!name[id] || strlen(name + id + 1) >= WEFT_SUFFIX) return -1;
    *suffix = name + id + 1;
    for (int i = 0; i < n; i++) {
        const int at = (from + i) % n;

        if (strncmp(item[at].id, name, id) == 0 && !item[at].id[id]) return at;
    }
    return -1;
}

/* The members of one item, until all of them were met. */
typedef struct gathering {
    weft_spool *spool;
    int item; /* -1: none yet */
    weft_member member[WEFT_MEMBERS];
    char *data[WEFT_MEMBERS]; /* owned */
    int n;
} gathering;

static void forget(gathering *g)
{
    for (int i = 0; i < g->n; i++) free(g->data[i]);
    g->n = 0;
}

static weft_status settle(gathering *g)
{
    weft_status st = WEFT_OK;

    if (g->n)
        st = weft_spool_add(g->spool, g->item, WEFT_MADE, g->member, g->n);
    forget(g);
    return st;
}

static weft_status gather(gathering *g, const weft_shard_reader *r,
                          const weft_tar_member *m, int item,
                          const char *suffix)
{
    weft_member *to = &g->member[g->n];

    if (item != g->item) {
        WEFT_TRY(settle(g));
        to = &g->member[0];
        g->item = item;
    }
    if (item < 0) return WEFT_OK;
    if (g->n == WEFT_MEMBERS)
        return weft_fail(WEFT_EINPUT, "%s: an item with too many members",
                         r->path);
    WEFT_TRY(weft_shard_read(r, m, MOST_MEMBER, &g->data[g->n]));
    *to = (weft_member){.data = g->data[g->n], .bytes = m->bytes};
    snprintf(to->suffix, sizeof to->suffix, "%s", suffix);
    g->n++;
    return WEFT_OK;
}

weft_status weft_commit_reload(const weft_shelf *s, int k,
                               const weft_item *item, int n, weft_spool *spool)
{
    gathering g = {.spool = spool, .item = -1};
    const char *suffix = NULL;
    weft_shard_reader r;
    weft_tar_member m;
    weft_status st;
    int at;

    WEFT_TRY(weft_shard_open(s, k, &r));
    do {
        st = weft_shard_next(&r, &m);
        if (st != WEFT_OK || !m.name[0]) break;
        at = item_of(m.name, item, n, g.item < 0 ? 0 : g.item, &suffix);
        st = gather(&g, &r, &m, at, suffix);
    } while (st == WEFT_OK);
    if (st == WEFT_OK)
        st = settle(&g);
    else
        forget(&g);
    weft_shard_close(&r);
    return st;
}
