// SPDX-License-Identifier: Apache-2.0
#include "apiserver/audit/audit.h"

#include <string.h>

#include "apiserver/audit/event.h"
#include "apiserver/audit/sink.h"
#include "common/alloc.h"
#include "common/client_config.h"
#include "common/json.h"
#include "common/log.h"
#include "common/yaml.h"

enum { policy_bytes_max = 4 << 20, sinks_max = 2, workers_for_blocking = 8 };

struct auditor {
    struct audit_policy *policy;
    struct audit_sink *sinks[sinks_max];
    size_t sink_count;
    struct metric *events, *errors, *levels, *rejected;
};

/* ---- options ---- */

static bool check_one_of(const char *flag, const char *value, const char *const *known,
                         struct error *error)
{
    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(known[i], value) == 0) {
            return true;
        }
    }
    return error_bad_request(error, "--%s: \"%s\" is not supported; see --help", flag, value);
}

static bool check_numbers(const char *kind, const struct audit_sink_options *options,
                          struct error *error)
{
    if (options->buffer_size < 1 || options->batch_size < 1 || options->batch_wait_ns < 1) {
        return error_bad_request(error,
                                 "--audit-%s-batch-buffer-size, -max-size and -max-wait "
                                 "must be above 0",
                                 kind);
    }
    if (options->batch_size > options->buffer_size) {
        return error_bad_request(error,
                                 "--audit-%s-batch-max-size must not be above "
                                 "--audit-%s-batch-buffer-size",
                                 kind, kind);
    }
    return (options->event_bytes_max > 0 && options->batch_bytes_max >= options->event_bytes_max) ||
           error_bad_request(error,
                             "--audit-%s-truncate-max-event-size must be above 0, and "
                             "--audit-%s-truncate-max-batch-size not below it",
                             kind, kind);
}

bool audit_check_options(const struct audit_options *options, struct error *error)
{
    static const char *const modes[] = {"batch", "blocking", "blocking-strict", NULL};
    static const char *const formats[] = {"json", "legacy", NULL};
    bool has_sink = options->log_path != NULL || options->webhook_config_file != NULL;
    if (has_sink && options->policy_file == NULL) {
        return error_bad_request(error, "--audit-policy-file is needed to record anything; see "
                                        "--help");
    }
    if (options->log_days_max < 0 || options->log_backups_max < 0 ||
        options->log_megabytes_max < 0) {
        return error_bad_request(error, "--audit-log-maxage, --audit-log-maxbackup and "
                                        "--audit-log-maxsize must not be negative");
    }
    if (options->webhook_backoff_ns < 1) {
        return error_bad_request(error, "--audit-webhook-initial-backoff must be above 0");
    }
    return check_one_of("audit-log-format", options->log_format, formats, error) &&
           check_one_of("audit-log-mode", options->log.mode, modes, error) &&
           check_one_of("audit-webhook-mode", options->webhook.mode, modes, error) &&
           check_numbers("log", &options->log, error) &&
           check_numbers("webhook", &options->webhook, error);
}

/* ---- set-up ---- */

static struct audit_policy *read_policy(const char *path, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(free_char)
    char *text = client_config_read_file(path, policy_bytes_max, error);
    struct audit_policy *policy =
        text != NULL ? audit_policy_parse(text, strlen(text), &why) : NULL;
    if (text != NULL && policy == NULL) {
        error_wrap(error, &why, "--audit-policy-file %s", path);
    }
    return policy;
}

static bool add_sink(struct auditor *auditor, const struct audit_options *options,
                     const struct audit_sink_options *sink,
                     bool (*make)(const struct audit_options *, struct audit_target *,
                                  struct error *),
                     struct error *error)
{
    struct audit_target target;
    if (!make(options, &target, error)) {
        return false;
    }
    auditor->sinks[auditor->sink_count++] = audit_sink_open(&target, sink, auditor->errors);
    return true;
}

static bool set_up(struct auditor *auditor, const struct audit_options *options,
                   struct metrics *metrics, struct error *error)
{
    static const char *const none[] = {NULL}, *const plugin[] = {"plugin", NULL},
                             *const level[] = {"level", NULL};
    auditor->events =
        metrics_counter(metrics, "apiserver_audit_event_total",
                        "Counter of audit events generated and sent to the audit backend.", none);
    auditor->errors = metrics_counter(metrics, "apiserver_audit_error_total",
                                      "Counter of audit events that failed to be audited properly. "
                                      "Plugin identifies the plugin affected by the error.",
                                      plugin);
    auditor->levels =
        metrics_counter(metrics, "apiserver_audit_level_total",
                        "Counter of policy levels for audit events (1 per request).", level);
    auditor->rejected = metrics_counter(metrics, "apiserver_audit_requests_rejected_total",
                                        "Counter of apiserver requests rejected due to an error in "
                                        "audit logging backend.",
                                        none);
    auditor->policy = read_policy(options->policy_file, error);
    return auditor->policy != NULL &&
           (options->log_path == NULL ||
            add_sink(auditor, options, &options->log, audit_log_target, error)) &&
           (options->webhook_config_file == NULL ||
            add_sink(auditor, options, &options->webhook, audit_webhook_target, error));
}

bool audit_open(const struct audit_options *options, struct metrics *metrics,
                struct auditor **auditor, struct error *error)
{
    *auditor = NULL;
    if (options->policy_file == NULL) {
        return true;
    }
    struct auditor *opened = allocate_struct(struct auditor);
    if (!set_up(opened, options, metrics, error)) {
        audit_close(opened);
        return false;
    }
    if (opened->sink_count == 0) {
        log_warning("--audit-policy-file without --audit-log-path or --audit-webhook-config-file: "
                    "nothing is recorded");
        audit_close(opened);
        return true;
    }
    *auditor = opened;
    return true;
}

void audit_close(struct auditor *auditor)
{
    if (auditor != NULL) {
        for (size_t i = 0; i < auditor->sink_count; i++) {
            audit_sink_close(auditor->sinks[i]);
        }
        audit_policy_free(auditor->policy);
        free(auditor);
    }
}

/* ---- stages ---- */

/* False when a sink that has to record it could not. */
static bool write_stage(const struct audit_event *event, enum audit_stage stage)
{
    struct auditor *auditor = event->auditor;
    if (event->is_over || (event->choice.omitted_stages & (1U << stage)) != 0) {
        return true;
    }
    cleanup(json_release)
    json_t *json = audit_event_json(event, stage);
    bool done = true, may_wait = stage == AUDIT_REQUEST_RECEIVED; /* On a worker. */
    metric_add(auditor->events, 1, metric_no_labels);
    for (size_t i = 0; i < auditor->sink_count; i++) {
        struct audit_sink *sink = auditor->sinks[i];
        done = (audit_sink_write(sink, json, may_wait) || !audit_sink_is_strict(sink)) && done;
    }
    return done;
}

unsigned audit_workers(const struct auditor *auditor)
{
    bool waits = false;
    for (size_t i = 0; auditor != NULL && i < auditor->sink_count; i++) {
        waits = waits || audit_sink_waits(auditor->sinks[i]);
    }
    return waits ? workers_for_blocking : 0;
}

static struct audit_event *begin(struct auditor *auditor, struct request *request,
                                 const struct credentials *credentials)
{
    if (auditor == NULL || request->audit != NULL) {
        return NULL;
    }
    struct audit_choice choice = audit_policy_choose(auditor->policy, request);
    metric_add(auditor->levels, 1, metric_labels(audit_level_names[choice.level]));
    if (choice.level != AUDIT_NONE) {
        request->audit = audit_event_new(auditor, choice, request, credentials);
    }
    return request->audit;
}

bool audit_received(struct auditor *auditor, struct request *request,
                    const struct credentials *credentials, struct error *error)
{
    struct audit_event *event = begin(auditor, request, credentials);
    if (event == NULL || write_stage(event, AUDIT_REQUEST_RECEIVED)) {
        return true;
    }
    event->is_over = true;
    metric_add(auditor->rejected, 1, metric_no_labels);
    return error_internal(error, "Internal Server Error: \"%s\": failed to store audit event",
                          request->uri);
}

static json_t *attempts_of(const struct request *request, const struct credentials *credentials)
{
    const char *authorization = credentials_header(credentials, "Authorization");
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const char *token = request_parameter(request, "access_token");
    const struct {
        const char *name;
        bool tried;
    } methods[] = {
        {"basic", authorization != NULL && strncasecmp(authorization, "basic ", 6) == 0},
        {"bearer", authorization != NULL && strncasecmp(authorization, "bearer ", 7) == 0},
        {"access_token", token != NULL && token[0] != '\0'},
        {"x509", credentials->certificate != NULL},
    };
    for (size_t i = 0; i < array_length(methods); i++) {
        if (methods[i].tried) {
            buffer_addf(
                &text, "%s%s",
                text.length > 0 ? ", " : "Authentication failed, attempted: ", methods[i].name);
        }
    }
    return json_string(text.length > 0 ? buffer_text(&text)
                                       : "Authentication failed, no credentials provided");
}

void audit_unknown_user(struct auditor *auditor, struct request *request,
                        const struct credentials *credentials)
{
    struct audit_event *event = begin(auditor, request, credentials);
    if (event != NULL) {
        event->response_status =
            json_pack("{s:{}, s:s, s:o, s:i}", "metadata", "status", "Failure", "message",
                      attempts_of(request, credentials), "code", 401);
        write_stage(event, AUDIT_RESPONSE_STARTED);
        event->is_over = true;
    }
}

void audit_impersonated(struct request *request)
{
    if (request->audit != NULL) {
        request->audit->impersonated_user = audit_user(&request->user);
    }
}

/* The answer as an object of the API; NULL when it is none. */
static json_t *answered_object(const struct response *response)
{
    const char *type = response->content_type;
    json_t *object = NULL;
    if (response->bytes.length == 0 || type == NULL) {
        return NULL;
    }
    if (strcmp(type, "application/json") == 0) {
        object = json_parse(response->bytes.bytes, response->bytes.length, NULL);
    } else if (strcmp(type, "application/yaml") == 0) {
        object = yaml_parse(response->bytes.bytes, response->bytes.length, NULL, NULL, NULL);
    }
    if (object != NULL && json_get_string(object, "kind") == NULL) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static bool is_status(const struct response *response)
{
    static const char yaml[] = "\nkind: Status\n", json[] = "\"Status\"";
    const struct buffer *bytes = &response->bytes;
    struct json_span kind;
    if (bytes->length == 0 || response->content_type == NULL ||
        strcmp(response->content_type, "application/json") != 0) {
        return bytes->length > 0 && memmem(bytes->bytes, bytes->length, yaml, sizeof yaml - 1);
    }
    json_scan(bytes->bytes, bytes->length, (const char *[]){"kind"}, 1, &kind);
    return kind.length == sizeof json - 1 && memcmp(kind.text, json, kind.length) == 0;
}

/* Whether the answer is a Status, which is recorded at every level, or is to be recorded anyway. */
static bool is_to_be_read(const struct audit_event *event, const struct response *response)
{
    return event->choice.level >= AUDIT_REQUEST_RESPONSE || response->status >= 400 ||
           is_status(response);
}

static json_t *status_of(const json_t *object, int code)
{
    static const char *const copied[] = {"status", "message", "reason", "details"};
    json_t *status = json_pack("{s:{}}", "metadata");
    const char *kind = json_get_string(object, "kind");
    for (size_t i = 0; kind != NULL && strcmp(kind, "Status") == 0 && i < array_length(copied);
         i++) {
        json_t *value = json_object_get(object, copied[i]);
        if (value != NULL) {
            json_object_set_new(status, copied[i], json_deep_copy(value));
        }
    }
    json_object_set_new(status, "code", json_integer(code));
    return status;
}

void audit_answering(struct request *request, const struct response *response)
{
    struct audit_event *event = request->audit;
    if (event == NULL || event->is_over) {
        return;
    }
    cleanup(json_release)
    json_t *object = is_to_be_read(event, response) ? answered_object(response) : NULL;
    json_decref(event->response_status);
    event->response_status = status_of(object, response->status);
    event->is_answered = true;
    if (object != NULL && event->choice.level >= AUDIT_REQUEST_RESPONSE) {
        if (event->choice.omits_managed_fields) {
            audit_drop_managed_fields(object);
        }
        event->response_object = steal(object);
    }
    if (event->is_long_running) {
        write_stage(event, AUDIT_RESPONSE_STARTED);
    }
}

void audit_completed(struct request *request)
{
    struct audit_event *event = request->audit;
    if (event == NULL) {
        return;
    }
    if (!event->is_answered && !event->is_over) {
        event->response_status = json_pack("{s:{}, s:s, s:s, s:i}", "metadata", "status", "Success",
                                           "message", "Connection closed early", "code", 200);
    }
    write_stage(event, AUDIT_RESPONSE_COMPLETE);
    audit_event_free(event);
    request->audit = NULL;
}

/* ---- what is known of it ---- */

static void complete_reference(struct audit_event *event, const char *name, const json_t *object)
{
    const char *value = json_path_string(object, "metadata", name);
    if (value != NULL && value[0] != '\0' && json_object_get(event->object_ref, name) == NULL) {
        json_object_set_new(event->object_ref, name, json_string(value));
    }
}

bool audit_has_request_objects(const struct request *request)
{
    return request != NULL && request->audit != NULL &&
           request->audit->choice.level >= AUDIT_REQUEST;
}

bool audit_has_response_objects(const struct request *request)
{
    return request != NULL && request->audit != NULL &&
           request->audit->choice.level >= AUDIT_REQUEST_RESPONSE;
}

void audit_request_object(const struct request *request, const json_t *object)
{
    struct audit_event *event = request->audit;
    if (event == NULL || event->request_object != NULL) {
        return;
    }
    complete_reference(event, "namespace", object);
    complete_reference(event, "name", object);
    complete_reference(event, "uid", object);
    complete_reference(event, "resourceVersion", object);
    if (event->choice.level >= AUDIT_REQUEST) {
        event->request_object = json_deep_copy(object);
        if (event->choice.omits_managed_fields) {
            audit_drop_managed_fields(event->request_object);
        }
    }
}

void audit_request_patch(const struct request *request, const json_t *patch)
{
    struct audit_event *event = request->audit;
    if (event != NULL && event->choice.level >= AUDIT_REQUEST && event->request_object == NULL) {
        event->request_object = json_deep_copy(patch);
    }
}

void audit_annotate(const struct request *request, const char *key, const char *value)
{
    if (request == NULL || request->audit == NULL) {
        return;
    }
    struct audit_event *event = request->audit;
    event->annotations = event->annotations ? event->annotations : json_object();
    if (json_object_get(event->annotations, key) == NULL) {
        json_object_set_new(event->annotations, key, audit_text(value));
    }
}
