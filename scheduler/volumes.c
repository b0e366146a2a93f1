// SPDX-License-Identifier: Apache-2.0
#include "scheduler/volumes.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/node_match.h"
#include "scheduler/node_cache.h"
#include "scheduler/volume_plan.h"

/* ---- text ---- */

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static void set_text(char **member, const char *text)
{
    free(*member);
    *member = duplicate(text_or_empty(text));
}

static char *key_of(const json_t *object)
{
    const char *namespace = json_path_string(object, "metadata", "namespace");
    const char *name = text_or_empty(json_path_string(object, "metadata", "name"));
    return namespace != NULL && *namespace != '\0' ? format("%s/%s", namespace, name)
                                                   : duplicate(name);
}

static int64_t version_of(const json_t *object)
{
    const char *text = json_path_string(object, "metadata", "resourceVersion");
    return text != NULL ? strtoll(text, NULL, 10) : 0;
}

static bool is_text(const char *text, const char *other)
{
    return text != NULL && strcmp(text, other) == 0;
}

/* ---- what is the same of claims and volumes ---- */

static unsigned modes_of(const json_t *spec)
{
    static const char *const names[] = {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany",
                                        "ReadWriteOncePod"};
    unsigned modes = 0;
    for (size_t i = 0; i < array_length(names); i++) {
        if (json_array_has_string(json_object_get(spec, "accessModes"), names[i])) {
            modes |= 1U << i;
        }
    }
    return modes;
}

static struct quantity amount_of(const char *text)
{
    struct quantity quantity;
    return text != NULL && quantity_parse(text, &quantity) ? quantity : (struct quantity){0};
}

static void set_shape(struct volume_shape *shape, const json_t *object, const char *size)
{
    const json_t *spec = json_object_get(object, "spec");
    const char *class = json_path_string(object, "metadata", "annotations",
                                         "volume.beta.kubernetes.io/storage-class");
    shape->size = amount_of(size);
    shape->modes = modes_of(spec);
    shape->is_block = is_text(json_get_string(spec, "volumeMode"), "Block");
    set_text(&shape->class_name, class != NULL ? class : json_get_string(spec, "storageClassName"));
    set_text(&shape->attributes_class, json_get_string(spec, "volumeAttributesClassName"));
}

static void clear_shape(struct volume_shape *shape)
{
    free(shape->class_name);
    free(shape->attributes_class);
    *shape = (struct volume_shape){0};
}

/* ---- claims ---- */

/* Leaves what is not the object's. */
static void clear_claim(struct claim *claim)
{
    free(claim->uid);
    free(claim->owner_uid);
    free(claim->volume_name);
    free(claim->selected_node);
    clear_shape(&claim->shape);
    selector_free(claim->selector);
    *claim = (struct claim){.key = claim->key,
                            .name = claim->name,
                            .references = claim->references,
                            .users = claim->users,
                            .assumed_node = claim->assumed_node};
}

static void claim_free(void *argument)
{
    struct claim *claim = argument;
    clear_claim(claim);
    free(claim->assumed_node);
    free(claim->key);
    free(claim);
}

static struct claim *find_or_make_claim(struct volumes *volumes, const char *key)
{
    struct claim *claim = map_get(&volumes->claims, key);
    if (claim == NULL) {
        claim = allocate_struct(struct claim);
        claim->key = duplicate(key);
        const char *slash = strchr(claim->key, '/');
        claim->name = slash != NULL ? slash + 1 : claim->key;
        map_set(&volumes->claims, claim->key, claim);
    }
    return claim;
}

static void drop_if_unknown(struct volumes *volumes, struct claim *claim)
{
    if (!claim->exists && claim->references == 0) {
        map_remove(&volumes->claims, claim->key);
        claim_free(claim);
    }
}

static void set_selector(struct claim *claim, const json_t *selector)
{
    if (json_is_object(selector)) {
        claim->selector = selector_from_object(selector, NULL);
        claim->is_unmatchable = claim->selector == NULL;
    }
}

static void set_owner(struct claim *claim, const json_t *owners)
{
    size_t i;
    const json_t *owner;
    json_array_foreach (owners, i, owner) {
        if (json_get_bool(owner, "controller", false)) {
            set_text(&claim->owner_uid, json_get_string(owner, "uid"));
        }
    }
}

void volumes_put_claim(struct volumes *volumes, const json_t *object)
{
    cleanup(free_char)
    char *key = key_of(object);
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *spec = json_object_get(object, "spec");
    struct claim *claim = find_or_make_claim(volumes, key);
    clear_claim(claim);
    claim->exists = true;
    claim->version = version_of(object);
    claim->is_lost = is_text(json_path_string(object, "status", "phase"), "Lost");
    claim->is_deleting = json_object_get(metadata, "deletionTimestamp") != NULL;
    claim->is_complete =
        json_path(metadata, "annotations", "pv.kubernetes.io/bind-completed") != NULL;
    set_text(&claim->uid, json_get_string(metadata, "uid"));
    set_text(&claim->owner_uid, "");
    set_owner(claim, json_object_get(metadata, "ownerReferences"));
    set_text(&claim->volume_name, json_get_string(spec, "volumeName"));
    set_text(&claim->selected_node,
             json_path_string(metadata, "annotations", "volume.kubernetes.io/selected-node"));
    set_shape(&claim->shape, object, json_path_string(spec, "resources", "requests", "storage"));
    set_selector(claim, json_object_get(spec, "selector"));
}

void volumes_remove_claim(struct volumes *volumes, const char *key)
{
    struct claim *claim = map_get(&volumes->claims, key);
    if (claim != NULL) {
        clear_claim(claim);
        free(steal(claim->assumed_node));
        drop_if_unknown(volumes, claim);
    }
}

struct claim *volumes_claim_ref(struct volumes *volumes, const char *key)
{
    struct claim *claim = find_or_make_claim(volumes, key);
    claim->references++;
    return claim;
}

void volumes_claim_unref(struct volumes *volumes, struct claim *claim)
{
    claim->references--;
    drop_if_unknown(volumes, claim);
}

bool volumes_claim_is_late(const struct volumes *volumes, const struct claim *claim)
{
    const struct storage_class *class = map_get(&volumes->classes, claim->shape.class_name);
    return claim->shape.class_name[0] != '\0' && class != NULL && class->is_late;
}

/* ---- volumes ---- */

static void clear_volume(struct volume *volume)
{
    clear_shape(&volume->shape);
    json_decref(volume->affinity);
    json_decref(volume->labels);
    free(volume->claim_key);
    free(volume->claim_uid);
    free(volume->driver);
    free(volume->handle);
    *volume = (struct volume){.name = volume->name, .assumed = volume->assumed};
}

static void volume_free(void *argument)
{
    struct volume *volume = argument;
    clear_volume(volume);
    free(volume->name);
    free(volume);
}

static void set_source(struct volume *volume, const json_t *spec)
{
    const json_t *csi = json_object_get(spec, "csi");
    const char *driver = json_get_string(csi, "driver");
    const char *handle = json_get_string(csi, "volumeHandle");
    volume->plugin = csi == NULL ? volume_migration(spec, &driver, &handle) : NULL;
    set_text(&volume->driver, driver);
    set_text(&volume->handle, handle);
}

static void set_claim(struct volume *volume, const json_t *reference)
{
    const char *namespace = json_get_string(reference, "namespace");
    const char *name = json_get_string(reference, "name");
    volume->claim_key = reference != NULL
                            ? format("%s/%s", text_or_empty(namespace), text_or_empty(name))
                            : duplicate("");
    set_text(&volume->claim_uid, json_get_string(reference, "uid"));
}

void volumes_put_volume(struct volumes *volumes, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *spec = json_object_get(object, "spec");
    const char *name = text_or_empty(json_get_string(metadata, "name"));
    struct volume *volume = map_get(&volumes->volumes, name);
    if (volume == NULL) {
        volume = allocate_struct(struct volume);
        volume->name = duplicate(name);
        map_set(&volumes->volumes, volume->name, volume);
    }
    clear_volume(volume);
    volume->version = version_of(object);
    volume->is_available = is_text(json_path_string(object, "status", "phase"), "Available");
    volume->is_deleting = json_object_get(metadata, "deletionTimestamp") != NULL;
    volume->labels = json_incref(json_object_get(metadata, "labels"));
    volume->affinity =
        json_incref(json_path(spec, "nodeAffinity", "required", "nodeSelectorTerms"));
    set_shape(&volume->shape, object, json_path_string(spec, "capacity", "storage"));
    set_claim(volume, json_object_get(spec, "claimRef"));
    set_source(volume, spec);
}

void volumes_remove_volume(struct volumes *volumes, const char *name)
{
    struct volume *volume = map_remove(&volumes->volumes, name);
    if (volume != NULL) {
        volume_free(volume);
    }
}

bool volume_reaches(const struct volume *volume, const struct node *node)
{
    size_t i;
    const json_t *term;
    json_array_foreach (volume->affinity, i, term) {
        if (node_match_term(term, node->name, node->labels)) {
            return true;
        }
    }
    return volume->affinity == NULL;
}

bool volume_is_for(const struct volume *volume, const struct claim *claim)
{
    if (volume->assumed != NULL) {
        return volume->assumed == claim;
    }
    return strcmp(volume->claim_key, claim->key) == 0 &&
           (volume->claim_uid[0] == '\0' || strcmp(volume->claim_uid, claim->uid) == 0);
}

/* ---- storage classes ---- */

static void class_free(void *argument)
{
    struct storage_class *class = argument;
    free(class->name);
    free(class->provisioner);
    json_decref(class->topologies);
    free(class);
}

void volumes_remove_class(struct volumes *volumes, const char *name)
{
    struct storage_class *class = map_remove(&volumes->classes, name);
    if (class != NULL) {
        class_free(class);
    }
}

void volumes_put_class(struct volumes *volumes, const json_t *object)
{
    cleanup(free_char)
    char *key = key_of(object);
    volumes_remove_class(volumes, key);
    struct storage_class *class = allocate_struct(struct storage_class);
    class->name = steal(key);
    class->provisioner = duplicate(text_or_empty(json_get_string(object, "provisioner")));
    class->is_late = is_text(json_get_string(object, "volumeBindingMode"), "WaitForFirstConsumer");
    class->topologies = json_incref(json_object_get(object, "allowedTopologies"));
    map_set(&volumes->classes, class->name, class);
}

/* ---- nodes ---- */

static void clear_limits(struct volume_node *node)
{
    for (size_t i = 0; i < node->limit_count; i++) {
        free(node->limits[i].driver);
    }
    free(steal(node->limits));
    free(steal(node->migrated));
    node->limit_count = 0;
}

static void node_free(void *argument)
{
    struct volume_node *node = argument;
    clear_limits(node);
    free(node->name);
    free(node);
}

static struct volume_node *find_or_make_node(struct volumes *volumes, const char *name)
{
    struct volume_node *node = map_get(&volumes->nodes, name);
    if (node == NULL) {
        node = allocate_struct(struct volume_node);
        node->name = duplicate(name);
        map_set(&volumes->nodes, node->name, node);
    }
    return node;
}

static void drop_node_if_empty(struct volumes *volumes, struct volume_node *node)
{
    if (node->limit_count == 0 && node->migrated == NULL && node->attachments == NULL) {
        map_remove(&volumes->nodes, node->name);
        node_free(node);
    }
}

void volumes_put_csi_node(struct volumes *volumes, const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *drivers = json_path(object, "spec", "drivers");
    struct volume_node *node =
        find_or_make_node(volumes, text_or_empty(json_get_string(metadata, "name")));
    size_t i;
    const json_t *driver;
    clear_limits(node);
    node->migrated = duplicate(text_or_empty(
        json_path_string(metadata, "annotations", "storage.alpha.kubernetes.io/migrated-plugins")));
    node->limits = allocate_zero(json_array_size(drivers) + 1, sizeof *node->limits);
    json_array_foreach (drivers, i, driver) {
        const json_t *count = json_path(driver, "allocatable", "count");
        if (json_is_integer(count)) {
            node->limits[node->limit_count++] =
                (struct volume_limit){duplicate(text_or_empty(json_get_string(driver, "name"))),
                                      json_integer_value(count)};
        }
    }
}

void volumes_remove_csi_node(struct volumes *volumes, const char *name)
{
    struct volume_node *node = map_get(&volumes->nodes, name);
    if (node != NULL) {
        clear_limits(node);
        drop_node_if_empty(volumes, node);
    }
}

bool volume_node_migrates(const struct volume_node *node, const char *plugin)
{
    size_t length = strlen(plugin);
    const char *at = node != NULL && node->migrated != NULL ? node->migrated : "";
    for (; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        if (strcspn(at, ",") == length && strncmp(at, plugin, length) == 0) {
            return true;
        }
    }
    return false;
}

static void attachment_free(void *argument)
{
    struct volume_attachment *attachment = argument;
    free(attachment->name);
    free(attachment->driver);
    free(attachment->volume_name);
    free(attachment);
}

void volumes_remove_attachment(struct volumes *volumes, const char *name)
{
    struct volume_attachment *attachment = map_remove(&volumes->attachments, name);
    if (attachment == NULL) {
        return;
    }
    struct volume_attachment **at = &attachment->node->attachments;
    while (*at != attachment) {
        at = &(*at)->next;
    }
    *at = attachment->next;
    drop_node_if_empty(volumes, attachment->node);
    attachment_free(attachment);
}

void volumes_put_attachment(struct volumes *volumes, const json_t *object)
{
    cleanup(free_char)
    char *key = key_of(object);
    const json_t *spec = json_object_get(object, "spec");
    const char *node_name = text_or_empty(json_get_string(spec, "nodeName"));
    const char *volume_name = json_path_string(spec, "source", "persistentVolumeName");
    volumes_remove_attachment(volumes, key);
    struct volume_attachment *attachment = allocate_struct(struct volume_attachment);
    attachment->name = steal(key);
    attachment->driver = duplicate(text_or_empty(json_get_string(spec, "attacher")));
    attachment->volume_name = duplicate(text_or_empty(volume_name));
    attachment->node = find_or_make_node(volumes, node_name);
    attachment->next = attachment->node->attachments;
    attachment->node->attachments = attachment;
    map_set(&volumes->attachments, attachment->name, attachment);
}

/* ---- room ---- */

void volumes_put_driver(struct volumes *volumes, const json_t *object)
{
    cleanup(free_char)
    char *key = key_of(object);
    map_remove(&volumes->drivers, key);
    if (json_is_true(json_path(object, "spec", "storageCapacity"))) {
        map_set(&volumes->drivers, key, volumes); /* Any value will do. */
    }
}

void volumes_remove_driver(struct volumes *volumes, const char *name)
{
    map_remove(&volumes->drivers, name);
}

static void capacity_free(void *argument)
{
    struct storage_capacity *capacity = argument;
    free(capacity->class_name);
    selector_free(capacity->topology);
    free(capacity);
}

void volumes_remove_capacity(struct volumes *volumes, const char *key)
{
    struct storage_capacity *capacity = map_remove(&volumes->capacities, key);
    if (capacity != NULL) {
        capacity_free(capacity);
    }
}

void volumes_put_capacity(struct volumes *volumes, const json_t *object)
{
    cleanup(free_char)
    char *key = key_of(object);
    const char *limit = json_get_string(object, "maximumVolumeSize");
    const json_t *topology = json_object_get(object, "nodeTopology");
    limit = limit != NULL ? limit : json_get_string(object, "capacity");
    volumes_remove_capacity(volumes, key);
    struct storage_capacity *capacity = allocate_struct(struct storage_capacity);
    struct quantity size = amount_of(limit);
    capacity->class_name = duplicate(text_or_empty(json_get_string(object, "storageClassName")));
    capacity->limit = limit != NULL ? quantity_value(&size) : -1;
    capacity->topology = topology != NULL ? selector_from_object(topology, NULL) : NULL;
    map_set(&volumes->capacities, key, capacity);
}

/* ---- life ---- */

struct volumes *volumes_new(void)
{
    struct volumes *volumes = allocate_struct(struct volumes);
    volumes->claims.borrows_keys = true;
    volumes->volumes.borrows_keys = true;
    volumes->classes.borrows_keys = true;
    volumes->nodes.borrows_keys = true;
    volumes->attachments.borrows_keys = true;
    volumes->plans.borrows_keys = true;
    return volumes;
}

void volumes_free(struct volumes *volumes)
{
    volume_plans_clear(volumes);
    map_free(&volumes->claims, claim_free);
    map_free(&volumes->volumes, volume_free);
    map_free(&volumes->classes, class_free);
    map_free(&volumes->nodes, node_free);
    map_free(&volumes->attachments, attachment_free);
    map_free(&volumes->drivers, NULL);
    map_free(&volumes->capacities, capacity_free);
    free(volumes);
}
