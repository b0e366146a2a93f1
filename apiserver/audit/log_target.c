// SPDX-License-Identifier: Apache-2.0
/* Events as lines of a file: JSON, or the older form. */
#include <string.h>

#include "apiserver/audit/log_file.h"
#include "apiserver/audit/sink.h"
#include "common/alloc.h"
#include "common/json.h"

static bool deliver(void *state, struct audit_sink *sink, char *const *events, size_t count,
                    struct error *error)
{
    (void)sink;
    for (size_t i = 0; i < count; i++) {
        if (!audit_log_file_write(state, events[i], strlen(events[i]), error)) {
            return false;
        }
    }
    return true;
}

static void close_file(void *state)
{
    audit_log_file_close(state);
}

static char *print_json(const json_t *event)
{
    struct buffer line = BUFFER_INIT;
    json_encode(event, &line);
    buffer_add_char(&line, '\n');
    return buffer_steal(&line);
}

/* ---- the older form ---- */

static void add(struct buffer *line, const char *name, const char *value, const char *otherwise)
{
    buffer_addf(line, " %s=", name);
    buffer_add_quoted(line, value != NULL && value[0] != '\0' ? value : otherwise);
}

static void add_groups(struct buffer *line, const char *name, const json_t *groups,
                       const char *otherwise)
{
    if (json_array_size(groups) == 0) {
        add(line, name, NULL, otherwise);
        return;
    }
    buffer_addf(line, " %s=", name);
    for (size_t i = 0; i < json_array_size(groups); i++) {
        buffer_add_text(line, i > 0 ? "," : "");
        buffer_add_quoted(line, json_string_value(json_array_get(groups, i)));
    }
}

static char *print_legacy(const json_t *event)
{
    struct buffer line = BUFFER_INIT;
    json_int_t code = json_get_int(json_object_get(event, "responseStatus"), "code", 0);
    const char *ip = json_string_value(json_array_get(json_object_get(event, "sourceIPs"), 0));
    buffer_addf(&line, "%s AUDIT:", json_get_string(event, "requestReceivedTimestamp"));
    add(&line, "id", json_get_string(event, "auditID"), "");
    add(&line, "stage", json_get_string(event, "stage"), "");
    add(&line, "ip", ip, "<unknown>");
    add(&line, "method", json_get_string(event, "verb"), "");
    add(&line, "user", json_path_string(event, "user", "username"), "<none>");
    add_groups(&line, "groups", json_path(event, "user", "groups"), "<none>");
    add(&line, "as", json_path_string(event, "impersonatedUser", "username"), "<self>");
    add_groups(&line, "asgroups", json_path(event, "impersonatedUser", "groups"), "<lookup>");
    add(&line, "user-agent", json_get_string(event, "userAgent"), "");
    add(&line, "namespace", json_path_string(event, "objectRef", "namespace"), "<none>");
    add(&line, "uri", json_get_string(event, "requestURI"), "");
    if (code > 0) {
        buffer_addf(&line, " response=\"%lld\"\n", (long long)code);
    } else {
        buffer_add_literal(&line, " response=\"<deferred>\"\n");
    }
    return buffer_steal(&line);
}

bool audit_log_target(const struct audit_options *options, struct audit_target *target,
                      struct error *error)
{
    struct audit_log_file_options file = {
        .path = options->log_path,
        .size_bytes_max = options->log_megabytes_max << 20,
        .backups_max = options->log_backups_max,
        .age_seconds_max = options->log_days_max * 86400,
        .compress = options->log_compress,
    };
    *target = (struct audit_target){
        .plugin = "log",
        .print = strcmp(options->log_format, "legacy") == 0 ? print_legacy : print_json,
        .deliver = deliver,
        .free = close_file,
        .state = audit_log_file_open(&file, error),
    };
    return target->state != NULL;
}
