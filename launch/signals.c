#include "launch/signals.h"

#include <signal.h>

#include "mpi/watch.h"

static volatile sig_atomic_t asked_to_stop;

static void on_stop(int signal)
{
    (void)signal;
    asked_to_stop = 1;
}

void weft_signals_install(void)
{
    const struct sigaction stop = {.sa_handler = on_stop,
                                   .sa_flags = SA_RESTART};

    weft_watch_install();
    sigaction(SIGUSR1, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

bool weft_signals_pending(void) { return asked_to_stop; }
