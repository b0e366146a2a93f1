// SPDX-License-Identifier: Apache-2.0
/* Defaults of pods and of the templates they are made from. */
#include <string.h>

#include "apiserver/registry/kinds/defaults.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"

/* Calls 'fill' for each element of the list. */
static void each(const json_t *object, const char *list, void (*fill)(json_t *element))
{
    const json_t *elements = json_object_get(object, list);
    for (size_t i = 0; i < json_array_size(elements); i++) {
        fill(json_array_get(elements, i));
    }
}

/* ---- pods and templates ---- */

/* Images tagged "latest" are always pulled, and so are those with neither tag nor digest, for which
 * "latest" is meant. */
static const char *pull_policy(const char *image)
{
    const char *slash = strrchr(image, '/');
    const char *name = slash ? slash + 1 : image;
    size_t length = strcspn(name, "@"); /* A digest follows. */
    const char *tag = memchr(name, ':', length);
    bool latest = tag == NULL ? name[0] != '\0' && name[length] == '\0'
                              : length - (size_t)(tag - name) == strlen(":latest") &&
                                    memcmp(tag, ":latest", strlen(":latest")) == 0;
    return latest ? "Always" : "IfNotPresent";
}

static void fill_pull_policy(json_t *object, const char *policy, const char *reference)
{
    const char *image = json_get_string(object, reference);
    default_set(object, policy, json_string_nocheck(pull_policy(image ? image : "")));
}

static void fill_container(json_t *container)
{
    fill_pull_policy(container, "imagePullPolicy", "image");
}

/* A volume without a source is an empty directory. */
static void fill_volume(json_t *volume)
{
    size_t sources = json_object_size(volume) - (json_object_get(volume, "name") ? 1 : 0);
    json_t *image = json_object_get(volume, "image");
    if (sources == 0) {
        json_object_set_new(volume, "emptyDir", json_object());
    }
    if (image != NULL) {
        fill_pull_policy(image, "pullPolicy", "reference");
    }
}

void pod_spec_fill_defaults(json_t *spec)
{
    each(spec, "initContainers", fill_container);
    each(spec, "containers", fill_container);
    each(spec, "ephemeralContainers", fill_container);
    each(spec, "volumes", fill_volume);
    /* The old name of the same field. */
    json_t *account = json_object_get(spec, "serviceAccountName");
    json_t *old = json_object_get(spec, "serviceAccount");
    if (json_string_length(account) > 0) {
        json_object_set(spec, "serviceAccount", account);
    } else if (json_string_length(old) > 0) {
        json_object_set(spec, "serviceAccountName", old);
    }
}

/* ---- resources of the pod as a whole ---- */

static bool read_amount(const json_t *container, const char *list, const char *resource,
                        struct quantity *amount)
{
    const char *text = json_path_string(container, "resources", list, resource);
    return text != NULL && quantity_parse(text, amount);
}

/* A sum that is absent until something is added. */
struct total {
    bool present;
    struct quantity amount;
};

static void add(struct total *total, const struct quantity *amount)
{
    if (!total->present) {
        *total = (struct total){true, *amount};
    } else {
        total->amount.nano += amount->nano;
    }
}

static void raise_to(struct total *total, const struct total *other)
{
    if (other->present &&
        (!total->present || quantity_compare(&other->amount, &total->amount) > 0)) {
        *total = *other;
    }
}

/* The most that the containers have of the resource at a time: init containers run one by one
 * before the others, beside those init containers that restart for ever. */
static struct total effective_amount(const json_t *spec, const char *list, const char *resource)
{
    struct total running = {0}, sidecars = {0}, starting = {0};
    struct quantity amount;
    const json_t *containers = json_object_get(spec, "containers");
    const json_t *init_containers = json_object_get(spec, "initContainers");
    for (size_t i = 0; i < json_array_size(containers); i++) {
        if (read_amount(json_array_get(containers, i), list, resource, &amount)) {
            add(&running, &amount);
        }
    }
    for (size_t i = 0; i < json_array_size(init_containers); i++) {
        const json_t *container = json_array_get(init_containers, i);
        const char *restarts = json_get_string(container, "restartPolicy");
        bool is_sidecar = restarts != NULL && strcmp(restarts, "Always") == 0;
        bool read = read_amount(container, list, resource, &amount);
        if (read && is_sidecar) {
            add(&running, &amount);
            add(&sidecars, &amount);
        }
        struct total now = sidecars;
        if (read && !is_sidecar) {
            add(&now, &amount);
        }
        raise_to(&starting, &now);
    }
    raise_to(&running, &starting);
    return running;
}

bool pod_effective_amount(const json_t *spec, const char *list, const char *resource,
                          struct quantity *amount)
{
    struct total total = effective_amount(spec, list, resource);
    *amount = total.amount;
    return total.present;
}

static void set_effective(json_t *amounts, const json_t *spec, const char *list,
                          const char *resource)
{
    struct total total = effective_amount(spec, list, resource);
    if (total.present && json_object_get(amounts, resource) == NULL) {
        char text[QUANTITY_SIZE];
        quantity_format(&total.amount, text);
        json_object_set_new(amounts, resource, json_string(text));
    }
}

static bool is_huge_page(const char *resource)
{
    return strncmp(resource, "hugepages-", strlen("hugepages-")) == 0;
}

/* Huge pages can't be overcommitted: the pod's limit is what its containers may use. */
static void fill_huge_pages(const json_t *spec, json_t *limits, const json_t *requests)
{
    const json_t *containers = json_object_get(spec, "containers");
    const json_t *init_containers = json_object_get(spec, "initContainers");
    size_t count = json_array_size(containers), all = count + json_array_size(init_containers);
    for (size_t i = 0; i < all; i++) {
        const json_t *container =
            i < count ? json_array_get(containers, i) : json_array_get(init_containers, i - count);
        const char *name;
        json_t *limit;
        json_object_foreach (json_path(container, "resources", "limits"), name, limit) {
            if (is_huge_page(name) && json_object_get(requests, name) == NULL) {
                set_effective(limits, spec, "limits", name);
            }
        }
    }
}

/* Only where the pod as a whole has some: what its containers request together, else its limits.
 */
static void fill_pod_resources(json_t *spec)
{
    json_t *resources = json_object_get(spec, "resources");
    json_t *given = json_object_get(resources, "limits");
    json_t *requested = json_object_get(resources, "requests");
    cleanup(json_release)
    json_t *limits = given ? json_incref(given) : json_object();
    cleanup(json_release)
    json_t *requests = requested ? json_incref(requested) : json_object();
    if (json_object_size(limits) + json_object_size(requests) == 0) {
        return;
    }
    fill_huge_pages(spec, limits, requests);
    if (json_object_size(limits) == 0) {
        return;
    }
    json_object_set(resources, "limits", limits);
    set_effective(requests, spec, "requests", "cpu");
    set_effective(requests, spec, "requests", "memory");
    const char *name;
    json_t *limit;
    json_object_foreach (limits, name, limit) {
        bool counts = strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0;
        if ((counts || is_huge_page(name)) && json_object_get(requests, name) == NULL) {
            json_object_set(requests, name, limit);
        }
    }
    if (json_object_size(requests) > 0) {
        json_object_set(resources, "requests", requests);
    }
}

/* ---- pods alone ---- */

/* What is limited but not requested is requested at its limit. */
static void fill_requests(json_t *container)
{
    json_t *resources = json_object_get(container, "resources");
    const json_t *limits = json_object_get(resources, "limits");
    if (json_object_size(limits) > 0) {
        default_update(json_get_or_add_object(resources, "requests"), limits);
    }
}

/* On the node's own network each port is the node's as well. */
static void fill_host_port(json_t *port)
{
    json_t *number = json_object_get(port, "containerPort");
    if (number != NULL && json_get_int(port, "hostPort", 0) == 0) {
        json_object_set(port, "hostPort", number);
    }
}

static void fill_host_ports(json_t *container)
{
    each(container, "ports", fill_host_port);
}

void pod_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *status = json_object_get(object, "status");
    each(spec, "containers", fill_requests);
    each(spec, "initContainers", fill_requests);
    fill_pod_resources(spec);
    if (json_get_bool(spec, "hostNetwork", false)) {
        each(spec, "containers", fill_host_ports);
        each(spec, "initContainers", fill_host_ports);
    }
    if (status != NULL) {
        default_pair(status, "podIP", "podIPs", "ip");
        default_pair(status, "hostIP", "hostIPs", "ip");
    }
}
