// SPDX-License-Identifier: Apache-2.0
/* ServiceAccount: every pod runs as a service account of its namespace, which must be there. The
 * pod takes over what the account says of pulling images, and mounts a token of it in each
 * container that has nothing else at that place. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/service_account_pod.h"
#include "common/alloc.h"
#include "common/fiber.h"
#include "common/json.h"
#include "common/timestamp.h"

/* How long a pod waits for the account "default" of a new namespace, which a controller makes; a
 * waiting pod keeps a worker busy, and the account's creation needs one too. */
enum { default_account_wait_ms = 1500, waiting_pods_max = 8 };

static const char mirror_annotation[] = "kubernetes.io/config.mirror";
static const char enforce_annotation[] = "kubernetes.io/enforce-mountable-secrets";

static bool is_mirror(const struct write *write)
{
    return json_path(write->object, "metadata", "annotations", mirror_annotation) != NULL;
}

static bool is_ephemeral(const struct write *write)
{
    return write->operation == WRITE_UPDATE &&
           strcmp(write->subresource, "ephemeralcontainers") == 0 &&
           strcmp(write->storage->plural, "pods") == 0 && write->storage->group[0] == '\0';
}

static bool is_new_pod(const struct write *write)
{
    return write->operation == WRITE_CREATE && admission_is_about(write, "", "pods");
}

/* ---- looking up the account ---- */

static struct object *await_account(struct registry *registry, const struct resource *accounts,
                                    const char *namespace, const char *name)
{
    int64_t deadline = timestamp_monotonic() + default_account_wait_ms * INT64_C(1000000);
    for (;;) {
        int64_t seen = cache_revision(registry->cache);
        struct object *account = registry_get(registry, accounts, namespace, name);
        int64_t left_ms = (deadline - timestamp_monotonic()) / 1000000;
        if (account != NULL || left_ms <= 0 || atomic_load(&registry->stopping) ||
            fiber_refuses_to_block()) {
            return account;
        }
        /* Any change may be the one; at its end, time has run out. */
        cache_wait_revision(registry->cache, seen + 1, (int)left_ms, NULL);
    }
}

/* The account, the caller's; NULL with an error. */
static struct object *find_account(const struct write *write, const char *name, struct error *error)
{
    struct registry *registry = write->registry;
    const struct resource *accounts = registry_resource(registry, "", "serviceaccounts");
    struct object *account = registry_get(registry, accounts, write->namespace, name);
    if (account == NULL && strcmp(name, "default") == 0) {
        if (atomic_fetch_add(&registry->pods_awaiting_account, 1) < waiting_pods_max) {
            account = await_account(registry, accounts, write->namespace, name);
        }
        atomic_fetch_sub(&registry->pods_awaiting_account, 1);
    } else if (account == NULL) {
        account = registry_get_current(registry, accounts, write->namespace, name);
    }
    if (account == NULL) {
        error_forbidden(error, "", "pods", write->name,
                        "error looking up service account %s/%s: serviceaccount \"%s\" not found",
                        write->namespace, name, name);
    }
    return account;
}

static const char *account_name(const struct write *write)
{
    const char *name = json_path_string(write->object, "spec", "serviceAccountName");
    return name != NULL ? name : "";
}

/* ---- the plugin ---- */

static bool admit(struct write *write, struct error *error)
{
    json_t *spec = json_object_get(write->object, "spec");
    if (!is_new_pod(write) || !json_is_object(spec) || is_mirror(write)) {
        return true;
    }
    const char *name = account_name(write);
    name = *name != '\0' ? name : "default";
    cleanup(object_release)
    struct object *object = find_account(write, name, error);
    if (object == NULL) {
        return false;
    }
    service_account_apply(object, spec);
    return true;
}

/* A mirror pod is its kubelet's, and reaches nothing of the API. */
static bool validate_mirror(const struct write *write, struct error *error)
{
    const char *why = account_name(write)[0] != '\0'
                          ? "a mirror pod may not reference service accounts"
                          : service_account_refuse_mirror(json_object_get(write->object, "spec"));
    return why == NULL || error_forbidden(error, "", "pods", write->name, "%s", why);
}

/* As Go's strconv.ParseBool. */
static bool is_true(const char *text)
{
    static const char *const words[] = {"1", "t", "T", "TRUE", "true", "True"};
    for (size_t i = 0; text != NULL && i < array_length(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool validate(const struct write *write, struct error *error)
{
    if (write->object == NULL || (!is_new_pod(write) && !is_ephemeral(write))) {
        return true;
    }
    if (is_new_pod(write) && is_mirror(write)) {
        return validate_mirror(write, error);
    }
    if (account_name(write)[0] == '\0') {
        return error_forbidden(error, "", "pods", write->name,
                               "no service account specified for pod %s/%s", write->namespace,
                               write->name);
    }
    cleanup(object_release)
    struct object *object = find_account(write, account_name(write), error);
    if (object == NULL) {
        return false;
    }
    if (strstr(object->bytes, enforce_annotation) == NULL) {
        return true; /* Most accounts: no need for their tree. */
    }
    cleanup(json_release)
    json_t *account = object_tree(object);
    if (!is_true(json_path_string(account, "metadata", "annotations", enforce_annotation))) {
        return true;
    }
    cleanup(free_char)
    char *why = service_account_refuse_secrets(account, json_object_get(write->object, "spec"),
                                               is_ephemeral(write));
    return why == NULL || error_forbidden(error, "", "pods", write->name, "%s", why);
}

const struct admission_plugin admission_service_account = {
    .name = "ServiceAccount",
    .is_on_by_default = true,
    .admit = admit,
    .validate = validate,
};
