// SPDX-License-Identifier: Apache-2.0
#include "common/leader_election.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/random.h"
#include "common/timestamp.h"

static const struct api_resource leases = {"coordination.k8s.io/v1", "leases", "Lease", true};

struct leader_election {
    struct client *client;
    struct leader_election_options options;
    char *identity; /* The host's name and something random. */
    atomic_bool is_leader;

    /* The loop's thread alone: */
    struct loop_timer timer;
    json_t *observed;    /* The Lease as last seen; NULL: not yet. */
    int64_t observed_at; /* When its renewal was first seen, monotonic. */
    int64_t asked_at;    /* When the request under way was sent. */
    int64_t renewed_at;  /* When the last renewal that succeeded was sent. */
    bool is_under_way;   /* A request is, of which there is never more than one. */
    bool stopping;
    bool gives_back; /* The lease is its own until it says otherwise. */

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    bool stopped; /* Nothing refers to it any more. */
    bool is_left; /* Nobody waits for that any more: it is to free itself then. */
};

static void seek(void *argument);

static void ask(struct leader_election *election, struct client_request request, client_done done)
{
    request.unfenced = true;
    election->is_under_way = true;
    election->asked_at = timestamp_monotonic();
    client_send(election->client, request, done, election);
}

static void seek_later(struct leader_election *election)
{
    int64_t period_ms = election->options.retry_period / 1000000;
    int64_t jitter_ms = atomic_load(&election->is_leader) ? 0 : random() % (period_ms / 5 + 1);
    loop_timer_set(client_loop(election->client), &election->timer, period_ms + jitter_ms, seek,
                   election);
}

static void election_free(struct leader_election *election)
{
    json_decref(election->observed);
    free(election->identity);
    pthread_cond_destroy(&election->changed);
    pthread_mutex_destroy(&election->lock);
    free(election);
}

/* Nobody touches it after this. */
static void signal_stopped(struct leader_election *election)
{
    pthread_mutex_lock(&election->lock);
    bool is_left = election->is_left;
    election->stopped = true;
    pthread_cond_signal(&election->changed);
    pthread_mutex_unlock(&election->lock);
    if (is_left) {
        election_free(election);
    }
}

/* ---- what a Lease says ---- */

static const char *holder_of(const json_t *lease)
{
    const char *holder = json_path_string(lease, "spec", "holderIdentity");
    return holder != NULL ? holder : "";
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void observe(struct leader_election *election, const json_t *lease)
{
    if (!same_text(json_path_string(lease, "spec", "renewTime"),
                   json_path_string(election->observed, "spec", "renewTime")) ||
        !same_text(holder_of(lease), holder_of(election->observed))) {
        election->observed_at = timestamp_monotonic();
    }
    json_decref(election->observed);
    election->observed = json_incref((json_t *)lease);
}

/* Somebody else holds it, and has renewed it lately as far as this process has seen. */
static bool is_held_by_another(const struct leader_election *election)
{
    const char *holder = holder_of(election->observed);
    int64_t seconds =
        json_get_int(json_object_get(election->observed, "spec"), "leaseDurationSeconds", 0);
    return holder[0] != '\0' && strcmp(holder, election->identity) != 0 &&
           timestamp_monotonic() < election->observed_at + seconds * 1000000000;
}

/* The Lease with this process as its holder. */
static json_t *lease_to_write(const struct leader_election *election)
{
    json_t *lease =
        election->observed != NULL
            ? json_deep_copy(election->observed)
            : json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "Lease", "apiVersion",
                        leases.group_version, "metadata", "name", election->options.name,
                        "namespace", election->options.namespace);
    json_t *spec = json_get_or_add_object(lease, "spec");
    char now[TIMESTAMP_SIZE];
    timestamp_format_micro(timestamp_now(), now);
    if (strcmp(holder_of(lease), election->identity) != 0) {
        json_int_t transitions = json_get_int(spec, "leaseTransitions", 0);
        json_object_set_new(spec, "leaseTransitions",
                            json_integer(election->observed != NULL ? transitions + 1 : 0));
        json_object_set_new(spec, "acquireTime", json_string(now));
    }
    json_object_set_new(spec, "holderIdentity", json_string(election->identity));
    json_object_set_new(spec, "leaseDurationSeconds",
                        json_integer(election->options.lease_duration / 1000000000));
    json_object_set_new(spec, "renewTime", json_string(now));
    return lease;
}

/* ---- leading ---- */

static void lead(struct leader_election *election)
{
    election->renewed_at = election->asked_at;
    client_fence(election->client, election->renewed_at + election->options.renew_deadline);
    if (!atomic_exchange(&election->is_leader, true)) {
        log_info("%s leads as holder of lease %s/%s", election->identity,
                 election->options.namespace, election->options.name);
        election->options.started(election->options.argument);
    }
}

static void lose(struct leader_election *election, const char *why)
{
    client_fence(election->client, 0);
    atomic_store(&election->is_leader, false);
    election->stopping = true;
    log_error("leadership is lost: %s", why);
    election->options.lost(election->options.argument);
}

static void write_done(void *argument, struct client_response *response);

/* It is to stop, and nothing is under way: the lease is given back, once, if it has it. */
static void conclude(struct leader_election *election)
{
    if (!election->gives_back || election->observed == NULL) {
        signal_stopped(election);
        return;
    }
    election->gives_back = false;
    json_t *spec = json_get_or_add_object(election->observed, "spec");
    json_object_set_new(spec, "holderIdentity", json_string(""));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer(1));
    ask(election, client_update_request(&leases, NULL, election->observed), write_done);
}

static void write_done(void *argument, struct client_response *response)
{
    struct leader_election *election = argument;
    cleanup(json_release)
    json_t *lease = error_is_set(&response->error)
                        ? NULL
                        : json_parse(buffer_text(&response->body), response->body.length, NULL);
    election->is_under_way = false;
    if (lease != NULL) {
        observe(election, lease);
    }
    if (election->stopping) {
        if (lease != NULL && strcmp(holder_of(lease), election->identity) == 0) {
            election->gives_back = true; /* It has got it just now. */
        }
        json_decref(steal(lease)); /* Whoever waits for the end may free what it is part of. */
        conclude(election);
        return;
    }
    if (lease != NULL) {
        lead(election);
    } else {
        log_debug("lease %s: %s", election->options.name,
                  response->error.message ? response->error.message : "no answer");
        json_decref(steal(election->observed)); /* To be read again. */
    }
    seek_later(election);
}

static void write_lease(struct leader_election *election)
{
    bool is_new = election->observed == NULL;
    cleanup(json_release)
    json_t *lease = lease_to_write(election);
    ask(election,
        is_new ? client_create_request(&leases, election->options.namespace, lease)
               : client_update_request(&leases, NULL, lease),
        write_done);
}

static void read_done(void *argument, struct client_response *response)
{
    struct leader_election *election = argument;
    election->is_under_way = false;
    if (election->stopping) {
        conclude(election);
        return;
    }
    if (response->error.code == 404) {
        write_lease(election);
        return;
    }
    cleanup(json_release)
    json_t *lease = error_is_set(&response->error)
                        ? NULL
                        : json_parse(buffer_text(&response->body), response->body.length, NULL);
    if (lease == NULL) {
        log_debug("lease %s: %s", election->options.name,
                  response->error.message ? response->error.message : "no answer");
        seek_later(election);
        return;
    }
    observe(election, lease);
    if (is_held_by_another(election)) {
        if (atomic_load(&election->is_leader)) {
            lose(election, "somebody else holds the lease");
            return;
        }
        seek_later(election);
        return;
    }
    write_lease(election);
}

static void read_lease(struct leader_election *election)
{
    struct client_request request = {.method = "GET"};
    request.path = client_path(&leases, election->options.namespace, election->options.name, NULL);
    ask(election, request, read_done);
}

/* A leader renews what it knows, without reading first. */
static void seek(void *argument)
{
    struct leader_election *election = argument;
    bool leads = atomic_load(&election->is_leader);
    if (leads && timestamp_monotonic() > election->renewed_at + election->options.renew_deadline) {
        lose(election, "the lease could not be renewed in time");
    } else if (leads && election->observed != NULL) {
        write_lease(election);
    } else {
        read_lease(election);
    }
}

/* ---- life ---- */

static char *make_identity(void)
{
    char host[256] = "localhost", uuid[RANDOM_UUID_SIZE];
    gethostname(host, sizeof host - 1);
    random_uuid(uuid);
    return format("%s_%s", host, uuid);
}

static void begin(void *argument)
{
    seek(argument);
}

struct leader_election *leader_election_start(struct client *client,
                                              const struct leader_election_options *options,
                                              struct error *error)
{
    if (options->lease_duration <= options->renew_deadline) {
        error_bad_request(error, "--leader-elect-lease-duration must be greater than "
                                 "--leader-elect-renew-deadline");
        return NULL;
    }
    if (options->renew_deadline <= options->retry_period * 6 / 5 ||
        options->retry_period < 1000000 || options->lease_duration < 1000000000) {
        error_bad_request(error, "--leader-elect-renew-deadline must be greater than "
                                 "--leader-elect-retry-period times 1.2, the lease at least one "
                                 "second");
        return NULL;
    }
    struct leader_election *election = allocate_struct(struct leader_election);
    election->client = client;
    election->options = *options;
    election->identity = make_identity();
    pthread_mutex_init(&election->lock, NULL);
    pthread_cond_init(&election->changed, NULL);
    client_fence(client, 0);
    loop_post(client_loop(client), begin, election);
    return election;
}

bool leader_election_is_leader(const struct leader_election *election)
{
    return atomic_load(&election->is_leader);
}

static void give_back(void *argument)
{
    struct leader_election *election = argument;
    loop_timer_cancel(client_loop(election->client), &election->timer);
    election->stopping = true;
    election->gives_back = atomic_exchange(&election->is_leader, false);
    client_fence(election->client, 0);
    if (!election->is_under_way) {
        conclude(election);
    }
}

void leader_election_stop(struct leader_election *election)
{
    if (election == NULL) {
        return;
    }
    struct timespec until = timestamp_after(INT64_C(2000000000));
    loop_call(client_loop(election->client), give_back, election);
    int waited = 0;
    pthread_mutex_lock(&election->lock);
    while (!election->stopped && waited == 0) {
        waited = pthread_cond_timedwait(&election->changed, &election->lock, &until);
    }
    bool stopped = election->stopped;
    election->is_left = !stopped;
    pthread_mutex_unlock(&election->lock);
    if (stopped) {
        election_free(election);
    }
}
