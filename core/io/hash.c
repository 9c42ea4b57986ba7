#include "core/io/hash.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/io/file.h"

enum { PIECE = 1 << 18 };

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(weft_hash),
               "a hash has room for the library's state");

static struct sha256_ctx *context(weft_hash *h) { return (void *)h->state; }

void weft_hash_start(weft_hash *h) { sha256_init(context(h)); }

void weft_hash_add(weft_hash *h, const void *data, size_t bytes)
{
    sha256_update(context(h), bytes, data);
}

void weft_hash_end(weft_hash *h, unsigned char digest[WEFT_HASH_BYTES])
{
    sha256_digest(context(h), WEFT_HASH_BYTES, digest);
}

void weft_hash_text(weft_hash *h, char text[WEFT_HASH_TEXT])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char digest[WEFT_HASH_BYTES];

    weft_hash_end(h, digest);
    for (int i = 0; i < WEFT_HASH_BYTES; i++) {
        text[2 * i] = digit[digest[i] >> 4];
        text[2 * i + 1] = digit[digest[i] & 15];
    }
    text[2 * WEFT_HASH_BYTES] = '\0';
}

static weft_status add_all(weft_hash *h, const char *path, int fd, char *piece,
                           size_t *bytes)
{
    ssize_t n;

    *bytes = 0;
    while ((n = read(fd, piece, PIECE)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return weft_file_fail(errno, path, "read");
        weft_hash_add(h, piece, (size_t)n);
        *bytes += (size_t)n;
    }
    return WEFT_OK;
}

weft_status weft_hash_file(const char *path, char text[WEFT_HASH_TEXT],
                           size_t *bytes)
{
    weft_status status;
    weft_hash h;
    size_t size;
    char *piece;
    int fd;

    WEFT_TRY(weft_file_open(path, &fd, &size));
    piece = malloc(PIECE);
    weft_hash_start(&h);
    status = piece ? add_all(&h, path, fd, piece, &size)
                   : weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    if (status == WEFT_OK) weft_hash_text(&h, text);
    if (status == WEFT_OK && bytes) *bytes = size;
    free(piece);
    close(fd);
    return status;
}
