// SPDX-License-Identifier: Apache-2.0
/*
 * Cluster role aggregation: a cluster role with an aggregationRule has the rules of all cluster
 * roles that its selectors choose by their labels.
 *
 * Any cluster role may concern any other, and there are few: each change looks at all, under one
 * key.
 */
#include "controllers/clusterrole_aggregation.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/selector.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/resources.h"

/* ---- decisions ---- */

static bool has_rule(const json_t *rules, const json_t *rule)
{
    size_t i;
    const json_t *other;
    json_array_foreach (rules, i, other) {
        if (json_equal(other, rule)) {
            return true;
        }
    }
    return false;
}

static void add_rules(json_t *rules, const json_t *role)
{
    size_t i;
    json_t *rule;
    json_array_foreach (json_object_get(role, "rules"), i, rule) {
        if (!has_rule(rules, rule)) {
            json_array_append(rules, rule);
        }
    }
}

static bool add_selected(json_t *rules, const json_t *selector, const char *name,
                         const json_t *roles, struct error *error)
{
    struct selector *parsed = selector_from_object(selector, error);
    if (parsed == NULL) {
        return false;
    }
    size_t i;
    const json_t *role;
    json_array_foreach (roles, i, role) {
        const char *other = json_path_string(role, "metadata", "name");
        if (strcmp(other, name) != 0 &&
            selector_matches_object(parsed, json_path(role, "metadata", "labels"))) {
            add_rules(rules, role);
        }
    }
    selector_free(parsed);
    return true;
}

json_t *clusterrole_aggregate(const json_t *role, const json_t *roles, struct error *error)
{
    cleanup(json_release)
    json_t *rules = json_array();
    const char *name = json_path_string(role, "metadata", "name");
    size_t i;
    const json_t *selector;
    json_array_foreach (json_path(role, "aggregationRule", "clusterRoleSelectors"), i, selector) {
        if (!add_selected(rules, selector, name, roles, error)) {
            return NULL;
        }
    }
    return json_incref(rules);
}

/* ---- the controller ---- */

static const char the_key[] = "all";

struct aggregation {
    struct controller *controller;
    struct informer *roles;
};

static void role_changed(void *controller, const struct cached_object *old,
                         const struct cached_object *new)
{
    (void)old, (void)new;
    controller_add(controller, the_key);
}

static int compare_names(const void *one, const void *other)
{
    const struct cached_object *const *first = one, *const *second = other;
    return strcmp((*first)->name, (*second)->name);
}

/* All cluster roles in order of their names; the caller's. */
static json_t *read_roles(const struct aggregation *state)
{
    cleanup(cached_list_free)
    struct cached_list list = CACHED_LIST_INIT;
    indexer_select(informer_indexer(state->roles), NULL, NULL, &list);
    json_t *roles = json_array();
    if (list.count > 0) {
        qsort(list.items, list.count, sizeof(struct cached_object *), compare_names);
    }
    for (size_t i = 0; i < list.count; i++) {
        json_array_append_new(roles, cached_object_tree(list.items[i]));
    }
    return roles;
}

static bool sync_role(const struct aggregation *state, json_t *role, const json_t *roles,
                      struct error *error)
{
    json_t *rules = clusterrole_aggregate(role, roles, error);
    if (rules == NULL) {
        return false;
    }
    const json_t *present = json_object_get(role, "rules");
    if (json_equal(rules, present) ||
        (json_array_size(rules) == 0 && json_array_size(present) == 0)) {
        json_decref(rules);
        return true;
    }
    cleanup(json_release)
    json_t *changed = json_copy(role);
    json_object_set_new(changed, "rules", rules);
    cleanup(json_release)
    json_t *written =
        client_update(state->controller->client, &resource_clusterroles, NULL, changed, error);
    return written != NULL;
}

/* What is wrong with one role keeps none of the others back. */
static bool sync_roles(void *argument, const char *key, struct error *error)
{
    (void)key;
    struct aggregation *state = argument;
    cleanup(json_release)
    json_t *roles = read_roles(state);
    bool done = true;
    size_t i;
    json_t *role;
    json_array_foreach (roles, i, role) {
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        if (json_is_object(json_object_get(role, "aggregationRule")) &&
            !sync_role(state, role, roles, &why)) {
            done = error_wrap(error, &why, "aggregating cluster role %s",
                              json_path_string(role, "metadata", "name"));
        }
    }
    return done;
}

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct aggregation *state = allocate_struct(struct aggregation);
    state->controller = controller;
    state->roles = informer_factory_get(controller->informers, &resource_clusterroles, NULL, NULL);
    informer_add_handler(state->roles, role_changed, controller);
    return state;
}

const struct controller_type clusterrole_aggregation_controller = {
    .name = "clusterrole-aggregation-controller",
    .alias = "clusterrole-aggregation",
    .account = "clusterrole-aggregation-controller",
    .workers = 1,
    .start = start,
    .sync = sync_roles,
    .stop = free,
};
