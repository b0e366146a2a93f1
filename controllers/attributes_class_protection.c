// SPDX-License-Identifier: Apache-2.0
/*
 * volumeattributesclass-protection-controller: a class of volume attributes stays while a claim
 * asks for it, has it or is to get it, and while a volume has it. As with claims and volumes
 * (storage_protection.c) a finalizer holds it, which admission gives it when it is made, and which
 * this controller gives to classes that lack it. Keys are names of classes.
 */
#include "common/alloc.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/resources.h"
#include "controllers/storage_protection.h"

static const char index_name[] = "attributes class";

struct class_state {
    struct controller *controller;
    struct informer *classes;
    struct informer *users[2]; /* Claims and volumes, with that index. */
};

/* Where an object names a class. A volume's only place is a claim's, too. */
static const char *const paths[] = {"spec.volumeAttributesClassName",
                                    "status.currentVolumeAttributesClassName",
                                    "status.modifyVolumeStatus.targetVolumeAttributesClassName"};

static void index_by_class(const struct cached_object *user, struct index_values *values)
{
    for (size_t i = 0; i < array_length(paths); i++) {
        cleanup(free_char)
        char *name = cached_object_value(user, paths[i]);
        if (name != NULL && name[0] != '\0') {
            index_values_add(values, name);
        }
    }
}

/* Whoever named a class and does so no more, or has gone, may have been the last. */
static void user_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct class_state *state = argument;
    (void)new;
    for (size_t i = 0; old != NULL && i < array_length(paths); i++) {
        cleanup(free_char)
        char *name = cached_object_value(old, paths[i]);
        if (name != NULL && name[0] != '\0') {
            controller_add(state->controller, name);
        }
    }
}

static bool is_used(const struct class_state *state, const char *name)
{
    cleanup(cached_list_free)
    struct cached_list users = CACHED_LIST_INIT;
    for (size_t i = 0; i < array_length(state->users); i++) {
        indexer_find(informer_indexer(state->users[i]), index_name, name, &users);
    }
    return users.count > 0;
}

static bool sync_class(void *argument, const char *name, struct error *error)
{
    const struct class_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *present = indexer_get(informer_indexer(state->classes), name);
    cleanup(json_release)
    json_t *class = present != NULL ? cached_object_tree(present) : NULL;
    return class == NULL ||
           storage_carry_out(
               state->controller, &resource_volume_attributes_classes, class,
               storage_attributes_finalizer,
               storage_decide(class, storage_attributes_finalizer, is_used(state, name)), error);
}

static void *start_classes(struct controller *controller, struct error *error)
{
    (void)error;
    struct class_state *state = allocate_struct(struct class_state);
    struct informer_factory *informers = controller->informers;
    state->controller = controller;
    state->classes =
        informer_factory_get(informers, &resource_volume_attributes_classes, NULL, NULL);
    state->users[0] =
        informer_factory_get(informers, &resource_persistent_volume_claims, NULL, NULL);
    state->users[1] = informer_factory_get(informers, &resource_persistent_volumes, NULL, NULL);
    informer_add_handler(state->classes, controller_handle_object, controller);
    for (size_t i = 0; i < array_length(state->users); i++) {
        indexer_add_index(informer_indexer(state->users[i]), index_name, index_by_class);
        informer_add_handler(state->users[i], user_changed, state);
    }
    return state;
}

const struct controller_type attributes_class_protection_controller = {
    .name = "volumeattributesclass-protection-controller",
    .account = "volumeattributesclass-protection-controller",
    .workers = 1,
    .start = start_classes,
    .sync = sync_class,
    .stop = free,
};
