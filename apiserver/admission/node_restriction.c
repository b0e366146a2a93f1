// SPDX-License-Identifier: Apache-2.0
/*
 * NodeRestriction: kubelets change their own Node and what belongs to it, and nothing that would
 * draw pods or permissions to them: no labels that others choose nodes by, no taints, no pods but
 * mirror pods that refer to nothing. The Node authorizer says what they may ask for at all.
 */
#include <openssl/x509.h>
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/certificate_request.h"
#include "apiserver/auth/node_authorizer.h"
#include "apiserver/auth/node_references.h"
#include "common/alloc.h"
#include "common/json.h"

static bool refuse(const struct write *write, struct error *error, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(const struct write *write, struct error *error, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *why = format_list(text, arguments);
    va_end(arguments);
    return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "%s", why);
}

static const char *node_of(const json_t *object)
{
    const char *node = json_path_string(object, "spec", "nodeName");
    return node != NULL ? node : "";
}

static bool runs_on(const json_t *pod, const char *node)
{
    return strcmp(node_of(pod), node) == 0;
}

/* ---- pods ---- */

static bool has_any_reference(const json_t *pod, enum node_vertex wanted);

static bool check_owner(const struct write *write, const char *node, struct error *error)
{
    const json_t *owners = json_path(write->object, "metadata", "ownerReferences");
    const json_t *owner = json_array_get(owners, 0);
    if (json_array_size(owners) > 1) {
        return refuse(
            write, error,
            "node \"%s\" can only create pods with a single owner reference set to itself", node);
    }
    const char *version = json_get_string(owner, "apiVersion");
    const char *kind = json_get_string(owner, "kind"), *name = json_get_string(owner, "name");
    if (version == NULL || strcmp(version, "v1") != 0 || kind == NULL ||
        strcmp(kind, "Node") != 0 || name == NULL || strcmp(name, node) != 0) {
        return refuse(write, error,
                      "node \"%s\" can only create pods with an owner reference set to itself",
                      node);
    }
    if (!json_get_bool(owner, "controller", false)) {
        return refuse(write, error,
                      "node \"%s\" can only create pods with a controller owner reference set to "
                      "itself",
                      node);
    }
    if (json_get_bool(owner, "blockOwnerDeletion", false)) {
        return refuse(write, error,
                      "node \"%s\" must not set blockOwnerDeletion on an owner reference", node);
    }
    return true;
}

/* The owner is the node as it is now, not one of that name before it. */
static bool check_owner_uid(const struct write *write, const char *node, struct error *error)
{
    cleanup(object_release)
    struct object *object =
        registry_get(write->registry, registry_resource(write->registry, "", "nodes"), "", node);
    if (object == NULL) {
        return error_not_found(error, "", "nodes", node);
    }
    cleanup(json_release)
    json_t *tree = object_tree(object);
    const char *uid = json_path_string(tree, "metadata", "uid");
    const json_t *owners = json_path(write->object, "metadata", "ownerReferences");
    const char *given = json_get_string(json_array_get(owners, 0), "uid");
    return (given != NULL && strcmp(given, uid) == 0) ||
           refuse(write, error, "node %s UID mismatch: expected %s got %s", node,
                  given != NULL ? given : "", uid);
}

static bool check_references(const struct write *write, const char *node, struct error *error)
{
    static const struct {
        enum node_vertex type;
        const char *what;
    } kinds[] = {
        {NODE_SERVICE_ACCOUNT, "a service account"},
        {NODE_SECRET, "secrets"},
        {NODE_CONFIG_MAP, "configmaps"},
        {NODE_VOLUME_CLAIM, "persistentvolumeclaims"},
        {NODE_RESOURCE_CLAIM, "resourceclaims"},
    };
    for (size_t i = 0; i < array_length(kinds); i++) {
        if (has_any_reference(write->object, kinds[i].type)) {
            return refuse(write, error, "node \"%s\" can not create pods that reference %s", node,
                          kinds[i].what);
        }
    }
    size_t at;
    const json_t *volume;
    json_array_foreach (json_path(write->object, "spec", "volumes"), at, volume) {
        size_t i;
        const json_t *source;
        json_array_foreach (json_path(volume, "projected", "sources"), i, source) {
            if (json_object_get(source, "clusterTrustBundle") != NULL) {
                return refuse(write, error,
                              "node \"%s\" can not create pods that reference clustertrustbundles",
                              node);
            }
        }
    }
    return true;
}

static bool check_pod_create(const struct write *write, const char *node, struct error *error)
{
    const json_t *annotations = json_path(write->object, "metadata", "annotations");
    if (json_object_get(annotations, "kubernetes.io/config.mirror") == NULL) {
        return refuse(write, error,
                      "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"%s\" "
                      "can only create mirror pods",
                      node);
    }
    if (!runs_on(write->object, node)) {
        return refuse(write, error,
                      "node \"%s\" can only create pods with spec.nodeName set to itself", node);
    }
    return check_owner(write, node, error) && check_owner_uid(write, node, error) &&
           check_references(write, node, error);
}

static bool check_pod(const struct write *write, const char *node, struct error *error)
{
    switch (write->operation) {
    case WRITE_CREATE:
        return check_pod_create(write, node, error);
    case WRITE_DELETE:
        return runs_on(write->live, node) ||
               refuse(write, error,
                      "node \"%s\" can only delete pods with spec.nodeName set to itself", node);
    default:
        return refuse(write, error,
                      "unexpected operation \"UPDATE\", node \"%s\" can only create and delete "
                      "mirror pods",
                      node);
    }
}

/* Names and claims of a pod's resource claims are the same. */
static bool has_same_claims(const struct write *write)
{
    const json_t *before = json_path(write->live, "status", "resourceClaimStatuses");
    const json_t *after = json_path(write->object, "status", "resourceClaimStatuses");
    return (json_array_size(before) == 0 && json_array_size(after) == 0) ||
           json_equal(before, after);
}

static bool is_same_map(const json_t *one, const json_t *other)
{
    return (json_object_size(one) == 0 && json_object_size(other) == 0) || json_equal(one, other);
}

static bool check_pod_status(const struct write *write, const char *node, struct error *error)
{
    if (!runs_on(write->live, node)) {
        return refuse(write, error,
                      "node \"%s\" can only update pod status for pods with spec.nodeName set to "
                      "itself",
                      node);
    }
    if (!is_same_map(json_path(write->live, "metadata", "labels"),
                     json_path(write->object, "metadata", "labels"))) {
        return refuse(write, error, "node \"%s\" cannot update labels through pod status", node);
    }
    return has_same_claims(write) ||
           refuse(write, error, "node \"%s\" cannot update resource claim statues", node);
}

static bool check_pod_part(const struct write *write, const char *node, struct error *error)
{
    if (strcmp(write->subresource, "status") == 0) {
        return check_pod_status(write, node, error);
    }
    if (strcmp(write->subresource, "eviction") == 0) {
        return runs_on(write->live, node) ||
               refuse(write, error, "node %s can only evict pods with spec.nodeName set to itself",
                      node);
    }
    return write->subresource[0] == '\0'
               ? check_pod(write, node, error)
               : refuse(write, error,
                        "unexpected pod subresource \"%s\", only 'status' and 'eviction' are "
                        "allowed",
                        write->subresource);
}

struct reference_search {
    enum node_vertex wanted;
    bool found;
};

static void note_reference(void *argument, enum node_vertex type, const char *namespace,
                           const char *name)
{
    struct reference_search *search = argument;
    (void)namespace, (void)name;
    search->found = search->found || type == search->wanted;
}

/* A mirror pod is searched as any other. */
static bool has_any_reference(const json_t *pod, enum node_vertex wanted)
{
    struct reference_search search = {.wanted = wanted};
    node_references_of_tree(pod, note_reference, &search);
    return search.found;
}

/* ---- nodes ---- */

static bool ends_in(const char *text, size_t length, const char *domain)
{
    size_t tail = strlen(domain);
    return (length == tail && memcmp(text, domain, tail) == 0) ||
           (length > tail && text[length - tail - 1] == '.' &&
            memcmp(text + length - tail, domain, tail) == 0);
}

/* Labels that every kubelet sets. */
static bool is_of_kubelets(const char *label, size_t namespace_length)
{
    static const char *const known[] = {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    };
    for (size_t i = 0; i < array_length(known); i++) {
        if (strcmp(label, known[i]) == 0) {
            return true;
        }
    }
    return ends_in(label, namespace_length, "kubelet.kubernetes.io") ||
           ends_in(label, namespace_length, "node.kubernetes.io");
}

static bool is_forbidden_label(const char *label)
{
    const char *slash = strchr(label, '/');
    size_t length = slash != NULL ? (size_t)(slash - label) : 0;
    bool reserved = ends_in(label, length, "kubernetes.io") || ends_in(label, length, "k8s.io");
    return ends_in(label, length, "node-restriction.kubernetes.io") ||
           (reserved && !is_of_kubelets(label, length));
}

static int compare_texts(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* Appends the forbidden labels of which the two maps say different things, in order. */
static void find_forbidden(const json_t *one, const json_t *other, struct buffer *out)
{
    const char **labels =
        allocate_zero(json_object_size(one) + json_object_size(other) + 1, sizeof *labels);
    const json_t *maps[] = {one, other};
    size_t count = 0;
    for (size_t i = 0; i < array_length(maps); i++) {
        const char *label;
        const json_t *value;
        json_object_foreach ((json_t *)maps[i], label, value) {
            const json_t *opposite = json_object_get(maps[1 - i], label);
            bool listed = i == 1 && opposite != NULL;
            if (!listed && !(opposite != NULL && json_equal(value, opposite)) &&
                is_forbidden_label(label)) {
                labels[count++] = label;
            }
        }
    }
    if (count > 0) {
        qsort(labels, count, sizeof *labels, compare_texts);
    }
    for (size_t i = 0; i < count; i++) {
        buffer_addf(out, "%s%s", i > 0 ? ", " : "", labels[i]);
    }
    free(labels);
}

static bool check_node_update(const struct write *write, const char *node, struct error *error)
{
    const json_t *source = json_path(write->object, "spec", "configSource");
    if (source != NULL && !json_equal(source, json_path(write->live, "spec", "configSource"))) {
        return refuse(write, error,
                      "node \"%s\" is not allowed to update configSource to a new non-nil "
                      "configSource",
                      node);
    }
    const json_t *before = json_path(write->live, "spec", "taints");
    const json_t *after = json_path(write->object, "spec", "taints");
    if ((json_array_size(before) > 0 || json_array_size(after) > 0) &&
        !(before != NULL && after != NULL && json_equal(before, after))) {
        return refuse(write, error, "node \"%s\" is not allowed to modify taints", node);
    }
    cleanup(buffer_free)
    struct buffer labels = BUFFER_INIT;
    find_forbidden(json_path(write->object, "metadata", "labels"),
                   json_path(write->live, "metadata", "labels"), &labels);
    return labels.length == 0 ||
           refuse(write, error, "is not allowed to modify labels: %s", labels.bytes);
}

static bool check_node_create(const struct write *write, const char *node, struct error *error)
{
    if (json_path(write->object, "spec", "configSource") != NULL) {
        return refuse(write, error,
                      "node \"%s\" is not allowed to create pods with a non-nil configSource",
                      node);
    }
    cleanup(buffer_free)
    struct buffer labels = BUFFER_INIT;
    find_forbidden(json_path(write->object, "metadata", "labels"), NULL, &labels);
    return labels.length == 0 ||
           refuse(write, error, "node \"%s\" is not allowed to set the following labels: %s", node,
                  labels.bytes);
}

static bool check_node(const struct write *write, const char *node, struct error *error)
{
    if (strcmp(write->name, node) != 0) {
        return refuse(write, error, "node \"%s\" is not allowed to modify node \"%s\"", node,
                      write->name);
    }
    switch (write->operation) {
    case WRITE_CREATE:
        return check_node_create(write, node, error);
    case WRITE_UPDATE:
        return check_node_update(write, node, error);
    default:
        return true;
    }
}

/* ---- what belongs to a node ---- */

static bool check_claim(const struct write *write, const char *node, struct error *error)
{
    static const char *const free_fields[] = {"capacity", "conditions", "allocatedResourceStatuses",
                                              "allocatedResources"};
    if (strcmp(write->subresource, "status") != 0) {
        return refuse(write, error, "may only update PVC status");
    }
    cleanup(json_release)
    json_t *before = json_deep_copy(write->live);
    cleanup(json_release)
    json_t *after = json_deep_copy(write->object);
    json_t *both[] = {before, after};
    for (size_t i = 0; i < array_length(both); i++) {
        json_object_del(json_object_get(both[i], "metadata"), "resourceVersion");
        json_object_del(json_object_get(both[i], "metadata"), "managedFields");
        for (size_t k = 0; k < array_length(free_fields); k++) {
            json_object_del(json_object_get(both[i], "status"), free_fields[k]);
        }
    }
    return json_equal(before, after) ||
           refuse(write, error,
                  "node \"%s\" is not allowed to update fields other than status.quantity and "
                  "status.conditions",
                  node);
}

/* A token that a kubelet asks for is that of a pod on its node. */
static bool check_account(const struct write *write, const char *node, struct error *error)
{
    if (strcmp(write->subresource, "token") != 0) {
        return true;
    }
    const json_t *bound = json_path(write->object, "spec", "boundObjectRef");
    const char *version = json_get_string(bound, "apiVersion");
    const char *kind = json_get_string(bound, "kind"), *name = json_get_string(bound, "name");
    const char *uid = json_get_string(bound, "uid");
    if (version == NULL || strcmp(version, "v1") != 0 || kind == NULL || strcmp(kind, "Pod") != 0 ||
        name == NULL || name[0] == '\0') {
        return refuse(write, error, "node requested token not bound to a pod");
    }
    if (uid == NULL || uid[0] == '\0') {
        return refuse(write, error, "node requested token with a pod binding without a uid");
    }
    cleanup(object_release)
    struct object *object = registry_get(
        write->registry, registry_resource(write->registry, "", "pods"), write->namespace, name);
    if (object == NULL) {
        return error_not_found(error, "", "pods", name);
    }
    cleanup(json_release)
    json_t *pod = object_tree(object);
    if (strcmp(json_path_string(pod, "metadata", "uid"), uid) != 0) {
        return refuse(write, error,
                      "the UID in the bound object reference (%s) does not match the UID in "
                      "record. The object might have been deleted and then recreated",
                      uid);
    }
    return runs_on(pod, node) ||
           refuse(write, error,
                  "node requested token bound to a pod scheduled on a different node");
}

static bool check_lease(const struct write *write, const char *node, struct error *error)
{
    if (strcmp(write->namespace, "kube-node-lease") != 0) {
        return refuse(write, error,
                      "can only access leases in the \"kube-node-lease\" system namespace");
    }
    return strcmp(write->name, node) == 0 ||
           refuse(write, error,
                  "can only access node lease with the same name as the requesting node");
}

static bool check_csi_node(const struct write *write, const char *node, struct error *error)
{
    return strcmp(write->name, node) == 0 ||
           refuse(write, error,
                  "can only access CSINode with the same name as the requesting node");
}

static bool check_slice(const struct write *write, const char *node, struct error *error)
{
    if (write->operation == WRITE_CREATE && !runs_on(write->object, node)) {
        return refuse(
            write, error,
            "can only create ResourceSlice with the same NodeName as the requesting node");
    }
    if (write->operation == WRITE_DELETE && !runs_on(write->live, node)) {
        return refuse(
            write, error,
            "can only delete ResourceSlice with the same NodeName as the requesting node");
    }
    return true;
}

/* The CN that a certificate request in base64 of PEM asks for; the caller's, NULL if it can't be
 * read. */
static char *requested_name(const char *encoded)
{
    X509_REQ *request = certificate_request_read(encoded);
    char name[256] = "";
    if (request != NULL) {
        X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, name,
                                  sizeof name);
    }
    char *result = request != NULL ? duplicate(name) : NULL;
    X509_REQ_free(request);
    return result;
}

static bool check_certificate_request(const struct write *write, const char *node,
                                      struct error *error)
{
    const char *signer = json_path_string(write->object, "spec", "signerName");
    if (write->operation != WRITE_CREATE || signer == NULL ||
        (strcmp(signer, "kubernetes.io/kubelet-serving") != 0 &&
         strcmp(signer, "kubernetes.io/kube-apiserver-client-kubelet") != 0)) {
        return true;
    }
    cleanup(free_char)
    char *name = requested_name(json_path_string(write->object, "spec", "request"));
    cleanup(free_char)
    char *expected = format("system:node:%s", node);
    if (name == NULL) {
        return refuse(write, error, "unable to parse csr");
    }
    return strcmp(name, expected) == 0 ||
           refuse(write, error, "can only create a node CSR with CN=%s", expected);
}

/* ---- the plugin ---- */

static const struct {
    const char *group, *plural;
    bool (*check)(const struct write *write, const char *node, struct error *error);
} checks[] = {
    {"", "pods", check_pod_part},
    {"", "nodes", check_node},
    {"", "persistentvolumeclaims", check_claim},
    {"", "serviceaccounts", check_account},
    {"coordination.k8s.io", "leases", check_lease},
    {"storage.k8s.io", "csinodes", check_csi_node},
    {"resource.k8s.io", "resourceslices", check_slice},
    {"certificates.k8s.io", "certificatesigningrequests", check_certificate_request},
};

static bool check(const struct write *write, struct error *error)
{
    const char *node;
    if (!node_identity(&write->request->user, &node)) {
        return true;
    }
    if (node[0] == '\0') {
        return refuse(write, error, "could not determine node from user \"%s\"",
                      write->request->user.name);
    }
    for (size_t i = 0; i < array_length(checks); i++) {
        if (strcmp(write->storage->plural, checks[i].plural) == 0 &&
            strcmp(write->storage->group, checks[i].group) == 0) {
            return checks[i].check(write, node, error);
        }
    }
    return true;
}

/* What a client wrote, before others add to it. */
static bool admit(struct write *write, struct error *error)
{
    return check(write, error);
}

/* What never comes to be changed: deletes, evictions and tokens. */
static bool validate(const struct write *write, struct error *error)
{
    bool admitted = write->operation != WRITE_DELETE &&
                    strcmp(write->subresource, "eviction") != 0 &&
                    strcmp(write->subresource, "token") != 0;
    return admitted || check(write, error);
}

const struct admission_plugin admission_node_restriction = {
    .name = "NodeRestriction",
    .is_on_by_default = true,
    .admit = admit,
    .validate = validate,
};
