/*
 * tar.h - USTAR archives whose bytes depend on their members alone.
 *
 * Every member is a regular file of mode 0444, owner and group 0, time 0, so
 * that the same members in the same order give the same archive. The reader
 * takes what the writer makes and no more: short names, regular files, right
 * checksums, two zero blocks and nothing else at the end. Archives are hostile
 * until read.
 *
 * Bytes in, bytes out: where they go is the caller's business.
 */
#ifndef WEFT_CORE_IO_TAR_H
#define WEFT_CORE_IO_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { WEFT_TAR_BLOCK = 512, WEFT_TAR_NAME = 101 };

/* The header of one member. `name`: 1 to 100 bytes; bytes < 8 GiB; else
 * WEFT_EINPUT. */
weft_status weft_tar_header(const char *name, uint64_t bytes,
                            char block[WEFT_TAR_BLOCK]);
/* Zeros behind a member of so many bytes, to the next block. */
size_t weft_tar_padding(uint64_t bytes);
/* Blocks of zeros that end an archive. */
enum { WEFT_TAR_END = 2 * WEFT_TAR_BLOCK };

typedef struct weft_tar_member {
    char name[WEFT_TAR_NAME];
    uint64_t at, bytes; /* of the contents, in the file */
} weft_tar_member;

/* An archive that is open for reading; plain data, but for fd. */
typedef struct weft_tar {
    int fd;
    const char *path; /* borrowed, for messages */
    uint64_t size, next;
} weft_tar;

weft_status weft_tar_open(const char *path, weft_tar *t);
void weft_tar_close(weft_tar *t);
/* The next member; its name is empty after the last. WEFT_EINPUT names file and
 * offset. */
weft_status weft_tar_next(weft_tar *t, weft_tar_member *m);
/* The contents of a member of at most `most` bytes; *data is owned, one zero
 * byte is put behind it. */
weft_status weft_tar_read(const weft_tar *t, const weft_tar_member *m,
                          size_t most, char **data);

#endif
