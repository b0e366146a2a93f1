// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/cluster.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};
static const struct field_path metadata_path = {.name = "metadata"};
static const struct field_path status_path = {.name = "status"};

/* ---- taints ---- */

static void validate_taint(const json_t *taint, const struct field_path *path,
                           struct field_errors *errors)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    const char *effect = check_text(taint, "effect");
    const char *key = check_text(taint, "key"), *value = check_text(taint, "value");
    cleanup(free_char)
    char *message = names_check_qualified(key);
    check_invalid_text(key, message, FIELD(path, "key"), errors);
    check_invalid_text(value, names_check_label_value(value), FIELD(path, "value"), errors);
    if (effect[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "effect"), NULL, NULL);
    } else if (!check_one_of(effect, effects)) {
        check_not_supported(effect, effects, FIELD(path, "effect"), errors);
    }
}

/* They stand below metadata in upstream's paths, where they were once. */
static void validate_taints(const json_t *taints, struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(taints); i++) {
        const json_t *taint = json_array_get(taints, i);
        const struct field_path *path = FIELD_INDEX(FIELD(&metadata_path, "taints"), i);
        cleanup(free_char)
        char *pair = format("%s %s", check_text(taint, "effect"), check_text(taint, "key"));
        validate_taint(taint, path, errors);
        if (map_get(&seen, pair) != NULL) {
            field_error(errors, FIELD_DUPLICATE, path, taint,
                        "taints must be unique by key and effect pair");
        }
        map_set(&seen, pair, (void *)taint);
    }
    map_free(&seen, NULL);
}

/* ---- resources ---- */

static void validate_amounts(const json_t *status, const char *list, struct field_errors *errors)
{
    const char *name;
    json_t *amount;
    json_object_foreach (json_object_get(status, list), name, amount) {
        struct quantity quantity = resource_amount(amount);
        int64_t milli = quantity_milli_value(&quantity);
        const struct field_path *path = FIELD(FIELD(&status_path, list), name);
        if (milli < 0) {
            field_error(errors, FIELD_INVALID, path, amount, "must be greater than or equal to 0");
        }
        if (resource_is_integer(name) && milli % 1000 != 0) {
            field_error(errors, FIELD_INVALID, path, amount, "must be an integer");
        }
    }
}

/* ---- networks ---- */

static void validate_pod_cidrs(const json_t *cidrs, struct field_errors *errors)
{
    const struct field_path *path = FIELD(&spec_path, "podCIDRs");
    struct map seen = MAP_INIT;
    size_t count = json_array_size(cidrs), families[2] = {0, 0};
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(cidrs, i);
        const char *text = json_string_value(value) ? json_string_value(value) : "";
        struct ip_network network;
        check_message(value, names_check_cidr(text), FIELD_INDEX(path, i), errors);
        if (ip_network_parse(text, &network)) {
            families[network.family == AF_INET6]++;
        }
        if (map_get(&seen, text) != NULL) {
            check_duplicate_text(text, FIELD_INDEX(path, i), errors);
        }
        map_set(&seen, text, (void *)value);
    }
    if (count > 1 && (families[0] != 1 || families[1] != 1 || count > 2)) {
        field_error(errors, FIELD_INVALID, path, cidrs,
                    "may specify no more than one CIDR for each IP family");
    }
    map_free(&seen, NULL);
}

/* ---- updates ---- */

static void validate_addresses(const json_t *addresses, struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const json_t *address = json_array_get(addresses, i);
        cleanup(free_char)
        char *text = json_text(address);
        if (map_get(&seen, text) != NULL) {
            field_error(errors, FIELD_DUPLICATE, FIELD_INDEX(FIELD(&status_path, "addresses"), i),
                        address, NULL);
        }
        map_set(&seen, text, (void *)address);
    }
    map_free(&seen, NULL);
}

static void validate_update(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    const json_t *had = json_object_get(live, "podCIDRs");
    validate_addresses(json_path(write->object, "status", "addresses"), errors);
    if (json_array_size(had) > 0 && !check_equal(had, json_object_get(spec, "podCIDRs"))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "podCIDRs"), NULL,
                    "node updates may not change podCIDR except from \"\" to valid");
    }
    if (check_text(live, "providerID")[0] != '\0' &&
        !check_is(spec, "providerID", check_text(live, "providerID"))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "providerID"), NULL,
                    "node updates may not change providerID except from \"\" to valid");
    }
    if (!check_is(spec, "externalID", check_text(live, "externalID"))) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "externalID"), NULL,
                    "may not be updated");
    }
}

void validate_node(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *status = json_object_get(write->object, "status");
    validate_taints(json_object_get(spec, "taints"), errors);
    validate_amounts(status, "capacity", errors);
    validate_amounts(status, "allocatable", errors);
    if (write->live != NULL) {
        validate_update(write, errors);
    } else {
        validate_pod_cidrs(json_object_get(spec, "podCIDRs"), errors);
    }
}
