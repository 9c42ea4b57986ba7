#include "mpi/watch.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/io/file.h"
#include "mpi/internal.h"

enum { HOST = 64, LINE = 4096, MOST_NAMED = 8, ANSWER = 1, CALL = 2 };

/* Seconds: of a wait until calls of the roll are looked for; between two looks;
 * of a wait that makes a rank answer; of one that takes nobody's processor,
 * should ranks share it (not every MPI sees to that). */
static const double patience = 0.05, interval = 0.01, stuck = 0.5, brief = 5e-5;

/* One per process. Handlers of signals read it, on the thread that waits. */
static struct {
    pthread_t thread;
    const weft_comm *job; /* NULL: MPI is not in use */
    MPI_Comm roll;
    char (*host)[HOST];            /* [size of the job] */
    char (*duty)[WEFT_WATCH_DUTY]; /* [lines]; or NULL */
    int lines, across;
    bool called;
    char *word; /* [size of the job]: ANSWER or CALL came from it */
    double deadline;
    const char *doing;
    int i, of;
    const weft_awaited *waiting; /* NULL: not in a wait */
    weft_awaited guarded;
    double since;
    double looked;
    double expired; /* when this wait's deadline passed; 0 */
    bool said;      /* this wait's line was printed */
    void (*idle)(void *);
    void *idle_arg;
} watch = {.roll = MPI_COMM_NULL, .deadline = WEFT_WATCH_DEADLINE};

/* ---- lines: without stdio, for handlers of signals ----------------------- */

typedef struct line {
    char text[LINE];
    size_t n;
} line;

static void add(line *l, const char *text)
{
    for (; text && *text && l->n < LINE - 2; text++) l->text[l->n++] = *text;
}

static void add_int(line *l, long n)
{
    char digits[24];
    size_t i = sizeof digits;
    unsigned long rest = n < 0 ? 0ul - (unsigned long)n : (unsigned long)n;

    digits[--i] = '\0';
    do digits[--i] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0) digits[--i] = '-';
    add(l, digits + i);
}

static void add_seconds(line *l, double s)
{
    const long tenths = (long)(s * 10 + 0.5);

    add_int(l, tenths / 10);
    add(l, ".");
    add_int(l, tenths % 10);
    add(l, " s");
}

static void add_rank(line *l, int rank)
{
    add(l, "rank ");
    add_int(l, rank);
    if (watch.host) {
        add(l, " on ");
        add(l, watch.host[rank]);
    }
}

/* "rank 3 on host (vae)" */
static void add_peer(line *l, int rank)
{
    add_rank(l, rank);
    if (!watch.duty || !*watch.duty[rank / watch.across % watch.lines]) return;
    add(l, " (");
    add(l, watch.duty[rank / watch.across % watch.lines]);
    add(l, ")");
}

/* One call, so that lines of ranks do not mix. */
static void print(line *l)
{
    ssize_t written;

    l->text[l->n++] = '\n';
    written = write(STDERR_FILENO, l->text, l->n);
    (void)written;
}

/* "step 4 of 30" */
static void add_doing(line *l)
{
    add(l, watch.doing);
    if (!watch.doing || !watch.of) return;
    add(l, " ");
    add_int(l, watch.i);
    add(l, " of ");
    add_int(l, watch.of);
}

/* "weft: rank 3 on host: " */
static void add_who(line *l)
{
    add(l, "weft: ");
    if (!watch.job) return;
    add_rank(l, watch.job->rank);
    add(l, ": ");
}

/* "weft: rank 3 on host: step 4 of 30: " */
static void add_place(line *l)
{
    add_who(l);
    add_doing(l);
    if (watch.doing) add(l, ": ");
}

/* Rank of the job of a rank of c. */
static int rank_in_job(const weft_comm *c, int rank)
{
    MPI_Group part, all;
    int found = rank;

    MPI_Comm_group(c->mpi, &part);
    MPI_Comm_group(watch.job->mpi, &all);
    MPI_Group_translate_ranks(part, 1, &rank, all, &found);
    MPI_Group_free(&part);
    MPI_Group_free(&all);
    return found;
}

static void add_awaited(line *l, const weft_awaited *a)
{
    if (a->lane) {
        add(l, *a->lane ? a->lane : "net");
        add(l, ", evaluation ");
        add_int(l, a->evaluation);
        add(l, ", ");
    }
    add(l, a->what);
    if (a->class) {
        add(l, " (");
        add(l, a->class);
        if (a->lane) {
            add(l, ", slot ");
            add_int(l, a->slot);
        }
        add(l, ")");
    }
    add(l, ": ");
}

/* `whom` is the peer's rank in the job, if there is one peer. */
static void say_where(int whom)
{
    const weft_awaited *a = watch.waiting;
    line l = {.n = 0};

    watch.said = true;
    add_place(&l);
    add_awaited(&l, a);
    if (a->peer < 0) {
        add(&l, "not all ranks came");
    } else {
        add(&l, a->out ? "not taken by " : "nothing from ");
        add_peer(&l, whom);
    }
    add(&l, " for ");
    add_seconds(&l, weft_clock() - watch.since);
    print(&l);
}

/* ---- the roll ------------------------------------------------------------ */

/* To everybody, that I am here; `word` says whether my own deadline passed. */
static void tell(char word)
{
    static char words[] = {0, ANSWER, CALL};
    MPI_Request r;

    for (int p = 0; p < watch.job->size; p++) {
        if (p == watch.job->rank) continue;
        MPI_Isend(&words[(int)word], 1, MPI_CHAR, p, 0, watch.roll, &r);
        MPI_Request_free(&r);
    }
}

static void say(char word)
{
    const weft_awaited *a = watch.waiting;

    say_where(a->peer < 0 ? -1 : rank_in_job(a->comm, a->peer));
    tell(word);
}

static void hear(void)
{
    MPI_Status from;
    int there = 1;
    char word;

    while (MPI_Iprobe(MPI_ANY_SOURCE, 0, watch.roll, &there, &from) ==
               MPI_SUCCESS &&
           there) {
        MPI_Recv(&word, 1, MPI_CHAR, from.MPI_SOURCE, 0, watch.roll,
                 MPI_STATUS_IGNORE);
        watch.word[from.MPI_SOURCE] = word;
        watch.called = true;
    }
}

static void name_the_silent(void)
{
    line l = {.n = 0};
    int silent = 0;

    for (int p = 0; p < watch.job->size; p++) {
        if (p == watch.job->rank || watch.word[p]) continue;
        if (silent++ >= MOST_NAMED) continue;
        add(&l, silent == 1 ? "weft: no word from " : ", ");
        add_peer(&l, p);
    }
    if (silent > MOST_NAMED) {
        add(&l, " and ");
        add_int(&l, silent - MOST_NAMED);
        add(&l, " more");
    }
    if (silent)
        add(&l, ": stopped, dead, or at work for longer than run.deadline = ");
    else
        add(&l, "weft: all ranks wait for each other for longer than "
                "run.deadline = ");
    add_seconds(&l, watch.deadline);
    print(&l);
}

/* The lowest rank whose own deadline passed ends the job; others leave it a
 * second more. */
static bool ends_the_job(double now)
{
    double grace = WEFT_WATCH_GRACE;

    for (int p = 0; p < watch.job->rank; p++)
        if (watch.word[p] == CALL) grace = WEFT_WATCH_GRACE + 1;
    return watch.expired > 0 && now - watch.expired > grace;
}

/* In a wait, now and then. */
static void look_around(double now)
{
    const double waited = now - watch.since;

    if (waited < patience || now - watch.looked < interval) return;
    watch.looked = now;
    if (watch.idle) watch.idle(watch.idle_arg);
    if (watch.expired == 0 && watch.deadline > 0 && waited > watch.deadline) {
        watch.expired = now;
        if (!watch.said)
            say(CALL);
        else
            tell(CALL);
    }
    hear();
    if (watch.called && !watch.said && waited > stuck) say(ANSWER);
    if (!ends_the_job(now)) return;
    name_the_silent();
    weft_file_remove_unfinished();
    MPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
}

/* ---- waits --------------------------------------------------------------- */

static void begin(const weft_awaited *a)
{
    watch.since = weft_clock();
    watch.looked = watch.since;
    watch.expired = 0;
    watch.said = false;
    watch.waiting = a;
}

weft_status weft_watch_wait(MPI_Request *r, const weft_awaited *a)
{
    int code, done = 0;

    if (*r == MPI_REQUEST_NULL) return WEFT_OK; /* perhaps without MPI */
    code = MPI_Test(r, &done, MPI_STATUS_IGNORE);
    if (code == MPI_SUCCESS && !done) {
        begin(a);
        while (code == MPI_SUCCESS && !done) {
            const double now = weft_clock();

            look_around(now);
            if (now - watch.since > brief) sched_yield();
            code = MPI_Test(r, &done, MPI_STATUS_IGNORE);
        }
        watch.waiting = NULL;
    }
    return weft_mpi_check(code, a->what);
}

weft_status weft_watch_all(int code, MPI_Request *r, const weft_comm *c,
                           const char *what)
{
    const weft_awaited a = {.comm = c, .peer = -1, .what = what};

    WEFT_TRY(weft_mpi_check(code, what));
    return weft_watch_wait(r, &a);
}

/* ---- what cannot be polled ----------------------------------------------- */

/* A rank was lost between the meeting and the end of the call after it. */
static void on_alarm(int signal)
{
    line l = {.n = 0};

    (void)signal;
    add_place(&l);
    add(&l, watch.waiting->what);
    add(&l, ": not all ranks came for ");
    add_seconds(&l, weft_clock() - watch.since);
    print(&l);
    weft_file_remove_unfinished();
    _exit(1);
}

/* SIGALRM in so many seconds, and again; 0: never. */
static void set_timer(double seconds, void (*handler)(int))
{
    const struct sigaction alarm = {.sa_handler = handler,
                                    .sa_flags = SA_RESTART};
    const double whole = floor(seconds);
    const struct timeval t = {.tv_sec = (time_t)whole,
                              .tv_usec =
                                  (suseconds_t)((seconds - whole) * 1e6)};

    sigaction(SIGALRM, &alarm, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){t, t}, NULL);
}

weft_status weft_watch_guard(const weft_comm *c, const char *what)
{
    const weft_awaited a = {.comm = c, .peer = -1, .what = what};
    MPI_Request r = MPI_REQUEST_NULL;

    WEFT_TRY(weft_mpi_check(MPI_Ibarrier(c->mpi, &r), what));
    WEFT_TRY(weft_watch_wait(&r, &a));
    watch.guarded = a;
    begin(&watch.guarded);
    set_timer(watch.deadline, on_alarm);
    return WEFT_OK;
}

void weft_watch_unguard(void)
{
    set_timer(0, SIG_DFL);
    watch.waiting = NULL;
}

/* How long a launcher may take is not ours to say. */
static void on_slow_start(int signal)
{
    line l = {.n = 0};

    (void)signal;
    add_place(&l);
    add(&l, "MPI is still starting: do all ranks run?");
    print(&l);
}

void weft_watch_starting(bool yes)
{
    watch.doing = yes ? "start" : NULL;
    set_timer(yes ? WEFT_WATCH_DEADLINE : 0, yes ? on_slow_start : SIG_DFL);
}

/* ---- life ---------------------------------------------------------------- */

weft_status weft_watch_open(const weft_comm *job)
{
    const size_t n = (size_t)job->size;
    char mine[HOST];

    watch.host = calloc(n, HOST);
    watch.word = calloc(n, 1);
    if (!watch.host || !watch.word)
        return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(mine, job->host, HOST - 1);
    mine[HOST - 1] = '\0';
    WEFT_TRY(weft_mpi_check(MPI_Allgather(mine, HOST, MPI_CHAR, watch.host,
                                          HOST, MPI_CHAR, job->mpi),
                            "MPI_Allgather"));
    WEFT_TRY(
        weft_mpi_check(MPI_Comm_dup(job->mpi, &watch.roll), "MPI_Comm_dup"));
    watch.job = job;
    return WEFT_OK;
}

void weft_watch_finalize(void)
{
    const bool met =
        watch.job && weft_watch_guard(watch.job, "MPI_Finalize") == WEFT_OK;

    /* All are leaving: a launcher that ends the rest now, because rank 0 left
     * with a failure that it named, need not be told where each was. */
    if (met) watch.said = true;
    if (watch.roll != MPI_COMM_NULL) MPI_Comm_free(&watch.roll);
    MPI_Finalize();
    if (met) weft_watch_unguard();
    watch.job = NULL;
    free(watch.host);
    free(watch.word);
    watch.host = NULL;
    watch.word = NULL;
}

void weft_watch_idle(void (*look)(void *), void *arg)
{
    watch.idle = look;
    watch.idle_arg = arg;
}

void weft_watch_deadline(double seconds) { watch.deadline = seconds; }

void weft_watch_duties(char (*duty)[WEFT_WATCH_DUTY], int lines, int across)
{
    watch.duty = duty;
    watch.lines = lines;
    watch.across = across;
}

void weft_watch_at(const char *doing, int i, int of)
{
    watch.doing = doing;
    watch.i = i;
    watch.of = of;
}

void weft_watch_fail(const char *why)
{
    line l = {.n = 0}, doing = {.n = 0};

    watch.said = true;
    add_doing(&doing);
    if (strncmp(why, doing.text, doing.n) == 0)
        add_who(&l); /* it says that itself */
    else
        add_place(&l);
    add(&l, why);
    print(&l);
}

const char *weft_watch_host(int rank)
{
    return watch.host ? watch.host[rank] : "";
}

/* ---- the end by a signal ------------------------------------------------- */

static const struct {
    int number;
    const char *words;
} ends[] = {{SIGTERM, "ended by SIGTERM"},
            {SIGINT, "ended by SIGINT"},
            {SIGHUP, "ended by SIGHUP"}};

enum { ENDS = sizeof ends / sizeof *ends };

static const char *words_of(int signal)
{
    int i = 0;

    while (i < ENDS - 1 && ends[i].number != signal) i++;
    return ends[i].words;
}

static void on_end(int signal)
{
    line l = {.n = 0};

    if (!pthread_equal(pthread_self(), watch.thread)) {
        pthread_kill(watch.thread, signal);
        return;
    }
    weft_file_remove_unfinished();
    if (!watch.said) {
        add_place(&l);
        if (watch.waiting) add_awaited(&l, watch.waiting);
        add(&l, words_of(signal));
        print(&l);
    }
    /* so that the launcher finds the line before it finds us dead */
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    /* what another thread began meanwhile */
    weft_file_remove_unfinished();
    sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    raise(signal);
}

void weft_watch_install(void)
{
    struct sigaction end = {.sa_handler = on_end}, before;

    watch.thread = pthread_self();
    for (int i = 0; i < ENDS; i++) sigaddset(&end.sa_mask, ends[i].number);
    for (int i = 0; i < ENDS; i++) {
        sigaction(ends[i].number, NULL, &before);
        if (ends[i].number == SIGTERM || before.sa_handler != SIG_IGN)
            sigaction(ends[i].number, &end, NULL);
    }
}
