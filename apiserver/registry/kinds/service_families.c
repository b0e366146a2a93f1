// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/kinds/service_families.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};
static const struct field_path addresses_path = {.parent = &spec_path, .name = "clusterIPs"};
static const struct field_path families_path = {.parent = &spec_path, .name = "ipFamilies"};
static const struct field_path policy_path = {.parent = &spec_path, .name = "ipFamilyPolicy"};

bool service_is_headless(const json_t *spec)
{
    const json_t *addresses = json_object_get(spec, "clusterIPs");
    const char *first = json_string_value(json_array_get(addresses, 0));
    return json_array_size(addresses) == 1 && first != NULL && strcmp(first, "None") == 0;
}

bool service_same_list(const json_t *a, const json_t *b, const char *name)
{
    return check_equal(json_object_get(a, name), json_object_get(b, name));
}

static size_t count_of(const json_t *spec, const char *list)
{
    return json_array_size(json_object_get(spec, list));
}

static bool is_single(const json_t *spec)
{
    return check_is(spec, "ipFamilyPolicy", "SingleStack");
}

static const char *text_at(const json_t *list, size_t at)
{
    const char *text = json_string_value(json_array_get(list, at));
    return text ? text : "";
}

static const char *family_of(const char *address)
{
    struct ip_network parsed;
    return ip_parse(address, &parsed) ? ip_family_name(parsed.family) : "";
}

static bool has_family(const char *const *cluster, size_t count, const char *family)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cluster[i], family) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what is wrong by itself ---- */

static void check_address_texts(const json_t *addresses, struct field_errors *errors)
{
    size_t count = json_array_size(addresses);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(addresses, i);
        if (i == 0 && strcmp(text_at(addresses, 0), "None") == 0) {
            check_message(addresses, count > 1 ? "'None' must be the first and only value" : NULL,
                          &addresses_path, errors);
        } else {
            check_message(value, names_check_ip(text_at(addresses, i)),
                          FIELD_INDEX(&addresses_path, i), errors);
        }
    }
}

static void check_addresses(const json_t *spec, struct field_errors *errors)
{
    const json_t *addresses = json_object_get(spec, "clusterIPs");
    const json_t *families = json_object_get(spec, "ipFamilies");
    size_t count = json_array_size(addresses), before = json_array_size(errors->causes);
    check_address_texts(addresses, errors);
    bool wrong = json_array_size(errors->causes) > before;
    check_message(addresses, count > 2 ? "may only hold up to 2 values" : NULL, &addresses_path,
                  errors);
    if (wrong || service_is_headless(spec)) {
        return;
    }
    if (count > 2 || (count == 2 && strcmp(family_of(text_at(addresses, 0)),
                                           family_of(text_at(addresses, 1))) == 0)) {
        field_error(errors, FIELD_INVALID, &addresses_path, addresses,
                    "may specify no more than one IP for each IP family");
    }
    for (size_t i = 0; i < count && i < json_array_size(families); i++) {
        const char *family = text_at(families, i);
        if (strcmp(family, family_of(text_at(addresses, i))) != 0) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(&addresses_path, i),
                        json_array_get(addresses, i),
                        "expected an %s value as indicated by `ipFamilies[%zu]`", family, i);
        }
    }
}

static void check_alone(const json_t *spec, struct field_errors *errors)
{
    const json_t *addresses = json_object_get(spec, "clusterIPs");
    const json_t *families = json_object_get(spec, "ipFamilies");
    const char *one = check_text(spec, "clusterIP");
    if (one[0] == '\0' && json_array_size(addresses) > 0) {
        field_error(errors, FIELD_INVALID, &addresses_path, addresses,
                    "must be empty when `clusterIP` is not specified");
    } else if (one[0] != '\0' && json_array_size(addresses) == 0) {
        field_error(errors, FIELD_REQUIRED, &addresses_path, NULL, NULL);
    } else if (strcmp(one, text_at(addresses, 0)) != 0) {
        field_error(errors, FIELD_INVALID, &addresses_path, addresses,
                    "first value must match `clusterIP`");
    }
    for (size_t i = 1; i < json_array_size(families); i++) {
        bool twice = strcmp(text_at(families, i), text_at(families, i - 1)) == 0 ||
                     (i > 1 && strcmp(text_at(families, i), text_at(families, i - 2)) == 0);
        if (twice) {
            check_duplicate_text(text_at(families, i), FIELD_INDEX(&families_path, i), errors);
        }
    }
    check_addresses(spec, errors);
}

/* ---- what follows from the rest ---- */

/* Such a service neither gets an address more nor one less because the cluster has changed. */
static bool prefers_as_before(const json_t *spec, const json_t *live)
{
    return live != NULL && check_is(spec, "ipFamilyPolicy", "PreferDualStack") &&
           check_is(live, "ipFamilyPolicy", "PreferDualStack") &&
           !check_is(live, "type", "ExternalName") && service_same_list(spec, live, "clusterIPs") &&
           service_same_list(spec, live, "ipFamilies");
}

static bool lacks_selector(const json_t *spec)
{
    return json_object_size(json_object_get(spec, "selector")) == 0;
}

static void fill_policy(json_t *spec, const json_t *live)
{
    if (check_has(spec, "ipFamilyPolicy")) {
        return;
    }
    bool both = check_is(spec, "clusterIP", "None") && lacks_selector(spec);
    const char *policy = live != NULL && check_has(live, "ipFamilyPolicy")
                             ? check_text(live, "ipFamilyPolicy")
                         : both ? "RequireDualStack"
                                : "SingleStack";
    json_object_set_new(spec, "ipFamilyPolicy", json_string(policy));
}

/* The second one goes when the policy alone says so; else it must say so. */
static void drop_second(json_t *spec, const json_t *live, struct field_errors *errors)
{
    static const struct {
        const char *list, *what;
    } lists[] = {{"clusterIPs", "cluster IP"}, {"ipFamilies", "IP family"}};
    for (size_t i = 0; i < array_length(lists); i++) {
        const char *list = lists[i].list;
        size_t count = count_of(spec, list);
        if (!is_single(spec)) {
            if (count == 1 && count_of(live, list) == 2 &&
                strcmp(text_at(json_object_get(spec, list), 0),
                       text_at(json_object_get(live, list), 0)) == 0) {
                field_error(errors, FIELD_INVALID, &policy_path,
                            json_object_get(spec, "ipFamilyPolicy"),
                            "must be 'SingleStack' to release the secondary %s", lists[i].what);
            }
        } else if (count > 1 && service_same_list(spec, live, list)) {
            json_object_set_new(spec, list,
                                json_pack("[O]", json_array_get(json_object_get(spec, list), 0)));
        }
    }
}

static void check_policy(const json_t *spec, struct field_errors *errors)
{
    static const struct {
        const char *list, *what;
    } lists[] = {{"clusterIPs", "cluster IPs"}, {"ipFamilies", "IP families"}};
    for (size_t i = 0; is_single(spec) && i < array_length(lists); i++) {
        if (count_of(spec, lists[i].list) == 2) {
            field_error(errors, FIELD_INVALID, &policy_path,
                        json_object_get(spec, "ipFamilyPolicy"),
                        "must be 'RequireDualStack' or 'PreferDualStack' when multiple %s are "
                        "specified",
                        lists[i].what);
        }
    }
}

static json_t *families_in(json_t *spec)
{
    json_t *families = json_object_get(spec, "ipFamilies");
    if (families == NULL) {
        families = json_array();
        json_object_set_new(spec, "ipFamilies", families);
    }
    return families;
}

/* The families of the addresses that are given. */
static void infer(json_t *spec, const char *const *cluster, size_t count,
                  struct field_errors *errors)
{
    const json_t *addresses = json_object_get(spec, "clusterIPs");
    for (size_t i = 0; !service_is_headless(spec) && i < json_array_size(addresses); i++) {
        const char *family = family_of(text_at(addresses, i));
        if (i < count_of(spec, "ipFamilies")) {
            continue;
        }
        if (!has_family(cluster, count, family)) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(&addresses_path, i), addresses,
                        "%s is not configured on this cluster", family);
        } else {
            json_array_append_new(families_in(spec), json_string(family));
        }
    }
}

static void check_cluster(const json_t *spec, const char *const *cluster, size_t count,
                          struct field_errors *errors)
{
    const json_t *families = json_object_get(spec, "ipFamilies");
    if (check_is(spec, "ipFamilyPolicy", "RequireDualStack") && count < 2) {
        field_error(errors, FIELD_INVALID, &policy_path, json_object_get(spec, "ipFamilyPolicy"),
                    "this cluster is not configured for dual-stack services");
    }
    for (size_t i = 0; i < json_array_size(families); i++) {
        if (!has_family(cluster, count, text_at(families, i))) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(&families_path, i),
                        json_array_get(families, i), "not configured on this cluster");
        }
    }
}

/* The default family, and the other one where both are wished for. */
static void fill_list(json_t *spec, const char *fallback, bool may_have_both)
{
    json_t *families = families_in(spec);
    if (json_array_size(families) == 0) {
        json_array_append_new(families, json_string(fallback));
    }
    if (json_array_size(families) == 1 && may_have_both && !is_single(spec)) {
        bool four = strcmp(text_at(families, 0), "IPv4") == 0;
        json_array_append_new(families, json_string(four ? "IPv6" : "IPv4"));
    }
}

void service_fill_families(json_t *spec, const json_t *live, const char *const *cluster,
                           size_t count, struct field_errors *errors)
{
    size_t before = json_array_size(errors->causes);
    if (spec == NULL || check_is(spec, "type", "ExternalName") || prefers_as_before(spec, live)) {
        return;
    }
    fill_policy(spec, live);
    check_alone(spec, errors);
    if (json_array_size(errors->causes) > before) {
        return;
    }
    if (live != NULL) {
        drop_second(spec, live, errors);
    }
    check_policy(spec, errors);
    infer(spec, cluster, count, errors);
    if (json_array_size(errors->causes) > before) {
        return;
    }
    /* What has neither an address nor endpoints of the cluster's making may have both families. */
    bool free_choice = check_is(spec, "clusterIP", "None") && lacks_selector(spec);
    if (!free_choice) {
        check_cluster(spec, cluster, count, errors);
    }
    if (json_array_size(errors->causes) == before) {
        fill_list(spec, cluster[0], free_choice || count == 2);
    }
}
