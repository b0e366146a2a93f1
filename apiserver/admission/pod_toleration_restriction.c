// SPDX-License-Identifier: Apache-2.0
/* PodTolerationRestriction: annotations of a namespace, or else the configuration, say which
 * tolerations its pods get and which they may have. */
#include "apiserver/admission/pod_toleration_restriction.h"

#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/tolerations.h"
#include "apiserver/registry/kinds/defaults.h"
#include "common/alloc.h"
#include "common/configuration.h"
#include "common/json.h"

static const char defaults_annotation[] = "scheduler.alpha.kubernetes.io/defaultTolerations";
static const char whitelist_annotation[] = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

static bool check_list(const json_t *configuration, const char *name, struct error *error)
{
    static const struct configuration_member members[] = {
        {"key", JSON_STRING},    {"operator", JSON_STRING},           {"value", JSON_STRING},
        {"effect", JSON_STRING}, {"tolerationSeconds", JSON_INTEGER}, {NULL, 0}};
    const json_t *list = json_object_get(configuration, name);
    bool fits = true;
    for (size_t i = 0; fits && i < json_array_size(list); i++) {
        cleanup(free_char)
        char *path = format("%s[%zu]", name, i);
        fits = configuration_check(json_array_get(list, i), path, members, error);
    }
    return fits;
}

bool pod_toleration_restriction_check(const json_t *configuration, struct error *error)
{
    static const struct configuration_member members[] = {{"apiVersion", JSON_STRING},
                                                          {"kind", JSON_STRING},
                                                          {"default", JSON_ARRAY},
                                                          {"whitelist", JSON_ARRAY},
                                                          {NULL, 0}};
    return configuration_check(configuration, "", members, error) &&
           check_list(configuration, "default", error) &&
           check_list(configuration, "whitelist", error);
}

/* ---- what holds for a namespace ---- */

static bool parse(const char *text, const char *annotation, json_t **list, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    *list = json_parse(text, strlen(text), &why);
    bool fits = *list == NULL || json_is_array(*list) || json_is_null(*list);
    for (size_t i = 0; fits && i < json_array_size(*list); i++) {
        fits = json_is_object(json_array_get(*list, i));
    }
    if (*list == NULL || !fits) {
        json_decref(*list);
        *list = NULL;
        return error_internal(error, "%s: %s", annotation,
                              error_is_set(&why) ? why.message : "must be a list of tolerations");
    }
    return true;
}

/* Of the namespace's annotation, or else of the configuration; NULL: nothing is said. The caller's.
 */
static bool find_list(const struct write *write, const char *annotation, const char *member,
                      json_t **list, const char **scope, struct error *error)
{
    const struct resource *namespaces = registry_resource(write->registry, "", "namespaces");
    cleanup(object_release)
    struct object *object = registry_get(write->registry, namespaces, "", write->namespace);
    cleanup(json_release)
    json_t *namespace = object != NULL ? object_tree(object) : NULL;
    const char *text = json_path_string(namespace, "metadata", "annotations", annotation);
    *scope = "namespace";
    *list = NULL;
    if (text != NULL && text[0] != '\0') {
        if (!parse(text, annotation, list, error)) {
            return false;
        }
    }
    if (*list == NULL) {
        *scope = "cluster";
        *list = json_incref(json_object_get(write->registry->admission.tolerations, member));
    }
    return true;
}

/* ---- pods ---- */

static bool admit(struct write *write, struct error *error)
{
    json_t *spec = json_object_get(write->object, "spec");
    const char *scope;
    cleanup(json_release)
    json_t *more = NULL;
    if (!admission_is_about(write, "", "pods") || !json_is_object(spec)) {
        return true;
    }
    if (write->operation == WRITE_CREATE &&
        !find_list(write, defaults_annotation, "default", &more, &scope, error)) {
        return false;
    }
    cleanup(json_release)
    json_t *extra = json_is_array(more) ? json_copy(more) : json_array();
    if (strcmp(pod_qos_class(spec), "BestEffort") != 0) {
        json_array_append_new(extra, json_pack("{s:s, s:s, s:s}", "key",
                                               "node.kubernetes.io/memory-pressure", "operator",
                                               "Exists", "effect", "NoSchedule"));
    }
    if (json_array_size(extra) > 0) {
        json_object_set_new(spec, "tolerations",
                            tolerations_merge(json_object_get(spec, "tolerations"), extra));
    }
    return true;
}

static bool is_listed(const json_t *whitelist, const json_t *toleration)
{
    size_t i;
    const json_t *allowed;
    json_array_foreach (whitelist, i, allowed) {
        if (toleration_covers(allowed, toleration)) {
            return true;
        }
    }
    return false;
}

static bool validate(const struct write *write, struct error *error)
{
    const json_t *tolerations = json_path(write->object, "spec", "tolerations");
    const char *scope;
    cleanup(json_release)
    json_t *whitelist = NULL;
    if (!admission_is_about(write, "", "pods") || json_array_size(tolerations) == 0) {
        return true;
    }
    if (!find_list(write, whitelist_annotation, "whitelist", &whitelist, &scope, error)) {
        return false;
    }
    for (size_t i = 0; json_array_size(whitelist) > 0 && i < json_array_size(tolerations); i++) {
        if (!is_listed(whitelist, json_array_get(tolerations, i))) {
            return error_internal(error,
                                  "pod tolerations (possibly merged with namespace default "
                                  "tolerations) conflict with its %s whitelist",
                                  scope);
        }
    }
    return true;
}

const struct admission_plugin admission_pod_toleration_restriction = {
    .name = "PodTolerationRestriction",
    .admit = admit,
    .validate = validate,
};
