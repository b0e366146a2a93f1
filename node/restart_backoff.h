// SPDX-License-Identifier: Apache-2.0
/*
 * How long a container that ended waits until it is started again: at first not at all, then 10 s
 * from its end, twice as long each time, at most 5 min. Who ran for ten minutes begins anew.
 */
#ifndef NODE_RESTART_BACKOFF_H
#define NODE_RESTART_BACKOFF_H

#include <stdint.h>

/* Zeroed before its first use. */
struct restart_backoff {
    int64_t delay_ms;   /* What the next start waits for; 0: nothing. */
    int64_t updated_at; /* When that was raised, nanoseconds. */
};

/* How long one that ended then must still wait; 0: start it. Times are nanoseconds. */
int64_t restart_backoff_left_ms(const struct restart_backoff *backoff, int64_t ended, int64_t now);
/* It is started again: the next time it waits longer. */
void restart_backoff_raise(struct restart_backoff *backoff, int64_t ended, int64_t now);

#endif
