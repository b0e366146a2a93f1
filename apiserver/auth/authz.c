// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/authz.h"

#include <string.h>

#include "apiserver/auth/node_authorizer.h"
#include "apiserver/auth/rbac.h"
#include "apiserver/auth/webhook_authorizer.h"
#include "common/alloc.h"
#include "common/json.h"

enum mode { MODE_ALWAYS_ALLOW, MODE_ALWAYS_DENY, MODE_NODE, MODE_RBAC, MODE_WEBHOOK, MODE_COUNT };

static const char *const mode_names[MODE_COUNT] = {"AlwaysAllow", "AlwaysDeny", "Node", "RBAC",
                                                   "Webhook"};

enum { waiting_workers = 16 };

struct authz {
    enum mode modes[MODE_COUNT]; /* In the order in which they are asked. */
    size_t mode_count;
    struct rbac *rbac;
    struct node_authorizer *nodes;      /* NULL unless it is among the modes. */
    struct webhook_authorizer *webhook; /* The same. */
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
        return error_bad_request(error, "authorization-mode \"%.*s\" is not a valid mode",
                                 (int)length, name);
    }
    if (has_mode(authz, (enum mode)mode)) {
        return error_bad_request(
            error, "authorization-mode \"%s\" has mode specified more than once", mode_names[mode]);
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
           error_bad_request(error, "at least one authorization-mode must be passed");
}

bool authz_check_options(const struct authz_options *options, struct error *error)
{
    struct authz authz = {0};
    if (!parse_modes(&authz, options->modes, error)) {
        return false;
    }
    if (has_mode(&authz, MODE_WEBHOOK) != (options->webhook_config_file != NULL)) {
        return options->webhook_config_file != NULL
                   ? error_bad_request(error, "cannot specify --authorization-webhook-config-file "
                                              "without mode Webhook")
                   : error_bad_request(error, "authorization-mode Webhook's authorization config "
                                              "file not passed");
    }
    return strcmp(options->webhook_version, "v1") == 0 ||
           strcmp(options->webhook_version, "v1beta1") == 0 ||
           error_bad_request(error, "--authorization-webhook-version must be v1 or v1beta1");
}

/* What the modes need. */
static bool open_authorizers(struct authz *authz, const struct authz_options *options,
                             struct error *error)
{
    return (!has_mode(authz, MODE_NODE) || (authz->nodes = node_authorizer_new(error)) != NULL) &&
           (!has_mode(authz, MODE_WEBHOOK) ||
            (authz->webhook = webhook_authorizer_new(options, error)) != NULL);
}

struct authz *authz_open(const struct authz_options *options, struct cache *cache,
                         const struct scheme *scheme, struct error *error)
{
    struct authz *authz = allocate_struct(struct authz);
    if (!parse_modes(authz, options->modes, error) || !open_authorizers(authz, options, error)) {
        authz_free(authz);
        return NULL;
    }
    authz->rbac = rbac_new();
    rbac_follow(authz->rbac, cache, scheme);
    if (authz->nodes != NULL) {
        node_graph_follow(node_authorizer_graph(authz->nodes), cache, scheme);
    }
    return authz;
}

void authz_free(struct authz *authz)
{
    if (authz != NULL) {
        rbac_free(authz->rbac);
        node_authorizer_free(authz->nodes);
        webhook_authorizer_free(authz->webhook);
        free(authz);
    }
}

unsigned authz_workers(const struct authz *authz)
{
    return authz->webhook != NULL ? waiting_workers : 0;
}

struct rbac *authz_rbac(struct authz *authz)
{
    return authz->rbac;
}

/* ---- decisions ---- */

static enum authz_decision ask(struct authz *authz, enum mode mode,
                               const struct authz_attributes *attributes, struct buffer *reason,
                               struct error *error)
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
    case MODE_WEBHOOK:
        return webhook_authorizer_decide(authz->webhook, attributes, reason, error);
    default:
        return rbac_decide(authz->rbac, attributes, reason);
    }
}

enum authz_decision authz_decide(struct authz *authz, const struct authz_attributes *attributes,
                                 struct buffer *reason, struct error *error)
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
            ask(authz, authz->modes[i], attributes, reason != NULL ? &one : NULL, error);
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
        case MODE_WEBHOOK:
            add_problem(problems, "webhook authorizer does not support user rule resolution");
            complete = false;
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

/* What there is to say about a decision; whoever may not is told why. */
static enum authorization conclude(const struct authz_attributes *attributes,
                                   enum authz_decision decision, const struct buffer *reason,
                                   struct error *why, struct error *error)
{
    if (decision == AUTHZ_ALLOW) {
        return AUTHORIZATION_GRANTED;
    }
    if (decision == AUTHZ_BLOCKS) {
        return AUTHORIZATION_BLOCKS;
    }
    if (error_is_set(why)) {
        error_set(error, 500, "InternalError", "Internal Server Error: %s", why->message);
    } else {
        refuse(attributes, reason, error);
    }
    return AUTHORIZATION_REFUSED;
}

static enum authorization check(struct authz *authz, const struct authz_attributes *attributes,
                                struct buffer *told, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    /* Reasons cost time; they are asked for when they are needed, which is seldom. */
    bool asks_reason = authz->webhook != NULL || told != NULL;
    enum authz_decision decision =
        authz_decide(authz, attributes, asks_reason ? &reason : NULL, &why);
    if (!asks_reason && decision == AUTHZ_NO_OPINION) {
        error_clear(&why);
        decision = authz_decide(authz, attributes, &reason, &why);
    }
    if (told != NULL) {
        buffer_add_text(told, buffer_text(&reason));
    }
    return conclude(attributes, decision, &reason, &why, error);
}

bool authz_check(struct authz *authz, const struct authz_attributes *attributes,
                 struct error *error)
{
    return check(authz, attributes, NULL, error) == AUTHORIZATION_GRANTED;
}

enum authorization authz_check_request(struct authz *authz, const struct request *request,
                                       bool may_block, struct buffer *told, struct error *error)
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
        .no_wait = !may_block,
    };
    if (strcmp(info->verb, "list") == 0 || strcmp(info->verb, "watch") == 0 ||
        strcmp(info->verb, "deletecollection") == 0) {
        attributes.field_selector = request_parameter(request, "fieldSelector");
        attributes.label_selector = request_parameter(request, "labelSelector");
    }
    return check(authz, &attributes, told, error);
}
