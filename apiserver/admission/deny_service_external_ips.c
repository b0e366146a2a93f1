// SPDX-License-Identifier: Apache-2.0
/* DenyServiceExternalIPs: whoever may write services may not draw traffic for any address to
 * themselves; those that a service has already may stay. */
#include "apiserver/admission/admission.h"
#include "common/json.h"

static bool validate(const struct write *write, struct error *error)
{
    const json_t *wanted = json_path(write->object, "spec", "externalIPs"), *address;
    const json_t *before = json_path(write->live, "spec", "externalIPs");
    size_t i;
    if (!admission_is_about(write, "", "services")) {
        return true;
    }
    json_array_foreach (wanted, i, address) {
        const char *text = json_string_value(address);
        if (text == NULL || !json_array_has_string(before, text)) {
            return error_forbidden(error, "", "services", write->name,
                                   "Use of external IPs is denied by admission control");
        }
    }
    return true;
}

const struct admission_plugin admission_deny_service_external_ips = {
    .name = "DenyServiceExternalIPs",
    .validate = validate,
};
