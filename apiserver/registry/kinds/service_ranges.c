// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/kinds/service_ranges.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

enum { addresses_max = 1 << 20 };

/* ---- as configured ---- */

static bool parse_range(const char *text, struct ip_network *range)
{
    if (!ip_network_parse(text, range)) {
        return false;
    }
    return range->family == AF_INET ? range->bits >= 8 && range->bits <= 30
                                    : range->bits >= 64 && range->bits <= 126;
}

bool service_ranges_parse(struct service_ranges *configured, const char *ranges,
                          struct error *error)
{
    cleanup(free_char)
    char *copy = duplicate(ranges);
    char *rest = NULL;
    bool right = true;
    for (char *one = strtok_r(copy, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        right = right && configured->count < SERVICE_FAMILIES_MAX &&
                parse_range(one, &configured->list[configured->count++]);
    }
    if (!right || configured->count == 0 ||
        (configured->count == 2 && configured->list[0].family == configured->list[1].family)) {
        return error_bad_request(error,
                                 "--service-cluster-ip-range: \"%s\" is no IPv4 range of "
                                 "between 4 and 2^24 addresses, no IPv6 range of between 4 and "
                                 "2^64, and not one of each with a comma between",
                                 ranges);
    }
    return true;
}

/* ---- as they are now ---- */

static void range_list_add(struct range_list *ranges, const struct ip_network *range)
{
    ranges->list = reallocate(ranges->list, (ranges->count + 1) * sizeof *ranges->list);
    ranges->list[ranges->count++] = *range;
}

void range_list_clear(struct range_list *ranges)
{
    free(ranges->list);
    *ranges = (struct range_list){0};
}

static bool is_ready(const json_t *range)
{
    const json_t *conditions = json_path(range, "status", "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const char *type = json_get_string(json_array_get(conditions, i), "type");
        const char *status = json_get_string(json_array_get(conditions, i), "status");
        if (type != NULL && status != NULL && strcmp(type, "Ready") == 0) {
            return strcmp(status, "True") == 0;
        }
    }
    return false;
}

/* Those of a ServiceCIDR that its controller has found ready and nobody has deleted. */
static void add_more_ranges(struct range_list *ranges, const json_t *object, int family)
{
    const json_t *cidrs = json_path(object, "spec", "cidrs");
    bool usable = is_ready(object) && json_path(object, "metadata", "deletionTimestamp") == NULL;
    for (size_t i = 0; usable && i < json_array_size(cidrs); i++) {
        struct ip_network range;
        if (parse_range(json_string_value(json_array_get(cidrs, i)), &range) &&
            range.family == family) {
            range_list_add(ranges, &range);
        }
    }
}

struct range_list service_ranges_of(const struct service_ranges *configured, int family)
{
    struct range_list ranges = {0};
    for (size_t i = 0; i < configured->count; i++) {
        if (configured->list[i].family == family) {
            range_list_add(&ranges, &configured->list[i]);
        }
    }
    struct snapshot *more = cache_snapshot(configured->more, "");
    for (size_t i = 0; i < more->count; i++) {
        cleanup(json_release)
        json_t *object = object_tree(more->objects[i]);
        add_more_ranges(&ranges, object, family);
    }
    snapshot_free(more);
    return ranges;
}

uint32_t service_range_usable(const struct ip_network *range)
{
    int bits = (range->family == AF_INET ? 32 : 128) - range->bits;
    uint64_t size = bits >= 20 ? addresses_max : UINT64_C(1) << bits;
    return (uint32_t)size - (range->family == AF_INET ? 2 : 1);
}

bool service_ranges_contain(const struct service_ranges *configured, const char *text)
{
    struct ip_network address;
    if (!ip_parse(text, &address)) {
        return false;
    }
    cleanup(range_list_clear)
    struct range_list ranges = service_ranges_of(configured, address.family);
    for (size_t i = 0; i < ranges.count; i++) {
        uint64_t offset = ip_network_offset(&ranges.list[i], &address);
        int bits = 32 - ranges.list[i].bits;
        bool last = address.family == AF_INET && offset == (UINT64_C(1) << bits) - 1;
        if (offset != UINT64_MAX && offset > 0 && !last) {
            return true;
        }
    }
    return false;
}

uint32_t service_range_lower(const struct ip_network *range)
{
    enum { lower_min = 16, lower_max = 256 };
    uint32_t size = service_range_usable(range) + (range->family == AF_INET ? 2 : 1);
    return size / 16 > lower_max   ? lower_max
           : size / 16 > lower_min ? size / 16
           : size > lower_min      ? lower_min
                                   : 0;
}

/* ---- node ports ---- */

static uint32_t choose_between(const char *used, uint32_t first, uint32_t end, uint32_t random)
{
    uint32_t free_ones = 0;
    for (uint32_t i = first; i < end; i++) {
        free_ones += !used[i];
    }
    uint32_t skip = free_ones > 0 ? random % free_ones : 0;
    for (uint32_t i = first; free_ones > 0 && i < end; i++) {
        if (!used[i] && skip-- == 0) {
            return i;
        }
    }
    return end;
}

uint32_t service_choose_port(const char *used, uint32_t count, uint32_t random)
{
    enum { lower_min = 16, lower_max = 128 };
    uint32_t lower = count / 32 > lower_max   ? lower_max
                     : count / 32 > lower_min ? count / 32
                     : count > lower_min      ? lower_min
                                              : 0;
    uint32_t chosen = choose_between(used, lower, count, random);
    if (chosen < count) {
        return chosen;
    }
    chosen = choose_between(used, 0, lower, random);
    return chosen < lower ? chosen : count;
}
