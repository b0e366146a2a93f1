// SPDX-License-Identifier: Apache-2.0
/* coracle-apiserver: sets everything up, serves until it is told to stop, and takes it down again.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "apiserver/admission/webhook_list.h"
#include "apiserver/admission/configuration.h"
#include "apiserver/api.h"
#include "apiserver/auth/policy.h"
#include "apiserver/bootstrap.h"
#include "apiserver/flowcontrol/flowcontrol.h"
#include "apiserver/options.h"
#include "apiserver/registry/kinds/service.h"
#include "apiserver/registry/usage_reports.h"
#include "common/alloc.h"
#include "common/json_memory.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { stop_grace_ms = 5000 };

/* ---- parts ---- */

static struct store *open_etcd(const struct options *options, struct error *error)
{
    cleanup(free_char)
    char *list = duplicate(options->etcd_servers);
    const char *endpoints[32] = {0};
    size_t count = 0;
    char *rest = NULL;
    for (char *url = strtok_r(list, ",", &rest); url != NULL && count < 31;
         url = strtok_r(NULL, ",", &rest)) {
        endpoints[count++] = url;
    }
    struct store_etcd_options etcd = {
        .endpoints = endpoints,
        .ca_file = options->etcd_ca,
        .certificate_file = options->etcd_certificate,
        .key_file = options->etcd_key,
    };
    return store_etcd_open(&etcd, error);
}

static struct store *open_store(const struct options *options, const struct scheme *scheme,
                                struct error *error)
{
    bool encrypts = options->encryption.path != NULL;
    struct store *store = options->store_file == NULL ? open_etcd(options, error)
                          : encrypts ? store_sqlite_open_erasing(options->store_file, error)
                                     : store_sqlite_open(options->store_file, error);
    return store != NULL && encrypts
               ? store_encrypted_open(store, &options->encryption, scheme, error)
               : store;
}

/* Drops old versions: at each interval what was superseded an interval ago. */
struct compactor {
    struct registry *registry;
    int64_t interval_ns;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* Guards 'stopping'. */
    pthread_cond_t stop;
    bool stopping;
};

static bool compactor_wait(struct compactor *compactor)
{
    struct timespec until = timestamp_after(compactor->interval_ns);
    pthread_mutex_lock(&compactor->lock);
    int waited = 0;
    while (!compactor->stopping && waited == 0) {
        waited = pthread_cond_timedwait(&compactor->stop, &compactor->lock, &until);
    }
    bool go_on = !compactor->stopping;
    pthread_mutex_unlock(&compactor->lock);
    return go_on;
}

static void *compactor_main(void *argument)
{
    struct compactor *compactor = argument;
    int64_t revision = cache_revision(compactor->registry->cache), last = 0;
    while (compactor_wait(compactor)) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (revision > last && !store_compact(compactor->registry->store, revision, &error) &&
            error.code != 410) {
            log_warning("dropping old versions failed: %s", error.message);
        }
        last = revision;
        revision = cache_revision(compactor->registry->cache);
    }
    return NULL;
}

static void compactor_start(struct compactor *compactor, struct registry *registry,
                            int64_t interval_ns)
{
    *compactor = (struct compactor){.registry = registry, .interval_ns = interval_ns};
    pthread_mutex_init(&compactor->lock, NULL);
    pthread_cond_init(&compactor->stop, NULL);
    compactor->runs =
        interval_ns > 0 && pthread_create(&compactor->thread, NULL, compactor_main, compactor) == 0;
}

static void compactor_stop(struct compactor *compactor)
{
    pthread_mutex_lock(&compactor->lock);
    compactor->stopping = true;
    pthread_cond_signal(&compactor->stop);
    pthread_mutex_unlock(&compactor->lock);
    if (compactor->runs) {
        pthread_join(compactor->thread, NULL);
    }
}

static bool open_registry(struct registry *registry, const struct options *options,
                          struct error *error)
{
    struct authz_options authz = options->authz;
    authz.stopping = &registry->stopping;
    registry->scheme = scheme_builtin();
    registry->usage = usage_reports_new();
    registry->advertise_address =
        options->advertise_address ? options->advertise_address : options->bind_address;
    registry->secure_port = (uint16_t)options->port;
    registry->service_cluster_ip_range = options->service_range;
    registry->service_node_port_range = options->node_port_range;
    registry->admission = options->admission;
    registry->fault_percent = options->fault_percent;
    registry->event_ttl_seconds = options->event_ttl_ns / 1000000000;
    return (registry->authn = authn_open(&options->authn, registry, error)) != NULL &&
           (registry->store = open_store(options, registry->scheme, error)) != NULL &&
           (registry->cache = cache_open(registry->store, registry->scheme, error)) != NULL &&
           (authn_follow(registry->authn, registry->cache, registry->scheme), true) &&
           (registry->authz = authz_open(&authz, registry->cache, registry->scheme, error)) !=
               NULL &&
           (registry->webhooks = webhook_lists_new(registry->cache, registry->scheme,
                                                   &registry->admission, &registry->stopping)) !=
               NULL &&
           (registry->services = service_allocator_new(registry, error)) != NULL &&
           bootstrap(registry, error) &&
           (registry->policy = policy_start(registry, error)) != NULL &&
           flowcontrol_start(registry, &options->flowcontrol, &registry->flowcontrol, error);
}

static void close_registry(struct registry *registry)
{
    flowcontrol_end(registry->flowcontrol);
    policy_stop(registry->policy);
    service_allocator_free(registry->services); /* It may be repairing. */
    store_close(registry->store);
    cache_free(registry->cache);
    flowcontrol_free(registry->flowcontrol);
    webhook_lists_free(registry->webhooks);
    authz_free(registry->authz);
    authn_free(registry->authn);
    usage_reports_free(registry->usage);
    admission_configuration_clear(&registry->admission);
}

static struct server *serve(struct api *api, const struct options *options, struct error *error)
{
    struct server_options server = {
        .bind_address = options->bind_address,
        .port = (uint16_t)options->port,
        .certificate_file = options->certificate,
        .key_file = options->key,
        .client_ca_file = options->client_ca,
        .proxy_ca_file = options->authn.proxy_ca_file,
        .authentication_workers = authn_workers(api->registry->authn) +
                                  authz_workers(api->registry->authz) + audit_workers(api->auditor),
        .workers = (unsigned)options->workers,
        .connection_limit = (unsigned)options->connections,
        .address_connection_limit = (unsigned)options->client_connections,
    };
    struct handler handler = api_handler(api);
    return server_start(&server, &handler, error);
}

static void wait_for_signal(void)
{
    sigset_t signals;
    int received;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigwait(&signals, &received);
    log_info("stopping on signal %s", strsignal(received));
}

/* Blocked in all threads; main takes them with sigwait(). */
static void block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* A limit on the size of files is an error of the write. */
}

/* Each connection is a descriptor, and the usual soft limit of 1,024 is soon reached. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            log_warning("the limit of open files could not be raised: %s", strerror(errno));
        }
    }
}

static bool run(const struct options *options, struct error *error)
{
    struct registry registry = {0};
    struct compactor compactor;
    struct api api = {0};
    struct server *server = NULL;
    if (!open_registry(&registry, options, error)) {
        close_registry(&registry);
        return false;
    }
    api_set_up(&api, &registry);
    webhook_lists_measure(registry.webhooks, api.metrics);
    compactor_start(&compactor, &registry, options->compaction_interval_ns);
    if (audit_open(&options->audit, api.metrics, &api.auditor, error)) {
        server = serve(&api, options, error);
    }
    if (server != NULL) {
        log_info("serving on https://%s:%u", options->bind_address, server_port(server));
        wait_for_signal();
    }
    atomic_store(&registry.stopping, true);
    flowcontrol_end(registry.flowcontrol);
    server_stop(server, stop_grace_ms);
    audit_close(api.auditor);
    compactor_stop(&compactor);
    api_clear(&api);
    close_registry(&registry);
    return server != NULL;
}

/* By itself glibc would raise both to the size of the largest bodies that it has seen freed, and
 * each thread's heap would keep that much from then on. */
static void bound_free_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 512 << 10);
    mallopt(M_TRIM_THRESHOLD, 512 << 10);
}

int main(int count, char **arguments)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct options options;
    bound_free_memory();
    json_memory_use();
    block_signals();
    log_setup("apiserver", LOG_INFO);
    if (!options_parse(count, arguments, &options, &error)) {
        fprintf(stderr, "coracle-apiserver: %s\n", error.message);
        return 2;
    }
    log_setup("apiserver", options.verbose ? LOG_DEBUG : LOG_INFO);
    raise_descriptor_limit();
    if (!run(&options, &error)) {
        fprintf(stderr, "coracle-apiserver: %s\n", error.message);
        return 1;
    }
    return 0;
}
