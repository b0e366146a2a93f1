// SPDX-License-Identifier: Apache-2.0
#include "controllers/service_pods.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "controllers/service_view.h"

static const char trigger_annotation[] = "endpoints.kubernetes.io/last-change-trigger-time";

/* Changes of a small service are gathered for 20 ms; of one of thousands of pods for half a second,
 * because each of its syncs writes megabytes. */
enum { gather_ms_min = 20, gather_ms_max = 500, gathered_pods_per_ms = 6 };

/* ---- one pod ---- */

bool service_pod_counts(const struct cached_object *pod, bool with_terminating)
{
    const struct pod_view *view = pod_view(pod);
    return view->phase != POD_SUCCEEDED && view->phase != POD_FAILED &&
           view->addresses[0] != '\0' && (with_terminating || !pod->is_deleting);
}

int service_pod_port(const json_t *service_port, const struct pod_view *pod)
{
    const json_t *target = json_object_get(service_port, "targetPort");
    const char *protocol = json_get_string(service_port, "protocol");
    protocol = protocol != NULL ? protocol : "TCP";
    if (!json_is_string(target)) {
        int port = (int)json_get_int(service_port, "port", 0);
        return target != NULL ? (int)json_integer_value(target) : port;
    }
    for (size_t i = 0; i < pod->port_count; i++) {
        if (strcmp(pod->ports[i].name, json_string_value(target)) == 0 &&
            strcmp(pod->ports[i].protocol, protocol) == 0) {
            return pod->ports[i].number;
        }
    }
    return 0;
}

const char *service_pod_hostname(const char *service_name, const struct pod_view *pod)
{
    return strcmp(pod->subdomain, service_name) == 0 ? pod->hostname : "";
}

int address_family(const char *text, char address[static INET6_ADDRSTRLEN])
{
    static const int families[] = {AF_INET, AF_INET6};
    unsigned char bytes[sizeof(struct in6_addr)];
    for (size_t i = 0; i < array_length(families); i++) {
        if (inet_pton(families[i], text, bytes) == 1 &&
            inet_ntop(families[i], bytes, address, INET6_ADDRSTRLEN) != NULL) {
            return families[i];
        }
    }
    return 0;
}

bool service_pod_address(const struct pod_view *pod, int family,
                         char address[static INET6_ADDRSTRLEN])
{
    for (const char *text = pod->addresses; text[0] != '\0'; text += strlen(text) + 1) {
        if (address_family(text, address) == family) {
            return true;
        }
    }
    return false;
}

bool service_is_headless(const json_t *service)
{
    const char *address = json_path_string(service, "spec", "clusterIP");
    return address == NULL || address[0] == '\0' || strcmp(address, "None") == 0;
}

/* ---- memory ---- */

/* When a pod's readiness changed last. The name's hash stands for the pod: the wrong time that a
 * collision would give is only shown. */
struct pod_time {
    uint64_t name;
    int64_t time;
};

struct remembered {
    int64_t creation;
    size_t pod_count;
    struct pod_time *times; /* By name. Read and replaced by the key's one worker only. */
    size_t time_count;
};

struct service_memory {
    pthread_mutex_t lock; /* Guards the map and the pod counts. */
    struct map services;  /* struct remembered by key. */
};

static void remembered_free(void *argument)
{
    struct remembered *remembered = argument;
    if (remembered != NULL) {
        free(remembered->times);
        free(remembered);
    }
}

struct service_memory *service_memory_new(void)
{
    struct service_memory *memory = allocate_struct(struct service_memory);
    pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

void service_memory_free(struct service_memory *memory)
{
    map_free(&memory->services, remembered_free);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

void service_memory_forget(struct service_memory *memory, const char *key)
{
    pthread_mutex_lock(&memory->lock);
    struct remembered *remembered = map_remove(&memory->services, key);
    pthread_mutex_unlock(&memory->lock);
    remembered_free(remembered);
}

static int compare_names(const void *a, const void *b)
{
    const struct pod_time *first = a, *second = b;
    return (first->name > second->name) - (first->name < second->name);
}

static int64_t time_of(const struct remembered *remembered, uint64_t name)
{
    struct pod_time wanted = {.name = name};
    const struct pod_time *found = remembered == NULL || remembered->time_count == 0
                                       ? NULL
                                       : bsearch(&wanted, remembered->times, remembered->time_count,
                                                 sizeof wanted, compare_names);
    return found != NULL ? found->time : 0;
}

static struct pod_time *times_of(const struct cached_list *pods, size_t *count)
{
    struct pod_time *times = allocate_zero(pods->count + 1, sizeof *times);
    *count = 0;
    for (size_t i = 0; i < pods->count; i++) {
        const char *name = pods->items[i]->name;
        int64_t time = pod_view(pods->items[i])->ready_since;
        if (time != 0) {
            times[(*count)++] = (struct pod_time){hash_bytes(name, strlen(name)), time};
        }
    }
    qsort(times, *count, sizeof *times, compare_names);
    return times;
}

int64_t service_memory_trigger(struct service_memory *memory, const struct cached_object *service,
                               const struct cached_list *pods)
{
    pthread_mutex_lock(&memory->lock);
    struct remembered *old = map_get(&memory->services, service->key);
    pthread_mutex_unlock(&memory->lock);
    struct remembered *new = allocate_struct(struct remembered);
    new->creation = service->creation;
    new->pod_count = pods->count;
    new->times = times_of(pods, &new->time_count);
    int64_t trigger = 0;
    if (old == NULL || service->creation > old->creation) {
        trigger = service->creation;
    }
    for (size_t i = 0; i < new->time_count &&old != NULL; i++) {
        int64_t time = new->times[i].time;
        if (time > time_of(old, new->times[i].name) && (trigger == 0 || time < trigger)) {
            trigger = time;
        }
    }
    pthread_mutex_lock(&memory->lock);
    map_set(&memory->services, service->key, new);
    pthread_mutex_unlock(&memory->lock);
    remembered_free(old);
    return trigger;
}

static int64_t gather_ms(struct service_memory *memory, const char *key)
{
    pthread_mutex_lock(&memory->lock);
    const struct remembered *remembered = map_get(&memory->services, key);
    size_t pods = remembered != NULL ? remembered->pod_count : 0;
    pthread_mutex_unlock(&memory->lock);
    size_t delay = gather_ms_min + pods / gathered_pods_per_ms;
    return delay < gather_ms_max ? (int64_t)delay : gather_ms_max;
}

/* ---- changes ---- */

static bool labels_differ(const struct cached_object *a, const struct cached_object *b)
{
    return a->labels.length != b->labels.length ||
           (a->labels.length > 0 && memcmp(a->labels.text, b->labels.text, a->labels.length) != 0);
}

static bool addresses_differ(const char *a, const char *b)
{
    while (a[0] != '\0' && strcmp(a, b) == 0) {
        a += strlen(a) + 1;
        b += strlen(b) + 1;
    }
    return strcmp(a, b) != 0;
}

/* Something that endpoints show. */
static bool pod_differs(const struct cached_object *old, const struct cached_object *new)
{
    const struct pod_view *a = pod_view(old), *b = pod_view(new);
    return labels_differ(old, new) || old->is_deleting != new->is_deleting ||
           strcmp(old->uid, new->uid) != 0 || a->is_ready != b->is_ready || a->phase != b->phase ||
           addresses_differ(a->addresses, b->addresses) || strcmp(a->hostname, b->hostname) != 0 ||
           strcmp(a->subdomain, b->subdomain) != 0;
}

static void add_services(struct controller *controller, struct informer *services,
                         struct service_memory *memory, const struct cached_object *pod)
{
    cleanup(cached_list_free)
    struct cached_list found = CACHED_LIST_INIT;
    service_find_of_pod(services, pod, &found);
    for (size_t i = 0; i < found.count; i++) {
        const char *key = found.items[i]->key;
        controller_add_after(controller, key, gather_ms(memory, key));
    }
}

void service_add_of_pod(struct controller *controller, struct informer *services,
                        struct service_memory *memory, const struct cached_object *old,
                        const struct cached_object *new)
{
    if (old != NULL && new != NULL && !pod_differs(old, new)) {
        return;
    }
    if (new != NULL) {
        add_services(controller, services, memory, new);
    }
    if (old != NULL && (new == NULL || labels_differ(old, new))) {
        add_services(controller, services, memory, old);
    }
}

void service_annotate_trigger(json_t *object, int64_t trigger)
{
    json_t *metadata = json_get_or_add_object(object, "metadata");
    if (trigger != 0) {
        char text[TIMESTAMP_SIZE];
        timestamp_format(trigger, text);
        json_object_set_new(json_get_or_add_object(metadata, "annotations"), trigger_annotation,
                            json_string(text));
        return;
    }
    json_t *annotations = json_object_get(metadata, "annotations");
    json_object_del(annotations, trigger_annotation);
    if (annotations != NULL && json_object_size(annotations) == 0) {
        json_object_del(metadata, "annotations");
    }
}
