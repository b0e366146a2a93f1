// SPDX-License-Identifier: Apache-2.0
/* What drivers tell of the devices that a claim was given. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/devices.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

enum { conditions_max = 8, interface_max = 256, hardware_max = 128, addresses_max = 16 };

static char *device_id(const json_t *device)
{
    return format("%s/%s/%s", check_text(device, "driver"), check_text(device, "pool"),
                  check_text(device, "device"));
}

/* "10.0.0.5/24": an address of an interface, in canonical form. */
static void validate_interface_address(const json_t *value, const struct field_path *path,
                                       struct field_errors *errors)
{
    const char *text = json_string_value(value);
    struct ip_network network, address;
    char host[INET6_ADDRSTRLEN];
    cleanup(free_char)
    char *own = format("%.*s", (int)strcspn(text, "/"), text);
    if (!ip_network_parse(text, &network) || !ip_parse(own, &address)) {
        field_error(errors, FIELD_INVALID, path, value,
                    "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
        return;
    }
    ip_format(&address, host);
    cleanup(free_char)
    char *canonical = format("%s/%d", host, network.bits);
    if (strcmp(text, canonical) != 0) {
        field_error(errors, FIELD_INVALID, path, value, "must be in canonical form (\"%s\")",
                    canonical);
    }
}

static void validate_length(const json_t *object, const char *name, size_t most,
                            const struct field_path *path, struct field_errors *errors)
{
    if (strlen(check_text(object, name)) > most) {
        field_error(errors, FIELD_TOO_LONG, FIELD(path, name), NULL,
                    "may not be more than %zu bytes", most);
    }
}

static void validate_network_data(const json_t *data, const struct field_path *path,
                                  struct field_errors *errors)
{
    const json_t *addresses = json_object_get(data, "ips");
    const struct field_path *list = FIELD(path, "ips");
    struct map seen = MAP_INIT;
    validate_length(data, "interfaceName", interface_max, path, errors);
    validate_length(data, "hardwareAddress", hardware_max, path, errors);
    validate_device_count(addresses, addresses_max, list, errors);
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const json_t *address = json_array_get(addresses, i);
        validate_interface_address(address, FIELD_INDEX(list, i), errors);
        if (map_set(&seen, json_string_value(address), &seen) != NULL) {
            check_duplicate_text(json_string_value(address), FIELD_INDEX(list, i), errors);
        }
    }
    map_free(&seen, NULL);
}

static void validate_status(const json_t *device, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *conditions = json_object_get(device, "conditions");
    const char *name = check_text(device, "device");
    const struct field_path *conditions_path = FIELD(path, "conditions");
    validate_csi_driver_name(json_object_get(device, "driver"), FIELD(path, "driver"), errors);
    validate_pool_name(json_object_get(device, "pool"), FIELD(path, "pool"), errors);
    check_invalid_text(name, names_check_dns_label(name), FIELD(path, "device"), errors);
    if (json_array_size(conditions) > conditions_max) {
        validate_device_count(conditions, conditions_max, conditions_path, errors);
    }
    check_conditions(conditions, conditions_path, errors);
    if (check_has(device, "data")) {
        validate_device_data(json_object_get(device, "data"), FIELD(path, "data"), errors);
    }
    validate_network_data(json_object_get(device, "networkData"), FIELD(path, "networkData"),
                          errors);
}

void validate_device_status(const json_t *status, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *results = json_path((json_t *)status, "allocation", "devices", "results");
    const json_t *devices = json_object_get(status, "devices");
    const struct field_path *list = FIELD(path, "devices");
    struct map allocated = MAP_INIT, seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(results); i++) {
        cleanup(free_char)
        char *id = device_id(json_array_get(results, i));
        map_set(&allocated, id, &allocated);
    }
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        cleanup(free_char)
        char *id = device_id(device);
        validate_status(device, here, errors);
        if (map_get(&allocated, id) == NULL) {
            check_invalid_text(id, "must be an allocated device in the claim", here, errors);
        }
        if (map_set(&seen, id, &seen) != NULL) {
            check_duplicate_text(id, FIELD(here, "deviceID"), errors);
        }
    }
    map_free(&allocated, NULL);
    map_free(&seen, NULL);
}
