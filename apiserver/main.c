// SPDX-License-Identifier: Apache-2.0
/* coracle-apiserver: sets everything up, serves until it is told to stop, and takes it down again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/webhook_list.h"
#include "apiserver/api.h"
#include "apiserver/auth/authz.h"
#include "apiserver/auth/policy.h"
#include "apiserver/bootstrap.h"
#include "apiserver/registry/kinds/service.h"
#include "common/alloc.h"
#include "common/flags.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { stop_grace_ms = 5000, workers_max = 1024 };

struct options {
    const char *bind_address, *advertise_address, *certificate, *key, *client_ca;
    struct authn_options authn;
    int64_t port;
    const char *store_file, *etcd_servers, *etcd_ca, *etcd_certificate, *etcd_key;
    const char *service_range, *node_port_range;
    int64_t event_ttl_ns, compaction_interval_ns, workers;
    struct admission_options admission;
    struct authz_options authz;
    int64_t fault_percent;
    bool verbose;
};

static bool check_address(const char *flag, const char *address, struct error *error)
{
    struct in_addr ignored;
    return address == NULL || inet_pton(AF_INET, address, &ignored) == 1 ||
           error_bad_request(error, "--%s: \"%s\" is no IPv4 address", flag, address);
}

static bool check_not_negative(const char *flag, int64_t value, struct error *error)
{
    return value >= 0 || error_bad_request(error, "--%s must not be negative", flag);
}

static bool check_options(const struct options *options, struct error *error)
{
    if (options->certificate == NULL || options->key == NULL) {
        return error_bad_request(error, "--tls-cert-file and --tls-private-key-file are needed; "
                                        "see --help");
    }
    if (options->store_file == NULL && options->etcd_servers == NULL) {
        return error_bad_request(error,
                                 "one of --store-file and --etcd-servers is needed; see --help");
    }
    if (options->store_file != NULL && options->etcd_servers != NULL) {
        return error_bad_request(error, "--store-file and --etcd-servers exclude each other");
    }
    if (options->port < 1 || options->port > 65535) {
        return error_bad_request(error, "--secure-port: %lld is no port", (long long)options->port);
    }
    if (options->workers > workers_max) {
        return error_bad_request(error, "--workers must not be above %d", workers_max);
    }
    return authz_check_options(&options->authz, error) &&
           check_address("bind-address", options->bind_address, error) &&
           check_address("advertise-address", options->advertise_address, error) &&
           check_not_negative("workers", options->workers, error) &&
           check_not_negative("event-ttl", options->event_ttl_ns, error) &&
           check_not_negative("etcd-compaction-interval", options->compaction_interval_ns, error) &&
           check_not_negative("default-not-ready-toleration-seconds",
                              options->admission.not_ready_toleration_seconds, error) &&
           check_not_negative("default-unreachable-toleration-seconds",
                              options->admission.unreachable_toleration_seconds, error);
}

static const struct options defaults = {
    .bind_address = "127.0.0.1",
    .port = 6443,
    .service_range = "10.0.0.0/24",
    .node_port_range = "30000-32767",
    .event_ttl_ns = INT64_C(3600) * 1000000000,
    .compaction_interval_ns = INT64_C(300) * 1000000000,
    .authn = {.anonymous = true,
              .extend_token_expiration = true,
              .oidc_username_claim = "sub",
              .oidc_signing_algorithms = "RS256",
              .webhook_version = "v1beta1",
              .webhook_cache_ttl_ns = INT64_C(120) * 1000000000},
    .authz = {.modes = "Node,RBAC",
              .webhook_version = "v1beta1",
              .webhook_authorized_ttl_ns = INT64_C(300) * 1000000000,
              .webhook_unauthorized_ttl_ns = INT64_C(30) * 1000000000},
    .admission = {.not_ready_toleration_seconds = 300, .unreachable_toleration_seconds = 300},
};

static bool parse_options(int count, char **arguments, struct options *options, struct error *error)
{
    *options = defaults;
    cleanup(free_char)
    char *names = admission_names();
    cleanup(free_char)
    char *enable_help =
        format("Plugins to ask beside those that are on by default. All: %s.", names);
    const struct flag flags[] = {
        {"", FLAG_TEXT, NULL, "Serving"},
        {"bind-address", FLAG_TEXT, &options->bind_address, "Address to listen on."},
        {"secure-port", FLAG_NUMBER, &options->port, "Port to listen on, with TLS."},
        {"advertise-address", FLAG_TEXT, &options->advertise_address,
         "Address of the kubernetes service's endpoint; the bind address if not given."},
        {"tls-cert-file", FLAG_TEXT, &options->certificate,
         "Serving certificate, PEM, with its chain. Read again when it changes."},
        {"tls-private-key-file", FLAG_TEXT, &options->key, "Its private key, PEM."},
        {"", FLAG_TEXT, NULL, "Access"},
        {"client-ca-file", FLAG_TEXT, &options->client_ca,
         "Accept client certificates signed by these authorities: CN is the user, O the groups."},
        {"anonymous-auth", FLAG_BOOLEAN, &options->authn.anonymous,
         "Take requests without credentials as those of system:anonymous."},
        {"token-auth-file", FLAG_TEXT, &options->authn.token_file,
         "Accept bearer tokens of this file: lines of token,user,uid,\"group,group\"."},
        {"service-account-key-file", FLAG_LIST, &options->authn.key_files,
         "Accept tokens of service accounts that are signed with these keys, PEM, public or "
         "private; may be given several times. Read again when they change."},
        {"service-account-signing-key-file", FLAG_TEXT, &options->authn.signing_key_file,
         "Private key that signs tokens of service accounts, PEM, RSA or EC."},
        {"service-account-issuer", FLAG_LIST, &options->authn.issuers,
         "Who issues tokens of service accounts, an https URL; may be given several times: the "
         "first issues, all are accepted."},
        {"service-account-jwks-uri", FLAG_TEXT, &options->authn.jwks_uri,
         "Where others find the keys; /openid/v1/jwks of this server if not given."},
        {"api-audiences", FLAG_LIST, &options->authn.api_audiences,
         "For whom tokens are by default and have to be, separated by commas; the issuers if not "
         "given."},
        {"service-account-max-token-expiration", FLAG_DURATION,
         &options->authn.max_token_expiration_ns, "For how long tokens are good at most; 0: any."},
        {"service-account-extend-token-expiration", FLAG_BOOLEAN,
         &options->authn.extend_token_expiration,
         "Make tokens of pods good for a year, so that clients that don't read them again go on."},
        {"enable-bootstrap-token-auth", FLAG_BOOLEAN, &options->authn.bootstrap_tokens,
         "Accept bootstrap tokens: secrets of their type in the namespace kube-system."},
        {"oidc-issuer-url", FLAG_TEXT, &options->authn.oidc_issuer_url,
         "Accept tokens of this OpenID Connect issuer, an https URL."},
        {"oidc-client-id", FLAG_TEXT, &options->authn.oidc_client_id,
         "For whom they have to be: the client's name at the issuer."},
        {"oidc-ca-file", FLAG_TEXT, &options->authn.oidc_ca_file,
         "Authority of the issuer's certificate; those of the system if not given."},
        {"oidc-username-claim", FLAG_TEXT, &options->authn.oidc_username_claim,
         "The claim that is the user's name."},
        {"oidc-username-prefix", FLAG_TEXT, &options->authn.oidc_username_prefix,
         "What to put before it; '-' for nothing. If not given, the issuer's URL and '#', but "
         "nothing before the claim email."},
        {"oidc-groups-claim", FLAG_TEXT, &options->authn.oidc_groups_claim,
         "The claim that holds the user's groups."},
        {"oidc-groups-prefix", FLAG_TEXT, &options->authn.oidc_groups_prefix,
         "What to put before each of them."},
        {"oidc-required-claim", FLAG_LIST, &options->authn.oidc_required_claims,
         "key=value that the token must claim; may be given several times."},
        {"oidc-signing-algs", FLAG_TEXT, &options->authn.oidc_signing_algorithms,
         "How tokens may be signed, separated by commas: RS256, RS384, RS512, ES256, ES384, ES512, "
         "PS256, PS384, PS512."},
        {"authentication-token-webhook-config-file", FLAG_TEXT, &options->authn.webhook_config_file,
         "Ask the server of this kubeconfig about tokens, by TokenReview."},
        {"authentication-token-webhook-version", FLAG_TEXT, &options->authn.webhook_version,
         "Version of the TokenReviews sent to it: v1 or v1beta1."},
        {"authentication-token-webhook-cache-ttl", FLAG_DURATION,
         &options->authn.webhook_cache_ttl_ns, "How long its answers are kept."},
        {"requestheader-client-ca-file", FLAG_TEXT, &options->authn.proxy_ca_file,
         "Believe front proxies with certificates signed by these authorities when they say in "
         "headers who asks."},
        {"requestheader-allowed-names", FLAG_LIST, &options->authn.proxy_allowed_names,
         "CNs of their certificates, separated by commas; any if not given."},
        {"requestheader-username-headers", FLAG_LIST, &options->authn.proxy_username_headers,
         "Headers to look for the user's name in, such as X-Remote-User."},
        {"requestheader-uid-headers", FLAG_LIST, &options->authn.proxy_uid_headers,
         "Headers to look for the user's uid in, such as X-Remote-Uid."},
        {"requestheader-group-headers", FLAG_LIST, &options->authn.proxy_group_headers,
         "Headers to look for the user's groups in, such as X-Remote-Group."},
        {"requestheader-extra-headers-prefix", FLAG_LIST, &options->authn.proxy_extra_prefixes,
         "Beginnings of headers with more about the user, such as X-Remote-Extra-."},
        {"authorization-mode", FLAG_TEXT, &options->authz.modes,
         "Who decides whether a request is allowed, in this order: AlwaysAllow, AlwaysDeny, Node, "
         "RBAC, "
         "Webhook."},
        {"authorization-webhook-config-file", FLAG_TEXT, &options->authz.webhook_config_file,
         "Kubeconfig that says which server to ask in mode Webhook."},
        {"authorization-webhook-version", FLAG_TEXT, &options->authz.webhook_version,
         "Version of the SubjectAccessReviews that it gets: v1 or v1beta1."},
        {"authorization-webhook-cache-authorized-ttl", FLAG_DURATION,
         &options->authz.webhook_authorized_ttl_ns, "How long its yes is kept."},
        {"authorization-webhook-cache-unauthorized-ttl", FLAG_DURATION,
         &options->authz.webhook_unauthorized_ttl_ns, "How long its no is kept."},
        {"", FLAG_TEXT, NULL, "Admission"},
        {"enable-admission-plugins", FLAG_TEXT, &options->admission.enable, enable_help},
        {"disable-admission-plugins", FLAG_TEXT, &options->admission.disable,
         "Plugins to leave out although they are on by default."},
        {"default-not-ready-toleration-seconds", FLAG_NUMBER,
         &options->admission.not_ready_toleration_seconds,
         "How long pods tolerate that their node is not ready, unless they say otherwise."},
        {"default-unreachable-toleration-seconds", FLAG_NUMBER,
         &options->admission.unreachable_toleration_seconds,
         "The same for a node that can't be reached."},
        {"", FLAG_TEXT, NULL, "Storage"},
        {"store-file", FLAG_TEXT, &options->store_file,
         "Keep objects in this file, in the embedded store."},
        {"etcd-servers", FLAG_TEXT, &options->etcd_servers,
         "Keep objects in etcd instead: URLs of its members, separated by commas."},
        {"etcd-cafile", FLAG_TEXT, &options->etcd_ca, "Authority of etcd's certificates."},
        {"etcd-certfile", FLAG_TEXT, &options->etcd_certificate, "Client certificate for etcd."},
        {"etcd-keyfile", FLAG_TEXT, &options->etcd_key, "Its private key."},
        {"etcd-compaction-interval", FLAG_DURATION, &options->compaction_interval_ns,
         "How often versions that nobody needs are dropped; 0 for never."},
        {"event-ttl", FLAG_DURATION, &options->event_ttl_ns, "How long events are kept."},
        {"", FLAG_TEXT, NULL, "Services"},
        {"service-cluster-ip-range", FLAG_TEXT, &options->service_range,
         "Range from which services get their cluster IPs; or one of each family, with a comma "
         "between."},
        {"service-node-port-range", FLAG_TEXT, &options->node_port_range,
         "Range of ports for services of type NodePort."},
        {"", FLAG_TEXT, NULL, "Other"},
        {"workers", FLAG_NUMBER, &options->workers,
         "Threads for requests that wait for the store; 0 for the default of 32."},
        {"verbose", FLAG_BOOLEAN, &options->verbose, "Log details."},
        {"test-fault-percent", FLAG_NUMBER, &options->fault_percent,
         "For tests only: how many of a hundred requests of the cluster's own services fail on "
         "purpose."},
        {NULL, FLAG_TEXT, NULL, NULL},
    };
    if (!flags_parse("coracle-apiserver",
                     "The Coracle API server: Kubernetes' API on etcd or a file.", flags, count,
                     arguments, error)) {
        return false;
    }
    return check_options(options, error) && admission_configure(&options->admission, error);
}

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

static struct store *open_store(const struct options *options, struct error *error)
{
    return options->store_file ? store_sqlite_open(options->store_file, error)
                               : open_etcd(options, error);
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
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += compactor->interval_ns / 1000000000;
    until.tv_nsec += compactor->interval_ns % 1000000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
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
    registry->advertise_address =
        options->advertise_address ? options->advertise_address : options->bind_address;
    registry->secure_port = (uint16_t)options->port;
    registry->service_cluster_ip_range = options->service_range;
    registry->service_node_port_range = options->node_port_range;
    registry->admission = options->admission;
    registry->fault_percent = options->fault_percent;
    registry->event_ttl_seconds = options->event_ttl_ns / 1000000000;
    return (registry->authn = authn_open(&options->authn, registry, error)) != NULL &&
           (registry->store = open_store(options, error)) != NULL &&
           (registry->cache = cache_open(registry->store, registry->scheme, error)) != NULL &&
           (registry->authz = authz_open(&authz, registry->cache, registry->scheme, error)) !=
               NULL &&
           (registry->webhooks = webhook_lists_new(registry->cache, registry->scheme,
                                                   &registry->stopping)) != NULL &&
           (registry->services = service_allocator_new(registry, error)) != NULL &&
           bootstrap(registry, error) && (registry->policy = policy_start(registry, error)) != NULL;
}

static void close_registry(struct registry *registry)
{
    policy_stop(registry->policy);
    service_allocator_free(registry->services); /* It may be repairing. */
    store_close(registry->store);
    cache_free(registry->cache);
    webhook_lists_free(registry->webhooks);
    authz_free(registry->authz);
    authn_free(registry->authn);
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
        .authentication_workers =
            authn_workers(api->registry->authn) + authz_workers(api->registry->authz),
        .workers = (unsigned)options->workers,
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
    server = serve(&api, options, error);
    if (server != NULL) {
        log_info("serving on https://%s:%u", options->bind_address, server_port(server));
        wait_for_signal();
    }
    atomic_store(&registry.stopping, true);
    server_stop(server, stop_grace_ms);
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
    block_signals();
    log_setup("apiserver", LOG_INFO);
    if (!parse_options(count, arguments, &options, &error)) {
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
