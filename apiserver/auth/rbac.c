// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/rbac_index.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

/* ---- keys and places ---- */

char *rbac_key(const char *namespace, const char *name)
{
    return format("%s/%s", namespace, name);
}

size_t rbac_first_place(const struct holder *holder, const char *namespace)
{
    size_t low = 0, high = holder->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(holder->places[middle].binding->namespace, namespace) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- holders ---- */

static struct map *holders_of(struct rbac *rbac, const struct subject *subject)
{
    return subject->is_group ? &rbac->groups : &rbac->users;
}

static int compare_places(const struct place *one, const struct place *other)
{
    int order = strcmp(one->binding->namespace, other->binding->namespace);
    return order != 0 ? order : strcmp(one->binding->name, other->binding->name);
}

static void add_place(struct rbac *rbac, const struct binding *binding,
                      const struct subject *subject)
{
    struct map *holders = holders_of(rbac, subject);
    struct holder *holder = map_get(holders, subject->identity);
    if (holder == NULL) {
        holder = allocate_struct(struct holder);
        holder->identity = duplicate(subject->identity);
        map_set(holders, holder->identity, holder);
    }
    struct place place = {binding, subject};
    size_t at = rbac_first_place(holder, binding->namespace);
    while (at < holder->count && compare_places(&holder->places[at], &place) <= 0) {
        at++;
    }
    holder->places = grow(holder->places, holder->count, &holder->capacity, sizeof *holder->places);
    memmove(&holder->places[at + 1], &holder->places[at],
            (holder->count - at) * sizeof *holder->places);
    holder->places[at] = place;
    holder->count++;
}

static void free_holder(void *argument)
{
    struct holder *holder = argument;
    free(holder->identity);
    free(holder->places);
    free(holder);
}

static void remove_place(struct rbac *rbac, const struct subject *subject)
{
    struct map *holders = holders_of(rbac, subject);
    struct holder *holder = map_get(holders, subject->identity);
    size_t at = 0;
    while (holder->places[at].subject != subject) {
        at++;
    }
    holder->count--;
    memmove(&holder->places[at], &holder->places[at + 1],
            (holder->count - at) * sizeof *holder->places);
    if (holder->count == 0) {
        map_remove(holders, subject->identity);
        free_holder(holder);
    }
}

/* ---- roles ---- */

static struct role *get_or_add_role(struct rbac *rbac, const char *key)
{
    struct role *role = map_get(&rbac->roles, key);
    if (role == NULL) {
        role = allocate_struct(struct role);
        role->key = duplicate(key);
        map_set(&rbac->roles, key, role);
    }
    return role;
}

static void free_role(void *argument)
{
    struct role *role = argument;
    rbac_rules_clear(&role->rules);
    free(role->key);
    free(role);
}

static void drop_role_if_unused(struct rbac *rbac, struct role *role)
{
    if (!role->present && role->references == 0) {
        map_remove(&rbac->roles, role->key);
        free_role(role);
    }
}

/* Takes over the rules. */
static void put_role(struct rbac *rbac, const char *key, struct rbac_rules *rules)
{
    pthread_rwlock_wrlock(&rbac->lock);
    struct role *role = get_or_add_role(rbac, key);
    struct rbac_rules old = role->rules;
    role->rules = *rules;
    role->present = true;
    pthread_rwlock_unlock(&rbac->lock);
    *rules = old;
}

static void remove_role(struct rbac *rbac, const char *key)
{
    pthread_rwlock_wrlock(&rbac->lock);
    struct role *role = map_get(&rbac->roles, key);
    if (role != NULL) {
        role->present = false;
        rbac_rules_clear(&role->rules);
        drop_role_if_unused(rbac, role);
    }
    pthread_rwlock_unlock(&rbac->lock);
}

/* ---- bindings ---- */

static void take_subject(struct subject *subject, const json_t *json, const char *namespace)
{
    const char *kind = json_get_string(json, "kind");
    const char *name = json_get_string(json, "name");
    const char *given = json_get_string(json, "namespace");
    given = given != NULL && given[0] != '\0' ? given : namespace;
    *subject = (struct subject){
        .kind = duplicate(kind != NULL ? kind : ""),
        .name = duplicate(name != NULL ? name : ""),
        .namespace = duplicate(given),
        .is_group = kind != NULL && strcmp(kind, "Group") == 0,
    };
    /* An account without a namespace, or a kind that nobody is, stands for no user at all. */
    if (strcmp(subject->kind, "ServiceAccount") == 0 && given[0] != '\0') {
        subject->identity = format("system:serviceaccount:%s:%s", given, subject->name);
    } else if (subject->is_group || strcmp(subject->kind, "User") == 0) {
        subject->identity = duplicate(subject->name);
    }
}

static struct binding *new_binding(const json_t *object, const char *namespace)
{
    struct binding *binding = allocate_struct(struct binding);
    const json_t *subjects = json_object_get(object, "subjects");
    binding->namespace = duplicate(namespace);
    binding->name = duplicate(json_path_string(object, "metadata", "name"));
    binding->subjects = allocate_zero(json_array_size(subjects) + 1, sizeof *binding->subjects);
    binding->subject_count = json_array_size(subjects);
    for (size_t i = 0; i < binding->subject_count; i++) {
        take_subject(&binding->subjects[i], json_array_get(subjects, i), namespace);
    }
    return binding;
}

static void free_binding(void *argument)
{
    struct binding *binding = argument;
    for (size_t i = 0; i < binding->subject_count; i++) {
        struct subject *subject = &binding->subjects[i];
        free(subject->kind);
        free(subject->name);
        free(subject->namespace);
        free(subject->identity);
    }
    free(binding->subjects);
    free(binding->namespace);
    free(binding->name);
    free(binding);
}

static char *role_key(const json_t *object, const char *namespace)
{
    const char *kind = json_path_string(object, "roleRef", "kind");
    const char *name = json_path_string(object, "roleRef", "name");
    bool is_cluster_role = kind == NULL || strcmp(kind, "Role") != 0;
    return rbac_key(is_cluster_role ? "" : namespace, name != NULL ? name : "");
}

/* With the lock held: takes a binding out of the index, for the caller to free. */
static struct binding *unlink_binding(struct rbac *rbac, const char *key)
{
    struct binding *binding = map_remove(&rbac->bindings, key);
    if (binding == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < binding->subject_count; i++) {
        if (binding->subjects[i].identity != NULL) {
            remove_place(rbac, &binding->subjects[i]);
        }
    }
    binding->role->references--;
    drop_role_if_unused(rbac, binding->role);
    return binding;
}

static void replace_binding(struct rbac *rbac, const char *key, struct binding *binding,
                            const char *role)
{
    pthread_rwlock_wrlock(&rbac->lock);
    struct binding *old = unlink_binding(rbac, key);
    if (binding != NULL) {
        binding->role = get_or_add_role(rbac, role);
        binding->role->references++;
        map_set(&rbac->bindings, key, binding);
        for (size_t i = 0; i < binding->subject_count; i++) {
            if (binding->subjects[i].identity != NULL) {
                add_place(rbac, binding, &binding->subjects[i]);
            }
        }
    }
    pthread_rwlock_unlock(&rbac->lock);
    if (old != NULL) {
        free_binding(old);
    }
}

/* ---- changes ---- */

static bool is_binding(const char *kind)
{
    return strstr(kind, "Binding") != NULL;
}

void rbac_put(struct rbac *rbac, const char *kind, const json_t *object)
{
    const char *namespace = json_path_string(object, "metadata", "namespace");
    namespace = namespace != NULL ? namespace : "";
    cleanup(free_char)
    char *key = rbac_key(namespace, json_path_string(object, "metadata", "name"));
    if (is_binding(kind)) {
        cleanup(free_char)
        char *role = role_key(object, namespace);
        replace_binding(rbac, key, new_binding(object, namespace), role);
        return;
    }
    cleanup(rbac_rules_clear)
    struct rbac_rules rules = RBAC_RULES_INIT;
    rbac_rules_compile(&rules, json_object_get(object, "rules"));
    put_role(rbac, key, &rules);
}

void rbac_remove(struct rbac *rbac, const char *kind, const char *namespace, const char *name)
{
    cleanup(free_char)
    char *key = rbac_key(namespace, name);
    if (is_binding(kind)) {
        replace_binding(rbac, key, NULL, NULL);
    } else {
        remove_role(rbac, key);
    }
}

static void changed(struct cache_observer *base, const struct object *object, bool deleted)
{
    struct observer *observer = container_of(base, struct observer, base);
    if (deleted) {
        cleanup(free_char)
        char *namespace = duplicate_bytes(object->key, object->namespace_length);
        rbac_remove(observer->rbac, observer->kind, namespace, object_name(object));
        return;
    }
    cleanup(json_release)
    json_t *tree = object_tree(object);
    rbac_put(observer->rbac, observer->kind, tree);
}

/* ---- life ---- */

struct rbac *rbac_new(void)
{
    struct rbac *rbac = allocate_struct(struct rbac);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&rbac->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return rbac;
}

void rbac_follow(struct rbac *rbac, struct cache *cache, const struct scheme *scheme)
{
    static const struct {
        const char *kind, *plural;
    } kinds[] = {
        {"ClusterRole", "clusterroles"},
        {"Role", "roles"},
        {"ClusterRoleBinding", "clusterrolebindings"},
        {"RoleBinding", "rolebindings"},
    };
    for (size_t i = 0; i < array_length(kinds); i++) {
        const struct resource *resource =
            scheme_resource_find(scheme, "rbac.authorization.k8s.io", "v1", kinds[i].plural);
        rbac->observers[i] =
            (struct observer){.base = {.changed = changed}, .rbac = rbac, .kind = kinds[i].kind};
        cache_observe(cache_table(cache, resource), &rbac->observers[i].base);
    }
}

void rbac_free(struct rbac *rbac)
{
    if (rbac == NULL) {
        return;
    }
    map_free(&rbac->bindings, free_binding);
    map_free(&rbac->users, free_holder);
    map_free(&rbac->groups, free_holder);
    map_free(&rbac->roles, free_role);
    pthread_rwlock_destroy(&rbac->lock);
    free(rbac);
}
