// SPDX-License-Identifier: Apache-2.0
#include "controllers/statefulset_act.h"

#include <string.h>

#include "common/alloc.h"
#include "common/event_recorder.h"
#include "common/json.h"
#include "controllers/history.h"
#include "controllers/pod_control.h"
#include "controllers/resources.h"
#include "controllers/statefulset_pod.h"

struct act {
    const struct statefulset_actor *actor;
    const struct statefulset_subject *subject;
    const char *namespace, *name; /* The set's. */
};

/* ---- events ---- */

/* "SuccessfulCreate": "create Pod web-0 in StatefulSet web successful". */
static void tell(const struct act *act, const char *reason, const char *verb, const char *pod,
                 const struct error *failure)
{
    struct event_recorder *events = act->actor->controller->events;
    cleanup(free_char)
    char *full = format("%s%s", failure == NULL ? "Successful" : "Failed", reason);
    if (failure == NULL) {
        event_record_about(events, act->subject->set, "Normal", full,
                           "%s Pod %s in StatefulSet %s successful", verb, pod, act->name);
    } else {
        event_record_about(events, act->subject->set, "Warning", full,
                           "%s Pod %s in StatefulSet %s failed error: %s", verb, pod, act->name,
                           failure->message);
    }
}

static void tell_of_claim(const struct act *act, const char *claim, const char *pod,
                          const struct error *failure)
{
    struct event_recorder *events = act->actor->controller->events;
    if (failure == NULL) {
        event_record_about(events, act->subject->set, "Normal", "SuccessfulCreate",
                           "create Claim %s Pod %s in StatefulSet %s success", claim, pod,
                           act->name);
    } else {
        event_record_about(events, act->subject->set, "Warning", "FailedCreate",
                           "create Claim %s for Pod %s in StatefulSet %s failed error: %s", claim,
                           pod, act->name, failure->message);
    }
}

static char *pod_name(const struct act *act, int64_t ordinal)
{
    return format("%s-%lld", act->name, (long long)ordinal);
}

/* ---- claims ---- */

static struct cached_object *find_claim(const struct act *act, const json_t *claim)
{
    return informer_get(act->actor->claims, act->namespace,
                        json_path_string(claim, "metadata", "name"));
}

static bool make_claim(const struct act *act, const json_t *claim, const char *pod,
                       struct error *error)
{
    const char *name = json_path_string(claim, "metadata", "name");
    cleanup(cached_object_release)
    struct cached_object *present = find_claim(act, claim);
    if (present != NULL) {
        return !present->is_deleting ||
               error_set(error, 409, "Conflict", "pvc %s is being deleted", name);
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *made = client_create(act->actor->controller->client, &resource_persistent_volume_claims,
                                 act->namespace, claim, &why);
    if (made != NULL) {
        own_writes_note(act->actor->claim_writes, act->subject->key, made);
    }
    if (made != NULL || (why.code != 409 && !pod_control_is_namespace_terminating(&why))) {
        tell_of_claim(act, name, pod, made != NULL ? NULL : &why);
    }
    return made != NULL || error_wrap(error, &why, "failed to create PVC %s", name);
}

/* Tries all, so that one failure does not hide another. */
static bool make_claims(const struct act *act, int64_t ordinal, struct error *error)
{
    cleanup(json_release)
    json_t *claims = statefulset_claims(act->subject->set, ordinal);
    cleanup(free_char)
    char *pod = pod_name(act, ordinal);
    bool succeeded = true;
    size_t i;
    const json_t *claim;
    json_array_foreach (claims, i, claim) {
        succeeded = make_claim(act, claim, pod, succeeded ? error : NULL) && succeeded;
    }
    return succeeded;
}

static bool own_claim(const struct act *act, const struct statefulset_claimant *claimant,
                      const struct cached_object *cached, struct error *error)
{
    cleanup(json_release)
    json_t *claim = cached_object_tree(cached);
    if (statefulset_claim_is_right(claimant, claim)) {
        return true;
    }
    if (statefulset_claim_is_foreign(claimant, claim)) {
        event_record_about(act->actor->controller->events, act->subject->set, "Warning",
                           "ConflictingController",
                           "PersistentVolumeClaim %s has a conflicting OwnerReference that acts as "
                           "a managing controller, the retention policy is ignored for this claim",
                           cached->name);
    }
    statefulset_own_claim(claimant, claim);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *written = client_update(act->actor->controller->client,
                                    &resource_persistent_volume_claims, NULL, claim, &why);
    if (written != NULL) {
        own_writes_note(act->actor->claim_writes, act->subject->key, written);
        return true;
    }
    return error_wrap(error, &why, "could not update claim %s for delete policy ownerRefs",
                      cached->name);
}

/* The owner references of the claims that there are follow the policy. */
static bool own_claims(const struct act *act, int64_t ordinal, const struct cached_object *pod,
                       struct error *error)
{
    cleanup(json_release)
    json_t *claims = statefulset_claims(act->subject->set, ordinal);
    cleanup(free_char)
    char *name = pod_name(act, ordinal);
    struct statefulset_claimant claimant = {act->subject->set, name, pod != NULL ? pod->uid : "",
                                            ordinal};
    size_t i;
    const json_t *claim;
    json_array_foreach (claims, i, claim) {
        cleanup(cached_object_release)
        struct cached_object *present = find_claim(act, claim);
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        if (present != NULL && !own_claim(act, &claimant, present, &why)) {
            tell(act, "Update", "update", name, &why);
            return error_move(error, &why);
        }
    }
    return true;
}

static bool has_stale_claim(const struct act *act, int64_t ordinal)
{
    cleanup(json_release)
    json_t *claims = statefulset_claims(act->subject->set, ordinal);
    cleanup(free_char)
    char *name = pod_name(act, ordinal);
    struct statefulset_claimant claimant = {act->subject->set, name, "", ordinal};
    size_t i;
    const json_t *claim;
    json_array_foreach (claims, i, claim) {
        cleanup(cached_object_release)
        struct cached_object *present = find_claim(act, claim);
        cleanup(json_release)
        json_t *tree = present != NULL ? cached_object_tree(present) : NULL;
        if (tree != NULL && statefulset_claim_is_stale(&claimant, tree)) {
            return true;
        }
    }
    return false;
}

/* ---- pods ---- */

static struct client_request create_request(const struct act *act,
                                            const struct statefulset_step *step)
{
    const json_t *revision = step->is_current ? act->subject->current : act->subject->update;
    cleanup(json_release)
    json_t *pod_template = history_template(revision);
    cleanup(json_release)
    json_t *pod = statefulset_make_pod(act->subject->set, pod_template, history_name(revision),
                                       step->ordinal);
    return client_create_request(&resource_pods, act->namespace, pod);
}

static bool take_created(const struct act *act, const struct statefulset_step *step,
                         struct client_call *call, struct error *error)
{
    cleanup(free_char)
    char *name = pod_name(act, step->ordinal);
    if (call->result != NULL) {
        own_writes_note(act->actor->pod_writes, act->subject->key, call->result);
        json_decref(call->result);
        tell(act, "Create", "create", name, NULL);
        return own_claims(act, step->ordinal, NULL, error);
    }
    if (call->error.code != 409 && !pod_control_is_namespace_terminating(&call->error)) {
        tell(act, "Create", "create", name, &call->error);
    }
    if (error != NULL && !error_is_set(error)) {
        error_move(error, &call->error);
    }
    error_clear(&call->error);
    return false;
}

/* The pods of these steps, all at once; those that still wait for a claim of an earlier pod are
 * left out, and come when that is gone. */
static bool create_batch(const struct act *act, const struct statefulset_step *steps, size_t count,
                         struct error *error)
{
    struct client_call *calls = allocate_zero(count, sizeof *calls);
    const struct statefulset_step **made = allocate_zero(count, sizeof(struct statefulset_step *));
    bool succeeded = true;
    size_t used = 0;
    for (size_t i = 0; i < count && succeeded; i++) {
        if (has_stale_claim(act, steps[i].ordinal)) {
            continue;
        }
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        succeeded = make_claims(act, steps[i].ordinal, &why);
        if (succeeded) {
            made[used] = &steps[i];
            calls[used++].request = create_request(act, &steps[i]);
            continue;
        }
        cleanup(free_char)
        char *name = pod_name(act, steps[i].ordinal);
        if (!pod_control_is_namespace_terminating(&why)) {
            tell(act, "Create", "create", name, &why);
        }
        error_move(error, &why);
    }
    client_call_all(act->actor->controller->client, calls, used);
    for (size_t i = 0; i < used; i++) {
        succeeded = take_created(act, made[i], &calls[i], succeeded ? error : NULL) && succeeded;
    }
    free(calls);
    free(made);
    return succeeded;
}

/* First one, then twice as many at a time as before while all succeed. */
static bool create_pods(const struct act *act, const struct statefulset_step *steps, size_t count,
                        struct error *error)
{
    size_t done = 0;
    for (size_t batch = 1; done < count; batch *= 2) {
        size_t now = batch < count - done ? batch : count - done;
        if (!create_batch(act, steps + done, now, error)) {
            return false;
        }
        done += now;
    }
    return true;
}

static bool delete_pod(const struct act *act, const struct cached_object *pod, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *deleted = client_call(
        act->actor->controller->client,
        client_delete_request(&resource_pods, pod->namespace, pod->name, pod->uid), &why);
    bool is_gone = why.code == 404 || why.code == 409; /* 409: a namesake has come already. */
    if (deleted != NULL || is_gone) {
        own_writes_note_deletion(act->actor->pod_writes, act->subject->key, pod);
    }
    if (!is_gone) {
        tell(act, "Delete", "delete", pod->name, deleted != NULL ? NULL : &why);
    }
    return deleted != NULL || is_gone || error_move(error, &why);
}

static bool check_pod(const struct act *act, const struct statefulset_step *step,
                      struct error *error)
{
    if (!own_claims(act, step->ordinal, step->pod, error)) {
        return false;
    }
    if (statefulset_pod_is_itself(act->subject->set, step->pod, step->ordinal)) {
        return true;
    }
    cleanup(json_release)
    json_t *pod = cached_object_tree(step->pod);
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    statefulset_mend_pod(act->subject->set, pod, step->ordinal);
    if (!make_claims(act, step->ordinal, &why)) {
        tell(act, "Update", "update", step->pod->name, &why);
        return error_move(error, &why);
    }
    cleanup(json_release)
    json_t *written =
        client_update(act->actor->controller->client, &resource_pods, NULL, pod, &why);
    if (written != NULL) {
        own_writes_note(act->actor->pod_writes, act->subject->key, written);
    }
    tell(act, "Update", "update", step->pod->name, written != NULL ? NULL : &why);
    return written != NULL || error_move(error, &why);
}

/* ---- steps ---- */

static bool do_step(const struct act *act, const struct statefulset_step *step, size_t *replaced,
                    struct error *error)
{
    switch (step->action) {
    case STATEFULSET_CREATE:
        return create_pods(act, step, 1, error);
    case STATEFULSET_MAKE_CLAIMS:
        return make_claims(act, step->ordinal, error) &&
               own_claims(act, step->ordinal, step->pod, error);
    case STATEFULSET_CHECK:
        return check_pod(act, step, error);
    case STATEFULSET_CHECK_CLAIMS:
        return own_claims(act, step->ordinal, step->pod, error);
    case STATEFULSET_DELETE:
        return delete_pod(act, step->pod, error);
    case STATEFULSET_REPLACE:
        ++*replaced;
        return delete_pod(act, step->pod, error);
    }
    return true;
}

bool statefulset_act(const struct statefulset_actor *actor,
                     const struct statefulset_subject *subject, const struct statefulset_plan *plan,
                     size_t *replaced, struct error *error)
{
    const json_t *metadata = json_object_get(subject->set, "metadata");
    struct act act = {actor, subject, json_get_string(metadata, "namespace"),
                      json_get_string(metadata, "name")};
    *replaced = 0;
    for (size_t i = 0, run; i < plan->count; i += run) {
        run = 1;
        while (plan->steps[i].action == STATEFULSET_CREATE && i + run < plan->count &&
               plan->steps[i + run].action == STATEFULSET_CREATE) {
            run++;
        }
        if (run > 1 ? !create_pods(&act, &plan->steps[i], run, error)
                    : !do_step(&act, &plan->steps[i], replaced, error)) {
            return false;
        }
    }
    return true;
}
