// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/node_authorizer.h"

#include <string.h>

#include "apiserver/auth/policy.h"
#include "apiserver/auth/rbac_rule.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/selector.h"

struct node_authorizer {
    struct node_graph *graph;
    struct rbac_rules rules; /* Of the cluster role system:node. */
};

/* One question of a kubelet. */
struct node_question {
    struct node_authorizer *authorizer;
    const char *node;
    const struct authz_attributes *attributes;
    struct buffer *reason;
};

/* ---- life ---- */

static bool take_rules(struct node_authorizer *authorizer, struct error *error)
{
    cleanup(json_release)
    json_t *objects = policy_objects(error);
    size_t i;
    const json_t *object;
    json_array_foreach (objects, i, object) {
        if (strcmp(json_get_string(object, "kind"), "ClusterRole") == 0 &&
            strcmp(json_path_string(object, "metadata", "name"), "system:node") == 0) {
            rbac_rules_compile(&authorizer->rules, json_object_get(object, "rules"));
        }
    }
    return objects != NULL;
}

struct node_authorizer *node_authorizer_new(struct error *error)
{
    struct node_authorizer *authorizer = allocate_struct(struct node_authorizer);
    if (!take_rules(authorizer, error)) {
        node_authorizer_free(authorizer);
        return NULL;
    }
    authorizer->graph = node_graph_new();
    return authorizer;
}

struct node_graph *node_authorizer_graph(struct node_authorizer *authorizer)
{
    return authorizer->graph;
}

void node_authorizer_free(struct node_authorizer *authorizer)
{
    if (authorizer != NULL) {
        node_graph_free(authorizer->graph);
        rbac_rules_clear(&authorizer->rules);
        free(authorizer);
    }
}

/* ---- answers ---- */

static enum authz_decision refuse(const struct node_question *question, const char *text, ...)
    __attribute__((format(printf, 2, 3)));

static enum authz_decision refuse(const struct node_question *question, const char *text, ...)
{
    if (question->reason != NULL) {
        va_list arguments;
        va_start(arguments, text);
        cleanup(free_char)
        char *reason = format_list(text, arguments);
        va_end(arguments);
        buffer_add_text(question->reason, reason);
    }
    return AUTHZ_NO_OPINION;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(text, ...) is_one_of((text), (const char *const[]){__VA_ARGS__, NULL})

static enum authz_decision check_related(const struct node_question *question,
                                         enum node_vertex type)
{
    const struct authz_attributes *attributes = question->attributes;
    if (attributes->name[0] == '\0') {
        return refuse(question, "No Object name found");
    }
    return node_graph_has(question->authorizer->graph, question->node, type, attributes->namespace,
                          attributes->name)
               ? AUTHZ_ALLOW
               : refuse(question, "no relationship found between node '%s' and this object",
                        question->node);
}

/* The field selector leaves what belongs to the node alone. */
static bool selects_own(const struct node_question *question, const char *field)
{
    const char *text = question->attributes->field_selector;
    struct selector *selector = text != NULL ? selector_parse_fields(text, NULL) : NULL;
    const char *value = selector != NULL ? selector_required_value(selector, field) : NULL;
    bool own = value != NULL && strcmp(value, question->node) == 0;
    selector_free(selector);
    return own;
}

/* ---- resources ---- */

static enum authz_decision ask_read_namespaced(const struct node_question *question,
                                               enum node_vertex type)
{
    const struct authz_attributes *attributes = question->attributes;
    if (!IS_ONE_OF(attributes->verb, "get", "list", "watch")) {
        return refuse(question, "can only read resources of this type");
    }
    if (attributes->subresource[0] != '\0') {
        return refuse(question, "cannot read subresource");
    }
    if (attributes->namespace[0] == '\0') {
        return refuse(question, "can only read namespaced object of this type");
    }
    return check_related(question, type);
}

static enum authz_decision ask_get(const struct node_question *question, enum node_vertex type)
{
    if (strcmp(question->attributes->verb, "get") != 0) {
        return refuse(question, "can only get individual resources of this type");
    }
    if (question->attributes->subresource[0] != '\0') {
        return refuse(question, "cannot get subresource");
    }
    return check_related(question, type);
}

static enum authz_decision ask_volume_claim(const struct node_question *question,
                                            enum node_vertex type)
{
    if (strcmp(question->attributes->subresource, "status") != 0) {
        return ask_get(question, type);
    }
    return IS_ONE_OF(question->attributes->verb, "update", "patch")
               ? check_related(question, type)
               : refuse(question, "can only get/update/patch this type");
}

static enum authz_decision ask_account(const struct node_question *question, enum node_vertex type)
{
    const struct authz_attributes *attributes = question->attributes;
    if (strcmp(attributes->verb, "get") == 0 && attributes->subresource[0] == '\0') {
        return check_related(question, type);
    }
    if (strcmp(attributes->verb, "create") != 0 || attributes->name[0] == '\0') {
        return refuse(question, "can only create tokens for individual service accounts");
    }
    if (strcmp(attributes->subresource, "token") != 0) {
        return refuse(question, "can only create token subresource of serviceaccount");
    }
    return check_related(question, type);
}

static enum authz_decision ask_lease(const struct node_question *question, enum node_vertex type)
{
    (void)type;
    const struct authz_attributes *attributes = question->attributes;
    if (!IS_ONE_OF(attributes->verb, "get", "create", "update", "patch", "delete")) {
        return refuse(question, "can only get, create, update, patch, or delete a node lease");
    }
    if (strcmp(attributes->namespace, "kube-node-lease") != 0) {
        return refuse(question,
                      "can only access leases in the \"kube-node-lease\" system namespace");
    }
    if (strcmp(attributes->verb, "create") != 0 && strcmp(attributes->name, question->node) != 0) {
        return refuse(question,
                      "can only access node lease with the same name as the requesting node");
    }
    return AUTHZ_ALLOW;
}

/* What a node uses, it says itself. */
static enum authz_decision ask_report(const struct node_question *question, enum node_vertex type)
{
    (void)type;
    const struct authz_attributes *attributes = question->attributes;
    if (strcmp(attributes->verb, "update") != 0 || attributes->subresource[0] != '\0') {
        return refuse(question, "can only update a node report");
    }
    return strcmp(attributes->name, question->node) == 0
               ? AUTHZ_ALLOW
               : refuse(
                     question,
                     "can only update the node report with the same name as the requesting node");
}

static enum authz_decision ask_csi_node(const struct node_question *question, enum node_vertex type)
{
    (void)type;
    const struct authz_attributes *attributes = question->attributes;
    if (!IS_ONE_OF(attributes->verb, "get", "create", "update", "patch", "delete")) {
        return refuse(question, "can only get, create, update, patch, or delete a CSINode");
    }
    if (attributes->subresource[0] != '\0') {
        return refuse(question, "cannot authorize CSINode subresources");
    }
    if (strcmp(attributes->verb, "create") != 0 && strcmp(attributes->name, question->node) != 0) {
        return refuse(question,
                      "can only access CSINode with the same name as the requesting node");
    }
    return AUTHZ_ALLOW;
}

static enum authz_decision ask_slice(const struct node_question *question, enum node_vertex type)
{
    const char *verb = question->attributes->verb;
    if (question->attributes->subresource[0] != '\0') {
        return refuse(question, "cannot authorize ResourceSlice subresources");
    }
    if (strcmp(verb, "create") == 0) {
        return AUTHZ_ALLOW;
    }
    if (IS_ONE_OF(verb, "get", "update", "patch", "delete")) {
        return check_related(question, type);
    }
    if (!IS_ONE_OF(verb, "watch", "list", "deletecollection")) {
        return refuse(question, "only the following verbs are allowed for a ResourceSlice: get, "
                                "watch, list, create, update, patch, delete, deletecollection");
    }
    return selects_own(question, "spec.nodeName")
               ? AUTHZ_ALLOW
               : refuse(question, "can only list/watch/deletecollection resourceslices with "
                                  "nodeName field selector");
}

static enum authz_decision ask_node(const struct node_question *question, enum node_vertex type)
{
    (void)type;
    const struct authz_attributes *attributes = question->attributes;
    bool itself = attributes->subresource[0] == '\0';
    if (itself && IS_ONE_OF(attributes->verb, "create", "update", "patch")) {
        return AUTHZ_ALLOW;
    }
    if (itself && IS_ONE_OF(attributes->verb, "get", "list", "watch")) {
        if (strcmp(attributes->name, question->node) == 0) {
            return AUTHZ_ALLOW;
        }
        return attributes->name[0] == '\0'
                   ? refuse(question, "node '%s' cannot read all nodes, only its own Node object",
                            question->node)
                   : refuse(question, "node '%s' cannot read '%s', only its own Node object",
                            question->node, attributes->name);
    }
    return strcmp(attributes->subresource, "status") == 0 &&
                   IS_ONE_OF(attributes->verb, "update", "patch")
               ? AUTHZ_ALLOW
               : AUTHZ_NO_OPINION;
}

static enum authz_decision ask_list_of_pods(const struct node_question *question,
                                            enum node_vertex type)
{
    if (selects_own(question, "spec.nodeName")) {
        return AUTHZ_ALLOW;
    }
    return question->attributes->name[0] != '\0'
               ? check_related(question, type)
               : refuse(question, "can only list/watch pods with spec.nodeName field selector");
}

static enum authz_decision ask_pod(const struct node_question *question, enum node_vertex type)
{
    const char *verb = question->attributes->verb;
    const char *subresource = question->attributes->subresource;
    if (subresource[0] == '\0' && strcmp(verb, "get") == 0) {
        return ask_get(question, type);
    }
    if (subresource[0] == '\0' && IS_ONE_OF(verb, "list", "watch")) {
        return ask_list_of_pods(question, type);
    }
    bool allowed = (subresource[0] == '\0' && IS_ONE_OF(verb, "create", "delete")) ||
                   (strcmp(subresource, "status") == 0 && IS_ONE_OF(verb, "update", "patch")) ||
                   (strcmp(subresource, "eviction") == 0 && strcmp(verb, "create") == 0);
    return allowed ? AUTHZ_ALLOW : AUTHZ_NO_OPINION;
}

static const struct {
    const char *group, *plural;
    enum node_vertex type; /* Where it says something. */
    enum authz_decision (*ask)(const struct node_question *question, enum node_vertex type);
} resources[] = {
    {"", "secrets", NODE_SECRET, ask_read_namespaced},
    {"", "configmaps", NODE_CONFIG_MAP, ask_read_namespaced},
    {"", "persistentvolumeclaims", NODE_VOLUME_CLAIM, ask_volume_claim},
    {"", "persistentvolumes", NODE_VOLUME, ask_get},
    {"resource.k8s.io", "resourceclaims", NODE_RESOURCE_CLAIM, ask_get},
    {"storage.k8s.io", "volumeattachments", NODE_ATTACHMENT, ask_get},
    {"", "serviceaccounts", NODE_SERVICE_ACCOUNT, ask_account},
    {"coordination.k8s.io", "leases", NODE_POD, ask_lease},
    {"storage.k8s.io", "csinodes", NODE_POD, ask_csi_node},
    {"metrics.coracle.io", "nodereports", NODE_POD, ask_report},
    {"resource.k8s.io", "resourceslices", NODE_SLICE, ask_slice},
    {"", "nodes", NODE_POD, ask_node},
    {"", "pods", NODE_POD, ask_pod},
};

/* ---- the decision ---- */

bool node_identity(const struct user *user, const char **node)
{
    static const char prefix[] = "system:node:";
    if (strncmp(user->name, prefix, sizeof prefix - 1) != 0 ||
        !user_in_group(user, "system:nodes")) {
        return false;
    }
    *node = user->name + sizeof prefix - 1;
    return true;
}

static enum authz_decision ask_rules(const struct node_question *question)
{
    const struct authz_attributes *attributes = question->attributes;
    cleanup(free_char)
    char *resource = NULL;
    struct rbac_question asked = {.verb = attributes->verb};
    if (attributes->is_resource) {
        resource = attributes->subresource[0]
                       ? format("%s/%s", attributes->resource, attributes->subresource)
                       : duplicate(attributes->resource);
        asked.group = attributes->group;
        asked.resource = resource;
        asked.subresource = attributes->subresource;
        asked.name = attributes->name;
    } else {
        asked.path = attributes->path;
    }
    rbac_question_prepare(&asked);
    const struct rbac_rules *rules = &question->authorizer->rules;
    for (size_t i = 0; i < rules->count; i++) {
        if (rbac_rule_allows(&rules->list[i], &asked)) {
            return AUTHZ_ALLOW;
        }
    }
    return AUTHZ_NO_OPINION;
}

enum authz_decision node_authorizer_decide(struct node_authorizer *authorizer,
                                           const struct authz_attributes *attributes,
                                           struct buffer *reason)
{
    struct node_question question = {
        .authorizer = authorizer, .attributes = attributes, .reason = reason};
    if (!node_identity(attributes->user, &question.node)) {
        return AUTHZ_NO_OPINION;
    }
    if (question.node[0] == '\0') {
        return refuse(&question, "unknown node for user \"%s\"", attributes->user->name);
    }
    for (size_t i = 0; attributes->is_resource && i < array_length(resources); i++) {
        if (strcmp(attributes->resource, resources[i].plural) == 0 &&
            strcmp(attributes->group, resources[i].group) == 0) {
            return resources[i].ask(&question, resources[i].type);
        }
    }
    return ask_rules(&question);
}
