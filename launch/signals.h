/*
 * signals.h - what a launcher or a batch system asks of a running weft.
 *
 *   SIGUSR1                  stop soon: noted here; whoever runs steps looks at
 *                            it between two of them. One that nobody looks at
 *                            changes nothing.
 *   SIGTERM, SIGINT, SIGHUP  end now (mpi/watch.h): files that are complete
 *                            stay, those that are not are removed, and the
 *                            process ends by the signal
 *   SIGPIPE, SIGXFSZ         ignored: a closed pipe and a file that grows too
 *                            large are errors of the write, which names the
 *                            file and removes what it began
 *
 * *Local*. A signal may reach one rank or all of them.
 */
#ifndef WEFT_LAUNCH_SIGNALS_H
#define WEFT_LAUNCH_SIGNALS_H

#include <stdbool.h>

/* main's first statement, on the main thread: a launcher may signal a rank at
 * once. */
void weft_signals_install(void);

/* Has SIGUSR1 come to this process? It stays so. */
bool weft_signals_pending(void);

#endif
