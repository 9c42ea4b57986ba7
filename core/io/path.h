/*
 * path.h - names of files, and what is there under them. *Local*.
 */
#ifndef WEFT_CORE_IO_PATH_H
#define WEFT_CORE_IO_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

enum { WEFT_PATH = 4096 }; /* bytes that a name may have, with its end */

/* FOLDER/NAME in `room` bytes at `path`. WEFT_EINPUT: it does not fit. */
weft_status weft_path_join(const char *folder, const char *name, char *path,
                           size_t room);

/* Whether there is anything, a regular file, a folder; links are followed. */
bool weft_path_exists(const char *path);
bool weft_path_is_file(const char *path);
bool weft_path_is_folder(const char *path);

#endif
