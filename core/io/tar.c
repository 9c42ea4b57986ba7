#include "core/io/tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"

/* The fields of a USTAR header: offset and length. */
enum {
    NAME = 0,
    MODE = 100,
    UID = 108,
    GID = 116,
    SIZE = 124,
    TIME = 136,
    SUM = 148,
    TYPE = 156,
    MAGIC = 257,
    MAJOR = 329,
    MINOR = 337,
    SUM_BYTES = 8,
    SIZE_BYTES = 12,
};

static const uint64_t most_bytes = ((uint64_t)1 << 33) - 1;

/* ---- writing ------------------------------------------------------------- */

/* With its own field as blanks. */
static unsigned sum_of(const char block[WEFT_TAR_BLOCK])
{
    unsigned sum = 0;

    for (int i = 0; i < WEFT_TAR_BLOCK; i++)
        sum += i >= SUM && i < SUM + SUM_BYTES ? ' ' : (unsigned char)block[i];
    return sum;
}

weft_status weft_tar_header(const char *name, uint64_t bytes,
                            char block[WEFT_TAR_BLOCK])
{
    const size_t n = strlen(name);
    char sum[SUM_BYTES];

    if (n < 1 || n >= WEFT_TAR_NAME)
        return weft_fail(WEFT_EINPUT,
                         "%.120s: a member of a tar has a name of 1 to 100 "
                         "bytes",
                         name);
    if (bytes > most_bytes)
        return weft_fail(WEFT_EINPUT,
                         "%s: %llu bytes are too many for a member of a tar",
                         name, (unsigned long long)bytes);
    memset(block, 0, WEFT_TAR_BLOCK);
    memcpy(block + NAME, name, n);
    memcpy(block + MODE, "0000444", 8);
    memcpy(block + UID, "0000000", 8);
    memcpy(block + GID, "0000000", 8);
    snprintf(block + SIZE, SIZE_BYTES, "%011llo", (unsigned long long)bytes);
    memcpy(block + TIME, "00000000000", 12);
    block[TYPE] = '0';
    memcpy(block + MAGIC,
           "ustar\0"
           "00",
           8);
    memcpy(block + MAJOR, "0000000", 8);
    memcpy(block + MINOR, "0000000", 8);
    snprintf(sum, sizeof sum, "%06o", sum_of(block));
    memcpy(block + SUM, sum, 7);
    block[SUM + 7] = ' ';
    return WEFT_OK;
}

size_t weft_tar_padding(uint64_t bytes)
{
    return (size_t)(-bytes % WEFT_TAR_BLOCK);
}

/* ---- reading ------------------------------------------------------------- */

weft_status weft_tar_open(const char *path, weft_tar *t)
{
    size_t size;
    int fd;

    WEFT_TRY(weft_file_open(path, &fd, &size));
    *t = (weft_tar){.fd = fd, .path = path, .size = size};
    return WEFT_OK;
}

void weft_tar_close(weft_tar *t) { close(t->fd); }

static weft_status bad(const weft_tar *t, uint64_t at, const char *why)
{
    return weft_fail(WEFT_EINPUT, "%s: byte %llu: %s", t->path,
                     (unsigned long long)at, why);
}

static weft_status read_at(const weft_tar *t, uint64_t at, void *data,
                           size_t bytes)
{
    char *to = data;

    while (bytes > 0) {
        const ssize_t n = pread(t->fd, to, bytes, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return weft_file_fail(errno, t->path, "read");
        if (n == 0) return bad(t, at, "the archive ends too early");
        to += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return WEFT_OK;
}

/* `digits` octal digits; anything else is no number of ours. */
static bool octal(const char *field, int digits, uint64_t *value)
{
    uint64_t v = 0;

    for (int i = 0; i < digits; i++) {
        if (field[i] < '0' || field[i] > '7') return false;
        v = v << 3 | (uint64_t)(field[i] - '0');
    }
    *value = v;
    return true;
}

static bool is_zero(const char block[WEFT_TAR_BLOCK])
{
    for (int i = 0; i < WEFT_TAR_BLOCK; i++)
        if (block[i]) return false;
    return true;
}

static weft_status read_end(weft_tar *t, weft_tar_member *m)
{
    char block[WEFT_TAR_BLOCK];

    if (t->size != t->next + WEFT_TAR_END)
        return bad(t, t->next, "two blocks of zeros and the end are expected");
    WEFT_TRY(read_at(t, t->next + WEFT_TAR_BLOCK, block, sizeof block));
    if (!is_zero(block))
        return bad(t, t->next + WEFT_TAR_BLOCK,
                   "two blocks of zeros and the end are expected");
    *m = (weft_tar_member){.at = t->size};
    return WEFT_OK;
}

weft_status weft_tar_next(weft_tar *t, weft_tar_member *m)
{
    weft_tar_member found = {.at = t->next + WEFT_TAR_BLOCK};
    char block[WEFT_TAR_BLOCK];
    uint64_t sum, end;

    WEFT_TRY(read_at(t, t->next, block, sizeof block));
    if (is_zero(block)) return read_end(t, m);
    if (memcmp(block + MAGIC, "ustar", 6) != 0)
        return bad(t, t->next, "not a header of a USTAR archive");
    if (!octal(block + SUM, 6, &sum) || sum != sum_of(block) ||
        memcmp(block + SUM + 6, "\0 ", 2) != 0)
        return bad(t, t->next, "the checksum of a header is wrong");
    if (block[TYPE] != '0' || !octal(block + SIZE, 11, &found.bytes))
        return bad(t, t->next, "a member that weft does not write");
    end = found.at + found.bytes + weft_tar_padding(found.bytes);
    if (end > t->size) return bad(t, t->next, "the archive ends too early");
    memcpy(found.name, block + NAME, WEFT_TAR_NAME - 1);
    if (found.name[0] == '\0' || strchr(found.name, '/'))
        return bad(t, t->next, "a member that weft does not write");
    t->next = end;
    *m = found;
    return WEFT_OK;
}

weft_status weft_tar_read(const weft_tar *t, const weft_tar_member *m,
                          size_t most, char **data)
{
    weft_status status;
    char *read;

    if (m->bytes > most)
        return weft_fail(WEFT_EINPUT,
                         "%s: %s is %llu bytes long, at most %zu are accepted",
                         t->path, m->name, (unsigned long long)m->bytes, most);
    read = malloc((size_t)m->bytes + 1);
    if (!read) return weft_fail(WEFT_ENOMEM, "%s: out of memory", t->path);
    status = read_at(t, m->at, read, (size_t)m->bytes);
    read[m->bytes] = '\0';
    if (status == WEFT_OK)
        *data = read;
    else
        free(read);
    return status;
}
