// SPDX-License-Identifier: Apache-2.0
/* Workload controllers' kinds: defaults that depend on other fields, and on the pod template. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/workloads.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"

static const char template_path[] = "spec.template.spec";

static const struct conditional_default deployment_defaults[] = {
    {"spec.strategy", "rollingUpdate", "{\"maxUnavailable\":\"25%\",\"maxSurge\":\"25%\"}", "type",
     "RollingUpdate"},
    {0},
};

static const struct conditional_default daemon_set_defaults[] = {
    {"spec.updateStrategy", "rollingUpdate", "{\"maxUnavailable\":1,\"maxSurge\":0}", "type",
     "RollingUpdate"},
    {0},
};

/* A strategy that is named but not described stays so. */
static const struct conditional_default stateful_set_defaults[] = {
    {"spec.updateStrategy", "rollingUpdate", "{\"partition\":0}", "type", NULL},
    {"spec.updateStrategy", "type", "\"RollingUpdate\"", NULL, NULL},
    {"spec.volumeClaimTemplates", "kind", "\"PersistentVolumeClaim\"", NULL, NULL},
    {"spec.volumeClaimTemplates", "apiVersion", "\"v1\"", NULL, NULL},
    {"spec.volumeClaimTemplates", "status", "{\"phase\":\"Pending\"}", NULL, NULL},
    {0},
};

/* What has no labels of its own takes those of its template. */
static void fill_labels(json_t *object)
{
    const json_t *labels = json_path(object, "spec", "template", "metadata", "labels");
    json_t *metadata = json_get_or_add_object(object, "metadata");
    if (json_object_size(labels) > 0 &&
        json_object_size(json_object_get(metadata, "labels")) == 0) {
        json_object_set_new(metadata, "labels", json_copy((json_t *)labels));
    }
}

/* A ReplicationController selects its template's labels unless it says otherwise. */
static void replication_controller_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *labels = json_path(spec, "template", "metadata", "labels");
    if (json_object_size(labels) > 0 && json_object_size(json_object_get(spec, "selector")) == 0) {
        json_object_set_new(spec, "selector", json_copy(labels));
    }
    fill_labels(object);
}

/* ---- how often a DaemonSet's template has changed: an annotation since apps/v1 ---- */

static const char template_generation[] = "deprecated.daemonset.template.generation";

static json_int_t template_generation_of(const json_t *set)
{
    const char *text = json_path_string(set, "metadata", "annotations", template_generation);
    long long generation = text != NULL ? strtoll(text, NULL, 10) : 0;
    return generation > 0 ? generation : 1;
}

static void set_template_generation(json_t *set, json_int_t generation)
{
    cleanup(free_char)
    char *text = format("%lld", (long long)generation);
    json_t *metadata = json_get_or_add_object(set, "metadata");
    json_object_set_new(json_get_or_add_object(metadata, "annotations"), template_generation,
                        json_string(text));
}

static bool daemon_set_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    set_template_generation(write->object, template_generation_of(write->object));
    return true;
}

static bool daemon_set_prepare_update(struct write *write, struct error *error)
{
    (void)error;
    bool is_same = json_equal(json_path(write->object, "spec", "template"),
                              json_path(write->live, "spec", "template"));
    set_template_generation(write->object, template_generation_of(write->live) + !is_same);
    return true;
}

/* ---- kinds ---- */

/* spec.rollbackTo of older versions, which the later ones keep in an annotation: a number, or
 * nothing. */
static bool check_rollback(struct write *write, struct error *error)
{
    static const char annotation[] = "deprecated.deployment.rollback.to";
    json_t *annotations = json_path(write->object, "metadata", "annotations");
    const char *text = json_get_string(annotations, annotation);
    if (text == NULL || text[0] == '\0') {
        json_object_del(annotations, annotation);
        if (annotations != NULL && json_object_size(annotations) == 0) {
            json_object_del(json_object_get(write->object, "metadata"), "annotations");
        }
        return true;
    }
    char *end;
    errno = 0;
    long long revision = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || isspace((unsigned char)text[0])) {
        return error_bad_request(error,
                                 "Deployment in version \"v1\" cannot be handled as a Deployment: "
                                 "failed to parse annotation[%s]=%s as int64: strconv.ParseInt: "
                                 "parsing \"%s\": %s",
                                 annotation, text, text,
                                 errno != 0 ? "value out of range" : "invalid syntax");
    }
    cleanup(free_char)
    char *canonical = format("%lld", revision);
    json_object_set_new(annotations, annotation, json_string(canonical));
    return true;
}

const struct kind kind_deployment = {
    .group = "apps",
    .plural = "deployments",
    .pod_template = template_path,
    .defaults = deployment_defaults,
    .prepare_create = check_rollback,
    .prepare_update = check_rollback,
    .validate = validate_deployment,
    .status_keeps_labels = true,
    .warn = warn_about_workload,
};

const struct kind kind_replica_set = {
    .group = "apps",
    .plural = "replicasets",
    .pod_template = template_path,
    .validate = validate_replica_set,
    .warn = warn_about_workload,
};

const struct kind kind_stateful_set = {
    .group = "apps",
    .plural = "statefulsets",
    .pod_template = template_path,
    .defaults = stateful_set_defaults,
    .validate = validate_stateful_set,
    .warn = warn_about_stateful_set,
};

const struct kind kind_daemon_set = {
    .group = "apps",
    .plural = "daemonsets",
    .pod_template = template_path,
    .defaults = daemon_set_defaults,
    .prepare_create = daemon_set_prepare_create,
    .prepare_update = daemon_set_prepare_update,
    .validate = validate_daemon_set,
    .warn = warn_about_daemon_set,
};

const struct kind kind_replication_controller = {
    .group = "",
    .plural = "replicationcontrollers",
    .pod_template = template_path,
    .fill_defaults = replication_controller_fill_defaults,
    .validate = validate_replication_controller,
    .orphans_by_default = true,
    .warn = warn_about_workload,
};

const struct kind kind_pod_template = {
    .group = "",
    .plural = "podtemplates",
    .pod_template = "template.spec",
    .validate = validate_pod_template_object,
    .warn = warn_about_pod_template,
};

const struct kind kind_controller_revision = {
    .group = "apps",
    .plural = "controllerrevisions",
    .validate = validate_controller_revision,
};

/* ---- jobs ---- */

/* With limits for each index, the overall limit is out of the way. */
static const struct conditional_default job_defaults[] = {
    {"spec", "completions", "1", "parallelism", NULL},
    {"spec", "parallelism", "1", NULL, NULL},
    {"spec", "backoffLimit", "2147483647", "backoffLimitPerIndex", default_when_present},
    {"spec", "backoffLimit", "6", NULL, NULL},
    {"spec", "completionMode", "\"NonIndexed\"", NULL, NULL},
    {"spec", "suspend", "false", NULL, NULL},
    {"spec", "manualSelector", "false", NULL, NULL},
    {"spec", "podReplacementPolicy", "\"Failed\"", "podFailurePolicy", default_when_present},
    {"spec", "podReplacementPolicy", "\"TerminatingOrFailed\"", NULL, NULL},
    {0},
};

/* Unless the user selects by hand, a job's pods carry its uid and name and are selected by the uid.
 */
static bool job_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->object, "spec");
    const json_t *metadata = json_object_get(write->object, "metadata");
    if (spec == NULL || json_get_bool(spec, "manualSelector", false)) {
        return true;
    }
    json_t *template = json_get_or_add_object(json_get_or_add_object(spec, "template"), "metadata");
    json_t *labels = json_get_or_add_object(template, "labels");
    json_t *uid = json_object_get(metadata, "uid"), *name = json_object_get(metadata, "name");
    /* What the user has set stays, and is refused by validation if it is something else. */
    default_set(labels, "batch.kubernetes.io/controller-uid", json_incref(uid));
    default_set(labels, "controller-uid", json_incref(uid));
    default_set(labels, "batch.kubernetes.io/job-name", json_incref(name));
    default_set(labels, "job-name", json_incref(name));
    default_set(json_get_or_add_object(json_get_or_add_object(spec, "selector"), "matchLabels"),
                "batch.kubernetes.io/controller-uid", json_incref(uid));
    return true;
}

const struct kind kind_job = {
    .group = "batch",
    .plural = "jobs",
    .pod_template = template_path,
    .defaults = job_defaults,
    .fill_defaults = fill_labels,
    .prepare_create = job_prepare_create,
    .validate = validate_job,
    .orphans_by_default = true,
    .warn = warn_about_job,
};

const struct kind kind_cron_job = {
    .group = "batch",
    .plural = "cronjobs",
    .pod_template = "spec.jobTemplate.spec.template.spec",
    .validate = validate_cron_job,
    .warn = warn_about_cron_job,
};
