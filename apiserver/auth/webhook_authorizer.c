// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/webhook_authorizer.h"

#include <string.h>

#include "apiserver/auth/fetch.h"
#include "apiserver/auth/token_cache.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/selector.h"
#include "common/timestamp.h"

enum {
    kept_bytes_max = 10000, /* Of a question; answers to larger ones are not kept. */
    answer_bytes_max = 1 << 20,
};

struct webhook_authorizer {
    struct fetcher *server;
    struct token_cache *answers; /* Statuses of reviews, by their specs. */
    const char *api_version;
    bool denies_on_failure;
    bool has_groups_in_group; /* v1beta1 calls the list of groups "group". */
    int64_t authorized_ttl_ns, unauthorized_ttl_ns;
};

/* ---- the question ---- */

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        json_object_set_new(object, name, json_string(text));
    }
}

/* A selector, taken apart; without one, or what is none, nothing is said of it. */
static void set_selector(json_t *object, const char *name, const json_t *requirements,
                         const char *text,
                         struct selector *(*parse)(const char *text, struct error *error))
{
    json_t *list = json_array_size(requirements) > 0 ? json_deep_copy(requirements) : NULL;
    if (list == NULL && text != NULL && text[0] != '\0') {
        struct selector *selector = parse(text, NULL);
        list = selector != NULL ? selector_requirements(selector) : NULL;
        selector_free(selector);
    }
    if (json_array_size(list) > 0) {
        json_object_set_new(object, name, json_pack("{s:O}", "requirements", list));
    }
    json_decref(list);
}

static json_t *resource_attributes(const struct authz_attributes *attributes)
{
    json_t *object = json_object();
    set_text(object, "namespace", attributes->namespace);
    set_text(object, "verb", attributes->verb);
    set_text(object, "group", attributes->group);
    set_text(object, "version", attributes->version);
    set_text(object, "resource", attributes->resource);
    set_text(object, "subresource", attributes->subresource);
    set_text(object, "name", attributes->name);
    set_selector(object, "fieldSelector", attributes->field_requirements,
                 attributes->field_selector, selector_parse_fields);
    set_selector(object, "labelSelector", attributes->label_requirements,
                 attributes->label_selector, selector_parse_labels);
    return object;
}

static json_t *spec_of(const struct webhook_authorizer *authorizer,
                       const struct authz_attributes *attributes)
{
    const struct user *user = attributes->user;
    json_t *spec = json_object(), *groups = json_array();
    if (attributes->is_resource) {
        json_object_set_new(spec, "resourceAttributes", resource_attributes(attributes));
    } else {
        json_t *path = json_object();
        set_text(path, "path", attributes->path);
        set_text(path, "verb", attributes->verb);
        json_object_set_new(spec, "nonResourceAttributes", path);
    }
    for (size_t i = 0; i < user->group_count; i++) {
        json_array_append_new(groups, json_string(user->groups[i]));
    }
    set_text(spec, "user", user->name);
    set_text(spec, "uid", user->uid);
    json_object_set_new(spec, authorizer->has_groups_in_group ? "group" : "groups", groups);
    if (user->extra != NULL) {
        json_object_set_new(spec, "extra", json_deep_copy(user->extra));
    }
    return spec;
}

/* ---- the answer ---- */

static bool is_bool(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_boolean(value);
}

static bool is_status(const json_t *status)
{
    const json_t *reason = json_object_get(status, "reason");
    return json_is_object(status) && is_bool(json_object_get(status, "allowed")) &&
           is_bool(json_object_get(status, "denied")) &&
           (reason == NULL || json_is_null(reason) || json_is_string(reason));
}

/* The status of the review; the caller's. */
static json_t *ask(struct webhook_authorizer *authorizer, json_t *spec, struct error *error)
{
    cleanup(json_release)
    json_t *body = json_pack("{s:s, s:s, s:{s:n}, s:O, s:{s:b}}", "kind", "SubjectAccessReview",
                             "apiVersion", authorizer->api_version, "metadata", "creationTimestamp",
                             "spec", spec, "status", "allowed", 0);
    cleanup(json_release)
    json_t *answer = fetch_json(authorizer->server, "", body, error);
    json_t *status = json_object_get(answer, "status");
    if (answer == NULL) {
        return NULL;
    }
    if (!is_status(status)) {
        error_internal(error, "the webhook's answer has no status of a SubjectAccessReview");
        return NULL;
    }
    return json_incref(status);
}

static enum authz_decision read_status(const json_t *status, struct buffer *reason,
                                       struct error *error)
{
    bool allowed = json_get_bool(status, "allowed", false);
    bool denied = json_get_bool(status, "denied", false);
    const char *why = json_get_string(status, "reason");
    if (allowed && denied) {
        error_internal(error,
                       "webhook subject access review returned both allow and deny response");
        return AUTHZ_DENY;
    }
    if (reason != NULL && why != NULL) {
        buffer_add_text(reason, why);
    }
    return denied ? AUTHZ_DENY : allowed ? AUTHZ_ALLOW : AUTHZ_NO_OPINION;
}

enum authz_decision webhook_authorizer_decide(struct webhook_authorizer *authorizer,
                                              const struct authz_attributes *attributes,
                                              struct buffer *reason, struct error *error)
{
    cleanup(json_release)
    json_t *spec = spec_of(authorizer, attributes);
    cleanup(free_char)
    char *text = json_text(spec);
    size_t length = strlen(text);
    struct token_hash hash = token_hash(text, length, NULL, 0);
    int64_t now = timestamp_monotonic();
    cleanup(finding_release)
    struct finding *known = token_cache_get(authorizer->answers, &hash, now);
    if (known != NULL) {
        return read_status(known->json, reason, error);
    }
    if (attributes->no_wait) {
        return AUTHZ_BLOCKS;
    }
    cleanup(json_release)
    json_t *status = ask(authorizer, spec, error);
    if (status == NULL) {
        return authorizer->denies_on_failure ? AUTHZ_DENY : AUTHZ_NO_OPINION;
    }
    enum authz_decision decision = read_status(status, reason, error);
    int64_t keep_ns = json_get_bool(status, "allowed", false) ? authorizer->authorized_ttl_ns
                                                              : authorizer->unauthorized_ttl_ns;
    if (length <= kept_bytes_max && keep_ns > 0) {
        struct finding *kept = token_cache_put(authorizer->answers, &hash, steal(status),
                                               timestamp_monotonic() + keep_ns);
        finding_release(&kept);
    }
    return decision;
}

/* ---- set-up ---- */

struct webhook_authorizer *webhook_authorizer_new(const struct webhook_authorizer_options *options,
                                                  const atomic_bool *stopping, struct error *error)
{
    cleanup(client_config_clear)
    struct client_config config = CLIENT_CONFIG_INIT;
    bool is_read = options->config_file != NULL
                       ? client_config_from_file(&config, options->config_file, NULL, NULL, error)
                       : client_config_in_cluster(&config, NULL, error);
    if (!is_read) {
        return NULL;
    }
    struct fetcher *server = fetcher_new(&config, error);
    if (server == NULL) {
        return NULL;
    }
    fetcher_ask_again(server);
    if (options->timeout_ms > 0) {
        fetcher_limit(server, answer_bytes_max, options->timeout_ms);
    }
    if (stopping != NULL) {
        fetcher_stop_when(server, stopping);
    }
    struct webhook_authorizer *authorizer = allocate_struct(struct webhook_authorizer);
    *authorizer = (struct webhook_authorizer){
        .server = server,
        .answers = token_cache_new(),
        .api_version = options->is_v1 ? "authorization.k8s.io/v1" : "authorization.k8s.io/v1beta1",
        .denies_on_failure = options->denies_on_failure,
        .has_groups_in_group = !options->is_v1,
        .authorized_ttl_ns = options->authorized_ttl_ns,
        .unauthorized_ttl_ns = options->unauthorized_ttl_ns,
    };
    return authorizer;
}

void webhook_authorizer_free(struct webhook_authorizer *authorizer)
{
    if (authorizer != NULL) {
        fetcher_free(authorizer->server);
        token_cache_free(authorizer->answers);
        free(authorizer);
    }
}
