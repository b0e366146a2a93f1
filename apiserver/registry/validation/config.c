// SPDX-License-Identifier: Apache-2.0
/* ConfigMaps and Secrets. */
#include "apiserver/registry/validation/config.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

enum { DATA_BYTES_MAX = 1024 * 1024 };

static const struct field_path data_path = {.name = "data"};

/* ---- what both promise ---- */

static void validate_immutable_data(const struct write *write, struct field_errors *errors)
{
    static const char *const data[] = {"data", "binaryData"};
    if (write->live == NULL || !json_get_bool(write->live, "immutable", false)) {
        return;
    }
    if (!json_get_bool(write->object, "immutable", false)) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, "immutable"), NULL,
                    "field is immutable when `immutable` is set");
    }
    for (size_t i = 0; i < array_length(data); i++) {
        if (!check_equal(json_object_get(write->object, data[i]),
                         json_object_get(write->live, data[i]))) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, data[i]), NULL,
                        "field is immutable when `immutable` is set");
        }
    }
}

/* The bytes of all values, of base64 those that it stands for. */
static size_t data_size(const json_t *map, bool base64)
{
    size_t size = 0;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)map, key, value) {
        const char *text = json_string_value(value);
        size_t length = json_string_length(value);
        size_t padding = 0;
        while (base64 && padding < length && text[length - padding - 1] == '=') {
            padding++;
        }
        size += base64 ? (length - padding) * 3 / 4 : length;
    }
    return size;
}

static void check_data_size(size_t size, const char *field, struct field_errors *errors)
{
    if (size > DATA_BYTES_MAX) {
        field_error(errors, FIELD_TOO_LONG, FIELD(NULL, field), NULL,
                    "may not be more than %d bytes", DATA_BYTES_MAX);
    }
}

void validate_config_map(const struct write *write, struct field_errors *errors)
{
    const json_t *data = json_object_get(write->object, "data");
    const json_t *binary = json_object_get(write->object, "binaryData");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)data, key, value) {
        if (check_has(binary, key)) {
            check_invalid_text(key, "duplicate of key present in binaryData",
                               FIELD_KEY(&data_path, key), errors);
        }
    }
    /* Of the whole object, as upstream has it. */
    check_data_size(data_size(data, false) + data_size(binary, true), "[]", errors);
    validate_immutable_data(write, errors);
}

/* ---- secrets ---- */

/* Why a text is no JSON object, in the words of Go's decoder as far as they are known. The
 * caller's; NULL when it is one. */
static char *complaint_about_json(const char *text, size_t length)
{
    size_t at = strspn(text, " \t\r\n");
    json_error_t error;
    cleanup(json_release)
    json_t *value = json_loadb(text, length, JSON_DECODE_ANY, &error);
    if (value != NULL) {
        static const char *const types[] = {
            [JSON_ARRAY] = "array", [JSON_STRING] = "string", [JSON_INTEGER] = "number",
            [JSON_REAL] = "number", [JSON_TRUE] = "bool",     [JSON_FALSE] = "bool",
        };
        json_type type = json_typeof(value);
        return type == JSON_OBJECT || type == JSON_NULL
                   ? NULL
                   : format("json: cannot unmarshal %s into Go value of type "
                            "map[string]interface {}",
                            types[type]);
    }
    if (at >= length || json_error_code(&error) == json_error_premature_end_of_input) {
        return duplicate("unexpected end of JSON input");
    }
    if (strchr("{[\"tfn-0123456789", text[at]) == NULL) {
        return format("invalid character '%c' looking for beginning of value", text[at]);
    }
    return format("invalid JSON: %s", error.text);
}

static void require_key(const json_t *data, const char *key, struct field_errors *errors)
{
    if (!check_has(data, key)) {
        field_error(errors, FIELD_REQUIRED, FIELD_KEY(&data_path, key), NULL, NULL);
    }
}

static void validate_json(const json_t *data, const char *key, struct field_errors *errors)
{
    const json_t *value = json_object_get(data, key);
    size_t length = 0;
    require_key(data, key, errors);
    if (value == NULL) {
        return;
    }
    cleanup(free_char)
    char *text = base64_decode(json_string_value(value), json_string_length(value), &length);
    cleanup(free_char)
    char *complaint = complaint_about_json(text ? text : "", length);
    check_invalid_text("<secret contents redacted>", complaint, FIELD_KEY(&data_path, key), errors);
}

static void validate_basic_auth(const json_t *data, struct field_errors *errors)
{
    if (!check_has(data, "username") && !check_has(data, "password")) {
        require_key(data, "username", errors);
        require_key(data, "password", errors);
    }
}

static void validate_type(const json_t *secret, struct field_errors *errors)
{
    static const char account[] = "kubernetes.io/service-account.name";
    const json_t *data = json_object_get(secret, "data");
    const char *type = check_text(secret, "type");
    if (strcmp(type, "kubernetes.io/service-account-token") == 0) {
        if (check_text(json_path(secret, "metadata", "annotations"), account)[0] == '\0') {
            field_error(errors, FIELD_REQUIRED,
                        FIELD_KEY(FIELD(FIELD(NULL, "metadata"), "annotations"), account), NULL,
                        NULL);
        }
    } else if (strcmp(type, "kubernetes.io/dockercfg") == 0) {
        validate_json(data, ".dockercfg", errors);
    } else if (strcmp(type, "kubernetes.io/dockerconfigjson") == 0) {
        validate_json(data, ".dockerconfigjson", errors);
    } else if (strcmp(type, "kubernetes.io/basic-auth") == 0) {
        validate_basic_auth(data, errors);
    } else if (strcmp(type, "kubernetes.io/ssh-auth") == 0) {
        if (check_text(data, "ssh-privatekey")[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD_KEY(&data_path, "ssh-privatekey"), NULL,
                        NULL);
        }
    } else if (strcmp(type, "kubernetes.io/tls") == 0) {
        require_key(data, "tls.crt", errors);
        require_key(data, "tls.key", errors);
    }
}

void validate_secret(const struct write *write, struct field_errors *errors)
{
    check_data_size(data_size(json_object_get(write->object, "data"), true), "data", errors);
    validate_type(write->object, errors);
    validate_immutable_data(write, errors);
}
