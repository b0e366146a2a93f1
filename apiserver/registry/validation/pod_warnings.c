// SPDX-License-Identifier: Apache-2.0
/* Warnings about pods and about the templates they are made from: what is deprecated, and what
 * surely means something else than was written. */
#include <string.h>

#include "apiserver/registry/kinds.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/resources.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

/* A pod, or a template, and where it is. */
struct subject {
    struct write *write;
    const json_t *annotations, *spec, *affinity;
    const struct field_path *path;      /* Of the whole; NULL for a pod. */
    const struct field_path *spec_path; /* Of 'spec'. */
};

/* ---- where pods go ---- */

static void warn_about_label_values(struct write *write, const json_t *values,
                                    const struct field_path *path)
{
    for (size_t i = 0; i < json_array_size(values); i++) {
        const char *value = json_string_value(json_array_get(values, i));
        const char *message = value ? names_check_label_value(value) : NULL;
        if (message != NULL) {
            cleanup(free_char)
            char *text = format("%s is invalid, %s", value, message);
            warn_at(write, FIELD_INDEX(path, i), text);
        }
    }
}

/* 'checks_values': they are not validated. */
static void warn_about_term(struct write *write, const json_t *term, bool checks_values,
                            const struct field_path *path)
{
    const json_t *requirements = json_object_get(term, "matchExpressions");
    const struct field_path *list_path = FIELD(path, "matchExpressions");
    warn_about_requirements(write, requirements, "key", list_path);
    for (size_t i = 0; checks_values && i < json_array_size(requirements); i++) {
        warn_about_label_values(write, json_object_get(json_array_get(requirements, i), "values"),
                                FIELD(FIELD_INDEX(list_path, i), "values"));
    }
}

static void warn_about_node_affinity(const struct subject *subject)
{
    const json_t *affinity = json_object_get(subject->affinity, "nodeAffinity");
    if (affinity == NULL) {
        return;
    }
    const struct field_path *path = FIELD(FIELD(subject->spec_path, "affinity"), "nodeAffinity");
    const struct field_path *required_path =
        FIELD(FIELD(path, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms");
    const struct field_path *preferred_path =
        FIELD(path, "preferredDuringSchedulingIgnoredDuringExecution");
    const json_t *required =
        json_path(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms");
    const json_t *preferred =
        json_object_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution");
    for (size_t i = 0; i < json_array_size(required); i++) {
        warn_about_term(subject->write, json_array_get(required, i), false,
                        FIELD_INDEX(required_path, i));
    }
    for (size_t i = 0; i < json_array_size(preferred); i++) {
        warn_about_term(subject->write, json_object_get(json_array_get(preferred, i), "preference"),
                        true, FIELD(FIELD_INDEX(preferred_path, i), "preference"));
    }
}

static void warn_about_nodes(const struct subject *subject)
{
    const char *label;
    json_t *value;
    json_object_foreach (json_object_get(subject->spec, "nodeSelector"), label, value) {
        const char *message = node_label_deprecation(label);
        if (message != NULL) {
            warn_at(subject->write, FIELD_KEY(FIELD(subject->spec_path, "nodeSelector"), label),
                    message);
        }
    }
    warn_about_node_affinity(subject);
    const json_t *constraints = json_object_get(subject->spec, "topologySpreadConstraints");
    const struct field_path *path = FIELD(subject->spec_path, "topologySpreadConstraints");
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        const json_t *constraint = json_array_get(constraints, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        const char *key = check_text(constraint, "topologyKey");
        const char *message = node_label_deprecation(key);
        if (message != NULL) {
            cleanup(free_char)
            char *text = format("%s is %s", key, message);
            warn_at(subject->write, FIELD(here, "topologyKey"), text);
        }
        if (!check_has(constraint, "labelSelector")) {
            warn_at(subject->write, FIELD(here, "labelSelector"),
                    "a null labelSelector results in matching no pod");
        }
    }
}

/* 'step' leads from an element to its term; NULL: it is one itself. */
static void warn_about_selectors(struct write *write, const json_t *terms, const char *step,
                                 const struct field_path *path)
{
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const json_t *term = json_array_get(terms, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        if (!check_has(step ? json_object_get(term, step) : term, "labelSelector")) {
            warn_at(write, FIELD(step ? FIELD(here, step) : here, "labelSelector"),
                    "a null labelSelector results in matching no pod");
        }
    }
}

static void warn_about_pod_affinity(const struct subject *subject)
{
    static const char *const kinds[] = {"podAffinity", "podAntiAffinity"};
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    static const char preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
    for (size_t i = 0; subject->affinity != NULL && i < array_length(kinds); i++) {
        const json_t *affinity = json_object_get(subject->affinity, kinds[i]);
        const struct field_path *path = FIELD(FIELD(subject->spec_path, "affinity"), kinds[i]);
        warn_about_selectors(subject->write, json_object_get(affinity, required), NULL,
                             FIELD(path, required));
        warn_about_selectors(subject->write, json_object_get(affinity, preferred),
                             "podAffinityTerm", FIELD(path, preferred));
    }
}

/* ---- deprecated ---- */

static void warn_about_pod_annotations(const struct subject *subject)
{
    static const struct deprecation annotations[] = {
        {"scheduler.alpha.kubernetes.io/critical-pod",
         "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
        {"security.alpha.kubernetes.io/sysctls",
         "non-functional in v1.11+; use the \"sysctls\" field instead"},
        {"security.alpha.kubernetes.io/unsafe-sysctls",
         "non-functional in v1.11+; use the \"sysctls\" field instead"},
        {NULL, NULL},
    };
    warn_about_annotations(subject->write, subject->annotations,
                           FIELD(FIELD(subject->path, "metadata"), "annotations"), annotations);
}

static void warn_about_volumes(const struct subject *subject)
{
    static const struct deprecation sources[] = {
        {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
        {"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
        {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
        {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
        {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
        {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
        {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
        {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
        {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
        {NULL, NULL},
    };
    const json_t *volumes = json_object_get(subject->spec, "volumes");
    const struct field_path *path = FIELD(subject->spec_path, "volumes");
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *volume = json_array_get(volumes, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        const char *name;
        json_t *source;
        json_object_foreach ((json_t *)volume, name, source) {
            const char *message = deprecation_of(sources, name);
            if (message != NULL) {
                /* The one whose Go name differs from the field's. */
                warn_at(subject->write,
                        FIELD(here, strcmp(name, "storageos") == 0 ? "storageOS" : name), message);
            }
        }
        warn_about_claim_spec(
            subject->write, json_path(volume, "ephemeral", "volumeClaimTemplate", "spec"),
            FIELD(FIELD(FIELD(here, "ephemeral"), "volumeClaimTemplate"), "spec"));
    }
}

/* ---- lists whose entries hide each other ---- */

static void warn_about_duplicates(const struct subject *subject, const json_t *entries,
                                  const char *list, const char *member)
{
    const struct field_path *path = FIELD(subject->spec_path, list);
    struct map seen = {.borrows_keys = true};
    for (size_t i = 0; json_array_size(entries) > 1 && i < json_array_size(entries); i++) {
        const char *text = check_text(json_array_get(entries, i), member);
        if (map_set(&seen, text, subject->write) != NULL) {
            cleanup(free_char)
            char *message = format("duplicate %s \"%s\"", member, text);
            warn_at(subject->write, FIELD(FIELD_INDEX(path, i), member), message);
        }
    }
    map_free(&seen, NULL);
}

static void warn_about_pull_secrets(const struct subject *subject)
{
    const json_t *secrets = json_object_get(subject->spec, "imagePullSecrets");
    const struct field_path *path = FIELD(subject->spec_path, "imagePullSecrets");
    warn_about_duplicates(subject, secrets, "imagePullSecrets", "name");
    for (size_t i = 0; i < json_array_size(secrets); i++) {
        if (check_text(json_array_get(secrets, i), "name")[0] == '\0') {
            warn_at(subject->write, FIELD(FIELD_INDEX(path, i), "name"), "invalid empty name \"\"");
        }
    }
}

/* A later variable may build on the earlier one of its name, as PATH does: "$(PATH):/more". */
static bool hides(const json_t *variable, const char *name)
{
    cleanup(free_char)
    char *reference = format("$(%s)", name);
    const char *value = check_text(variable, "value");
    return check_has(variable, "valueFrom") || strcmp(value, reference) == 0 ||
           strstr(value, reference) == NULL;
}

static void warn_about_env(struct write *write, const json_t *container,
                           const struct field_path *path)
{
    const json_t *env = json_object_get(container, "env");
    struct map seen = {.borrows_keys = true};
    for (size_t i = 0; json_array_size(env) > 1 && i < json_array_size(env); i++) {
        const json_t *variable = json_array_get(env, i);
        const char *name = check_text(variable, "name");
        if (map_set(&seen, name, write) != NULL && hides(variable, name)) {
            cleanup(free_char)
            char *text = format("hides previous definition of \"%s\", which may be dropped when "
                                "using apply",
                                name);
            warn_at(write, FIELD_INDEX(FIELD(path, "env"), i), text);
        }
    }
    map_free(&seen, NULL);
}

/* ---- amounts ---- */

/* Memory of so many thousandths of bytes: the "m" that stands for mega elsewhere. */
static void warn_about_amounts(struct write *write, const json_t *amounts,
                               const struct field_path *path)
{
    static const char *const counted[] = {"memory", "ephemeral-storage"};
    const json_t *values[array_length(counted)];
    check_members(amounts, counted, values);
    for (size_t i = 0; i < array_length(counted); i++) {
        warn_about_fraction(write, values[i], FIELD_KEY(path, counted[i]));
    }
}

/* ---- profiles that annotations name ---- */

static void warn_about_annotation(const struct subject *subject, const char *prefix,
                                  const char *name, const char *message)
{
    cleanup(free_char)
    char *key = concatenate(prefix, name);
    if (check_has(subject->annotations, key)) {
        warn_at(subject->write,
                FIELD_KEY(FIELD(FIELD(subject->path, "metadata"), "annotations"), key), message);
    }
}

static const char seccomp_message[] =
    "non-functional in v1.27+; use the \"seccompProfile\" field instead";

static void warn_about_profiles(const struct subject *subject, const json_t *container)
{
    const json_t *security = json_object_get(container, "securityContext");
    const json_t *pod_security = json_object_get(subject->spec, "securityContext");
    const char *name = check_text(container, "name");
    if (!check_has(security, "seccompProfile")) {
        warn_about_annotation(subject, "container.seccomp.security.alpha.kubernetes.io/", name,
                              seccomp_message);
    }
    /* Of a pod, the annotation has become a field before (kinds/pod_profiles.c). */
    if (subject->path != NULL && !check_has(security, "appArmorProfile") &&
        !check_has(pod_security, "appArmorProfile")) {
        warn_about_annotation(subject, "container.apparmor.security.beta.kubernetes.io/", name,
                              "deprecated since v1.30; use the \"appArmorProfile\" field instead");
    }
}

static void warn_about_container(const struct subject *subject, const json_t *container,
                                 const struct field_path *path)
{
    const json_t *resources = json_object_get(container, "resources");
    const struct field_path *resources_path = FIELD(path, "resources");
    if (json_object_size(subject->annotations) > 0) {
        warn_about_profiles(subject, container);
    }
    warn_about_amounts(subject->write, json_object_get(resources, "limits"),
                       FIELD(resources_path, "limits"));
    warn_about_amounts(subject->write, json_object_get(resources, "requests"),
                       FIELD(resources_path, "requests"));
    warn_about_env(subject->write, container, path);
}

static void warn_about_containers(const struct subject *subject)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t list = 0; list < array_length(lists); list++) {
        const json_t *containers = json_object_get(subject->spec, lists[list]);
        const struct field_path *path = FIELD(subject->spec_path, lists[list]);
        for (size_t i = 0; i < json_array_size(containers); i++) {
            warn_about_container(subject, json_array_get(containers, i), FIELD_INDEX(path, i));
        }
    }
}

/* ---- the whole ---- */

static void warn_about_addresses(const struct subject *subject)
{
    const json_t *servers = json_path(subject->spec, "dnsConfig", "nameservers");
    const json_t *aliases = json_object_get(subject->spec, "hostAliases");
    const struct field_path *path = FIELD(FIELD(subject->spec_path, "dnsConfig"), "nameservers");
    for (size_t i = 0; i < json_array_size(servers); i++) {
        warn_about_address(subject->write, json_array_get(servers, i), FIELD_INDEX(path, i));
    }
    for (size_t i = 0; i < json_array_size(aliases); i++) {
        warn_about_address(subject->write, json_object_get(json_array_get(aliases, i), "ip"),
                           FIELD(FIELD_INDEX(FIELD(subject->spec_path, "hostAliases"), i), "ip"));
    }
}

static void warn_about_pod_spec(const struct subject *subject)
{
    struct write *write = subject->write;
    warn_about_nodes(subject);
    warn_about_pod_annotations(subject);
    warn_about_volumes(subject);
    warn_about_overlapping_paths(write, json_object_get(subject->spec, "volumes"));
    warn_about_duplicates(subject, json_object_get(subject->spec, "hostAliases"), "hostAliases",
                          "ip");
    warn_about_pull_secrets(subject);
    warn_about_amounts(write, json_object_get(subject->spec, "overhead"),
                       FIELD(subject->spec_path, "overhead"));
    if (json_object_size(subject->annotations) > 0 &&
        json_path(subject->spec, "securityContext", "seccompProfile") == NULL) {
        warn_about_annotation(subject, "seccomp.security.alpha.kubernetes.io/pod", "",
                              seccomp_message);
    }
    warn_about_containers(subject);
    warn_about_ports(write, subject->spec, subject->spec_path);
    if (json_get_int(subject->spec, "terminationGracePeriodSeconds", 0) < 0) {
        warn_at(write, FIELD(subject->spec_path, "terminationGracePeriodSeconds"),
                "must be >= 0; negative values are invalid and will be treated as 1");
    }
    warn_about_pod_affinity(subject);
    warn_about_addresses(subject);
}

/* 'where' says what the name becomes. */
static void warn_about_name(struct write *write, const char *where)
{
    const char *name = json_path_string(write->object, "metadata", "name");
    const char *message = name ? names_check_dns_label(name) : NULL;
    if (message != NULL) {
        write_warn(write,
                   "metadata.name: this is used in %s, which can result in surprising behavior; a "
                   "DNS label is recommended: [%s]",
                   where, message);
    }
}

/* People seldom update pods themselves. */
void warn_about_pod(struct write *write)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const struct subject subject = {
        .write = write,
        .annotations = json_path(write->object, "metadata", "annotations"),
        .spec = spec,
        .affinity = json_object_get(spec, "affinity"),
        .spec_path = FIELD(NULL, "spec"),
    };
    if (write->live == NULL) {
        warn_about_name(write, "the Pod's hostname");
        warn_about_pod_spec(&subject);
    }
}

static void warn_about_template(struct write *write, const json_t *template,
                                const struct field_path *path)
{
    const json_t *spec = json_object_get(template, "spec");
    const struct subject subject = {
        .write = write,
        .annotations = json_path(template, "metadata", "annotations"),
        .spec = spec,
        .affinity = json_object_get(spec, "affinity"),
        .path = path,
        .spec_path = FIELD(path, "spec"),
    };
    warn_about_pod_spec(&subject);
}

/* ---- kinds that make pods ---- */

/* The spec is new, or another than before. */
static bool is_changed(const struct write *write)
{
    return write->live == NULL || !check_equal(json_path(write->object, "metadata", "generation"),
                                               json_path(write->live, "metadata", "generation"));
}

static void warn_about_own_template(struct write *write)
{
    if (is_changed(write)) {
        warn_about_template(write, json_path(write->object, "spec", "template"),
                            FIELD(FIELD(NULL, "spec"), "template"));
    }
}

static void warn_about_pod_names(struct write *write)
{
    if (write->live == NULL) {
        warn_about_name(write, "Pod names and hostnames");
    }
}

void warn_about_workload(struct write *write)
{
    warn_about_pod_names(write);
    warn_about_own_template(write);
}

void warn_about_daemon_set(struct write *write)
{
    const json_t *template = json_path(write->object, "spec", "template");
    if (write->live == NULL || !json_equal(template, json_path(write->live, "spec", "template"))) {
        warn_about_own_template(write);
    }
}

void warn_about_pod_template(struct write *write)
{
    if (is_changed(write)) {
        warn_about_template(write, json_object_get(write->object, "template"),
                            FIELD(NULL, "template"));
    }
}

void warn_about_stateful_set(struct write *write)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *claims = json_object_get(spec, "volumeClaimTemplates");
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), "volumeClaimTemplates");
    warn_about_own_template(write);
    for (size_t i = 0; i < json_array_size(claims); i++) {
        /* The two paths are upstream's. */
        const struct field_path *here = FIELD_INDEX(path, i);
        warn_about_claim_spec(write, json_object_get(json_array_get(claims, i), "spec"),
                              write->live ? FIELD(here, "Spec") : here);
    }
    if (json_get_int(spec, "revisionHistoryLimit", 0) < 0) {
        write_warn(write, "spec.revisionHistoryLimit: a negative value retains all historical "
                          "revisions; a value >= 0 is recommended");
    }
}

static void warn_about_job_spec(struct write *write, const json_t *spec,
                                const struct field_path *path)
{
    enum { completions_limit = 100000, parallelism_limit = 10000 };
    if (check_is(spec, "completionMode", "Indexed") &&
        json_get_int(spec, "completions", 0) > completions_limit &&
        json_get_int(spec, "parallelism", 0) > parallelism_limit) {
        warn_at(write, path,
                "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
                "higher than 10^4, Kubernetes might not be able to track completedIndexes when a "
                "big number of indexes fail");
    }
    warn_about_template(write, json_object_get(spec, "template"), FIELD(path, "template"));
}

void warn_about_job(struct write *write)
{
    warn_about_pod_names(write);
    if (is_changed(write)) {
        warn_about_job_spec(write, json_object_get(write->object, "spec"), FIELD(NULL, "spec"));
    }
}

void warn_about_cron_job(struct write *write)
{
    const json_t *spec = json_object_get(write->object, "spec");
    warn_about_pod_names(write);
    if (is_changed(write)) {
        warn_about_job_spec(write, json_path(spec, "jobTemplate", "spec"),
                            FIELD(FIELD(FIELD(NULL, "spec"), "jobTemplate"), "spec"));
    }
    if (strstr(check_text(spec, "schedule"), "TZ") != NULL) {
        write_warn(write,
                   "CRON_TZ or TZ used in spec.spec.schedule is not officially supported, "
                   "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ "
                   "for more details");
    }
}
