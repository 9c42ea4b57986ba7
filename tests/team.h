/*
 * team.h - an exchange between threads: ranks without MPI, for tests.
 *
 * Each patch is a thread with an exchange of its own. A message is copied when
 * both of its ends are started, by whoever comes last.
 */
#ifndef WEFT_TESTS_TEAM_H
#define WEFT_TESTS_TEAM_H

#include <pthread.h>

#include "core/mail.h"

enum { WEFT_TEAM_MOST = 16 };

typedef struct weft_team weft_team;

typedef struct weft_member {
    weft_exchange base;
    weft_team *team;
} weft_member;

struct weft_team {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int n;
    bool late; /* what has arrived is not seen before it is waited for */
    struct weft_letter *letter; /* started at one end, in order */
    weft_member member[WEFT_TEAM_MOST];
};

/* A patch of the cut for each; what the cut borrows is borrowed. Nobody is
 * late. */
void weft_team_init(weft_team *team, const weft_cut *cut, weft_schedule sched);
void weft_team_release(weft_team *team);

/* Run fn(arg, patch, exchange) on a thread for each patch; returns when all
 * have. */
typedef void weft_team_fn(void *arg, int patch, weft_exchange *x);
void weft_team_run(weft_team *team, weft_team_fn *fn, void *arg);

#endif
