#include "tests/team.h"

#include <stdlib.h>
#include <string.h>

typedef weft_member member;

static bool is_peer(const weft_exchange *x, const weft_slot *s, int p)
{
    const int d = p - x->cut.me;

    if (d == 0) return false;
    if (s->spec.reach == WEFT_REACH_ALL) return true;
    return (d == -1 && s->spec.above > 0) || (d == 1 && s->spec.below > 0);
}

/* Does patch p want my rows of this slot? */
static bool wants_mine(const weft_exchange *x, const weft_slot *s, int p)
{
    const int d = p - x->cut.me;

    if (d == 0) return false;
    if (s->spec.reach == WEFT_REACH_ALL) return true;
    return (d == -1 && s->spec.below > 0) || (d == 1 && s->spec.above > 0);
}

static void copy_border(weft_exchange *x, weft_slot *s, const member *o, int p)
{
    const weft_slot *theirs = &o->base.slot[s->id];
    const size_t row = s->spec.row_bytes;
    const size_t above = (size_t)s->spec.above * row;

    if (p < x->cut.me)
        memcpy(s->base - above,
               theirs->base +
                   (size_t)weft_slot_rows(&o->base, theirs, p) * row - above,
               above);
    else
        memcpy(s->base + (size_t)weft_slot_rows(x, s, x->cut.me) * row,
               theirs->base, (size_t)s->spec.below * row);
}

static void copy_part(weft_exchange *x, weft_slot *s, const member *o, int p)
{
    memcpy(weft_slot_part(x, s, p),
           weft_slot_part(&o->base, &o->base.slot[s->id], p),
           (size_t)weft_slot_rows(x, s, p) * s->spec.row_bytes);
}

static weft_status bind(weft_exchange *x, weft_slot *s)
{
    (void)x;
    WEFT_MUST(s->id < WEFT_TEAM_SLOTS);
    return WEFT_OK;
}

static weft_status post(weft_exchange *x, weft_slot *s)
{
    member *m = (member *)x;

    pthread_mutex_lock(&m->team->lock);
    m->posted[s->id] = x->t + 1;
    pthread_cond_broadcast(&m->team->moved);
    pthread_mutex_unlock(&m->team->lock);
    return WEFT_OK;
}

static weft_status wait(weft_exchange *x, weft_slot *s)
{
    member *m = (member *)x;
    weft_team *team = m->team;

    pthread_mutex_lock(&team->lock);
    for (int p = 0; p < team->n; p++) {
        const member *o = &team->member[p];

        if (!is_peer(x, s, p)) continue;
        while (o->posted[s->id] <= x->t)
            pthread_cond_wait(&team->moved, &team->lock);
        (s->spec.reach == WEFT_REACH_BORDER ? copy_border : copy_part)(x, s, o,
                                                                       p);
    }
    m->taken[s->id] = x->t + 1;
    pthread_cond_broadcast(&team->moved);
    for (int p = 0; p < team->n; p++)
        while (wants_mine(x, s, p) && team->member[p].taken[s->id] <= x->t)
            pthread_cond_wait(&team->moved, &team->lock);
    pthread_mutex_unlock(&team->lock);
    return WEFT_OK;
}

static const weft_transport transport = {
    .name = "team", .bind = bind, .post = post, .wait = wait};

void weft_team_init(weft_team *team, int n, const int *first)
{
    WEFT_MUST(n <= WEFT_TEAM_MOST);
    memset(team, 0, sizeof *team);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->moved, NULL);
    team->n = n;
    for (int p = 0; p < n; p++) {
        const weft_cut cut = {.n = n, .me = p, .first = first};

        WEFT_MUST(weft_exchange_init(&team->member[p].base, &transport, &cut,
                                     (weft_schedule){0, 0}) == WEFT_OK);
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
