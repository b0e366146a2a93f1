// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/webhook.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

#include "apiserver/admission/webhook_credentials.h"
#include "apiserver/auth/fetch.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

/* The way to a service, kept for the next question. */
struct webhook_line {
    pthread_mutex_t lock; /* Guards the rest. */
    char *server;
    struct fetcher *fetcher;
    unsigned users;    /* Questions that are under way over it. */
    unsigned failures; /* Those that were not answered. */
};

/* ---- compiling ---- */

static bool says(const json_t *json, const char *member, const char *value)
{
    const char *text = json_get_string(json, member);
    return text != NULL && strcmp(text, value) == 0;
}

static struct selector *compile_selector(struct webhook *webhook, const char *member)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    const json_t *object = json_object_get(webhook->json, member);
    struct selector *selector =
        json_is_object(object) ? selector_from_object(object, &error) : NULL;
    if (error_is_set(&error) && webhook->problem == NULL) {
        webhook->problem = format("%s: %s", member, error.message);
    }
    return selector;
}

/* "https://host:port/…", as taken apart by curl; port 443 if it names none. */
static void add_credentials_of_url(const struct webhook *webhook, const char *url,
                                   struct client_config *config)
{
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL;
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        curl_url_get(parts, CURLUPART_PORT, &port, 0);
        size_t length = strlen(host); /* An IPv6 address stands in brackets. */
        bool has_brackets = host[0] == '[' && host[length - 1] == ']';
        cleanup(free_char)
        char *bare = format("%.*s", (int)(length - 2 * has_brackets), host + has_brackets);
        webhook_credentials_add(webhook->credentials, bare, port ? atoi(port) : 443, config);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
}

/* Of a service, 'server_name' and 'port' are what it goes by. */
static struct fetcher *new_fetcher(const struct webhook *webhook, const char *server,
                                   const char *server_name, int port, struct error *error)
{
    enum { answer_bytes_max = 3 << 20 };
    cleanup(client_config_clear)
    struct client_config config = CLIENT_CONFIG_INIT;
    const char *bundle = json_path_string(webhook->json, "clientConfig", "caBundle");
    size_t length = 0;
    config.server = duplicate(server);
    config.tls_server_name = server_name != NULL ? duplicate(server_name) : NULL;
    if (bundle != NULL && bundle[0] != '\0') {
        config.ca = base64_decode(bundle, strlen(bundle), &length);
    }
    if (server_name != NULL) {
        webhook_credentials_add(webhook->credentials, server_name, port, &config);
    } else if (webhook->credentials != NULL) {
        add_credentials_of_url(webhook, server, &config);
    }
    struct fetcher *fetcher = fetcher_new(&config, error);
    if (fetcher != NULL) {
        fetcher_limit(fetcher, answer_bytes_max, webhook->timeout_seconds * 1000);
        fetcher_stop_when(fetcher, webhook->stopping);
    }
    return fetcher;
}

struct webhook *webhook_new(const char *configuration, const json_t *json,
                            const struct webhook_credentials *credentials,
                            const atomic_bool *stopping)
{
    struct webhook *webhook = allocate_struct(struct webhook);
    webhook->references = 1;
    webhook->configuration = duplicate(configuration);
    webhook->json = json_deep_copy(json);
    const char *name = json_get_string(webhook->json, "name");
    webhook->name = name != NULL ? name : "";
    webhook->rules = json_object_get(webhook->json, "rules");
    webhook->namespace_selector = compile_selector(webhook, "namespaceSelector");
    webhook->object_selector = compile_selector(webhook, "objectSelector");
    webhook->matches_equivalents = !says(json, "matchPolicy", "Exact");
    webhook->ignores_failures = says(json, "failurePolicy", "Ignore");
    webhook->is_reinvoked = says(json, "reinvocationPolicy", "IfNeeded");
    webhook->has_side_effects =
        !says(json, "sideEffects", "None") && !says(json, "sideEffects", "NoneOnDryRun");
    webhook->timeout_seconds = (int)json_get_int(json, "timeoutSeconds", 10);
    webhook->stopping = stopping;
    webhook->credentials = credentials;
    if (json_array_size(json_object_get(json, "matchConditions")) > 0 && webhook->problem == NULL) {
        webhook->problem = duplicate("its matchConditions can't be evaluated");
    }
    const char *url = json_path_string(json, "clientConfig", "url");
    if (url != NULL && webhook->problem == NULL) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        webhook->fetcher = new_fetcher(webhook, url, NULL, 0, &error);
        webhook->problem = webhook->fetcher == NULL ? duplicate(error.message) : NULL;
    } else {
        webhook->line = allocate_struct(struct webhook_line);
        pthread_mutex_init(&webhook->line->lock, NULL);
    }
    return webhook;
}

/* ---- reaching ---- */

struct fetcher *webhook_dial(const struct webhook *webhook, const char *server,
                             const char *server_name, int port, struct error *error)
{
    struct webhook_line *line = webhook->line;
    struct fetcher *fetcher = NULL;
    pthread_mutex_lock(&line->lock);
    if (line->fetcher != NULL && strcmp(line->server, server) == 0) {
        fetcher = line->fetcher;
        line->users++;
    }
    pthread_mutex_unlock(&line->lock);
    if (fetcher != NULL ||
        (fetcher = new_fetcher(webhook, server, server_name, port, error)) == NULL) {
        return fetcher;
    }
    pthread_mutex_lock(&line->lock);
    struct fetcher *before = NULL;
    if (line->users == 0) { /* Else it is for this question alone. */
        before = line->fetcher;
        free(line->server);
        line->server = duplicate(server);
        line->fetcher = fetcher;
        line->users = 1;
    }
    pthread_mutex_unlock(&line->lock);
    fetcher_free(before);
    return fetcher;
}

unsigned webhook_turn(const struct webhook *webhook)
{
    pthread_mutex_lock(&webhook->line->lock);
    unsigned turn = webhook->line->failures;
    pthread_mutex_unlock(&webhook->line->lock);
    return turn;
}

void webhook_hang_up(const struct webhook *webhook, struct fetcher *fetcher, bool has_answered)
{
    struct webhook_line *line = webhook->line;
    pthread_mutex_lock(&line->lock);
    bool is_kept = line->fetcher == fetcher;
    line->users -= is_kept;
    line->failures += !has_answered;
    pthread_mutex_unlock(&line->lock);
    if (!is_kept) {
        fetcher_free(fetcher);
    }
}

static void free_line(struct webhook_line *line)
{
    if (line != NULL) {
        fetcher_free(line->fetcher);
        pthread_mutex_destroy(&line->lock);
        free(line->server);
        free(line);
    }
}

struct webhook *webhook_ref(struct webhook *webhook)
{
    atomic_fetch_add(&webhook->references, 1);
    return webhook;
}

void webhook_unref(struct webhook *webhook)
{
    if (webhook == NULL || atomic_fetch_sub(&webhook->references, 1) > 1) {
        return;
    }
    fetcher_free(webhook->fetcher);
    free_line(webhook->line);
    selector_free(webhook->namespace_selector);
    selector_free(webhook->object_selector);
    json_decref(webhook->json);
    free(webhook->configuration);
    free(webhook->problem);
    free(webhook);
}

/* ---- matching ---- */

static bool holds(const json_t *rule, const char *member, const char *value)
{
    const json_t *list = json_object_get(rule, member);
    return json_array_has_string(list, "*") || json_array_has_string(list, value);
}

/* "pods", "pods/status", "pods" with any subresource, and so on. */
static bool names_resource(const json_t *rule, const struct webhook_question *question)
{
    const json_t *list = json_object_get(rule, "resources");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t length = strcspn(text, "/");
        const char *subresource = text[length] == '/' ? text + length + 1 : "";
        bool is_resource =
            (length == 1 && text[0] == '*') ||
            (strlen(question->plural) == length && memcmp(question->plural, text, length) == 0);
        if (is_resource &&
            (strcmp(subresource, "*") == 0 || strcmp(subresource, question->subresource) == 0)) {
            return true;
        }
    }
    return false;
}

static bool has_scope(const json_t *rule, const struct webhook_question *question)
{
    return says(rule, "scope", "Namespaced") ? question->namespaced
           : says(rule, "scope", "Cluster")  ? !question->namespaced
                                             : true;
}

bool webhook_has_rule_for(const struct webhook *webhook, const struct webhook_question *question)
{
    for (size_t i = 0; i < json_array_size(webhook->rules); i++) {
        const json_t *rule = json_array_get(webhook->rules, i);
        if (has_scope(rule, question) && holds(rule, "operations", question->operation) &&
            holds(rule, "apiGroups", question->group) &&
            holds(rule, "apiVersions", question->version) && names_resource(rule, question)) {
            return true;
        }
    }
    return false;
}

static bool selects(const struct selector *selector, const json_t *object)
{
    return object != NULL &&
           selector_matches_object(selector, json_path(object, "metadata", "labels"));
}

bool webhook_selects_object(const struct webhook *webhook, const json_t *object, const json_t *old)
{
    const struct selector *selector = webhook->object_selector;
    return selector == NULL || selector_is_everything(selector) || selects(selector, object) ||
           selects(selector, old);
}
