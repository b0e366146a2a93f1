// SPDX-License-Identifier: Apache-2.0
#include "apiserver/options.h"

#include <arpa/inet.h>
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authn_configuration.h"
#include "common/alloc.h"
#include "common/flags.h"

enum { connections_max = 1000000, workers_max = 1024 };

static const struct options defaults = {
    .bind_address = "127.0.0.1",
    .port = 6443,
    .service_range = "10.0.0.0/24",
    .node_port_range = "30000-32767",
    .event_ttl_ns = INT64_C(3600) * 1000000000,
    .compaction_interval_ns = INT64_C(300) * 1000000000,
    .authn = {.anonymous = {.is_on = true},
              .extend_token_expiration = true,
              .oidc_username_claim = "sub",
              .oidc_signing_algorithms = "RS256",
              .webhook_version = "v1beta1",
              .webhook_cache_ttl_ns = INT64_C(120) * 1000000000},
    .authz = {.webhook_version = "v1beta1",
              .webhook_authorized_ttl_ns = INT64_C(300) * 1000000000,
              .webhook_unauthorized_ttl_ns = INT64_C(30) * 1000000000},
    .audit = {.log_format = "json",
              .log = {.mode = "blocking",
                      .buffer_size = 10000,
                      .batch_size = 1,
                      .batch_wait_ns = INT64_C(1000000000),
                      .event_bytes_max = 102400,
                      .batch_bytes_max = 10485760},
              .webhook_backoff_ns = INT64_C(10000000000),
              .webhook = {.mode = "batch",
                          .buffer_size = 10000,
                          .batch_size = 400,
                          .batch_wait_ns = INT64_C(30000000000),
                          .event_bytes_max = 102400,
                          .batch_bytes_max = 10485760}},
    .flowcontrol = {.enabled = true,
                    .in_flight = 400,
                    .mutating_in_flight = 200,
                    .request_timeout_ns = INT64_C(60) * 1000000000},
    .admission = {.not_ready_toleration_seconds = 300, .unreachable_toleration_seconds = 300},
};

/* A flag and where in the options its value stands. */
struct option {
    const char *name; /* "" is a heading. */
    enum flag_type type;
    size_t offset;
    const char *help; /* NULL: made when it is needed. */
};

#define HEADING(text)                                                                              \
    {                                                                                              \
        "", FLAG_TEXT, 0, text                                                                     \
    }

#define AT(member) offsetof(struct options, member)

/* What the flags of both places for audit events have in common. */
#define SINK_FLAGS(kind, member)                                                                   \
    {"audit-" kind "-batch-buffer-size", FLAG_NUMBER, AT(audit.member.buffer_size),                \
     "How many events may wait in mode batch; more are lost, and counted."},                       \
        {"audit-" kind "-batch-max-size", FLAG_NUMBER, AT(audit.member.batch_size),                \
         "How many go at once in mode batch."},                                                    \
        {"audit-" kind "-batch-max-wait", FLAG_DURATION, AT(audit.member.batch_wait_ns),           \
         "How long the first of a batch waits for others."},                                       \
        {"audit-" kind "-truncate-enabled", FLAG_BOOLEAN, AT(audit.member.truncates),              \
         "Leave objects out of events that are too large."},                                       \
        {"audit-" kind "-truncate-max-event-size", FLAG_NUMBER, AT(audit.member.event_bytes_max),  \
         "How many bytes an event may have when they are truncated."},                             \
    {                                                                                              \
        "audit-" kind "-truncate-max-batch-size", FLAG_NUMBER, AT(audit.member.batch_bytes_max),   \
            "How many bytes a batch may have then."                                                \
    }

static const struct option table[] = {
    HEADING("Serving"),
    {"bind-address", FLAG_TEXT, AT(bind_address), "Address to listen on."},
    {"secure-port", FLAG_NUMBER, AT(port), "Port to listen on, with TLS."},
    {"advertise-address", FLAG_TEXT, AT(advertise_address),
     "Address of the kubernetes service's endpoint; the bind address if not given."},
    {"tls-cert-file", FLAG_TEXT, AT(certificate),
     "Serving certificate, PEM, with its chain. Read again when it changes."},
    {"tls-private-key-file", FLAG_TEXT, AT(key), "Its private key, PEM."},
    HEADING("Access"),
    {"client-ca-file", FLAG_TEXT, AT(client_ca),
     "Accept client certificates signed by these authorities: CN is the user, O the groups."},
    {"anonymous-auth", FLAG_SWITCH, AT(authn.anonymous),
     "Take requests without credentials as those of system:anonymous."},
    {"authentication-config", FLAG_TEXT, AT(authn.config_file),
     "AuthenticationConfiguration: which issuers' tokens to accept, in place of the flags of "
     "OpenID "
     "Connect, and who is anonymous. The issuers are read again when it changes."},
    {"token-auth-file", FLAG_TEXT, AT(authn.token_file),
     "Accept bearer tokens of this file: lines of token,user,uid,\"group,group\"."},
    {"service-account-key-file", FLAG_LIST, AT(authn.key_files),
     "Accept tokens of service accounts that are signed with these keys, PEM, public or "
     "private; may be given several times. Read again when they change."},
    {"service-account-signing-key-file", FLAG_TEXT, AT(authn.signing_key_file),
     "Private key that signs tokens of service accounts, PEM, RSA or EC."},
    {"service-account-issuer", FLAG_LIST, AT(authn.issuers),
     "Who issues tokens of service accounts, an https URL; may be given several times: the "
     "first issues, all are accepted."},
    {"service-account-jwks-uri", FLAG_TEXT, AT(authn.jwks_uri),
     "Where others find the keys; /openid/v1/jwks of this server if not given."},
    {"api-audiences", FLAG_LIST, AT(authn.api_audiences),
     "For whom tokens are by default and have to be, separated by commas; the issuers if not "
     "given."},
    {"service-account-max-token-expiration", FLAG_DURATION, AT(authn.max_token_expiration_ns),
     "For how long tokens are good at most; 0: any."},
    {"service-account-extend-token-expiration", FLAG_BOOLEAN, AT(authn.extend_token_expiration),
     "Make tokens of pods good for a year, so that clients that don't read them again go on."},
    {"enable-bootstrap-token-auth", FLAG_BOOLEAN, AT(authn.bootstrap_tokens),
     "Accept bootstrap tokens: secrets of their type in the namespace kube-system."},
    {"oidc-issuer-url", FLAG_TEXT, AT(authn.oidc_issuer_url),
     "Accept tokens of this OpenID Connect issuer, an https URL."},
    {"oidc-client-id", FLAG_TEXT, AT(authn.oidc_client_id),
     "For whom they have to be: the client's name at the issuer."},
    {"oidc-ca-file", FLAG_TEXT, AT(authn.oidc_ca_file),
     "Authority of the issuer's certificate; those of the system if not given."},
    {"oidc-username-claim", FLAG_TEXT, AT(authn.oidc_username_claim),
     "The claim that is the user's name."},
    {"oidc-username-prefix", FLAG_TEXT, AT(authn.oidc_username_prefix),
     "What to put before it; '-' for nothing. If not given, the issuer's URL and '#', but "
     "nothing before the claim email."},
    {"oidc-groups-claim", FLAG_TEXT, AT(authn.oidc_groups_claim),
     "The claim that holds the user's groups."},
    {"oidc-groups-prefix", FLAG_TEXT, AT(authn.oidc_groups_prefix),
     "What to put before each of them."},
    {"oidc-required-claim", FLAG_LIST, AT(authn.oidc_required_claims),
     "key=value that the token must claim; may be given several times."},
    {"oidc-signing-algs", FLAG_TEXT, AT(authn.oidc_signing_algorithms),
     "How tokens may be signed, separated by commas: RS256, RS384, RS512, ES256, ES384, ES512, "
     "PS256, PS384, PS512."},
    {"authentication-token-webhook-config-file", FLAG_TEXT, AT(authn.webhook_config_file),
     "Ask the server of this kubeconfig about tokens, by TokenReview."},
    {"authentication-token-webhook-version", FLAG_TEXT, AT(authn.webhook_version),
     "Version of the TokenReviews sent to it: v1 or v1beta1."},
    {"authentication-token-webhook-cache-ttl", FLAG_DURATION, AT(authn.webhook_cache_ttl_ns),
     "How long its answers are kept."},
    {"requestheader-client-ca-file", FLAG_TEXT, AT(authn.proxy_ca_file),
     "Believe front proxies with certificates signed by these authorities when they say in "
     "headers who asks."},
    {"requestheader-allowed-names", FLAG_LIST, AT(authn.proxy_allowed_names),
     "CNs of their certificates, separated by commas; any if not given."},
    {"requestheader-username-headers", FLAG_LIST, AT(authn.proxy_username_headers),
     "Headers to look for the user's name in, such as X-Remote-User."},
    {"requestheader-uid-headers", FLAG_LIST, AT(authn.proxy_uid_headers),
     "Headers to look for the user's uid in, such as X-Remote-Uid."},
    {"requestheader-group-headers", FLAG_LIST, AT(authn.proxy_group_headers),
     "Headers to look for the user's groups in, such as X-Remote-Group."},
    {"requestheader-extra-headers-prefix", FLAG_LIST, AT(authn.proxy_extra_prefixes),
     "Beginnings of headers with more about the user, such as X-Remote-Extra-."},
    {"authorization-mode", FLAG_TEXT, AT(authz.modes),
     "Who decides whether a request is allowed, in this order: AlwaysAllow, AlwaysDeny, Node, "
     "RBAC, "
     "Webhook; Node,RBAC if nothing is said."},
    {"authorization-config", FLAG_TEXT, AT(authz.config_file),
     "AuthorizationConfiguration: who decides, in place of the mode and the flags of the webhook."},
    {"authorization-webhook-config-file", FLAG_TEXT, AT(authz.webhook_config_file),
     "Kubeconfig that says which server to ask in mode Webhook."},
    {"authorization-webhook-version", FLAG_TEXT, AT(authz.webhook_version),
     "Version of the SubjectAccessReviews that it gets: v1 or v1beta1."},
    {"authorization-webhook-cache-authorized-ttl", FLAG_DURATION,
     AT(authz.webhook_authorized_ttl_ns), "How long its yes is kept."},
    {"authorization-webhook-cache-unauthorized-ttl", FLAG_DURATION,
     AT(authz.webhook_unauthorized_ttl_ns), "How long its no is kept."},
    HEADING("Flow control"),
    {"max-connections", FLAG_NUMBER, AT(connections),
     "How many connections there may be; more are closed at once. 0 for 20,000, or for as many as "
     "there may be open files."},
    {"max-connections-per-client", FLAG_NUMBER, AT(client_connections),
     "How many there may be from one address, such as that of a proxy; 0 for half of them."},
    {"enable-priority-and-fairness", FLAG_BOOLEAN, AT(flowcontrol.enabled),
     "Share the server among requests as FlowSchemas and PriorityLevelConfigurations say."},
    {"max-requests-inflight", FLAG_NUMBER, AT(flowcontrol.in_flight),
     "How many requests are served at once, together with the next. Without priority and "
     "fairness: how many of those that change nothing; 0 for no limit."},
    {"max-mutating-requests-inflight", FLAG_NUMBER, AT(flowcontrol.mutating_in_flight),
     "The same for requests that change something."},
    {"request-timeout", FLAG_DURATION, AT(flowcontrol.request_timeout_ns),
     "How long a request may take; it waits for its turn for a quarter of that."},
    HEADING("Admission"),
    {"enable-admission-plugins", FLAG_TEXT, AT(admission.enable), NULL},
    {"disable-admission-plugins", FLAG_TEXT, AT(admission.disable),
     "Plugins to leave out although they are on by default."},
    {"admission-control-config-file", FLAG_TEXT, AT(admission.configuration_file),
     "Settings of plugins: an AdmissionConfiguration, for EventRateLimit, PodNodeSelector, "
     "PodSecurity, PodTolerationRestriction, ResourceQuota and webhooks."},
    {"default-not-ready-toleration-seconds", FLAG_NUMBER,
     AT(admission.not_ready_toleration_seconds),
     "How long pods tolerate that their node is not ready, unless they say otherwise."},
    {"default-unreachable-toleration-seconds", FLAG_NUMBER,
     AT(admission.unreachable_toleration_seconds), "The same for a node that can't be reached."},
    HEADING("Audit"),
    {"audit-policy-file", FLAG_TEXT, AT(audit.policy_file),
     "Record requests as this Policy of audit.k8s.io/v1 says."},
    {"audit-log-path", FLAG_TEXT, AT(audit.log_path),
     "Append what is recorded to this file; '-' is standard output."},
    {"audit-log-format", FLAG_TEXT, AT(audit.log_format),
     "json, a line an event, or legacy, a line of text."},
    {"audit-log-mode", FLAG_TEXT, AT(audit.log.mode),
     "blocking: each event is written at once; blocking-strict: and a request of which it can't be "
     "written that it came is refused; batch: by a thread of its own."},
    {"audit-log-maxage", FLAG_NUMBER, AT(audit.log_days_max),
     "Delete old files after so many days; 0: never."},
    {"audit-log-maxbackup", FLAG_NUMBER, AT(audit.log_backups_max),
     "Keep so many old files; 0: all."},
    {"audit-log-maxsize", FLAG_NUMBER, AT(audit.log_megabytes_max),
     "Begin another file before one has more megabytes than this; 0: 100."},
    {"audit-log-compress", FLAG_BOOLEAN, AT(audit.log_compress), "Compress old files with gzip."},
    SINK_FLAGS("log", log),
    {"audit-webhook-config-file", FLAG_TEXT, AT(audit.webhook_config_file),
     "Post what is recorded to the server of this kubeconfig."},
    {"audit-webhook-mode", FLAG_TEXT, AT(audit.webhook.mode),
     "batch: no request waits for that server; blocking: each waits until that server knows that "
     "it "
     "has come, and is told of the rest at once; blocking-strict: and is refused if it can't be "
     "told."},
    {"audit-webhook-initial-backoff", FLAG_DURATION, AT(audit.webhook_backoff_ns),
     "How long to wait before a batch is posted again that failed; each time half as much longer, "
     "four times at most."},
    SINK_FLAGS("webhook", webhook),
    HEADING("Storage"),
    {"store-file", FLAG_TEXT, AT(store_file), "Keep objects in this file, in the embedded store."},
    {"etcd-servers", FLAG_TEXT, AT(etcd_servers),
     "Keep objects in etcd instead: URLs of its members, separated by commas. For a Unix socket "
     "unix:// and its path."},
    {"etcd-cafile", FLAG_TEXT, AT(etcd_ca), "Authority of etcd's certificates."},
    {"etcd-certfile", FLAG_TEXT, AT(etcd_certificate), "Client certificate for etcd."},
    {"etcd-keyfile", FLAG_TEXT, AT(etcd_key), "Its private key."},
    {"etcd-compaction-interval", FLAG_DURATION, AT(compaction_interval_ns),
     "How often versions that nobody needs are dropped; 0 for never."},
    {"encryption-provider-config", FLAG_TEXT, AT(encryption.path),
     "Encrypt objects in the store as this EncryptionConfiguration of apiserver.config.k8s.io/v1 "
     "says: aesgcm, aescbc, secretbox or identity."},
    {"encryption-provider-config-automatic-reload", FLAG_BOOLEAN, AT(encryption.reloads),
     "Read it again when it changes."},
    {"event-ttl", FLAG_DURATION, AT(event_ttl_ns), "How long events are kept."},
    HEADING("Services"),
    {"service-cluster-ip-range", FLAG_TEXT, AT(service_range),
     "Range from which services get their cluster IPs; or one of each family, with a comma "
     "between."},
    {"service-node-port-range", FLAG_TEXT, AT(node_port_range),
     "Range of ports for services of type NodePort."},
    HEADING("Other"),
    {"workers", FLAG_NUMBER, AT(workers),
     "Threads for requests that wait for more than the commit of a write; 0 for the default of "
     "32."},
    {"verbose", FLAG_BOOLEAN, AT(verbose), "Log details."},
    {"test-fault-percent", FLAG_NUMBER, AT(fault_percent),
     "For tests only: how many of a hundred requests of the cluster's own services fail on "
     "purpose."},
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
    if (options->encryption.reloads && options->encryption.path == NULL) {
        return error_bad_request(error, "--encryption-provider-config-automatic-reload needs "
                                        "--encryption-provider-config");
    }
    if (options->workers > workers_max) {
        return error_bad_request(error, "--workers must not be above %d", workers_max);
    }
    if (options->connections < 0 || options->connections > connections_max) {
        return error_bad_request(error, "--max-connections must be between 0 and %d",
                                 connections_max);
    }
    if (options->client_connections < 0 || options->client_connections > connections_max) {
        return error_bad_request(error, "--max-connections-per-client must be between 0 and %d",
                                 connections_max);
    }
    return authn_check_options(&options->authn, error) &&
           authz_check_options(&options->authz, error) &&
           audit_check_options(&options->audit, error) &&
           flowcontrol_check_options(&options->flowcontrol, error) &&
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

bool options_parse(int count, char **arguments, struct options *options, struct error *error)
{
    cleanup(free_char)
    char *names = admission_names();
    cleanup(free_char)
    char *enable_help =
        format("Plugins to ask beside those that are on by default. All: %s.", names);
    struct flag flags[array_length(table) + 1] = {0};
    *options = defaults;
    for (size_t i = 0; i < array_length(table); i++) {
        const struct option *option = &table[i];
        flags[i] = (struct flag){option->name, option->type, (char *)options + option->offset,
                                 option->help ? option->help : enable_help};
    }
    return flags_parse("coracle-apiserver",
                       "The Coracle API server: Kubernetes' API on etcd or a file.", flags, count,
                       arguments, error) &&
           check_options(options, error) && admission_configure(&options->admission, error);
}
