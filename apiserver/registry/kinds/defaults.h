// SPDX-License-Identifier: Apache-2.0
/*
 * Defaults that depend on other members of the object, which a schema can't hold: rows of a table
 * where one member decides, functions for the rest. All of it runs after the schema's own defaults.
 */
#ifndef APISERVER_REGISTRY_KINDS_DEFAULTS_H
#define APISERVER_REGISTRY_KINDS_DEFAULTS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/quantity.h"

struct kind;

/* Rows are applied one after the other, so that a later one sees what an earlier one has filled.
 * Tables end with a row whose member is NULL. */
struct conditional_default {
    const char *at;     /* Where: names of members joined by '.', through every element of lists; ""
                         * is the object itself. What is absent on the way is left so. */
    const char *member; /* Filled there when it is absent or an empty list. */
    const char *value;  /* JSON text; NULL: the present time. */
    const char *when;   /* The member beside it that decides; NULL: filled in any case. */
    const char *is;     /* What that member must be: one of these strings, joined by '|'. NULL: it
                         * must be absent or an empty list. */
};
/* For 'is': the member must be there and be no empty list. */
extern const char default_when_present[];

/* The table, the pod template and the function of the kind, in this order. */
void kind_fill_defaults(const struct kind *kind, json_t *object);

/* Sets a member that is absent. Consumes the value. */
void default_set(json_t *object, const char *name, json_t *value);
/* Sets what is absent in 'into' to what it is in 'from'; either may be NULL. */
void default_update(json_t *into, const json_t *from);
/* Two members of which one is the first element of the other ("podIP", "podIPs"): the single one
 * decides, and each is filled from the other. 'key' is that of the elements; NULL: they are strings
 * themselves. */
void default_pair(json_t *object, const char *one, const char *many, const char *key);

/* What every pod's spec needs, in templates as well. */
void pod_spec_fill_defaults(json_t *spec);
/* The most that the containers have of a resource at a time, of "limits" or "requests". False when
 * none of them says anything about it. */
bool pod_effective_amount(const json_t *spec, const char *list, const char *resource,
                          struct quantity *amount);
/* "Guaranteed", "Burstable" or "BestEffort". */
const char *pod_qos_class(const json_t *spec);
/* What only a pod needs. */
void pod_fill_defaults(json_t *object);

#endif
