// SPDX-License-Identifier: Apache-2.0
#include "controllers/statefulset_pod.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/history.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/pod_view.h"

static const char name_label[] = "statefulset.kubernetes.io/pod-name";
static const char index_label[] = "apps.kubernetes.io/pod-index";

/* ---- names ---- */

struct statefulset_range statefulset_range(const json_t *set)
{
    const json_t *spec = json_object_get(set, "spec");
    return (struct statefulset_range){
        .start = json_get_int(json_object_get(spec, "ordinals"), "start", 0),
        .replicas = json_get_int(spec, "replicas", 1),
    };
}

bool statefulset_wants(const json_t *set, int64_t ordinal)
{
    struct statefulset_range range = statefulset_range(set);
    return ordinal >= range.start && ordinal < range.start + range.replicas;
}

int64_t statefulset_ordinal(const char *set_name, const char *pod_name)
{
    size_t length = strlen(set_name);
    const char *number = pod_name + length + 1;
    if (strncmp(pod_name, set_name, length) != 0 || pod_name[length] != '-' || *number == '\0' ||
        strspn(number, "0123456789") != strlen(number) || strlen(number) > 10 ||
        (number[0] == '0' && number[1] != '\0')) {
        return -1;
    }
    long long ordinal = strtoll(number, NULL, 10);
    return ordinal <= INT32_MAX ? ordinal : -1;
}

static const char *set_name(const json_t *set)
{
    return json_path_string(set, "metadata", "name");
}

/* ---- claims ---- */

static char *claim_name(const json_t *set, const json_t *claim_template, int64_t ordinal)
{
    const char *name = json_path_string(claim_template, "metadata", "name");
    return format("%s-%s-%lld", name != NULL ? name : "", set_name(set), (long long)ordinal);
}

static const json_t *claim_templates(const json_t *set)
{
    return json_path(set, "spec", "volumeClaimTemplates");
}

json_t *statefulset_claims(const json_t *set, int64_t ordinal)
{
    json_t *claims = json_array();
    size_t i;
    const json_t *from;
    json_array_foreach (claim_templates(set), i, from) {
        json_t *claim = json_deep_copy(from);
        json_t *metadata = json_get_or_add_object(claim, "metadata");
        cleanup(free_char)
        char *name = claim_name(set, from, ordinal);
        json_object_set_new(metadata, "name", json_string(name));
        json_object_set(metadata, "namespace", json_path(set, "metadata", "namespace"));
        json_t *labels = json_get_or_add_object(metadata, "labels");
        json_object_update(labels, json_path(set, "spec", "selector", "matchLabels"));
        json_object_set_new(claim, "apiVersion", json_string("v1"));
        json_object_set_new(claim, "kind", json_string("PersistentVolumeClaim"));
        json_array_append_new(claims, claim);
    }
    return claims;
}

/* ---- pods ---- */

static bool is_claimed(const json_t *set, const char *volume)
{
    size_t i;
    const json_t *from;
    json_array_foreach (claim_templates(set), i, from) {
        const char *name = json_path_string(from, "metadata", "name");
        if (name != NULL && strcmp(name, volume) == 0) {
            return true;
        }
    }
    return false;
}

/* The volumes of the claims, then those of the template that have other names. */
static void set_volumes(const json_t *set, json_t *spec, int64_t ordinal)
{
    json_t *volumes = json_array();
    size_t i;
    json_t *item;
    json_array_foreach (claim_templates(set), i, item) {
        cleanup(free_char)
        char *name = claim_name(set, item, ordinal);
        json_array_append_new(volumes, json_pack("{s:O, s:{s:s}}", "name",
                                                 json_path(item, "metadata", "name"),
                                                 "persistentVolumeClaim", "claimName", name));
    }
    json_array_foreach (json_object_get(spec, "volumes"), i, item) {
        const char *name = json_get_string(item, "name");
        if (name == NULL || !is_claimed(set, name)) {
            json_array_append(volumes, item);
        }
    }
    if (json_array_size(volumes) > 0) {
        json_object_set(spec, "volumes", volumes);
    }
    json_decref(volumes);
}

static void set_labels(json_t *metadata, const char *name, int64_t ordinal)
{
    cleanup(free_char)
    char *index = format("%lld", (long long)ordinal);
    json_t *labels = json_get_or_add_object(metadata, "labels");
    json_object_set_new(labels, name_label, json_string(name));
    json_object_set_new(labels, index_label, json_string(index));
}

json_t *statefulset_make_pod(const json_t *set, const json_t *pod_template, const char *revision,
                             int64_t ordinal)
{
    cleanup(free_char)
    char *name = format("%s-%lld", set_name(set), (long long)ordinal);
    cleanup(json_release)
    json_t *own_template = json_deep_copy(pod_template);
    json_t *pod = pod_control_make(set, own_template);
    json_t *metadata = json_object_get(pod, "metadata");
    json_t *spec = json_object_get(pod, "spec");
    const char *service = json_path_string(set, "spec", "serviceName");
    json_object_set_new(metadata, "name", json_string(name));
    json_object_set(metadata, "namespace", json_path(set, "metadata", "namespace"));
    set_labels(metadata, name, ordinal);
    json_object_set_new(json_object_get(metadata, "labels"), history_hash_label,
                        json_string(revision));
    json_object_set_new(spec, "hostname", json_string(name));
    if (service != NULL && *service != '\0') {
        json_object_set_new(spec, "subdomain", json_string(service));
    }
    set_volumes(set, spec, ordinal);
    return pod;
}

static bool names_claim(const struct cached_object *pod, const char *claim)
{
    for (const char *name = pod_view(pod)->claims; *name != '\0'; name += strlen(name) + 1) {
        if (strcmp(name, claim) == 0) {
            return true;
        }
    }
    return false;
}

bool statefulset_pod_is_itself(const json_t *set, const struct cached_object *pod, int64_t ordinal)
{
    size_t length, i;
    const json_t *from;
    const char *label = cached_object_label(pod, name_label, &length);
    if (label == NULL || length != strlen(pod->name) || strncmp(label, pod->name, length) != 0) {
        return false;
    }
    json_array_foreach (claim_templates(set), i, from) {
        cleanup(free_char)
        char *claim = claim_name(set, from, ordinal);
        if (!names_claim(pod, claim)) {
            return false;
        }
    }
    return true;
}

void statefulset_mend_pod(const json_t *set, json_t *pod, int64_t ordinal)
{
    json_t *metadata = json_object_get(pod, "metadata");
    set_labels(metadata, json_get_string(metadata, "name"), ordinal);
    set_volumes(set, json_object_get(pod, "spec"), ordinal);
}

/* ---- to whom a claim belongs ---- */

static bool equal(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool is_reference(const json_t *reference, const char *api_version, const char *kind,
                         const char *name)
{
    return equal(json_get_string(reference, "apiVersion"), api_version) &&
           equal(json_get_string(reference, "kind"), kind) &&
           equal(json_get_string(reference, "name"), name);
}

static bool is_to_set(const struct statefulset_claimant *claimant, const json_t *reference)
{
    return is_reference(reference, "apps/v1", "StatefulSet", set_name(claimant->set));
}

static bool is_to_pod(const struct statefulset_claimant *claimant, const json_t *reference)
{
    return is_reference(reference, "v1", "Pod", claimant->pod_name);
}

static const char *set_uid(const struct statefulset_claimant *claimant)
{
    return json_path_string(claimant->set, "metadata", "uid");
}

static const json_t *references(const json_t *claim)
{
    return json_path(claim, "metadata", "ownerReferences");
}

static bool deletes(const struct statefulset_claimant *claimant, const char *when)
{
    return equal(
        json_path_string(claimant->set, "spec", "persistentVolumeClaimRetentionPolicy", when),
        "Delete");
}

/* Whose the claim is to be: nobody's, or one's of both. */
struct wish {
    bool set, pod;
};

static struct wish wish_of(const struct statefulset_claimant *claimant)
{
    bool goes_with_set = deletes(claimant, "whenDeleted");
    bool goes_with_pod = deletes(claimant, "whenScaled");
    bool is_condemned = !statefulset_wants(claimant->set, claimant->ordinal);
    return (struct wish){
        .set = goes_with_set && !(goes_with_pod && is_condemned),
        .pod = goes_with_pod && is_condemned,
    };
}

static bool has_owner(const json_t *claim, const char *uid)
{
    size_t i;
    const json_t *reference;
    json_array_foreach (references(claim), i, reference) {
        if (equal(json_get_string(reference, "uid"), uid)) {
            return true;
        }
    }
    return false;
}

/* The first reference to a thing of that name is to another thing than there is now. */
static bool has_former_owner(const struct statefulset_claimant *claimant, const json_t *claim,
                             bool of_set)
{
    size_t i;
    const json_t *reference;
    json_array_foreach (references(claim), i, reference) {
        if (of_set ? is_to_set(claimant, reference) : is_to_pod(claimant, reference)) {
            return !equal(json_get_string(reference, "uid"),
                          of_set ? set_uid(claimant) : claimant->pod_uid);
        }
    }
    return false;
}

bool statefulset_claim_is_foreign(const struct statefulset_claimant *claimant, const json_t *claim)
{
    size_t i;
    const json_t *reference;
    if (!deletes(claimant, "whenDeleted") && !deletes(claimant, "whenScaled")) {
        return false; /* What is kept anyway may be anybody's. */
    }
    json_array_foreach (references(claim), i, reference) {
        const char *uid = json_get_string(reference, "uid");
        bool is_ours = (is_to_set(claimant, reference) && equal(uid, set_uid(claimant))) ||
                       (is_to_pod(claimant, reference) && equal(uid, claimant->pod_uid));
        bool is_former =
            !is_ours && (is_to_set(claimant, reference) || is_to_pod(claimant, reference));
        if (is_former || (!is_ours && json_get_bool(reference, "controller", false))) {
            return true;
        }
    }
    return false;
}

/* We own it, but not as its controller. */
static bool is_owned_weakly(const struct statefulset_claimant *claimant, const json_t *claim)
{
    size_t i;
    const json_t *reference;
    json_array_foreach (references(claim), i, reference) {
        const char *uid = json_get_string(reference, "uid");
        if ((equal(uid, set_uid(claimant)) || equal(uid, claimant->pod_uid)) &&
            !json_get_bool(reference, "controller", false)) {
            return true;
        }
    }
    return false;
}

bool statefulset_claim_is_right(const struct statefulset_claimant *claimant, const json_t *claim)
{
    bool of_set = has_owner(claim, set_uid(claimant));
    bool of_pod = has_owner(claim, claimant->pod_uid);
    struct wish wish = wish_of(claimant);
    if (has_former_owner(claimant, claim, true) || has_former_owner(claimant, claim, false)) {
        return true; /* It goes, or went, with somebody before us. */
    }
    if (statefulset_claim_is_foreign(claimant, claim)) {
        return !of_set && !of_pod;
    }
    return !is_owned_weakly(claimant, claim) && of_set == wish.set && of_pod == wish.pod;
}

void statefulset_own_claim(const struct statefulset_claimant *claimant, json_t *claim)
{
    bool is_foreign = statefulset_claim_is_foreign(claimant, claim);
    struct wish wish = wish_of(claimant);
    json_t *kept = json_array();
    size_t i;
    json_t *reference;
    json_array_foreach (references(claim), i, reference) {
        if (!is_to_set(claimant, reference) && !is_to_pod(claimant, reference)) {
            json_array_append(kept, reference);
        }
    }
    if (!is_foreign && wish.set) {
        json_array_append_new(kept, owner_reference(claimant->set));
    }
    if (!is_foreign && wish.pod && claimant->pod_uid[0] != '\0') {
        json_array_append_new(kept, json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion", "v1",
                                              "kind", "Pod", "name", claimant->pod_name, "uid",
                                              claimant->pod_uid, "controller", 1,
                                              "blockOwnerDeletion", 1));
    }
    json_object_set_new(json_get_or_add_object(claim, "metadata"), "ownerReferences", kept);
}

bool statefulset_claim_is_stale(const struct statefulset_claimant *claimant, const json_t *claim)
{
    return deletes(claimant, "whenScaled") && has_former_owner(claimant, claim, false);
}
