#include "launch/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "NAME.tmp.123" or "NAME.tmp.123.4", of a process that is no more: the length
 * of NAME; else 0. */
static size_t torn(const char *entry)
{
    const char *tail = strstr(entry, ".tmp."), *next;
    char *end;
    long pid;

    while (tail && (next = strstr(tail + 1, ".tmp."))) tail = next;
    if (!tail) return 0;
    pid = strtol(tail + strlen(".tmp."), &end, 10);
    if (pid <= 0 || strspn(end, ".0123456789") != strlen(end)) return 0;
    if (kill((pid_t)pid, 0) == 0 || errno != ESRCH) return 0;
    return (size_t)(tail - entry);
}

/* Is that, n bytes in this folder, an output of the run? */
static bool is_mine(const weft_config *c, const char *pattern,
                    const char *folder, const char *name, size_t n)
{
    bool mine = false;

    for (int i = 0; i < c->sample.nseeds && !mine; i++) {
        const size_t head = strlen(folder);
        char *path;

        if (weft_config_fill(c, pattern, i, &path) != WEFT_OK) return false;
        mine = strncmp(path, folder, head) == 0 && strlen(path) == head + n &&
               strncmp(path + head, name, n) == 0;
        free(path);
    }
    return mine;
}

/* `folder` ends in a slash, or is empty. */
static void clean(const weft_config *c, const char *pattern, const char *folder)
{
    DIR *dir = opendir(folder[0] ? folder : ".");
    const struct dirent *e;

    while (dir && (e = readdir(dir))) {
        const size_t n = torn(e->d_name);

        if (n && is_mine(c, pattern, folder, e->d_name, n))
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir) closedir(dir);
}

/* Images of one folder, or of more where a name in {} stands before a slash. */
static int folders_of(const weft_config *c, const char *pattern)
{
    const char *slash = strrchr(pattern, '/'), *brace = strchr(pattern, '{');

    return slash && brace && brace < slash ? c->sample.nseeds : 1;
}

/* Each folder once, where one follows the other. */
static void clean_all(const weft_config *c, const char *pattern)
{
    const int n = pattern ? folders_of(c, pattern) : 0;
    char *last = NULL;

    for (int i = 0; i < n; i++) {
        char *path, *slash;

        if (weft_config_fill(c, pattern, i, &path) != WEFT_OK) break;
        slash = strrchr(path, '/');
        path[slash ? slash - path + 1 : 0] = '\0';
        if (!last || strcmp(last, path) != 0) clean(c, pattern, path);
        free(last);
        last = path;
    }
    free(last);
}

void weft_leftover_remove(const weft_config *c)
{
    clean_all(c, c->output.image);
    clean_all(c, c->output.latents);
    clean_all(c, c->output.trace);
}
