// SPDX-License-Identifier: Apache-2.0
/*
 * Pods come and change thousands of times a second while a tree takes as long as all the rest of
 * their way through the cache: so only the parts are parsed that hold references, and containers
 * only when they look as if they did.
 */
#include "apiserver/auth/node_references.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

struct finder {
    const char *namespace;
    const char *name; /* Of the pod. */
    node_reference found;
    void *argument;
};

static void report(const struct finder *finder, enum node_vertex type, const char *name)
{
    if (name != NULL && name[0] != '\0') {
        finder->found(finder->argument, type, finder->namespace, name);
    }
}

static json_t *parse_span(struct json_span span)
{
    return span.text != NULL ? json_parse(span.text, span.length, NULL) : NULL;
}

/* ---- volumes ---- */

/* Kinds of volumes and where they name a secret. */
static const struct {
    const char *kind, *member, *name;
} secret_volumes[] = {
    {"secret", NULL, "secretName"},      {"azureFile", NULL, "secretName"},
    {"cephfs", "secretRef", "name"},     {"cinder", "secretRef", "name"},
    {"flexVolume", "secretRef", "name"}, {"iscsi", "secretRef", "name"},
    {"rbd", "secretRef", "name"},        {"scaleIO", "secretRef", "name"},
    {"storageos", "secretRef", "name"},  {"csi", "nodePublishSecretRef", "name"},
};

static const char *named_secret(const json_t *volume, size_t row)
{
    const json_t *source = json_object_get(volume, secret_volumes[row].kind);
    if (secret_volumes[row].member != NULL) {
        source = json_object_get(source, secret_volumes[row].member);
    }
    return json_get_string(source, secret_volumes[row].name);
}

static void find_in_projection(const struct finder *finder, const json_t *sources)
{
    size_t i;
    const json_t *source;
    json_array_foreach (sources, i, source) {
        report(finder, NODE_SECRET, json_path_string(source, "secret", "name"));
        report(finder, NODE_CONFIG_MAP, json_path_string(source, "configMap", "name"));
    }
}

static void find_in_volumes(const struct finder *finder, const json_t *volumes)
{
    size_t i;
    const json_t *volume;
    json_array_foreach (volumes, i, volume) {
        for (size_t row = 0; row < array_length(secret_volumes); row++) {
            report(finder, NODE_SECRET, named_secret(volume, row));
        }
        report(finder, NODE_CONFIG_MAP, json_path_string(volume, "configMap", "name"));
        report(finder, NODE_VOLUME_CLAIM,
               json_path_string(volume, "persistentVolumeClaim", "claimName"));
        find_in_projection(finder, json_path(volume, "projected", "sources"));
        if (json_is_object(json_object_get(volume, "ephemeral"))) {
            cleanup(free_char)
            char *claim = format("%s-%s", finder->name, json_get_string(volume, "name"));
            report(finder, NODE_VOLUME_CLAIM, claim);
        }
    }
}

/* ---- containers ---- */

static void find_in_container(const struct finder *finder, const json_t *container)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (json_object_get(container, "env"), i, entry) {
        const json_t *source = json_object_get(entry, "valueFrom");
        report(finder, NODE_SECRET, json_path_string(source, "secretKeyRef", "name"));
        report(finder, NODE_CONFIG_MAP, json_path_string(source, "configMapKeyRef", "name"));
    }
    json_array_foreach (json_object_get(container, "envFrom"), i, entry) {
        report(finder, NODE_SECRET, json_path_string(entry, "secretRef", "name"));
        report(finder, NODE_CONFIG_MAP, json_path_string(entry, "configMapRef", "name"));
    }
}

static bool may_refer(struct json_span span)
{
    static const char *const signs[] = {"\"secretKeyRef\"", "\"configMapKeyRef\"", "\"secretRef\"",
                                        "\"configMapRef\""};
    for (size_t i = 0; span.text != NULL && i < array_length(signs); i++) {
        if (memmem(span.text, span.length, signs[i], strlen(signs[i])) != NULL) {
            return true;
        }
    }
    return false;
}

static void find_in_containers(const struct finder *finder, const json_t *containers)
{
    size_t i;
    const json_t *container;
    json_array_foreach (containers, i, container) {
        find_in_container(finder, container);
    }
}

/* ---- the rest of a pod ---- */

static void find_in_list(const struct finder *finder, const json_t *list, const char *member,
                         enum node_vertex type)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (list, i, entry) {
        report(finder, type, json_get_string(entry, member));
    }
}

/* The parts of a pod that hold references, and what finds them there. */
enum {
    FIRST_CONTAINERS = 1,
    LAST_CONTAINERS = 3,
    PULL_SECRETS,
    CLAIMS,
    CLAIM_STATUSES,
    PART_COUNT,
    ANNOTATIONS = PART_COUNT, /* Looked at apart. */
    ACCOUNT,
    PATH_COUNT
};

static const char *const pod_parts[PATH_COUNT] = {
    "spec.volumes",
    "spec.containers",
    "spec.initContainers",
    "spec.ephemeralContainers",
    "spec.imagePullSecrets",
    "spec.resourceClaims",
    "status.resourceClaimStatuses",
    "metadata.annotations",
    "spec.serviceAccountName",
};

static void find_in_part(const struct finder *finder, size_t part, const json_t *json)
{
    switch (part) {
    case 0:
        find_in_volumes(finder, json);
        break;
    case PULL_SECRETS:
        find_in_list(finder, json, "name", NODE_SECRET);
        break;
    case CLAIMS:
    case CLAIM_STATUSES:
        find_in_list(finder, json, "resourceClaimName", NODE_RESOURCE_CLAIM);
        break;
    default:
        find_in_containers(finder, json);
    }
}

static bool is_worth_parsing(size_t part, struct json_span span)
{
    bool containers = part >= FIRST_CONTAINERS && part <= LAST_CONTAINERS;
    return span.text != NULL && (!containers || may_refer(span));
}

void node_references_of_pod(const struct object *pod, node_reference found, void *argument)
{
    struct json_span parts[PATH_COUNT];
    json_scan(pod->bytes, pod->length, pod_parts, PATH_COUNT, parts);
    if (parts[ANNOTATIONS].text != NULL &&
        json_scan_member(parts[ANNOTATIONS], "kubernetes.io/config.mirror").text != NULL) {
        return;
    }
    cleanup(free_char)
    char *namespace = duplicate_bytes(pod->key, pod->namespace_length);
    cleanup(free_char)
    char *account = json_span_value(parts[ACCOUNT]);
    struct finder finder = {namespace, object_name(pod), found, argument};
    for (size_t i = 0; i < PART_COUNT; i++) {
        cleanup(json_release)
        json_t *json = is_worth_parsing(i, parts[i]) ? parse_span(parts[i]) : NULL;
        find_in_part(&finder, i, json);
    }
    report(&finder, NODE_SERVICE_ACCOUNT, account);
}

void node_references_of_tree(const json_t *pod, node_reference found, void *argument)
{
    const char *name = json_path_string(pod, "metadata", "name");
    struct finder finder = {"", name != NULL ? name : "", found, argument};
    for (size_t i = 0; i < PART_COUNT; i++) {
        const char *dot = strchr(pod_parts[i], '.');
        cleanup(free_char)
        char *member = duplicate_bytes(pod_parts[i], (size_t)(dot - pod_parts[i]));
        find_in_part(&finder, i, json_path(pod, member, dot + 1));
    }
    report(&finder, NODE_SERVICE_ACCOUNT, json_path_string(pod, "spec", "serviceAccountName"));
}

static bool holds(const struct object *object, const char *text)
{
    return memmem(object->bytes, object->length, text, strlen(text)) != NULL;
}

uint64_t node_references_hash(const struct object *pod)
{
    static const char *const paths[] = {"metadata.uid", "spec.ephemeralContainers",
                                        "status.resourceClaimStatuses"};
    struct json_span spans[array_length(paths)];
    uint64_t hash = 0;
    /* Hardly any pod has more than its uid, and to look for a name takes a fraction of a scan. */
    bool may_have_all =
        holds(pod, "\"ephemeralContainers\"") || holds(pod, "\"resourceClaimStatuses\"");
    size_t count = may_have_all ? array_length(paths) : 1;
    json_scan_until_met(pod->bytes, pod->length, paths, count, spans);
    for (size_t i = 0; i < count; i++) {
        if (spans[i].text != NULL) {
            hash = hash * 31 + hash_bytes(spans[i].text, spans[i].length);
        }
    }
    return hash;
}

/* ---- volumes of the cluster ---- */

/* Secrets of CSI that kubelets see, beside that of secret_volumes. */
static const char *const csi_secrets[] = {"nodeStageSecretRef", "nodeExpandSecretRef"};

static void report_secret(struct finder *finder, const json_t *reference, const char *name,
                          const char *namespace)
{
    const char *given = json_get_string(reference, namespace);
    const char *before = finder->namespace;
    finder->namespace = given != NULL && given[0] != '\0' ? given : before;
    report(finder, NODE_SECRET, json_get_string(reference, name));
    finder->namespace = before;
}

void node_references_of_volume(const struct object *volume, node_reference found, void *argument)
{
    struct json_span span;
    json_scan(volume->bytes, volume->length, (const char *[]){"spec"}, 1, &span);
    cleanup(json_release)
    json_t *spec = parse_span(span);
    const char *namespace = json_path_string(spec, "claimRef", "namespace");
    const char *claim = json_path_string(spec, "claimRef", "name");
    if (namespace == NULL || claim == NULL) {
        return; /* Nobody uses it yet. */
    }
    struct finder finder = {namespace, claim, found, argument};
    report(&finder, NODE_VOLUME_CLAIM, claim);
    for (size_t row = 0; row < array_length(secret_volumes); row++) {
        const json_t *source = json_object_get(spec, secret_volumes[row].kind);
        bool nested = secret_volumes[row].member != NULL;
        report_secret(&finder,
                      nested ? json_object_get(source, secret_volumes[row].member) : source,
                      secret_volumes[row].name, nested ? "namespace" : "secretNamespace");
    }
    for (size_t i = 0; i < array_length(csi_secrets); i++) {
        report_secret(&finder, json_path(spec, "csi", csi_secrets[i]), "name", "namespace");
    }
}
