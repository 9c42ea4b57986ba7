/*
 * team.h - an exchange between threads: ranks without MPI, for tests.
 *
 * Each patch is a thread with an exchange of its own; get() copies straight
 * out of the peers' memory and does not return before they copied from mine.
 */
#ifndef WEFT_TESTS_TEAM_H
#define WEFT_TESTS_TEAM_H

#include <pthread.h>

#include "core/exchange.h"

enum { WEFT_TEAM_MOST = 16, WEFT_TEAM_SLOTS = 1024 };

typedef struct weft_team weft_team;

typedef struct weft_member {
    weft_exchange base;
    weft_team *team;
    int posted[WEFT_TEAM_SLOTS], taken[WEFT_TEAM_SLOTS]; /* evaluations */
} weft_member;

struct weft_team {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int n;
    weft_member member[WEFT_TEAM_MOST];
};

/* `first` [n + 1] is borrowed. */
void weft_team_init(weft_team *team, int n, const int *first);
void weft_team_release(weft_team *team);

/* Run fn(arg, patch, exchange) on a thread for each patch; returns when all
 * have. */
typedef void weft_team_fn(void *arg, int patch, weft_exchange *x);
void weft_team_run(weft_team *team, weft_team_fn *fn, void *arg);

#endif
