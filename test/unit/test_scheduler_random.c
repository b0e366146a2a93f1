// SPDX-License-Identifier: Apache-2.0
/*
 * The scheduler's parts together, driven by random events: nodes that come, change and go, pods
 * that are made, bound, refused, end and disappear. Beside them a model as simple as can be says
 * what is right: a pod's node must have had room for it and have suited it; after each step the
 * cache holds what the model holds; and whenever the dust has settled, no pod waits that fits
 * somewhere.
 */
#include "test/unit/scheduler_harness.h"

#include <stdlib.h>
#include <time.h>

#include "scheduler/cycle.h"
#include "scheduler/queue.h"

#define SECOND INT64_C(1000000000)

enum { nodes_max = 8, pods_max = 60, steps = 6000, pending = -1 };

struct model_node {
    bool exists, tainted, cordoned;
    int cpu, pods, gpus;
    char zone;
};

struct model_pod {
    struct cached_object *object; /* NULL: there is none. */
    int cpu, gpus, port;
    char zone, app; /* Zone 0: any. */
    bool tolerates, gated;
    int node; /* Or 'pending'. */
    bool is_assumed, is_deleting;
    struct queued_pod *binding; /* While it is under way. */
};

struct world {
    struct decider decider;
    struct queue queue;
    struct model_node nodes[nodes_max];
    struct model_pod pods[pods_max];
    unsigned serial, seed;
    size_t bound, refused; /* How often, so that a test that does nothing is noticed. */
};

static int64_t now;

static int64_t tell_now(void)
{
    return now;
}

static int pick(struct world *world, int count)
{
    return rand_r(&world->seed) % count;
}

/* ---- the model ---- */

static bool suits(const struct model_pod *pod, const struct model_node *node)
{
    return node->exists && !node->cordoned && (!node->tainted || pod->tolerates) &&
           (pod->zone == 0 || pod->zone == node->zone);
}

/* There is room for it beside all others on that node. */
static bool has_room(const struct world *world, const struct model_pod *wanted, int index)
{
    const struct model_node *node = &world->nodes[index];
    int cpu = wanted->cpu, gpus = wanted->gpus, pods = 1;
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object == NULL || pod == wanted || pod->node != index) {
            continue;
        }
        cpu += pod->cpu;
        gpus += pod->gpus;
        pods++;
        if (pod->port != 0 && pod->port == wanted->port) {
            return false;
        }
    }
    return pods <= node->pods && (wanted->cpu == 0 || cpu <= node->cpu) &&
           (wanted->gpus == 0 || gpus <= node->gpus);
}

static bool fits_somewhere(const struct world *world, const struct model_pod *pod)
{
    for (int i = 0; i < nodes_max; i++) {
        if (suits(pod, &world->nodes[i]) && has_room(world, pod, i)) {
            return true;
        }
    }
    return false;
}

static const char *name_of_node(int index)
{
    static const char *const names[nodes_max] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    return names[index];
}

/* ---- events ---- */

static void put_model_node(struct world *world, int index)
{
    struct model_node *node = &world->nodes[index];
    *node = (struct model_node){.exists = true,
                                .tainted = pick(world, 4) == 0,
                                .cordoned = pick(world, 6) == 0,
                                .cpu = 1000 * (1 + pick(world, 4)),
                                .pods = 1 + pick(world, 6),
                                .gpus = pick(world, 3),
                                .zone = (char)('a' + pick(world, 2))};
    cleanup(free_char)
    char *labels = format("\"labels\":{\"topology.kubernetes.io/zone\":\"%c\"}", node->zone);
    cleanup(free_char)
    char *allocatable = format("\"cpu\":\"%dm\",\"pods\":\"%d\",\"x/gpu\":\"%d\"", node->cpu,
                               node->pods, node->gpus);
    cleanup(free_char)
    char *spec = format("\"unschedulable\":%s,\"taints\":[%s]", node->cordoned ? "true" : "false",
                        node->tainted ? "{\"key\":\"k\",\"effect\":\"NoSchedule\"}" : "");
    if (put_node(world->decider.cache, name_of_node(index), labels, spec, allocatable)) {
        queue_note_event(&world->queue, EVENT_NODE);
    }
}

static void remove_model_node(struct world *world, int index)
{
    world->nodes[index].exists = false;
    node_cache_remove_node(world->decider.cache, name_of_node(index));
}

static struct cached_object *make_object(const struct world *world, const struct model_pod *pod)
{
    char name[32], zone[80] = "", port[48] = "", gpus[32] = "";
    snprintf(name, sizeof name, "p%u", world->serial);
    if (pod->zone != 0) {
        snprintf(zone, sizeof zone, ",\"nodeSelector\":{\"topology.kubernetes.io/zone\":\"%c\"}",
                 pod->zone);
    }
    if (pod->port != 0) {
        snprintf(port, sizeof port, "\"ports\":[{\"hostPort\":%d}],", pod->port);
    }
    if (pod->gpus != 0) {
        snprintf(gpus, sizeof gpus, ",\"x/gpu\":\"%d\"", pod->gpus);
    }
    cleanup(free_char)
    char *labels = format("\"labels\":{\"app\":\"%c\"}", pod->app);
    cleanup(free_char)
    char *spec =
        format("\"containers\":[{%s\"resources\":{\"requests\":{\"cpu\":\"%dm\"%s}}}]%s%s%s", port,
               pod->cpu, gpus, zone,
               pod->tolerates ? ",\"tolerations\":[{\"operator\":\"Exists\",\"key\":\"k\"}]" : "",
               pod->gated ? ",\"schedulingGates\":[{\"name\":\"g\"}]" : "");
    return make_pod_with(name, labels, spec);
}

static void add_pod(struct world *world, struct model_pod *pod)
{
    static const int cpus[] = {0, 500, 1000, 3000}, ports[] = {0, 0, 0, 80, 81};
    world->serial++;
    *pod = (struct model_pod){.cpu = cpus[pick(world, 4)],
                              .gpus = pick(world, 4) == 0,
                              .port = ports[pick(world, 5)],
                              .zone = (char)("\0ab"[pick(world, 3)]),
                              .app = (char)('x' + pick(world, 2)),
                              .tolerates = pick(world, 3) == 0,
                              .gated = pick(world, 8) == 0,
                              .node = pending};
    pod->object = make_object(world, pod);
    queue_put(&world->queue, pod->object->key, pod->object->uid, class_of(pod->object));
}

static void ungate(struct world *world, struct model_pod *pod)
{
    char key[64];
    snprintf(key, sizeof key, "%s", pod->object->name);
    unsigned serial = world->serial;
    world->serial = (unsigned)atoi(key + 1); /* The same name. */
    pod->gated = false;
    cached_object_unref(pod->object);
    pod->object = make_object(world, pod);
    world->serial = serial;
    queue_put(&world->queue, pod->object->key, pod->object->uid, class_of(pod->object));
}

/* Deleted or ended, wherever it is; a binding under way is refused later. */
static void remove_pod(struct world *world, struct model_pod *pod)
{
    queue_remove(&world->queue, pod->object->key);
    if (node_cache_unplace(world->decider.cache, pod->object->key, pod->object->uid)) {
        queue_note_event(&world->queue, EVENT_POD_LEFT);
    }
    if (pod->binding != NULL) {
        queued_pod_free(pod->binding);
    }
    cached_object_unref(pod->object);
    *pod = (struct model_pod){0};
}

static void see_bound(struct world *world, struct model_pod *pod)
{
    pod->is_assumed = false;
    world->bound++;
    queued_pod_free(steal(pod->binding));
    assert_false(node_cache_place(world->decider.cache, pod->object->key, pod->object->uid,
                                  class_of(pod->object), name_of_node(pod->node), false, false));
}

static void refuse_binding(struct world *world, struct model_pod *pod)
{
    pod->is_assumed = false;
    pod->node = pending;
    world->refused++;
    assert_true(node_cache_unplace(world->decider.cache, pod->object->key, pod->object->uid));
    queue_note_event(&world->queue, EVENT_POD_LEFT);
    queue_back_off(&world->queue, steal(pod->binding));
}

static void begin_deletion(struct world *world, struct model_pod *pod)
{
    pod->is_deleting = true;
    node_cache_place(world->decider.cache, pod->object->key, pod->object->uid,
                     class_of(pod->object), name_of_node(pod->node), false, true);
    queue_note_event(&world->queue, EVENT_POD_LEFT);
}

/* ---- cycles ---- */

static struct model_pod *find_pod(struct world *world, const char *uid)
{
    for (int i = 0; i < pods_max; i++) {
        if (world->pods[i].object != NULL && strcmp(world->pods[i].object->uid, uid) == 0) {
            return &world->pods[i];
        }
    }
    fail_msg("%s was tried, but is gone", uid);
    return NULL;
}

static void give_group(struct world *world, struct pod_class *class, char app)
{
    char text[] = {app, '\0'};
    struct selector **selectors = allocate(sizeof *selectors);
    json_t *labels = json_pack("{s:s}", "app", text);
    selectors[0] = selector_from_map(labels);
    json_decref(labels);
    node_cache_know_class(world->decider.cache, class);
    class->group = node_cache_group(world->decider.cache, "ns", text, selectors, 1);
}

static bool run_cycle(struct world *world)
{
    queue_wake(&world->queue, now);
    struct queued_pod *queued = queue_pop(&world->queue);
    if (queued == NULL) {
        return false;
    }
    struct model_pod *pod = find_pod(world, queued->uid);
    assert_int_equal(pod->node, pending);
    assert_false(pod->gated);
    if (queued->class->group == NULL) {
        give_group(world, queued->class, pod->app);
    }
    struct node *node = decider_choose(&world->decider, queued->class, queued->key, queued->uid);
    if (node == NULL) {
        assert_false(fits_somewhere(world, pod));
        queue_park(&world->queue, queued, queued->class->failed_plugins);
        return true;
    }
    int index = node->name[1] - '0';
    assert_true(suits(pod, &world->nodes[index]));
    assert_true(has_room(world, pod, index));
    pod->node = index;
    pod->is_assumed = true;
    pod->binding = queued;
    node_cache_place(world->decider.cache, queued->key, queued->uid, queued->class, node->name,
                     true, false);
    return true;
}

/* All that is under way ends, and all that may be tried is, long before patience is at its end. */
static void settle(struct world *world)
{
    for (int round = 0; round < 4; round++) {
        while (run_cycle(world)) {
        }
        for (int i = 0; i < pods_max; i++) {
            if (world->pods[i].binding != NULL) {
                see_bound(world, &world->pods[i]);
            }
        }
        now += 11 * SECOND;
    }
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        assert_true(pod->object == NULL || pod->node != pending || pod->gated ||
                    !fits_somewhere(world, pod));
    }
    assert_int_equal(world->queue.counts[QUEUE_ACTIVE] + world->queue.counts[QUEUE_BACKOFF], 0);
}

/* ---- the cache against the model ---- */

static void check_node(const struct world *world, int index)
{
    struct node_cache *cache = world->decider.cache;
    const struct node *node = map_get(&cache->nodes_by_name, name_of_node(index));
    int cpu = 0, assumed = 0, gpus = 0, count = 0, apps[2] = {0};
    size_t ports = 0;
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object != NULL && pod->node == index) {
            cpu += pod->cpu;
            assumed += pod->cpu; /* All say what they need, if only 0. */
            gpus += pod->gpus;
            ports += pod->port != 0;
            apps[pod->app - 'x'] += !pod->is_deleting;
            count++;
        }
    }
    assert_int_equal(node != NULL, world->nodes[index].exists || count > 0);
    if (node == NULL) {
        return;
    }
    assert_int_equal(node->exists, world->nodes[index].exists);
    assert_ptr_equal(cache->nodes[node->index], node);
    assert_int_equal(node->pod_count, count);
    for (const struct placed_pod *pod = node->pods; pod != NULL; pod = pod->next) {
        assert_ptr_equal(pod->node, node);
        count--;
    }
    assert_int_equal(count, 0);
    assert_int_equal(node->requested.milli_cpu, cpu);
    assert_int_equal(node->assumed.milli_cpu, assumed);
    assert_int_equal(node->port_count, ports);
    assert_int_equal(resource_amounts_extended(&node->requested, resource_names_find("x/gpu")),
                     gpus);
    for (int app = 0; app < 2; app++) {
        const struct spread_group *group = map_get(&cache->groups, app == 0 ? "x" : "y");
        if (group != NULL) {
            assert_int_equal(node->index < group->count_capacity ? group->counts[node->index] : 0,
                             apps[app]);
        }
    }
}

static void check(const struct world *world)
{
    const struct node_cache *cache = world->decider.cache;
    size_t nodes = 0, placed = 0, waiting = 0;
    for (int i = 0; i < nodes_max; i++) {
        check_node(world, i);
        nodes += world->nodes[i].exists;
    }
    for (int i = 0; i < pods_max; i++) {
        const struct model_pod *pod = &world->pods[i];
        if (pod->object == NULL) {
            continue;
        }
        const struct placed_pod *found = node_cache_find_pod(cache, pod->object->key);
        assert_int_equal(found != NULL, pod->node != pending);
        assert_int_equal(found != NULL && found->is_assumed, pod->is_assumed);
        assert_int_equal(map_get(&world->queue.pods, pod->object->key) != NULL,
                         pod->node == pending);
        placed += pod->node != pending;
        waiting += pod->node == pending;
    }
    assert_int_equal(cache->node_count, nodes);
    assert_int_equal(cache->pods.count, placed);
    assert_int_equal(world->queue.pods.count, waiting);
    assert_true(cache->node_slots <= nodes_max);
}

/* ---- the test ---- */

static void event_of_a_pod(struct world *world, struct model_pod *pod)
{
    if (pod->object == NULL) {
        add_pod(world, pod);
    } else if (pod->binding != NULL) {
        int outcome = pick(world, 10);
        if (outcome < 6) {
            see_bound(world, pod);
        } else if (outcome < 9) {
            refuse_binding(world, pod);
        } else {
            remove_pod(world, pod);
        }
    } else if (pod->gated) {
        ungate(world, pod);
    } else if (pod->node == pending) {
        if (pick(world, 4) == 0) {
            remove_pod(world, pod);
        }
    } else if (pod->is_deleting || pick(world, 2) == 0) {
        remove_pod(world, pod);
    } else {
        begin_deletion(world, pod);
    }
}

static void step(struct world *world)
{
    int what = pick(world, 100), node = pick(world, nodes_max);
    if (what < 45) {
        event_of_a_pod(world, &world->pods[pick(world, pods_max)]);
    } else if (what < 52) {
        put_model_node(world, node);
    } else if (what < 55) {
        remove_model_node(world, node);
    } else if (what < 90) {
        run_cycle(world);
    } else if (what < 99) {
        now += SECOND * pick(world, 4);
    } else {
        settle(world);
        pod_classes_collect(forget_class, world->decider.cache);
    }
}

static void run(unsigned seed)
{
    struct world *world = allocate_struct(struct world);
    struct node_cache *cache = node_cache_new();
    world->seed = seed;
    world->decider.cache = cache;
    world->queue.clock = tell_now;
    now = 1000 * SECOND;
    print_message("seed %u\n", seed);
    for (int i = 0; i < steps; i++) {
        step(world);
        check(world);
    }
    assert_true(world->bound > 100 && world->refused > 20);
    for (int i = 0; i < pods_max; i++) {
        if (world->pods[i].object != NULL) {
            remove_pod(world, &world->pods[i]);
        }
    }
    check(world);
    queue_clear(&world->queue);
    decider_clear(&world->decider);
    free_cache(cache);
    free(world);
}

static void nothing_is_overcommitted_or_forgotten(void **state)
{
    (void)state;
    run(1);
}

static void nor_with_another_seed(void **state)
{
    (void)state;
    const char *given = getenv("SEED"); /* To see again what was seen. */
    run(given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_overcommitted_or_forgotten),
        cmocka_unit_test(nor_with_another_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
