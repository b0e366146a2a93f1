// SPDX-License-Identifier: Apache-2.0
#include "scheduler/pod_volumes.h"

#include <string.h>

#include "common/alloc.h"
#include "scheduler/node_cache.h"
#include "scheduler/volume_plan.h"

/* ---- the key of a class ---- */

/* Members of volumes: claims, and disks of which a node takes so many or one pod at a time. */
static const char *const members[] = {
    "persistentVolumeClaim",
    "ephemeral",
    "awsElasticBlockStore",
    "gcePersistentDisk",
    "azureDisk",
    "cinder",
    "vsphereVolume",
    "portworxVolume",
    "rbd",
    "iscsi",
};

enum { member_claim, member_ephemeral };

struct key_state {
    struct buffer *key;
    bool matters, is_ephemeral;
};

static bool look_at_member(void *argument, struct json_span key, struct json_span value)
{
    struct key_state *state = argument;
    (void)value;
    for (size_t i = 0; i < array_length(members); i++) {
        if (key.text[0] == members[i][0] && key.length == strlen(members[i]) &&
            memcmp(key.text, members[i], key.length) == 0) {
            state->matters = true;
            state->is_ephemeral = state->is_ephemeral || i == member_ephemeral;
        }
    }
    return true;
}

/* Finds the member beside its name in a volume as the API server writes it, without reading all of
 * it: nearly every pod has a volume, and nearly none of them matters. False when it is written
 * otherwise. */
static bool peek_at_source(struct json_span volume, struct json_span *key)
{
    static const char name[] = "{\"name\":\"";
    const char *end = volume.text + volume.length;
    const char *at = volume.text + sizeof name - 1;
    if (volume.length < sizeof name || memcmp(volume.text, name, sizeof name - 1) != 0) {
        return false;
    }
    at = memchr(at, '"', (size_t)(end - at)); /* No volume's name needs an escape. */
    if (at == NULL || end - at < 4 || memcmp(at, "\",\"", 3) != 0) {
        return false;
    }
    const char *close = memchr(at + 3, '"', (size_t)(end - at - 3));
    *key = (struct json_span){at + 3, close != NULL ? (size_t)(close - at - 3) : 0};
    return close != NULL;
}

static bool look_at_volume(void *argument, struct json_span volume)
{
    struct key_state *state = argument;
    struct json_span source;
    state->matters = false;
    if (peek_at_source(volume, &source)) {
        look_at_member(state, source, volume);
    } else {
        json_scan_members(volume, look_at_member, state);
    }
    if (state->matters) {
        buffer_add(state->key, volume.text, volume.length);
    }
    return true;
}

void pod_volumes_add_key(struct json_span volumes, const struct cached_object *pod,
                         struct buffer *key)
{
    struct key_state state = {.key = key};
    json_scan_elements(volumes, look_at_volume, &state);
    if (state.is_ephemeral) {
        buffer_addf(key, "%s\n%s\n", pod->name, pod->uid);
    }
}

/* ---- parsing ---- */

static void add_claim(struct pod_volumes *pod_volumes, char *key, bool is_ephemeral)
{
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        if (strcmp(pod_volumes->claims[i].key, key) == 0) {
            free(key);
            return;
        }
    }
    pod_volumes->claims[pod_volumes->claim_count++] =
        (struct pod_claim){.key = key, .is_ephemeral = is_ephemeral};
}

static void add_volume(struct pod_volumes *pod_volumes, json_t *volume, const char *namespace,
                       const char *pod_name)
{
    const json_t *claim = json_object_get(volume, members[member_claim]);
    if (claim != NULL) {
        const char *name = json_get_string(claim, "claimName");
        add_claim(pod_volumes, format("%s/%s", namespace, name != NULL ? name : ""), false);
    } else if (json_object_get(volume, members[member_ephemeral]) != NULL) {
        const char *name = json_get_string(volume, "name");
        add_claim(pod_volumes, format("%s/%s-%s", namespace, pod_name, name != NULL ? name : ""),
                  true);
    }
    for (size_t i = member_ephemeral + 1; i < array_length(members); i++) {
        if (json_object_get(volume, members[i]) != NULL) {
            json_array_append(pod_volumes->disks, volume);
        }
    }
}

struct pod_volumes *pod_volumes_parse(const json_t *spec, const char *namespace, const char *name)
{
    const json_t *list = json_object_get(spec, "volumes");
    size_t i;
    json_t *volume;
    if (json_array_size(list) == 0) {
        return NULL;
    }
    struct pod_volumes *pod_volumes = allocate_struct(struct pod_volumes);
    pod_volumes->claims = allocate_zero(json_array_size(list), sizeof *pod_volumes->claims);
    pod_volumes->disks = json_array();
    json_array_foreach (list, i, volume) {
        add_volume(pod_volumes, volume, namespace, name);
    }
    if (pod_volumes->claim_count == 0 && json_array_size(pod_volumes->disks) == 0) {
        pod_volumes_free(steal(pod_volumes));
    }
    return pod_volumes;
}

void pod_volumes_free(struct pod_volumes *pod_volumes)
{
    if (pod_volumes == NULL) {
        return;
    }
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        free(pod_volumes->claims[i].key);
    }
    volume_searches_clear(pod_volumes);
    free(pod_volumes->claims);
    json_decref(pod_volumes->disks);
    free(pod_volumes);
}

/* ---- claims ---- */

void pod_volumes_know(struct volumes *volumes, struct pod_volumes *pod_volumes)
{
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        struct pod_claim *named = &pod_volumes->claims[i];
        if (named->claim == NULL) {
            named->claim = volumes_claim_ref(volumes, named->key);
        }
    }
}

void pod_volumes_forget(struct volumes *volumes, struct pod_volumes *pod_volumes)
{
    for (size_t i = 0; pod_volumes != NULL && i < pod_volumes->claim_count; i++) {
        struct claim *claim = steal(pod_volumes->claims[i].claim);
        if (claim != NULL) {
            volumes_claim_unref(volumes, claim);
        }
    }
}

/* ---- on nodes ---- */

void pod_volumes_count(struct node *node, const struct pod_class *class, int change)
{
    for (size_t i = 0; i < class->volumes->claim_count; i++) {
        struct claim *claim = class->volumes->claims[i].claim;
        if (claim != NULL) {
            claim->users += (size_t)change;
        }
    }
    for (size_t i = 0; i < node->volume_user_count; i++) {
        struct volume_user *user = &node->volume_users[i];
        if (user->class == class) {
            user->count += change;
            if (user->count == 0) {
                *user = node->volume_users[--node->volume_user_count];
            }
            return;
        }
    }
    node->volume_users = grow(node->volume_users, node->volume_user_count,
                              &node->volume_user_capacity, sizeof *node->volume_users);
    node->volume_users[node->volume_user_count++] = (struct volume_user){class, change};
}

/* ---- what matters to whom ---- */

/* A volume or a class can be the claim's. */
static bool concerns_claim(const struct claim *claim, const struct volume_change *change)
{
    if (claim == NULL || !claim->exists) {
        return false; /* It waits for its claim. */
    }
    const char *class = change->kind == CHANGE_CLASS ? change->name : change->class_name;
    return (change->kind == CHANGE_VOLUME && strcmp(claim->volume_name, change->name) == 0) ||
           (!claim_is_bound(claim) && strcmp(claim->shape.class_name, class) == 0);
}

bool pod_volumes_concern(const struct pod_class *class, const struct volume_change *change)
{
    if (class->volumes == NULL) {
        return false;
    }
    if (change->kind == CHANGE_CSI_NODE || change->kind == CHANGE_DETACHED ||
        change->kind == CHANGE_DRIVER) {
        return true;
    }
    for (size_t i = 0; i < class->volumes->claim_count; i++) {
        const struct pod_claim *named = &class->volumes->claims[i];
        if (change->kind == CHANGE_CLAIM ? strcmp(named->key, change->name) == 0
                                         : concerns_claim(named->claim, change)) {
            return true;
        }
    }
    return false;
}

static bool same_text(const json_t *a, const json_t *b, const char *member)
{
    const char *text = json_get_string(a, member), *other = json_get_string(b, member);
    return strcmp(text != NULL ? text : "", other != NULL ? other : "") == 0;
}

static bool have_common(const json_t *a, const json_t *b)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (a, i, entry) {
        if (json_is_string(entry) && json_array_has_string(b, json_string_value(entry))) {
            return true;
        }
    }
    return false;
}

static bool both_only_read(const json_t *a, const json_t *b)
{
    return json_get_bool(a, "readOnly", false) && json_get_bool(b, "readOnly", false);
}

bool pod_volumes_disks_conflict(const json_t *disk, const json_t *other)
{
    const json_t *a = json_object_get(disk, "gcePersistentDisk");
    const json_t *b = json_object_get(other, "gcePersistentDisk");
    if (a != NULL && b != NULL && same_text(a, b, "pdName") && !both_only_read(a, b)) {
        return true;
    }
    a = json_object_get(disk, "awsElasticBlockStore");
    b = json_object_get(other, "awsElasticBlockStore");
    if (a != NULL && b != NULL && same_text(a, b, "volumeID")) {
        return true;
    }
    a = json_object_get(disk, "iscsi");
    b = json_object_get(other, "iscsi");
    if (a != NULL && b != NULL && same_text(a, b, "iqn") && !both_only_read(a, b)) {
        return true;
    }
    a = json_object_get(disk, "rbd");
    b = json_object_get(other, "rbd");
    return a != NULL && b != NULL &&
           have_common(json_object_get(a, "monitors"), json_object_get(b, "monitors")) &&
           same_text(a, b, "pool") && same_text(a, b, "image") && !both_only_read(a, b);
}

bool pod_volumes_meet(const struct pod_class *class, const struct pod_class *other)
{
    if (class->volumes == NULL || other->volumes == NULL) {
        return false;
    }
    for (size_t i = 0; i < class->volumes->claim_count; i++) {
        for (size_t n = 0; n < other->volumes->claim_count; n++) {
            if (strcmp(class->volumes->claims[i].key, other->volumes->claims[n].key) == 0) {
                return true;
            }
        }
    }
    size_t i, n;
    const json_t *disk, *disk_of_other;
    json_array_foreach (class->volumes->disks, i, disk) {
        json_array_foreach (other->volumes->disks, n, disk_of_other) {
            if (pod_volumes_disks_conflict(disk, disk_of_other)) {
                return true;
            }
        }
    }
    return false;
}
