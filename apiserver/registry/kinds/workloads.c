// SPDX-License-Identifier: Apache-2.0
/* Workload controllers' kinds: defaults that depend on other fields, and on the pod template. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/metadata.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/selector.h"

static void set_default(json_t *object, const char *name, json_t *value)
{
    if (json_object_get(object, name) == NULL) {
        json_object_set_new(object, name, value);
    } else {
        json_decref(value);
    }
}

/* The template's pod gets the same care as a pod. */
static void fill_template(json_t *spec)
{
    json_t *pod = json_path(spec, "template", "spec");
    if (pod != NULL) {
        pod_spec_fill_defaults(pod);
    }
}

/* Rolling updates have limits of their own; other strategies have none. */
static void fill_rolling(json_t *strategy, const char *max_surge, int surge_number)
{
    const char *type = json_get_string(strategy, "type");
    if (type == NULL || strcmp(type, "RollingUpdate") != 0) {
        return;
    }
    json_t *rolling = json_get_or_add_object(strategy, "rollingUpdate");
    set_default(rolling, "maxUnavailable", max_surge ? json_string("25%") : json_integer(1));
    set_default(rolling, "maxSurge",
                max_surge ? json_string(max_surge) : json_integer(surge_number));
}

static void deployment_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (spec != NULL) {
        fill_rolling(json_object_get(spec, "strategy"), "25%", 0);
        fill_template(spec);
    }
}

static void daemon_set_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (spec != NULL) {
        fill_rolling(json_object_get(spec, "updateStrategy"), NULL, 0);
        fill_template(spec);
    }
}

static void stateful_set_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *strategy = json_object_get(spec, "updateStrategy");
    const char *type = json_get_string(strategy, "type");
    if (type != NULL && strcmp(type, "RollingUpdate") == 0) {
        set_default(json_get_or_add_object(strategy, "rollingUpdate"), "partition",
                    json_integer(0));
    }
    json_t *claims = json_object_get(spec, "volumeClaimTemplates");
    for (size_t i = 0; i < json_array_size(claims); i++) {
        json_t *claim = json_array_get(claims, i);
        set_default(claim, "kind", json_string("PersistentVolumeClaim"));
        set_default(claim, "apiVersion", json_string("v1"));
        set_default(claim, "status", json_pack("{s:s}", "phase", "Pending"));
    }
    if (spec != NULL) {
        fill_template(spec);
    }
}

static void template_only_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (spec != NULL) {
        fill_template(spec);
    }
}

/* A ReplicationController selects its template's labels unless it says otherwise. */
static void replication_controller_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *labels = json_path(spec, "template", "metadata", "labels");
    if (spec == NULL) {
        return;
    }
    if (json_object_size(labels) > 0) {
        if (json_object_size(json_object_get(spec, "selector")) == 0) {
            json_object_set_new(spec, "selector", json_copy(labels));
        }
        json_t *metadata = json_get_or_add_object(object, "metadata");
        if (json_object_size(json_object_get(metadata, "labels")) == 0) {
            json_object_set_new(metadata, "labels", json_copy(labels));
        }
    }
    fill_template(spec);
}

/* The selector must choose the template's own labels, else the controller would make pods for ever.
 */
static void validate_selector(const struct write *write, struct field_errors *errors)
{
    const json_t *selector = json_path(write->object, "spec", "selector");
    json_t *labels = json_path(write->object, "spec", "template", "metadata", "labels");
    const struct field_path *path =
        FIELD(FIELD(FIELD(FIELD(NULL, "spec"), "template"), "metadata"), "labels");
    if (!json_is_object(selector) || write->subresource[0] != '\0') {
        return;
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct selector *parsed = selector_from_object(selector, &error);
    bool empty = json_object_size(selector) == 0;
    if (parsed != NULL && !empty && !selector_matches_object(parsed, labels)) {
        cleanup(json_release)
        json_t *none = json_object();
        field_error(errors, FIELD_INVALID, path, labels ? labels : none,
                    "`selector` does not match template `labels`");
    }
    if (empty) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(NULL, "spec"), "selector"), selector,
                    "empty selector is invalid for deployment");
    }
    selector_free(parsed);
}

const struct kind kind_deployment = {
    .group = "apps",
    .plural = "deployments",
    .fill_defaults = deployment_fill_defaults,
    .validate = validate_selector,
    .status_keeps_labels = true,
};

const struct kind kind_replica_set = {
    .group = "apps",
    .plural = "replicasets",
    .fill_defaults = template_only_fill_defaults,
    .validate = validate_selector,
};

const struct kind kind_stateful_set = {
    .group = "apps",
    .plural = "statefulsets",
    .fill_defaults = stateful_set_fill_defaults,
    .validate = validate_selector,
};

const struct kind kind_daemon_set = {
    .group = "apps",
    .plural = "daemonsets",
    .fill_defaults = daemon_set_fill_defaults,
    .validate = validate_selector,
};

const struct kind kind_replication_controller = {
    .group = "",
    .plural = "replicationcontrollers",
    .fill_defaults = replication_controller_fill_defaults,
    .orphans_by_default = true,
};

/* ---- jobs ---- */

static void fill_job_spec(json_t *spec)
{
    json_t *completions = json_object_get(spec, "completions");
    json_t *parallelism = json_object_get(spec, "parallelism");
    if (completions == NULL && parallelism == NULL) {
        json_object_set_new(spec, "completions", json_integer(1));
        json_object_set_new(spec, "parallelism", json_integer(1));
    } else {
        set_default(spec, "parallelism", json_integer(1));
    }
    /* With limits for each index, the overall limit is out of the way. */
    bool per_index = json_object_get(spec, "backoffLimitPerIndex") != NULL;
    set_default(spec, "backoffLimit", json_integer(per_index ? INT32_MAX : 6));
    bool failure_policy = json_object_get(spec, "podFailurePolicy") != NULL;
    set_default(spec, "podReplacementPolicy",
                json_string(failure_policy ? "Failed" : "TerminatingOrFailed"));
    fill_template(spec);
}

static void job_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *labels = json_path(spec, "template", "metadata", "labels");
    json_t *metadata = json_get_or_add_object(object, "metadata");
    if (spec == NULL) {
        return;
    }
    if (json_object_size(labels) > 0 &&
        json_object_size(json_object_get(metadata, "labels")) == 0) {
        json_object_set_new(metadata, "labels", json_copy(labels));
    }
    fill_job_spec(spec);
}

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
    json_object_set(labels, "batch.kubernetes.io/controller-uid", uid);
    json_object_set(labels, "controller-uid", uid);
    json_object_set(labels, "batch.kubernetes.io/job-name", name);
    json_object_set(labels, "job-name", name);
    json_object_set_new(json_get_or_add_object(spec, "selector"), "matchLabels",
                        json_pack("{s:O}", "batch.kubernetes.io/controller-uid", uid));
    return true;
}

static void cron_job_fill_defaults(json_t *object)
{
    json_t *spec = json_path(object, "spec", "jobTemplate", "spec");
    if (spec != NULL) {
        fill_template(spec);
    }
}

const struct kind kind_job = {
    .group = "batch",
    .plural = "jobs",
    .fill_defaults = job_fill_defaults,
    .prepare_create = job_prepare_create,
    .orphans_by_default = true,
};

const struct kind kind_cron_job = {
    .group = "batch",
    .plural = "cronjobs",
    .fill_defaults = cron_job_fill_defaults,
};
