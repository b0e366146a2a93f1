// SPDX-License-Identifier: Apache-2.0
#include "controllers/deployment_template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/owner.h"

enum { revision_history_max = 2000 }; /* Bytes; what is older is dropped. */

const char revision_annotation[] = "deployment.kubernetes.io/revision";
static const char history_annotation[] = "deployment.kubernetes.io/revision-history";
static const char desired_annotation[] = "deployment.kubernetes.io/desired-replicas";
static const char max_annotation[] = "deployment.kubernetes.io/max-replicas";
static const char hash_label[] = "pod-template-hash";

/* ---- templates ---- */

static uint32_t fnv32(uint32_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ at[i]) * 16777619u;
    }
    return hash;
}

void template_hash_spell(uint32_t sum, char hash[static TEMPLATE_HASH_SIZE])
{
    /* No vowels and no look-alikes: nothing that spells a word. */
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    snprintf(hash, TEMPLATE_HASH_SIZE, "%u", sum);
    for (char *at = hash; *at != '\0'; at++) {
        *at = alphabet[(unsigned char)*at % (sizeof alphabet - 1)];
    }
}

void template_hash(const json_t *pod_template, json_int_t collisions,
                   char hash[static TEMPLATE_HASH_SIZE])
{
    char *text = json_dumps(pod_template, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    uint32_t sum = fnv32(2166136261u, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
    free(text);
    if (collisions >= 0) {
        uint32_t count = (uint32_t)collisions;
        sum = fnv32(sum, &count, sizeof count);
    }
    template_hash_spell(sum, hash);
}

/* A copy with nothing in it that says the same as its absence, and without the hash. */
static json_t *comparable(const json_t *pod_template)
{
    json_t *copy = pod_template != NULL ? json_copy((json_t *)pod_template) : json_object();
    json_t *metadata = json_deep_copy(json_object_get(copy, "metadata"));
    static const char *const maps[] = {"labels", "annotations"};
    json_object_del(json_object_get(metadata, "labels"), hash_label);
    for (size_t i = 0; i < array_length(maps); i++) {
        if (json_object_size(json_object_get(metadata, maps[i])) == 0) {
            json_object_del(metadata, maps[i]);
        }
    }
    if (json_is_null(json_object_get(metadata, "creationTimestamp"))) {
        json_object_del(metadata, "creationTimestamp");
    }
    if (json_object_size(metadata) > 0) {
        json_object_set(copy, "metadata", metadata);
    } else {
        json_object_del(copy, "metadata");
    }
    json_decref(metadata);
    return copy;
}

bool template_equals(const json_t *a, const json_t *b)
{
    cleanup(json_release)
    json_t *first = comparable(a);
    cleanup(json_release)
    json_t *second = comparable(b);
    return json_equal(first, second);
}

/* The name with the hash behind it, no longer than a name may be. */
static char *replicaset_name(const char *deployment, const char *hash)
{
    const size_t name_max = 253;
    size_t room = name_max - strlen(hash) - 1, length = strlen(deployment);
    return format("%.*s-%s", (int)(length < room ? length : room), deployment, hash);
}

json_t *template_replicaset(const json_t *deployment, json_int_t replicas)
{
    const json_t *metadata = json_object_get(deployment, "metadata");
    const json_t *spec = json_object_get(deployment, "spec");
    char hash[TEMPLATE_HASH_SIZE];
    template_hash(json_object_get(spec, "template"),
                  json_get_int(json_object_get(deployment, "status"), "collisionCount", -1), hash);
    cleanup(json_release)
    json_t *pod_template = json_deep_copy(json_object_get(spec, "template"));
    cleanup(json_release)
    json_t *selector = json_deep_copy(json_object_get(spec, "selector"));
    json_t *labels =
        json_get_or_add_object(json_get_or_add_object(pod_template, "metadata"), "labels");
    json_object_set_new(labels, hash_label, json_string(hash));
    json_object_set_new(json_get_or_add_object(selector, "matchLabels"), hash_label,
                        json_string(hash));
    cleanup(free_char)
    char *name = replicaset_name(json_get_string(metadata, "name"), hash);
    return json_pack("{s:s, s:s, s:{s:s, s:O, s:o, s:[o]}, s:{s:I, s:I, s:O, s:O}}", "kind",
                     "ReplicaSet", "apiVersion", "apps/v1", "metadata", "name", name, "namespace",
                     json_object_get(metadata, "namespace"), "labels", json_deep_copy(labels),
                     "ownerReferences", owner_reference(deployment), "spec", "replicas", replicas,
                     "minReadySeconds", json_get_int(spec, "minReadySeconds", 0), "selector",
                     selector, "template", pod_template);
}

/* ---- annotations ---- */

static const char *annotation(const json_t *object, const char *name)
{
    return json_path_string(object, "metadata", "annotations", name);
}

bool annotate(json_t *object, const char *name, const char *value)
{
    const char *present = annotation(object, name);
    if (present != NULL && strcmp(present, value) == 0) {
        return false;
    }
    json_t *annotations =
        json_get_or_add_object(json_get_or_add_object(object, "metadata"), "annotations");
    json_object_set_new(annotations, name, json_string(value));
    return true;
}

static bool annotate_number(json_t *object, const char *name, json_int_t number)
{
    cleanup(free_char)
    char *text = format("%lld", (long long)number);
    return annotate(object, name, text);
}

/* A number of an annotation: 'absent' when there is none, -1 when it is something else. */
static json_int_t number_of(const json_t *object, const char *name, json_int_t absent)
{
    const char *text = annotation(object, name);
    char *end;
    if (text == NULL) {
        return absent;
    }
    errno = 0;
    long number = strtol(text, &end, 10);
    return errno == 0 && *text != '\0' && *end == '\0' && number >= 0 ? number : -1;
}

json_int_t revision_of(const json_t *object)
{
    return number_of(object, revision_annotation, 0);
}

json_int_t annotated_desired_replicas(const json_t *replicaset)
{
    return number_of(replicaset, desired_annotation, -1);
}

json_int_t annotated_max_replicas(const json_t *replicaset)
{
    return number_of(replicaset, max_annotation, -1);
}

bool replicas_annotate(json_t *replicaset, json_int_t desired, json_int_t max)
{
    bool changed = annotate_number(replicaset, desired_annotation, desired);
    return annotate_number(replicaset, max_annotation, max) || changed;
}

static bool is_copied(const char *name)
{
    static const char *const own[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                      "deprecated.deployment.rollback.to",
                                      revision_annotation,
                                      history_annotation,
                                      desired_annotation,
                                      max_annotation};
    for (size_t i = 0; i < array_length(own); i++) {
        if (strcmp(name, own[i]) == 0) {
            return false;
        }
    }
    return true;
}

void template_restore_annotations(json_t *deployment, const json_t *replicaset)
{
    const char *name;
    json_t *value;
    json_t *metadata = json_object_get(deployment, "metadata");
    cleanup(json_release)
    json_t *before = json_incref(json_object_get(metadata, "annotations"));
    json_object_set_new(metadata, "annotations", json_object());
    json_object_foreach (before, name, value) {
        if (!is_copied(name)) {
            annotate(deployment, name, json_string_value(value));
        }
    }
    json_object_foreach (json_path(replicaset, "metadata", "annotations"), name, value) {
        if (is_copied(name)) {
            annotate(deployment, name, json_string_value(value));
        }
    }
}

/* Appends a revision to those that the set had before. */
static void note_earlier(json_t *replicaset, json_int_t revision)
{
    const char *history = annotation(replicaset, history_annotation);
    cleanup(free_char)
    char *text = history == NULL || *history == '\0'
                     ? format("%lld", (long long)revision)
                     : format("%s,%lld", history, (long long)revision);
    const char *from = text;
    while (strlen(from) > revision_history_max && strchr(from, ',') != NULL) {
        from = strchr(from, ',') + 1;
    }
    annotate(replicaset, history_annotation, from);
}

bool revision_annotate(json_t *replicaset, const json_t *deployment, json_int_t revision)
{
    const char *name;
    json_t *value;
    bool changed = false;
    json_object_foreach (json_path(deployment, "metadata", "annotations"), name, value) {
        if (is_copied(name)) {
            changed = annotate(replicaset, name, json_string_value(value)) || changed;
        }
    }
    json_int_t earlier = revision_of(replicaset);
    if (earlier < 0 || earlier >= revision) {
        return changed;
    }
    if (annotation(replicaset, revision_annotation) != NULL) {
        note_earlier(replicaset, earlier);
    }
    annotate_number(replicaset, revision_annotation, revision);
    return true;
}
