// SPDX-License-Identifier: Apache-2.0
#include "common/configuration.h"

#include <string.h>

#include "common/alloc.h"
#include "common/client_config.h"
#include "common/json.h"
#include "common/yaml.h"

enum { file_bytes_max = 1 << 20 };

json_t *configuration_read_yaml(const char *path, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(free_char)
    char *text = client_config_read_file(path, file_bytes_max, &why);
    json_t *json = text ? yaml_parse(text, strlen(text), NULL, NULL, &why) : NULL;
    if (json == NULL) {
        error_wrap(error, &why, "%s", path);
    }
    return json;
}

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_INTEGER:
        return "an integer";
    case JSON_TRUE:
        return "a boolean";
    default:
        return "a string";
    }
}

static const struct configuration_member *find_member(const struct configuration_member *members,
                                                      const char *name)
{
    while (members->name != NULL && strcmp(members->name, name) != 0) {
        members++;
    }
    return members->name != NULL ? members : NULL;
}

bool configuration_check(const json_t *value, const char *path,
                         const struct configuration_member *members, struct error *error)
{
    if (!json_is_object(value)) {
        return error_bad_request(error, "%s: must be an object", path[0] ? path : "the document");
    }
    const char *name, *dot = path[0] != '\0' ? "." : "";
    json_t *present;
    json_object_foreach ((json_t *)(uintptr_t)value, name, present) {
        const struct configuration_member *member = find_member(members, name);
        if (member == NULL) {
            return error_bad_request(error, "strict decoding error: unknown field \"%s%s%s\"", path,
                                     dot, name);
        }
        json_type type = json_is_boolean(present) ? JSON_TRUE : json_typeof(present);
        if (!json_is_null(present) && type != member->type) {
            return error_bad_request(error, "%s%s%s: must be %s", path, dot, name,
                                     type_name(member->type));
        }
    }
    return true;
}

bool configuration_check_texts(const json_t *object, const char *path, const char *name,
                               struct error *error)
{
    size_t i;
    json_t *text;
    json_array_foreach (json_object_get(object, name), i, text) {
        if (!json_is_string(text)) {
            return error_bad_request(error, "%s.%s[%zu]: must be a string", path, name, i);
        }
    }
    return true;
}
