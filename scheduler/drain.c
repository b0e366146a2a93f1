// SPDX-License-Identifier: Apache-2.0
#include "scheduler/drain.h"

#include "common/timestamp.h"

enum { patience_seconds = 2 };

void drain(struct client *client, pthread_mutex_t *lock, pthread_cond_t *changed,
           const size_t *under_way)
{
    int waited = 0;
    struct timespec until = timestamp_after(patience_seconds * INT64_C(1000000000));
    pthread_mutex_lock(lock);
    while (*under_way > 0 && waited == 0) {
        waited = pthread_cond_timedwait(changed, lock, &until);
    }
    if (*under_way > 0) {
        pthread_mutex_unlock(lock);
        client_close(client);
        pthread_mutex_lock(lock);
    }
    while (*under_way > 0) {
        pthread_cond_wait(changed, lock);
    }
    pthread_mutex_unlock(lock);
}
