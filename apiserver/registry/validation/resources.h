// SPDX-License-Identifier: Apache-2.0
/* Rules of amounts of resources: their names, what they may be, requests against limits. */
#ifndef APISERVER_REGISTRY_VALIDATION_RESOURCES_H
#define APISERVER_REGISTRY_VALIDATION_RESOURCES_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "common/map.h"
#include "common/quantity.h"

/* Adds what is wrong with the name of a resource, at its place in a list of amounts. */
typedef void (*resource_name_check)(const char *name, const struct field_path *path,
                                    struct field_errors *errors);

/* A standard resource, or a qualified name. False when it is neither. */
bool validate_resource_name(const char *name, const struct field_path *path,
                            struct field_errors *errors);
void validate_container_resource_name(const char *name, const struct field_path *path,
                                      struct field_errors *errors);
/* cpu, memory and huge pages. */
void validate_pod_resource_name(const char *name, const struct field_path *path,
                                struct field_errors *errors);

/* Not "example.com/dongle": without a domain, or one of Kubernetes' own. */
bool resource_is_native(const char *name);
bool resource_is_huge_page(const char *name);
/* As quotas name them. */
bool resource_is_huge_page_request(const char *name);
/* What is there may be given more than once: the sum of the limits may exceed it. */
bool resource_may_be_overcommitted(const char *name);
bool resource_is_integer(const char *name);

/* The amount that a tree's text stands for; 0 for what is none. */
struct quantity resource_amount(const json_t *amount);
/* One amount: not negative, and whole where that is the nature of the resource. */
void validate_amount(const char *name, const json_t *amount, const struct field_path *path,
                     struct field_errors *errors);
/* ResourceRequirements; 'claims' has the names of the pod's claims. */
void validate_resource_requirements(const json_t *requirements, resource_name_check check_name,
                                    const struct map *claims, const struct field_path *path,
                                    struct field_errors *errors);

#endif
