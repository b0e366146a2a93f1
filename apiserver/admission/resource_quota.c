// SPDX-License-Identifier: Apache-2.0
/*
 * ResourceQuota: what a namespace may hold is bounded, and counted before it is there.
 *
 * A write that takes something is charged to the status of each quota that it counts for, by a
 * conditional write of the quota, and only then committed: of any number of writes at once, on any
 * number of servers, no more are let in than fit. What has been charged and then was not written,
 * because it failed later, stays charged until the controller recounts; to give it back here would
 * give it back twice when the controller has recounted in between.
 */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/quota_limits.h"
#include "common/alloc.h"
#include "common/amounts.h"
#include "common/json.h"
#include "common/quota.h"
#include "common/timestamp.h"

/* How long a write tries to charge a quota that others charge too. */
enum { charge_seconds = 10 };

/* ---- which writes ---- */

static bool is_core(const struct write *write, const char *plural)
{
    return write->storage->group[0] == '\0' && strcmp(write->storage->plural, plural) == 0;
}

/* Events come and go by themselves and are not counted. Pods change only by a resize; services and
 * claims can grow. */
static bool is_counted(const struct write *write)
{
    bool is_pod = is_core(write, "pods");
    if (write->object == NULL || !write->resource->namespaced ||
        strcmp(write->storage->plural, "events") == 0) {
        return false;
    }
    if (write->subresource[0] != '\0') {
        return is_pod && write->operation == WRITE_UPDATE &&
               strcmp(write->subresource, "resize") == 0;
    }
    return write->operation == WRITE_CREATE ||
           (write->operation == WRITE_UPDATE &&
            (is_core(write, "services") || is_core(write, "persistentvolumeclaims")));
}

/* What the write takes beyond what is taken already; false when that makes no sense. */
static bool work_out_delta(const struct write *write, struct amounts *delta, struct error *error)
{
    const struct resource *kind = write->storage;
    int64_t now = timestamp_now();
    cleanup(amounts_clear)
    struct amounts before = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts after = AMOUNTS_INIT;
    quota_add_usage(kind->group, kind->plural, write->object, now, &after);
    if (write->operation == WRITE_UPDATE) {
        quota_add_usage(kind->group, kind->plural, write->live, now, &before);
    }
    for (size_t i = 0; i < after.count; i++) {
        struct quantity more = after.list[i].quantity;
        const struct quantity *present = amounts_find(&before, after.list[i].name);
        if (more.nano < 0) {
            return error_forbidden(error, write->resource->group, write->resource->plural,
                                   write->name, "quota usage is negative for resource(s): %s",
                                   after.list[i].name);
        }
        more.nano -= present != NULL ? present->nano : 0;
        if (more.nano > 0) {
            amounts_set(delta, after.list[i].name, &more);
        }
    }
    return true;
}

/* ---- one quota ---- */

/* What is charged to one quota, for which write. */
struct charge {
    const struct write *write;
    const struct amounts *delta;
};

static bool refuse(const struct charge *charge, const char *why, struct error *error)
{
    const struct write *write = charge->write;
    return error_forbidden(error, write->resource->group, write->resource->plural, write->name,
                           "%s", why);
}

/* The write counts for some resource of the quota. */
static bool applies(const struct charge *charge, const json_t *quota)
{
    const struct resource *kind = charge->write->storage;
    const char *name;
    json_t *amount;
    bool tracks = false;
    json_object_foreach (json_path(quota, "status", "hard"), name, amount) {
        tracks = tracks || quota_tracks(kind->group, kind->plural, name);
    }
    return tracks && quota_scopes_match(quota, kind->group, kind->plural, charge->write->object);
}

/* The object says what it takes, and it is known what is taken. */
static bool check_sayings(const struct charge *charge, const json_t *quota, struct error *error)
{
    const struct resource *kind = charge->write->storage;
    const char *quota_name = json_path_string(quota, "metadata", "name");
    const json_t *hard = json_path(quota, "status", "hard");
    cleanup(free_char)
    char *missing = quota_missing(hard, kind->group, kind->plural, charge->write->object);
    if (missing != NULL) {
        cleanup(free_char)
        char *why = format("failed quota: %s: %s", quota_name, missing);
        return refuse(charge, why, error);
    }
    const char *name;
    json_t *amount;
    cleanup(buffer_free)
    struct buffer unknown = BUFFER_INIT;
    json_object_foreach ((json_t *)hard, name, amount) {
        if (quota_tracks(kind->group, kind->plural, name) &&
            json_path(quota, "status", "used", name) == NULL) {
            buffer_addf(&unknown, "%s%s", unknown.length > 0 ? "," : "", name);
        }
    }
    if (unknown.length > 0) {
        cleanup(free_char)
        char *why = format("status unknown for quota: %s, resources: %s", quota_name,
                           buffer_text(&unknown));
        return refuse(charge, why, error);
    }
    return true;
}

/* Adds what the write takes to 'used'; false with an error when that is more than there is.
 * '*changes' tells whether anything was added. */
static bool take(const struct charge *charge, const json_t *quota, struct amounts *used,
                 bool *changes, struct error *error)
{
    cleanup(amounts_clear)
    struct amounts hard = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts asked = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts present = AMOUNTS_INIT;
    cleanup(amounts_clear)
    struct amounts limited = AMOUNTS_INIT;
    amounts_add_tree(&hard, json_path(quota, "status", "hard"));
    amounts_add_tree(used, json_path(quota, "status", "used"));
    *changes = false;
    for (size_t i = 0; i < charge->delta->count; i++) {
        const struct amount *more = &charge->delta->list[i];
        const struct quantity *limit = amounts_find(&hard, more->name);
        const struct quantity *taken = amounts_find(used, more->name);
        if (limit == NULL) {
            continue;
        }
        if (taken != NULL && taken->nano + more->quantity.nano > limit->nano) {
            amounts_set(&asked, more->name, &more->quantity);
            amounts_set(&present, more->name, taken);
            amounts_set(&limited, more->name, limit);
        }
        amounts_add(used, more->name, &more->quantity);
        *changes = true;
    }
    if (asked.count == 0) {
        return true;
    }
    cleanup(free_char)
    char *asked_text = quota_text(&asked);
    cleanup(free_char)
    char *present_text = quota_text(&present);
    cleanup(free_char)
    char *limited_text = quota_text(&limited);
    cleanup(free_char)
    char *why =
        format("exceeded quota: %s, requested: %s, used: %s, limited: %s",
               json_path_string(quota, "metadata", "name"), asked_text, present_text, limited_text);
    return refuse(charge, why, error);
}

/* A write_transform of the quota. */
static bool charge_status(struct write *quota, void *argument, struct error *error)
{
    cleanup(amounts_clear)
    struct amounts used = AMOUNTS_INIT;
    bool changes = false;
    if (!take(argument, quota->live, &used, &changes, error)) {
        return false;
    }
    quota->object = json_deep_copy(quota->live);
    json_object_set_new(json_get_or_add_object(quota->object, "status"), "used",
                        amounts_tree(&used));
    return true;
}

static bool charge_once(const struct charge *charge, const char *name, struct error *error)
{
    struct registry *registry = charge->write->registry;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, registry, NULL, NULL, registry_resource(registry, "", "resourcequotas"),
                WRITE_UPDATE);
    write.subresource = "status";
    write_address(&write, charge->write->namespace, name);
    return registry_update(&write, charge_status, (void *)charge, &object, NULL, error);
}

/* Charges the quota as it is by now, however many others do the same. */
static bool charge_quota(const struct charge *charge, const char *name, struct error *error)
{
    int64_t deadline = timestamp_monotonic() + charge_seconds * INT64_C(1000000000);
    do {
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        if (charge_once(charge, name, &why) || why.code == 404) {
            return true; /* A quota that is gone limits nothing. */
        }
        if (why.code != 409) {
            return error_move(error, &why);
        }
    } while (timestamp_monotonic() < deadline);
    return error_internal(error, "resource quota evaluation timed out");
}

/* ---- all quotas of the namespace ---- */

static void free_snapshot(struct snapshot **snapshot)
{
    snapshot_free(*snapshot);
}

static struct snapshot *quotas_of(const struct write *write)
{
    const struct resource *quotas = registry_resource(write->registry, "", "resourcequotas");
    cleanup(free_char)
    char *prefix = concatenate(write->namespace, "/");
    return cache_snapshot(cache_table(write->registry->cache, quotas), prefix);
}

/* Fills 'names' with those of the quotas to charge: none is charged before all have been asked. */
static bool check_all(const struct charge *charge, const struct snapshot *quotas, json_t *names,
                      struct error *error)
{
    for (size_t i = 0; i < quotas->count; i++) {
        cleanup(json_release)
        json_t *quota = object_tree(quotas->objects[i]);
        if (!applies(charge, quota)) {
            continue;
        }
        cleanup(amounts_clear)
        struct amounts used = AMOUNTS_INIT;
        bool changes = false;
        if (!check_sayings(charge, quota, error) || !take(charge, quota, &used, &changes, error)) {
            return false;
        }
        if (changes) {
            json_array_append(names, json_path(quota, "metadata", "name"));
        }
    }
    return true;
}

/* Some quota that the object lies in the scopes of bounds the resource. */
static bool is_covered(const struct charge *charge, const struct snapshot *quotas, const char *name)
{
    for (size_t i = 0; i < quotas->count; i++) {
        cleanup(json_release)
        json_t *quota = object_tree(quotas->objects[i]);
        if (json_path(quota, "status", "hard", name) != NULL && applies(charge, quota)) {
            return true;
        }
    }
    return false;
}

/* What the server was told to let nobody take without a quota is covered by one. */
static bool check_covered(const struct charge *charge, const struct snapshot *quotas,
                          struct error *error)
{
    const struct quota_limits *limits = charge->write->registry->admission.quota_limits;
    const struct resource *kind = charge->write->storage;
    cleanup(buffer_free)
    struct buffer uncovered = BUFFER_INIT;
    for (size_t i = 0; i < charge->delta->count; i++) {
        const char *name = charge->delta->list[i].name;
        if (quota_limits_apply(limits, kind->group, kind->plural, name) &&
            !is_covered(charge, quotas, name)) {
            buffer_addf(&uncovered, "%s%s", uncovered.length > 0 ? "," : "", name);
        }
    }
    if (uncovered.length == 0) {
        return true;
    }
    cleanup(free_char)
    char *why = format("insufficient quota to consume: %s", buffer_text(&uncovered));
    return refuse(charge, why, error);
}

static bool has_equal(const json_t *list, const json_t *wanted)
{
    size_t i;
    const json_t *item;
    json_array_foreach (list, i, item) {
        if (json_equal(item, wanted)) {
            return true;
        }
    }
    return false;
}

/* "[{PriorityClass In [a b]}]", as Go prints it. */
static char *scopes_text(const json_t *scopes)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    size_t i, j;
    const json_t *scope, *value;
    json_array_foreach (scopes, i, scope) {
        buffer_addf(&text, "%s{%s %s [", i > 0 ? " " : "", json_get_string(scope, "scopeName"),
                    json_get_string(scope, "operator"));
        json_array_foreach (json_object_get(scope, "values"), j, value) {
            buffer_addf(&text, "%s%s", j > 0 ? " " : "", json_string_value(value));
        }
        buffer_add_literal(&text, "]}");
    }
    return format("[%s]", buffer_text(&text));
}

/* The same for scopes: some quota names each that the server was told of, and that the object lies
 * in. Upstream does not call it forbidden. */
static bool check_scopes(const struct charge *charge, const struct snapshot *quotas,
                         struct error *error)
{
    const struct write *write = charge->write;
    const struct resource *kind = write->storage;
    cleanup(json_release)
    json_t *limited = quota_limits_scopes(write->registry->admission.quota_limits, kind->group,
                                          kind->plural, write->object),
           *named = json_array(), *uncovered = json_array();
    for (size_t i = 0; json_array_size(limited) > 0 && i < quotas->count; i++) {
        cleanup(json_release)
        json_t *quota = object_tree(quotas->objects[i]), *scopes = quota_scopes(quota);
        quota_find_scopes(scopes, kind->group, kind->plural, write->object, named);
    }
    for (size_t i = 0; i < json_array_size(limited); i++) {
        if (!has_equal(named, json_array_get(limited, i))) {
            json_array_append(uncovered, json_array_get(limited, i));
        }
    }
    if (json_array_size(uncovered) == 0) {
        return true;
    }
    cleanup(free_char)
    char *text = scopes_text(uncovered);
    return error_set(error, 500, "", "insufficient quota to match these scopes: %s", text);
}

static bool validate(const struct write *write, struct error *error)
{
    if (!is_counted(write)) {
        return true;
    }
    cleanup(free_snapshot)
    struct snapshot *quotas = quotas_of(write);
    if (quotas->count == 0 && write->registry->admission.quota_limits == NULL) {
        return true;
    }
    cleanup(amounts_clear)
    struct amounts delta = AMOUNTS_INIT;
    struct charge charge = {.write = write, .delta = &delta};
    cleanup(json_release)
    json_t *names = json_array();
    if (!work_out_delta(write, &delta, error) || !check_covered(&charge, quotas, error) ||
        !check_scopes(&charge, quotas, error) || !check_all(&charge, quotas, names, error)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(names) && !write->dry_run; i++) {
        if (!charge_quota(&charge, json_string_value(json_array_get(names, i)), error)) {
            return false;
        }
    }
    return true;
}

/* Last of all: what is charged has passed the others. */
const struct admission_plugin admission_resource_quota = {
    .name = "ResourceQuota",
    .is_on_by_default = true,
    .validate = validate,
};
