#include "launch/keeper.h"

#include <limits.h>

#include "core/clock.h"
#include "launch/signals.h"

/* Rank 0 looks at the clock for all. */
static weft_reason wanted(void *arg)
{
    weft_keeper *k = arg;

    if (!k->asked && weft_signals_pending()) {
        k->asked = true;
        return WEFT_STOP;
    }
    if (k->seconds <= 0 || !k->clock || weft_clock() - k->at < k->seconds)
        return WEFT_NO_REASON;
    k->at = weft_clock();
    return WEFT_KEEP;
}

weft_status weft_keeper_open(const weft_config *c, const weft_comm *job,
                             const weft_comm *group, weft_keeper *k)
{
    *k = (weft_keeper){.seconds = c->run.keep_seconds,
                       .steps = c->run.keep_steps,
                       .clock = weft_comm_rank(job) == 0,
                       .at = weft_clock()};
    return weft_summons_open(job, group, wanted, k, &k->summons);
}

void weft_keeper_close(weft_keeper *k)
{
    weft_summons_close(k->summons);
    k->summons = NULL;
}

weft_status weft_keeper_heed(weft_keeper *k, int turn, int steps,
                             weft_reason *why)
{
    WEFT_TRY(weft_summons_heed(k->summons, turn, why));
    if (turn == INT_MAX) {
        *why = WEFT_NO_REASON;
        return WEFT_OK;
    }
    if (!*why && k->steps && steps / k->steps > k->after / k->steps)
        *why = WEFT_KEEP;
    if (*why) k->after = steps;
    return WEFT_OK;
}

void weft_keeper_kept(weft_keeper *k) { k->at = weft_clock(); }
