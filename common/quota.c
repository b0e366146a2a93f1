// SPDX-License-Identifier: Apache-2.0
#include "common/quota.h"

#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"
#include "common/timestamp.h"

#define ONE (&(const struct quantity){.nano = 1000000000, .format = QUANTITY_DECIMAL_SI})

static const char of_class[] = ".storageclass.storage.k8s.io/";

static bool is_core(const char *group, const char *plural, const char *expected)
{
    return group[0] == '\0' && strcmp(plural, expected) == 0;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- which resources ---- */

/* "count/deployments.apps", "count/pods". */
static char *count_name(const char *group, const char *plural)
{
    return format("count/%s%s%s", plural, group[0] != '\0' ? "." : "", group);
}

/* A device's: has a domain, which is not Kubernetes' own. */
static bool is_extended(const char *resource)
{
    return strchr(resource, '/') != NULL && strstr(resource, "kubernetes.io/") == NULL;
}

static bool pods_track(const char *resource)
{
    static const char *const plain[] = {"cpu",           "requests.cpu",
                                        "limits.cpu",    "ephemeral-storage",
                                        "memory",        "requests.memory",
                                        "limits.memory", "requests.ephemeral-storage",
                                        "pods",          "limits.ephemeral-storage"};
    return is_one_of(resource, plain, array_length(plain)) || begins(resource, "hugepages-") ||
           begins(resource, "requests.hugepages-") ||
           (begins(resource, "requests.") && is_extended(resource));
}

static bool claims_track(const char *resource)
{
    static const char *const names[] = {"persistentvolumeclaims", "requests.storage"};
    const char *class = strstr(resource, of_class);
    return is_one_of(class != NULL ? class + strlen(of_class) : resource, names,
                     array_length(names));
}

static bool services_track(const char *resource)
{
    static const char *const names[] = {"services", "services.nodeports", "services.loadbalancers"};
    return is_one_of(resource, names, array_length(names));
}

/* Kinds that have a name without "count/" from the time before it. */
static bool is_counted_by_plural(const char *group, const char *plural)
{
    static const char *const plurals[] = {"configmaps", "secrets", "replicationcontrollers",
                                          "resourcequotas"};
    return group[0] == '\0' && is_one_of(plural, plurals, array_length(plurals));
}

bool quota_tracks(const char *group, const char *plural, const char *resource)
{
    cleanup(free_char)
    char *count = count_name(group, plural);
    if (strcmp(resource, count) == 0) {
        return true;
    }
    if (is_core(group, plural, "pods")) {
        return pods_track(resource);
    }
    if (is_core(group, plural, "persistentvolumeclaims")) {
        return claims_track(resource);
    }
    if (is_core(group, plural, "services")) {
        return services_track(resource);
    }
    return is_counted_by_plural(group, plural) && strcmp(resource, plural) == 0;
}

/* ---- scopes ---- */

/* The value against a scope's operator; NULL: the object has none. */
static bool operator_matches(const json_t *requirement, const char *value)
{
    const char *how = json_get_string(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    if (how == NULL || strcmp(how, "Exists") == 0) {
        return value != NULL;
    }
    if (strcmp(how, "DoesNotExist") == 0) {
        return value == NULL;
    }
    bool listed = value != NULL && json_array_has_string(values, value);
    return strcmp(how, "In") == 0 ? listed : !listed;
}

static const char *text_or_null(const char *text)
{
    return text != NULL && *text != '\0' ? text : NULL;
}

static bool is_best_effort(const json_t *pod)
{
    const char *class = json_path_string(pod, "status", "qosClass");
    if (class != NULL && *class != '\0') {
        return strcmp(class, "BestEffort") == 0;
    }
    cleanup(amounts_clear)
    struct amounts all = AMOUNTS_INIT;
    amounts_of_pod(json_object_get(pod, "spec"), "requests", &all);
    amounts_of_pod(json_object_get(pod, "spec"), "limits", &all);
    const struct quantity *cpu = amounts_find(&all, "cpu"), *memory = amounts_find(&all, "memory");
    return (cpu == NULL || cpu->nano == 0) && (memory == NULL || memory->nano == 0);
}

static bool term_crosses(const json_t *term)
{
    return json_array_size(json_object_get(term, "namespaces")) > 0 ||
           json_object_get(term, "namespaceSelector") != NULL;
}

/* The pod wants to be near to, or far from, pods of other namespaces. */
static bool crosses_namespaces(const json_t *pod)
{
    static const char *const kinds[] = {"podAffinity", "podAntiAffinity"};
    for (size_t kind = 0; kind < array_length(kinds); kind++) {
        const json_t *affinity = json_path(pod, "spec", "affinity", kinds[kind]);
        size_t i;
        const json_t *term;
        json_array_foreach (
            json_object_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), i, term) {
            if (term_crosses(term)) {
                return true;
            }
        }
        json_array_foreach (
            json_object_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution"), i, term) {
            if (term_crosses(json_object_get(term, "podAffinityTerm"))) {
                return true;
            }
        }
    }
    return false;
}

static bool pod_in_scope(const char *scope, const json_t *requirement, const json_t *pod)
{
    bool is_terminating =
        json_get_int(json_object_get(pod, "spec"), "activeDeadlineSeconds", -1) >= 0;
    if (strcmp(scope, "Terminating") == 0) {
        return is_terminating;
    }
    if (strcmp(scope, "NotTerminating") == 0) {
        return !is_terminating;
    }
    if (strcmp(scope, "BestEffort") == 0) {
        return is_best_effort(pod);
    }
    if (strcmp(scope, "NotBestEffort") == 0) {
        return !is_best_effort(pod);
    }
    if (strcmp(scope, "PriorityClass") == 0) {
        return operator_matches(requirement,
                                text_or_null(json_path_string(pod, "spec", "priorityClassName")));
    }
    return strcmp(scope, "CrossNamespacePodAffinity") == 0 && crosses_namespaces(pod);
}

/* By any of the classes that the claim has, has had, or is to have. */
static bool claim_in_scope(const char *scope, const json_t *requirement, const json_t *claim)
{
    if (strcmp(scope, "VolumeAttributesClass") != 0) {
        return false;
    }
    const char *const classes[] = {
        text_or_null(json_path_string(claim, "spec", "volumeAttributesClassName")),
        text_or_null(json_path_string(claim, "status", "currentVolumeAttributesClassName")),
        text_or_null(json_path_string(claim, "status", "modifyVolumeStatus",
                                      "targetVolumeAttributesClassName"))};
    bool any = false;
    for (size_t i = 0; i < array_length(classes); i++) {
        if (classes[i] != NULL && operator_matches(requirement, classes[i])) {
            return true;
        }
        any = any || classes[i] != NULL;
    }
    return !any && operator_matches(requirement, NULL);
}

static bool in_scope(const char *scope, const json_t *requirement, const char *group,
                     const char *plural, const json_t *object)
{
    if (scope == NULL) {
        return false;
    }
    if (is_core(group, plural, "pods")) {
        return pod_in_scope(scope, requirement, object);
    }
    return is_core(group, plural, "persistentvolumeclaims") &&
           claim_in_scope(scope, requirement, object);
}

bool quota_scopes_match(const json_t *quota, const char *group, const char *plural,
                        const json_t *object)
{
    size_t i;
    const json_t *scope;
    json_array_foreach (json_path(quota, "spec", "scopes"), i, scope) {
        if (!in_scope(json_string_value(scope), NULL, group, plural, object)) {
            return false;
        }
    }
    json_array_foreach (json_path(quota, "spec", "scopeSelector", "matchExpressions"), i, scope) {
        if (!in_scope(json_get_string(scope, "scopeName"), scope, group, plural, object)) {
            return false;
        }
    }
    return true;
}

static json_t *scope_of(const char *name, const char *how, const json_t *values)
{
    json_t *list = json_array_size(values) > 0 ? json_deep_copy(values) : json_array();
    return json_pack("{s:s, s:s, s:o}", "scopeName", name, "operator", how != NULL ? how : "Exists",
                     "values", list);
}

void quota_find_scopes(const json_t *scopes, const char *group, const char *plural,
                       const json_t *object, json_t *found)
{
    size_t i;
    const json_t *scope;
    json_array_foreach (scopes, i, scope) {
        const char *name = json_get_string(scope, "scopeName");
        if (in_scope(name, scope, group, plural, object)) {
            json_array_append_new(found, scope_of(name, json_get_string(scope, "operator"),
                                                  json_object_get(scope, "values")));
        }
    }
}

json_t *quota_scopes(const json_t *quota)
{
    json_t *list = json_array();
    size_t i;
    const json_t *scope;
    json_array_foreach (json_path(quota, "spec", "scopes"), i, scope) {
        json_array_append_new(list, scope_of(json_string_value(scope), NULL, NULL));
    }
    json_array_extend(list, json_path(quota, "spec", "scopeSelector", "matchExpressions"));
    return list;
}

/* ---- usage ---- */

static void add_number(struct amounts *usage, const char *name, size_t number)
{
    struct quantity quantity = {.nano = (__int128)number * ONE->nano};
    amounts_add(usage, name, &quantity);
}

/* What requests and limits mean in a quota's terms. */
static void add_compute(const struct amounts *requests, const struct amounts *limits,
                        struct amounts *usage)
{
    static const char *const plain[] = {"cpu", "memory", "ephemeral-storage"};
    for (size_t i = 0; i < requests->count; i++) {
        const struct amount *amount = &requests->list[i];
        cleanup(free_char)
        char *name = format("requests.%s", amount->name);
        bool is_plain = is_one_of(amount->name, plain, array_length(plain)) ||
                        begins(amount->name, "hugepages-");
        if (is_plain) {
            amounts_add(usage, amount->name, &amount->quantity);
        }
        if (is_plain || is_extended(amount->name)) {
            amounts_add(usage, name, &amount->quantity);
        }
    }
    for (size_t i = 0; i < limits->count; i++) {
        if (is_one_of(limits->list[i].name, plain, array_length(plain))) {
            cleanup(free_char)
            char *name = format("limits.%s", limits->list[i].name);
            amounts_add(usage, name, &limits->list[i].quantity);
        }
    }
}

/* A pod that has ended, or should have by now, holds nothing any more. */
static bool pod_counts(const json_t *pod, int64_t now)
{
    const char *phase = json_path_string(pod, "status", "phase");
    if (phase != NULL && (strcmp(phase, "Failed") == 0 || strcmp(phase, "Succeeded") == 0)) {
        return false;
    }
    const json_t *metadata = json_object_get(pod, "metadata");
    const char *deletion = json_get_string(metadata, "deletionTimestamp");
    json_int_t grace = json_get_int(metadata, "deletionGracePeriodSeconds", -1);
    int64_t at = 0;
    if (deletion == NULL || grace < 0 || !timestamp_parse(deletion, &at)) {
        return true;
    }
    return now <= at + grace * INT64_C(1000000000);
}

static void add_pod(const json_t *pod, int64_t now, struct amounts *usage)
{
    if (!pod_counts(pod, now)) {
        return;
    }
    const json_t *spec = json_object_get(pod, "spec");
    cleanup(amounts_clear)
    struct amounts requests = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts limits = AMOUNTS_INIT;
    amounts_of_pod_with_overhead(spec, "requests", &requests);
    amounts_of_pod_with_overhead(spec, "limits", &limits);
    amounts_add(usage, "pods", ONE);
    add_compute(&requests, &limits, usage);
}

/* What a claim asks for, or has been given if that is more. */
static bool claimed_storage(const json_t *claim, struct quantity *storage)
{
    const char *request = json_path_string(claim, "spec", "resources", "requests", "storage");
    const char *given = json_path_string(claim, "status", "allocatedResources", "storage");
    struct quantity allocated;
    bool any = request != NULL && quantity_parse(request, storage);
    if (given != NULL && quantity_parse(given, &allocated) &&
        (!any || quantity_compare(storage, &allocated) < 0)) {
        *storage = allocated;
        any = true;
    }
    if (any) { /* Bytes are not divided. */
        storage->nano = (storage->nano + ONE->nano - 1) / ONE->nano * ONE->nano;
    }
    return any;
}

static void add_claim(const json_t *claim, struct amounts *usage)
{
    const json_t *annotation =
        json_path(claim, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class");
    const char *class = json_is_string(annotation)
                            ? json_string_value(annotation)
                            : json_path_string(claim, "spec", "storageClassName");
    class = class != NULL ? class : "";
    cleanup(free_char)
    char *claims = format("%s%spersistentvolumeclaims", class, of_class);
    cleanup(free_char)
    char *requests = format("%s%srequests.storage", class, of_class);
    struct quantity storage;
    amounts_add(usage, "persistentvolumeclaims", ONE);
    if (*class != '\0') {
        amounts_add(usage, claims, ONE);
    }
    if (claimed_storage(claim, &storage)) {
        amounts_add(usage, "requests.storage", &storage);
        if (*class != '\0') {
            amounts_add(usage, requests, &storage);
        }
    }
}

static void add_service(const json_t *service, struct amounts *usage)
{
    const json_t *spec = json_object_get(service, "spec");
    const json_t *ports = json_object_get(spec, "ports");
    const char *type = json_get_string(spec, "type");
    bool balances = type != NULL && strcmp(type, "LoadBalancer") == 0;
    bool exposes = balances || (type != NULL && strcmp(type, "NodePort") == 0);
    size_t taken = exposes ? json_array_size(ports) : 0;
    if (balances && !json_get_bool(spec, "allocateLoadBalancerNodePorts", true)) {
        size_t i;
        const json_t *port;
        taken = 0;
        json_array_foreach (ports, i, port) {
            taken += json_get_int(port, "nodePort", 0) != 0;
        }
    }
    amounts_add(usage, "services", ONE);
    add_number(usage, "services.nodeports", taken);
    add_number(usage, "services.loadbalancers", balances);
}

void quota_add_count(const char *group, const char *plural, size_t count, struct amounts *usage)
{
    cleanup(free_char)
    char *name = count_name(group, plural);
    add_number(usage, name, count);
    if (is_counted_by_plural(group, plural)) {
        add_number(usage, plural, count);
    }
}

void quota_add_usage(const char *group, const char *plural, const json_t *object, int64_t now,
                     struct amounts *usage)
{
    quota_add_count(group, plural, 1, usage);
    if (is_core(group, plural, "pods")) {
        add_pod(object, now, usage);
    } else if (is_core(group, plural, "persistentvolumeclaims")) {
        add_claim(object, usage);
    } else if (is_core(group, plural, "services")) {
        add_service(object, usage);
    }
}

/* ---- what must be said ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void free_names(const char ***names)
{
    free(*names);
}

static bool container_says(const json_t *container, const char *resource)
{
    cleanup(amounts_clear)
    struct amounts requests = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts limits = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts usage = AMOUNTS_INIT;
    amounts_add_tree(&requests, json_path(container, "resources", "requests"));
    amounts_add_tree(&limits, json_path(container, "resources", "limits"));
    add_compute(&requests, &limits, &usage);
    return amounts_find(&usage, resource) != NULL;
}

/* Appends "cpu for: a,b" when some containers don't say it. */
static void tell_silent(const json_t *spec, const char *resource, struct buffer *told)
{
    static const char *const lists[] = {"containers", "initContainers"};
    size_t count = 0, i;
    cleanup(free_names)
    const char **names = allocate((json_array_size(json_object_get(spec, lists[0])) +
                                   json_array_size(json_object_get(spec, lists[1])) + 1) *
                                  sizeof names[0]);
    for (size_t list = 0; list < array_length(lists); list++) {
        const json_t *container;
        json_array_foreach (json_object_get(spec, lists[list]), i, container) {
            const char *name = json_get_string(container, "name");
            if (!container_says(container, resource)) {
                names[count++] = name != NULL ? name : "";
            }
        }
    }
    qsort(names, count, sizeof names[0], compare_texts);
    for (i = 0; i < count; i++) {
        if (i == 0) {
            buffer_addf(told, "%s%s for: ", told->length > 0 ? "; " : "must specify ", resource);
        }
        buffer_addf(told, "%s%s", i > 0 ? "," : "", names[i]);
    }
}

char *quota_missing(const json_t *hard, const char *group, const char *plural, const json_t *object)
{
    static const char *const required[] = {"cpu",    "limits.cpu",   "limits.memory",
                                           "memory", "requests.cpu", "requests.memory"};
    const json_t *spec = json_object_get(object, "spec");
    if (!is_core(group, plural, "pods") ||
        json_object_size(json_path(spec, "resources", "requests")) > 0 ||
        json_object_size(json_path(spec, "resources", "limits")) > 0) {
        return NULL;
    }
    cleanup(buffer_free)
    struct buffer told = BUFFER_INIT;
    for (size_t i = 0; i < array_length(required); i++) {
        if (json_object_get(hard, required[i]) != NULL) {
            tell_silent(spec, required[i], &told);
        }
    }
    return told.length > 0 ? buffer_steal(&told) : NULL;
}

char *quota_text(const struct amounts *amounts)
{
    cleanup(amounts_clear)
    struct amounts sorted = AMOUNTS_INIT;
    amounts_add_all(&sorted, amounts);
    amounts_sort(&sorted);
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < sorted.count; i++) {
        char quantity[QUANTITY_SIZE];
        quantity_format(&sorted.list[i].quantity, quantity);
        buffer_addf(&text, "%s%s=%s", i > 0 ? "," : "", sorted.list[i].name, quantity);
    }
    return buffer_steal(&text);
}
