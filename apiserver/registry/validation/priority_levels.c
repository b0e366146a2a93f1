// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/flow_control.h"
#include "common/alloc.h"
#include "common/json.h"

enum { QUEUES_MAX = 10 * 1000 * 1000, HASH_BITS_MAX = 60 };

static const struct field_path spec_path = {.name = "spec"};

/* A number that has a default and a least value. */
static void validate_number(const json_t *object, const char *member, json_int_t least,
                            json_int_t most, const char *detail, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *number = json_object_get(object, member);
    json_int_t value = json_integer_value(number);
    if (number != NULL && (value < least || value > most)) {
        field_error(errors, FIELD_INVALID, FIELD(path, member), number, "%s", detail);
    }
}

static void validate_shares(const json_t *settings, const struct field_path *path,
                            struct field_errors *errors)
{
    validate_number(settings, "nominalConcurrencyShares", 0, INT32_MAX,
                    "must be a non-negative integer", path, errors);
    validate_number(settings, "lendablePercent", 0, 100, "must be between 0 and 100, inclusive",
                    path, errors);
}

/* Each flow has a hand of queues, which is drawn by the bits of one hash value. */
static void validate_queuing(const json_t *queuing, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *hand = json_object_get(queuing, "handSize");
    const struct field_path *hand_path = FIELD(path, "handSize");
    json_int_t queues = json_get_int(queuing, "queues", 0), size = json_integer_value(hand);
    validate_number(queuing, "queueLengthLimit", 1, INT32_MAX, "must be positive", path, errors);
    if (queues <= 0) {
        validate_number(queuing, "queues", 1, INT32_MAX, "must be positive", path, errors);
    } else {
        validate_number(queuing, "queues", 1, QUEUES_MAX, "must not be greater than 10000000", path,
                        errors);
    }
    if (size <= 0) {
        validate_number(queuing, "handSize", 1, INT32_MAX, "must be positive", path, errors);
    } else if (size > queues) {
        field_error(errors, FIELD_INVALID, hand_path, hand,
                    "should not be greater than queues (%lld)", (long long)queues);
    } else if (ceil(log2((double)queues) * (double)size) > HASH_BITS_MAX) {
        field_error(errors, FIELD_INVALID, hand_path, hand,
                    "required entropy bits of deckSize %lld and handSize %lld should not be "
                    "greater than %d",
                    (long long)queues, (long long)size, HASH_BITS_MAX);
    }
}

static void validate_limited(const json_t *limited, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *response = json_object_get(limited, "limitResponse");
    const json_t *queuing = json_object_get(response, "queuing");
    const struct field_path *queuing_path = FIELD(FIELD(path, "limitResponse"), "queuing");
    validate_shares(limited, path, errors);
    validate_number(limited, "borrowingLimitPercent", 0, INT32_MAX,
                    "if specified, must be a non-negative integer", path, errors);
    if (check_is(response, "type", "Reject") && queuing != NULL) {
        field_error(errors, FIELD_FORBIDDEN, queuing_path, NULL,
                    "must be nil if limited.limitResponse.type is not Limited");
    } else if (check_is(response, "type", "Queue") && queuing == NULL) {
        field_error(errors, FIELD_REQUIRED, queuing_path, NULL,
                    "must not be empty if limited.limitResponse.type is Limited");
    } else if (check_is(response, "type", "Queue")) {
        validate_queuing(queuing, queuing_path, errors);
    }
}

/* The level that every cluster has for what nothing else takes. */
static void validate_fixed(const char *name, const json_t *spec, struct field_errors *errors)
{
    static const char catch_all[] =
        "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":5,\"lendablePercent\":0,"
        "\"limitResponse\":{\"type\":\"Reject\"}}}";
    if (strcmp(name, "catch-all") != 0) {
        return;
    }
    cleanup(json_release)
    json_t *wanted = json_loads(catch_all, 0, NULL);
    if (!check_equal(spec, wanted)) {
        field_error(errors, FIELD_INVALID, &spec_path, spec,
                    "spec of '%s' must equal the fixed value", name);
    }
}

void validate_priority_level(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *limited = json_object_get(spec, "limited");
    const json_t *exempt = json_object_get(spec, "exempt");
    const char *name = check_text(json_object_get(write->object, "metadata"), "name");
    const struct field_path *limited_path = FIELD(&spec_path, "limited");
    bool is_exempt = check_is(spec, "type", "Exempt"),
         is_limited = check_is(spec, "type", "Limited");
    validate_flow_conditions(write->object, errors);
    if (write->subresource[0] != '\0') {
        return;
    }
    if ((strcmp(name, "exempt") == 0) != is_exempt) {
        check_invalid_text(check_text(spec, "type"),
                           "type must be 'Exempt' if and only if name is 'exempt'",
                           FIELD(&spec_path, "type"), errors);
    }
    if (is_exempt && limited != NULL) {
        field_error(errors, FIELD_FORBIDDEN, limited_path, NULL,
                    "must be nil if the type is not Limited");
    }
    if (is_exempt && exempt != NULL) {
        validate_shares(exempt, FIELD(&spec_path, "exempt"), errors);
    }
    if (is_limited && exempt != NULL) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, "exempt"), NULL,
                    "must be nil if the type is Limited");
    }
    if (is_limited && limited == NULL) {
        field_error(errors, FIELD_REQUIRED, limited_path, NULL,
                    "must not be empty when type is Limited");
    } else if (is_limited) {
        validate_limited(limited, limited_path, errors);
    }
    validate_fixed(name, spec, errors);
}
