/*
 * report.h - what a run tells programs: JSON lines.
 *
 * Every event is one line {"event": NAME, ...}, in the file as soon as the
 * call returns. The file is appended to, by one write per line, so that a
 * resumed run goes on where the killed one ended and lines never mix. The
 * last event of a run that ended well is the summary.
 *
 * One rank reports. Functions take NULL for "no report" and then only let go
 * of `fields`. *Local*.
 */
#ifndef WEFT_LAUNCH_REPORT_H
#define WEFT_LAUNCH_REPORT_H

#include <jansson.h>
#include <stdint.h>

#include "core/exchange.h"
#include "core/status.h"

typedef struct weft_report weft_report;

/* Makes the folder. `path` NULL gives *r = NULL. */
weft_status weft_report_open(const char *path, weft_report **r);
void weft_report_close(weft_report *r);

/* Takes over `fields` (an object, or NULL), whatever happens. */
weft_status weft_report_event(weft_report *r, const char *event,
                              json_t *fields);

/* What the summary says. Totals over ranks unless said otherwise. */
typedef struct weft_summary {
    int ranks;
    int threads;               /* of each rank */
    int64_t evaluations;       /* network passes per sample and condition */
    double seconds_first_eval; /* main's first statement to the first one */
    double seconds_sampling;   /* from there to the last step's end, without
                                  loading and decoding */
    double seconds_decode;
    double seconds_total;
    int64_t peak_rss_bytes; /* of the largest rank */
    int64_t weights_mapped_bytes;
    int64_t weights_packed_bytes;     /* at once, at most */
    int64_t bytes_sent[WEFT_CLASSES]; /* payload, counted at the sender */
    int64_t messages_sent[WEFT_CLASSES];
    double wait_exposed_s;       /* mean over ranks, all evaluations */
    double wait_exposed_async_s; /* those after the warm-up */
    double comm_hidden_s;        /* mean over ranks */
    int max_age;
    int64_t drifted; /* evaluations in step by parallel.drift, on the rank
                        with most of them */
} weft_summary;

/* The summary's fields as a new object; NULL without memory. */
json_t *weft_summary_json(const weft_summary *s);

/* The most memory this process ever held, mapped pages included (VmHWM);
 * 0 where the system does not say. */
int64_t weft_peak_rss(void);

#endif
