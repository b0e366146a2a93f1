// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler's filters and scores once more, as slow and obvious as can be: plain loops over the
 * objects as they are in the API, nothing kept, nothing shared with the scheduler. A test holds the
 * two against each other.
 *
 * Amounts stand beside the objects as plain numbers, in "ref": cpu (thousandths), memory (bytes),
 * gpu, pods; -1: the container asks for none. A bound pod names its node, and "deleting" is true of
 * one that is on its way out.
 */
#ifndef TEST_UNIT_SCHEDULER_REFERENCE_H
#define TEST_UNIT_SCHEDULER_REFERENCE_H

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { REF_NODES_MAX = 12 };

struct ref_cluster {
    json_t *nodes, *pods; /* Arrays. */
    json_t *namespaces;   /* Labels by name. */
    enum ref_strategy { REF_LEAST, REF_MOST, REF_RATIO, REF_STRATEGIES } strategy;
};

/* ---- reading ---- */

static inline json_t *ref_at(const json_t *json, const char *key, ...)
{
    va_list keys;
    va_start(keys, key);
    for (; key != NULL && json != NULL; key = va_arg(keys, const char *)) {
        json = json_object_get(json, key);
    }
    va_end(keys);
    return (json_t *)(uintptr_t)json;
}

static inline const char *ref_text(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static inline bool ref_is(const char *text, const char *other)
{
    return text != NULL && other != NULL && strcmp(text, other) == 0;
}

static inline int64_t ref_number(const json_t *object, const char *key)
{
    return json_integer_value(ref_at(object, "ref", key, NULL));
}

static inline json_t *ref_labels(const json_t *object)
{
    return ref_at(object, "metadata", "labels", NULL);
}

static inline const char *ref_label(const json_t *object, const char *key)
{
    return ref_text(ref_labels(object), key);
}

static inline const char *ref_namespace(const json_t *pod)
{
    return ref_text(json_object_get(pod, "metadata"), "namespace");
}

static inline const char *ref_name(const json_t *object)
{
    return ref_text(json_object_get(object, "metadata"), "name");
}

static inline bool ref_stands_on(const json_t *pod, const json_t *node)
{
    return ref_is(ref_text(json_object_get(pod, "spec"), "nodeName"), ref_name(node));
}

static inline json_t *ref_node_of(const struct ref_cluster *cluster, const json_t *pod)
{
    size_t i;
    json_t *node;
    json_array_foreach (cluster->nodes, i, node) {
        if (ref_stands_on(pod, node)) {
            return node;
        }
    }
    return NULL;
}

/* ---- selectors ---- */

static inline bool ref_lists(const json_t *list, const char *text)
{
    size_t i;
    json_t *value;
    json_array_foreach (list, i, value) {
        if (ref_is(json_string_value(value), text)) {
            return true;
        }
    }
    return false;
}

static inline bool ref_requirement(const json_t *requirement, const char *value)
{
    const char *op = ref_text(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    if (ref_is(op, "In")) {
        return value != NULL && ref_lists(values, value);
    }
    if (ref_is(op, "NotIn")) {
        return value == NULL || !ref_lists(values, value);
    }
    if (ref_is(op, "Exists") || ref_is(op, "DoesNotExist")) {
        return (value != NULL) == ref_is(op, "Exists");
    }
    long limit = strtol(json_string_value(json_array_get(values, 0)), NULL, 10);
    return value != NULL &&
           (ref_is(op, "Gt") ? strtol(value, NULL, 10) > limit : strtol(value, NULL, 10) < limit);
}

static inline bool ref_requirements(const json_t *list, const json_t *labels)
{
    size_t i;
    json_t *requirement;
    json_array_foreach (list, i, requirement) {
        if (!ref_requirement(requirement, ref_text(labels, ref_text(requirement, "key")))) {
            return false;
        }
    }
    return true;
}

static inline bool ref_has_all(const json_t *wanted, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
        if (!ref_is(ref_text(labels, key), json_string_value(value))) {
            return false;
        }
    }
    return true;
}

static inline bool ref_selects(const json_t *selector, const json_t *labels)
{
    return json_is_object(selector) &&
           ref_has_all(json_object_get(selector, "matchLabels"), labels) &&
           ref_requirements(json_object_get(selector, "matchExpressions"), labels);
}

/* ---- nodes for themselves ---- */

static inline bool ref_node_term(const json_t *term, const json_t *node)
{
    json_t *expressions = json_object_get(term, "matchExpressions"),
           *fields = json_object_get(term, "matchFields");
    size_t i;
    json_t *field;
    json_array_foreach (fields, i, field) {
        if (!ref_requirement(field, ref_name(node))) {
            return false;
        }
    }
    return json_array_size(expressions) + json_array_size(fields) > 0 &&
           ref_requirements(expressions, ref_labels(node));
}

static inline bool ref_node_affinity(const json_t *pod, const json_t *node)
{
    const json_t *spec = json_object_get(pod, "spec");
    json_t *terms =
        ref_at(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
               "nodeSelectorTerms", NULL);
    bool any = terms == NULL;
    for (size_t i = 0; i < json_array_size(terms); i++) {
        any = any || ref_node_term(json_array_get(terms, i), node);
    }
    return any && ref_has_all(json_object_get(spec, "nodeSelector"), ref_labels(node));
}

static inline bool ref_tolerates(const json_t *toleration, const json_t *taint)
{
    const char *key = ref_text(toleration, "key"), *effect = ref_text(toleration, "effect"),
               *value = ref_text(toleration, "value"), *of_taint = ref_text(taint, "value");
    if (effect != NULL && !ref_is(effect, ref_text(taint, "effect"))) {
        return false;
    }
    if (key != NULL && !ref_is(key, ref_text(taint, "key"))) {
        return false;
    }
    return ref_is(ref_text(toleration, "operator"), "Exists") ||
           ref_is(value != NULL ? value : "", of_taint != NULL ? of_taint : "");
}

/* How many taints with one of these effects the pod doesn't tolerate. */
static inline int ref_untolerated(const json_t *pod, const json_t *taints, const char *effect,
                                  const char *other)
{
    int count = 0;
    for (size_t i = 0; i < json_array_size(taints); i++) {
        const json_t *taint = json_array_get(taints, i);
        json_t *tolerations = ref_at(pod, "spec", "tolerations", NULL);
        bool tolerated = false;
        for (size_t n = 0; n < json_array_size(tolerations); n++) {
            tolerated = tolerated || ref_tolerates(json_array_get(tolerations, n), taint);
        }
        count += !tolerated && (ref_is(ref_text(taint, "effect"), effect) ||
                                ref_is(ref_text(taint, "effect"), other));
    }
    return count;
}

static inline bool ref_taints(const json_t *pod, const json_t *node)
{
    return ref_untolerated(pod, ref_at(node, "spec", "taints", NULL), "NoSchedule", "NoExecute") ==
           0;
}

static inline bool ref_unschedulable(const json_t *pod, const json_t *node)
{
    json_t *taints =
        json_pack("[{s:s,s:s}]", "key", "node.kubernetes.io/unschedulable", "effect", "NoSchedule");
    bool fits = !json_is_true(ref_at(node, "spec", "unschedulable", NULL)) ||
                ref_untolerated(pod, taints, "NoSchedule", NULL) == 0;
    json_decref(taints);
    return fits;
}

/* ---- room ---- */

/* What the pods on the node ask for together. */
static inline int64_t ref_used(const struct ref_cluster *cluster, const json_t *node,
                               const char *resource, int64_t if_none)
{
    int64_t sum = 0;
    size_t i;
    json_t *pod;
    json_array_foreach (cluster->pods, i, pod) {
        if (ref_stands_on(pod, node)) {
            int64_t asked = ref_number(pod, resource);
            sum += asked < 0 ? if_none : asked;
        }
    }
    return sum;
}

static inline bool ref_room(const struct ref_cluster *cluster, const json_t *pod,
                            const json_t *node)
{
    static const char *const resources[] = {"cpu", "memory", "gpu"};
    int64_t pods = 0;
    for (size_t i = 0; i < json_array_size(cluster->pods); i++) {
        pods += ref_stands_on(json_array_get(cluster->pods, i), node);
    }
    for (size_t i = 0; i < 3; i++) {
        int64_t asked = ref_number(pod, resources[i]);
        if (asked > 0 &&
            asked + ref_used(cluster, node, resources[i], 0) > ref_number(node, resources[i])) {
            return false;
        }
    }
    return pods < ref_number(node, "pods");
}

static inline json_t *ref_port(const json_t *pod)
{
    json_t *containers = ref_at(pod, "spec", "containers", NULL);
    return json_array_get(json_object_get(json_array_get(containers, 0), "ports"), 0);
}

static inline bool ref_ports(const struct ref_cluster *cluster, const json_t *pod,
                             const json_t *node)
{
    const json_t *wanted = ref_port(pod);
    for (size_t i = 0; wanted != NULL && i < json_array_size(cluster->pods); i++) {
        const json_t *other = json_array_get(cluster->pods, i), *used = ref_port(other);
        const char *ip = ref_text(wanted, "hostIP"),
                   *used_ip = used ? ref_text(used, "hostIP") : NULL;
        if (used != NULL && ref_stands_on(other, node) &&
            json_equal(json_object_get(wanted, "hostPort"), json_object_get(used, "hostPort")) &&
            ref_is(ref_text(wanted, "protocol"), ref_text(used, "protocol")) &&
            (ip == NULL || used_ip == NULL || ref_is(ip, used_ip))) {
            return false;
        }
    }
    return true;
}

/* ---- spreading ---- */

static inline bool ref_counted(const json_t *pod, const json_t *other, const json_t *constraint)
{
    const json_t *selector = json_object_get(constraint, "labelSelector");
    json_t *keys = json_object_get(constraint, "matchLabelKeys");
    size_t asked = json_object_size(json_object_get(selector, "matchLabels")) +
                   json_array_size(json_object_get(selector, "matchExpressions"));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        if (ref_label(pod, key) != NULL) {
            asked++;
            if (!ref_is(ref_label(pod, key), ref_label(other, key))) {
                return false;
            }
        }
    }
    return asked > 0 && ref_is(ref_namespace(pod), ref_namespace(other)) &&
           !json_is_true(json_object_get(other, "deleting")) &&
           ref_selects(selector, ref_labels(other));
}

static inline int64_t ref_pods_on(const struct ref_cluster *cluster, const json_t *pod,
                                  const json_t *constraint, const json_t *node)
{
    int64_t count = 0;
    for (size_t i = 0; i < json_array_size(cluster->pods); i++) {
        const json_t *other = json_array_get(cluster->pods, i);
        count += ref_stands_on(other, node) && ref_counted(pod, other, constraint);
    }
    return count;
}

static inline bool ref_has_keys(const json_t *constraints, const char *action, const json_t *node)
{
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        const json_t *constraint = json_array_get(constraints, i);
        if (ref_is(ref_text(constraint, "whenUnsatisfiable"), action) &&
            ref_label(node, ref_text(constraint, "topologyKey")) == NULL) {
            return false;
        }
    }
    return true;
}

static inline bool ref_included(const json_t *pod, const json_t *constraint, const json_t *node)
{
    bool ignores_affinity = ref_is(ref_text(constraint, "nodeAffinityPolicy"), "Ignore");
    bool honors_taints = ref_is(ref_text(constraint, "nodeTaintsPolicy"), "Honor");
    return (ignores_affinity || ref_node_affinity(pod, node)) &&
           (!honors_taints || ref_taints(pod, node));
}

/* Pods in the domain of that value, -1 when no node of it counts. */
static inline int64_t ref_in_domain(const struct ref_cluster *cluster, const json_t *pod,
                                    const json_t *constraints, const json_t *constraint,
                                    const char *value)
{
    const char *key = ref_text(constraint, "topologyKey"),
               *action = ref_text(constraint, "whenUnsatisfiable");
    int64_t count = -1;
    for (size_t i = 0; i < json_array_size(cluster->nodes); i++) {
        const json_t *node = json_array_get(cluster->nodes, i);
        if (ref_is(ref_label(node, key), value) && ref_has_keys(constraints, action, node) &&
            ref_included(pod, constraint, node)) {
            count = (count < 0 ? 0 : count) + ref_pods_on(cluster, pod, constraint, node);
        }
    }
    return count;
}

static inline bool ref_skew_fits(const struct ref_cluster *cluster, const json_t *pod,
                                 const json_t *constraints, const json_t *constraint,
                                 const json_t *node)
{
    const char *key = ref_text(constraint, "topologyKey"), *value = ref_label(node, key);
    json_t *seen = json_object();
    int64_t least = INT64_MAX, domains = 0;
    for (size_t i = 0; i < json_array_size(cluster->nodes); i++) {
        const char *other = ref_label(json_array_get(cluster->nodes, i), key);
        int64_t pods =
            other == NULL ? -1 : ref_in_domain(cluster, pod, constraints, constraint, other);
        if (pods >= 0) {
            least = pods < least ? pods : least;
            domains += json_object_get(seen, other) == NULL;
            json_object_set_new(seen, other, json_true());
        }
    }
    json_decref(seen);
    json_t *minimum = json_object_get(constraint, "minDomains");
    if (domains < (minimum != NULL ? json_integer_value(minimum) : 1)) {
        least = 0;
    }
    if (value == NULL) {
        return false;
    }
    int64_t here = ref_in_domain(cluster, pod, constraints, constraint, value);
    bool self = ref_selects(json_object_get(constraint, "labelSelector"), ref_labels(pod));
    return (here < 0 ? 0 : here) + self - least <=
           json_integer_value(json_object_get(constraint, "maxSkew"));
}

static inline bool ref_spread(const struct ref_cluster *cluster, const json_t *pod,
                              const json_t *node)
{
    json_t *constraints = ref_at(pod, "spec", "topologySpreadConstraints", NULL);
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        const json_t *constraint = json_array_get(constraints, i);
        if (ref_is(ref_text(constraint, "whenUnsatisfiable"), "DoNotSchedule") &&
            !ref_skew_fits(cluster, pod, constraints, constraint, node)) {
            return false;
        }
    }
    return true;
}

/* ---- affinity between pods ---- */

static inline json_t *ref_terms(const json_t *pod, const char *kind, bool is_required)
{
    return ref_at(pod, "spec", "affinity", kind,
                  is_required ? "requiredDuringSchedulingIgnoredDuringExecution"
                              : "preferredDuringSchedulingIgnoredDuringExecution",
                  NULL);
}

/* The term of that owner is about the other pod. */
static inline bool ref_is_about(const struct ref_cluster *cluster, const json_t *term,
                                const json_t *owner, const json_t *other)
{
    const json_t *names = json_object_get(term, "namespaces"),
                 *selector = json_object_get(term, "namespaceSelector");
    bool is_own = json_array_size(names) == 0 && selector == NULL;
    bool in_namespace =
        is_own
            ? ref_is(ref_namespace(owner), ref_namespace(other))
            : ref_lists(names, ref_namespace(other)) ||
                  ref_selects(selector, json_object_get(cluster->namespaces, ref_namespace(other)));
    return in_namespace && ref_selects(json_object_get(term, "labelSelector"), ref_labels(other));
}

static inline bool ref_all_are_about(const struct ref_cluster *cluster, const json_t *terms,
                                     const json_t *owner, const json_t *other)
{
    for (size_t i = 0; i < json_array_size(terms); i++) {
        if (!ref_is_about(cluster, json_array_get(terms, i), owner, other)) {
            return false;
        }
    }
    return true;
}

static inline bool ref_same_domain(const json_t *term, const json_t *node, const json_t *other)
{
    const char *key = ref_text(term, "topologyKey");
    return other != NULL && ref_is(ref_label(node, key), ref_label(other, key));
}

static inline bool ref_company(const struct ref_cluster *cluster, const json_t *pod,
                               const json_t *node)
{
    json_t *terms = ref_terms(pod, "podAffinity", true);
    bool all = true, none_anywhere = true;
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const json_t *term = json_array_get(terms, i);
        const char *key = ref_text(term, "topologyKey");
        bool found = false;
        if (ref_label(node, key) == NULL) {
            return false;
        }
        for (size_t n = 0; n < json_array_size(cluster->pods); n++) {
            const json_t *other = json_array_get(cluster->pods, n),
                         *there = ref_node_of(cluster, other);
            if (there != NULL && ref_all_are_about(cluster, terms, pod, other)) {
                found = found || ref_same_domain(term, node, there);
                none_anywhere = none_anywhere && ref_label(there, key) == NULL;
            }
        }
        all = all && found;
    }
    return all || (none_anywhere && ref_all_are_about(cluster, terms, pod, pod));
}

/* Neither is there a pod that this one forbids, nor one that forbids it. */
static inline bool ref_peace(const struct ref_cluster *cluster, const json_t *pod,
                             const json_t *node)
{
    json_t *own = ref_terms(pod, "podAntiAffinity", true);
    for (size_t n = 0; n < json_array_size(cluster->pods); n++) {
        const json_t *other = json_array_get(cluster->pods, n),
                     *there = ref_node_of(cluster, other);
        json_t *theirs = ref_terms(other, "podAntiAffinity", true);
        for (size_t i = 0; i < json_array_size(own); i++) {
            const json_t *term = json_array_get(own, i);
            if (ref_same_domain(term, node, there) && ref_is_about(cluster, term, pod, other)) {
                return false;
            }
        }
        for (size_t i = 0; i < json_array_size(theirs); i++) {
            const json_t *term = json_array_get(theirs, i);
            if (ref_same_domain(term, node, there) && ref_is_about(cluster, term, other, pod)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- all filters ---- */

static inline bool ref_fits(const struct ref_cluster *cluster, const json_t *pod,
                            const json_t *node)
{
    return ref_unschedulable(pod, node) && ref_taints(pod, node) && ref_node_affinity(pod, node) &&
           ref_ports(cluster, pod, node) && ref_room(cluster, pod, node) &&
           ref_spread(cluster, pod, node) && ref_company(cluster, pod, node) &&
           ref_peace(cluster, pod, node);
}

#endif
