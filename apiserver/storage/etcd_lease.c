// SPDX-License-Identifier: Apache-2.0
/*
 * Leases are dear: each is an entry in etcd's log and memory, and Events, each with a time to live
 * of an hour, are the most frequent writes of a cluster. So puts share them, as in upstream's lease
 * manager: a lease lasts a little longer than the time to live asked for (a twentieth, between one
 * second and a minute) and serves puts for that long, at most a thousand.
 *
 * "Never earlier" is counted from before etcd was asked for the lease. A put that was under way for
 * so long that its lease may end too early gets the lease's time started anew.
 */
#include <pthread.h>

#include "apiserver/storage/etcd_message.h"
#include "apiserver/storage/etcd_store.h"
#include "common/alloc.h"
#include "common/fiber.h"
#include "common/timestamp.h"

enum {
    most_slack_seconds = 60,
    slack_share = 20,
    most_puts = 1000,
    /* Different times to live that are remembered; in practice there are one or two. */
    remembered = 8,
};

static const int64_t second = 1000000000;

struct shared_lease {
    struct etcd_lease lease; /* 'id' is 0 while there is none. */
    int puts;
    bool asking; /* Somebody asks etcd for a new one. */
};

struct etcd_leases {
    struct etcd_transport *transport;
    struct etcd_patience patience;
    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t asked; /* Somebody has ended asking. */
    struct shared_lease shared[remembered];
    size_t next; /* The one to give up for another time to live. */
};

struct etcd_leases *etcd_leases_open(struct etcd_transport *transport,
                                     struct etcd_patience patience)
{
    struct etcd_leases *leases = allocate_struct(struct etcd_leases);
    leases->transport = transport;
    leases->patience = patience;
    pthread_mutex_init(&leases->lock, NULL);
    pthread_cond_init(&leases->asked, NULL);
    return leases;
}

void etcd_leases_close(struct etcd_leases *leases)
{
    pthread_cond_destroy(&leases->asked);
    pthread_mutex_destroy(&leases->lock);
    free(leases);
}

/* Sends {"<name>":"<number>"…} and reads the number at 'path' in the answer. */
static bool ask(struct etcd_leases *leases, const char *endpoint_path, const char *name,
                int64_t number, const char *path, int64_t *result, struct error *error)
{
    cleanup(buffer_free)
    struct buffer body = BUFFER_INIT, answer = BUFFER_INIT;
    buffer_add_char(&body, '{');
    etcd_add_int(&body, name, number);
    buffer_add_char(&body, '}');
    const struct etcd_request request = {
        .path = endpoint_path,
        .body = buffer_text(&body),
        .body_length = body.length,
        .repeatable = true, /* A lease nobody uses ends by itself. */
        .patience = leases->patience,
    };
    if (etcd_transport_call(leases->transport, &request, &answer, error) != ETCD_ANSWERED) {
        return false;
    }
    struct json_span span = {0};
    json_scan(buffer_text(&answer), answer.length, &path, 1, &span);
    *result = etcd_int(span);
    return *result != 0 || error_internal(error, "etcd answered a lease request without %s", path);
}

static bool grant(struct etcd_leases *leases, struct etcd_lease *lease, struct error *error)
{
    int64_t slack = lease->ttl_seconds / slack_share;
    slack = slack < 1 ? 1 : slack > most_slack_seconds ? most_slack_seconds : slack;
    lease->slack_seconds = slack;
    lease->granted = timestamp_monotonic();
    return ask(leases, "/v3/lease/grant", "TTL", lease->ttl_seconds + slack, "ID", &lease->id,
               error);
}

static bool is_usable(const struct shared_lease *shared)
{
    return shared->lease.id != 0 && shared->puts < most_puts &&
           timestamp_monotonic() < shared->lease.granted + shared->lease.slack_seconds * second / 2;
}

/* The entry for a time to live, made if there is none. NULL if all are being asked for. With the
 * lock. */
static struct shared_lease *entry_for(struct etcd_leases *leases, int64_t ttl_seconds)
{
    for (size_t i = 0; i < remembered; i++) {
        if (leases->shared[i].lease.ttl_seconds == ttl_seconds) {
            return &leases->shared[i];
        }
    }
    for (size_t i = 0; i < remembered; i++) {
        struct shared_lease *entry = &leases->shared[leases->next++ % remembered];
        if (!entry->asking) {
            *entry = (struct shared_lease){.lease.ttl_seconds = ttl_seconds};
            return entry;
        }
    }
    return NULL;
}

bool etcd_lease_for(struct etcd_leases *leases, int64_t ttl_seconds, struct etcd_lease *lease,
                    struct error *error)
{
    pthread_mutex_lock(&leases->lock);
    struct shared_lease *entry;
    while ((entry = entry_for(leases, ttl_seconds)) == NULL || entry->asking) {
        if (fiber_refuses_to_block()) {
            pthread_mutex_unlock(&leases->lock);
            return error_unavailable(error, "a lease can't be waited for here");
        }
        pthread_cond_wait(&leases->asked, &leases->lock);
    }
    if (is_usable(entry)) {
        entry->puts++;
        *lease = entry->lease;
        pthread_mutex_unlock(&leases->lock);
        return true;
    }
    entry->asking = true;
    pthread_mutex_unlock(&leases->lock);

    *lease = (struct etcd_lease){.ttl_seconds = ttl_seconds};
    bool granted = grant(leases, lease, error);

    pthread_mutex_lock(&leases->lock);
    *entry = (struct shared_lease){.lease = *lease, .puts = 1};
    if (!granted) {
        entry->lease.id = 0;
    }
    pthread_cond_broadcast(&leases->asked);
    pthread_mutex_unlock(&leases->lock);
    return granted;
}

void etcd_lease_lost(struct etcd_leases *leases, int64_t id)
{
    pthread_mutex_lock(&leases->lock);
    for (size_t i = 0; i < remembered; i++) {
        if (leases->shared[i].lease.id == id) {
            leases->shared[i].lease.id = 0;
        }
    }
    pthread_mutex_unlock(&leases->lock);
}

void etcd_lease_used(struct etcd_leases *leases, const struct etcd_lease *lease)
{
    if (timestamp_monotonic() > lease->granted + lease->slack_seconds * second) {
        struct error ignored = ERROR_INIT;
        int64_t ttl;
        ask(leases, "/v3/lease/keepalive", "ID", lease->id, "result.TTL", &ttl, &ignored);
        error_clear(&ignored);
    }
}
