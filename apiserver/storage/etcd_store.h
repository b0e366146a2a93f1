// SPDX-License-Identifier: Apache-2.0
/* What the parts of the etcd store share; nobody else includes this. */
#ifndef APISERVER_STORAGE_ETCD_STORE_H
#define APISERVER_STORAGE_ETCD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "apiserver/storage/etcd_transport.h"
#include "apiserver/storage/store.h"

struct etcd_leases;
struct etcd_watch;

struct etcd_store {
    struct store base;
    struct etcd_transport *transport;
    struct etcd_patience patience;
    struct etcd_leases *leases;
    struct etcd_watch *watch;
};

/* Blocks. The newest revision, linearizable, as patiently as told. */
bool etcd_revision(struct etcd_transport *transport, struct etcd_patience patience,
                   int64_t *revision, struct error *error);

/* ---- etcd_lease.c: the leases that keys with a time to live are put under ---- */

struct etcd_leases *etcd_leases_open(struct etcd_transport *transport,
                                     struct etcd_patience patience);
void etcd_leases_close(struct etcd_leases *leases);
/* A lease under which a key put now lives for at least 'ttl_seconds'. */
struct etcd_lease {
    int64_t id;
    int64_t granted;       /* Monotonic, before etcd was asked. */
    int64_t slack_seconds; /* How much longer it lasts than 'ttl_seconds'. */
    int64_t ttl_seconds;
};
/* Blocks. */
bool etcd_lease_for(struct etcd_leases *leases, int64_t ttl_seconds, struct etcd_lease *lease,
                    struct error *error);
/* Tells that etcd does not know this lease any more. */
void etcd_lease_lost(struct etcd_leases *leases, int64_t id);
/* Blocks, seldom. To be called after a put under the lease: if the put took so long that the key
 * would end early, starts the lease's time anew. */
void etcd_lease_used(struct etcd_leases *leases, const struct etcd_lease *lease);

/* ---- etcd_watch.c: the watch and its loop ---- */

struct etcd_watch *etcd_watch_open(struct etcd_transport *transport);
/* See store_watch(). */
void etcd_watch_start(struct etcd_watch *watch, int64_t after, struct store_watcher watcher);
/* No callback runs once this returns. */
void etcd_watch_close(struct etcd_watch *watch);

#endif
