// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/metadata.h"

#include <string.h>

#include "apiserver/registry/kinds.h"
#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/random.h"
#include "common/timestamp.h"

static void set_text(json_t *object, const char *name, const char *text)
{
    json_object_set_new_nocheck(object, name, json_string(text)); /* A URL may hold any text. */
}

int64_t metadata_revision(const json_t *object)
{
    const char *text = json_path_string(object, "metadata", "resourceVersion");
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    char *end;
    long long revision = strtoll(text, &end, 10);
    return *end == '\0' && revision >= 0 && text[0] != '-' && text[0] != '+' ? revision : -1;
}

/* ---- names ---- */

enum { generated_suffix = 5, generated_name_max = 63 };

void metadata_generate_name(struct write *write)
{
    json_t *metadata = json_object_get(write->object, "metadata");
    const char *base = json_get_string(metadata, "generateName");
    char suffix[generated_suffix + 1];
    random_name(suffix, generated_suffix);
    free(write->name);
    write->name = format("%.*s%s", generated_name_max - generated_suffix, base, suffix);
    set_text(metadata, "name", write->name);
}

static bool take_name(struct write *write, json_t *metadata, struct error *error)
{
    const char *name = json_get_string(metadata, "name");
    const char *generate = json_get_string(metadata, "generateName");
    const char *addressed = write->request ? write->request->info.name : write->name;
    if (addressed != NULL && addressed[0] != '\0') {
        if (name != NULL && name[0] != '\0' && strcmp(name, addressed) != 0) {
            return error_bad_request(
                error, "the name of the object (%s) does not match the name on the URL (%s)", name,
                addressed);
        }
        set_text(metadata, "name", addressed);
        name = json_get_string(metadata, "name");
    }
    if (name != NULL && name[0] != '\0') {
        free(write->name);
        write->name = duplicate(name);
    } else if (generate != NULL && generate[0] != '\0') {
        metadata_generate_name(write);
    }
    return true;
}

static bool take_namespace(struct write *write, json_t *metadata, struct error *error)
{
    const char *namespace = json_get_string(metadata, "namespace");
    if (!write->resource->namespaced) {
        json_object_del(metadata, "namespace");
        return true;
    }
    if (namespace != NULL && namespace[0] != '\0' && strcmp(namespace, write->namespace) != 0) {
        return error_bad_request(error, "the namespace of the provided object does not match the "
                                        "namespace sent on the request");
    }
    set_text(metadata, "namespace", write->namespace);
    return true;
}

bool metadata_take_names(struct write *write, struct error *error)
{
    json_t *metadata = json_get_or_add_object(write->object, "metadata");
    return take_name(write, metadata, error) && take_namespace(write, metadata, error);
}

/* ---- creates ---- */

bool metadata_prepare_create(struct write *write, struct error *error)
{
    static const char *const server_set[] = {"deletionTimestamp",
                                             "deletionGracePeriodSeconds",
                                             "selfLink",
                                             "uid",
                                             "creationTimestamp",
                                             "resourceVersion",
                                             NULL};
    json_t *metadata = json_get_or_add_object(write->object, "metadata");
    if (metadata_revision(write->object) != 0) {
        return error_set(error, 500, "",
                         "resourceVersion should not be set on objects to be created");
    }
    const char *name;
    json_t *member;
    void *next;
    json_object_foreach_safe (metadata, next, name, member) {
        if (check_one_of(name, server_set)) {
            json_object_del(metadata, name);
        }
    }
    if (!metadata_take_names(write, error)) {
        return false;
    }
    char uid[37], now[TIMESTAMP_SIZE];
    random_uuid(uid);
    timestamp_format(timestamp_now(), now);
    set_text(metadata, "uid", uid);
    set_text(metadata, "creationTimestamp", now);
    if (write->resource->has_generation) {
        json_object_set_new_nocheck(metadata, "generation", json_integer(1));
    }
    return true;
}

/* ---- updates ---- */

static bool check_uid(const struct write *write, const json_t *metadata, const json_t *live,
                      struct error *error)
{
    const char *uid = json_get_string(metadata, "uid"), *live_uid = json_get_string(live, "uid");
    if (uid == NULL || uid[0] == '\0' || live_uid == NULL || strcmp(uid, live_uid) == 0) {
        return true;
    }
    return error_conflict(error, write->resource->group, write->resource->plural, write->name,
                          "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                          uid, live_uid);
}

static bool check_revision(struct write *write, struct error *error)
{
    int64_t revision = metadata_revision(write->object);
    if (revision < 0) {
        struct field_errors errors = FIELD_ERRORS_INIT;
        field_error(&errors, FIELD_INVALID, FIELD(FIELD(NULL, "metadata"), "resourceVersion"),
                    json_path(write->object, "metadata", "resourceVersion"),
                    "must be an unsigned integer");
        return error_invalid(error, write->resource->group, write->resource->kind, write->name,
                             &errors);
    }
    write->named_revision =
        revision != 0 && strcmp(write->request ? write->request->method : "", "PATCH") != 0;
    if (revision != 0 && revision != write->live_object->revision) {
        write->named_revision = true;
        return error_conflict(error, write->resource->group, write->resource->plural, write->name,
                              "%s", error_object_modified);
    }
    if (revision == 0 && write->kind->needs_revision) {
        struct field_errors errors = FIELD_ERRORS_INIT;
        field_error(&errors, FIELD_INVALID, FIELD(FIELD(NULL, "metadata"), "resourceVersion"), NULL,
                    "0x0: must be specified for an update");
        return error_invalid(error, write->resource->group, write->resource->kind, write->name,
                             &errors);
    }
    return true;
}

/* Something besides metadata and status differs. */
static bool spec_changed(const json_t *object, const json_t *live)
{
    static const char *const ignored[] = {"metadata", "status", "kind", "apiVersion"};
    const json_t *sides[] = {object, live};
    for (int side = 0; side < 2; side++) {
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)sides[side], key, value) {
            bool skip = false;
            for (size_t i = 0; i < array_length(ignored); i++) {
                skip = skip || strcmp(key, ignored[i]) == 0;
            }
            const json_t *other = json_object_get(sides[1 - side], key);
            if (!skip && (other == NULL || !json_equal(value, other))) {
                return true;
            }
        }
    }
    return false;
}

bool metadata_prepare_update(struct write *write, struct error *error)
{
    static const char *const kept[] = {"uid",
                                       "creationTimestamp",
                                       "deletionTimestamp",
                                       "deletionGracePeriodSeconds",
                                       "generation",
                                       "name",
                                       "namespace",
                                       "generateName"};
    json_t *metadata = json_get_or_add_object(write->object, "metadata");
    const json_t *live = json_object_get(write->live, "metadata");
    if (!metadata_take_names(write, error) || !check_uid(write, metadata, live, error) ||
        !check_revision(write, error)) {
        return false;
    }
    for (size_t i = 0; i < array_length(kept); i++) {
        json_t *value = json_object_get(live, kept[i]);
        if (value != NULL) {
            json_object_set(metadata, kept[i], value);
        } else {
            json_object_del(metadata, kept[i]);
        }
    }
    json_object_set(metadata, "resourceVersion", json_object_get(live, "resourceVersion"));
    json_object_del(metadata, "selfLink");
    return true;
}

void metadata_own_fields(struct write *write)
{
    json_t *metadata = json_object_get(write->object, "metadata");
    json_t *managed = json_path(write->live, "metadata", "managedFields");
    if (json_object_get(metadata, "managedFields") == NULL && managed != NULL) {
        json_object_set(metadata, "managedFields", managed);
    }
}

void metadata_count_generation(struct write *write)
{
    if (write->resource->has_generation && spec_changed(write->object, write->live)) {
        json_t *metadata = json_object_get(write->object, "metadata");
        int64_t before = json_get_int(json_object_get(write->live, "metadata"), "generation", 0);
        json_object_set_new(metadata, "generation", json_integer(before + 1));
    }
}

/* ---- validation ---- */

/* A name, or the beginning of one, which may end with a dash. */
static const char *check_name(const struct write *write, const json_t *name, bool is_prefix)
{
    const char *format_name = write->resource->name_format;
    cleanup(free_char)
    char *replaced = json_without_nul(name);
    cleanup(free_char)
    char *text = replaced ? steal(replaced) : duplicate(json_string_value(name));
    size_t length = strlen(text);
    if (is_prefix && length > 1 && text[length - 1] == '-') {
        text[length - 2] = 'a';
        text[length - 1] = '\0';
    }
    return names_check(format_name ? format_name : "subdomain", text);
}

static void validate_generate_name(const struct write *write, const json_t *metadata,
                                   const struct field_path *path, struct field_errors *errors)
{
    const json_t *name = json_object_get(metadata, "generateName");
    const char *message = json_string_length(name) > 0 ? check_name(write, name, true) : NULL;
    if (message != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "generateName"), name, "%s", message);
    }
}

static void validate_name(const struct write *write, const json_t *metadata,
                          const struct field_path *path, struct field_errors *errors)
{
    const json_t *name = json_object_get(metadata, "name");
    if (json_string_length(name) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "name"), NULL,
                    "name or generateName is required");
        return;
    }
    const char *message = check_name(write, name, false);
    if (message != NULL) {
        field_error(errors, FIELD_INVALID, FIELD(path, "name"), name, "%s", message);
    }
}

static void validate_owners(const json_t *owners, const struct field_path *path,
                            struct field_errors *errors)
{
    static const char *const required[] = {"apiVersion", "kind", "name", "uid"};
    const json_t *controller = NULL;
    for (size_t i = 0; i < json_array_size(owners); i++) {
        const json_t *owner = json_array_get(owners, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        for (size_t field = 0; field < array_length(required); field++) {
            const json_t *value = json_object_get(owner, required[field]);
            if (json_string_length(value) == 0) {
                cleanup(json_release)
                json_t *empty = json_string("");
                field_error(errors, FIELD_INVALID, FIELD(here, required[field]), empty,
                            "%s must not be empty", required[field]);
            }
        }
        if (json_get_bool(owner, "controller", false)) {
            if (controller != NULL) {
                field_error(errors, FIELD_INVALID, path, owners,
                            "Only one reference can have Controller set to true. Found \"true\" in "
                            "references for %s and %s",
                            json_get_string(controller, "name"), json_get_string(owner, "name"));
            }
            controller = owner;
        }
    }
}

static void validate_finalizers(const struct write *write, const json_t *finalizers,
                                const struct field_path *path, struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(finalizers); i++) {
        const json_t *finalizer = json_array_get(finalizers, i);
        cleanup(free_char)
        char *copy = json_without_nul(finalizer);
        const char *text = copy ? copy : json_string_value(finalizer);
        cleanup(free_char)
        char *message = names_check_qualified(text ? text : "");
        if (message != NULL) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(path, i), finalizer, "%s", message);
        }
    }
    if (json_array_has_string(finalizers, "orphan") &&
        json_array_has_string(finalizers, "foregroundDeletion")) {
        field_error(errors, FIELD_INVALID, path, finalizers,
                    "finalizer orphan and foregroundDeletion cannot be both set");
    }
    if (write->live == NULL || json_path(write->live, "metadata", "deletionTimestamp") == NULL) {
        return;
    }
    const json_t *old = json_path(write->live, "metadata", "finalizers");
    cleanup(buffer_free)
    struct buffer added = BUFFER_INIT;
    for (size_t i = 0; i < json_array_size(finalizers); i++) {
        const char *text = json_string_value(json_array_get(finalizers, i));
        if (text != NULL && !json_array_has_string(old, text)) {
            buffer_addf(&added, "%s\"%s\"", added.length ? ", " : "", text);
        }
    }
    if (added.length > 0) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "no new finalizers can be added if the object is being deleted, found new "
                    "finalizers []string{%s}",
                    added.bytes);
    }
}

void metadata_validate(const struct write *write, struct field_errors *errors)
{
    const struct field_path *path = FIELD(NULL, "metadata");
    const json_t *metadata = json_object_get(write->object, "metadata");
    validate_generate_name(write, metadata, path, errors);
    validate_name(write, metadata, path, errors);
    check_not_negative(json_object_get(metadata, "generation"), FIELD(path, "generation"), errors);
    names_validate_labels(json_object_get(metadata, "labels"), FIELD(path, "labels"), errors);
    names_validate_annotations(json_object_get(metadata, "annotations"), FIELD(path, "annotations"),
                               errors);
    validate_owners(json_object_get(metadata, "ownerReferences"), FIELD(path, "ownerReferences"),
                    errors);
    validate_finalizers(write, json_object_get(metadata, "finalizers"), FIELD(path, "finalizers"),
                        errors);
}
