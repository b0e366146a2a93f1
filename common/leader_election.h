// SPDX-License-Identifier: Apache-2.0
/*
 * Leader election on a Lease, as client-go's leaderelection package does it: the holder renews
 * every 'retry period'; a candidate takes over when it has not seen a renewal for the lease's
 * duration, by its own clock.
 *
 * Whoever leads must stop when it could not renew for the renew deadline, which is shorter than the
 * lease. This is enforced in two ways: the client is fenced, so that nothing can be sent after the
 * deadline even by a process that was frozen in between; and 'lost' is called, which is expected to
 * end the process.
 *
 * Threads: runs on the client's loop; the callbacks come from there.
 */
#ifndef COMMON_LEADER_ELECTION_H
#define COMMON_LEADER_ELECTION_H

#include "common/client.h"

struct leader_election;

struct leader_election_options {
    const char *name;                                     /* Of the Lease: "kube-scheduler". */
    const char *namespace;                                /* "kube-system" */
    int64_t lease_duration, renew_deadline, retry_period; /* Nanoseconds; 15, 10 and 2 s. */
    void (*started)(void *argument);                      /* This process leads now. Once. */
    void (*lost)(void *argument);                         /* It did, and does not any more. Once. */
    void *argument;
};

/* Begins to seek leadership. The options are copied, the strings borrowed. 400 when the times don't
 * fit together. */
struct leader_election *leader_election_start(struct client *client,
                                              const struct leader_election_options *options,
                                              struct error *error);
bool leader_election_is_leader(const struct leader_election *election);
/* Gives the lease back (so that another can lead at once) and waits for that, for two seconds at
 * most; then frees, or leaves it to the end of what is under way, which the client's end is at the
 * latest. From another thread than the loop's, while that runs. NULL is fine. */
void leader_election_stop(struct leader_election *election);

#endif
