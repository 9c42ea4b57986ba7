#include "core/io/path.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

weft_status weft_path_join(const char *folder, const char *name, char *path,
                           size_t room)
{
    const size_t n = strlen(folder);
    const char *slash = n > 0 && folder[n - 1] == '/' ? "" : "/";
    const int length = snprintf(path, room, "%s%s%s", folder, slash, name);

    if (length < 0 || (size_t)length >= room)
        return weft_fail(WEFT_EINPUT, "%s: the name is too long", folder);
    return WEFT_OK;
}

bool weft_path_exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0;
}

bool weft_path_is_file(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool weft_path_is_folder(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}
