// SPDX-License-Identifier: Apache-2.0
#include "controllers/label_selector_text.h"

#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of an object in order; the caller's, borrowed from it. */
static const char **sorted_keys(const json_t *object)
{
    const char **keys = allocate_zero(json_object_size(object) + 1, sizeof *keys);
    size_t count = 0;
    const char *key;
    const json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        keys[count++] = key;
    }
    qsort(keys, count, sizeof *keys, compare_texts);
    return keys;
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static void add_values(const json_t *values, const char *separator, struct buffer *out)
{
    size_t i;
    const json_t *value;
    json_array_foreach (values, i, value) {
        buffer_addf(out, "%s%s", i > 0 ? separator : "", text_or_empty(json_string_value(value)));
    }
}

char *label_selector_text(const json_t *selector)
{
    struct buffer text = BUFFER_INIT;
    if (!json_is_object(selector)) {
        return duplicate("nil");
    }
    const json_t *labels = json_object_get(selector, "matchLabels");
    const char **keys = sorted_keys(labels);
    buffer_add_literal(&text, "&LabelSelector{MatchLabels:map[string]string{");
    for (size_t i = 0; keys[i] != NULL; i++) {
        buffer_addf(&text, "%s: %s,", keys[i], text_or_empty(json_get_string(labels, keys[i])));
    }
    free(keys);
    buffer_add_literal(&text, "},MatchExpressions:[]LabelSelectorRequirement{");
    size_t i;
    const json_t *expression;
    json_array_foreach (json_object_get(selector, "matchExpressions"), i, expression) {
        buffer_addf(&text, "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[",
                    text_or_empty(json_get_string(expression, "key")),
                    text_or_empty(json_get_string(expression, "operator")));
        add_values(json_object_get(expression, "values"), " ", &text);
        buffer_add_literal(&text, "],},");
    }
    buffer_add_literal(&text, "},}");
    return buffer_steal(&text);
}

static void add_expression(const json_t *expression, struct buffer *out)
{
    const char *key = text_or_empty(json_get_string(expression, "key"));
    const char *operator= text_or_empty(json_get_string(expression, "operator"));
    if (strcmp(operator, "Exists") == 0) {
        buffer_add_text(out, key);
    } else if (strcmp(operator, "DoesNotExist") == 0) {
        buffer_addf(out, "!%s", key);
    } else {
        buffer_addf(out, "%s %s (", key, strcmp(operator, "In") == 0 ? "in" : "notin");
        add_values(json_object_get(expression, "values"), ",", out);
        buffer_add_char(out, ')');
    }
}

char *label_selector_query(const json_t *selector)
{
    struct buffer text = BUFFER_INIT;
    const json_t *labels = json_object_get(selector, "matchLabels");
    const char **keys = sorted_keys(labels);
    for (size_t i = 0; keys[i] != NULL; i++) {
        buffer_addf(&text, "%s%s=%s", text.length > 0 ? "," : "", keys[i],
                    text_or_empty(json_get_string(labels, keys[i])));
    }
    free(keys);
    size_t i;
    const json_t *expression;
    json_array_foreach (json_object_get(selector, "matchExpressions"), i, expression) {
        if (text.length > 0) {
            buffer_add_char(&text, ',');
        }
        add_expression(expression, &text);
    }
    return text.length > 0 ? buffer_steal(&text) : duplicate("");
}
