/*
 * file.h - files that are complete or not there.
 *
 * Output is written to PATH.tmp.PID, synced, renamed over PATH, and the folder
 * is synced: after a kill at any moment PATH is the old file or the new one.
 * If PATH is a link, the file it leads to is replaced. A PATH that is a folder
 * or a device is refused.
 *
 * A path that is wrong (missing, a folder, too long) is WEFT_EINPUT; what the
 * system refuses (permission, space, a read-only disk) is WEFT_EIO.
 */
#ifndef WEFT_CORE_IO_FILE_H
#define WEFT_CORE_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/status.h"

typedef struct weft_file {
    int fd;
    bool broken;       /* a write failed: commit will refuse */
    char *path, *temp; /* owned */
    int place;         /* among those unfinished; 0: none */
} weft_file;

weft_status weft_file_create(const char *path, weft_file *f);
weft_status weft_file_write(weft_file *f, const void *data, size_t bytes);
/* Does not move the place where weft_file_write goes on. */
weft_status weft_file_write_at(weft_file *f, size_t offset, const void *data,
                               size_t bytes);
weft_status weft_file_commit(weft_file *f); /* releases f, even on failure */
void weft_file_abandon(weft_file *f);       /* removes the temporary file */
/* All of it in one call. */
weft_status weft_file_save(const char *path, const void *data, size_t bytes);

/* For a process that ends in the middle: removes the temporary files of all
 * that was created and neither committed nor abandoned, of the first 64 at
 * least. May be called in a handler of signals. Committing them then fails. */
void weft_file_remove_unfinished(void);
/* Another file for it to remove; a number to forget it by, or 0 where there is
 * no room. */
int weft_file_remember(const char *path);
void weft_file_forget(int place); /* 0 is nothing */

/* Open a regular file for reading and tell its size. Never waits: a pipe, a
 * device or a folder is refused. The caller closes *fd. */
weft_status weft_file_open(const char *path, int *fd, size_t *bytes);
/* Read a whole file of at most `most` bytes; *data is owned, one zero byte is
 * put behind it. */
weft_status weft_file_read(const char *path, size_t most, char **data,
                           size_t *bytes);
/* Make the folder of `path`, and its parents. */
weft_status weft_file_make_folder(const char *path);
/* Fail now, in words, if a file could not be created at `path` later. Leaves
 * nothing behind but the folder. */
weft_status weft_file_probe(const char *path);

/* weft_fail in the words of a failed system call: "PATH: cannot DO: why". */
weft_status weft_file_fail(int err, const char *path, const char *what);

#endif
