/*
 * lock.h - a file that one process at a time holds.
 *
 * Held by flock(), so that it ends with the process, however that ends; a lock
 * file that nobody holds means nothing. The file says who holds it, and is
 * removed with the lock. Some network file systems have no such locks: then
 * taking one succeeds and says so in `weak`.
 */
#ifndef WEFT_CORE_IO_LOCK_H
#define WEFT_CORE_IO_LOCK_H

#include <stdbool.h>

#include "core/status.h"

typedef struct weft_lock {
    int fd;     /* -1: not held */
    char *path; /* owned */
    int place;  /* among unfinished files */
    bool weak;
} weft_lock;

/* The folder must be there. Another holder is waited for, so many seconds:
 * WEFT_EINPUT then says who. On failure *l is not held. */
weft_status weft_lock_take(const char *path, double seconds, weft_lock *l);
/* Of one that is not held: nothing. */
void weft_lock_release(weft_lock *l);

#endif
