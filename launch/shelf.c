#include "launch/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/file.h"

enum { MOST_MARK = 1 << 28, PIECE = 1 << 18 };

void weft_shelf_path(const weft_shelf *s, int k, weft_place_kind what,
                     char path[WEFT_SHELF_PATH])
{
    static const char *const form[] = {
        [WEFT_SHELF_SHARD] = "%.4096s/%06d.tar",
        [WEFT_SHELF_MARK] = "%.4096s/%06d.json",
        [WEFT_SHELF_SPOOL] = "%.4096s/.%06d.part",
        [WEFT_SHELF_FLIGHT] = "%.4096s/.%06d.flight"};

    if (what == WEFT_SHELF_SHARD && s->folder)
        snprintf(path, WEFT_SHELF_PATH, "%.4096s/%06d", s->dir, k);
    else
        snprintf(path, WEFT_SHELF_PATH, form[what], s->dir, k);
}

/* ---- members ------------------------------------------------------------- */

static int is_member(const struct dirent *d) { return d->d_name[0] != '.'; }

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static weft_status list_folder(weft_shard_reader *r)
{
    struct dirent **list;
    const int n = scandir(r->path, &list, is_member, by_bytes);
    weft_status st = WEFT_OK;

    if (n < 0) return weft_file_fail(errno, r->path, "open");
    r->name = calloc((size_t)n + 1, sizeof *r->name);
    for (int i = 0; i < n; i++) {
        if (r->name) r->name[i] = strdup(list[i]->d_name);
        if (!r->name || !r->name[i])
            st = weft_fail(WEFT_ENOMEM, "out of memory");
        free(list[i]);
    }
    free(list);
    r->n = n;
    if (st != WEFT_OK) weft_shard_close(r);
    return st;
}

weft_status weft_shard_open(const weft_shelf *s, int k, weft_shard_reader *r)
{
    memset(r, 0, sizeof *r);
    r->folder = s->folder;
    weft_shelf_path(s, k, WEFT_SHELF_SHARD, r->path);
    return r->folder ? list_folder(r) : weft_tar_open(r->path, &r->tar);
}

void weft_shard_close(weft_shard_reader *r)
{
    if (!r->folder) weft_tar_close(&r->tar);
    for (int i = 0; i < r->n && r->name; i++) free(r->name[i]);
    free(r->name);
    r->name = NULL;
}

static void member_path(const weft_shard_reader *r, const char *name,
                        char path[WEFT_SHELF_PATH])
{
    snprintf(path, WEFT_SHELF_PATH, "%.4000s/%.128s", r->path, name);
}

static weft_status next_in_folder(weft_shard_reader *r, weft_tar_member *m)
{
    char path[WEFT_SHELF_PATH];
    size_t bytes;
    int fd;

    *m = (weft_tar_member){.bytes = 0};
    if (r->next == r->n) return WEFT_OK;
    if (strlen(r->name[r->next]) >= WEFT_TAR_NAME)
        return weft_fail(WEFT_EINPUT, "%s: %.120s is not weft's", r->path,
                         r->name[r->next]);
    member_path(r, r->name[r->next], path);
    WEFT_TRY(weft_file_open(path, &fd, &bytes));
    close(fd);
    m->bytes = bytes;
    memcpy(m->name, r->name[r->next], strlen(r->name[r->next]) + 1);
    r->next++;
    return WEFT_OK;
}

weft_status weft_shard_next(weft_shard_reader *r, weft_tar_member *m)
{
    return r->folder ? next_in_folder(r, m) : weft_tar_next(&r->tar, m);
}

weft_status weft_shard_read(const weft_shard_reader *r,
                            const weft_tar_member *m, size_t most, char **data)
{
    char path[WEFT_SHELF_PATH];
    size_t bytes;

    if (!r->folder) return weft_tar_read(&r->tar, m, most, data);
    member_path(r, m->name, path);
    return weft_file_read(path, most, data, &bytes);
}

/* ---- what killed jobs left ----------------------------------------------- */

/* A file of the whole set, n characters of `name`? */
static bool is_of_set(const char *name, size_t n)
{
    static const char *const file[] = {"dataset.json", "index.jsonl",
                                       "table.csv"};

    for (size_t i = 0; i < sizeof file / sizeof *file; i++)
        if (strlen(file[i]) == n && strncmp(name, file[i], n) == 0) return true;
    return false;
}

/* Does so much stand between a shard's number and ".tmp."? */
static bool is_of_shard(const char *middle, size_t n)
{
    static const char *const kind[] = {"", ".tar", ".json", ".flight"};

    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        if (strlen(kind[i]) == n && strncmp(middle, kind[i], n) == 0)
            return true;
    return false;
}

/* 000123.tar.tmp.456, 000123.json.tmp.456, 000123.tmp.456,
 * .000123.flight.tmp.456, .000123.part.h4Y3sX, and nothing that only looks
 * like them */
static bool is_torn(const char *name, int slice, int slices)
{
    const char *digits = name + (name[0] == '.');
    const size_t n = strspn(digits, "0123456789");
    const char *rest = digits + n, *temp = strstr(name, ".tmp.");
    const char *tail = temp ? temp + strlen(".tmp.") : "";

    if (temp && (!*tail || tail[strspn(tail, ".0123456789")])) return false;
    if (n < 6 || n > 9)
        return temp && slices == 1 && is_of_set(name, (size_t)(temp - name));
    if (temp ? !is_of_shard(rest, (size_t)(temp - rest))
             : strncmp(rest, ".part.", 6) != 0 || strlen(rest) != 12)
        return false;
    return strtol(digits, NULL, 10) % slices == slice;
}

static void remove_torn(int dir, const char *name)
{
    int inner;
    DIR *d;

    if (unlinkat(dir, name, 0) == 0) return;
    inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    d = inner >= 0 ? fdopendir(inner) : NULL;
    for (const struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    unlinkat(dir, name, AT_REMOVEDIR);
}

void weft_shelf_sweep(const char *dir, int slice, int slices)
{
    DIR *d = opendir(dir);

    for (const struct dirent *e; d && (e = readdir(d));)
        if (is_torn(e->d_name, slice, slices)) remove_torn(dirfd(d), e->d_name);
    if (d) closedir(d);
}

/* ---- is it as its mark says? --------------------------------------------- */

/* The tar that the members of a folder would make. */
static weft_status hash_folder(weft_shard_reader *r, char text[WEFT_HASH_TEXT],
                               size_t *bytes)
{
    static const char zeros[WEFT_TAR_END];
    char block[WEFT_TAR_BLOCK], *data;
    weft_tar_member m;
    weft_hash h;

    weft_hash_start(&h);
    *bytes = WEFT_TAR_END;
    for (;;) {
        WEFT_TRY(weft_shard_next(r, &m));
        if (!m.name[0]) break;
        WEFT_TRY(weft_tar_header(m.name, m.bytes, block));
        WEFT_TRY(weft_shard_read(r, &m, (size_t)m.bytes, &data));
        weft_hash_add(&h, block, sizeof block);
        weft_hash_add(&h, data, (size_t)m.bytes);
        weft_hash_add(&h, zeros, weft_tar_padding(m.bytes));
        *bytes += sizeof block + m.bytes + weft_tar_padding(m.bytes);
        free(data);
    }
    weft_hash_add(&h, zeros, sizeof zeros);
    weft_hash_text(&h, text);
    return WEFT_OK;
}

static weft_status hash_shard(const weft_shelf *s, int k,
                              char text[WEFT_HASH_TEXT], size_t *bytes)
{
    char path[WEFT_SHELF_PATH];
    weft_shard_reader r;
    weft_status st;

    weft_shelf_path(s, k, WEFT_SHELF_SHARD, path);
    if (!s->folder) return weft_hash_file(path, text, bytes);
    WEFT_TRY(weft_shard_open(s, k, &r));
    st = hash_folder(&r, text, bytes);
    weft_shard_close(&r);
    return st;
}

static weft_status check_hash(const weft_shelf *s, int k, const char *path,
                              json_int_t want, const char *sha256)
{
    char found[WEFT_HASH_TEXT];
    size_t bytes;

    WEFT_TRY(hash_shard(s, k, found, &bytes));
    if ((json_int_t)bytes != want)
        return weft_fail(WEFT_EINPUT, "%s: %zu bytes, its mark says %lld", path,
                         bytes, (long long)want);
    if (strcmp(found, sha256) != 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: its contents have changed: sha256 %s, its mark "
                         "says %.64s",
                         path, found, sha256);
    return WEFT_OK;
}

/* By name alone: each item that was made has its JSON and, if any has, its
 * picture and its latents. */
static weft_status check_names(const char *path, json_int_t made)
{
    static const char *const suffix[] = {".json", ".png",
                                         ".latent.safetensors"};
    json_int_t n[3] = {0};
    DIR *d = opendir(path);

    for (const struct dirent *e; d && (e = readdir(d));)
        for (int i = 0; i < 3; i++) {
            const char *dot = strchr(e->d_name, '.');

            n[i] += dot != NULL && strcmp(dot, suffix[i]) == 0;
        }
    if (d) closedir(d);
    for (int i = 0; i < 3; i++)
        if (n[i] != made && (i == 0 || n[i]))
            return weft_fail(WEFT_EINPUT,
                             "%s: holds %lld files *%s, and %lld items were "
                             "made",
                             path, (long long)n[i], suffix[i], (long long)made);
    return WEFT_OK;
}

/* Without reading what is in it. */
static weft_status check_size(const weft_shelf *s, const char *path,
                              json_int_t want, json_int_t made)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return weft_fail(WEFT_EINPUT, "%s: is missing, and its mark is there",
                         path);
    if (s->folder) return check_names(path, made);
    if ((json_int_t)st.st_size == want) return WEFT_OK;
    return weft_fail(WEFT_EINPUT, "%s: %lld bytes, its mark says %lld", path,
                     (long long)st.st_size, (long long)want);
}

static weft_status check_shard(const weft_shelf *s, int k, bool verify,
                               json_t *mark)
{
    char path[WEFT_SHELF_PATH];
    const char *sha256;
    json_int_t bytes, shard, items, failed;

    weft_shelf_path(s, k, WEFT_SHELF_SHARD, path);
    if (json_unpack(mark, "{s:I, s:I, s:I, s:I, s:s}", "shard", &shard, "bytes",
                    &bytes, "items", &items, "failed", &failed, "sha256",
                    &sha256) != 0)
        return weft_fail(WEFT_EINPUT, "%s: its mark is not one", path);
    if (shard != k)
        return weft_fail(WEFT_EINPUT, "%s: its mark is of shard %lld", path,
                         (long long)shard);
    WEFT_TRY(check_size(s, path, bytes, items - failed));
    return verify ? check_hash(s, k, path, bytes, sha256) : WEFT_OK;
}

/* ---- marks --------------------------------------------------------------- */

static weft_status read_mark(const char *path, json_t **mark)
{
    json_error_t error;
    size_t bytes;
    char *text;

    *mark = NULL;
    WEFT_TRY(weft_file_read(path, MOST_MARK, &text, &bytes));
    *mark = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!*mark || !json_is_object(*mark)) {
        json_decref(*mark);
        *mark = NULL;
        return weft_fail(WEFT_EINPUT, "%s: not a mark: %s", path, error.text);
    }
    return WEFT_OK;
}

static weft_status check_manifest(const weft_shelf *s, const char *path,
                                  const json_t *mark)
{
    const char *of = json_string_value(json_object_get(mark, "manifest"));

    if (!s->manifest || (of && strcmp(of, s->manifest) == 0)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: of another manifest (sha256 %.64s, now %s): a data "
                     "set of its own needs a folder of its own",
                     path, of ? of : "unknown", s->manifest);
}

weft_status weft_shelf_look(const weft_shelf *s, int k, bool verify,
                            weft_shard_state *state, json_t **out)
{
    char path[WEFT_SHELF_PATH];
    json_t *mark;

    if (out) *out = NULL;
    *state = WEFT_SHARD_LEFT;
    weft_shelf_path(s, k, WEFT_SHELF_MARK, path);
    if (access(path, F_OK) != 0) return WEFT_OK;
    *state = WEFT_SHARD_DAMAGED;
    if (read_mark(path, &mark) != WEFT_OK) return WEFT_OK;
    if (check_manifest(s, path, mark) != WEFT_OK) {
        json_decref(mark);
        return WEFT_EINPUT;
    }
    if (check_shard(s, k, verify, mark) == WEFT_OK)
        *state = json_integer_value(json_object_get(mark, "failed"))
                     ? WEFT_SHARD_FAILED
                     : WEFT_SHARD_DONE;
    if (out)
        *out = mark;
    else
        json_decref(mark);
    return WEFT_OK;
}
