// SPDX-License-Identifier: Apache-2.0
/* The index of rbac.h from inside: rbac.c keeps it, rbac_decide.c reads it. */
#ifndef APISERVER_AUTH_RBAC_INDEX_H
#define APISERVER_AUTH_RBAC_INDEX_H

#include <pthread.h>

#include "apiserver/auth/rbac.h"
#include "common/map.h"

/* A role, or the place of one that bindings refer to. */
struct role {
    char *key; /* "namespace/name", "/name" for a ClusterRole. */
    bool present;
    struct rbac_rules rules;
    size_t references; /* By bindings. */
};

struct subject {
    char *kind, *name, *namespace; /* As the binding has it. */
    char *identity;                /* The name of the user or group. */
    bool is_group;
};

struct binding {
    char *namespace, *name; /* The namespace is "" for a ClusterRoleBinding. */
    struct role *role;
    struct subject *subjects;
    size_t subject_count;
};

/* Where a subject is bound: one place for each time it stands in a binding. */
struct place {
    const struct binding *binding;
    const struct subject *subject;
};

/* A user or group: its places by namespace, then name of the binding. */
struct holder {
    char *identity;
    struct place *places;
    size_t count, capacity;
};

struct observer {
    struct cache_observer base;
    struct rbac *rbac;
    const char *kind;
};

struct rbac {
    pthread_rwlock_t lock;    /* Guards the maps and all in them. */
    struct map roles;         /* Key to struct role. */
    struct map bindings;      /* "namespace/name" to struct binding. */
    struct map users, groups; /* Identity to struct holder. */
    struct observer observers[4];
};

/* "namespace/name", as roles and bindings are known. The caller's. */
char *rbac_key(const char *namespace, const char *name);
/* The first place whose binding does not stand before this namespace. */
size_t rbac_first_place(const struct holder *holder, const char *namespace);

#endif
