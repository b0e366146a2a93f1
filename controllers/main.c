// SPDX-License-Identifier: Apache-2.0
/* coracle-controller-manager: all controllers in one process, or any of them. */
#include "common/alloc.h"
#include "common/log.h"
#include "controllers/address_pool.h"
#include "controllers/controller.h"

enum { workers_max = 1000 };

static const char *controllers = "*";
static struct controller_settings settings = {
    .root_ca_file = "",
    .service_account_private_key_file = "",
    .allocate_node_cidrs = true,
    .cluster_cidr = "10.244.0.0/16",
    .service_cluster_ip_range = "",
    .cluster_signing = {{"", ""}, {"", ""}, {"", ""}, {"", ""}, {"", ""}},
    .cluster_signing_duration = INT64_C(31536000) * 1000000000,
    .load_balancer_addresses = "",
    .terminated_pod_gc_threshold = 12500,
    .job_pod_failure_backoff = 10000000000,
    .autoscaler_sync_period = 15000000000,
    .autoscaler_downscale_stabilization = 300000000000,
    .autoscaler_cpu_initialization_period = 300000000000,
    .autoscaler_initial_readiness_delay = 30000000000,
    .autoscaler_tolerance = 0.1,
    .autoscaler_syncs = 5,
    .node_monitor_period = 5000000000,
    .node_monitor_grace_period = 50000000000,
    .node_startup_grace_period = 60000000000,
    .node_eviction_rate = 0.1,
    .secondary_node_eviction_rate = 0.01,
    .unhealthy_zone_threshold = 0.55,
    .large_cluster_size_threshold = 50,
};

static bool check_signing(struct error *error)
{
    bool for_all = settings.cluster_signing[SIGNER_COUNT].certificate_file[0] != '\0';
    for (size_t i = 0; i <= SIGNER_COUNT; i++) {
        bool certificate = settings.cluster_signing[i].certificate_file[0] != '\0';
        if (certificate != (settings.cluster_signing[i].key_file[0] != '\0')) {
            return error_bad_request(
                error, "each --cluster-signing-…-cert-file needs its key file, and the reverse");
        }
        if (i < SIGNER_COUNT && certificate && for_all) {
            return error_bad_request(error, "--cluster-signing-cert-file is for all signers: with "
                                            "it, none may have a file of its own");
        }
    }
    return settings.cluster_signing_duration >= INT64_C(600) * 1000000000 ||
           error_bad_request(error, "--cluster-signing-duration must be 10m or more");
}

static bool check_addresses(struct error *error)
{
    cleanup(address_pool_free)
    struct address_pool pool;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    return address_pool_parse(settings.load_balancer_addresses, &pool, &why) ||
           error_bad_request(error, "--load-balancer-addresses: %s", why.message);
}

static bool check_autoscalers(struct error *error)
{
    if (settings.autoscaler_sync_period < 100000000) {
        return error_bad_request(error,
                                 "--horizontal-pod-autoscaler-sync-period must be 100ms or more");
    }
    if (settings.autoscaler_syncs < 1 || settings.autoscaler_syncs > workers_max) {
        return error_bad_request(error,
                                 "--concurrent-horizontal-pod-autoscaler-syncs must be between 1 "
                                 "and %d",
                                 workers_max);
    }
    return (settings.autoscaler_tolerance >= 0 &&
            settings.autoscaler_downscale_stabilization >= 0 &&
            settings.autoscaler_cpu_initialization_period >= 0 &&
            settings.autoscaler_initial_readiness_delay >= 0) ||
           error_bad_request(error, "--horizontal-pod-autoscaler-… must not be negative");
}

static bool check(struct error *error)
{
    if (settings.node_monitor_period <= 0) {
        return error_bad_request(error, "--node-monitor-period must be more than 0");
    }
    if (settings.job_pod_failure_backoff < 0) {
        return error_bad_request(error, "--job-pod-failure-backoff must not be negative");
    }
    return check_autoscalers(error) && check_signing(error) && check_addresses(error) &&
           controller_list_check(controllers, error);
}

static bool start(struct service *service, struct error *error)
{
    struct controller_set *set =
        controller_set_start(service, controller_types, controllers, &settings, error);
    service->state = set;
    if (set != NULL) {
        log_info("controllers work");
    }
    return set != NULL;
}

static void stop(struct service *service)
{
    controller_set_stop(service->state);
}

static struct flag flags[] = {
    {"", FLAG_TEXT, NULL, "Controllers"},
    {"controllers", FLAG_TEXT, &controllers, ""}, /* Its words name them all. */
    {"use-service-account-credentials", FLAG_BOOLEAN, &settings.use_service_account_credentials,
     "Let each controller speak as a service account of its own in kube-system, with the role "
     "system:controller:<account>; without it, all speak as this process."},
    {"root-ca-file", FLAG_TEXT, &settings.root_ca_file,
     "The CA of the config map kube-root-ca.crt in each namespace; without it, the one that "
     "the "
     "API server is verified with."},
    {"service-account-private-key-file", FLAG_TEXT, &settings.service_account_private_key_file,
     "Private key that signs the tokens in secrets of service accounts, PEM, RSA or EC."},
    {"terminated-pod-gc-threshold", FLAG_NUMBER, &settings.terminated_pod_gc_threshold,
     "How many pods that have come to their end are kept; 0: all."},
    {"job-pod-failure-backoff", FLAG_DURATION, &settings.job_pod_failure_backoff,
     "After how long a job's failed pod is replaced, twice as long with each failure in a row, "
     "up "
     "to sixty times that."},
    {"enable-hostpath-provisioner", FLAG_BOOLEAN, &settings.enable_hostpath_provisioner,
     "Make volumes for claims of storage classes of the provisioner kubernetes.io/host-path, "
     "to "
     "try things out with."},
    {"load-balancer-addresses", FLAG_TEXT, &settings.load_balancer_addresses,
     "Addresses for services of type LoadBalancer, such as "
     "192.0.2.10-192.0.2.50,2001:db8::/120; without them, such services wait for somebody "
     "else."},
    {"", FLAG_TEXT, NULL, "Autoscaling"},
    {"horizontal-pod-autoscaler-sync-period", FLAG_DURATION, &settings.autoscaler_sync_period,
     "How often the number of pods is worked out."},
    {"horizontal-pod-autoscaler-downscale-stabilization", FLAG_DURATION,
     &settings.autoscaler_downscale_stabilization,
     "For how long the highest number that was recommended stays, unless an autoscaler's "
     "behavior says it."},
    {"horizontal-pod-autoscaler-tolerance", FLAG_DECIMAL, &settings.autoscaler_tolerance,
     "By what part a metric may be off its target without consequence."},
    {"horizontal-pod-autoscaler-cpu-initialization-period", FLAG_DURATION,
     &settings.autoscaler_cpu_initialization_period,
     "For how long after its start a pod's CPU use counts only while it is ready."},
    {"horizontal-pod-autoscaler-initial-readiness-delay", FLAG_DURATION,
     &settings.autoscaler_initial_readiness_delay,
     "Within which time after its start a pod's change to unready counts as never having been "
     "ready."},
    {"concurrent-horizontal-pod-autoscaler-syncs", FLAG_NUMBER, &settings.autoscaler_syncs,
     "How many autoscalers are worked on at a time: one whose metrics somebody else serves may "
     "take long."},
    {"", FLAG_TEXT, NULL, "Certificates"},
    {"cluster-signing-cert-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_COUNT].certificate_file,
     "The authority that signs what was approved for the kubernetes.io signers, PEM; without "
     "it, or one of the next, nothing is signed."},
    {"cluster-signing-key-file", FLAG_TEXT, &settings.cluster_signing[SIGNER_COUNT].key_file,
     "Its private key."},
    {"cluster-signing-kubelet-serving-cert-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_KUBELET_SERVING].certificate_file,
     "Another for kubernetes.io/kubelet-serving alone."},
    {"cluster-signing-kubelet-serving-key-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_KUBELET_SERVING].key_file, "Its private key."},
    {"cluster-signing-kubelet-client-cert-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_KUBELET_CLIENT].certificate_file,
     "Another for kubernetes.io/kube-apiserver-client-kubelet alone."},
    {"cluster-signing-kubelet-client-key-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_KUBELET_CLIENT].key_file, "Its private key."},
    {"cluster-signing-kube-apiserver-client-cert-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_API_CLIENT].certificate_file,
     "Another for kubernetes.io/kube-apiserver-client alone."},
    {"cluster-signing-kube-apiserver-client-key-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_API_CLIENT].key_file, "Its private key."},
    {"cluster-signing-legacy-unknown-cert-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_LEGACY_UNKNOWN].certificate_file,
     "Another for kubernetes.io/legacy-unknown alone."},
    {"cluster-signing-legacy-unknown-key-file", FLAG_TEXT,
     &settings.cluster_signing[SIGNER_LEGACY_UNKNOWN].key_file, "Its private key."},
    {"cluster-signing-duration", FLAG_DURATION, &settings.cluster_signing_duration,
     "How long certificates are valid, unless less is asked for."},
    {"", FLAG_TEXT, NULL, "Pod addresses of nodes"},
    {"allocate-node-cidrs", FLAG_BOOLEAN, &settings.allocate_node_cidrs,
     "Give each node a block of pod addresses."},
    {"cluster-cidr", FLAG_TEXT, &settings.cluster_cidr,
     "The ranges of the blocks: one, or an IPv4 and an IPv6 one, with a comma between."},
    {"node-cidr-mask-size", FLAG_NUMBER, &settings.node_cidr_mask_size,
     "The size of a node's block; 0: 24 for IPv4, 64 for IPv6."},
    {"node-cidr-mask-size-ipv4", FLAG_NUMBER, &settings.node_cidr_mask_size_ipv4,
     "The same for IPv4 only."},
    {"node-cidr-mask-size-ipv6", FLAG_NUMBER, &settings.node_cidr_mask_size_ipv6,
     "The same for IPv6 only."},
    {"service-cluster-ip-range", FLAG_TEXT, &settings.service_cluster_ip_range,
     "Addresses that no node gets."},
    {"", FLAG_TEXT, NULL, "Nodes that fail"},
    {"node-monitor-period", FLAG_DURATION, &settings.node_monitor_period,
     "How often nodes are looked at."},
    {"node-monitor-grace-period", FLAG_DURATION, &settings.node_monitor_grace_period,
     "After how long without a sign of life a node is not ready."},
    {"node-startup-grace-period", FLAG_DURATION, &settings.node_startup_grace_period,
     "The same for a node that has not told anything yet."},
    {"node-eviction-rate", FLAG_DECIMAL, &settings.node_eviction_rate,
     "Nodes a second whose pods are given up, in a zone of mostly healthy nodes."},
    {"secondary-node-eviction-rate", FLAG_DECIMAL, &settings.secondary_node_eviction_rate,
     "The same in an unhealthy zone; 0 if it is small."},
    {"unhealthy-zone-threshold", FLAG_DECIMAL, &settings.unhealthy_zone_threshold,
     "The part of a zone's nodes (at least three) that must fail for the zone to be "
     "unhealthy."},
    {"large-cluster-size-threshold", FLAG_NUMBER, &settings.large_cluster_size_threshold,
     "More nodes than these make a zone large."},
    {NULL, FLAG_TEXT, NULL, NULL},
};

/* "--controllers" with the names of all. */
static char *controllers_help(void)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_add_literal(&text, "Which to run: '*' all but those off by default, 'name' that one, "
                              "'-name' not that one. There are:");
    for (size_t i = 0; controller_types[i] != NULL; i++) {
        buffer_addf(&text, "%s %s%s", i > 0 ? "," : "", controller_types[i]->name,
                    controller_types[i]->is_off_by_default ? " (off by default)" : "");
    }
    buffer_add_char(&text, '.');
    return buffer_steal(&text);
}

int main(int count, char **arguments)
{
    cleanup(free_char)
    char *help = controllers_help();
    flags[1].help = help;
    const struct service_program program = {
        .name = "coracle-controller-manager",
        .component = "controllers",
        .summary = "Brings the cluster's state to what its objects ask for.",
        .event_source = "controller-manager",
        .lease = "kube-controller-manager",
        .health_address = "127.0.0.1:10257",
        .flags = flags,
        .check = check,
        .start = start,
        .stop = stop,
    };
    return service_main(&program, count, arguments);
}
