#include "mpi/summons.h"

#include <limits.h>
#include <stdlib.h>

#include "mpi/internal.h"

enum { ASK = 1, CALL = 2 }; /* tags: to rank 0, from rank 0 */

struct weft_summons {
    const weft_comm *job, *group;
    MPI_Comm to_all, agreeing; /* duplicates of the two */
    int turn;                  /* the next one */
    weft_reason asked;         /* by me, of rank 0; until it calls */
    weft_reason called;        /* under way */
    int named, due;            /* my turn; theirs */
    MPI_Request naming;
    bool agreed;
    int calls; /* that I made, or know of */
    weft_wanted *wanted;
    void *arg; /* of it */
};

/* ---- calling ------------------------------------------------------------- */

/* A message of one byte, for which nobody waits. */
static weft_status send(const weft_summons *s, int to, int tag, weft_reason why)
{
    static const char words[] = {0, WEFT_KEEP, WEFT_STOP};
    MPI_Request r;

    WEFT_TRY(weft_mpi_check(
        MPI_Isend(&words[why], 1, MPI_CHAR, to, tag, s->to_all, &r),
        "summoning"));
    return weft_mpi_check(MPI_Request_free(&r), "summoning");
}

/* I know of a call: say what I could do, once. */
static weft_status answer(weft_summons *s, weft_reason why)
{
    s->called = why;
    s->calls++;
    s->named = s->due = s->turn;
    s->agreed = s->job->alone;
    if (s->agreed) return WEFT_OK;
    return weft_mpi_check(MPI_Iallreduce(&s->named, &s->due, 1, MPI_INT,
                                         MPI_MAX, s->agreeing, &s->naming),
                          "summoning");
}

/* Rank 0, while no call is under way here. */
static weft_status call(weft_summons *s, weft_reason why)
{
    for (int p = 1; p < s->job->size; p++) WEFT_TRY(send(s, p, CALL, why));
    if (why >= s->asked) s->asked = WEFT_NO_REASON;
    return answer(s, why);
}

static weft_status receive(const weft_summons *s, int from, int tag,
                           weft_reason *why, bool *any)
{
    MPI_Status status;
    int there = 0;
    char word;

    *any = false;
    if (s->job->alone) return WEFT_OK;
    WEFT_TRY(weft_mpi_check(MPI_Iprobe(from, tag, s->to_all, &there, &status),
                            "summoning"));
    if (!there) return WEFT_OK;
    WEFT_TRY(weft_mpi_check(MPI_Recv(&word, 1, MPI_CHAR, status.MPI_SOURCE, tag,
                                     s->to_all, MPI_STATUS_IGNORE),
                            "summoning"));
    *why = (weft_reason)word;
    *any = true;
    return WEFT_OK;
}

/* Rank 0: what the others asked for; the rest hears of it. */
static weft_status gather(weft_summons *s)
{
    weft_reason why;
    bool any;

    for (;;) {
        WEFT_TRY(receive(s, MPI_ANY_SOURCE, ASK, &why, &any));
        if (!any) return WEFT_OK;
        if (why > s->asked) s->asked = why;
    }
}

/* Whoever has no more turns is done with a call when the others have answered
 * it. */
static weft_status end_call(weft_summons *s)
{
    int done = 1;

    if (!s->called || s->turn < INT_MAX) return WEFT_OK;
    WEFT_TRY(weft_mpi_check(MPI_Test(&s->naming, &done, MPI_STATUS_IGNORE),
                            "summoning"));
    if (done) s->called = WEFT_NO_REASON;
    return WEFT_OK;
}

/* Without waiting: begin what was asked for or called for. One call at a time:
 * the next is looked at when this one is done with. */
static weft_status look(weft_summons *s)
{
    weft_reason why;
    bool any;

    if (s->wanted) WEFT_TRY(weft_summons_ask(s, s->wanted(s->arg)));
    if (!s->job->alone) WEFT_TRY(end_call(s));
    if (s->called) return WEFT_OK;
    if (s->job->rank == 0) {
        WEFT_TRY(gather(s));
        return s->asked ? call(s, s->asked) : WEFT_OK;
    }
    WEFT_TRY(receive(s, 0, CALL, &why, &any));
    if (!any) return WEFT_OK;
    if (why >= s->asked) s->asked = WEFT_NO_REASON;
    return answer(s, why);
}

/* From within a wait, in turn s->turn - 1. */
static void look_in_a_wait(void *arg)
{
    if (look(arg) != WEFT_OK) weft_comm_abort(((weft_summons *)arg)->job);
}

/* ---- turns --------------------------------------------------------------- */

weft_status weft_summons_ask(weft_summons *s, weft_reason why)
{
    if (why <= s->asked) return WEFT_OK;
    s->asked = why;
    return s->job->rank == 0 ? WEFT_OK : send(s, 0, ASK, why);
}

static weft_status agree(weft_summons *s)
{
    const weft_awaited a = {
        .comm = s->group, .peer = -1, .what = "agreeing when to stop"};

    if (s->agreed) return WEFT_OK;
    s->agreed = true;
    return weft_watch_wait(&s->naming, &a);
}

weft_status weft_summons_heed(weft_summons *s, int turn, weft_reason *why)
{
    *why = WEFT_NO_REASON;
    s->turn = turn;
    WEFT_TRY(look(s));
    if (turn == INT_MAX) return WEFT_OK;
    if (s->called && turn >= s->named) {
        WEFT_TRY(agree(s));
        if (turn == s->due) {
            *why = s->called;
            s->called = WEFT_NO_REASON;
        }
    }
    s->turn = turn + 1;
    return WEFT_OK;
}

/* ---- life ---------------------------------------------------------------- */

static weft_status duplicate(const weft_comm *c, MPI_Comm *copy)
{
    if (c->alone) return WEFT_OK;
    WEFT_TRY(weft_watch_guard(c, "MPI_Comm_dup"));
    const int code = MPI_Comm_dup(c->mpi, copy);
    weft_watch_unguard();
    WEFT_TRY(weft_mpi_check(code, "MPI_Comm_dup"));
    return weft_mpi_check(MPI_Comm_set_errhandler(*copy, MPI_ERRORS_RETURN),
                          "MPI_Comm_set_errhandler");
}

weft_status weft_summons_open(const weft_comm *job, const weft_comm *group,
                              weft_wanted *wanted, void *arg, weft_summons **s)
{
    weft_summons *made = calloc(1, sizeof *made);
    weft_status st =
        made ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory for messages");

    st = weft_comm_agree(job, st);
    if (st != WEFT_OK) {
        free(made);
        return st;
    }
    *made = (weft_summons){.job = job,
                           .group = group,
                           .to_all = MPI_COMM_NULL,
                           .agreeing = MPI_COMM_NULL,
                           .naming = MPI_REQUEST_NULL,
                           .wanted = wanted,
                           .arg = arg};
    *s = made;
    WEFT_TRY(duplicate(job, &made->to_all));
    WEFT_TRY(duplicate(group, &made->agreeing));
    weft_watch_idle(look_in_a_wait, made);
    return WEFT_OK;
}

/* All calls that were made are answered by all, so that none is on its way when
 * the communicators end. What is asked for now is not heeded. */
static weft_status settle(weft_summons *s)
{
    const weft_awaited a = {
        .comm = s->group, .peer = -1, .what = "ending the summons"};
    double made = s->calls;
    weft_reason why;
    bool any;

    s->turn = INT_MAX;
    WEFT_TRY(weft_comm_max(s->job, &made, 1));
    for (;;) {
        WEFT_TRY(weft_watch_wait(&s->naming, &a));
        if (s->calls >= (int)made) break;
        WEFT_TRY(receive(s, 0, CALL, &why, &any));
        if (any) WEFT_TRY(answer(s, why));
    }
    return s->job->rank == 0 ? gather(s) : WEFT_OK;
}

void weft_summons_close(weft_summons *s)
{
    if (!s) return;
    weft_watch_idle(NULL, NULL);
    if (!s->job->alone && settle(s) != WEFT_OK) weft_comm_abort(s->job);
    if (s->to_all != MPI_COMM_NULL) MPI_Comm_free(&s->to_all);
    if (s->agreeing != MPI_COMM_NULL) MPI_Comm_free(&s->agreeing);
    free(s);
}
