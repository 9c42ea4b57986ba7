#include "tests/team.h"

#include <stdlib.h>
#include <string.h>

typedef weft_member member;

/* One end of a message: parcel i of a mail of patch `me`. */
typedef struct weft_letter {
    const weft_mail *mail;
    const weft_parcel *parcel;
    int me;
    bool *moved;
    struct weft_letter *next; /* started later */
} letter;

/* The transport's own part of a mail. */
typedef struct ends {
    bool *moved; /* [n] */
    letter *letter;
} ends;

static weft_status prepare(weft_exchange *x, weft_mail *m)
{
    ends *e = calloc(1, sizeof *e);

    (void)x;
    m->via = e;
    if (!e) return weft_fail(WEFT_ENOMEM, "out of memory for a team");
    e->moved = calloc((size_t)m->n + 1, sizeof *e->moved);
    e->letter = calloc((size_t)m->n + 1, sizeof *e->letter);
    if (!e->moved || !e->letter)
        return weft_fail(WEFT_ENOMEM, "out of memory for a team");
    return WEFT_OK;
}

static void forget(weft_exchange *x, weft_mail *m)
{
    ends *e = m->via;

    (void)x;
    if (!e) return;
    free(e->moved);
    free(e->letter);
    free(e);
}

static bool match(const letter *a, const letter *b)
{
    return a->mail->out != b->mail->out && a->mail->class == b->mail->class &&
           a->mail->tag == b->mail->tag && a->parcel->peer == b->me &&
           b->parcel->peer == a->me;
}

static void copy(const letter *a, const letter *b)
{
    const letter *to = a->mail->out ? b : a, *from = a->mail->out ? a : b;

    WEFT_MUST(to->parcel->bytes == from->parcel->bytes);
    memcpy(to->parcel->at, from->parcel->at, to->parcel->bytes);
    *a->moved = *b->moved = true;
}

/* To the first started letter that fits, or to the end of the line. */
static void meet(weft_team *team, letter *l)
{
    letter **at = &team->letter;

    for (; *at; at = &(*at)->next) {
        if (!match(*at, l)) continue;
        copy(*at, l);
        *at = (*at)->next;
        return;
    }
    l->next = NULL;
    *at = l;
}

static weft_status start(weft_exchange *x, weft_mail *m)
{
    weft_team *team = ((member *)x)->team;
    ends *e = m->via;

    pthread_mutex_lock(&team->lock);
    for (int i = 0; i < m->n; i++) {
        e->moved[i] = false;
        e->letter[i] =
            (letter){m, &m->parcel[i], x->cut.me, &e->moved[i], NULL};
        meet(team, &e->letter[i]);
    }
    pthread_cond_broadcast(&team->moved);
    pthread_mutex_unlock(&team->lock);
    return WEFT_OK;
}

static weft_status wait(weft_exchange *x, weft_mail *m, int i)
{
    weft_team *team = ((member *)x)->team;
    const ends *e = m->via;

    pthread_mutex_lock(&team->lock);
    while (!e->moved[i]) pthread_cond_wait(&team->moved, &team->lock);
    pthread_mutex_unlock(&team->lock);
    return WEFT_OK;
}

static bool arrived(weft_exchange *x, weft_mail *m, int i)
{
    weft_team *team = ((member *)x)->team;
    const ends *e = m->via;
    bool here;

    pthread_mutex_lock(&team->lock);
    here = e->moved[i] && !team->late;
    pthread_mutex_unlock(&team->lock);
    return here;
}

static const weft_transport transport = {.name = "team",
                                         .prepare = prepare,
                                         .start = start,
                                         .wait = wait,
                                         .arrived = arrived,
                                         .forget = forget};

void weft_team_init(weft_team *team, const weft_cut *cut, weft_schedule sched)
{
    WEFT_MUST(cut->n <= WEFT_TEAM_MOST);
    memset(team, 0, sizeof *team);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->moved, NULL);
    team->n = cut->n;
    for (int p = 0; p < cut->n; p++) {
        weft_cut mine = *cut;

        mine.me = p;
        WEFT_MUST(weft_exchange_init(&team->member[p].base, &transport, &mine,
                                     sched) == WEFT_OK);
        team->member[p].team = team;
    }
}

void weft_team_release(weft_team *team)
{
    for (int p = 0; p < team->n; p++)
        weft_exchange_release(&team->member[p].base);
    pthread_cond_destroy(&team->moved);
    pthread_mutex_destroy(&team->lock);
}

typedef struct job {
    weft_team_fn *fn;
    void *arg;
    int patch;
    weft_exchange *x;
} job;

static void *run(void *arg)
{
    job *j = arg;

    j->fn(j->arg, j->patch, j->x);
    return NULL;
}

void weft_team_run(weft_team *team, weft_team_fn *fn, void *arg)
{
    pthread_t thread[WEFT_TEAM_MOST];
    job jobs[WEFT_TEAM_MOST];

    for (int p = 0; p < team->n; p++) {
        jobs[p] = (job){fn, arg, p, &team->member[p].base};
        WEFT_MUST(!pthread_create(&thread[p], NULL, run, &jobs[p]));
    }
    for (int p = 0; p < team->n; p++) pthread_join(thread[p], NULL);
}
