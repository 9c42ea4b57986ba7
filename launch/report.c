#include "launch/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"

struct weft_report {
    int fd;
    char *path;
};

/* O_NONBLOCK: a pipe that nobody reads is refused, not waited for. Lines then
 * go into it as into a file. */
static weft_status open_end(const char *path, int *fd)
{
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY;

    *fd = open(path, flags | O_NONBLOCK, 0666);
    if (*fd < 0 && errno == ENXIO)
        return weft_fail(WEFT_EINPUT, "%s: is a pipe that nobody reads", path);
    if (*fd < 0) return weft_file_fail(errno, path, "open");
    fcntl(*fd, F_SETFL, flags);
    return WEFT_OK;
}

weft_status weft_report_open(const char *path, weft_report **r)
{
    weft_report *made;
    weft_status s;

    *r = NULL;
    if (path == NULL) return WEFT_OK;
    WEFT_TRY(weft_file_make_folder(path));
    made = calloc(1, sizeof *made);
    if (made == NULL || (made->path = strdup(path)) == NULL) {
        free(made);
        return weft_fail(WEFT_ENOMEM, "out of memory");
    }
    s = open_end(path, &made->fd);
    if (s == WEFT_OK) {
        *r = made;
    } else {
        free(made->path);
        free(made);
    }
    return s;
}

void weft_report_close(weft_report *r)
{
    if (r == NULL) return;
    close(r->fd);
    free(r->path);
    free(r);
}

static weft_status write_line(const weft_report *r, const char *line, size_t n)
{
    while (n > 0) {
        const ssize_t written = write(r->fd, line, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0)
            return weft_fail(WEFT_EIO, "%s: cannot be written: %s", r->path,
                             strerror(errno));
        line += written;
        n -= (size_t)written;
    }
    return WEFT_OK;
}

/* {"event": NAME} first, then the fields in their order, and a line feed. */
static char *make_line(const char *event, json_t *fields)
{
    json_t *all = json_object();
    char *text = NULL, *line = NULL;

    if (json_object_set_new(all, "event", json_string(event)) == 0 &&
        (fields == NULL || json_object_update(all, fields) == 0))
        text = json_dumps(all, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    json_decref(all);
    if (text != NULL && asprintf(&line, "%s\n", text) < 0) line = NULL;
    free(text);
    return line;
}

weft_status weft_report_event(weft_report *r, const char *event, json_t *fields)
{
    char *line = NULL;
    weft_status s = WEFT_OK;

    if (r != NULL) {
        line = make_line(event, fields);
        s = line != NULL ? write_line(r, line, strlen(line))
                         : weft_fail(WEFT_ENOMEM, "out of memory");
    }
    free(line);
    json_decref(fields);
    return s;
}

static json_t *by_class(const int64_t *count)
{
    json_t *all = json_object();

    for (int i = 0; i < WEFT_CLASSES; i++)
        json_object_set_new(all, weft_class_name[i], json_integer(count[i]));
    return all;
}

json_t *weft_summary_json(const weft_summary *s)
{
    return json_pack(
        "{s:i, s:i, s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:o, s:o, s:f, "
        "s:f, s:f, s:i, s:I}",
        "ranks", s->ranks, "threads", s->threads, "evaluations",
        (json_int_t)s->evaluations, "seconds_first_eval", s->seconds_first_eval,
        "seconds_sampling", s->seconds_sampling, "seconds_decode",
        s->seconds_decode, "seconds_total", s->seconds_total, "peak_rss_bytes",
        (json_int_t)s->peak_rss_bytes, "weights_mapped_bytes",
        (json_int_t)s->weights_mapped_bytes, "weights_packed_bytes",
        (json_int_t)s->weights_packed_bytes, "bytes_sent",
        by_class(s->bytes_sent), "messages_sent", by_class(s->messages_sent),
        "wait_exposed_s", s->wait_exposed_s, "wait_exposed_async_s",
        s->wait_exposed_async_s, "comm_hidden_s", s->comm_hidden_s, "max_age",
        s->max_age, "drifted", (json_int_t)s->drifted);
}

int64_t weft_peak_rss(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    long long kib = 0;

    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmHWM: %lld kB", &kib) == 1) break;
    fclose(f);
    return (int64_t)kib * 1024;
}
