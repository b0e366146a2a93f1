// SPDX-License-Identifier: Apache-2.0
/* What a service account's token says, against what is. */
#include "apiserver/auth/service_account_claims.h"

#include <string.h>

#include "apiserver/auth/identity_cache.h"
#include "apiserver/auth/service_account_names.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

/* Clocks may differ by so much, and so long what is being deleted may go on. */
static const int64_t leeway_ns = INT64_C(60) * 1000000000;

static bool refused(struct error *error, const char *text)
{
    return error_set(error, 401, "Unauthorized", "%s", text);
}

/* ---- times ---- */

/* A claim that is a time, in nanoseconds; one far away is as good as one at the end of the range.
 */
static bool time_of(const json_t *claims, const char *name, int64_t *time_ns)
{
    const json_t *claim = json_object_get(claims, name);
    double seconds = json_number_value(claim);
    if (!json_is_number(claim)) {
        return false;
    }
    *time_ns = seconds >= 9e9    ? INT64_MAX - leeway_ns
               : seconds <= -9e9 ? INT64_MIN + leeway_ns
                                 : (int64_t)(seconds * 1e9);
    return true;
}

bool claims_check_times(const json_t *claims, int64_t now_ns, struct error *error)
{
    int64_t time;
    if (time_of(claims, "nbf", &time) && now_ns + leeway_ns < time) {
        return refused(error, "service account token is not valid yet");
    }
    if (time_of(claims, "exp", &time) && now_ns - leeway_ns > time) {
        return refused(error, "service account token has expired");
    }
    if (time_of(claims, "iat", &time) && now_ns + leeway_ns < time) {
        return refused(error, "service account token is issued in the future");
    }
    return true;
}

/* ---- what is bound ---- */

void bound_object_clear(struct bound_object *bound)
{
    object_unref(bound->object);
    free(bound->uid);
    *bound = (struct bound_object){0};
}

static void take_metadata(struct bound_object *bound)
{
    static const char *const paths[] = {"metadata.uid", "metadata.deletionTimestamp"};
    struct json_span spans[2] = {0};
    json_scan(bound->object->bytes, bound->object->length, paths, 2, spans);
    bound->uid = json_span_value(spans[0]);
    cleanup(free_char)
    char *deleted = json_span_value(spans[1]);
    if (deleted == NULL || !timestamp_parse(deleted, &bound->deleted_ns)) {
        bound->deleted_ns = 0;
    }
}

bool bound_object_find(struct service_accounts *accounts, const struct question *question,
                       const char *plural, const char *namespace, const char *name,
                       struct bound_object *bound)
{
    struct registry *registry = accounts->registry;
    const struct resource *resource = registry_resource(registry, "", plural);
    struct cache_table *table = cache_table(registry->cache, resource);
    cleanup(free_char)
    char *key = namespace[0] ? format("%s/%s", namespace, name) : duplicate(name);
    bound->object = cache_get(table, key);
    if (bound->object == NULL && !cache_is_local(registry->cache)) {
        if (!question->may_block) {
            return false;
        }
        /* Another API server may have made it a moment ago. Without the store, it is missing. */
        if (cache_wait_current(registry->cache, NULL)) {
            bound->object = cache_get(table, key);
        }
    }
    if (bound->object != NULL) {
        take_metadata(bound);
    }
    return true;
}

static bool was_deleted(const struct bound_object *bound, int64_t now_ns)
{
    return bound->deleted_ns != 0 && bound->deleted_ns < now_ns - leeway_ns;
}

static bool has_uid(const struct bound_object *bound, const char *uid)
{
    return bound->uid != NULL && strcmp(bound->uid, uid) == 0;
}

/* A string of the claims; "" when it is none. */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text ? text : "";
}

/* What is to be checked, and what came of it. */
struct check {
    struct service_accounts *accounts;
    const struct question *question;
    const json_t *kubernetes; /* The claim "kubernetes.io". */
    const char *namespace;
    int64_t now_ns;
    unsigned rests_on; /* Kinds of what was found. */
    bool is_ending;    /* Something of it is being deleted. */
};

static enum verdict check_account(struct check *check, struct error *error)
{
    const json_t *reference = json_object_get(check->kubernetes, "serviceaccount");
    const char *name = text_of(reference, "name"), *uid = text_of(reference, "uid");
    cleanup(bound_object_clear)
    struct bound_object account = {0};
    if (!bound_object_find(check->accounts, check->question, "serviceaccounts", check->namespace,
                           name, &account)) {
        return VERDICT_BLOCKS;
    }
    if (account.object == NULL) {
        error_not_found(error, "", "serviceaccounts", name);
        return VERDICT_REFUSED;
    }
    if (!has_uid(&account, uid)) {
        error_set(error, 401, "Unauthorized", "service account UID (%s) does not match claim (%s)",
                  account.uid ? account.uid : "", uid);
        return VERDICT_REFUSED;
    }
    if (was_deleted(&account, check->now_ns)) {
        error_set(error, 401, "Unauthorized", "service account %s/%s has been deleted",
                  check->namespace, name);
        return VERDICT_REFUSED;
    }
    check->rests_on |= 1U << GROUND_SERVICE_ACCOUNTS;
    check->is_ending |= account.deleted_ns != 0;
    return VERDICT_KNOWN;
}

/* The pod, secret or node that the token is bound to. */
static enum verdict check_bound(struct check *check, enum ground ground, const char *kind,
                                const char *plural, const char *namespace, struct error *error)
{
    const json_t *reference = json_object_get(check->kubernetes, kind);
    const char *uid = text_of(reference, "uid");
    if (reference == NULL) {
        return VERDICT_KNOWN;
    }
    cleanup(bound_object_clear)
    struct bound_object bound = {0};
    if (!bound_object_find(check->accounts, check->question, plural, namespace,
                           text_of(reference, "name"), &bound)) {
        return VERDICT_BLOCKS;
    }
    if (bound.object != NULL && !has_uid(&bound, uid)) {
        error_set(error, 401, "Unauthorized",
                  "%s UID (%s) does not match service account %s ref claim (%s)", kind,
                  bound.uid ? bound.uid : "", kind, uid);
        return VERDICT_REFUSED;
    }
    if (bound.object == NULL || was_deleted(&bound, check->now_ns)) {
        refused(error, "service account token has been invalidated");
        return VERDICT_REFUSED;
    }
    check->rests_on |= 1U << ground;
    check->is_ending |= bound.deleted_ns != 0;
    return VERDICT_KNOWN;
}

/* How long the identity may be taken for granted. */
static int64_t time_left(const json_t *claims, int64_t now_ns)
{
    int64_t end_ns;
    bool ends_soon = time_of(claims, "exp", &end_ns) && end_ns < now_ns + identity_cache_time_ns;
    return ends_soon ? end_ns - now_ns : identity_cache_time_ns;
}

/* ---- the user ---- */

static void set_user(struct user *user, const char *namespace, const char *name, const char *uid)
{
    cleanup(free_char)
    char *username = service_account_username(namespace, name);
    user_set(user, username, uid);
    service_account_add_groups(user, namespace);
}

static void add_extra(struct user *user, const json_t *claims, const json_t *kubernetes)
{
    const json_t *pod = json_object_get(kubernetes, "pod"),
                 *node = json_object_get(kubernetes, "node");
    const char *id = text_of(claims, "jti");
    if (id[0] != '\0') {
        cleanup(free_char)
        char *credential = format("JTI=%s", id);
        user_add_extra(user, "authentication.kubernetes.io/credential-id", credential);
    }
    if (text_of(node, "name")[0] != '\0') {
        user_add_extra(user, "authentication.kubernetes.io/node-name", text_of(node, "name"));
        if (text_of(node, "uid")[0] != '\0') {
            user_add_extra(user, "authentication.kubernetes.io/node-uid", text_of(node, "uid"));
        }
    }
    if (pod != NULL) {
        user_add_extra(user, "authentication.kubernetes.io/pod-name", text_of(pod, "name"));
        user_add_extra(user, "authentication.kubernetes.io/pod-uid", text_of(pod, "uid"));
    }
}

enum verdict claims_validate(struct service_accounts *accounts, const struct question *question,
                             const json_t *claims, struct identity *identity, struct error *error)
{
    const json_t *kubernetes = json_object_get(claims, "kubernetes.io");
    struct check check = {.accounts = accounts,
                          .question = question,
                          .kubernetes = kubernetes,
                          .namespace = text_of(kubernetes, "namespace"),
                          .now_ns = timestamp_now()};
    if (!claims_check_times(claims, check.now_ns, error)) {
        return VERDICT_REFUSED;
    }
    enum verdict verdict = check_account(&check, error);
    if (verdict == VERDICT_KNOWN) {
        verdict = check_bound(&check, GROUND_SECRETS, "secret", "secrets", check.namespace, error);
    }
    if (verdict == VERDICT_KNOWN) {
        verdict = check_bound(&check, GROUND_PODS, "pod", "pods", check.namespace, error);
    }
    if (verdict == VERDICT_KNOWN && json_object_get(kubernetes, "pod") == NULL) {
        /* Beside a pod the node only tells where it runs. */
        verdict = check_bound(&check, GROUND_NODES, "node", "nodes", "", error);
    }
    if (verdict == VERDICT_KNOWN) {
        const json_t *account = json_object_get(kubernetes, "serviceaccount");
        set_user(&identity->user, check.namespace, text_of(account, "name"),
                 text_of(account, "uid"));
        add_extra(&identity->user, claims, kubernetes);
        identity->rests_on = check.rests_on;
        identity->good_for_ns = check.is_ending ? 0 : time_left(claims, check.now_ns);
    }
    return verdict;
}
