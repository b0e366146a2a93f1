// SPDX-License-Identifier: Apache-2.0
/*
 * The key of a class is the text of all that makes it up, found by a scanner: for a pod of a known
 * class nothing is parsed. Of containers only requests, ports, images and sidecars count, because
 * each pod may mount a token of another name.
 */
#include "scheduler/pod_class.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "scheduler/pod_volumes.h"

static const char *const copied_members[] = {
    "nodeSelector", "affinity", "tolerations", "schedulerName",
    "priority",     "overhead", "hostNetwork", "topologySpreadConstraints",
    "resources",
};

static struct {
    pthread_mutex_t lock; /* Guards the map; taken after the scheduler's lock. */
    struct map map;
} classes = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the key ---- */

enum span {
    SPAN_NODE_SELECTOR,
    SPAN_AFFINITY,
    SPAN_TOLERATIONS,
    SPAN_SCHEDULER,
    SPAN_PRIORITY,
    SPAN_OVERHEAD,
    SPAN_HOST_NETWORK,
    SPAN_SPREAD,
    SPAN_GATES,
    SPAN_PREEMPTION_POLICY,
    SPAN_RESOURCES,
    SPAN_CONTAINERS,
    SPAN_INIT_CONTAINERS,
    SPAN_VOLUMES,
    SPAN_NODE_NAME,
    SPAN_PHASE,
    SPAN_CONDITIONS,
    SPAN_START_TIME,
    SPAN_NOMINATED,
    SPAN_COUNT
};

static const char *const span_paths[SPAN_COUNT] = {
    "spec.nodeSelector",
    "spec.affinity",
    "spec.tolerations",
    "spec.schedulerName",
    "spec.priority",
    "spec.overhead",
    "spec.hostNetwork",
    "spec.topologySpreadConstraints",
    "spec.schedulingGates",
    "spec.preemptionPolicy",
    "spec.resources",
    "spec.containers",
    "spec.initContainers",
    "spec.volumes",
    "spec.nodeName",
    "status.phase",
    "status.conditions",
    "status.startTime",
    "status.nominatedNodeName",
};

static void add_span(struct buffer *key, struct json_span span)
{
    if (span.text != NULL) {
        buffer_add(key, span.text, span.length);
    }
    buffer_add_char(key, '\n');
}

static bool add_container(void *argument, struct json_span container)
{
    static const char *const paths[] = {"resources", "ports", "restartPolicy", "image"};
    struct json_span spans[array_length(paths)];
    json_scan(container.text, container.length, paths, array_length(paths), spans);
    for (size_t i = 0; i < array_length(paths); i++) {
        add_span(argument, spans[i]);
    }
    return true;
}

static void make_key(const struct cached_object *object, const struct json_span *spans,
                     struct buffer *key)
{
    buffer_add_text(key, object->namespace);
    buffer_add_char(key, '\n');
    buffer_add_text(key, object->owner_uid);
    buffer_add_char(key, '\n');
    add_span(key, object->labels);
    for (size_t i = 0; i < SPAN_CONTAINERS; i++) {
        add_span(key, spans[i]);
    }
    json_scan_elements(spans[SPAN_CONTAINERS], add_container, key);
    buffer_add_char(key, '\f');
    json_scan_elements(spans[SPAN_INIT_CONTAINERS], add_container, key);
    pod_volumes_add_key(spans[SPAN_VOLUMES], object, key);
}

/* ---- a class ---- */

static const char *known_protocol(const char *protocol)
{
    return protocol == NULL || strcmp(protocol, "TCP") == 0 ? "TCP"
           : strcmp(protocol, "UDP") == 0                   ? "UDP"
                                                            : "SCTP";
}

static void add_host_ports(struct pod_class *class, const json_t *containers)
{
    size_t i, n, capacity = class->host_port_count;
    const json_t *container, *port;
    json_array_foreach (containers, i, container) {
        json_array_foreach (json_object_get(container, "ports"), n, port) {
            const char *protocol = json_get_string(port, "protocol");
            const char *address = json_get_string(port, "hostIP");
            int number = (int)json_get_int(port, "hostPort", 0);
            if (number <= 0) {
                continue;
            }
            class->host_ports = grow(class->host_ports, class->host_port_count, &capacity,
                                     sizeof *class->host_ports);
            class->host_ports[class->host_port_count++] = (struct host_port){
                known_protocol(protocol),
                duplicate(address != NULL && *address != '\0' ? address : "0.0.0.0"), number};
        }
    }
}

/* Init containers hold a port only as sidecars, which run on. */
static void add_sidecar_ports(struct pod_class *class, const json_t *containers)
{
    size_t i;
    json_t *container;
    json_array_foreach (containers, i, container) {
        const char *policy = json_get_string(container, "restartPolicy");
        if (policy != NULL && strcmp(policy, "Always") == 0) {
            cleanup(json_release)
            json_t *one = json_pack("[O]", container);
            add_host_ports(class, one);
        }
    }
}

static void add_images(struct pod_class *class, const json_t *containers)
{
    size_t i;
    json_t *container;
    class->images = reallocate(
        class->images, (class->image_count + json_array_size(containers) + 1) * sizeof(char *));
    json_array_foreach (containers, i, container) {
        const char *image = json_get_string(container, "image");
        class->images[class->image_count++] = duplicate(image != NULL ? image : "");
    }
}

static struct pod_class *parse_class(const struct cached_object *object, const char *key)
{
    cleanup(json_release)
    json_t *pod = cached_object_tree(object);
    const json_t *spec = json_object_get(pod, "spec");
    const char *scheduler = json_get_string(spec, "schedulerName");
    const char *preemption = json_get_string(spec, "preemptionPolicy");
    struct pod_class *class = allocate_struct(struct pod_class);
    class->key = duplicate(key);
    class->labels = cached_object_labels(object);
    class->spec = json_object();
    for (size_t i = 0; i < array_length(copied_members); i++) {
        json_t *member = json_object_get(spec, copied_members[i]);
        if (member != NULL) {
            json_object_set(class->spec, copied_members[i], member);
        }
    }
    class->namespace = duplicate(object->namespace);
    class->scheduler_name = duplicate(scheduler != NULL ? scheduler : "default-scheduler");
    class->owner_kind = duplicate(object->owner_kind);
    class->owner_name = duplicate(object->owner_name);
    class->priority = (int32_t)json_get_int(spec, "priority", 0);
    class->never_preempts = preemption != NULL && strcmp(preemption, "Never") == 0;
    class->is_gated = json_array_size(json_object_get(spec, "schedulingGates")) > 0;
    resource_amounts_of_pod(spec, &class->requests, &class->assumed);
    add_host_ports(class, json_object_get(spec, "containers"));
    add_sidecar_ports(class, json_object_get(spec, "initContainers"));
    class->volumes = pod_volumes_parse(spec, object->namespace, object->name);
    add_images(class, json_object_get(spec, "initContainers"));
    add_images(class, json_object_get(spec, "containers"));
    return class;
}

struct pod_class *pod_class_ref(struct pod_class *class)
{
    atomic_fetch_add_explicit(&class->references, 1, memory_order_relaxed);
    return class;
}

void pod_class_unref(struct pod_class *class)
{
    atomic_fetch_sub_explicit(&class->references, 1, memory_order_acq_rel);
}

static struct pod_class *find_class(const struct cached_object *object, const char *key)
{
    pthread_mutex_lock(&classes.lock);
    struct pod_class *class = map_get(&classes.map, key);
    if (class != NULL) {
        pod_class_ref(class);
    }
    pthread_mutex_unlock(&classes.lock);
    if (class != NULL) {
        return class;
    }
    class = parse_class(object, key);
    class->references = 1;
    pthread_mutex_lock(&classes.lock);
    map_set(&classes.map, key, class); /* Only this thread adds. */
    pthread_mutex_unlock(&classes.lock);
    return class;
}

static void class_free(struct pod_class *class)
{
    for (size_t i = 0; i < class->host_port_count; i++) {
        free(class->host_ports[i].address);
    }
    free(class->host_ports);
    for (size_t i = 0; i < class->image_count; i++) {
        free(class->images[i]);
    }
    free(class->images);
    pod_volumes_free(class->volumes);
    resource_amounts_clear(&class->requests);
    resource_amounts_clear(&class->assumed);
    json_decref(class->labels);
    json_decref(class->spec);
    free(class->key);
    free(class->namespace);
    free(class->scheduler_name);
    free(class->owner_kind);
    free(class->owner_name);
    free(class->static_results);
    free(class->groups);
    free(class->sets);
    free(class->failure);
    free(class->unhelped);
    free(class);
}

void pod_classes_each(void (*each)(struct pod_class *class, void *argument), void *argument)
{
    const char *key;
    void *value;
    pthread_mutex_lock(&classes.lock);
    for (size_t at = 0; map_next(&classes.map, &at, &key, &value);) {
        each(value, argument);
    }
    pthread_mutex_unlock(&classes.lock);
}

void pod_classes_collect(void (*release)(struct pod_class *class, void *argument), void *argument)
{
    const char *key;
    void *value;
    struct pod_class **unused = NULL;
    size_t count = 0, capacity = 0;
    pthread_mutex_lock(&classes.lock);
    for (size_t at = 0; map_next(&classes.map, &at, &key, &value);) {
        if (atomic_load(&((struct pod_class *)value)->references) == 0) {
            unused = grow(unused, count, &capacity, sizeof(struct pod_class *));
            unused[count++] = value;
        }
    }
    for (size_t i = 0; i < count; i++) {
        map_remove(&classes.map, unused[i]->key);
    }
    pthread_mutex_unlock(&classes.lock);
    for (size_t i = 0; i < count; i++) {
        release(unused[i], argument);
        class_free(unused[i]);
    }
    free(unused);
}

/* ---- a pod ---- */

static bool is_text(struct json_span span, const char *text)
{
    return span.length == strlen(text) + 2 && memcmp(span.text + 1, text, span.length - 2) == 0;
}

static bool find_told(void *argument, struct json_span condition)
{
    static const char *const paths[] = {"type", "status", "message"};
    struct json_span spans[array_length(paths)];
    json_scan(condition.text, condition.length, paths, array_length(paths), spans);
    if (!is_text(spans[0], "PodScheduled")) {
        return true;
    }
    if (is_text(spans[1], "False")) {
        *(char **)argument = spans[2].text != NULL ? json_span_value(spans[2]) : duplicate("");
    }
    return false;
}

static bool find_preemption(void *argument, struct json_span condition)
{
    static const char *const paths[] = {"type", "status", "reason"};
    struct json_span spans[array_length(paths)];
    json_scan(condition.text, condition.length, paths, array_length(paths), spans);
    if (!is_text(spans[0], "DisruptionTarget")) {
        return true;
    }
    *(bool *)argument = is_text(spans[1], "True") && is_text(spans[2], "PreemptionByScheduler");
    return false;
}

static int64_t time_of(struct json_span span)
{
    int64_t time = 0;
    cleanup(free_char)
    char *text = span.length > 2 ? json_span_value(span) : NULL;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

static void *digest(const struct cached_object *object)
{
    struct json_span spans[SPAN_COUNT];
    cleanup(buffer_free)
    struct buffer key = BUFFER_INIT;
    json_scan(object->text, object->length, span_paths, SPAN_COUNT, spans);
    make_key(object, spans, &key);
    size_t length = spans[SPAN_NODE_NAME].length > 2 ? spans[SPAN_NODE_NAME].length - 2 : 0;
    struct pod *pod = allocate_zero(1, sizeof *pod + length + 1);
    memcpy(pod->memory, length > 0 ? spans[SPAN_NODE_NAME].text + 1 : "", length);
    pod->node_name = pod->memory;
    pod->is_terminated =
        is_text(spans[SPAN_PHASE], "Succeeded") || is_text(spans[SPAN_PHASE], "Failed");
    if (length == 0) {
        json_scan_elements(spans[SPAN_CONDITIONS], find_told, &pod->told);
        pod->nominated_node =
            spans[SPAN_NOMINATED].length > 2 ? json_span_value(spans[SPAN_NOMINATED]) : NULL;
    }
    if (object->is_deleting) {
        json_scan_elements(spans[SPAN_CONDITIONS], find_preemption, &pod->is_preempted);
    }
    pod->started = time_of(spans[SPAN_START_TIME]);
    pod->class = find_class(object, buffer_text(&key));
    return pod;
}

static void digest_free(void *argument)
{
    struct pod *pod = argument;
    pod_class_unref(pod->class);
    free(pod->told);
    free(pod->nominated_node);
    free(pod);
}

const struct cached_object_class pod_object_class = {
    .digest = digest, .digest_free = digest_free, .drop_text = true};
