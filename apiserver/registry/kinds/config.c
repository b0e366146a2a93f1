// SPDX-License-Identifier: Apache-2.0
/* Settings, secrets, accounts and limits. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/config.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

/* ---- secrets ---- */

/* stringData is for writing only: its values go, encoded, into data. */
static void secret_fill_defaults(json_t *object)
{
    const char *key;
    json_t *value;
    json_t *texts = json_object_get(object, "stringData");
    if (json_object_size(texts) > 0) {
        json_t *data = json_get_or_add_object(object, "data");
        json_object_foreach (texts, key, value) {
            cleanup(free_char)
            char *encoded = base64_encode(json_string_value(value), json_string_length(value));
            json_object_set_new(data, key, json_string(encoded));
        }
    }
    json_object_del(object, "stringData");
}

const struct kind kind_secret = {
    .group = "",
    .plural = "secrets",
    .fill_defaults = secret_fill_defaults,
    .validate = validate_secret,
    .warn = warn_about_secret,
};

const struct kind kind_config_map = {
    .group = "",
    .plural = "configmaps",
    .validate = validate_config_map,
};

const struct kind kind_service_account = {
    .group = "",
    .plural = "serviceaccounts",
    .warn = warn_about_service_account,
    .subresources = service_account_subresources,
};

const struct kind kind_resource_quota = {
    .group = "",
    .plural = "resourcequotas",
    .validate = validate_resource_quota,
};

/* ---- limit ranges ---- */

static void drop_empty(json_t *object, const char *name)
{
    if (json_object_size(json_object_get(object, name)) == 0) {
        json_object_del(object, name);
    }
}

/* A container's limit is the largest allowed, and its request is that limit. */
static void limit_range_fill_defaults(json_t *object)
{
    const json_t *limits = json_path(object, "spec", "limits");
    for (size_t i = 0; i < json_array_size(limits); i++) {
        json_t *item = json_array_get(limits, i);
        const char *type = json_get_string(item, "type");
        if (type == NULL || strcmp(type, "Container") != 0) {
            continue;
        }
        json_t *limit = json_get_or_add_object(item, "default");
        json_t *request = json_get_or_add_object(item, "defaultRequest");
        default_update(limit, json_object_get(item, "max"));
        default_update(request, limit);
        default_update(request, json_object_get(item, "min"));
        drop_empty(item, "default");
        drop_empty(item, "defaultRequest");
    }
}

const struct kind kind_limit_range = {
    .group = "",
    .plural = "limitranges",
    .fill_defaults = limit_range_fill_defaults,
    .validate = validate_limit_range,
};
