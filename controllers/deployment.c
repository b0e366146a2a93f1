// SPDX-License-Identifier: Apache-2.0
/*
 * Deployment: replaces the pods of one template by those of another, with a ReplicaSet for each
 * template.
 *
 * sync(): claim the ReplicaSets that match the selector; find the one with the Deployment's
 * template, or make it; scale what there is when the size changed, else take one step of the
 * rollout; write what was reached to the status. Decisions are made in deployment_rollout.c from
 * the ReplicaSets alone. Only Recreate looks at pods, to see whether old ones are left.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/conditions.h"
#include "controllers/controller.h"
#include "controllers/deployment_rollback.h"
#include "controllers/deployment_rollout.h"
#include "controllers/deployment_status.h"
#include "controllers/deployment_template.h"
#include "controllers/owner.h"
#include "controllers/pod_control.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"

struct deployment_state {
    struct controller *controller;
    struct informer *deployments, *replicasets, *pods;
};

/* One sync. */
struct step {
    struct deployment_state *state;
    const char *key;
    int64_t now;
    json_t *deployment;   /* As read, with what is to be written to it. */
    json_t *known_status; /* Its status as read or last written. */
    bool is_annotated;    /* Its annotations have to be written, too. */
    struct rollout rollout;
};

/* ---- what changed ---- */

/* A ReplicaSet that nobody owns may be one that a Deployment of its namespace adopts. */
static void add_possible_owners(struct deployment_state *state,
                                const struct cached_object *replicaset)
{
    cleanup(cached_list_free)
    struct cached_list deployments = CACHED_LIST_INIT;
    indexer_find(informer_indexer(state->deployments), "namespace", replicaset->namespace,
                 &deployments);
    for (size_t i = 0; i < deployments.count; i++) {
        cleanup(json_release)
        json_t *deployment = cached_object_tree(deployments.items[i]);
        struct selector *selector = owner_selector(deployment, NULL);
        if (selector != NULL && selector_matches(selector, cached_object_label, replicaset)) {
            controller_add_object(state->controller, deployments.items[i]);
        }
        selector_free(selector);
    }
}

static bool has_same_labels(const struct cached_object *a, const struct cached_object *b)
{
    return a->labels.length == b->labels.length &&
           (a->labels.length == 0 || memcmp(a->labels.text, b->labels.text, a->labels.length) == 0);
}

static void replicaset_changed(void *argument, const struct cached_object *old,
                               const struct cached_object *new)
{
    struct deployment_state *state = argument;
    if (old != NULL && (new == NULL || strcmp(old->owner_uid, new->owner_uid) != 0)) {
        controller_add_owner(state->controller, old, "Deployment");
    }
    if (new == NULL) {
        return;
    }
    controller_add_owner(state->controller, new, "Deployment");
    if (new->owner_uid[0] == '\0' && !new->is_deleting &&
        (old == NULL || old->owner_uid[0] != '\0' || !has_same_labels(old, new))) {
        add_possible_owners(state, new);
    }
}

/* With the last pod of a ReplicaSet, a Deployment that recreates may go on. */
static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct deployment_state *state = argument;
    if (new != NULL || strcmp(old->owner_kind, "ReplicaSet") != 0 ||
        indexer_count_of(informer_indexer(state->pods), "owner", old->owner_uid) > 0) {
        return;
    }
    cleanup(cached_object_release)
    struct cached_object *replicaset =
        informer_get(state->replicasets, old->namespace, old->owner_name);
    if (replicaset != NULL && strcmp(replicaset->uid, old->owner_uid) == 0) {
        controller_add_owner(state->controller, replicaset, "Deployment");
    }
}

/* ---- writing ---- */

static const char *name_of(const json_t *object)
{
    return json_path_string(object, "metadata", "name");
}

/* Writes the Deployment's annotations and status if they are not what was read; afterwards the
 * step works on what was written. */
static bool write_deployment(struct step *step, struct error *error)
{
    if (!step->is_annotated &&
        json_equal(step->known_status, json_object_get(step->deployment, "status"))) {
        return true;
    }
    json_t *written = client_update(step->state->controller->client, &resource_deployments,
                                    "status", step->deployment, error);
    if (written == NULL) {
        return false;
    }
    json_decref(step->deployment);
    json_decref(step->known_status);
    step->deployment = written;
    step->known_status = json_deep_copy(json_object_get(written, "status"));
    step->is_annotated = false;
    return true;
}

static void set_progress(struct step *step, const char *value, const char *reason,
                         const char *message)
{
    if (deployment_has_deadline(step->deployment)) {
        deployment_set_condition(json_get_or_add_object(step->deployment, "status"), "Progressing",
                                 value, reason, message, step->now);
    }
}

static bool update_replicaset(struct step *step, struct rollout_set *set, struct error *error)
{
    json_t *written = client_update(step->state->controller->client, &resource_replicasets, NULL,
                                    set->object, error);
    if (written != NULL) {
        rollout_set_replace(set, written);
    }
    return written != NULL;
}

/* Brings a set to its target, and notes for what size of the Deployment. */
static bool scale_set(struct step *step, struct rollout_set *set, struct error *error)
{
    const struct rollout *rollout = &step->rollout;
    json_int_t from = set->replicas, to = set->target;
    bool is_noted =
        !replicas_annotate(set->object, rollout->replicas, rollout->replicas + rollout->max_surge);
    if (from == to && is_noted) {
        return true;
    }
    json_object_set_new(json_object_get(set->object, "spec"), "replicas", json_integer(to));
    if (!update_replicaset(step, set, error)) {
        return false;
    }
    if (from != to) {
        event_record_about(step->state->controller->events, step->deployment, "Normal",
                           "ScalingReplicaSet", "Scaled %s replica set %s from %lld to %lld",
                           from < to ? "up" : "down", name_of(set->object), (long long)from,
                           (long long)to);
    }
    return true;
}

/* 'all': the size changed, so every set that has pods notes the new one. */
static bool scale_sets(struct step *step, bool all, struct error *error)
{
    for (size_t i = 0; i < step->rollout.count; i++) {
        struct rollout_set *set = &step->rollout.sets[i];
        if ((set->target != set->replicas || (all && set->replicas > 0)) &&
            !scale_set(step, set, error)) {
            return false;
        }
    }
    return true;
}

/* ---- the new ReplicaSet ---- */

static json_int_t next_revision(const struct rollout *rollout)
{
    json_int_t last = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        json_int_t revision = revision_of(rollout->sets[i].object);
        if (&rollout->sets[i] != rollout->new &&revision > last) {
            last = revision;
        }
    }
    return last + 1;
}

/* The Deployment has the revision of its new set. Returns whether that is new. */
static bool annotate_revision(struct step *step, const json_t *replicaset)
{
    const char *revision =
        json_path_string(replicaset, "metadata", "annotations", revision_annotation);
    return revision != NULL && annotate(step->deployment, revision_annotation, revision);
}

/* Brings the annotations of the new set, if there is one, and of the Deployment up to date. */
static bool note_revision(struct step *step, struct error *error)
{
    struct rollout_set *new = step->rollout.new;
    if (new == NULL) {
        return true;
    }
    json_t *spec = json_object_get(new->object, "spec");
    json_int_t wait = json_get_int(json_object_get(step->deployment, "spec"), "minReadySeconds", 0);
    bool waits_otherwise = json_get_int(spec, "minReadySeconds", 0) != wait;
    bool is_annotated =
        revision_annotate(new->object, step->deployment, next_revision(&step->rollout));
    json_object_set_new(spec, "minReadySeconds", json_integer(wait));
    if ((is_annotated || waits_otherwise) && !update_replicaset(step, new, error)) {
        return false;
    }
    step->is_annotated = annotate_revision(step, new->object) || step->is_annotated;
    if (condition_find(json_path(step->deployment, "status", "conditions"), "Progressing") ==
        NULL) {
        cleanup(free_char)
        char *message = format("Found new replica set \"%s\"", name_of(new->object));
        set_progress(step, "True", "FoundNewReplicaSet", message);
    }
    return true;
}

/* The answer to a create that failed because the name is taken: by our own set of this template,
 * which only has not been seen yet, or by another one; then the next try has another hash. */
static json_t *resolve_collision(struct step *step, const json_t *replicaset, struct error *error)
{
    const json_t *metadata = json_object_get(step->deployment, "metadata");
    cleanup(json_release)
    json_t *present =
        client_get(step->state->controller->client, &resource_replicasets,
                   json_get_string(metadata, "namespace"), name_of(replicaset), error);
    if (present == NULL) {
        return NULL;
    }
    if (owner_controls(step->deployment, present) &&
        template_equals(json_path(step->deployment, "spec", "template"),
                        json_path(present, "spec", "template"))) {
        return steal(present);
    }
    json_t *status = json_get_or_add_object(step->deployment, "status");
    json_object_set_new(status, "collisionCount",
                        json_integer(json_get_int(status, "collisionCount", 0) + 1));
    if (write_deployment(step, error)) {
        error_conflict(error, "apps", "replicasets", name_of(replicaset),
                       "the name belongs to another template");
    }
    return NULL;
}

/* Tells of a set that could not be created. Returns false. */
static bool fail_creation(struct step *step, const json_t *replicaset, struct error *why,
                          struct error *error)
{
    if (!pod_control_is_namespace_terminating(why)) {
        cleanup(free_char)
        char *message = format("Failed to create new replica set \"%s\": %s", name_of(replicaset),
                               why->message);
        event_record_about(step->state->controller->events, step->deployment, "Warning",
                           "ReplicaSetCreateError", "%s", message);
        set_progress(step, "False", "ReplicaSetCreateError", message);
        write_deployment(step, NULL); /* If that fails, the next failure is written. */
    }
    return error_move(error, why);
}

/* Writes that a set was created. The Deployment may have changed since it was read; as nothing
 * else would tell later that the progress counts from here, that is then added to what it has
 * become, and the step is over. */
static bool write_creation(struct step *step, const char *message, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    set_progress(step, "True", "NewReplicaSetCreated", message);
    if (write_deployment(step, &why)) {
        return true;
    }
    const json_t *metadata = json_object_get(step->deployment, "metadata");
    json_t *fresh = why.code != 409
                        ? NULL
                        : client_get(step->state->controller->client, &resource_deployments,
                                     json_get_string(metadata, "namespace"),
                                     json_get_string(metadata, "name"), NULL);
    if (fresh != NULL) {
        json_decref(step->deployment);
        step->deployment = fresh;
        set_progress(step, "True", "NewReplicaSetCreated", message);
        write_deployment(step, NULL); /* The error that matters is the first one. */
    }
    return error_move(error, &why);
}

static bool create_new(struct step *step, struct error *error)
{
    struct rollout *rollout = &step->rollout;
    json_int_t replicas = rollout_new_replicas(rollout), revision = next_revision(rollout);
    cleanup(json_release)
    json_t *replicaset = template_replicaset(step->deployment, replicas);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    revision_annotate(replicaset, step->deployment, revision);
    replicas_annotate(replicaset, rollout->replicas, rollout->replicas + rollout->max_surge);
    json_t *created = client_create(step->state->controller->client, &resource_replicasets,
                                    json_path_string(step->deployment, "metadata", "namespace"),
                                    replicaset, &why);
    bool is_created = created != NULL;
    if (!is_created && strcmp(why.reason, "AlreadyExists") == 0) {
        created = resolve_collision(step, replicaset, error);
    } else if (!is_created) {
        return fail_creation(step, replicaset, &why, error);
    }
    if (created == NULL) {
        return false;
    }
    rollout_add(rollout, created);
    rollout_find_new(rollout, json_path(step->deployment, "spec", "template"));
    if (!is_created) {
        return note_revision(step, error);
    }
    if (replicas > 0) {
        event_record_about(step->state->controller->events, step->deployment, "Normal",
                           "ScalingReplicaSet", "Scaled up replica set %s from 0 to %lld",
                           name_of(created), (long long)replicas);
    }
    step->is_annotated = annotate_revision(step, created) || step->is_annotated;
    cleanup(free_char)
    char *message = format("Created new replica set \"%s\"", name_of(created));
    return write_creation(step, message, error);
}

/* ---- the strategies ---- */

static bool roll(struct step *step, struct error *error)
{
    if (step->rollout.new == NULL && !create_new(step, error)) {
        return false;
    }
    rollout_step_rolling(&step->rollout);
    return scale_sets(step, false, error);
}

/* Pods of old sets are left, those that are still terminating included. */
static bool has_old_pods(const struct step *step)
{
    const struct rollout *rollout = &step->rollout;
    for (size_t i = 0; i < rollout->count; i++) {
        cleanup(cached_list_free)
        struct cached_list pods = CACHED_LIST_INIT;
        if (&rollout->sets[i] == rollout->new) {
            continue;
        }
        if (rollout->sets[i].actual > 0) {
            return true;
        }
        indexer_find(informer_indexer(step->state->pods), "owner",
                     json_path_string(rollout->sets[i].object, "metadata", "uid"), &pods);
        for (size_t n = 0; n < pods.count; n++) {
            enum pod_phase phase = pod_view(pods.items[n])->phase;
            if (phase != POD_SUCCEEDED && phase != POD_FAILED) {
                return true;
            }
        }
    }
    return false;
}

static bool recreate(struct step *step, struct error *error)
{
    rollout_step_down(&step->rollout);
    if (rollout_has_targets(&step->rollout)) {
        return scale_sets(step, false, error);
    }
    if (has_old_pods(step)) {
        return true;
    }
    if (step->rollout.new == NULL && !create_new(step, error)) {
        return false;
    }
    step->rollout.new->target = rollout_new_replicas(&step->rollout);
    return scale_sets(step, false, error);
}

/* Deletes the old sets that the history has no room for. */
static bool clean_history(struct step *step, struct error *error)
{
    const json_t *limit = json_path(step->deployment, "spec", "revisionHistoryLimit");
    struct rollout *rollout = &step->rollout;
    if (!json_is_integer(limit) || json_integer_value(limit) == INT32_MAX || rollout->count == 0) {
        return true;
    }
    struct rollout_set **expired = allocate_zero(rollout->count, sizeof(struct rollout_set *));
    size_t count = rollout_find_expired(rollout, json_integer_value(limit), expired);
    bool succeeded = true;
    for (size_t i = 0; i < count && succeeded; i++) {
        const json_t *metadata = json_object_get(expired[i]->object, "metadata");
        cleanup(json_release)
        json_t *options = client_delete_options(json_get_string(metadata, "uid"), NULL);
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        succeeded = client_delete(step->state->controller->client, &resource_replicasets,
                                  json_get_string(metadata, "namespace"),
                                  json_get_string(metadata, "name"), options, &why) ||
                    why.code == 404 || error_move(error, &why);
    }
    free(expired);
    return succeeded;
}

/* ---- going back ---- */

static void tell_of_rollback(struct step *step, const char *reason, const char *message)
{
    const char *type = strcmp(reason, "DeploymentRollback") == 0 ? "Normal" : "Warning";
    event_record_about(step->state->controller->events, step->deployment, type, reason, "%s",
                       message);
}

/* Makes the Deployment what it was, as far as there is that revision; the next sync rolls it out.
 * In any case it is then not asked for any more. */
static bool roll_back(struct step *step, json_int_t revision, struct error *error)
{
    if (step->rollout.new == NULL && !create_new(step, error)) {
        return false;
    }
    revision = revision != 0 ? revision : rollback_last_revision(&step->rollout);
    const struct rollout_set *set = revision ? rollback_find(&step->rollout, revision) : NULL;
    bool changed = set != NULL && rollback_to(step->deployment, set->object);
    const char *name = name_of(step->deployment);
    json_object_del(json_path(step->deployment, "metadata", "annotations"), rollback_annotation);
    json_t *written = client_update(step->state->controller->client, &resource_deployments, NULL,
                                    step->deployment, error);
    if (written == NULL) {
        return false;
    }
    cleanup(free_char)
    char *done =
        format("Rolled back deployment \"%s\" to revision %lld", name, (long long)revision);
    cleanup(free_char)
    char *same = format("The rollback revision contains the same template as current deployment "
                        "\"%s\"",
                        name);
    if (set == NULL) {
        tell_of_rollback(step, "DeploymentRollbackRevisionNotFound",
                         revision ? "Unable to find the revision to rollback to."
                                  : "Unable to find last revision.");
    } else {
        tell_of_rollback(step,
                         changed ? "DeploymentRollback" : "DeploymentRollbackTemplateUnchanged",
                         changed ? done : same);
    }
    json_decref(written);
    return true;
}

/* ---- sync ---- */

/* The ReplicaSets that belong to the Deployment. */
static bool claim_replicasets(struct step *step, const struct cached_object *cached,
                              struct error *error)
{
    struct selector *selector = owner_selector(step->deployment, error);
    if (selector == NULL) {
        return false;
    }
    cleanup(cached_list_free)
    struct cached_list candidates = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list claimed = CACHED_LIST_INIT;
    struct indexer *replicasets = informer_indexer(step->state->replicasets);
    indexer_find(replicasets, "owner", cached->uid, &candidates);
    indexer_find(replicasets, "orphan", cached->namespace, &candidates);
    struct owner_claim claim = {step->state->controller->client,
                                &resource_deployments,
                                step->deployment,
                                selector,
                                &resource_replicasets,
                                NULL};
    bool succeeded = owner_claim(&claim, &candidates, &claimed, error);
    selector_free(selector);
    rollout_load(&step->rollout, step->deployment);
    for (size_t i = 0; i < claimed.count; i++) {
        rollout_add(&step->rollout, cached_object_tree(claimed.items[i]));
    }
    rollout_find_new(&step->rollout, json_path(step->deployment, "spec", "template"));
    return succeeded;
}

/* Writes the status; 'progress': the step was one of a rollout. */
static bool write_status(struct step *step, bool progress, struct error *error)
{
    json_t *status = deployment_status(step->deployment, &step->rollout, step->now);
    if (progress) {
        deployment_status_add_progress(status, step->deployment, &step->rollout, step->now);
    }
    json_object_set_new(step->deployment, "status", status);
    if (!write_deployment(step, error)) {
        return false;
    }
    int64_t check =
        progress ? deployment_next_check(step->deployment,
                                         json_object_get(step->deployment, "status"), step->now)
                 : 0;
    if (check != 0) {
        controller_add_after(step->state->controller, step->key, (check - step->now) / 1000000 + 1);
    }
    return true;
}

static bool scale(struct step *step, struct error *error)
{
    rollout_scale(&step->rollout);
    return scale_sets(step, true, error) &&
           (!json_get_bool(json_object_get(step->deployment, "spec"), "paused", false) ||
            clean_history(step, error)) &&
           write_status(step, false, error);
}

static bool roll_out(struct step *step, struct error *error)
{
    bool was_complete = deployment_is_complete(step->deployment, step->known_status);
    return (step->rollout.is_rolling ? roll(step, error) : recreate(step, error)) &&
           (!was_complete || clean_history(step, error)) && write_status(step, true, error);
}

static bool take_step(struct step *step, const struct cached_object *cached, struct error *error)
{
    if (!claim_replicasets(step, cached, error)) {
        return false;
    }
    if (!cached->is_deleting) {
        deployment_note_pause(step->deployment, step->now);
    }
    if (!note_revision(step, error)) {
        return false;
    }
    if (cached->is_deleting) {
        return write_status(step, false, error);
    }
    bool is_paused = json_get_bool(json_object_get(step->deployment, "spec"), "paused", false);
    json_int_t revision;
    if (!is_paused && rollback_wanted(step->deployment, &revision)) {
        return roll_back(step, revision, error);
    }
    return is_paused || rollout_needs_scaling(&step->rollout) ? scale(step, error)
                                                              : roll_out(step, error);
}

static bool sync_deployment(void *argument, const char *key, struct error *error)
{
    struct deployment_state *state = argument;
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(state->deployments), key);
    if (cached == NULL) {
        return true;
    }
    struct step step = {.state = state, .key = key, .now = timestamp_now()};
    step.deployment = cached_object_tree(cached);
    step.known_status = json_deep_copy(json_object_get(step.deployment, "status"));
    bool succeeded = take_step(&step, cached, error);
    rollout_free(&step.rollout);
    json_decref(step.deployment);
    json_decref(step.known_status);
    return succeeded;
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct deployment_state *state = allocate_struct(struct deployment_state);
    struct informer_factory *informers = controller->informers;
    state->controller = controller;
    state->deployments = informer_factory_get(informers, &resource_deployments, NULL, NULL);
    state->replicasets = informer_factory_get(informers, &resource_replicasets, NULL, NULL);
    state->pods = pod_informer(informers);
    indexer_add_index(informer_indexer(state->replicasets), "owner", index_by_owner);
    indexer_add_index(informer_indexer(state->replicasets), "orphan", owner_index_orphans);
    informer_add_handler(state->deployments, controller_handle_object, controller);
    informer_add_handler(state->replicasets, replicaset_changed, state);
    informer_add_handler(state->pods, pod_changed, state);
    return state;
}

const struct controller_type deployment_controller = {
    .name = "deployment-controller",
    .alias = "deployment",
    .account = "deployment-controller",
    .workers = 5,
    .start = start,
    .sync = sync_deployment,
    .stop = free,
};
