// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/authz.h"

#include <string.h>

#include "apiserver/auth/authz_plan.h"
#include "apiserver/auth/node_authorizer.h"
#include "apiserver/auth/rbac.h"
#include "common/alloc.h"
#include "common/json.h"

enum { waiting_workers = 16 };

struct step {
    enum authz_mode mode;
    struct webhook_authorizer *webhook; /* Of MODE_WEBHOOK. */
};

struct authz {
    struct step steps[authz_steps_max]; /* In the order in which they are asked. */
    size_t step_count;
    bool may_wait; /* There is a webhook. */
    struct rbac *rbac;
    struct node_authorizer *nodes; /* NULL unless it is among the steps. */
};

/* ---- life ---- */

bool authz_check_options(const struct authz_options *options, struct error *error)
{
    cleanup(authz_plan_clear)
    struct authz_plan plan;
    return authz_plan_make(&plan, options, error);
}

static bool open_steps(struct authz *authz, const struct authz_plan *plan,
                       const atomic_bool *stopping, struct error *error)
{
    authz->may_wait = authz_plan_has(plan, MODE_WEBHOOK);
    for (size_t i = 0; i < plan->count; i++) {
        struct step *step = &authz->steps[authz->step_count++];
        step->mode = plan->steps[i].mode;
        if (step->mode == MODE_WEBHOOK && (step->webhook = webhook_authorizer_new(
                                               &plan->steps[i].webhook, stopping, error)) == NULL) {
            return false;
        }
    }
    return !authz_plan_has(plan, MODE_NODE) || (authz->nodes = node_authorizer_new(error)) != NULL;
}

struct authz *authz_open(const struct authz_options *options, struct cache *cache,
                         const struct scheme *scheme, struct error *error)
{
    struct authz *authz = allocate_struct(struct authz);
    cleanup(authz_plan_clear)
    struct authz_plan plan;
    if (!authz_plan_make(&plan, options, error) ||
        !open_steps(authz, &plan, options->stopping, error)) {
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
        for (size_t i = 0; i < authz->step_count; i++) {
            webhook_authorizer_free(authz->steps[i].webhook);
        }
        free(authz);
    }
}

unsigned authz_workers(const struct authz *authz)
{
    return authz->may_wait ? waiting_workers : 0;
}

struct rbac *authz_rbac(struct authz *authz)
{
    return authz->rbac;
}

/* ---- decisions ---- */

static enum authz_decision ask(struct authz *authz, const struct step *step,
                               const struct authz_attributes *attributes, struct buffer *reason,
                               struct error *error)
{
    switch (step->mode) {
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
        return webhook_authorizer_decide(step->webhook, attributes, reason, error);
    default:
        return rbac_decide(authz->rbac, attributes, reason);
    }
}

/* What went wrong counts for whoever has decided alone, or while nobody has. */
static void keep_error(struct error *error, struct error *why, bool decides)
{
    if (error != NULL && decides) {
        error_clear(error);
    }
    if (error != NULL && error_is_set(why) && !error_is_set(error)) {
        error_move(error, why);
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
    for (size_t i = 0; i < authz->step_count; i++) {
        cleanup(buffer_free)
        struct buffer one = BUFFER_INIT;
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        enum authz_decision decision =
            ask(authz, &authz->steps[i], attributes, reason != NULL ? &one : NULL, &why);
        if (decision != AUTHZ_NO_OPINION) {
            if (reason != NULL) {
                buffer_add_text(reason, buffer_text(&one));
            }
            keep_error(error, &why, true);
            return decision;
        }
        keep_error(error, &why, false);
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
    for (size_t i = 0; i < authz->step_count; i++) {
        switch (authz->steps[i].mode) {
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
    bool asks_reason = authz->may_wait || told != NULL;
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
