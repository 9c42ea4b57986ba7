#include "launch/standard.h"

#include <fcntl.h>
#include <stdio.h>

/* Read-only, so that writing fails as it does on a closed stream. The lowest
 * free number is given, so they are taken in order. */
void weft_standard_reserve(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd) return;
}

weft_status weft_standard_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return WEFT_OK;
    return weft_fail(WEFT_EIO, "standard output cannot be written");
}
