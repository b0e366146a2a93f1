// SPDX-License-Identifier: Apache-2.0
/* For tests of RBAC: objects, users and questions from short texts. */
#ifndef TEST_UNIT_RBAC_HARNESS_H
#define TEST_UNIT_RBAC_HARNESS_H

#include <string.h>

#include "apiserver/auth/rbac.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"

/* YAML in one line, for tests' tables. */
static inline json_t *tree(const char *text)
{
    struct error error = ERROR_INIT;
    json_t *parsed = yaml_parse(text, strlen(text), NULL, NULL, &error);
    if (parsed == NULL) {
        fail_msg("%s: %s", text, error.message);
    }
    return parsed;
}

static inline void put(struct rbac *rbac, const char *kind, const char *text)
{
    cleanup(json_release)
    json_t *object = tree(text);
    rbac_put(rbac, kind, object);
}

/* A user whose groups are separated by spaces; borrowed texts. */
struct person {
    struct user user;
    char *memory;
    char *groups[8];
};

static inline void person_init(struct person *person, const char *name, const char *groups)
{
    *person = (struct person){.memory = duplicate(groups)};
    person->user = (struct user){.name = (char *)name, .groups = person->groups};
    char *rest = NULL;
    for (char *group = strtok_r(person->memory, " ", &rest); group != NULL;
         group = strtok_r(NULL, " ", &rest)) {
        person->groups[person->user.group_count++] = group;
    }
}

/* "verb resource[/subresource][.group] [namespace/][name]" or "verb /path". */
struct request_text {
    char memory[256];
    struct authz_attributes attributes;
};

static inline void ask_init(struct request_text *ask, const struct user *user, const char *text)
{
    snprintf(ask->memory, sizeof ask->memory, "%s", text);
    char *resource = strchr(ask->memory, ' ');
    *resource++ = '\0';
    ask->attributes = AUTHZ_RESOURCE(user, ask->memory, "", "");
    if (resource[0] == '/') {
        ask->attributes.is_resource = false;
        ask->attributes.path = resource;
        return;
    }
    char *object = strchr(resource, ' ');
    if (object != NULL) {
        *object++ = '\0';
        char *slash = strchr(object, '/');
        ask->attributes.name = slash != NULL ? slash + 1 : object;
        if (slash != NULL) {
            *slash = '\0';
            ask->attributes.namespace = object;
        }
    }
    char *group = strchr(resource, '.'), *slash = strchr(resource, '/');
    if (group != NULL) {
        *group = '\0';
        ask->attributes.group = group + 1;
    }
    if (slash != NULL) {
        *slash = '\0';
        ask->attributes.subresource = slash + 1;
    }
    ask->attributes.resource = resource;
}

static inline bool may(struct rbac *rbac, const char *name, const char *groups, const char *text,
                       struct buffer *reason)
{
    struct person person;
    struct request_text ask;
    person_init(&person, name, groups);
    ask_init(&ask, &person.user, text);
    bool allowed = rbac_decide(rbac, &ask.attributes, reason) == AUTHZ_ALLOW;
    free(person.memory);
    return allowed;
}

#endif
