// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/service_account_pod.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/random.h"

static const char volume_prefix[] = "kube-api-access-";
static const char mount_path[] = "/var/run/secrets/kubernetes.io/serviceaccount";

/* An odd length, by which a token that nobody chose is known. */
enum { token_seconds = 3607, default_mode = 0644, suffix_length = 5 };

static const struct {
    const char *list, *words;
} container_lists[] = {{"initContainers", "init container"},
                       {"containers", "container"},
                       {"ephemeralContainers", "ephemeral container"}};

/* ---- the token's volume ---- */

static bool wants_token(const struct object *account, const json_t *spec)
{
    const json_t *wish = json_object_get(spec, "automountServiceAccountToken");
    cleanup(json_release)
    json_t *otherwise =
        json_is_boolean(wish) ? NULL : object_member(account, "automountServiceAccountToken");
    wish = otherwise != NULL ? otherwise : wish;
    return !json_is_boolean(wish) || json_is_true(wish);
}

/* What all token volumes project, the same tree in all of them: no step of a write changes what is
 * in a volume, and webhooks are given copies. */
static json_t *projection;

static void make_projection(void)
{
    projection = json_pack(
        "{s:[{s:{s:i, s:s}}, {s:{s:s, s:[{s:s, s:s}]}}, {s:{s:[{s:s, s:{s:s, s:s}}]}}], s:i}",
        "sources", "serviceAccountToken", "expirationSeconds", token_seconds, "path", "token",
        "configMap", "name", "kube-root-ca.crt", "items", "key", "ca.crt", "path", "ca.crt",
        "downwardAPI", "items", "path", "namespace", "fieldRef", "apiVersion", "v1", "fieldPath",
        "metadata.namespace", "defaultMode", default_mode);
    json_keep_forever(projection);
}

static json_t *token_volume(const char *name)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    pthread_once(&made, make_projection);
    json_t *volume = json_object();
    json_object_set_new_nocheck(volume, "name", json_string_nocheck(name));
    json_object_set_new_nocheck(volume, "projected", json_incref(projection));
    return volume;
}

static json_t *get_or_add_array(json_t *object, const char *name)
{
    json_t *array = json_object_get(object, name);
    if (!json_is_array(array)) {
        array = json_array();
        json_object_set_new_nocheck(object, name, array);
    }
    return array;
}

/* A volume that is named so is taken for one of ours; NULL when there is none. */
static const char *present_volume(const json_t *spec)
{
    size_t i;
    const json_t *volume;
    json_array_foreach (json_object_get(spec, "volumes"), i, volume) {
        const char *name = json_get_string(volume, "name");
        if (name != NULL && strncmp(name, volume_prefix, strlen(volume_prefix)) == 0) {
            return name;
        }
    }
    return NULL;
}

static bool mounts_something_there(const json_t *container)
{
    size_t i;
    const json_t *mount;
    json_array_foreach (json_object_get(container, "volumeMounts"), i, mount) {
        const char *path = json_get_string(mount, "mountPath");
        if (path != NULL && strcmp(path, mount_path) == 0) {
            return true;
        }
    }
    return false;
}

/* Mounts the volume in the containers of a list; whether any needed it. */
static bool mount_in(json_t *containers, const char *volume)
{
    bool any = false;
    size_t i;
    json_t *container;
    json_array_foreach (containers, i, container) {
        if (json_is_object(container) && !mounts_something_there(container)) {
            json_t *mount = json_object();
            json_object_set_new_nocheck(mount, "name", json_string_nocheck(volume));
            json_object_set_new_nocheck(mount, "readOnly", json_true());
            json_object_set_new_nocheck(mount, "mountPath", json_string_nocheck(mount_path));
            json_array_append_new(get_or_add_array(container, "volumeMounts"), mount);
            any = true;
        }
    }
    return any;
}

static void mount_token(json_t *spec)
{
    char suffix[suffix_length + 1];
    random_name(suffix, suffix_length);
    cleanup(free_char)
    char *made = concatenate(volume_prefix, suffix);
    const char *present = present_volume(spec);
    const char *name = present != NULL ? present : made;
    bool is_needed = mount_in(json_object_get(spec, "initContainers"), name);
    is_needed = mount_in(json_object_get(spec, "containers"), name) || is_needed;
    if (is_needed && present == NULL) {
        json_array_append_new(get_or_add_array(spec, "volumes"), token_volume(name));
    }
}

static void apply_pull_secrets(const struct object *account, json_t *spec)
{
    if (json_array_size(json_object_get(spec, "imagePullSecrets")) == 0) {
        cleanup(json_release)
        json_t *secrets = object_member(account, "imagePullSecrets");
        if (json_array_size(secrets) > 0) {
            json_object_set(spec, "imagePullSecrets", secrets);
        }
    }
}

void service_account_apply(const struct object *account, json_t *spec)
{
    json_t *name = json_string_nocheck(object_name(account));
    json_object_set_nocheck(spec, "serviceAccountName", name);
    json_object_set_new_nocheck(spec, "serviceAccount", name);
    if (wants_token(account, spec)) {
        mount_token(spec);
    }
    apply_pull_secrets(account, spec);
}

/* ---- secrets ---- */

static bool has_named(const json_t *references, const char *name)
{
    size_t i;
    const json_t *reference;
    json_array_foreach (references, i, reference) {
        const char *present = json_get_string(reference, "name");
        if (present != NULL && strcmp(present, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Names a secret that the container's environment takes a variable from and 'allowed' (NULL:
 * nothing is) lacks. */
static const char *foreign_variable(const json_t *container, const json_t *allowed,
                                    const char **variable)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (json_object_get(container, "env"), i, entry) {
        const char *secret = json_path_string(entry, "valueFrom", "secretKeyRef", "name");
        if (secret != NULL && !has_named(allowed, secret)) {
            *variable = json_get_string(entry, "name");
            return secret;
        }
    }
    return NULL;
}

static char *refuse_variables(const json_t *spec, size_t list, const json_t *allowed,
                              const char *account)
{
    size_t i;
    const json_t *container;
    json_array_foreach (json_object_get(spec, container_lists[list].list), i, container) {
        const char *variable = NULL;
        const char *secret = foreign_variable(container, allowed, &variable);
        const char *name = json_get_string(container, "name");
        if (secret != NULL) {
            return format(
                "%s %s with envVar %s referencing secret.secretName=\"%s\" is not allowed "
                "because service account %s does not reference that secret",
                container_lists[list].words, name != NULL ? name : "",
                variable != NULL ? variable : "", secret, account);
        }
    }
    return NULL;
}

static char *refuse_volumes(const json_t *spec, const json_t *allowed, const char *account)
{
    size_t i;
    const json_t *volume;
    json_array_foreach (json_object_get(spec, "volumes"), i, volume) {
        const char *secret = json_path_string(volume, "secret", "secretName");
        if (secret != NULL && !has_named(allowed, secret)) {
            return format("volume with secret.secretName=\"%s\" is not allowed because service "
                          "account %s does not reference that secret",
                          secret, account);
        }
    }
    return NULL;
}

static char *refuse_pulls(const json_t *spec, const json_t *allowed, const char *account)
{
    size_t i;
    const json_t *reference;
    json_array_foreach (json_object_get(spec, "imagePullSecrets"), i, reference) {
        const char *secret = json_get_string(reference, "name");
        if (!has_named(allowed, secret != NULL ? secret : "")) {
            return format(
                "imagePullSecrets[%zu].name=\"%s\" is not allowed because service account "
                "%s does not reference that imagePullSecret",
                i, secret != NULL ? secret : "", account);
        }
    }
    return NULL;
}

char *service_account_refuse_secrets(const json_t *account, const json_t *spec, bool only_ephemeral)
{
    const char *name = json_path_string(account, "metadata", "name");
    const json_t *allowed = json_object_get(account, "secrets");
    if (only_ephemeral) {
        return refuse_variables(spec, array_length(container_lists) - 1, allowed, name);
    }
    char *why = refuse_volumes(spec, allowed, name);
    for (size_t i = 0; why == NULL && i + 1 < array_length(container_lists); i++) {
        why = refuse_variables(spec, i, allowed, name);
    }
    return why != NULL ? why
                       : refuse_pulls(spec, json_object_get(account, "imagePullSecrets"), name);
}

/* ---- mirror pods ---- */

/* The container takes variables from a secret, one or all. */
static bool reads_secrets(const json_t *container)
{
    const char *variable;
    size_t i;
    const json_t *source;
    json_array_foreach (json_object_get(container, "envFrom"), i, source) {
        if (json_object_get(source, "secretRef") != NULL) {
            return true;
        }
    }
    return foreign_variable(container, NULL, &variable) != NULL;
}

/* The kinds of volumes that name a secret, and where. */
static bool volume_has_secret(const json_t *volume)
{
    static const char *const plain[] = {"cephfs",  "flexVolume", "rbd",
                                        "scaleIO", "iscsi",      "storageos"};
    for (size_t i = 0; i < array_length(plain); i++) {
        if (json_path(volume, plain[i], "secretRef") != NULL) {
            return true;
        }
    }
    size_t i;
    const json_t *source;
    json_array_foreach (json_path(volume, "projected", "sources"), i, source) {
        if (json_object_get(source, "secret") != NULL) {
            return true;
        }
    }
    return json_object_get(volume, "secret") != NULL ||
           json_path(volume, "azureFile", "secretName") != NULL ||
           json_path(volume, "csi", "nodePublishSecretRef") != NULL;
}

static bool volume_has_token(const json_t *volume)
{
    size_t i;
    const json_t *source;
    json_array_foreach (json_path(volume, "projected", "sources"), i, source) {
        if (json_object_get(source, "serviceAccountToken") != NULL) {
            return true;
        }
    }
    return false;
}

static bool any(const json_t *array, bool (*is_so)(const json_t *element))
{
    size_t i;
    const json_t *element;
    json_array_foreach (array, i, element) {
        if (is_so(element)) {
            return true;
        }
    }
    return false;
}

const char *service_account_refuse_mirror(const json_t *spec)
{
    const json_t *volumes = json_object_get(spec, "volumes");
    bool secrets = json_array_size(json_object_get(spec, "imagePullSecrets")) > 0 ||
                   any(volumes, volume_has_secret);
    for (size_t i = 0; i < array_length(container_lists); i++) {
        secrets = secrets || any(json_object_get(spec, container_lists[i].list), reads_secrets);
    }
    if (secrets) {
        return "a mirror pod may not reference secrets";
    }
    return any(volumes, volume_has_token)
               ? "a mirror pod may not use ServiceAccountToken volume projections"
               : NULL;
}
