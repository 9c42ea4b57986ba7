/*
 * file.h - files that are complete or not there.
 *
 * Output is written to PATH.tmp.PID, synced, renamed over PATH, and the folder
 * is synced: after a kill at any moment PATH is the old file or the new one.
 */
#ifndef WEFT_CORE_IO_FILE_H
#define WEFT_CORE_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/status.h"

typedef struct weft_file {
    int fd;
    char *path, *temp; /* owned */
} weft_file;

weft_status weft_file_create(const char *path, weft_file *f);
weft_status weft_file_write(weft_file *f, const void *data, size_t bytes);
weft_status weft_file_write_at(weft_file *f, size_t offset, const void *data,
                               size_t bytes);
weft_status weft_file_commit(weft_file *f); /* releases f, even on failure */
void weft_file_abandon(weft_file *f);       /* removes the temporary file */

/* Read a whole file of at most `most` bytes; *data is owned, one zero byte is
 * put behind it. */
weft_status weft_file_read(const char *path, size_t most, char **data,
                           size_t *bytes);
/* Make the folder of `path`, and its parents. */
weft_status weft_file_make_folder(const char *path);
/* Fail now, in words, if a file could not be created at `path` later. Leaves
 * nothing behind but the folder. */
weft_status weft_file_probe(const char *path);

#endif
