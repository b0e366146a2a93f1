// SPDX-License-Identifier: Apache-2.0
/* What users may do, and all that they hold, by the index. */
#include <string.h>

#include "apiserver/auth/rbac_index.h"
#include "common/alloc.h"

enum { holders_few = 16 };

/* What is called for each place of a user that counts in a namespace; false ends the visit. */
typedef bool (*place_visitor)(void *argument, const struct place *place);

static bool visit_range(const struct holder *holder, const char *namespace, place_visitor visit,
                        void *argument)
{
    for (size_t i = rbac_first_place(holder, namespace); i < holder->count; i++) {
        if (strcmp(holder->places[i].binding->namespace, namespace) != 0) {
            break;
        }
        if (!visit(argument, &holder->places[i])) {
            return false;
        }
    }
    return true;
}

/* Those of the user and of the groups; a name is looked up once. */
struct holders {
    const struct holder *few[holders_few], **all;
    size_t count;
};

static void find_holders(const struct rbac *rbac, const struct user *user, struct holders *holders)
{
    holders->all = user->group_count < holders_few
                       ? holders->few
                       : allocate_zero(user->group_count + 1, sizeof *holders->all);
    const struct holder *holder = map_get(&rbac->users, user->name);
    for (size_t i = 0; i <= user->group_count; i++) {
        if (holder != NULL) {
            holders->all[holders->count++] = holder;
        }
        holder = i < user->group_count ? map_get(&rbac->groups, user->groups[i]) : NULL;
    }
}

static bool visit_holders(const struct holders *holders, const char *namespace, place_visitor visit,
                          void *argument)
{
    for (size_t i = 0; i < holders->count; i++) {
        if (!visit_range(holders->all[i], namespace, visit, argument)) {
            return false;
        }
    }
    return true;
}

/* With the lock held: the bindings of the cluster, then those of the namespace. */
static void visit_places(const struct rbac *rbac, const struct user *user, const char *namespace,
                         place_visitor visit, void *argument)
{
    struct holders holders;
    holders.count = 0;
    find_holders(rbac, user, &holders);
    if (visit_holders(&holders, "", visit, argument) && namespace[0] != '\0') {
        visit_holders(&holders, namespace, visit, argument);
    }
    if (holders.all != holders.few) {
        free(holders.all);
    }
}

static void describe_place(const struct place *place, struct buffer *out)
{
    const struct binding *binding = place->binding;
    const struct role *role = binding->role;
    const char *slash = binding->namespace[0] ? "/" : "";
    buffer_addf(out, "RBAC: allowed by %s \"%s%s%s\" of %s \"%s\" to %s \"%s",
                binding->namespace[0] ? "RoleBinding" : "ClusterRoleBinding", binding->name, slash,
                binding->namespace, role->key[0] == '/' ? "ClusterRole" : "Role",
                strchr(role->key, '/') + 1, place->subject->kind, place->subject->name);
    if (strcmp(place->subject->kind, "ServiceAccount") == 0) {
        buffer_addf(out, "/%s", place->subject->namespace);
    }
    buffer_add_char(out, '"');
}

/* Complaints as upstream joins errors: each once, several in brackets. */
struct complaints {
    char **list;
    size_t count, capacity;
};

enum { complaints_max = 100 };

static void complain(struct complaints *complaints, const struct role *role)
{
    cleanup(free_char)
    char *text = format("%s.rbac.authorization.k8s.io \"%s\" not found",
                        role->key[0] == '/' ? "clusterrole" : "role", strchr(role->key, '/') + 1);
    for (size_t i = 0; i < complaints->count; i++) {
        if (strcmp(complaints->list[i], text) == 0) {
            return;
        }
    }
    if (complaints->count < complaints_max) {
        complaints->list = grow(complaints->list, complaints->count, &complaints->capacity,
                                sizeof *complaints->list);
        complaints->list[complaints->count++] = steal(text);
    }
}

static void complaints_write(const struct complaints *complaints, struct buffer *out)
{
    bool several = complaints->count > 1;
    buffer_add_text(out, several ? "[" : "");
    for (size_t i = 0; i < complaints->count; i++) {
        buffer_addf(out, "%s%s", i > 0 ? ", " : "", complaints->list[i]);
    }
    buffer_add_text(out, several ? "]" : "");
}

static void complaints_clear(struct complaints *complaints)
{
    for (size_t i = 0; i < complaints->count; i++) {
        free(complaints->list[i]);
    }
    free(complaints->list);
}

struct decision {
    struct rbac_question question;
    struct buffer *reason;
    struct complaints complaints;
    bool allowed;
};

static bool decide_place(void *argument, const struct place *place)
{
    struct decision *decision = argument;
    const struct role *role = place->binding->role;
    if (!role->present && decision->reason != NULL) {
        complain(&decision->complaints, role);
    }
    for (size_t i = 0; i < role->rules.count && !decision->allowed; i++) {
        decision->allowed = rbac_rule_allows(&role->rules.list[i], &decision->question);
    }
    if (decision->allowed && decision->reason != NULL) {
        describe_place(place, decision->reason);
    }
    return !decision->allowed;
}

enum { resource_text_size = 256 };

/* The resource with its subresource, in 'memory' if that is large enough, else in '*more'. */
static const char *whole_resource(const struct authz_attributes *attributes, char *memory,
                                  char **more)
{
    if (attributes->subresource[0] == '\0') {
        return attributes->resource;
    }
    int length = snprintf(memory, resource_text_size, "%s/%s", attributes->resource,
                          attributes->subresource);
    if (length < resource_text_size) {
        return memory;
    }
    *more = format("%s/%s", attributes->resource, attributes->subresource);
    return *more;
}

enum authz_decision rbac_decide(struct rbac *rbac, const struct authz_attributes *attributes,
                                struct buffer *reason)
{
    char memory[resource_text_size];
    cleanup(free_char)
    char *more = NULL;
    struct decision decision = {.reason = reason, .question = {.verb = attributes->verb}};
    if (attributes->is_resource) {
        decision.question.group = attributes->group;
        decision.question.resource = whole_resource(attributes, memory, &more);
        decision.question.subresource = attributes->subresource;
        decision.question.name = attributes->name;
    } else {
        decision.question.path = attributes->path;
    }
    rbac_question_prepare(&decision.question);
    pthread_rwlock_rdlock(&rbac->lock);
    visit_places(rbac, attributes->user, attributes->is_resource ? attributes->namespace : "",
                 decide_place, &decision);
    pthread_rwlock_unlock(&rbac->lock);
    if (!decision.allowed && decision.complaints.count > 0) {
        buffer_add_text(reason, "RBAC: ");
        complaints_write(&decision.complaints, reason);
    }
    complaints_clear(&decision.complaints);
    return decision.allowed ? AUTHZ_ALLOW : AUTHZ_NO_OPINION;
}

/* ---- what a user holds ---- */

static bool is_subject(const struct user *user, const struct subject *subject)
{
    return subject->identity != NULL &&
           (subject->is_group ? user_in_group(user, subject->identity)
                              : strcmp(user->name, subject->identity) == 0);
}

/* A user may be in a binding several times: the first counts. */
static bool is_first(const struct user *user, const struct place *place)
{
    const struct subject *subject = place->binding->subjects;
    while (subject != place->subject && !is_subject(user, subject)) {
        subject++;
    }
    return subject == place->subject;
}

struct collection {
    const struct user *user;
    struct rbac_rules *rules;
    struct complaints complaints;
};

static bool collect_place(void *argument, const struct place *place)
{
    struct collection *collection = argument;
    const struct role *role = place->binding->role;
    if (!is_first(collection->user, place)) {
        return true;
    }
    if (!role->present) {
        complain(&collection->complaints, role);
    }
    for (size_t i = 0; i < role->rules.count; i++) {
        rbac_rules_add(collection->rules, &role->rules.list[i]);
    }
    return true;
}

void rbac_rules_for(struct rbac *rbac, const struct user *user, const char *namespace,
                    struct rbac_rules *rules, struct buffer *problems)
{
    struct collection collection = {.user = user, .rules = rules};
    pthread_rwlock_rdlock(&rbac->lock);
    visit_places(rbac, user, namespace, collect_place, &collection);
    pthread_rwlock_unlock(&rbac->lock);
    if (problems != NULL && collection.complaints.count > 0) {
        complaints_write(&collection.complaints, problems);
    }
    complaints_clear(&collection.complaints);
}

bool rbac_rules_of_role(struct rbac *rbac, const char *namespace, const char *name,
                        struct rbac_rules *rules)
{
    cleanup(free_char)
    char *key = rbac_key(namespace, name);
    pthread_rwlock_rdlock(&rbac->lock);
    const struct role *role = map_get(&rbac->roles, key);
    bool present = role != NULL && role->present;
    for (size_t i = 0; present && i < role->rules.count; i++) {
        rbac_rules_add(rules, &role->rules.list[i]);
    }
    pthread_rwlock_unlock(&rbac->lock);
    return present;
}
