// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/authz.h"

#include <string.h>

#include "apiserver/auth/node_authorizer.h"
#include "apiserver/auth/rbac.h"
#include "common/alloc.h"
#include "common/json.h"

enum mode { MODE_ALWAYS_ALLOW, MODE_ALWAYS_DENY, MODE_NODE, MODE_RBAC, MODE_COUNT };

static const char *const mode_names[MODE_COUNT] = {"AlwaysAllow", "AlwaysDeny", "Node", "RBAC"};

struct authz {
    enum mode modes[MODE_COUNT]; /* In the order in which they are asked. */
    size_t mode_count;
    struct rbac *rbac;
    struct node_authorizer *nodes; /* NULL unless it is among the modes. */
};

/* ---- modes ---- */

static bool has_mode(const struct authz *authz, enum mode mode)
{
    for (size_t i = 0; i < authz->mode_count; i++) {
        if (authz->modes[i] == mode) {
            return true;
        }
    }
    return false;
}

static bool add_mode(struct authz *authz, const char *name, size_t length, struct error *error)
{
    size_t mode = 0;
    while (mode < MODE_COUNT &&
           (strlen(mode_names[mode]) != length || memcmp(mode_names[mode], name, length) != 0)) {
        mode++;
    }
    if (mode == MODE_COUNT) {
        return error_bad_request(error, "--authorization-mode: \"%.*s\" is no mode", (int)length,
                                 name);
    }
    if (has_mode(authz, (enum mode)mode)) {
        return error_bad_request(error, "--authorization-mode names %s twice", mode_names[mode]);
    }
    authz->modes[authz->mode_count++] = (enum mode)mode;
    return true;
}

static bool parse_modes(struct authz *authz, const char *list, struct error *error)
{
    for (const char *name = list; *name != '\0';) {
        size_t length = strcspn(name, ",");
        if (!add_mode(authz, name, length, error)) {
            return false;
        }
        name += length + (name[length] == ',');
    }
    return authz->mode_count > 0 ||
           error_bad_request(error, "--authorization-mode needs at least one mode");
}

struct authz *authz_open(const struct authz_options *options, struct cache *cache,
                         const struct scheme *scheme, struct error *error)
{
    struct authz *authz = allocate_struct(struct authz);
    if (!parse_modes(authz, options->modes, error)) {
        authz_free(authz);
        return NULL;
    }
    authz->rbac = rbac_new();
    rbac_follow(authz->rbac, cache, scheme);
    if (has_mode(authz, MODE_NODE)) {
        authz->nodes = node_authorizer_new(error);
        if (authz->nodes == NULL) {
            authz_free(authz);
            return NULL;
        }
        node_graph_follow(node_authorizer_graph(authz->nodes), cache, scheme);
    }
    return authz;
}

void authz_free(struct authz *authz)
{
    if (authz != NULL) {
        rbac_free(authz->rbac);
        node_authorizer_free(authz->nodes);
        free(authz);
    }
}

struct rbac *authz_rbac(struct authz *authz)
{
    return authz->rbac;
}

/* ---- decisions ---- */

static enum authz_decision ask(struct authz *authz, enum mode mode,
                               const struct authz_attributes *attributes, struct buffer *reason)
{
    switch (mode) {
    case MODE_ALWAYS_ALLOW:
        return AUTHZ_ALLOW;
    case MODE_ALWAYS_DENY:
        if (reason != NULL) {
            buffer_add_literal(reason, "Everything is forbidden.");
        }
        return AUTHZ_NO_OPINION;
    case MODE_NODE:
        return node_authorizer_decide(authz->nodes, attributes, reason);
    default:
        return rbac_decide(authz->rbac, attributes, reason);
    }
}

enum authz_decision authz_decide(struct authz *authz, const struct authz_attributes *attributes,
                                 struct buffer *reason)
{
    if (user_in_group(attributes->user, "system:masters")) {
        return AUTHZ_ALLOW;
    }
    cleanup(buffer_free)
    struct buffer reasons = BUFFER_INIT;
    for (size_t i = 0; i < authz->mode_count; i++) {
        cleanup(buffer_free)
        struct buffer one = BUFFER_INIT;
        enum authz_decision decision =
            ask(authz, authz->modes[i], attributes, reason != NULL ? &one : NULL);
        if (decision != AUTHZ_NO_OPINION) {
            if (reason != NULL) {
                buffer_add_text(reason, buffer_text(&one));
            }
            return decision;
        }
        if (one.length > 0) {
            buffer_addf(&reasons, "%s%s", reasons.length > 0 ? "\n" : "", buffer_text(&one));
        }
    }
    if (reason != NULL) {
        buffer_add_text(reason, buffer_text(&reasons));
    }
    return AUTHZ_NO_OPINION;
}

static void add_everything(struct rbac_rules *rules)
{
    cleanup(json_release)
    json_t *all = json_pack("[{s:[s], s:[s], s:[s]}, {s:[s], s:[s]}]", "verbs", "*", "apiGroups",
                            "*", "resources", "*", "verbs", "*", "nonResourceURLs", "*");
    rbac_rules_compile(rules, all);
}

static void add_problem(struct buffer *problems, const char *text)
{
    buffer_addf(problems, "%s%s", problems->length > 0 ? ", " : "", text);
}

bool authz_rules_for(struct authz *authz, const struct user *user, const char *namespace,
                     struct rbac_rules *rules, struct buffer *problems)
{
    bool complete = true;
    const char *node;
    for (size_t i = 0; i < authz->mode_count; i++) {
        switch (authz->modes[i]) {
        case MODE_ALWAYS_ALLOW:
            add_everything(rules);
            break;
        case MODE_NODE:
            if (node_identity(user, &node)) {
                add_problem(problems, "node authorizer does not support user rule resolution");
                complete = false;
            }
            break;
        case MODE_RBAC:
            rbac_rules_for(authz->rbac, user, namespace, rules, problems);
            break;
        default:
            break;
        }
    }
    return complete;
}

/* ---- refusals ---- */

static void describe(const struct authz_attributes *attributes, struct buffer *out)
{
    buffer_add_literal(out, "User ");
    buffer_add_quoted(out, attributes->user->name);
    buffer_addf(out, " cannot %s ", attributes->verb);
    if (!attributes->is_resource) {
        buffer_add_literal(out, "path ");
        buffer_add_quoted(out, attributes->path);
        return;
    }
    cleanup(free_char)
    char *resource = attributes->subresource[0]
                         ? format("%s/%s", attributes->resource, attributes->subresource)
                         : duplicate(attributes->resource);
    buffer_add_literal(out, "resource ");
    buffer_add_quoted(out, resource);
    buffer_add_literal(out, " in API group ");
    buffer_add_quoted(out, attributes->group);
    if (attributes->namespace[0] != '\0') {
        buffer_add_literal(out, " in the namespace ");
        buffer_add_quoted(out, attributes->namespace);
    } else {
        buffer_add_literal(out, " at the cluster scope");
    }
}

/* Browsers might show it: upstream makes markup harmless. */
static void make_harmless(struct buffer *message)
{
    struct buffer harmless = BUFFER_INIT;
    for (const char *c = buffer_text(message); *c != '\0'; c++) {
        if (*c == '&') {
            buffer_add_literal(&harmless, "&amp;");
        } else if (*c == '<') {
            buffer_add_literal(&harmless, "&lt;");
        } else if (*c == '>') {
            buffer_add_literal(&harmless, "&gt;");
        } else {
            buffer_add_char(&harmless, *c);
        }
    }
    buffer_free(message);
    *message = harmless;
}

static bool refuse(const struct authz_attributes *attributes, const struct buffer *reason,
                   struct error *error)
{
    cleanup(buffer_free)
    struct buffer message = BUFFER_INIT;
    describe(attributes, &message);
    make_harmless(&message);
    if (reason->length > 0) {
        buffer_addf(&message, ": %s", reason->bytes);
    }
    return attributes->is_resource
               ? error_forbidden(error, attributes->group, attributes->resource, attributes->name,
                                 "%s", message.bytes)
               : error_set(error, 403, "Forbidden", "forbidden: %s", message.bytes);
}

bool authz_check(struct authz *authz, const struct authz_attributes *attributes,
                 struct error *error)
{
    if (authz_decide(authz, attributes, NULL) == AUTHZ_ALLOW) {
        return true;
    }
    /* Reasons cost time; they are asked for when they are needed, which is seldom. */
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    return authz_decide(authz, attributes, &reason) == AUTHZ_ALLOW ||
           refuse(attributes, &reason, error);
}

bool authz_check_request(struct authz *authz, const struct request *request, struct error *error)
{
    const struct request_info *info = &request->info;
    struct authz_attributes attributes = {
        .user = &request->user,
        .verb = info->verb,
        .is_resource = info->is_resource_request,
        .group = info->group,
        .version = info->version,
        .resource = info->plural,
        .subresource = info->subresource,
        .namespace = info->namespace,
        .name = info->name,
        .path = request->path,
        .field_selector = request_parameter(request, "fieldSelector"),
    };
    return authz_check(authz, &attributes, error);
}
