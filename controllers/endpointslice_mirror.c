// SPDX-License-Identifier: Apache-2.0
#include "controllers/endpointslice_mirror.h"

#include <netinet/in.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "controllers/endpoints_pack.h"
#include "controllers/endpointslice_view.h"
#include "controllers/endpointslice_write.h"
#include "controllers/service_pods.h"

const char mirror_manager[] = "endpointslicemirroring-controller.k8s.io";

static const char *const annotations_left_out[] = {
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
};

bool mirror_is_wanted(const json_t *endpoints)
{
    const json_t *metadata = json_object_get(endpoints, "metadata");
    const char *skip = json_get_string(json_object_get(metadata, "labels"),
                                       "endpointslice.kubernetes.io/skip-mirror");
    return (skip == NULL || strcmp(skip, "true") != 0) &&
           json_path(metadata, "annotations", "control-plane.alpha.kubernetes.io/leader") == NULL;
}

/* ---- packing what people wrote ---- */

/* All distinct addresses, each with the ports it stands beside. One that is ready beside one port
 * and not beside another is two. */
struct gathered {
    json_t *ports; /* The distinct ones; {} stands for having none. */
    struct endpoints_pod *pods;
    int **numbers; /* Of each pod; the arrays that its 'numbers' points to. */
    size_t count, pod_capacity, number_capacity, port_count;
    struct map positions; /* By address, uid and readiness: the position, plus one. */
};

static void gather_ports(struct gathered *gathered, const json_t *subsets)
{
    gathered->ports = json_array();
    size_t i, n;
    const json_t *subset;
    json_t *port;
    cleanup(json_release)
    json_t *none = json_pack("[{}]");
    json_array_foreach (subsets, i, subset) {
        const json_t *ports = json_object_get(subset, "ports");
        json_array_foreach (json_array_size(ports) > 0 ? ports : none, n, port) {
            bool is_known = false;
            for (size_t k = 0; k < json_array_size(gathered->ports) && !is_known; k++) {
                is_known = json_equal(json_array_get(gathered->ports, k), port);
            }
            if (!is_known) {
                json_array_append(gathered->ports, port);
            }
        }
    }
    gathered->port_count = json_array_size(gathered->ports);
}

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL ? text : "";
}

static int *numbers_of(struct gathered *gathered, json_t *address, bool is_ready)
{
    const char *ip = text_at(address, "ip");
    const char *uid = text_at(json_object_get(address, "targetRef"), "uid");
    cleanup(free_char)
    char *key = format("%s %s %d", ip, uid, is_ready);
    intptr_t position = (intptr_t)map_get(&gathered->positions, key);
    if (position == 0) {
        gathered->pods =
            grow(gathered->pods, gathered->count, &gathered->pod_capacity, sizeof *gathered->pods);
        gathered->numbers = grow(gathered->numbers, gathered->count, &gathered->number_capacity,
                                 sizeof *gathered->numbers);
        int *numbers = allocate_zero(gathered->port_count + 1, sizeof *numbers);
        gathered->numbers[gathered->count] = numbers;
        gathered->pods[gathered->count] = (struct endpoints_pod){
            .ip = ip, .uid = uid, .is_ready = is_ready, .numbers = numbers, .address = address};
        position = (intptr_t)++gathered->count;
        map_set(&gathered->positions, key, (void *)position);
    }
    return gathered->numbers[position - 1];
}

static bool has_port(const json_t *subset, const json_t *port)
{
    const json_t *ports = json_object_get(subset, "ports");
    size_t i;
    const json_t *other;
    json_array_foreach (ports, i, other) {
        if (json_equal(port, other)) {
            return true;
        }
    }
    return json_array_size(ports) == 0 && json_object_size(port) == 0;
}

/* What is not ready beside a port is not ready beside it in another subset either. */
static void gather_addresses(struct gathered *gathered, const json_t *subset, bool is_ready)
{
    size_t i, n;
    json_t *address;
    const json_t *port;
    const json_t *addresses = json_object_get(subset, is_ready ? "addresses" : "notReadyAddresses");
    json_array_foreach (addresses, i, address) {
        const int *other = is_ready ? numbers_of(gathered, address, false) : NULL;
        int *numbers = numbers_of(gathered, address, is_ready);
        json_array_foreach (gathered->ports, n, port) {
            if (has_port(subset, port) && (other == NULL || other[n] == 0)) {
                numbers[n] = (int)json_get_int(port, "port", -1);
            }
        }
    }
}

static json_t *repack(const json_t *subsets)
{
    struct gathered gathered = {0};
    gather_ports(&gathered, subsets);
    size_t i;
    const json_t *subset;
    json_array_foreach (subsets, i, subset) {
        gather_addresses(&gathered, subset, false);
    }
    json_array_foreach (subsets, i, subset) {
        gather_addresses(&gathered, subset, true);
    }
    bool truncated;
    json_t *packed =
        endpoints_pack(gathered.pods, gathered.count, gathered.ports, SIZE_MAX, &truncated);
    for (i = 0; i < gathered.count; i++) {
        free(gathered.numbers[i]);
    }
    free(gathered.numbers);
    free(gathered.pods);
    map_free(&gathered.positions, NULL);
    json_decref(gathered.ports);
    return packed;
}

/* ---- slices ---- */

static json_t *slice_ports(const json_t *ports)
{
    json_t *made = json_array();
    size_t i;
    const json_t *port;
    json_array_foreach (ports, i, port) {
        json_t *copy = json_deep_copy(port);
        if (json_object_get(copy, "name") == NULL) {
            json_object_set_new(copy, "name", json_string(""));
        }
        json_array_append_new(made, copy);
    }
    return made;
}

static json_t *slice_endpoint(const json_t *address, const char *ip, bool is_ready)
{
    static const char *const taken_over[] = {"targetRef", "nodeName", "hostname"};
    json_t *endpoint =
        json_pack("{s:[s], s:{s:b}}", "addresses", ip, "conditions", "ready", is_ready);
    for (size_t i = 0; i < array_length(taken_over); i++) {
        json_t *value = json_object_get(address, taken_over[i]);
        if (value != NULL) {
            json_object_set(endpoint, taken_over[i], value);
        }
    }
    return endpoint;
}

static json_t *mirrored_annotations(const json_t *endpoints)
{
    json_t *own = json_path(endpoints, "metadata", "annotations");
    json_t *annotations = own != NULL ? json_copy(own) : json_object();
    for (size_t i = 0; i < array_length(annotations_left_out); i++) {
        json_object_del(annotations, annotations_left_out[i]);
    }
    return annotations;
}

static json_t *mirror_slice(const json_t *endpoints, int family, json_t *ports, json_t *list)
{
    json_t *slice = slice_new(endpoints, family);
    json_t *metadata = json_object_get(slice, "metadata");
    json_t *own = json_path(endpoints, "metadata", "labels");
    json_t *labels = own != NULL ? json_copy(own) : json_object();
    json_object_set(labels, endpointslice_service_label, json_path(endpoints, "metadata", "name"));
    json_object_set_new(labels, endpointslice_manager_label, json_string(mirror_manager));
    json_object_set_new(metadata, "labels", labels);
    json_t *annotations = mirrored_annotations(endpoints);
    if (json_object_size(annotations) > 0) {
        json_object_set(metadata, "annotations", annotations);
    }
    json_decref(annotations);
    json_object_set(slice, "ports", ports);
    json_object_set(slice, "endpoints", list);
    return slice;
}

/* The endpoints of one subset by family. */
struct family_lists {
    json_t *ipv4, *ipv6;
    size_t max;
    struct mirror_losses *losses;
};

static void add_addresses(struct family_lists *lists, const json_t *addresses, bool is_ready)
{
    size_t i;
    const json_t *address;
    json_array_foreach (addresses, i, address) {
        char ip[INET6_ADDRSTRLEN];
        int family = address_family(text_at(address, "ip"), ip);
        if (json_array_size(lists->ipv4) + json_array_size(lists->ipv6) >= lists->max) {
            lists->losses->skipped++;
        } else if (family == 0) {
            lists->losses->skipped++;
            lists->losses->invalid++;
        } else {
            json_array_append_new(family == AF_INET6 ? lists->ipv6 : lists->ipv4,
                                  slice_endpoint(address, ip, is_ready));
        }
    }
}

json_t *mirror_slices(const json_t *endpoints, size_t max, struct mirror_losses *losses)
{
    *losses = (struct mirror_losses){0};
    json_t *slices = json_array();
    cleanup(json_release)
    json_t *subsets = repack(json_object_get(endpoints, "subsets"));
    size_t i;
    const json_t *subset;
    json_array_foreach (subsets, i, subset) {
        struct family_lists lists = {json_array(), json_array(), max, losses};
        add_addresses(&lists, json_object_get(subset, "addresses"), true);
        add_addresses(&lists, json_object_get(subset, "notReadyAddresses"), false);
        cleanup(json_release)
        json_t *ports = slice_ports(json_object_get(subset, "ports"));
        if (json_array_size(lists.ipv4) > 0) {
            json_array_append_new(slices, mirror_slice(endpoints, AF_INET, ports, lists.ipv4));
        }
        if (json_array_size(lists.ipv6) > 0) {
            json_array_append_new(slices, mirror_slice(endpoints, AF_INET6, ports, lists.ipv6));
        }
        json_decref(lists.ipv4);
        json_decref(lists.ipv6);
    }
    return slices;
}
