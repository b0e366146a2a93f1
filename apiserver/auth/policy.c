// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/policy.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "apiserver/auth/rbac_rule.h"
#include "apiserver/registry/registry.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "common/yaml.h"

static const char group[] = "rbac.authorization.k8s.io";
static const char autoupdate[] = "rbac.authorization.kubernetes.io/autoupdate";

enum { thread_count = 32, retry_seconds = 1 };

/* ---- the objects ---- */

static json_t *new_object(const char *kind, const char *namespace, const char *name)
{
    json_t *metadata =
        json_pack("{s:s, s:{s:s}, s:{s:s}}", "name", name, "labels", "kubernetes.io/bootstrapping",
                  "rbac-defaults", "annotations", autoupdate, "true");
    if (namespace != NULL) {
        json_object_set_new(metadata, "namespace", json_string(namespace));
    }
    return json_pack("{s:s, s:s, s:o}", "kind", kind, "apiVersion", "rbac.authorization.k8s.io/v1",
                     "metadata", metadata);
}

static void add_label(json_t *role, const char *to)
{
    cleanup(free_char)
    char *label = format("%s/aggregate-to-%s", group, to);
    json_object_set_new(json_path(role, "metadata", "labels"), label, json_string("true"));
}

static void add_aggregation(json_t *role, const json_t *entry)
{
    const char *from = json_get_string(entry, "aggregate");
    const json_t *to = json_object_get(entry, "aggregateTo");
    if (from != NULL) {
        cleanup(free_char)
        char *label = format("%s/aggregate-to-%s", group, from);
        json_object_set_new(
            role, "aggregationRule",
            json_pack("{s:[{s:{s:s}}]}", "clusterRoleSelectors", "matchLabels", label, "true"));
    }
    if (json_is_string(to)) {
        add_label(role, json_string_value(to));
    }
    size_t i;
    const json_t *one;
    json_array_foreach (to, i, one) {
        add_label(role, json_string_value(one));
    }
}

/* A binding of a role in the same namespace, NULL for one of a ClusterRole in the whole cluster. */
static json_t *new_binding(const char *namespace, const char *name, const char *role,
                           json_t *subjects)
{
    const char *binding_kind = namespace != NULL ? "RoleBinding" : "ClusterRoleBinding";
    json_t *binding = new_object(binding_kind, namespace, name);
    json_object_set_new(binding, "roleRef",
                        json_pack("{s:s, s:s, s:s}", "apiGroup", group, "kind",
                                  namespace != NULL ? "Role" : "ClusterRole", "name", role));
    size_t i;
    json_t *subject;
    json_array_foreach (subjects, i, subject) {
        if (strcmp(json_get_string(subject, "kind"), "ServiceAccount") != 0) {
            json_object_set_new(subject, "apiGroup", json_string(group));
        }
    }
    if (json_array_size(subjects) > 0) {
        json_object_set(binding, "subjects", subjects);
    }
    return binding;
}

static json_t *new_role(const json_t *entry, const char *name)
{
    const char *namespace = json_get_string(entry, "namespace");
    json_t *rules = json_object_get(entry, "rules");
    json_t *role = new_object(namespace != NULL ? "Role" : "ClusterRole", namespace, name);
    add_aggregation(role, entry);
    if (rules != NULL) {
        json_object_set(role, "rules", rules);
    } else {
        json_object_set_new(role, "rules", json_null());
    }
    return role;
}

static void add_role(json_t *objects, const json_t *entry, const char *name)
{
    const char *binding = json_get_string(entry, "binding");
    const char *role = json_get_string(entry, "role");
    json_t *subjects = json_object_get(entry, "subjects");
    if (role == NULL) {
        json_array_append_new(objects, new_role(entry, name));
    }
    if (subjects != NULL) {
        json_array_append_new(objects,
                              new_binding(json_get_string(entry, "namespace"),
                                          binding ? binding : name, role ? role : name, subjects));
    }
}

static void add_controller(json_t *objects, json_t *entry)
{
    const char *account = json_get_string(entry, "name");
    cleanup(free_char)
    char *name = format("system:controller:%s", account);
    json_object_set_new(entry, "subjects",
                        json_pack("[{s:s, s:s, s:s}]", "kind", "ServiceAccount", "name", account,
                                  "namespace", "kube-system"));
    add_role(objects, entry, name);
}

json_t *policy_objects(struct error *error)
{
    static const char *const texts[] = {policy_cluster_roles, policy_controller_roles,
                                        policy_coracle_roles, policy_roles};
    cleanup(json_release)
    json_t *objects = json_array();
    for (size_t i = 0; i < array_length(texts); i++) {
        cleanup(json_release)
        json_t *entries = yaml_parse(texts[i], strlen(texts[i]), NULL, NULL, error);
        if (entries == NULL) {
            return NULL;
        }
        size_t at;
        json_t *entry;
        json_array_foreach (entries, at, entry) {
            if (texts[i] == policy_controller_roles) {
                add_controller(objects, entry);
            } else {
                add_role(objects, entry, json_get_string(entry, "name"));
            }
        }
    }
    return json_incref(objects);
}

/* ---- what is there and what is wanted ---- */

/* Adds the members that are missing; those that are there stay as they are. */
static void add_members(json_t *metadata, const char *name, const json_t *wanted)
{
    json_t *live = json_get_or_add_object(metadata, name);
    json_object_update_missing(live, json_object_get(wanted, name));
}

static json_t *get_or_add_array(json_t *object, const char *name)
{
    json_t *array = json_object_get(object, name);
    if (!json_is_array(array)) {
        array = json_array();
        json_object_set_new(object, name, array);
    }
    return array;
}

static void add_rules(json_t *live, const json_t *wanted)
{
    cleanup(rbac_rules_clear)
    struct rbac_rules present = RBAC_RULES_INIT;
    rbac_rules_compile(&present, json_object_get(live, "rules"));
    size_t i;
    json_t *rule;
    json_array_foreach (json_object_get(wanted, "rules"), i, rule) {
        cleanup(rbac_rules_clear)
        struct rbac_rules one = RBAC_RULES_INIT;
        cleanup(json_release)
        json_t *list = json_pack("[O]", rule);
        rbac_rules_compile(&one, list);
        if (!rbac_rules_cover(&present, &one, NULL)) {
            json_array_append(get_or_add_array(live, "rules"), rule);
        }
    }
}

static bool has_element(const json_t *array, const json_t *wanted)
{
    size_t i;
    const json_t *element;
    json_array_foreach (array, i, element) {
        if (json_equal(element, wanted)) {
            return true;
        }
    }
    return false;
}

static void add_elements(json_t *object, const char *name, const json_t *wanted)
{
    size_t i;
    json_t *element;
    json_array_foreach (wanted, i, element) {
        if (!has_element(json_object_get(object, name), element)) {
            json_array_append(get_or_add_array(object, name), element);
        }
    }
}

bool policy_refers_elsewhere(const json_t *live, const json_t *wanted)
{
    const json_t *role = json_object_get(wanted, "roleRef");
    return role != NULL && !json_equal(role, json_object_get(live, "roleRef"));
}

bool policy_reconcile(json_t *live, const json_t *wanted)
{
    json_t *metadata = json_object_get(live, "metadata");
    const json_t *wanted_metadata = json_object_get(wanted, "metadata");
    const char *update = json_get_string(json_object_get(metadata, "annotations"), autoupdate);
    if (update != NULL && strcmp(update, "false") == 0) {
        return false;
    }
    add_members(metadata, "labels", wanted_metadata);
    add_members(metadata, "annotations", wanted_metadata);
    const json_t *selectors = json_path(wanted, "aggregationRule", "clusterRoleSelectors");
    if (selectors != NULL) {
        add_elements(json_get_or_add_object(live, "aggregationRule"), "clusterRoleSelectors",
                     selectors);
    } else {
        add_rules(live, wanted);
    }
    add_elements(live, "subjects", json_object_get(wanted, "subjects"));
    return true;
}

/* ---- making sure of one object ---- */

struct item {
    const struct resource *resource;
    const char *namespace, *name;
    json_t *wanted;
};

static bool create(struct registry *registry, const struct item *item, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, item->resource, WRITE_CREATE);
    write_address(&write, item->namespace, item->name);
    write.object = json_deep_copy(item->wanted);
    return registry_create(&write, &object, error);
}

static bool reconcile(struct write *write, void *argument, struct error *error)
{
    (void)error;
    const struct item *item = argument;
    write->object = object_tree(write->live_object);
    policy_reconcile(write->object, item->wanted);
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    return true;
}

static bool update(struct registry *registry, const struct item *item, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, item->resource, WRITE_UPDATE);
    write_address(&write, item->namespace, item->name);
    return registry_update(&write, reconcile, (void *)item, &object, NULL, error);
}

static bool delete_it(struct registry *registry, const struct item *item, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    struct delete_options options = {.grace_period_seconds = -1};
    bool gone;
    write_begin(&write, registry, NULL, NULL, item->resource, WRITE_DELETE);
    write_address(&write, item->namespace, item->name);
    return registry_delete(&write, &options, &object, &gone, error);
}

static bool ensure(struct registry *registry, const struct item *item, struct error *error)
{
    cleanup(object_release)
    struct object *present = registry_get(registry, item->resource, item->namespace, item->name);
    if (present == NULL) {
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        /* Another server that starts just now may have been quicker. */
        return create(registry, item, &why) ||
               (why.code == 409 ? update(registry, item, error) : error_move(error, &why));
    }
    cleanup(json_release)
    json_t *live = object_tree(present);
    cleanup(json_release)
    json_t *better = json_deep_copy(live);
    if (!policy_reconcile(better, item->wanted)) {
        return true;
    }
    if (policy_refers_elsewhere(live, item->wanted)) {
        return delete_it(registry, item, error) && create(registry, item, error);
    }
    return json_equal(live, better) || update(registry, item, error);
}

/* ---- all of them ---- */

/* A first start writes a hundred objects; the store commits together what waits together. */
struct policy {
    struct registry *registry;
    json_t *objects;
    atomic_size_t next, done;
    pthread_mutex_t lock; /* Guards 'stopping'. */
    pthread_cond_t stop;
    bool stopping;
    pthread_t threads[thread_count];
    size_t thread_count;
};

/* Waits before another attempt; false to stop. */
static bool wait_to_retry(struct policy *policy)
{
    struct timespec until = timestamp_after(retry_seconds * INT64_C(1000000000));
    pthread_mutex_lock(&policy->lock);
    int waited = 0;
    while (!policy->stopping && waited == 0) {
        waited = pthread_cond_timedwait(&policy->stop, &policy->lock, &until);
    }
    bool go_on = !policy->stopping;
    pthread_mutex_unlock(&policy->lock);
    return go_on;
}

static struct item item_of(struct policy *policy, size_t index)
{
    json_t *wanted = json_array_get(policy->objects, index);
    const char *namespace = json_path_string(wanted, "metadata", "namespace");
    return (struct item){
        .resource = scheme_resource_of_kind(policy->registry->scheme, group, "v1",
                                            json_get_string(wanted, "kind")),
        .namespace = namespace != NULL ? namespace : "",
        .name = json_path_string(wanted, "metadata", "name"),
        .wanted = wanted,
    };
}

static void *thread_main(void *argument)
{
    struct policy *policy = argument;
    size_t count = json_array_size(policy->objects), index;
    while ((index = atomic_fetch_add(&policy->next, 1)) < count) {
        struct item item = item_of(policy, index);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        while (!ensure(policy->registry, &item, &error)) {
            log_warning("making sure of %s %s failed, trying again: %s", item.resource->plural,
                        item.name, error.message);
            error_clear(&error);
            if (!wait_to_retry(policy)) {
                return NULL;
            }
        }
        atomic_fetch_add(&policy->done, 1);
    }
    return NULL;
}

struct policy *policy_start(struct registry *registry, struct error *error)
{
    json_t *objects = policy_objects(error);
    if (objects == NULL) {
        return NULL;
    }
    struct policy *policy = allocate_struct(struct policy);
    policy->registry = registry;
    policy->objects = objects;
    pthread_mutex_init(&policy->lock, NULL);
    pthread_cond_init(&policy->stop, NULL);
    while (policy->thread_count < thread_count &&
           pthread_create(&policy->threads[policy->thread_count], NULL, thread_main, policy) == 0) {
        policy->thread_count++;
    }
    if (policy->thread_count == 0) {
        policy_stop(policy);
        error_internal(error, "starting a thread failed");
        return NULL;
    }
    return policy;
}

bool policy_is_there(const struct policy *policy)
{
    return policy != NULL && atomic_load(&policy->done) == json_array_size(policy->objects);
}

void policy_stop(struct policy *policy)
{
    if (policy == NULL) {
        return;
    }
    pthread_mutex_lock(&policy->lock);
    policy->stopping = true;
    pthread_cond_broadcast(&policy->stop);
    pthread_mutex_unlock(&policy->lock);
    for (size_t i = 0; i < policy->thread_count; i++) {
        pthread_join(policy->threads[i], NULL);
    }
    json_decref(policy->objects);
    pthread_mutex_destroy(&policy->lock);
    pthread_cond_destroy(&policy->stop);
    free(policy);
}
