// SPDX-License-Identifier: Apache-2.0
#include "apiserver/views/columns.h"

#include <string.h>

#include "apiserver/views/columns_kinds.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

/* ---- texts ---- */

static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

static json_t *text_or(const json_t *value, const char *otherwise)
{
    if (is_empty(value)) {
        return json_string(otherwise);
    }
    if (json_is_string(value)) {
        return json_incref((json_t *)value);
    }
    cleanup(free_char)
    char *text = json_text(value);
    return json_string(text);
}

static json_t *or_none(const struct column_input *input)
{
    return text_or(input->values[0], "<none>");
}

static json_t *or_unset(const struct column_input *input)
{
    return text_or(input->values[0], "<unset>");
}

static json_t *or_unknown(const struct column_input *input)
{
    return text_or(input->values[0], "<unknown>");
}

static json_t *or_not_applicable(const struct column_input *input)
{
    return text_or(input->values[0], "N/A");
}

static json_t *flag(const struct column_input *input)
{
    const json_t *value = input->values[0];
    return json_string(!json_is_boolean(value) ? "<unset>"
                       : json_is_true(value)   ? "True"
                                               : "False");
}

static json_t *trimmed(const struct column_input *input)
{
    const char *text = json_string_value(input->values[0]);
    text = text ? text + strspn(text, " \n\t") : "";
    size_t length = strlen(text);
    while (length > 0 && strchr(" \n\t", text[length - 1]) != NULL) {
        length--;
    }
    return json_stringn(text, length);
}

/* ---- times ---- */

json_t *column_age(const json_t *time, const char *absent)
{
    int64_t then;
    char age[TIMESTAMP_SIZE];
    if (is_empty(time) || !timestamp_parse(json_string_value(time), &then)) {
        return json_string(absent);
    }
    duration_format_human(timestamp_now() - then, age);
    return json_string(age);
}

static json_t *age(const struct column_input *input)
{
    return column_age(json_path(input->object, "metadata", "creationTimestamp"), "<unknown>");
}

static json_t *since(const struct column_input *input)
{
    return column_age(input->values[0], "<none>");
}

/* ---- numbers ---- */

static json_t *count(const struct column_input *input)
{
    size_t total = 0;
    for (size_t i = 0; i < input->count; i++) {
        total += json_object_size(input->values[i]) + json_array_size(input->values[i]);
    }
    return json_integer((json_int_t)total);
}

static json_t *ratio(const struct column_input *input)
{
    return json_sprintf("%lld/%lld", (long long)json_integer_value(input->values[0]),
                        (long long)json_integer_value(input->values[1]));
}

/* ---- lists and maps ---- */

static json_t *joined(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < json_array_size(input->values[0]); i++) {
        const char *part = json_string_value(json_array_get(input->values[0], i));
        buffer_addf(&text, "%s%s", i ? "," : "", part ? part : "");
    }
    return json_string(buffer_text(&text));
}

static void add_labels(const json_t *labels, struct buffer *text)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)labels, key, value) {
        buffer_addf(text, "%s%s=%s", text->length ? "," : "", key,
                    json_string_value(value) ? json_string_value(value) : "");
    }
}

static json_t *labels(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    add_labels(input->values[0], &text);
    return json_string(text.length ? text.bytes : "<none>");
}

static void add_expression(const json_t *expression, struct buffer *text)
{
    const char *key = json_get_string(expression, "key");
    const char *operator_name = json_get_string(expression, "operator");
    const json_t *values = json_object_get(expression, "values");
    if (key == NULL || operator_name == NULL) {
        return;
    }
    buffer_addf(text, "%s%s%s", text->length ? "," : "",
                strcmp(operator_name, "DoesNotExist") == 0 ? "!" : "", key);
    if (json_array_size(values) == 0) {
        return;
    }
    buffer_add_text(text, strcmp(operator_name, "In") == 0 ? " in (" : " notin (");
    for (size_t i = 0; i < json_array_size(values); i++) {
        buffer_addf(text, "%s%s", i ? "," : "", json_string_value(json_array_get(values, i)));
    }
    buffer_add_char(text, ')');
}

static json_t *selector(const struct column_input *input)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    const json_t *expressions = json_object_get(input->values[0], "matchExpressions");
    add_labels(json_object_get(input->values[0], "matchLabels"), &text);
    for (size_t i = 0; i < json_array_size(expressions); i++) {
        add_expression(json_array_get(expressions, i), &text);
    }
    return json_string(text.length ? text.bytes : "<none>");
}

static json_t *access_modes(const struct column_input *input)
{
    static const struct {
        const char *mode, *shown;
    } modes[] = {{"ReadWriteOnce", "RWO"},
                 {"ReadOnlyMany", "ROX"},
                 {"ReadWriteMany", "RWX"},
                 {"ReadWriteOncePod", "RWOP"}};
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < array_length(modes); i++) {
        if (json_array_has_string(input->values[0], modes[i].mode)) {
            buffer_addf(&text, "%s%s", text.length ? "," : "", modes[i].shown);
        }
    }
    return json_string(buffer_text(&text));
}

static json_t *of_containers(const struct column_input *input, const char *member)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < json_array_size(input->values[0]); i++) {
        const char *part = json_get_string(json_array_get(input->values[0], i), member);
        buffer_addf(&text, "%s%s", i ? "," : "", part ? part : "");
    }
    return json_string(buffer_text(&text));
}

static json_t *container_names(const struct column_input *input)
{
    return of_containers(input, "name");
}

static json_t *container_images(const struct column_input *input)
{
    return of_containers(input, "image");
}

/* ---- by name ---- */

static const struct {
    const char *name;
    column_function function;
} functions[] = {
    {"age", age},
    {"since", since},
    {"count", count},
    {"ratio", ratio},
    {"or_none", or_none},
    {"or_unset", or_unset},
    {"or_unknown", or_unknown},
    {"or_not_applicable", or_not_applicable},
    {"flag", flag},
    {"trimmed", trimmed},
    {"joined", joined},
    {"labels", labels},
    {"selector", selector},
    {"access_modes", access_modes},
    {"container_names", container_names},
    {"container_images", container_images},
    {"pod_ready", column_pod_ready},
    {"pod_status", column_pod_status},
    {"pod_restarts", column_pod_restarts},
    {"pod_ip", column_pod_ip},
    {"pod_readiness_gates", column_pod_readiness_gates},
    COLUMN_KINDS,
};

column_function column_find(const char *name)
{
    size_t length = strcspn(name, " ");
    for (size_t i = 0; i < array_length(functions); i++) {
        if (strlen(functions[i].name) == length && strncmp(functions[i].name, name, length) == 0) {
            return functions[i].function;
        }
    }
    return NULL;
}
