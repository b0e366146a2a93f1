// SPDX-License-Identifier: Apache-2.0
/* Pods as a pod informer would bring them, for tests of what controllers decide. Include after
 * cmocka.h. */
#ifndef TEST_UNIT_PODS_HARNESS_H
#define TEST_UNIT_PODS_HARNESS_H

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/pod_view.h"

static const int64_t test_now = INT64_C(1800000000) * INT64_C(1000000000);

/* What a test says of a pod; what is 0 is absent. */
struct test_pod {
    const char *name, *revision, *node, *target, *phase; /* Its phase is Running. */
    bool is_ready, is_deleting;
    int ready_for, age; /* Seconds. */
    const char *claim;
};

static inline json_t *test_ago(int64_t seconds)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format(test_now - seconds * INT64_C(1000000000), text);
    return json_string(text);
}

/* Adds it to the list; returns it, borrowed. */
static inline struct cached_object *test_pod_add(struct cached_list *pods, struct test_pod pod)
{
    cleanup(json_release)
    json_t *object =
        json_pack("{s:{s:s, s:s, s:s, s:o, s:{s:s, s:s}}, s:{}, s:{s:s, s:[{s:s, s:s, s:o}]}}",
                  "metadata", "name", pod.name, "namespace", "default", "uid", pod.name,
                  "creationTimestamp", test_ago(pod.age), "labels", "controller-revision-hash",
                  pod.revision != NULL ? pod.revision : "", "statefulset.kubernetes.io/pod-name",
                  pod.name, "spec", "status", "phase", pod.phase != NULL ? pod.phase : "Running",
                  "conditions", "type", "Ready", "status", pod.is_ready ? "True" : "False",
                  "lastTransitionTime", test_ago(pod.ready_for));
    json_t *spec = json_object_get(object, "spec");
    if (pod.is_deleting) {
        json_object_set_new(json_object_get(object, "metadata"), "deletionTimestamp", test_ago(0));
    }
    if (pod.node != NULL) {
        json_object_set_new(spec, "nodeName", json_string(pod.node));
    }
    if (pod.claim != NULL) {
        json_object_set_new(spec, "volumes",
                            json_pack("[{s:s, s:{s:s}}]", "name", "data", "persistentVolumeClaim",
                                      "claimName", pod.claim));
    }
    if (pod.target != NULL) {
        json_object_set_new(spec, "affinity",
                            json_pack("{s:{s:{s:[{s:[{s:s, s:s, s:[s]}]}]}}}", "nodeAffinity",
                                      "requiredDuringSchedulingIgnoredDuringExecution",
                                      "nodeSelectorTerms", "matchFields", "key", "metadata.name",
                                      "operator", "In", "values", pod.target));
    }
    cleanup(free_char)
    char *text = json_text(object);
    cleanup(cached_object_release)
    struct cached_object *cached = cached_object_new(&pod_class, text, strlen(text));
    assert_non_null(cached);
    cached_list_add(pods, cached);
    return pods->items[pods->count - 1];
}

#endif
